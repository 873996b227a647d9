"""Data sets of Caffe: a database (LMDB) of pictures with their objects.

This is what SSD's ``create_data.sh`` writes, and what the authors of DSOD,
SSD and RefineDet have trained on. Each of its values is an AnnotatedDatum, a
message of Protocol Buffers: pairs of a number, which says what comes, and a
value, which may be a message again.
"""

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from ...config.base import one_of, require
from ...datasets import pictures
from ...datasets.sample import FileDataset
from ...files import check_names
from ..exporting import require_package
from .image_folder import entry_makers
from .text_files import read_text

_OPENING = threading.Lock()         # a process opens a database but once
_ZERO, _SIDES = [0], (1, 2, 3, 4)   # what a message need not say; of a box


class CaffeLmdb(FileDataset):
    """The pictures and objects of a database that Caffe trains on.

    A picture is called as in its key, "00000007_VOC2007/JPEGImages/7.jpg",
    without the number in front.

    Args:
        path: its folder, which holds data.mdb, or that file.
        classes: every name that may occur, in the order of their indices;
            without a labelmap, those of the numbers 1, 2, ...
        labelmap: a file with the numbers and names of the classes, such as
            labelmap_voc.prototxt.
        outside, origin: as of ``EntryMaker``; origin is 1 for a database
            made of XML files of VOC, whose xmin and ymin it has as they are.
        options: ``bad``, ``cache`` and ``exif``, as of ``FileDataset``.

    Raises:
        ValueError: it is no such database, or it is not said how its
            classes are called.

    Paper: SSD's data/VOC0712/create_data.sh (arXiv:1512.02325).
    """

    def __init__(self, path: str | Path, classes: Sequence[str] | None = None,
                 labelmap: str | None = None, outside: str = "error",
                 origin: int = 0, **options: Any):
        one_of("origin", origin, (0, 1))
        require(classes or labelmap, f"{path} knows its classes by numbers: "
                "say how they are called by labelmap=FILE or classes=A,B")
        self.path, self._keys, remarks = Path(path), {}, Counter()
        names = (read_labelmap(labelmap) if labelmap
                 else dict(enumerate(classes, 1)))
        classes, entries = list(classes or names.values()), []
        make = entry_makers(classes, outside, remarks, options)
        with _reading(self.path) as view:
            for key, value in view.cursor():
                words = key.decode("utf-8", "replace")
                name = re.sub(r"^\d{8,}_", "", words)
                name = words if name in self._keys else name    # twice there
                self._keys[name] = key
                entries.append(_entry(make(name, f"{path}, key {words}"),
                                      value, names, origin))
        super().__init__(entries, classes, str(path), remarks=remarks,
                         **options)

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of one image as the image itself says."""
        return self._entries[index].size

    def _bytes(self, entry):
        with _reading(self.path) as view:
            return _picture(fields(view.get(self._keys[entry.name])))


@contextlib.contextmanager
def _reading(path):
    """Open a database for as long as it is read from."""
    lmdb = require_package("lmdb", "reading a database of Caffe")
    file = path / "data.mdb" if path.is_dir() else path
    try:
        with _OPENING, lmdb.open(str(file), subdir=False, readonly=True,
                                 lock=False) as database:
            # What the file lacks, LMDB would read from nowhere, and end.
            least = database.stat()["psize"] * (
                database.info()["last_pgno"] + 1)
            require(file.stat().st_size >= least, f"{file} is cut short: "
                    f"expected {least} bytes, found {file.stat().st_size}")
            with database.begin() as view:
                yield view
    except lmdb.Error as error:
        raise ValueError(f"{path} is no folder with a database (data.mdb) "
                         f"that LMDB can read: {error}") from error


def read_labelmap(path: str | Path) -> dict[int, str]:
    """Return {number: name} of a labelmap of Caffe, without the background.

    Args:
        path: a .prototxt file, such as labelmap_voc.prototxt.

    Raises:
        FileNotFoundError, ValueError: it is not there, or no labelmap.
    """
    items = [dict(re.findall(r'(\w+)\s*:\s*("[^"]*"|\d+)', item)) for item
             in re.findall(r"item\s*{([^}]*)}", read_text(path))]
    names = {int(item["label"]): item.get(
        "display_name", item.get("name", "")).strip('"')
        for item in items if item.get("label", "").isdecimal()}
    require(items and len(names) == len(items), f"{path} is no labelmap: "
            "expected a number of its own, label: 1, in each item { ... }")
    names.pop(0, None)
    check_names(list(names.values()), path)
    return dict(sorted(names.items()))


def _entry(maker, value, names, origin):
    """Return the Entry of one AnnotatedDatum."""
    try:
        datum = fields(value)
        image = _picture(datum)
        size = pictures.encoded_size(image, "its picture")
        turned = pictures.orientation(image) > 4 and not maker.turn
        maker.size = size[::-1] if turned else size
        for row, (number, box) in enumerate(
                (group.get(1, _ZERO)[-1], fields(part))
                for group in map(fields, datum.get(3, ()))
                for one in group.get(2, ())
                for part in fields(one).get(2, [b""])):
            edges = np.array([box.get(side, _ZERO)[-1] for side in _SIDES],
                             np.uint32).view(np.float32)
            maker.add(names.get(number, number),
                      edges * (maker.size[::-1] * 2),
                      (box.get(6, _ZERO)[-1], 0, 0, 0), f"box {row}", origin)
    except (ValueError, DecodeError, TypeError, OverflowError) as error:
        maker.blame("expected an AnnotatedDatum with a picture, but "
                    + str(error).rstrip("."), "image")
    return maker.entry()


def _picture(datum):
    """Return the bytes of the image file in an AnnotatedDatum."""
    found = fields(datum.get(1, [b""])[-1])
    require(found.get(7, _ZERO)[-1] and found.get(4), "the picture must be an "
            "image file, as create_data.sh writes it by --encoded")
    return found[4][-1]


def fields(data: bytes) -> dict[int, list]:
    """Return the values of a message of Protocol Buffers, by their numbers.

    Args:
        data: bytes of the message.

    Returns:
        {number: values}; each is an int, or the bytes of a longer one.

    Raises:
        DecodeError: the bytes are no message.

    >>> fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69]))
    {1: [150], 2: [b'hi']}
    """
    found: dict[int, list] = {}
    for one in UnknownFieldSet(Empty.FromString(data)):
        found.setdefault(one.field_number, []).append(one.data)
    return found
