"""How well a network's anchors fit the objects, and which would fit better.

An object that no anchor overlaps by half is matched to its best anchor alone,
and the network hardly ever sees it as a positive: the share of objects above
IoU .5 is what to look at, class by class, for the many objects of one class
hide the few of another.

The suggestion keeps the network's heads as they are. Candidates for the size
of a map are the centres of groups of the objects' shapes, by k-means over
IoU, and the size it has; the ratios are the network's or quantiles of the
objects'. Of these the search takes, map after map, what lifts the recall.
It looks at real anchors, not at shapes alone: a small size on a coarse map
leaves gaps between the cells.
"""

import ast
import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ... import anchors as anchor_tools, boxes as box_tools
from ...config import AnchorSpec, ModelConfig
from ...config.base import require
from ...datasets.wrappers import complete
from ...weights import load_tensors

MOST_BOXES = 20_000         # objects that are compared; more are drawn from
TRIED = 1000          # objects that the search looks at
CHUNK = 256           # objects compared at once: 9 MB for 9000 anchors
GROUPS = 8            # of k-means
ROUNDS = 100
THRESHOLD = 0.5
GAIN = 0.005          # of the recall; less is no reason to change a network
CHANGE = 0.001        # of the recall, that changing a map's size must earn


class AnchorFit(NamedTuple):
    """The best anchor of each object, for a network and for a suggestion.

    rows: (S,) indices of the objects that were compared.
    overlaps: (S,) IoU of each with its best anchor.
    specs: the suggested ``AnchorSpec`` of each map, or None where the
        network's own are as good.
    suggested: (S,) IoU with the best of those anchors, or None.
    """

    rows: np.ndarray
    overlaps: np.ndarray
    specs: tuple | None
    suggested: np.ndarray | None


def recall(overlaps: np.ndarray) -> float:
    """Return the share of objects that an anchor overlaps by half or more."""
    return float((np.asarray(overlaps) >= THRESHOLD).mean())


