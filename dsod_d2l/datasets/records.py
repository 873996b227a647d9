"""A data set in a RecordIO file, as MXNet's tools write them."""

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import boxes as box_tools
from ..config.base import require
from ..files import check_names, inside, read_json_names
from . import pictures
from .recordio import RecordReader, write_payloads
from .sample import (FLAGS, Entry, FileDataset, ObjectFault, broken_entry,
                     check_policy)

_HEAD = struct.Struct("<IfQQ")


class Head(NamedTuple):
    """The head of a record; `label` is a number, or a float32 array."""

    flag: int
    label: float | np.ndarray
    id: int
    id2: int


class Objects(NamedTuple):
    """The objects of one image, as its label says, not yet checked.

    boxes: float32 (M, 4) corner boxes in fractions of the image.
    labels: int64 (M,) class indices.
    flags: bool (M, 4), columns as in ``FLAGS``.
    """

    boxes: np.ndarray
    labels: np.ndarray
    flags: np.ndarray


def pack(head: Head, image: bytes) -> bytes:
    """Return a payload: the head, its label where that is an array, the image.

    Args:
        head: Head; its flag is set from the label.
        image: bytes.
    """
    if np.ndim(head.label) == 0:
        return _HEAD.pack(0, head.label, head.id, head.id2) + image
    label = np.asarray(head.label, dtype="<f4").ravel()
    return (_HEAD.pack(label.size, 0, head.id, head.id2) + label.tobytes()
            + image)


def unpack(payload: bytes, source: str) -> tuple[Head, bytes]:
    """Return the Head and the image's bytes of a payload.

    Raises:
        ValueError: the payload is too short for what its head says.
    """
    require(len(payload) >= _HEAD.size, f"{source}: expected a head of "
            f"{_HEAD.size} bytes, found a record of {len(payload)}.")
    head = Head(*_HEAD.unpack_from(payload))
    end = _HEAD.size + 4 * head.flag
    if head.flag == 0:
        return head, payload[end:]
    require(end <= len(payload), f"{source}: the head claims a label of "
            f"{head.flag} numbers, but only {len(payload) - _HEAD.size} bytes "
            "follow it.")
    label = np.frombuffer(payload, "<f4", head.flag, _HEAD.size)
    return head._replace(label=label), payload[end:]


