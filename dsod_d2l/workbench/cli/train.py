"""The command train."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ...config import TrainConfig
from ...config.base import require
from .. import machine, outputs
from ..recipes import RECIPES, Recipe, get_recipe, steps_of
from .options import (DataOptions, DeviceOptions, NetworkOptions, add_fields,
                      given_fields, input_size, open_data, pairs)

# Where no recipe is named.
PLAIN = Recipe(name="", model="dsod_tiny", train=TrainConfig(), note="")


class TrainOptions(DeviceOptions, NetworkOptions, DataOptions):
    """What train is told besides the fields of ``TrainConfig``.

    validation (SET): choose the best model on this data set, and hold
        nothing back
    out (FOLDER): where weights, checkpoints and history go
    recipe (NAME): a way to train with its network, which `info --presets`
        lists; other options go before it
    model (NAME): the network; None: that of the recipe, or dsod_tiny
    weights (FILE): start from these weights, as far as they fit
    backbone_weights (FILE): start the backbone from a classifier's weights,
        .params or .safetensors
    resume: go on from the newest checkpoint in FOLDER
    dry_run: only print the plan: steps, learning rates, images, memory
    epochs: how often to see every image, instead of --steps
    devices (LIST): divide each batch among GPUs, such as 0,1 (cpu0,cpu1
        tries it on a CPU)
    patience: seconds that one of several workers waits for the others, see
        launch
    """

    validation: str | None = None
    out: str | None = None
    recipe: str | None = None
    weights: str | None = None
    backbone_weights: str | None = None
    resume: bool = False
    dry_run: bool = False
    epochs: float | None = None
    devices: str | None = None
    patience: float = 1800.0


def add_options(parser: ArgumentParser) -> None:
    """Add the options: one for every field of TrainConfig among them."""
    add_fields(parser, TrainOptions, recipe=RECIPES)
    add_fields(parser, TrainConfig, absent=True)


def run(options: Namespace) -> tuple[Any, str | None]:
    """Train a network from scratch."""
    from ..runs import distributed
    if options.out:
        outputs.check_folder(options.out)
    if not distributed.is_worker() or options.dry_run:
        return _train(options)
    with distributed.joined(options.patience) as team:
        value, table = _train(options, team)
    return (None, None) if team.rank else (value, table)


def _train(options, team=None):
    from ... import models
    from ..runs.long_run import run_training
    require(options.out or options.dry_run, "--out must name the folder for "
            "weights, checkpoints and history")
    recipe = get_recipe(options.recipe) if options.recipe else PLAIN
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
    told = {"weights": str(Path(options.out, "model.safetensors")),
            "steps": last.get("step"), "seconds": last.get("seconds"),
            "loss": last.get("loss")}
    value = {**told, "best": fitted.best}
    if transfer:
        value["started_from"] = {
            "weights": options.weights or options.backbone_weights,
            **transfer._asdict(), "loaded": len(transfer.loaded)}
    best = fitted.best and "AP {AP:.3f} at step {step}".format(**fitted.best)
    return value, pairs({**told, "best": best})


def _device(options):
    """Return one context or a list of them, and a sentence that says why."""
    if not options.devices:
        return machine.device(options.device)
    require(not options.device, "--device and --devices exclude each other")
    return machine.named_devices(options.devices.split(","))


def _start(options, net, classes, context):
    """Return the network, filled as far as asked for, and the transfer."""
    from ... import models
    from ..pretrained import classifier_weights, transfer
    require(not (options.weights and options.backbone_weights),
            "--weights and --backbone-weights exclude each other")
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
    given = given_fields(options, TrainConfig)
    if options.validation:
        given["held_back"] = 0.0
    settings = dataclasses.replace(recipe.train, **given)
    epochs = options.epochs
    if epochs is None and "steps" not in given:
        epochs = recipe.epochs
    if epochs is None:
        return settings
    require(0 < epochs < float("inf"),
            f"epochs must be positive, found {epochs:g}")
    require(not options.epochs or "steps" not in given,
            "--steps and --epochs exclude each other")
    return dataclasses.replace(settings, steps=steps_of(
        epochs, split_sizes(images, settings)[0], settings))


def _network(options, recipe, classes):
    """Return what ``models.build`` is to be called with."""
    name = options.model or recipe.model
    changes = {}
    if options.weights:
        from ..pretrained.transfer import settings_of
        changes = settings_of(options.weights, name)
    if name == recipe.model:
        changes |= recipe.changes
    return {"name_or_config": name, "authors": options.authors, **changes,
            **input_size(options), "num_classes": classes}


def _plan(net, images, settings, recipe):
    from ..runs.plan import plan_run, plan_text
    plan = plan_run(net, images, settings)
    value = {"recipe": recipe.name or None, "model": net.config.name,
             **plan, "note": recipe.note or None}
    size = " x ".join(map(str, net.config.input_size))
    return value, (f"{net.config.name}, {size} pixels, "
                   f"{net.config.num_classes} classes\n"
                   f"{plan_text(plan)}\n{recipe.note}").rstrip("\n")
