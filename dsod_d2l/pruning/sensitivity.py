"""Which layers a network can least do without."""

from __future__ import annotations

from typing import NamedTuple

from ..config import DetectConfig
from ..detection import Detector
from ..evaluation import evaluate_dataset
from .choosing import filter_groups, make_plan
from .cutting import masked

RATIOS = (0.25, 0.5, 0.75)


class Sensitivity(NamedTuple):
    """What a layer costs: AP with a share of its filters at zero.

    layer: its name.
    filters: how many it has.
    ratio: share of them at zero, the smallest first.
    AP: on the images the network is judged on.
    """

    layer: str
    filters: int
    ratio: float
    AP: float


def scan(net, classes, judged, ratios=RATIOS, note=None, letter_box=False,
         **wishes):
    """Judge a network with each layer pruned by itself, and nothing trained.

    Args:
        net, classes: an initialised ``Network``, and its classes.
        judged: the images it is judged on, once for each layer and ratio.
        ratios: shares of the filters.
        note: called with each ``Sensitivity`` as it is there.
        letter_box: whether images are fitted in undistorted.
        wishes: ``layers``, ``protect`` and ``shortcuts`` of ``make_plan``.

    Returns:
        List of ``Sensitivity``: for each layer one of each ratio that takes
        out a filter of it.

    Raises:
        ValueError: a ratio is not between 0 and 1, none takes out a filter,
            or a pattern fits no layer.
    """
    for ratio in ratios:
        if not 0 < ratio < 1:
            raise ValueError("ratios of a scan must be between 0 and 1, "
                             f"found {ratio:g}")
    tasks = [(group, ratio) for group in filter_groups(net, **wishes)
             for ratio in ratios if int(ratio * len(group.roots)) >= 1]
    if not tasks:
        raise ValueError(f"{net.config.name}: no layer may lose filters, or "
                         f"none has enough for ratio {max(ratios):g}")
    rows = []
    for group, ratio in tasks:
        plan = make_plan(net, ratio, [group.name], multiple=1,
                         shortcuts=wishes.get("shortcuts", False))
        zeroed = masked(net, plan)
        detector = Detector(zeroed, zeroed.config, classes,
                            DetectConfig(letter_box=letter_box))
        result = evaluate_dataset(detector, judged)
        rows.append(Sensitivity(group.name, len(group.roots), ratio,
                                result.AP))
        if note:
            note(rows[-1])
    return rows
