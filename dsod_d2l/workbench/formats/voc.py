"""PASCAL VOC: a folder of images with an XML file each, or a list of both."""

import math
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

from ...config.base import one_of, require
from ...datasets import pictures
from ...datasets.sample import FLAGS, Fault, Faulty, broken_entry
from ...datasets.wrappers import Combined
from ...files import inside, one_line
from .finding import PictureFinder, fold_name
from .image_folder import NO_SIZE, SIDES, ImageFolder, entry_makers, fault_at
from .text_files import (decode_text, filled_lines, folder_there, is_hidden,
                         listing, nearest, note, number, read_names, told_path,
                         whole_size)
from .voc_folders import find_parts, same_set

DEEPEST = 30                 # levels; a VOC file has five
_ONCE = {"name", *FLAGS, *(f"bndbox/{side}" for side in SIDES)}
NEGATIVES = ("drop", "keep")


class Annotation(NamedTuple):
    """One file as written; ``size`` is (height, width) or None.

    An object is {place below it, such as "bndbox/xmin": text}, with its line,
    the places that are there twice, and {"x": those of its polygon, "y"}.
    """

    filename: str
    size: tuple | None
    objects: list


class _Handler:
    """Collect texts by their place below ``annotation``."""

    def __init__(self, parser, before):
        self.parser, self.before = parser, before           # lines
        self.path, self.text, self.top, self.objects = [], [], {}, []
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text.append
        parser.StartDoctypeDeclHandler = self.refuse

    def refuse(self, *_):
        raise ValueError("it declares a document type, which may hide "
                         "entities and is not read")

    def start(self, name, _):
        self.path.append(name)
        self.text.clear()
        if self.path[0].lower() != "annotation":
            raise ValueError("expected <annotation> as its root, found "
                             f"<{self.path[0][:40]}>" + (
                                 ", as CVAT's own files have it: export VOC "
                                 "or COCO there" if name == "annotations"
                                 else ""))
        if len(self.path) > DEEPEST:
            raise ValueError(f"its elements are nested deeper than {DEEPEST}")
        if len(self.path) == 2 and name == "object":
            self.objects.append({"line": self.parser.CurrentLineNumber
                                 + self.before, "twice": [],
                                 "corners": {"x": [], "y": []}})

    def end(self, _):
        text = "".join(self.text).strip()
        self.text.clear()
        if len(self.path) > 2 and self.path[1] == "object":
            place, found = "/".join(self.path[2:]), self.objects[-1]
            if place in found and place in _ONCE:
                found["twice"].append(place)
            if re.fullmatch(r"polygon/(pt/)?[xy]\d*", place):
                found["corners"][self.path[-1][0]].append(number(text))
            found[place] = text
        else:
            self.top.setdefault("/".join(self.path[1:]), text)
        self.path.pop()


def parse_annotation(data: bytes, source: str,
                     remarks: Counter | None = None) -> Annotation:
    """Return the Annotation that the bytes of a file hold.

    Args:
        data: bytes of an XML file.
        source: its name, for messages.
        remarks: as of ``read_text``.

    Raises:
        ValueError: it is not the XML of an annotation; names the line.
    """
    # Some programs leave an empty line before the declaration.
    told = re.match(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*encoding=[\"']"
                    rb"(?!utf-?16|utf-?32)([\w.:-]+)", data, re.I)
    whole = decode_text(data, source, remarks,
                        told[1].decode().lower() if told else "utf-8")
    text = whole.lstrip()
    before = whole[:len(whole) - len(text)].count("\n")
    parser = expat.ParserCreate("utf-8")
    handler = _Handler(parser, before)
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, ValueError) as error:
        reason = str(error).partition(": line ")[0]
        raise ValueError(f"{source}, line "
                         f"{parser.CurrentLineNumber + before}: expected the "
                         f"XML of an annotation, but {reason}.") from error
    return Annotation(handler.top.get("filename", ""),
                      _size(handler.top, source), handler.objects)


def _size(top, source):
    """Return (height, width), or None where the file does not say."""
    texts = [top.get(f"size/{name}", "") for name in ("height", "width")]
    if any(text.lower() in NO_SIZE for text in texts):
        return None
    size = whole_size(*texts)
    require(size, f"{source}: expected a size of whole pixels, found "
            f"height {texts[0]!r} and width {texts[1]!r}.")
    return size


