"""The presets: configurations with a name, as values."""

from __future__ import annotations

import dataclasses

from .base import AnchorSpec, paired_sizes
from .networks import DSODConfig, GluonDSODConfig, GRPConfig, ToySSDConfig

TWO = (1, 2, 1 / 2)
THREE = (1, 2, 1 / 2, 3, 1 / 3)


def _rows(pairs, ratios, steps=None):
    """Return one AnchorSpec per map."""
    steps = steps or (None,) * len(pairs)
    return tuple(AnchorSpec(sizes=pair, ratios=shape, step=step)
                 for pair, shape, step in zip(pairs, ratios, steps))


def _parts(numbers, whole):
    """Return pixels as fractions of a side."""
    return tuple(number / whole for number in numbers)


# SSD's rule: 10 %, then 20 % to 88 % in steps of 17 %, as 300-pixel sizes.
SSD300_SIZES = _parts((30, 60, 111, 162, 213, 264), 300)
SSD300_PAIRS = paired_sizes(SSD300_SIZES, 315 / 300)
SSD300_RATIOS = (TWO, THREE, THREE, THREE, TWO, TWO)

TOY_SSD = ToySSDConfig(
    name="toy_ssd",
    anchors=_rows([(.2, .272), (.37, .447), (.54, .619), (.71, .79),
                   (.88, .961)], [TWO] * 5))

GLUON_SIZES = (.2, .37, .45, .54, .71, .88)

DSOD_GLUON = GluonDSODConfig(
    name="dsod_gluon",
    anchors=_rows([(size, size) for size in GLUON_SIZES], [TWO] * 6))

# The authors' steps: 300 on the 2 x 2 map puts 12 anchors off the image.
DSOD300_STEPS = _parts((8, 16, 32, 64, 100, 300), 300)
DSOD300 = DSODConfig(
    name="dsod300", num_classes=20, input_size=(300, 300),
    anchors=_rows(SSD300_PAIRS, SSD300_RATIOS, DSOD300_STEPS))

EVEN = _rows(SSD300_PAIRS, SSD300_RATIOS)

# COCO has smaller objects: 7 %, then 15 % to 87 % in steps of 18 %.
DSOD300_COCO = dataclasses.replace(
    DSOD300, name="dsod300_coco", num_classes=80, anchors=_rows(
        paired_sizes(_parts((21, 45, 99, 153, 207, 261), 300), 315 / 300),
        SSD300_RATIOS))

# No script of the authors names the lite network. These widths, half the
# layers, have the published size of its file.
DSOD300_LITE = dataclasses.replace(
    DSOD300, name="dsod300_lite", bottleneck=256, growth=64,
    layers=(3, 4, 4, 4), anchors=EVEN)

DSOD300_SMALLEST = dataclasses.replace(
    DSOD300, name="dsod300_smallest", bottleneck=64, growth=16, anchors=EVEN)

# The authors wrote the body for 512 pixels, but no anchors: these are SSD's.
SSD512_SIZES = (.07, .15, .3, .45, .6, .75, .9)
DSOD512 = dataclasses.replace(
    DSOD300, name="dsod512", input_size=(512, 512),
    predictions=(256, 128, 128, 128, 128),
    anchors=_rows(paired_sizes(SSD512_SIZES, 1.05),
                  (TWO, THREE, THREE, THREE, THREE, TWO, TWO)))

# The same rule for sizes, and every width a multiple of 16. One layer at a
# quarter of the image, where a layer costs most; no norms before the heads,
# which would take a third of a step on a CPU.
DSOD_TINY = DSODConfig(
    name="dsod_tiny", stem=16, bottleneck=64, growth=32, layers=(1, 4, 3),
    second=64, predictions=(64, 64, 64), l2_scale=None, head_norm=False,
    anchors=EVEN[:5])

# For small objects: a finer grid, COCO's sizes, and layers half as wide
# again. It takes three and a half times the arithmetic of dsod_tiny.
DSOD_SMALL = dataclasses.replace(
    DSOD_TINY, name="dsod_small", input_size=(320, 320), bottleneck=96,
    growth=48, layers=(1, 6, 4), anchors=DSOD300_COCO.anchors[:5])

GRP_DSOD320 = GRPConfig(
    name="grp_dsod320", num_classes=20, input_size=(320, 320), anchors=EVEN)

# The ratios of the authors' script; those of the paper are DSOD's.
STAR = (1, 1.6, 1 / 1.6, 2, 1 / 2, 3, 1 / 3)
GRP_DSOD320_STAR = dataclasses.replace(
    GRP_DSOD320, name="grp_dsod320_star",
    anchors=_rows(SSD300_PAIRS, (STAR,) * 4 + (STAR[:5],) * 2))

GRP_DSOD_TINY = GRPConfig(
    name="grp_dsod_tiny", stem=16, bottleneck=64, growth=32,
    layers=(1, 4, 3), first_reuse=32, second=64, predictions=(64, 64, 64),
    pyramid=(32, 32, 32, 32), l2_scale=None, head_norm=False,
    anchors=EVEN[:5])

PRESETS = {preset.name: preset for preset in
           (TOY_SSD, DSOD_GLUON, DSOD300, DSOD300_COCO, DSOD300_LITE,
            DSOD300_SMALLEST, DSOD512, DSOD_TINY, DSOD_SMALL, GRP_DSOD320,
            GRP_DSOD320_STAR, GRP_DSOD_TINY)}
