"""Evaluation: how good detections are, as average precision (AP).

Two ways to match detections with objects, both best score first, both with
IoU >= threshold and no pixel added to any side:

- COCO: a detection takes the object it overlaps most among those still free.
- VOC: a detection asks for the object it overlaps most, and is wrong if a
  better one has taken it.

A difficult object is not asked for, and who finds it is neither right nor
wrong. A class without objects has no AP (nan) and is left out of means.
"""

from .curves import Curve, average_precision, precision_recall
from .matching import IOU_THRESHOLDS, match_coco, match_voc
from .report import (ClassResult, Evaluation, Truth, evaluate_dataset,
                     evaluate_detections)
from .run import evaluate_dataset

__all__ = ["ClassResult", "Curve", "Evaluation", "IOU_THRESHOLDS", "Truth",
           "average_precision", "evaluate_dataset", "evaluate_detections", "match_coco",
           "match_voc", "precision_recall"]
