"""Networks, files and detectors: whichever one has, the face takes it."""

import os
from pathlib import Path
from typing import Any

from ..config import NAMED
from ..config.base import require
from ..detection import Detector
from ..evaluation import Evaluation, evaluate_dataset
from ..weights import require_network
from . import machine
from .exporting.onnx_detector import OnnxDetector
from .formats.addresses import take_dataset
from .formats.choices import matched
from .suppression import SuppressingDetector


def open_detector(network: Any, classes: Any = None, **options: Any) -> Any:
    """Make a ``Detector`` of a network, or of the file that holds one.

    Args:
        network: the path of a weights file, a .safetensors, or of an .onnx
            that ``export`` has written, which needs no MXNet; or a network;
            or any function from a batch (B, 3, height, width) of normalised
            images to class scores and offsets, then with ``config``.
        classes: names of the classes; a file has its own, and so has a
            network that was built with names or read from a file.
        options: of ``detection.Detector``; suppression, a
            ``suppression.SuppressionConfig``; and for a file, device: "cpu",
            "gpu" or None; for weights, also ctx; for an .onnx, also runtime:
            "onnxruntime", "openvino" or "openvino-bfloat16".

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is of
            another kind.
    """
    if not isinstance(network, (str, os.PathLike)):
        classes = classes or getattr(network, "classes", None)
        require(classes, "classes must be given: the network has no names of "
                "its own")
        kind = SuppressingDetector if "suppression" in options else Detector
        return kind(network, classes, **options)
    require(Path(network).suffix.lower() in (".safetensors", ".onnx"),
            f"{network}: expected a file that ends in .safetensors, as "
            "training writes it, or in .onnx, as export does" + (
                f"; build({str(network)!r}, classes) makes the network of "
                "this name, untrained" if str(network) in NAMED else ""))
    require(classes is None, f"{network} has its own classes: leave them out")
    return detector_of_file(network, **options)


def is_onnx(path: Any) -> bool:
    """Tell whether what stands for a network is the name of an ONNX file."""
    return Path(path or "").suffix.lower() == ".onnx"


def detector_of_file(path: str | Path, **options: Any) -> Detector:
    """Make a detector of a file; by its ending it is known what runs it.

    Args:
        path: an .onnx, or weights.
        options: see ``open_detector``.
    """
    if is_onnx(path):
        return OnnxDetector(path, **options)
    require(not options.pop("runtime", None), "--runtime goes with a file "
            f"that export has written, an .onnx, found {path}")
    if "device" in options:
        options["ctx"] = machine.asked_device(options.pop("device"))
    kind = SuppressingDetector if "suppression" in options else Detector
    return kind.from_weights(path, **options)


def evaluate(network: Any, dataset: Any, **rules: Any) -> Evaluation:
    """Judge a network on a data set: AP, AP50, AP75 and more, as fractions.

    Args:
        network: a network, the path of its weights file, or a ``Detector``.
        dataset: any data set, or its address; its classes are matched by
            name, see ``formats.choices.matched``.
        rules: of ``evaluation.evaluate_detections``, such as ``most``.

    Returns:
        ``Evaluation``; the figures of each class are in its ``classes``.

    Raises:
        ValueError: the data set has objects of a class that the network
            does not know.
    """
    dataset = take_dataset(dataset)
    if isinstance(network, (str, os.PathLike)):
        network = open_detector(network)
    elif not hasattr(network, "detect"):      # it may have names of its own
        require_network(network)
        network = open_detector(network, getattr(network, "classes", None)
                                or dataset.classes)
    return evaluate_dataset(network, matched(dataset, network.classes),
                            **rules)
