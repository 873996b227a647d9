"""Other ways to deal with boxes that overlap than each class on its own.

``detection.nms`` drops what overlaps a better box of its class. Here are one
that looks at all classes together, for objects of which each is of one class
only, and one that lowers scores instead of dropping boxes, for objects that
hide each other.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..boxes import iou
from ..config import DetectConfig
from ..config.base import Checked, Positive
from ..detection import Detections, Detector, best_first, nms


@dataclass(frozen=True, kw_only=True)
class SuppressionConfig(Checked):
    """What a box does to those that it overlaps and that are less likely.

    nms_kind: drop what overlaps a better box of its class, or of any class
        ("agnostic"); or drop nothing and lower the scores of those of its
        class ("soft")
    soft_decay: what soft-NMS multiplies a score by, exp(-IoU^2 / sigma), or 1
        - IoU where that is above the threshold ("linear")
    sigma: of the gaussian; the larger, the less scores are lowered
    """

    nms_kind: Literal["per-class", "agnostic", "soft"] = "per-class"
    soft_decay: Literal["gaussian", "linear"] = "gaussian"
    sigma: Positive = 0.5


def soft_scores(boxes: np.ndarray, scores: np.ndarray,
                decay: str = "gaussian", sigma: float = 0.5,
                threshold: float = 0.45) -> np.ndarray:
    """Lower the score of every box by its overlaps with better ones.

    The best box lowers the others, then the best of these what is left, and
    so on.

    Args:
        boxes: (N, 4) corner boxes, all of one class.
        scores: (N,) scores; of equal ones the first in the array is better.
        decay, sigma: see ``SuppressionConfig``.
        threshold: IoU up to which the linear decay leaves a box alone.

    Returns:
        (N,) float64 scores.

    Paper: Soft-NMS, section 3 (arXiv:1704.04503).

    >>> boxes = np.array([[0, 0, 1, 1], [0, 0, 1, .5]])
    >>> soft_scores(boxes, np.array([.5, .8]), "linear").tolist()
    [0.25, 0.8]
    """
    scores = np.array(scores, dtype=float)
    overlaps = iou(boxes, boxes)
    factors = (np.exp(-overlaps ** 2 / sigma) if decay == "gaussian"
               else np.where(overlaps > threshold, 1 - overlaps, 1))
    left = np.ones(len(scores), dtype=bool)
    for _ in range(len(scores)):
        best = np.where(left, scores, -1).argmax()
        left[best] = False
        scores[left] *= factors[best, left]
    return scores


def suppress(found: Detections, settings: DetectConfig,
             how: SuppressionConfig) -> Detections:
    """Thin out detections of which none has been suppressed yet.

    Args:
        found: the candidates of all classes, best first.
        settings: what is kept.
        how: "agnostic" or "soft".

    Returns:
        ``Detections``, best first.
    """
    if how.nms_kind == "agnostic":
        return found[nms(found.boxes, found.scores,
                         settings.nms_threshold)[:settings.keep]]
    scores = np.array(found.scores, dtype=float)
    for label in np.unique(found.labels):
        rows = found.labels == label
        scores[rows] = soft_scores(found.boxes[rows], scores[rows],
                                   how.soft_decay, how.sigma,
                                   settings.nms_threshold)
    best = best_first(scores, settings.keep)
    best = best[scores[best] >= settings.score_threshold]
    return replace(found, scores=scores.astype(np.float32))[best]


def all_candidates(settings: DetectConfig, classes: int) -> DetectConfig:
    """Return settings by which all candidates come through.

    Args:
        settings: of what is kept in the end.
        classes: number of classes.
    """
    return replace(settings, nms_threshold=1.0,     # no overlap is above 1
                   keep=settings.candidates * classes)


class SuppressingDetector(Detector):
    """A detector that thins out what it finds in another way.

    Args:
        net, classes, options: of ``Detector``.
        suppression: ``SuppressionConfig``.
    """

    def __init__(self, net: Any, classes: Any,
                 suppression: SuppressionConfig, **options: Any):
        super().__init__(net, classes, **options)
        self.suppression = suppression
        self._all = Detector(net, classes, config=self.config,
                             detect_config=all_candidates(
                                 self.detect_config, len(classes)))

    def detect_batch(self, batch: np.ndarray) -> list[Detections]:
        """Return a list of ``Detections`` for images from ``to_batch``."""
        if self.suppression.nms_kind == "per-class":
            return super().detect_batch(batch)
        return [suppress(found, self.detect_config, self.suppression)
                for found in self._all.detect_batch(batch)]
