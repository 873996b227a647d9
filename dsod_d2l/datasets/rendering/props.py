"""Things that stand about in the scenes: trees, houses, cars, furniture."""

from __future__ import annotations

import cv2
import numpy as np

from .paint import TREES, WALLS, box, dabs, pick, quad, texture, tint

__all__ = ["tree", "facade", "things"]


def tree(rng, image, x, foot, height):
    """Paint a tree of that height (pixels) on its foot point: trunk, crown."""
    rows, cols = image.shape[:2]
    wide = height * rng.uniform(.02, .06)
    quad(image, [(x - wide, foot), (x - wide / 2, foot - height),
                 (x + wide / 2, foot - height), (x + wide, foot)],
         tint(rng, pick(rng, ("wood", "dark"))) * .7)
    for _ in range(int(rng.integers(2, 7))):    # branches
        y = foot - height * rng.uniform(.4, .9)
        reach = height * rng.uniform(-.4, .4)
        quad(image, [(x, y), (x + reach, y - abs(reach) * .8), (x, y + wide)],
             tint(rng, "dark"))
    if rng.uniform() < .75:
        spread = height * rng.uniform(.2, .5)
        dabs(rng, image, pick(rng, TREES), int(rng.integers(40, 140)),
             (foot - height * 1.2) / rows, (foot - height * .45) / rows,
             height * rng.uniform(.03, .09) / rows,
             (x - spread) / cols, (x + spread) / cols)


def facade(rng, shape, name=None):
    """Return the front of a building: wall, a grid of windows, ledges."""
    rows, cols = shape
    wall = texture(rng, shape, name or pick(rng, WALLS), rng.uniform(.05, .5))
    across, up = int(rng.integers(2, 9)), int(rng.integers(2, 10))
    w, h = cols / across, rows / up
    fx, fy = rng.uniform(.3, .85, 2)
    frame, glass = tint(rng, pick(rng, ("white", "dark", "wood"))), pick(
        rng, ("glass", "glass", "dark", "white", "sky"))
    lit = rng.uniform() < .25
    for i in range(across):
        for j in range(up):
            x, y = (i + .5) * w, (j + .5) * h
            dx, dy = w * fx / 2, h * fy / 2
            box(wall, x - dx - 1, y - dy - 1, x + dx + 1, y + dy + 1, frame)
            name = "crop" if lit and rng.uniform() < .5 else glass
            box(wall, x - dx, y - dy, x + dx, y + dy, tint(rng, name))
            if dx > 3:
                box(wall, x - .5, y - dy, x + .5, y + dy, frame)
    for j in range(int(rng.integers(0, up))):
        box(wall, 0, j * h - 1, cols, j * h + 1, frame)
    if rng.uniform() < .6:      # the shop on the ground floor
        box(wall, 0, rows - h * 1.2, cols, rows - h, tint(rng, "any"))
    return wall


def things(rng, image, count, low, high, cars=True):
    """Put boxes and blobs about: cars, people, furniture, signs."""
    rows, cols = image.shape[:2]
    for _ in range(count):
        foot = rng.uniform(low, high)
        size = rows * (.03 + .35 * max(foot - .4, 0)) * rng.uniform(.6, 1.6)
        x, y = rng.uniform(0, cols), rows * foot
        colour = tint(rng, pick(rng, ("any", "dark", "white", "wood")))
        kind = rng.uniform(0 if cars else .4, 1)
        if kind < .4:           # a car
            box(image, x - size, y - size * .6, x + size, y - size * .1,
                colour)
            quad(image, [(x - size * .7, y - size * .6),
                         (x - size * .4, y - size), (x + size * .5, y - size),
                         (x + size * .7, y - size * .6)], tint(rng, "glass"))
            for side in (-.6, .6):
                centre = int(x + side * size), int(y - .1 * size)
                cv2.circle(image, centre, int(size * .2), (24, 24, 26), -1)
        elif kind < .65:        # somebody
            quad(image, [(x, y), (x - size * .2, y - size * .8), (x, y - size),
                         (x + size * .2, y - size * .8)], colour)
        elif kind < .85:        # a chest, with a lit top
            box(image, x - size, y - size, x + size, y, colour)
            quad(image, [(x - size, y - size), (x - size * .6, y - size * 1.3),
                         (x + size * 1.4, y - size * 1.3),
                         (x + size, y - size)],
                 np.minimum(colour * 1.3, 255))
        else:                   # a pole
            box(image, x, y - size * 4, x + max(1, size * .06), y, colour * .5)
