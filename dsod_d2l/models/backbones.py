"""Backbones: from an image to the maps of a classifier."""

from functools import partial
from typing import Any

from mxnet import init
from mxnet.gluon import nn

from ..blocks import after_each, chained, convolution, halving_pool
from ..config import classifiers

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

    def add_stage(self, name: str, *layers: Any,
                  width: int | None = None) -> None:
        """Append a stage.

        Args:
            name: what it is, in words.
            layers: blocks, run in this order.
            width: channels of the map that it completes, if it does.
        """
        if width is not None:
            self.taps.append(len(self.stages))
            self.widths.append(width)
        self.stages.add(chained(*layers))
        self.names.append(name)

    def hybrid_forward(self, F: Any, x: Any) -> list:
        """Return the maps."""
        made = after_each(self.stages, x)
        return [made[tap] for tap in self.taps]

    def named_stages(self) -> list[tuple[str, Any]]:
        """See ``Network.named_stages``."""
        return list(zip(self.names, self.stages))


def conv_unit(in_channels: int, channels: int, kernel: int = 3,
              stride: int = 1, *, norm: bool = True,
              act: str | None = "relu", bias: bool = False, weight: Any = HE,
              **options: Any) -> nn.HybridSequential:
    """Return a convolution, batch normalisation and an activation.

    Args:
        in_channels, channels: widths before and after.
        norm, bias: whether there is a normalisation, and a bias.
        act: "relu", "relu6" or None.
        weight, options: see ``blocks.convolution``.

    Paper: of the initial numbers, He et al. (arXiv:1502.01852).
    """
    unit = nn.HybridSequential()
    unit.add(convolution(in_channels, channels, kernel, stride, bias, weight,
                         **options))
    if norm:
        unit.add(nn.BatchNorm(in_channels=channels, epsilon=1e-5))
    if act:
        unit.add(ReLU6() if act == "relu6" else nn.Activation(act))
    return unit


def depthwise_unit(channels: int, stride: int = 1,
                   act: str = "relu") -> nn.HybridSequential:
    """Return a 3 x 3 convolution of each channel on its own, as a unit.

    Paper: MobileNets, section 3.1 (arXiv:1704.04861).
    """
    return conv_unit(channels, channels, 3, stride, groups=channels, act=act)


class ReLU6(nn.HybridBlock):
    """Cut numbers to the range from 0 to 6.

    Paper: MobileNetV2, section 3.3 (arXiv:1801.04381).
    """

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the cut map."""
        return F.clip(x, 0, 6)


class VGG16(Backbone):
    """The maps conv4_3, conv5_3 if asked for, and fc7, each after its ReLU.

    Poolings round up, as in Caffe; only the third has an odd side to round
    at 300 pixels. A convolution keeps its bias beside a normalisation.

    Args:
        config: ``VGG16Config``.

    Returns (forward):
        List of (B, channels, rows, columns): at 1/8 of the image; at 1/16;
        and at 1/16, or 1/32 where pool5 halves.

    Paper: SSD, section 3 (arXiv:1512.02325); RefineDet, section 3.4
    (arXiv:1711.06897).
    """

    def __init__(self, config: classifiers.VGG16Config):
        super().__init__()
        unit = partial(conv_unit, norm=config.norm, bias=True)
        width, left = 3, [*config.widths]
        for k, depth in enumerate(config.depths, 1):
            layers = [halving_pool()] if k > 1 else []
            for channels in left[:depth]:
                layers.append(unit(width, channels))
                width = channels
            del left[:depth]
            is_map = k == 4 or (k == 5 and config.conv5)
            self.add_stage(f"VGG block {k}", *layers,
                           width=width if is_map else None)
        fc6, fc7 = left
        self.add_stage(
            "fc6 and fc7",
            nn.MaxPool2D(3, 1, 1) if config.pool5 == 1 else halving_pool(),
            unit(width, fc6, dilation=config.dilation), unit(fc6, fc7, 1),
            width=fc7)


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

    def __init__(self, in_channels: int, inner: tuple[int, int],
                 channels: int, stride: int, stride_at: str, project: bool):
        super().__init__()
        narrow, middle = inner
        early = stride if stride_at == "1x1" else 1
        self.body = chained(conv_unit(in_channels, narrow, 1, early),
                            conv_unit(narrow, middle, 3, stride // early),
                            conv_unit(middle, channels, 1, act=None))
        self.shortcut = (conv_unit(in_channels, channels, 1, stride, act=None)
                         if project else None)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
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

    def __init__(self, config: classifiers.ResNet50Config):
        super().__init__()
        inner, width = list(config.inner), config.stem
        self.add_stage("stem", conv_unit(3, width, 7, 2),
                       nn.MaxPool2D(3, 2, 1))
        for k, (depth, stride) in enumerate(zip(config.depths, STRIDES)):
            blocks, channels = [], config.outputs[k]
            for first in [True] + [False] * (depth - 1):
                blocks.append(Bottleneck(
                    width, inner.pop(0), channels, stride if first else 1,
                    config.stride_at, first))
                width = channels
            self.add_stage(f"residual stage {k + 1}", *blocks,
                           width=width if k == 1 else None)
        self.add_stage("average pool", nn.AvgPool2D(7, 1, 3), width=width)


class MobileNetV1(Backbone):
    """The maps behind the 6th and the last unit.

    Args:
        config: ``MobileNetV1Config``.

    Returns (forward):
        List of (B, channels, rows, columns) at 1/8 and 1/16 of the image.

    Paper: MobileNets, table 1 (arXiv:1704.04861), whose last but one unit
    halves once more.
    """

    def __init__(self, config: classifiers.MobileNetV1Config):
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

    def __init__(self, in_channels: int, channels: int,
                 expansion: int | None, stride: int):
        super().__init__()
        middle = in_channels * (expansion or 1)
        self.adds = stride == 1 and in_channels == channels
        widen = ([conv_unit(in_channels, middle, 1, act="relu6")]
                 if expansion else [])
        self.body = chained(*widen, depthwise_unit(middle, stride, "relu6"),
                            conv_unit(middle, channels, 1, act=None))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
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

    def __init__(self, config: classifiers.MobileNetV2Config):
        super().__init__()
        width = config.scaled(32)
        layers = [conv_unit(3, width, 3, 2, act="relu6")]
        for k, rows in enumerate(self.STAGES):
            stride = 2 if k else 1
            for expansion, channels, depth in rows:
                bare = expansion == 1 and not config.expand_first
                for _ in range(depth):
                    after = config.scaled(channels)
                    layers.append(Inverted(
                        width, after, None if bare else expansion, stride))
                    width, stride = after, 1
            if k == 3:
                layers.append(conv_unit(width, config.top, 1, act="relu6"))
                width = config.top
            self.add_stage(f"MobileNetV2 at 1/{2 ** (k + 1)}", *layers,
                           width=width if k > 1 else None)
            layers = []


BLOCKS = {"vgg16": VGG16, "resnet50": ResNet50, "mobilenet_v1": MobileNetV1,
          "mobilenet_v2": MobileNetV2}


def build_backbone(config: classifiers.BackboneConfig) -> Backbone:
    """Build a backbone; its parameters are not initialised yet.

    Args:
        config: a ``BackboneConfig`` whose name is a key of ``BLOCKS``.

    Returns:
        A block from images (B, 3, H, W) to the list of maps.
    """
    return BLOCKS[config.name](config)
