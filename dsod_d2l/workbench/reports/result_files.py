"""Detections in files: VOC's and COCO's, written and read, and our own, read.

VOC wants a text file per class, ``comp4_det_SET_CLASS.txt``, with a line per
detection: image, score, xmin, ymin, xmax, ymax; the first pixel is number 1,
and the last one belongs to the box. COCO wants one JSON list, with x, y,
width and height in pixels. Enough digits are written for nothing to be lost.
Our own are what ``detect`` prints and writes.
"""

import json
import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...config.base import require
from ...datasets.sample import few
from ...detection import Detections
from ...files import write_atomically
from ..formats.text_files import read_text

_log = logging.getLogger(__name__)
_FIRST = np.array([1, 1, 0, 0])    # VOC's first pixel is number 1
Size = tuple[int, int]


def write_voc(folder: str | Path, detections: Sequence[Detections],
              names: Sequence[str], classes: Sequence[str],
              image_set: str = "test", competition: str = "comp4"
              ) -> list[Path]:
    """Write VOC's result files.

    Args:
        folder: where to; it is made.
        detections: one ``Detections`` per image, with its size.
        names: of the images, such as "000001": without blanks.
        classes: names of the classes; each gets a file, maybe an empty one.
        image_set: what was judged, for the names of the files.
        competition: of VOC, for the same: "comp3", trained on VOC's own
            pictures alone, or "comp4", on any.

    Returns:
        List of the paths.

    Raises:
        ValueError: the numbers of images differ, a size is not known, or a
            name is twice there, empty or has a blank.
    """
    _check(detections, names)
    check_voc_names(names, classes)
    lines: list[list[str]] = [[] for _ in classes]
    for one, name in zip(detections, names):
        for label, score, box in one.pixels():
            sides = " ".join(f"{side:.9g}" for side in box + _FIRST)
            lines[label].append(f"{name} {score:.9g} {sides}\n")
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = _voc_paths(folder, image_set, classes, competition)
    for path, rows in zip(paths, lines):
        write_atomically(path, "".join(rows).encode())
    return paths


def check_voc_names(names: Sequence[str], classes: Sequence[str]) -> None:
    """Raise a ValueError unless VOC's files can say what these are called.

    Args:
        names: of the images.
        classes: names of the classes.
    """
    _check(names, names)
    for name in names:
        require(str(name).split() == [str(name)], "a name of an image in a "
                f"VOC file must hold no blank, found {name!r}: --save coco "
                "takes any")
    for name in classes:
        require("/" not in name, "VOC's files are called like classes, whose "
                f"names must hold no slash, found {name!r}: --save coco takes "
                "any")


def read_voc(folder: str | Path, names: Sequence[str], sizes: Sequence[Size],
             classes: Sequence[str],
             image_set: str | None = "test") -> list[Detections]:
    """Read VOC's result files.

    Args:
        folder, names, classes, image_set: as for ``write_voc``; no set: that
            whose files are there.
        sizes: (height, width) of each image in pixels.

    Returns:
        One ``Detections`` per name, boxes as fractions.

    Raises:
        FileNotFoundError: the file of a class is not there.
        ValueError: a line is not as it should be; file and row are named.
    """
    places = {str(name): place for place, name in enumerate(names)}
    rows: list[Any] = []
    for label, path in enumerate(_voc_paths(folder, image_set, classes)):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no result file of "
                                    f"class {classes[label]}; an empty one "
                                    "says that nothing was found")
        for number, line in enumerate(read_text(path).splitlines(), 1):
            where, score, *box = _voc_line(line, f"{path}, line {number}",
                                           places)
            rows.append((places[where], label, score, box - _FIRST))
    return _collect(rows, sizes, folder)


def _voc_paths(folder, image_set, classes, competition="comp4"):
    start = f"{competition}_det_{image_set}_"
    if image_set is None:                     # what most of them begin with
        starts = Counter(
            path.name.removesuffix(f"{name}.txt") for name in classes
            for path in Path(folder).glob("*.txt")
            if path.name.endswith(f"{name}.txt"))
        require(starts, f"{folder}: expected result files of VOC, such as "
                f"comp4_det_test_{classes[0]}.txt, found none")
        start = starts.most_common(1)[0][0]
    return [Path(folder, f"{start}{name}.txt") for name in classes]


