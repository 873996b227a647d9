"""Training in several steps: the targets of one depend on the one before."""

from __future__ import annotations

import mxnet as mx
from mxnet import gluon
from mxnet.gluon import HybridBlock

from ..losses import DetectionLoss
from .graph import TrainingGraph
from .precision import lowered


def training_graph(net, settings):
    """Return what turns a batch into its two losses, hybridized.

    Args:
        net: a ``models.Network``.
        settings: ``TrainConfig``.

    Returns:
        ``TrainingGraph``, or ``StepGraph`` for a network in several steps.
    """
    net = lowered(net, settings.precision)
    graph = (TrainingGraph if net.steps == 1 else StepGraph)(net, settings)
    graph.hybridize(static_alloc=True, static_shape=True)
    return graph


class PixelGraph(HybridBlock):
    """From bytes (B, H, W, 3) to the outputs of a network."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def hybrid_forward(self, F, images):
        """Return what the network returns."""
        mean, std = self.net.config.mean, self.net.config.std
        pixels = F.image.to_tensor(images) * 255
        return self.net(F.image.normalize(pixels, mean, std))


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
