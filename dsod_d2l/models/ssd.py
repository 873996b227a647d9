"""SSD on any backbone (arXiv:1512.02325), and the toy SSD of chapter 3."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import HEAD_INIT, ChannelNorm, DownSample, Predictor, convolution
from ..config.families import EXTRA_FORMS
from ..targets import codec_for
from .backbones import build_backbone, conv_unit, depthwise_unit
from .network import Network


def halving_chain(in_channels, widths):
    """Return one halving unit after the other, with these widths."""
    chain = nn.HybridSequential()
    for before, after in zip([in_channels, *widths], widths):
        chain.add(DownSample(before, after))
    return chain


class ToySSD(Network):
    """A small SSD for one look at the whole: body, maps, heads.

    Args:
        config: ``ToySSDConfig``.
    """

    def __init__(self, config):
        super().__init__(config)
        width, extra = config.body[-1], config.extra
        further = len(config.anchors) - 2
        self.stages = nn.HybridSequential()
        self.stages.add(halving_chain(3, config.body),
                        *halving_chain(width, [extra] * further),
                        nn.GlobalMaxPool2D())
        self.add_heads([width] + [extra] * (further + 1))

    def features(self, F, x):
        """Return the five maps."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def named_stages(self):
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


PREDICTORS = {"plain": Predictor, "separable": SeparablePredictor}


def extra_layers(in_channels, middle, channels, form, norm, norm_last):
    """Return the two convolutions that make the next, coarser map.

    Args:
        in_channels: width of the map before.
        middle, channels, form: a row of ``SSDConfig.extras``.
        norm, norm_last: whether the first and the second one is normalised.
    """
    kernel, stride, padding = EXTRA_FORMS[form][0]
    layers = nn.HybridSequential()
    layers.add(conv_unit(in_channels, middle, 1, norm=norm, bias=True),
               conv_unit(middle, channels, kernel, stride, norm=norm_last,
                         bias=True, padding=padding))
    return layers


class SSD(Network):
    """The maps of a backbone, the first one normalised, and extra ones.

    Args:
        config: ``SSDConfig``.

    Raises:
        ValueError: there is no such kind of predictors, or no such codec.

    Paper: SSD, section 2.1 (arXiv:1512.02325).
    """

    def __init__(self, config):
        super().__init__(config)
        if config.head not in PREDICTORS:
            raise ValueError(f"head must be one of {', '.join(PREDICTORS)}, "
                             f"found {config.head!r}")
        codec_for(config)
        self.backbone = build_backbone(config.backbone)
        widths = list(self.backbone.widths)
        self.norm = (ChannelNorm(widths[0], config.l2_scale)
                     if config.l2_scale else None)
        self.extras = nn.HybridSequential()
        last = len(config.extras) - 1
        for k, row in enumerate(config.extras):
            self.extras.add(extra_layers(
                widths[-1], *row, config.extra_norm,
                config.extra_norm and k < last))
            widths.append(row[1])
        self.add_heads(widths, predictor=PREDICTORS[config.head])

    def features(self, F, x):
        """Return the maps of the backbone, and those made from its last."""
        maps = list(self.backbone(x))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        if self.norm:
            maps[0] = self.norm(maps[0])
        return maps

    def named_stages(self):
        """See ``Network.named_stages``."""
        named = [*self.backbone.named_stages(),
                 *[("extra layers", block) for block in self.extras]]
        return named + ([("L2 norm of map 1", self.norm)] if self.norm
                        else [])
