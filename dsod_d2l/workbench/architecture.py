"""Architectures as line drawings: a network, a block, a pyramid, a kernel.

What is drawn is asked of the built object: its graph says what reads what,
and how large each map is. A drawing is SVG, 360 units wide, which a telephone
shows without shrinking; its text is text, its lines take the page's colour.
"""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import mxnet as mx
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Curve

from ..files import write_atomically
from ..models import build
from ..models.network import Network
from ..models.refinedet import Refinement
from ..models.summary import graph_shapes, output_shape, trace_stages
from ..visualisation import PALETTE, text_colour
from .outputs import FIGURE_SUFFIXES, MARK, check_ending, save_figure

ACROSS = 360                     # units, and pixels of a telephone
LETTERS, SMALL_LETTERS = 14, 12.5          # sizes of letters, in units
CENTRE, BOX, HIGH = 118, 112, 46  # of boxes: middle, greatest width and height
# Colour -> how the names of such stages begin.
STAGE_KINDS = {
    PALETTE[0]: ("dense block", "VGG block", "fc6"),
    PALETTE[1]: ("stem", "halving"), PALETTE[3]: ("transition", "transfer"),
    PALETTE[2]: ("dense prediction", "plain prediction", "extra layers"),
    PALETTE[4]: ("gate",), PALETTE[6]: ("reuse", "map")}
OTHER, MAP_MARK, INK = "#BBBBBB", PALETTE[5], "#222222"
ANCHORS = {"start": "left", "middle": "center"}
WORDS = 180                     # where the text beside a box begins
# Seen by itself, a drawing follows the reader's light or dark.
STYLE = ("<style>:root{color:#222}@media(prefers-color-scheme:dark)"
         "{:root{color:#ddd}}</style>")
SHOWN = {"Convolution": "", "Deconvolution": "doubled by ", "Pooling": "",
         "Concat": "joined", "FullyConnected": "fully connected",
         "broadcast_mul": "times", "elemwise_add": "sum",
         "UpSampling": "repeated", "L2Normalization": "length 1"}
BETWEEN = {"BatchNorm": "BN", "relu": "ReLU", "sigmoid": "sigmoid"}


