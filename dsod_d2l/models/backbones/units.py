"""The convolutions that classifiers are made of."""

from __future__ import annotations

from mxnet import init
from mxnet.gluon import nn

HE = init.Xavier("gaussian", "in", 2)     # keeps the size of what ReLU halves


def conv_unit(in_channels, channels, kernel=3, stride=1, *, norm=True,
              bias=False, dilation=1, groups=1, padding=None, act="relu"):
    """Return a convolution, batch normalisation and an activation.

    Args:
        in_channels, channels: widths before and after.
        norm, bias: whether there is a normalisation, and a bias.
        padding: default what keeps the map's size at stride 1.
        act: "relu", "relu6" or None.

    Paper: of the initial numbers, He et al. (arXiv:1502.01852).
    """
    if padding is None:
        padding = dilation * (kernel // 2)
    unit = nn.HybridSequential()
    unit.add(nn.Conv2D(channels, kernel, stride, padding, dilation, groups,
                       use_bias=bias, in_channels=in_channels,
                       weight_initializer=HE))
    if norm:
        unit.add(nn.BatchNorm(in_channels=channels, epsilon=1e-5))
    if act:
        unit.add(ReLU6() if act == "relu6" else nn.Activation(act))
    return unit


class ReLU6(nn.HybridBlock):
    """Cut numbers to the range from 0 to 6.

    Paper: MobileNetV2, section 3.3 (arXiv:1801.04381).
    """

    def hybrid_forward(self, F, x):
        """Return the cut map."""
        return F.clip(x, 0, 6)
