"""The sample: one image with its objects, as every data set hands it out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One image and its objects.

    image: uint8 (H, W, 3), red, green, blue.
    boxes: float32 (M, 4) corner boxes in fractions of the image.
    labels: int64 (M,) class indices from 0.
    difficult: bool (M,), objects that an evaluation does not ask for.
    source: where it came from, for messages.
    crowd: bool (M,), boxes around many objects at once, or None for none.
        They are not trained on, and what is found inside them is not judged.
    areas: float64 (M,) pixels that the objects cover, nan where only the box
        is known, or None; COCO's sizes are judged by them.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    source: str = "an image"
    crowd: np.ndarray | None = None
    areas: np.ndarray | None = None


def make_sample(image, boxes, labels, difficult=None, source="an image"):
    """Return a Sample with arrays of the promised types.

    Args:
        image: uint8 (H, W, 3) RGB.
        boxes: M rows of xmin, ymin, xmax, ymax; M may be 0.
        labels: M class indices.
        difficult: M flags, default all False.
        source: name for messages.
    """
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.asarray(labels, dtype=np.int64).reshape(-1)
    if difficult is None:
        difficult = np.zeros(len(labels), dtype=bool)
    return Sample(image, boxes, labels, np.asarray(difficult, dtype=bool),
                  source)


def without_crowds(sample):
    """Return the sample with the objects that can be learnt, no crowds.

    >>> crowd = np.array([True, False])
    >>> image = np.zeros((2, 3, 3), np.uint8)
    >>> sample = make_sample(image, [[0, 0, 1, 1], [0, 0, .5, 1]], [4, 5])
    >>> without_crowds(sample._replace(crowd=crowd)).labels.tolist()
    [5]
    """
    sample = sample._replace(areas=None)
    if sample.crowd is None:
        return sample
    kept = ~sample.crowd
    return sample._replace(boxes=sample.boxes[kept], crowd=None,
                           labels=sample.labels[kept],
                           difficult=sample.difficult[kept])