def _add(maker, found, where, origin):
    """Add one object, or say what is wrong with its texts."""
    faults = [f"it has more than one <{place.split('/')[-1]}>"
              for place in found["twice"]]
    corners = found["corners"]
    if not any(corners.values()):
        corners = _turned_corners(found)
    places = [f"bndbox/{side}" for side in SIDES]
    if any(corners.values()) and not any(place in found for place in places):
        edges = [str(edge(values)) if values else "" for edge in (min, max)
                 for values in corners.values()]
        found = {**found, **dict(zip(places, edges))}
        maker.remarks["objects with a polygon or a turned box, taken by the "
                      "upright box around it"] += 1
    for place in ("name", *places):
        text = found.get(place, "")
        if not text:
            faults.append(f"it has no {place.replace('/', ' with ')}")
        elif place != "name" and number(text) != number(text):
            faults.append(f"{place[7:]} is not a number: {text[:40]!r}")
    for words in faults:
        maker.blame(words, "file", where)
    if not faults:
        box = [number(found[place]) for place in places]
        maker.add(found["name"], box, [found.get(flag) for flag in FLAGS],
                  where, origin)


def _turned_corners(found):
    """Return {axis: corners} of a box that is turned by an angle, or {}."""
    x, y, width, height, angle = (number(found.get(f"robndbox/{part}", ""))
                                  for part in ("cx", "cy", "w", "h", "angle"))
    if not math.isfinite(x + y + width + height + angle):
        return {}
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    across = (width * cos + height * sin) / 2
    along = (width * sin + height * cos) / 2
    return {"x": [x - across, x + across], "y": [y - along, y + along]}


VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
           "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike",
           "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
# What the papers call these unions, for the folder that holds the years.
UNIONS = {"07+12": ("2007-trainval", "2012-trainval"),
          "07++12": ("2007-trainval", "2007-test", "2012-trainval")}


