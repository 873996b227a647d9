"""MobileNet (arXiv:1704.04861) and MobileNetV2 (arXiv:1801.04381)."""

from __future__ import annotations

from mxnet.gluon import nn

from .units import Backbone, conv_unit, depthwise_unit


class MobileNetV1(Backbone):
    """The maps behind the 6th and the last unit.

    Args:
        config: ``MobileNetV1Config``.

    Returns (forward):
        List of (B, channels, rows, columns) at 1/8 and 1/16 of the image.

    Paper: MobileNets, table 1 (arXiv:1704.04861), whose last but one unit
    halves once more.
    """

    def __init__(self, config):
        super().__init__()
        stem, *widths = config.widths
        layers, width = [conv_unit(3, stem, 3, 2)], stem
        # (units, whether what they make is a map) at 1/2, 1/4, 1/8, 1/16
        for k, (depth, is_map) in enumerate(
                [(1, False), (2, False), (2, True), (len(widths) - 5, True)]):
            for place in range(depth):
                stride = 2 if k and place == 0 else 1
                channels = widths.pop(0)
                layers += [depthwise_unit(width, stride),
                           conv_unit(width, channels, 1)]
                width = channels
            self.add_stage(f"MobileNet at 1/{2 ** (k + 1)}", *layers,
                           width=width if is_map else None)
            layers = []


class Inverted(nn.HybridBlock):
    """Widen a map, filter each channel on its own, and narrow it again.

    The input is added where it has the shape of the output. The last
    convolution has no activation.

    Args:
        in_channels, channels: widths before and after.
        expansion: how many times wider it is in between; None: there is
            no convolution that widens it.
        stride: 2 to halve the map.

    Paper: MobileNetV2, figure 3 b and table 1 (arXiv:1801.04381).
    """

    def __init__(self, in_channels, channels, expansion, stride):
        super().__init__()
        middle = in_channels * (expansion or 1)
        self.adds = stride == 1 and in_channels == channels
        self.body = nn.HybridSequential()
        if expansion:
            self.body.add(conv_unit(in_channels, middle, 1, act="relu6"))
        self.body.add(depthwise_unit(middle, stride, act="relu6"),
                      conv_unit(middle, channels, 1, act=None))

    def hybrid_forward(self, F, x):
        """Return the narrow map."""
        return self.body(x) + x if self.adds else self.body(x)


class MobileNetV2(Backbone):
    """The maps behind the last block of 32 channels and the last layer.

    The first block widens its input by 1; ``expand_first`` says whether it
    has a convolution for it.

    Args:
        config: ``MobileNetV2Config``.

    Returns (forward):
        List of (B, channels, rows, columns) at 1/8 and 1/16 of the image.

    Paper: MobileNetV2, table 2 (arXiv:1801.04381), where the stage of 160
    channels halves once more.
    """

    # expansion, channels, blocks of each stage, at 1/2, 1/4, 1/8 and 1/16
    STAGES = ([(1, 16, 1)], [(6, 24, 2)], [(6, 32, 3)],
              [(6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)])

    def __init__(self, config):
        super().__init__()
        width = config.scaled(32)
        layers = [conv_unit(3, width, 3, 2, act="relu6")]
        for k, rows in enumerate(self.STAGES):
            halve = k > 0
            for expansion, channels, depth in rows:
                if expansion == 1 and not config.expand_first:
                    expansion = None
                for _ in range(depth):
                    after = config.scaled(channels)
                    layers.append(Inverted(width, after, expansion,
                                           2 if halve else 1))
                    width, halve = after, False
            if k == 3:
                layers.append(conv_unit(width, config.top, 1, act="relu6"))
                width = config.top
            self.add_stage(f"MobileNetV2 at 1/{2 ** (k + 1)}", *layers,
                           width=width if k > 1 else None)
            layers = []
