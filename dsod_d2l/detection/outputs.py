"""From class scores and offsets to labelled boxes, in NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..boxes import area, clip, iou
from ..config import DetectConfig
from ..targets import VARIANCES, decode

BLOCK = 128      # boxes that nms compares at once: bounds its memory


class Detections(NamedTuple):
    """What was found in one image, highest score first.

    labels: (D,) int64, class indices from 0.
    scores: (D,) float32, probabilities.
    boxes: (D, 4) float32 corner boxes.
    """

    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray


def in_pixels(detections, image_shape):
    """Return the detections with boxes in pixels of the image.

    Args:
        detections: ``Detections`` in fractions of the image.
        image_shape: (height, width, ...) of the image.

    >>> half = Detections([0], [.9], np.array([[0.0, 0.5, 1.0, 1.0]]))
    >>> in_pixels(half, (200, 300)).boxes.tolist()
    [[0.0, 100.0, 300.0, 200.0]]
    """
    height, width = image_shape[:2]
    scale = np.array([width, height, width, height], dtype=np.float32)
    return detections._replace(boxes=detections.boxes * scale)


def softmax(scores):
    """Turn class scores into probabilities, over the last axis.

    Args:
        scores: (..., K + 1) array, finite.

    Returns:
        Array of the same shape; every row sums to 1, whatever its size.

    >>> softmax(np.array([[1000.0, 1000.0], [0.0, -1000.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def nms(boxes, scores, threshold=0.45):
    """Drop every box that overlaps a better one: non-maximum suppression.

    Args:
        boxes: (N, 4) corner boxes, all of one class.
        scores: (N,) scores; of equal ones the first in the array is better.
        threshold: IoU above which the worse of two boxes is dropped.

    Returns:
        int64 array of the indices kept, best first.

    Paper: SSD, section 3.7 (arXiv:1512.02325).

    >>> boxes = np.array([[0, 0, .5, 1], [0, 0, .5, .9], [.5, 0, 1, 1]])
    >>> nms(boxes, np.array([0.6, 0.9, 0.7])).tolist()
    [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    kept = [order[:0]]
    while len(order):
        block, order = order[:BLOCK], order[BLOCK:]
        overlaps = iou(boxes[block], boxes[block]) > threshold
        alive = np.ones(len(block), dtype=bool)
        for row in range(len(block)):
            if alive[row]:
                alive[row + 1:] &= ~overlaps[row, row + 1:]
        kept.append(block[alive])
        if len(order):
            worse = iou(boxes[order], boxes[kept[-1]]) > threshold
            order = order[~worse.any(axis=1)]
    return np.concatenate(kept)


def best_first(scores, count):
    """Return the indices of the highest scores, best first.

    Args:
        scores: (N,) array.
        count: how many to return at most.

    Returns:
        int64 array; of equal scores the first in the array comes first.

    >>> best_first(np.array([0.5, 0.2, 0.9, 0.5, 0.5]), 3).tolist()
    [2, 0, 3]
    """
    chosen = np.arange(len(scores))
    if len(scores) > count:       # cheaper than sorting all of them
        least = np.partition(scores, -count)[-count]
        chosen = np.flatnonzero(scores >= least)
    order = np.argsort(-scores[chosen], kind="stable")
    return chosen[order[:count]]


def detections_from_outputs(class_scores, offsets, anchors, config=None,
                            variances=VARIANCES):
    """Turn the outputs of a network for one image into detections.

    Each class on its own: scores below the threshold leave, the best
    candidates stay, ``nms`` thins them out. The best of all classes are
    kept. One anchor may give detections of several classes.

    Args:
        class_scores: (N, K + 1) before the softmax, class 0 background.
        offsets: (N, 4) predicted dx, dy, dw, dh.
        anchors: (N, 4) corner boxes.
        config: ``DetectConfig``, default the authors' values.
        variances: see ``targets.encode``.

    Returns:
        ``Detections``, boxes cut to the image; a box of which nothing is
        left there is no candidate.

    Raises:
        ValueError: the numbers of rows differ, or an output is not finite.

    Paper: SSD, section 3.7 (arXiv:1512.02325).
    """
    config = config or DetectConfig()
    _check_outputs(class_scores, offsets, anchors)
    scores = softmax(class_scores)[:, 1:]
    likely = np.flatnonzero((scores >= config.score_threshold).any(axis=1))
    with np.errstate(over="ignore"):      # an endless box is cut below
        boxes = clip(decode(offsets[likely], anchors[likely], variances))
    inside = area(boxes) > 0
    boxes, scores = boxes[inside], scores[likely[inside]]
    found = [_one_class(boxes, column, config) for column in scores.T.copy()]
    rows = np.concatenate(found)
    labels = np.repeat(np.arange(scores.shape[1]), [len(f) for f in found])
    best = best_first(scores[rows, labels], config.keep)
    rows, labels = rows[best], labels[best]
    return Detections(labels, scores[rows, labels].astype(np.float32),
                      boxes[rows].astype(np.float32))


def _one_class(boxes, scores, config):
    """Return the rows that are detections of one class."""
    rows = np.flatnonzero(scores >= config.score_threshold)
    rows = rows[best_first(scores[rows], config.candidates)]
    return rows[nms(boxes[rows], scores[rows], config.nms_threshold)]


def _check_outputs(class_scores, offsets, anchors):
    rows = {len(class_scores), len(offsets), len(anchors)}
    if len(rows) > 1 or class_scores.ndim != 2 or offsets.shape[1:] != (4,):
        raise ValueError("expected class_scores (N, K + 1) and offsets "
                         f"(N, 4) for {len(anchors)} anchors, found "
                         f"{class_scores.shape} and {offsets.shape}")
    for name, values in (("class_scores", class_scores),
                         ("offsets", offsets)):
        if not np.isfinite(values).all():
            bad = np.count_nonzero(~np.isfinite(values))
            raise ValueError(f"{name} must be finite, found {bad} values "
                             "that are not")