class VOC(ImageFolder):
    """One folder of XML files and images, in the layout of PASCAL VOC or not.

    Args:
        folder: holds ``Annotations``, ``JPEGImages`` and
            ``ImageSets/Main``; or XML files and images in two folders of any
            names, or side by side; or folders such as ``train`` and
            ``valid`` that do.
        image_set: name of a list in ``ImageSets/Main``, or of such a folder,
            or "all" for every XML file. Default: "trainval", else "train",
            else "all", whichever is there.
        classes: every name that may occur, in the order of their indices.
            Default: what ``labels.json`` or ``classes.txt`` in the folder
            says; VOC's twenty where the folder is called VOC20xx; else all
            names in all of its XML files, sorted, so that every image set
            has the same.
        origin: the number of the first pixel, 1 or 0.
        outside: "error" or "clip", see ``EntryMaker``.
        annotations, images: the folders, if they are not to be found.
        negatives: "drop" leaves images without an XML file out, "keep" takes
            them for images without objects; both are counted.
        options: ``bad``, ``cache`` and ``exif``, as in ``ImageFolder``.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and object.
    """

    def __init__(self, folder: str | Path, image_set: str | None = None,
                 classes: list | tuple | None = None, origin: int = 1,
                 outside: str = "error", annotations: str | Path | None = None,
                 images: str | Path | None = None, negatives: str = "drop",
                 **options: Any):
        one_of("negatives", negatives, NEGATIVES)
        self.root, self._parts = find_parts(Path(folder), annotations, images)
        only = self._parts[0].images if len(self._parts) == 1 else self.root
        self._remarks: Counter = Counter()
        finder = PictureFinder(only, option="images=FOLDER",
                               remarks=self._remarks)
        self._files = self._find_files(only)
        names, without, faults = self._names(image_set, finder)
        parsed = {name: self._parse(name) for name in names}
        classes = tuple(classes or read_names(self.root, self._remarks)
                        or self._all_classes(parsed))
        make = _Maker(finder, origin, classes, outside, self._remarks, options)
        entries = [make.entry(name, told_path(self._path(name), self.root),
                              notes) for name, notes in parsed.items()]
        entries += self._negatives(make, entries, without, negatives)
        super().__init__(entries, classes, only,
                         f"{self.root}, {self.image_set}", faults,
                         remarks=self._remarks, **options)

    def _find_files(self, base):
        """Return {name of an image, without suffix: its XML file}."""
        found = {}
        for part in self._parts:
            lead = _lead(part, base)
            for name in sorted(listing(part.notes, ".xml")):
                found.setdefault(f"{lead}{name[:-4]}", part.notes / name)
        return dict(sorted(found.items()))

    def _names(self, image_set, finder):
        """Return the names that are asked for, images without one, faults."""
        lists = next((path for path in (self.root / "ImageSets" / "Main",
                                        self.root / "ImageSets")
                      if any(path.glob("*.txt"))), None)
        known = [part.name for part in self._parts if part.name]
        if lists and not known:
            known = sorted(path.stem for path in lists.glob("*.txt")
                           if not is_hidden(path.name))
        wanted = image_set or next(filter(None, (
            same_set(one, known) for one in ("trainval", "train"))), "all")
        self.image_set = wanted = same_set(wanted, known) or wanted
        if wanted not in (*known, "all"):
            raise FileNotFoundError(
                f"There is no image set {str(image_set)!r} in "
                f"{lists or self.root}; expected one of "
                f"{', '.join([*known[:12], 'all'])}.")
        faults: Any = ()
        if wanted == "all" or not lists or self._parts[0].name:
            names, without = self._part_names(wanted, finder)
        else:
            listed, faults = _once(lists / f"{wanted}.txt", _name_in,
                                   self._remarks)
            names, without = self._listed(listed, finder)
        left = len(self._files.keys() - names)
        if image_set is None and wanted != "all" and left:
            self._remarks[f"XML files were left out: the image set {wanted!r} "
                          f"was taken, of {', '.join(known[:12])}; :all takes "
                          "all"] = left
        return names, without, faults

    def _part_names(self, wanted, finder):
        """Return the names of a part, and its images without XML file."""
        parts = [part for part in self._parts if wanted in ("all", part.name)]
        mine = tuple(_lead(part, finder.folder) for part in parts)
        names = [name for name, path in self._files.items()
                 if any(part.notes in path.parents for part in parts)]
        return names, [name for name in sorted(finder.files)
                       if name.startswith(mine)
                       and name.lower().endswith(pictures.SUFFIXES)
                       and os.path.splitext(name)[0] not in self._files]

    def _listed(self, listed, finder):
        """Return the names of a list, and its images without XML file."""
        names, without = [], []
        notes = PictureFinder(self._parts[0].notes, suffixes=(".xml",),
                              remarks=self._remarks)
        for name in listed:
            stem, end = os.path.splitext(name)
            found = notes.find(name, stem=True) or (
                end.lower() in pictures.SUFFIXES and notes.find(stem, True))
            image = not found and finder.find(name, stem=True)
            if image:
                without.append(image)
            else:
                names.append(found[:-4] if found else name)
        return list(dict.fromkeys(names)), without

    def _negatives(self, make, entries, without, negatives):
        """Return the entries of images without XML file, if wanted."""
        taken = {entry.name for entry in entries}
        without = [name for name in without if name not in taken]
        if without:
            what = ("left out; ?negatives=keep takes them for images without "
                    "objects" if negatives == "drop" else
                    "taken for images without objects")
            self._remarks[f"images without an XML file, {what}"] = len(without)
        return [make.make(name, told_path(make.finder.folder / name,
                                          self.root)).entry()
                for name in without if negatives == "keep"]

    def _all_classes(self, parsed):
        """Return the names of all classes of the folder."""
        if re.fullmatch(r"VOC20\d\d", self.root.resolve().name):
            return VOC_CLASSES
        return _class_names(
            [parsed.get(name) or self._parse(name) for name in self._files],
            f"{self.root}: expected XML files with objects")

    def _parse(self, name):
        """Return the Annotation of one name, or the exception."""
        missing = (f"{self.root}: the image set {self.image_set!r} lists "
                   f"{name!r}, but there is no ")
        return _read_annotation(self._path(name), missing, self._remarks)

    def _path(self, name):
        return self._files.get(name, self._parts[0].notes / f"{name}.xml")


def _lead(part, folder):
    """Return what the names of a part's images begin with in a folder."""
    lead = os.path.relpath(part.images, folder).replace(os.sep, "/")
    return "" if lead == "." else f"{lead}/"


