"""The toy SSD: plain halving units, five maps, about a million parameters."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import DownSample
from .detector import Detector


class ToySSD(Detector):
    """A small SSD for one look at the whole: body, maps, heads.

    Args:
        config: ``ToySSDConfig``.
    """

    def __init__(self, config):
        super().__init__(config)
        self.stages = nn.HybridSequential()
        body, width = nn.HybridSequential(), 3
        for channels in config.body:
            body.add(DownSample(width, channels))
            width = channels
        self.stages.add(body)
        widths = [width]
        for _ in range(len(config.anchors) - 2):
            self.stages.add(DownSample(widths[-1], config.extra))
            widths.append(config.extra)
        self.stages.add(nn.GlobalMaxPool2D())
        self.add_heads([*widths, widths[-1]])

    def features(self, F, x):
        """Return the five maps."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
