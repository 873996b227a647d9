"""Transforms of an image and its boxes, for training.

Each takes a Sample and returns a new one; what is drawn comes from ``rng``.
Pixels are handled by OpenCV as uint8 throughout, boxes in NumPy. Cutting and
scaling are one step, and so are all changes of colour: that is what makes a
recipe cost a tenth of a millisecond.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import boxes as box_tools

INTERPOLATIONS = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR,
                  "area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC}
FILL = (124, 117, 104)    # R, G, B outside the image: the mean of ImageNet

# Luma, and the two axes of colour in which a hue is an angle (YIQ).
_YIQ = np.array([[0.299, 0.587, 0.114],
                 [0.596, -0.274, -0.321],
                 [0.211, -0.523, 0.311]])
_RGB = np.linalg.inv(_YIQ)
_GREY = np.tile(_YIQ[0], (3, 1))
_MIDDLE = 127.5


def resize(sample, size, interpolation=None):
    """Stretch the image to a size; boxes are fractions and stay as they are.

    Args:
        sample: Sample.
        size: (height, width) in pixels, or one number for both.
        interpolation: "nearest", "linear", "area" or "cubic". Default: area
            where both sides shrink to a half or less, else linear.
    """
    return sample._replace(image=_stretch(sample.image, size, interpolation))


def mirror(sample):
    """Mirror the image and its boxes, left to right."""
    return sample._replace(image=cv2.flip(sample.image, 1),
                           boxes=box_tools.mirror(sample.boxes))


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
    >>> crop(sample, (0, 0, 100, 50)).boxes.tolist()
    [[0.5, 0.0, 1.0, 1.0]]
    """
    x0, y0, x1, y1 = (int(value) for value in window)
    if x0 >= x1 or y0 >= y1:
        raise ValueError("window must have x0 < x1 and y0 < y1, found "
                         f"{(x0, y0, x1, y1)}.")
    image = _cut(sample.image, x0, y0, x1, y1)
    if size is not None:
        image = _stretch(image, size, interpolation)
    (moved,), (kept,) = _moved(sample, np.array([[x0, y0, x1, y1]]))
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
    height, width = sample.image.shape[:2]
    side = np.exp(rng.uniform(*_logs("scale", scale), (tries, 1)))
    root = np.exp(rng.uniform(*_logs("aspect", aspect), (tries, 1)) / 2)
    sides = np.hstack([side * root, side / root]) * [width, height]
    sides = np.maximum(sides.round().astype(int), 1)           # (tries, 2)
    spare = [width, height] - sides
    start = rng.integers(np.minimum(spare, 0), np.maximum(spare, 0) + 1)
    windows = np.hstack([start, start + sides])                # (tries, 4)
    count = len(sample.boxes)
    if count:
        kept = _moved(sample, windows)[1].sum(axis=1)
        windows = windows[kept >= max(1, keep * count)]
    return windows[0] if len(windows) else np.array([0, 0, width, height])


def random_crop(sample, rng, size=None, **options):
    """Cut out a random window that keeps objects; options of draw_window."""
    return crop(sample, draw_window(sample, rng, **options), size)


def expand(sample, rng, scale=(1.0, 2.0), size=None):
    """Zoom out: place the image somewhere on a larger one of one colour."""
    return random_crop(sample, rng, size, scale=scale, aspect=(1.0, 1.0))


def colour_matrix(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0):
    """Return the (3, 4) matrix that changes the colours of RGB pixels.

    Args:
        brightness: factor of all channels.
        contrast: factor of the distance from mid-grey.
        saturation: factor of the distance from the grey of equal luma.
        hue: angle by which colours turn, as a fraction of the full circle.

    >>> colour_matrix(brightness=1.5)[0].tolist()
    [1.5, 0.0, 0.0, 0.0]
    """
    matrix = np.eye(3)
    if hue:
        cos, sin = np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue)
        matrix = _RGB @ [[1, 0, 0], [0, cos, -sin], [0, sin, cos]] @ _YIQ
    matrix = saturation * matrix + (1 - saturation) * _GREY
    shift = np.full((3, 1), (1 - contrast) * _MIDDLE)
    return brightness * np.hstack([contrast * matrix, shift])


