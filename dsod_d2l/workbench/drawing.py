"""A network as a picture: a column of boxes, the image above, maps marked.

Text is large enough for a figure 5 inches wide to be read on a telephone.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ..config.base import require
from ..config.schedules import DRAWN
from ..datasets.pictures import SUFFIXES
from ..files import write_atomically
from ..visualisation import PALETTE, TEXT_SIZE, draw_detections
from .fonts import fonts_of, is_shaped
from .outputs import whole_file
from .video import paint_detections

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
        if number:
            _mark(ax, y, number, config)
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
    with whole_file(path) as partial:
        figure.savefig(partial)


def _colour(name):
    """Return the colour of a kind of stage."""
    return next((colour for colour, kinds in STAGE_KINDS.items()
                 if name.startswith(kinds)), OTHER)


def _mark(ax, y, number, config):
    """Write which map is ready here, and how many anchors it has."""
    rows, columns = config.map_shapes()[number - 1]
    count = rows * columns * config.anchors[number - 1].per_cell
    ax.text(RIGHT, y, f"map {number}: {count:,}", fontsize=TEXT_SIZE,
            va="center", ha="right", color="white",
            bbox={"facecolor": MAP_MARK, "edgecolor": "none", "pad": 2.5})


Image.init()
# Endings of the pictures that are read, as far as they can be written.
DRAWN_SUFFIXES = tuple(
    one for one in SUFFIXES
    if Image.registered_extensions().get(one) in Image.SAVE)


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
    suffix, page, data = Path(path).suffix.lower(), io.BytesIO(), io.BytesIO()
    require(suffix in DRAWN_SUFFIXES, f"{path}: expected a name that ends in "
            f"{', '.join(DRAWN_SUFFIXES)}, found {suffix or 'no ending'}")
    found = found[found.scores >= least]
    if is_shaped(found.classes):
        Image.fromarray(paint_detections(found)).save(page, "PNG")
    else:
        with fonts_of(found.classes):
            _draw(found).savefig(page, dpi="figure")
    kind = Image.registered_extensions()[suffix]
    more = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    Image.open(page).convert("RGB").save(data, kind, **more)
    write_atomically(path, data.getvalue())


def _draw(found):
    height, width = found.size
    dpi = max(height, width) / SAVED_WIDTH
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
    draw_detections(figure.add_axes((0, 0, 1, 1)), found)
    return figure
