"""Two steps: anchors are refined first, and classified and moved again."""

from collections.abc import Callable
from math import log

import numpy as np

from .targets import Targets, decode, encode, label_anchors

EASY = 20.0      # largest dw, dh of a refinement: 55 times as wide


def refine(anchors: np.ndarray, moves: np.ndarray,
           decode: Callable = decode) -> np.ndarray:
    """Return the anchors as the first step has moved them.

    Args:
        anchors: (N, 4) corner boxes.
        moves: (N, 4) predicted dx, dy, dw, dh. The last two are cut to -20
            and 20, which keeps every box finite and every side above 0.
        decode: see ``targets.codec_for``.

    Returns:
        (N, 4) corner boxes, not clipped to the image.

    Raises:
        ValueError: an offset is not finite.

    Paper: RefineDet, section 3, "two-step cascaded regression"
    (arXiv:1711.06897).

    >>> anchor = np.array([[0.0, 0.0, 0.4, 0.2]])
    >>> refine(anchor, np.array([[5.0, 0.0, 0.0, 0.0]])).round(6).tolist()
    [[0.2, 0.0, 0.6, 0.2]]
    """
    moves = np.asarray(moves)
    bad = np.count_nonzero(~np.isfinite(moves))
    if bad:
        raise ValueError("offsets that refine anchors must be finite, found "
                         f"{bad} values that are not")
    sizes = np.clip(moves[:, 2:], -EASY, EASY)
    return decode(np.concatenate([moves[:, :2], sizes], axis=1), anchors)


def easy_negatives(objectness: np.ndarray,
                   most: float | None = 0.99) -> np.ndarray:
    """Tell which anchors the first step is sure to be background.

    Args:
        objectness: (N, 2) scores before the softmax, background first.
        most: probability of background above which an anchor is left out,
            below 1; None: none is.

    Returns:
        (N,) bool array.

    Paper: RefineDet, section 3, "negative anchor filtering"
    (arXiv:1711.06897).

    >>> easy_negatives(np.array([[5.0, 0.0], [0.0, 5.0], [4.0, 0.0]])).tolist()
    [True, False, False]
    """
    if most is None:
        return np.zeros(len(objectness), dtype=bool)
    return objectness[:, 0] - objectness[:, 1] > log(most / (1 - most))


def second_targets(anchors: np.ndarray, objectness: np.ndarray,
                   moves: np.ndarray, truth: tuple[np.ndarray, np.ndarray],
                   threshold: float = 0.5, most: float | None = 0.99,
                   encode: Callable = encode,
                   decode: Callable = decode) -> Targets:
    """Make the targets of the second step for one image.

    Objects are matched with the refined anchors, and boxes are expressed
    relative to these. An anchor without object that the first step is sure
    of counts for nothing (class -1); one with an object always counts.

    Args:
        anchors: (N, 4) corner boxes.
        objectness, moves: (N, 2) and (N, 4), outputs of the first step.
        truth: boxes (M, 4) and labels (M,) of the objects.
        threshold: see ``targets.label_anchors``.
        most: see ``easy_negatives``.
        encode, decode: see ``targets.codec_for``.

    Returns:
        ``Targets`` of N anchors.

    Paper: RefineDet, section 3 (arXiv:1711.06897).
    """
    found = label_anchors(refine(anchors, moves, decode), *truth, threshold,
                          encode=encode)
    easy = easy_negatives(objectness, most)
    found.classes[easy & ~found.positive] = -1
    return found