def photometric(sample, rng, brightness=0.125, contrast=0.25, saturation=0.25,
                hue=0.02):
    """Change the colours a little; the boxes stay.

    Args:
        sample: Sample.
        rng: numpy.random.Generator.
        brightness, contrast, saturation: the factor is drawn from 1 minus
            to 1 plus this.
        hue: largest turn, as a fraction of the circle of colours.
    """
    ranges = np.array([brightness, contrast, saturation, hue])
    drawn = rng.uniform(-ranges, ranges) + [1, 1, 1, 0]
    return sample._replace(image=cv2.transform(sample.image,
                                               colour_matrix(*drawn)))


class Compose:
    """Apply transforms one after the other.

    Args:
        steps: callables (sample, rng) -> Sample.
    """

    def __init__(self, steps):
        self.steps = tuple(steps)

    def __call__(self, sample, rng):
        for step in self.steps:
            sample = step(sample, rng)
        return sample


def random_mirror(sample, rng, probability=0.5):
    """Mirror with a probability."""
    return mirror(sample) if rng.uniform() < probability else sample


def plain(sample, size, rng=None):
    """Only bring the image to the network's size; draws nothing."""
    return resize(sample, size)


def light(sample, size, rng):
    """Crop or zoom out a little, mirror, and change colours mildly."""
    sample = random_crop(sample, rng, size, scale=(0.6, 1.3),
                         aspect=(0.8, 1.25), keep=0.5)
    return photometric(random_mirror(sample, rng), rng)


RECIPES = {"none": plain, "light": light}


def _sides(size):
    height, width = (size, size) if np.ndim(size) == 0 else size
    if min(height, width) < 1:
        raise ValueError("size must be at least 1 pixel high and wide, found "
                         f"{size}.")
    return int(height), int(width)


def _logs(name, bounds):
    low, high = bounds
    if not 0 < low <= high < np.inf:
        raise ValueError(f"{name} must be two positive numbers, the smaller "
                         f"first, found {bounds}.")
    return np.log(low), np.log(high)


def _stretch(image, size, interpolation):
    (height, width), (rows, cols) = _sides(size), image.shape[:2]
    if interpolation is None:
        halved = 2 * height <= rows and 2 * width <= cols
        interpolation = "area" if halved else "linear"
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of "
                         f"{', '.join(INTERPOLATIONS)}, found "
                         f"{interpolation!r}.")
    return cv2.resize(image, (width, height),
                      interpolation=INTERPOLATIONS[interpolation])


def _cut(image, x0, y0, x1, y1):
    """Return the window of an image, filled up where it leaves the image."""
    height, width = image.shape[:2]
    left, top = max(-x0, 0), max(-y0, 0)
    right, bottom = max(x1 - width, 0), max(y1 - height, 0)
    inside = image[max(y0, 0):max(y1, 0), max(x0, 0):max(x1, 0)]
    if not (left or top or right or bottom):
        return inside.copy()
    return cv2.copyMakeBorder(inside, top, bottom, left, right,
                              cv2.BORDER_CONSTANT, value=FILL)


def _moved(sample, windows):
    """Return boxes in windows (T, 4): clipped (T, M, 4), and which stay."""
    height, width = sample.image.shape[:2]
    corners = sample.boxes * np.array([width, height, width, height])
    start = np.tile(windows[:, None, :2], 2)                   # (T, 1, 4)
    sides = np.tile(windows[:, None, 2:] - windows[:, None, :2], 2)
    moved = (corners[None] - start) / sides                    # (T, M, 4)
    centre = (moved[..., :2] + moved[..., 2:]) / 2
    moved = np.clip(moved, 0, 1).astype(np.float32)
    kept = ((centre > 0) & (centre < 1)
            & (moved[..., :2] < moved[..., 2:])).all(axis=-1)
    return moved, kept
