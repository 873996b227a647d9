"""VGG16 (arXiv:1409.1556), with its dense layers made convolutions."""

from __future__ import annotations

from mxnet.gluon import nn

from ...blocks import halving_pool
from .units import conv_unit

DEPTHS = (2, 2, 3, 3, 3)      # convolutions of each block


class VGG16(nn.HybridBlock):
    """The maps conv4_3, conv5_3 if asked for, and fc7, each after its ReLU.

    Poolings round up, as in Caffe; only the third has an odd side to round
    at 300 pixels. A convolution keeps its bias beside a normalisation.

    Args:
        config: ``VGG16Config``.

    Returns (forward):
        List of (B, channels, rows, columns): at 1/8 of the image; at 1/16;
        and at 1/16, or 1/32 where pool5 halves.

    Paper: SSD, section 3 (arXiv:1512.02325); RefineDet, section 3.4
    (arXiv:1711.06897).
    """

    def __init__(self, config):
        super().__init__()
        widths = config.widths
        self.conv5 = config.conv5
        self.widths = tuple(widths[k] for k in
                            ((9, 12, 14) if self.conv5 else (9, 14)))
        self.blocks = nn.HybridSequential()
        width, first = 3, 0
        for depth in DEPTHS:
            block = nn.HybridSequential()
            if first:
                block.add(halving_pool())
            for channels in widths[first:first + depth]:
                block.add(conv_unit(width, channels, norm=config.norm,
                                    bias=True))
                width = channels
            self.blocks.add(block)
            first += depth
        self.top = nn.HybridSequential()
        self.top.add(
            nn.MaxPool2D(3, 1, 1) if config.pool5 == 1 else halving_pool(),
            conv_unit(width, widths[13], norm=config.norm, bias=True,
                      dilation=config.dilation),
            conv_unit(widths[13], widths[14], 1, norm=config.norm, bias=True))

    def hybrid_forward(self, F, x):
        """Return the maps."""
        made = []
        for block in [*self.blocks, self.top]:
            x = block(x)
            made.append(x)
        return made[3:] if self.conv5 else [made[3], made[5]]

    def named_stages(self):
        """See ``Network.named_stages``."""
        return [*[(f"VGG block {k}", block)
                  for k, block in enumerate(self.blocks, 1)],
                ("fc6 and fc7", self.top)]
