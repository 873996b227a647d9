"""Where a YOLO set keeps its images, its text files and its class names.

The programs that write them agree on the lines of a text file, and on little
else: labelImg, darknet, CVAT, Ultralytics, Roboflow and Label Studio have a
layout each. What a file states (``data.yaml``, ``obj.data``) goes before what
the names of folders say.
"""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ...config.base import require
from ...datasets import pictures
from ...files import check_names
from .finding import PictureFinder
from .image_folder import fault_at
from .locating import IMAGES, folders_in, split_of
from .text_files import filled_lines, is_hidden, listing, names_in, read_text

LABELS = ("labels", "label", "annotations", "annots", "labels_yolo", "txt")
NAME_FILES = ("labels.json", "classes.txt", "obj.names", "_darknet.labels")
SETUPS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "obj.data")


class Place(NamedTuple):
    """Folders of images and of text files; the images, where a list says."""

    images: Path
    labels: Path
    names: tuple | None = None
    faults: tuple = ()
    remarks: Mapping[str, int] = {}

    def files(self) -> list[str]:
        """Return the names of the images, relative to their folder."""
        return (sorted(listing(self.images, *pictures.SUFFIXES))
                if self.names is None else list(self.names))


class Layout:
    """What files and folders say of a YOLO set.

    Args:
        path: a folder, a ``data.yaml``, an ``obj.data``, or a list of images.

    Attributes:
        root: the folder.
        places: {"train", "val", "test", or "" where nothing is parted: list
            of ``Place``}; "rest" for images beside the folders of splits.
        lost: {split: what is stated and not there}.
        remarks: {sentence: count} on what is stated.

    Raises:
        FileNotFoundError, ValueError: a sentence with the file.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"There is no folder {path}.")
        beside = path.is_file() or (path.name.lower() in LABELS
                                    and _child(path.parent, IMAGES))
        self.root = path.parent if beside else _unwrapped(path)
        self.table: dict = {}
        self.remarks: Counter = Counter()
        self.setup, self.lost = _setup_in(self.root), {}
        if path.suffix.lower() == ".txt":
            self.places = {"": [listed_place(path, self.root)]}
        elif path.is_file():
            self.setup = path
            self.places = self._stated()
        else:
            stated = self._stated() if self.setup else {}
            found = {**_lists_in(self.root), **places_in(self.root), **stated}
            self.places = {split: places for split, places in found.items()
                           if split and not (stated and split == "rest")
                           or len(found) == 1}

    def _stated(self):
        """Return the places that the set's own file states."""
        self.table = read_setup(self.setup, self.remarks)
        bases = [self.setup.parent]
        said = self.table.get("path")
        if isinstance(said, str) and (base := self._meant(said, bases)):
            bases.insert(0, base)
        found: dict[str, list] = {}
        for key, value in self.table.items():
            for one in value if isinstance(value, list) else [value]:
                if split_of(key) and isinstance(one, str) and one.strip():
                    target = self._meant(one, bases)
                    if target is None:
                        self.lost[split_of(key)] = one
                    else:
                        found.setdefault(split_of(key), []).append(
                            listed_place(target, bases[0]) if target.is_file()
                            else place_of(target))
        return found

    def _meant(self, said, bases):
        """Return what a path means, and count where it is not as stated."""
        found = _resolve(said, bases)
        if not any((base / Path(said).expanduser()).exists()
                   for base in bases):
            self.remarks[f"paths in {self.setup.name} are not there, such as "
                         f"{said[:80]}: looked for by their last parts"] += 1
        return found

    def class_lists(self, places: Iterable[Place]) -> dict[Path, list[str]]:
        """Return {file: class names} of every file that lists them."""
        found = _lists_of(self.root, self.setup, self.table, self.remarks)
        for place in places:
            stems = {PurePosixPath(name).stem for name in place.files()}
            for folder in dict.fromkeys((place.labels, place.images)):
                for path in _there(folder, NAME_FILES):
                    # Maybe it has the boxes of a picture of its name.
                    if path.suffix != ".txt" or path.stem not in stems:
                        found[path] = names_in(path, self.remarks)
        for above in [] if found else list(self.root.resolve().parents)[:2]:
            # Where a part of a set was named, the whole one lies above.
            setup = next(_there(above, SETUPS), None)
            found = found or _lists_of(
                above, setup, read_setup(setup, self.remarks) if setup else {},
                self.remarks)
        return found


