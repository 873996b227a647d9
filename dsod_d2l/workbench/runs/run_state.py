"""The state of a run: one step, evaluation, what to say of a failure."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path

import mxnet as mx
import numpy as np

from ... import anchors as anchor_maths
from ... import boxes, datasets, weights
from ...config import DetectConfig
from ...datasets.loader import BatchMaker
from ...detection import Detector
from ...evaluation import evaluate_dataset
from ...training import History, learning_rate
from . import run_folder
from .parallel import Devices, set_norms
from .precision import Average, training_graph

_log = logging.getLogger(__name__)


class Run:
    """The state of one run. ``fit`` is its driver; see there."""

    def __init__(self, net, dataset, settings, folder, ctx, validation=None,
                 team=None):
        if len(dataset.classes) != net.config.num_classes:
            raise ValueError(
                f"the network has {net.config.num_classes} classes, the data "
                f"set has {len(dataset.classes)}: "
                f"{', '.join(dataset.classes)}")
        self.net, self.settings = net, settings
        self.devices = Devices(ctx, settings, team)
        self.ctx = self.devices.contexts[0]
        self.folder = Path(folder) if folder else None
        self.classes = tuple(dataset.classes)
        self.train, self.held = dataset, validation
        if validation is not None:
            if tuple(validation.classes) != self.classes:
                raise ValueError(
                    "the images to choose the model on have the classes "
                    f"{', '.join(validation.classes)}, those to train on "
                    f"{', '.join(self.classes)}")
        elif settings.held_back:
            self.train, self.held = datasets.split(
                dataset, settings.held_back,
                np.random.default_rng(settings.seed))
        if self.devices.team.rank:
            self.held = None           # the first process judges for all
        self.workers = 1 if settings.workers is None else settings.workers
        self.maker = BatchMaker(self.train, net.config, settings,
                                self.devices.rows)
        self.step, self.best, self.best_arrays = 0, None, None
        self.saved = None              # the step of the newest checkpoint
        self.seconds, self.history = 0.0, History()
        self._prepare()

    def _prepare(self):
        settings = self.settings
        mx.random.seed(settings.seed)
        self.devices.settle(self.net)
        self.graph = training_graph(self.net, settings)
        self.parameters = [p for p in self.net.collect_params().values()
                           if p.grad_req != "null"]
        for parameter in self.parameters:
            parameter.grad_req = "add" if settings.accumulate > 1 else "write"
            parameter.zero_grad()      # an earlier run may have left some
        options = {"wd": settings.weight_decay}
        if settings.optimiser == "sgd":
            options["momentum"] = settings.momentum
        self.trainer = self.devices.trainer(self.parameters, options)
        self.average = (Average(self.net, settings.average)
                        if settings.average else None)

    def one_step(self, batches):
        """Do one optimiser step; return its row of the history."""
        start, settings = time.perf_counter(), self.settings
        # MXNet's generator has no state to save: it is seeded for each step.
        mx.random.seed(settings.seed * 1_000_003 + self.step)
        rate = learning_rate(self.step, settings)
        self.trainer.set_learning_rate(rate)
        parts, sources = np.zeros(2), []
        for _ in range(settings.accumulate):
            batch = next(batches)
            sources += batch.sources
            parts += self._backward(batch)
        parts /= settings.accumulate
        norm = self._change(parts, sources)
        if settings.accumulate > 1:
            for parameter in self.parameters:
                parameter.zero_grad()
        self.step += 1
        if self.average:
            self.average.update(self.step)
        self.seconds += time.perf_counter() - start
        return {"step": self.step, "loss": float(parts.sum()),
                "classification": float(parts[0]),
                "localisation": float(parts[1]), "rate": rate,
                "gradient": norm and norm / settings.accumulate,
                "seconds": round(self.seconds, 3)}

    def _backward(self, batch):
        """Add the gradients of one batch; return its two losses."""
        truths = batch.truths if self.net.steps > 1 else None
        return self.devices.backward(self.graph, batch, truths)

    def _change(self, parts, sources):
        """Change the weights by their gradients.

        Returns the norm of these, None where float16 could not hold them.
        """
        settings, scale = self.settings, self.devices.scale
        self.trainer.allreduce_grads()
        norm = self._gradient_norm() / scale.value
        if np.isfinite(parts).all() and scale.overflowed(norm):
            _log.warning("Step %d: a gradient is too large for float16. The "
                        "step is left out, and the loss multiplied by %d "
                        "from now on.", self.step + 1, scale.value)
            return None
        self._check(parts, norm, sources)
        divisor = settings.accumulate
        if settings.clip and norm / divisor > settings.clip:
            divisor = norm / settings.clip
        self.trainer.update(divisor * scale.value)
        return norm

    def _gradient_norm(self):
        grads = [parameter.grad(self.ctx) for parameter in self.parameters]
        squares = mx.nd.multi_sum_sq(*grads, num_arrays=len(grads))
        return float(squares.sum().sqrt().asscalar())

    def _check(self, parts, norm, sources):
        if np.isfinite(parts).all() and np.isfinite(norm):
            return
        raise FloatingPointError(
            f"step {self.step + 1}: the loss is {parts.sum():g} and the "
            f"gradient's norm {norm:g}; training stops before the weights "
            f"are changed. The batch: {', '.join(sources)}")

    def after_step(self, row):
        """Evaluate, save and record where the settings ask for it."""
        settings, last = self.settings, self.step == self.settings.steps
        if self.held is not None and (last or self._due()):
            with (self.average.in_place() if self.average
                  else contextlib.nullcontext()):
                self._judge(row)
        self.history.append(row)
        every = settings.checkpoint_every
        if last or (every and self.step % every == 0):
            with run_folder.forgiving(self):
                run_folder.save(self)

    def _judge(self, row):
        """Evaluate on what is not trained on; keep the model if it is best."""
        result = evaluate_dataset(self.detector(), self.held)
        if not result.objects:            # there is no AP: nothing is best
            if self.step == self.settings.steps:
                _log.warning("The %d images held back hold no object: the "
                            "last model is kept.", result.images)
            return
        row["AP"], row["AP50"] = result.AP, result.AP50
        if self.best is None or result.AP > self.best["AP"]:
            self._keep_best(result)

    def _due(self):
        """Say whether this step has ended one more period of evaluation."""
        settings = self.settings
        images = settings.batch_size * settings.accumulate
        period = settings.evaluate_every * len(self.train) / images
        return period > 0 and (self.step // period
                               > (self.step - 1) // period)

    def _keep_best(self, result):
        self.best = {"step": self.step, "AP": result.AP, "AP50": result.AP50}
        self.best_arrays = weights.parameter_arrays(self.net)
        if self.folder:
            with run_folder.forgiving(self):
                run_folder.save_best(self)

    def detector(self):
        """Return a ``Detector`` of the network as it is now."""
        boxed = self.settings.augment == "letter-box"
        return Detector(self.net, self.net.config, self.classes,
                        DetectConfig(letter_box=boxed), self.ctx)

    def best_text(self):
        """Return the best AP so far, for the progress bar."""
        return f"{self.best['AP']:.3f}" if self.best else "-"

    def finish(self):
        """Put the best model into the network, save it, and judge a zero."""
        set_norms(self.net, self.devices.contexts[:1])
        if self.best_arrays is not None:
            weights.fill(self.net, self.best_arrays, "the best model")
        elif self.average:
            self.average.keep()
        if self.folder:
            weights.save_weights(self.folder / "model.safetensors",
                                     self.net, self.classes, best=self.best)
        if self.best is not None and self.best["AP"] == 0:
            for sentence in diagnose(self.detector(), self.held,
                                     self.settings):
                _log.warning("AP is 0: %s.", sentence)


SAMPLES = 64      # images that are looked at


def diagnose(detector, dataset, settings):
    """Return sentences on why a detector may have an AP of 0.

    Args:
        detector: ``detection.Detector``.
        dataset: the data set it was judged on.
        settings: ``TrainConfig``.

    Returns:
        List of sentences, the likeliest cause first; never empty.
    """
    found = []
    samples = [dataset[k] for k in range(min(SAMPLES, len(dataset)))]
    objects = [box for sample in samples for box in sample.boxes]
    if not objects:
        return ["the images judged hold no object"]
    if len(dataset.classes) != detector.config.num_classes:
        found.append(f"the network has {detector.config.num_classes} classes,"
                     f" the data set {len(dataset.classes)}")
    overlaps = boxes.iou(np.array(objects),
                         anchor_maths.anchors_for(detector.config))
    best = overlaps.max(axis=1)
    missed = (best < settings.match_threshold).mean()
    if missed > 0.5:
        found.append(
            f"no anchor reaches {missed:.0%} of the objects at IoU "
            f"{settings.match_threshold:g} (their best IoU is "
            f"{np.median(best):.2f} in the middle): change the anchor sizes")
    found += _on_scores(detector, samples)
    return found or ["the boxes found do not overlap the objects by half: "
                     "train longer, or check that boxes are fractions of "
                     "the image"]


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
