"""Detections as pictures."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from ..config.schedules import DRAWN
from ..detection import Detections
from ..visualisation import class_colour, draw_detections, text_colour
from . import fonts
from .outputs import DRAWN_SUFFIXES, check_ending, save_picture

SAVED_WIDTH = 6       # inches that the longer side of a saved image stands for


def save_detections(path: str | Path, found: Any,
                    least: float = DRAWN) -> None:
    """Write a picture with its detections drawn, in its own resolution.

    Args:
        path: an image file; its ending, one of ``DRAWN_SUFFIXES``, says
            which format; its folder is made, and it is there at once.
        found: ``Detections`` that know their picture.
        least: score below which nothing is drawn.

    Raises:
        ValueError: the ending is none of these.
    """
    page = io.BytesIO()
    check_ending(Path(path), DRAWN_SUFFIXES, f"{path}: expected a name")
    found = found[found.scores >= least]
    if fonts.is_shaped(found.classes):
        Image.fromarray(paint_detections(found)).save(page, "PNG")
    else:
        height, width = found.size
        dpi = max(height, width) / SAVED_WIDTH
        figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
        with fonts.fonts_of(found.classes):
            draw_detections(figure.add_axes((0, 0, 1, 1)), found)
            figure.savefig(page, dpi="figure")
    save_picture(Path(path), Image.open(page).convert("RGB"))


FONT = cv2.FONT_HERSHEY_SIMPLEX
LETTER = 22               # pixels: height of the letters of FONT at scale 1


def paint_detections(found: Detections, note: str = "") -> np.ndarray:
    """Return a picture with its detections painted in.

    Args:
        found: ``Detections`` that know their picture and its classes.
        note: text for the upper left corner.

    Returns:
        uint8 (H, W, 3) array.
    """
    painted = np.ascontiguousarray(found.image()).copy()
    scale = max(min(painted.shape[:2]) / 600, 0.35)
    width = max(round(2 * scale), 1)
    for label, score, box in list(found.pixels())[::-1]:     # best on top
        colour = class_colour(label)
        low, high = np.round(box).astype(int).reshape(2, 2).tolist()
        cv2.rectangle(painted, low, high, _bytes(colour), width)
        _write(painted, f"{found.classes[label]} {score:.0%}", low, colour,
               scale)
    if note:
        _write(painted, note, (0, 0), "#222222", scale)
    return painted


def _write(image, words, corner, back, scale):
    """Write on a ground of a colour, above a corner but in the image."""
    # OpenCV is quick, but writes question marks for all but ASCII.
    parts = [] if words.isascii() else fonts.runs(
        words, max(round(LETTER * scale * 1.4), 9))
    if parts:
        width = round(sum(font.getlength(part) for part, font in parts))
        height, under = (max(sides) for sides in zip(*(
            font.getmetrics() for _, font in parts)))
    else:
        (width, height), under = cv2.getTextSize(words, FONT, scale, 1)
    x = max(min(corner[0], image.shape[1] - width - 2), 0)
    y = max(corner[1] - under, height + 2)
    cv2.rectangle(image, (x, y - height - 2), (x + width + 2, y + under),
                  _bytes(back), cv2.FILLED)
    ink = _bytes(text_colour(back))
    if not parts:
        cv2.putText(image, words, (x + 1, y), FONT, scale, ink, 1, cv2.LINE_AA)
        return
    ground = Image.fromarray(image)
    draw, x = ImageDraw.Draw(ground), float(x + 1)
    for part, font in parts:
        draw.text((x, y), part, ink, font, anchor="ls")
        x += font.getlength(part)
    image[:] = ground


def _bytes(colour):
    return tuple(round(255 * part) for part in to_rgb(colour))
