"""Curves and bars: histories, precision over recall, classes, mistakes."""

from __future__ import annotations

import numpy as np

from .colours import PALETTE, STYLES, TEXT_SIZE, line_colour


def plot_history(ax, history, names=("classification", "localisation"),
                 x="step", logarithmic=False):
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
        if not points:
            raise ValueError(f"no line of the history has {name!r}")
        ax.plot(*zip(*points), label=name, color=line_colour(place),
                linestyle=STYLES[place % len(STYLES)], linewidth=2,
                marker="o" if len(points) == 1 else None)
    if logarithmic:
        ax.set_yscale("log")
    _finish(ax, x, None, len(names) > 1)
    if len(names) == 1:
        ax.set_ylabel(names[0], fontsize=TEXT_SIZE)


def plot_precision_recall(ax, curves):
    """Plot precision over recall.

    Args:
        ax: Axes.
        curves: a ``Curve``, or a dictionary of name -> ``Curve``.
    """
    named = curves if isinstance(curves, dict) else {None: curves}
    for place, (name, curve) in enumerate(named.items()):
        ax.plot(curve.recall, curve.precision, label=name,
                color=line_colour(place), linewidth=2,
                linestyle=STYLES[place % len(STYLES)],
                marker="o" if len(curve.recall) < 20 else None)
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.05)
    _finish(ax, "recall", "precision", None not in named)


def plot_classes(ax, names, values, overall=None):
    """Plot a figure of each class as bars, the best on top.

    Args:
        ax: Axes.
        names: of the classes.
        values: of the figure, from 0 to 1; nan where a class has none.
        overall: drawn as a line: the figure of all classes.
    """
    values = np.asarray(values, dtype=float)
    order = np.argsort(np.where(np.isnan(values), -1, values), kind="stable")
    ax.barh(range(len(order)), np.nan_to_num(values[order]),
            color=PALETTE[4])
    for row, value in enumerate(values[order]):
        ax.text(np.nan_to_num(value) + .01, row,
                "no objects" if np.isnan(value) else f"{value:.2f}",
                va="center", fontsize=TEXT_SIZE - 2)
    ax.set_yticks(range(len(order)), [names[place] for place in order])
    if overall is not None and not np.isnan(overall):
        ax.axvline(overall, color=PALETTE[5], linestyle="dashed")
    ax.set_xlim(0, 1.12)
    _finish(ax, "AP", None, False)


def plot_mistakes(ax, counts, colours):
    """Plot a number for each kind of mistake as bars.

    Args:
        ax: Axes.
        counts: {kind: number}, counts or what they cost.
        colours: {kind: colour}.
    """
    names, values = list(counts), np.array(list(counts.values()), float)
    ax.barh(range(len(names)), np.nan_to_num(values),
            color=[colours[name] for name in names])
    for row, value in enumerate(values):
        ax.text(np.nan_to_num(value), row, f" {value:.3g}", va="center",
                fontsize=TEXT_SIZE)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlim(0, max(np.nan_to_num(values).max(initial=0) * 1.2, 1e-3))
    _finish(ax, None, None, False)


def plot_sensitivity(ax, rows, whole, named=4):
    """Plot AP over the share of filters taken out, a curve for each layer.

    Args:
        ax: Axes.
        rows: what ``pruning.scan`` returns, or rows with layer, ratio, AP.
        whole: AP of the whole network.
        named: how many layers have a name and a colour: those that lose
            most on the average. The others are grey.
    """
    curves = {}
    for row in rows:
        curves.setdefault(row.layer, [(0, whole)]).append((row.ratio, row.AP))
    worst = sorted(curves, key=lambda layer: np.mean(
        [ap for _, ap in curves[layer]]))[:named]
    for layer, points in curves.items():
        if layer not in worst:
            ax.plot(*zip(*points), color="#999999", linewidth=1)
    for place, layer in enumerate(worst):
        ax.plot(*zip(*curves[layer]), label=layer, linewidth=2,
                color=line_colour(place), marker="o",
                linestyle=STYLES[place % len(STYLES)])
    ax.set_ylim(bottom=0)
    _finish(ax, "share of filters taken out", "AP", True)


def _finish(ax, xlabel, ylabel, legend):
    if xlabel:
        ax.set_xlabel(xlabel, fontsize=TEXT_SIZE)
    if ylabel:
        ax.set_ylabel(ylabel, fontsize=TEXT_SIZE)
    ax.tick_params(labelsize=TEXT_SIZE - 1)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if legend:
        ax.legend(frameon=False, fontsize=TEXT_SIZE)
