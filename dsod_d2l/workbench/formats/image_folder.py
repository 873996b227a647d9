"""A folder of images, and the checks of what files say about them."""

from __future__ import annotations

import contextlib
import functools
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...config.base import one_of
from ...datasets import pictures
from ...datasets.sample import FLAGS, Entry, Fault, FileDataset, ObjectFault
from ...files import one_line
from .text_files import as_flag, note, number, unknown_class, whole_size

SIDES = ("xmin", "ymin", "xmax", "ymax")
OUTSIDE = ("error", "clip")
SLACK = 0.011         # pixels outside that are rounding: COCO has 2 digits
NO_SIZE = {"", "0", "-1", "none", "null"}       # as texts in small letters


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


def fault_at(place: object, reason: object, kind: str = "file",
             make: type[Fault] = Fault) -> Fault:
    """Return a Fault whose sentence begins with its place."""
    return make(str(place), one_line(f"{place}: {reason}."), kind)


def entry_makers(classes: Sequence | range, outside: str, remarks: Counter,
                 options: Mapping) -> Callable[..., EntryMaker]:
    """Return what makes the ``EntryMaker`` of each image of a data set.

    Args:
        classes: names, in the order of their indices; or a range of them.
        outside, remarks: of ``EntryMaker``; options may hold its ``exif``.
    """
    index = classes if isinstance(classes, range) else {
        name: label for label, name in enumerate(classes)}
    return functools.partial(EntryMaker, classes=index, outside=outside,
                             remarks=remarks,
                             exif=options.get("exif", "turned"))


