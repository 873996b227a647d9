"""Read text, names, numbers and lists of files, with clear errors."""

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets.sample import few
from ...files import check_names, one_line, read_json_names


def known_table(name: str) -> dict[str, Any]:
    """Return what a file of JSON beside this one says, by its name."""
    return json.loads(Path(__file__).with_name(name).read_text("utf-8"))


# What systems and programs leave among the files of a data set.
_NO_DATA = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is none of a data set: by its name."""
    return name.startswith(".") or name.lower() in _NO_DATA


def listing(folder: str | Path, *suffixes: str) -> set[str]:
    """Return the names of all files below a folder, relative, as a set.

    Args:
        folder: hidden files and folders in it do not count.
        suffixes: only names that end so, whatever their capitals.
    """
    folder, found = str(folder), set()
    for base, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [one for one in folders if not is_hidden(one)]
        rest = os.path.relpath(base, folder).replace(os.sep, "/")
        lead = "" if rest == "." else rest + "/"
        found.update(lead + file for file in files if not is_hidden(file)
                     and (not suffixes or file.lower().endswith(suffixes)))
    return found


def folder_there(path: str | Path) -> Path:
    """Return the path of a folder, or raise a FileNotFoundError."""
    if not Path(path).is_dir():
        raise FileNotFoundError(f"There is no folder {path}.")
    return Path(path)


def read_text(path: str | Path, remarks: Any = None) -> str:
    """Return the text of a file.

    Args:
        path: of the file.
        remarks: {sentence: count}; takes in that it is not UTF-8, but of
            an older encoding. None: it must be UTF-8.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no text.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    text = decode_text(Path(path).read_bytes(), path, remarks)
    return re.sub("\r\n?", "\n", text)


_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le",
          b"\0<": "utf-16-be", b"\xef\xbb": "utf-8-sig"}


def decode_text(data: bytes, source: str | Path, remarks: Any = None,
                stated: str = "utf-8") -> str:
    """Return the text that bytes hold, in the first encoding that fits.

    Tried are what its first bytes mark, what it states, and UTF-8; and if
    that can be remarked, the encodings of older systems.

    Raises:
        ValueError: none of them fits.
    """
    if data[:1].isalnum() and data[1:2] == b"\0":       # without a mark
        stated = "utf-16-le"
    told = _MARKS.get(data[:2], stated)
    older = () if remarks is None or b"\0" in data else ("cp1252", "latin-1")
    found = "another one"
    for coding in dict.fromkeys((told, "utf-8", *older)):
        try:
            text = data.decode(coding)
            if coding != told and remarks is not None:
                note(remarks, f"files of text that are not {told}, read as "
                     f"{coding}", source)
            return text
        except UnicodeDecodeError as error:
            found = (f"the byte {data[error.start]:#04x} at position "
                     f"{error.start}")
        except (UnicodeError, LookupError):
            pass
    raise ValueError(f"{source}: expected {told.upper()} text, found {found}.")


def number(text: Any) -> float:
    """Return a number as a float, nan where the text is none."""
    if type(text) is float:
        return text
    try:
        if "_" not in str(text) and not isinstance(text, bool):
            return float(text)
    except (ValueError, TypeError, OverflowError):
        pass
    return float("nan")


_SET = {"true", "yes", "y", "t", "on"}
_UNSET = {"", "none", "null", "false", "no", "n", "f", "off", "unspecified",
          "unknown", "-1", "-1.0"}


def as_flag(value: Any) -> bool | None:
    """Return whether a flag is set, None where that cannot be understood.

    A level or a share above 0 is set, as KITTI writes how much is hidden.

    >>> as_flag("Unspecified"), as_flag("0.06"), as_flag(2), as_flag("maybe")
    (False, True, True, None)
    """
    if isinstance(value, (bool, np.bool_)) or value is None:
        return bool(value)
    text = str(value).strip().lower()
    if text in _SET or text in _UNSET:
        return text in _SET
    share = number(text)
    return share > 0 if share >= 0 else None


def note(remarks: Any, words: str, example: object) -> None:
    """Count a remark, {sentence: count}, which shows its first example."""
    key = next((text for text in remarks if text.startswith(words)),
               f"{words}, such as {one_line(str(example), 120)}")
    remarks[key] = remarks.get(key, 0) + 1


def told_path(path: Path, root: Path) -> str:
    """Return a path as messages name it: from the folder of the set on."""
    return (f"{root.name}/{path.relative_to(root).as_posix()}"
            if root in path.parents else str(path))


def whole_size(height: Any, width: Any) -> tuple | None:
    """Return (height, width) as whole numbers above 0, or None."""
    sides = number(height), number(width)
    return (tuple(map(int, sides))
            if all(side >= 1 and side % 1 == 0 for side in sides) else None)


def filled_lines(path: str | Path, remarks: Any = None
                 ) -> Iterator[tuple[int, str, str]]:
    """Yield (number from 1, where, text) of each line that holds something."""
    for row, line in enumerate(read_text(path, remarks).splitlines(), 1):
        if line.strip():
            yield row, f"{path}, line {row}", line.strip()


def unknown_class(name: object, classes: Any) -> str:
    """Return the clause that says that a class name is not known."""
    name = str(name)[:80]
    return (f"the class {name!r} is not one of {few(list(classes))}"
            + nearest(name, classes))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the clause that says which known name is like one, or ""."""
    folded = {one.casefold(): one for one in known}
    near = (difflib.get_close_matches(name, list(known), 1)
            or [folded.get(name.casefold())])
    return f"; {near[0]!r} is known" if near[0] else ""


def names_in(path: Path, remarks: Any = None) -> list[str]:
    """Return the class names that a file lists: as JSON, or a name a line.

    Raises:
        ValueError: the file holds no names, or one twice.
    """
    names = (read_json_names(path) if path.suffix == ".json" else
             [line.strip() for line in read_text(path, remarks).splitlines()])
    while isinstance(names, list) and names and not names[-1]:
        names.pop()
    return check_names(names, path)


def read_names(folder: str | Path, remarks: Any = None) -> list[str] | None:
    """Return the class names that a folder states, or None.

    Read are ``labels.json``, a JSON list, or ``classes.txt``, a name a line.

    Args:
        folder: of the data set.
        remarks: {sentence: count}; takes in that files disagree.

    Raises:
        ValueError: as of ``names_in``.
    """
    stated: dict[str, list[str]] = {}
    for path in (Path(folder) / "labels.json", Path(folder) / "classes.txt"):
        if path.is_file() and (remarks is not None or not stated):
            stated[path.name] = names_in(path, remarks)
    (first, names), *rest = [*stated.items()] or [("", None)]
    for file, other in rest:
        if other != names and remarks is not None:
            remarks[f"class list disagrees: {first} ({few(names)}) was taken, "
                    f"not {file} ({few(other)}); ?classes= says which"] = 1
    return names
