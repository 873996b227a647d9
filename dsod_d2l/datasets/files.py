"""Files that are whole: written in one go, compared with a checksum."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Yield a binary file that takes the place of `path` once it is whole.

    Args:
        path: where the file belongs; if anything goes wrong, what is there
            stays as it is.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_sha1(path, expected):
    """Return the path if the file has the SHA-1, else raise a ValueError."""
    digest = hashlib.sha1()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != expected.lower():
        raise ValueError(f"{path}: expected SHA-1 {expected}, found "
                         f"{digest.hexdigest()}.")
    return Path(path)
