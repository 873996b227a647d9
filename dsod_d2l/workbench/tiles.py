"""Large pictures in tiles: small objects keep the pixels they have."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..boxes import area, iou
from ..config.base import require
from ..datasets.pictures import read_image
from ..detection import Detections, nms

_COVERED = 0.7       # share of a piece inside a box that makes it part of it
FACING = 0.5         # IoU of the edges of two pieces that are one object
_NEAR = 0.01         # a box so near to the edge of its tile may be cut there


def tile_places(size: tuple[int, int], side: int, overlap: float = 0.2
                ) -> np.ndarray:
    """Return where the tiles of a picture lie, evenly spaced.

    Args:
        size: (height, width) of the picture in pixels.
        side: of a tile, in pixels; a picture that is smaller has one.
        overlap: share of its side, at least, that a tile has in common with
            the next one.

    Returns:
        int64 (T, 4) array of corner boxes in pixels.

    >>> tile_places((100, 250), 100, 0.2).tolist()
    [[0, 0, 100, 100], [75, 0, 175, 100], [150, 0, 250, 100]]
    """
    edges = []
    for length in size:
        tile = min(side, length)
        step = max(tile * (1 - overlap), 1)
        count = int(np.ceil((length - tile) / step - 1e-9)) + 1
        edges.append([(int(at), int(at) + tile) for at in
                      np.linspace(0, length - tile, count).round()])
    return np.array([(left, top, right, bottom) for top, bottom in edges[0]
                     for left, right in edges[1]])


def check_tiles(side: int | None, overlap: float) -> None:
    """Raise a ValueError unless tiles may be so; None: there are none."""
    require(side is None or side >= 16, "--tiles must be at least 16 pixels, "
            f"found {side}")
    require(0 <= overlap <= 0.9, "--overlap must be a share from 0 to 0.9, "
            f"found {overlap:g}")


class TiledDetector:
    """A ``Detector`` that goes through large pictures tile by tile.

    A picture is seen as a whole, too: what is larger than a tile is found
    there. A box that a tile's edge may have cut leaves where another holds
    it; two that meet across an edge become one; then ``nms`` thins out.

    Args:
        detector: a ``Detector``.
        side, overlap: see ``tile_places``.

    Raises:
        ValueError: the side or the overlap is out of range.
    """

    def __init__(self, detector: Any, side: int, overlap: float = 0.2):
        check_tiles(side, overlap)
        self.detector, self.side, self.overlap = detector, side, overlap

    def __getattr__(self, name: str) -> Any:
        return getattr(self.detector, name)

    def detect(self, source: Any) -> Any:
        """Find the objects in a picture, or in a list of them."""
        if isinstance(source, (list, tuple)):
            return [self.detect(one) for one in source]
        image = (read_image(source) if isinstance(source, (str, Path))
                 else source)
        whole = self.detector.detect([image])[0]
        places = tile_places(image.shape[:2], self.side, self.overlap)
        if len(places) > 1:
            whole = self._joined(whole, image, places)
        return replace(whole, picture=source)

    __call__ = detect

    def _joined(self, whole, image, places):
        """Return what is found in a picture and in its tiles, each once."""
        parts = [whole.pixels()]
        cuts = [np.zeros((len(whole), 4), bool)]
        for tile, found in self._tiles(image, places):
            found = found.pixels()
            boxes = (found.boxes + np.tile(tile[:2], 2)).astype(np.float32)
            # An edge of the tile that is one of the picture cuts nothing.
            inner = tile != [0, 0, image.shape[1], image.shape[0]]
            parts.append(replace(found, boxes=boxes))
            cuts.append(inner & (np.abs(boxes - tile) <= _NEAR * self.side))
        labels, scores, boxes = (np.concatenate([getattr(
            part, name) for part in parts]) for name in (
                "labels", "scores", "boxes"))
        rows = merge_tiles(boxes, labels, scores, np.concatenate(cuts),
                           self.detect_config.nms_threshold)
        boxes, kept = rows[0], rows[1][:self.detect_config.keep]
        unit = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        return replace(whole, labels=labels[kept], scores=scores[kept],
                       boxes=np.clip(boxes[kept] / unit, 0, 1))

    def _tiles(self, image, places) -> Iterator[tuple[Any, Detections]]:
        """Yield each tile with what is found in it."""
        for start in range(0, len(places), self.batch_size):
            part = places[start:start + self.batch_size]
            yield from zip(part, self.detector.detect([
                np.ascontiguousarray(image[top:bottom, left:right])
                for left, top, right, bottom in part]))


def merge_tiles(boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray,
                cuts: np.ndarray, threshold: float
                ) -> tuple[np.ndarray, np.ndarray]:
    """Make one of what several tiles have found of an object.

    Args:
        boxes: (D, 4) corner boxes in pixels of the whole picture.
        labels, scores: (D,) of each.
        cuts: (D, 4) bool, whether a side lies at an inner edge of its tile:
            left, top, right, bottom.
        threshold: IoU above which the worse of two boxes is dropped.

    Returns:
        (boxes, rows): the boxes, those that were joined larger; the rows
        that remain, best first.
    """
    boxes, cuts = boxes.copy(), cuts.copy()
    kept = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        rows = _uncovered(boxes, rows, cuts)
        rows = _join(boxes, rows, cuts)
        rows = _uncovered(boxes, rows, cuts)
        kept.append(rows[nms(boxes[rows], scores[rows], threshold)])
    rows = np.concatenate(kept)
    return boxes, rows[np.argsort(-scores[rows], kind="stable")]


def _uncovered(boxes, rows, cuts):
    """Leave out pieces that lie in a box which is cut on fewer sides."""
    sides, whole = cuts[rows].sum(axis=1), area(boxes[rows])
    good = np.ones(len(rows), bool)
    for place in np.flatnonzero(sides):
        overlaps = iou(boxes[rows[place:place + 1]], boxes[rows])[0]
        shared = overlaps / (1 + overlaps) * (whole[place] + whole)
        good[place] = not ((shared > _COVERED * whole[place])
                           & (sides < sides[place])).any()
    return rows[good]


def _join(boxes, rows, cuts):
    """Unite pieces that meet across an edge, the best one taking all."""
    place, rows = 0, list(rows)
    while place < len(rows):
        mine, rest = rows[place], np.array(rows[place + 1:], np.int64)
        faces = rest[_facing(boxes, cuts, mine, rest)] if cuts[
            mine].any() else rest[:0]
        if not len(faces):
            place += 1
            continue
        other = faces[0]
        union = np.append(np.minimum(boxes[mine], boxes[other])[:2],
                          np.maximum(boxes[mine], boxes[other])[2:])
        cuts[mine] = np.where(union == boxes[mine], cuts[mine], cuts[other])
        boxes[mine] = union
        rows.remove(other)
    return np.array(rows, dtype=np.int64)


def _facing(boxes, cuts, mine, rest):
    """Return which of the rest meet a piece, both cut towards each other."""
    found = np.zeros(len(rest), bool)
    for axis in (0, 1):
        both = (np.minimum(boxes[mine, 3 - axis], boxes[rest, 3 - axis])
                - np.maximum(boxes[mine, 1 - axis], boxes[rest, 1 - axis]))
        either = (np.maximum(boxes[mine, 3 - axis], boxes[rest, 3 - axis])
                  - np.minimum(boxes[mine, 1 - axis], boxes[rest, 1 - axis]))
        for first, second in ((mine, rest), (rest, mine)):
            found |= (cuts[first, axis + 2] & cuts[second, axis]
                      & (boxes[second, axis] <= boxes[first, axis + 2] + 1)
                      & (boxes[first, axis] <= boxes[second, axis])
                      & (both > FACING * either))
    return found
