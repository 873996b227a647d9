"""The presets: configurations with a name, as values, and their forms."""

import dataclasses
from collections.abc import Sequence
from itertools import repeat
from math import floor, sqrt
from typing import Any

from .base import (AnchorSpec, ModelConfig, paired_sizes, require,
                   require_fields, scale_sizes)
from .classifiers import MobileNetV2Config, VGG16Config
from .families import (DSODConfig, GluonDSODConfig, GRPConfig,
                       RefineDSODConfig, RefineSSDConfig, SSDConfig,
                       ToySSDConfig)

TWO = (1, 2, 1 / 2)
THREE = (1, 2, 1 / 2, 3, 1 / 3)


def _rows(pairs, ratios, steps=repeat(None)):
    """Return one AnchorSpec per map."""
    return tuple(map(AnchorSpec, pairs, ratios, steps))


def _parts(numbers, whole):
    """Return pixels as fractions of a side."""
    return tuple(number / whole for number in numbers)


def refined_anchors(height: int) -> tuple[AnchorSpec, ...]:
    """Return one size for each map, four times its step: 32 to 256 pixels."""
    return _rows([(pixels / height,) for pixels in (32, 64, 128, 256)],
                 [TWO] * 4)


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
TINY: dict[str, Any] = dict(
    stem=16, bottleneck=64, growth=32, layers=(1, 4, 3), second=64,
    predictions=(64, 64, 64), l2_scale=None, head_norm=False)
DSOD_TINY = DSODConfig(name="dsod_tiny", anchors=EVEN[:5], **TINY)
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
    name="grp_dsod_tiny", first_reuse=32, pyramid=(32, 32, 32, 32),
    anchors=EVEN[:5], **TINY)
# The last map has one cell, so here the step of 300 lies in its middle.
SSD300_VGG16 = SSDConfig(
    name="ssd300_vgg16", num_classes=20, input_size=(300, 300),
    anchors=DSOD300.anchors)
SSD300_VGG16_BN = dataclasses.replace(
    SSD300_VGG16, name="ssd300_vgg16_bn", backbone=VGG16Config(norm=True),
    extra_norm=True)
SSD512_VGG16 = dataclasses.replace(
    SSD300_VGG16, name="ssd512_vgg16", input_size=(512, 512),
    extras=((256, 512, "half"), *[(128, 256, "half")] * 3,
            (128, 256, "even")), anchors=DSOD512.anchors)
SSD512_VGG16_BN = dataclasses.replace(
    SSD512_VGG16, name="ssd512_vgg16_bn", backbone=VGG16Config(norm=True),
    extra_norm=True)
SSD300_RESNET50, SSD300_MOBILENET_V1, SSD300_MOBILENET_V2 = (
    dataclasses.replace(SSD300_VGG16, name=f"ssd300_{name}", backbone=name)
    for name in ("resnet50", "mobilenet_v1", "mobilenet_v2"))
# For a CPU: eight channels at full size, where a layer costs most, and batch
# normalisation, without which no VGG learns from scratch.
SSD_VGG_THIN = SSDConfig(
    name="ssd_vgg_thin", anchors=EVEN[:5], extra_norm=True,
    backbone=VGG16Config(norm=True, widths=(
        8, 8, 16, 16, *[48] * 3, *[96] * 6, 192, 192)),
    extras=((64, 128, "half"),) * 3)
SSD_MOBILENET_V2_TINY = SSDConfig(
    name="ssd_mobilenet_v2_tiny", anchors=EVEN[:5], extra_norm=True,
    backbone=MobileNetV2Config(width=0.5, top=256), l2_scale=None,
    extras=((64, 128, "half"),) * 3)
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
    name="refinedet_dsod_tiny", transfer=48, transfer_norm=True,
    anchors=refined_anchors(320), **{**TINY, "predictions": (64, 64)})
REFINEDET_VGG_TINY = RefineSSDConfig(
    name="refinedet_vgg_tiny", backbone=VGG16Config(
        widths=(16, 16, 32, 32, *[48] * 3, *[80] * 6, 96, 96), norm=True,
        conv5=True, pool5=2, dilation=1), extras=((48, 96, "half"),),
    extra_norm=True, source_scales=(), transfer=48, transfer_norm=True,
    anchors=refined_anchors(320))
# In the order in which they stand above.
PRESETS = {preset.name: preset for preset in list(globals().values())
           if isinstance(preset, ModelConfig)}

FIRST: dict[str, Any] = dict(
    stem=32, bottleneck=12, growth=16, compression=0.5, layers=(6, 8, 8),
    stem_style="plain", prediction="plain")
# What each row changes in the row before it.
CHANGES: dict[str, dict[str, Any]] = {
    "DS/32-12-16-0.5, three blocks": {},
    "transition without pooling": dict(layers=(6, 8, 8, 8)),
    "no compression": dict(compression=1.0),
    "wide bottleneck": dict(bottleneck=64),
    "wide first convolution": dict(stem=64),
    "large growth": dict(growth=48, bottleneck=192),
    "stem block": dict(stem_style="block"),
    "dense prediction": dict(prediction="dense"),
}


def ablation() -> dict[str, DSODConfig]:
    """Return the rows of the ablation, the last of which is DSOD300.

    Without a transition that does not pool, a network can have only as many
    dense blocks as it has scales, here three. The authors do not give the
    widths of their plain prediction layers: the ones here are as wide as
    the dense ones. Their network with plain prediction has 18.2 million
    numbers, this one 15.8 million.

    Returns:
        Dictionary, name of the change -> ``DSODConfig``.

    Paper: DSOD, section 4.1 (arXiv:1708.01241).

    >>> rows = ablation()
    >>> list(rows)[-1], rows["stem block"].prediction
    ('dense prediction', 'plain')
    """
    rows, config = {}, dataclasses.replace(DSOD300, **FIRST)
    for number, (change, fields) in enumerate(CHANGES.items(), 1):
        config = dataclasses.replace(
            config, name=f"dsod300_ablation_{number}", **fields)
        rows[change] = config
    return rows


