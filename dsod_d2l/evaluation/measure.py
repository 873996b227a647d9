"""From detections and objects to average precision."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..config.base import require
from ..detection import Detections, Detector
from . import tables
from .matching import IOU_THRESHOLDS, average_precision, precision_recall
from .tables import Found, Truth, Wanted, area_of, make_tables, places, rows_of

NAN = float("nan")            # one object: results are compared in tests
AP_STYLES = ("AP", "AP50", "AP75", "voc07", "voc12")
# What needs the size of the images in pixels, and recalls.
BY_SIZE = ("AP_small", "AP_medium", "AP_large")
RECALLS = ("AR1", "AR10", "AR", "AR_small", "AR_medium", "AR_large")
FIGURES = (*AP_STYLES, *BY_SIZE, *RECALLS)


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

    def to_dict(self) -> dict:
        """Return a JSON-ready dictionary; nan becomes None."""
        return json.loads(json.dumps(asdict(self)),
                          parse_constant=lambda nan: None)


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


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of the values that are not nan, or nan."""
    there = [value for value in values if value == value]
    return float(np.mean(there)) if there else NAN


# COCO's ranges of area in pixels; both ends belong to a range.
SIZES = ((0, 1e10), (0, 32 ** 2), (32 ** 2, 96 ** 2), (96 ** 2, 1e10))


def evaluate_detections(detections: Iterable[Detections], truths: Iterable,
                        num_classes: int, most: int = 100,
                        strict: bool = False) -> Evaluation:
    """Compare the detections of a data set with its objects.

    Args:
        detections: one ``Detections`` per image, boxes as fractions.
        truths: one ``Truth`` per image, or a tuple of boxes, labels and
            difficult; a label of -1 is padding.
        num_classes: number of foreground classes.
        most: detections per image and class that count, best first.
        strict: whether VOC asks for an IoU above .5, as its own program
            does, rather than of at least .5.
            Of a box it counts the last pixel, whose number its files state;
            here boxes are edges, and that pixel lies within.

    Returns:
        ``Evaluation``. Figures by size where every truth tells the size of
        its image.

    Raises:
        ValueError: the numbers of images differ, or an image has a label
            out of range or a score that is not a number.
    """
    truths = list(truths)
    found, wanted, sized = make_tables(detections, truths, num_classes, most)
    judged = _judge(found, wanted, num_classes, SIZES if sized else SIZES[:1],
                    voc=np.nextafter(0.5, 1) if strict else 0.5)
    classes = tuple(_one_class(judged, label) for label in range(num_classes))
    return Evaluation(images=len(truths), classes=classes,
                      objects=sum(row.objects for row in classes),
                      **{name: mean_of(getattr(row, name) for row in classes)
                         for name in FIGURES})


def ap_table(detections: Iterable[Detections], truths: Iterable,
             num_classes: int, thresholds: Any = IOU_THRESHOLDS,
             sizes: Any = SIZES[:1], most: int = 100) -> np.ndarray:
    """Return COCO's AP at any IoU, of objects of any area.

    Args:
        detections, truths, num_classes, most: see ``evaluate_detections``.
        thresholds: (T,) least IoU.
        sizes: (A, 2) least and most area of an object, in pixels where every
            truth tells the size of its image, else in fractions of it.

    Returns:
        (K, A, T) array; nan where a class has no object of such an area.

    Raises:
        ValueError: see ``evaluate_detections``.
    """
    found, wanted, _ = make_tables(detections, truths, num_classes, most)
    judged = _judge(found, wanted, num_classes, sizes, thresholds)
    return np.array([_areas(judged, label) for label in range(num_classes)])


def evaluate_dataset(detector: Detector, dataset: Any, most: int = 100,
                     **rules: bool) -> Evaluation:
    """Run a detector on a data set and compare what it finds.

    Classes are the same by their names, see ``class_numbers``; the figures
    are in the order of the detector's.

    Args:
        detector: ``detection.Detector``.
        dataset: any data set; its images are read a batch at a time.
        most, rules: see ``evaluate_detections``.

    Returns:
        ``Evaluation``.

    Raises:
        ValueError: the detector and the data set have different classes.
    """
    detections, truths = run_detector(detector, dataset)
    return evaluate_detections(detections, truths, len(detector.classes),
                               most, **rules)


def run_detector(detector: Detector, dataset: Any
                 ) -> tuple[list[Detections], list[Truth]]:
    """Return what a detector finds in a data set, and what there is.

    Args:
        detector, dataset: see ``evaluate_dataset``.

    Returns:
        (detections, truths): a ``Detections`` and a ``Truth`` per image,
        the labels of both being those of the detector.
    """
    require(hasattr(detector, "detect") and hasattr(dataset, "classes"),
            f"expected a Detector and a data set, found "
            f"{type(detector).__name__} and {type(dataset).__name__}: "
            "evaluate takes networks, files and addresses, too")
    numbers = class_numbers(detector.classes, dataset.classes)
    ids = getattr(dataset, "image_ids", None)
    detections, truths = [], []
    for start in range(0, len(dataset), detector.batch_size):
        stop = min(start + detector.batch_size, len(dataset))
        samples = [dataset[index] for index in range(start, stop)]
        found = detector.detect([one.image for one in samples])
        # All the pictures of a data set may not fit into memory.
        detections += [replace(one, picture=None, image_id=(
            ids and ids.get(dataset.entry(index).name)))
            for index, one in enumerate(found, start)]
        truths += [Truth.of(one) for one in samples]
    if list(numbers) != list(range(len(detector.classes))):
        truths = [one._replace(labels=np.append(numbers, -1)[one.labels])
                  for one in truths]
    return detections, truths


