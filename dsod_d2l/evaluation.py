"""Evaluation: how good detections are, as average precision (AP).

Detections are judged class by class and image by image (see ``judging``),
then all of a class are put in the order of their scores. A class without
objects has no AP (nan) and is left out of means.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from .boxes import iou
from .judging import IOU_THRESHOLDS, match_coco, match_voc

STYLES = ("AP", "AP50", "AP75", "voc07", "voc12")
# Exact tenths, so that a recall of 3 / 10 reaches 0.3; COCO's hundredths
# are those of its own evaluator, rounding included.
RECALL_POINTS = {"voc07": np.arange(11) / 10,
                 "coco": np.linspace(0, 1, 101)}


class Curve(NamedTuple):
    """Recall and precision after each detection, best score first."""

    recall: np.ndarray
    precision: np.ndarray


def precision_recall(scores, correct, objects):
    """Return the precision-recall curve of one class.

    Args:
        scores: (D,) scores of the detections of all images.
        correct: (D,) bool, True where a detection found its object.
        objects: number of objects that were to be found, at least 1.

    Returns:
        ``Curve`` of two (D,) arrays; equal scores keep their order.

    >>> curve = precision_recall(np.array([0.7, 0.9]), [True, False], 4)
    >>> curve.recall.tolist(), curve.precision.tolist()
    ([0.0, 0.25], [0.0, 0.5])
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    right = np.cumsum(np.asarray(correct)[order])
    return Curve(right / objects, right / np.arange(1, len(order) + 1))


def average_precision(recall, precision, style="coco"):
    """Return the area under a precision-recall curve, as a fraction.

    Every style first lets the precision at a recall be the best one at that
    recall or a higher one.

    Args:
        recall: (D,) array that never falls.
        precision: (D,) array.
        style: "voc07", mean at the 11 recalls 0, .1 to 1; "area", under all
            points (VOC since 2010); "coco", mean at 101 recalls.

    Raises:
        ValueError: there is no such style.

    >>> recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1, .5, .5])
    >>> average_precision(recall, precision, "area")
    0.75
    >>> round(average_precision(recall, precision, "voc07"), 4)  # 6 + 5 / 2
    0.7727
    """
    best = np.maximum.accumulate(np.append(precision, 0)[::-1])[::-1]
    if style == "area":
        return float((np.diff(recall, prepend=0) * best[:-1]).sum())
    if style not in RECALL_POINTS:
        raise ValueError("style must be one of area, "
                         f"{', '.join(RECALL_POINTS)}, found {style!r}")
    at = np.searchsorted(recall, RECALL_POINTS[style], side="left")
    return float(best[at].mean())


class Truth(NamedTuple):
    """The objects of one image: boxes (M, 4), labels, difficult (M,)."""

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray | None = None


@dataclass(frozen=True)
class ClassResult:
    """The results for one class; nan where it has no objects."""

    label: int
    objects: int
    detections: int
    AP: float
    AP50: float
    AP75: float
    voc07: float
    voc12: float


@dataclass(frozen=True)
class Evaluation:
    """The results for a data set, as fractions.

    AP: COCO, the mean over the IoU thresholds .50, .55 to .95.
    AP50, AP75: COCO at one threshold.
    voc07, voc12: VOC at IoU .5, 11-point and all-point.
    images, objects: how many were looked at, difficult objects apart.
    classes: one ``ClassResult`` per class.
    """

    AP: float
    AP50: float
    AP75: float
    voc07: float
    voc12: float
    images: int
    objects: int
    classes: tuple[ClassResult, ...]

    def to_dict(self):
        """Return a JSON-ready dictionary; nan becomes None."""
        def plain(value):
            if isinstance(value, (list, tuple)):
                return [plain(item) for item in value]
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            return None if value != value else value
        return plain(asdict(self))


def evaluate_detections(detections, truths, num_classes, most=100):
    """Compare the detections of a data set with its objects.

    Args:
        detections: one ``Detections`` per image.
        truths: one ``Truth`` per image, or a tuple of boxes, labels and
            difficult; a label of -1 is padding.
        num_classes: number of foreground classes.
        most: detections per image and class that count, best first.

    Returns:
        ``Evaluation``.

    Raises:
        ValueError: the numbers of images differ, or an image has a label
            out of range or a score that is not a number.
    """
    detections, truths = list(detections), list(truths)
    if len(detections) != len(truths):
        raise ValueError(f"expected detections for {len(truths)} images, "
                         f"found {len(detections)}")
    if not truths:
        raise ValueError("expected at least one image, found none")
    objects = np.zeros(num_classes, dtype=int)
    judged = []
    for image, (found, truth) in enumerate(zip(detections, truths)):
        truth = _without_padding(*truth)
        _check_image(image, found, truth, num_classes)
        judged.append(_judge(*map(np.asarray, found), truth, most))
        objects += np.bincount(truth.labels[~truth.difficult],
                               minlength=num_classes)
    table = [np.concatenate(column) for column in zip(*judged)]
    return _summarise(table, objects, len(truths))