def _there(folder, names):
    """Yield the files of some names that a folder has."""
    return (folder / name for name in names if (folder / name).is_file())


def _lists_of(root, setup, table, remarks):
    """Return {file: class names} of the files of a folder."""
    found = {path: names_in(path, remarks)
             for path in _there(root, NAME_FILES)}
    if setup and "names" in table:
        if setup.suffix != ".data":
            found[setup] = _yaml_names(table["names"], setup)
        elif path := _resolve(table["names"], [root]):
            found[path] = names_in(path, remarks)
    for path in () if found else sorted(root.glob("*.names")):
        found[path] = names_in(path, remarks)
    return found


def _child(folder, names):
    """Return the folder in a folder that has one of some names, or None."""
    found = {one.name.lower(): one for one in reversed(folders_in(folder))}
    return next((found[name] for name in names if name in found), None)


def _unwrapped(root):
    """Return the folder itself, or the only one in it, as archives have."""
    while True:
        inner = folders_in(root)
        if len(inner) != 1 or split_of(inner[0].name) or any(
                one.is_file() and not is_hidden(one.name)
                for one in root.iterdir()) or (
                inner[0].name.lower() in (*IMAGES, *LABELS)):
            return root
        root = inner[0]


def _setup_in(root):
    """Return the file of a folder that states its parts, or None."""
    loose = (path for path in sorted(root.glob("*.y*ml"))
             if re.search(r"^names\s*:", read_text(path, Counter()), re.M))
    return next(itertools.chain(_there(root, SETUPS), loose), None)


def places_in(root: Path) -> dict[str, list[Place]]:
    """Return {split: places} as the names of folders say; "" for no split."""
    images, labels = _pair(root)
    parts = [one for one in folders_in(images or root) if split_of(one.name)]
    found: dict[str, list] = {}
    for part in parts:
        found.setdefault(split_of(part.name), []).append(
            _beside(part, labels) if images and labels != images
            else place_of(part))
    if found and images:
        loose = sorted(name for name in listing(images, *pictures.SUFFIXES)
                       if not split_of(name.partition("/")[0]))
        if loose:
            found["rest"] = [Place(images, labels, tuple(loose))]
    return found or {"": [Place(images, labels) if images else place_of(root)]}


def _beside(part, labels):
    """Return the Place of a split of which the text files have a folder."""
    if (labels / part.name).is_dir() or not any(labels.glob("*.txt")):
        return Place(part, labels / part.name)
    return Place(part, labels, tuple(Place(part, labels).files()))


def _pair(root):
    """Return the folders of images and of text files in one, or None."""
    images, labels = _child(root, IMAGES), _child(root, LABELS)
    inner = folders_in(root)
    if images is None and labels is None and not any(
            split_of(one.name) for one in inner):
        held = {one: {PurePosixPath(name).suffix.lower()
                      for name in listing(one)} for one in inner}
        pictured = [one for one, ends in held.items()
                    if ends & set(pictures.SUFFIXES) and ".txt" not in ends]
        written = [one for one, ends in held.items() if ".txt" in ends
                   and not ends & set(pictures.SUFFIXES)]
        if len(pictured) == len(written) == 1:
            return pictured[0], written[0]
    if images is None:
        return None, None
    written = [one for one in (images, *inner) if listing(one, ".txt")]
    loose = {path.name for path in root.glob("*.txt")} - {*NAME_FILES}
    if labels or images in written:
        return images, labels or images
    return images, written[0] if len(written) == 1 and not loose else root


def place_of(folder):
    """Return the Place of a folder that is said to hold images."""
    images, labels = _pair(folder)
    if images:
        return Place(images, labels)
    parts = folder.parts
    for at in reversed(range(1, len(parts))):
        if parts[at].lower() in IMAGES:
            labels = _child(Path(*parts[:at]), LABELS)
            if labels and labels.joinpath(*parts[at + 1:]).is_dir():
                return Place(folder, labels.joinpath(*parts[at + 1:]))
    return Place(folder, _child(folder, LABELS) or folder)


