"""A preset by its name, in one of its forms, with some fields changed."""

from __future__ import annotations

import dataclasses
from math import floor, sqrt

from .ablations import ablation
from .base import paired_sizes, scale_sizes
from .checks import require
from .presets import DSOD300_STEPS, PRESETS
from .refined_presets import REFINEDET_PARTS

NAMED = {**PRESETS, **{row.name: row for row in ablation().values()}}

GRP_STEPS = tuple(step / 320 for step in (8, 16, 32, 64, 100, 320))
GRP_PARTS = {"up": "frozen", "gate_init": "zero"}
AUTHORS = {      # steps, fields, and whether sizes are cut to whole pixels
    **dict.fromkeys(("dsod300", "dsod300_coco", "dsod300_lite",
                     "dsod300_smallest"), (DSOD300_STEPS, {}, False)),
    **dict.fromkeys(("grp_dsod320", "grp_dsod320_star"),
                    (GRP_STEPS, GRP_PARTS, True)),
    **dict.fromkeys(("refinedet320_vgg16", "refinedet512_vgg16"),
                    ((None,) * 4, REFINEDET_PARTS, False))}


def _with_steps(config, steps):
    rows = [dataclasses.replace(row, step=step)
            for row, step in zip(config.anchors, steps)]
    return dataclasses.replace(config, anchors=tuple(rows))


def even_steps(config):
    """Put the centres of every map's anchors evenly over the image.

    The authors' step of 300 pixels on the 2 x 2 map of DSOD300 puts 12 of
    its 8744 anchors outside the image.
    """
    return _with_steps(config, [None] * len(config.anchors))


def distinct(config):
    """Give each map a second size that differs from its first."""
    pairs = paired_sizes([row.sizes[0] for row in config.anchors], 1.0)
    rows = [dataclasses.replace(row, sizes=pair) for row, pair
            in zip(config.anchors, pairs)]
    return dataclasses.replace(config, anchors=tuple(rows))


def scale_formula(config):
    """Space the sizes evenly, where the preset takes whole percents.

    The first two sizes stay; the others rise to 0.9 by ``scale_sizes``.
    """
    first, second = (row.sizes[0] for row in config.anchors[:2])
    sizes = scale_sizes(len(config.anchors), second, 0.9, first)
    pairs = paired_sizes(sizes, 2 * sizes[-1] - sizes[-2])
    rows = [dataclasses.replace(row, sizes=pair) for row, pair
            in zip(config.anchors, pairs)]
    return dataclasses.replace(config, anchors=tuple(rows))


def whole_pixels(config):
    """Cut sizes to whole pixels as Caffe does, before the second is made.

    A row's two sizes are a least one and its geometric mean with a greatest
    one; Caffe keeps least and greatest as integers.
    """
    height, rows = config.input_size[0], []
    for row in config.anchors:
        least, mean = (size * height for size in row.sizes)
        # The small number: 64 / 320 * 320 may come out just below 64.
        low, high = (floor(x + 1e-6) for x in (least, mean ** 2 / least))
        sizes = (low / height, sqrt(low * high) / height)
        rows.append(dataclasses.replace(row, sizes=sizes))
    return dataclasses.replace(config, anchors=tuple(rows))


def authors(config):
    """Do what the authors' code does, also where it is a slip.

    Raises:
        ValueError: the authors published no code for this network.
    """
    require(config.name in AUTHORS, f"{config.name} has no form of the "
            f"authors' own, which exists for {', '.join(AUTHORS)}")
    steps, fields, cut = AUTHORS[config.name]
    config = _with_steps(dataclasses.replace(config, **fields), steps)
    return whole_pixels(config) if cut else config


FORMS = {"authors": authors, "distinct": distinct, "even_steps": even_steps,
         "scale_formula": scale_formula}


def get(name, **changes):
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
    known = {field.name for field in dataclasses.fields(preset)}
    unknown = sorted(set(changes) - known)
    require(not unknown, f"{name} has no field {', '.join(unknown)}")
    config = dataclasses.replace(preset, **changes)
    resized = config.input_size != preset.input_size
    return even_steps(config) if resized and "anchors" not in changes \
        else config
