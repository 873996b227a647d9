"""Build, train, judge and use DSOD, an object detector trained from scratch.

The names below are imported from where they live when they are first used, so
that ``import dsod_d2l`` is quick and quiet, and MXNet stays away until a
network is built.
"""

import importlib
from pathlib import Path
from typing import Any

from . import runtime

__version__ = "0.1.0"

# {module: names that live there}, "name=what it is called there"; editors and
# type checkers read __init__.pyi, which a test compares with it.
_ROOMS = {
    "config": "DetectConfig TrainConfig", "datasets": "Sample example split",
    "detection": "Detections", "evaluation": "Evaluation evaluate_dataset",
    "models": "build summarise",
    "weights": "load_model load_weights save_weights",
    "workbench.architecture": "draw_architecture",
    "workbench.colab": "install_packages=install",
    "workbench.detectors": "Detector=open_detector evaluate",
    "workbench.formats.addresses": "open_dataset",
    "workbench.formats.conversion": "convert",
    "workbench.machine": "describe_machine device",
    "workbench.pretrained.classifier_weights":
        "adapt layer_pairs read_classifier start_from_classifier",
    "workbench.recipes": "RECIPES get_recipe",
    "workbench.runs.long_run": "fit=run_training",
    "workbench.standin.picture": "render_sample",
    "workbench.standin.rendered": "COUNTS SEED"}
# {name: (module, its name there)}
_HOMES = {name.partition("=")[0]: (room, name.rpartition("=")[2])
          for room, names in _ROOMS.items() for name in names.split()}
__all__ = sorted(_HOMES)


def _look_after_gpus(folder: Path) -> None:
    """Get ready for the import of MXNet from a folder."""
    importlib.import_module(f"{__name__}.workbench.gpus").look_after(folder)


runtime.prepare(_look_after_gpus)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, inside = _HOMES[name]
    return getattr(importlib.import_module(f"{__name__}.{home}"), inside)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
