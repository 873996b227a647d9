"""Build, train, judge and use DSOD, an object detector trained from scratch.

The names below are imported from where they live when they are first used, so
that ``import dsod_d2l`` is quick and quiet, and MXNet stays away until a
network is built.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import runtime

if TYPE_CHECKING:       # for editors and mypy; a test compares it with _HOMES
    from .config import DetectConfig, TrainConfig
    from .datasets import Sample, example, split
    from .detection import Detections
    from .evaluation import Evaluation, evaluate_dataset
    from .models import build, summarise
    from .weights import load_model, load_weights, save_weights
    from .workbench.formats.addresses import open_dataset
    from .workbench.formats.conversion import convert
    from .workbench.machine import describe_machine
    from .workbench.pretrained.classifier_weights import (
        adapt, layer_pairs, read_classifier, start_from_classifier)
    from .workbench.recipes import RECIPES, get_recipe
    from .workbench.runs.fitting import fit
    from .workbench.standin.picture import render_sample
    from .workbench.standin.rendered import COUNTS, SEED

__version__ = "0.1.0"

_HOMES = {
    "Detections": "detection", "Evaluation": "evaluation",
    "TrainConfig": "config", "DetectConfig": "config",
    "build": "models", "summarise": "models",
    "evaluate_dataset": "evaluation",
    "save_weights": "weights", "load_model": "weights",
    "load_weights": "weights",
    "example": "datasets", "Sample": "datasets", "split": "datasets",
    "open_dataset": "workbench.formats.addresses",
    "convert": "workbench.formats.conversion",
    "describe_machine": "workbench.machine",
    "fit": "workbench.runs.fitting",
    "RECIPES": "workbench.recipes", "get_recipe": "workbench.recipes",
    "render_sample": "workbench.standin.picture",
    "COUNTS": "workbench.standin.rendered",
    "SEED": "workbench.standin.rendered",
    "adapt": "workbench.pretrained.classifier_weights",
    "layer_pairs": "workbench.pretrained.classifier_weights",
    "read_classifier": "workbench.pretrained.classifier_weights",
    "start_from_classifier": "workbench.pretrained.classifier_weights",
}
__all__ = ["COUNTS", "DetectConfig", "Detections", "Detector", "Evaluation",
           "RECIPES", "SEED", "Sample", "TrainConfig", "adapt", "build",
           "convert", "describe_machine", "evaluate", "evaluate_dataset",
           "example", "fit", "get_recipe", "layer_pairs", "load_model",
           "load_weights", "open_dataset", "read_classifier",
           "render_sample", "save_weights", "split", "start_from_classifier",
           "summarise"]

runtime.prepare()


def open_detector(network: Any, classes: Any = None, **options: Any) -> Any:
    """Make a ``Detector`` of a network, or of the file that holds one.

    Args:
        network: what ``detection.Detector`` takes, or the path of a weights
            file, a .safetensors.
        classes: names of the classes; a file has its own.
        options: of ``detection.Detector``; for a file, ctx as well.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is of
            another kind.
    """
    from . import detection
    if not isinstance(network, (str, os.PathLike)):
        return detection.Detector(network, network.config, classes, **options)
    if Path(network).suffix != ".safetensors":
        raise ValueError(f"{network}: expected a file that ends in "
                         ".safetensors, as training writes it")
    if classes is not None:
        raise ValueError(f"{network} has its own classes: leave them out")
    return detection.Detector.from_weights(network, **options)


Detector = open_detector


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
    from .evaluation import evaluate_dataset
    if isinstance(network, (str, os.PathLike)):
        network = open_detector(network)
    elif not hasattr(network, "detect"):      # read from a file, it has names
        network = open_detector(network, getattr(network, "classes",
                                                 dataset.classes))
    return evaluate_dataset(network, dataset, **rules)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, inside = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{home}"),
                   inside or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
