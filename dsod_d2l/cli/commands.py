"""What each command does: (options) -> (JSON-ready value, table to read)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tabulate import tabulate

from .. import config as configs
from .. import datasets, runtime


def info(options):
    """Describe a network, or this machine (what to paste in a question)."""
    if not options.model:
        found = runtime.describe()
        return found, _pairs(found)
    from .. import models
    changes = {}
    if options.num_classes is not None:
        changes["num_classes"] = options.num_classes
    if options.input:
        if len(options.input) > 2:
            raise ValueError("--input takes one or two sides, found "
                             f"{len(options.input)}")
        changes["input_size"] = (options.input * 2)[:2]
    net = models.build(options.model, **changes)
    maps = net.config.map_shapes()
    value = {"parameters": models.count_parameters(net),
             "anchors": net.config.anchor_count,
             "input": list(net.config.input_size),
             "maps": [list(shape) for shape in maps]}
    rows = [(k + 1, f"{rows} x {columns}", spec.per_cell,
             rows * columns * spec.per_cell,
             ", ".join(f"{size:.3f}" for size in spec.sizes),
             ", ".join(f"{ratio:.3g}" for ratio in spec.ratios))
            for k, ((rows, columns), spec)
            in enumerate(zip(maps, net.config.anchors))]
    table = tabulate(rows, ("map", "cells", "anchors per cell", "anchors",
                            "sizes", "ratios"))
    head = _pairs({"network": options.model,
                   "classes": net.config.num_classes,
                   "input": " x ".join(map(str, net.config.input_size)),
                   "trainable parameters": f"{value['parameters']:,}",
                   "anchors": f"{value['anchors']:,}"})
    return value, f"{head}\n\n{table}"


def data(options):
    """Make a data set: render the stand-in, or download Pikachu."""
    if options.set == "pikachu":
        from ..datasets.pikachu import download
        folder = Path(options.folder or "data/pikachu")
        paths = {Path(path).name: Path(path) for path in download(folder)}
    else:
        from ..datasets.standin import make_standin
        objects = options.objects
        paths = make_standin(
            options.folder, options.train, options.val, size=options.size,
            objects=objects[0] if len(objects) == 1 else tuple(objects),
            workers=options.workers)
    value = {name: str(path) for name, path in paths.items()}
    return value, _pairs(value)


def train(options):
    """Train a network from scratch."""
    from .. import models, training
    names = [field.name for field in dataclasses.fields(configs.TrainConfig)]
    settings = configs.TrainConfig(**{name: getattr(options, name)
                                      for name in names})
    dataset = _open(options, cache=True)
    net = models.build(options.model, len(dataset.classes))
    context, reason = runtime.device(options.device)
    if not options.json:
        print(reason, flush=True)
    fitted = training.fit(net, dataset, settings, options.out, options.resume,
                          context, progress=not options.json)
    last = fitted.history[-1] if fitted.history else {}
    value = {"weights": str(Path(options.out) / "model.safetensors"),
             "steps": last.get("step"), "seconds": last.get("seconds"),
             "loss": last.get("loss"), "best": fitted.best}
    return value, _pairs({**value, "best": _best_text(fitted.best)})


def evaluate(options):
    """Judge weights on a data set: AP, AP50 and AP75 as fractions."""
    from ..evaluation import evaluate_dataset
    detector = _detector(options)
    dataset = _open(options)
    result = evaluate_dataset(detector, dataset)
    value = {"AP": _number(result.AP), "AP50": _number(result.AP50),
             "AP75": _number(result.AP75), "images": result.images}
    rows = [(detector.classes[row.label], row.objects, row.detections,
             row.AP, row.AP50, row.AP75, row.voc07, row.voc12)
            for row in result.classes]
    rows.append(("all", result.objects, "", result.AP, result.AP50,
                 result.AP75, result.voc07, result.voc12))
    table = tabulate(rows, ("class", "objects", "detections", "AP", "AP50",
                            "AP75", "VOC07", "VOC12"), floatfmt=".3f")
    skipped = len(getattr(dataset, "skipped", []))
    note = f", {skipped} faulty ones left out" if skipped else ""
    if options.bad == "skip":
        value["skipped"] = skipped
    return value, f"{result.images} images{note}\n{table}"


def detect(options):
    """Find the objects in an image, or in every image of a folder."""
    detector = _detector(options)
    found = detector.detect(options.image, pixels=True)
    several = isinstance(found, dict)
    by_file = found if several else {Path(options.image).name: found}
    if options.out:
        _draw(options, detector, by_file, several)
    value = {name: [{"label": detector.classes[label],
                     "score": round(float(score), 4),
                     "box": [round(float(side), 2) for side in box]}
                    for label, score, box in zip(*one)]
             for name, one in by_file.items()}
    rows = [(name, row["label"], row["score"], *row["box"])
            for name, one in value.items() for row in one]
    table = tabulate(rows, ("image", "label", "score", "xmin", "ymin",
                            "xmax", "ymax"))
    if not rows:
        table = (f"nothing found with a score of at least "
                 f"{options.score_threshold:g}")
    return (value if several else value[Path(options.image).name]), table


def _draw(options, detector, by_file, several):
    """Write the images with their boxes."""
    from ..datasets.images import read_image
    from ..visualisation import save_detections
    for name, found in by_file.items():
        source = Path(options.image) / name if several else options.image
        target = Path(options.out) / name if several else Path(options.out)
        target.parent.mkdir(parents=True, exist_ok=True)
        save_detections(target, read_image(source), found, detector.classes,
                        pixels=True)


def _detector(options):
    from ..detection import Detector
    context, _ = runtime.device(options.device)
    settings = configs.DetectConfig(
        score_threshold=options.score_threshold, keep=options.keep,
        nms_threshold=options.nms_threshold, candidates=options.candidates,
        letter_box=options.letter_box)
    return Detector.from_weights(options.weights, detect_config=settings,
                                 ctx=context)


def _open(options, **more):
    """Open a data set; only some take the option --bad."""
    if not options.data.startswith("standin"):
        more["bad"] = options.bad
    return datasets.open_dataset(options.data, **more)


def _number(value):
    """Return a float, or None for nan: JSON has no nan."""
    return None if value != value else float(value)


def _best_text(best):
    return f"AP {best['AP']:.3f} at step {best['step']}" if best else "-"


def _pairs(values):
    return tabulate([(name, _text(value)) for name, value in values.items()],
                    tablefmt="plain", disable_numparse=True)


def _text(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "nothing"
    return "-" if value is None else value
