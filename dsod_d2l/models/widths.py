"""Which channels of a network belong together, and networks with fewer.

Every filter of a convolution makes a channel, and the channel lives on: a
normalisation has a factor for it, a later convolution a slice of each of its
filters, a concatenation moves it to another place, and an addition ties it
to another channel. ``trace`` follows all of them through the symbol of a
network, whatever its family; ``narrow`` gives layers another width.
"""

from __future__ import annotations

import json
from ast import literal_eval
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from ..blocks import is_aligned

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


def narrow(net, widths):
    """Give layers of a network another number of filters.

    Args:
        net: a ``Network`` that is not initialised.
        widths: {name of a convolution or dense layer: number of filters}.

    Raises:
        ValueError: the network has no such layer, or something needs the
            number of its filters, as the anchors do those of a head.
    """
    before = trace(net)
    blocks = owners(net)
    for name, width in widths.items():
        _check(net, name, width, before)
        _resize(blocks[name], width)
    after = trace(net)
    for parameter in net.collect_params().values():
        along = after.axes.get(parameter.name, {})
        parameter._shape = tuple(
            len(along[axis]) if axis in along else side
            for axis, side in enumerate(parameter.shape))
        parameter._var = None               # the symbol knew the old shape
    for block in [net, *blocks.values()]:
        _refresh(block)
        _align(block, after.joins)


def _check(net, name, width, found):
    if name not in found.layers:
        raise ValueError(f"{net.config.name} has no layer {name!r} that "
                         "could be given a width; its first one is "
                         f"{next(iter(found.layers))!r}")
    ids = found.layers[name]
    if width != len(ids) and found.fixed.issuperset(found.root[ids]):
        raise ValueError(f"{net.config.name}: the width of {name} must stay "
                         f"{len(ids)}, found {width}")


def _resize(block, width):
    """Set the number of filters of a convolution or a dense layer."""
    if hasattr(block, "_units"):
        block._units = width
    else:
        block._channels = block._kwargs["num_filter"] = width


def _refresh(block):
    """Let a convolution know the widths that its weight has now."""
    options = getattr(block, "_kwargs", {})
    if "num_filter" not in options:
        return
    first, second = block.weight.shape[:2]
    groups = options["num_group"]
    if groups == options["num_filter"] > 1:     # a filter for each channel
        options["num_group"] = options["num_filter"] = first
        block._channels = block._in_channels = first
    else:
        deconvolution = isinstance(block, nn.Conv2DTranspose)
        block._in_channels = first if deconvolution else second * groups


def _align(block, joins):
    """Say anew which concatenations of a block are aligned.

    A block's nodes bear its prefix, in the order in which it calls them; one
    that cannot be told for certain is not aligned, see ``blocks.join``.
    """
    found = (is_aligned(*widths) for name, widths in joins.items()
             if name.startswith(f"{block.prefix}concat"))
    for name in ("aligned", "starts"):
        flags = getattr(block, name, None)
        if isinstance(flags, bool):
            setattr(block, name, next(found, False))
        elif flags is not None:
            setattr(block, name, [next(found, False) for _ in flags])
