"""Files that are whole, and what they name: written in one go, checked."""

import contextlib
import json
import os
import reprlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of `path` once it is whole.

    A reader finds the old file or the new one, never a part, even after a
    loss of power; two processes that write the same file do not mix.

    Args:
        path: where the file belongs; its folder is made.

    Raises:
        OSError: the disk is full or not writable; says that what was there
            is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        # Whoever fills the file may fail to read another one.
        if not isinstance(error, OSError) or error.errno is None or (
                error.filename not in (None, partial, str(partial))):
            raise
        raise OSError(error.errno, f"{path} was not written "
                      f"({error.strerror}); an earlier file is untouched"
                      ) from error
    _keep_name(path.parent)


def _keep_name(folder):
    """Have the new name of a file outlast a loss of power, where it can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomically(path: str | Path, data: bytes | bytearray) -> None:
    """Write bytes so that the file is the old one or the new one.

    Args, Raises: as of ``replacing``.
    """
    with replacing(path) as file:
        file.write(data)


def inside(folder: str | Path, name: str | Path) -> bool:
    """Return whether a file name stays inside its folder.

    >>> inside("data", "a/b.jpg"), inside("data", "../b.jpg")
    (True, False)
    """
    name = str(name).replace("\\", "/")
    return bool(name) and "\0" not in name and not os.path.isabs(name) \
        and ".." not in Path(name).parts and name[1:2] != ":"


def one_line(text: str, most: int = 400) -> str:
    """Return a message without what a file could hide in it.

    Args:
        text: a sentence that may quote a file.
        most: of its characters; the middle is left out of a longer one.

    >>> one_line("found \x1b[2J", 400).isprintable()
    True
    """
    if len(text) > most:
        text = f"{text[:most - 105]} ... {text[-100:]}"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}"
                   for one in text)


def read_json_names(path: str | Path) -> Any:
    """Return the value of a JSON file that ought to list names."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON list of names, found "
                         f"something else ({error}).") from error


def check_names(names: Any, source: str | Path,
                wanted: str = "class names") -> list[str]:
    """Return the names as a list, or raise if they are no class names."""
    if not (isinstance(names, list) and names
            and all(isinstance(name, str) and name for name in names)):
        # What a YAML file nests by reference would be endless as text.
        raise ValueError(f"{source}: expected {wanted}, found "
                         f"{reprlib.repr(names)[:60]}.")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"{source}: the class {twice[0][:80]!r} is there "
                         "twice.")
    return names
