"""PASCAL VOC folders: images, one XML file each, and lists of names."""

from __future__ import annotations

import difflib
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.parsers import expat

from ...datasets import pictures
from ...datasets.sample import FLAGS, Fault
from ...files import inside
from .annotated import Annotated, EntryMaker
from .reading import listing, number, read_names, read_text

SIDES = ("xmin", "ymin", "xmax", "ymax")
DEEPEST = 30                 # levels; a VOC file has five
_ONCE = {"name", *FLAGS, *(f"bndbox/{side}" for side in SIDES)}
_TRUTH = {"": 0, "0": 0, "false": 0, "1": 1, "true": 1}


class Object(NamedTuple):
    """One object as written: name, four numbers, flags, where, faults."""

    name: str
    box: tuple
    flags: tuple
    where: str
    faults: tuple


class Annotation(NamedTuple):
    """One file as written; ``size`` is (height, width) or None."""

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


def parse_annotation(data, source):
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
        words = str(error).split(":")[0] if isinstance(
            error, expat.ExpatError) else str(error)
        raise ValueError(f"{source}, line {parser.CurrentLineNumber}: "
                         f"expected the XML of an annotation, but {words}."
                         ) from error
    return Annotation(handler.top.get("filename", ""),
                      _size(handler.top, source),
                      [_object(row, found) for row, found
                       in enumerate(handler.objects)])


def _size(top, source):
    """Return (height, width), or None where the file does not say."""
    texts = [top.get(f"size/{name}", "") for name in ("height", "width")]
    if all(text in ("", "0") for text in texts):
        return None
    sides = [number(text) for text in texts]
    if not all(side > 0 and side % 1 == 0 for side in sides):
        raise ValueError(f"{source}: expected a size of whole pixels, found "
                         f"height {texts[0]!r} and width {texts[1]!r}.")
    return int(sides[0]), int(sides[1])


def _object(row, found):
    """Return an Object of the texts that were found in it."""
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
    box = tuple(number(found.get(f"bndbox/{side}")) for side in SIDES)
    return Object(found.get("name", ""), box, tuple(flags),
                  f"object {row} (line {found['line']})", tuple(faults))


def entry_objects(maker, annotation, origin):
    """Add the objects of an Annotation to an ``EntryMaker``."""
    for one in annotation.objects:
        if one.faults:
            for words in one.faults:
                maker.blame(words, "file", one.where)
        else:
            maker.add(one.name, one.box, one.flags, one.where, origin)


VOC_CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
           "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike",
           "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor")
# What the papers call these unions, for the folder that holds the years.
UNIONS = {"07+12": ("2007-trainval", "2012-trainval"),
          "07++12": ("2007-trainval", "2007-test", "2012-trainval")}


