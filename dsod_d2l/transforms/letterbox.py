"""Letter-box: fit a picture into another shape without distorting it."""

from __future__ import annotations

import cv2
import numpy as np

from .cropping import _TWICE, FILL, _moved
from .resizing import _sides, _stretch


def letter_box_frame(shape, size):
    """Return where a picture lies in its letter-box.

    Args:
        shape: of the picture, height and width first.
        size: (height, width) of the letter-box, or one number for both.

    Returns:
        int array (4,): left, top, right, bottom in pixels of the letter-box.

    >>> letter_box_frame((100, 200), 300).tolist()
    [0, 75, 300, 225]
    """
    outer, sides = _sides(size)[::-1], np.array([shape[1], shape[0]])
    inner = np.maximum(np.rint(sides * (outer / sides).min()), 1)
    start = (outer - inner) // 2
    return np.concatenate([start, start + inner]).astype(int)


def letter_box(sample, size, interpolation=None):
    """Scale both sides by the same factor, and fill up with ``FILL``.

    Args:
        sample: Sample.
        size: (height, width) in pixels, or one number for both.
        interpolation: as in ``resize``.
    """
    left, top, right, bottom = letter_box_frame(sample.image.shape, size)
    rows, columns = _sides(size)
    inner = _stretch(sample.image, (bottom - top, right - left),
                     interpolation)
    image = cv2.copyMakeBorder(inner, top, rows - bottom, left,
                               columns - right, cv2.BORDER_CONSTANT,
                               value=FILL)
    window = _seen_by_box(sample.image.shape, size)
    boxes, kept = _moved(sample, window)
    return sample._replace(image=image, boxes=boxes[kept],
                           labels=sample.labels[kept],
                           difficult=sample.difficult[kept])


def undo_letter_box(boxes, shape, size):
    """Return boxes in the letter-box as boxes in the picture.

    Args:
        boxes: (M, 4) corner boxes, fractions of the letter-box.
        shape: of the picture, height and width first.
        size: (height, width) of the letter-box, or one number for both.

    Returns:
        float32 (M, 4), fractions of the picture, cut to it: a box that lies
        in the filling alone has no area.

    >>> undo_letter_box([[0.5, 0.25, 1.0, 0.5]], (100, 200), 300).tolist()
    [[0.5, 0.0, 1.0, 0.5]]
    """
    window = _seen_by_box(shape, size)
    sides = (window[2:] - window[:2])[_TWICE]
    pixels = np.reshape(boxes, (-1, 4)) * sides + window[_TWICE]
    return np.clip(pixels / np.array(shape[1::-1])[_TWICE], 0, 1).astype(
        np.float32)


def _seen_by_box(shape, size):
    """Return the whole letter-box as a window, in pixels of the picture."""
    frame = letter_box_frame(shape, size)
    scale = (frame[2:] - frame[:2]) / shape[1::-1]
    start = -frame[:2] / scale
    return np.concatenate([start, start + _sides(size)[::-1] / scale])
