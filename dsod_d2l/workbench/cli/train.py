"""The command train."""

import dataclasses
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ...config import TrainConfig
from ...config.base import require
from ...datasets.sample import share_cache
from .. import machine, outputs
from ..checking import anchor_fit
from ..formats.choices import matched
from ..recipes import RECIPES, Recipe, get_recipe, steps_of
from ..runs.tuning import Tuning
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
    anchors (fit|FILE|TEXT): "fit" for those that `data check` suggests; or
        others, as it prints them, as JSON, or those of a weights file
    resume: go on from the newest checkpoint in FOLDER; with more --steps
        than before, at the learning rates of a schedule of so many steps
    from_step (STEP): go on from the checkpoint of this step
    tensorboard: write the history as event files for TensorBoard, too
    dry_run: only print the plan: steps, learning rates, images, memory
    epochs: how often to see every image, instead of --steps
    drop_epochs: epochs after which the rate falls by --decay, instead of
        --schedule and --milestones
    devices (LIST): divide each batch among GPUs, such as 0,1 (cpu0,cpu1
        tries it on a CPU)
    silence (SECONDS): how long one of several workers waits for a word of
        the others, see launch
    """

    validation: str | None = None
    out: str | None = None
    recipe: str | None = None
    weights: str | None = None
    backbone_weights: str | None = None
    anchors: str | None = None
    resume: bool = False
    from_step: int | None = None
    tensorboard: bool = False
    dry_run: bool = False
    epochs: float | None = None
    drop_epochs: tuple[float, ...] = ()
    devices: str | None = None
    silence: float = 1800.0


def add_options(parser: ArgumentParser) -> None:
    """Add the options: one for every field of TrainConfig among them."""
    add_fields(parser, TrainOptions, recipe=RECIPES)
    add_fields(parser, TrainConfig, absent=True)
    add_fields(parser, Tuning, absent=True)


def run(options: Namespace) -> tuple[Any, str | None]:
    """Train a network from scratch."""
    from ..runs import distributed
    if options.out:
        outputs.check_folder(options.out)
    if not distributed.is_worker() or options.dry_run:
        return _train(options)
    with distributed.joined(options.silence) as team:
        value, table = _train(options, team)
    return (None, None) if team.rank else (value, table)


def _train(options, team=None):
    from ..runs import curves, weighing
    from ..runs.freezing import tell_frozen
    from ..runs.long_run import run_training, telling
    from ..runs.plan import check_memory
    require(options.out or options.dry_run, "--out must name the folder for "
            "weights, checkpoints and history")
    recipe = get_recipe(options.recipe) if options.recipe else PLAIN
    dataset = open_data(options, cache=not options.dry_run)
    weighing.require_objects(dataset, options.data)
    share_cache(dataset, team.workers if team else 1)
    validation = options.validation and matched(
        open_data(options, options.validation), dataset.classes,
        "the set to train on")
    settings = _settings(options, recipe, len(dataset))
    tuning = Tuning(**given_fields(options, Tuning))
    tuning.check_held(settings, options.validation or settings.held_back)
    weighing.weights_by_class(tuning.class_weights, dataset)
    with telling():
        net, fit = _build(options, recipe, dataset, settings)
        context, reason = _device(options)
        contexts = context if options.devices else [context]
        if options.dry_run:
            return _plan(net, dataset, settings, recipe,
                         tell_frozen(net, tuning.freeze), fit, contexts)
        tight = check_memory(net, settings, contexts)
        net, transfer = _start(options, net, dataset.classes, context)
    first = not (team and team.rank)
    if not options.json and first:
        print("\n".join(str(line) for line in (
            reason, fit and anchor_fit.tell_anchors(fit), transfer,
            tell_frozen(net, tuning.freeze), *tight) if line), flush=True)
    callbacks = ([curves.TensorBoard(options.out)]
                 if options.tensorboard and first else [])
    fitted = run_training(
        net, dataset, settings, options.out, options.resume, context,
        progress=not options.json, validation=validation, team=team,
        callbacks=callbacks, tuning=tuning, from_step=options.from_step)
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


def _build(options, recipe, dataset, settings):
    """Return the network, and how the anchors asked for fit, or None."""
    from ... import models
    net = models.build(**_network(options, recipe, len(dataset.classes)),
                       resize=settings.resize)
    if not options.anchors:
        return net, None
    fit = anchor_fit.choose_anchors(options.anchors, net.config, dataset)
    if fit.specs is None:
        return net, fit
    return models.build(net.config, anchors=fit.specs), fit


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
        return net, transfer.start_from(net, options.weights, classes, context)
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
    require(not options.epochs or "steps" not in given,
            "--steps and --epochs exclude each other")
    epochs = options.epochs or recipe.epochs
    seen = split_sizes(images, settings)[0]
    if epochs is not None and "steps" not in given:
        settings = dataclasses.replace(settings, steps=steps_of(
            epochs, seen, settings))
    if not options.drop_epochs:
        return settings
    drops = [steps_of(drop, seen, settings) for drop in options.drop_epochs]
    require(max(drops) <= settings.steps, "--drop-epochs "
            f"{max(options.drop_epochs):g} is step {max(drops)}, behind the "
            f"last of {settings.steps}: --epochs or --steps make it longer")
    return dataclasses.replace(settings, schedule="multistep", milestones=[
        drop / settings.steps for drop in drops])


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


def _plan(net, dataset, settings, recipe, frozen, fit, contexts):
    from ..runs.plan import plan_run, plan_text
    plan = plan_run(net, len(dataset), settings, contexts)
    value = {"recipe": recipe.name or None, "model": net.config.name,
             **plan, "note": recipe.note or None, "frozen": frozen}
    if fit:
        value["anchors"] = {
            "recall_before": anchor_fit.recall(fit.overlaps),
            "recall": anchor_fit.recall(
                fit.overlaps if fit.suggested is None else fit.suggested),
            "anchors": [dataclasses.asdict(spec)
                        for spec in net.config.anchors]}
    size = " x ".join(map(str, net.config.input_size))
    lines = (f"{net.config.name}, {size} pixels, {net.config.num_classes} "
             "classes", fit and anchor_fit.tell_anchors(fit), frozen,
             plan_text(plan), recipe.note)
    return value, "\n".join(line for line in lines if line)
