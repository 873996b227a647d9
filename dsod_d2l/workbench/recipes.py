"""The recipes: how networks were trained, as values.

A recipe names a network, says what of it is changed, and holds a
``TrainConfig``. Where its author counts epochs, ``TrainConfig.steps`` is
what they come to on the data of that author; ``steps_of`` counts anew.
"""

import dataclasses
from dataclasses import dataclass, field

from ..config.base import Checked, Positive, require
from ..config.schedules import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Recipe(Checked):
    """A way to train.

    name: for ``train --recipe``.
    model: name of the preset that it was made for.
    train: ``TrainConfig``.
    changes: fields of the network that differ from the preset.
    epochs: how long, where the length is told in epochs; None: train.steps.
    note: what is to be known: where it is from, and where it is not exact.
    """

    name: str
    model: str
    train: TrainConfig
    note: str
    changes: dict = field(default_factory=dict)
    epochs: Positive | None = None


def steps_of(epochs: float, images: int, settings: TrainConfig) -> int:
    """Return the number of optimiser steps that some epochs take.

    Args:
        epochs: how often every image is seen.
        images: of the training set, without what is held back.
        settings: ``TrainConfig``; how many images a step takes.

    >>> steps_of(150, 900, get_recipe("toy_ssd").train)     # 900 / 32 each
    4219
    """
    each = settings.batch_size * settings.accumulate
    return max(1, round(epochs * images / each))


def authors_settings(steps: int, drops: range, **changes) -> TrainConfig:
    """Return the authors' solver: SGD, from the first step at full rate.

    A step is 4 passes of 32 images, which they spread over 8 GPUs: their
    batch normalisation saw 4 images at a time, here it sees the 32 of a pass.
    batch_size 4 with accumulate 32 gives statistics of 4, and their 128.

    Args:
        steps: how many.
        drops: steps at which the rate falls to a tenth.
        changes: fields of ``TrainConfig`` that differ.
    """
    return TrainConfig(**{
        "steps": steps, "batch_size": 32, "accumulate": 4,
        "optimiser": "sgd", "learning_rate": 0.1, "momentum": 0.9,
        "weight_decay": 5e-4, "warmup": 0, "clip": None, "augment": "ssd",
        "schedule": "multistep", "decay": 0.1, "held_back": 0.0,
        "milestones": tuple(drop / steps for drop in drops),
        "checkpoint_every": 2000, **changes})


_BN = ("A step is 128 images in 4 passes of 32. The authors normalised 4 at "
       "a time, as --batch-size 4 --accumulate 32 does.")
VOC0712 = Recipe(
    name="voc0712", model="dsod300",
    train=authors_settings(100_000, range(20_000, 100_001, 20_000)),
    note="DSOD300 on VOC 07+12, the authors' script. " + _BN + " Difficult "
    "objects are trained on. The last drop falls on the end.")
VOC0712_PLUS = Recipe(
    name="voc07++12", model="dsod300",
    train=authors_settings(120_000, range(20_000, 100_001, 20_000)),
    note="DSOD300 on VOC 07++12, the authors' script; the paper says 110,000 "
    "iterations with drops at 30,000 and then every 20,000. " + _BN)
COCO = Recipe(
    name="coco", model="dsod300_coco",
    train=authors_settings(320_000, range(80_000, 320_001, 60_000),
                           checkpoint_every=10_000),
    note="DSOD300 on COCO trainval35k, the authors' script, with its smaller "
    "anchors. " + _BN + " Crowds are not trained on.")
GRP = Recipe(
    name="grp", model="grp_dsod320",
    train=authors_settings(100_000, range(20_000, 80_001, 20_000),
                           batch_size=48, accumulate=3),
    note="GRP-DSOD320 on VOC, the authors' script, which is for "
    "grp_dsod320_star. A step is 144 images in 3 passes of 48: 128 were "
    "asked for, and 48 does not divide them. Their batch normalisation saw "
    "6 images at a time.")
_BACKBONE = ("It starts from a classifier's VGG16, for which its rate is "
             "made: --backbone-weights.")
REFINEDET = Recipe(
    name="refinedet", model="refinedet320_vgg16",
    train=authors_settings(120_000, range(80_000, 120_001, 20_000),
                           accumulate=1, learning_rate=0.001),
    note="RefineDet320 on VOC 07+12, the authors' schedule. " + _BACKBONE +
    " The last drop falls on the end.")
SSD_VOC = Recipe(
    name="ssd_voc", model="ssd300_vgg16",
    train=authors_settings(60_000, range(40_000, 50_001, 10_000),
                           accumulate=1, learning_rate=0.001),
    note="SSD300 on VOC 2007, as its PyTorch program has it. " + _BACKBONE)
SSD_SCRATCH = Recipe(
    name="ssd_scratch", model="ssd300_vgg16_bn",
    train=dataclasses.replace(VOC0712.train, learning_rate=0.05,
                              warmup=300, clip=10.0),
    note="SSD300 from scratch on VOC 07+12, which takes batch normalisation. "
    "No source has it: steps, images and drops are those of voc0712. Its "
    "heads are not normalised, so the rate is half of that, after a warm-up, "
    "and the gradient is cut.")
TOY_RECIPE = Recipe(
    name="toy_ssd", model="toy_ssd", epochs=150,
    train=TrainConfig(
        steps=4219, batch_size=32, learning_rate=0.1, momentum=0.0,
        weight_decay=5e-4, warmup=0, schedule="constant", clip=None,
        classification="even_focal", normalisation="per_anchor",
        held_back=0.0),
    note="The Gluon tutorial's toy SSD on its 900 Pikachu pictures: plain "
    "SGD at one rate, focal loss, no mining. The losses are means over all "
    "anchors, for which its rate is made.")
GLUON_RECIPE = Recipe(
    name="dsod_gluon", model="dsod_gluon", epochs=800,
    changes={"input_size": (512, 512)},
    train=dataclasses.replace(
        TOY_RECIPE.train, steps=180_000, batch_size=4, augment="none",
        localisation="l1", localisation_weight=5.0, match_threshold=0.3),
    note="The Gluon DSOD on 900 Pikachu pictures of 512 pixels: matched at "
    "an IoU of .3, no augmentation, the boxes' loss, which is L1, times 5. "
    "Its program stops with an error at epoch 800, before its only change "
    "of rate.")
SMALL_RECIPE = Recipe(
    name="small", model="dsod_tiny", epochs=60,
    train=TrainConfig(
        steps=3038, batch_size=16, learning_rate=0.05, warmup=50,
        evaluate_every=5.0, average=0.995),
    note="For a few hundred to a few thousand pictures: warm-up, half a "
    "cosine, and the average of the weights, of which the best on a tenth "
    "held back is kept. Stated are the steps for 900 pictures.")
RECIPES = {recipe.name: recipe for recipe in
           (VOC0712, VOC0712_PLUS, COCO, GRP, REFINEDET, SSD_VOC, SSD_SCRATCH,
            TOY_RECIPE, GLUON_RECIPE, SMALL_RECIPE)}


def get_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        ValueError: there is none.

    >>> get_recipe("voc0712").train.learning_rate
    0.1
    """
    require(name in RECIPES, f"no recipe is called {name!r}, expected one of "
            f"{', '.join(RECIPES)}")
    return RECIPES[name]