def _read_annotation(path, missing, remarks):
    """Return the Annotation in a file, or the exception that says why not."""
    try:
        return parse_annotation(path.read_bytes(), str(path), remarks)
    except OSError:
        return FileNotFoundError(f"{missing}{path}.")
    except ValueError as error:
        return error


def _class_names(parsed, wanted, faults=()):
    """Return the names in all that could be parsed, sorted."""
    names = sorted({one["name"] for found in parsed
                    if not isinstance(found, Exception)
                    for one in found.objects if one.get("name")})
    faults = [*faults, *(Fault(wanted.partition(":")[0], one_line(str(one)))
                         for one in parsed if isinstance(one, Exception))]
    if not names and faults:
        raise Faulty(faults[0].reason, faults)
    require(names, f"{wanted}, found no class name at all.")
    return names


class _Maker:
    """Make the entries of annotations; the last four: of ``entry_makers``."""

    def __init__(self, finder, origin, classes, outside, remarks, options):
        require(origin in (0, 1), f"origin must be 0 or 1, found {origin!r}.")
        self.finder, self.remarks, self.origin = finder, remarks, origin
        self.make = entry_makers(classes, outside, remarks, options)
        self.taken = {}

    def entry(self, name, source, notes, line=None):
        """Return the Entry of an Annotation, or of why there is none.

        Args:
            name: of the image, without its suffix.
            source: name for messages.
            notes: ``Annotation`` or an exception.
            line: where a list has the name, which then has its suffix.
        """
        if isinstance(notes, Exception):
            return broken_entry(name, source, str(notes))
        image = (self.finder.find(name) if line else
                 self._find(name, notes.filename))
        if image is None and line:
            reason, kind = self.finder.missing(name)
            return broken_entry(name, source, f"{line}: {reason}.", kind)
        if image:
            self._compare(name, image, notes.filename)
        maker = self.make(image or name, source, size=notes.size,
                          path=image and self.finder.folder / image)
        if image is None:
            maker.blame(*self.finder.missing(name))
        elif self.taken.setdefault(image, source) != source:
            maker.blame(f"its image {image!r} is that of "
                        f"{self.taken[image]} already", "duplicate")
        elif maker.size is None:
            maker.state_size(None, None)
        # Without a size the boxes cannot be judged.
        for row, found in enumerate(notes.objects if maker.size else ()):
            _add(maker, found, f"object {row} (line {found['line']})",
                 self.origin)
        return maker.entry()

    def _find(self, name, stated):
        """Return the image of an XML file by its name, or by what it states.

        Of two images of one stem, it is the one that is stated.
        """
        folder, sign, last = name.rpartition("/")
        said = stated.replace("\\", "/").rpartition("/")[2]
        find, beside = self.finder.find, f"{folder}{sign}{said}"
        alike = not said or _stem(said) == _stem(last)
        if alike and beside in self.finder.files:
            return find(beside)
        return find(name, stem=True) or (None if alike else find(beside))

    def _compare(self, name, image, stated):
        """Count an image that is not called as its XML file, or says it."""
        said = stated.replace("\\", "/")
        if said and not {_stem(said), _stem(unquote(said))} & {_stem(name),
                                                               _stem(image)}:
            note(self.remarks, "XML files whose <filename> is not their "
                 "image's, and was not followed", f"{said} in {name}.xml")
        elif _stem(image) != _stem(name):
            self.remarks["XML files called otherwise than their image, which "
                         "their <filename> names"] += 1


def _stem(name):
    """Return the last part of a name, without a suffix, to be compared."""
    last = fold_name(PurePosixPath(name).name)
    return os.path.splitext(last)[0] if last.endswith(
        pictures.SUFFIXES) else last


def _once(path, read, remarks):
    """Return the values of lines with names that were not there, and faults.

    Args:
        path: a list, a name a line.
        read: called with text, where it stands, and the list's folder;
            returns the name, the value, and None or what is wrong with them:
            reason and kind.
        remarks: as of ``read_text``.
    """
    values, faults, seen = [], [], {}
    for row, where, text in filled_lines(path, remarks):
        name, value, problem = read(text, where, path.parent)
        if not problem and name in seen:
            problem = (f"{name!r} is listed in line {seen[name]} already",
                       "duplicate")
        if problem:
            faults.append(fault_at(where, *problem))
        else:
            seen[name] = row
            values.append(value)
    return values, faults


