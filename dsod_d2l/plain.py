"""The parts that DSOD replaced: the stem of DenseNet and the maps of SSD."""

from __future__ import annotations

from mxnet.gluon import nn

from .blocks import conv_norm_relu, norm_relu_conv


def plain_stem(channels):
    """Return DenseNet's stem: a 7 x 7 convolution and a 3 x 3 max pooling.

    Args:
        channels: width of its output.

    Returns:
        Block from (B, 3, rows, columns) to (B, channels, rows / 4,
        columns / 4), sizes rounded up.

    Paper: DenseNet, table 1 (arXiv:1608.06993).
    """
    stem = nn.HybridSequential()
    stem.add(conv_norm_relu(3, channels, kernel=7, stride=2),
             nn.MaxPool2D(3, 2, padding=1))
    return stem


def plain_prediction(in_channels, channels):
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
    layers = nn.HybridSequential()
    layers.add(norm_relu_conv(in_channels, channels),
               norm_relu_conv(channels, 2 * channels, kernel=3, stride=2))
    return layers
