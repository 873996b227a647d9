"""A long run: the loop of ``training``, with all that lets it last.

A folder, checkpoints, resuming; several devices and processes; half the bits;
the average of the weights; a signal that ends it cleanly; a progress bar; and
what to say of a failure. All of it hangs on the hooks of ``training.Run``.
"""

import contextlib
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import mxnet as mx
import numpy as np
from tqdm import tqdm

from ... import anchors as anchor_maths, boxes, training, weights
from ...config import TrainConfig
from ...config.base import require
from ...files import one_line
from ..formats.addresses import take_dataset
from ..formats.choices import matched
from . import checkpoints, freezing, run_folder, weighing
from .parallel import Devices, set_norms
from .precision import Average, lowered
from .tuning import Tuning

_log = logging.getLogger(__name__)

# Only these ways of stopping are replaced: a program that has its own
# handler, or ignores the signal, knows why.
USUAL = {signal.SIGINT: signal.default_int_handler,
         signal.SIGTERM: signal.SIG_DFL}


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop, and did so between two steps.

    Args:
        signum: the signal's number.
        done: what was done, in one sentence.
        resumable: whether a checkpoint is there to go on from.
    """

    def __init__(self, signum: int, done: str, resumable: bool = False):
        super().__init__(done + "; resume=True goes on from there"
                         if resumable else done)
        self.signum, self.done = int(signum), done
        self.resumable = resumable


class Broken(RuntimeError):
    """A run that was ended by what it cannot help, such as lack of memory.

    Args:
        done: what happened, in one sentence.
        resumable: whether a checkpoint is there to go on from.
    """

    def __init__(self, done: str, resumable: bool = False):
        super().__init__(done + ("; resume=True goes on from the newest "
                                 "checkpoint" if resumable else ""))
        self.done, self.resumable = done, resumable


# What MXNet and the system say of it.
NO_MEMORY = re.compile(r"bad_alloc|out of memory|cannot allocate|"
                       r"memory allocation failed", re.I)


@contextlib.contextmanager
def telling(folder: Path | None = None) -> Iterator[None]:
    """Say in one sentence what ended a run: memory, MXNet, a data worker.

    Args:
        folder: of the run, where there may be a checkpoint.

    Raises:
        Broken: in their place.
    """
    try:
        yield
    except (MemoryError, mx.MXNetError, OSError) as error:
        text = str(error).strip() or type(error).__name__
        short = one_line(text.splitlines()[-1].strip(), 300)
        if isinstance(error, MemoryError) or NO_MEMORY.search(text):
            short = (f"memory has run out ({short}): a smaller batch_size, "
                     "made up for by accumulate, a smaller input or fewer "
                     "workers need less, in a run of their own")
        elif isinstance(error, mx.MXNetError):
            short = f"MXNet has failed: {short}"
        elif not isinstance(error, ChildProcessError):
            raise
        saved = folder and checkpoints.list_checkpoints(folder / "checkpoints")
        if folder and not saved:
            short += "; there is no checkpoint yet (checkpoint_every)"
        raise Broken(short, bool(saved)) from error


@contextlib.contextmanager
def listening() -> Iterator[list[int]]:
    """Note the first SIGINT or SIGTERM, rather than stop at once.

    The next one does what it always does. Outside the main thread, where
    Python hears no signals, nothing changes.

    Yields:
        List that the number of the signal is put into.
    """
    heard, replaced = [], []

    def restore():
        for number in replaced:
            signal.signal(number, USUAL[number])

    def note(number, _):
        heard.append(number)
        restore()
        # Nothing of Python's own output may be entered twice: hence the
        # plain system call.
        os.write(2, b"\nThis step is still finished, and saved; a second "
                    b"signal stops at once.\n")

    if threading.current_thread() is threading.main_thread():
        replaced += [number for number, usual in USUAL.items()
                     if signal.getsignal(number) is usual]
    for number in replaced:
        signal.signal(number, note)
    try:
        yield heard
    finally:
        restore()


def run_training(net, dataset, settings, folder: str | Path | None = None,
                 resume: bool = False, ctx=None, progress: bool = True,
                 callbacks: Iterable[Callable] = (), validation=None,
                 team=None, tuning: Tuning | None = None,
                 from_step: int | None = None) -> training.Fitted:
    """Train a network from scratch, or go on where a run was stopped.

    Args:
        net, dataset, settings, callbacks, validation: see ``training.fit``.
            A callback that has ``close`` is closed at the end. With a
            validation set the history also has its loss.
        folder: where weights, checkpoints and history go; None: nowhere.
        resume: True to go on from the newest checkpoint in ``folder`` that
            is whole, or from the start if there is none yet. The settings
            have to be the same, but for workers, checkpoints, and steps,
            of which there may be more: then the schedule of the learning
            rate is from there on that of the new number.
        ctx: MXNet context, default the CPU; a list of them to divide each
            batch among.
        progress: whether to show a progress bar.
        team: what ``distributed.joined`` yields, where several processes
            share each batch; the first one has the folder and judges.
        tuning: ``Tuning``: weights to freeze, weights of classes, when to
            end early.
        from_step: go on from the checkpoint of this step, not the newest.

    Returns:
        ``training.Fitted``.

    Raises:
        ValueError: data and network have different numbers of classes; or
            there is no object, or nothing to resume; or the folder holds
            another run.
        Stopped: a KeyboardInterrupt, after Ctrl-C or SIGTERM. The step was
            finished, and a checkpoint saved in ``folder``.
        Broken: memory has run out, MXNet failed, or a data worker died.
        FloatingPointError: see ``training.fit``; nothing is saved.
    """
    weights.require_network(net)
    require(isinstance(settings, TrainConfig), "expected a TrainConfig as the "
            f"settings, found {settings!r:.80}")
    dataset = take_dataset(dataset)
    first = team is None or team.rank == 0
    tuning, resume = tuning or Tuning(), resume or from_step is not None
    require(isinstance(tuning, Tuning), "expected a Tuning as tuning, found "
            f"{tuning!r:.80}")
    require(not callable(callbacks), "callbacks must be a list of functions, "
            f"found {callbacks!r:.80}")
    folder, callbacks = folder if first else None, list(callbacks)
    if validation is not None:
        validation = matched(take_dataset(validation), dataset.classes,
                             "the set to train on")
    with contextlib.ExitStack() as stack:
        for one in callbacks:
            stack.callback(getattr(one, "close", lambda: None))
        if folder:
            folder = stack.enter_context(run_folder.hold(folder, resume))
        stack.enter_context(telling(folder))
        names = stack.enter_context(freezing.frozen(net, tuning.freeze))
        start = partial(LongRun, folder=folder, resume=resume and first,
                        progress=progress and first, team=team,
                        tuning=tuning, from_step=from_step, frozen=names)
        return training.fit(net, dataset, settings, ctx, validation,
                            callbacks, start)


class LongRun(training.Run):
    """A run in a folder, on several devices, that may be stopped.

    Args:
        net, dataset, settings, validation: see ``training.Run``.
        ctx, folder, resume, progress, team, tuning, from_step: see
            ``run_training``.
        frozen: names of the arrays that stay as they are.
    """

    risen = False        # whether it was told that the loss has risen

    def __init__(self, net, dataset, settings, ctx=None, validation=None,
                 folder: Path | None = None, resume: bool = False,
                 progress: bool = True, team=None,
                 tuning: Tuning | None = None,
                 from_step: int | None = None, frozen: Iterable[str] = ()):
        self.tuning, self.from_step = tuning or Tuning(), from_step
        self.frozen, self.tired, self._held_graph = frozen, False, None
        self.devices = Devices(ctx or mx.cpu(), settings, team)
        super().__init__(net, dataset, settings, self.devices.contexts[0],
                         validation)
        weighing.require_objects(self.train)
        self.tuning.check_held(settings, self.held is not None)
        self.watched = validation is not None or self.tuning.watch == "loss"
        self.team, self.rows = self.devices.team, self.devices.rows
        self.store = self.devices.store
        if self.team.rank:
            self.held = None           # the first process judges for all
        self.folder, self.resume, self.progress = folder, resume, progress
        self.saved = None              # the step of the newest checkpoint
        self.heard, self.signum, self.average = [], None, None

    @property
    def scale(self) -> int:
        """What the loss is multiplied by."""
        return self.devices.scale.value

    def begin(self) -> None:
        """Get ready; go on from the newest checkpoint if asked to."""
        super().begin()
        if self.settings.average:
            self.average = Average(self.net, self.settings.average)
            for name in self.frozen:        # a mean of equals may round
                del self.average.arrays[name]
        run_folder.begin(self)
        self.team.align(self)

    def compiled(self):
        """Bring the network to all devices; return its graph."""
        training.place(self.net, self.devices.contexts)
        set_norms(self.net, self.devices.contexts if self.settings.sync_norm
                  else [self.ctx])
        words = self.tuning.class_weights
        self.weights = weighing.weights_by_class(
            words, self.train) if words else None
        return training.training_graph(
            lowered(self.net, self.settings.precision), self.settings,
            self.weights, weighing.MeasuringGraph
            if self.settings.normalisation == "per_anchor"
            else training.TrainingGraph)

    @contextlib.contextmanager
    def batches(self) -> Iterator:
        """Give the batches; listen to signals and show a bar meanwhile."""
        with listening() as self.heard, tqdm(
                total=self.settings.steps, initial=self.step, unit="step",
                disable=not self.progress) as self.bar, (
                super().batches()) as batches:
            try:
                yield batches
            except ChildProcessError:
                # A data worker has died: the last step was done in full.
                if self.step:
                    with contextlib.suppress(OSError, MemoryError):
                        run_folder.save(self)
                raise

    def stop(self) -> bool:
        """Say whether any process has heard a signal, or has seen enough."""
        self.signum = self.team.told(self.heard)
        if self.tuning.patience:
            self.tired = bool(self.team.total(np.array([self._waited()
                              >= self.tuning.patience]))[0])
        return self.signum is not None or self.tired

    def _waited(self):
        """Return how many evaluations have brought nothing better."""
        best = self.best["step"] if self.best else 0
        return sum("AP" in row and row["step"] > best for row in self.history)

    def backward(self, batch) -> np.ndarray:
        """Add the gradients of one batch, divided among the devices."""
        if self.devices.plain:
            return super().backward(batch)
        return self.devices.backward(self.graph, batch)

    def change(self, losses, sources):
        """Change the weights, and their average with them."""
        norm = super().change(losses, sources)
        if self.average:
            self.average.update(self.step + 1)
        return norm

    def accepts(self, losses, norm, sources):
        """Say whether to do the step, which float16 may be too small for.

        A loss that is ten times what it was at first is told, once.
        """
        scale = self.devices.scale
        if np.isfinite(losses).all() and scale.overflowed(norm):
            _log.warning("Step %d: a gradient is too large for float16. The "
                         "step is left out, and the loss multiplied by %d "
                         "from now on.", self.step + 1, scale.value)
            return False
        accepted = super().accepts(losses, norm, sources)
        first = max((row["loss"] for row in self.history[:3]), default=0)
        if 0 < 10 * first < losses.sum() and not self.risen:
            self.risen = True
            _log.warning("Step %d: the loss has risen tenfold, from %.3g to "
                         "%.3g. %s.", self.step + 1, first, losses.sum(),
                         training.REMEDY)
        return accepted

    def judge(self, row: dict) -> None:
        """Evaluate the average of the weights, if there is one."""
        with (self.average.in_place() if self.average
              else contextlib.nullcontext()):
            if self.watched:
                row["validation_loss"] = self._held_loss()
            super().judge(row)
        if self.best and self.best["step"] == self.step:
            if self.watched:
                self.best["validation_loss"] = row["validation_loss"]
            with run_folder.forgiving(self):
                run_folder.save_best(self)

    def _held_loss(self):
        """Return the loss on the images to choose the best model on."""
        if self._held_graph is None:
            # Of its own: the last batch may be smaller, which is another
            # shape, and the graph of the training stays as it is.
            self._held_graph = training.training_graph(
                self.net, self.settings, self.weights)
            self._held_graph.hybridize(static_alloc=False, static_shape=False)
        return weighing.held_loss(self._held_graph, self.net, self.held,
                                 self.classes, self.settings, self.ctx)

    def better(self, row: dict) -> bool:
        """Say whether the model that was just judged is the best so far."""
        name, sign = {"loss": ("validation_loss", -1)}.get(
            self.tuning.watch, (self.tuning.watch, 1))
        return self.best is None or (sign * row[name] > sign * self.best[name])

    def after_step(self, row: dict) -> None:
        """Save where the settings ask for it."""
        row.update({name: float(value.asscalar()) for name, value
                    in getattr(self.graph, "measured", {}).items()})
        every = self.settings.checkpoint_every
        if self.step == self.settings.steps or (
                every and self.step % every == 0):
            with run_folder.forgiving(self):
                run_folder.save(self)
        best = f"{self.best['AP']:.3f}" if self.best else "-"
        self.bar.update()
        self.bar.set_postfix(loss=f"{row['loss']:.3f}", AP=best)

    def end(self) -> None:
        """Save and judge what the run leaves; raise if it was stopped."""
        signum = self.signum or next(iter(self.heard), None)
        complete = self.step == self.settings.steps or self.tired
        if signum or self.tired:
            run_folder.save(self)
        if self.tired and not self.team.rank:
            _log.warning("Stopped after step %d of %d: %d evaluations have "
                         "brought no better %s than that of step %d.",
                         self.step, self.settings.steps, self._waited(),
                         self.tuning.watch, (self.best or {}).get("step", 0))
        if complete:
            self._finish()
        if signum:
            where = (": the run is complete" if complete
                     else f", saved in {self.folder}" if self.folder
                     else "; without a folder nothing is saved")
            raise Stopped(signum, f"stopped after step {self.step} of "
                          f"{self.settings.steps}{where}",
                          resumable=bool(self.folder and not complete))

    def _finish(self):
        """Put the best model into the network, save it, and judge a zero."""
        set_norms(self.net, [self.ctx])
        if self.best is None and self.average:
            self.average.keep()
        super().end()
        if self.folder:
            weights.save_weights(self.folder / "model.safetensors", self.net,
                                 self.classes, best=self.best)
        if self.best is not None and self.best["AP"] == 0:
            for sentence in diagnose(self.detector(), self.held,
                                     self.settings):
                _log.warning("AP is 0: %s.", sentence)


SAMPLES = 64      # images that are looked at


def diagnose(detector, dataset, settings) -> list[str]:
    """Return sentences on why a detector may have an AP of 0.

    Args:
        detector: ``detection.Detector``.
        dataset: the data set it was judged on.
        settings: ``TrainConfig``.

    Returns:
        List of sentences, the likeliest cause first; never empty.
    """
    samples = [dataset[k] for k in range(min(SAMPLES, len(dataset)))]
    objects = [box for sample in samples for box in sample.boxes]
    if not objects:
        return ["the images judged hold no object"]
    best = boxes.iou(np.array(objects),
                     anchor_maths.anchors_for(detector.config)).max(axis=1)
    missed = (best < settings.match_threshold).mean()
    found = [f"no anchor reaches {missed:.0%} of the objects at IoU "
             f"{settings.match_threshold:g} (their best IoU is "
             f"{np.median(best):.2f} in the middle): change the anchor sizes"
             " (--anchors fit)"
             ] if missed > 0.5 else []
    found += _on_scores(detector, samples)
    return found or ["the boxes found do not overlap the objects by half: "
                     "train longer, lower the learning rate, or check that "
                     "boxes are fractions of the image"]


def _on_scores(detector, samples):
    """Return sentences on scores and classes of what was detected."""
    detections = detector.detect([sample.image for sample in samples])
    scores = np.concatenate([one.scores for one in detections])
    threshold = detector.detect_config.score_threshold
    if not len(scores):
        return [f"every score is below the threshold {threshold:g}: train "
                "longer or with another learning rate"]
    seen = set(np.concatenate([one.labels for one in detections]).tolist())
    there = set(np.concatenate([one.labels for one in samples]).tolist())
    if not seen & there:
        return [f"only classes {sorted(seen)} were detected where the "
                f"objects are of classes {sorted(there)}"]
    return []
