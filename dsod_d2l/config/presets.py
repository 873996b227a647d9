"""The presets: configurations with a name, as values."""

from __future__ import annotations

import dataclasses

from .networks import (AnchorSpec, DSODConfig, GluonDSODConfig, ToySSDConfig,
                       paired_sizes, require)

TWO = (1, 2, 1 / 2)
THREE = (1, 2, 1 / 2, 3, 1 / 3)


def _rows(pairs, ratios, steps=None):
    """Return one AnchorSpec per map."""
    steps = steps or (None,) * len(pairs)
    return tuple(AnchorSpec(sizes=pair, ratios=shape, step=step)
                 for pair, shape, step in zip(pairs, ratios, steps))


# SSD's rule: 10 %, then 20 % to 88 % in steps of 17 %, as 300-pixel sizes.
SSD300_SIZES = tuple(size / 300 for size in (30, 60, 111, 162, 213, 264))
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
DSOD300 = DSODConfig(
    name="dsod300", num_classes=20, input_size=(300, 300),
    anchors=_rows(SSD300_PAIRS, SSD300_RATIOS,
                  [step / 300 for step in (8, 16, 32, 64, 100, 300)]))

# The same rule for sizes, and every width a multiple of 16. One layer at a
# quarter of the image, where a layer costs most; no norms before the heads,
# which would take a third of a step on a CPU.
DSOD_TINY = DSODConfig(
    name="dsod_tiny", stem=16, bottleneck=64, growth=32, layers=(1, 4, 3),
    second=64, predictions=(64, 64, 64), l2_scale=None, head_norm=False,
    anchors=_rows(SSD300_PAIRS[:5], SSD300_RATIOS[:5]))

PRESETS = {preset.name: preset for preset in
           (TOY_SSD, DSOD_GLUON, DSOD300, DSOD_TINY)}


def get(name, **changes):
    """Return the preset of that name, with some fields changed.

    Args:
        name: a key of ``PRESETS``.
        changes: fields of its configuration; ``distinct=True`` gives
            ``dsod_gluon`` a second size that differs from the first.

    Raises:
        ValueError: no preset has that name, or a change is not legal.

    >>> get("dsod300", num_classes=3).input_size
    (300, 300)
    """
    require(name in PRESETS, f"no preset is called {name!r}, expected one "
            f"of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if changes.pop("distinct", False):
        pairs = paired_sizes([row.sizes[0] for row in preset.anchors], 1.0)
        rows = [dataclasses.replace(row, sizes=pair) for row, pair
                in zip(preset.anchors, pairs)]
        preset = dataclasses.replace(preset, anchors=tuple(rows))
    known = {field.name for field in dataclasses.fields(preset)}
    unknown = sorted(set(changes) - known)
    require(not unknown, f"{name} has no field {', '.join(unknown)}")
    return dataclasses.replace(preset, **changes)
