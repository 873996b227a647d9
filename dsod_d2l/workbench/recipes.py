"""The recipes: how networks were trained, as values, from a file of JSON.

A recipe names a network, says what of it is changed, and holds a
``TrainConfig``. Where its author counts epochs, ``TrainConfig.steps`` is
what they come to on the data of that author; ``steps_of`` counts anew. In
the file, "drops" are the steps at which the learning rate falls.

The authors of DSOD spread the 32 images of a pass over 8 GPUs: their batch
normalisation saw 4 images at a time, here it sees the 32. batch_size 4 with
accumulate 32 gives statistics of 4, and their 128.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

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


def _stated(name, train, drops=(), **more):
    """Return a ``Recipe`` of what the file says of it."""
    if drops:
        train["milestones"] = [drop / train["steps"] for drop in drops]
    return Recipe(name=name, train=TrainConfig(**train), **more)


RECIPES = {name: _stated(name, **row) for name, row in json.loads(
    Path(__file__).with_suffix(".json").read_text()).items()}


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