def _name_in(name, where, folder):
    """Read a line that is one name, for ``_once``."""
    file = folder.parent.parent / "Annotations" / f"{name}.xml"
    require(name.split()[1:] not in (["-1"], ["0"], ["1"]) or file.is_file(),
            f"{where}: expected one name, found {name!r}: a list of the "
            "images of one class is no image set.")
    return name, name, None if inside(folder, name) else (
        f"the name {name[:80]!r} leaves the folder", "path")


def open_voc(folder: str | Path, image_set: str | None = None,
             **options: Any) -> VOC | Combined:
    """Open a VOC folder, or the folder of all years.

    Args:
        folder: of one year, see ``VOC``; or one that holds VOC2007, ...,
            or VOCdevkit with them.
        image_set: for one year, see ``VOC``; for all of them YEAR-SET such
            as "2007-test", or one of ``UNIONS``.
        options: of ``VOC``.
    """
    root = Path(folder)
    years = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    found = sorted(path.name for path in years.glob("VOC20[0-9][0-9]"))
    if not found or (root / "Annotations").is_dir():
        return VOC(root, image_set, **options)
    parts = []
    for one in UNIONS.get(image_set, (image_set,)):
        year, _, name = str(one).replace("_", "-").partition("-")
        require(name and re.fullmatch(r"20\d\d", year), f"{years} holds "
                f"{', '.join(found)}: expected an image set such as 2007-test,"
                f" {' or '.join(UNIONS)}, found {one!r}"
                f"{nearest(str(one), UNIONS)}.")
        parts.append(VOC(years / f"VOC{year}", name, **options))
    return parts[0] if len(parts) == 1 else Combined(parts)


class PairList(ImageFolder):
    """The images and objects that a list file names.

    Args:
        path: each line holds an image and an XML file, relative to the
            list's folder and separated by a tab or by spaces.
        classes: every name that may occur, in the order of their indices.
            Default: ``labels.json`` or ``classes.txt`` beside the list, else
            the names in its files, sorted.
        origin, outside, options: as in ``VOC``.
        root: the folder that the names are relative to, if it is not the
            list's.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and line.
    """

    def __init__(self, path: str | Path, classes: list | tuple | None = None,
                 origin: int = 1, outside: str = "error",
                 root: str | Path | None = None, **options: Any):
        path, remarks = Path(path), Counter()
        folder = folder_there(root or path.parent)
        finder = PictureFinder(folder, path.parent, option="root=FOLDER",
                               remarks=remarks)
        notes = [PictureFinder(one, path.parent, (".xml",), remarks=remarks)
                 for one in dict.fromkeys((folder, path.parent))]
        pairs, faults = _once(path, _pair_in, remarks)
        parsed = [_listed_annotation(name, where, notes, remarks)
                  for _, name, where in pairs]
        classes = tuple(classes or read_names(path.parent, remarks)
                        or _class_names(parsed, f"{path}: expected objects in "
                                        "the files that it lists", faults))
        make = _Maker(finder, origin, classes, outside, remarks, options)
        entries = [make.entry(image, name, found, where)
                   for (image, name, where), found in zip(pairs, parsed)]
        super().__init__(entries, classes, folder, str(path), faults,
                         remarks=remarks, **options)


def _listed_annotation(name, where, finders, remarks):
    """Return the Annotation that a list names, or the exception."""
    for finder in finders:
        found = finder.find(name)
        if found:
            return _read_annotation(finder.folder / found, f"{where}: no ",
                                    remarks)
    reason, kind = finders[0].missing(name)
    if kind != "path":
        reason = (f"there is no file {finders[0].folder / name}; root=FOLDER "
                  "names another folder")
    return FileNotFoundError(f"{where}: {reason}.")


def _pair_in(text, where, folder):
    """Read a line that is an image and an XML file, for ``_once``."""
    match = re.fullmatch(r"(.+\.\w+)\s+(\S.*\.xml)", text, re.I)
    words = (text.split("\t") if "\t" in text else
             list(match.groups()) if match else text.split())
    words = [word.strip() for word in words]
    problem = None
    if len(words) != 2 or not all(words):
        problem = ("expected an image and an XML file, separated by a tab or "
                   f"by spaces, found {text[:80]!r}", "file")
    return words[0], (*words, where), problem
