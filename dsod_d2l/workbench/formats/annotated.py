"""What annotation files say about images: entries, faults, and data sets."""

from __future__ import annotations

import concurrent.futures
import os
import threading
import warnings
from pathlib import Path

import numpy as np

from ...datasets import pictures
from ...datasets.sample import FLAGS, Entry, Fault, Sample, unknown_class
from ...files import one_line

OUTSIDE = ("error", "clip")
SLACK = 0.011         # pixels outside that are rounding: COCO has 2 digits


def box_fault(box, low=0, width=1, height=1):
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


def unit_hint(box, low, width, height):
    """Say which unit a box that leaves the image seems to be in."""
    if (width, height) == (1, 1) and max(box) > 2:
        return "; these look like pixels"
    if low == 1 and min(box) >= 0 and box[2] <= width and box[3] <= height:
        return ("; these look like " + ("fractions" if max(box) <= 1 else
                "pixels counted from 0 (origin=0)"))
    return ""


class EntryMaker:
    """Collect the objects of one image, and what is wrong with them.

    Args:
        name, size, source: as in ``Entry``.
        classes: {class name: index}.
        outside: "error" takes a box that leaves the image for a fault,
            "clip" cuts it to the image and counts it.
    """

    def __init__(self, name, size, source, classes, outside="error"):
        if outside not in OUTSIDE:
            raise ValueError(f"outside must be one of {', '.join(OUTSIDE)}, "
                             f"found {outside!r}.")
        self.name, self.size, self.source = name, size, source
        self.classes, self.outside = classes, outside
        self.rows, self.faults, self.clipped = [], [], 0

    def blame(self, reason, kind="file", where=""):
        """Note a fault."""
        place = f"{self.source}, {where}" if where else self.source
        self.faults.append(Fault(place, one_line(f"{place}: {reason}."),
                                 kind))

    def add(self, name, box, flags=(0, 0, 0, 0), where="", origin=0,
            pixels=True, area=np.nan):
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
            cut = tuple(min(max(side, origin), most) for side, most
                        in zip(box, (width, height) * 2))
            box, fault = cut, box_fault(cut, origin, width, height)
            self.clipped += fault is None
        if fault:
            self.blame(fault[1], fault[0], where)
        if name not in self.classes:
            self.blame(unknown_class(name, self.classes), "unknown class",
                       where)
        elif not fault:
            edges = ((box[0] - origin) / width, (box[1] - origin) / height,
                     box[2] / width, box[3] / height)
            if min(edges) < 0 or max(edges) > 1:      # rounding of the file
                edges = [min(max(edge, 0.0), 1.0) for edge in edges]
            self.rows.append((self.classes[name], edges, flags, area))

    def entry(self):
        """Return the Entry."""
        labels, boxes, flags, areas = (zip(*self.rows) if self.rows
                                       else ((),) * 4)
        areas = np.array(areas, float)
        return Entry(self.name, np.array(boxes, float).reshape(-1, 4),
                     np.array(labels, np.int64),
                     np.array(flags, bool).reshape(-1, len(FLAGS)), self.size,
                     self.source, tuple(self.faults), self.clipped,
                     None if np.isnan(areas).all() else areas)


BAD_POLICIES = ("error", "skip")
CACHE_LIMIT = 2 << 30        # bytes of decoded images that are kept


class NothingSound(ValueError):
    """No image of a data set is sound; ``faults`` lists why."""

    def __init__(self, message, faults):
        super().__init__(message)
        self.faults = faults


