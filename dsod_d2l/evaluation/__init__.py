"""Evaluation: how good detections are, as average precision (AP)."""

from .matching import RECALL_POINTS, Curve, average_precision, precision_recall
from .measure import (AP_STYLES, FIGURES, SIZES, ClassResult, Evaluation,
                      ap_table, class_numbers, evaluate_dataset,
                      evaluate_detections, run_detector)
from .tables import Truth

__all__ = ["AP_STYLES", "ClassResult", "Curve", "Evaluation", "FIGURES",
           "RECALL_POINTS", "SIZES", "Truth", "ap_table", "average_precision",
           "class_numbers", "evaluate_dataset", "evaluate_detections",
           "precision_recall", "run_detector"]
