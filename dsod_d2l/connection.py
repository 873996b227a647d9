"""The transfer connection: coarse maps lend what they saw to finer ones."""

from __future__ import annotations

from mxnet.gluon import nn

from .blocks import BODY_INIT, convolution


def transfer_unit(in_channels, channels, norm, relu):
    """Return a 3 x 3 convolution, with BN instead of a bias, and a ReLU."""
    unit = nn.HybridSequential()
    unit.add(convolution(in_channels, channels, 3, bias=not norm))
    return _finished(unit, channels, norm, relu)


def doubling_unit(channels, norm):
    """Return a deconvolution that makes two cells of one on each axis."""
    unit = nn.HybridSequential()
    unit.add(nn.Conv2DTranspose(channels, 2, 2, in_channels=channels,
                                use_bias=not norm,
                                weight_initializer=BODY_INIT))
    return _finished(unit, channels, norm, relu=False)


def _finished(unit, channels, norm, relu):
    if norm:
        unit.add(nn.BatchNorm(in_channels=channels, epsilon=1e-5))
    if relu:
        unit.add(nn.Activation("relu"))
    return unit


class TransferBlock(nn.HybridBlock):
    """Turn a map that anchors were refined on into one to detect on.

    Args:
        in_channels: width of the map.
        channels: width of what is made of it.
        norm: True for batch normalisation instead of biases.
        top: True for the coarsest map, which has no coarser one to take in.
        relu: whether the sum, and what is made of it, goes through a ReLU.

    Returns (forward of the map, and of the next coarser block's output
    unless ``top``):
        (B, channels, rows, columns); what the coarser map has too much,
        where an odd side was halved, is cut off.

    Paper: RefineDet, section 3 and figure 2, "transfer connection block"
    (arXiv:1711.06897).
    """

    def __init__(self, in_channels, channels, norm=False, top=False,
                 relu=True):
        super().__init__()
        self.relu = relu
        self.own = nn.HybridSequential()
        self.own.add(transfer_unit(in_channels, channels, norm, True),
                     transfer_unit(channels, channels, norm, False))
        self.double = None if top else doubling_unit(channels, norm)
        self.last = transfer_unit(channels, channels, norm, relu)

    def hybrid_forward(self, F, x, *coarser):
        """Return the map to detect on."""
        x = self.own(x)
        if coarser:
            x = x + F.slice_like(self.double(*coarser), x, axes=(2, 3))
        return self.last(F.relu(x) if self.relu else x)
