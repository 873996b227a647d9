"""GRP-DSOD (arXiv:1712.00886): its units, up-sampling and gates, its network.
"""

from typing import Any

from mxnet import init
from mxnet.gluon import nn

from ..blocks import (BODY_INIT, after_each, chained, conv_norm_relu,
                      halving_pool, is_aligned, join)
from ..config.families import GRPConfig
from .network import Network, dense_chain, dense_stages

EPSILON = 1e-4      # of every normalisation in the body, the authors' value


def unit(in_channels: int, channels: int, kernel: int = 1,
         stride: int = 1) -> nn.HybridSequential:
    """Return convolution, batch normalisation and ReLU."""
    return conv_norm_relu(in_channels, channels, kernel, stride,
                          epsilon=EPSILON)


def pooled_unit(in_channels: int, channels: int,
                size: int = 2) -> nn.HybridSequential:
    """Return a max pooling that rounds up, and a 1 x 1 unit behind it."""
    return chained(nn.MaxPool2D(size, size, ceil_mode=True),
                   unit(in_channels, channels))


class Joined(nn.HybridBlock):
    """Concatenate what two blocks make of the same map.

    Args:
        first, second: blocks, or None for the map itself.
        widths: their channels.
    """

    def __init__(self, first: Any, second: Any, widths: tuple[int, int]):
        super().__init__()
        self.first, self.second = first, second
        self.aligned = is_aligned(*widths)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return both results, one behind the other."""
        first = self.first(x) if self.first else x
        return join(F, [first, self.second(x)], self.aligned)


def post_dense_block(in_channels: int, layers: int, bottleneck: int,
                     growth: int) -> nn.HybridSequential:
    """Return a dense block of post-activation layers; see ``blocks``."""
    return chained(*[
        Joined(None, chained(unit(width, bottleneck),
                             unit(bottleneck, growth, kernel=3)),
               (width, growth))
        for width in range(in_channels, in_channels + layers * growth,
                           growth)])


def dense_prediction(in_channels: int, channels: int) -> Joined:
    """Return a block that makes the next, coarser map: half of it reused."""
    learned = chained(unit(in_channels, channels),
                      unit(channels, channels, kernel=3, stride=2))
    return Joined(pooled_unit(in_channels, channels), learned,
                  (channels, channels))


class UpSampling(nn.HybridBlock):
    """Double a map: mix its channels, then repeat each cell.

    Args:
        in_channels, channels: widths before and after.

    Returns (forward of the coarse map, and of a fine one for its size):
        (B, channels, rows, columns) with the fine map's rows and columns,
        which are twice the coarse map's or one less.
    """

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.mix = unit(in_channels, channels)

    def hybrid_forward(self, F: Any, x: Any, fine: Any) -> Any:
        """Return the doubled map, cut to the size of the fine one."""
        doubled = F.UpSampling(self.mix(x), scale=2, sample_type="nearest")
        return F.slice_like(doubled, fine, axes=(2, 3))


class OneInFour(init.Initializer):
    """Fill 2 x 2 kernels with [[1, 0], [0, 0]], and smaller ones with 1.

    This is what the bilinear filler of Caffe makes of so small a kernel.
    """

    def _init_weight(self, name, array):
        array[:] = 0
        array[:, :, 0, 0] = 1


class FrozenUpSampling(nn.HybridBlock):
    """Double a map as the authors' code does: a sum of channels, and zeros.

    Its deconvolution never learns, and its kernels are 2 x 2 or, where the
    fine map has one cell less, 1 x 1. All output channels are equal until
    the normalisation behind.

    Args:
        in_channels, channels: widths before and after.
        kernel: (rows, columns), each 2 or 1.
    """

    def __init__(self, in_channels, channels, kernel):
        super().__init__()
        self.options = {"kernel": kernel, "stride": (2, 2),
                        "num_filter": channels, "no_bias": True}
        self.weight = self.params.get(
            "weight", shape=(in_channels, channels, *kernel),
            init=OneInFour(), grad_req="null")
        self.after = chained(
            nn.BatchNorm(in_channels=channels, epsilon=EPSILON),
            nn.Activation("relu"))

    def hybrid_forward(self, F: Any, x: Any, fine: Any, weight: Any) -> Any:
        """Return the doubled map; the fine one is not looked at."""
        return self.after(F.Deconvolution(x, weight, **self.options))


class Gate(nn.HybridBlock):
    """Weigh the channels of a map, and the whole of it, by what is in it.

    With u the mean over all cells: z = ReLU(FC(u)), c = sigmoid(FC(z)) for
    each channel, g = sigmoid(FC(z)) for the image. The result is
    x + g * ReLU(c * x).

    Args:
        channels: width of the map, C.
        ratio: the hidden layer has C / ratio numbers, at least one.
        weight: initialiser of the three layers, or its name.

    Paper: GRP-DSOD, section 3 (arXiv:1712.00886).
    """

    def __init__(self, channels, ratio=16, weight=BODY_INIT):
        super().__init__()
        hidden = max(1, channels // ratio)
        self.squeeze = chained(nn.GlobalAvgPool2D(),
                               nn.Dense(hidden, "relu", in_units=channels,
                                        weight_initializer=weight))
        self.each = nn.Dense(channels, in_units=hidden,
                             weight_initializer=weight)
        self.whole = nn.Dense(1, in_units=hidden, weight_initializer=weight)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the gated map, of the same shape."""
        z = self.squeeze(x)
        each = F.reshape(F.sigmoid(self.each(z)), shape=(0, 0, 1, 1))
        image = F.reshape(F.sigmoid(self.whole(z)), shape=(0, 1, 1, 1))
        kept = F.relu(F.broadcast_mul(x, each))
        return x + F.broadcast_mul(kept, image)


