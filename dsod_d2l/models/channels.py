"""Which channels of a network belong together, read from its graph.

Every filter of a convolution makes a channel, and the channel lives on: a
normalisation has a factor for it, a later convolution a slice of each of its
filters, a concatenation moves it to another place, and an addition ties it
to another channel. ``trace`` follows all of them through the symbol of a
network, whatever its family.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from .tracing import Tracer

RESIZABLE = (nn.Dense, nn.Conv2D, nn.Conv2DTranspose)


class Channels(NamedTuple):
    """The channels of a network, numbered in the order of its graph.

    layers: name of a layer -> the channels that its filters make.
    axes: name of a Gluon parameter -> {axis: the channels along it}.
    filters: (parameter, axis) of all that makes or scales channels, as
        against what reads them.
    root: of every channel, one that stands for all those tied to it.
    fixed: roots of channels that something needs in their number.
    added: roots of channels that an addition has tied together.
    gates: layers that only weigh the channels of other ones.
    joins: name of a concatenation's node -> widths of its parts.
    """

    layers: dict
    axes: dict
    filters: set
    root: np.ndarray
    fixed: frozenset
    added: frozenset
    gates: frozenset
    joins: dict


def trace(net):
    """Follow every channel through a network.

    An operation that is not known here keeps the number of its channels:
    so do the heads, whose outputs are reshaped to anchors.

    Args:
        net: a ``Network``, initialised or not.

    Returns:
        ``Channels``.

    Raises:
        ValueError: maps of different widths are added.

    >>> from dsod_d2l import models
    >>> found = trace(models.build("dsod_tiny", input_size=(96, 128)))
    >>> len(found.layers["stem.convolutions.2.0"])
    32
    """
    resizable = {name for name, block in owners(net).items()
                 if isinstance(block, RESIZABLE)}
    graph = json.loads(mx.sym.Group(list(net(mx.sym.var("data")))).tojson())
    tracer = Tracer(net, resizable)
    values = []
    for node in graph["nodes"]:
        values.append(tracer.visit(
            node, [values[source[0]] for source in node["inputs"]]))
    for source in graph["heads"]:
        tracer.fix(values[source[0]])
    root = tracer.roots()
    gates = (name for name, ids in tracer.layers.items()
             if tracer.weighing.issuperset(ids))
    return Channels(tracer.layers, tracer.axes, tracer.filters, root,
                    frozenset(root[list(tracer.fixed)]),
                    frozenset(root[list(tracer.added)]),
                    frozenset(gates), tracer.joins)


def owners(net):
    """Return {structural name: block} of all blocks within a block."""
    found = {}
    for name, child in net._children.items():
        found[name] = child
        found.update({f"{name}.{inner}": block
                      for inner, block in owners(child).items()})
    return found
