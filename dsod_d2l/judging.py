"""Judging: which detections of one class in one image are right.

One class in one image, where the two ways can be read; ``evaluation`` does
the same for whole data sets. Both go best score first, and both ask for an
IoU >= threshold:

- COCO: a detection takes the object it overlaps most among those still free.
- VOC: a detection asks for the object it overlaps most, and is wrong if a
  better one has taken it.

A difficult object is not asked for, and who finds it is neither right nor
wrong.
"""

from __future__ import annotations

import numpy as np

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def match_coco(overlaps, difficult, thresholds=IOU_THRESHOLDS):
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


def match_voc(overlaps, difficult, threshold=0.5):
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
