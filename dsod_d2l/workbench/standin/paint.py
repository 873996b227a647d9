"""Brushes for painted scenes: materials, noise, polygons, blots.

Pictures are float32 (rows, cols, 3), RGB 0..255, and are painted in place.
"""

import json
from pathlib import Path

import cv2
import numpy as np

# Colours by material, as (RGB, RGB) ranges between which a colour is drawn.
PAINTS = json.loads(Path(__file__).with_name("paints.json").read_text())
WALLS = ("brick", "plaster", "plaster", "rock", "white", "wood", "asphalt",
         "any")
TREES = ("leaf", "leaf", "grass", "autumn", "dark")


def tint(rng, *names):
    """Return one colour of one of these materials; 'any' is any colour."""
    name = pick(rng, names) if len(names) > 1 else names[0]
    if name == "any":
        return rng.uniform(10, 250, 3)
    low, high = np.array(PAINTS[name], float)
    common = rng.uniform()      # bright and dark together, hue a little apart
    return low + (high - low) * np.clip(common + rng.normal(0, .12, 3), 0, 1)


def pick(rng, names):
    """Return one of the names."""
    return names[int(rng.integers(len(names)))]


def noise(rng, shape, rough=.6, coarsest=2, stretch=1.):
    """Return fractal noise in 0..1: each finer octave `rough` times weaker."""
    rows, cols = shape
    total, weight, cells = np.zeros(shape, np.float32), 1., coarsest
    while cells < min(rows, cols):
        grid = rng.random((max(2, int(cells * stretch)), max(2, cells)),
                          dtype=np.float32)
        total += weight * cv2.resize(grid, (cols, rows),
                                     interpolation=cv2.INTER_LINEAR)
        weight, cells = weight * rough, cells * 2
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low + 1e-6)


def texture(rng, shape, name, contrast=None):
    """Return a patch of a material: two of its colours mixed by noise."""
    field = noise(rng, shape, rng.uniform(.5, 1.05), int(rng.integers(2, 9)),
                  stretch=float(np.exp(rng.normal(0, .6))))
    if contrast is None:
        contrast = rng.uniform(.2, 1.)
    one = tint(rng, name)
    other = one + (tint(rng, name) - one) * contrast
    patch = field[..., None] * (other - one).astype(np.float32)
    return patch + one.astype(np.float32)


def _sixteenths(corners):
    """Return corners as OpenCV takes parts of pixels."""
    return np.round(np.asarray(corners, float) * 16).astype(np.int32)


def quad(image, corners, colour, alpha=1.):
    """Fill a polygon, (n, 2) x and y in pixels, with a colour."""
    layer = image.copy() if alpha < 1 else image
    cv2.fillPoly(layer, [_sixteenths(corners)], tuple(map(float, colour)),
                 cv2.LINE_AA, 4)
    if alpha < 1:
        image += np.float32(alpha) * (layer - image)


def box(image, x0, y0, x1, y1, colour):
    """Fill an upright rectangle."""
    quad(image, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)


def placed(x, y, wide, high, corners):
    """Return corners in units of a width and a height, about (x, y)."""
    return np.array([x, y]) + np.array([wide, high]) * np.array(corners)


def taper(x, top, upper, bottom, lower):
    """Return the corners of a trapezium about x, half as wide as it says."""
    return [(x - upper, top), (x + upper, top), (x + lower, bottom),
            (x - lower, bottom)]


def lay(image, patch, corners):
    """Warp a patch onto four corners (clockwise from its top left)."""
    rows, cols = patch.shape[:2]
    source = np.array([(0, 0), (cols, 0), (cols, rows), (0, rows)], np.float32)
    move = cv2.getPerspectiveTransform(source, np.asarray(corners, np.float32))
    size = image.shape[1::-1]
    warped = cv2.warpPerspective(patch, move, size, flags=cv2.INTER_LINEAR,
                                 borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, _sixteenths(corners), 1, cv2.LINE_8, 4)
    np.copyto(image, warped, where=mask[..., None] > 0)


def dabs(rng, image, name, count, low, high, size, left=0., right=1.):
    """Strew blots of a material between two heights: leaves, flowers, stones.

    low, high, left, right are fractions of the picture; size of its height.
    """
    rows, cols = image.shape[:2]
    middles = rng.uniform((left * cols, low * rows),
                          (right * cols, high * rows), (count, 2)).tolist()
    axes = (rows * size * np.exp(rng.normal(0, .4, (count, 2))) + 1).tolist()
    turns = rng.uniform(0, 180, count).tolist()
    shades = [tint(rng, name).tolist() for _ in range(12)]
    for k in range(count):
        cv2.ellipse(image, (middles[k], axes[k], turns[k]), shades[k % 12], -1)


def _mirrored(rng, small, shape):
    """Return a small picture continued in mirrors to a shape, often turned."""
    angle = rng.normal(0, .3) if rng.uniform() < .6 else 0.
    c, s = np.cos(angle), np.sin(angle)
    dx, dy = rng.uniform(0, 1, 2) * small.shape[1::-1]
    return cv2.warpAffine(small, np.array([[c, -s, dx], [s, c, dy]]),
                          shape[::-1], borderMode=cv2.BORDER_REFLECT,
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def enrich(rng, image):
    """Return the picture with finer structure: its own, shrunk and mirrored.

    Photographs look alike at every scale; painted scenes are smooth within
    their shapes. Where a patchy mask says so, the detail of a small mirrored
    tiling of the picture is added to it, or takes its place.
    """
    rows, cols = shape = image.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        times = int(rng.integers(2, 8))
        small = cv2.resize(image, (cols // times + 1, rows // times + 1),
                           interpolation=cv2.INTER_AREA)
        tiled = _mirrored(rng, small, shape)
        mask = noise(rng, shape, rng.uniform(.4, .9), int(rng.integers(2, 8)))
        sharp = rng.uniform(2, 30)
        mask = np.clip((mask - rng.uniform(.3, .7)) * sharp, 0, 1)[..., None]
        if rng.uniform() < .15:
            image = image + mask * (tiled - image)
        else:
            detail = tiled - cv2.blur(tiled, (15, 15))
            image = image + np.float32(rng.uniform(.3, 1.5)) * mask * detail
    return np.clip(image, 0, 255)


def develop(rng, image):
    """Return the picture as a camera might have taken it; the same shape.

    Grain of the surfaces, uneven light, colour cast, contrast, soft focus.
    """
    shape = image.shape[:2]
    grain, light = noise(rng, shape, .9, 16) - .5, noise(rng, shape, .5) - .5
    gain = 1 + rng.uniform(0, .4) * grain + rng.uniform(0, .8) * light
    cast = np.exp(rng.normal(0, .06, 3)) * np.exp(rng.normal(0, .15))
    image = image * gain[..., None] * cast.astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + np.float32(rng.uniform(.3, 1.2)) * (image - grey)
    image = 128 + (image - 128) * np.float32(rng.uniform(.75, 1.25))
    if rng.uniform() < .3:
        sigma = rng.uniform(.3, .9) * min(shape) / 256 + .1
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    return np.clip(image, 0, 255)
