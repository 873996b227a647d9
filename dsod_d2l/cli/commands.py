"""What each command does: (options) -> (JSON-ready value, table to read)."""

from __future__ import annotations

from pathlib import Path

from tabulate import tabulate

from .. import runtime
from .shared import pairs


def info(options):
    """Describe a network, or this machine (what to paste in a question)."""
    if not options.model:
        found = runtime.describe()
        return found, pairs(found)
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
    head = pairs({"network": options.model,
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
    return value, pairs(value)
