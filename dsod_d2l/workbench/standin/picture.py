"""One picture of the rendered set: a scene, its creatures, exact boxes."""

from collections.abc import Sequence

import cv2
import numpy as np

from ...config.base import require
from ...datasets.sample import Sample, make_sample
from . import scenery
from .paint import (TREES, WALLS, box, dabs, develop, enrich, noise, pick,
                    placed, quad, texture, tint)
from .solids import BALL, CONE, Light, ball, creature, render, rotation


def lamp(rng):
    """Return a Light: mostly flat and full, as in daylight."""
    toward = np.array([rng.normal(0, .5), rng.normal(-.5, .4), 1.])
    toward /= np.linalg.norm(toward)
    if rng.uniform() < .8:
        return Light(rng.uniform(.82, 1.), rng.uniform(.05, .3), toward,
                     np.ones(3))
    return Light(rng.uniform(.4, .9), rng.uniform(.1, .6), toward,
                 np.exp(rng.normal(0, .08, 3)))


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
        band = ((0, 0, rng.uniform(-1, 1)), (9, 9, rng.uniform(.05, .4)),
                tint(rng, "dark", "any"))
        part = ball(middle, radii, colour, [band] * (rng.uniform() < .4))
        turned = rotation(*rng.uniform(0, 360, 3)) @ part.matrix
        profile, span = pick(rng, ((BALL, (-1, 1)), (CONE, (0, 1)),
                                   (None, (-1, 1))))
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
        frame = tint(rng, "dark", "any")
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
    box(image, x, y - low, x + size, y, paint)
    if rng.uniform() < .5:
        quad(image, placed(x, y, size, low, [
            (.2, -1), (.3, -1.6), (.7, -1.6), (.8, -1)]),
            tint(rng, "glass", "dark"))
        for wheel in (.25, .75):
            cv2.circle(image, (int(x + wheel * size), int(y)),
                       int(size * .1), (20, 20, 22), -1)
        return
    for k in range(int(rng.integers(1, 5))):
        quad(image, placed(x + size * (.1 + .2 * k), y, size, low, [
            (0, 0), (.1, -1), (.2, -1), (.1, 0)]), tint(rng, "dark"))


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
        pick(rng, (_toy, _toy, _sign, _taxi, _patch))(rng, image, size)


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
        for _ in range(int(rng.integers(3, 14))):
            at = middle + rng.normal(0, size * .3, 2)
            axes = (size * rng.uniform(.05, .25, 2)).tolist()
            cv2.ellipse(mask, (at.tolist(), axes, rng.uniform(0, 180)), 1., -1)
    if rng.uniform() < .4:
        shift = [int(rng.integers(side)) for side in shape]
        return mask[..., 0] > 0, np.roll(behind, shift, axis=(0, 1))
    return mask[..., 0] > 0, texture(rng, shape, pick(rng, WALLS + TREES))


MOST_OBJECTS = 12           # creatures in one picture
LEAST_VISIBLE = .6        # share of each creature's pixels that stays in sight
COVERED = .2        # chance of each creature to stand behind something


def is_whole(value: object) -> bool:
    """Say whether a value is a whole number, and not a truth value."""
    return (isinstance(value, (int, np.integer))
            and not isinstance(value, bool))


def _pair(name, value, good, words):
    """Return a pair of whole numbers, or of one number for both."""
    ends = (value, value) if np.ndim(value) == 0 else tuple(value)
    require(len(ends) == 2 and all(map(is_whole, ends)) and good(*ends),
            f"{name} must be a whole number {words} of such, got {value!r}.")
    return int(ends[0]), int(ends[1])


def check_size(size: int | Sequence) -> tuple[int, int]:
    """Return (height, width) of a size: one number for both, or the pair."""
    return _pair("size", size, lambda *sides: min(sides) >= 32,
                 "of at least 32, or (height, width)")


def check_objects(objects: int | Sequence) -> tuple[int, int]:
    """Return (fewest, most) of a number of objects, or of such a pair."""
    return _pair("objects", objects, lambda fewest, most: (
        0 <= fewest <= most <= MOST_OBJECTS),
        f"in 0..{MOST_OBJECTS}, or (fewest, most)")


def render_sample(rng: np.random.Generator, size: int | Sequence = 256,
                  objects: int | Sequence = 1) -> Sample:
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
    scene, count, figures, lens = map(
        np.random.default_rng, rng.integers(2**62, size=4).tolist())
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
        grain = rng.standard_normal(image.shape, np.float32)
        image = image + grain * np.float32(rng.uniform(0, 6))
    return np.clip(image + .5, 0, 255).astype(np.uint8)


def _height(rng, count):
    """Return a creature's height, a fraction of the shorter side."""
    height = (rng.uniform(.1, .22) if rng.uniform() < .55 else
              float(np.exp(rng.uniform(np.log(.08), np.log(.45)))))
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
    return all(part.sum() >= LEAST_VISIBLE * mask.sum()
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
