"""The command prune."""

import dataclasses
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...config import TrainConfig
from ...config.base import require
from ...files import write_atomically
from .. import machine, outputs
from ..formats.choices import matched
from ..recipes import steps_of
from .options import (DataOptions, WeightsOptions, add_fields, figures,
                      given_fields, open_data)

# Of TrainConfig, for the training after pruning.
SETTINGS = {"batch_size": 16, "learning_rate": 1e-3, "optimiser": "adam",
            "weight_decay": 0.0, "augment": "light", "held_back": 0.1,
            "workers": None, "seed": 0}
_HEADINGS = ("", "parameters", "million multiply-adds", "ms", "AP", "AP50")


class PruneOptions(WeightsOptions, DataOptions):
    """On what it is judged, and where to.

    validation (SET): judge on this data set, and hold nothing back
    out (FOLDER): where the networks go, or the picture and the table of a
        scan; None: beside the weights, named after them with -pruned or
        -scan
    """

    validation: str | None = None
    out: str | None = None


class LayerOptions:
    """Which layers are pruned.

    layers (NAME): only these, such as 'to_first.*'
    protect (NAME): not these
    shortcuts: also layers whose maps are added, the same filters of all
    """

    layers: tuple[str, ...] = ("*",)
    protect: tuple[str, ...] = ()
    shortcuts: bool = False


class CycleOptions:
    """How it is pruned, of which a scan has no use.

    steps: how often to prune
    finetune (EPOCHS): training after each step
    scope: take the ratio of each layer, or of all together
    multiple: round what is left to a multiple of this: oneDNN is slow with
        other widths
    """

    steps: int = 1
    finetune: float = 0.0
    scope: Literal["layer", "global"] = "layer"
    multiple: int = 16


def add_options(parser: ArgumentParser) -> None:
    """Add the options, some fields of TrainConfig among them."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ratio", type=float, metavar="X", help="share of the "
                      "filters that each step takes out, 0 to 1")
    what.add_argument("--scan", type=float, nargs="*", metavar="RATIO",
                      help="prune nothing: judge with each layer pruned by "
                      "itself, at these ratios (default .25 .5 .75)")
    for kind in (PruneOptions, LayerOptions, CycleOptions):
        add_fields(parser, kind)
    add_fields(parser, TrainConfig, absent=True, defaults=SETTINGS)


def run(options: Namespace) -> tuple[Any, ...]:
    """Take filters out of a network, and train what is left."""
    from ... import weights
    scan = options.scan is not None
    if scan:
        for name, given in given_fields(options, CycleOptions).items():
            require(given == getattr(CycleOptions, name), f"--{name} goes "
                    "with --ratio: --scan prunes nothing")
    options.out = options.out or "{}-{}".format(
        Path(options.weights).with_suffix(""), "scan" if scan else "pruned")
    outputs.check_folder(options.out)
    for name in ("sensitivity.png", "sensitivity.json") if scan else (
            "model.safetensors", "step-1.safetensors"):
        path = Path(options.out, name)
        require(scan or not path.exists() or path.samefile(options.weights),
                f"--out: {path} is there, and would be lost: give another "
                "folder")
        outputs.check_target(path, [options.weights])
    context, _ = machine.device(options.device)
    net, metadata = weights.load_model(options.weights, context)
    settings = _settings(options, net)
    dataset, judged = _data(options, settings, metadata["classes"])
    if scan:
        return _scan(options, net, metadata["classes"], judged)
    return _prune(options, net, metadata["classes"], dataset, judged,
                  _training(options, settings, len(dataset)))


def _settings(options, net):
    """Return the ``TrainConfig``; --augment and the network agree then."""
    if net.config.resize == "letter-box" and not hasattr(options, "augment"):
        options.augment = "letter-box"
    settings = TrainConfig(**SETTINGS | given_fields(options, TrainConfig))
    net.config = dataclasses.replace(net.config, resize=settings.resize)
    return settings


def _data(options, settings, classes):
    """Return what is trained on, and what is judged on."""
    from ...datasets import split
    dataset = matched(open_data(options, cache=options.finetune > 0), classes)
    if options.validation:
        return dataset, matched(open_data(options, options.validation),
                                classes)
    if settings.held_back and options.finetune > 0:
        return split(dataset, settings.held_back,
                     np.random.default_rng(settings.seed))
    return dataset, dataset


def _prune(options, net, classes, dataset, judged, training):
    """Prune, as often as asked for; save the networks."""
    from .. import pruning

    def note(row):
        if not options.json:
            print(f"{row.stage}: AP {row.AP:.3f}, {row.latency:.1f} ms",
                  flush=True)
    _, rows = pruning.prune_and_train(
        net, classes, dataset, judged, options.ratio, training,
        options.steps, options.out, note, not options.json,
        scope=options.scope, multiple=options.multiple,
        **given_fields(options, LayerOptions))
    value = {"weights": str(Path(options.out) / "model.safetensors"),
             "images": len(judged), "rows": [row._asdict() for row in rows]}
    table = figures(
        [(row.stage, f"{row.parameters:,}", f"{row.multiply_adds / 1e6:,.0f}",
          f"{row.latency:.1f}", f"{row.AP:.3f}", f"{row.AP50:.3f}")
         for row in rows], _HEADINGS)
    return value, f"{table}\n\nwritten: {value['weights']}"


def _training(options, settings, images):
    """Return the ``TrainConfig`` of the training after a step, or None."""
    if not options.finetune:
        return None
    return dataclasses.replace(settings, held_back=0.0, steps=(
        steps_of(options.finetune, images, settings)))


def _scan(options, net, classes, judged):
    """Judge with each layer pruned by itself; draw the curves."""
    from .. import pruning
    from ..reports.evaluation_report import plot_sensitivity, written_axes
    rows = pruning.scan(net, classes, judged, options.scan or pruning.RATIOS,
                        **given_fields(options, LayerOptions))
    whole = pruning.measure(net, classes, judged, latency=0.0).AP
    path = Path(options.out, "sensitivity.png")
    value = {"images": len(judged), "AP": whole,
             "rows": [row._asdict() for row in rows], "written": [str(path)]}

    def write():
        write_atomically(path.with_suffix(".json"),
                         (json.dumps(value) + "\n").encode())
        with written_axes(path, 6, 4.5) as ax:
            plot_sensitivity(ax, rows, whole)
        return f"written: {path}"
    table = figures([(row.layer, row.filters, f"{row.ratio:g}",
                      f"{row.AP:.3f}") for row in rows],
                    ("layer", "filters", "ratio", "AP"))
    return (value, f"whole: AP {whole:.3f} on {len(judged)} images\n\n"
            f"{table}", write)