class GRPDSOD(Network):
    """DSOD with a reverse pyramid, and a gate before each prediction.

    Each map but the last is joined with the next coarser one, doubled.
    Called recurrent by its authors, though nothing recurs: what is doubled
    is the map as the backbone made it.

    Args:
        config: ``GRPConfig``.

    Paper: GRP-DSOD, section 3 (arXiv:1712.00886).
    """

    def __init__(self, config: GRPConfig):
        super().__init__(config)
        widths = self._backbone()
        self.starts = [is_aligned(up, own) for up, own
                       in zip(config.pyramid, widths)]
        self.doubling = chained(*[
            self._up_sampling(k, width, up) for k, (width, up)
            in enumerate(zip(widths[1:], config.pyramid))])
        widths = [own + up for own, up in zip(widths, (*config.pyramid, 0))]
        gate = BODY_INIT if config.gate_init == "xavier" else "zeros"
        self.gates = chained(*[Gate(width, config.gate_ratio, gate)
                               for width in widths])
        self.add_heads(widths, config.l2_scale, config.head_norm)

    def _backbone(self):
        """Create all up to the maps; return the width of each map."""
        config, stem = self.config, self.config.stem_width
        reuse, half = config.first_reuse, config.second
        self.stem = chained(unit(3, config.stem, 3, 2),  # its pool comes later
                            unit(config.stem, config.stem, 3),
                            unit(config.stem, stem, 3))
        self.pools = chained(*[halving_pool() for _ in range(3)])
        chain = dense_chain(config, half, post_dense_block,
                            lambda _, *widths: unit(*widths))
        kept, first = map(config.kept, config.block_widths()[:2])
        self.to_one, self.to_first = chained(*chain[:2]), chained(*chain[2:4])
        self.reuse_stem = pooled_unit(stem, reuse, size=4)
        self.reuse_one = pooled_unit(kept, reuse)
        self.to_second = chained(*chain[4:])
        widths = [first + 2 * reuse, 2 * half,
                  *(2 * channels for channels in config.predictions)]
        self.reuse_first = pooled_unit(widths[0], half)
        self.aligned = is_aligned(first, reuse, reuse), is_aligned(half, half)
        self.predictions = chained(*map(dense_prediction, widths[1:],
                                        config.predictions))
        return widths

    def _up_sampling(self, k, in_channels, channels):
        """Return what doubles map k + 1 to the size of map k."""
        if self.config.up == "nearest":
            return UpSampling(in_channels, channels)
        fine, coarse = self.config.map_shapes()[k:k + 2]
        kernel = tuple(2 if f == 2 * c else 1 for f, c in zip(fine, coarse))
        return FrozenUpSampling(in_channels, channels, kernel)

    def plain_maps(self, F: Any, x: Any) -> list:
        """Return the maps as the backbone makes them."""
        stem = self.stem(x)
        one = self.to_one(self.pools[0](stem))
        deep = self.to_first(self.pools[1](one))
        reused = [self.reuse_stem(stem), self.reuse_one(one)]
        first = join(F, [deep, *reused], self.aligned[0])
        second = self.to_second(self.pools[2](deep))  # of deep, not of first
        second = join(F, [second, self.reuse_first(first)], self.aligned[1])
        return [first, second, *after_each(self.predictions, second)]

    def features(self, F: Any, x: Any) -> list:
        """Return the gated maps, Recurrent1 to 6 in the authors' words."""
        return self.gated(F, self.plain_maps(F, x))

    def gated(self, F: Any, plain: list) -> list:
        """Return what pyramid and gates make of the backbone's maps."""
        maps = [join(F, [up(coarse, fine), fine], aligned)
                for up, fine, coarse, aligned
                in zip(self.doubling, plain, plain[1:], self.starts)]
        maps.append(plain[-1])
        return [gate(one) for gate, one in zip(self.gates, maps)]

    def named_stages(self) -> list[tuple[str, Any]]:
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
