"""DSOD (arXiv:1708.01241), and its Gluon reproduction."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import (DensePrediction, PooledReuse, Stem, Transition,
                      conv_norm_relu, convolution, dense_block, halving_pool,
                      is_aligned, join, plain_prediction, plain_stem)
from .network import Network, dense_stages


class DSOD(Network):
    """DS/A-B-k-theta: a stem, dense blocks, and densely made maps.

    With a plain stem or plain prediction it is a row of the paper's
    ablation; a plain second map has no reuse, and is as wide.

    Args:
        config: ``DSODConfig``.

    Paper: DSOD, section 3 and table 1 (arXiv:1708.01241).
    """

    def __init__(self, config):
        super().__init__(config)
        self.plain = config.prediction == "plain"
        self.stem = (Stem if config.stem_style == "block"
                     else plain_stem)(config.stem)
        self.to_first, first = self._blocks(
            config.stem_width, config.layers[:2], [True, False])
        self.pool = halving_pool()
        later, second = config.layers[2:], 2 * config.second
        self.to_second, _ = self._blocks(
            first, later, [False] * len(later),
            last=second if self.plain else config.second)
        if not self.plain:
            self.reuse = PooledReuse(first, config.second)
        self.aligned = is_aligned(config.second, config.second)
        self.predictions = nn.HybridSequential()
        make = plain_prediction if self.plain else DensePrediction
        widths = [first, second]
        for channels in config.predictions:
            self.predictions.add(make(widths[-1], channels))
            widths.append(2 * channels)
        self.add_heads(widths, config.l2_scale, config.head_norm)

    def _blocks(self, width, layers, pools, last=None):
        """Return dense blocks with their transitions, and their width."""
        config, chain = self.config, nn.HybridSequential()
        for k, (count, pool) in enumerate(zip(layers, pools)):
            chain.add(dense_block(width, count, config.bottleneck,
                                  config.growth))
            width += count * config.growth
            kept = config.kept(width)
            if last and k == len(layers) - 1:
                kept = last
            chain.add(Transition(width, kept, pool))
            width = kept
        return chain, width

    def features(self, F, x):
        """Return the maps, First to Sixth in the paper's words."""
        first = self.to_first(self.stem(x))
        deep = self.to_second(self.pool(first))
        second = deep if self.plain else join(
            F, [deep, self.reuse(first)], self.aligned)
        maps = [first, second]
        for prediction in self.predictions:
            maps.append(prediction(maps[-1]))
        return maps

    def named_stages(self):
        """See ``Network.named_stages``."""
        named = [("stem", self.stem), ("pool", self.pool),
                 *dense_stages([*self.to_first, *self.to_second])]
        if not self.plain:
            named.append(("reuse of map 1", self.reuse))
        return named + [(f"{self.config.prediction} prediction", block)
                        for block in self.predictions]


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
