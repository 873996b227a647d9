"""A CSV file with one object a row, beside a folder of images.

The first line names the columns, in any order: ``image xmin ymin xmax ymax
class``, and if wanted ``width height`` (of the image in pixels) and the
flags ``difficult truncated occluded crowd``, 0 or 1. xmin to ymax are edges:
in pixels counted from 0, or in fractions of the image. An image without
objects has one row that is empty but for its name.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ...datasets.sample import FLAGS
from ...files import inside
from .image_folder import SIDES, EntryMaker, ImageFolder, fault_at
from .text_files import listing, number, read_names, read_text

NEEDED = ("image", *SIDES, "class")
COLUMNS = (*NEEDED, "width", "height", *FLAGS)
ALIASES = {"filename": "image", "file": "image", "file_name": "image",
           "path": "image", "label": "class", "class_name": "class",
           "name": "class", "x1": "xmin", "y1": "ymin", "x2": "xmax",
           "y2": "ymax"}
UNITS = ("pixels", "fractions")


class CsvTable(ImageFolder):
    """The images and objects of a CSV file.

    Args:
        path: the file.
        images: the folder of images. Default: ``images`` beside the file if
            the first image is there, else the file's own folder.
        unit: "pixels" or "fractions". Default: fractions if no coordinate
            is above 1, else pixels; boxes of another unit are then faults.
        classes: every name that may occur, in the order of their indices.
            Default: ``labels.json`` or ``classes.txt`` beside the file, else
            the names in it, sorted.
        outside: "error" or "clip", see ``EntryMaker``.
        options: ``bad`` and ``cache``, as in ``ImageFolder``.

    Attributes:
        unit: of the boxes in the file.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and line.
    """

    def __init__(self, path: str | Path, images: str | Path | None = None,
                 unit: str | None = None, classes: list | tuple | None = None,
                 outside: str = "error", **options: Any):
        self.path = Path(path)
        if unit not in (None, *UNITS):
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, found "
                             f"{unit!r}.")
        rows, faults = _read(self.path)
        folder = Path(images) if images else _folder(self.path.parent, rows)
        self.unit = unit or _unit(rows)
        classes = tuple(classes or read_names(self.path.parent) or sorted(
            {row["class"] for _, row in rows if row["class"]}))
        if not classes:
            raise ValueError(f"{self.path}: expected at least one object, "
                             "found none.")
        self._index = {name: label for label, name in enumerate(classes)}
        entries = self._collect(rows, folder, faults, outside)
        super().__init__(entries, classes, folder, str(self.path), faults,
                         **options)

    def _collect(self, rows, folder, faults, outside):
        """Return the entries of all images, in the order of the file."""
        makers, kinds, files = {}, {}, listing(folder)
        for line, row in rows:
            name, where = row["image"].replace("\\", "/"), f"line {line}"
            if name not in makers:
                if not inside(folder, name):
                    faults.append(fault_at(
                        f"{self.path}, {where}", "the image name "
                        f"{name[:80]!r} leaves the folder", "path"))
                    continue
                makers[name] = self._maker(name, row, folder, files, where,
                                           outside)
            maker = makers[name]
            filled = any(row[key] for key in NEEDED[1:])
            kinds.setdefault(name, set()).add(filled)
            if len(kinds[name]) > 1:
                maker.blame("this image has rows with an object and a row "
                            "without", "file", where)
            elif filled:
                self._add(maker, row, where)
        return [maker.entry() for maker in makers.values()]

    def _maker(self, name, row, folder, files, where, outside):
        """Return the EntryMaker of an image that its first row names."""
        maker = EntryMaker(name, f"{self.path.name}, {name:.120}",
                           self._index, outside)
        said = [row[key] for key in ("height", "width")]
        if name not in files:
            maker.blame(f"there is no image {str(folder / name):.200}",
                        "image", where)
        elif any(said):
            maker.state_size(*said, where)
        elif self.unit == "pixels":
            maker.measure(folder / name, where)
        return maker

    def _add(self, maker, row, where):
        """Add the object of one row."""
        box = [number(row[side]) for side in SIDES]
        lost = [side for side, value in zip(SIDES, box) if value != value]
        wrong = [name for name in FLAGS if row[name] not in ("", "0", "1")]
        if lost:
            maker.blame(f"{lost[0]} is not a number: {row[lost[0]][:40]!r}",
                        "file", where)
        elif wrong:
            maker.blame(f"{wrong[0]} must be 0 or 1, found "
                        f"{row[wrong[0]][:40]!r}", "file", where)
        elif self.unit == "fractions" or maker.size is not None:
            maker.add(row["class"], box, [row[name] == "1" for name in FLAGS],
                      where, pixels=self.unit == "pixels")


def _read(path):
    """Return [(line, {column: text})], and the faults of lines."""
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, faults, columns, blank = [], [], None, dict.fromkeys(COLUMNS, "")
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            source = f"{path}, line {reader.line_num}"
            if columns is None:
                columns = _columns(cells, source)
            elif not (len(cells) == len(columns)
                      and cells[columns.index("image")]):
                faults.append(fault_at(
                    source, f"expected {len(columns)} cells and the name of "
                    f"an image, found {','.join(cells)[:80]!r}"))
            else:
                rows.append((reader.line_num,
                             blank | dict(zip(columns, cells))))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: expected CSV, but "
                         f"{error}.") from error
    if columns is None:
        raise ValueError(f"{path}: expected a first line with the columns "
                         f"{', '.join(NEEDED)}, found an empty file.")
    return rows, faults


def _columns(cells, source):
    """Return the names of the columns."""
    names = [ALIASES.get(cell.lower(), cell.lower()) for cell in cells]
    lacking = [name for name in NEEDED if names.count(name) != 1]
    if lacking:
        raise ValueError(f"{source}: expected one column each of "
                         f"{', '.join(NEEDED)}, found {', '.join(cells)[:120]}"
                         ".")
    return names


def _folder(folder, rows):
    """Return the folder of the images."""
    first = rows[0][1]["image"] if rows else ""
    there = inside(folder, first) and (folder / "images" / first).is_file()
    return folder / "images" if there else folder


def _unit(rows):
    """Return the unit that the coordinates speak of."""
    sides = [number(row[side]) for _, row in rows for side in SIDES]
    real = [side for side in sides if abs(side) < float("inf")]
    return "fractions" if max(real, default=2) <= 1 + 1e-6 else "pixels"
