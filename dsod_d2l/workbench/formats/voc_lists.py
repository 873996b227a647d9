"""A list of pairs: an image and its XML file of PASCAL VOC on every line."""

from __future__ import annotations

from pathlib import Path

from ...datasets.sample import Fault
from ...files import inside
from . import voc
from .annotated import Annotated
from .reading import listing, read_names, read_text
from .voc import broken, make_entry


class PairList(Annotated):
    """The images and objects that a list file names.

    Args:
        path: each line holds an image and an XML file, relative to the
            list's folder and separated by a tab or by spaces.
        classes: every name that may occur, in the order of their indices.
            Default: ``labels.json`` or ``classes.txt`` beside the list, else
            the names in its files, sorted.
        origin, outside: as in ``VOC``.
        bad, cache: as in ``Annotated``.

    Raises:
        FileNotFoundError, ValueError: a sentence with file and line.
    """

    def __init__(self, path, classes=None, origin=1, outside="error",
                 bad="error", cache=False):
        if origin not in (0, 1):
            raise ValueError(f"origin must be 0 or 1, found {origin!r}.")
        path = Path(path)
        folder = path.parent
        pairs, faults = _read(path)
        parsed = [(image, notes, _parse(folder / notes, where))
                  for image, notes, where in pairs]
        classes = tuple(classes or read_names(folder) or sorted(
            {one.name for _, _, found in parsed
             if not isinstance(found, Exception)
             for one in found.objects if one.name}))
        if not classes:
            raise ValueError(f"{path}: expected objects in the files that it "
                             "lists, found no class name at all.")
        files = listing(folder)
        index = {name: label for label, name in enumerate(classes)}
        entries = [broken(image, notes, str(found))
                   if isinstance(found, Exception) else
                   make_entry(found, image, notes, folder, files, index,
                              origin, outside)
                   for image, notes, found in parsed]
        super().__init__(entries, classes, folder, str(path), faults, bad,
                         cache)


def _parse(path, where):
    """Return the Annotation in a file, or the exception."""
    try:
        return voc.parse_annotation(path.read_bytes(), str(path))
    except OSError:
        return FileNotFoundError(f"{where}: there is no file {path}.")
    except ValueError as error:
        return error


def _read(path):
    """Return [(image, XML file, where)], and the faults of lines."""
    pairs, faults, seen = [], [], {}
    for row, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {row}"
        words = [word.strip().replace("\\", "/") for word
                 in line.strip().split("\t" if "\t" in line.strip() else None)]
        if len(words) != 2 or not all(words):
            faults.append(Fault(where, f"{where}: expected an image and an "
                                "XML file, separated by a tab or by spaces, "
                                f"found {line.strip()[:80]!r}."))
        elif not all(inside(path.parent, word) for word in words):
            faults.append(Fault(where, f"{where}: a name leaves the folder of "
                                f"the list: {line.strip()[:80]!r}.", "path"))
        elif words[0] in seen:
            faults.append(Fault(where, f"{where}: {words[0]!r} is listed in "
                                f"line {seen[words[0]]} already.",
                                "duplicate"))
        else:
            seen[words[0]] = row
            pairs.append((*words, where))
    return pairs, faults
