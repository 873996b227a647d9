"""What happens to a picture before a network learns from it."""

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from .. import boxes as box_tools
from ..datasets.sample import Sample
from .colours import distort, photometric
from .cropping import (FILL, XYXY, boxes_in_window, crop, draw_expansion,
                       draw_patch, letter_box, patch_window, random_crop,
                       undo_letter_box)
from .resizing import INTERPOLATIONS, height_width, resize


def mirror(sample: Sample) -> Sample:
    """Mirror the image and its boxes, left to right."""
    return sample._replace(image=cv2.flip(sample.image, 1),
                           boxes=box_tools.mirror_boxes(sample.boxes))


def random_mirror(sample: Sample, rng: Generator,
                  probability: float = 0.5) -> Sample:
    """Mirror with a probability."""
    return mirror(sample) if rng.uniform() < probability else sample


class Compose:
    """Apply transforms one after the other.

    Args:
        steps: callables (sample, rng) -> Sample.
    """

    def __init__(self, steps: Iterable[Callable]):
        self.steps = tuple(steps)

    def __call__(self, sample, rng):
        for step in self.steps:
            sample = step(sample, rng)
        return sample


def plain(sample: Sample, size: Any, rng: Any = None) -> Sample:
    """Only bring the image to the network's size; draws nothing."""
    return resize(sample, size)


def light(sample: Sample, size: Any, rng: Generator) -> Sample:
    """Crop or zoom out a little, mirror, and change colours mildly."""
    sample = random_crop(sample, rng, size, scale=(0.6, 1.3),
                         aspect=(0.8, 1.25), keep=0.5)
    return photometric(random_mirror(sample, rng), rng)


def boxed(sample: Sample, size: Any, rng: Generator) -> Sample:
    """As ``light``, but nothing is stretched: the view fits in undistorted.

    For networks whose ``resize`` is "letter-box": they detect so too.
    """
    sample = random_crop(sample, rng, scale=(0.6, 1.3), aspect=(1, 1),
                         keep=0.5)
    sample = letter_box(sample, size)
    return photometric(random_mirror(sample, rng), rng)


def shifted(sample: Sample, size: Any, rng: Generator,
            reach: float = 0.125) -> Sample:
    """Move by whole pixels: nothing is mirrored, and no pixel interpolated.

    For boxes that are exact, or drawn with a habit that a mirror would turn
    round. The centres of all objects stay in the picture.
    """
    sample, (height, width) = resize(sample, size), height_width(size)
    sides = np.array([width, height])
    limit = (reach * sides).astype(int)
    centres = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2 * sides
    high = np.floor(centres.min(axis=0, initial=np.inf) - 1)
    low = np.ceil(centres.max(axis=0, initial=-np.inf) + 1 - sides)
    x, y = rng.integers(np.clip(low, -limit, 0), np.clip(high, 0, limit) + 1)
    return crop(sample, (x, y, x + width, y + height))


def ssd_window(sample: Sample, rng: Generator, rule: str = "any"
               ) -> np.ndarray:
    """Draw what SSD's pipeline sees of a picture: expansion, then patch.

    Args:
        sample: Sample.
        rng: numpy.random.Generator.
        rule: see ``cropping.meets``.

    Returns:
        int array (4,): x0, y0, x1, y1 in pixels of the picture. It may leave
        the picture, and at times it misses it.
    """
    canvas = np.array([0, 0, *sample.image.shape[1::-1]])
    if rng.uniform() < 0.5:
        canvas = draw_expansion(sample.image.shape, rng)
    boxes, _ = boxes_in_window(sample, canvas)
    patch = draw_patch(boxes, rng, rule=rule)
    shape = (canvas[2:] - canvas[:2])[::-1]
    return patch_window(patch, shape) + canvas[XYXY]


def ssd(sample: Sample, size: Any, rng: Generator,
        rule: str = "any") -> Sample:
    """Distort, expand, cut a patch, stretch and mirror: the authors' way.

    The window is drawn first and the pixels are moved once, so no canvas is
    ever painted.

    Paper: SSD, sections 2.2 and 3.6 (arXiv:1512.02325); DSOD's settings.
    """
    sample = distort(sample, rng)
    window = ssd_window(sample, rng, rule)
    interpolation = rng.choice(list(INTERPOLATIONS))
    if (window[:2] < sample.image.shape[1::-1]).all() and (
            window[2:] > 0).all():
        sample = crop(sample, window, size, interpolation)
    else:                       # a free patch may see only the filling
        filling = np.full((*height_width(size), 3), FILL, np.uint8)
        sample = sample._replace(image=filling).keep(slice(0))
    return random_mirror(sample, rng)


AUGMENTATIONS: dict[str, Callable] = {
    "none": plain, "light": light, "shifted": shifted, "letter-box": boxed,
    "ssd": ssd}


# By ``ModelConfig.resize``: what brings a sample to the network's size, and
# what turns the boxes found there into boxes of a picture of some shape.
RESIZINGS: dict[str, tuple[Callable, Callable]] = {
    "stretch": (resize, lambda boxes, shape, size: boxes),
    "letter-box": (letter_box, undo_letter_box)}
