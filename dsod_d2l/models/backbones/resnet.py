"""ResNet-50 (arXiv:1512.03385), with a last stage as fine as the third."""

from __future__ import annotations

from mxnet.gluon import nn

from .units import Backbone, conv_unit

DEPTHS = (3, 4, 6, 3)         # blocks of each stage
STRIDES = (1, 2, 2, 1)        # a classifier's last stage halves, too


class Bottleneck(nn.HybridBlock):
    """Add to a map what three convolutions make of it.

    Args:
        in_channels: width of the input.
        inner: widths of the 1 x 1 and of the 3 x 3 convolution.
        channels: width of the output.
        stride: 2 to halve the map.
        stride_at: "3x3" or "1x1", the convolution that halves.
        project: whether the input goes through a 1 x 1 convolution.

    Paper: ResNet, figure 5 (arXiv:1512.03385).
    """

    def __init__(self, in_channels, inner, channels, stride, stride_at,
                 project):
        super().__init__()
        narrow, middle = inner
        early = stride if stride_at == "1x1" else 1
        self.body = nn.HybridSequential()
        self.body.add(conv_unit(in_channels, narrow, 1, early),
                      conv_unit(narrow, middle, 3, stride // early),
                      conv_unit(middle, channels, 1, act=None))
        self.shortcut = (conv_unit(in_channels, channels, 1, stride, act=None)
                         if project else None)

    def hybrid_forward(self, F, x):
        """Return the sum, after its ReLU."""
        kept = self.shortcut(x) if self.shortcut else x
        return F.relu(self.body(x) + kept)


class ResNet50(Backbone):
    """The maps conv3_4, and the average of conv5_3 over 7 x 7 cells.

    Args:
        config: ``ResNet50Config``.

    Returns (forward):
        List of (B, channels, rows, columns) at 1/8 and 1/16 of the image.

    Paper: ResNet, table 1 (arXiv:1512.03385).
    """

    def __init__(self, config):
        super().__init__()
        inner, width = list(config.inner), config.stem
        self.add_stage("stem", conv_unit(3, width, 7, 2),
                       nn.MaxPool2D(3, 2, 1))
        for k, (depth, stride) in enumerate(zip(DEPTHS, STRIDES)):
            blocks, channels = [], config.outputs[k]
            for first in [True] + [False] * (depth - 1):
                blocks.append(Bottleneck(
                    width, inner.pop(0), channels, stride if first else 1,
                    config.stride_at, first))
                width = channels
            self.add_stage(f"residual stage {k + 1}", *blocks,
                           width=width if k == 1 else None)
        self.add_stage("average pool", nn.AvgPool2D(7, 1, 3), width=width)
