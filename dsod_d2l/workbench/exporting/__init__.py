"""Networks that leave MXNet: as ONNX files, and detectors made of these.

Here is what such a file says of itself: it is read and judged before any of
it is run, so that a damaged or hostile one makes no more than a sentence.
"""

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from ...config import DetectConfig, ModelConfig, from_dict
from ...config.base import require
from ...files import check_names, one_line

ONNX_FORMAT, CHECKSUM, OPSET = "dsod_d2l onnx 1", "checksum", 13
MOST_BYTES = 1 << 31          # of any message of Protocol Buffers


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


def require_package(name: str, purpose: str) -> Any:
    """Return a package; if there is none, say what it is for.

    Args:
        name: of the package, and of the command that installs it.
        purpose: what needs it, the beginning of a sentence.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{purpose} needs {name}, which is not installed: "
                         f"pip install {name}") from error


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
    data, onnx = path.read_bytes(), require_package("onnx", f"reading {path}")
    try:
        model = onnx.load_model_from_string(data)
        text = {row.key: row.value for row in model.metadata_props}
    except Exception as error:      # DecodeError, which protobuf hides
        raise ValueError(f"{path} is no whole ONNX file: "
                         f"{one_line(str(error))}") from error
    require(text.get("format") == ONNX_FORMAT, f"{path} was not written by "
            f"dsod_d2l: its metadata lack the format {ONNX_FORMAT!r}; export "
            "--weights W writes such a file")
    opsets = [(row.domain, row.version) for row in model.opset_import]
    said = ", ".join(f"{name or 'opset'} {number}" for name, number in opsets)
    require(opsets == [("", OPSET)], f"{path} needs the operators of "
            f"{one_line(said[:200]) or 'no opset'}, expected opset {OPSET} of "
            "ONNX alone, as export writes it")
    require(text.get(CHECKSUM) == graph_digest(model), f"{path} is damaged: "
            "its graph does not have the checksum that was written with it")
    require(not any(one.data_location or one.external_data
                    for one in model.graph.initializer), f"{path} keeps "
            "numbers in another file, which export never does")
    try:
        return _facts(data, text)
    except Exception as error:      # hostile metadata fail in a dozen ways
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


def graph_digest(model: Any) -> str:
    """Return the checksum of the graph of an ``onnx.ModelProto``."""
    return hashlib.sha256(model.graph.SerializeToString(
        deterministic=True)).hexdigest()
