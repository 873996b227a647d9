"""COCO's JSON: images, annotations and categories in one file.

A box is ``[x, y, width, height]`` in pixels; x and y are edges, counted from
0. Category ids need not follow one another: the classes stand in the order
of the ids. Flags that COCO does not have are read from, and written to, keys
of their own names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets.sample import FLAGS
from ...files import inside
from .image_folder import EntryMaker, ImageFolder, fault_at
from .text_files import listing, number, read_text


class Coco(ImageFolder):
    """The images and objects of a COCO file.

    Args:
        path: the JSON file; or a folder in COCO's layout, with ``split``.
        images: the folder of images. Default: the folder called as the
            split beside ``annotations``, or ``images`` beside the file, or
            the file's own, whichever is there.
        split: such as "val2017", where ``path`` is a folder that holds
            ``annotations/instances_<split>.json``.
        classes: every name that may occur, in the order of their indices.
            Default: the categories, sorted by id.
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
        path = Path(path)
        if split:
            path = path / "annotations" / f"instances_{split}.json"
        self.path = path
        table = _load(path)
        names = _categories(table["categories"], path)
        classes = tuple(classes or names.values())
        by_name = {name: key for key, name in names.items()}
        self.category_ids = tuple(by_name.get(name) for name in classes)
        folder = _folder(path, images)
        index = {name: label for label, name in enumerate(classes)}
        makers, faults = _makers(table["images"], path, folder, index,
                                 outside)
        faults += _fill(makers, table["annotations"], names, path)
        self.image_ids = {maker.name: key for key, maker in makers.items()}
        super().__init__([maker.entry() for maker in makers.values()],
                         classes, folder, str(path), faults, **options)


def _load(path):
    """Return the three lists of a COCO file."""
    text = read_text(path)
    try:
        table = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, but {error}.") from error
    for key in ("images", "annotations", "categories"):
        if not (isinstance(table, dict) and isinstance(table.get(key), list)):
            raise ValueError(f"{path}: expected the lists images, annotations "
                             f"and categories, found no list {key!r}.")
    return table


def _refuse(name):
    raise ValueError(f"{name} is no number of JSON")


def _categories(rows, path):
    """Return {id: name}, sorted by id."""
    names = {}
    for row, one in enumerate(rows):
        key, name = _get(one, "id"), _get(one, "name")
        if type(key) is not int or not (isinstance(name, str) and name):
            raise ValueError(f"{path}, category {row}: expected a whole "
                             f"number as id and a name, found {key!r:.60}"
                             f" and {name!r:.60}.")
        if key in names or name in names.values():
            raise ValueError(f"{path}, category {row}: the id {key} or the "
                             f"name {name!r:.60} is there twice.")
        names[key] = name
    if not names:
        raise ValueError(f"{path}: expected at least one category, found "
                         "none.")
    return dict(sorted(names.items()))


def _get(row, key):
    return row.get(key) if isinstance(row, dict) else None


def _folder(path, images):
    """Return the folder of images."""
    base, split = path.parent, path.stem.removeprefix("instances_")
    choices = [base.parent / split, base.parent / "images" / split,
               base / "images", base.parent / "images", base]
    if images is not None:
        choices = [Path(images)]
    for folder in choices:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"There is no folder {choices[0]}.")


def _makers(rows, path, folder, index, outside):
    """Return {image id: EntryMaker}, and faults of rows that are no image."""
    makers, faults, files, names = {}, [], listing(folder), set()
    for row, one in enumerate(rows):
        key, name = _get(one, "id"), _get(one, "file_name")
        problem = None
        if type(key) not in (int, str) or not isinstance(name, str):
            problem = (f"expected an id and a file_name, found {key!r} and "
                       f"{name!r}", "file")
        elif key in makers:
            problem = f"the id {key!r} is there twice", "duplicate"
        elif name in names:
            problem = f"the file {name!r} is there twice", "duplicate"
        elif not inside(folder, name):
            problem = f"the name {name[:80]!r} leaves the folder", "path"
        if problem:
            faults.append(fault_at(f"{path}, image {row}", *problem))
            continue
        names.add(name)
        maker = makers[key] = EntryMaker(
            name, f"{path.name}, {name:.120}", index, outside)
        if name not in files:
            maker.blame(f"there is no image {str(folder / name):.200}",
                        "image")
        maker.state_size(_get(one, "height"), _get(one, "width"))
    return makers, faults


def _fill(makers, rows, names, path):
    """Add all annotations to their images; return faults that have none."""
    faults, seen = [], set()
    for row, one in enumerate(rows):
        key, where = _get(one, "id"), f"annotation {row}"
        image = _get(one, "image_id")
        maker = makers.get(image) if type(image) in (int, str) else None
        again = type(key) in (int, str) and key in seen
        if maker is None:
            faults.append(fault_at(
                f"{path}, {where}", f"no image has the id {image!r:.40}",
                "duplicate" if again else "file"))
            continue
        where += f" (id {key})"
        if again:
            maker.blame(f"the id {key!r} is there twice", "duplicate", where)
        elif type(key) in (int, str):
            seen.add(key)
        if maker.size is not None:
            _add(maker, one, names, where)
    return faults


def _add(maker, one, names, where):
    """Add one annotation to its image."""
    box, category = one.get("bbox"), one.get("category_id")
    flags = [one.get(name, 0) for name in (*FLAGS[:3], "iscrowd")]
    wrong = [flag for flag in flags if flag not in (0, 1)]
    name = names.get(category) if type(category) is int else None
    area = one.get("area", np.nan)
    if not (isinstance(box, list) and len(box) == 4):
        problem = (f"expected a bbox of four numbers, found {str(box)[:60]}",
                   "file")
    elif not all(isinstance(side, (int, float)) for side in box):
        problem = f"expected a bbox of four numbers, found {box}", "file"
    elif wrong:
        problem = f"flags must be 0 or 1, found {str(wrong[0])[:40]!r}", "file"
    elif name is None:
        problem = f"no category has the id {category!r}", "unknown class"
    elif "area" in one and not (type(area) in (int, float)
                                and 0 <= area < np.inf):
        problem = ("expected an area of 0 or more pixels, found "
                   f"{str(area)[:40]!r}", "file")
    else:
        x, y, width, height = map(number, box)
        maker.add(name, (x, y, x + width, y + height), flags, where,
                  area=area)
        return
    maker.blame(*problem, where)
