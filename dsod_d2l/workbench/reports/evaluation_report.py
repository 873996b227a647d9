"""The report of an evaluation: a folder of pictures, and the numbers."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ... import evaluation
from ...detection import Detections
from ...files import write_atomically
from ...visualisation import (LINE_STYLES, PALETTE, TEXT_SIZE, draw_boxes,
                              draw_image, finish_axes, line_colour,
                              plot_precision_recall)
from ..outputs import save_figure
from . import mistakes as faults


def plot_classes(ax: Any, names: Sequence[str], values: Iterable[float],
                 overall: float = np.nan) -> None:
    """Plot a figure of each class as bars, the best on top.

    Args:
        ax: Axes.
        names: of the classes.
        values: of the figure, from 0 to 1; nan where a class has none.
        overall: drawn as a line: the figure of all classes, or nan.
    """
    values = np.array([*values], dtype=float)
    order = np.argsort(np.nan_to_num(values, nan=-1), kind="stable")
    _bars(ax, [names[place] for place in order], values[order], PALETTE[4],
          ["no objects" if np.isnan(value) else f"{value:.2f}"
           for value in values[order]], padding=3, fontsize=TEXT_SIZE - 2)
    if not np.isnan(overall):
        ax.axvline(overall, color=PALETTE[5], linestyle="dashed")
    ax.set_xlim(0, 1.12)
    finish_axes(ax, "AP", None, False)


def plot_mistakes(ax: Any, counts: dict[str, float | None],
                  colours: dict[str, str]) -> None:
    """Plot a number for each kind of mistake as bars.

    Args:
        ax: Axes.
        counts: {kind: number}, counts or what they cost; None: not known.
        colours: {kind: colour}.
    """
    values = np.array(list(counts.values()), dtype=float)
    _bars(ax, list(counts), values, [colours[name] for name in counts],
          [f" {value:.3g}" for value in values], fontsize=TEXT_SIZE)
    ax.invert_yaxis()
    ax.set_xlim(0, max(np.nan_to_num(values).max(initial=0) * 1.2, 1e-3))
    finish_axes(ax, None, None, False)


def _bars(ax, names, values, colours, words, **style):
    """Draw a bar for each name, with words behind it; nan has no length."""
    bars = ax.barh(range(len(names)), np.nan_to_num(values), color=colours,
                   tick_label=names)
    ax.bar_label(bars, words, **style)


def plot_sensitivity(ax: Any, rows: Iterable[Any], whole: float,
                     named: int = 4) -> None:
    """Plot AP over the share of filters taken out, a curve for each layer.

    Args:
        ax: Axes.
        rows: what ``pruning.scan`` returns, or rows with layer, ratio, AP.
        whole: AP of the whole network.
        named: how many layers have a name and a colour: those that lose
            most on the average. The others are grey.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        curves.setdefault(row.layer, [(0, whole)]).append((row.ratio, row.AP))
    worst = sorted(curves, key=lambda layer: np.mean(curves[layer], 0)[1])
    worst = worst[:named]
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
NOTHING = "(nothing)"  # behind the classes of a confusion
FIGURE_NAMES = ("classes.png", "curves.png", "mistakes.png", "confusion.png")
WORST = "worst/[0-9][0-9]-*.png"
NUMBERED = 25          # more rows than these have no room for numbers


def write_report(folder: str | Path, dataset: Any, classes: Sequence[str],
                 detections: Sequence[Detections], truths: Sequence[Any],
                 result: evaluation.Evaluation, worst: int = 12,
                 threshold: float | None = None, near: float = faults.NEAR,
                 more: dict[str, Any] | None = None
                 ) -> tuple[list[Path], dict[str, Any]]:
    """Write what an evaluation found, as pictures and as JSON.

    Args:
        folder: where to; it is made.
        dataset: the data set, to draw its worst images; or None.
        classes: names of the classes.
        detections, truths: as for ``evaluation.evaluate_detections``.
        result: the ``Evaluation``.
        worst: how many images to draw at most.
        threshold: score from which detections count as such, for precision,
            recall, confusions and mistakes; None: that of the best F1.
        near: least IoU of what is right there; AP50 keeps its own.
        more: what to write of the figures instead of ``result.to_dict()``.

    Returns:
        (paths, value): the files ``evaluation.json``, ``classes.png``,
        ``curves.png``, ``mistakes.png``, ``confusion.png`` and
        ``worst/*.png``, the worst first; what the JSON file holds.
    """
    every = faults.find_mistakes(detections, truths)
    if threshold is None:
        threshold = faults.best_threshold(every if near == faults.NEAR else (
            faults.find_mistakes(detections, truths, near=near)))
    mistakes = faults.find_mistakes(detections, truths, threshold, near)
    bad = faults.worst_images(mistakes, worst)
    value = {**(more or result.to_dict()), "mistakes": {
        "threshold": threshold, "IoU": near,
        "counts": faults.count_mistakes(mistakes),
        "AP50 lost": {name: None if cost != cost else cost for name, cost in
                      faults.cost_of_mistakes(every, len(classes)).items()}},
             "at_threshold": _at_threshold(mistakes, threshold, near, classes),
             "worst": [{"image": image, "mistakes": number}
                       for image, number in bad]}
    for row, name in zip(value["classes"], classes):
        row["name"] = name
    paths = [Path(folder, name) for name in ("evaluation.json", *FIGURE_NAMES)]
    with written_axes(paths[1], 6, 1.2 + _ROW * len(classes)) as ax:
        plot_classes(ax, classes, [row.AP for row in result.classes],
                     result.AP)
    _curves(paths[2], classes, every, result)
    _mistakes(paths[3], value["mistakes"])
    _confusion(paths[4], value["at_threshold"]["confusion"])
    if dataset is not None:
        for path in Path(folder).glob(WORST):
            path.unlink()               # of an earlier report
        for place, (image, _) in enumerate(bad):
            paths.append(_image(folder, place, image, dataset[image], classes,
                                detections[image], truths[image], threshold,
                                near))
            value["worst"][place]["source"] = dataset[image].source
    write_atomically(paths[0], (json.dumps(value, indent=1) + "\n").encode())
    return paths, value


