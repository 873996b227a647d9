"""All detections and all objects of a data set, in two tables, matched."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..boxes import require_fractions
from .matching import match_voc


class Truth(NamedTuple):
    """The objects of one image.

    boxes: (M, 4) corner boxes, fractions of the image.
    labels: (M,); -1 is padding.
    difficult: (M,) bool, objects that are not asked for.
    crowd: (M,) bool, boxes around many objects: not asked for, and who lies
        in one is not counted.
    areas: (M,) areas in pixels, where something better is known than the
        box, such as COCO's outlines; nan where nothing is.
    size: (height, width) of the image in pixels, for COCO's sizes.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray | None = None
    crowd: np.ndarray | None = None
    areas: np.ndarray | None = None
    size: tuple[int, int] | None = None

    @classmethod
    def of(cls, sample):
        """Return what a ``Sample`` says of its objects."""
        return cls(sample.boxes, sample.labels, sample.difficult,
                   getattr(sample, "crowd", None),
                   getattr(sample, "areas", None),
                   size=sample.image.shape[:2])

    def whole(self):
        """Return it without padding and without anything left out."""
        labels = np.asarray(self.labels, dtype=int).reshape(-1)
        boxes = np.asarray(self.boxes, dtype=float).reshape(-1, 4)
        require_fractions(boxes, "the boxes of a Truth")
        unit = np.ones(4) if self.size is None else np.tile(
            np.array(self.size[::-1], dtype=float), 2)
        real = labels != -1
        areas = area_of(boxes * unit)
        if self.areas is not None:
            stated = np.asarray(self.areas, dtype=float).reshape(-1)
            areas = np.where(np.isnan(stated), areas, stated)
        flags = [np.zeros(len(labels), dtype=bool) if flag is None
                 else np.asarray(flag, dtype=bool).reshape(-1)
                 for flag in (self.difficult, self.crowd)]
        return Truth(boxes[real], labels[real], flags[0][real],
                     flags[1][real], areas[real], self.size)


class Found(NamedTuple):
    """The detections of a data set, a row each; boxes in pixels."""

    image: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray


class Wanted(NamedTuple):
    """The objects of a data set, a row each; boxes in pixels."""

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray


def area_of(boxes):
    """Return width times height, as COCO's evaluator computes it."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def make_tables(detections, truths, num_classes, most):
    """Return the two tables of a data set.

    Args:
        detections: one ``Detections`` per image.
        truths: one ``Truth`` per image, or a tuple of its first fields.
        num_classes: number of foreground classes.
        most: detections per image and class that count, best first.

    Returns:
        (``Found``, ``Wanted``, sized): sized tells whether the size of
        every image is known; if not, boxes stay fractions of the image.

    Raises:
        ValueError: the numbers of images differ or are 0, or an image has a
            label out of range or a score that is not a number.
    """
    detections, truths = list(detections), list(truths)
    if len(detections) != len(truths):
        raise ValueError(f"expected detections for {len(truths)} images, "
                         f"found {len(detections)}")
    if not truths:
        raise ValueError("expected at least one image, found none")
    truths = [Truth(*truth).whole() for truth in truths]
    sized = all(truth.size is not None for truth in truths)
    units = np.tile(np.array([truth.size[::-1] if sized else (1, 1)
                              for truth in truths], dtype=float), 2)
    found, wanted = _found(detections, units), _wanted(truths, units)
    _check("detections", found, num_classes)
    _check("objects", wanted, num_classes)
    bad = np.flatnonzero(np.isnan(found.scores))
    if len(bad):
        raise ValueError(f"detections of image {found.image[bad].min()}: a "
                         "score is nan")
    order = np.lexsort((-found.scores, found.image, found.labels))
    found = Found(*(column[order] for column in found))
    kept = places(found.labels, found.image) < most
    order = np.lexsort((wanted.image, wanted.labels))
    return (Found(*(column[kept] for column in found)),
            Wanted(*(column[order] for column in wanted)), sized)


def places(*columns):
    """Return each row's place, from 0, among neighbours of equal columns.

    >>> places(np.array([3, 3, 3, 7]), np.array([1, 1, 2, 2])).tolist()
    [0, 1, 0, 0]
    """
    rows = np.arange(len(columns[0]))
    new = np.ones(len(rows), dtype=bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in columns],
                     axis=0)
    return rows - np.maximum.accumulate(np.where(new, rows, 0))


def check_units(detections):
    """Raise a ValueError if ``Detections`` are in pixels."""
    for number, one in enumerate(detections):
        if one.unit != "fractions":
            raise ValueError(f"detections of image {number}: expected boxes "
                             "as fractions of the picture, found "
                             f"{one.unit}: give them without .pixels()")


def _found(detections, units):
    check_units(detections)
    counts = [len(one.scores) for one in detections]
    image = np.repeat(np.arange(len(detections)), counts)
    labels, scores, boxes = (
        np.concatenate([getattr(one, name) for one in detections])
        for name in ("labels", "scores", "boxes"))
    return Found(image, labels.astype(int), scores.astype(float),
                 boxes.reshape(-1, 4).astype(float) * units[image])


def _wanted(truths, units):
    boxes, labels, difficult, crowd, areas, _ = zip(*truths)
    image = np.repeat(np.arange(len(truths)), [len(one) for one in labels])
    return Wanted(image, np.concatenate(labels),
                  np.concatenate(boxes) * units[image],
                  np.concatenate(difficult), np.concatenate(crowd),
                  np.concatenate(areas))


def _check(name, table, num_classes):
    bad = np.flatnonzero((table.labels < 0) | (table.labels >= num_classes))
    if len(bad):
        raise ValueError(f"{name} of image {table.image[bad[0]]}: expected "
                         f"labels 0 to {num_classes - 1}, found "
                         f"{table.labels[bad[0]]}")


class CandidatePairs(NamedTuple):
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
    return CandidatePairs(rows, columns, overlaps)


def _inner(one, other):
    """Return the areas that boxes (P, 4) share with boxes (P, 4)."""
    width = (np.minimum(one[:, 2], other[:, 2])
             - np.maximum(one[:, 0], other[:, 0]))
    height = (np.minimum(one[:, 3], other[:, 3])
              - np.maximum(one[:, 1], other[:, 1]))
    return np.maximum(width, 0) * np.maximum(height, 0)


def voc(found, wanted, threshold, pixel):
    """Match one class as VOC does; see ``matching.match_voc``.

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
    """Match a data set as COCO does; see ``matching.match_coco``.

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