def _voc_line(line, source, places):
    """Return image, score and four sides of a line."""
    words = line.split()
    try:
        numbers = [float(word) for word in words[1:]]
    except ValueError:
        numbers = []
    require(len(numbers) == 5 and np.isfinite(numbers).all(), f"{source}: "
            f"expected an image, a score and four sides, found {line!r:.80}")
    require(words[0] in places, f"{source}: {words[0]!r:.80} is no image of "
            "the set")
    return [words[0], *numbers]


def write_coco(path: str | Path, detections: Sequence[Detections],
               image_ids: Sequence[Any], category_ids: Sequence[Any]) -> None:
    """Write COCO's result file.

    Args:
        path: of a .json file; its folder is made.
        detections: one ``Detections`` per image, with its size.
        image_ids: COCO's number of each image.
        category_ids: COCO's number of each class.

    Raises:
        ValueError: the numbers of images differ, a size is not known, or an
            id is twice there.
    """
    _check(detections, image_ids)
    rows = []
    for one, image in zip(detections, image_ids):
        for label, score, box in one.pixels():
            low, high = box.astype(float).reshape(2, 2)
            rows.append({"image_id": image,
                         "category_id": category_ids[label],
                         "bbox": [*low, *(high - low)],
                         "score": float(score)})
    write_atomically(path, (json.dumps(rows) + "\n").encode())


def read_coco(path: str | Path, image_ids: Sequence[Any],
              sizes: Sequence[Size], category_ids: Sequence[Any],
              others: Counter | None = None) -> list[Detections]:
    """Read COCO's result file.

    Args:
        path, image_ids, category_ids: as for ``write_coco``.
        sizes: (height, width) of each image in pixels.
        others: counts the detections of other categories, by category, which
            are left out then; None: they are an error.

    Returns:
        One ``Detections`` per image, boxes as fractions, with its id.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON list, or an entry is not as it should be.
    """
    entries = _load_results(path)
    require(isinstance(entries, list), f"{path}: expected a list of "
            f"detections, found {type(entries).__name__}")
    places = {image: place for place, image in enumerate(image_ids)}
    labels = {category: label for label, category in enumerate(category_ids)}
    rows: list[Any] = []
    for number, entry in enumerate(entries):
        source = f"{path}, entry {number}"
        image, category, score, box = _entry(
            entry, ("image_id", "category_id"), "bbox", source,
            "image_id, category_id, score and a bbox of four numbers")
        box[2:] += box[:2]
        if others is not None and category not in labels:
            others[category] += 1
            continue
        require(image in places and category in labels, f"{source}: image "
                f"{image!r:.60} or category {category!r:.60} does not belong "
                "to the set")
        rows.append((places[image], labels[category], score, box))
    return [replace(one, image_id=image) for one, image
            in zip(_collect(rows, sizes, path), image_ids)]


