"""Where results go: checked before the work, and whole once they are there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..config.base import require


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a name beside a file, of the same ending, to be written to.

    What was written takes the place of the file in the end; after an error
    the file is what it was.

    Args:
        path: where the result belongs; its folder is made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def partial_name(path: Path) -> Path:
    """Return a name for a file that is not whole yet, of the same ending."""
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


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
    path, suffixes = Path(path), tuple(suffixes)
    require(not suffixes or path.suffix.lower() in suffixes,
            f"{option} {path}: expected a name that ends in "
            f"{', '.join(suffixes)}, found {path.suffix or 'no ending'}")
    for source in sources:
        require(not _same(path, source), f"{option} {path} is the input "
                f"{source} itself, which would be lost: give another name, "
                f"such as {path.with_name(f'{path.stem}-new{path.suffix}')}")
    require(not path.is_dir(), f"{option} {path} is a folder, expected the "
            "name of a file")
    require(not path.exists() or os.access(path, os.W_OK),
            f"{option} {path} is there and cannot be written")
    check_folder(path.parent, option)


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


def check_targets(targets: Iterable[Path], sources: Iterable[Path],
                  option: str = "--out") -> None:
    """Raise a ValueError if one of many files would replace a source.

    Args:
        targets, sources: the files; a target may not be there yet.
        option: that named their folder, for messages.
    """
    known = {_key(source): source for source in sources}
    for target in targets:
        if target.exists() and (source := known.get(_key(target))):
            raise ValueError(f"{option}: {target} is the input {source} "
                             "itself, which would be lost: give another "
                             "folder, such as drawn/")


def _same(one, other):
    """Return whether two names lead to the same file, there or not."""
    return os.path.realpath(one) == os.path.realpath(other) or (
        os.path.exists(one) and os.path.exists(other)
        and os.path.samefile(one, other))


def _key(path):
    state = os.stat(path)
    return state.st_dev, state.st_ino
