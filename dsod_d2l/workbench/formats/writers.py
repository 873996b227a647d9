"""Write data sets: VOC, COCO, YOLO, CSV and RecordIO.

Pixels are written with 5 digits after the point, fractions with 10, records
in single precision: all tell thousandths of a pixel apart in images of up to
8000 pixels, and give back what was read from any other format here. The
bytes of the images are copied as they are.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape

import numpy as np

from ...datasets.records import write_records
from ...datasets.sample import FLAGS
from ...files import write_atomically
from .text_files import read_names

PIXEL_DIGITS, FRACTION_DIGITS = 5, 10


def decimal(value, digits):
    """Return a number as text, without zeros at its end.

    >>> decimal(12.50000001, 5), decimal(-0.0, 5)
    ('12.5', '0')
    """
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def pixels(entry, size):
    """Return the edges of an entry's boxes in pixels, (M, 4) float64."""
    height, width = size
    return entry.boxes * np.array([width, height, width, height], float)


def absent(path):
    """Return a path where no file is yet, or raise a FileExistsError."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} is there already.")
    return path


def write_new(path, data):
    """Write bytes to a file that is not there yet, folders included."""
    absent(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data)


class Writer:
    """What all writers share: class names, images, and one main file.

    Args:
        folder: of the data set; made if needed.
        classes: names of the classes. A folder that has others already is
            an error.
        pictures: where images go, below the folder.
        main: the file that lists the images, not there yet, below the
            folder; or None.
    """

    def __init__(self, folder, classes, pictures, main=None):
        self.folder, self.classes = Path(folder), tuple(classes)
        self.pictures = self.folder / pictures
        self.pictures.mkdir(parents=True, exist_ok=True)
        said = read_names(self.folder)
        if said and tuple(said) != self.classes:
            raise ValueError(f"{self.folder} has the classes "
                             f"{', '.join(said)} already, found "
                             f"{', '.join(self.classes)}.")
        self.main = main and absent(self.folder / main)

    def check(self, entry, size):
        """Raise a ValueError if the format cannot hold an entry."""

    def write(self, items):
        """Write all (name, Entry, size, bytes); return the main file."""
        for item in items:
            self.add(*item)
        return self.close()

    def close(self):
        """Write the class names and the main file; return its path."""
        self.names()
        write_new(self.main, self.content().encode())
        return self.main

    def image(self, name, data):
        """Write the bytes of one image."""
        write_new(self.pictures / name, data)

    def names(self, file="labels.json"):
        """Write the class names."""
        text = ("\n".join(self.classes) + "\n" if file.endswith(".txt") else
                json.dumps(self.classes, ensure_ascii=False))
        write_atomically(self.folder / file, text.encode())


class VocWriter(Writer):
    """Write a folder in the layout of PASCAL VOC; pixels count from 1."""

    def __init__(self, folder, classes, part=None):
        super().__init__(folder, classes, "JPEGImages",
                         f"ImageSets/Main/{part or 'train'}.txt")
        self.listed = []

    def check(self, entry, size):
        """Raise a ValueError if a box is too small for the format."""
        for row, box in enumerate(_from_one(entry, size)):
            if not (box[:2] < box[2:]).all():
                raise ValueError(f"{entry.source}, object {row}: a VOC file "
                                 "cannot hold a box of one pixel or less on "
                                 "a side.")

    def add(self, name, entry, size, data):
        """Write one image and its objects."""
        stem = PurePosixPath(name).with_suffix("").as_posix()
        rows = [self._object(row, box, entry) for row, box
                in enumerate(_from_one(entry, size))]
        head = (f"<annotation>\n  <filename>{escape(PurePosixPath(name).name)}"
                f"</filename>\n  <size><width>{size[1]}</width><height>"
                f"{size[0]}</height><depth>3</depth></size>\n")
        self.image(name, data)
        write_new(self.folder / "Annotations" / f"{stem}.xml",
                  (head + "".join(rows) + "</annotation>\n").encode())
        self.listed.append(stem)

    def _object(self, row, box, entry):
        sides = "".join(f"<{side}>{decimal(value, PIXEL_DIGITS)}</{side}>"
                        for side, value in zip(("xmin", "ymin", "xmax",
                                                "ymax"), box))
        flags = "".join(f"<{flag}>{int(value)}</{flag}>" for flag, value
                        in zip(FLAGS, entry.flags[row])
                        if value or flag in FLAGS[:2])
        return (f"  <object><name>{escape(self.classes[entry.labels[row]])}"
                f"</name>{flags}<bndbox>{sides}</bndbox></object>\n")

    def content(self):
        """Return the names, one a line."""
        return "".join(f"{name}\n" for name in self.listed)


def _from_one(entry, size):
    """Return boxes in pixels that count from 1, the last ones included."""
    return np.round(pixels(entry, size) + [1, 1, 0, 0], PIXEL_DIGITS)


class CocoWriter(Writer):
    """Write ``annotations/instances_PART.json`` and the folder PART."""

    def __init__(self, folder, classes, part=None):
        part = part or "train"
        super().__init__(folder, classes, part,
                         f"annotations/instances_{part}.json")
        self.table = {"images": [], "annotations": [], "categories": [
            {"id": key, "name": name}
            for key, name in enumerate(self.classes, 1)]}

    def add(self, name, entry, size, data):
        """Write one image, and note its objects."""
        self.image(name, data)
        key = len(self.table["images"]) + 1
        self.table["images"].append({"id": key, "file_name": name,
                                     "width": size[1], "height": size[0]})
        areas = (np.full(len(entry.labels), np.nan) if entry.areas is None
                 else entry.areas)
        for box, label, flags, area in zip(pixels(entry, size), entry.labels,
                                           entry.flags, areas):
            sides = [_plain(side) for side in (*box[:2], *(box[2:]
                                                           - box[:2]))]
            self.table["annotations"].append({
                "id": len(self.table["annotations"]) + 1, "image_id": key,
                "category_id": int(label) + 1, "bbox": sides,
                "area": _plain(sides[2] * sides[3] if np.isnan(area)
                               else area), "iscrowd": int(flags[3]),
                **{flag: 1 for flag, value in zip(FLAGS[:3], flags) if value}})

    def content(self):
        """Return the three lists as JSON."""
        return json.dumps(self.table, ensure_ascii=False)


def _plain(value):
    """Return a rounded number, whole if it can be."""
    value = round(float(value), PIXEL_DIGITS)
    return int(value) if value == int(value) else value


class YoloWriter(Writer):
    """Write ``images``, ``labels`` and ``classes.txt``."""

    def __init__(self, folder, classes, part=None):
        super().__init__(folder, classes, Path("images", part or ""))
        self.labels = Path("labels", part or "")
        self.flags = []

    def add(self, name, entry, size, data):
        """Write one image and its text file."""
        path = (self.labels / PurePosixPath(name).with_suffix(".txt")
                ).as_posix()
        lines = []
        for row, (box, label, flags) in enumerate(zip(
                entry.boxes, entry.labels, entry.flags), 1):
            sides = [*(box[:2] + box[2:]) / 2, *box[2:] - box[:2]]
            lines.append(" ".join([str(label), *(
                decimal(side, FRACTION_DIGITS) for side in sides)]))
            if flags.any():
                self.flags.append((path, row, *flags.astype(int)))
        self.image(name, data)
        write_new(self.folder / path, "".join(f"{line}\n" for line in lines
                                              ).encode())

    def close(self):
        """Write the class names, and add the flags; return the folder."""
        self.names("classes.txt")
        path = self.folder / "flags.csv"
        if self.flags:
            old = path.read_bytes() if path.is_file() else _rows(
                [("file", "line", *FLAGS)]).encode()
            write_atomically(path, old + _rows(self.flags).encode())
        return self.folder


class CsvWriter(Writer):
    """Write a CSV file in pixels, and ``images`` beside it."""

    def __init__(self, path, classes):
        path = Path(path)
        super().__init__(path.parent, classes, "images", path.name)
        self.rows = [("image", "xmin", "ymin", "xmax", "ymax", "class",
                      "width", "height", *FLAGS)]

    def add(self, name, entry, size, data):
        """Write one image, and note its objects."""
        self.image(name, data)
        boxes, size = pixels(entry, size), (size[1], size[0])
        for box, label, flags in zip(boxes, entry.labels, entry.flags):
            self.rows.append((name, *(decimal(side, PIXEL_DIGITS)
                                      for side in box), self.classes[label],
                              *size, *flags.astype(int)))
        if not len(entry.labels):
            self.rows.append((name, *[""] * 5, *size, *[""] * len(FLAGS)))

    def content(self):
        """Return the rows as text."""
        return _rows(self.rows)


def _rows(rows):
    """Return rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class RecordWriter(Writer):
    """Write a .rec file, its .idx, its .lst of names, and labels.json."""

    def __init__(self, path, classes):
        path = Path(path)
        super().__init__(path.parent, classes, "", path.name)

    def write(self, items):
        """Write all (name, Entry, size, bytes); return the .rec file."""
        lines = []

        def records():
            for name, entry, _, data in items:
                lines.append(f"{len(lines)}\t0\t{name}\n")
                yield entry.boxes, entry.labels, data, entry.flags
        write_records(self.main, records())
        write_atomically(self.main.with_suffix(".lst"),
                         "".join(lines).encode())
        self.names()
        return self.main
