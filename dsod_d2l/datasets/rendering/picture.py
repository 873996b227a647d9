"""One picture of the rendered set: a scene, its creatures, exact boxes."""

from __future__ import annotations

import cv2
import numpy as np

from . import scenery
from ..base import Sample, make_sample
from .clutter import cover, distract, lamp, paste
from .creature import creature
from .paint import develop, enrich
from .solids import render, rotation

__all__ = ["render_sample", "check_size", "check_objects", "is_whole"]

MOST = 12           # creatures in one picture
VISIBLE = .6        # share of each creature's pixels that stays in sight
COVERED = .2        # chance of each creature to stand behind something


def is_whole(value):
    """Say whether a value is a whole number, and not a truth value."""
    return (isinstance(value, (int, np.integer))
            and not isinstance(value, bool))


def check_size(size):
    """Return (height, width) of a size: one number for both, or the pair."""
    sides = (size, size) if np.ndim(size) == 0 else tuple(size)
    if len(sides) != 2 or not all(is_whole(n) and n >= 32 for n in sides):
        raise ValueError("size must be a whole number of at least 32, or "
                         f"(height, width) of such, got {size!r}.")
    return int(sides[0]), int(sides[1])


def check_objects(objects):
    """Return (fewest, most) of a number of objects, or of such a pair."""
    ends = (objects, objects) if np.ndim(objects) == 0 else tuple(objects)
    if len(ends) != 2 or not all(map(is_whole, ends)) \
            or not 0 <= ends[0] <= ends[1] <= MOST:
        raise ValueError(f"objects must be a whole number in 0..{MOST}, or "
                         f"(fewest, most) of such, got {objects!r}.")
    return int(ends[0]), int(ends[1])


def render_sample(rng, size=256, objects=1) -> Sample:
    """Render one picture with its creatures.

    Args:
        rng: numpy Generator; the picture follows from its state.
        size: side in pixels, or (height, width); each at least 32.
        objects: number of creatures, or (fewest, most); 0 is allowed.

    Returns:
        A Sample; labels are all 0. A box encloses the whole silhouette,
        which lies inside the picture; at least 0.6 of it is in sight, the
        rest is behind another creature or a thing.

    Raises:
        ValueError: an argument is out of range, or the creatures do not fit.

    >>> sample = render_sample(np.random.default_rng(5), (120, 200), 2)
    >>> sample.image.shape, sample.boxes.shape
    ((120, 200, 3), (2, 4))
    """
    shape, (fewest, most) = check_size(size), check_objects(objects)
    # A stream for each stage: the scene does not depend on the creatures.
    scene, count, figures, lens = (
        np.random.default_rng(int(seed)) for seed in rng.integers(2**62,
                                                                  size=4))
    image = scenery.scene(scene, shape)
    if scene.uniform() < .7:
        image = enrich(scene, image)
    image = develop(scene, image)
    distract(scene, image)
    number = int(count.integers(fewest, most + 1))
    image, boxes = _populate(figures, image, number)
    return make_sample(_expose(lens, image), boxes, np.zeros(number),
                       source="a rendered picture")


def _expose(rng, image):
    """Return the picture in uint8, after blur and noise of the whole."""
    if rng.uniform() < .3:
        sigma = rng.uniform(.25, .7) * min(image.shape[:2]) / 256 + .05
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if rng.uniform() < .5:
        image = image + rng.standard_normal(image.shape, np.float32
                                            ) * np.float32(rng.uniform(0, 6))
    return np.clip(image + .5, 0, 255).astype(np.uint8)


def _height(rng, count):
    """Return a creature's height, a fraction of the shorter side."""
    if rng.uniform() < .55:
        height = rng.uniform(.1, .22)
    else:
        height = float(np.exp(rng.uniform(np.log(.08), np.log(.45))))
    return min(height, .8 / max(count, 1)**.5)


def _figure(rng, height):
    """Return a creature in a random pose, `height` pixels high, drawn."""
    front = rng.uniform() < .65     # it mostly shows its face
    yaw = rng.normal(0, 45) if front else rng.uniform(-180, 180)
    pitch, roll = rng.normal(0, 14), rng.normal(0, 9)
    if rng.uniform() < .1:
        roll = rng.uniform(-60, 60)
    return render(creature(rng), rotation(yaw, pitch, roll), height,
                  lamp(rng), samples=3 if height < 64 else 2)


def _populate(rng, image, count):
    """Return the picture with its creatures, and their boxes (count, 4).

    Boxes are in fractions, as fine as the cells in which creatures are drawn.
    """
    rows, cols = image.shape[:2]
    behind, masks, shown, boxes = image, [], [], []
    for _ in range(count):
        image, mask, box = _place(rng, image, masks, shown, count)
        shown = [part & ~mask for part in shown] + [mask]
        masks, boxes = masks + [mask], boxes + [box]
    image = image.copy()
    for box in boxes:
        if rng.uniform() < COVERED:
            hidden, colours = cover(rng, image, behind, box)
            left = [part & ~hidden for part in shown]
            if _in_sight(left, masks):
                shown = left
                np.copyto(image, colours, where=hidden[..., None])
    return image, np.reshape(boxes, (-1, 4)) / [cols, rows, cols, rows]


def _in_sight(shown, masks):
    """Say whether enough of each creature shows."""
    return all(part.sum() >= VISIBLE * mask.sum()
               for part, mask in zip(shown, masks))


def _place(rng, image, masks, shown, count):
    """Return the picture with one more creature, its mask, its box (pixels).

    It shrinks until it finds a place where it hides no other one too much.
    """
    rows, cols = image.shape[:2]
    height = _height(rng, count) * min(rows, cols)
    for attempt in range(120):
        if attempt % 10 == 0:
            sprite = _figure(rng, height)
            high, wide = sprite.mask.shape
            n, height = sprite.samples, max(height * .85, 5.)
        if high > n * rows or wide > n * cols:
            continue
        x = int(rng.integers(n * cols - wide + 1))
        y = int(rng.integers(n * rows - high + 1))
        trial = image.copy()
        mask = paste(trial, sprite, x, y) > .5
        if mask.any() and _in_sight([part & ~mask for part in shown], masks):
            return trial, mask, np.array([x, y, x + wide, y + high]) / n
    raise ValueError(f"objects: {count} creatures do not fit into a picture "
                     f"of {rows} x {cols} pixels.")