def _lists_in(root):
    """Return the places of train.txt and its like that list images."""
    found = {}
    for path in sorted(root.glob("*.txt")):
        if split_of(path.stem):
            first = next(filled_lines(path, Counter()), (0, "", ""))[2]
            if first.lower().endswith(pictures.SUFFIXES):
                found[split_of(path.stem)] = [listed_place(path, root)]
    return found


def listed_place(path, root):
    """Return the Place of a list of images, a name a line."""
    finder = PictureFinder(root, path.parent, option="images=FOLDER")
    names, faults, remarks = [], [], finder.remarks()
    for _, where, text in filled_lines(path, remarks):
        name = finder.find(text)
        if name is None:
            faults.append(fault_at(where, *finder.missing(text)))
        else:
            names.append(name)
    return Place(root, root, tuple(dict.fromkeys(names)), tuple(faults),
                 remarks)


def _resolve(said, bases):
    """Return what a path that a file states means, or None.

    Of a path of another machine, or one that climbs out of a folder that is
    not there, the last parts are tried, the longest first.
    """
    text = said.strip().replace("\\", "/")
    parts = [part for part in PurePosixPath(text).parts
             if part not in ("/", ".", "..") and not part.endswith(":")]
    tried = [base / Path(text).expanduser() for base in bases]
    tried += [base.joinpath(*parts[start:]) for start in range(len(parts))
              for base in bases]
    return next((Path(os.path.normpath(one)) for one in tried
                 if one.exists()), None)


def read_setup(path: Path, remarks: Counter) -> dict[str, Any]:
    """Return what a ``data.yaml`` or an ``obj.data`` states.

    Args:
        path, remarks: as of ``read_text``.

    Raises:
        ValueError: it is not to be read, or holds more than plain values.
    """
    if path.suffix == ".data":
        pairs = (line.partition("=")
                 for _, _, line in filled_lines(path, remarks))
        return {key.strip(): value.strip() for key, sign, value in pairs
                if sign}
    try:
        import yaml
    except ImportError:
        raise ValueError(f"{path} needs PyYAML to be read; or write the names "
                         "into classes.txt, a name a line.") from None
    text = read_text(path, remarks)
    try:
        return dict(_plain_yaml(text, yaml))
    except (yaml.YAMLError, TypeError, ValueError, AttributeError,
            OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: expected the class names under 'names', "
                         "and no references, found something else "
                         f"({type(error).__name__}).") from error


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


def _yaml_names(names, path):
    """Return the class names under ``names``: a list, or {number: name}."""
    if isinstance(names, dict):
        require({*map(str, names)} == {*map(str, range(len(names)))},
                f"{path}: expected the numbers 0 to {len(names) - 1} under "
                f"'names', found {str(list(names))[:60]}.")
        names = [names[key] for key in sorted(names, key=int)]
    if isinstance(names, list):
        names = [str(one) if type(one) is int else one for one in names]
    return check_names(names, path, "the class names under 'names'")


def agreed(lists: dict[Path, list[str]], classes: Sequence | None
           ) -> tuple[str, ...]:
    """Return the class names that all lists agree on.

    A list may stop before the others do; the numbers mean the same then.

    Args:
        lists: as of ``Layout.class_lists``.
        classes: names that go before all lists, or None.

    Raises:
        ValueError: two lists differ in the name of a number.
    """
    if classes:
        return tuple(classes)
    most, names = max(lists.items(), key=lambda item: len(item[1]))
    for path, others in lists.items():
        for number, (one, other) in enumerate(zip(names, others)):
            if one != other:
                raise ValueError(
                    f"{most} and {path} disagree: class {number} is "
                    f"{one[:40]!a} in the one and {other[:40]!a} in the "
                    "other; make them the same, or name the classes in the "
                    "order of their numbers with ?classes=A,B.")
    return tuple(names)
