"""What misleads a detector: yellow things that are no creature, and things
that stand in front of one.
"""

from __future__ import annotations

import cv2
import numpy as np

from .paint import TREES, WALLS, dabs, noise, pick, quad, texture, tint
from .solids import BALL, CONE, Light, ball, render, rotation

__all__ = ["distract", "cover", "lamp", "paste"]


def lamp(rng):
    """Return a Light: mostly flat and full, as in daylight."""
    toward = np.array([rng.normal(0, .5), rng.normal(-.5, .4), 1.])
    if rng.uniform() < .8:
        ambient, strength = rng.uniform(.82, 1.), rng.uniform(.05, .3)
        tone = np.ones(3)
    else:
        ambient, strength = rng.uniform(.4, .9), rng.uniform(.1, .6)
        tone = np.exp(rng.normal(0, .08, 3))
    return Light(ambient, strength, toward / np.linalg.norm(toward), tone)


def paste(image, sprite, x, y):
    """Paint a sprite into the picture, its top left cell at (x, y).

    Args:
        image: float32 (rows, cols, 3), changed in place; must hold the sprite.
        x, y: place in cells, `sprite.samples` to a pixel.

    Returns: float32 (rows, cols): how much of each pixel the sprite covers.
    """
    n = sprite.samples
    rows, cols = sprite.mask.shape
    left, top = x % n, y % n
    right, bottom = -(left + cols) % n, -(top + rows) % n
    mask = np.pad(sprite.mask, ((top, bottom), (left, right)))
    colour = np.pad(sprite.colour, ((top, bottom), (left, right), (0, 0)))
    cells = (mask.shape[0] // n, n, mask.shape[1] // n, n)
    part = mask.reshape(cells).mean((1, 3), dtype=np.float32)
    paint = (colour * mask[..., None]).reshape(*cells, 3).mean((1, 3))
    window = np.s_[y // n:y // n + cells[0], x // n:x // n + cells[2]]
    image[window] = image[window] * (1 - part[..., None]) + paint
    alpha = np.zeros(image.shape[:2], np.float32)
    alpha[window] = part
    return alpha


def yellow(rng):
    """Return a yellow, from lemon to orange, as the creature's or paler."""
    pixel = np.uint8([[[rng.integers(16, 34), rng.integers(110, 256),
                        rng.integers(150, 256)]]])
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(float)


def _toy(rng, image, size):
    """Put a solid toy there: balls, cones and bricks in a wild heap."""
    parts = []
    for _ in range(int(rng.integers(1, 5))):
        colour = yellow(rng) if rng.uniform() < .75 else tint(rng, "any")
        middle, radii = rng.uniform(-.3, .3, 3), rng.uniform(.08, .4, 3)
        bands = [((0, 0, rng.uniform(-1, 1)), (9, 9, rng.uniform(.05, .4)),
                  tint(rng, pick(rng, ("dark", "any"))))]
        bands = bands if rng.uniform() < .4 else []
        part = ball(middle, radii, colour, bands)
        turned = rotation(*rng.uniform(0, 360, 3)) @ part.matrix
        profile, span = ((BALL, (-1, 1)), (CONE, (0, 1)),
                         (None, (-1, 1)))[int(rng.integers(3))]
        parts.append(part._replace(matrix=turned, profile=profile, span=span))
    sprite = render(parts, np.eye(3), size, lamp(rng))
    n, (rows, cols) = sprite.samples, sprite.mask.shape
    room_x, room_y = n * image.shape[1] - cols, n * image.shape[0] - rows
    if min(room_x, room_y) > 0:
        paste(image, sprite, int(rng.integers(room_x)),
              int(rng.integers(room_y)))


def _sign(rng, image, size):
    """Put a flat thing there: a star or plate, perhaps framed or marked."""
    rows, cols = image.shape[:2]
    points = int(rng.integers(3, 9))
    inner = rng.uniform(.4, 1)      # below 1 it is a star
    angles = np.arange(2 * points) * np.pi / points + rng.uniform(0, 7)
    radius = np.where(np.arange(2 * points) % 2, inner, 1.) * size / 2
    shape = np.stack([radius * np.cos(angles) * rng.uniform(.4, 1),
                      radius * np.sin(angles)], axis=1)
    middle = rng.uniform((0, 0), (cols, rows))
    if rng.uniform() < .5:
        frame = tint(rng, pick(rng, ("dark", "any")))
        quad(image, middle + shape * 1.2, frame)
    quad(image, middle + shape, yellow(rng))
    for _ in range(int(rng.integers(0, 4))):    # letters, spots, stripes
        at = middle + rng.uniform(-.25, .25, 2) * size
        far = at + rng.uniform(-.2, .2, 2) * size
        cv2.line(image, at.astype(int).tolist(), far.astype(int).tolist(),
                 tint(rng, "dark").tolist(), max(1, int(size * .07)))


def _taxi(rng, image, size):
    """Put a yellow car there, or a box with dark stripes."""
    rows, cols = image.shape[:2]
    x, y = rng.uniform(0, cols), rng.uniform(.3, 1) * rows
    paint, low = yellow(rng), size * rng.uniform(.3, .9)
    quad(image, [(x, y), (x, y - low), (x + size, y - low), (x + size, y)],
         paint)
    if rng.uniform() < .5:
        quad(image, [(x + size * .2, y - low), (x + size * .3, y - low * 1.6),
                     (x + size * .7, y - low * 1.6), (x + size * .8, y - low)],
             tint(rng, pick(rng, ("glass", "dark"))))
        for wheel in (.25, .75):
            cv2.circle(image, (int(x + wheel * size), int(y)),
                       int(size * .1), (20, 20, 22), -1)
        return
    for k in range(int(rng.integers(1, 5))):
        left = x + size * (.1 + .2 * k)
        quad(image, [(left, y), (left + size * .1, y - low),
                     (left + size * .2, y - low), (left + size * .1, y)],
             tint(rng, "dark"))


def _patch(rng, image, size):
    """Put yellow leaves, blossoms or a ragged yellow spot there."""
    rows, cols = image.shape[:2]
    x, y, r = rng.uniform(0, 1), rng.uniform(0, 1), size / rows / 2
    if rng.uniform() < .5:
        dabs(rng, image, pick(rng, ("crop", "autumn")), int(rng.integers(
            5, 60)), y - r, y + r, r * .15, x - r, x + r)
        return
    side = max(int(size), 6)
    spot = noise(rng, (side, side), .6, 3) - np.hypot(
        *np.mgrid[-1:1:side * 1j, -1:1:side * 1j]) * .6
    left, top = int(x * cols), int(y * rows)
    window = image[top:top + side, left:left + side]
    inside = (spot > .1)[:window.shape[0], :window.shape[1], None]
    np.copyto(window, yellow(rng).astype(np.float32), where=inside)


def distract(rng, image):
    """Put up to five yellow things that are no creature into the picture."""
    count = int(rng.integers(1, 6)) if rng.uniform() < .65 else 0
    for _ in range(count):
        size = min(image.shape[:2]) * float(np.exp(rng.uniform(
            np.log(.03), np.log(.35))))
        kind = (_toy, _toy, _sign, _taxi, _patch)[int(rng.integers(5))]
        kind(rng, image, size)


def cover(rng, image, behind, corners):
    """Return what hides a part of a creature: a mask and its colours.

    Args:
        image: float32 (rows, cols, 3), the picture.
        behind: the same without creatures; pieces of it serve as covers.
        corners: xmin, ymin, xmax, ymax of the creature, in pixels.

    Returns: bool (rows, cols), and float32 (rows, cols, 3).
    """
    shape = rows, cols = image.shape[:2]
    x0, y0, x1, y1 = corners
    size, mask = max(x1 - x0, y1 - y0), np.zeros((rows, cols, 1), np.float32)
    middle = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1)])
    kind = rng.uniform()
    if kind < .4:       # a pole, a branch, a wire
        way = rng.normal(0, 1, 2)
        way = way / np.linalg.norm(way) * 2 * size
        cv2.line(mask, (middle - way).astype(int).tolist(),
                 (middle + way).astype(int).tolist(), 1.,
                 max(1, int(size * rng.uniform(.04, .2))))
    elif kind < .7:     # a wall or a table that it looks over
        top = y1 - (y1 - y0) * rng.uniform(.1, .4)
        left, right = x0 - size * rng.uniform(0, 1, 2) * (1, -1) * 3
        quad(mask, [(left, top), (right + x1 - x0, top),
                    (right + x1 - x0, y1 + size * rng.uniform(0, 1)),
                    (left, y1 + size * .1)], (1.,))
    else:               # leaves
        spread = size * .3
        for _ in range(int(rng.integers(3, 14))):
            at = middle + rng.normal(0, spread, 2)
            axes = (size * rng.uniform(.05, .25, 2)).tolist()
            cv2.ellipse(mask, (at.tolist(), axes, rng.uniform(0, 180)), 1., -1)
    if rng.uniform() < .4:
        shift = [int(rng.integers(rows)), int(rng.integers(cols))]
        return mask[..., 0] > 0, np.roll(behind, shift, axis=(0, 1))
    return mask[..., 0] > 0, texture(rng, shape, pick(rng, WALLS + TREES))
