"""Which channels of a network belong together.

Every filter of a convolution makes a channel, and the channel lives on: a
normalisation has a factor for it, a later convolution a slice of each of its
filters, a concatenation moves it to another place, and an addition ties it
to another channel. ``trace`` follows all of them through the symbol of a
network, whatever its family.
"""

from __future__ import annotations

import json
from ast import literal_eval
from typing import NamedTuple

import mxnet as mx
import numpy as np

from ...models.widths import RESIZABLE, named_blocks

KEEPING = {"Activation", "relu", "sigmoid", "tanh", "clip", "Pooling",
           "L2Normalization", "UpSampling", "Dropout", "identity", "_copy",
           "BlockGrad", "Cast", "_mul_scalar"}
ADDING = {"elemwise_add", "broadcast_add", "_Plus", "_plus", "add_n"}
FILTERING = {"elemwise_mul", "broadcast_mul", "_Mul", "_mul"}


class Value(NamedTuple):
    """What a node of the graph yields.

    ids: its channels; None where they are not followed.
    flat: whether it has a single cell, or no cells any more.
    parameter: the Gluon parameter that the node stands for, if any.
    """

    ids: np.ndarray | None = None
    flat: bool = False
    parameter: object = None


class Tracer:
    """The state of one walk through the graph.

    Args:
        net: a ``Network``.
        resizable: names of the blocks whose number of filters can be set;
            other layers keep theirs.

    Its attributes are those of ``Channels``; tied channels are kept as a
    forest, in which every channel knows a ``parent``.
    """

    def __init__(self, net, resizable):
        self.parameters = {one.name: one for one
                           in net.collect_params().values()}
        self.names = {}
        for name, one in net._collect_params_with_prefix().items():
            self.names.setdefault(one.name, name)
        self.resizable = resizable
        self.title = net.config.name
        self.parent, self.fixed, self.added = [], set(), set()
        self.weighing, self.joins = set(), {}
        self.layers, self.axes, self.filters = {}, {}, set()

    def visit(self, node, inputs):
        """Return the ``Value`` of a node of the graph."""
        attrs, op = node.get("attrs", {}), node["op"]
        if op == "Concat" and all(part.ids is not None for part in inputs):
            self.joins[node["name"]] = [len(part.ids) for part in inputs]
        if op == "null":
            return Value(parameter=self.parameters.get(node["name"]))
        special = getattr(self, f"_{op.lower()}", None)
        if op in ADDING | FILTERING:
            return self._tie(inputs, op in ADDING)
        if op in KEEPING and len(inputs) == 1:
            return inputs[0]._replace(
                flat=inputs[0].flat or attrs.get("global_pool") == "True")
        if special:
            return special(attrs, *inputs)
        return self._unknown(inputs)

    def fix(self, value):
        """Note that channels must stay in their number."""
        if value.ids is not None:
            self.fixed.update(value.ids)

    def roots(self):
        """Return, for every channel, the one that stands for those tied."""
        return np.array([self._find(one) for one in range(len(self.parent))],
                        dtype=int)

    def _find(self, one):
        while self.parent[one] != one:
            self.parent[one] = self.parent[self.parent[one]]
            one = self.parent[one]
        return one

    def _fresh(self, count):
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def _unknown(self, inputs):
        for value in inputs:
            self.fix(value)
        return Value()

    def _unite(self, first, second, added):
        if len(first) != len(second):
            raise ValueError(
                f"{self.title}: maps of {len(first)} and {len(second)} "
                "channels cannot be added or multiplied: the layers that "
                "make them need the same width")
        for one, other in zip(map(self._find, first),
                              map(self._find, second)):
            if one != other:
                self.parent[other] = one
                if added:
                    self.added.add(one)

    def _use(self, parameter, axis, ids, makes):
        """Note that an axis of a parameter runs along these channels."""
        if ids is None:
            return
        along = self.axes.setdefault(parameter.name, {})
        if axis in along:               # shared by two nodes
            self._unite(along[axis], ids, False)
        along[axis] = ids
        if makes:
            self.filters.add((parameter.name, axis))

    def _layer(self, count, data, weight, bias, axis=0):
        """Visit a layer of ``count`` filters, along an axis of its weight."""
        name = self.names[weight.parameter.name].removesuffix(".weight")
        ids = self.layers.get(name)
        if ids is None:
            ids = self.layers[name] = self._fresh(count)
        self._use(weight.parameter, axis, ids, True)
        self._use(weight.parameter, 1 - axis, data.ids, False)
        for one in bias:
            self._use(one.parameter, 0, ids, True)
        if name not in self.resizable:
            self.fixed.update(ids)
        return ids

    def _convolution(self, attrs, data, weight, *bias):
        groups, count = (int(attrs.get(name, 1))
                         for name in ("num_group", "num_filter"))
        if groups == 1:
            return Value(self._layer(count, data, weight, bias), data.flat)
        if groups != count or weight.parameter.shape[1] != 1:
            return self._unknown([data])
        for one in (weight, *bias):     # a filter for each channel
            self._use(one.parameter, 0, data.ids, True)
        return Value(data.ids, data.flat)

    def _deconvolution(self, attrs, data, weight, *bias):
        if int(attrs.get("num_group", 1)) != 1:
            return self._unknown([data])
        return Value(self._layer(int(attrs["num_filter"]), data, weight,
                                  bias, axis=1))

    def _fullyconnected(self, attrs, data, weight, *bias):
        if not data.flat:
            self.fix(data)
            data = Value()
        return Value(self._layer(int(attrs["num_hidden"]), data, weight,
                                  bias), True)

    def _batchnorm(self, attrs, data, *numbers):
        if attrs.get("axis", "1") != "1":
            return self._unknown([data])
        for one in numbers:
            self._use(one.parameter, 0, data.ids, True)
        return data

    def _concat(self, attrs, *parts):
        if attrs.get("dim", "1") != "1" or any(part.ids is None
                                               for part in parts):
            return self._unknown(parts)
        return Value(np.concatenate([part.ids for part in parts]),
                      all(part.flat for part in parts))

    def _slice_axis(self, attrs, data):
        begin, end = (literal_eval(attrs[name]) for name in ("begin", "end"))
        if data.ids is None or attrs["axis"] != "1" or (begin, end) == (
                0, None):
            return data
        return self._unknown([data])

    def _slice_like(self, attrs, data, _):
        if {0, 1} & set(literal_eval(attrs.get("axes", "(0, 1)"))):
            return self._unknown([data])
        return data

    def _reshape(self, attrs, data):
        shape = literal_eval(attrs["shape"])
        if data.flat and shape[:2] == (0, 0):
            return data
        self.fix(data)
        if not data.flat or shape[1:] != (1, 1, 1):
            return Value()
        ids = self._fresh(1)            # one number for the whole image
        self.fixed.update(ids)
        return Value(ids, True)

    def _flatten(self, _, data):
        return data if data.flat else self._unknown([data])

    def _tie(self, inputs, added):
        """Visit an addition or a product of maps, or of maps and numbers."""
        maps = [value for value in inputs if value.parameter is None]
        numbers = [value.parameter for value in inputs if value.parameter]
        single = [value.ids is None or len(value.ids) == 1 for value in maps]
        if any(value.ids is None for value in maps) or (
                added and (numbers or any(single) and not all(single))):
            return self._unknown(inputs)
        # A product with one number per channel weighs what the map has.
        first = min(maps, key=lambda value: (len(value.ids) == 1, value.flat))
        for value in maps:
            if len(value.ids) > 1 or len(first.ids) == 1:
                self._unite(first.ids, value.ids, added)
                if value is not first and not added:
                    self.weighing.update(value.ids)
        for one in numbers:
            self._use(one, 1, first.ids, True)
        return first


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
    resizable = {name for name, block in named_blocks(net).items()
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
