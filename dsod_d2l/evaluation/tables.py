"""All detections and all objects of a data set, in two tables, matched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..boxes import require_fractions
from ..config.base import require
from ..detection import Detections
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
    def of(cls, sample: Any) -> Truth:
        """Return what a ``Sample`` says of its objects."""
        return cls(sample.boxes, sample.labels, sample.difficult,
                   getattr(sample, "crowd", None),
                   getattr(sample, "areas", None),
                   size=sample.image.shape[:2])

    def whole(self) -> Truth:
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


def area_of(boxes: np.ndarray) -> np.ndarray:
    """Return width times height, as COCO's evaluator computes it."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def make_tables(detections: Iterable[Detections], truths: Iterable,
                num_classes: int, most: int) -> tuple[Found, Wanted, bool]:
    """Return the two tables of a data set.

    Args:
        detections: one ``Detections`` per image; where all have an
            ``image_id``, the images are numbered in the order of these.
        truths: one ``Truth`` per image, or a tuple of its first fields.
        num_classes: number of foreground classes.
        most: detections per image and class that count, best first.

    Returns:
        (``Found``, ``Wanted``, sized): sized tells whether the size of
        every image is known; if not, boxes stay fractions of the image.

    Raises:
        ValueError: the numbers of images differ or are 0, most is below 1,
            or an image has a label out of range or a score that is not a
            number.
    """
    detections, truths = list(detections), list(truths)
    if len(detections) != len(truths):
        raise ValueError(f"expected detections for {len(truths)} images, "
                         f"found {len(detections)}")
    require(truths, "expected at least one image, found none")
    require(most >= 1, f"most must be at least 1, found {most}")
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
    ranks = _ranks(detections)
    found, wanted = (table._replace(image=ranks[table.image])
                     for table in (found, wanted))
    found = rows_of(found, np.lexsort((-found.scores, found.image,
                                       found.labels)))
    wanted = rows_of(wanted, np.lexsort((wanted.image, wanted.labels)))
    kept = places(found.labels, found.image) < most
    return rows_of(found, kept), wanted, sized


def _ranks(detections):
    """Return the place of each image: by its id, where all have one.

    Of equal scores COCO takes the image of the lower id first.
    """
    ids = [one.image_id for one in detections]
    if None in ids:
        return np.arange(len(ids))
    return np.argsort(np.argsort(ids, kind="stable"))


def rows_of(table: Any, rows: slice | np.ndarray) -> Any:
    """Return the table of some rows alone."""
    return table._make(column[rows] for column in table)


def places(*columns: np.ndarray) -> np.ndarray:
    """Return each row's place, from 0, among neighbours of equal columns.

    >>> places(np.array([3, 3, 3, 7]), np.array([1, 1, 2, 2])).tolist()
    [0, 1, 0, 0]
    """
    rows = np.arange(len(columns[0]))
    new = np.ones(len(rows), dtype=bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in columns],
                     axis=0)
    return rows - np.maximum.accumulate(np.where(new, rows, 0))


def check_units(detections: Iterable[Detections]) -> None:
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


def all_pairs(found: Found, wanted: Wanted,
              crowds: bool = False) -> CandidatePairs:
    """Return each detection with each object of its image and class.

    Args:
        found, wanted: ``Found`` and ``Wanted`` of one class.
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
    one, other = found.boxes[rows], wanted.boxes[columns]
    shared = (np.minimum(one[:, 2:], other[:, 2:])
              - np.maximum(one[:, :2], other[:, :2]))
    inner = np.maximum(shared, 0).prod(axis=1)
    rest = area_of(other) - inner
    if crowds:
        rest[wanted.crowd[columns]] = 0
    union = area_of(one) + rest
    overlaps = np.divide(inner, union, out=np.zeros(len(inner)),
                         where=union > 0)
    return CandidatePairs(rows, columns, overlaps)


def voc(found: Found, wanted: Wanted, threshold: float) -> np.ndarray:
    """Match one class as VOC does; see ``matching.match_voc``.

    Crowds are taken for difficult objects.

    Returns:
        bool (2, D): correct, and not counted at all.
    """
    pairs = all_pairs(found, wanted)
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


def coco(pairs: CandidatePairs, found: Found, wanted: Wanted,
         ignored: np.ndarray, thresholds: np.ndarray
         ) -> tuple[np.ndarray, np.ndarray]:
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
    ignored = np.repeat(ignored, times, axis=1)
    least, free = np.tile(thresholds, ranges), np.ones_like(ignored)
    got, right = np.zeros((2, len(found.image), ranges * times), dtype=bool)
    starts = np.flatnonzero(np.diff(pairs.found, prepend=-1))
    asking = pairs.found[starts]
    turn = np.repeat(places(found.labels[asking], found.image[asking]),
                     np.diff(starts, append=len(pairs.found)))
    order = np.argsort(turn, kind="stable")
    bounds = np.cumsum(np.bincount(turn))
    # In a turn one detection of each image and class takes its object.
    for start, stop in zip([0, *bounds[:-1]], bounds):
        asks, objects, overlaps = rows_of(pairs, order[start:stop])
        overlaps = overlaps[:, None]
        fit = free[objects] & (overlaps >= least)
        best, column = _liked_best(
            asks, np.where(fit, overlaps - ignored[objects], -2))
        takes, taken = asks[best], objects[best]
        got[takes, column] = True
        right[takes, column] = ~ignored[taken, column]
        free[taken, column] = wanted.crowd[taken]
    return (got.reshape(-1, ranges, times), right.reshape(-1, ranges, times))


def _liked_best(asks, liking):
    """Return each detection's best pair, and the column where it has one."""
    starts = np.flatnonzero(np.diff(asks, prepend=-1))
    many = np.diff(starts, append=len(asks))
    best = np.maximum.reduceat(liking, starts)
    # Of equal overlaps COCO takes the last.
    alike = liking == np.repeat(best, many, axis=0)
    last = np.maximum.reduceat(
        np.where(alike, np.arange(len(asks))[:, None], -1), starts)
    row, column = np.nonzero(best > -2)
    return last[row, column], column
