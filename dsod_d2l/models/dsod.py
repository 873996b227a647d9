"""DSOD (arXiv:1708.01241), and its Gluon reproduction."""

from functools import partial
from typing import Any

from ..blocks import (DensePrediction, PooledReuse, Stem, Transition,
                      after_each, chained, conv_norm_relu, convolution,
                      dense_block, halving_pool, is_aligned, join,
                      plain_prediction, plain_stem)
from ..config.families import DSODConfig
from .network import Network, dense_chain, dense_stages


class DSOD(Network):
    """DS/A-B-k-theta: a stem, dense blocks, and densely made maps.

    With a plain stem or plain prediction it is a row of the paper's
    ablation; a plain second map has no reuse, and is as wide.

    Args:
        config: ``DSODConfig``.

    Paper: DSOD, section 3 and table 1 (arXiv:1708.01241).
    """

    bias = False            # of convolutions

    def __init__(self, config: DSODConfig):
        super().__init__(config)
        self.plain = config.prediction == "plain"
        first, second = self._add_body(), 2 * config.second
        if not self.plain:
            self.reuse = PooledReuse(first, config.second, self.bias)
        self.aligned = is_aligned(config.second, config.second)
        widths = [first, second, *(2 * half for half in config.predictions)]
        self.predictions = chained(*[
            plain_prediction(width, half) if self.plain else
            DensePrediction(width, half, self.bias)
            for width, half in zip(widths[1:], config.predictions)])
        self.add_heads(widths, config.l2_scale, config.head_norm)

    def _add_body(self):
        """Create what makes the first two maps; return the first's width."""
        config = self.config
        self.stem = (Stem if config.stem_style == "block"
                     else plain_stem)(config.stem)
        self._add_blocks(4, 1, config.second * (2 if self.plain else 1))
        self.pool = halving_pool()
        return config.kept(config.block_widths()[1])

    def _add_blocks(self, parts, pools, last):
        """Create the dense blocks and their transitions.

        So many parts make the first map, and the others the second; the
        first transitions pool, and the last one keeps so many channels.
        """
        chain = dense_chain(
            self.config, last, partial(dense_block, bias=self.bias),
            lambda k, *widths: Transition(*widths, k < pools, self.bias))
        self.to_first = chained(*chain[:parts])
        self.to_second = chained(*chain[parts:])

    def features(self, F: Any, x: Any) -> list:
        """Return the maps, First to Sixth in the paper's words."""
        first = self.to_first(self.stem(x))
        deep = self.to_second(self.pool(first) if self.pool else first)
        second = deep if self.plain else join(
            F, [deep, self.reuse(first)], self.aligned)
        return [first, second, *after_each(self.predictions, second)]

    def named_stages(self) -> list[tuple[str, Any]]:
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
        self.stem = chained(conv_norm_relu(3, stem, 3, 2, bias=True),
                            conv_norm_relu(stem, stem, 1, bias=True),
                            convolution(stem, 2 * stem, 1, bias=True),
                            halving_pool())
        self._add_blocks(3, 2, config.second)
        return config.block_widths()[1]
