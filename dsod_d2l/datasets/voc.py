"""PASCAL VOC folders: images, one XML file each, and lists of names.

A VOC file counts pixels from 1, and its xmax and ymax are the last pixels
inside. A box therefore spans (xmin - 1) / width to xmax / width, and back
again without loss. Programs that count from 0 write the edges themselves:
``origin=0``. A box whose xmin is not below its xmax is a fault either way.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path, PurePosixPath

from . import images, voc_xml
from .annotations import Annotated
from .entries import EntryMaker, Fault
from .files import inside, listing, read_names, read_text

CLASSES = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
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
            return sorted(path.relative_to(self.notes).with_suffix("")
                          .as_posix() for path in self.notes.rglob("*.xml")), ()
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
            return CLASSES
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
                self._parsed[name] = voc_xml.parse(path.read_bytes(),
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
        notes: ``voc_xml.Annotation``.
        name: of the image, without its suffix or with it.
        source: name for messages.
        folder: of the images.
        files: names of all files in the folder.
        index: {class name: index}.
        origin, outside: as in ``VOC``.
    """
    image = name if name in files else next(
        (name + end for suffix in images.SUFFIXES
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
            maker.size = images.read_size(folder / image)
        except (ValueError, OSError) as error:
            maker.blame(str(error).rstrip("."), "image")
    if maker.size is not None:       # else the boxes cannot be judged
        voc_xml.entry_objects(maker, notes, origin)
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
    from .combined import Combined
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
