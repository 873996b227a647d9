"""Detections painted into pixels: for video, where every millisecond counts.

Matplotlib takes a tenth of a second for a frame, OpenCV a thousandth.
"""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from .colours import class_colour, text_colour

FONT = cv2.FONT_HERSHEY_SIMPLEX


def paint_detections(image, detections, classes, note=None):
    """Return an image with its detections painted in.

    Args:
        image: uint8 (H, W, 3) RGB; it stays as it is.
        detections: ``Detections`` with boxes in pixels.
        classes: names of the classes.
        note: text for the upper left corner.

    Returns:
        uint8 (H, W, 3) array.
    """
    painted = np.ascontiguousarray(image).copy()
    scale = max(min(image.shape[:2]) / 600, 0.35)
    width = max(round(2 * scale), 1)
    for label, score, box in list(zip(*detections))[::-1]:   # best on top
        colour = class_colour(label)
        low, high = (tuple(int(side) for side in np.round(part))
                     for part in (box[:2], box[2:]))
        cv2.rectangle(painted, low, high, _bytes(colour), width)
        _write(painted, f"{classes[label]} {score:.0%}", low, colour, scale)
    if note:
        _write(painted, note, (0, 0), "#222222", scale)
    return painted


def _write(image, words, corner, back, scale):
    """Write on a ground of a colour, above a corner but in the image."""
    (width, height), under = cv2.getTextSize(words, FONT, scale, 1)
    x = max(min(corner[0], image.shape[1] - width - 2), 0)
    y = max(corner[1] - under, height + 2)
    cv2.rectangle(image, (x, y - height - 2), (x + width + 2, y + under),
                  _bytes(back), cv2.FILLED)
    cv2.putText(image, words, (x + 1, y), FONT, scale,
                _bytes(text_colour(back)), 1, cv2.LINE_AA)


def _bytes(colour):
    return tuple(round(255 * part) for part in to_rgb(colour))
