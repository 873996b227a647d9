"""Visualisation: images, boxes, anchors, matches, curves, and numbers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from .boxes import corner_to_centre, require_fractions
from .config.base import require

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00",
           "#CC79A7")
LINE_STYLES = ("solid", "dashed", "dotted", "dashdot")
TEXT_SIZE = 11        # points


def about(value: float, tolerance: float) -> str:
    """Return a number, and how far off it may be on another machine.

    The comparison of a notebook's outputs allows as much.

    >>> about(0.97383, 0.05)
    '0.974 ± 0.05'
    """
    digits = max(0, 1 - math.floor(math.log10(tolerance)))
    return f"{value:.{digits}f} ± {tolerance:g}"


def class_colour(label: int) -> str:
    """Return the colour of a class, the same in every picture.

    >>> class_colour(0) == class_colour(len(PALETTE))
    True
    """
    return PALETTE[int(label) % len(PALETTE)]


def text_colour(background: Any) -> str:
    """Return black or white, whichever contrasts more with a background.

    >>> text_colour("#F0E442"), text_colour("#0072B2")
    ('black', 'white')
    """
    rgb = np.array(to_rgb(background))
    linear = np.where(rgb <= 0.04045, rgb / 12.92,
                      ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    # Contrast is (lighter + 0.05) / (darker + 0.05).
    return "black" if luminance + 0.05 > (1.05 * 0.05) ** 0.5 else "white"


def line_style(label: int) -> str:
    """Return the line style of a class: another one in each round."""
    return LINE_STYLES[int(label) // len(PALETTE) % len(LINE_STYLES)]


def line_colour(place: int) -> str:
    """Return a colour that is also seen as a thin line on white."""
    return ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222")[place % 5]


def draw_image(ax: Axes, image: np.ndarray, title: str | None = None) -> None:
    """Show an image, its corner at (0, 0), one unit per pixel.

    Args:
        ax: Axes.
        image: (H, W, 3) or (H, W) array, uint8 or floats from 0 to 1.
        title: text above the image.
    """
    height, width = image.shape[:2]
    ax.imshow(image, extent=(0, width, height, 0), cmap="gray")
    ax.set_axis_off()
    if title:
        ax.set_title(title, fontsize=TEXT_SIZE)


def draw_boxes(ax: Axes, boxes: Any, labels: Any = None, scores: Any = None,
               classes: Sequence[str] | None = None, linewidth: float = 2.0,
               colours: Sequence | None = None) -> None:
    """Draw boxes with their class and score, the best score on top.

    Args:
        ax: Axes, with the image if there is one; else the Axes stand for
            the whole image.
        boxes: (M, 4) corner boxes in fractions of the image.
        labels: (M,) class indices; default all 0 and no name.
        scores: (M,) scores, shown in per cent.
        classes: names of the classes; default the index.
        linewidth: in points.
        colours: one per box, instead of those of the classes; all lines
            are solid then.

    Raises:
        ValueError: the boxes are in pixels, or there are other numbers of
            colours and boxes.
    """
    corners = _corners(ax, boxes)
    if colours is not None:
        require(len(colours) == len(corners), "expected a colour for each of "
                f"{len(corners)} boxes, found {len(colours)}")
    order = range(len(corners)) if scores is None else np.argsort(scores)
    for row in order:
        label = 0 if labels is None else int(labels[row])
        colour, style = ((class_colour(label), line_style(label))
                         if colours is None else (colours[row], "solid"))
        frame = _add_frame(ax, corners[row], colour, style, linewidth)
        frame.set_path_effects([      # a dark rim, for bright backgrounds
            Stroke(linewidth=linewidth + 1.5, foreground="#222222"),
            Normal()])
        name = _caption(row, labels, scores, classes)
        if name:
            _write_inside(ax, corners[row, :2], name, colour)


def draw_anchors(ax: Axes, anchors: Any, colour: Any = PALETTE[1],
                 linewidth: float = 1.0, centres: bool = False) -> None:
    """Draw many boxes thinly and fast.

    Args:
        ax: Axes, see ``draw_boxes``.
        anchors: (N, 4) corner boxes in fractions of the image.
        colour: one colour, or one per anchor.
        linewidth: in points.
        centres: also mark the centre of each.
    """
    corners = _corners(ax, anchors)
    loops = corners[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    ax.add_collection(PolyCollection(loops, facecolors="none",
                                     edgecolors=colour, linewidths=linewidth))
    if centres:
        middle = corner_to_centre(corners)
        ax.plot(middle[:, 0], middle[:, 1], ".", color="#222222",
                markersize=4, scalex=False, scaley=False)


def draw_matches(ax: Axes, anchors: Any, boxes: Any, matched: Any) -> None:
    """Draw each object, and its anchors dashed in the same colour.

    Args:
        ax: Axes, see ``draw_boxes``.
        anchors: (N, 4) corner boxes.
        boxes: (M, 4) corner boxes of the objects.
        matched: (N,) index of the object of each anchor, -1 for none.
    """
    anchors, matched = _corners(ax, anchors), np.asarray(matched)
    for row, box in enumerate(_corners(ax, boxes)):
        for anchor in anchors[matched == row]:
            _add_frame(ax, anchor, class_colour(row), "dashed", 1.2)
        _add_frame(ax, box, class_colour(row), "solid", 3.0)


def draw_detections(ax: Axes, found: Any) -> None:
    """Draw a picture and what was found in it.

    Args:
        ax: Axes.
        found: ``Detections`` that know their picture.
    """
    draw_image(ax, found.image())
    draw_boxes(ax, found.boxes, found.labels, found.scores, found.classes)


def _corners(ax, boxes):
    """Return boxes, fractions of the image, in data units of the Axes."""
    boxes = np.reshape(np.asarray(boxes, dtype=float), (-1, 4))
    require_fractions(boxes)
    if ax.images:
        left, right, bottom, top = ax.images[0].get_extent()
        width, height = abs(right - left), abs(top - bottom)
    else:
        width = height = 1
        ax.set(xlim=(0, 1), ylim=(1, 0))
    return boxes * [width, height, width, height]


def _add_frame(ax, corners, colour, style, linewidth):
    """Draw one box, in data units of the Axes, and return it."""
    xmin, ymin, xmax, ymax = corners
    return ax.add_patch(Rectangle(
        (xmin, ymin), xmax - xmin, ymax - ymin, fill=False, edgecolor=colour,
        linestyle=style, linewidth=linewidth))


def _caption(row, labels, scores, classes):
    words = []
    if labels is not None:
        label = int(labels[row])
        words.append(str(classes[label] if classes else label))
    if scores is not None:
        words.append(f"{scores[row]:.0%}")
    return " ".join(words)


def _write_inside(ax, point, words, colour):
    """Write above a point, moved so that it stays in the Axes."""
    text = ax.text(*point, words, fontsize=TEXT_SIZE, va="bottom", ha="left",
                   color=text_colour(colour), clip_on=True,
                   bbox={"facecolor": colour, "edgecolor": "none", "pad": 1})
    ax.apply_aspect()
    room, taken = ax.get_window_extent(), text.get_window_extent().padded(2)
    place = ax.transData.transform(point)
    place = place - np.maximum(taken.max - room.max, 0)
    place = place + np.maximum(room.min - taken.min, 0)
    text.set_position(ax.transData.inverted().transform(place))


def plot_history(ax: Axes, history: Iterable[dict],
                 names: Sequence[str] = ("classification", "localisation"),
                 x: str = "step", logarithmic: bool = False) -> None:
    """Plot how numbers went during training.

    Args:
        ax: Axes.
        history: list of dictionaries, one per line of the history; a line
            may lack a name.
        names: what to plot, each a curve of its own.
        x: name of the horizontal axis.
        logarithmic: whether the vertical axis is.

    Raises:
        ValueError: no line of the history has one of the names.
    """
    for place, name in enumerate(names):
        points = [(row[x], row[name]) for row in history
                  if row.get(name) is not None]
        require(points, f"no line of the history has {name!r}")
        ax.plot(*zip(*points), label=name, color=line_colour(place),
                linestyle=LINE_STYLES[place % len(LINE_STYLES)], linewidth=2,
                marker="o" if len(points) == 1 else None)
    if logarithmic:
        ax.set_yscale("log")
    several = len(names) > 1
    finish_axes(ax, x, None if several else names[0], several)


def plot_precision_recall(ax: Axes, curves: Any) -> None:
    """Plot precision over recall.

    Args:
        ax: Axes.
        curves: a ``Curve``, or a dictionary of name -> ``Curve``.
    """
    named = curves if isinstance(curves, dict) else {None: curves}
    for place, (name, curve) in enumerate(named.items()):
        ax.plot(curve.recall, curve.precision, label=name,
                color=line_colour(place), linewidth=2,
                linestyle=LINE_STYLES[place % len(LINE_STYLES)],
                marker="o" if len(curve.recall) < 20 else None)
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.05)
    finish_axes(ax, "recall", "precision", None not in named)


def finish_axes(ax: Axes, xlabel: str | None, ylabel: str | None,
                legend: bool) -> None:
    """Give Axes their labels, a grid, and a legend where there is one."""
    if xlabel:
        ax.set_xlabel(xlabel, fontsize=TEXT_SIZE)
    if ylabel:
        ax.set_ylabel(ylabel, fontsize=TEXT_SIZE)
    ax.tick_params(labelsize=TEXT_SIZE - 1)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if legend:
        ax.legend(frameon=False, fontsize=TEXT_SIZE)
