"""Backbones: from an image to the maps of a classifier.

Each is a block that returns a list of maps, finest first, and knows their
channels as ``widths``. ``named_stages`` is that of ``Network``.
"""

from __future__ import annotations

from .vgg import VGG16

__all__ = ["BLOCKS", "VGG16", "build_backbone"]

BLOCKS = {"vgg16": VGG16}


def build_backbone(config):
    """Build a backbone; its parameters are not initialised yet.

    Args:
        config: a ``BackboneConfig`` whose name is a key of ``BLOCKS``.

    Returns:
        A block from images (B, 3, H, W) to the list of maps.
    """
    return BLOCKS[config.name](config)
