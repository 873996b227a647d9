"""The Gluon reproduction of DSOD, in the shape it was published in."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import (DensePrediction, PooledReuse, Transition,
                      conv_norm_relu, convolution, dense_block, halving_pool,
                      is_aligned, join)
from .network import Network, dense_stages


class GluonDSOD(Network):
    """DSOD(32, 6, 48, 1, 1): biases everywhere, a stem of 1 x 1 convolutions.

    Args:
        config: ``GluonDSODConfig``.
    """

    def __init__(self, config):
        super().__init__(config)
        stem = config.stem
        self.stem = nn.HybridSequential()
        self.stem.add(conv_norm_relu(3, stem, 3, 2, bias=True),
                      conv_norm_relu(stem, stem, 1, bias=True),
                      convolution(stem, 2 * stem, 1, bias=True),
                      halving_pool())
        one, two, *later = config.layers
        width = config.stem_width
        self.to_first = nn.HybridSequential()
        self.to_first.add(self._block(width, one))
        width, kept = self._grown(width, one)
        self.to_first.add(Transition(width, kept, bias=True),
                          self._block(kept, two))
        first, kept = self._grown(kept, two)
        self.to_second = nn.HybridSequential()
        self.to_second.add(Transition(first, kept, bias=True))
        for k, count in enumerate(later):
            self.to_second.add(self._block(kept, count))
            width, kept = self._grown(kept, count)
            if k == len(later) - 1:
                kept = config.second
            self.to_second.add(Transition(width, kept, pool=False, bias=True))
        self.reuse = PooledReuse(first, config.second, bias=True)
        self.aligned = is_aligned(config.second, config.second)
        self.predictions = nn.HybridSequential()
        widths = [first, 2 * config.second]
        for channels in config.predictions:
            self.predictions.add(
                DensePrediction(widths[-1], channels, bias=True))
            widths.append(2 * channels)
        self.add_heads(widths, config.l2_scale, config.head_norm)

    def _block(self, width, layers):
        return dense_block(width, layers, self.config.bottleneck,
                           self.config.growth, bias=True)

    def _grown(self, width, layers):
        """Return a block's width, and what a transition keeps of it."""
        width += layers * self.config.growth
        return width, self.config.kept(width)

    def features(self, F, x):
        """Return the six maps; the first one before its transition."""
        first = self.to_first(self.stem(x))
        maps = [first, join(F, [self.to_second(first), self.reuse(first)],
                            self.aligned)]
        for prediction in self.predictions:
            maps.append(prediction(maps[-1]))
        return maps

    def named_stages(self):
        """See ``Network.named_stages``."""
        return [("stem", self.stem), ("reuse of map 1", self.reuse),
                *dense_stages([*self.to_first, *self.to_second]),
                *[("dense prediction", block) for block in self.predictions]]
