"""The loss of a run: classes that count more, and what is not trained on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from ...config.base import require
from ...datasets.loader import Batch, BatchMaker
from ...datasets.wrappers import complete
from ...evaluation.measure import class_numbers
from ...losses import (DetectionLoss, cross_entropy, focal_loss,
                       hard_negatives, smooth_l1)
from ...training import StepLosses, graph_inputs
from ...transforms import RESIZINGS
from .tuning import near

BALANCED = ("balanced",)


def require_objects(dataset: Any, name: str = "the data set") -> None:
    """Raise a ValueError unless there is an object to learn from.

    Args:
        dataset: any data set; it is read up to the first object.
        name: of the data set, for the message.
    """
    whole_set = complete(dataset)
    require(any(len(_learnt(whole_set.entry(index)))
                for index in range(len(dataset))),
            f"{name} holds no object to learn from in {len(dataset)} images; "
            "`data check` tells what was read")


def _learnt(entry):
    """Return the labels of an Entry, without crowds."""
    return entry.labels[~entry.flags[:, 3]]


def weights_by_class(words: Sequence[str], dataset: Any) -> np.ndarray:
    """Return how much each class counts, float32 (K + 1,), background first.

    Args:
        words: of ``Tuning.class_weights``.
        dataset: the images to learn from.

    Raises:
        ValueError: a class is not there, or a weight is no number.
    """
    classes, weights = list(dataset.classes), np.ones(len(dataset.classes))
    if tuple(words) == BALANCED:
        whole_set = complete(dataset)
        counts = np.bincount(np.concatenate(
            [_learnt(whole_set.entry(k)) for k in range(len(dataset))]),
            minlength=len(classes))
        there = counts > 0
        weights[there] = counts.sum() / (there.sum() * counts[there])
    else:
        for word in words:
            name, _, number = word.rpartition("=")
            require(name in classes, f"--class-weights {word}: expected "
                    "CLASS=WEIGHT or balanced, the class being one of "
                    f"{near(name, classes)}")
            weights[classes.index(name)] = _weight(word, number)
    return np.append(1, weights).astype(np.float32)


def _weight(word, number):
    """Return a weight as a number, or raise a ValueError."""
    with contextlib.suppress(ValueError):
        if 0 <= float(number) < inf:
            return float(number)
    raise ValueError(f"--class-weights {word}: expected a number of at least "
                     f"0 behind =, found {number!r}")


class WeightedLoss(DetectionLoss):
    """``DetectionLoss`` where the objects of some classes count more.

    An anchor's classification loss is multiplied by the weight of its class.
    Which negatives are kept, what the sums are divided by, and the loss of
    the boxes stay what they are.

    Args:
        settings: ``TrainConfig``.
        weights: (K + 1,), background first.
    """

    def __init__(self, settings: Any, weights: np.ndarray):
        super().__init__(settings.classification, settings.negative_ratio)
        self.weights = self.params.get_constant("weights", weights)

    def hybrid_forward(self, F: Any, scores: Any, offsets: Any, classes: Any,
                       wanted: Any, weights: Any) -> tuple:
        """Return the classification and the localisation loss."""
        positive = classes > 0
        count = F.maximum(F.sum(positive), 1)
        if self.classification == "focal":
            nats = focal_loss(F, scores, classes)
        else:
            nats = cross_entropy(F, scores, classes)
            nats = nats * (positive + hard_negatives(
                F, F.BlockGrad(nats), classes, positive, self.negative_ratio))
        nats = nats * F.take(weights, F.relu(classes))
        boxes = smooth_l1(F, offsets, wanted, positive)
        return (F.broadcast_div(F.sum(nats), count),
                F.broadcast_div(F.sum(boxes), count))


class WeightedSteps(StepLosses):
    """``StepLosses`` whose last step tells classes apart, and weighs them."""

    def __init__(self, settings: Any, weights: np.ndarray):
        super().__init__(settings)
        self.last = WeightedLoss(settings, weights)

    def hybrid_forward(self, F: Any, first: Any, *rest: Any) -> tuple:
        """Return both losses of each step, of its outputs and its targets."""
        arrays = [first, *rest]
        half = len(arrays) // 2
        before = super().hybrid_forward(F, *arrays[:half - 2],
                                        *arrays[half:-2])
        return *before, *self.last(*arrays[half - 2:half], *arrays[-2:])


def weigh(graph: Any, settings: Any, weights: np.ndarray,
          contexts: list) -> Any:
    """Return a graph of ``training_graph``, with weights for the classes.

    Args:
        graph: it is changed.
        settings: ``TrainConfig``.
        weights: (K + 1,), background first.
        contexts: the devices it is to run on.
    """
    name, kind = (("losses", WeightedSteps) if hasattr(graph, "losses")
                  else ("loss", WeightedLoss))
    loss = kind(settings, weights)
    loss.initialize(ctx=contexts)
    loss.hybridize(static_alloc=True, static_shape=True)
    setattr(graph, name, loss)
    return graph


def held_loss(graph: Any, net: Any, held: Any, classes: Sequence[str],
              settings: Any, ctx: Any) -> float:
    """Return the mean loss on images that are not trained on.

    They are brought to the network's size and not varied. As in training,
    the sums are divided by the number of positive anchors, here of them all.

    Args:
        graph: of ``training_graph``.
        net, settings, ctx: of the run.
        held: the images.
        classes: of the network; those of the images are the same by name.
    """
    make = _plain_maker(net, held, classes, settings)
    sums, found = 0.0, 0.0
    for start in range(0, len(held), settings.batch_size):
        stop = min(start + settings.batch_size, len(held))
        parts = [make.fill(number, make.empty()[0])
                 for number in range(start, stop)]
        batch = Batch(*map(np.concatenate, list(zip(*parts))[:3]), [],
                      [truth for part in parts for truth in part.truths])
        losses = [one.asscalar() for one in graph(*graph_inputs(batch, ctx))]
        counts = np.array(graph.positives if batch.truths
                          else [(batch.classes > 0).sum()], float)
        sums = sums + (np.reshape(losses, (-1, 2)).sum(axis=1)
                       * np.maximum(counts, 1))
        found = found + counts
    return float((sums / np.maximum(found, 1)).sum())


def _plain_maker(net, held, classes, settings):
    """Return a ``BatchMaker`` of one image a batch, each as it is used."""
    make = BatchMaker(held, net.config, dataclasses.replace(
        settings, batch_size=1), truths=net.steps > 1)
    numbers = class_numbers(classes, held.classes)
    bring = RESIZINGS[net.config.resize][0]
    make.augment = lambda sample, size, rng: bring(sample._replace(
        labels=numbers[sample.labels]), size)
    return make