class EntryMaker:
    """Collect the objects of one image, and what is wrong with them.

    Args:
        name, source, size: as in ``Entry``.
        classes: {class name: index}; a range, where numbers are names.
        outside: "error" takes a box that leaves the image for a fault,
            "clip" cuts it to the image and counts it.
        path: of the image file, measured where its size is needed and not
            stated.
        exif: as in ``FileDataset``.
        remarks: of the data set; what is not understood is counted there.
    """

    def __init__(self, name: str, source: str, classes: Mapping | range,
                 outside: str = "error", size: tuple | None = None,
                 path: Path | None = None, exif: str = "turned",
                 remarks: Counter | None = None):
        one_of("outside", outside, OUTSIDE)
        self.name, self.size, self.source = name, size, source
        self.classes, self.outside = classes, outside
        self.path, self.turn = path, exif != "stored"
        self.remarks = Counter() if remarks is None else remarks
        self.rows, self.faults, self.clipped = [], [], 0

    def blame(self, reason: str, kind: str = "file", where: str = "") -> None:
        """Note a fault: of one object if its row is named, or the image."""
        place = f"{self.source}, {where}" if where else self.source
        self.faults.append(fault_at(
            place, reason, kind, ObjectFault if where and kind not in (
                "image", "size") else Fault))

    def state_size(self, height: Any, width: Any, where: str = "") -> None:
        """Take the size in pixels that a file states, as written.

        What says nothing, such as 0, is measured where ``path`` is known.
        """
        self.size = whole_size(height, width)
        empty = {str(side).strip().lower() for side in (height, width)
                 } & NO_SIZE
        if self.size is None and self.path and empty:
            self.remarks["images without a stated size, measured"] += 1
            self.measure(self.path, where)
        elif self.size is None:
            self.blame("expected width and height in whole pixels, found "
                       f"{width!r} and {height!r}", "size", where)

    def measure(self, path: Path, where: str = "") -> None:
        """Take the size that the image itself has."""
        try:
            self.size = pictures.read_size(path, self.turn)
        except (ValueError, OSError) as error:
            self.blame(str(error).rstrip("."), "image", where)

    def flags_of(self, flags: Sequence) -> list[bool]:
        """Return flags as written; what is not understood counts as unset."""
        found = []
        for name, value in zip(FLAGS, flags):
            told = value if value in (0, 1) else as_flag(value)
            if told is None:
                note(self.remarks, f"flags {name} are not understood and "
                     "taken as not set", value)
            found.append(bool(told))
        return found

    def add(self, name: str | int, box: Sequence[float], flags: Sequence,
            where: str, origin: int = 0, pixels: bool = True,
            area: float = np.nan) -> None:
        """Add one object as written, if nothing is wrong with it.

        Args:
            name: of its class.
            box: xmin, ymin, xmax, ymax; in pixels, or in fractions.
            flags: four, as in ``FLAGS``, as written.
            where: names the row in messages.
            origin: the number of the first pixel; 1 also means that xmax
                and ymax are the last pixels inside.
            pixels: whether the box is in pixels of ``size``.
            area: pixels that the object covers, as written; what is none
                is not known.
        """
        height, width = self.size if pixels else (1, 1)
        fault = box_fault(box, origin, width, height)
        if fault and not pixels and self._is_rounding(box):
            fault = None
        if fault and fault[0] == "box outside" and self.outside == "clip":
            inner = np.clip(box, origin, (width, height) * 2)
            if box_fault(inner, origin, width, height) is None:
                box, fault = inner, None
                self.clipped += 1
        if fault:
            self.blame(fault[1], fault[0], where)
        if name not in self.classes:
            self.blame(unknown_class(name, self.classes), "unknown class",
                       where)
        elif not fault:
            edges = ((box[0] - origin) / width, (box[1] - origin) / height,
                     box[2] / width, box[3] / height)
            self.rows.append((self.classes[name], edges,
                              self.flags_of(flags), self.area_of(area)))

    def _is_rounding(self, box):
        """Return whether fractions leave the image by less than ``SLACK``."""
        if not -.1 < min(box) <= max(box) < 1.1:
            return False
        if self.size is None and self.path is not None:
            self.measure(self.path)
        height, width = self.size or (1, 1)
        return self.size is not None and box_fault(
            np.multiply(box, (width, height) * 2), 0, width, height) is None

    def area_of(self, area: Any) -> float:
        """Return the pixels that an object covers, nan if not known."""
        pixels = number(area)
        if 0 <= pixels < np.inf:
            return pixels
        if not (area is None or area != area):
            self.remarks["areas that are no number of pixels, not used"] += 1
        return np.nan

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
        options: ``bad``, ``cache``, ``exif`` and ``remarks``, as there.
    """

    def __init__(self, entries: list, classes: Sequence, folder: str | Path,
                 title: str, faults: Sequence = (), **options: Any):
        self.folder = Path(folder)
        options["remarks"] = {**(options.get("remarks") or {}),
                              **_alike(classes)}
        super().__init__(entries, classes, title, faults, **options)

    def _bytes(self, entry):
        return (self.folder / entry.name).read_bytes()

    def _untagged(self, data):
        return _as_stored(data) or super()._untagged(data)

    def size(self, index: int) -> tuple:
        """Return (height, width) of one image as its file says."""
        path = self.folder / self._entries[index].name
        return _jpeg_size(path) or pictures.read_size(path, self.turn)

    def _decode(self, entry):
        image = pictures.read_image(self.folder / entry.name, self.turn)
        if entry.size and tuple(entry.size) != image.shape[:2]:
            raise ValueError(pictures.size_lies(entry, image.shape))
        return image


def _jpeg_size(path):
    """Return (height, width) of a JPEG without EXIF, None for all others.

    What Pillow reads besides takes most of the time of 100,000 pictures.
    """
    with contextlib.suppress(OSError), open(path, "rb") as file:
        data, at = file.read(4096), 2
        while data[:2] == b"\xff\xd8" and data[at:at + 1] == b"\xff":
            mark = data[at + 1:at + 2]
            if mark in b"\xc0\xc1\xc2":            # the kinds of a frame
                high, wide = struct.unpack_from(">HH", data + bytes(9), at + 5)
                sound = 0 < high * wide <= pictures.MOST_PIXELS
                return (high, wide) if sound and at + 9 <= len(data) else None
            if mark == b"\xe1":
                return None
            at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return None


def _as_stored(data):
    """Return a JPEG with its tag set to upright, None where that fails.

    The file keeps its pixels to the bit, and its format.
    """
    for order in "<>" if data.startswith(b"\xff\xd8") else "":
        tag = struct.pack(f"{order}HHI", 0x112, 3, 1)   # one short number
        head, found, tail = data.partition(tag)
        data = head + found + struct.pack(f"{order}H", 1) + tail[2:]
        if found and pictures.orientation(data) == 1:
            return data
        data = head + found + tail
    return None


def _alike(classes):
    """Return a remark for each class name that is there in other capitals."""
    first: dict[str, str] = {}
    twins = [(name, kept) for name in classes if name != (
        kept := first.setdefault(name.strip().casefold(), name))]
    return {f"the classes {one!r} and {other!r} may be one; "
            f"?rename={one}:{other} makes them one": 1 for one, other in twins}
