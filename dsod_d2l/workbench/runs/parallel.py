"""Each batch divided among devices, as if one device had seen it whole."""

import os

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn
from mxnet.gluon.contrib.nn import SyncBatchNorm

from ...config.base import require
from ...datasets.loader import Batch
from ...training import graph_inputs
from .precision import LossScale, check_precision

COPIES = "MXNET_CPU_TEMP_COPY"
MANY = 1000


class Alone:
    """The team of a process that works on its own."""

    rank, workers, store = 0, 1, None

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of an array over all processes."""
        return values

    def told(self, heard: list[int]) -> int | None:
        """Return the first of the signals heard by any process, or None."""
        return heard[0] if heard else None

    def align(self, run) -> None:
        """Bring the runs of all processes to where the first one is."""


class Devices:
    """The devices that share the work of every batch.

    The batch is the one of ``TrainConfig.batch_size`` however many devices
    there are: each takes as many of its rows. The loss is divided by the
    positive anchors of the whole batch, so a part of the batch weighs as much
    as the positives it has: the mean over the devices would be another loss,
    but for one that is divided by all anchors.

    Args:
        contexts: one MXNet context, or a list of them.
        settings: ``TrainConfig``.
        team: the processes that share the work, see ``distributed.Team``.

    Attributes: ``contexts``, ``team``; ``parts``, into how many each batch
    is divided; ``plain``, whether it is neither divided nor its loss
    multiplied by ``scale``; ``rows``, those of this process.

    Raises:
        ValueError: the batch cannot be divided evenly.
    """

    def __init__(self, contexts, settings, team=None):
        self.contexts = list(contexts) if isinstance(
            contexts, (list, tuple)) else [contexts]
        self.settings, self.team = settings, team or Alone()
        each, here = len(self.contexts), self.team.workers
        require(each and all(isinstance(one, mx.Context)
                             for one in self.contexts),
                "there must be a device to train on, such as mx.cpu() or "
                f"device()[0], or a list of them, found {contexts!r:.80}")
        self.parts = each * here
        where = f" ({here} of the processes, {each} in each)" * (here > 1)
        require(settings.batch_size % self.parts == 0, "a batch of "
                f"{settings.batch_size} images cannot be divided evenly "
                f"among {self.parts} devices{where}")
        check_precision(settings.precision, self.contexts[0])
        self.scale = LossScale(settings.precision)
        self.plain = self.parts == 1 and not self.scale.active
        share = settings.batch_size // here
        self.rows = range(self.team.rank * share, (self.team.rank + 1) * share)

    @property
    def store(self):
        """What adds up the gradients, see ``gluon.Trainer``.

        The weights are changed on each device: then every one holds the
        whole state of the optimiser, and any of them can save it.
        """
        if self.team.store is None and len(self.contexts) > 1:
            on_cpu = self.contexts[0].device_type == "cpu"
            return "local" if on_cpu else "device"
        return self.team.store

    def backward(self, graph, batch: Batch) -> np.ndarray:
        """Add the gradients of one batch on each device.

        Args:
            graph: what ``training.training_graph`` returns.
            batch: ``datasets.loader.Batch``, the rows of this process. Each
                step of a network of several weighs as much as its own
                positives.

        Returns:
            Classification and localisation loss of the whole batch, (2,).
        """
        weight, losses, counts = self.settings.localisation_weight, [], []
        rows = len(batch.images) // len(self.contexts)
        parts = [Batch(*(part[k:k + rows] for part in batch))
                 for k in range(0, len(batch.images), rows)]
        # All of them before the first graph: a normalisation over the devices
        # that waits for the next one would keep its arrays from coming.
        inputs = [graph_inputs(*one) for one in zip(parts, self.contexts)]
        with autograd.record():
            for part, arrays in zip(parts, inputs):
                found = graph(*arrays)
                losses += [(*pair, pair[0] + weight * pair[1])
                           for pair in zip(found[::2], found[1::2])]
                counts.append(graph.positives if part.truths
                              else [(part.classes > 0).sum()])
        shares = self.shares(counts)
        autograd.backward(
            [row[2] for row in losses],
            [mx.nd.array([share * self.scale.value], ctx=row[2].context)
             for row, share in zip(losses, shares)])
        values = [[row[0].asscalar(), row[1].asscalar()] for row in losses]
        return self.team.total(np.array(shares) @ np.array(values, float))

    def shares(self, counts) -> list[float]:
        """Return how much each part and step weighs in the loss.

        Args:
            counts: (parts, steps) positives of the parts of this process.
        """
        counts = np.array(counts, float)
        if self.settings.normalisation == "per_anchor":
            counts[:] = 1
        whole = self.team.total(counts.sum(axis=0))
        return (np.maximum(counts, 1) / np.maximum(whole, 1)).ravel().tolist()


def set_norms(net: gluon.Block, contexts: list) -> None:
    """Let batch normalisation see one device, or all of them at once.

    Args:
        net: Gluon block, changed in place; its numbers are kept.
        contexts: the devices it is to be trained on; one: plain layers.

    Raises:
        ValueError: the devices are parts of one CPU, for which MXNet has not
            been prepared. Its operators share their scratch memory there: two
            that wait for each other could need the same piece, for ever.
    """
    count, blocks = len(contexts), []
    net.apply(blocks.append)
    if count == 1 and not any(isinstance(block, SyncBatchNorm)
                              for block in blocks):
        return
    require(count == 1 or contexts[0].device_type != "cpu"
            or int(os.environ.get(COPIES, 4)) >= MANY,
            "synchronised normalisation on contexts of the CPU would stall: "
            f"set {COPIES}=4096 in the environment before MXNet is used")
    for block in blocks:
        if isinstance(block, nn.BatchNorm):
            # The two classes differ in no more than the operator. The devices
            # find each other by the key; MXNet keeps it, with their number,
            # as long as the process lives.
            own = ({"ndev": count, "key": f"{block.prefix}{count}"}
                   if count > 1 else {"axis": 1})
            block.__class__ = SyncBatchNorm if count > 1 else nn.BatchNorm
            block._kwargs = {**own, **{name: block._kwargs[name] for name in (
                "eps", "momentum", "fix_gamma", "use_global_stats")}}
        if isinstance(block, gluon.HybridBlock):
            block._clear_cached_op()        # it holds the operators of before
