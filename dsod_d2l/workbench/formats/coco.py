"""COCO's JSON: images, annotations and categories in one file.

A box is ``[x, y, width, height]`` in pixels; x and y are edges, counted from
0. Category ids need not follow one another: the classes stand in the order
of the ids. Flags that COCO does not have are read from, and written to, keys
of their own names.

All boxes are checked at once, as one array; only an image in which something
is out of the ordinary is put together object by object.
"""

import contextlib
import gc
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...config.base import require
from ...datasets.sample import FLAGS, Entry
from .image_folder import SLACK, ImageFolder, entry_makers, fault_at
from .locating import annotation_file, picture_folder
from .text_files import number, read_text, whole_size

FLAG_KEYS = (*FLAGS[:3], "iscrowd")
# What tells the files of programs that have a JSON of their own.
TOOLS = {'"shapes"': "LabelMe", '"region_attributes"': "VIA",
         '"assets"': "VoTT"}
IDS = {int, str, float}               # the types of an id; 3.0 and "3" are 3


class Coco(ImageFolder):
    """The images and objects of a COCO file.

    What training does not need refuses nothing: a flag or an area that says
    nothing is counted. An object without a box has that of its outline, and
    a file without annotations is one of images without objects.

    Args:
        path: the JSON file, or a folder, see ``annotation_file``.
        images: the folder of images. Default: the folder called as the
            split beside ``annotations``, or ``images`` beside the file, or
            the file's own, whichever has most of them.
        split: such as "val2017", where ``path`` is a folder.
        classes: every name that may occur, in the order of their indices.
            Default: the categories, sorted by id, but for a first one that
            is the supercategory of all others and has no object.
        outside: "error" or "clip", see ``EntryMaker``.
        options: ``bad`` and ``cache``, as in ``ImageFolder``.

    Attributes:
        category_ids: the id of each class, None for one the file lacks.
        image_ids: {name of an image: its id}.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and annotation.
    """

    def __init__(self, path: str | Path, images: str | Path | None = None,
                 split: str | None = None, classes: list | tuple | None = None,
                 outside: str = "error", **options: Any):
        remarks: Counter = Counter()
        self.path = annotation_file(Path(path), split, (".json",), remarks)
        with _without_collecting():
            entries, faults, folder = self._read(images, classes, remarks,
                                                 outside, options)
        super().__init__(entries, self.classes, folder, str(self.path),
                         faults, remarks=remarks, **options)

    def _read(self, images, classes, remarks, outside, options):
        """Return entries, faults and the folder of images; set the rest."""
        path, table = self.path, _load(self.path, remarks)
        notes = _annotations(table, remarks)
        names = _categories(table["categories"], path)
        if not classes:
            _leave_root_out(names, table["categories"], notes, remarks)
        self.classes = tuple(classes or dict.fromkeys(names.values()))
        ids = {name: key for key, name in names.items()}
        if len(ids) < len(names):
            remarks["categories with the name of another one, taken for the "
                    "same class"] += len(names) - len(ids)
        self.category_ids = tuple(map(ids.get, self.classes))
        pictures, finder, faults = _pictures(table["images"], path, images,
                                             remarks)
        self.image_ids = {one.name: one.key for one in pictures}
        make = entry_makers(self.classes, outside, remarks, options)
        entries, lost = _Reading(path, finder, pictures, notes, names,
                                 make).entries()
        return entries, faults + lost, finder.folder


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Let Python not look for cycles among millions of new objects."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _load(path, remarks):
    """Return the table of a COCO file; it may lack annotations.

    What is no row of one of its lists is {}.
    """
    text = read_text(path, remarks)
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, but {error}.") from error
    for key in ("images", "annotations", "categories"):
        value = table.get(key) if isinstance(table, dict) else table
        if not isinstance(table, dict) or not isinstance(value, list) and (
                value is not None or key != "annotations"):
            tool = next((f"; it is a file of {tool}, which exports COCO's JSON"
                         " as well" for sign, tool in TOOLS.items()
                         if sign in text), "")
            raise ValueError(f"{path}: expected the lists images, annotations "
                             f"and categories, found no list {key!r}{tool}.")
        if set(map(type, value or ())) - {dict}:
            table[key] = [one if isinstance(one, dict) else {}
                          for one in value]
    return table


