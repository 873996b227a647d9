"""VGG16 (arXiv:1409.1556), with its dense layers made convolutions."""

from __future__ import annotations

from mxnet.gluon import nn

from ...blocks import halving_pool
from .units import Backbone, conv_unit

DEPTHS = (2, 2, 3, 3, 3)      # convolutions of each block


class VGG16(Backbone):
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
        shared, left = {"norm": config.norm, "bias": True}, [*config.widths]
        width = 3
        for k, depth in enumerate(DEPTHS, 1):
            layers = [halving_pool()] if k > 1 else []
            for channels in left[:depth]:
                layers.append(conv_unit(width, channels, **shared))
                width = channels
            del left[:depth]
            is_map = k == 4 or (k == 5 and config.conv5)
            self.add_stage(f"VGG block {k}", *layers,
                           width=width if is_map else None)
        fc6, fc7 = left
        self.add_stage(
            "fc6 and fc7",
            nn.MaxPool2D(3, 1, 1) if config.pool5 == 1 else halving_pool(),
            conv_unit(width, fc6, dilation=config.dilation, **shared),
            conv_unit(fc6, fc7, 1, **shared), width=fc7)
