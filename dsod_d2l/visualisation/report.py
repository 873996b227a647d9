"""The report of an evaluation: a folder of pictures, and the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .. import evaluation as ev
from .boxes import draw_boxes, draw_image
from .colours import PALETTE, TEXT_SIZE
from .curves import plot_classes, plot_mistakes, plot_precision_recall

# The same in the picture of an image and in the bars.
COLOURS = {"right": PALETTE[2], "ignored": "#999999",
           "localisation": PALETTE[0], "class": PALETTE[5],
           "both": PALETTE[4], "duplicate": PALETTE[1],
           "background": PALETTE[6], "missed": PALETTE[3]}
CURVES = 5            # more curves than this in one picture cannot be read
ROW = 0.3             # inches of a bar


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
    every = ev.find_mistakes(detections, truths)
    threshold = ev.best_threshold(every)
    mistakes = ev.find_mistakes(detections, truths, threshold)
    value = {**result.to_dict(), "mistakes": {
        "threshold": threshold, "counts": ev.count_mistakes(mistakes),
        "AP50 lost": {name: None if cost != cost else cost for name, cost in
                      ev.cost_of_mistakes(every, len(classes)).items()}}}
    for row, name in zip(value["classes"], classes):
        row["name"] = name
    bad = ev.worst_images(mistakes, worst)
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
    figure, ax = _axes(6, 1.2 + ROW * len(names))
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
        curves[f"{names[row.label]} {row.AP50:.2f}"] = ev.precision_recall(
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
    found = ev.find_mistakes([one], [truth], threshold)
    order = np.argsort(-np.asarray(one.scores), kind="stable")
    boxes = np.asarray(one.boxes)[order][:len(found.kind)]
    truth = ev.Truth(*truth).whole()
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
