"""Where results go, checked before the work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ..config.base import require
from ..datasets.pictures import SUFFIXES

Image.init()
# Endings of the pictures that are read, as far as they can be written.
DRAWN_SUFFIXES = tuple(
    one for one in SUFFIXES
    if Image.registered_extensions().get(one) in Image.SAVE)
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")       # of what Matplotlib draws


def is_folder(name: str | Path) -> bool:
    """Return whether a folder is meant: it is there, or ends in a slash."""
    return str(name).endswith(("/", os.sep)) or Path(name).is_dir()


def check_target(path: str | Path, sources: Iterable[str | Path] = (),
                 suffixes: Iterable[str] = (), option: str = "--out") -> None:
    """Raise a ValueError unless a file can be written, before the work.

    Args:
        path: of the file.
        sources: files that must stay what they are, through links too.
        suffixes: one of these must be its ending; (): any will do.
        option: that named it, for messages.
    """
    path = Path(path)
    if suffixes:
        check_ending(path, suffixes, f"{option} {path}: expected a name")
    for source in sources:
        require(_file(path) != _file(source), f"{option} {path} is the input "
                f"{source} itself, which would be lost: give another name, "
                f"such as {path.with_name(f'{path.stem}-new{path.suffix}')}")
    require(not path.is_dir(), f"{option} {path} is a folder, expected the "
            "name of a file")
    require(not path.exists() or os.access(path, os.W_OK),
            f"{option} {path} is there and cannot be written")
    check_folder(path.parent, option)


def check_ending(path: Path, suffixes: Iterable[str], start: str) -> str:
    """Raise a ValueError unless a name has one of these endings; return it.

    Args:
        path: of the file.
        suffixes: in small letters.
        start: of the message: whose name it is, and what was expected.
    """
    suffix = path.suffix.lower()
    require(suffix in suffixes, f"{start} that ends in {', '.join(suffixes)}"
            f", found {path.suffix or 'no ending'}")
    return suffix


def check_folder(path: str | Path, option: str = "--out") -> None:
    """Raise a ValueError unless a folder is there or can be made.

    Args:
        path: of the folder; it is not made yet.
        option: that named it, for messages.
    """
    path = Path(os.path.abspath(path))
    there = next(one for one in (path, *path.parents) if one.exists())
    require(there.is_dir(), f"{option}: {there} is a file, expected a folder")
    require(os.access(there, os.W_OK | os.X_OK),
            f"{option}: the folder {there} is not writable")


def check_targets(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    """Raise a ValueError if one of many files would replace a source.

    Args:
        targets, sources: the files; a target may not be there yet.
    """
    known = {_file(source): source for source in sources}
    for target in targets:
        if source := known.get(_file(target)):
            raise ValueError(f"--out: {target} is the input {source} "
                             "itself, which would be lost: give another "
                             "folder, such as drawn/")


def _file(path):
    """Return what is the same for all names of a file, there or not."""
    try:
        state = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return state.st_dev, state.st_ino
