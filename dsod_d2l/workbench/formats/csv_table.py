"""A table with one object a row, beside a folder of images.

The first line names the columns, in any order: ``image xmin ymin xmax ymax
class``, and if wanted ``width height`` (of the image in pixels) and the
flags ``difficult truncated occluded crowd``. xmin to ymax are edges: in
pixels counted from 0, or in fractions of the image. An image without objects
has one row that is empty but for its name. The tables of other programs are
read as well, which call their columns otherwise, do not name them, or give a
corner and two sides: ``KNOWN_COLUMNS`` and ``UNNAMED`` say which. So are
lists whose lines have boxes ``x1,y1,x2,y2,number`` behind the image.
"""

import contextlib
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...config.base import one_of, require
from ...datasets.sample import FLAGS, few
from ...files import check_names
from .image_folder import SIDES, ImageFolder, entry_makers, fault_at
from .locating import annotation_file, picture_folder
from .text_files import (filled_lines, known_table, names_in, number,
                         read_names, read_text)

NEEDED = ("image", *SIDES, "class")
COLUMNS = (*NEEDED, "width", "height", *FLAGS)
CORNER = ("x", "y", "box_width", "box_height")
# What a column may be called, the likeliest first.
KNOWN_COLUMNS = known_table("columns.json")
# Tables that do not name their columns: RetinaNet's, makesense's.
UNNAMED = (NEEDED, ("class", *CORNER, "image", "width", "height"))
UNITS = ("pixels", "fractions")
LISTED = "_annotations.txt"       # Roboflow's, for YOLO in Keras
_CLASS_KEYS = (*KNOWN_COLUMNS["class"], "type", "object")    # of VIA


class CsvTable(ImageFolder):
    """The images and objects of a CSV file.

    Args:
        path: the file, or a folder, see ``annotation_file``.
        images: the folder of images. Default: ``images`` beside the file,
            the file's own or one called as the split, whichever has most of
            them.
        unit: "pixels" or "fractions". Default: fractions if no coordinate
            is above 1, else pixels; boxes of another unit are then faults.
        classes: every name that may occur, in the order of their indices.
            Default: ``labels.json`` or ``classes.txt`` beside the file, else
            the names in it, sorted. A single one is that of all objects
            where no column has it.
        outside: "error" or "clip", see ``EntryMaker``.
        origin: the number of the first pixel; 1 also means that xmax and
            ymax are the last pixels inside, as in the numbers of VOC.
        columns: what the columns hold, in their order, "-" for one that is
            not wanted; or, as "image:photo", what is called how.
        split: which one, where ``path`` is a folder.
        options: ``bad`` and ``cache``, as in ``ImageFolder``.

    Attributes:
        unit: of the boxes in the file.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and line.
    """

    def __init__(self, path: str | Path, images: str | Path | None = None,
                 unit: str | None = None, classes: list | tuple | None = None,
                 outside: str = "error", origin: int = 0,
                 columns: Sequence[str] | None = None,
                 split: str | None = None, **options: Any):
        if unit is not None:
            one_of("unit", unit, UNITS)
        require(origin in (0, 1), f"origin must be 0 or 1, found {origin!r}.")
        remarks: Counter = Counter()
        self.path = annotation_file(Path(path), split, (".csv", LISTED),
                                    remarks)
        listed = not columns and lists_boxes(self.path)
        rows, faults = (_listed if listed else _read)(
            self.path, columns, classes, remarks)
        sides = np.array([[number(row[side]) for side in SIDES]
                          for _, row in rows]).reshape(-1, 4)
        greatest = sides[np.isfinite(sides)].max(initial=-np.inf)
        self.unit = unit or ("fractions" if -np.inf < greatest <= 1 + 1e-6
                             and not listed else "pixels")
        finder, places = picture_folder(self.path, dict.fromkeys(
            row["image"] for _, row in rows), remarks, images)
        classes = tuple(classes or _names_beside(self.path, remarks) or sorted(
            {row["class"] for _, row in rows if row["class"]}))
        require(classes, f"{self.path}: expected at least one object, found "
                "none.")
        self._origin = origin if self.unit == "pixels" else 0
        if (not origin and self.unit == "pixels"
                and np.fmin.reduce(sides[:, :2], None, initial=np.inf) == 1):
            remarks["table whose least coordinate is 1: it may count pixels "
                    "from 1, as VOC does (origin=1)"] += 1
        entries = self._collect(rows, finder, places, entry_makers(
            classes, outside, remarks, options))
        super().__init__(entries, classes, finder.folder, str(self.path),
                         faults, remarks=remarks, **options)

    def _collect(self, rows, finder, places, make):
        """Return the entries of all images, in the order of the file."""
        makers, kinds = {}, {}
        for line, row in rows:
            place, where = places[row["image"]], f"line {line}"
            name = place or row["image"]
            if name not in makers:
                maker = makers[name] = make(
                    name, f"{self.path.name}, {name:.80}",
                    path=place and finder.folder / place)
                self._start(maker, row, finder, where)
            maker = makers[name]
            filled = any(row[key] != "" for key in NEEDED[1:])
            kinds.setdefault(name, set()).add(filled)
            if len(kinds[name]) > 1:
                maker.blame("this image has rows with an object and a row "
                            "without", "file", where)
            elif filled:
                self._add(maker, row, where)
        return [maker.entry() for maker in makers.values()]

    def _start(self, maker, row, finder, where):
        """Take what the first row of an image says of it as a whole."""
        said = [row[key] for key in ("height", "width")]
        if maker.path is None:
            maker.blame(*finder.missing(row["image"]), where)
        elif any(said):
            maker.state_size(*said, where)
        elif self.unit == "pixels":
            maker.measure(maker.path, where)

    def _add(self, maker, row, where):
        """Add the object of one row."""
        box = [number(row[side]) for side in SIDES]
        lost = [side for side, value in zip(SIDES, box) if value != value]
        if lost:
            maker.blame(f"{lost[0]} is not a number: "
                        f"{str(row[lost[0]])[:40]!r}", "file", where)
        elif self.unit == "fractions" or maker.size is not None:
            maker.add(row["class"], box, [row[name] for name in FLAGS], where,
                      self._origin, pixels=self.unit == "pixels")


