"""MXNet's own weights files, `.params`, read without MXNet.

MXNet's reader believes the lengths that a file states. Here each one is held
against the file first, and nothing of the file reaches C++. A file is a row of
arrays and then a row of names, all little-endian:

    uint64 0x112, uint64 0, uint64 number of arrays, the arrays,
    uint64 number of names, and for each its uint64 length and its bytes;

and an array is

    uint32 magic, int32 storage type (not in version 1), int32 number of axes,
    int64 for each axis, int32 device type and number, int32 kind, the numbers.

Weights of this module are safetensors, which state what network they belong
to; this reader is for files that others have made.
"""

import math
import os
import struct
from pathlib import Path

import numpy as np

from ...config.base import require
from ...weights import PARAMS_MAGIC

_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE, _BFLOAT16, _MOST_AXES = 0, 12, 32
_KINDS = {0: "<f4", 1: "<f8", 2: "<f2", 3: "|u1", 4: "<i4", 5: "|i1",
          6: "<i8", 7: "|b1", 8: "<i2", 9: "<u2", 10: "<u4", 11: "<u8"}
_PREFIXES = ("arg:", "aux:")


def load_params(path: str | Path, plain_names: bool = False) -> dict:
    """Read the arrays of a `.params` file.

    Args:
        path: a file of ``net.save_parameters``, ``net.export`` or
            ``mx.nd.save``, by MXNet 0.10 or later.
        plain_names: take "arg:" and "aux:" off the names, which
            ``net.export`` puts before them.

    Returns:
        Dictionary: name -> array, in the order of the file, of the shape and
        type in the file. Arrays that were saved without names are called
        "0", "1", ...

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, damaged, or holds what is not read: an
            array that is sparse or bfloat16. One sentence with the file, the
            byte and the array.

    >>> import mxnet as mx, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.params")
    >>> mx.nd.save(str(path), {"arg:weight": mx.nd.ones((2, 3))})
    >>> load_params(path, plain_names=True)["weight"].shape
    (2, 3)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such .params file.")
    with open(path, "rb") as file:
        found = _Reader(path, file).read()
    if not plain_names:
        return found
    plain = {name[4:] if name.startswith(_PREFIXES) else name: array
             for name, array in found.items()}
    require(len(plain) == len(found), f"{path}: two arrays have the same name "
            f"without {' and '.join(_PREFIXES)}.")
    return plain


class _Reader:
    """An open file, read from its beginning to its end."""

    def __init__(self, path, file):
        self.path, self.file = path, file
        self.left = os.fstat(file.fileno()).st_size
        self.at = self.begin = 0    # the next byte, and that of the last part

    def read(self):
        """Return {name: array} of the whole file."""
        require(self.left >= 24 and self.take(8, "its head") == PARAMS_MAGIC,
                f"{self.path} is not a .params file of MXNet: its first bytes "
                "are others.")
        self.take(8, "its head")
        # No array is shorter than its magic, and no name than its length.
        arrays = [self.array(f"array {row}")
                  for row in range(self.count("arrays", 4))]
        names = [self.name(row) for row in range(self.count("names", 8))]
        self.begin = self.at
        self.check(not self.left, "expected the end of the file, found "
                   f"{self.left} more bytes")
        names = names or [str(row) for row in range(len(arrays))]
        require(len(arrays) == len(names) == len(set(names)), f"{self.path}: "
                f"expected {len(arrays)} different names, one for each array, "
                f"found {len(names)}, {len(set(names))} of them different.")
        return dict(zip(names, arrays))

    def check(self, good, problem):
        """Require something; else say the file, the byte and the problem."""
        require(good, f"{self.path}, byte {self.begin}: {problem}.")

    def take(self, size, what):
        """Return the next bytes."""
        self.begin = self.at
        self.check(size <= self.left, f"{what} takes {size} bytes, but the "
                   f"file ends after {self.left}")
        data = self.file.read(size)
        self.check(len(data) == size, f"{what} takes {size} bytes, but the "
                   f"file was cut short after {len(data)} while it was read")
        self.left, self.at = self.left - size, self.at + size
        return data

    def numbers(self, form, what):
        """Return the next numbers, as ``struct`` names their form."""
        return struct.unpack("<" + form,
                             self.take(struct.calcsize("<" + form), what))

    def count(self, what, least):
        """Return a number of things that take at least so many bytes each."""
        [number] = self.numbers("Q", f"the number of {what}")
        self.check(number * least <= self.left, "expected at most "
                   f"{self.left // least} {what} in what follows, found the "
                   f"number {number}")
        return number

    def name(self, row):
        """Return the next name."""
        [length] = self.numbers("Q", f"the length of name {row}")
        data = self.take(length, f"name {row}")
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.check(False, f"name {row} is not UTF-8")

    def array(self, what):
        """Return the next array."""
        [magic] = self.numbers("I", f"the magic of {what}")
        self.check(magic in (_V1, _V2, _V3), f"expected the start of {what}, "
                   f"found {magic:#x}")
        if magic != _V1:
            [storage] = self.numbers("i", f"the storage type of {what}")
            self.check(storage == _DENSE, f"{what} is sparse (storage type "
                       f"{storage}), and only dense arrays are read")
        shape = self.shape(what, empty=magic == _V3)
        self.numbers("ii", f"the device of {what}")
        [kind] = self.numbers("i", f"the kind of {what}")
        note = " (bfloat16)" if kind == _BFLOAT16 else ""
        self.check(kind in _KINDS, f"{what} has numbers of kind {kind}{note}; "
                   f"expected one of 0 to {max(_KINDS)}")
        return self.values(shape, np.dtype(_KINDS[kind]), what)

    def shape(self, what, empty):
        """Return the next shape; ``empty`` allows no axis, and axes of 0."""
        [axes] = self.numbers("i", f"the number of axes of {what}")
        least = 0 if empty else 1
        self.check(least <= axes <= _MOST_AXES, f"{what} has {axes} axes; "
                   f"expected {least} to {_MOST_AXES}")
        shape = self.numbers(f"{axes}q", f"the shape of {what}")
        size = math.prod(max(side, 1) for side in shape)
        self.check(min(shape, default=1) >= least and size < 1 << 48,
                   f"{what} cannot have the shape {shape}")
        return shape

    def values(self, shape, kind, what):
        """Return the numbers of an array."""
        data = self.take(math.prod(shape) * kind.itemsize,
                         f"{what} of shape {shape}")
        self.check(kind.kind != "b" or max(data, default=0) <= 1,
                   f"{what} has a truth value other than 0 and 1")
        return np.frombuffer(data, kind).reshape(shape).astype(
            kind.newbyteorder("="))
