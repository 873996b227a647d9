"""Read text, names, numbers and lists of files, with clear errors."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from ...files import check_names


def check_sum(path, expected):
    """Return the path if a file has a checksum, else raise a ValueError.

    Args:
        path: the file.
        expected: its SHA-256, SHA-1 or MD5, as hexadecimal digits.
    """
    name = {64: "SHA-256", 40: "SHA-1", 32: "MD5"}[len(expected)]
    digest = hashlib.new(name.replace("-", "").lower())
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != expected.lower():
        raise ValueError(f"{path}: expected {name} {expected}, found "
                         f"{digest.hexdigest()}.")
    return Path(path)


def listing(folder):
    """Return the names of all files below a folder, relative, as a set."""
    folder, found = str(folder), set()
    for base, _, files in os.walk(folder, followlinks=True):
        rest = os.path.relpath(base, folder).replace(os.sep, "/")
        lead = "" if rest == "." else rest + "/"
        found.update(lead + file for file in files)
    return found


def read_text(path):
    """Return the text of a file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text, found the byte "
                         f"{error.object[error.start]:#04x} at position "
                         f"{error.start}.") from error


def number(text):
    """Return a number as a float, nan where the text is none."""
    if type(text) is float:
        return text
    try:
        if "_" not in str(text) and not isinstance(text, bool):
            return float(text)
    except (ValueError, TypeError, OverflowError):
        pass
    return float("nan")


def read_names(folder):
    """Return the class names that a folder states, or None.

    Read are ``labels.json``, a JSON list, or ``classes.txt``, a name a line.

    Raises:
        ValueError: the file holds no names, or one twice.
    """
    for path in (Path(folder) / "labels.json", Path(folder) / "classes.txt"):
        if path.is_file():
            text = read_text(path)
            names = (_json_names(path, text) if path.suffix == ".json"
                     else [line.strip() for line in text.splitlines()])
            while isinstance(names, list) and names and not names[-1]:
                names.pop()
            return check_names(names, path)
    return None


def _json_names(path, text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON list of names, found "
                         f"something else ({error}).") from error


def write_new(path, data):
    """Write bytes to a file that is not there yet, folders included.

    Raises:
        FileExistsError: it is there.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} is there already.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
