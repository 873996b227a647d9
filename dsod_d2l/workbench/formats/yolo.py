"""YOLO text: one file for each image, a line ``class x y width height`` each.

x and y are the centre; all four are fractions of the image. The class is a
number from 0, whose name stands in ``classes.txt``, ``labels.json`` or
``data.yaml``. An image without a text file has no objects. The format has no
flags: those of a converted set are kept beside it, in ``flags.csv``.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path, PurePosixPath
from typing import Any

from ...datasets import pictures
from ...datasets.sample import FLAGS
from ...files import check_names, inside
from .image_folder import EntryMaker, ImageFolder, fault_at
from .text_files import filled_lines, listing, number, read_names, read_text

FLAG_FILE = "flags.csv"     # of the folder: file, line, and four flags
NOT_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt")


class Yolo(ImageFolder):
    """A folder of images and YOLO text files.

    Args:
        folder: holds ``images`` and ``labels``; or both kinds side by side.
        split: name of a folder in both ``images`` and ``labels``, or of one
            that holds both.
        classes: names in the order of the numbers. Default: those that
            ``labels.json``, ``classes.txt`` or ``data.yaml`` in the folder
            states.
        outside: "error" or "clip", see ``EntryMaker``.
        options: ``bad`` and ``cache``, as in ``ImageFolder``.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and line.
    """

    def __init__(self, folder: str | Path, split: str | None = None,
                 classes: list | tuple | None = None, outside: str = "error",
                 **options: Any):
        root = Path(folder)
        if not root.is_dir():
            raise FileNotFoundError(f"There is no folder {root}.")
        self.images, self.labels = _folders(root, split)
        classes = tuple(classes or read_names(root) or _from_yaml(root))
        flags, faults = _read_flags(root / FLAG_FILE, root)
        self._lead = self.labels.relative_to(root).as_posix()
        texts = {name for name in listing(self.labels) if name.endswith(".txt")
                 and (self.labels != root or name not in NOT_LABELS)}
        known = {name: PurePosixPath(name).with_suffix(".txt").as_posix()
                 for name in sorted(listing(self.images))
                 if PurePosixPath(name).suffix.lower() in pictures.SUFFIXES}
        entries = [self._entry(name, text, text in texts, classes, flags,
                               outside) for name, text in known.items()]
        faults += [fault_at(self.labels / name, "there is no image of that "
                            f"name in {self.images}", "image")
                   for name in sorted(texts - set(known.values()))]
        super().__init__(entries, classes, self.images,
                         str(root / (split or "")), faults, **options)

    def _entry(self, name, text, there, classes, flags, outside):
        """Return the Entry of one image."""
        maker = EntryMaker(name, f"{self.labels.name}/{text}",
                           range(len(classes)), outside)
        key = PurePosixPath(self._lead, text).as_posix()
        lines = filled_lines(self.labels / text) if there else ()
        try:
            for row, _, line in lines:
                _add(maker, line.split(), f"line {row}", len(classes),
                     flags.get((key, row), (0, 0, 0, 0)))
        except ValueError as error:
            maker.blame(str(error).rstrip("."))
        return maker.entry()


def _add(maker, words, where, classes, flags):
    """Add the object of one line."""
    values = [number(word) for word in words]
    if len(words) != 5 or any(value != value for value in values):
        kind = ("; it may be a polygon" if len(words) > 6 and len(words) % 2
                else "; a sixth number may be a score"
                if len(words) == 6 else "")
        maker.blame("expected five numbers, class x y width height, found "
                    f"{' '.join(words)[:60]!r}{kind}", "file", where)
        return
    label, x, y, width, height = values
    if not (words[0].isdecimal() and label < classes):
        maker.blame(f"the class {words[0][:40]!r} is not a whole number from "
                    f"0 to {classes - 1}", "unknown class", where)
        return
    maker.add(int(label), (x - width / 2, y - height / 2, x + width / 2,
                           y + height / 2), flags, where, pixels=False)


def _folders(root, split):
    """Return the folders of images and of text files."""
    part = split or ""
    if (root / "images").is_dir() and (root / "labels").is_dir():
        found = root / "images" / part, root / "labels" / part
    elif (root / part / "images").is_dir():
        found = root / part / "images", root / part / "labels"
    else:
        found = (root / part,) * 2
    for folder in found:
        if not folder.is_dir() or not inside(root, split or "x"):
            raise FileNotFoundError(f"There is no folder {folder}.")
    return found


def _from_yaml(root):
    """Return the names that ``data.yaml`` states."""
    path = root / "data.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{root}: expected the class names in classes.txt, a name a line, "
            "or in data.yaml; found neither.")
    try:
        import yaml
    except ImportError:
        raise ValueError(f"{path} needs PyYAML to be read; or write the names "
                         "into classes.txt, a name a line.") from None
    text = read_text(path)
    try:
        names = _plain_yaml(text, yaml)["names"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError,
            OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: expected the class names under 'names', "
                         "and no references, found something else "
                         f"({type(error).__name__}).") from error
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise ValueError(f"{path}: expected the numbers 0 to "
                             f"{len(names) - 1} under 'names', found "
                             f"{str(list(names))[:60]}.")
        names = [names[key] for key in sorted(names, key=int)]
    return check_names(names, path)


def _plain_yaml(text, yaml):
    """Return the value of a YAML text, which may use little of YAML.

    References to references could make a page of text endless, and thousands
    of brackets keep the parser busy.
    """
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > 20 or isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError
    return yaml.safe_load(text)


def _read_flags(path, root):
    """Return {(text file, line): flags}, and the faults in the file."""
    found, faults = {}, []
    if not path.is_file():
        return found, faults
    # Python 3.10 refuses a zero byte, later ones read it as a character.
    text = read_text(path).replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        return found, [fault_at(path, error)]
    for row, cells in enumerate(rows, 1):
        if row == 1 or not cells:
            continue
        sound = (len(cells) == 2 + len(FLAGS) and cells[1].isdecimal()
                 and all(cell in ("0", "1") for cell in cells[2:]))
        if sound and inside(root, cells[0]) and (root / cells[0]).is_file():
            found[cells[0], int(cells[1])] = [cell == "1"
                                              for cell in cells[2:]]
        else:
            faults.append(fault_at(
                f"{path}, line {row}", "expected a text file that is there, a "
                f"line and four flags, found {','.join(cells)[:80]!r}"))
    return found, faults
