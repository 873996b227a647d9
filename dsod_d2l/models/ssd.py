"""SSD on any backbone (arXiv:1512.02325), and the toy SSD of chapter 3."""

from collections.abc import Sequence
from typing import Any

from mxnet.gluon import nn

from ..blocks import (HEAD_INIT, ChannelNorm, DownSample, Predictor,
                      after_each, chained, convolution)
from ..config.base import one_of
from ..config.families import EXTRA_FORMS, SSDConfig, ToySSDConfig
from ..targets import codec_for
from .backbones import build_backbone, conv_unit, depthwise_unit
from .network import Network


def halving_chain(in_channels: int,
                  widths: Sequence[int]) -> nn.HybridSequential:
    """Return one halving unit after the other, with these widths."""
    return chained(*map(DownSample, [in_channels, *widths], widths))


class ToySSD(Network):
    """A small SSD for one look at the whole: body, maps, heads.

    Args:
        config: ``ToySSDConfig``.
    """

    def __init__(self, config: ToySSDConfig):
        super().__init__(config)
        width, extra = config.body[-1], config.extra
        further = len(config.anchors) - 2
        self.stages = chained(halving_chain(3, config.body),
                              *halving_chain(width, [extra] * further),
                              nn.GlobalMaxPool2D())
        self.add_heads([width] + [extra] * (further + 1))

    def features(self, F: Any, x: Any) -> list:
        """Return the five maps."""
        return after_each(self.stages, x)

    def named_stages(self) -> list[tuple[str, Any]]:
        """See ``Network.named_stages``."""
        body, *further, last = self.stages
        return [*[("halving", unit) for unit in [*body, *further]],
                ("global pool", last)]


class SeparablePredictor(nn.HybridBlock):
    """A ``Predictor`` that filters each channel, then mixes the channels.

    Args:
        in_channels, anchors, values: as of ``Predictor``.
        norm: not used: between the two convolutions there is always one.

    Returns (forward):
        (B, rows * columns * A, values), in the order of the anchors.

    Paper: SSDLite, in MobileNetV2, section 6.2 (arXiv:1801.04381).
    """

    def __init__(self, in_channels: int, anchors: int, values: int,
                 norm: bool = False):
        super().__init__()
        self.values = values
        self.scores = chained(depthwise_unit(in_channels, act="relu6"),
                              convolution(in_channels, anchors * values,
                                          bias=True, weight=HEAD_INIT))

    hybrid_forward = Predictor.hybrid_forward


PREDICTORS = {"plain": Predictor, "separable": SeparablePredictor}


def extra_layers(in_channels: int, middle: int, channels: int, form: str,
                 norm: bool, norm_last: bool) -> nn.HybridSequential:
    """Return the two convolutions that make the next, coarser map.

    Args:
        in_channels: width of the map before.
        middle, channels, form: a row of ``SSDConfig.extras``.
        norm, norm_last: whether the first and the second one is normalised.
    """
    kernel, stride, padding = EXTRA_FORMS[form][0]
    return chained(conv_unit(in_channels, middle, 1, norm=norm, bias=True),
                   conv_unit(middle, channels, kernel, stride, norm=norm_last,
                             bias=True, padding=padding))


class SSD(Network):
    """The maps of a backbone, the first one normalised, and extra ones.

    Args:
        config: ``SSDConfig``.

    Raises:
        ValueError: there is no such kind of predictors, or no such codec.

    Paper: SSD, section 2.1 (arXiv:1512.02325).
    """

    def __init__(self, config: SSDConfig):
        super().__init__(config)
        one_of("head", config.head, PREDICTORS)
        codec_for(config)
        self.backbone = build_backbone(config.backbone)
        widths = list(self.backbone.widths)
        self.norm = (ChannelNorm(widths[0], config.l2_scale)
                     if config.l2_scale else None)
        self.extras = nn.HybridSequential()
        last = len(config.extras) - 1
        for k, (middle, channels, form) in enumerate(config.extras):
            self.extras.add(extra_layers(
                widths[-1], middle, channels, form, config.extra_norm,
                config.extra_norm and k < last))
            widths.append(channels)
        self.add_heads(widths, predictor=PREDICTORS[config.head])

    def features(self, F: Any, x: Any) -> list:
        """Return the maps of the backbone, and those made from its last."""
        maps = list(self.backbone(x))
        maps += after_each(self.extras, maps[-1])
        if self.norm:
            maps[0] = self.norm(maps[0])
        return maps

    def named_stages(self) -> list[tuple[str, Any]]:
        """See ``Network.named_stages``."""
        named = self.backbone.named_stages()
        named += [("extra layers", block) for block in self.extras]
        return named + [("L2 norm of map 1", self.norm)] * bool(self.norm)
