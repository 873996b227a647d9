"""A data set in a RecordIO file, as MXNet's tools write them."""

from __future__ import annotations

import contextlib
import json
import warnings

import numpy as np

from .. import boxes as box_tools
from . import image_records, images
from .base import Sample
from .entries import Entry
from .files import inside
from .recordio import RecordReader

BAD = ("error", "skip")
NAMES = "labels.json"
MOST_CLASSES = 10_000    # a label above this, without names, is a mistake


class RecordDataset:
    """The images and objects of a `.rec` file.

    The boxes and labels of all records are checked on opening; images are
    decoded when they are asked for.

    Args:
        path: the `.rec` file.
        classes: names of the classes, in the order of their numbers. Default:
            the JSON list in ``labels.json`` beside the file, else "class 0",
            "class 1", ... up to the highest number in the file.
        bad: "error" stops at the first faulty record; "skip" leaves faulty
            ones out, decoding each image once to find those that cannot be
            read, and counts them.
        cache: keep decoded images in memory (height x width x 3 bytes each).

    Attributes:
        path: the file.
        classes: tuple of names.
        skipped: list of (source, reason), what ``bad="skip"`` left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: names the file, the record and the box.
    """

    def __init__(self, path, classes=None, bad="error", cache=False):
        if bad not in BAD:
            raise ValueError(f"bad must be one of {', '.join(BAD)}, found "
                             f"{bad!r}.")
        self.reader = RecordReader(path)
        self.path = self.reader.path
        self._images, self._names = {} if cache else None, None
        self._objects, faults = self._read_objects()
        self.classes = _class_names(self.path, classes, self._objects)
        faults.update(self._misplaced(set(faults)))
        if bad == "skip":
            faults.update(self._undecodable(set(faults)))
        self.skipped = self._settle(faults, bad)
        self._positions = [position for position in range(len(self.reader))
                           if position not in faults]
        if not self._positions:
            raise ValueError(f"{self.path}: expected at least one "
                             f"sound record, found {len(faults)} faulty ones.")

    def __len__(self):
        return len(self._positions)

    def __getitem__(self, index):
        position = self._positions[index]
        boxes, labels, flags = self._objects[position]
        crowd = flags[:, 3] if flags[:, 3].any() else None
        return Sample(self._image(position), boxes, labels, flags[:, 0],
                      self._source(position), crowd)

    def __repr__(self):
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return (f"RecordDataset({str(self.path)!r}, "
                f"images={len(self)}, classes={len(self.classes)}{skipped})")

    def objects(self, index):
        """Return the Objects of one image, which is not decoded."""
        return self._objects[self._positions[index]]

    def entry(self, index):
        """Return the Entry of one image, which is not decoded.

        Of all numbers that single precision takes for the same, a fraction
        is taken to be a thousandth of a pixel.
        """
        boxes, labels, flags = self._objects[self._positions[index]]
        height, width = self.size(index)
        sides = np.array([width, height] * 2, float)
        exact = np.round(boxes * sides, 3) / sides
        exact = np.where(exact.astype(np.float32) == boxes, exact, boxes)
        return Entry(self._name(index), exact, labels, flags, (height, width),
                     self._source(self._positions[index]))

    def encoded(self, index):
        """Return the bytes of one encoded image."""
        position = self._positions[index]
        return image_records.unpack(self.reader[position],
                                    self._source(position))[1]

    def size(self, index):
        """Return (height, width) of one image as its own head says."""
        return images.encoded_size(self.encoded(index),
                                   self._source(self._positions[index]))

    def _name(self, index):
        """Return a file name for one image: that in the .lst, or a number."""
        position = self._positions[index]
        if self._names is None:
            self._names = read_lst(self.path.with_suffix(".lst"))
        key = self.reader.keys[position]
        return self._names.get(key) or f"{position:06d}" + images.suffix(
            self.encoded(index))

    def validate(self):
        """Decode every image once; with ``cache`` they stay in memory.

        Raises:
            ValueError: names the first image that cannot be read.
        """
        for position in self._positions:
            self._image(position)

    def _read_objects(self):
        """Return {position: Objects} and {position: error} of all records."""
        found, faults = {}, {}
        for position in range(len(self.reader)):
            source = self._source(position)
            with _noting(faults, position):
                head, _ = image_records.unpack(self.reader[position], source)
                found[position] = image_records.objects(head.label, source)
        return found, faults

    def _misplaced(self, known):
        """Return {position: error} of boxes and labels that are wrong."""
        faults = {}
        for position in self._objects.keys() - known:
            boxes, labels, _ = self._objects[position]
            with _noting(faults, position):
                box_tools.check_boxes(boxes, labels, len(self.classes),
                                      self._source(position))
        return faults

    def _undecodable(self, known):
        """Return {position: error} of images that cannot be read."""
        faults = {}
        for position in self._objects.keys() - known:
            with _noting(faults, position):
                self._image(position)
        return faults

    def _settle(self, faults, bad):
        """Raise the first fault, or return what to note in ``skipped``."""
        if not faults:
            return []
        first = faults[min(faults)]
        if bad == "error":
            raise first
        warnings.warn(f"{self.path}: {len(faults)} of "
                      f"{len(self.reader)} records are faulty and left out. "
                      f"The first: {first}", stacklevel=3)
        return [(self._source(position), str(faults[position]))
                for position in sorted(faults)]

    def _source(self, position):
        return f"{self.reader.name}, record {position}"

    def _image(self, position):
        if self._images is None:
            return self._decode(position)
        if position not in self._images:
            image = self._decode(position)
            image.flags.writeable = False     # the same array is handed out
            self._images[position] = image
        return self._images[position]

    def _decode(self, position):
        source = self._source(position)
        _, data = image_records.unpack(self.reader[position], source)
        return images.decode(data, source)


@contextlib.contextmanager
def _noting(faults, position):
    """Note a ValueError under the position, and go on."""
    try:
        yield
    except ValueError as error:
        faults[position] = error


def read_lst(path):
    """Return {key: file name} of the list that im2rec makes records from.

    Each line holds a key, numbers and a name, separated by tabs. A line that
    does not is left out: names are a convenience, the objects are in the
    records.
    """
    names = {}
    if path.is_file():
        for line in path.read_text(errors="replace").splitlines():
            cells = line.split("\t")
            if (len(cells) > 1 and cells[0].isdecimal()
                    and len(cells[0]) <= 20
                    and inside(path.parent, cells[-1])):
                names[int(cells[0])] = cells[-1]
    return names


def _class_names(path, classes, found):
    """Return the names asked for, those beside the file, or plain ones."""
    beside = path.parent / NAMES
    if classes is None and beside.is_file():
        classes = _read_names(beside)
    if classes is None:
        numbers = [label for _, labels, _ in found.values() for label in labels
                   if 0 <= label < MOST_CLASSES]
        classes = [f"class {k}" for k in range(max(numbers, default=0) + 1)]
    if isinstance(classes, str) or not classes:
        raise ValueError("classes must be a sequence of at least one name, "
                         f"found {classes!r}.")
    return tuple(classes)


def _read_names(path):
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON list of names, found "
                         f"something else ({error}).") from error
    if not (isinstance(names, list) and names
            and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{path}: expected a JSON list of names, found "
                         f"{str(names)[:60]}.")
    return names
