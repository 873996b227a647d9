"""Networks, files and detectors: whichever one has, the face takes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..config.base import require
from ..detection import Detector
from ..evaluation import Evaluation, evaluate_dataset
from . import machine


def open_detector(network: Any, classes: Any = None, **options: Any) -> Any:
    """Make a ``Detector`` of a network, or of the file that holds one.

    Args:
        network: what ``detection.Detector`` takes, or the path of a weights
            file, a .safetensors, or of an .onnx that ``export`` has written,
            which needs no MXNet.
        classes: names of the classes; a file has its own, and so has a
            network that was built with names or read from a file.
        options: of ``detection.Detector``; for a file, device as well:
            "cpu", "gpu" or None; for weights, also ctx.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is of
            another kind.
    """
    if not isinstance(network, (str, os.PathLike)):
        classes = classes or getattr(network, "classes", None)
        require(classes, "classes must be given: the network has no names of "
                "its own")
        return Detector(network, classes, **options)
    require(Path(network).suffix.lower() in (".safetensors", ".onnx"),
            f"{network}: expected a file that ends in .safetensors, as "
            "training writes it, or in .onnx, as export does")
    require(classes is None, f"{network} has its own classes: leave them out")
    return detector_of_file(network, **options)


def detector_of_file(path: str | Path, **options: Any) -> Detector:
    """Make a detector of a file; by its ending it is known what runs it.

    Args:
        path: an .onnx, or weights.
        options: see ``open_detector``.
    """
    if Path(path).suffix.lower() == ".onnx":
        from .exporting.onnx_detector import OnnxDetector
        return OnnxDetector(path, **options)
    if "device" in options:
        options["ctx"], _ = machine.device(options.pop("device"))
    return Detector.from_weights(path, **options)


def evaluate(network: Any, dataset: Any, **rules: Any) -> Evaluation:
    """Judge a network on a data set: AP, AP50, AP75 and more, as fractions.

    Args:
        network: a network, the path of its weights file, or a ``Detector``.
        dataset: any data set that has the classes of the network.
        rules: of ``evaluation.evaluate_detections``, such as ``most``.

    Returns:
        ``Evaluation``; the figures of each class are in its ``classes``.

    Raises:
        ValueError: the network and the data set have different classes.
    """
    if isinstance(network, (str, os.PathLike)):
        network = open_detector(network)
    elif not hasattr(network, "detect"):      # it may have names of its own
        network = open_detector(network, getattr(network, "classes", None)
                                or dataset.classes)
    return evaluate_dataset(network, dataset, **rules)