class Drawing:
    """A line drawing, shown by notebooks as it is.

    Args:
        name: what it shows, for its repr.
    """

    def __init__(self, name: str):
        self.name, self.height = name, 0.0
        self.lines: list[str] = []      # behind
        self.shapes: list[str] = []     # in front of them

    def __repr__(self):
        return f"<Drawing of {self.name}>"

    def _repr_svg_(self) -> str:
        return "\n".join([
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 '
            f'{ACROSS} {self.height:.0f}" width="100%" '
            'style="max-width:32rem" font-family="system-ui, sans-serif" '
            'fill="currentColor">',
            STYLE, *self.lines, *self.shapes, "</svg>"])

    def save(self, path: str | Path) -> None:
        """Write the drawing into a file.

        Args:
            path: its ending, one of ``FIGURE_SUFFIXES``, says which format.

        Raises:
            ValueError: the ending is none of these.
        """
        suffix = check_ending(Path(path), FIGURE_SUFFIXES,
                              f"{path}: expected a name")
        if suffix != ".svg":
            save_figure(path, self._figure(), 150)
            return
        write_atomically(path, b"<!-- %s -->%s" % (
            MARK, self._repr_svg_().encode()))

    def _figure(self):
        """Return the drawing as a figure: a unit is a point, ink is dark."""
        figure = Figure((ACROSS / 72, self.height / 72), dpi=150)
        ax = figure.add_axes((0, 0, 1, 1), xlim=(0, ACROSS),
                             ylim=(self.height, 0))
        ax.set_axis_off()
        for one in ElementTree.fromstring(self._repr_svg_()):
            ink = {name: INK if value == "currentColor" else value
                   for name, value in one.attrib.items()}
            x, y, wide, high = (float(ink.get(name, 0)) for name in (
                "x", "y", "width", "height"))
            if one.tag.endswith("rect"):
                ax.add_patch(Rectangle(
                    (x, y), wide, high, fc=ink["fill"], ec=INK, linewidth=0.8,
                    linestyle="--" if "stroke-dasharray" in ink else "-"))
            elif one.tag.endswith("text"):      # this font is a wide one
                ax.text(x, y, one.text, size=0.84 * float(ink["font-size"]),
                        color=ink["fill"], ha=ANCHORS[ink["text-anchor"]])
            elif one.tag.endswith("path"):
                points = np.array(re.findall(r"-?[\d.]+", ink["d"]), float)
                bend = Curve.CURVE4 if "C" in ink["d"] else Curve.LINETO
                codes = [Curve.MOVETO] + [bend] * (len(points) // 2 - 1)
                ax.add_patch(PathPatch(
                    Curve(points.reshape(-1, 2), codes), fc=ink["fill"],
                    ec=ink.get("stroke", ink["fill"]), linewidth=1.2))
        return figure

    def box(self, x: float, y: float, width: float, height: float,
            fill: str = "none", **more: Any) -> None:
        """Add a rectangle, given by its middle and its sides."""
        self.height = max(self.height, y + height / 2 + 6)
        extra = "".join(f' {name}="{value}"' for name, value in more.items())
        self.shapes.append(
            f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" fill="{fill}" '
            f'stroke="currentColor"{extra}/>')

    def text(self, x: float, y: float, words: str, size: float = SMALL_LETTERS,
             anchor: str = "start", colour: str = "currentColor") -> None:
        """Add words; the point is at half the height of small letters."""
        self.height = max(self.height, y + size)
        self.shapes.append(
            f'<text x="{x:.1f}" y="{y + 0.35 * size:.1f}" font-size="{size}" '
            f'text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>')

    def arrow(self, *points: tuple[float, float], curved: bool = False,
              colour: str = "currentColor") -> None:
        """Add an arrow along points; two of them in between bend a curve."""
        end, before = np.array(points[-1]), np.array(points[-2])
        way = 7 * (end - before) / max(np.hypot(*(end - before)), 1)
        side = way[::-1] * [-0.5, 0.5]
        start, *rest = [f"{x:.1f} {y:.1f}" for x, y in (
            *points, end - way + side, end - way - side)]
        *rest, left, right = rest
        self.lines += [
            f'<path d="M{start} {"C" if curved else "L"}{" ".join(rest)}" '
            f'fill="none" stroke="{colour}" stroke-width="1.6"/>',
            f'<path d="M{left} L{rest[-1]} L{right}" fill="{colour}"/>']

    def arc(self, left: float, right: float, y: float, colour: str) -> None:
        """Add a round arc over two places of a line."""
        top = y - 2 / 3 * (right - left)
        self.lines.append(
            f'<path d="M{left:.1f} {y:.1f}C{left:.1f} {top:.1f} {right:.1f} '
            f'{top:.1f} {right:.1f} {y:.1f}" fill="none" stroke="{colour}" '
            'stroke-width="3"/>')


class MapRow(NamedTuple):
    """A map of a column: its words, shape, what it reads, and its marks."""

    name: str
    shape: tuple[int, int, int]
    reads: tuple[int, ...] = ()
    colour: str = OTHER
    mark: str = ""


def draw_architecture(thing: Any, shape: Sequence[int] | None = None,
                      view: str = "stages") -> Drawing:
    """Draw a network, or a part of one, from its graph.

    In a column a box is as wide as its map, and as high as it has channels.

    Args:
        thing: a ``Network``, or a preset's name; with a shape any Gluon
            block; for "arcs" a list of blocks of layers by name, for
            "kernels" of convolutions.
        shape: (channels, rows, columns) of what a block reads.
        view: "stages" in a column; "pyramid", the maps before and after;
            "arcs", which layer reads which; "kernels", the cells one reads.

    Raises:
        ValueError: there is no such view.

    >>> from dsod_d2l import models
    >>> draw_architecture(models.build("dsod_tiny"))
    <Drawing of dsod_tiny>
    """
    views = {"pyramid": _pyramid, "arcs": _arcs, "kernels": _kernels}
    if view in views:
        return views[view](thing)
    if view != "stages":
        raise ValueError("view: expected one of stages, "
                         f"{', '.join(views)}, found {view!r}")
    thing = build(thing) if isinstance(thing, str) else thing
    if isinstance(thing, Network):
        return _column(thing.config.name, _stages(thing))
    return _column(type(thing).__name__, _operators(thing, tuple(shape or ())))


def _column(name, rows):
    """Draw rows one below the other, and what reads what."""
    drawing, places, top = Drawing(name), [], 8.0
    most = max(row.shape[0] for row in rows[1:])
    widest = max(row.shape[2] for row in rows[1:])
    for row in rows:
        image = not row.reads         # which is not drawn to scale
        width = BOX * min(row.shape[2] / widest, 1)
        height = 14 if image else max(HIGH * row.shape[0] / most, 2)
        room = max(height, 36) + 22 * bool(row.mark)
        y = top + room / 2
        top += room + 14
        drawing.box(CENTRE, y, max(width, 2), height,
                    "none" if image else row.colour,
                    **{"stroke-dasharray": "4 3"} if image else {})
        line = y - 9 - 11 * bool(row.mark)
        drawing.text(WORDS, line, row.name, LETTERS)
        channels, high, wide = row.shape
        drawing.text(WORDS, line + 18, f"{channels:,} channels, {high} × "
                     f"{wide}")
        if row.mark:
            wide = 7.2 * len(row.mark) + 8
            drawing.box(WORDS + wide / 2, line + 40, wide, 19, MAP_MARK, rx=3)
            drawing.text(WORDS + 4, line + 40, row.mark,
                         colour=text_colour(MAP_MARK))
        places.append((y, width / 2, height / 2))
    for k, row in enumerate(rows):
        y, half, high = places[k]
        for source in row.reads:
            from_y, from_half, from_high = places[source]
            if source == k - 1:
                drawing.arrow((CENTRE, from_y + from_high), (CENTRE, y - high))
                continue
            out = CENTRE - BOX / 2 - min(14 + 9 * (k - source), 74)
            drawing.arrow((CENTRE - from_half, from_y), (out, from_y),
                          (out, y), (CENTRE - half - 1, y), curved=True,
                          colour=MAP_MARK)
    return drawing


def _reads(nodes, names):
    """Return, for each of some nodes, which of them it reads."""
    places = {name: k for k, name in enumerate(names)}
    found: dict[str, set[int]] = {}
    for name, node in nodes.items():          # what is read stands before
        found[name] = set()
        for source in (one["name"] for one in node["from"]):
            found[name] |= ({places[source]} if source in places
                            else found[source])
    return [tuple(sorted(found[name])) for name in names]


def _stages(net):
    """Return the rows of a network: its stages, and the maps it joins."""
    config = net.config
    called, outputs, maps = trace_stages(net)
    shapes, nodes = graph_shapes(outputs + maps, (1, 3, *config.input_size))
    words = {one.name: f"map {k}, joined" for k, one in enumerate(maps, 1)}
    words |= {one.name: name for (name, _), one in zip(called, outputs)}
    words["data"] = "image"
    marks = {one.name: f"map {k}: {rows * columns * spec.per_cell:,} anchors"
             for k, (one, (rows, columns), spec) in enumerate(
                 zip(maps, config.map_shapes(), config.anchors), 1)}
    names = [name for name in nodes if name in words]
    return [MapRow(words[name], output_shape(nodes[name], shapes)[1:], reads,
                   _colour(words[name]), marks.get(name, ""))
            for name, reads in zip(names, _reads(nodes, names))]


def _colour(name):
    """Return the colour of a kind of stage."""
    return next((colour for colour, kinds in STAGE_KINDS.items()
                 if name.startswith(kinds)), OTHER)


def _operators(block, shape):
    """Return the rows of a block: what makes a map, or joins some."""
    shapes, nodes = graph_shapes([block(mx.sym.var("data"))], (1, *shape))
    last = list(nodes)[-1]
    names = [name for name, node in nodes.items()
             if name in ("data", last) or node["op"] in SHOWN]
    rows = []
    for name, reads in zip(names, _reads(nodes, names)):
        node = nodes[name]
        words = [_words(node)] if name != "data" else ["input"]
        before = list(node["from"])
        while before:
            one = before.pop()
            if one["op"] != "null" and one["name"] not in names:
                words.insert(0, _words(one))
                before += one["from"]
        kind = PALETTE[1] if "×" in words[-1] else PALETTE[3]
        cells = output_shape(node, shapes)[1:]      # of a vector: one
        rows.append(MapRow(", ".join(filter(None, words)),
                        (*cells, 1, 1)[:3], reads, kind))
    return rows


def _words(node):
    """Return what a node of a graph does, in few words."""
    attrs, kind = node.get("attrs", {}), node["op"]
    if kind not in SHOWN:
        return BETWEEN.get(attrs.get("act_type", kind), "")
    if attrs.get("global_pool") == "True":
        return "mean of all" if attrs["pool_type"] == "avg" else "maximum"
    words = attrs.get("kernel", "").strip("()").replace(", ", " × ")
    words = f"{SHOWN[kind]}{words}" + " pool" * (kind == "Pooling")
    for name in ("stride", "dilate"):
        number = attrs.get(name, "(1").strip("()").partition(",")[0]
        words += f", {name} {number}" if number != "1" else ""
    return words


def _pyramid(net):
    """Draw the maps of the body on the left, and what is made of them."""
    drawing, data = Drawing(f"{net.config.name}'s pyramid"), mx.sym.var("data")
    if isinstance(net, Refinement):
        left = net.sources(mx.sym, data)
        right = net.transferred(left)
    else:
        left = net.plain_maps(mx.sym, data)
        right = net.gated(mx.sym, left)
    shapes, nodes = graph_shapes(left + right, (1, 3, *net.config.input_size))
    names = [one.name for one in left + right]
    sizes = [output_shape(nodes[name], shapes)[1:] for name in names]
    most, *_, widest = np.max(sizes, axis=0)
    drawing.text(76, 12, "made by the body", LETTERS, "middle")
    drawing.text(272, 12, "asked for boxes", LETTERS, "middle")
    places = []
    for k, (channels, rows, columns) in enumerate(sizes):
        x, y = (76, 272)[k >= len(left)], 56 + 84 * (k % len(left))
        width, height = BOX * columns / widest, HIGH * channels / most
        drawing.box(x, y, width, height, PALETTE[k < len(left)])
        drawing.text(x, y + 34, f"{channels} ch, {rows} × {columns}",
                     anchor="middle")
        places.append((x, y, width / 2, height / 2))
    for k, reads in enumerate(_reads(nodes, names)[len(left):], len(left)):
        x, y, half, _ = places[k]
        for from_x, from_y, wide, tall in (places[one] for one in reads):
            lower = from_y > y          # a coarser map
            ends = ([(x, from_y - tall), (x, y + 40)] if from_x == x else
                    [(from_x + wide, from_y), (x - half, y + 9 * lower)])
            drawing.arrow(*ends, colour=MAP_MARK if lower else "currentColor")
    return drawing


def _arcs(blocks):
    """Draw which layer reads which, an arc for each connection."""
    drawing, top = Drawing(" and ".join(blocks)), 16.0
    for name, block in blocks.items():
        reads = _layers(block)
        step = (ACROSS - 40) / len(reads)
        span = max(k - one[0] for k, one in enumerate(reads, 1))
        base = top + 30 + step * span / 2
        drawing.text(8, top, f"{name}: {sum(map(len, reads))} connections",
                     LETTERS)
        for k, one in enumerate(reads, 1):
            for source in one:
                drawing.arc(20 + step * source, 20 + step * k, base,
                            PALETTE[(1, 0, 2, 6, 5, 4)[(k - source - 1) % 6]])
        for k in range(len(reads) + 1):
            drawing.box(20 + step * k, base, 24, 24, "#EEEEEE", rx=12)
            drawing.text(20 + step * k, base, str(k or "in"),
                         anchor="middle", colour="black")
        top = base + 44
    return drawing


def _layers(block):
    """Return, for each layer of a block, the layers that it reads."""
    x, names = mx.sym.var("data"), ["data"]
    for layer in block:
        x = layer(x)
        _, nodes = graph_shapes([x], ())
        names.append([name for name, node in nodes.items()
                      if node["op"] == "Convolution"][-1])
    return _reads(nodes, names)[1:]


def _kernels(convolutions):
    """Draw the cells of a map that each of some convolutions looks at."""
    drawing, side = Drawing("kernels"), 104
    for k, (name, layer) in enumerate(convolutions.items()):
        kernel, gap = layer._kwargs["kernel"][0], layer._kwargs["dilate"][0]
        cells = (kernel - 1) * gap + 1
        step, top = side / cells, 8 + k * (side + 20)
        for row, column in np.ndindex(cells, cells):
            seen = row % gap == 0 == column % gap
            drawing.box(12 + step * (column + 0.5), top + step * (row + 0.5),
                        step - 1, step - 1, PALETTE[0] if seen else "none",
                        **{"stroke-opacity": 1 if seen else 0.35})
        gaps = f", gaps of {gap}" if gap > 1 else ""
        words = [name, f"{kernel} × {kernel} weights{gaps}",
                 f"over {cells} × {cells} cells"]
        for line, one in enumerate(words):
            drawing.text(136, top + 32 + 20 * line, one)
    return drawing
