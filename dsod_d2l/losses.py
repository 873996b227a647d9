"""Losses: how wrong the class scores and the offsets are.

Everything is written with the operators of ``F``, so it runs inside a
hybridized network. A class of -1, or an anchor that mining leaves out,
counts for nothing; an image without objects gives a finite loss and a
finite gradient.
"""

from typing import Any

from mxnet.gluon import HybridBlock

from .config import TrainConfig


def cross_entropy(F: Any, scores: Any, classes: Any) -> Any:
    """Return -ln of the probability of the given class.

    Args:
        F: ``mx.nd`` or ``mx.sym``.
        scores: (B, N, K + 1), before the softmax; any finite size is safe.
        classes: (B, N) class indices; what is returned for -1 is that of
            class 0, to be masked by the caller.

    Returns:
        (B, N) array.
    """
    return -F.pick(F.log_softmax(scores, axis=-1), F.relu(classes), axis=-1)


def focal_loss(F: Any, scores: Any, classes: Any, alpha: float = 0.25,
               gamma: float = 2.0) -> Any:
    """Return the focal loss of every anchor.

    Args:
        F: ``mx.nd`` or ``mx.sym``.
        scores: (B, N, K + 1), before the softmax; any finite size is safe.
        classes: (B, N) class indices; -1 counts for nothing.
        alpha: weight of objects; background weighs 1 - alpha.
        gamma: how strongly anchors that are already right are played down.

    Returns:
        (B, N) array.

    Paper: Focal Loss, equation 5 (arXiv:1708.02002), with the softmax in
    place of the sigmoid.
    """
    nats = cross_entropy(F, scores, classes)
    # 1 - p by expm1: exact where p is near 1, and its gradient is finite.
    miss = F.maximum(-F.expm1(-nats), 1e-12)
    weight = F.where(classes > 0, F.ones_like(nats) * alpha,
                     F.ones_like(nats) * (1 - alpha))
    return weight * miss ** gamma * nats * (classes >= 0)


def smooth_l1(F: Any, offsets: Any, wanted: Any, positive: Any) -> Any:
    """Return the smooth L1 loss of every anchor, summed over its offsets.

    Args:
        F: ``mx.nd`` or ``mx.sym``.
        offsets: (B, N, 4), predicted.
        wanted: (B, N, 4), targets.
        positive: (B, N), 1 where the anchor has an object, else 0.

    Returns:
        (B, N) array: x * x / 2 where |x| < 1, else |x| - 1 / 2.

    Paper: Fast R-CNN, equation 3 (arXiv:1504.08083).
    """
    return F.sum(F.smooth_l1(offsets - wanted, scalar=1.0), axis=-1) * positive


def hard_negatives(F: Any, nats: Any, classes: Any, positive: Any,
                   ratio: float = 3.0) -> Any:
    """Choose the worst-judged background anchors of each image.

    Args:
        F: ``mx.nd`` or ``mx.sym``.
        nats: (B, N) cross-entropy of every anchor.
        classes: (B, N); only anchors of class 0 are chosen from.
        positive: (B, N), 1 where the anchor has an object, else 0.
        ratio: negatives per positive.

    Returns:
        (B, N) array, 1 for each chosen anchor. An image without objects
        gets none.

    Paper: SSD, section 2.2 (arXiv:1512.02325).
    """
    difficulty = F.where(classes == 0, nats, F.zeros_like(nats) - 1)
    order = F.argsort(difficulty, axis=1, is_ascend=False)
    rank = F.argsort(order, axis=1, is_ascend=True)
    wanted = ratio * F.sum(positive, axis=1, keepdims=True)
    return F.broadcast_lesser(rank, wanted) * (classes == 0)


class DetectionLoss(HybridBlock):
    """The loss of a batch: classification and localisation.

    Args:
        classification: "softmax" with hard-negative mining, or "focal".
        negative_ratio: see ``hard_negatives``.

    Returns (forward):
        (classification, localisation): two arrays (1,), both sums divided
        by the number of positive anchors in the batch, or by 1 if there is
        none.

    Paper: SSD, equation 1 (arXiv:1512.02325); DSOD, section 3.3.
    """

    def __init__(self, classification: str = "softmax",
                 negative_ratio: float = 3.0):
        super().__init__()
        self.classification = classification
        self.negative_ratio = negative_ratio

    def each(self, F: Any, scores: Any, offsets: Any, classes: Any,
             wanted: Any) -> tuple:
        """Return both losses of every anchor, before they are added up."""
        boxes = smooth_l1(F, offsets, wanted, classes > 0)
        if self.classification == "focal":
            return focal_loss(F, scores, classes), boxes
        nats, positive = cross_entropy(F, scores, classes), classes > 0
        negative = hard_negatives(F, F.BlockGrad(nats), classes, positive,
                                  self.negative_ratio)
        return nats * (positive + negative), boxes

    def hybrid_forward(self, F: Any, scores: Any, offsets: Any, classes: Any,
                       wanted: Any) -> tuple:
        """Return the classification and the localisation loss."""
        count = F.maximum(F.sum(classes > 0), 1)
        return tuple(F.broadcast_div(F.sum(part), count) for part in
                     self.each(F, scores, offsets, classes, wanted))


class ChosenLoss(DetectionLoss):
    """``DetectionLoss`` with all that a ``TrainConfig`` may choose.

    Args:
        settings: ``TrainConfig``.
        weights: (K + 1,), how much the anchors of each class count in the
            classification, background first; None: all alike. What is
            mined, and what the sums are divided by, stays.

    Returns (forward):
        As ``DetectionLoss``; with the normalisation "per_anchor" the mean
        over all anchors, and over all offsets, zero where there is no object.
    """

    def __init__(self, settings: TrainConfig, weights: Any = None):
        super().__init__(settings.classification, settings.negative_ratio)
        self.settings, self.weights = settings, weights

    def each(self, F: Any, scores: Any, offsets: Any, classes: Any,
             wanted: Any) -> tuple:
        """See ``DetectionLoss.each``."""
        arrays = [scores, offsets, classes, wanted]
        if self.settings.mining == "batch":          # as if of one image
            arrays = scores, offsets, classes, wanted = [
                F.expand_dims(F.reshape(one, (-3, -2)), 0) for one in arrays]
        nats, boxes = super().each(F, *arrays)
        if self.classification == "even_focal":
            nats = focal_loss(F, scores, classes, 0.5) / 2
        if self.weights is not None:
            nats = nats * sum(float(weight) * (F.relu(classes) == number)
                              for number, weight in enumerate(self.weights))
        if self.settings.localisation == "l1":
            boxes = F.sum(F.abs(offsets - wanted), axis=-1) * (classes > 0)
        return nats, boxes

    def hybrid_forward(self, F: Any, scores: Any, offsets: Any, classes: Any,
                       wanted: Any) -> tuple:
        """Return the classification and the localisation loss."""
        arrays = scores, offsets, classes, wanted
        if self.settings.normalisation == "per_positive":
            return super().hybrid_forward(F, *arrays)
        nats, boxes = self.each(F, *arrays)
        return F.mean(nats), F.mean(boxes) / 4
