"""Training: the rate, the graph of network and loss, the step, the loop."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import HybridBlock

from .config import TrainConfig
from .datasets import split
from .datasets.loader import Batch, BatchMaker, Loader
from .detection import Detector
from .evaluation import class_numbers, evaluate_dataset
from .losses import ChosenLoss, DetectionLoss
from .weights import fill, parameter_arrays

_log = logging.getLogger(__name__)


def learning_rate(step: int, settings: TrainConfig) -> float:
    """Return the learning rate of one optimiser step.

    It rises in a straight line over the warm-up, then follows the schedule:
    constant, in jumps at the milestones, or along half a cosine to 0.

    Args:
        step: 0 for the first step, up to ``settings.steps - 1``.
        settings: ``TrainConfig``.

    >>> from dsod_d2l.config import TrainConfig
    >>> plan = TrainConfig(steps=100, warmup=4, learning_rate=1.0,
    ...                    schedule="multistep", milestones=(0.5,))
    >>> [learning_rate(step, plan) for step in (0, 1, 3, 49, 50)]
    [0.25, 0.5, 1.0, 1.0, 0.1]
    """
    rate = settings.learning_rate
    if step < settings.warmup:
        return rate * (step + 1) / settings.warmup
    if settings.schedule == "multistep":
        passed = sum(step >= round(share * settings.steps)
                     for share in settings.milestones)
        return rate * settings.decay ** passed
    if settings.schedule == "cosine":
        done = (step - settings.warmup) / (settings.steps - settings.warmup)
        return rate * (1 + math.cos(math.pi * done)) / 2
    return rate


class PixelGraph(HybridBlock):
    """From bytes (B, H, W, 3) to the outputs of a network.

    They become normalised numbers inside the graph, so a batch travels as a
    quarter of its size and is spread over all cores. The numbers are those
    of ``detection.to_batch``.
    """

    def __init__(self, net: Any):
        super().__init__()
        self.net = net
        # to_tensor gives 0 to 1, where the configuration counts to 255.
        self.mean = [mean / 255 for mean in net.config.mean]
        self.std = [std / 255 for std in net.config.std]

    def hybrid_forward(self, F: Any, images: Any) -> Any:
        """Return what the network returns."""
        pixels = F.image.to_tensor(images)
        return self.net(F.image.normalize(pixels, self.mean, self.std))


class TrainingGraph(HybridBlock):
    """From a batch of pixels and targets to the two losses.

    ``training_graph`` makes one whose loss is all that the settings choose.

    Args:
        net: a ``models.Network``.
        settings: ``TrainConfig``.

    Returns (forward of images uint8 (B, H, W, 3), classes (B, N) and
    offsets (B, N, 4)):
        classification and localisation loss, each (1,).
    """

    def __init__(self, net: Any, settings: TrainConfig):
        super().__init__()
        self.outputs = PixelGraph(net)
        self.loss = DetectionLoss(settings.classification,
                                  settings.negative_ratio)

    def hybrid_forward(self, F: Any, images: Any, classes: Any, offsets: Any
                       ) -> Any:
        """Return classification and localisation loss."""
        scores, moves = self.outputs(images)
        return self.loss(scores, moves, F.cast(classes, "float32"), offsets)


class StepLosses(HybridBlock):
    """The losses of all steps; each has its own positives.

    Args:
        settings: ``TrainConfig``.
        weights: of the classes, which the last step alone tells apart.
    """

    def __init__(self, settings: TrainConfig, weights: Any = None):
        super().__init__()
        self.loss = ChosenLoss(settings)
        self.last = ChosenLoss(settings, weights)

    def hybrid_forward(self, F: Any, first: Any, *rest: Any) -> tuple:
        """Return both losses of each step, of its outputs and its targets.

        All outputs come first, then all targets: a pair for each step.
        """
        arrays = [first, *rest]
        half = len(arrays) // 2
        steps = [self.loss] * (half // 2 - 1) + [self.last]
        return tuple(loss for k, one in zip(range(0, half, 2), steps)
                     for loss in one(*arrays[k:k + 2],
                                     *arrays[half + k:half + k + 2]))


class StepGraph(gluon.Block):
    """From a batch to the two losses, with a look at the outputs between.

    The network and the losses are a graph each. Between them the network
    says, in NumPy and without a gradient, what its steps should have found.
    ``positives`` is how many anchors that were, for each step of the last
    batch.

    Args:
        net: a ``models.Network`` of several steps.
        settings: ``TrainConfig``.
        weights: of the classes, see ``ChosenLoss``.

    Returns (forward of images uint8 (B, H, W, 3) on a device, and in NumPy
    classes (B, N), offsets (B, N, 4), truths, see ``datasets.loader.Batch``):
        classification and localisation loss of each step, each (1,).
    """

    positives: Sequence[int] = ()

    def __init__(self, net: Any, settings: TrainConfig, weights: Any = None):
        super().__init__()
        self.outputs = PixelGraph(net)
        self.losses = StepLosses(settings, weights)
        self.threshold = settings.match_threshold

    def forward(self, images: Any, classes: np.ndarray, offsets: np.ndarray,
                truths: list) -> tuple:
        """Return classification and localisation loss of each step."""
        outputs = self.outputs(images)
        wanted = self.outputs.net.step_targets(
            outputs, (classes, offsets), truths, self.threshold)
        self.positives = [int((one > 0).sum()) for one in wanted[::2]]
        return self.losses(*outputs, *(
            mx.nd.array(one, ctx=images.context) for one in wanted))


def training_graph(net: Any, settings: TrainConfig, weights: Any = None,
                   kind: type[TrainingGraph] = TrainingGraph) -> Any:
    """Return what turns a batch into its losses, compiled by MXNet.

    Args:
        net: a ``models.Network``.
        settings: ``TrainConfig``.
        weights: of the classes, see ``ChosenLoss``.
        kind: of graph for a network of one step.

    Returns:
        ``TrainingGraph``, or ``StepGraph`` for a network of several steps.
    """
    graph: Any
    if net.steps == 1:
        graph = kind(net, settings)
        graph.loss = ChosenLoss(settings, weights)
    else:
        graph = StepGraph(net, settings, weights)
    graph.hybridize(static_alloc=True, static_shape=True)
    return graph


def graph_inputs(batch: Batch, ctx: Any) -> list:
    """Return what a graph is called with: a batch, on its device.

    The targets of a network of several steps stay in NumPy: what its steps
    should learn is not known before the forward pass.

    Args:
        batch: ``datasets.loader.Batch``.
        ctx: MXNet context.
    """
    def sent(array):
        return mx.nd.array(array, ctx=ctx, dtype=array.dtype)
    if batch.truths:
        return [sent(batch.images), *batch[1:3], batch.truths]
    return [sent(array) for array in batch[:3]]


class History(list):
    """Rows of one run: dictionaries with "step", losses, rate and times."""

    def column(self, name: str) -> tuple[list, list]:
        """Return (steps, values) of the rows that have that value."""
        rows = [row for row in self if row.get(name) is not None]
        return [row["step"] for row in rows], [row[name] for row in rows]


class Fitted(NamedTuple):
    """What a run leaves: the network, its history, its best evaluation.

    best: dictionary with "step", "AP" and "AP50" of the model that was kept,
        or None where nothing was held back.
    """

    net: gluon.Block
    history: History
    best: dict | None

    def __repr__(self):
        return (f"Fitted({self.net.config.name}, {len(self.history)} steps, "
                f"best={self.best})")


REMEDY = ("What helps is mostly a smaller learning_rate (--learning-rate), a "
          "longer warmup (--warmup), or a gradient cut to length (--clip 10)")


class Run:
    """One training: what the loop works on, and the hooks it calls.

    The loop is ``fit``. Each method below is a hook: called in the order in
    which it stands here, and free to be overridden by a run that does more,
    in a folder or on several devices.

    Args:
        net, dataset, settings, ctx, validation: see ``fit``.

    Attributes: ``train`` and ``held``, the images to train on and to choose
    the best model on, or None. ``step``, steps done. ``history``, ``best``
    and ``best_arrays``, the numbers of the best model. From ``begin`` on
    ``maker``, ``graph``, ``parameters``, those that learn, and ``trainer``.

    Raises:
        ValueError: data, network and validation differ in their classes.
    """

    store = None         # sums up gradients, see ``gluon.Trainer``
    rows = None          # of each batch that are made here; None: all
    scale = 1            # what the loss is multiplied by

    def __init__(self, net: Any, dataset: Any, settings: TrainConfig,
                 ctx: Any = None, validation: Any = None):
        _check_classes(net, dataset.classes, validation)
        self.net, self.settings = net, settings
        self.classes, self.ctx = tuple(dataset.classes), ctx or mx.cpu()
        self.train, self.held = dataset, validation
        if validation is None and settings.held_back:
            self.train, self.held = split(
                dataset, settings.held_back,
                np.random.default_rng(settings.seed))
        self.step, self.seconds, self.history = 0, 0.0, History()
        self.best: dict | None = None
        self.best_arrays: dict | None = None

    def begin(self) -> None:
        """Get ready: what makes batches, the graph and the optimiser."""
        settings = self.settings
        mx.random.seed(settings.seed)
        self.maker = BatchMaker(self.train, self.net.config, settings,
                                self.rows, self.net.steps > 1)
        self.graph = self.compiled()
        self.parameters = [p for p in self.net.collect_params().values()
                           if p.grad_req != "null"]
        for parameter in self.parameters:
            parameter.grad_req = "add" if settings.accumulate > 1 else "write"
            parameter.zero_grad()      # an earlier run may have left some
        options = {"wd": settings.weight_decay}
        if settings.optimiser == "sgd":
            options["momentum"] = settings.momentum
        self.trainer = gluon.Trainer(
            self.parameters, settings.optimiser, options, kvstore=self.store,
            update_on_kvstore=False)

    def compiled(self) -> Any:
        """Bring the network to its device; return the graph of its losses."""
        place(self.net, [self.ctx])
        return training_graph(self.net, self.settings)

    @contextlib.contextmanager
    def batches(self) -> Iterator:
        """Give the batches from this step on, and end their workers."""
        passes, workers = self.settings.accumulate, self.settings.workers
        loader = Loader(self.maker, self.step * passes,
                        self.settings.steps * passes,
                        1 if workers is None else workers)
        with contextlib.closing(iter(loader)) as batches:
            yield batches

    def stop(self) -> bool:
        """Say whether to stop before the next step."""
        return False

    def backward(self, batch: Batch) -> np.ndarray:
        """Add the gradients of one batch; return its two losses, (2,)."""
        weight = self.settings.localisation_weight
        with autograd.record():
            found = self.graph(*graph_inputs(batch, self.ctx))
            whole = [first + weight * second
                     for first, second in zip(found[::2], found[1::2])]
        autograd.backward(whole)
        values = np.array([loss.asscalar() for loss in found], float)
        return values.reshape(-1, 2).sum(axis=0)

    def change(self, losses: np.ndarray, sources: list[str]) -> float | None:
        """Change the weights by their gradients.

        Args:
            losses: (2,), for messages; and names of the images.

        Returns:
            The norm of the gradients' mean, None if the step is left out.
        """
        passes, clip, scale = (self.settings.accumulate, self.settings.clip,
                               self.scale)
        self.trainer.allreduce_grads()
        norm = self.gradient_norm() / scale
        accepted = self.accepts(losses, norm, sources)
        if accepted:
            # A gradient that is too long is shortened.
            parts = norm / clip if clip and norm / passes > clip else passes
            self.trainer.update(parts * scale)
        if passes > 1:
            for parameter in self.parameters:
                parameter.zero_grad()
        return norm / passes if accepted else None

    def gradient_norm(self) -> float:
        """Return the length of all gradients as one vector."""
        grads = [parameter.grad(self.ctx) for parameter in self.parameters]
        squares = mx.nd.multi_sum_sq(*grads, num_arrays=len(grads))
        return float(squares.sum().sqrt().asscalar())

    def accepts(self, losses: np.ndarray, norm: float, sources: list[str]
                ) -> bool:
        """Say whether to do the step, or raise FloatingPointError."""
        if np.isfinite(losses).all() and np.isfinite(norm):
            return True
        raise FloatingPointError(
            f"step {self.step + 1}: the loss is {losses.sum():g} and the "
            f"gradient's norm {norm:g}; training stops before the weights "
            f"are changed. The batch: {', '.join(sources)}. {REMEDY}")

    def due(self) -> bool:
        """Say whether to evaluate: an epoch's share or the run has ended."""
        settings = self.settings
        images = settings.batch_size * settings.accumulate
        period = settings.evaluate_every * len(self.train) / images
        return self.held is not None and (
            self.step == settings.steps or period > 0 and
            self.step // period > (self.step - 1) // period)

    def judge(self, row: dict) -> None:
        """Evaluate on what is not trained on; keep the model if it is best.

        Args:
            row: of the history; AP and AP50 are put into it.
        """
        result = evaluate_dataset(self.detector(), self.held)
        if not result.objects:            # there is no AP: nothing is best
            if self.step == self.settings.steps:
                _log.warning("The %d images held back hold no object: the "
                             "last model is kept.", result.images)
            return
        row["AP"], row["AP50"] = result.AP, result.AP50
        if self.better(row):
            self.best = {"step": self.step, "AP": result.AP,
                         "AP50": result.AP50}
            self.best_arrays = parameter_arrays(self.net)

    def better(self, row: dict) -> bool:
        """Say whether the model that was just judged is the best so far."""
        return self.best is None or row["AP"] > self.best["AP"]

    def detector(self) -> Detector:
        """Return a ``Detector`` of the network as it is now."""
        return Detector(self.net, self.classes)

    def after_step(self, row: dict) -> None:
        """Do what is to be done when a step is in the history."""

    def end(self) -> None:
        """Put the best model into the network."""
        if self.best_arrays is not None:
            fill(self.net, self.best_arrays, "the best model")


def _check_classes(net, classes, validation):
    """Raise ValueError if there are other classes than the network has."""
    if len(classes) != net.config.num_classes:
        raise ValueError(
            f"the network has {net.config.num_classes} classes, the data "
            f"set has {len(classes)}: {', '.join(classes)}")
    own = getattr(net, "classes", None)
    if own and tuple(own) != tuple(classes):
        raise ValueError(
            f"the network was built for the classes {', '.join(own)},"
            f" the data set has {', '.join(classes)}: build it with the names"
            " of the data set")
    if validation is not None:
        class_numbers(classes, validation.classes)


def place(net: Any, contexts: list) -> None:
    """Bring a network to its devices; numbers it lacks are drawn.

    Args:
        net: a ``models.Network``.
        contexts: list of MXNet contexts.
    """
    for parameter in net.collect_params().values():
        if parameter._data is None:
            parameter.initialize(ctx=contexts)
        elif parameter.list_ctx() != contexts:
            parameter.reset_ctx(contexts)


def one_step(run: Run, batches: Iterator[Batch]) -> dict:
    """Do one step of the optimiser; return its row of the history.

    Args:
        run: a ``Run`` that has begun.
        batches: iterator over its batches.
    """
    start, passes = time.perf_counter(), run.settings.accumulate
    # MXNet's generator has no state to save: it is seeded for each step.
    mx.random.seed(run.settings.seed * 1_000_003 + run.step)
    rate = learning_rate(run.step, run.settings)
    run.trainer.set_learning_rate(rate)
    losses, sources = np.zeros(2), []
    for _ in range(passes):
        batch = next(batches)
        sources += batch.sources
        losses += run.backward(batch)
    losses /= passes
    norm = run.change(losses, sources)
    run.step += 1
    run.seconds += time.perf_counter() - start
    return {"step": run.step, "loss": float(losses.sum()),
            "classification": float(losses[0]),
            "localisation": float(losses[1]), "rate": rate,
            "gradient": norm, "seconds": round(run.seconds, 3)}


def fit(net: Any, dataset: Any, settings: TrainConfig, ctx: Any = None,
        validation: Any = None, callbacks: Sequence[Callable] = (),
        start: Callable[..., Run] = Run) -> Fitted:
    """Train a network from scratch.

    Args:
        net: a ``models.Network``; it is initialised if it is not yet.
        dataset: the training set. A slice of it (``settings.held_back``) is
            not trained on: the best model is chosen there.
        settings: ``TrainConfig``.
        ctx: MXNet context, default the CPU.
        validation: a data set on which the best model is chosen; nothing is
            held back then. Not the one a result is to be reported on.
        callbacks: called after each step with its row of the history.
        start: ``Run``, or what makes one whose hooks do more.

    Returns:
        ``Fitted``; the network holds the best model, or the last one where
        nothing was held back.

    Raises:
        ValueError: see ``Run``.
        FloatingPointError: a loss or gradient is not finite; the message
            names the images of that batch.
    """
    run = start(net, dataset, settings, ctx, validation)
    run.begin()
    with run.batches() as batches:
        while run.step < settings.steps and not run.stop():
            row = one_step(run, batches)
            if run.due():
                run.judge(row)
            run.history.append(row)
            run.after_step(row)
            for callback in callbacks:
                callback(row)
    run.end()
    return Fitted(run.net, run.history, run.best)
