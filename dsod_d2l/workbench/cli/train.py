"""The command train."""

from __future__ import annotations

import dataclasses
from argparse import SUPPRESS
from pathlib import Path

from ...config import NAMED, TrainConfig
from ...runtime import devices
from .. import machine
from .. import recipes as configs
from ..recipes import RECIPES
from .options import (data_options, device_option, input_option, input_size,
                      open_data, pairs)

PATIENCE = 1800           # seconds
MODEL = "dsod_tiny"       # where neither option nor recipe names one


def add_options(parser):
    """Add the options: one for every field of TrainConfig among them."""
    data_options(parser)
    parser.add_argument("--validation", metavar="SET", help="choose the best "
                        "model on this data set, and hold nothing back")
    parser.add_argument("--out", metavar="FOLDER", help="where weights, "
                        "checkpoints and history go")
    parser.add_argument("--recipe", choices=RECIPES, help="a way to train "
                        "with its network; other options go before it")
    parser.add_argument("--model", choices=NAMED, help="default: that of "
                        f"the recipe, or {MODEL}")
    parser.add_argument("--authors", action="store_true", help="the network "
                        "as the authors' code builds it, slips included")
    input_option(parser)
    parser.add_argument("--weights", metavar="FILE", help="start from these "
                        "weights, as far as they fit")
    parser.add_argument("--backbone-weights", metavar="FILE", help="start the "
                        "backbone from a classifier's weights, .params or "
                        ".safetensors")
    parser.add_argument("--resume", action="store_true", help="go on from "
                        "the newest checkpoint in FOLDER")
    parser.add_argument("--dry-run", action="store_true", help="only print "
                        "the plan: steps, learning rates, images, memory")
    parser.add_argument("--epochs", type=float, help="instead of --steps")
    device_option(parser)
    parser.add_argument("--devices", metavar="LIST", help="divide each batch "
                        "among GPUs, such as 0,1 (cpu0,cpu1 tries it on a "
                        "CPU)")
    parser.add_argument("--patience", type=float, default=PATIENCE,
                        help="seconds that one of several workers waits for "
                        f"the others, default {PATIENCE}; see launch")
    for field in dataclasses.fields(TrainConfig):
        add_field(parser, field, field.default)


def run(options):
    """Train a network from scratch."""
    from ..runs import distributed
    if not distributed.is_worker() or options.dry_run:
        return _train(options)
    with distributed.joined(options.patience) as team:
        value, table = _train(options, team)
    return (None, None) if team.rank else (value, table)


def _train(options, team=None):
    from ... import models
    from ..runs.long_run import run_training
    if not (options.out or options.dry_run):
        raise ValueError("--out must name the folder for weights, "
                         "checkpoints and history")
    recipe = configs.get_recipe(options.recipe) if options.recipe else None
    dataset = open_data(options, cache=not options.dry_run)
    validation = options.validation and open_data(options, options.validation)
    settings = _settings(options, recipe, len(dataset))
    net = models.build(**_network(options, recipe, len(dataset.classes)),
                       resize=settings.resize)
    if options.dry_run:
        return _plan(net, len(dataset), settings, recipe)
    context, reason = _device(options)
    net, transfer = _start(options, net, dataset.classes, context)
    if not (options.json or team and team.rank):
        print("\n".join(str(line) for line in (reason, transfer) if line),
              flush=True)
    fitted = run_training(net, dataset, settings, options.out,
                          options.resume, context,
                          progress=not options.json, validation=validation,
                          team=team)
    last = fitted.history[-1] if fitted.history else {}
    value = {"weights": str(Path(options.out) / "model.safetensors"),
             "steps": last.get("step"), "seconds": last.get("seconds"),
             "loss": last.get("loss"), "best": fitted.best}
    if transfer:
        value["started_from"] = {
            "weights": options.weights or options.backbone_weights,
            "loaded": len(transfer.loaded), "drawn": transfer.drawn,
            "left": transfer.left, "converted": transfer.converted,
            "differing": transfer.differing}
    return value, pairs({name: value[name] for name in
                         ("weights", "steps", "seconds", "loss")}
                        | {"best": _best(fitted.best)})