def class_recall(overlaps: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of the recalls of the classes that have objects."""
    return float(np.mean([recall(overlaps[labels == label])
                          for label in np.unique(labels)]))


def fit_anchors(config: ModelConfig, boxes: np.ndarray, labels: np.ndarray,
                rng: np.random.Generator) -> AnchorFit:
    """Compare a network's anchors with objects, and suggest others.

    Args:
        config: ``ModelConfig``.
        boxes: (M, 4) corner boxes in fractions, M at least 1.
        labels: (M,) class indices.
        rng: numpy.random.Generator; draws ``MOST_BOXES`` of more objects, and
            those the search looks at.

    Returns:
        ``AnchorFit``.
    """
    rows = _compared(boxes, rng)
    boxes, labels = np.asarray(boxes)[rows], np.asarray(labels)[rows]
    specs = suggest(config, boxes[_balanced(labels, rng)])
    fit = _compare(config, specs, boxes, rows)
    if (class_recall(fit.suggested, labels)
            < class_recall(fit.overlaps, labels) + GAIN):
        return fit._replace(specs=None, suggested=None)
    return fit


def _compare(config, specs, boxes, rows):
    """Return the AnchorFit of a network's own anchors and of others."""
    other = dataclasses.replace(config, anchors=specs)
    found, new = (best_overlaps(anchor_tools.anchors_for(one), boxes)
                  for one in (config, other))
    return AnchorFit(rows, found, specs, new)


def _compared(boxes, rng):
    """Return the rows of the boxes that are compared."""
    if len(boxes) <= MOST_BOXES:
        return np.arange(len(boxes))
    return np.sort(rng.choice(len(boxes), MOST_BOXES, replace=False))


def choose_anchors(asked: str, config: ModelConfig, dataset: Any) -> AnchorFit:
    """Return the anchors that were asked for, compared with a network's own.

    Args:
        asked: "fit" for those that ``data check`` suggests, or anchors as
            ``read_anchors`` takes them.
        config: ``ModelConfig``.
        dataset: any data set that holds an object.

    Returns:
        ``AnchorFit``; its specs are None where "fit" found none that are
        clearly better.
    """
    whole, rng = complete(dataset), np.random.default_rng(0)
    entries = [whole.entry(index) for index in range(len(dataset))]
    boxes = np.concatenate([entry.boxes for entry in entries])
    if asked == "fit":
        return fit_anchors(config, boxes, np.concatenate(
            [entry.labels for entry in entries]), rng)
    rows = _compared(boxes, rng)
    return _compare(config, read_anchors(asked, config), boxes[rows], rows)


SPEC = re.compile(r"AnchorSpec\(([^()]*(?:\([^()]*\)[^()]*)*)\)")


def read_anchors(asked: str, config: ModelConfig) -> tuple[AnchorSpec, ...]:
    """Return anchors that a text holds, or a file.

    Args:
        asked: a weights file; or a file, or the text itself, with the lines
            ``AnchorSpec(sizes=(...), ratios=(...))`` of ``data check``, or
            with JSON: its ``--json``, or a list of {"sizes", "ratios"}.
        config: ``ModelConfig``; a map whose step is not told keeps its own.

    Raises:
        ValueError: it holds none, or for another number of maps.
    """
    if asked.endswith(".safetensors"):
        rows = load_tensors(asked)[1].get("model", {}).get("anchors")
    else:
        rows = _rows(Path(asked).read_text(encoding="utf-8")
                     if os.path.isfile(asked) else asked)
    require(isinstance(rows, list) and rows
            and all(isinstance(row, dict) for row in rows),
            f"--anchors {asked:.80}: expected fit, or a file or text with "
            "AnchorSpec(sizes=(...), ratios=(...)) for each map, as `data "
            "check` prints them, or with its --json")
    require(len(rows) == len(config.anchors), f"--anchors {asked:.80}: "
            f"{config.name} has {len(config.anchors)} feature maps, found "
            f"anchors for {len(rows)}")
    return tuple(AnchorSpec(**{"step": own.step, **row})
                 for row, own in zip(rows, config.anchors))


def _rows(text):
    """Return the rows of a text, None if it is of another kind."""
    try:
        found = [{one.arg: ast.literal_eval(one.value) for one in
                  ast.parse(match[0], mode="eval").body.keywords}
                 for match in SPEC.finditer(text)] or json.loads(text)
    except (ValueError, SyntaxError, RecursionError):
        return None
    while isinstance(found, dict):
        found = next((found[name] for name in ("model", "suggested", "anchors")
                      if isinstance(found.get(name), (dict, list))), None)
    return found


def tell_anchors(fit: AnchorFit) -> str:
    """Return in one sentence how many objects the anchors reach."""
    before = (f"anchors: {recall(fit.overlaps):.1%} of {len(fit.rows)} "
              "objects overlap one by half or more")
    if fit.specs is None:
        return f"{before}; none were found that fit clearly better"
    return f"{before} before, {recall(fit.suggested):.1%} now"


def _balanced(labels, rng):
    """Return ``TRIED`` rows in which every class counts alike."""
    _, place, counts = np.unique(labels, return_inverse=True,
                                 return_counts=True)
    weights = 1 / counts[place.reshape(-1)]
    return rng.choice(len(labels), TRIED, p=weights / weights.sum())


def best_overlaps(anchors: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the IoU of each object with its best anchor.

    Args:
        anchors: (N, 4) corner boxes.
        boxes: (M, 4) corner boxes.

    Returns:
        (M,) array.

    >>> anchors = np.array([[0, 0, .5, .5], [.5, 0, 1, 1]])
    >>> best_overlaps(anchors, np.array([[0, 0, .5, .25], [.5, 0, 1, 1]])
    ...               ).tolist()
    [0.5, 1.0]
    """
    anchors = np.asarray(anchors, np.float32)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    parts = [box_tools.iou(anchors, boxes[start:start + CHUNK]).max(axis=0)
             for start in range(0, len(boxes), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0)


def suggest(config: ModelConfig, boxes: np.ndarray) -> tuple:
    """Return an ``AnchorSpec`` for each map that fits the objects.

    A map keeps its number of sizes, which are scaled together, its number
    of ratios, and its step; sizes do not fall from a map to the next.

    Args:
        config: ``ModelConfig``.
        boxes: (M, 4) corner boxes in fractions, M at least 1.

    Paper: k-means over IoU is YOLO9000, section 2 (arXiv:1612.08242).
    """
    height, width = config.input_size
    # In fractions of the height, as AnchorSpec counts.
    shapes = (boxes[:, 2:] - boxes[:, :2]) * [width / height, 1]
    sizes = np.sqrt(cluster(shapes, GROUPS).prod(axis=1)).round(4)
    sizes = sorted({*sizes, *(spec.sizes[0] for spec in config.anchors)})
    logs = np.log(shapes[:, 0] / shapes[:, 1])
    own = config.anchors
    other = tuple(dataclasses.replace(spec, ratios=_ratios(
        logs, len(spec.ratios))) for spec in own)
    found = [_search(config, specs, sizes, boxes) for specs in (own, other)]
    return max(found, key=lambda pair: pair[0])[1]


def _search(config, specs, sizes, boxes):
    """Return (score, specs) with the best size for each map."""
    scaled = [[dataclasses.replace(spec, sizes=tuple(
        round(float(one * size / spec.sizes[0]), 4) for one in spec.sizes))
        for size in sizes] for spec in specs]
    table = [[best_overlaps(anchor_tools.map_anchors(
        shape, spec, config.input_size), boxes) for spec in row]
        for shape, row in zip(config.map_shapes(), scaled)]
    own = [sizes.index(spec.sizes[0]) for spec in specs]
    spread = np.linspace(0, len(sizes) - 1, len(specs)).astype(int).tolist()

    def score(picked):
        if picked != sorted(picked):
            return -1.0
        best = np.max([row[one] for row, one in zip(table, picked)], axis=0)
        changes = sum(one != old for one, old in zip(picked, own))
        return (recall(best) + .02 * float(best.mean()) - CHANGE * changes)
    value, choice = max((_climb(score, start, len(sizes))
                         for start in (own, spread)), key=lambda pair: pair[0])
    return value, tuple(row[one] for row, one in zip(scaled, choice))


def _climb(score, choice, count):
    """Return (score, choice) once no change of one place is better."""
    while True:
        tries = [[*choice[:place], one, *choice[place + 1:]]
                 for place in range(len(choice)) for one in range(count)]
        better = max(tries, key=score)
        if score(better) <= score(choice) + 1e-9:
            return score(choice), choice
        choice = better


def _ratios(logs, count):
    """Return quantiles of the ratios, the middle one first, all different."""
    values = np.exp(np.quantile(logs, (np.arange(count) + .5) / count))
    order = np.argsort(abs(np.arange(count) - (count - 1) / 2), kind="stable")
    chosen = []
    for value in values[order]:
        value = round(float(value), 3)
        while value in chosen:              # objects that are all alike
            value = round(value * 1.1, 3)
        chosen.append(value)
    return tuple(chosen)


def cluster(shapes: np.ndarray, count: int) -> np.ndarray:
    """Return the centres of groups of shapes, smallest first.

    Args:
        shapes: (M, 2) widths and heights, M at least 1.
        count: number of groups.

    Returns:
        (count, 2) float64 array, sorted by area.

    >>> cluster(np.array([[1, 2], [1, 2], [6, 4]]), 2).tolist()
    [[1.0, 2.0], [6.0, 4.0]]
    """
    shapes = np.asarray(shapes, dtype=float)
    # Begin with shapes whose areas lie apart in equal proportions, so that a
    # crowd of one size does not take all the groups.
    areas = np.log(shapes.prod(axis=1))
    wanted = np.linspace(*np.quantile(areas, (.02, .98)), count)
    centres = shapes[abs(areas[:, None] - wanted).argmin(axis=0)]
    for _ in range(ROUNDS):
        shared = np.minimum(shapes[:, None], centres).prod(axis=2)
        union = (shapes.prod(axis=1)[:, None] + centres.prod(axis=1) - shared)
        nearest = (shared / union).argmax(axis=1)
        moved = np.array([np.median(shapes[nearest == group], axis=0)
                          if (nearest == group).any() else centres[group]
                          for group in range(count)])
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres[np.argsort(centres.prod(axis=1), kind="stable")]
