"""YOLO text: one file for each image, a line ``class x y width height`` each.

x and y are the centre; all four are fractions of the image. The class is a
number from 0, whose name stands in ``classes.txt``, ``labels.json``,
``obj.names`` or ``data.yaml``. An image without a text file has no objects.
Of a polygon, an oriented box or key points, the box around them is taken. The
format has no flags: those of a converted set are kept beside it, in
``flags.csv``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...config.base import require
from ...datasets.sample import FLAGS, Fault
from ...datasets.wrappers import Combined
from ...files import inside, one_line
from .csv_table import read_cells
from .finding import fold_name
from .image_folder import ImageFolder, entry_makers, fault_at
from .locating import IMAGES, split_of, stated_folder
from .text_files import filled_lines, listing, number, told_path
from .yolo_layouts import Layout, Place, agreed, listed_place, place_of

FLAG_FILE = "flags.csv"     # of the folder: file, line, and four flags
POLYGON = "polygons or oriented boxes, of which the box around them is taken"
MORE = "lines with a score or a track's number behind the box, not read"
POINTS = "lines with key points behind the box, not read"
BARE = "images without a text file, taken as images without objects"


class Yolo(ImageFolder):
    """The images of one folder or list, and their YOLO text files.

    Args:
        place: where they are.
        classes: names in the order of the numbers.
        root: the folder of the set, which may hold flags.
        title: names the set in messages.
        points: numbers behind a box that are key points.
        outside: "error" or "clip", see ``EntryMaker``.
        remarks: on the set, which are added to its own.
        options: ``bad``, ``cache`` and ``exif``, as in ``ImageFolder``.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and line.
    """

    def __init__(self, place: Place, classes: Sequence[str], root: Path,
                 title: str, points: int = 0, outside: str = "error",
                 remarks: Mapping[str, int] | None = None, **options: Any):
        self.place, self.points, self.counts = place, points, Counter()
        flags, faults = _read_flags(root / FLAG_FILE, root)
        texts = listing(place.labels, ".txt")
        known = self._texts(place.files(), texts)
        entries = []
        make = entry_makers(range(len(classes)), outside, self.counts, options)
        for name, text in known.items():
            maker = make(name, told_path(place.labels / text, root),
                         path=place.images / name)
            if text in texts:
                path = place.labels / text
                self._read(maker, path, len(classes), flags.get(path, {}))
            else:
                self.counts[BARE] += 1
            entries.append(maker.entry())
        require(place.faults or texts & set(known.values()),
                f"{title}: found {len(known)} images in {place.images}, and "
                f"no text file of theirs in {place.labels}; labels=FOLDER "
                "names where they are, images=FOLDER where the images are.")
        faults += [*place.faults, *self._lost(texts - set(known.values()))]
        remarks = {**place.remarks, **self.counts, **(remarks or {})}
        super().__init__(entries, classes, place.images, title, faults,
                         remarks=remarks, **options)

    def _texts(self, names, texts):
        """Return {image: its text file, there or not}."""
        folded = {fold_name(text): text for text in texts}
        found = {}
        for name in names:
            tried = [PurePosixPath(name).with_suffix(".txt").as_posix()]
            if self.place.labels == self.place.images:
                tried += _swapped(tried[0])
            tried.append(f"{name}.txt")
            found[name] = next(
                (one if one in texts else folded[fold_name(one)]
                 for one in tried if fold_name(one) in folded), tried[0])
        return found

    def _lost(self, texts):
        """Return the faults of text files that belong to no image."""
        if self.place.names is not None:
            return []                       # it may be in another list
        paths = [self.place.labels / name for name in sorted(texts)]
        return [fault_at(path, "there is no image of that name in "
                         f"{self.place.images}", "image")
                for path in paths if _holds_labels(path)]

    def _read(self, maker, path, classes, flags):
        """Add the objects of one text file."""
        try:
            for row, _, line in filled_lines(path, self.counts):
                self._add(maker, line.split(), f"line {row}", classes,
                          flags.get(row, (0, 0, 0, 0)))
        except ValueError as error:
            maker.blame(str(error).rstrip("."))

    def _add(self, maker, words, where, classes, flags):
        """Add the object of one line."""
        label, *values = [number(word) for word in words]
        box, kind = _box_of(values, self.points)
        if box is None or any(value != value for value in (label, *values)):
            maker.blame("expected five numbers, class x y width height, or "
                        "the points of a polygon behind the class, found "
                        f"{' '.join(words)[:60]!r}", "file", where)
        elif not (0 <= label < classes and label % 1 == 0):
            maker.blame(f"the class {words[0][:40]!r} is not a whole number "
                        f"from 0 to {classes - 1}; classes=A,B names all of "
                        "them, in their order", "unknown class", where)
        else:
            if kind:
                self.counts[kind] += 1
            maker.add(int(label), box, flags, where, pixels=False)


def _box_of(values, points=0):
    """Return the corners that the numbers behind a class mean, and a remark.

    Args:
        values: x y width height, and perhaps a score, a track's number or
            key points behind them; or three or more corners of a polygon.
        points: how many numbers key points take, if that is stated.

    >>> _box_of([.5, .5, .5, 1])[0], _box_of([0, .5, .5, 0, 1, 1])[0]
    ((0.25, 0.0, 0.75, 1.0), (0, 0, 1, 1))
    """
    more = len(values) - 4
    if more > 1 and more % 2 == 0 and more != points and not (
            more == 2 and values[5] > 1 and values[5] % 1 == 0):
        x, y = values[::2], values[1::2]
        return (min(x), min(y), max(x), max(y)), POLYGON
    if more < 0 or more > 2 and more != points and (more % 3 or more < 6):
        return None, ""
    x, y, width, height = values[:4]
    return ((x - width / 2, y - height / 2, x + width / 2, y + height / 2),
            (POINTS if more > 2 else MORE) if more else "")


def _swapped(text):
    """Return a path with ``labels`` where it says ``images``."""
    parts = text.split("/")
    return ["/".join([*parts[:at], "labels", *parts[at + 1:]])
            for at in reversed(range(len(parts) - 1))
            if parts[at].lower() in IMAGES]


def _holds_labels(path):
    """Return whether a text file is one of labels, or empty."""
    try:
        words = next(filled_lines(path, Counter()),
                     (0, "", "0 0 0 0 0"))[2].split()
    except ValueError:
        return False
    return len(words) > 4 and all(number(word) == number(word)
                                  for word in words)


def open_yolo(path: str | Path, split: str | None = None,
              default: str | None = None, classes: Sequence | None = None,
              images: str | None = None, labels: str | None = None,
              **options: Any) -> Yolo | Combined:
    """Open a YOLO set, or one of its splits.

    Args:
        path: a folder; a ``data.yaml`` or ``obj.data`` that states its
            splits; or a list of images.
        split: the split; or "all" for all of them; or the folder of one, in
            ``images`` or beside.
        default: the split of a set that has several, where none is named;
            default "train".
        classes: names in the order of the numbers. Default: what the files
            of the set say.
        images, labels: the folders, where they are not found by themselves.
        options: of ``Yolo``.
    """
    layout = Layout(path)
    if images or labels:
        shown = stated_folder(layout.root, images or ".")
        found = next(iter(layout.places.values()), [place_of(shown)])[0]
        place = Place(shown, stated_folder(layout.root, labels) if labels else
                      shown if listing(shown, ".txt") else found.labels)
        if Path(path).suffix.lower() == ".txt":
            place = listed_place(Path(path), place.images)._replace(
                labels=place.labels)
        layout.places = {"": [place]}
    places, title, remarks = _chosen(layout, path, split, default)
    lists = {} if classes else layout.class_lists(places)
    if not (classes or lists):
        raise FileNotFoundError(
            f"{layout.root}: expected the class names in classes.txt, a name "
            "a line, in obj.names or in data.yaml; found none of them. Or "
            f"name them in the order of their numbers{_numbers_in(places)}: "
            f"yolo:{path}?classes=A,B.")
    remarks = {**layout.remarks, **remarks}
    names = agreed(lists, classes)
    shape = layout.table.get("kpt_shape")
    points = (shape[0] * shape[1] if isinstance(shape, list)
              and [*map(type, shape)] == [int, int] else 0)
    for file, others in lists.items():
        if len(others) < len(names):
            remarks[f"class list is shorter than the others: {file}"] = 1
    said = number(layout.table.get("nc", layout.table.get("classes")))
    if not classes and said == said != len(names):
        remarks[f"class list disagrees: {layout.setup.name} states {said:g} "
                f"classes, and {len(names)} have a name, which were taken; "
                "?classes= says which"] = 1
    parts = [Yolo(place, names, layout.root, title, points,
                  remarks={} if row else remarks, **options)
             for row, place in enumerate(places)]
    return parts[0] if len(parts) == 1 else Combined(parts)


def _numbers_in(places):
    """Return the clause that says which class numbers are used."""
    used = {line.split()[0] for place in places
            for name in listing(place.labels, ".txt")
            if _holds_labels(place.labels / name)
            for _, _, line in filled_lines(place.labels / name, Counter())}
    numbers = [int(word) for word in used if word.isdecimal()]
    return f", 0 to {max(numbers)} here" if numbers else ""


def _chosen(layout, path, split, default):
    """Return the places that are asked for, a title, and remarks."""
    found = layout.places
    title = str(Path(path, split or ""))
    if split:
        return _named(layout, split), title, {}
    keys = list(found)
    name = next((one for one in (default, "train") if one in found),
                keys[0] if len(keys) == 1 else None)
    lost = layout.lost.get(default or "train")
    if lost and name not in (default, "train"):
        raise FileNotFoundError(
            f"{layout.setup} states {lost[:80]!r} for the split "
            f"{default or 'train'}: there is nothing of that name in "
            f"{layout.root}; found {', '.join(keys) or 'no other'}.")
    if not keys:
        raise FileNotFoundError(f"{layout.setup} states no folder or list of "
                                "images under train, val or test that is "
                                "there.")
    require(name is not None, f"{path} holds the splits {', '.join(keys)}, "
            "and no train: expected one of them behind a colon, as in "
            f"yolo:{path}:{keys[0]}, or all.")
    rest = {key: sum(len(place.files()) for place in places
                     if place not in found[name])
            for key, places in found.items() if key != name}
    return found[name], title, {
        f"images of {key} are left out, only those of {name} are taken; "
        f"yolo:{path}:{key} takes them, yolo:{path}:all everything": count
        for key, count in rest.items() if count}


def _named(layout, split):
    """Return the places of a split by its name or its folder's, or of all."""
    root, name = layout.root, split_of(split) or split
    if split == "all" and not (root / "images/all").is_dir():
        return [place for one in layout.places.values() for place in one]
    known = name in layout.places
    if inside(root, split) and not (known and layout.setup):
        if (root / "images" / split).is_dir():
            return [Place(root / "images" / split, root / "labels" / split)]
        if (root / split).is_dir():
            return [place_of(root / split)]
    if known:
        return layout.places[name]
    lost = layout.lost.get(split_of(split))
    said = lost and f", nor what {layout.setup.name} states, {lost[:80]!r}"
    raise FileNotFoundError(
        f"There is no folder {root / split}{said or ''}; there are the splits "
        f"{', '.join(filter(None, layout.places)) or 'none'} (or all).")


def _read_flags(path, root):
    """Return {text file: {line: flags}}, and the faults in the file."""
    found: dict[Path, dict] = {}
    faults: list[Fault] = []
    if not path.is_file():
        return found, faults
    try:
        rows = read_cells(path)[1:]
    except ValueError as error:
        return found, [Fault(str(path), one_line(str(error)))]
    for row, cells in rows:
        sound = (len(cells) == 2 + len(FLAGS) and cells[1].isdecimal()
                 and all(cell in ("0", "1") for cell in cells[2:]))
        if sound and inside(root, cells[0]) and (root / cells[0]).is_file():
            found.setdefault(root / cells[0], {})[int(cells[1])] = [
                cell == "1" for cell in cells[2:]]
        else:
            faults.append(fault_at(
                f"{path}, line {row}", "expected a text file that is there, a "
                f"line and four flags, found {','.join(cells)[:80]!r}"))
    return found, faults
