"""SSD on any backbone (arXiv:1512.02325)."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import ChannelNorm
from ..codec import codec_for
from ..config.ssd import EXTRA_FORMS
from .backbones import build_backbone
from .backbones.units import conv_unit
from .heads import HEADS
from .network import Network


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
        if config.head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, found "
                             f"{config.head!r}")
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
        self.add_heads(widths, predictor=HEADS[config.head])

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
