"""The report over a data set, as a picture."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ...config.base import require
from ...visualisation import PALETTE, TEXT_SIZE
from ..outputs import save_figure
from .anchor_fit import recall
from .contents import Report, count_parts

_MOST = 20          # classes that have a bar
_SHOWN = 5000       # objects that have a dot
_STYLE = {"axes.titlesize": TEXT_SIZE, "axes.labelsize": TEXT_SIZE,
          "axes.spines.top": False, "axes.spines.right": False}
BLUE, ORANGE = PALETTE[4], PALETTE[5]


def save_report(path: str | Path, report: Report) -> None:
    """Write a Report as a picture of four parts.

    Args:
        path: a .png, .pdf or .svg file.
        report: ``Report`` with at least one object.

    Raises:
        ValueError: there is no object to draw.
    """
    require(len(report.labels), f"{report.title}: expected at least one "
            "object to draw, found none.")
    rows = min(len(report.classes), _MOST)
    figure = Figure(figsize=(11, 7 + max(0, rows - 8) * .25),
                    layout="constrained")
    parts = (_classes, _sizes, _shapes, _overlaps)
    with rc_context(_STYLE):
        for draw, ax in zip(parts, figure.subplots(2, 2).flat):
            draw(ax, report)
    figure.suptitle(count_parts(report), fontsize=TEXT_SIZE + 2)
    save_figure(path, figure)


def _classes(ax, report):
    """Bars: the objects of each class."""
    counts = np.bincount(report.labels, minlength=len(report.classes))
    order = np.argsort(-counts, kind="stable")[:_MOST]
    ax.barh(range(len(order)), counts[order], color=BLUE)
    ax.set_yticks(range(len(order)), [report.classes[row] for row in order])
    for place, row in enumerate(order):
        ax.annotate(f" {counts[row]}", (counts[row], place), va="center")
    ax.invert_yaxis()
    ax.margins(x=.15)
    more = len(counts) - len(order)
    ax.set(xlabel="objects", title="objects of each class"
           + (f" ({more} rarer ones left out)" if more else ""))


def _sizes(ax, report):
    """A histogram of sizes, and the sizes of the anchors."""
    bins = np.geomspace(min(report.shares.min(), .02) * .99, 1.01, 41)
    ax.hist(report.shares, bins, color=BLUE)
    ax.set_xscale("log")
    _plain(ax.xaxis)
    for row, spec in enumerate(report.fit.specs or ()):
        ax.axvline(spec.sizes[0], color=ORANGE, linestyle="dashed",
                   label=None if row else "suggested anchor sizes")
    if report.fit.specs:
        ax.legend(loc="upper left")
    ax.set(title="size of the objects", xlabel="root of the area / image",
           ylabel="objects")


def _shapes(ax, report):
    """A cloud of widths and heights, a colour for each of a few classes."""
    count = len(report.labels)
    rows = np.linspace(0, count - 1, min(count, _SHOWN)).astype(int)
    few = len(report.classes) <= len(PALETTE)
    for label in range(len(report.classes) if few else 1):
        mine = rows[report.labels[rows] == label] if few else rows
        ax.plot(*report.pixels[mine].T, ".", markersize=4, alpha=.5,
                color=PALETTE[label], label=report.classes[label])
    low, high = report.pixels.min() * .8, report.pixels.max() * 1.25
    for ratio, style in ((1, "solid"), (2, "dotted"), (.5, "dotted")):
        ax.plot([low, high], [low / ratio, high / ratio], color="#777777",
                linewidth=1, linestyle=style, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high),
           title="shape (line: 1:1, dotted: 2:1 and 1:2)",
           xlabel="width in pixels", ylabel="height in pixels")
    _plain(ax.xaxis)
    _plain(ax.yaxis)
    if few:
        ax.legend(loc="upper left", markerscale=2)


def _plain(axis):
    """Write 20, 50, 100 along a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _overlaps(ax, report):
    """Histograms of the best overlaps, now and with the suggestion."""
    bins, fit = np.linspace(0, 1, 41), report.fit
    ax.hist(fit.overlaps, bins, color=BLUE,
            label=f"{report.model}: {recall(fit.overlaps):.1%} above .5")
    if fit.specs:
        ax.hist(fit.suggested, bins, histtype="step", color=ORANGE,
                linewidth=2, label=f"suggested: {recall(fit.suggested):.1%}")
    ax.axvline(.5, color="#222222", linestyle="dashed")
    ax.legend(loc="upper left", framealpha=1)
    ax.set(title="IoU of each object with its best anchor", xlabel="IoU",
           ylabel="objects")
