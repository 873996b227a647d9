"""A folder of images, and the checks of what files say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets import pictures
from ...datasets.sample import (FLAGS, OUTSIDE, SLACK, Entry, Fault,
                                FileDataset)
from ...files import one_line
from .text_files import unknown_class, whole_size

SIDES = ("xmin", "ymin", "xmax", "ymax")


def box_fault(box: Sequence[float], low: float = 0, width: float = 1,
              height: float = 1) -> tuple[str, str] | None:
    """Say what is wrong with a box as written, or return None.

    Args:
        box: xmin, ymin, xmax, ymax in the unit of the file.
        low: the least coordinate there: 1 where pixels count from 1.
        width, height: the greatest ones.

    Returns:
        None, or (kind, clause).

    >>> box_fault((504, 337, 504, 337), 1, 640, 480)
    ('degenerate box', 'xmin 504 is not below xmax 504')
    >>> box_fault((1, 1, 640, 480), 1, 640, 480) is None
    True
    """
    xmin, ymin, xmax, ymax = box
    least = low - 1e-6 if width == 1 else low - SLACK
    more = 1e-6 if width == 1 else SLACK
    if (least <= xmin < xmax <= width + more
            and least <= ymin < ymax <= height + more):
        return None
    text = " ".join(f"{value:.10g}" for value in box)
    if not np.isfinite(box).all():
        return "degenerate box", f"a coordinate is not a finite number: {text}"
    for name, first, last in (("x", xmin, xmax), ("y", ymin, ymax)):
        if first >= last:
            return ("degenerate box", f"{name}min {first:.10g} is not below "
                    f"{name}max {last:.10g}")
    return ("box outside", f"it leaves the image: found {text}, expected x "
            f"from {low:g} to {width:g} and y from {low:g} to {height:g}"
            + unit_hint(box, low, width, height))


def unit_hint(box: Sequence[float], low: float, width: float, height: float
              ) -> str:
    """Say which unit a box that leaves the image seems to be in."""
    if (width, height) == (1, 1) and max(box) > 2:
        return "; these look like pixels"
    if low == 1 and min(box) >= 0 and box[2] <= width and box[3] <= height:
        return ("; these look like " + ("fractions" if max(box) <= 1 else
                "pixels counted from 0 (origin=0)"))
    return ""


def fault_at(place: object, reason: object, kind: str = "file") -> Fault:
    """Return a Fault whose sentence begins with its place."""
    return Fault(str(place), one_line(f"{place}: {reason}."), kind)


class EntryMaker:
    """Collect the objects of one image, and what is wrong with them.

    Args:
        name, source, size: as in ``Entry``.
        classes: {class name: index}; a range, where numbers are names.
        outside: "error" takes a box that leaves the image for a fault,
            "clip" cuts it to the image and counts it.
    """

    def __init__(self, name: str, source: str, classes: Mapping | range,
                 outside: str = "error", size: tuple | None = None):
        if outside not in OUTSIDE:
            raise ValueError(f"outside must be one of {', '.join(OUTSIDE)}, "
                             f"found {outside!r}.")
        self.name, self.size, self.source = name, size, source
        self.classes, self.outside = classes, outside
        self.rows, self.faults, self.clipped = [], [], 0

    def blame(self, reason: str, kind: str = "file", where: str = "") -> None:
        """Note a fault."""
        place = f"{self.source}, {where}" if where else self.source
        self.faults.append(fault_at(place, reason, kind))

    def state_size(self, height: Any, width: Any, where: str = "") -> None:
        """Take the size in pixels that a file states, as written."""
        self.size = whole_size(height, width)
        if self.size is None:
            self.blame("expected width and height in whole pixels, found "
                       f"{width!r} and {height!r}", "size", where)

    def measure(self, path: Path, where: str = "") -> None:
        """Take the size that the image itself has."""
        try:
            self.size = pictures.read_size(path)
        except (ValueError, OSError) as error:
            self.blame(str(error).rstrip("."), "image", where)

    def add(self, name: str | int, box: Sequence[float], flags: Sequence,
            where: str, origin: int = 0, pixels: bool = True,
            area: float = np.nan) -> None:
        """Add one object as written, if nothing is wrong with it.

        Args:
            name: of its class.
            box: xmin, ymin, xmax, ymax; in pixels, or in fractions.
            flags: four, as in ``FLAGS``.
            where: names the row in messages.
            origin: the number of the first pixel; 1 also means that xmax
                and ymax are the last pixels inside.
            pixels: whether the box is in pixels of ``size``.
            area: pixels that the object covers, if that is known.
        """
        height, width = self.size if pixels else (1, 1)
        fault = box_fault(box, origin, width, height)
        if fault and fault[0] == "box outside" and self.outside == "clip":
            box = np.clip(box, origin, (width, height) * 2)
            fault = box_fault(box, origin, width, height)
            self.clipped += fault is None
        if fault:
            self.blame(fault[1], fault[0], where)
        if name not in self.classes:
            self.blame(unknown_class(name, self.classes), "unknown class",
                       where)
        elif not fault:
            edges = ((box[0] - origin) / width, (box[1] - origin) / height,
                     box[2] / width, box[3] / height)
            self.rows.append((self.classes[name], edges, flags, area))

    def entry(self) -> Entry:
        """Return the Entry."""
        labels, boxes, flags, areas = list(zip(*self.rows)) or [()] * 4
        boxes, areas = np.array(boxes, float), np.array(areas, float)
        # The digits of the file may be rounded across the edge of the image.
        return Entry(self.name, boxes.reshape(-1, 4).clip(0, 1),
                     np.array(labels, np.int64),
                     np.array(flags, bool).reshape(-1, len(FLAGS)), self.size,
                     self.source, tuple(self.faults), self.clipped,
                     None if np.isnan(areas).all() else areas)


class ImageFolder(FileDataset):
    """A data set whose images are files in one folder.

    An image that is decoded is compared with the size that its entry states.

    Args:
        entries, classes, title, faults: as in ``FileDataset``.
        folder: the names of the entries are relative to it.
        options: ``bad`` and ``cache``, as there.
    """

    def __init__(self, entries: list, classes: Sequence, folder: str | Path,
                 title: str, faults: Sequence = (), **options: Any):
        self.folder = Path(folder)
        super().__init__(entries, classes, title, faults, **options)

    def encoded(self, index: int) -> bytes:
        """Return the bytes of one image file."""
        return (self.folder / self._entries[index].name).read_bytes()

    def size(self, index: int) -> tuple:
        """Return (height, width) of one image as its file says."""
        return pictures.read_size(self.folder / self._entries[index].name)

    def _decode(self, entry):
        image = pictures.read_image(self.folder / entry.name)
        if entry.size and tuple(entry.size) != image.shape[:2]:
            raise ValueError(pictures.size_lies(entry, image.shape))
        return image
