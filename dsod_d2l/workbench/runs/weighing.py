"""The loss of a run: classes that count more, and what is not trained on."""

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
from ...training import TrainingGraph, graph_inputs
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


class MeasuringGraph(TrainingGraph):
    """A ``TrainingGraph`` that keeps accuracy and MAE of its last batch.

    ``measured`` has the share of all anchors whose class is right, and the
    mean absolute error of all offsets, 0 where there is no object: what
    Gluon's programs print. A detector that finds nothing is right for most.
    """

    def __call__(self, *arrays: Any) -> Any:
        """Return the losses."""
        *losses, accuracy, error = super().__call__(*arrays)
        self.measured = {"accuracy": accuracy, "MAE": error}
        return losses

    def hybrid_forward(self, F: Any, images: Any, classes: Any, offsets: Any
                       ) -> tuple:
        """Return both losses, accuracy and MAE."""
        scores, moves = self.outputs(images)
        classes = F.cast(classes, "float32")
        right = F.argmax(scores, axis=-1) == classes
        error = F.broadcast_mul(F.abs(F.BlockGrad(moves) - offsets),
                                F.expand_dims(classes > 0, -1))
        return (*self.loss(scores, moves, classes, offsets), F.mean(right),
                F.mean(error))


def held_loss(graph: Any, net: Any, held: Any, classes: Sequence[str],
              settings: Any, ctx: Any) -> float:
    """Return the mean loss on images that are not trained on.

    They are brought to the network's size and not varied. As in training,
    the sums are divided by the number of positive anchors, here of them all,
    or, per anchor, by the number of images.

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
        if settings.normalisation == "per_anchor":
            counts[:] = stop - start
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
