"""Build, train, judge and use DSOD, an object detector trained from scratch.

The names below are imported from where they live when they are first used, so
that ``import dsod_d2l`` is quick and quiet, and MXNet stays away until a
network is built.
"""

import importlib
import os

from . import runtime

__version__ = "0.1.0"

_HOMES = {
    "Detections": "detection",
    "TrainConfig": "config", "DetectConfig": "config",
    "build": "models", "evaluate_dataset": "evaluation",
    "save_weights": "weights", "load_model": "weights",
    "example": "datasets",
    "open_dataset": "workbench.formats.addresses",
    "fit": "workbench.runs.long_run:run_training",
    "RECIPES": "workbench.recipes", "get_recipe": "workbench.recipes",
    "render_sample": "workbench.standin.picture",
    "COUNTS": "workbench.standin.rendered",
    "SEED": "workbench.standin.rendered",
    "adapt": "workbench.pretrained.classifier_weights",
    "layer_pairs": "workbench.pretrained.classifier_weights",
    "read_classifier": "workbench.pretrained.classifier_weights",
    "start_from_classifier": "workbench.pretrained.classifier_weights",
}

runtime.prepare()


def open_detector(network, *classes, **options):
    """Make a ``Detector`` of a network, or of the file that holds one.

    Args:
        network: what ``detection.Detector`` takes; or the path of a weights
            file, which has the classes in it.
        classes, options: as for ``detection.Detector``; for a file, ctx is
            an option as well.
    """
    from .detection import Detector
    is_file = isinstance(network, (str, os.PathLike))
    make = Detector.from_weights if is_file else Detector
    return make(network, *classes, **options)


def __getattr__(name):
    if name == "Detector":
        return open_detector
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, inside = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{home}"),
                   inside or name)


def __dir__():
    return sorted({*globals(), *_HOMES, "Detector"})
