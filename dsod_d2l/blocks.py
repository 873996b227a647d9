"""The parts a detector is made of: predictors, halving, dense blocks.

Every block is told its input channels, so a network has all its parameters
before it has seen an image. Maps are (B, channels, rows, columns).
"""

from typing import Any

from mxnet import init
from mxnet.gluon import nn

ALIGNED = 16      # channels per block of oneDNN's widest memory layout
BODY_INIT = init.Xavier("uniform", "in", 3)      # Caffe's "xavier"
HEAD_INIT = init.Normal(0.01)


def convolution(in_channels: int, channels: int, kernel: int = 1,
                stride: int = 1, bias: bool = False, weight: Any = BODY_INIT,
                dilation: int = 1, groups: int = 1,
                padding: int | None = None) -> nn.Conv2D:
    """Return a convolution; without padding stated, stride 1 keeps the size.
    """
    if padding is None:
        padding = dilation * (kernel // 2)
    return nn.Conv2D(channels, kernel, stride, padding, dilation, groups,
                     use_bias=bias, in_channels=in_channels,
                     weight_initializer=weight)


def chained(*blocks: Any) -> nn.HybridSequential:
    """Return blocks that run one after the other, as one block."""
    chain = nn.HybridSequential()
    chain.add(*blocks)
    return chain


def after_each(blocks: Any, x: Any) -> list:
    """Return what each of the blocks makes of what the one before made."""
    made = []
    for block in blocks:
        x = block(x)
        made.append(x)
    return made


def halving_pool() -> nn.MaxPool2D:
    """Return a 2 x 2 max pooling that rounds up, as a stride of 2 does."""
    return nn.MaxPool2D(2, 2, ceil_mode=True)


def norm_relu_conv(in_channels: int, channels: int, kernel: int = 1,
                   stride: int = 1, bias: bool = False) -> nn.HybridSequential:
    """Return the pre-activation unit of DenseNet: BN, ReLU, convolution.

    Paper: DenseNet, section 3 (arXiv:1608.06993).
    """
    return chained(nn.BatchNorm(in_channels=in_channels, epsilon=1e-5),
                   nn.Activation("relu"),
                   convolution(in_channels, channels, kernel, stride, bias))


def conv_norm_relu(in_channels: int, channels: int, kernel: int = 3,
                   stride: int = 1, bias: bool = False,
                   epsilon: float = 1e-5) -> nn.HybridSequential:
    """Return the usual unit: convolution, BN, ReLU."""
    return chained(convolution(in_channels, channels, kernel, stride, bias),
                   nn.BatchNorm(in_channels=channels, epsilon=epsilon),
                   nn.Activation("relu"))


def join(F: Any, maps: list, aligned: bool) -> Any:
    """Concatenate maps along their channels.

    Where a part starts at a channel that is no multiple of 16, the backward
    pass of MXNet 1.9.1 fails ("could not construct a sub-memory"). A slice
    that keeps everything avoids that, at the price of a copy: it is put in
    only where ``aligned`` is False.
    """
    joined = F.concat(*maps, dim=1)
    if aligned:
        return joined
    return F.slice_axis(joined, axis=1, begin=0, end=None)


def is_aligned(*channels: int) -> bool:
    """Say whether every part but the first starts at a multiple of 16."""
    starts = [sum(channels[:k]) for k in range(1, len(channels))]
    return all(start % ALIGNED == 0 for start in starts)


class DownSample(nn.HybridBlock):
    """Halve a map: two 3 x 3 convolutions, each with BN and ReLU, and a pool.

    Args:
        in_channels, channels: widths of the map before and after.

    Returns (forward):
        (B, channels, rows // 2, columns // 2).
    """

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.convolutions = chained(
            conv_norm_relu(in_channels, channels, bias=True),
            conv_norm_relu(channels, channels, bias=True))
        self.pool = nn.MaxPool2D(2)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the halved map."""
        return self.pool(self.convolutions(x))


class Stem(nn.HybridBlock):
    """Bring the image to a quarter of its size in three convolutions.

    Args:
        channels: A, width of the first two convolutions; the last has 2A.

    Returns (forward):
        (B, 2A, rows / 4, columns / 4), sizes rounded up.

    Paper: DSOD, section 3.2.1 and table 1 (arXiv:1708.01241).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.convolutions = chained(conv_norm_relu(3, channels, stride=2),
                                    conv_norm_relu(channels, channels),
                                    conv_norm_relu(channels, 2 * channels))
        self.pool = halving_pool()

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the first map."""
        return self.pool(self.convolutions(x))


class DenseLayer(nn.HybridBlock):
    """Add ``growth`` new channels to all those that came before.

    Args:
        in_channels: width of the input, C.
        bottleneck: B, width between the 1 x 1 and the 3 x 3 convolution.
        growth: k, channels added.
        bias: whether the convolutions have one.

    Returns (forward):
        (B, C + k, rows, columns): the input itself, then the new channels.

    Paper: DenseNet, section 3 (arXiv:1608.06993).
    """

    def __init__(self, in_channels, bottleneck, growth, bias=False):
        super().__init__()
        self.aligned = is_aligned(in_channels, growth)
        self.new = chained(
            norm_relu_conv(in_channels, bottleneck, bias=bias),
            norm_relu_conv(bottleneck, growth, kernel=3, bias=bias))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the input with the new channels behind it."""
        return join(F, [x, self.new(x)], self.aligned)


def dense_block(in_channels: int, layers: int, bottleneck: int, growth: int,
                bias: bool = False) -> nn.HybridSequential:
    """Return a chain of dense layers; it adds layers * growth channels."""
    return chained(*[
        DenseLayer(in_channels + k * growth, bottleneck, growth, bias)
        for k in range(layers)])


class Transition(nn.HybridBlock):
    """Mix the channels of a dense block, and halve the map if asked to.

    Args:
        in_channels, channels: widths before and after.
        pool: whether the map is halved (rounded up); without, a network can
            have more dense blocks than scales.

    Paper: DSOD, section 3.2.2 (arXiv:1708.01241).
    """

    def __init__(self, in_channels, channels, pool=True, bias=False):
        super().__init__()
        self.mix = norm_relu_conv(in_channels, channels, bias=bias)
        self.pool = halving_pool() if pool else None

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the mixed map."""
        x = self.mix(x)
        return self.pool(x) if self.pool else x


class PooledReuse(nn.HybridBlock):
    """Bring an earlier map to the next scale: pool, then BN, ReLU, 1 x 1."""

    def __init__(self, in_channels: int, channels: int, bias: bool = False):
        super().__init__()
        self.pool = halving_pool()
        self.mix = norm_relu_conv(in_channels, channels, bias=bias)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the halved, mixed map."""
        return self.mix(self.pool(x))


class DensePrediction(nn.HybridBlock):
    """Make the next, coarser map: half of it learned, half of it reused.

    Args:
        in_channels: width of the input.
        channels: width of either half.

    Returns (forward):
        (B, 2 * channels, rows / 2, columns / 2), rounded up: the pooled
        input first, the convolved one behind it.

    Paper: DSOD, section 3.2.1, "dense prediction" (arXiv:1708.01241).
    """

    def __init__(self, in_channels: int, channels: int, bias: bool = False):
        super().__init__()
        self.aligned = is_aligned(channels, channels)
        self.reused = PooledReuse(in_channels, channels, bias)
        self.learned = chained(
            norm_relu_conv(in_channels, channels, bias=bias),
            norm_relu_conv(channels, channels, 3, stride=2, bias=bias))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the coarser map."""
        return join(F, [self.reused(x), self.learned(x)], self.aligned)


class ChannelNorm(nn.HybridBlock):
    """Scale the channels at each place to length 1, times a learned factor.

    Args:
        channels: width of the map.
        scale: initial factor, one per channel.

    Paper: ParseNet, section 3.3 (arXiv:1506.04579).
    """

    def __init__(self, channels: int, scale: float = 20.0):
        super().__init__()
        self.scale = self.params.get("scale", shape=(1, channels, 1, 1),
                                     init=init.Constant(scale))

    def hybrid_forward(self, F: Any, x: Any, scale: Any) -> Any:
        """Return the normalised map."""
        return F.broadcast_mul(F.L2Normalization(x, mode="channel"), scale)


class Predictor(nn.HybridBlock):
    """Say ``values`` numbers about each anchor of a map: a 3 x 3 convolution.

    Args:
        in_channels: width of the map.
        anchors: anchors per cell, A.
        values: numbers per anchor: K + 1 class scores, or 4 offsets.
        norm: True for batch normalisation instead of a bias.

    Returns (forward):
        (B, rows * columns * A, values), in the order of the anchors.
    """

    def __init__(self, in_channels, anchors, values, norm=False):
        super().__init__()
        self.values = values
        self.scores = nn.HybridSequential()
        self.scores.add(convolution(in_channels, anchors * values, 3,
                                    bias=not norm, weight=HEAD_INIT))
        if norm:
            self.scores.add(nn.BatchNorm(in_channels=anchors * values,
                                         epsilon=1e-3))

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Return the values, cell by cell and anchor by anchor."""
        x = F.transpose(self.scores(x), axes=(0, 2, 3, 1))
        return F.reshape(x, shape=(0, -1, self.values))


def plain_stem(channels: int) -> nn.HybridSequential:
    """Return DenseNet's stem: a 7 x 7 convolution and a 3 x 3 max pooling.

    Args:
        channels: width of its output.

    Returns:
        Block from (B, 3, rows, columns) to (B, channels, rows / 4,
        columns / 4), sizes rounded up.

    Paper: DenseNet, table 1 (arXiv:1608.06993).
    """
    return chained(conv_norm_relu(3, channels, kernel=7, stride=2),
                   nn.MaxPool2D(3, 2, padding=1))


def plain_prediction(in_channels: int, channels: int) -> nn.HybridSequential:
    """Return the layers that make the next, coarser map from this one alone.

    Args:
        in_channels: width of the input.
        channels: half the width of the output, as for ``DensePrediction``.

    Returns:
        Block from (B, in_channels, rows, columns) to (B, 2 * channels,
        rows / 2, columns / 2), sizes rounded up.

    Paper: SSD, figure 2 (arXiv:1512.02325), in the pre-activation form;
    DSOD, figure 1, left.
    """
    return chained(
        norm_relu_conv(in_channels, channels),
        norm_relu_conv(channels, 2 * channels, kernel=3, stride=2))
