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
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    source: str = "an image"


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
