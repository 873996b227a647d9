"""Where a folder keeps its XML files and images, whatever they are called."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ...datasets import pictures
from .text_files import listing

# What such folders are called, in small letters; VOC's own names first.
_NOTES = ("annotations", "annotation", "annots", "annot", "anns", "xmls",
          "xml", "labels", "label")
_PICTURES = ("jpegimages", "images", "image", "imgs", "img", "pictures",
             "photos", "jpgs", "pngs")
_SET_NAMES = {"train": ("train", "training"), "test": ("test", "testing"),
           "val": ("val", "valid", "validation")}
_PARTS = {alias for names in _SET_NAMES.values() for alias in names}


class VocPart(NamedTuple):
    """The folders of XML files and of images of one part, "" for all."""

    name: str
    notes: Path
    images: Path


def same_set(name: str, known: list[str]) -> str | None:
    """Return the name of a set among those that are known, such as valid."""
    if name in known:
        return name
    for names in _SET_NAMES.values():
        if name in names:
            return next((one for one in known if one.lower() in names), None)
    return None


def find_parts(root: Path, annotations: str | Path | None = None,
               images: str | Path | None = None) -> tuple[Path, list[VocPart]]:
    """Return the folder that is meant, and its parts.

    Args:
        root: a folder.
        annotations, images: those of XML files and of images, if they are
            not to be found; relative to the root, or not.

    Returns:
        the root, or the only folder in it that holds anything; and one part,
        or one each for folders such as train, valid and test.

    Raises:
        FileNotFoundError: says what was looked for, and what helps.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    files = listing(root)
    notes = _tops(files, (".xml",))
    shown = _tops(files, pictures.SUFFIXES)
    if not (annotations or images) and len(notes) == 1 and set(notes) == set(
            shown) - {""} and not _named(notes, _NOTES + tuple(_PARTS)):
        return find_parts(root / next(iter(notes)))
    at = _given(root, annotations) or _folder(root, notes, _NOTES, notes)
    if not notes and not annotations:
        raise FileNotFoundError(
            f"{root}: expected XML files in a folder such as Annotations, or "
            f"beside the images; found none among {len(files)} files. If they "
            "lie elsewhere, annotations=FOLDER names it.")
    where = _given(root, images) or _folder(root, shown, _PICTURES, notes)
    if not shown and not images:
        raise FileNotFoundError(
            f"{root} holds {sum(notes.values())} XML files, but no JPEGImages "
            "or other images. If they lie elsewhere, images=FOLDER names it.")
    if at == root and where.name in notes and not images:
        where = root        # each folder has its own
    if at == where == root and _all_parts(notes):
        return root, [VocPart(name, *_pair(root / name))
                      for name in sorted(notes)]
    below = _tops(listing(at), (".xml",))
    if at not in (root, where) and _all_parts(below):
        return root, [VocPart(name, at / name, where / name if (
            where / name).is_dir() else where) for name in sorted(below)]
    return root, [VocPart("", at, where)]


def _given(root, folder):
    """Return a folder that was named, None for none."""
    if folder is None:
        return None
    found = next((path for path in (root / folder, Path(folder))
                  if path.is_dir()), None)
    if found is None:
        raise FileNotFoundError(f"There is no folder {root / folder}.")
    return found


def _tops(files, suffixes):
    """Return {first folder, "" for none: files with a suffix in it}."""
    return Counter(name.partition("/")[0] if "/" in name else ""
                   for name in files if name.lower().endswith(suffixes))


def _all_parts(tops):
    """Return whether all files lie in folders such as train and valid."""
    return bool(tops) and all(name.lower() in _PARTS for name in tops)


def _named(tops, names):
    """Return the folder that is called as one of the names, or None."""
    return next((top for name in names for top in sorted(tops)
                 if top.lower() == name), None)


def _folder(root, tops, names, notes):
    """Return the folder that holds files of one kind."""
    if _named(notes, _NOTES) is None and "" in notes and "" in tops:
        return root
    found = _named(tops, names)
    if found is None and len(tops) == 1 and not _all_parts(tops):
        found = next(iter(tops))
    return root / found if found else root


def _pair(root):
    """Return the folders of XML files and of images of one part."""
    files = listing(root)
    notes = _tops(files, (".xml",))
    return (_folder(root, notes, _NOTES, notes),
            _folder(root, _tops(files, pictures.SUFFIXES), _PICTURES, notes))
