"""Each batch divided among devices, as if one device had seen it whole."""

from __future__ import annotations

import os

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn
from mxnet.gluon.contrib.nn import SyncBatchNorm

from .precision import LossScale, check_precision

COPIES = "MXNET_CPU_TEMP_COPY"
MANY = 1000


class Alone:
    """The team of a process that works on its own."""

    rank, workers, store = 0, 1, None

    def total(self, values):
        """Return the sum of an array over all processes."""
        return values

    def told(self, heard):
        """Return the first of the signals heard by any process, or None."""
        return heard[0] if heard else None

    def align(self, run):
        """Bring the runs of all processes to where the first one is."""


class Devices:
    """The devices that share the work of every batch.

    The batch is the one of ``TrainConfig.batch_size`` however many devices
    there are: each takes as many of its rows. The loss is divided by the
    positive anchors of the whole batch, so a part of the batch weighs as much
    as the positives it has: the mean over the devices would be another loss.

    Args:
        contexts: one MXNet context, or a list of them.
        settings: ``TrainConfig``.
        team: the processes that share the work, see ``distributed.Team``.

    Raises:
        ValueError: the batch cannot be divided evenly.
    """

    def __init__(self, contexts, settings, team=None):
        self.contexts = list(contexts) if isinstance(
            contexts, (list, tuple)) else [contexts]
        self.settings, self.team = settings, team or Alone()
        self.scale = LossScale(settings.precision)
        check_precision(settings.precision, self.contexts[0])
        each, here = len(self.contexts), self.team.workers
        if not each:
            raise ValueError("there must be a device to train on, found none")
        if settings.batch_size % (each * here):
            raise ValueError(
                f"a batch of {settings.batch_size} images cannot be divided "
                f"evenly among {each * here} devices ({here} of the "
                f"processes, {each} in each)" if here > 1 else
                f"a batch of {settings.batch_size} images cannot be divided "
                f"evenly among {each} devices")
        share = settings.batch_size // here
        self.rows = range(self.team.rank * share,
                          (self.team.rank + 1) * share)

    @property
    def parts(self):
        """Into how many parts each batch is divided."""
        return len(self.contexts) * self.team.workers

    def settle(self, net):
        """Bring a network to the devices, and give it its normalisation."""
        for parameter in net.collect_params().values():
            if parameter._data is None:
                parameter.initialize(ctx=self.contexts)
            elif parameter.list_ctx() != self.contexts:
                parameter.reset_ctx(self.contexts)
        set_norms(net, self.contexts if self.settings.sync_norm
                  else self.contexts[:1])

    def trainer(self, parameters, options):
        """Return a ``gluon.Trainer``; every device does the same step.

        The gradients are added up by a key-value store, the weights are
        changed on each device: then every one holds the whole state of the
        optimiser, and any of them can save it.
        """
        store = self.team.store
        if store is None and len(self.contexts) > 1:
            store = "local" if self._on_cpu() else "device"
        return gluon.Trainer(parameters, self.settings.optimiser, options,
                             kvstore=store, update_on_kvstore=False)

    def _on_cpu(self):
        return self.contexts[0].device_type == "cpu"

    def backward(self, graph, batch, truths=None):
        """Add the gradients of one batch on each device.

        Args:
            graph: what ``precision.training_graph`` returns.
            batch: ``datasets.loader.Batch``, the rows of this process.
            truths: those of the batch, for a network in several steps: each
                step weighs as much as its own positives.

        Returns:
            Classification and localisation loss of the whole batch, (2,).
        """
        weight, losses, counts = self.settings.localisation_weight, [], []
        with autograd.record():
            for inputs in self._inputs(batch, truths):
                found = graph(*inputs)
                losses += [(*pair, pair[0] + weight * pair[1])
                           for pair in zip(found[::2], found[1::2])]
                if truths is not None:
                    counts.append(graph.positives)
        shares = self._weigh(counts) if counts else self._shares(
            batch.classes)
        autograd.backward([row[2] for row in losses],
                          self._heads(losses, shares))
        values = [[row[0].asscalar(), row[1].asscalar()] for row in losses]
        return self.team.total(np.array(shares) @ np.array(values, float))

    def _inputs(self, batch, truths):
        """Return what the graph is called with on each device."""
        arrays = [gluon.utils.split_and_load(
            mx.nd.array(array, ctx=mx.cpu(), dtype=array.dtype),
            self.contexts) for array in batch[:3]]
        if truths is not None:
            rows = len(truths) // len(self.contexts)
            arrays.append([truths[k:k + rows]
                           for k in range(0, len(truths), rows)])
        return zip(*arrays)

    def _shares(self, classes):
        """Return how much each part of the batch weighs in its loss."""
        return self._weigh([[int((part > 0).sum())] for part
                            in np.split(classes, len(self.contexts))])

    def _weigh(self, counts):
        """Return the share of each part and step, by its positives.

        Args:
            counts: (parts, steps) positives of the parts of this process.
        """
        counts = np.array(counts, float)
        if self.parts == 1:
            return [1.0] * counts.size
        whole = self.team.total(counts.sum(axis=0))
        return (np.maximum(counts, 1) / np.maximum(whole, 1)).ravel().tolist()

    def _heads(self, losses, shares):
        if self.parts == 1 and not self.scale.active:
            return None
        return [mx.nd.array([share * self.scale.value], ctx=row[2].context)
                for row, share in zip(losses, shares)]


def set_norms(net, contexts):
    """Let batch normalisation see one device, or all of them at once.

    Args:
        net: Gluon block, changed in place; its numbers are kept.
        contexts: the devices it is to be trained on; one: plain layers.

    Raises:
        ValueError: the devices are parts of one CPU, for which MXNet has not
            been prepared. Its operators share their scratch memory there: two
            that wait for each other could need the same piece, for ever.
    """
    count = len(contexts)
    if count == 1 and not any(isinstance(block, SyncBatchNorm)
                              for block in _blocks(net)):
        return
    if (count > 1 and contexts[0].device_type == "cpu"
            and int(os.environ.get(COPIES, 4)) < MANY):
        raise ValueError(
            "synchronised normalisation on contexts of the CPU would stall: "
            f"set {COPIES}=4096 in the environment before MXNet is used")
    for block in _blocks(net):
        if isinstance(block, nn.BatchNorm):
            _set_norm(block, count)
    for block in _blocks(net):
        if isinstance(block, gluon.HybridBlock):
            block._clear_cached_op()        # it holds the operators of before


def _blocks(block):
    """Yield a block and all those inside it."""
    yield block
    for child in block._children.values():
        yield from _blocks(child)


def _set_norm(layer, count):
    """Let a layer use the other operator: the two classes differ in no more.

    The key is what the devices find each other by; MXNet keeps it, with the
    number of devices, as long as the process lives.
    """
    kept = {name: layer._kwargs[name] for name in
            ("eps", "momentum", "fix_gamma", "use_global_stats")}
    if count > 1:
        layer.__class__ = SyncBatchNorm
        layer._kwargs = {**kept, "ndev": count,
                         "key": f"{layer.prefix}{count}"}
    else:
        layer.__class__ = nn.BatchNorm
        layer._kwargs = {"axis": 1, **kept}
