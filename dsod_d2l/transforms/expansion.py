"""Zoom out: a picture somewhere on a larger canvas of one colour."""

from __future__ import annotations

import numpy as np

from .cropping import crop


def draw_expansion(shape, rng, ratio=(1.0, 4.0)):
    """Draw a canvas around a picture, as a window for ``crop``.

    Args:
        shape: of the image, height and width first.
        rng: numpy.random.Generator.
        ratio: range of the canvas's sides over the picture's; both sides
            grow by the same one.

    Returns:
        int array (4,): x0, y0, x1, y1 in pixels; x0 and y0 are at most 0.

    Raises:
        ValueError: the canvas could be smaller than the picture.
    """
    low, high = ratio
    if not 1 <= low <= high < np.inf:
        raise ValueError("ratio must be two numbers from 1 on, the smaller "
                         f"first, found {ratio}.")
    sides = np.array([shape[1], shape[0]])
    canvas = np.floor(sides * rng.uniform(low, high))
    start = -np.floor(rng.uniform(size=2) * (canvas - sides + 1))
    return np.concatenate([start, start + canvas]).astype(int)


def expand(sample, rng, ratio=(1.0, 4.0), probability=1.0, size=None):
    """Place the picture somewhere on a larger one, filled with the mean.

    Paper: after SSD, section 3.6 (arXiv:1512.02325), "zoom out".
    """
    if rng.uniform() >= probability:
        window = (0, 0, sample.image.shape[1], sample.image.shape[0])
    else:
        window = draw_expansion(sample.image.shape, rng, ratio)
    return crop(sample, window, size)
