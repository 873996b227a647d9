"""Weights files: arrays and facts as safetensors, atomic, with a checksum.

A weights file holds the tensors and, in its metadata, everything needed to
rebuild the network and its preprocessing. Nothing is pickled, so reading a
file runs no code. The checksum, SHA-256, is that of the whole file with zeros
in its own place: it notices a change of the header, of the facts and of the
numbers alike. Files of format 1 have none.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse, save as serialise

from . import config as configs
from .config.base import require
from .files import check_names, one_line, write_atomically

FORMAT, WITHOUT_CHECKSUM = "dsod_d2l 2", "dsod_d2l 1"
BLANK = "0" * 64
FACT_KINDS = {"model": dict, "classes": list}    # where they are there
NUMBERS = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64",
           "bool")
PARAMS_MAGIC = b"\x12\x01\0\0\0\0\0\0"   # MXNet's own files begin with it
# Inside a fact the quotes are escaped: this is found where it belongs only.
CHECKSUM_MARK = b'"checksum":"'


def save_tensors(path: str | Path, tensors: dict, metadata: dict) -> None:
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


def load_tensors(path: str | Path) -> tuple[dict, dict]:
    """Read what ``save_tensors`` wrote.

    Returns:
        (tensors, metadata): two dictionaries.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or written by something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such weights file" + (
            "; a run leaves model.safetensors in its folder"
            if path.is_dir() else ""))
    data = path.read_bytes()
    if data.startswith(PARAMS_MAGIC):
        raise ValueError(
            f"{path} is a .params file of MXNet, which does not say what "
            "network it belongs to: build the network, fill it with "
            "dsod_d2l.workbench.pretrained.params_file.load_params and "
            "dsod_d2l.weights.fill, and save it with save_weights")
    try:
        header = data[_header(data)].decode("utf-8")
        text = json.loads(header).get("__metadata__", {})
        _check(path, data, text.pop("format", None), text.pop("checksum", 0))
        facts = {key: json.loads(value) for key, value in text.items()}
        _say_resize(facts)
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


def _say_resize(facts):
    """Say it in the facts of a file from before networks said it."""
    model, train = facts.get("model"), facts.get("train")
    if isinstance(model, dict) and isinstance(train, dict):
        model.setdefault("resize", "letter-box" if train.get("augment")
                         == "letter-box" else "stretch")


def _check_kinds(path, tensors, facts):
    """Raise if something is of a kind that is never written here."""
    for name, kind in FACT_KINDS.items():
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
    at = data.find(CHECKSUM_MARK, head.start, head.stop)
    start = at + len(CHECKSUM_MARK) if at >= 0 else head.stop
    return slice(start, start + len(BLANK))


def _checksum(data):
    """Return the checksum that a file's bytes ought to hold."""
    place, view = _checksum_place(data), memoryview(data)
    found = hashlib.sha256(view[:place.start])
    found.update(BLANK.encode())
    found.update(view[place.stop:])
    return found.hexdigest()


def parameter_arrays(net: Any) -> dict[str, np.ndarray]:
    """Return the network's numbers by structural name, as NumPy arrays."""
    return {name: parameter.data(parameter.list_ctx()[0]).asnumpy() for
            name, parameter in net._collect_params_with_prefix().items()}


def fill(net: Any, tensors: dict, source: str = "the weights",
         ctx: Any = None) -> None:
    """Copy arrays into a network of exactly the same tensors.

    Args:
        net: a network; it is initialised where it is not yet.
        tensors: structural name -> array.
        source: name for messages.
        ctx: MXNet context for a network that is not initialised.

    Raises:
        ValueError: names the first tensor that is missing, left over, or of
            another shape or kind.
    """
    import mxnet as mx

    from .models import initialise
    wanted = net._collect_params_with_prefix()
    for problem in _misfits(wanted, tensors):
        raise ValueError(f"{source} do not fit {net.config.name}: {problem}")
    initialise(net, ctx)
    for name, parameter in wanted.items():
        parameter.set_data(mx.nd.array(tensors[name]))


def _misfits(wanted, tensors):
    """Yield what is wrong with tensors for these parameters."""
    for name, parameter in wanted.items():
        if name not in tensors:
            yield f"tensor {name} {parameter.shape} is missing"
        elif tensors[name].shape != parameter.shape:
            yield (f"tensor {name} has shape {tensors[name].shape}, expected "
                   f"{parameter.shape}")
        elif tensors[name].dtype.kind != "f":
            yield (f"tensor {name} holds {tensors[name].dtype} numbers, "
                   "expected floating ones")
    for name in tensors:
        if name not in wanted:
            yield f"it has no tensor {name!r:.80} {tensors[name].shape}"


def require_network(net: Any) -> None:
    """Raise a ValueError unless something is a network."""
    require(callable(net) and hasattr(net, "config"), "expected a network, as "
            "build makes it and load_weights reads it, found " + (
                repr(net) if isinstance(net, str) else type(net).__name__))


def save_weights(path: str | Path, net: Any, classes: Sequence[str],
                 **metadata: Any) -> None:
    """Write a network: its numbers, configuration and class names.

    Args:
        path: a .safetensors file.
        net: a ``models.Network``.
        classes: names of its foreground classes.
        metadata: further JSON-ready facts to keep, such as a result.
    """
    require_network(net)
    require(not isinstance(classes, str)
            and len(classes) == net.config.num_classes, "the network has "
            f"{net.config.num_classes} classes, found {classes!r:.80} as the "
            "list of their names")
    save_tensors(path, parameter_arrays(net), {
        "model": net.config.to_dict(), "classes": list(classes), **metadata})


def load_model(path: str | Path, ctx: Any = None) -> tuple[Any, dict]:
    """Rebuild a network from its weights file alone.

    Args:
        path: a file of ``save_weights``.
        ctx: MXNet context, default the CPU.

    Returns:
        (net, metadata): the network, ready to be hybridized; a dictionary
        with "classes" and whatever else was saved.

    Raises:
        FileNotFoundError, ValueError: see ``load_tensors`` and ``fill``.
    """
    import mxnet as mx

    from . import models
    tensors, metadata = load_tensors(path)
    require("model" in metadata and "classes" in metadata, f"{path} holds no "
            "network configuration; a training checkpoint is read with "
            "--resume")
    try:
        net = models.build(configs.from_dict(metadata["model"]))
        names = check_names(metadata["classes"], "the classes")
    except (ValueError, KeyError, TypeError, mx.MXNetError) as error:
        raise ValueError(f"{path} describes no network that can be built: "
                         f"{one_line(str(error).strip())}") from error
    require(len(names) == net.config.num_classes, f"{path} describes a network"
            f" of {net.config.num_classes} classes, but names {len(names)}")
    fill(net, tensors, str(path), ctx or mx.cpu())
    return net, metadata


def load_weights(path: str | Path, ctx: Any = None) -> Any:
    """Return the network of a weights file, with ``classes``, their names.

    Args:
        path: a file of ``save_weights``.
        ctx: MXNet context, default the CPU.

    Returns:
        A ``models.Network``.

    Raises:
        FileNotFoundError, ValueError: see ``load_model``.
    """
    net, metadata = load_model(path, ctx)
    net.classes = tuple(metadata["classes"])
    return net
