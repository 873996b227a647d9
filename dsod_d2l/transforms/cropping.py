"""Cut windows out of a picture, or out of what would lie around it.

Crops, letter-boxes, expansion and SSD's patches.
"""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from ..boxes import iou
from ..datasets.sample import Sample
from .resizing import height_width, stretch

FILL = (124, 117, 104)    # R, G, B outside the image: the mean of ImageNet
XYXY = [0, 1, 0, 1]    # x, y -> x, y, x, y
Range = tuple[float, float]


def crop(sample: Sample, window: Any, size: Any = None,
         interpolation: str | None = None) -> Sample:
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
    size = height_width((window[2:] - window[:2])[::-1] if size is None
                        else size)
    image, window = cut_out(sample.image, window, seen, size, interpolation)
    moved, kept = boxes_in_window(sample, window)
    return sample._replace(image=image, boxes=moved).keep(kept)


def draw_window(sample: Sample, rng: Generator, scale: Range = (0.5, 1.0),
                aspect: Range = (0.75, 1.33), keep: float = 1.0,
                tries: int = 20) -> np.ndarray:
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
    low, high = np.transpose([log_range("scale", scale),
                              log_range("aspect", aspect)])
    for side, ratio, *place in rng.uniform(size=(tries, 4)):
        side, ratio = np.exp(low + (high - low) * (side, ratio))
        sides = np.rint(shape * (side * ratio**.5, side / ratio**.5))
        sides = np.maximum(sides, 1)
        spare = shape - sides          # below 0 where the window is larger
        start = np.minimum(spare, 0) + np.floor(place * (abs(spare) + 1))
        window = np.concatenate([start, start + sides]).astype(int)
        kept = boxes_in_window(sample, window)[1].sum()
        if not count or kept >= max(1, keep * count):
            return window
    return np.concatenate([[0, 0], shape])


def random_crop(sample: Sample, rng: Generator, size: Any = None,
                **options: Any) -> Sample:
    """Cut out a random window that keeps objects; options of draw_window."""
    return crop(sample, draw_window(sample, rng, **options), size)


def log_range(name: str, bounds: Range) -> Range:
    """Return the logarithms of the two ends of a range."""
    low, high = bounds
    if not 0 < low <= high < np.inf:
        raise ValueError(f"{name} must be two positive numbers, the smaller "
                         f"first, found {bounds}.")
    return np.log(low), np.log(high)


def cut_out(image: np.ndarray, window: np.ndarray, seen: np.ndarray,
            size: np.ndarray, interpolation: str | None
            ) -> tuple[np.ndarray, np.ndarray]:
    """Return the stretched window, and where exactly it lies, in pixels."""
    x0, y0, x1, y1 = seen
    if (seen == window).all():
        return stretch(image[y0:y1, x0:x1], size, interpolation), window
    # Scale what is seen of the image alone, then fill up around it: cheaper
    # than the other way round. Whole pixels of the result move the window by
    # a part of a pixel; the boxes follow.
    scale = size[::-1] / (window[2:] - window[:2])
    place = np.rint((seen - window[XYXY]) * scale[XYXY]).astype(int)
    left, top = np.minimum(place[:2], size[::-1] - 1)
    right, bottom = np.maximum(place[2:], (left + 1, top + 1))
    part = stretch(image[y0:y1, x0:x1], (bottom - top, right - left),
                   interpolation)
    filled = cv2.copyMakeBorder(part, top, size[0] - bottom, left,
                                size[1] - right, cv2.BORDER_CONSTANT,
                                value=FILL)
    scale = np.array([right - left, bottom - top]) / (seen[2:] - seen[:2])
    start = seen[:2] - (left, top) / scale
    return filled, np.concatenate([start, start + size[::-1] / scale])


