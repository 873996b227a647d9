"""Training: the rate, the graph of network and loss, the history."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import mxnet as mx
from mxnet import gluon
from mxnet.gluon import HybridBlock

from .files import write_atomically
from .losses import DetectionLoss


def learning_rate(step, settings):
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

    def __init__(self, net):
        super().__init__()
        self.net = net
        # to_tensor gives 0 to 1, where the configuration counts to 255.
        self.mean = [mean / 255 for mean in net.config.mean]
        self.std = [std / 255 for std in net.config.std]

    def hybrid_forward(self, F, images):
        """Return what the network returns."""
        pixels = F.image.to_tensor(images)
        return self.net(F.image.normalize(pixels, self.mean, self.std))


class TrainingGraph(HybridBlock):
    """From a batch of pixels and targets to the two losses.

    Args:
        net: a ``models.Network``.
        settings: ``TrainConfig``.

    Returns (forward of images uint8 (B, H, W, 3), classes (B, N) and
    offsets (B, N, 4)):
        classification and localisation loss, each (1,).
    """

    def __init__(self, net, settings):
        super().__init__()
        self.outputs = PixelGraph(net)
        self.loss = DetectionLoss(settings.classification,
                                  settings.negative_ratio)

    def hybrid_forward(self, F, images, classes, offsets):
        """Return classification and localisation loss."""
        scores, moves = self.outputs(images)
        return self.loss(scores, moves, F.cast(classes, "float32"), offsets)


class StepLosses(HybridBlock):
    """The losses of all steps; each has its own positives."""

    def __init__(self, settings):
        super().__init__()
        self.loss = DetectionLoss(settings.classification,
                                  settings.negative_ratio)

    def hybrid_forward(self, F, first, *rest):
        """Return both losses of each step, of its outputs and its targets.

        All outputs come first, then all targets: a pair for each step.
        """
        arrays = [first, *rest]
        half = len(arrays) // 2
        return tuple(loss for k in range(0, half, 2) for loss in self.loss(
            *arrays[k:k + 2], *arrays[half + k:half + k + 2]))


class StepGraph(gluon.Block):
    """From a batch to the two losses, with a look at the outputs between.

    The network and the losses are a graph each. Between them the network
    says, in NumPy and without a gradient, what its steps should have found.
    ``positives`` is how many anchors that were, for each step of the last
    batch.

    Args:
        net: a ``models.Network`` of several steps.
        settings: ``TrainConfig``.

    Returns (forward of images uint8 (B, H, W, 3), classes (B, N), offsets
    (B, N, 4) and truths, see ``datasets.loader.Batch``):
        classification and localisation loss of each step, each (1,).
    """

    positives = ()

    def __init__(self, net, settings):
        super().__init__()
        self.outputs = PixelGraph(net)
        self.losses = StepLosses(settings)
        self.threshold = settings.match_threshold

    def forward(self, images, classes, offsets, truths):
        """Return classification and localisation loss of each step."""
        outputs = self.outputs(images)
        wanted = self.outputs.net.step_targets(
            outputs, (classes, offsets), truths, self.threshold)
        self.positives = [int((one > 0).sum()) for one in wanted[::2]]
        return self.losses(*outputs, *(
            mx.nd.array(one, ctx=images.context) for one in wanted))


class History(list):
    """Rows of one run: dictionaries with "step", losses, rate and times."""

    def column(self, name):
        """Return (steps, values) of the rows that have that value."""
        rows = [row for row in self if row.get(name) is not None]
        return [row["step"] for row in rows], [row[name] for row in rows]

    def write(self, folder):
        """Write history.csv, history.json and history.png."""
        folder = Path(folder)
        names = list(dict.fromkeys(name for row in self for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(self)
        write_atomically(folder / "history.csv", text.getvalue().encode())
        write_atomically(folder / "history.json",
                         (json.dumps(list(self)) + "\n").encode())
        write_atomically(folder / "history.png", self.picture())

    def picture(self):
        """Return the learning curve as the bytes of a PNG."""
        from matplotlib.figure import Figure

        from .visualisation import plot_history
        figure = Figure(figsize=(6, 4), layout="constrained")
        plot_history(figure.subplots(), self)
        image = io.BytesIO()
        figure.savefig(image, format="png")
        return image.getvalue()
