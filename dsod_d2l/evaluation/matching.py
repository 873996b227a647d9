"""Matching: which object each detection of a data set gets.

The same rules as in ``judging``, for all images at once. COCO's takes turns:
first the best detection of every image and class asks, then every second one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..judging import match_voc
from .tables import area_of, places


class Pairs(NamedTuple):
    """Detections and objects of one image and class, a row per pair."""

    found: np.ndarray       # row of the detection
    wanted: np.ndarray      # row of the object
    overlaps: np.ndarray


def all_pairs(found, wanted, pixel=0, crowds=False):
    """Return each detection with each object of its image and class.

    Args:
        found, wanted: ``Found`` and ``Wanted`` of one class.
        pixel: what is added to every width and height: 1 where a box from
            pixel 3 to pixel 5 counts as three wide.
        crowds: whether the overlap with a crowd is the share of the
            detection that lies in it, as COCO has it, rather than the IoU.

    Returns:
        ``Pairs``, in the order of the detections, then of the objects.
    """
    low = np.searchsorted(wanted.image, found.image, side="left")
    many = np.searchsorted(wanted.image, found.image, side="right") - low
    rows = np.repeat(np.arange(len(many)), many)
    columns = np.arange(len(rows)) + np.repeat(low + many - many.cumsum(),
                                               many)
    one = found.boxes + [0, 0, pixel, pixel]
    other = wanted.boxes + [0, 0, pixel, pixel]
    inner = _inner(one[rows], other[columns])
    union = area_of(one)[rows]
    rest = area_of(other)[columns] - inner
    if crowds:
        rest[wanted.crowd[columns]] = 0
    union = union + rest
    overlaps = np.divide(inner, union, out=np.zeros(len(inner)),
                         where=union > 0)
    return Pairs(rows, columns, overlaps)


def _inner(one, other):
    """Return the areas that boxes (P, 4) share with boxes (P, 4)."""
    width = (np.minimum(one[:, 2], other[:, 2])
             - np.maximum(one[:, 0], other[:, 0]))
    height = (np.minimum(one[:, 3], other[:, 3])
              - np.maximum(one[:, 1], other[:, 1]))
    return np.maximum(width, 0) * np.maximum(height, 0)


def voc(found, wanted, threshold, pixel):
    """Match one class as VOC does; see ``judging.match_voc``.

    Crowds are taken for difficult objects.

    Returns:
        Two bool arrays (D,): correct, and not counted at all.
    """
    pairs = all_pairs(found, wanted, pixel)
    ignored = wanted.difficult | wanted.crowd
    result = np.zeros((2, len(found.image)), dtype=bool)
    image = found.image[pairs.found]
    starts = np.flatnonzero(np.diff(image, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(image)]):
        first, last = pairs.found[start], pairs.found[stop - 1] + 1
        columns = slice(pairs.wanted[start], pairs.wanted[stop - 1] + 1)
        table = pairs.overlaps[start:stop].reshape(last - first, -1)
        result[:, first:last] = match_voc(table, ignored[columns], threshold)
    return result


def coco(pairs, found, wanted, ignored, thresholds):
    """Match a data set as COCO does; see ``judging.match_coco``.

    Args:
        pairs: ``Pairs`` with an overlap of at least the least threshold, in
            the order of the detections.
        found: ``Found``, D rows.
        wanted: ``Wanted``, M rows.
        ignored: (M, A) bool: objects that are not asked for, in each of A
            ranges of size.
        thresholds: (T,) least IoU.

    Returns:
        Two bool arrays (D, A, T): got an object, and one that counts.
    """
    ranges, times = ignored.shape[1], len(thresholds)
    shape = len(found.image), ranges * times
    state = _State(np.repeat(ignored, times, axis=1),
                   np.tile(thresholds, ranges), wanted.crowd,
                   np.ones((len(wanted.image), shape[1]), dtype=bool),
                   np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))
    starts = np.flatnonzero(np.diff(pairs.found, prepend=-1))
    asking = pairs.found[starts]
    turn = np.repeat(places(found.labels[asking], found.image[asking]),
                     np.diff(starts, append=len(pairs.found)))
    order = np.argsort(turn, kind="stable")
    bounds = np.cumsum(np.bincount(turn))
    for start, stop in zip([0, *bounds[:-1]], bounds):
        _take_turn(state, *(column[order[start:stop]] for column in pairs))
    return (state.got.reshape(-1, ranges, times),
            state.right.reshape(-1, ranges, times))


class _State(NamedTuple):
    """What the turns change; the last axis is range and threshold."""

    ignored: np.ndarray
    thresholds: np.ndarray
    crowd: np.ndarray
    free: np.ndarray        # objects
    got: np.ndarray         # detections
    right: np.ndarray


def _take_turn(state, found, wanted, overlaps):
    """Let one detection of each image and class take its object."""
    overlaps = overlaps[:, None]
    fit = state.free[wanted] & (overlaps >= state.thresholds)
    liking = np.where(fit, overlaps - state.ignored[wanted], -2)
    starts = np.flatnonzero(np.diff(found, prepend=-1))
    many = np.diff(starts, append=len(found))
    best = np.maximum.reduceat(liking, starts)
    # Of equal overlaps COCO takes the last.
    alike = liking == np.repeat(best, many, axis=0)
    last = np.maximum.reduceat(
        np.where(alike, np.arange(len(found))[:, None], -1), starts)
    row, column = np.nonzero(best > -2)
    takes, taken = found[starts[row]], wanted[last[row, column]]
    state.got[takes, column] = True
    state.right[takes, column] = ~state.ignored[taken, column]
    state.free[taken, column] = state.crowd[taken]
