"""Where results go, checked before the work, and marked as ours."""

import os
import re
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from ..config.base import require
from ..datasets.pictures import FORMATS, SUFFIXES
from ..files import replacing, write_atomically

Image.init()
# Endings of the pictures that are read, as far as they can be written.
DRAWN_SUFFIXES = tuple(
    one for one in SUFFIXES
    if Image.registered_extensions().get(one) in Image.SAVE)
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")       # of what Matplotlib draws
MARK = b"dsod_d2l"        # in every file that a result is written to
_SOFTWARE = 0x0131        # the EXIF tag for the program that made a picture


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
    require(not path.is_dir(), f"{option} {path} is a folder, expected the "
            "name of a file")
    require(not path.exists() or os.access(path, os.W_OK),
            f"{option} {path} is there and cannot be written")
    check_targets([path], sources, option, "name, such as "
                  f"{path.with_name(f'{path.stem}-new{path.suffix}')}")
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


# JSON has no place for it: what detect, evaluate and prune --scan write.
_JSON = re.compile(rb'\[?{"(image|frame)": .{,400}?"detections": |'
                   rb'\[{"image_id"|\{.*"(mistakes|filters)": ', re.DOTALL)


def check_ours(path: Path, option: str = "--out",
               instead: str = "name") -> None:
    """Raise a ValueError if a file is there that was not written here.

    Args:
        path: of the file that would be replaced.
        option: that named it, for messages.
        instead: what to give, for messages.
    """
    data = path.read_bytes() if path.is_file() else b""
    require(len(data) < 4 or MARK in data or path.suffix.lower() in (
        ".json", ".jsonl") and _JSON.match(data), f"{option}: {path} is "
        "there, was written by something else, and would be lost: give "
        f"another {instead}")


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture in the format of its ending, marked as ours.

    Args:
        path: its ending is one of ``DRAWN_SUFFIXES``; its folder is made.
        picture: of Pillow, RGB.
    """
    kind, data = next(kind for kind, ends in FORMATS.items()
                      if path.suffix.lower() in ends), BytesIO()
    more = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    exif = Image.Exif()
    exif[_SOFTWARE] = MARK.decode()
    picture.save(data, kind, exif=exif, comment=MARK, **more)
    # BMP has no place for it, and what is behind its pixels is not read.
    write_atomically(path, data.getvalue() + MARK * (kind == "BMP"))


def save_figure(path: str | Path, figure: Any, dpi: int = 100) -> None:
    """Write a figure of Matplotlib, marked as ours.

    Args:
        path: its ending is one of ``FIGURE_SUFFIXES``; its folder is made.
        figure: of Matplotlib.
        dpi: pixels of an inch.
    """
    kind = Path(path).suffix[1:].lower()
    with replacing(path) as file:
        figure.savefig(file, format=kind, dpi=dpi, metadata={
            "Software" if kind == "png" else "Creator": MARK.decode()})


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


def check_targets(targets: Iterable[Path], sources: Iterable[str | Path],
                  option: str = "--out", instead: str = "folder, such as "
                  "drawn/") -> None:
    """Raise a ValueError if a target is a source, or is there and not ours.

    Args:
        targets, sources: the files; a target may not be there yet.
        option: that named them, for messages.
        instead: what to give, for messages.
    """
    known = {_file(source): source for source in sources}
    for target in (targets := [*targets]):
        source = known.get(_file(target))
        require(source is None, f"{option} {target} is the input {source} "
                f"itself, which would be lost: give another {instead}")
    for target in targets:
        check_ours(Path(target), option, instead)


def _file(path):
    """Return what is the same for all names of a file, there or not."""
    try:
        state = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return state.st_dev, state.st_ino
