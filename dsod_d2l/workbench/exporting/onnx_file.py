"""What an ONNX file says of itself, read and judged before it is run.

ONNX is a message of Protocol Buffers. Its outermost fields are read here, of
which a damaged or hostile file can make no more than a sentence; onnx itself
is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...config import DetectConfig, ModelConfig, from_dict
from ...config.base import require
from ...files import check_names, one_line

ONNX_FORMAT, CHECKSUM, OPSET = "dsod_d2l onnx 1", "checksum", 13
MOST_BYTES = 1 << 31          # of any message of Protocol Buffers
# Numbers of fields: of ModelProto, and of what they hold.
GRAPH, OPSET_IMPORT, METADATA = 7, 8, 14
TENSOR, EXTERNAL = 5, 14      # of GraphProto and of TensorProto


class OnnxFacts(NamedTuple):
    """What a file that ``export_onnx`` has written says.

    data: its bytes.
    classes: names of the foreground classes.
    config: ``ModelConfig`` of its network.
    detect_config: ``DetectConfig`` that holds where nothing else is said.
    batch: number of images that it takes at once; None: any.
    """

    data: bytes
    classes: tuple[str, ...]
    config: ModelConfig
    detect_config: DetectConfig
    batch: int | None


def read_facts(path: str | Path) -> OnnxFacts:
    """Read and judge an ONNX file; nothing of it is run.

    Args:
        path: a file of ``export_onnx``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, not from here, a bare network, or its
            metadata describe no detector.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such ONNX file; "
                                "export --weights W --out F.onnx writes one")
    require(path.stat().st_size < MOST_BYTES, f"{path}: expected an ONNX file"
            f" below {MOST_BYTES} bytes, found {path.stat().st_size}")
    data = path.read_bytes()
    try:
        text, opsets, graph = _outermost(data)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no whole ONNX file: "
                         f"{one_line(str(error))}") from error
    require(text.get("format") == ONNX_FORMAT, f"{path} was not written by "
            f"dsod_d2l: its metadata lack the format {ONNX_FORMAT!r}; export "
            "--weights W writes such a file")
    require(opsets == {"": OPSET}, f"{path} needs the operators of "
            f"{_shown(opsets)}, expected opset {OPSET} of ONNX alone, as "
            "export writes it")
    require(text.get(CHECKSUM) == _digest(graph), f"{path} is damaged: its "
            "graph does not have the checksum that was written with it")
    require(not _is_external(graph), f"{path} keeps numbers in another file,"
            " which export never does")
    try:
        return _facts(data, text)
    except (ValueError, KeyError, TypeError, AttributeError,
            RecursionError) as error:
        raise ValueError(f"{path} describes no detector that can be run: "
                         f"{one_line(str(error).strip())}") from error


def _facts(data, text):
    facts = {key: json.loads(value) for key, value in text.items()
             if key not in ("format", CHECKSUM)}
    require(facts.get("kind") == "detector", "it is a bare network, of which "
            "no detections come: export it without --raw")
    config = from_dict(facts["model"])
    names = check_names(facts["classes"], "the classes")
    require(len(names) == config.num_classes, "it is a network of "
            f"{config.num_classes} classes, but names {len(names)}")
    batch = facts["batch"]
    require(batch is None or (type(batch) is int and batch >= 1),
            f"batch must be a number of at least 1, found {batch!r:.80}")
    return OnnxFacts(data, tuple(names), config,
                     DetectConfig(**facts["detect"]), batch)


def graph_digest(data: bytes) -> str:
    """Return the checksum of the graph in an ONNX file's bytes."""
    return _digest(_outermost(data)[2])


def _digest(graph):
    return hashlib.sha256(graph).hexdigest()


def _outermost(data):
    """Return metadata, {domain: opset} and the graph's bytes of a file."""
    text, opsets, graph = {}, {}, None
    for number, value in fields(memoryview(data)):
        if number == GRAPH:
            require(graph is None, "it has two graphs")
            graph = _message(value)
        elif number == OPSET_IMPORT:
            row = dict(fields(_message(value)))
            opsets[bytes(row.get(1, b"")).decode()] = row.get(2, 0)
        elif number == METADATA:
            row = dict(fields(_message(value)))
            text[bytes(row.get(1, b"")).decode()] = bytes(
                row.get(2, b"")).decode()
    require(graph is not None, "it has no graph")
    return text, opsets, graph


def _message(value):
    require(isinstance(value, memoryview), "a part of it is a mere number")
    return value


def _is_external(graph):
    """Tell whether a graph leaves the numbers of a tensor to other files."""
    return any(inner == EXTERNAL and flag for number, value in fields(graph)
               if number == TENSOR for inner, flag in fields(_message(value)))


def _shown(opsets):
    """Return domains and versions in words."""
    words = [f"{domain or 'opset'} {version}"
             for domain, version in opsets.items()]
    return one_line(", ".join(words)[:200]) or "no opset"


def fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of the fields of a message.

    Args:
        data: the message, in the wire format of Protocol Buffers.

    Raises:
        ValueError: it ends within a field, or holds something unknown.

    >>> list(fields(memoryview(bytes([8, 150, 1]))))
    [(1, 150)]
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, at = _varint(data, at)
        else:
            require(kind in (1, 2, 5), f"it holds a field of the kind {kind}")
            length = {1: 8, 5: 4}.get(kind)
            if length is None:
                length, at = _varint(data, at)
            require(length <= len(data) - at, "it ends too early")
            value, at = data[at:at + length], at + length
        yield tag >> 3, value


def _varint(data, at):
    """Return a number of 7 bits a byte, and where it ends."""
    number = 0
    for place in range(10):
        require(at < len(data), "it ends too early")
        number |= (data[at] & 127) << 7 * place
        at += 1
        if data[at - 1] < 128:
            return number, at
    raise ValueError("it holds a number of more than 64 bits")