def _annotations(table, remarks):
    """Return the annotations."""
    notes = table.get("annotations")
    if notes is None:
        remarks["file without a list of annotations: all images are taken "
                "to be without objects"] += 1
        return []
    keys = [one.get("id", row) for row, one in enumerate(notes)]
    keys = [key for key in keys if type(key) in (int, str)]
    if len(set(keys)) < len(keys):
        remarks["annotations with the id of another one, kept"] += (
            len(keys) - len(set(keys)))
    return notes


def _categories(rows, path):
    """Return {id: name}, sorted by id."""
    names = {}
    for row, one in enumerate(rows):
        key, name = one.get("id"), one.get("name")
        require({type(key), type(name)} <= IDS and name != "",
                f"{path}, category {row}: expected a whole number as id and a "
                f"name, found {key!r:.60} and {name!r:.60}.")
        require(names.setdefault(key, str(name)) == str(name),
                f"{path}, category {row}: the id {key} or the name "
                f"{name!r:.60} is there twice.")
    require(names, f"{path}: expected at least one category, found none.")
    return dict(sorted(names.items(), key=lambda item: _rank(item[0])))


def _rank(key):
    """Return what sorts ids: numbers by their value, then text."""
    value = number(key)
    return (value, "") if value == value else (float("inf"), str(key))


def _leave_root_out(names, rows, notes, remarks):
    """Take out a category that only stands above all others (Roboflow's)."""
    root, *others = names
    if (others and all(row.get("supercategory") == names[root] for row in rows
                       if row["id"] != root)
            and _spelt(root) not in {_spelt(one.get("category_id"))
                                     for one in notes}):
        remarks[f"category above all others without an object is no class: "
                f"{names[root]!r} (classes= keeps it)"] += 1
        del names[root]


def _spelt(key):
    """Return an id as text, the same for 3, 3.0 and "3"; None for others."""
    if type(key) is float:
        return f"{key:.17g}"
    return str(key) if type(key) in IDS else None


def _numbers(keys, known):
    """Return the number of each id, -1 where there is none, (M,) int64."""
    usual = set(map(type, keys)) <= IDS
    found = list(map(known.get, keys)) if usual else [None]
    if None in found:
        spelt = {_spelt(key): value for key, value in known.items()}
        found = [spelt.get(_spelt(key), -1) for key in keys]
    return np.fromiter(found, np.int64, len(found))


class _Picture(NamedTuple):
    """An image of the file; size as written, found: its file is there."""

    key: Any
    name: str
    found: bool
    size: tuple


def _pictures(rows, path, images, remarks):
    """Return the ``_Picture``s, their finder, and the faults of other rows."""
    kept, faults = {}, []
    for row, one in enumerate(rows):
        key, name = one.get("id"), one.get("file_name")
        if type(key) not in IDS or not (isinstance(name, str) and name):
            faults.append(fault_at(
                f"{path}, image {row}", "expected an id and a file_name, "
                f"found {key!r} and {name!r}"))
        elif key not in kept:
            kept[key] = row, name, (one.get("height"), one.get("width"))
        elif kept[key][1] == name:
            remarks["images that are listed again under the same id"] += 1
        else:
            faults.append(fault_at(f"{path}, image {row}", f"the id {key!r} "
                                   "is there twice", "duplicate"))
    finder, places = picture_folder(
        path, [name for _, name, _ in kept.values()], remarks, images)
    pictures, seen = [], set()
    for key, (row, name, size) in kept.items():
        place = places[name]
        problem = None if place else finder.missing(name)
        if (place or name) in seen:
            problem = f"the file {name!r} is there twice", "duplicate"
        elif place or problem[1] != "path":
            problem = None         # a lost picture has an entry that says so
        if problem:
            faults.append(fault_at(f"{path}, image {row}", *problem))
            continue
        seen.add(place or name)
        pictures.append(_Picture(key, place or name, place is not None, size))
    return pictures, finder, faults


