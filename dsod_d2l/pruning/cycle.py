"""Evaluate, prune, evaluate, train on, evaluate: once or again and again."""

from __future__ import annotations

from typing import NamedTuple

from .. import checkpoints, models, training
from ..config import DetectConfig
from ..detection import Detector
from ..evaluation import class_numbers, evaluate_dataset
from .choosing import make_plan
from .cutting import cut


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


def measure(net, classes, dataset, stage="", letter_box=False, latency=None):
    """Say what a network costs and what it is worth.

    Args:
        net: an initialised ``Network``.
        classes: names of its classes.
        dataset: the images it is judged on.
        stage: what to call it.
        letter_box: whether images are fitted in undistorted.
        latency: milliseconds, if they are known; None: measured.

    Returns:
        ``Row``.
    """
    detector = Detector(net, net.config, classes,
                        DetectConfig(letter_box=letter_box))
    if latency is None:
        latency = models.forward_time(net.config, detector.ctx)
    result = evaluate_dataset(detector, dataset)
    return Row(stage, models.count_parameters(net),
               models.multiply_adds(net), latency, result.AP, result.AP50)


def prune_and_train(net, classes, dataset, judged, ratio, settings=None, steps=1,
                    folder=None, note=None, progress=False, **wishes):
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
        wishes: further arguments of ``make_plan``.

    Returns:
        (net, rows): the last network, and its ``Row``s, the whole first.

    Raises:
        ValueError: see ``make_plan``, which a later step may find little
            left for; the data to train on have other classes, or have them
            in another order; steps is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, found {steps}")
    numbers = class_numbers(classes, dataset.classes)
    if settings is not None and list(numbers) != sorted(numbers):
        raise ValueError("the data to train on must have the classes in the "
                         f"order {','.join(classes)}, found "
                         f"{','.join(dataset.classes)}; only= changes it")
    rows = []
    boxed = settings is not None and settings.augment == "letter-box"

    def look(stage, latency=None):
        rows.append(measure(net, classes, judged, stage, boxed, latency))
        if note:
            note(rows[-1])
    plan = make_plan(net, ratio, **wishes)      # a wrong wish fails early
    look("whole")
    for step in range(1, steps + 1):
        if step > 1:
            plan = _next_plan(net, ratio, step, steps, folder, wishes)
        net = cut(net, plan)
        look(f"pruned {step}")
        if settings is not None:
            net = training.fit(net, dataset, settings, progress=progress,
                               ctx=_device(net)).net
            look(f"trained {step}", rows[-1].latency)
        if folder:
            _save(folder, step, net, classes, rows)
    return net, rows


def _next_plan(net, ratio, step, steps, folder, wishes):
    """Return the plan of a later step, or say what there is without it."""
    try:
        return make_plan(net, ratio, **wishes)
    except ValueError as error:
        kept = (f"; {folder}/model.safetensors is the network after step "
                f"{step - 1}" if folder else "")
        raise ValueError(f"step {step} of {steps}: {error}{kept}") from error


def _device(net):
    return next(iter(net.collect_params().values())).list_ctx()[0]


def _save(folder, step, net, classes, rows):
    """Save a network under the number of its step, and as the last one."""
    for name in (f"step-{step}", "model"):
        checkpoints.save_weights(f"{folder}/{name}.safetensors", net, classes,
                                 pruning=[row._asdict() for row in rows])
