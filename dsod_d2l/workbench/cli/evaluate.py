"""The command evaluate."""

import logging
from argparse import ArgumentParser, Namespace
from functools import partial
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from ... import evaluation
from ...config import DetectConfig
from ...config.base import require
from ..formats.choices import matched
from ..outputs import check_folder, check_ours
from ..reports import result_files
from .options import (DataOptions, WeightsOptions, add_detector, add_fields,
                      figures, make_detector, open_data)

_log = logging.getLogger(__name__)
# of the table: {heading: figure}
_COLUMNS = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "VOC07": "voc07",
            "VOC12": "voc12", "small": "AP_small", "medium": "AP_medium",
            "large": "AP_large", "AR": "AR"}


class EvaluateOptions(DataOptions):
    """How it is judged, and what is written.

    results (PATH): instead of weights: judge what is stored, a folder of
        VOC's result files, COCO's JSON, or what detect has printed by --json
        or written
    most: detections per image and class that count, 100 for COCO
    iou (X): also AP at each of these IoU; the report counts right and wrong
        at the first
    areas (PIXELS): also AP of objects by their areas, cut at these numbers of
        pixels
    strict: VOC: ask for an IoU above .5, not of .5
    out (FOLDER): write a report: curves, classes, confusions, kinds of
        mistakes, worst images
    at (SCORE): score from which the report counts right and wrong; None: that
        of the best F1
    save: also write the detections to FOLDER, as result files of VOC or of
        COCO
    competition: VOC's, in the names of its files: "comp3" for a network
        trained on its own pictures alone, from scratch, "comp4" for others
    """

    results: str | None = None
    most: int = 100
    iou: tuple[float, ...] = ()
    areas: tuple[float, ...] = ()
    strict: bool = False
    out: str | None = None
    at: float | None = None
    save: Literal["voc", "coco"] | None = None
    competition: Literal["comp3", "comp4"] = "comp4"


