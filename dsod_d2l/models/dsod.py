"""DSOD and its presets (arXiv:1708.01241)."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import (DensePrediction, PooledReuse, Stem, Transition,
                      dense_block, halving_pool, is_aligned, join)
from ..plain import plain_prediction, plain_stem
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