def lists_boxes(path: Path) -> bool:
    """Return whether a list, or one in a folder, has boxes behind names."""
    if path.is_dir():
        return any(map(lists_boxes, (*path.glob(LISTED),
                                     *path.glob(f"*/{LISTED}"))))
    return path.suffix == ".txt" and path.is_file() and any(
        re.search(_BOXES, line) for _, _, line
        in filled_lines(path, Counter()))


_BOXES = r"((?:\s+-?[\d.]+(?:,-?[\d.]+){3},\d+)+)$"


def _listed(path, _, classes, remarks):
    """Read lines of a name and boxes as x1,y1,x2,y2,number; see ``_read``."""
    names = classes or _names_beside(path, remarks) or ()
    rows = []
    for line, _, text in filled_lines(path, remarks):
        name, boxes, _ = [*re.split(_BOXES, text), "", ""][:3]
        for box in boxes.split() or [""]:
            cells = box.split(",") if box else [""] * 5
            if box and int(cells[4]) < len(names):
                cells[4] = names[int(cells[4])]
            rows.append((line, dict.fromkeys(COLUMNS, "") | dict(zip(
                NEEDED, (name, *cells)))))
    return rows, []


def _read(path, columns, classes, remarks):
    """Return [(line, {column: value})], and the faults of lines."""
    lines = read_cells(path, remarks)
    require(lines, f"{path}: expected a first line with the columns "
            f"{', '.join(NEEDED)}, found an empty file.")
    (first, head), faults, rows = lines[0], [], []
    source = f"{path}, line {first}"
    places, named, told = _columns(head, columns, source, classes)
    blank = dict.fromkeys((*COLUMNS, *places), "")
    for line, cells in lines[named:]:
        if len(cells) != len(head) or not cells[places["image"]]:
            faults.append(fault_at(
                f"{path}, line {line}", f"expected {len(head)} cells and the "
                f"name of an image, found {','.join(cells)[:80]!r}"))
        else:
            row = blank | {name: cells[at] for name, at in places.items()}
            row = _with_edges(row, remarks)
            if not {"class", "told"} & {*places} and row["xmin"] != "":
                row["class"] = classes[0]
            rows.append((line, row))
    if "told" in places:
        _tell_classes(rows, told, classes, path)
    _spell_out(rows, path.parent, remarks)
    return rows, faults


