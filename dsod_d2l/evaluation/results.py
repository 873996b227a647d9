"""The results: figures of a data set and of each class."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

NAN = float("nan")            # one object: results are compared in tests
STYLES = ("AP", "AP50", "AP75", "voc07", "voc12")
# What needs the size of the images in pixels, and recalls.
BY_SIZE = ("AP_small", "AP_medium", "AP_large")
RECALLS = ("AR1", "AR10", "AR", "AR_small", "AR_medium", "AR_large")
FIGURES = (*STYLES, *BY_SIZE, *RECALLS)


@dataclass(frozen=True)
class Figures:
    """What is measured, as fractions; nan where there are no objects.

    AP: COCO, the mean over the IoU thresholds .50, .55 to .95.
    AP50, AP75: COCO at one threshold.
    voc07, voc12: VOC at IoU .5, 11-point and all-point.
    AP_small, AP_medium, AP_large: AP of objects below 32 x 32 pixels, from
        there to 96 x 96, and above; nan where sizes are not known.
    AR1, AR10, AR: highest recall with 1, 10 and all detections that count
        in each image and class, the mean over the IoU thresholds.
    AR_small, AR_medium, AR_large: AR by size.
    """

    AP: float
    AP50: float
    AP75: float
    voc07: float
    voc12: float
    AP_small: float = NAN
    AP_medium: float = NAN
    AP_large: float = NAN
    AR1: float = NAN
    AR10: float = NAN
    AR: float = NAN
    AR_small: float = NAN
    AR_medium: float = NAN
    AR_large: float = NAN

    def to_dict(self):
        """Return a JSON-ready dictionary; nan becomes None."""
        return _plain(asdict(self))


@dataclass(frozen=True, kw_only=True)
class ClassResult(Figures):
    """The results for one class.

    label, objects, detections: the class, and how many there are.
    """

    label: int
    objects: int
    detections: int


@dataclass(frozen=True, kw_only=True)
class Evaluation(Figures):
    """The results for a data set: means over the classes that have objects.

    images, objects: how many were looked at, difficult objects and crowds
        apart.
    classes: one ``ClassResult`` per class.
    """

    images: int
    objects: int
    classes: tuple[ClassResult, ...]


def mean_of(values):
    """Return the mean of the values that are not nan, or nan."""
    there = [value for value in values if value == value]
    return float(np.mean(there)) if there else NAN


def _plain(value):
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if value != value else value