class JudgedOptions(WeightsOptions):
    """What is judged.

    weights (FILE): the weights, which know their network and its classes
    """

    weights: str | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options."""
    add_fields(parser, EvaluateOptions)
    add_detector(parser, DetectConfig.score_threshold, JudgedOptions)


def run(options: Namespace) -> tuple[Any, ...]:
    """Judge weights on a data set: AP, AP50 and AP75 as fractions."""
    _check(options)
    dataset, classes, detections, truths = _found(options)
    result = evaluation.evaluate_detections(
        detections, truths, len(classes), options.most, options.strict)
    value = result.to_dict()
    for row, name in zip(value["classes"], classes):
        row["name"] = name
    more = _more_figures(options, detections, truths, value)
    skipped = len(getattr(dataset, "skipped", []))
    if options.bad != "error":
        value["skipped"] = skipped
    text = (f"{result.images} images"
            f"{f', {skipped} faulty ones left out' if skipped else ''}\n"
            f"{_table(classes, result, more)}")
    if not options.out:
        return value, text
    return value, text, partial(_write, options, dataset, classes, detections,
                                truths, result, value)


def _check(options):
    """Raise before the work what would fail after it."""
    require(bool(options.weights) != bool(options.results), "what is judged "
            "must be either --weights, or --results that are stored")
    require(options.out or not options.save and options.at is None,
            f"--{'save' if options.save else 'at'} needs --out, the folder "
            "to write to")
    require(sorted(set(options.areas)) == list(options.areas), "--areas must "
            f"rise, found {options.areas}")
    if options.out:
        from ..reports.evaluation_report import FIGURE_NAMES, WORST
        check_folder(options.out)
        folder = Path(options.out)
        names = (*FIGURE_NAMES, "evaluation.json", *(
            ["detections.json"] if options.save == "coco" else []))
        for path in (*(folder / name for name in names),
                     *folder.glob(WORST)):
            check_ours(path)
        there = [*folder.glob(f"{options.competition}_det_test_*.txt")]
        require(options.save != "voc" or not there
                or (folder / "evaluation.json").exists(), f"--save voc would "
                f"write beside {there[:1]}, which is no report of ours: "
                "choose another --out")
        source = options.results and Path(options.results).resolve()
        require(not (source and options.save) or folder.resolve() not in (
            source, source.parent), f"--save would write beside {source}, "
            "which is judged: choose another --out")


def _found(options):
    """Return the data set, classes, detections and truths."""
    if options.results:
        dataset = open_data(options)
        _check_names(options, dataset, dataset.classes)
        truths = [evaluation.Truth.of(dataset[row])
                  for row in range(len(dataset))]
        return dataset, dataset.classes, result_files.read_results(
            options.results, dataset, [one.size for one in truths]), truths
    detector = make_detector(options)
    dataset = matched(open_data(options), detector.classes)
    _check_names(options, dataset, detector.classes)
    return (dataset, detector.classes,
            *evaluation.run_detector(detector, dataset))


def _check_names(options, dataset, classes):
    """Raise before the work where --save could not write names."""
    if options.save == "voc":
        result_files.check_voc_names(_stems(dataset), classes)


def _stems(dataset):
    return [PurePosixPath(name).stem
            for name in result_files.image_names(dataset)]


def _more_figures(options, detections, truths, value):
    """Put AP by --iou and --areas into the value; return {heading: APs}.

    The APs are those of each class, then that of all.
    """
    columns = {}
    table_of = partial(evaluation.ap_table, detections, truths,
                       len(value["classes"]), most=options.most)
    if options.iou:
        table = table_of(options.iou)[:, 0]
        columns = {f"AP at {iou:g}": table[:, k]
                   for k, iou in enumerate(options.iou)}
    if options.areas:
        bounds = sorted({0, *options.areas, 1e10})
        table = table_of(sizes=[*zip(bounds, bounds[1:])]).mean(axis=2)
        words = [*(f"{bound:g}" for bound in bounds[:-1]), ""]
        columns |= {f"AP of {low} to {high}" if high else f"AP from {low}":
                    table[:, k]
                    for k, (low, high) in enumerate(zip(words, words[1:]))}
    for name, aps in columns.items():
        there = aps[~np.isnan(aps)]
        columns[name] = [*aps, there.mean() if len(there) else np.nan]
        for row, one in zip([*value["classes"], value], columns[name]):
            row[name] = None if np.isnan(one) else float(one)
    return columns


def _table(classes, result, more):
    def cells(row, place):
        return ["-" if value != value else f"{value:.3f}" for value in (
            *attrgetter(*_COLUMNS.values())(row),
            *(column[place] for column in more.values()))]
    rows = [(classes[row.label], row.objects, row.detections,
             *cells(row, row.label)) for row in result.classes]
    rows.append(("all", result.objects, "", *cells(result, -1)))
    return figures(rows, ("class", "objects", "detections", *_COLUMNS, *more))


def _write(options, dataset, classes, detections, truths, result, value):
    """Write the report and result files; return what to say of them."""
    from ..fonts import fonts_of
    from ..reports.evaluation_report import write_report
    from ..reports.mistakes import NEAR
    with fonts_of(classes):
        paths, report = write_report(
            options.out, dataset, classes, detections, truths, result,
            threshold=options.at, near=(*options.iou, NEAR)[0], more=value)
    if options.save:
        paths += _save(options, dataset, classes, detections)
    value["at_threshold"] = report["at_threshold"]
    value["written"] = list(map(str, paths))
    at = ", ".join("{} {}".format(name, "-" if one is None else f"{one:.3f}")
                   for name, one in report["at_threshold"].items()
                   if name in ("precision", "recall", "F1"))
    return ("at a score of {score:.3f} and IoU {IoU:g}: ".format(
        **report["at_threshold"])
            + f"{at}\n\nwritten: {', '.join(value['written'])}")


def _save(options, dataset, classes, detections):
    if options.save == "voc":
        return result_files.write_voc(
            options.out, detections, _stems(dataset), classes,
            competition=options.competition)
    names = result_files.image_names(dataset)
    ids = getattr(dataset, "image_ids", {})
    theirs = getattr(dataset, "category_ids", range(len(classes)))
    order = evaluation.class_numbers(classes, dataset.classes).argsort()
    theirs = [theirs[place] for place in order]
    known = np.array([one is not None for one in theirs])
    lost = sum(int((~known[one.labels]).sum()) for one in detections)
    if lost:
        _log.warning("%d detections of classes that the data set lacks have "
                     "no number there, and are not saved.", lost)
    path = Path(options.out, "detections.json")
    result_files.write_coco(
        path, [one[known[one.labels]] for one in detections],
        [ids.get(name, place) for place, name in enumerate(names)], theirs)
    return [path]
