"""Pixels, network and loss as one hybridized graph."""

from __future__ import annotations

from mxnet.gluon import HybridBlock

from ..losses import DetectionLoss


class TrainingGraph(HybridBlock):
    """From a batch of pixels and targets to the two losses.

    Bytes become normalised numbers inside the graph, so a batch travels as
    a quarter of its size and is spread over all cores.

    Args:
        net: a ``models.Network``.
        settings: ``TrainConfig``.

    Returns (forward of images uint8 (B, H, W, 3), classes (B, N) and
    offsets (B, N, 4)):
        classification and localisation loss, each (1,).
    """

    def __init__(self, net, settings):
        super().__init__()
        self.net = net
        self.loss = DetectionLoss(settings.classification,
                                  settings.negative_ratio)
        self.mean, self.std = net.config.mean, net.config.std

    def hybrid_forward(self, F, images, classes, offsets):
        """Return classification and localisation loss."""
        pixels = F.image.to_tensor(images) * 255
        pixels = F.image.normalize(pixels, self.mean, self.std)
        scores, moves = self.net(pixels)
        return self.loss(scores, moves, F.cast(classes, "float32"), offsets)
