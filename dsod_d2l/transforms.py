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
_TWICE = [0, 1, 0, 1]    # x, y -> x, y, x, y


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


def shifted(sample, size, rng, reach=0.125):
    """Move by whole pixels: nothing is mirrored, and no pixel interpolated.

    For boxes that are exact, or drawn with a habit that a mirror would turn
    round. The centres of all objects stay in the picture.
    """
    sample, (height, width) = resize(sample, size), _sides(size)
    sides = np.array([width, height])
    limit = (reach * sides).astype(int)
    centres = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2 * sides
    high = np.floor(centres.min(axis=0, initial=np.inf) - 1)
    low = np.ceil(centres.max(axis=0, initial=-np.inf) + 1 - sides)
    x, y = rng.integers(np.clip(low, -limit, 0), np.clip(high, 0, limit) + 1)
    return crop(sample, (x, y, x + width, y + height))


RECIPES = {"none": plain, "light": light, "shifted": shifted}


def _sides(size):
    height, width = (size, size) if np.ndim(size) == 0 else size
    if min(height, width) < 1:
        raise ValueError("size must be at least 1 pixel high and wide, found "
                         f"{size}.")
    return np.array([height, width], dtype=int)


def _logs(name, bounds):
    low, high = bounds
    if not 0 < low <= high < np.inf:
        raise ValueError(f"{name} must be two positive numbers, the smaller "
                         f"first, found {bounds}.")
    return np.log(low), np.log(high)


def _stretch(image, size, interpolation):
    (height, width), (rows, cols) = _sides(size).tolist(), image.shape[:2]
    if interpolation is None:
        halved = 2 * height <= rows and 2 * width <= cols
        interpolation = "area" if halved else "linear"
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of "
                         f"{', '.join(INTERPOLATIONS)}, found "
                         f"{interpolation!r}.")
    return cv2.resize(image, (width, height),
                      interpolation=INTERPOLATIONS[interpolation])


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
