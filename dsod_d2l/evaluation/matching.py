"""Matching in one image, the precision-recall curve, the area under it."""

from typing import Any, NamedTuple

import numpy as np

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def match_coco(overlaps: np.ndarray, difficult: np.ndarray,
               thresholds: Any = IOU_THRESHOLDS
               ) -> tuple[np.ndarray, np.ndarray]:
    """Match the detections of one class in one image as COCO does.

    Args:
        overlaps: (D, M) IoU of detections, best score first, with objects.
        difficult: (M,) bool. A free object that is not is preferred.
        thresholds: (T,) least IoU.

    Returns:
        Two bool arrays (T, D): correct, and not counted at all.

    >>> overlaps = np.array([[0.6, 0.8], [0.2, 0.7]])
    >>> match_coco(overlaps, np.array([False, False]), [0.5])[0].tolist()
    [[True, False]]
    """
    thresholds = np.asarray(thresholds)[:, None]
    free = np.ones((len(thresholds), overlaps.shape[1]), dtype=bool)
    found = np.full((len(thresholds), len(overlaps)), -1)
    every = np.arange(len(thresholds))
    highest = overlaps.max(axis=1, initial=0)
    for row in np.flatnonzero(highest >= thresholds.min()):
        fit = free & (overlaps[row] >= thresholds)               # (T, M)
        # Of equal overlaps COCO takes the last: read from the end.
        liking = np.where(fit, overlaps[row] - difficult, -2)[:, ::-1]
        best = liking.shape[1] - 1 - liking.argmax(axis=1)
        taken = fit[every, best]
        found[taken, row] = best[taken]
        free[every[taken], best[taken]] = False
    ignored = np.append(difficult, False)[found]
    return (found >= 0) & ~ignored, ignored


def match_voc(overlaps: np.ndarray, difficult: np.ndarray,
              threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Match the detections of one class in one image as VOC does.

    Args:
        overlaps, difficult: as in ``match_coco``.
        threshold: least IoU.

    Returns:
        Two bool arrays (D,): correct, and not counted at all.

    >>> overlaps = np.array([[0.6, 0.8], [0.7, 0.75]])
    >>> match_voc(overlaps, np.array([False, False]))[0].tolist()
    [True, False]
    """
    correct = np.zeros(len(overlaps), dtype=bool)
    if not overlaps.size:
        return correct, correct.copy()
    wanted = overlaps.argmax(axis=1)
    near = overlaps.max(axis=1) >= threshold
    ignored = near & difficult[wanted]
    right = np.flatnonzero(near & ~ignored)
    _, first = np.unique(wanted[right], return_index=True)
    correct[right[first]] = True
    return correct, ignored


# Exact tenths, so that a recall of 3 / 10 reaches 0.3; COCO's hundredths
# are those of its own evaluator, rounding included.
RECALL_POINTS = {"voc07": np.arange(11) / 10,
                 "coco": np.linspace(0, 1, 101)}


class Curve(NamedTuple):
    """Recall and precision after each detection, best score first."""

    recall: np.ndarray
    precision: np.ndarray


def precision_recall(scores: Any, correct: Any, objects: int) -> Curve:
    """Return the precision-recall curve of one class.

    Args:
        scores: (D,) scores of the detections of all images.
        correct: (D,) bool, True where a detection found its object.
        objects: number of objects that were to be found, at least 1.

    Returns:
        ``Curve`` of two (D,) arrays; equal scores keep their order.

    >>> curve = precision_recall(np.array([0.7, 0.9]), [True, False], 4)
    >>> curve.recall.tolist(), curve.precision.tolist()
    ([0.0, 0.25], [0.0, 0.5])
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    right = np.cumsum(np.asarray(correct)[order])
    return Curve(right / objects, right / np.arange(1, len(order) + 1))


def average_precision(recall: np.ndarray, precision: np.ndarray,
                      style: str = "coco") -> float:
    """Return the area under a precision-recall curve, as a fraction.

    Every style first lets the precision at a recall be the best one at that
    recall or a higher one.

    Args:
        recall: (D,) array that never falls.
        precision: (D,) array.
        style: "voc07", mean at the 11 recalls 0, .1 to 1; "area", under all
            points (VOC since 2010); "coco", mean at 101 recalls.

    Raises:
        ValueError: there is no such style.

    >>> recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1, .5, .5])
    >>> average_precision(recall, precision, "area")
    0.75
    >>> round(average_precision(recall, precision, "voc07"), 4)  # 6 + 5 / 2
    0.7727
    """
    best = np.maximum.accumulate(np.append(precision, 0)[::-1])[::-1]
    if style == "area":
        return float((np.diff(recall, prepend=0) * best[:-1]).sum())
    if style not in RECALL_POINTS:
        raise ValueError("style must be one of area, "
                         f"{', '.join(RECALL_POINTS)}, found {style!r}")
    at = np.searchsorted(recall, RECALL_POINTS[style], side="left")
    return float(best[at].mean())
