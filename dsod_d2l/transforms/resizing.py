"""Bring a picture to another size; the boxes, as fractions, stay."""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from ..datasets.sample import Sample

INTERPOLATIONS = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR,
                  "area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC,
                  "lanczos": cv2.INTER_LANCZOS4}


def resize(sample: Sample, size: Any, interpolation: str | None = None
           ) -> Sample:
    """Stretch the image to a size; boxes are fractions and stay as they are.

    Args:
        sample: Sample.
        size: (height, width) in pixels, or one number for both.
        interpolation: "nearest", "linear", "area" or "cubic". Default: area
            where both sides shrink to a half or less, else linear.
    """
    return sample._replace(image=stretch(sample.image, size, interpolation))


def height_width(size: Any) -> np.ndarray:
    """Return (height, width) in pixels of a size, one number or two."""
    height, width = (size, size) if np.ndim(size) == 0 else size
    if min(height, width) < 1:
        raise ValueError("size must be at least 1 pixel high and wide, found "
                         f"{size}.")
    return np.array([height, width], dtype=int)


def stretch(image: np.ndarray, size: Any, interpolation: str | None
            ) -> np.ndarray:
    """Return the image in another size; see ``resize``."""
    (height, width), (rows, cols) = height_width(size), image.shape[:2]
    if interpolation is None:
        halved = 2 * height <= rows and 2 * width <= cols
        interpolation = "area" if halved else "linear"
    if interpolation not in INTERPOLATIONS:
        raise ValueError("interpolation must be one of "
                         f"{', '.join(INTERPOLATIONS)}, found "
                         f"{interpolation!r}.")
    return cv2.resize(image, (width, height),
                      interpolation=INTERPOLATIONS[interpolation])


def random_resize(sample: Sample, rng: Generator, size: Any) -> Sample:
    """Stretch the image, with one of the interpolations at random."""
    return resize(sample, size, rng.choice(list(INTERPOLATIONS)))
