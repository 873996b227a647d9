"""Networks, files and detectors: whichever one has, the face takes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..config import NAMED
from ..config.base import require
from ..detection import Detector
from ..evaluation import Evaluation, evaluate_dataset
from ..weights import require_network
from .formats.addresses import open_dataset
from .formats.choices import matched
from .suppression import SuppressingDetector


def open_detector(network: Any, classes: Any = None, **options: Any) -> Any:
    """Make a ``Detector`` of a network, or of the file that holds one.

    Args:
        network: the path of a weights file, a .safetensors; or a network;
            or any function from a batch (B, 3, height, width) of normalised
            images to class scores and offsets, then with ``config``.
        classes: names of the classes; a file has its own, and so has a
            network that was built with names or read from a file.
        options: of ``detection.Detector``; for a file, ctx as well; and
            suppression, a ``suppression.SuppressionConfig``.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is of
            another kind.
    """
    kind = SuppressingDetector if "suppression" in options else Detector
    if not isinstance(network, (str, os.PathLike)):
        classes = classes or getattr(network, "classes", None)
        require(classes, "classes must be given: the network has no names of "
                "its own")
        return kind(network, classes, **options)
    require(Path(network).suffix == ".safetensors", f"{network}: expected a "
            "file that ends in .safetensors, as training writes it" + (
                f"; build({str(network)!r}, classes) makes the network of "
                "this name, untrained" if str(network) in NAMED else ""))
    require(classes is None, f"{network} has its own classes: leave them out")
    return kind.from_weights(network, **options)


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


def take_dataset(dataset: Any) -> Any:
    """Return a data set, opened where its address is given.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(dataset, (str, os.PathLike)):
        return open_dataset(str(dataset))
    require(hasattr(dataset, "classes") and hasattr(dataset, "__len__"),
            "expected a data set, or its address such as voc:FOLDER, found "
            f"{type(dataset).__name__}")
    return dataset
