"""Cut windows out of a picture, or out of what would lie around it."""

from __future__ import annotations

import cv2
import numpy as np

from .resizing import _sides, _stretch

FILL = (124, 117, 104)    # R, G, B outside the image: the mean of ImageNet
_TWICE = [0, 1, 0, 1]    # x, y -> x, y, x, y


def crop(sample, window, size=None, interpolation=None):
    """Cut a window out of the image, and stretch it to a size.

    An object stays if its centre lies in the window; its box is cut to the
    window. Where the window leaves the image, it is filled with ``FILL``.

    Args:
        sample: Sample.
        window: x0, y0, x1, y1 in whole pixels, x1 and y1 excluded.
        size: (height, width) in pixels, or one number for both; default:
            that of the window.
        interpolation: as in ``resize``.

    >>> from dsod_d2l.datasets import make_sample
    >>> image = np.zeros((100, 200, 3), np.uint8)
    >>> sample = make_sample(image, [[0.25, 0.0, 0.5, 1.0]], [0])
    >>> crop(sample, (0, 0, 100, 80)).boxes.tolist()
    [[0.5, 0.0, 1.0, 1.0]]
    """
    window = np.asarray(window, dtype=int)
    height, width = sample.image.shape[:2]
    seen = np.clip(window, 0, [width, height, width, height])
    if (seen[:2] >= seen[2:]).any():
        raise ValueError("window must have x0 < x1 and y0 < y1 and meet the "
                         f"image, found {window.tolist()}.")
    size = (window[2:] - window[:2])[::-1] if size is None else _sides(size)
    image, window = _cut(sample.image, window, seen, size, interpolation)
    moved, kept = _moved(sample, window)
    return sample._replace(image=image, boxes=moved[kept],
                           labels=sample.labels[kept],
                           difficult=sample.difficult[kept])


def draw_window(sample, rng, scale=(0.5, 1.0), aspect=(0.75, 1.33), keep=1.0,
                tries=20):
    """Draw a window that keeps objects, for ``crop``.

    Args:
        sample: Sample.
        rng: numpy.random.Generator.
        scale: range of the window's side over the image's side; above 1 the
            window is larger than the image, which zooms out.
        aspect: range of the window's width over height, over that of the
            image. Both are drawn evenly in their logarithm.
        keep: least share of the objects whose centres lie in the window; at
            least one always does.
        tries: windows to draw; if none is fit, the whole image is taken.

    Returns:
        int array (4,): x0, y0, x1, y1 in pixels.

    Paper: after SSD, section 2.2 (arXiv:1512.02325), which draws patches
    by their overlap with the objects instead.
    """
    shape = np.array(sample.image.shape[1::-1])                # width, height
    count = len(sample.boxes)
    low, high = np.transpose([_logs("scale", scale), _logs("aspect", aspect)])
    for side, ratio, *place in rng.uniform(size=(tries, 4)):
        side, ratio = np.exp(low + (high - low) * (side, ratio))
        sides = np.rint(shape * (side * ratio**.5, side / ratio**.5))
        sides = np.maximum(sides, 1)
        spare = shape - sides          # below 0 where the window is larger
        start = np.minimum(spare, 0) + np.floor(place * (abs(spare) + 1))
        window = np.concatenate([start, start + sides]).astype(int)
        kept = _moved(sample, window)[1].sum()
        if not count or kept >= max(1, keep * count):
            return window
    return np.concatenate([[0, 0], shape])


def random_crop(sample, rng, size=None, **options):
    """Cut out a random window that keeps objects; options of draw_window."""
    return crop(sample, draw_window(sample, rng, **options), size)


def _logs(name, bounds):
    low, high = bounds
    if not 0 < low <= high < np.inf:
        raise ValueError(f"{name} must be two positive numbers, the smaller "
                         f"first, found {bounds}.")
    return np.log(low), np.log(high)


def _cut(image, window, seen, size, interpolation):
    """Return the stretched window, and where exactly it lies, in pixels."""
    x0, y0, x1, y1 = seen
    if (seen == window).all():
        return _stretch(image[y0:y1, x0:x1], size, interpolation), window
    # Scale what is seen of the image alone, then fill up around it: cheaper
    # than the other way round. Whole pixels of the result move the window by
    # a part of a pixel; the boxes follow.
    scale = size[::-1] / (window[2:] - window[:2])
    place = np.rint((seen - window[_TWICE]) * scale[_TWICE]).astype(int)
    left, top = np.minimum(place[:2], size[::-1] - 1)
    right, bottom = np.maximum(place[2:], (left + 1, top + 1))
    part = _stretch(image[y0:y1, x0:x1], (bottom - top, right - left),
                    interpolation)
    filled = cv2.copyMakeBorder(part, top, size[0] - bottom, left,
                                size[1] - right, cv2.BORDER_CONSTANT,
                                value=FILL)
    scale = np.array([right - left, bottom - top]) / (seen[2:] - seen[:2])
    start = seen[:2] - (left, top) / scale
    return filled, np.concatenate([start, start + size[::-1] / scale])


def _moved(sample, window):
    """Return the boxes in a window, clipped (M, 4), and which stay (M,)."""
    height, width = sample.image.shape[:2]
    corners = sample.boxes * np.array([width, height, width, height])
    sides = window[2:] - window[:2]
    moved = (corners - window[_TWICE]) / sides[_TWICE]
    centre = (moved[:, :2] + moved[:, 2:]) / 2
    moved = np.clip(moved, 0, 1).astype(np.float32)
    # A speck may have no area left in float32.
    kept = ((centre > 0) & (centre < 1)
            & (moved[:, :2] < moved[:, 2:])).all(axis=1)
    return moved, kept
