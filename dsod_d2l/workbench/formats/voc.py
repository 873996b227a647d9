"""PASCAL VOC: a folder of images with an XML file each, or a list of both."""

from __future__ import annotations

import difflib
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.parsers import expat

from ...datasets import pictures
from ...datasets.sample import FLAGS, broken_entry
from ...datasets.wrappers import Combined
from ...files import inside
from .image_folder import SIDES, EntryMaker, ImageFolder, fault_at
from .text_files import filled_lines, listing, number, read_names, whole_size

DEEPEST = 30                 # levels; a VOC file has five
_ONCE = {"name", *FLAGS, *(f"bndbox/{side}" for side in SIDES)}
_TRUTH = {"": 0, "0": 0, "false": 0, "1": 1, "true": 1}


class Annotation(NamedTuple):
    """One file as written; ``size`` is (height, width) or None.

    An object is {place below it, such as "bndbox/xmin": text}, with its line
    and the places that are there twice.
    """

    filename: str
    size: tuple | None
    objects: list


class _Handler:
    """Collect texts by their place below ``annotation``."""

    def __init__(self, parser):
        self.parser, self.path, self.text = parser, [], []
        self.top, self.objects = {}, []
        parser.StartElementHandler, parser.EndElementHandler = (self.start,
                                                                self.end)
        parser.CharacterDataHandler = self.text.append
        parser.StartDoctypeDeclHandler = self.refuse

    def refuse(self, *_):
        raise ValueError("it declares a document type, which may hide "
                         "entities and is not read")

    def start(self, name, _):
        self.path.append(name)
        self.text.clear()
        if self.path[0] != "annotation":
            raise ValueError("expected <annotation> as its root, found "
                             f"<{self.path[0][:40]}>")
        if len(self.path) > DEEPEST:
            raise ValueError(f"its elements are nested deeper than {DEEPEST}")
        if len(self.path) == 2 and name == "object":
            self.objects.append({"line": self.parser.CurrentLineNumber,
                                 "twice": []})

    def end(self, _):
        text = "".join(self.text).strip()
        self.text.clear()
        if len(self.path) > 2 and self.path[1] == "object":
            place, found = "/".join(self.path[2:]), self.objects[-1]
            if place in found and place in _ONCE:
                found["twice"].append(place)
            found[place] = text
        else:
            self.top.setdefault("/".join(self.path[1:]), text)
        self.path.pop()