def boxes_in_window(sample: Sample, window: np.ndarray
                    ) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes in a window, clipped (M, 4), and which stay (M,)."""
    height, width = sample.image.shape[:2]
    corners = sample.boxes * np.array([width, height, width, height])
    sides = window[2:] - window[:2]
    moved = (corners - window[XYXY]) / sides[XYXY]
    centre = (moved[:, :2] + moved[:, 2:]) / 2
    moved = np.clip(moved, 0, 1).astype(np.float32)
    # A speck may have no area left in float32.
    kept = ((centre > 0) & (centre < 1)
            & (moved[:, :2] < moved[:, 2:])).all(axis=1)
    return moved, kept


def letter_box_frame(shape: tuple[int, ...], size: Any) -> np.ndarray:
    """Return where a picture lies in its letter-box.

    Args:
        shape: of the picture, height and width first.
        size: (height, width) of the letter-box, or one number for both.

    Returns:
        int array (4,): left, top, right, bottom in pixels of the letter-box.

    >>> letter_box_frame((100, 200), 300).tolist()
    [0, 75, 300, 225]
    """
    outer, sides = height_width(size)[::-1], np.array([shape[1], shape[0]])
    inner = np.maximum(np.rint(sides * (outer / sides).min()), 1)
    start = (outer - inner) // 2
    return np.concatenate([start, start + inner]).astype(int)


def letter_box(sample: Sample, size: Any,
               interpolation: str | None = None) -> Sample:
    """Scale both sides by the same factor, and fill up with ``FILL``.

    Args:
        sample: Sample.
        size: (height, width) in pixels, or one number for both.
        interpolation: as in ``resize``.
    """
    window = letter_box_window(sample.image.shape, size)
    seen = np.array([0, 0, *sample.image.shape[1::-1]])
    image, window = cut_out(sample.image, window, seen, height_width(size),
                            interpolation)
    moved, kept = boxes_in_window(sample, window)
    return sample._replace(image=image, boxes=moved).keep(kept)


def undo_letter_box(boxes: Any, shape: tuple[int, ...], size: Any
                    ) -> np.ndarray:
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
    window = letter_box_window(shape, size)
    sides = (window[2:] - window[:2])[XYXY]
    pixels = np.reshape(boxes, (-1, 4)) * sides + window[XYXY]
    return np.clip(pixels / np.array(shape[1::-1])[XYXY], 0, 1).astype(
        np.float32)


def letter_box_window(shape: tuple[int, ...], size: Any) -> np.ndarray:
    """Return the whole letter-box as a window, in pixels of the picture."""
    frame = letter_box_frame(shape, size)
    scale = (frame[2:] - frame[:2]) / shape[1::-1]
    start = -frame[:2] / scale
    return np.concatenate([start, start + height_width(size)[::-1] / scale])


def draw_expansion(shape: tuple[int, ...], rng: Generator,
                   ratio: Range = (1.0, 4.0)) -> np.ndarray:
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


def expand(sample: Sample, rng: Generator, ratio: Range = (1.0, 4.0),
           probability: float = 1.0, size: Any = None) -> Sample:
    """Place the picture somewhere on a larger one, filled with the mean.

    Paper: after SSD, section 3.6 (arXiv:1512.02325), "zoom out".
    """
    window = np.array([0, 0, *sample.image.shape[1::-1]])
    if rng.uniform() < probability:
        window = draw_expansion(sample.image.shape, rng, ratio)
    return crop(sample, window, size)


WHOLE = (0.0, 0.0, 1.0, 1.0)
# What the samplers after the whole picture ask for; 0 asks for nothing.
LEAST = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)


def draw_patches(rng: Generator, count: int, scale: Range = (0.3, 1.0),
                 aspect: Range = (0.5, 2.0)) -> np.ndarray:
    """Draw patches, each somewhere in the picture.

    Args:
        rng: numpy.random.Generator.
        count: how many.
        scale: range of the side of a square of the same area.
        aspect: range of width over height, both as fractions of the picture;
            held back where a side would be longer than the picture.

    Returns:
        (count, 4) corner boxes in fractions of the picture.
    """
    side = rng.uniform(*scale, count)
    ratio = np.clip(rng.uniform(*aspect, count), side**2, side**-2)
    sides = np.stack([side * ratio**0.5, side / ratio**0.5], axis=1)
    sides = np.minimum(sides, 1)                    # a rounding error above
    start = rng.uniform(size=(count, 2)) * (1 - sides)
    return np.concatenate([start, start + sides], axis=1)


def meets(patches: np.ndarray, boxes: np.ndarray, least: float,
          rule: str = "any") -> np.ndarray:
    """Tell which patches overlap the objects by at least an IoU.

    Args:
        patches: (P, 4) corner boxes.
        boxes: (M, 4) corner boxes of the objects.
        least: the IoU that is asked for.
        rule: "any": with one object at least; "all": with each of them.

    Returns:
        bool (P,). Without objects no patch meets "any", and all meet "all".
    """
    if rule not in ("any", "all"):
        raise ValueError(f"rule must be any or all, found {rule!r}.")
    enough = iou(patches, boxes) >= least
    return enough.any(axis=1) if rule == "any" else enough.all(axis=1)


def collect_patches(boxes: np.ndarray, rng: Generator, rule: str = "any",
                    trials: int = 50, least: Any = LEAST) -> np.ndarray:
    """Collect the whole picture, and what each sampler finds.

    Args:
        boxes: (M, 4) corner boxes of the objects.
        rng: numpy.random.Generator.
        rule: see ``meets``.
        trials: patches that a sampler may try; it offers the first that fits.
        least: the IoU that each sampler asks for.

    Returns:
        (C, 4) patches, C from 1 to 1 + len(least).

    Paper: SSD, section 2.2 (arXiv:1512.02325); "any" is the authors' code.
    """
    drawn = draw_patches(rng, trials * len(least)).reshape(-1, trials, 4)
    found = [WHOLE]
    for asked, tried in zip(least, drawn):
        fits = np.flatnonzero(meets(tried, boxes, asked, rule))
        found.extend(tried[fits[:1]])
    return np.array(found)


def draw_patch(boxes: np.ndarray, rng: Generator,
               **options: Any) -> np.ndarray:
    """Draw one of the patches of ``collect_patches``, all equally likely."""
    return rng.choice(collect_patches(boxes, rng, **options))


def patch_window(patch: Any, shape: Any) -> np.ndarray:
    """Return a patch in whole pixels, as a window for ``crop``.

    >>> patch_window((0.25, 0.0, 0.5, 1.0), (100, 200)).tolist()
    [50, 0, 100, 100]
    """
    sides = np.array([shape[1], shape[0]])
    start = np.minimum(np.rint(patch[:2] * sides), sides - 1)
    stop = np.maximum(np.rint(patch[2:] * sides), start + 1)
    return np.concatenate([start, stop]).astype(int)


def random_patch(sample: Sample, rng: Generator, size: Any = None,
                 interpolation: str | None = None, **options: Any) -> Sample:
    """Cut out a patch; objects stay whose centres lie in it.

    Args:
        sample: Sample.
        rng: numpy.random.Generator.
        size, interpolation: as in ``crop``.
        options: of ``collect_patches``.
    """
    patch = draw_patch(sample.boxes, rng, **options)
    return crop(sample, patch_window(patch, sample.image.shape), size,
                interpolation)