def evaluate_dataset(detector, dataset, most=100):
    """Run a detector on a data set and compare what it finds.

    Args:
        detector: ``detection.Detector``.
        dataset: any data set; its images are read a batch at a time.
        most: see ``evaluate_detections``.

    Returns:
        ``Evaluation``.

    Raises:
        ValueError: the detector and the data set differ in their number of
            classes.
    """
    if len(detector.classes) != len(dataset.classes):
        raise ValueError(f"the detector knows {len(detector.classes)} classes "
                         f"({', '.join(detector.classes)}), the data set has "
                         f"{len(dataset.classes)} "
                         f"({', '.join(dataset.classes)})")
    detections, truths = [], []
    for start in range(0, len(dataset), detector.batch_size):
        stop = min(start + detector.batch_size, len(dataset))
        samples = [dataset[index] for index in range(start, stop)]
        detections += detector.detect([one.image for one in samples])
        truths += [Truth(one.boxes, one.labels, one.difficult)
                   for one in samples]
    return evaluate_detections(detections, truths, len(dataset.classes), most)


def _without_padding(boxes, labels, difficult=None):
    labels = np.asarray(labels, dtype=int).reshape(-1)
    if difficult is None:
        difficult = np.zeros(len(labels))
    real = labels != -1
    return Truth(np.reshape(boxes, (-1, 4))[real], labels[real],
                 np.asarray(difficult, dtype=bool)[real])


def _check_image(image, found, truth, num_classes):
    for name, labels in (("detections", np.asarray(found.labels)),
                         ("objects", truth.labels)):
        bad = labels[(labels < 0) | (labels >= num_classes)]
        if len(bad):
            raise ValueError(f"{name} of image {image}: expected labels 0 to "
                             f"{num_classes - 1}, found {bad[0]}")
    if np.isnan(found.scores).any():
        raise ValueError(f"detections of image {image}: a score is nan")


def _judge(labels, scores, boxes, truth, most):
    """Match the detections of one image, class by class.

    Returns their labels, scores, and two bool tables (D, T + 1), correct and
    ignored: a column for each COCO threshold, the last one for VOC.
    """
    order = _most_of_each(labels, scores, most)
    labels, scores, boxes = labels[order], scores[order], boxes[order]
    shape = len(labels), len(IOU_THRESHOLDS) + 1
    correct, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    for label in np.unique(truth.labels):
        rows = np.flatnonzero(labels == label)
        mine = np.flatnonzero(truth.labels == label)
        if len(rows):
            overlaps = iou(boxes[rows].astype(float), truth.boxes[mine])
            coco = match_coco(overlaps, truth.difficult[mine])
            voc = match_voc(overlaps, truth.difficult[mine])
            correct[rows] = np.vstack([coco[0], voc[0]]).T
            ignored[rows] = np.vstack([coco[1], voc[1]]).T
    return labels, scores, correct, ignored


def _most_of_each(labels, scores, most):
    """Return the order by score, cut to the best of each class."""
    order = np.argsort(-scores, kind="stable")
    if len(order) <= most:
        return order
    return np.concatenate([order[labels[order] == label][:most]
                           for label in np.unique(labels)])


def _summarise(table, objects, images):
    """Return the Evaluation; objects holds a count for each class."""
    classes = []
    for label, count in enumerate(objects):
        rows = np.flatnonzero(table[0] == label)
        scores, correct, ignored = (column[rows] for column in table[1:])
        classes.append(ClassResult(label, int(count), len(rows),
                                   *_styles(scores, correct, ignored, count)))
    means = {}
    for name in STYLES:
        values = [getattr(row, name) for row in classes if row.objects]
        means[name] = float(np.mean(values)) if values else float("nan")
    return Evaluation(**means, images=images, objects=int(objects.sum()),
                      classes=tuple(classes))


def _styles(scores, correct, ignored, objects):
    """Return AP, AP50, AP75, voc07 and voc12 of one class."""
    if not objects:
        return [float("nan")] * len(STYLES)
    curves = [precision_recall(scores[~out], right[~out], objects)
              for right, out in zip(correct.T, ignored.T)]
    coco = [average_precision(*curve) for curve in curves[:-1]]
    return [float(np.mean(coco)), coco[0], coco[5],
            average_precision(*curves[-1], style="voc07"),
            average_precision(*curves[-1], style="area")]