def parse_annotation(data: bytes, source: str) -> Annotation:
    """Return the Annotation that the bytes of a file hold.

    Args:
        data: bytes of an XML file.
        source: its name, for messages.

    Raises:
        ValueError: it is not the XML of an annotation; names the line.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    handler = _Handler(parser)
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        reason = str(error).partition(": line ")[0]
        raise ValueError(f"{source}, line {parser.CurrentLineNumber}: "
                         f"expected the XML of an annotation, but {reason}."
                         ) from error
    return Annotation(handler.top.get("filename", ""),
                      _size(handler.top, source), handler.objects)


def _size(top, source):
    """Return (height, width), or None where the file does not say."""
    texts = [top.get(f"size/{name}", "") for name in ("height", "width")]
    if all(text in ("", "0") for text in texts):
        return None
    size = whole_size(*texts)
    if size is None:
        raise ValueError(f"{source}: expected a size of whole pixels, found "
                         f"height {texts[0]!r} and width {texts[1]!r}.")
    return size


def _add(maker, found, where, origin):
    """Add one object, or say what is wrong with its texts."""
    faults = [f"it has more than one <{place.split('/')[-1]}>"
              for place in found["twice"]]
    for place in ("name", *(f"bndbox/{side}" for side in SIDES)):
        text = found.get(place, "")
        if not text:
            faults.append(f"it has no {place.replace('/', ' with ')}")
        elif place != "name" and number(text) != number(text):
            faults.append(f"{place[7:]} is not a number: {text[:40]!r}")
    flags = [_TRUTH.get(found.get(flag, "").lower()) for flag in FLAGS]
    faults += [f"{flag} must be 0 or 1, found {found[flag][:40]!r}"
               for flag, value in zip(FLAGS, flags) if value is None]
    for words in faults:
        maker.blame(words, "file", where)
    if not faults:
        box = [number(found[f"bndbox/{side}"]) for side in SIDES]
        maker.add(found["name"], box, flags, where, origin)


VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
           "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike",
           "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
# What the papers call these unions, for the folder that holds the years.
UNIONS = {"07+12": ("2007-trainval", "2012-trainval"),
          "07++12": ("2007-trainval", "2007-test", "2012-trainval")}


class VOC(ImageFolder):
    """One folder in the layout of PASCAL VOC.

    Args:
        folder: holds ``Annotations``, ``JPEGImages`` and
            ``ImageSets/Main``; or XML files and images side by side.
        image_set: name of a list in ``ImageSets/Main``, or "all" for every
            XML file. Default: "trainval", else "train", else "all",
            whichever is there.
        classes: every name that may occur, in the order of their indices.
            Default: what ``labels.json`` or ``classes.txt`` in the folder
            says; VOC's twenty where the folder is called VOC20xx; else all
            names in all of its XML files, sorted, so that every image set
            has the same.
        origin: the number of the first pixel, 1 or 0.
        outside: "error" or "clip", see ``EntryMaker``.
        options: ``bad`` and ``cache``, as in ``ImageFolder``.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and object.
    """

    def __init__(self, folder: str | Path, image_set: str | None = None,
                 classes: list | tuple | None = None, origin: int = 1,
                 outside: str = "error", **options: Any):
        self.root = Path(folder)
        self.notes, images = _parts(self.root)
        names, faults = self._names(image_set)
        parsed = {name: self._parse(name) for name in names}
        classes = tuple(classes or read_names(self.root)
                        or self._all_classes(parsed))
        make = _Maker(images, classes, origin, outside)
        entries = [make.entry(name, f"{self.root.name}/{name}.xml", notes)
                   for name, notes in parsed.items()]
        super().__init__(entries, classes, images,
                         f"{self.root}, {self.image_set}", faults, **options)

    def _names(self, image_set):
        """Return the names of the images that are asked for, and faults."""
        lists = self.root / "ImageSets" / "Main"
        known = sorted(path.stem for path in lists.glob("*.txt"))
        if image_set is None:
            image_set = next((one for one in ("trainval", "train")
                              if one in known), "all")
        self.image_set = image_set
        if image_set == "all":
            return self._all_names(), ()
        if image_set not in known:
            raise FileNotFoundError(
                f"There is no image set {str(image_set)!r} in {lists}; "
                f"expected one of {', '.join([*known[:12], 'all'])}.")
        return _once(lists / f"{image_set}.txt", _name_in)

    def _all_names(self):
        """Return the names of all XML files."""
        return sorted(path.relative_to(self.notes).with_suffix("").as_posix()
                      for path in self.notes.rglob("*.xml"))

    def _all_classes(self, parsed):
        """Return the names of all classes of the folder."""
        if re.fullmatch(r"VOC20\d\d", self.root.resolve().name):
            return VOC_CLASSES
        return _class_names(
            (parsed.get(name) or self._parse(name)
             for name in self._all_names()),
            f"{self.notes}: expected XML files with objects")

    def _parse(self, name):
        """Return the Annotation of one name, or the exception."""
        return _read_annotation(
            self.notes / f"{name}.xml", f"{self.root}: the image set "
            f"{self.image_set!r} lists {name!r}, but there is no ")


def _read_annotation(path, missing):
    """Return the Annotation in a file, or the exception that says why not."""
    try:
        return parse_annotation(path.read_bytes(), str(path))
    except OSError:
        return FileNotFoundError(f"{missing}{path}.")
    except ValueError as error:
        return error


def _class_names(parsed, wanted):
    """Return the names in all that could be parsed, sorted."""
    names = sorted({one["name"] for found in parsed
                    if not isinstance(found, Exception)
                    for one in found.objects if one.get("name")})
    if not names:
        raise ValueError(f"{wanted}, found no class name at all.")
    return names


class _Maker:
    """Make the entries of annotations; arguments as of ``VOC``."""

    def __init__(self, folder, classes, origin, outside):
        if origin not in (0, 1):
            raise ValueError(f"origin must be 0 or 1, found {origin!r}.")
        self.folder, self.files = folder, listing(folder)
        self.classes = {name: label for label, name in enumerate(classes)}
        self.origin, self.outside = origin, outside

    def entry(self, name, source, notes):
        """Return the Entry of an Annotation, or of why there is none.

        Args:
            name: of the image, without its suffix or with it.
            source: name for messages.
            notes: ``Annotation`` or an exception.
        """
        if isinstance(notes, Exception):
            return broken_entry(name, source, str(notes))
        image = next((name + end for suffix in ("", *pictures.SUFFIXES)
                      for end in (suffix, suffix.upper())
                      if name + end in self.files), None)
        maker = EntryMaker(image or name, source, self.classes, self.outside,
                           notes.size)
        said = PurePosixPath(notes.filename.replace("\\", "/"))
        if said.name and PurePosixPath(name).stem not in (said.stem,
                                                          said.name):
            maker.blame(f"it says that it belongs to {said.name[:80]!r}, not "
                        f"to {name!r}", "file name")
        if image is None:
            maker.blame(f"there is no image {name!r} in {self.folder}",
                        "image")
        elif maker.size is None:
            maker.measure(self.folder / image)
        # Without a size the boxes cannot be judged.
        for row, found in enumerate(notes.objects if maker.size else ()):
            _add(maker, found, f"object {row} (line {found['line']})",
                 self.origin)
        return maker.entry()


def _parts(root):
    """Return the folders of XML files and of images."""
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    notes, images = root / "Annotations", root / "JPEGImages"
    if notes.is_dir() and not images.is_dir():
        raise FileNotFoundError(f"{root} holds Annotations, but no "
                                "JPEGImages.")
    if notes.is_dir():
        return notes, images
    if any(root.glob("*.xml")):
        return root, root
    raise FileNotFoundError(f"{root}: expected a folder with Annotations and "
                            "JPEGImages, or with XML files and images.")


def _once(path, read):
    """Return the values of lines with names that were not there, and faults.

    Args:
        path: a list, a name a line.
        read: called with text, where it stands, and the list's folder;
            returns the name, the value, and None or what is wrong with them:
            reason and kind.
    """
    values, faults, seen = [], [], {}
    for row, where, text in filled_lines(path):
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
    if name.split()[1:] in (["-1"], ["0"], ["1"]):
        raise ValueError(f"{where}: expected one name, found {name!r}: a list "
                         "of the images of one class is no image set.")
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
        year, _, name = str(one).partition("-")
        if not name or not re.fullmatch(r"20\d\d", year):
            near = difflib.get_close_matches(str(one), UNIONS, 1)
            raise ValueError(
                f"{years} holds {', '.join(found)}: expected an image set "
                f"such as 2007-test, {' or '.join(UNIONS)}, found "
                f"{one!r}" + (f"; {near[0]!r} is known." if near else "."))
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

    Raises:
        FileNotFoundError, ValueError: a sentence with file and line.
    """

    def __init__(self, path: str | Path, classes: list | tuple | None = None,
                 origin: int = 1, outside: str = "error", **options: Any):
        path = Path(path)
        folder = path.parent
        pairs, faults = _once(path, _pair_in)
        parsed = [_read_annotation(folder / notes, f"{where}: there is no "
                                   "file ") for _, notes, where in pairs]
        classes = tuple(classes or read_names(folder) or _class_names(
            parsed, f"{path}: expected objects in the files that it lists"))
        make = _Maker(folder, classes, origin, outside)
        entries = [make.entry(image, notes, found)
                   for (image, notes, _), found in zip(pairs, parsed)]
        super().__init__(entries, classes, folder, str(path), faults,
                         **options)


def _pair_in(text, where, folder):
    """Read a line that is an image and an XML file, for ``_once``."""
    words = [word.strip().replace("\\", "/") for word
             in text.split("\t" if "\t" in text else None)]
    problem = None
    if len(words) != 2 or not all(words):
        problem = ("expected an image and an XML file, separated by a tab or "
                   f"by spaces, found {text[:80]!r}", "file")
    elif not all(inside(folder, word) for word in words):
        problem = (f"a name leaves the folder of the list: {text[:80]!r}",
                   "path")
    return words[0], (*words, where), problem