def read_cells(path: Path, remarks: Counter | None = None
               ) -> list[tuple[int, list[str]]]:
    """Return [(line, cells)] of all lines of a CSV that hold something.

    Args:
        path, remarks: as of ``read_text``.

    Raises:
        ValueError: it is no CSV; names the line.
    """
    # Python 3.10 refuses a zero byte, later ones read it as a character.
    text = read_text(path, remarks).replace("\0", "\N{REPLACEMENT CHARACTER}")
    # Excel's sep=; and remarks may stand before the names of columns.
    text = re.sub(r"\A(\s*(sep=.|#[^,;\t|\n]*)\n)+", lambda found: "\n" *
                  found[0].count("\n"), text)
    line = next((one for one in text.splitlines() if one.strip()), "")
    comma = max(",;\t|", key=lambda one: line.count(one))
    comma = comma if comma in line else " "
    reader, found = csv.reader(io.StringIO(text, newline=""), strict=True,
                               delimiter=comma, skipinitialspace=True), []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if comma == ";":            # numbers may have a decimal comma
                cells = [re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", cell)
                         for cell in cells]
            if any(cells):
                found.append((reader.line_num, cells))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: expected CSV, but "
                         f"{error}.") from error
    return found


def _spelt(text):
    """Return the name of a column as ``KNOWN_COLUMNS`` has it."""
    text = _plain(text)
    return next((name for name, ones in KNOWN_COLUMNS.items()
                 if text in ones), text)


def _plain(text):
    """Return the name of a column without signs and capitals."""
    return re.sub(r"[ -]", "_", text.strip("# ").lower())


def _columns(head, columns, source, classes):
    """Return where each column is, how many lines name them, a VIA key."""
    told = None
    if columns and ":" in "".join(columns):
        places, named = _found(head), 1
        for name, _, called in (one.partition(":") for one in columns):
            if called in head:
                places[_spelt(name)] = head.index(called)
            elif _spelt(name) == "class" and "told" in places:
                told = called
            else:
                raise ValueError(f"{source}: there is no column {called!r} "
                                 f"for {name!r}, found "
                                 f"{', '.join(head)[:120]}.")
    elif columns:
        places = {_spelt(name): at for at, name in enumerate(columns)
                  if name != "-"}
        named = int(not _holds_values(head, places))
    else:
        places, named = _found(head), 1
        for names in UNNAMED if not _whole(places) else ():
            other = {name: at for at, name in enumerate(names)}
            if len(head) == len(names) and _holds_values(head, other) and (
                    head[other["image"]].strip("0123456789.")):
                places, named = other, 0
    one = len(classes or ()) == 1
    most = max(places.values(), default=0) if columns else 0
    require(_whole(places, one) and most < len(head), f"{source}: expected "
            f"one column each of {', '.join(NEEDED)}, found "
            f"{', '.join(head)[:120]}; columns= names them in their order, or "
            "as image:photo,class:kind"
            f"{'' if 'class' in places else ', or classes=NAME, for all'}.")
    return places, named, told


def _found(head):
    """Return {column: its place} as the first line names them."""
    cells = list(map(_plain, head))
    places = {name: cells.index(one) for name, ones in KNOWN_COLUMNS.items()
              for one in reversed(ones) if cells.count(one) == 1}
    if {"x", "y", "width", "height"} <= {*places} and not (
            {"box_width", "xmin"} & {*places}):
        for side in ("width", "height"):        # beside x, y: of the box
            places[f"box_{side}"] = places.pop(side)
    return places


def _whole(places, one=False):
    """Return whether the columns say all, or all but the only class."""
    there = {*places}
    return "image" in there and bool(one or there & {"class", "told"}) and any(
        {*some} <= there for some in (SIDES, CORNER, ["bbox"], ["shape"]))


def _holds_values(cells, places):
    """Return whether a line has values, not names, where the boxes are."""
    there = [(name, cells[at]) for name, at in places.items()
             if at < len(cells) and cells[at]]
    return all(cell[0] in "[{" if name in ("bbox", "shape") else
               number(cell) == number(cell) for name, cell in there
               if name in (*SIDES, *CORNER, "bbox", "shape"))


