"""What kind of mistakes a detector makes, and what each kind costs.

The idea and the thresholds are TIDE's. A detection is looked at with the
objects that are asked for in its image, and judged as COCO does at an IoU of
.5, or another one. What is not right is, the first that holds:

- duplicate: it overlaps an object of its class by .5 or more. A better
  detection has that object.
- class: it overlaps an object of another class by .5 or more.
- localisation: it overlaps an object of its class by .1 or more.
- both: it overlaps an object of another class by .1 or more.
- background: none of these; there is nothing.

An object is missed if no detection has it, and none that is wrong by class
or by localisation points to it. Difficult objects and crowds are never asked
for, and a detection that has one, or lies half in a crowd, is not looked at.

Paper: TIDE (arXiv:2008.08115), with the duplicate before the others.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...boxes import iou
from ...detection import Detections
from ...evaluation.matching import (Curve, average_precision, match_coco,
                                    precision_recall)
from ...evaluation.measure import mean_of
from ...evaluation.tables import Truth, area_of, check_units

KINDS = ("localisation", "class", "both", "duplicate", "background")
MISTAKE_NAMES = (*KINDS, "missed")
NEAR, FAR = 0.5, 0.1


class Mistakes(NamedTuple):
    """Every detection and object of a data set, judged.

    image, labels, scores, kind, target: a row per detection, images in
        order, best first; kind is "right", "ignored" or one of ``KINDS``;
        target is the row of the object that it has or points to, or -1.
    object_image, object_labels, state: a row per object; state is
        "found", "pointed to", "missed" or "ignored".
    """

    image: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    object_image: np.ndarray
    object_labels: np.ndarray
    state: np.ndarray


def find_mistakes(detections: Sequence[Detections], truths: Iterable[Any],
                  threshold: float = 0.0, near: float = NEAR) -> Mistakes:
    """Say of every detection and every object how it was judged.

    Args:
        detections, truths: as for ``evaluate_detections``.
        threshold: detections with a lower score are left out.
        near: least IoU of what is right.

    Returns:
        ``Mistakes``.
    """
    check_units(detections)
    rows, before = [], 0
    for image, (one, truth) in enumerate(zip(detections, truths)):
        truth = Truth(*truth).whole()
        one = one[one.scores >= threshold]
        one = one[np.argsort(-one.scores, kind="stable")]
        kind, target = _judge_image(one, truth, near)
        state = np.full(len(truth.labels), "missed", dtype="<U10")
        state[target[np.isin(kind, ("class", "localisation"))]] = "pointed to"
        state[target[kind == "right"]] = "found"
        state[truth.difficult | truth.crowd] = "ignored"
        rows.append((np.full(len(kind), image), one.labels, one.scores, kind,
                     np.where(target < 0, -1, target + before),
                     np.full(len(state), image), truth.labels, state))
        before += len(state)
    return Mistakes(*map(np.concatenate, zip(*rows)))


def _judge_image(one, truth, near):
    """Return kind (D,) and target (D,) of the detections of one image."""
    kind = np.full(len(one), "background", dtype="<U12")
    target = np.full(len(kind), -1)
    out = truth.difficult | truth.crowd
    boxes = np.asarray(one.boxes, dtype=float)
    overlaps = iou(boxes, truth.boxes)
    same = one.labels[:, None] == truth.labels
    asked = np.where(out, -1, overlaps)
    rules = {"both": (~same, FAR), "localisation": (same, FAR),
             "class": (~same, near), "duplicate": (same, near)}
    for name, (where, least) in rules.items():
        value = np.where(where, asked, -1)
        hit = value.max(axis=1, initial=-1) >= least
        kind[hit] = name
        target[hit] = value[hit].argmax(axis=1) if hit.any() else -1
    for label in np.unique(truth.labels):
        mine = np.flatnonzero(one.labels == label)
        theirs = np.flatnonzero(truth.labels == label)
        table = overlaps[np.ix_(mine, theirs)]
        right, ignored = (part[0] for part in match_coco(
            table, out[theirs], [near]))
        kind[mine[right]] = "right"
        target[mine[right]] = theirs[_taken(table[right], ~out[theirs])]
        ignored |= ~right & _in_crowd(boxes[mine], truth, theirs, near)
        kind[mine[ignored]], target[mine[ignored]] = "ignored", -1
    return kind, target


def _taken(overlaps, free):
    """Return the column that each of the right detections has."""
    taken = []
    for row in overlaps:
        liking = np.where(free, row, -1)[::-1]     # of equals the last
        taken.append(len(free) - 1 - liking.argmax())
        free[taken[-1]] = False
    return np.array(taken, dtype=int)


def _in_crowd(boxes, truth, theirs, near):
    """Say which boxes lie in a crowd of their class by so much."""
    crowds = truth.boxes[theirs][truth.crowd[theirs]]
    low = np.maximum(boxes[:, None, :2], crowds[:, :2])
    high = np.minimum(boxes[:, None, 2:], crowds[:, 2:])
    inner = np.maximum(high - low, 0).prod(axis=2)
    return (inner >= near * area_of(boxes)[:, None]).any(axis=1)


def count_mistakes(mistakes: Mistakes) -> dict[str, int]:
    """Return how many there are of each kind, by name.

    Args:
        mistakes: of ``find_mistakes``, at the threshold at which the
            detector is to be used.

    Returns:
        {name: int} for "right" and each of ``MISTAKE_NAMES``.
    """
    counts = Counter([*mistakes.kind, *mistakes.state])
    return {name: counts[name] for name in ("right", *MISTAKE_NAMES)}


def cost_of_mistakes(mistakes: Mistakes, num_classes: int) -> dict[str, float]:
    """Return by how much AP50 would rise without each kind of mistake.

    A wrong class or place is put right where nobody else has the object, and
    the best of several is the one that is; other detections are taken away.
    Missed objects are not asked for any more.

    Args:
        mistakes: of ``find_mistakes`` with all detections.
        num_classes: number of foreground classes.

    Returns:
        {name: float} for each of ``MISTAKE_NAMES``; nan where there is no
        object.
    """
    before = _ap50(mistakes, num_classes)
    return {name: _ap50(_without(mistakes, name), num_classes) - before
            for name in MISTAKE_NAMES}


def _without(mistakes, name):
    """Return the mistakes with those of a kind mended or taken away."""
    labels, kind = mistakes.labels.copy(), mistakes.kind.copy()
    rows = np.flatnonzero(kind == name)
    kind[rows] = "ignored"
    if name in ("class", "localisation"):
        able = rows[mistakes.state[mistakes.target[rows]] == "pointed to"]
        able = able[np.argsort(-mistakes.scores[able], kind="stable")]
        targets, first = np.unique(mistakes.target[able], return_index=True)
        kind[able[first]] = "right"
        labels[able[first]] = mistakes.object_labels[targets]
    state = np.where(mistakes.state == name, "ignored", mistakes.state)
    return mistakes._replace(labels=labels, kind=kind, state=state)


def _ap50(mistakes, num_classes):
    objects = np.bincount(
        mistakes.object_labels[mistakes.state != "ignored"],
        minlength=num_classes)
    return mean_of(
        average_precision(*class_curve(mistakes, label, objects[label]))
        for label in np.flatnonzero(objects))


def class_curve(mistakes: Mistakes, label: int, objects: int) -> Curve:
    """Return precision and recall of a class that has so many objects."""
    rows = (mistakes.kind != "ignored") & (mistakes.labels == label)
    return precision_recall(mistakes.scores[rows],
                            mistakes.kind[rows] == "right", objects)


def best_threshold(mistakes: Mistakes) -> float:
    """Return the score at which most is right: that of the highest F1.

    Args:
        mistakes: of ``find_mistakes`` with all detections.

    Returns:
        A score; 0 where nothing is right. All classes count together.
    """
    counts = mistakes.kind != "ignored"
    objects = (mistakes.state != "ignored").sum()
    scores, right = mistakes.scores[counts], mistakes.kind[counts] == "right"
    if not right.any():
        return 0.0
    curve = precision_recall(scores, right, objects)
    # F1 = 2 p r / (p + r) = 2 right / (detections + objects)
    f1 = curve.recall * objects / (np.arange(1, len(right) + 1) + objects)
    ordered = -np.sort(-scores)
    last = np.append(ordered[1:] != ordered[:-1], True)   # of equal scores
    return float(ordered[np.where(last, f1, -1).argmax()])


def count_confusions(mistakes: Mistakes, num_classes: int) -> np.ndarray:
    """Return how often an object of a class was taken for one of another.

    Args:
        mistakes: of ``find_mistakes``, at the threshold at which the
            detector is to be used.
        num_classes: K, number of foreground classes.

    Returns:
        (K + 1, K + 1) int64, objects down and detections across. The last
        row has detections where no object is left for them, the last column
        objects that nobody has found. What is right is on the diagonal; a
        wrong class has its object if no better one has it.
    """
    kind, target, state = mistakes.kind, mistakes.target, mistakes.state
    able = np.flatnonzero(np.isin(kind, ("right", "class")))
    able = able[np.isin(state[target[able]], ("found", "pointed to"))
                & ((kind[able] == "right") | (state[target[able]] != "found"))]
    able = able[np.argsort(-mistakes.scores[able], kind="stable")]
    targets, first = np.unique(target[able], return_index=True)
    meant = np.full(len(kind), num_classes)
    meant[able[first]] = mistakes.object_labels[targets]
    left = state != "ignored"
    left[targets] = False
    table = np.zeros((num_classes + 1,) * 2, dtype=np.int64)
    counts = kind != "ignored"
    np.add.at(table, (meant[counts], mistakes.labels[counts]), 1)
    np.add.at(table, (mistakes.object_labels[left], num_classes), 1)
    return table


def precision_and_recall(table: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall and F1 of each class, and of all together.

    Args:
        table: (K + 1, K + 1), of ``count_confusions``.

    Returns:
        {"precision", "recall", "F1": (K + 1,)}, all together last; nan where
        nothing was found, there is no object, or neither.
    """
    right = np.diag(table)[:-1]
    right, objects, found = (
        np.append(part, part.sum()).astype(float) for part in (
            right, table[:-1].sum(axis=1), table[:, :-1].sum(axis=0)))
    with np.errstate(invalid="ignore"):
        return {"precision": right / found, "recall": right / objects,
                "F1": 2 * right / (found + objects)}


def worst_images(mistakes: Mistakes, count: int = 12) -> list[tuple[int, int]]:
    """Return the images with most mistakes.

    Args:
        mistakes: of ``find_mistakes``, at the threshold at which the
            detector is to be used.
        count: how many images at most.

    Returns:
        List of (image, number of mistakes), the worst first; a wrong
        detection and an object that is not found count one each. Images
        without a mistake are left out.
    """
    wrong = ~np.isin(mistakes.kind, ("right", "ignored"))
    lost = np.isin(mistakes.state, ("missed", "pointed to"))
    numbers = Counter([*mistakes.image[wrong].tolist(),
                       *mistakes.object_image[lost].tolist()])
    return sorted(numbers.items(), key=lambda one: (-one[1], one[0]))[:count]