class Annotated:
    """A data set whose images are files, and whose objects are entries.

    Boxes and labels of all images are checked on opening. An image is
    decoded when it is asked for, and then compared with the size that the
    entry states.

    Args:
        entries: list of ``Entry``.
        classes: names of the classes.
        folder: the names of the entries are relative to it.
        title: names the data set in messages.
        faults: list of ``Fault`` that belong to no image.
        bad: "error" raises the first fault; "skip" leaves the images with a
            fault out, decoding each once to find those that cannot be read,
            and counts them in ``skipped``.
        cache: keep decoded images, up to ``CACHE_LIMIT`` bytes.

    Attributes:
        faults: list of every ``Fault`` that was found.
        skipped: those that a line or an image was left out for, one each.
        clipped: number of boxes that were cut to their image.

    Raises:
        ValueError: the first fault, a sentence with file and row.
    """

    def __init__(self, entries, classes, folder, title, faults=(),
                 bad="error", cache=False):
        if bad not in BAD_POLICIES:
            raise ValueError(f"bad must be one of {', '.join(BAD_POLICIES)}, "
                             f"found {bad!r}.")
        self.classes, self.title = tuple(classes), title
        self.folder = Path(folder)
        self._images, self._room = ({}, CACHE_LIMIT) if cache else (None, 0)
        self._lock = threading.Lock()
        self._entries = entries
        self.faults = self._judge(faults, bad)
        self.skipped = [*faults, *(entry.faults[0] for entry in entries
                                   if entry.faults)]
        self._entries = [entry for entry in entries if not entry.faults]
        self.clipped = sum(entry.clipped for entry in self._entries)
        if not self._entries:
            first = f" The first: {one_line(self.faults[0].reason)}" \
                if self.faults else ""
            raise NothingSound(f"{title}: expected at least one sound image, "
                               f"found {len(entries)} listed and none sound."
                               f"{first}", self.faults)
        if self.faults:
            warnings.warn(self._summary(len(entries)), stacklevel=3)

    def __len__(self):
        return len(self._entries)

    def __getitem__(self, index):
        entry = self._entries[index]
        crowd = entry.flags[:, 3]
        return Sample(self._image(entry), entry.boxes.astype(np.float32),
                      entry.labels, entry.flags[:, 0], entry.source,
                      crowd if crowd.any() else None, entry.areas)

    def __repr__(self):
        note = f", {len(self.skipped)} skipped" if self.skipped else ""
        return (f"{type(self).__name__}({self.title!r}, images={len(self)}, "
                f"classes={len(self.classes)}{note})")

    def __getstate__(self):
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state):
        self.__dict__.update(state, _lock=threading.Lock())

    def entry(self, index):
        """Return the Entry of one image, which is not decoded."""
        return self._entries[index]

    def encoded(self, index):
        """Return the bytes of one image file."""
        return (self.folder / self._entries[index].name).read_bytes()

    def size(self, index):
        """Return (height, width) of one image as its file says."""
        return pictures.read_size(self.folder / self._entries[index].name)

    def _judge(self, faults, bad):
        """Raise the first fault, or return all; skip decodes every image."""
        found = [*faults, *(fault for entry in self._entries
                            for fault in entry.faults)]
        if bad == "error":
            if found:
                raise ValueError(one_line(found[0].reason))
            return []
        sound = [row for row, entry in enumerate(self._entries)
                 if not entry.faults]
        with concurrent.futures.ThreadPoolExecutor(_cores()) as pool:
            for row, fault in zip(sound, pool.map(self._unreadable, sound)):
                if fault:
                    self._entries[row] = self._entries[row]._replace(
                        faults=(fault,))
                    found.append(fault)
        return found

    def _unreadable(self, row):
        entry = self._entries[row]
        try:
            self._image(entry)
        except (ValueError, OSError) as error:
            kind = "size" if "pixels, the image has" in str(error) else "image"
            return Fault(entry.source, str(error), kind)
        return None

    def _summary(self, listed):
        return (f"{self.title}: {listed - len(self._entries)} of {listed} "
                f"images are faulty and left out (faults: {len(self.faults)})"
                f". The first: {one_line(self.faults[0].reason)}")

    def _image(self, entry):
        """Return the pixels of an entry's image."""
        image = self._images.get(entry.name) if self._images else None
        if image is None:
            image = pictures.read_image(self.folder / entry.name)
            if entry.size and tuple(entry.size) != image.shape[:2]:
                raise ValueError(pictures.size_lies(entry, image.shape))
            self._keep(entry.name, image)
        return image

    def _keep(self, name, image):
        with self._lock:
            if self._images is None or image.nbytes > self._room:
                return
            image.flags.writeable = False     # the same array is handed out
            self._room -= image.nbytes
            self._images[name] = image


def _cores():
    return min(os.cpu_count() or 1, 8)
