"""The report of an evaluation: a folder of pictures, and the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ... import evaluation
from ...visualisation import (LINE_STYLES, PALETTE, TEXT_SIZE, draw_boxes,
                              draw_image, finish_axes, line_colour,
                              plot_precision_recall)
from . import mistakes as faults


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
    finish_axes(ax, "AP", None, False)


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
    finish_axes(ax, None, None, False)


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
                linestyle=LINE_STYLES[place % len(LINE_STYLES)])
    ax.set_ylim(bottom=0)
    finish_axes(ax, "share of filters taken out", "AP", True)


# The same in the picture of an image and in the bars.
COLOURS = {"right": PALETTE[2], "ignored": "#999999",
           "localisation": PALETTE[0], "class": PALETTE[5],
           "both": PALETTE[4], "duplicate": PALETTE[1],
           "background": PALETTE[6], "missed": PALETTE[3]}
CURVES = 5            # more curves than this in one picture cannot be read
_ROW = 0.3             # inches of a bar


def write_report(folder, dataset, classes, detections, truths, result,
                 worst=12):
    """Write what an evaluation found, as pictures and as JSON.

    Args:
        folder: where to; it is made.
        dataset: the data set, to draw its worst images; or None.
        classes: names of the classes.
        detections, truths: as for ``evaluation.evaluate_detections``.
        result: the ``Evaluation``.
        worst: how many images to draw at most.

    Returns:
        (paths, value): the files ``evaluation.json``, ``classes.png``,
        ``curves.png``, ``mistakes.png`` and ``worst/*.png``, the worst
        first; what the JSON file holds.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    every = faults.find_mistakes(detections, truths)
    threshold = faults.best_threshold(every)
    mistakes = faults.find_mistakes(detections, truths, threshold)
    value = {**result.to_dict(), "mistakes": {
        "threshold": threshold, "counts": faults.count_mistakes(mistakes),
        "AP50 lost": {name: None if cost != cost else cost for name, cost in
                      faults.cost_of_mistakes(every, len(classes)).items()}}}
    for row, name in zip(value["classes"], classes):
        row["name"] = name
    bad = faults.worst_images(mistakes, worst)
    value["worst"] = [{"image": image, "mistakes": number}
                      for image, number in bad]
    paths = [_classes(folder, classes, result),
             _curves(folder, classes, every, result),
             _mistakes(folder, value["mistakes"])]
    if dataset is not None:
        for path in (folder / "worst").glob("[0-9][0-9]-*.png"):
            path.unlink()               # of an earlier report
        for place, (image, number) in enumerate(bad):
            paths.append(_image(folder, place, image, dataset[image], classes,
                                detections[image], truths[image], threshold))
            value["worst"][place]["source"] = dataset[image].source
    paths.insert(0, folder / "evaluation.json")
    paths[0].write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    return paths, value


def _axes(width, height, columns=1):
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def _classes(folder, names, result):
    figure, ax = _axes(6, 1.2 + _ROW * len(names))
    plot_classes(ax, names, [row.AP for row in result.classes], result.AP)
    figure.savefig(folder / "classes.png", dpi=100)
    return folder / "classes.png"


def _curves(folder, names, mistakes, result):
    """Plot the curves of the best and the worst classes, and of all."""
    judged = mistakes.kind != "ignored"
    there = sorted((row for row in result.classes if row.objects),
                   key=lambda row: -row.AP50)
    half = CURVES // 2
    shown = there if len(there) <= CURVES else (
        there[:CURVES - half] + there[-half:])
    curves = {}
    for row in shown:
        rows = judged & (mistakes.labels == row.label)
        label = f"{names[row.label]} {row.AP50:.2f}"
        curves[label] = evaluation.precision_recall(
            mistakes.scores[rows], mistakes.kind[rows] == "right",
            row.objects)
    figure, ax = _axes(6, 4.5)
    plot_precision_recall(ax, curves)
    ax.set_title("IoU .5, with AP50", fontsize=TEXT_SIZE)
    figure.savefig(folder / "curves.png", dpi=100)
    return folder / "curves.png"


def _mistakes(folder, found):
    figure, axes = _axes(9, 3.2, 2)
    plot_mistakes(axes[0], found["counts"], COLOURS)
    axes[0].set_title(f"how many, at a score of {found['threshold']:.2f}",
                      fontsize=TEXT_SIZE)
    plot_mistakes(axes[1], {name: np.nan if cost is None else cost
                            for name, cost in found["AP50 lost"].items()},
                  COLOURS)
    axes[1].set_title("AP50 that each kind costs", fontsize=TEXT_SIZE)
    figure.savefig(folder / "mistakes.png", dpi=100)
    return folder / "mistakes.png"


def _image(folder, place, number, sample, classes, one, truth, threshold):
    """Draw one image with what is right and what is wrong in it."""
    found = faults.find_mistakes([one], [truth], threshold)
    order = np.argsort(-np.asarray(one.scores), kind="stable")
    boxes = np.asarray(one.boxes)[order][:len(found.kind)]
    truth = evaluation.Truth(*truth).whole()
    missed = np.flatnonzero(found.state == "missed")
    kinds = [*found.kind, *["missed"] * len(missed)]
    words = [f"{kind} {classes[label]}" for kind, label in zip(
        kinds, [*found.labels, *truth.labels[missed]])]
    height, width = sample.image.shape[:2]
    figure, ax = _axes(8, max(8 * height / width, 2))
    draw_image(ax, sample.image)
    draw_boxes(ax, np.vstack([boxes.reshape(-1, 4), truth.boxes[missed]]),
               np.arange(len(kinds)), classes=words,
               colours=[COLOURS[kind] for kind in kinds])
    path = folder / "worst" / f"{place + 1:02d}-{number:06d}.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)
    return path
