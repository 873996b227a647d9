"""Build, train, judge and use DSOD, an object detector trained from scratch.

The names below are imported from where they live when they are first used, so
that ``import dsod_d2l`` is quick and quiet, and MXNet stays away until a
network is built.
"""

from __future__ import annotations

import importlib
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
    from .workbench.architecture import draw_architecture
    from .workbench.colab import install as install_packages
    from .workbench.detectors import evaluate, open_detector as Detector
    from .workbench.formats.addresses import open_dataset
    from .workbench.formats.conversion import convert
    from .workbench.machine import describe_machine, device
    from .workbench.pretrained.classifier_weights import (
        adapt, layer_pairs, read_classifier, start_from_classifier)
    from .workbench.recipes import RECIPES, get_recipe
    from .workbench.runs.long_run import run_training as fit
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
    "Detector": "workbench.detectors:open_detector",
    "evaluate": "workbench.detectors",
    "open_dataset": "workbench.formats.addresses",
    "convert": "workbench.formats.conversion",
    "describe_machine": "workbench.machine", "device": "workbench.machine",
    "install_packages": "workbench.colab:install",
    "fit": "workbench.runs.long_run:run_training",
    "draw_architecture": "workbench.architecture",
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
           "convert", "describe_machine", "device", "draw_architecture",
           "evaluate", "evaluate_dataset", "example", "fit", "get_recipe",
           "install_packages", "layer_pairs", "load_model",
           "load_weights", "open_dataset", "read_classifier",
           "render_sample", "save_weights", "split", "start_from_classifier",
           "summarise"]


def _look_after_gpus(folder: Path) -> None:
    """Get ready for the import of MXNet from a folder."""
    importlib.import_module(f"{__name__}.workbench.gpus").look_after(folder)


runtime.prepare(_look_after_gpus)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, inside = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{home}"),
                   inside or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
