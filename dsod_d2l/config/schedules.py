"""What describes a run: how to train, how to detect."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from .base import (BelowOne, Bounds, Checked, Count, ModelConfig, NotNegative,
                   Positive, Share, Whole, require)

DRAWN = 0.3     # least score of what is shown: most of the rest is noise


@dataclass(frozen=True, kw_only=True)
class DetectConfig(Checked):
    """How scores and offsets become detections.

    score_threshold: least score of a detection.
    nms_threshold: a box that overlaps a better one of its class by more
        than this IoU is dropped.
    candidates: boxes per class that enter the suppression, best first.
    keep: detections per image, over all classes.

    The defaults are the authors' (DSOD, evaluation script).
    """

    score_threshold: Share = 0.01
    nms_threshold: Share = 0.45
    candidates: Count = 400
    keep: Count = 200


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Checked):
    """How a network is trained; these lines are the help of the options.

    steps: optimiser steps in all.
    batch_size: images of one forward and backward pass.
    accumulate: passes whose gradients are added up before a step.
    optimiser: "sgd" (with momentum) or "adam".
    learning_rate: learning rate after the warm-up; 0.05 suits batches of 16,
        and a smaller batch a smaller one.
    momentum: share of the last step that "sgd" adds to the next one.
    weight_decay: how strongly weights are drawn to 0.
    warmup: steps over which the learning rate rises from near 0.
    schedule: how the rate goes on: it stays, falls in jumps ("multistep"),
        or follows half a cosine to 0.
    milestones: for "multistep", fractions of ``steps`` at which the rate is
        multiplied by ``decay``.
    decay: factor of the learning rate at each milestone.
    clip: largest norm of the gradient of all weights; None: no limit.
    classification: "softmax" with hard-negative mining, "focal", or
        "even_focal", in which background counts as much as objects.
    localisation: loss of the offsets, "smooth_l1" or "l1".
    normalisation: what the losses of a batch are divided by: the number of
        its positive anchors, or that of all anchors ("per_anchor"; then the
        history has accuracy and MAE, as Gluon's programs print them).
    match_threshold: least IoU of an anchor with its object.
    negative_ratio: negatives kept per positive.
    mining: where they are chosen: in each "image", or in the whole "batch",
        of each device.
    localisation_weight: weight of the loss of the offsets.
    average: decay of the moving average of the weights, which is what is
        evaluated and saved; 0: none, the weights themselves are.
    augment: how pictures are varied, a key of ``transforms.AUGMENTATIONS``;
        the network's ``resize`` must fit it.
    held_back: fraction of the training set on which the best model is
        chosen; 0: the last model is kept.
    evaluate_every: epochs between evaluations, on what was held back; 0:
        only at the end.
    checkpoint_every: steps between checkpoints; 0: only at the end.
    keep_checkpoints: how many of the newest to keep.
    workers: data workers; None: one.
    precision: type that convolutions are computed in: "float32", "bfloat16"
        (on a CPU that has it) or "float16" (on a GPU). All else, the weights
        among it, stays float32.
    sync_norm: whether batch normalisation sees the images of all devices of
        a process at once, or those of each device by themselves.
    seed: of all that is drawn: first weights, order of images, augmentation.
    """

    steps: Count = 600
    batch_size: Count = 16
    accumulate: Count = 1
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive = 0.05
    momentum: Share = 0.9
    weight_decay: NotNegative = 5e-4
    warmup: Whole = 20
    schedule: Literal["constant", "multistep", "cosine"] = "cosine"
    milestones: tuple[Share, ...] = (0.6, 0.85)
    decay: Positive = 0.1
    clip: Positive | None = 10.0
    classification: Literal["softmax", "focal", "even_focal"] = "softmax"
    localisation: Literal["smooth_l1", "l1"] = "smooth_l1"
    normalisation: Literal["per_positive", "per_anchor"] = "per_positive"
    match_threshold: Annotated[float, Bounds("a number above 0, at most 1", 0,
                                             1, 0)] = 0.5
    negative_ratio: NotNegative = 3.0
    mining: Literal["image", "batch"] = "image"
    localisation_weight: NotNegative = 1.0
    average: BelowOne = 0.0
    augment: str = "light"
    held_back: BelowOne = 0.1
    evaluate_every: NotNegative = 0.0
    checkpoint_every: Whole = 0
    keep_checkpoints: Count = 2
    workers: Whole | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    sync_norm: bool = False
    seed: Whole = 0

    def check(self) -> None:
        """See ``Checked``."""
        require(list(self.milestones) == sorted(self.milestones),
                f"milestones must rise, found {self.milestones}")

    @property
    def resize(self) -> Literal["stretch", "letter-box"]:
        """The ``resize`` of a network that is trained so."""
        return "letter-box" if self.augment == "letter-box" else "stretch"

    def check_resize(self, model: ModelConfig) -> None:
        """Raise a ValueError unless this trains a network as it is used.

        Args:
            model: ``ModelConfig``.
        """
        require(self.resize == model.resize, f"augment {self.augment!r} does "
                f"not fit {model.name}, which is built with resize="
                f"{model.resize!r}: build it with resize={self.resize!r}, or "
                "choose another augment")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return dataclasses.asdict(self)
