"""The command prune."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tabulate import tabulate

from ...config import TrainConfig
from ...runtime import devices
from .. import recipes as configs
from .options import data_options, device_option, open_data
from .train import add_field

# Of TrainConfig, for the training after pruning.
SETTINGS = {"batch_size": 16, "learning_rate": 1e-3, "optimiser": "adam",
            "weight_decay": 0.0, "augment": "light", "held_back": 0.1,
            "workers": None, "seed": 0}
# Options of pruning that a scan has no use for, with their defaults.
CYCLE = {"steps": 1, "finetune": 0.0, "scope": "layer", "multiple": None}
_HEADINGS = ("", "parameters", "million multiply-adds", "ms", "AP", "AP50")


def add_options(parser):
    """Add the options, some fields of TrainConfig among them."""
    parser.add_argument("--weights", required=True, metavar="FILE")
    data_options(parser)
    parser.add_argument("--validation", metavar="SET", help="judge on this "
                        "data set, and hold nothing back")
    parser.add_argument("--out", metavar="FOLDER", help="where the "
                        "networks go, or the picture and the table of a "
                        "scan; default: beside the weights, named after them "
                        "with -pruned or -scan")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ratio", type=float, help="share of the filters that "
                      "each step takes out, 0 to 1")
    what.add_argument("--scan", type=float, nargs="*", metavar="RATIO",
                      help="prune nothing: judge with each layer pruned by "
                      "itself, at these ratios, default .25 .5 .75")
    parser.set_defaults(**CYCLE)
    parser.add_argument("--steps", type=int, help="how often to "
                        "prune, default 1")
    parser.add_argument("--finetune", type=float, metavar="EPOCHS",
                        help="training after each step, default none")
    parser.add_argument("--scope", choices=("layer", "global"), help="take "
                        "the ratio of each layer, or of all together")
    parser.add_argument("--layers", nargs="+", default=["*"], metavar="NAME",
                        help="only these, such as 'to_first.*'")
    parser.add_argument("--protect", nargs="+", default=[], metavar="NAME",
                        help="not these")
    parser.add_argument("--shortcuts", action="store_true", help="also "
                        "layers whose maps are added, the same filters of all")
    parser.add_argument("--multiple", type=int, help="round what is left to "
                        "a multiple of this, default 16: oneDNN is slow with "
                        "other widths")
    device_option(parser)
    for field in dataclasses.fields(TrainConfig):
        if field.name in SETTINGS:
            add_field(parser, field, SETTINGS[field.name])


def run(options):
    """Take filters out of a network, and train what is left."""
    from ... import weights
    if options.scan is not None:
        for name, default in CYCLE.items():
            if getattr(options, name) != default:
                raise ValueError(f"--{name} goes with --ratio: --scan prunes "
                                 "nothing")
    options.out = options.out or _beside(options)
    context, _ = devices.device(options.device)
    net, metadata = weights.load_model(options.weights, context)
    settings = _settings(options, net)
    dataset, judged = _data(options, settings)
    if options.scan is not None:
        return _scan(options, net, metadata["classes"], judged)
    return _prune(options, net, metadata["classes"], dataset, judged,
                  _training(options, settings, len(dataset)))


def _beside(options):
    """Return the folder that is taken where none is named."""
    kind = "pruned" if options.scan is None else "scan"
    return f"{Path(options.weights).with_suffix('')}-{kind}"


def _settings(options, net):
    """Return the ``TrainConfig``; --augment and the network agree then."""
    if net.config.resize == "letter-box" and not hasattr(options, "augment"):
        options.augment = "letter-box"
    settings = TrainConfig(**{**SETTINGS, **{
        name: getattr(options, name) for name in SETTINGS
        if hasattr(options, name)}})
    net.config = dataclasses.replace(net.config, resize=settings.resize)
    return settings


def _data(options, settings):
    """Return what is trained on, and what is judged on."""
    import numpy as np

    from ... import datasets
    dataset = open_data(options, cache=options.finetune > 0)
    if options.validation:
        return dataset, open_data(options, options.validation)
    if settings.held_back and options.finetune > 0:
        return datasets.split(dataset, settings.held_back,
                              np.random.default_rng(settings.seed))
    return dataset, dataset


def _wishes(options):
    """Return the arguments of ``pruning`` that say which layers."""
    return {"layers": options.layers, "protect": options.protect,
            "shortcuts": options.shortcuts}


def _prune(options, net, classes, dataset, judged, training):
    """Prune, as often as asked for; save the networks."""
    from .. import pruning
    rounded = ({} if options.multiple is None else
               {"multiple": options.multiple})

    def note(row):
        if not options.json:
            print(f"{row.stage}: AP {row.AP:.3f}, {row.latency:.1f} ms",
                  flush=True)
    _, rows = pruning.prune_and_train(
        net, classes, dataset, judged, options.ratio, training,
        options.steps, options.out, note, not options.json,
        scope=options.scope, **_wishes(options), **rounded)
    value = {"weights": str(Path(options.out) / "model.safetensors"),
             "images": len(judged), "rows": [row._asdict() for row in rows]}
    table = tabulate(
        [(row.stage, f"{row.parameters:,}", f"{row.multiply_adds / 1e6:,.0f}",
          f"{row.latency:.1f}", f"{row.AP:.3f}", f"{row.AP50:.3f}")
         for row in rows], _HEADINGS, disable_numparse=True,
        colalign=("left",) + ("right",) * 5)
    return value, f"{table}\n\nwritten: {value['weights']}"


def _training(options, settings, images):
    """Return the ``TrainConfig`` of the training after a step, or None."""
    if not 0 <= options.finetune < float("inf"):
        raise ValueError("finetune must be a number of epochs, found "
                         f"{options.finetune:g}")
    if not options.finetune:
        return None
    return dataclasses.replace(settings, held_back=0.0, steps=(
        configs.steps_of(options.finetune, images, settings)))


def _scan(options, net, classes, judged):
    """Judge with each layer pruned by itself; draw the curves."""
    from matplotlib.figure import Figure

    from .. import pruning
    from ..reports.evaluation_report import plot_sensitivity
    rows = pruning.scan(net, classes, judged,
                        options.scan or pruning.RATIOS, **_wishes(options))
    whole = pruning.measure(net, classes, judged, latency=0.0).AP
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    plot_sensitivity(figure.subplots(), rows, whole)
    figure.savefig(folder / "sensitivity.png")
    value = {"images": len(judged), "AP": whole,
             "rows": [row._asdict() for row in rows],
             "written": [str(folder / "sensitivity.png")]}
    (folder / "sensitivity.json").write_text(json.dumps(value) + "\n",
                                             encoding="utf-8")
    table = tabulate([(row.layer, row.filters, f"{row.ratio:g}",
                       f"{row.AP:.3f}") for row in rows],
                     ("layer", "filters", "ratio", "AP"),
                     disable_numparse=True,
                     colalign=("left",) + ("right",) * 3)
    return value, (f"whole: AP {whole:.3f} on {len(judged)} images\n\n"
                   f"{table}\n\nwritten: {value['written'][0]}")
