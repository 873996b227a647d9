"""The toy SSD: plain halving units, five maps, about a million parameters."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import DownSample
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
