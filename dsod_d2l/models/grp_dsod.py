"""GRP-DSOD and its presets (arXiv:1712.00886)."""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import BODY_INIT, halving_pool, is_aligned, join
from ..pyramid import (FrozenUpSampling, Gate, UpSampling, dense_block,
                       dense_prediction, pooled_unit, stem_convolutions, unit)
from .network import Network, dense_stages


class GRPDSOD(Network):
    """DSOD with a reverse pyramid, and a gate before each prediction.

    Each map but the last is joined with the next coarser one, doubled.
    Called recurrent by its authors, though nothing recurs: what is doubled
    is the map as the backbone made it.

    Args:
        config: ``GRPConfig``.

    Paper: GRP-DSOD, section 3 (arXiv:1712.00886).
    """

    def __init__(self, config):
        super().__init__(config)
        widths = self._backbone()
        self.starts = [is_aligned(up, own) for up, own
                       in zip(config.pyramid, widths)]
        self.doubling = nn.HybridSequential()
        self.gates = nn.HybridSequential()
        for k, up in enumerate(config.pyramid):
            self.doubling.add(self._up_sampling(k, widths[k + 1], up))
            widths[k] += up
        gate = BODY_INIT if config.gate_init == "xavier" else "zeros"
        for width in widths:
            self.gates.add(Gate(width, config.gate_ratio, gate))
        self.add_heads(widths, config.l2_scale, config.head_norm)

    def _backbone(self):
        """Create all up to the maps; return the width of each map."""
        config, stem = self.config, self.config.stem_width
        one, two, *later = config.layers
        self.stem = stem_convolutions(config.stem)
        self.pools = nn.HybridSequential()
        self.pools.add(*[halving_pool() for _ in range(3)])
        self.to_one, kept = self._blocks(stem, [one])
        self.to_first, first = self._blocks(kept, [two])
        reuse = config.first_reuse
        self.reuse_stem = pooled_unit(stem, reuse, size=4)
        self.reuse_one = pooled_unit(kept, reuse)
        self.to_second, _ = self._blocks(first, later, config.second)
        widths = [first + 2 * reuse, 2 * config.second]
        self.reuse_first = pooled_unit(widths[0], config.second)
        self.aligned = (is_aligned(first, reuse, reuse),
                        is_aligned(config.second, config.second))
        self.predictions = nn.HybridSequential()
        for channels in config.predictions:
            self.predictions.add(dense_prediction(widths[-1], channels))
            widths.append(2 * channels)
        return widths

    def _blocks(self, width, layers, last=None):
        """Return dense blocks, each with a 1 x 1 unit, and their width."""
        config, chain = self.config, nn.HybridSequential()
        for k, count in enumerate(layers):
            chain.add(dense_block(width, count, config.bottleneck,
                                  config.growth))
            width += count * config.growth
            ends = last and k == len(layers) - 1
            kept = last if ends else config.kept(width)
            chain.add(unit(width, kept))
            width = kept
        return chain, width

    def _up_sampling(self, k, in_channels, channels):
        """Return what doubles map k + 1 to the size of map k."""
        if self.config.up == "nearest":
            return UpSampling(in_channels, channels)
        fine, coarse = self.config.map_shapes()[k:k + 2]
        kernel = tuple(2 if f == 2 * c else 1 for f, c in zip(fine, coarse))
        return FrozenUpSampling(in_channels, channels, kernel)

    def _plain_maps(self, F, x):
        """Return the maps as the backbone makes them."""
        stem = self.stem(x)
        one = self.to_one(self.pools[0](stem))
        deep = self.to_first(self.pools[1](one))
        reused = [self.reuse_stem(stem), self.reuse_one(one)]
        first = join(F, [deep, *reused], self.aligned[0])
        second = self.to_second(self.pools[2](deep))  # of deep, not of first
        maps = [first, join(F, [second, self.reuse_first(first)],
                            self.aligned[1])]
        for prediction in self.predictions:
            maps.append(prediction(maps[-1]))
        return maps

    def features(self, F, x):
        """Return the gated maps, Recurrent1 to 6 in the authors' words."""
        plain = self._plain_maps(F, x)
        maps = [join(F, [up(coarse, fine), fine], aligned)
                for up, fine, coarse, aligned
                in zip(self.doubling, plain, plain[1:], self.starts)]
        return [gate(one) for gate, one in zip(self.gates, [*maps,
                                                            plain[-1]])]

    def named_stages(self):
        """See ``Network.named_stages``."""
        chain = [*self.to_one, *self.to_first, *self.to_second]
        named = [("stem", self.stem), *[("pool", one) for one in self.pools],
                 *dense_stages(chain), ("reuse of the stem", self.reuse_stem),
                 ("reuse of block 1", self.reuse_one),
                 ("reuse of map 1", self.reuse_first)]
        named += [("dense prediction", block) for block in self.predictions]
        named += [(f"map {k} doubled", block)
                  for k, block in enumerate(self.doubling, 2)]
        return named + [(f"gate {k}", block)
                        for k, block in enumerate(self.gates, 1)]
