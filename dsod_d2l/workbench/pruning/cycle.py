"""Cut filters out, see which layers need theirs, and train on what is left."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ... import models, weights
from ...config.base import COUNTED, require
from ...detection import Detector
from ...evaluation import class_numbers, evaluate_dataset
from ..machine import forward_time
from ..runs.long_run import run_training
from .choosing import PruningPlan, filter_groups, plan_pruning


def cut(net, plan: PruningPlan):
    """Return a network without the filters of a plan.

    Everything else is kept, the running statistics of normalisations too.

    Args:
        net: an initialised ``Network``.
        plan: ``PruningPlan`` of ``plan_pruning`` for this network.

    Returns:
        A new ``Network`` on the same device. Its configuration holds the new
        widths, so that it is saved and loaded like any other.
    """
    after = {name: left for name, (_, left) in plan.widths.items()}
    config = dataclasses.replace(net.config, widths={
        **dict(net.config.widths), **after})
    tensors = weights.parameter_arrays(net)
    for name, parameter in net._collect_params_with_prefix().items():
        for axis, ids in plan.channels.axes.get(parameter.name, {}).items():
            tensors[name] = np.compress(plan.keeps(ids), tensors[name], axis)
    return with_tensors(net, config, tensors)


def masked(net, plan: PruningPlan):
    """Return a network of the same shape, with the filters at zero.

    With a filter go its bias and the factors of the normalisations that its
    channel passes: the channel is zero wherever it is read.

    Args:
        net, plan: see ``cut``.

    Returns:
        A new ``Network``, whose outputs are those of ``cut``.
    """
    tensors = weights.parameter_arrays(net)
    for name, parameter in net._collect_params_with_prefix().items():
        if name.rpartition(".")[2].startswith("running_"):
            continue
        for axis, ids in plan.channels.axes.get(parameter.name, {}).items():
            if (parameter.name, axis) in plan.channels.filters:
                shape = [1] * tensors[name].ndim
                shape[axis] = -1
                tensors[name] = (tensors[name]
                                 * plan.keeps(ids).reshape(shape))
    return with_tensors(net, net.config, tensors)


def with_tensors(net, config, tensors: dict):
    """Return a new network with these numbers, where the old one is."""
    device = next(iter(net.collect_params().values())).list_ctx()[0]
    new = models.build(config)
    weights.fill(new, tensors, "the pruned weights", device)
    return new


RATIOS = (0.25, 0.5, 0.75)


class Sensitivity(NamedTuple):
    """What a layer costs: AP with a share of its filters at zero.

    layer: its name.
    filters: how many it has.
    ratio: share of them at zero, the smallest first.
    AP: on the images the network is judged on.
    """

    layer: str
    filters: int
    ratio: float
    AP: float


def scan(net, classes, judged, ratios=RATIOS, note=None,
         **wishes) -> list[Sensitivity]:
    """Judge a network with each layer pruned by itself, and nothing trained.

    Args:
        net, classes: an initialised ``Network``, and its classes.
        judged: the images it is judged on, once for each layer and ratio.
        ratios: shares of the filters.
        note: called with each ``Sensitivity`` as it is there.
        wishes: ``layers``, ``protect`` and ``shortcuts`` of ``plan_pruning``.

    Returns:
        List of ``Sensitivity``: for each layer one of each ratio that takes
        out a filter of it.

    Raises:
        ValueError: a ratio is not between 0 and 1, none takes out a filter,
            or a pattern fits no layer.
    """
    for ratio in ratios:
        require(0 < ratio < 1, "ratios of a scan must be between 0 and 1, "
                f"found {float(ratio):g}")
    tasks = [(group, ratio) for group in filter_groups(net, **wishes)
             for ratio in ratios if int(ratio * len(group.roots)) >= 1]
    require(tasks, f"{net.config.name}: no layer may lose filters, or none "
            f"has enough for ratio {float(max(ratios)):g}")
    rows = []
    for group, ratio in tasks:
        plan = plan_pruning(net, ratio, [group.name], multiple=1,
                            shortcuts=wishes.get("shortcuts", False))
        result = evaluate_dataset(Detector(masked(net, plan), classes), judged)
        rows.append(Sensitivity(group.name, len(group.roots), ratio,
                                result.AP))
        if note:
            note(rows[-1])
    return rows


class Row(NamedTuple):
    """A network at one point of the cycle.

    stage: what was done last, in words.
    parameters: trainable numbers.
    multiply_adds: of one image.
    latency: forward pass of one image, in milliseconds.
    AP, AP50: on the images it is judged on.
    """

    stage: str
    parameters: int
    multiply_adds: int
    latency: float
    AP: float
    AP50: float


def measure(net, classes, dataset, stage: str = "",
            latency: float | None = None) -> Row:
    """Say what a network costs and what it is worth.

    Args:
        net: an initialised ``Network``.
        classes: names of its classes.
        dataset: the images it is judged on.
        stage: what to call it.
        latency: milliseconds, if they are known; None: measured.

    Returns:
        ``Row``.
    """
    if latency is None:
        latency = forward_time(net.config, _device(net))
    result = evaluate_dataset(Detector(net, classes), dataset)
    return Row(stage, models.count_parameters(net),
               models.multiply_adds(net), latency, result.AP, result.AP50)


def prune_and_train(net, classes, dataset, judged, ratio, settings=None,
                    steps: int = 1, folder: str | Path | None = None,
                    note=None, progress: bool = False, **wishes) -> tuple:
    """Prune a network and train what is left, as often as asked for.

    Args:
        net: an initialised ``Network``; it stays as it is.
        classes: names of its classes.
        dataset: what to train on.
        judged: what to judge on; no image of it should be in ``dataset``.
        ratio: share of the filters that each step removes of what is there.
        settings: ``TrainConfig`` of the training after each step, all of
            ``dataset`` being trained on; None: no training.
        steps: how often to prune.
        folder: where the network is saved after each step, as
            step-1.safetensors and so on, and model.safetensors; or None.
        note: called with each ``Row`` as it is there.
        progress: whether training shows a bar.
        wishes: further arguments of ``plan_pruning``.

    Returns:
        (net, rows): the last network, and its ``Row``s, the whole first.

    Raises:
        ValueError: see ``plan_pruning``, which a later step may find little
            left for; the data to train on have other classes, or have them
            in another order; steps is below 1.
    """
    COUNTED.check("steps", steps)
    numbers = class_numbers(classes, dataset.classes)
    if settings is not None:
        require(list(numbers) == sorted(numbers), "the data to train on must "
                f"have the classes in the order {','.join(classes)}, found "
                f"{','.join(dataset.classes)}; only= changes it")
        settings.check_resize(net.config)
    rows = []

    def look(stage, latency=None):
        rows.append(measure(net, classes, judged, stage, latency))
        if note:
            note(rows[-1])
    plan = plan_pruning(net, ratio, **wishes)      # a wrong wish fails early
    look("whole")
    for step in range(1, steps + 1):
        if step > 1:
            plan = _next_plan(net, ratio, step, steps, folder, wishes)
        net = cut(net, plan)
        look(f"pruned {step}")
        if settings is not None:
            net = run_training(net, dataset, settings, progress=progress,
                               ctx=_device(net)).net
            look(f"trained {step}", rows[-1].latency)
        for name in (f"step-{step}", "model") if folder else ():
            weights.save_weights(f"{folder}/{name}.safetensors", net, classes,
                                 pruning=[row._asdict() for row in rows])
    return net, rows


def _next_plan(net, ratio, step, steps, folder, wishes):
    """Return the plan of a later step, or say what there is without it."""
    try:
        return plan_pruning(net, ratio, **wishes)
    except ValueError as error:
        kept = (f"; {folder}/model.safetensors is the network after step "
                f"{step - 1}" if folder else "")
        raise ValueError(f"step {step} of {steps}: {error}{kept}") from error


def _device(net):
    return next(iter(net.collect_params().values())).list_ctx()[0]