class VOC(Annotated):
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
        bad, cache: as in ``Annotated``.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and object.
    """

    def __init__(self, folder, image_set=None, classes=None, origin=1,
                 outside="error", bad="error", cache=False):
        if origin not in (0, 1):
            raise ValueError(f"origin must be 0 or 1, found {origin!r}.")
        self.root = Path(folder)
        self.notes, self.pictures = _parts(self.root)
        self._parsed = {}
        names, faults = self._names(image_set)
        classes = tuple(classes or self._classes())
        index = {name: label for label, name in enumerate(classes)}
        files = listing(self.pictures)
        entries = [self._entry(name, files, index, origin, outside)
                   for name in names]
        del self._parsed
        super().__init__(entries, classes, self.pictures,
                         f"{self.root}, {self.image_set}", faults, bad, cache)

    def _names(self, image_set):
        """Return the names of the images that are asked for, and faults."""
        lists = self.root / "ImageSets" / "Main"
        known = sorted(path.stem for path in lists.glob("*.txt"))
        if image_set is None:
            image_set = next((one for one in ("trainval", "train")
                              if one in known), "all")
        self.image_set = image_set
        if image_set == "all":
            return sorted(
                path.relative_to(self.notes).with_suffix("").as_posix()
                for path in self.notes.rglob("*.xml")), ()
        if image_set not in known:
            raise FileNotFoundError(
                f"There is no image set {str(image_set)!r} in {lists}; "
                f"expected one of {', '.join([*known[:12], 'all'])}.")
        return read_list(lists / f"{image_set}.txt")

    def _classes(self):
        """Return the names of all classes of the folder."""
        said = read_names(self.root)
        if said:
            return said
        if re.fullmatch(r"VOC20\d\d", self.root.resolve().name):
            return VOC_CLASSES
        found = set()
        for path in self.notes.rglob("*.xml"):
            notes = self._parse(path.relative_to(self.notes)
                                .with_suffix("").as_posix())
            if not isinstance(notes, Exception):
                found.update(one.name for one in notes.objects if one.name)
        if not found:
            raise ValueError(f"{self.notes}: expected XML files with objects, "
                             "found no class name at all.")
        return sorted(found)

    def _parse(self, name):
        """Return the Annotation of one name, or the exception."""
        if name not in self._parsed:
            path = self.notes / f"{name}.xml"
            try:
                self._parsed[name] = parse_annotation(path.read_bytes(),
                                                   str(path))
            except (OSError, ValueError) as error:
                self._parsed[name] = error
        return self._parsed[name]

    def _entry(self, name, files, *settings):
        """Return the Entry of one name."""
        source = f"{self.root.name}/{name}.xml"
        found = self._parse(name)
        if isinstance(found, Exception):
            if isinstance(found, OSError):
                found = (f"{self.root}: the image set {self.image_set!r} "
                         f"lists {name!r}, but there is no "
                         f"{self.notes / name}.xml.")
            return broken(name, source, str(found))
        return make_entry(found, name, source, self.pictures, files,
                          *settings)


def broken(name, source, reason):
    """Return the Entry of an image whose annotation cannot be read."""
    return EntryMaker(name, None, source, {}).entry()._replace(
        faults=(Fault(source, reason),))


def make_entry(notes, name, source, folder, files, index, origin, outside):
    """Return the Entry of an Annotation.

    Args:
        notes: ``Annotation``.
        name: of the image, without its suffix or with it.
        source: name for messages.
        folder: of the images.
        files: names of all files in the folder.
        index: {class name: index}.
        origin, outside: as in ``VOC``.
    """
    image = name if name in files else next(
        (name + end for suffix in pictures.SUFFIXES
         for end in (suffix, suffix.upper()) if name + end in files), None)
    maker = EntryMaker(image or name, notes.size, source, index, outside)
    said = PurePosixPath(notes.filename.replace("\\", "/"))
    if said.name and PurePosixPath(name).stem not in (said.stem, said.name):
        maker.blame(f"it says that it belongs to {said.name[:80]!r}, not to "
                    f"{name!r}", "file name")
    if image is None:
        maker.blame(f"there is no image {name!r} in {folder}", "image")
    elif maker.size is None:
        try:
            maker.size = pictures.read_size(folder / image)
        except (ValueError, OSError) as error:
            maker.blame(str(error).rstrip("."), "image")
    if maker.size is not None:       # else the boxes cannot be judged
        entry_objects(maker, notes, origin)
    return maker.entry()


def _parts(root):
    """Return the folders of XML files and of images."""
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    notes = root / "Annotations"
    if notes.is_dir():
        pictures = root / "JPEGImages"
        if not pictures.is_dir():
            raise FileNotFoundError(f"{root} holds Annotations, but no "
                                    "JPEGImages.")
        return notes, pictures
    if any(root.glob("*.xml")):
        return root, root
    raise FileNotFoundError(f"{root}: expected a folder with Annotations and "
                            "JPEGImages, or with XML files and images.")


def read_list(path):
    """Return the names in a list, one a line, and the faults in it."""
    names, faults, seen = [], [], {}
    for row, line in enumerate(read_text(path).splitlines(), 1):
        name, source = line.strip(), f"{path}, line {row}"
        if not name:
            continue
        words = name.split()
        if len(words) == 2 and words[1] in ("-1", "0", "1"):
            raise ValueError(f"{source}: expected one name, found {name!r}: a "
                             "list of the images of one class is no image "
                             "set.")
        if not inside(path.parent, name):
            faults.append(Fault(source, f"{source}: the name {name[:80]!r} "
                                "leaves the folder.", "path"))
        elif name in seen:
            faults.append(Fault(source, f"{source}: {name!r} is listed in "
                                f"line {seen[name]} already.", "duplicate"))
        else:
            seen[name] = row
            names.append(name)
    return names, faults


def open_voc(folder, image_set=None, **options):
    """Open a VOC folder, or the folder of all years.

    Args:
        folder: of one year, see ``VOC``; or one that holds VOC2007, ...,
            or VOCdevkit with them.
        image_set: for one year, see ``VOC``; for all of them YEAR-SET such
            as "2007-test", or one of ``UNIONS``.
        options: of ``VOC``.
    """
    from ...datasets.wrappers import Combined
    root = Path(folder)
    years = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    found = sorted(path.name for path in years.glob("VOC20[0-9][0-9]"))
    if not found or (root / "Annotations").is_dir():
        return VOC(root, image_set, **options)
    wanted = UNIONS.get(image_set, (image_set,))
    parts = []
    for one in wanted:
        year, _, name = str(one).partition("-")
        if not name or not re.fullmatch(r"20\d\d", year):
            near = difflib.get_close_matches(str(one), UNIONS, 1)
            raise ValueError(
                f"{years} holds {', '.join(found)}: expected an image set "
                f"such as 2007-test, {' or '.join(UNIONS)}, found "
                f"{one!r}" + (f"; {near[0]!r} is known." if near else "."))
        parts.append(VOC(years / f"VOC{year}", name, **options))
    return parts[0] if len(parts) == 1 else Combined(parts)
