"""Where a folder keeps its XML files and images, whatever they are called."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ...datasets import pictures
from . import locating
from .locating import split_of, stated_folder
from .text_files import folder_there, listing

# What such folders are called, in small letters; VOC's own names first.
_NOTES = ("annotations", "annotation", "annots", "annot", "anns", "xmls",
          "xml", "labels", "label")
_PICTURES = ("jpegimages", *locating.IMAGES)


class VocPart(NamedTuple):
    """The folders of XML files and of images of one part, "" for all."""

    name: str
    notes: Path
    images: Path


def same_set(name: str, known: list[str]) -> str | None:
    """Return the name of a set among those that are known, such as valid."""
    split = split_of(name)
    return name if name in known else next(
        (one for one in known if split and split_of(one) == split), None)


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
    files = listing(folder_there(root))
    notes = _tops(files, (".xml",))
    shown = _tops(files, pictures.SUFFIXES)
    if not (annotations or images) and len(notes) == 1 and set(notes) == set(
            shown) - {""} and not (_named(notes, _NOTES) or _all_parts(notes)):
        return find_parts(root / next(iter(notes)))
    at = (stated_folder(root, annotations) if annotations else
          _folder(root, notes, _NOTES, notes))
    if not notes and not annotations:
        raise FileNotFoundError(
            f"{root}: expected XML files in a folder such as Annotations, or "
            f"beside the images; found none among {len(files)} files. If they "
            "lie elsewhere, annotations=FOLDER names it.")
    where = (stated_folder(root, images) if images else
             _folder(root, shown, _PICTURES, notes))
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


def _tops(files, suffixes):
    """Return {first folder, "" for none: files with a suffix in it}."""
    return Counter(name.partition("/")[0] if "/" in name else ""
                   for name in files if name.lower().endswith(suffixes))


def _all_parts(tops):
    """Return whether all files lie in folders such as train and valid."""
    return bool(tops) and all(map(split_of, tops))


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
