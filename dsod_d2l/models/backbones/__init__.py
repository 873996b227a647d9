"""Backbones: from an image to the maps of a classifier.

Each is a ``Backbone``: a block that returns a list of maps, finest first, and
knows their channels as ``widths``. A backbone of one's own is entered into
``BLOCKS``, and its configuration with ``config.backbones.register``.
"""

from __future__ import annotations

from .mobilenet import MobileNetV1, MobileNetV2
from .resnet import ResNet50
from .units import Backbone
from .vgg import VGG16

__all__ = ["BLOCKS", "Backbone", "MobileNetV1", "MobileNetV2", "ResNet50",
           "VGG16", "build_backbone"]

BLOCKS = {"vgg16": VGG16, "resnet50": ResNet50, "mobilenet_v1": MobileNetV1,
          "mobilenet_v2": MobileNetV2}


def build_backbone(config):
    """Build a backbone; its parameters are not initialised yet.

    Args:
        config: a ``BackboneConfig`` whose name is a key of ``BLOCKS``.

    Returns:
        A block from images (B, 3, H, W) to the list of maps.
    """
    return BLOCKS[config.name](config)
