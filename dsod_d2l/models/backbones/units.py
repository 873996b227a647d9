"""What backbones are made of: convolutions, and stages one after the other."""

from __future__ import annotations

from mxnet import init
from mxnet.gluon import nn

HE = init.Xavier("gaussian", "in", 2)     # keeps the size of what ReLU halves


class Backbone(nn.HybridBlock):
    """Stages one after the other; the maps are what some of them make.

    A subclass calls ``add_stage`` in ``__init__``.

    Returns (forward):
        List of (B, channels, rows, columns), finest first; the channels are
        kept as ``widths``.
    """

    def __init__(self):
        super().__init__()
        self.stages = nn.HybridSequential()
        self.names, self.taps, self.widths = [], [], []

    def add_stage(self, name, *layers, width=None):
        """Append a stage.

        Args:
            name: what it is, in words.
            layers: blocks, run in this order.
            width: channels of the map that it completes, if it does.
        """
        stage = nn.HybridSequential()
        stage.add(*layers)
        if width is not None:
            self.taps.append(len(self.stages))
            self.widths.append(width)
        self.stages.add(stage)
        self.names.append(name)

    def hybrid_forward(self, F, x):
        """Return the maps."""
        made = []
        for stage in self.stages:
            x = stage(x)
            made.append(x)
        return [made[tap] for tap in self.taps]

    def named_stages(self):
        """See ``Network.named_stages``."""
        return list(zip(self.names, self.stages))


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


def depthwise_unit(channels, stride=1, act="relu"):
    """Return a 3 x 3 convolution of each channel on its own, as a unit.

    Paper: MobileNets, section 3.1 (arXiv:1704.04861).
    """
    return conv_unit(channels, channels, 3, stride, groups=channels, act=act)


class ReLU6(nn.HybridBlock):
    """Cut numbers to the range from 0 to 6.

    Paper: MobileNetV2, section 3.3 (arXiv:1801.04381).
    """

    def hybrid_forward(self, F, x):
        """Return the cut map."""
        return F.clip(x, 0, 6)
