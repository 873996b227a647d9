"""The kinds of predictors that SSD may have."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import HEAD_INIT, Predictor, convolution
from .backbones.units import depthwise_unit


class SeparablePredictor(nn.HybridBlock):
    """A ``Predictor`` that filters each channel, then mixes the channels.

    Args:
        in_channels, anchors, values: as of ``Predictor``.
        norm: not used: between the two convolutions there is always one.

    Returns (forward):
        (B, rows * columns * A, values), in the order of the anchors.

    Paper: SSDLite, in MobileNetV2, section 6.2 (arXiv:1801.04381).
    """

    def __init__(self, in_channels, anchors, values, norm=False):
        super().__init__()
        self.values = values
        self.scores = nn.HybridSequential()
        self.scores.add(depthwise_unit(in_channels, act="relu6"),
                        convolution(in_channels, anchors * values, bias=True,
                                    weight=HEAD_INIT))

    def hybrid_forward(self, F, x):
        """Return the values, cell by cell and anchor by anchor."""
        x = F.transpose(self.scores(x), axes=(0, 2, 3, 1))
        return F.reshape(x, shape=(0, -1, self.values))


HEADS = {"plain": Predictor, "separable": SeparablePredictor}
