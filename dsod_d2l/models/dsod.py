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

    bias = False            # of convolutions

    def __init__(self, config):
        super().__init__(config)
        self.plain = config.prediction == "plain"
        first, second = self._add_body(), 2 * config.second
        if not self.plain:
            self.reuse = PooledReuse(first, config.second, self.bias)
        self.aligned = is_aligned(config.second, config.second)
        self.predictions = nn.HybridSequential()
        widths = [first, second]
        for channels in config.predictions:
            self.predictions.add(
                plain_prediction(widths[-1], channels) if self.plain else
                DensePrediction(widths[-1], channels, self.bias))
            widths.append(2 * channels)
        self.add_heads(widths, config.l2_scale, config.head_norm)

    def _add_body(self):
        """Create what makes the first two maps; return the first's width."""
        config = self.config
        self.stem = (Stem if config.stem_style == "block"
                     else plain_stem)(config.stem)
        self.to_first = nn.HybridSequential()
        chain, widths = self._blocks(config.stem_width, config.layers[:2],
                                     [True, False])
        self.to_first.add(*chain)
        self.pool = halving_pool()
        self.to_second = nn.HybridSequential()
        later = config.layers[2:]
        self.to_second.add(*self._blocks(
            widths[-1], later, [False] * len(later),
            last=config.second * (2 if self.plain else 1))[0])
        return widths[-1]

    def _blocks(self, width, layers, pools, last=None):
        """Return dense blocks with their transitions, and all their widths.
        """
        config, chain, widths = self.config, [], []
        for k, (count, pool) in enumerate(zip(layers, pools)):
            chain.append(dense_block(width, count, config.bottleneck,
                                     config.growth, self.bias))
            grown = width + count * config.growth
            width = config.kept(grown)
            if last and k == len(layers) - 1:
                width = last
            chain.append(Transition(grown, width, pool, self.bias))
            widths += [grown, width]
        return chain, widths

    def features(self, F, x):
        """Return the maps, First to Sixth in the paper's words."""
        first = self.to_first(self.stem(x))
        deep = self.to_second(self.pool(first) if self.pool else first)
        second = deep if self.plain else join(
            F, [deep, self.reuse(first)], self.aligned)
        maps = [first, second]
        for prediction in self.predictions:
            maps.append(prediction(maps[-1]))
        return maps

    def named_stages(self):
        """See ``Network.named_stages``."""
        named = [("stem", self.stem),
                 *dense_stages([*self.to_first, *self.to_second])]
        if self.pool:
            named.append(("pool", self.pool))
        if not self.plain:
            named.append(("reuse of map 1", self.reuse))
        return named + [(f"{self.config.prediction} prediction", block)
                        for block in self.predictions]


class GluonDSOD(DSOD):
    """DSOD(32, 6, 48, 1, 1): biases everywhere, a stem of 1 x 1 convolutions.

    The first map is taken before its transition, which halves it.

    Args:
        config: ``GluonDSODConfig``.
    """

    bias, pool = True, None

    def _add_body(self):
        """See ``DSOD``."""
        config, stem = self.config, self.config.stem
        self.stem = nn.HybridSequential()
        self.stem.add(conv_norm_relu(3, stem, 3, 2, bias=True),
                      conv_norm_relu(stem, stem, 1, bias=True),
                      convolution(stem, 2 * stem, 1, bias=True),
                      halving_pool())
        chain, widths = self._blocks(
            config.stem_width, config.layers,
            [k < 2 for k in range(len(config.layers))], last=config.second)
        self.to_first = nn.HybridSequential()
        self.to_first.add(*chain[:3])
        self.to_second = nn.HybridSequential()
        self.to_second.add(*chain[3:])
        return widths[2]
