"""Changes of colour: mild ones in one matrix, and those of SSD and DSOD."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.random import Generator

from ..datasets.sample import Sample

# Luma, and the two axes of colour in which a hue is an angle (YIQ).
_YIQ = np.array([[0.299, 0.587, 0.114],
                 [0.596, -0.274, -0.321],
                 [0.211, -0.523, 0.311]])
_RGB = np.linalg.inv(_YIQ)
_GREY = np.tile(_YIQ[0], (3, 1))
_MIDDLE = 127.5


def colour_matrix(brightness: float = 1.0, contrast: float = 1.0,
                  saturation: float = 1.0, hue: float = 0.0) -> np.ndarray:
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


def photometric(sample: Sample, rng: Generator, brightness: float = 0.125,
                contrast: float = 0.25, saturation: float = 0.25,
                hue: float = 0.02) -> Sample:
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


BYTES = np.arange(256)
HUES = 180           # OpenCV counts half degrees, for they fit in a byte


def change_brightness(image: np.ndarray, amount: float) -> np.ndarray:
    """Add an amount to every value; bytes end at 0 and 255.

    >>> grey = np.full((1, 2, 3), 250, np.uint8)
    >>> change_brightness(grey, 20)[0, 0].tolist()
    [255, 255, 255]
    """
    return cv2.LUT(image, to_bytes(BYTES + amount)) if amount else image


def change_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply every value, so black stays and bright becomes brighter.

    >>> grey = np.full((1, 2, 3), 100, np.uint8)
    >>> change_contrast(grey, 1.5)[0, 0].tolist()
    [150, 150, 150]
    """
    return cv2.LUT(image, to_bytes(BYTES * factor)) if factor != 1 else image


def change_hsv(image: np.ndarray, saturation: float = 1.0,
               hue: float = 0.0) -> np.ndarray:
    """Change how strong colours are, and turn them.

    Args:
        image: uint8 (H, W, 3) RGB.
        saturation: factor of the saturation.
        hue: turn on the circle of colours, in OpenCV's units of two degrees:
            60 makes green of red.

    >>> red = np.full((1, 2, 3), (200, 0, 0), np.uint8)
    >>> change_hsv(red, hue=60)[0, 0].tolist()
    [0, 200, 0]
    """
    if saturation == 1 and hue == 0:
        return image
    # Hues are on a circle: what leaves it on one side comes in on the other.
    tables = [to_bytes(np.rint(BYTES + hue) % HUES),
              to_bytes(BYTES * saturation), to_bytes(BYTES)]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    cv2.LUT(hsv, np.stack(tables, axis=-1)[None], dst=hsv)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=hsv)


def shuffle_channels(image: np.ndarray, order: Iterable[int]) -> np.ndarray:
    """Return the image with its channels in another order."""
    return np.ascontiguousarray(image[..., list(order)])


def distort(sample: Sample, rng: Generator, probability: float = 0.5,
            brightness: float = 32.0,
            contrast: tuple[float, float] = (0.5, 1.5),
            saturation: tuple[float, float] = (0.5, 1.5), hue: float = 18.0,
            shuffle: float = 0.0) -> Sample:
    """Change the colours at random; contrast goes before or after the hues.

    Args:
        sample: Sample.
        rng: numpy.random.Generator.
        probability: of each of the four changes.
        brightness: largest amount that is added or taken away.
        contrast, saturation: range of the factor.
        hue: largest turn, see ``change_hsv``.
        shuffle: probability that the channels change places.

    Paper: after SSD, section 3.2 and the authors' code, with DSOD's numbers.
    """
    def draw(low, high, idle):
        value = rng.uniform(low, high)
        return value if rng.uniform() < probability else idle

    image = change_brightness(sample.image, draw(-brightness, brightness, 0))
    factor, late = draw(*contrast, 1), rng.uniform() < 0.5
    image = image if late else change_contrast(image, factor)
    image = change_hsv(image, draw(*saturation, 1), draw(-hue, hue, 0))
    image = change_contrast(image, factor) if late else image
    if rng.uniform() < shuffle:
        image = shuffle_channels(image, rng.permutation(3))
    return sample._replace(image=image)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Round values, and let them end at 0 and 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
