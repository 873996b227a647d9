"""Evaluation: how good detections are, as average precision (AP).

Detections are judged class by class and image by image (see ``judging``),
then all of a class are put in the order of their scores. A class without
objects has no AP (nan) and is left out of means.
"""

from .curve import (RECALL_POINTS, Curve, average_precision,
                    precision_recall)
from .errors import (NAMES, Mistakes, best_threshold, cost_of_mistakes,
                     count_mistakes, find_mistakes, worst_images)
from .measure import (SIZES, class_numbers, evaluate_dataset,
                      evaluate_detections, run_detector)
from .results import FIGURES, STYLES, ClassResult, Evaluation
from .tables import Truth

__all__ = ["ClassResult", "Curve", "Evaluation", "FIGURES", "Mistakes",
           "NAMES", "RECALL_POINTS", "SIZES", "STYLES", "Truth",
           "average_precision", "best_threshold", "class_numbers",
           "cost_of_mistakes", "count_mistakes", "evaluate_dataset",
           "evaluate_detections", "find_mistakes", "precision_recall",
           "run_detector", "worst_images"]