def _at_threshold(mistakes, threshold, near, classes):
    """Return what is right and wrong at a score, JSON-ready."""
    table = faults.count_confusions(mistakes, len(classes))
    rows = [{name: None if np.isnan(value) else float(value)
             for name, value in zip(("precision", "recall", "F1"), values)}
            for values in zip(*faults.precision_and_recall(table).values())]
    return {"score": threshold, "IoU": near, **rows.pop(),
            "classes": [{"name": name, **row}
                        for name, row in zip(classes, rows)],
            "confusion": {"names": [*classes, NOTHING],
                          "objects by detections": table.tolist()}}


@contextlib.contextmanager
def written_axes(path: Path, width: float, height: float,
                 columns: int = 1) -> Iterator[Any]:
    """Yield the Axes of a picture, an array of them where there are several.

    Args:
        path: where it is written to at the end; its folder is made.
        width, height: in inches.
        columns: how many Axes, side by side.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure.subplots(1, columns)
    save_figure(path, figure)


def _curves(path, names, mistakes, result):
    """Plot the curves of the best and the worst classes, and of all."""
    there = sorted((row for row in result.classes if row.objects),
                   key=lambda row: -row.AP50)
    half = CURVES // 2
    if len(there) > CURVES:
        there = there[:CURVES - half] + there[-half:]
    curves = {f"{names[row.label]} {row.AP50:.2f}": faults.class_curve(
        mistakes, row.label, row.objects) for row in there}
    with written_axes(path, 6, 4.5) as ax:
        plot_precision_recall(ax, curves)
        ax.set_title("IoU .5, with AP50", fontsize=TEXT_SIZE)


def _mistakes(path, found):
    titles = {"counts": f"how many, at a score of {found['threshold']:.2f}"
              + f" and IoU {found['IoU']:g}" * (found["IoU"] != faults.NEAR),
              "AP50 lost": "AP50 that each kind costs"}
    with written_axes(path, 9, 3.2, 2) as axes:
        for ax, (name, title) in zip(axes, titles.items()):
            plot_mistakes(ax, found[name], COLOURS)
            ax.set_title(title, fontsize=TEXT_SIZE)


def _confusion(path, found):
    """Draw the confusions: the share of each row, and numbers if few."""
    names = found["names"]
    table = np.array(found["objects by detections"])
    side = 2.5 + _ROW * len(names)
    with written_axes(path, side + .5, side) as ax:
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(names) <= NUMBERED:
            for (row, column), number in np.ndenumerate(table):
                ax.text(column, row, number, ha="center", va="center",
                        fontsize=TEXT_SIZE - 3, color="black"
                        if shares[row, column] < .5 else "white")
        ax.set_xticks(range(len(names)), names, rotation=90)
        ax.set_yticks(range(len(names)), names)
        finish_axes(ax, "detections", "objects", False)
        ax.grid(False)


def _image(folder, place, number, sample, classes, one, truth, threshold,
           near=faults.NEAR):
    """Draw one image with what is right and what is wrong in it."""
    found = faults.find_mistakes([one], [truth], threshold, near)
    boxes = one.boxes[np.argsort(-one.scores, kind="stable")]
    truth = evaluation.Truth(*truth).whole()
    missed = np.flatnonzero(found.state == "missed")
    kinds = [*found.kind, *["missed"] * len(missed)]
    words = [f"{kind} {classes[label]}" for kind, label in zip(
        kinds, [*found.labels, *truth.labels[missed]])]
    height, width = sample.image.shape[:2]
    path = Path(folder, "worst", f"{place + 1:02d}-{number:06d}.png")
    with written_axes(path, 8, max(8 * height / width, 2)) as ax:
        draw_image(ax, sample.image)
        draw_boxes(ax, np.vstack([boxes[:len(found.kind)],
                                  truth.boxes[missed]]),
                   np.arange(len(kinds)), classes=words,
                   colours=[COLOURS[kind] for kind in kinds])
    return path