def class_numbers(known: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return the number that each class of a data set has in a detector.

    Args:
        known: names of the detector's classes.
        names: those of the data set, which may lack some. Where either are
            no names but "class 0", "class 1", ..., numbers stay what they
            are.

    Returns:
        (K,) int64.

    Raises:
        ValueError: the detector does not know a class.

    >>> class_numbers(("red", "white", "blue"), ("blue", "red", "white"))
    array([2, 0, 1])
    """
    plain = [f"class {k}" for k in range(len(known))]
    if len(names) == len(known) and plain in (list(known), list(names)):
        return np.arange(len(known))
    other = [name for name in names if name not in known]
    if other:
        both = ",".join(name for name in names if name in known)
        raise ValueError(
            f"the detector knows {len(known)} classes ({', '.join(known)}), "
            f"the data set has {len(names)} ({', '.join(names)}); rename="
            f"{other[0]}:NAME{both and f' or only={both}'} behind the name of "
            "the data set changes what it has")
    return np.array([list(known).index(name) for name in names])


class _Judged(NamedTuple):
    """The tables with what was decided; A ranges of area, T thresholds."""

    found: Found
    wanted: Wanted
    right: np.ndarray       # (D, A, T)
    ignored: np.ndarray     # (D, A, T)
    voc: np.ndarray         # (2, D): right, ignored
    counts: np.ndarray      # (M, A): objects that are asked for
    place: np.ndarray       # (D,): among those of its image and class


def _judge(found, wanted, num_classes, sizes, thresholds=IOU_THRESHOLDS,
           voc=0.5):
    """Return ``_Judged``; voc is the least IoU of VOC."""
    pairs, by_voc = [], np.zeros((2, len(found.image)), dtype=bool)
    for label in range(num_classes):
        mine, theirs = _slice(found, label), _slice(wanted, label)
        parts = rows_of(found, mine), rows_of(wanted, theirs)
        near = tables.all_pairs(*parts, crowds=True)
        keep = near.overlaps >= np.min(thresholds)
        pairs.append((near.found[keep] + mine.start,
                      near.wanted[keep] + theirs.start, near.overlaps[keep]))
        by_voc[:, mine] = tables.voc(*parts, voc)
    out = _outside(wanted.areas, sizes) | (wanted.difficult
                                           | wanted.crowd)[:, None]
    pairs = tables.CandidatePairs(*map(np.concatenate, zip(*pairs)))
    got, right = tables.coco(pairs, found, wanted, out, thresholds)
    ignored = np.where(got, ~right,
                       _outside(area_of(found.boxes), sizes)[..., None])
    return _Judged(found, wanted, right, ignored, by_voc, ~out,
                   places(found.labels, found.image))


def _slice(table, label):
    """Return the slice of one class."""
    return slice(*np.searchsorted(table.labels, [label, label + 1]))


def _outside(areas, sizes):
    """Return (rows, A) bool, True where an area is out of a range."""
    low, high = np.array(sizes, dtype=float).T
    return (areas[:, None] < low) | (areas[:, None] > high)


def _of_class(judged, label):
    """Return rows, best first, and objects of each area, of one class."""
    rows = np.arange(len(judged.place))[_slice(judged.found, label)]
    order = np.argsort(-judged.found.scores[rows], kind="stable")
    return rows[order], judged.counts[_slice(judged.wanted, label)].sum(axis=0)


def _areas(judged, label):
    """Return AP of one class, a list of each area with one of each IoU."""
    rows, objects = _of_class(judged, label)
    scores, right, ignored = (judged.found.scores[rows], judged.right[rows],
                              judged.ignored[rows])
    return [[average_precision(*_curve(scores, right[:, a, t],
                                       ignored[:, a, t], count))
             if count else NAN for t in range(right.shape[2])]
            for a, count in enumerate(objects)]


def _one_class(judged, label):
    """Return the ``ClassResult`` of one class."""
    rows, objects = _of_class(judged, label)
    scores, areas = judged.found.scores[rows], _areas(judged, label)
    figures = dict.fromkeys(FIGURES, NAN)
    if objects[0]:
        voc = _curve(scores, *judged.voc[:, rows], objects[0])
        figures.update(zip(AP_STYLES, (
            mean_of(areas[0]), areas[0][0], areas[0][5],
            average_precision(*voc, style="voc07"),
            average_precision(*voc, style="area"))))
    figures.update(zip(BY_SIZE, [mean_of(row) for row in areas[1:]]))
    figures.update(_recalls(judged.right[rows], objects, judged.place[rows]))
    return ClassResult(label=label, objects=int(objects[0]),
                       detections=len(scores), **figures)


def _curve(scores, right, ignored, objects):
    """Return the ``Curve`` of what counts."""
    return precision_recall(scores[~ignored], right[~ignored], objects)


def _recalls(right, objects, place):
    """Return the highest recalls by name."""
    values = [right[place < most, 0].sum(axis=0) / max(objects[0], 1)
              for most in (1, 10)]
    values += list(right.sum(axis=0) / np.maximum(objects, 1)[:, None])
    there = [objects[0]] * 2 + list(objects)
    return {name: float(value.mean()) if count else NAN
            for name, value, count in zip(RECALLS, values, there)}
