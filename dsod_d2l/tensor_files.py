"""Arrays and facts in one file: safetensors, atomic, with a checksum.

Nothing is pickled, so reading a file runs no code. The checksum, SHA-256, is
that of the whole file with zeros in its own place: it notices a change of the
header, of the facts and of the numbers alike. Files of format 1 have none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialise

from . import params_file

FORMAT, WITHOUT_CHECKSUM = "dsod_d2l 2", "dsod_d2l 1"
BLANK = "0" * 64
KINDS = {"model": dict, "classes": list}     # of facts, where they are there
NUMBERS = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64",
           "bool")
# Inside a fact the quotes are escaped: this is found where it belongs only.
MARK = b'"checksum":"'


def write_atomically(path, data):
    """Write bytes so that the file is either the old one or the new one.

    Args:
        path: the file; its folder is made.
        data: bytes.

    Raises:
        OSError: the disk is full or not writable; the old file is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if not isinstance(error, OSError):
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


def save_tensors(path, tensors, metadata):
    """Write named arrays and a JSON-ready dictionary as safetensors.

    Args:
        tensors: name -> array. Each is made contiguous first: safetensors
            writes the memory of a strided view as it lies, in wrong order.
        metadata: dictionary; each value is stored as JSON text.
    """
    whole = {name: np.ascontiguousarray(array).reshape(np.shape(array))
             for name, array in tensors.items()}
    text = {key: json.dumps(value) for key, value in metadata.items()}
    data = bytearray(serialise(whole, {**text, "format": FORMAT,
                                       "checksum": BLANK}))
    place = _checksum_place(data)
    data[place] = hashlib.sha256(data).hexdigest().encode()
    write_atomically(path, data)


def load_tensors(path):
    """Read what ``save_tensors`` wrote.

    Returns:
        (tensors, metadata): two dictionaries.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or written by something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such weights file")
    data = path.read_bytes()
    if data.startswith(params_file.MAGIC):
        raise ValueError(
            f"{path} is a .params file of MXNet, which does not say what "
            "network it belongs to: build the network, fill it with "
            "dsod_d2l.params_file.load_params and checkpoints.fill, and save "
            "it with checkpoints.save_weights")
    try:
        header = data[_header(data)].decode("utf-8")
        text = json.loads(header).get("__metadata__", {})
        _check(path, data, text.pop("format", None), text.pop("checksum", 0))
        facts = {key: json.loads(value) for key, value in text.items()}
        tensors = parse(data)
    except _Refused:
        raise
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError,
            RecursionError) as error:
        words = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a readable safetensors file: "
                         f"{words}") from error
    _check_kinds(path, tensors, facts)
    return tensors, facts


def _check_kinds(path, tensors, facts):
    """Raise if something is of a kind that is never written here."""
    for name, kind in KINDS.items():
        if not isinstance(facts.get(name, kind()), kind):
            raise ValueError(f"{path}: expected a {kind.__name__} as its "
                             f"{name}, found {type(facts[name]).__name__}")
    for name, array in tensors.items():
        if array.dtype.name not in NUMBERS:
            raise ValueError(f"{path}: tensor {name!r:.80} holds numbers of "
                             f"the kind {array.dtype}, which MXNet lacks")


class _Refused(ValueError):
    """A readable file that is not as it was written."""


def _check(path, data, form, checksum):
    if form not in (FORMAT, WITHOUT_CHECKSUM):
        raise _Refused(f"{path} was not written by dsod_d2l: its metadata "
                       f"lacks the format {FORMAT!r}")
    if (checksum or form == FORMAT) and checksum != _checksum(data):
        raise _Refused(f"{path} is damaged: its content does not have the "
                       "checksum that was written with it")


def _header(data):
    """Return the slice of a file's bytes that is its header."""
    return slice(8, 8 + int.from_bytes(data[:8], "little"))


def _checksum_place(data):
    """Return the slice of a file's bytes that is the checksum."""
    head = _header(data)
    at = data.find(MARK, head.start, head.stop)
    start = at + len(MARK) if at >= 0 else head.stop
    return slice(start, start + len(BLANK))


def _checksum(data):
    """Return the checksum that a file's bytes ought to hold."""
    place, view = _checksum_place(data), memoryview(data)
    found = hashlib.sha256(view[:place.start])
    found.update(BLANK.encode())
    found.update(view[place.stop:])
    return found.hexdigest()