class _Reading:
    """All annotations as arrays, a row each, and the entries they make.

    image: int64 (M,) number of the picture, -1 for none.
    label: int64 (M,), -1 where the class is not known.
    sides: float64 (M, 4) x, y, width, height; nan where they are no numbers.
    flags, areas: as in ``Entry``.
    """

    def __init__(self, path, finder, pictures, notes, names, make):
        self.path, self.finder, self.pictures = path, finder, pictures
        self.notes, self.make, self.maker = notes, make, make("", "")
        self.names = {_spelt(key): name for key, name in names.items()}
        numbers = {one.key: row for row, one in enumerate(pictures)}
        labels = {key: self.maker.classes.get(name, -1)
                  for key, name in names.items()}
        self.image = _numbers(self._column("image_id"), numbers)
        self.label = _numbers(self._column("category_id"), labels)
        self.sides = _sides(self._column("bbox"))
        ends = (self.sides[:, :2] + self.sides[:, 2:]).ravel()
        if 0 < ends[np.isfinite(ends)].max(initial=0) <= 1 and (
                self.sides % 1).any():
            self.maker.remarks["file of boxes that all end in the first "
                               "pixel: COCO has pixels, and these look like "
                               "fractions"] += 1
        self.flags = self._flags([self._column(key) for key in FLAG_KEYS])
        self.areas = self._areas(self._column("area"))

    def _column(self, key):
        return [one.get(key) for one in self.notes]

    def _flags(self, columns):
        """Return the flags; what says nothing is False."""
        kinds = set().union(*(map(type, one) for one in columns))
        if kinds <= {int, type(None)} and all(set(one) <= {0, 1, None}
                                              for one in columns):
            return np.stack([np.fromiter(map(bool, one), bool, len(one))
                             for one in columns], axis=1)
        return np.array(list(map(self.maker.flags_of, zip(*columns))),
                        bool).reshape(-1, len(FLAGS))

    def _areas(self, values):
        """Return the areas; one that says nothing is nan."""
        if set(map(type, values)) <= {int, float} and (
                not values or 0 <= min(values) and max(values) < np.inf):
            return np.fromiter(values, float, len(values))
        return np.array(list(map(self.maker.area_of, values)), float)

    def entries(self):
        """Return the Entry of each image, and faults that belong to none."""
        sizes = np.array([
            one.size if one.found and set(map(type, one.size)) == {int}
            and 0 < min(one.size) <= max(one.size) < 1 << 30 else (0, 0)
            for one in self.pictures], float).reshape(-1, 2)
        usual, edges = self._checked(sizes)
        odd = np.append(sizes[:, 0] == 0, False)      # the last: of none
        odd[self.image[~usual]] = True
        order = np.argsort(self.image, kind="stable")
        starts = np.searchsorted(self.image[order],
                                 np.arange(len(self.pictures) + 1))
        edges, labels, flags, areas = (
            one[order] for one in (edges, self.label, self.flags, self.areas))
        stated = np.append(0, np.cumsum(~np.isnan(areas)))[starts]
        entries = []
        for row, (one, begin, end, new) in enumerate(zip(
                self.pictures, starts.tolist(), starts[1:].tolist(),
                np.diff(stated).tolist())):
            if odd[row]:
                entries.append(self._made(one, order[begin:end].tolist()))
                continue
            mine = slice(begin, end)
            entries.append(Entry(
                one.name, edges[mine], labels[mine], flags[mine], one.size,
                self._source(one), areas=areas[mine] if new else None))
        lost = [fault_at(f"{self.path}, annotation {row}", "no image has the "
                         f"id {self.notes[row].get('image_id')!r:.40}")
                for row in np.flatnonzero(self.image < 0)]
        return entries, lost

    def _checked(self, sizes):
        """Return which objects are as usual, (M,), and all edges, (M, 4)."""
        height, width = np.append(sizes, [[0, 0]], axis=0)[self.image].T
        left, top = self.sides[:, :2].T
        right, bottom = (self.sides[:, :2] + self.sides[:, 2:]).T
        with np.errstate(divide="ignore", invalid="ignore"):
            edges = np.stack([left / width, top / height, right / width,
                              bottom / height], axis=1).clip(0, 1)
        return ((left >= -SLACK) & (left < right) & (right <= width + SLACK)
                & (top >= -SLACK) & (top < bottom)
                & (bottom <= height + SLACK) & (self.label >= 0)
                & (np.minimum(width, height) > 1), edges)

    def _source(self, picture):
        return f"{self.path.name}, {picture.name:.80}"

    def _made(self, picture, rows):
        """Return the Entry of an image that is made object by object."""
        maker = self.make(picture.name, self._source(picture))
        if picture.found:
            maker.path = self.finder.folder / picture.name
        else:
            maker.blame(*self.finder.missing(picture.name))
        if picture.found or whole_size(*picture.size):
            maker.state_size(*picture.size)
        for row in rows if maker.size is not None else ():
            self._add(maker, row, self.notes[row])
        return maker.entry()

    def _add(self, maker, row, note):
        """Add one annotation to its image."""
        where = f"annotation {row} (id {note.get('id')!r:.40})"
        category, box = note.get("category_id"), note.get("bbox")
        name = self.names.get(_spelt(category))
        sides = list(map(number, box)) if _is_box(box) else []
        if sides and (any(sides) or not note.get("segmentation")):
            x, y, width, height = sides
            edges = x, y, x + width, y + height
        else:
            edges = _outline_box(note.get("segmentation"))
            if edges:
                maker.remarks["objects without a box: that of their outline "
                              "was taken"] += 1
        if edges is None:
            maker.blame("expected a bbox of four numbers, or a segmentation, "
                        f"found {str(box)[:60]}", "file", where)
        elif name is None:
            maker.blame(f"no category has the id {category!r:.60}",
                        "unknown class", where)
        else:
            maker.add(name, edges, self.flags[row], where,
                      area=self.areas[row])