def _device(options):
    """Return one context or a list of them, and a sentence that says why."""
    if not options.devices:
        return devices.device(options.device)
    if options.device:
        raise ValueError("--device and --devices exclude each other")
    return machine.named_devices(options.devices.split(","))


def _start(options, net, classes, context):
    """Return the network, filled as far as asked for, and the transfer."""
    from ... import models
    from ..pretrained import classifier_weights, transfer
    if options.weights and options.backbone_weights:
        raise ValueError("--weights and --backbone-weights exclude each "
                         "other")
    if options.weights:
        return net, transfer.start_from(net, options.weights, classes,
                                        context)
    if options.backbone_weights:
        source = classifier_weights.read_classifier(options.backbone_weights)
        net = models.build(classifier_weights.adapt(net.config, source))
        return net, classifier_weights.start_from_classifier(net, source,
                                                             context)
    return net, None


def _settings(options, recipe, images):
    """Return the ``TrainConfig``: options go before the recipe."""
    from ..runs.plan import split_sizes
    given = {field.name: getattr(options, field.name)
             for field in dataclasses.fields(TrainConfig)
             if hasattr(options, field.name)}
    if options.validation:
        given["held_back"] = 0.0
    settings = dataclasses.replace(recipe.train if recipe else TrainConfig(),
                                   **given)
    epochs = options.epochs
    if epochs is None and recipe and "steps" not in given:
        epochs = recipe.epochs
    if epochs is None:
        return settings
    if not 0 < epochs < float("inf"):
        raise ValueError(f"epochs must be positive, found {epochs:g}")
    if options.epochs and "steps" in given:
        raise ValueError("--steps and --epochs exclude each other")
    return dataclasses.replace(settings, steps=configs.steps_of(
        epochs, split_sizes(images, settings)[0], settings))


def _network(options, recipe, classes):
    """Return what ``models.build`` is to be called with."""
    name = options.model or (recipe.model if recipe else MODEL)
    changes = {}
    if options.weights:
        from ..pretrained.transfer import settings_of
        changes = settings_of(options.weights, name)
    if options.authors:
        changes["authors"] = True
    if recipe and name == recipe.model:
        changes |= recipe.changes
    return {"name_or_config": name, **changes, **input_size(options),
            "num_classes": classes}


def _plan(net, images, settings, recipe):
    from ..runs.plan import plan_run, plan_text
    plan = plan_run(net, images, settings)
    value = {"recipe": recipe and recipe.name, "model": net.config.name,
             **plan, "note": recipe and recipe.note}
    size = " x ".join(map(str, net.config.input_size))
    lines = [f"{net.config.name}, {size} pixels, {net.config.num_classes} "
             "classes", plan_text(plan)]
    return value, "\n".join(lines + ([recipe.note] if recipe else []))


def _best(best):
    return f"AP {best['AP']:.3f} at step {best['step']}" if best else "-"


def add_field(parser, field, default):
    """Add an option for one field of TrainConfig, absent if not given.

    Args:
        parser: an ``ArgumentParser``.
        field: of ``dataclasses.fields(TrainConfig)``.
        default: what the help names; the caller sees to it.
    """
    name = "--" + field.name.replace("_", "-")
    if isinstance(default, tuple):
        parser.add_argument(name, type=float, nargs="+", default=SUPPRESS,
                            help=f"default {' '.join(map(str, default))}")
        return
    if isinstance(default, bool):
        parser.add_argument(name, action="store_true", default=SUPPRESS)
        return
    kind = {"clip": float, "workers": int}.get(field.name, type(default))
    parser.add_argument(name, type=kind, default=SUPPRESS,
                        help=f"default {default}")