NAMED = {**PRESETS, **{row.name: row for row in ablation().values()}}
GRP_STEPS = _parts((8, 16, 32, 64, 100, 320), 320)
# The authors' own code where others have changed it.
REFINEDET_PARTS = {
    "backbone": VGG16Config(conv5=True, pool5=2, dilation=3),
    "top_relu": True}
GRP_PARTS = {"up": "frozen", "gate_init": "zero"}
# Steps, fields, and whether sizes are cut to whole pixels.
AUTHORS: dict[str, Any] = {
    **dict.fromkeys(("dsod300", "dsod300_coco", "dsod300_lite",
                     "dsod300_smallest"), (DSOD300_STEPS, {}, False)),
    **dict.fromkeys(("grp_dsod320", "grp_dsod320_star"),
                    (GRP_STEPS, GRP_PARTS, True)),
    **dict.fromkeys(("refinedet320_vgg16", "refinedet512_vgg16"),
                    ((None,) * 4, REFINEDET_PARTS, False))}


def with_steps(config: ModelConfig,
               steps: Sequence[float | None]) -> ModelConfig:
    """Return the configuration with another anchor step for each map."""
    rows = [dataclasses.replace(row, step=step)
            for row, step in zip(config.anchors, steps)]
    return dataclasses.replace(config, anchors=tuple(rows))


def even_steps(config: ModelConfig) -> ModelConfig:
    """Put the centres of every map's anchors evenly over the image.

    The authors' step of 300 pixels on the 2 x 2 map of DSOD300 puts 12 of
    its 8744 anchors outside the image.
    """
    return with_steps(config, [None] * len(config.anchors))


def _with_sizes(config, sizes):
    rows = [dataclasses.replace(row, sizes=pair)
            for row, pair in zip(config.anchors, sizes)]
    return dataclasses.replace(config, anchors=tuple(rows))


def distinct(config: ModelConfig) -> ModelConfig:
    """Give each map a second size that differs from its first."""
    return _with_sizes(config, paired_sizes(
        [row.sizes[0] for row in config.anchors], 1.0))


def scale_formula(config: ModelConfig) -> ModelConfig:
    """Space the sizes evenly, where the preset takes whole percents.

    The first two sizes stay; the others rise to 0.9 by ``scale_sizes``.
    """
    first, second = (row.sizes[0] for row in config.anchors[:2])
    sizes = scale_sizes(len(config.anchors), second, 0.9, first)
    return _with_sizes(config, paired_sizes(sizes, 2 * sizes[-1] - sizes[-2]))


def whole_pixels(config: ModelConfig) -> ModelConfig:
    """Cut sizes to whole pixels as Caffe does, before the second is made.

    A row's two sizes are a least one and its geometric mean with a greatest
    one; Caffe keeps least and greatest as integers.
    """
    height, sizes = config.input_size[0], []
    for row in config.anchors:
        least, mean = (size * height for size in row.sizes)
        # The small number: 64 / 320 * 320 may come out just below 64.
        low, high = (floor(x + 1e-6) for x in (least, mean ** 2 / least))
        sizes.append((low / height, sqrt(low * high) / height))
    return _with_sizes(config, sizes)


def authors(config: ModelConfig) -> ModelConfig:
    """Do what the authors' code does, also where it is a slip.

    Raises:
        ValueError: the authors published no code for this network.
    """
    require(config.name in AUTHORS, f"{config.name} has no form of the "
            f"authors' own, which exists for {', '.join(AUTHORS)}")
    steps, fields, cut = AUTHORS[config.name]
    config = with_steps(dataclasses.replace(config, **fields), steps)
    return whole_pixels(config) if cut else config


FORMS = {"authors": authors, "distinct": distinct, "even_steps": even_steps,
         "scale_formula": scale_formula}


def get(name: str, **changes: Any) -> ModelConfig:
    """Return the preset of that name, with some fields changed.

    Steps given in pixels belong to the preset's own input: at another size
    the centres lie evenly over the image.

    Args:
        name: a key of ``PRESETS``, or dsod300_ablation_1 to 8: the rows of
            ``ablation``.
        changes: fields of its configuration, or a form of it:
            ``authors=True`` for what the authors' code does,
            ``even_steps=True`` for centres evenly over the image on every
            map, ``scale_formula=True`` for evenly spaced sizes,
            ``distinct=True`` for a second size that differs from the
            first, which ``dsod_gluon`` lacks.

    Raises:
        ValueError: no preset has that name, or a change is not legal.

    >>> get("dsod300", num_classes=3, input_size=(256, 320)).map_shapes()[0]
    (32, 40)
    >>> get("dsod300").anchors[-1].step, get("dsod300_lite").anchors[-1].step
    (1.0, None)
    """
    require(name in NAMED, f"no preset is called {name!r}, expected one "
            f"of {', '.join(NAMED)}")
    preset = NAMED[name]
    for form, change in FORMS.items():
        if changes.pop(form, False):
            preset = change(preset)
    require_fields(type(preset), changes, name)
    config = dataclasses.replace(preset, **changes)
    resized = config.input_size != preset.input_size
    return even_steps(config) if resized and "anchors" not in changes \
        else config