def objects(label: Any, source: str) -> Objects:
    """Return the Objects that a detection label lists.

    Args:
        label: the label of a Head.
        source: name of the record, for messages.

    Raises:
        ValueError: the label is not a detection label, or a class is not a
            whole number.

    >>> label = [4, 5, 640, 480, 2, 0.25, 0.5, 0.75, 1.0]
    >>> objects(label, "a.rec, record 0").boxes.tolist()
    [[0.25, 0.5, 0.75, 1.0]]
    """
    label = np.asarray(label, dtype=np.float32)
    require(label.ndim == 1 and len(label) > 1, f"{source}: expected a "
            "detection label [head width, object width, ...], found "
            f"{label.size} number(s).")
    head, width = (float(value) for value in label[:2])
    require(2 <= head <= len(label) and width >= 5 and head % 1 == 0
            and width % 1 == 0 and (len(label) - head) % width == 0,
            f"{source}: a label of {len(label)} numbers does not fit its own "
            f"head width {head:g} (expected 2 or more) and object width "
            f"{width:g} (5 or more).")
    count = int((len(label) - head) // width)
    rows = label[int(head):].reshape(count, int(width) if count else 5)
    # im2rec makes labels equally long, with rows of -1.
    rows = rows[(rows[:, :5] != -1).any(axis=1)]
    count = len(rows)
    for row, value in enumerate(rows[:, 0]):
        # Above 2^24, float32 cannot tell one whole number from the next.
        require(abs(value) < 2**24 and value % 1 == 0, f"{source}, box {row}: "
                f"expected a whole number as its class, found {value:g}.")
    flags = np.zeros((count, len(FLAGS)), bool)
    # A sixth number is "difficult" everywhere; what follows it elsewhere has
    # no agreed meaning.
    known = len(FLAGS) if rows.shape[1] == 5 + len(FLAGS) else 1
    if rows.shape[1] > 5:
        flags[:, :known] = rows[:, 5:5 + known] > 0
    return Objects(rows[:, 1:5].copy(), rows[:, 0].astype(np.int64), flags)


def pack_objects(boxes: Any, labels: Any, image: bytes, key: int = 0,
                 source: str = "an image", flags: Any = None) -> bytes:
    """Return the payload of one image and its objects.

    Args:
        boxes: (M, 4) corner boxes in fractions of the image.
        labels: M class indices from 0.
        image: bytes of an encoded image; its size goes into the label.
        key: number of the record.
        source: name for messages.
        flags: (M, 4) as in ``FLAGS``. They take four more numbers an
            object, one if only "difficult" is set, none if nothing is.

    Raises:
        ValueError: a box or label is faulty, or the image cannot be read.
    """
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.asarray(labels, dtype=np.int64).reshape(-1)
    box_tools.check_boxes(boxes, labels, np.inf, source)
    height, width = pictures.encoded_size(image, source)
    flags = np.zeros((len(boxes), 0)) if flags is None else np.asarray(flags)
    flags = flags[:, :len(FLAGS) if flags[:, 1:].any() else int(flags.any())]
    rows = np.column_stack([labels.astype(np.float32), boxes, flags])
    label = np.concatenate([[4, rows.shape[1], width, height], rows.ravel()])
    return pack(Head(0, label, key, 0), image)


def write_records(path: str | Path, items: Iterable,
                  progress: Callable[[int], None] | None = None) -> int:
    """Write images with their objects, as MXNet's detection iterators read.

    Args:
        path: the `.rec` file; its `.idx` is written beside it. Both appear
            only when all is written.
        items: iterable of (boxes, labels, image) or (boxes, labels, image,
            flags): (M, 4) corner boxes in fractions of the image, M class
            indices from 0, the bytes of an encoded image, and (M, 4) flags,
            see ``pack_objects``. M may be 0 (MXNet's own iterator skips
            those).
        progress: called with the number of records done, after each.

    Returns:
        The number of records.

    Raises:
        ValueError: a box or label is faulty; the message names the record.
    """
    def payloads():
        for row, (boxes, labels, image, *flags) in enumerate(items):
            source = f"{Path(path).name}, record {row}"
            yield pack_objects(boxes, labels, image, row, source, *flags)
            if progress is not None:
                progress(row + 1)
    return write_payloads(path, payloads())


NAMES_FILE = "labels.json"
MOST_CLASSES = 10_000    # a label above this, without names, is a mistake


class RecordDataset(FileDataset):
    """The images and objects of a `.rec` file.

    Args:
        path: the `.rec` file.
        classes: names of the classes, in the order of their numbers. Default:
            the JSON list in ``labels.json`` beside the file, else "class 0",
            "class 1", ... up to the highest number in the file.
        bad, cache, exif: as in ``FileDataset``.

    Attributes:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: names the file, the record and the box.
    """

    _unit = "record"
    _LEFT_OUT = ("{title}: {gone} of {listed} records are faulty and left "
                 "out.{first}")
    _NONE_SOUND = ("{title}: expected at least one sound record, found "
                   "{listed} faulty ones.")

    def __init__(self, path: str | Path, classes: Sequence[str] | None = None,
                 bad: str = "error", cache: bool = False,
                 exif: str = "turned"):
        check_policy(bad)
        self.reader, self._names = RecordReader(path), None
        self.path = self.reader.path
        entries = list(map(self._read, range(len(self.reader))))
        classes = _class_names(self.path, classes, entries)
        super().__init__([_checked(entry, len(classes)) for entry in entries],
                         classes, str(self.path), bad=bad, cache=cache,
                         exif=exif)

    def entry(self, index: int) -> Entry:
        """Return the Entry of one image, which is not decoded.

        Of all numbers that single precision takes for the same, a fraction
        is taken to be a thousandth of a pixel.
        """
        entry, (height, width) = self._entries[index], self.size(index)
        sides = np.array([width, height] * 2, float)
        exact = np.round(entry.boxes * sides, 3) / sides
        exact = np.where(exact.astype(np.float32) == entry.boxes, exact,
                         entry.boxes)
        return entry._replace(name=self._name(index), boxes=exact,
                              size=(height, width))

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of one image as its own head says."""
        return pictures.encoded_size(self.encoded(index),
                                     self._entries[index].source)

    def _read(self, position):
        """Return the Entry of one record, called by its position."""
        source = f"{self.reader.name}, record {position}"
        try:
            head, _ = unpack(self.reader[position], source)
            return Entry(str(position), *objects(head.label, source), None,
                         source)
        except ValueError as error:
            return broken_entry(str(position), source, str(error), "record")

    def _name(self, index):
        """Return a file name for one image: that in the .lst, or a number."""
        position = int(self._entries[index].name)
        if self._names is None:
            self._names = read_lst(self.path.with_suffix(".lst"))
        key = self.reader.keys[position]
        return self._names.get(key) or f"{position:06d}" + pictures.suffix(
            self.encoded(index))

    def _bytes(self, entry):
        return unpack(self.reader[int(entry.name)], entry.source)[1]


def _checked(entry, classes):
    """Return an Entry with its sound objects, and why others are none."""
    reasons = [box_tools.fault(box) or (
        "" if 0 <= label < classes else
        f"label {label} is out of range, expected 0 to {classes - 1}")
        for box, label in zip(entry.boxes, entry.labels)]
    kept = np.array([not reason for reason in reasons], bool)
    faults = [ObjectFault(entry.source, f"{entry.source}, box {row}: {reason}",
                          "record") for row, reason in enumerate(reasons)
              if reason]
    return entry if not faults else entry._replace(
        boxes=entry.boxes[kept], labels=entry.labels[kept],
        flags=entry.flags[kept], faults=tuple(faults))


def read_lst(path: Path) -> dict[int, str]:
    """Return {key: file name} of the list that im2rec makes records from.

    Each line holds a key, numbers and a name, separated by tabs. A line that
    does not is left out: names are a convenience, the objects are in the
    records.
    """
    names = {}
    if path.is_file():
        for line in path.read_text("utf-8", "replace").splitlines():
            cells = line.replace("\\", "/").split("\t")
            if (len(cells) > 1 and cells[0].isdecimal() and len(cells[0]) <= 20
                    and inside(path.parent, cells[-1])):
                names[int(cells[0])] = cells[-1]
    return names


def _class_names(path, classes, entries):
    """Return the names asked for, those beside the file, or plain ones."""
    beside = path.parent / NAMES_FILE
    if classes is None and beside.is_file():
        classes = check_names(read_json_names(beside), beside,
                              "a JSON list of names")
    if classes is None:
        numbers = [label for entry in entries for label in entry.labels
                   if 0 <= label < MOST_CLASSES]
        classes = [f"class {k}" for k in range(max(numbers, default=0) + 1)]
    require(classes and not isinstance(classes, str), "classes must be a "
            f"sequence of at least one name, found {classes!r}.")
    return tuple(classes)
