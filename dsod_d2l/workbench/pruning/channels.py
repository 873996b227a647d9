"""Which channels of a network belong together.

Every filter of a convolution makes a channel, and the channel lives on: a
normalisation has a factor for it, a later convolution a slice of each of its
filters, a concatenation moves it to another place, and an addition ties it
to another channel. ``trace`` follows all of them through the symbol of a
network, whatever its family.
"""

from ast import literal_eval
from typing import NamedTuple

import mxnet as mx
import numpy as np

from ...models.summary import graph_shapes, output_shape
from ...models.widths import RESIZABLE, named_blocks

# What keeps channels as they are wherever it yields as many as it takes.
KEEPING = {"Activation", "relu", "sigmoid", "tanh", "clip", "Pooling",
           "L2Normalization", "UpSampling", "Dropout", "identity", "_copy",
           "BlockGrad", "Cast", "_mul_scalar", "slice_axis", "slice_like",
           "Flatten"}
ADDING = {"elemwise_add", "broadcast_add", "_Plus", "_plus", "add_n"}
FILTERING = {"elemwise_mul", "broadcast_mul", "_Mul", "_mul"}


class Value(NamedTuple):
    """What a node of the graph yields.

    ids: its channels; None where they are not followed.
    shape: of it.
    parameter: the Gluon parameter that the node stands for, if any.
    """

    ids: np.ndarray | None = None
    shape: tuple = ()
    parameter: object = None

    @property
    def flat(self) -> bool:
        """Whether it has a single cell, or no cells any more."""
        return all(side == 1 for side in self.shape[2:])


class Channels:
    """The channels of a network, numbered in the order of its graph.

    Args:
        net: a ``Network``; ``trace`` walks through its graph.

    layers: name of a layer -> the channels that its filters make.
    axes: name of a Gluon parameter -> {axis: the channels along it}.
    filters: (parameter, axis) of all that makes or scales channels, as
        against what reads them.
    root: of every channel, one that stands for all those tied to it.
    fixed: channels that something needs in their number, in the end roots.
    added: channels that an addition has tied together, in the end roots.
    gates: layers that only weigh the channels of other ones.
    """

    gates: frozenset[str] = frozenset()

    def __init__(self, net):
        self.parameters = dict(net.collect_params().items())
        named = net._collect_params_with_prefix()    # a shared one: the first
        self.names = {named[name].name: name for name in reversed(named)}
        # Of other layers the number of filters cannot be set.
        self.resizable = {name for name, block in named_blocks(net).items()
                          if isinstance(block, RESIZABLE)}
        self.root = np.arange(0)
        self.fixed, self.added, self.weighing = set(), set(), set()
        self.layers, self.axes, self.filters = {}, {}, set()

    def visit(self, node: dict, inputs: list[Value], shape: tuple) -> Value:
        """Return the ``Value`` of a node of the graph, which has a shape."""
        op = node["op"]
        if op == "null":
            return Value(None, shape, self.parameters.get(node["name"]))
        if op in ADDING | FILTERING:
            return Value(self._tie(inputs, op in ADDING), shape)
        first = inputs[0].ids
        if op in KEEPING and first is not None and len(first) == shape[1]:
            return Value(first, shape)
        visit = getattr(self, f"_{op.lower()}", self._unknown)
        return Value(visit(inputs, node.get("attrs", {}), shape[1:2]), shape)

    def fix(self, *values: Value) -> None:
        """Note that channels must stay in their number."""
        for value in values:
            self.fixed.update(() if value.ids is None else value.ids)

    def _fresh(self, count):
        ids = len(self.root) + np.arange(count)
        self.root = np.append(self.root, ids)
        return ids

    def _unknown(self, inputs, *_):
        self.fix(*inputs)

    def _unite(self, first, second, added):
        for pair in zip(first, second):
            one, other = self.root[list(pair)]
            if one != other:
                self.root[self.root == other] = one
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

    def _convolution(self, inputs, attrs, count, axis=0):
        data, weight, *bias = inputs
        groups = int(attrs.get("num_group", 1))
        if groups == 1:
            return self._layer(*count, data, weight, bias, axis)
        if axis or groups != count[0] or weight.shape[1] != 1:
            return self._unknown([data])
        for one in (weight, *bias):     # a filter for each channel
            self._use(one.parameter, 0, data.ids, True)
        return data.ids

    def _deconvolution(self, *visited):
        return self._convolution(*visited, axis=1)

    def _fullyconnected(self, inputs, attrs, count):
        data, weight, *bias = inputs
        if not data.flat:
            self.fix(data)
            data = Value()
        return self._layer(*count, data, weight, bias)

    def _batchnorm(self, inputs, attrs, _):
        data, *numbers = inputs
        if attrs.get("axis", "1") != "1":
            return self._unknown([data])
        for one in numbers:
            self._use(one.parameter, 0, data.ids, True)
        return data.ids

    def _concat(self, parts, attrs, _):
        if attrs.get("dim", "1") != "1" or any(part.ids is None
                                               for part in parts):
            return self._unknown(parts)
        return np.concatenate([part.ids for part in parts])

    def _reshape(self, inputs, attrs, count):
        [data] = inputs
        shape = literal_eval(attrs["shape"])
        if data.flat and shape[:2] == (0, 0):
            return data.ids
        self.fix(data)
        if data.flat and shape[1:] == (1, 1, 1):
            ids = self._fresh(1)        # one number for the whole image
            self.fixed.update(ids)
            return ids

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
        return first.ids


def trace(net) -> Channels:
    """Follow every channel through a network.

    An operation that is not known here keeps the number of its channels:
    so do the heads, whose outputs are reshaped to anchors.

    Args:
        net: a ``Network``, initialised or not.

    Returns:
        ``Channels``.

    >>> from dsod_d2l import models
    >>> found = trace(models.build("dsod_tiny", input_size=(96, 128)))
    >>> len(found.layers["stem.convolutions.2.0"])
    32
    """
    outputs = list(net(mx.sym.var("data")))
    shapes, nodes = graph_shapes(outputs, (1, 3, *net.config.input_size))
    found, values = Channels(net), {}
    for name, node in nodes.items():
        values[name] = found.visit(
            node, [values[source["name"]] for source in node["from"]],
            output_shape(node, shapes))
    found.fix(*(values[output.name] for output in outputs))
    found.gates = frozenset(name for name, ids in found.layers.items()
                            if found.weighing.issuperset(ids))
    found.fixed, found.added = (set(found.root[list(ids)].tolist())
                                for ids in (found.fixed, found.added))
    return found
