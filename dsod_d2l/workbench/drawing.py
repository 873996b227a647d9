"""Networks and detections as pictures.

A network is a column of boxes, the image above, maps marked. Text is large
enough for a figure 5 inches wide to be read on a telephone.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw

from ..config.schedules import DRAWN
from ..detection import Detections
from ..files import replacing, write_atomically
from ..visualisation import (PALETTE, TEXT_SIZE, class_colour, draw_detections,
                             text_colour)
from . import fonts
from .outputs import DRAWN_SUFFIXES, check_ending

WIDTH, ROW_HEIGHT = 5.0, 0.44    # inches: of a picture, of one row of it
MIDDLE, WIDEST, TEXT, RIGHT = 0.14, 0.26, 0.31, 0.99
# Colour -> how the names of such stages begin.
STAGE_KINDS = {
    PALETTE[0]: ("dense block", "VGG block", "fc6"),
    PALETTE[1]: ("stem", "halving"), PALETTE[3]: ("transition", "transfer"),
    PALETTE[2]: ("dense prediction", "plain prediction", "extra layers"),
    PALETTE[4]: ("gate",), PALETTE[6]: ("reuse", "map")}
SAVED_WIDTH = 6       # inches that the longer side of a saved image stands for
OTHER, MAP_MARK, INK = "#BBBBBB", PALETTE[5], "#222222"


def draw_network(ax, summary, config) -> None:
    """Draw the stages of a network, one below the other.

    A box is as wide as its map (by the square root of the columns), and as
    high as it has channels. Stages that complete a feature map are marked
    with the number of the map and of its anchors; "256 of 512
    channels" are those of a stage that gives a part of its map.

    Args:
        ax: Axes, about 5 inches wide and 0.44 inches high for each stage.
        summary: ``models.summary.Summary`` of the network.
        config: its ``ModelConfig``.
    """
    rows = [("image", (3, *config.input_size), None), *(
        (row.name, row.shape, row.feature_map) for row in summary.stages)]
    most = max(shape[0] for _, shape, _ in rows)
    for y, (name, shape, number) in enumerate(rows):
        width = WIDEST * (shape[2] / config.input_size[1]) ** 0.5
        height = 0.12 + 0.6 * shape[0] / most
        ax.add_patch(Rectangle((MIDDLE - width / 2, y - height / 2), width,
                               height, facecolor=_colour(name),
                               edgecolor=INK, linewidth=0.8))
        ax.text(TEXT, y - 0.02, name, fontsize=TEXT_SIZE, va="bottom",
                color=INK)
        whole = summary.maps[number - 1][0] if number else shape[0]
        part = f" of {whole}" if whole != shape[0] else ""
        ax.text(TEXT, y + 0.02, f"{shape[0]}{part} channels, {shape[1]} × "
                f"{shape[2]}", fontsize=TEXT_SIZE - 1, va="top",
                color="#444444")
        if number:               # this map is ready, with so many anchors
            count = (np.prod(config.map_shapes()[number - 1])
                     * config.anchors[number - 1].per_cell)
            ax.text(RIGHT, y, f"map {number}: {count:,}", fontsize=TEXT_SIZE,
                    va="center", ha="right", color="white",
                    bbox={"facecolor": MAP_MARK, "edgecolor": "none",
                          "pad": 2.5})
    ax.set_xlim(0, 1)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_axis_off()


def save_network(path: str | Path, summary, config) -> None:
    """Write the picture of a network; see ``draw_network``.

    Args:
        path: an image file, by its ending .png, .svg or .pdf.

    Raises:
        ValueError: the ending is none that Matplotlib writes.
        OSError: the file cannot be written.
    """
    height = ROW_HEIGHT * (len(summary.stages) + 1) + 0.4
    figure = Figure(figsize=(WIDTH, height), dpi=150, facecolor="white")
    ax = figure.add_axes([0.01, 0, 0.98, 1 - 0.4 / height])
    ax.set_title(f"{config.name}: {config.anchor_count:,} anchors",
                 fontsize=TEXT_SIZE + 1, color=INK)
    draw_network(ax, summary, config)
    with replacing(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:])


def _colour(name):
    """Return the colour of a kind of stage."""
    return next((colour for colour, kinds in STAGE_KINDS.items()
                 if name.startswith(kinds)), OTHER)


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
    page, data = io.BytesIO(), io.BytesIO()
    suffix = check_ending(Path(path), DRAWN_SUFFIXES,
                          f"{path}: expected a name")
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
    kind = Image.registered_extensions()[suffix]
    more = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    Image.open(page).convert("RGB").save(data, kind, **more)
    write_atomically(path, data.getvalue())


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
        cv2.putText(image, words, (x + 1, y), FONT, scale, ink, 1,
                    cv2.LINE_AA)
        return
    ground = Image.fromarray(image)
    draw, x = ImageDraw.Draw(ground), float(x + 1)
    for part, font in parts:
        draw.text((x, y), part, ink, font, anchor="ls")
        x += font.getlength(part)
    image[:] = ground


def _bytes(colour):
    return tuple(round(255 * part) for part in to_rgb(colour))
