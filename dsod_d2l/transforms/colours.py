"""Mild changes of colour: all of them are one matrix."""

from __future__ import annotations

import cv2
import numpy as np

# Luma, and the two axes of colour in which a hue is an angle (YIQ).
_YIQ = np.array([[0.299, 0.587, 0.114],
                 [0.596, -0.274, -0.321],
                 [0.211, -0.523, 0.311]])
_RGB = np.linalg.inv(_YIQ)
_GREY = np.tile(_YIQ[0], (3, 1))
_MIDDLE = 127.5


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
