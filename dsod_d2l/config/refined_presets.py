"""The presets whose anchors are refined."""

from __future__ import annotations

import dataclasses

from .backbones import VGG16Config
from .base import AnchorSpec
from .refine import RefineDSODConfig, RefineSSDConfig


def refined_anchors(height):
    """Return one size for each map, four times its step: 32 to 256 pixels."""
    return tuple(AnchorSpec(sizes=(pixels / height,), ratios=(1, 2, 1 / 2))
                 for pixels in (32, 64, 128, 256))


REFINEDET320_VGG16 = RefineSSDConfig(
    name="refinedet320_vgg16", num_classes=20, input_size=(320, 320),
    anchors=refined_anchors(320))

REFINEDET512_VGG16 = dataclasses.replace(
    REFINEDET320_VGG16, name="refinedet512_vgg16", input_size=(512, 512),
    anchors=refined_anchors(512))

# What follows is trained from scratch, so the transfer is normalised.
REFINEDET320_DSOD = RefineDSODConfig(
    name="refinedet320_dsod", num_classes=20, input_size=(320, 320),
    predictions=(256, 128), transfer_norm=True, anchors=refined_anchors(320))

REFINEDET_DSOD_TINY = RefineDSODConfig(
    name="refinedet_dsod_tiny", stem=16, bottleneck=64, growth=32,
    layers=(1, 4, 3), second=64, predictions=(64, 64), l2_scale=None,
    head_norm=False, transfer=48, transfer_norm=True,
    anchors=refined_anchors(320))

REFINEDET_VGG_TINY = RefineSSDConfig(
    name="refinedet_vgg_tiny", backbone=VGG16Config(
        widths=(16, 16, 32, 32, *[48] * 3, *[80] * 6, 96, 96), norm=True,
        conv5=True, pool5=2, dilation=1), extras=((48, 96, "half"),),
    extra_norm=True, source_scales=(), transfer=48, transfer_norm=True,
    anchors=refined_anchors(320))

REFINED_PRESETS = (REFINEDET320_VGG16, REFINEDET512_VGG16, REFINEDET320_DSOD,
                   REFINEDET_DSOD_TINY, REFINEDET_VGG_TINY)

# The authors' own code where others have changed it.
REFINEDET_PARTS = {
    "backbone": VGG16Config(conv5=True, pool5=2, dilation=3),
    "top_relu": True}