def _with_edges(row, remarks):
    """Return a row whose box, however it is given, has four edges."""
    corner = [row.get(name, "") for name in CORNER]
    if row.get("bbox"):
        corner = re.split(r"[\s,;]+", row["bbox"].strip("[]() "))
        corner = corner if len(corner) == 4 else [row["bbox"]] * 4
    if row.get("shape"):
        shape = _json(row["shape"])
        if shape and "all_points_x" in shape:
            remarks["objects without a box: that of their outline was "
                    "taken"] += 1
        edges = [row["shape"]] * 4 if shape is None else _shape_edges(shape)
    elif any(one != "" for one in corner):
        edges = _edges(*corner)
    else:
        return row
    return row | dict(zip(SIDES, edges))


def _edges(x, y, width, height):
    """Return the edges of a corner and two sides, or what is no number."""
    values = list(map(number, (x, y, width, height)))
    for one, value in zip((x, y, width, height), values):
        if value != value:
            return [one] * 4
    return [*values[:2], values[0] + values[2], values[1] + values[3]]


def _shape_edges(shape):
    """Return the edges of a region of VIA, "" for none."""
    def get(*keys):
        return [number(shape.get(key)) for key in keys]
    kind = shape.get("name")
    if not shape:
        return [""] * 4
    if kind == "rect":
        return _edges(*get("x", "y", "width", "height"))
    if kind in ("circle", "ellipse"):
        x, y, wide = get("cx", "cy", "r" if kind == "circle" else "rx")
        high = wide if kind == "circle" else get("ry")[0]
        return [x - wide, y - high, x + wide, y + high]
    points = [shape.get(f"all_points_{axis}") for axis in "xy"]
    if all(isinstance(side, list) and side for side in points):
        points = [list(map(number, side)) for side in points]
        if not any(one != one for side in points for one in side):
            return [edge(side) for edge in (min, max) for side in points]
    return [str(kind)] * 4                   # a point: it has no edges


def _json(text):
    """Return the dictionary of a cell that holds JSON, or None."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
        return value if isinstance(value, dict) else None


def _tell_classes(rows, key, classes, path):
    """Fill in the classes that regions of VIA are told to have."""
    told = [_json(row["told"]) or {} for _, row in rows]
    keys = list(dict.fromkeys(name for one in told for name in one))
    if key is None and len(keys) > 1:
        known = [name for name in keys if name.lower() in _CLASS_KEYS]
        require(len(known) == 1, f"{path}: the regions have the attributes "
                f"{few(keys)}; columns=class:{keys[0]} says which is the "
                "class.")
        key = known[0]
    key = key or (keys[0] if keys else None)
    require(key is not None or len(classes or ()) == 1, f"{path}: the regions "
            "have no attribute, and so no class; classes=NAME gives all of "
            "them this one.")
    for (_, row), one in zip(rows, told):
        if any(row[side] != "" for side in SIDES):
            row["class"] = classes[0] if key is None else _chosen(one.get(key))


def _chosen(value):
    """Return a class as text: itself, or the box that is ticked."""
    if isinstance(value, dict):
        value = ",".join(name for name, ticked in value.items() if ticked)
    return "" if value is None else str(value).strip()


def _spell_out(rows, folder, remarks):
    """Put names in the place of the codes of Open Images, where they lie."""
    if not any(row["class"].startswith("/m/") for _, row in rows):
        return
    spelt = {}
    for path in sorted(folder.glob("*class-descriptions*.csv")):
        spelt.update(cells[:2] for _, cells in read_cells(path, remarks)
                     if len(cells) == 2)
    for _, row in rows:
        row["class"] = spelt.get(row["class"], row["class"])


def _names_beside(path, remarks):
    """Return the class names that a file beside the table lists, or None."""
    beside = {one.name: one for one in path.parent.glob("*classes.*")}
    names = read_names(path.parent, remarks)
    if not names and "_classes.txt" in beside:
        return names_in(beside["_classes.txt"], remarks)
    table = beside.get("classes.csv", beside.get("_classes.csv"))
    if names or not table:
        return names            # of the table each has a name and a number
    rows = [cells for _, cells in read_cells(table, remarks)]
    require(all(len(row) == 2 and row[1].isdecimal() for row in rows),
            f"{table}: expected a class and its number a line.")
    return check_names([name for name, _ in sorted(
        rows, key=lambda row: int(row[1]))], table)

