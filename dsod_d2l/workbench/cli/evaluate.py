"""The command evaluate."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ...config import DetectConfig
from .options import (DataOptions, add_detector, add_fields, figures,
                      make_detector, open_data)

# of the table: {heading: figure}
_COLUMNS = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "VOC07": "voc07",
            "VOC12": "voc12", "small": "AP_small", "medium": "AP_medium",
            "large": "AP_large", "AR": "AR"}


class EvaluateOptions(DataOptions):
    """How it is judged, and what is written.

    most: detections per image and class that count, 100 for COCO
    strict: VOC: ask for an IoU above .5, not of .5
    pixel: VOC: count the last pixel as part of a box, as its own program
        does
    out (FOLDER): write a report: curves, classes, kinds of mistakes, worst
        images
    save: also write the detections to FOLDER, as result files of VOC or of
        COCO
    """

    most: int = 100
    strict: bool = False
    pixel: bool = False
    out: str | None = None
    save: Literal["voc", "coco"] | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options."""
    add_fields(parser, EvaluateOptions)
    add_detector(parser, DetectConfig.score_threshold)


def run(options: Namespace) -> tuple[Any, str]:
    """Judge weights on a data set: AP, AP50 and AP75 as fractions."""
    from ...evaluation import evaluate_detections, run_detector
    if options.save and not options.out:
        raise ValueError("--save needs --out, the folder to write to")
    detector, dataset = make_detector(options), open_data(options)
    detections, truths = run_detector(detector, dataset)
    result = evaluate_detections(detections, truths, len(detector.classes),
                                 options.most, options.strict, options.pixel)
    value = result.to_dict()
    for row, name in zip(value["classes"], detector.classes):
        row["name"] = name
    skipped = len(getattr(dataset, "skipped", []))
    if options.bad == "skip":
        value["skipped"] = skipped
    text = (f"{result.images} images"
            f"{f', {skipped} faulty ones left out' if skipped else ''}\n"
            f"{_table(detector.classes, result)}")
    if options.out:
        from ..reports.evaluation_report import write_report
        paths, _ = write_report(options.out, dataset, detector.classes,
                                detections, truths, result)
        if options.save:
            paths += _save(options, dataset, detector.classes, detections)
        value["written"] = list(map(str, paths))
        text += "\n\nwritten: " + ", ".join(value["written"])
    return value, text


def _table(classes, result):
    def cells(row):
        return ["-" if value != value else f"{value:.3f}"
                for value in attrgetter(*_COLUMNS.values())(row)]
    rows = [(classes[row.label], row.objects, row.detections, *cells(row))
            for row in result.classes]
    rows.append(("all", result.objects, "", *cells(result)))
    return figures(rows, ("class", "objects", "detections", *_COLUMNS))


def _save(options, dataset, classes, detections):
    from ...evaluation import class_numbers
    from ..reports import result_files
    names = image_names(dataset)
    if options.save == "voc":
        return result_files.write_voc(options.out, detections, [
            PurePosixPath(name).stem for name in names], classes)
    ids = getattr(dataset, "image_ids", {})
    theirs = getattr(dataset, "category_ids", range(len(classes)))
    order = class_numbers(classes, dataset.classes).argsort()
    path = Path(options.out, "detections.json")
    result_files.write_coco(
        path, detections, [ids.get(name, place) for place, name
                           in enumerate(names)],
        [theirs[place] for place in order])
    return [path]


def image_names(dataset: Any) -> list[str]:
    """Return the names of the images, or their numbers where they have none.

    >>> image_names([7, 8])
    ['000000', '000001']
    """
    return [dataset.entry(row).name if hasattr(dataset, "entry")
            else f"{row:06d}" for row in range(len(dataset))]
