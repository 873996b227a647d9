"""Take filters out of a network, or set them to zero."""

from __future__ import annotations

import dataclasses

import numpy as np

from .. import checkpoints, models


def cut(net, plan):
    """Return a network without the filters of a plan.

    Everything else is kept, the running statistics of normalisations too.

    Args:
        net: an initialised ``Network``.
        plan: ``Plan`` of ``make_plan`` for this network.

    Returns:
        A new ``Network`` on the same device. Its configuration holds the new
        widths, so that it is saved and loaded like any other.
    """
    after = {name: left for name, (_, left) in plan.widths.items()}
    config = dataclasses.replace(net.config, widths={
        **dict(net.config.widths), **after})
    tensors = checkpoints.parameter_arrays(net)
    for name, parameter in net._collect_params_with_prefix().items():
        for axis, ids in plan.channels.axes.get(parameter.name, {}).items():
            tensors[name] = np.compress(plan.keeps(ids), tensors[name], axis)
    return _filled(net, config, tensors)


def masked(net, plan):
    """Return a network of the same shape, with the filters at zero.

    With a filter go its bias and the factors of the normalisations that its
    channel passes: the channel is zero wherever it is read.

    Args:
        net, plan: see ``cut``.

    Returns:
        A new ``Network``, whose outputs are those of ``cut``.
    """
    tensors = checkpoints.parameter_arrays(net)
    for name, parameter in net._collect_params_with_prefix().items():
        if name.rpartition(".")[2].startswith("running_"):
            continue
        for axis, ids in plan.channels.axes.get(parameter.name, {}).items():
            if (parameter.name, axis) in plan.channels.filters:
                shape = [1] * tensors[name].ndim
                shape[axis] = -1
                tensors[name] = (tensors[name]
                                 * plan.keeps(ids).reshape(shape))
    return _filled(net, net.config, tensors)


def _filled(net, config, tensors):
    """Return a new network with these numbers, where the old one is."""
    device = next(iter(net.collect_params().values())).list_ctx()[0]
    new = models.build(config)
    checkpoints.fill(new, tensors, "the pruned weights", device)
    return new
