"""DSOD and its presets (arXiv:1708.01241)."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import (DensePrediction, PooledReuse, Stem, Transition,
                      dense_block, halving_pool, is_aligned, join)
from .network import Network


class DSOD(Network):
    """DS/A-B-k-theta: a stem, dense blocks, and densely made maps.

    Args:
        config: ``DSODConfig``.

    Paper: DSOD, section 3 and table 1 (arXiv:1708.01241).
    """

    def __init__(self, config):
        super().__init__(config)
        self.stem = Stem(config.stem)
        width = 2 * config.stem
        self.to_first, first = self._blocks(width, config.layers[:2], [
            True, False])
        self.pool = halving_pool()
        later = config.layers[2:]
        self.to_second, _ = self._blocks(first, later, [False] * len(later),
                                         last=config.second)
        self.reuse = PooledReuse(first, config.second)
        self.aligned = is_aligned(config.second, config.second)
        self.predictions = nn.HybridSequential()
        widths = [first, 2 * config.second]
        for channels in config.predictions:
            self.predictions.add(DensePrediction(widths[-1], channels))
            widths.append(2 * channels)
        self.add_heads(widths, config.l2_scale, config.head_norm)

    def _blocks(self, width, layers, pools, last=None):
        """Return dense blocks with their transitions, and their width."""
        config, chain = self.config, nn.HybridSequential()
        for k, (count, pool) in enumerate(zip(layers, pools)):
            chain.add(dense_block(width, count, config.bottleneck,
                                  config.growth))
            width += count * config.growth
            kept = int(width * config.compression)
            if last and k == len(layers) - 1:
                kept = last
            chain.add(Transition(width, kept, pool))
            width = kept
        return chain, width

    def features(self, F, x):
        """Return the maps, First to Sixth in the paper's words."""
        first = self.to_first(self.stem(x))
        deep = self.to_second(self.pool(first))
        maps = [first, join(F, [deep, self.reuse(first)], self.aligned)]
        for prediction in self.predictions:
            maps.append(prediction(maps[-1]))
        return maps