def _sides(boxes):
    """Return boxes as (M, 4) float64, nan where they are no four numbers."""
    with contextlib.suppress(TypeError, OverflowError):
        if set(map(len, boxes)) <= {4} and set(map(type, chain.from_iterable(
                boxes))) <= {int, float}:
            return np.fromiter(chain.from_iterable(boxes), float,
                               4 * len(boxes)).reshape(-1, 4)
    return np.array([list(map(number, box)) if _is_box(box) else [np.nan] * 4
                     for box in boxes], float).reshape(-1, 4)


def _is_box(box):
    """Return whether a bbox holds four numbers."""
    return isinstance(box, list) and len(box) == 4 and all(
        isinstance(side, float) or number(side) == number(side)
        for side in box)


def _outline_box(shape):
    """Return the edges around polygons, or around a mask, or None."""
    if isinstance(shape, dict):
        return _mask_box(shape.get("counts"), shape.get("size"))
    parts = shape if isinstance(shape, list) else []
    parts = parts if parts and isinstance(parts[0], list) else [parts]
    if any(not isinstance(part, list) or len(part) % 2 for part in parts):
        return None
    corners = np.array([number(one) for part in parts for one in part])
    if len(corners) < 4:
        return None
    corners = corners.reshape(-1, 2)
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def _mask_box(counts, size):
    """Return the edges around a run-length mask, or None."""
    from pycocotools import mask
    if not (isinstance(size, list) and len(size) == 2 and all(
            type(side) is int and 0 < side < 1 << 16 for side in size)):
        return None
    # pycocotools reads on behind the end of a text that is cut short.
    if not (re.fullmatch("[0-o]*[0-O]", counts) if isinstance(counts, str)
            else isinstance(counts, list) and all(
                type(one) is int and one >= 0 for one in counts)
            and sum(counts) == size[0] * size[1]):
        return None
    try:
        runs = {"size": size, "counts": counts}
        if isinstance(counts, list):
            runs = mask.frPyObjects(runs, *size)
        x, y, width, height = mask.toBbox(runs).tolist()
        return x, y, x + width, y + height
    except (TypeError, ValueError, OverflowError):
        return None
