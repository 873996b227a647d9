"""RecordIO, the file format of MXNet's data sets, read and written safely.

A `.rec` file is a row of records. Each is the number ``MAGIC``, a word whose
upper 3 bits say which part of a record follows and whose lower 29 bits give
its length, and that many bytes, padded to a multiple of four. A payload that
holds ``MAGIC`` itself, at a multiple of four, is cut there into parts; the
reader puts the number back. An `.idx` file lists ``key<TAB>offset``.
"""

import contextlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from ..config.base import require
from ..files import replacing, write_atomically

MAGIC = 0xced7230a
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_HEAD = struct.Struct("<II")
_LENGTH = (1 << 29) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class RecordReader:
    """The records of a file, by position; every length is checked on opening.

    Picklable, and safe to share with forked workers: it keeps no position in
    the file.

    Args:
        path: the `.rec` file. The `.idx` of the same name beside it gives the
            order; where it is missing, the file is scanned, and the index is
            written there if the folder allows it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a record or the index contradicts the file; the message
            names the file and the byte offset.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = self.path.name
        self._open()
        index = self.path.with_suffix(".idx")
        if index.is_file():
            self.keys, self.offsets = _read_index(index, self._size)
            end = self._size
            for offset in sorted(self.offsets, reverse=True):
                self._spans(offset, end)
                end = offset
        else:
            self.offsets = self._scan()
            self.keys = list(range(len(self.offsets)))
            # Kept in memory where the folder does not allow it.
            with contextlib.suppress(OSError):
                write_atomically(index, _index_text(self.keys, self.offsets))

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, position: int) -> bytes:
        """Return the payload of one record, as bytes."""
        spans, _ = self._spans(self.offsets[position])
        return _MAGIC_BYTES.join(self._bytes(*span) for span in spans)

    def __repr__(self):
        return f"RecordReader({str(self.path)!r}, {len(self)} records)"

    def __getstate__(self):
        return {name: value for name, value in vars(self).items()
                if name != "_file"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._open()

    def __del__(self):
        self.close()

    def close(self) -> None:
        """Give the file back; reading is then an error."""
        if hasattr(self, "_file"):
            self._file.close()

    def _open(self):
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no record file {self.path}.")
        self._file = open(self.path, "rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size

    def _bytes(self, start, length):
        # pread leaves no position behind, so that forked workers do not
        # disturb one another; unlike a map it survives a file cut short.
        data = os.pread(self._file.fileno(), length, start)
        self._check(len(data) == length, start, f"expected {length} bytes, "
                    f"found {len(data)} before the file ends")
        return data

    def _check(self, good, offset, problem):
        """Require something; else say the file, the byte and the problem."""
        if not good:
            raise ValueError(f"{self.path}, byte {offset}: {problem}.")

    def _part(self, offset):
        """Return (flag, start, length) of the part at a byte offset."""
        left = self._size - offset - _HEAD.size
        self._check(left >= 0, offset,
                    "the file ends inside the head of a record")
        magic, word = _HEAD.unpack(self._bytes(offset, _HEAD.size))
        self._check(magic == MAGIC, offset, "expected the start of a record "
                    f"({MAGIC:#x}), found {magic:#x}")
        flag, length = word >> 29, word & _LENGTH
        self._check(_padded(length) <= left, offset, "a record claims "
                    f"{length} bytes, but the file ends after {left}")
        return flag, offset + _HEAD.size, length

    def _spans(self, offset, most=None):
        """Return the [(start, length)] of a record's parts, and its end.

        ``most`` is where it must end. Without it, many records that share
        their parts could keep a reader busy for hours.
        """
        spans, allowed, begin = [], (_WHOLE, _FIRST), offset
        while True:
            flag, start, length = self._part(offset)
            self._check(flag in allowed, offset, f"part flag {flag} cannot "
                        f"stand here (the record begins at byte {begin})")
            spans.append((start, length))
            offset = start + _padded(length)
            self._check(most is None or offset <= most, begin, "this record "
                        f"runs into the one that the index puts at byte {most}"
                        )
            if flag in (_WHOLE, _LAST):
                return spans, offset
            self._check(length % 4 == 0, start, f"a part of {length} bytes is "
                        "followed by another; expected a multiple of 4")
            allowed = (_MIDDLE, _LAST)

    def _scan(self):
        offsets, offset = [], 0
        while offset < self._size:
            offsets.append(offset)
            _, offset = self._spans(offset)
        return offsets


def _padded(length):
    return (length + 3) // 4 * 4


def _read_index(index, size):
    """Return the keys and offsets of an index of a file of `size` bytes."""
    def check(good, problem):
        if not good:
            raise ValueError(f"{index}, line {row}: {problem}.")
    entries, seen = {}, set()
    lines = index.read_text(encoding="utf-8", errors="replace").splitlines()
    for row, line in enumerate(lines, 1):
        fields = line.split("\t")
        # Python itself refuses to read a number of thousands of digits.
        check(len(fields) == 2 and all(
            text.strip().isdecimal() and len(text) <= 20 for text in fields),
            f"expected a key, a tab and a byte offset, found {line[:60]!r}")
        key, offset = map(int, fields)
        check(key not in entries, f"key {key} was there before")
        check(offset < size, f"offset {offset} lies outside the record file "
              f"of {size} bytes")
        check(offset not in seen, f"offset {offset} was there before")
        seen.add(offset)
        entries[key] = offset
    return list(entries), list(entries.values())


def _index_text(keys, offsets):
    rows = (f"{key}\t{offset}\n" for key, offset in zip(keys, offsets))
    return "".join(rows).encode()


def write_payloads(path: str | Path, payloads: Iterable[bytes]) -> int:
    """Write a `.rec` file and its `.idx`, whole or not at all.

    Args:
        path: the `.rec` file; an older one is replaced at the end.
        payloads: iterable of bytes, each shorter than 512 MiB; their keys
            are 0, 1, 2, ...

    Returns:
        The number of records.
    """
    path = Path(path)
    require(path.suffix == ".rec",
            f"path must end in .rec, found {str(path)!r}.")
    index, offsets = path.with_suffix(".idx"), []
    with replacing(path) as file:
        for payload in payloads:
            offsets.append(file.tell())
            _write_payload(file, payload)
        # Whoever opens the new file before its index is there scans it.
        index.unlink(missing_ok=True)
    write_atomically(index, _index_text(range(len(offsets)), offsets))
    return len(offsets)


def _write_payload(file, payload):
    require(len(payload) <= _LENGTH, f"a record holds at most {_LENGTH} "
            f"bytes, found {len(payload)}.")
    parts = _split(payload)
    flags = ([_WHOLE] if len(parts) == 1 else
             [_FIRST, *[_MIDDLE] * (len(parts) - 2), _LAST])
    for flag, part in zip(flags, parts):
        file.write(_HEAD.pack(MAGIC, flag << 29 | len(part)))
        file.write(part + bytes(-len(part) % 4))


def _split(payload):
    """Cut a payload at each MAGIC that begins at a multiple of four."""
    parts, begin, at = [], 0, payload.find(_MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0:
            parts.append(payload[begin:at])
            begin = at + 4
        at = payload.find(_MAGIC_BYTES, at + 4)    # it cannot overlap itself
    return parts + [payload[begin:]]