def _load_results(path):
    """Return the value of a JSON file, or of a line of JSON for each image."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such result file")
    text = read_text(path)
    try:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line]
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, {error}") from None


def _entry(row, names, box_name, source, expected, kind=Hashable):
    """Return the values of these names, the score and the box of a row."""
    try:
        values = [row[name] for name in names]
        score, box = float(row["score"]), np.array(row[box_name], dtype=float)
        good = (all(isinstance(one, kind) for one in values)
                and box.shape == (4,) and np.isfinite([*box, score]).all())
    except (KeyError, TypeError, ValueError):
        good = False
    require(good, f"{source}: expected {expected}, found {row!r:.80}")
    return *values, score, box


def read_results(path: str | Path, dataset: Any,
                 sizes: Sequence[Size]) -> list[Detections]:
    """Read what was found in a data set, whatever has written it.

    Args:
        path: a folder of VOC's result files, or one of these; COCO's JSON;
            or what ``detect`` has printed of a folder with --json, or
            written, {image: detections} or a line for each.
        dataset: it was found in.
        sizes: (height, width) of each image in pixels.

    Returns:
        One ``Detections`` per image, boxes as fractions. Those of a class
        that the data set lacks are left out, and remarked.

    Raises:
        FileNotFoundError, ValueError: see ``read_voc`` and ``read_coco``.
    """
    path, names, others = Path(path), image_names(dataset), Counter()
    ids = getattr(dataset, "image_ids", {})
    numbers = [ids.get(name, place) for place, name in enumerate(names)]
    classes = list(dataset.classes)
    if path.is_dir() or path.suffix == ".txt":
        stems = [PurePosixPath(name).stem for name in names]
        _check(stems, stems)
        found = read_voc(path if path.is_dir() else path.parent, stems, sizes,
                         classes, None)
    elif _is_coco(table := _load_results(path)):
        found = read_coco(path, numbers, sizes, getattr(
            dataset, "category_ids", range(len(classes))), others)
    else:
        found = _own(path, table, names, sizes, classes, others)
    if others:
        _log.warning("%d detections of %s are left out: the data set lacks "
                     "the class.", sum(others.values()),
                     few([*map(str, others)]))
    return [replace(one, image_id=number) if ids else one
            for one, number in zip(found, numbers)]


def image_names(dataset: Any) -> list[str]:
    """Return the names of the images, or their numbers where they have none.

    >>> image_names([7, 8])
    ['000000', '000001']
    """
    return [dataset.entry(row).name if hasattr(dataset, "entry")
            else f"{row:06d}" for row in range(len(dataset))]


def _is_coco(table):
    return isinstance(table, list) and all(
        isinstance(row, dict) and "image_id" in row for row in table)


def _own(path, table, names, sizes, classes, others):
    """Return the ``Detections`` of {image: rows}, or of a list of them."""
    if isinstance(table, list):
        require(all(isinstance(row, dict) and "image" in row
                    and "detections" in row for row in table),
                f"{path}: expected COCO's result file, or {{image: "
                "detections} as detect prints it of a folder, found a list "
                "of something else")
        table = {row["image"]: row["detections"] for row in table}
    require(isinstance(table, dict), f"{path}: expected {{image: "
            f"detections}}, found {type(table).__name__}")
    places = _places(names)
    rows: list[Any] = []
    for name, found in table.items():
        place = next((places[part] for part in _parts(name)
                      if part in places), None)
        require(place is not None, f"{path}: {name!r:.80} is no image of the "
                "set")
        for number, row in enumerate(found):
            label, *more = _entry(
                row, ("label",), "box", f"{path}, {name}, row {number}",
                "label, score and a box of four numbers", str)
            if label in classes:
                rows.append((place, classes.index(label), *more))
            else:
                others[label] += 1
    return _collect(rows, sizes, path)


def _parts(name):
    """Return what an image may be called: its path, its name, its stem."""
    path = PurePosixPath(name)
    return dict.fromkeys((str(name), path.name, path.stem))


def _places(names: Iterable[str]) -> dict[str, int]:
    """Return {what an image may be called: its place}, if it is clear."""
    many = Counter(part for name in names for part in _parts(name))
    places = {part: place for place, name in enumerate(names)
              for part in _parts(name) if many[part] == 1}
    return {**places, **{name: place for place, name in enumerate(names)}}


def _collect(rows, sizes, source):
    """Return ``Detections`` of rows of place, label, score and pixels."""
    parts: list[Any] = [[] for _ in sizes]
    for place, *row in sorted(rows, key=lambda row: -row[2]):
        parts[place].append(row)
    return [_one_image(part, size, source) for part, size in zip(parts, sizes)]


def _one_image(rows, size, source):
    unit = np.array([size[1], size[0]] * 2, dtype=float)
    boxes = np.array([row[2] for row in rows]).reshape(-1, 4) / unit
    try:
        return Detections(
            np.array([row[0] for row in rows], dtype=np.int64),
            np.array([row[1] for row in rows], dtype=np.float32),
            boxes.astype(np.float32), tuple(size))
    except ValueError as error:         # far outside the picture
        raise ValueError(f"{source}: {error}") from None


def _check(detections, names):
    require(len(detections) == len(names), "expected names of "
            f"{len(detections)} images, found {len(names)}")
    for name, times in Counter(names).items():
        require(times == 1, f"two images are called {name!r}")
