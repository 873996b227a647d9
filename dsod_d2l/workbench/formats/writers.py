"""Write data sets: VOC, COCO, YOLO, CSV and RecordIO.

Pixels are written with 5 digits after the point, fractions with 10, records
in single precision: all tell thousandths of a pixel apart in images of up to
8000 pixels, and give back what was read from any other format here. The
bytes of the images are copied as they are.
"""

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from ...boxes import corner_to_centre, in_pixels
from ...config.base import require
from ...datasets.records import write_records
from ...datasets.sample import FLAGS, Entry
from ...files import write_atomically
from .csv_table import COLUMNS
from .image_folder import SIDES
from .locating import split_of
from .text_files import read_names

PIXEL_DIGITS, FRACTION_DIGITS = 5, 10


def decimal(value: float, digits: int) -> str:
    """Return a number as text, without zeros at its end.

    >>> decimal(12.50000001, 5), decimal(-0.0, 5)
    ('12.5', '0')
    """
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def absent(path: str | Path) -> Path:
    """Return a path where no file is yet, or raise a FileExistsError."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} is there already.")
    return path


def write_new(path: str | Path, data: bytes) -> None:
    """Write bytes to a file that is not there yet, folders included.

    It has its name once it is whole. Unlike ``write_atomically`` nothing
    waits for the disk, which would take hours for a large set.
    """
    path = absent(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class Writer:
    """What all writers share: class names, images, and one main file.

    Args:
        folder: of the data set; made if needed.
        classes: names of the classes. A folder that has others already is
            an error.
        part: fills the places that the class states below the folder: where
            images go; the file that lists them, not there yet, or "".
    """

    PART, PICTURES, MAIN = "train", "images", "{}"

    def __init__(self, folder: str | Path, classes: Iterable,
                 part: str | None = None):
        self.folder, self.classes = Path(folder), tuple(classes)
        self.part, self.written = part or self.PART, []
        self.images, self.rows = [], []
        self.pictures = self.folder / self.PICTURES.format(self.part)
        said = read_names(self.folder)
        require(not said or tuple(said) == self.classes,
                f"{self.folder} has the classes {', '.join(said or ())} "
                f"already, found {', '.join(self.classes)}.")
        self.main = self.MAIN and absent(
            self.folder / self.MAIN.format(self.part))
        self.pictures.mkdir(parents=True, exist_ok=True)

    def place(self, path: PurePosixPath) -> PurePosixPath:
        """Return the name under which the format finds an image again."""
        return path

    def check(self, entry: Entry, size: tuple) -> None:
        """Raise a ValueError if the format cannot hold an entry."""

    def write(self, items: Iterable[tuple]) -> Path:
        """Write all (name, Entry, size, bytes); return the main file."""
        try:
            for name, entry, size, data in items:
                self.put(self.pictures / name, data)
                self.add(name, entry, size)
        except BaseException:        # half a set would look like a whole one
            for path in self.written:
                path.unlink(missing_ok=True)
            raise
        return self.close()

    def put(self, path: Path, data: bytes) -> None:
        """Write a file that is not there yet, and note it."""
        write_new(path, data)
        self.written.append(path)

    def close(self) -> Path:
        """Write the class names and the main file; return its path."""
        self.names()
        write_new(self.main, self.content().encode())
        return self.main

    def names(self) -> None:
        """Write the class names."""
        write_atomically(self.folder / "labels.json", json.dumps(
            self.classes, ensure_ascii=False).encode())


class VocWriter(Writer):
    """Write a folder in the layout of PASCAL VOC; pixels count from 1."""

    PICTURES, MAIN = "JPEGImages", "ImageSets/Main/{}.txt"

    def check(self, entry: Entry, size: tuple) -> None:
        """Raise a ValueError if a box is too small for the format."""
        for row, box in enumerate(_from_one(entry, size)):
            require((box[:2] < box[2:]).all(), f"{entry.source}, object "
                    f"{row}: a VOC file cannot hold a box of one pixel or "
                    "less on a side.")

    def add(self, name: str, entry: Entry, size: tuple) -> None:
        """Write the objects of one image."""
        stem = PurePosixPath(name).with_suffix("").as_posix()
        rows = [self._object(row, box, entry) for row, box
                in enumerate(_from_one(entry, size))]
        head = (f"<annotation>\n  <filename>{escape(PurePosixPath(name).name)}"
                f"</filename>\n  <size><width>{size[1]}</width><height>"
                f"{size[0]}</height><depth>3</depth></size>\n")
        self.put(self.folder / "Annotations" / f"{stem}.xml",
                 (head + "".join(rows) + "</annotation>\n").encode())
        self.rows.append(stem)

    def _object(self, row, box, entry):
        sides = "".join(f"<{side}>{decimal(value, PIXEL_DIGITS)}</{side}>"
                        for side, value in zip(SIDES, box))
        flags = "".join(f"<{flag}>{int(value)}</{flag}>" for flag, value
                        in zip(FLAGS, entry.flags[row])
                        if value or flag in FLAGS[:2])
        return (f"  <object><name>{escape(self.classes[entry.labels[row]])}"
                f"</name>{flags}<bndbox>{sides}</bndbox></object>\n")

    def content(self) -> str:
        """Return the names, one a line."""
        return _lines(self.rows)


def _lines(texts):
    return "".join(f"{text}\n" for text in texts)


def _from_one(entry, size):
    """Return boxes in pixels that count from 1, the last ones included."""
    return np.round(in_pixels(entry.boxes, size) + [1, 1, 0, 0], PIXEL_DIGITS)


class CocoWriter(Writer):
    """Write ``annotations/instances_PART.json`` and the folder PART."""

    PICTURES, MAIN = "{}", "annotations/instances_{}.json"

    def add(self, name: str, entry: Entry, size: tuple) -> None:
        """Note one image and its objects."""
        key = len(self.images) + 1
        self.images.append({"id": key, "file_name": name,
                            "width": size[1], "height": size[0]})
        boxes = in_pixels(entry.boxes, size)
        boxes[:, 2:] -= boxes[:, :2]
        areas = [np.nan] * len(boxes) if entry.areas is None else entry.areas
        for box, label, flags, area in zip(boxes, entry.labels, entry.flags,
                                           areas):
            sides = [_plain(side) for side in box]
            self.rows.append({
                "id": len(self.rows) + 1, "image_id": key,
                "category_id": int(label) + 1, "bbox": sides,
                "area": _plain(sides[2] * sides[3] if np.isnan(area)
                               else area), "iscrowd": int(flags[3]),
                **{flag: 1 for flag, value in zip(FLAGS[:3], flags) if value}})

    def content(self) -> str:
        """Return the three lists as JSON."""
        categories = [{"id": key, "name": name}
                      for key, name in enumerate(self.classes, 1)]
        return json.dumps({"images": self.images, "annotations": self.rows,
                           "categories": categories}, ensure_ascii=False)


def _plain(value):
    """Return a rounded number, whole if it can be."""
    value = round(float(value), PIXEL_DIGITS)
    return int(value) if value == int(value) else value


class YoloWriter(Writer):
    """Write ``images``, ``labels`` and ``classes.txt``."""

    PART, PICTURES, MAIN = "", "images/{}", ""

    def place(self, path: PurePosixPath) -> PurePosixPath:
        """Return a name whose folder is not taken for a split of the set."""
        if self.part or len(path.parts) < 2 or not split_of(path.parts[0]):
            return path
        return PurePosixPath("_".join(path.parts[:2]), *path.parts[2:])

    def add(self, name: str, entry: Entry, size: tuple) -> None:
        """Write the text file of one image."""
        path = PurePosixPath("labels", self.part, name).with_suffix(
            ".txt").as_posix()
        lines = []
        for row, (sides, label, flags) in enumerate(zip(corner_to_centre(
                entry.boxes), entry.labels, entry.flags), 1):
            lines.append(" ".join([str(label), *(
                decimal(side, FRACTION_DIGITS) for side in sides)]))
            if flags.any():
                self.rows.append((path, row, *flags.astype(int)))
        self.put(self.folder / path, _lines(lines).encode())

    def close(self) -> Path:
        """Write the class names, and add the flags; return the folder."""
        write_atomically(self.folder / "classes.txt",
                         _lines(self.classes).encode())
        path = self.folder / "flags.csv"
        if self.rows:
            old = path.read_bytes() if path.is_file() else _rows(
                [("file", "line", *FLAGS)]).encode()
            write_atomically(path, old + _rows(self.rows).encode())
        return self.folder


class CsvWriter(Writer):
    """Write a CSV file in pixels, and ``images`` beside it."""

    def add(self, name: str, entry: Entry, size: tuple) -> None:
        """Note the objects of one image."""
        boxes, size = in_pixels(entry.boxes, size), (size[1], size[0])
        for box, label, flags in zip(boxes, entry.labels, entry.flags):
            self.rows.append((name, *(decimal(side, PIXEL_DIGITS)
                                      for side in box), self.classes[label],
                              *size, *flags.astype(int)))
        if not len(entry.labels):
            self.rows.append((name, *[""] * 5, *size, *[""] * len(FLAGS)))

    def content(self) -> str:
        """Return the rows as text."""
        return _rows([COLUMNS, *self.rows])


def _rows(rows):
    """Return rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class RecordWriter(Writer):
    """Write a .rec file, its .idx, its .lst of names, and labels.json."""

    PICTURES = ""

    def __init__(self, *args: Any):
        super().__init__(*args)
        for suffix in (".idx", ".lst"):
            absent(self.main.with_suffix(suffix))

    def write(self, items: Iterable[tuple]) -> Path:
        """Write all (name, Entry, size, bytes); return the .rec file."""
        lines = []

        def records():
            for name, entry, _, data in items:
                lines.append(f"{len(lines)}\t0\t{name}")
                yield entry.boxes, entry.labels, data, entry.flags
        write_records(self.main, records())
        write_atomically(self.main.with_suffix(".lst"), _lines(lines).encode())
        self.names()
        return self.main
