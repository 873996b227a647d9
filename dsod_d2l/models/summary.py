"""What a network consists of, stage by stage, and what a forward pass costs.

Nothing is computed but shapes: a symbol goes through the network, and hooks
note what each stage makes of it.
"""

import json
from math import prod
from typing import NamedTuple

import mxnet as mx
from mxnet.gluon import nn

from ..config.base import require
from .network import Network, count_parameters

MULTIPLYING = ("Convolution", "Deconvolution", "FullyConnected")


class Stage(NamedTuple):
    """One stage of a network.

    name: what it is, in words.
    shape: (channels, rows, columns) of its output.
    parameters: trainable numbers.
    multiply_adds: for one image.
    feature_map: number of the map that it completes, from 1; else None.
    """

    name: str
    shape: tuple[int, int, int]
    parameters: int
    multiply_adds: int
    feature_map: int | None = None


class Summary(NamedTuple):
    """A network as lists.

    stages: in the order in which they are run.
    maps: (channels, rows, columns) of each feature map.
    heads: the predictors, with the normalisation of their map.
    """

    stages: list[Stage]
    maps: list[tuple[int, int, int]]
    heads: list[Stage]

    def __repr__(self):
        return (f"Summary({len(self.stages)} stages, {len(self.maps)} maps, "
                f"{self.multiply_adds:,} multiply-adds)")

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image in all convolutions."""
        return sum(row.multiply_adds for row in [*self.stages, *self.heads])


def summarise(net: Network) -> Summary:
    """Describe a network without running it.

    Args:
        net: a ``Network``, initialised or not.

    Returns:
        ``Summary``. The shape of a head is (values per cell, rows, columns)
        of its map: the scores and offsets of all anchors of a cell.

    >>> from dsod_d2l import models
    >>> net = models.build("dsod_tiny", input_size=(128, 256))
    >>> found = summarise(net)
    >>> found.stages[0].name, found.stages[0].shape
    ('stem', (32, 32, 64))
    """
    require(isinstance(net, Network), "expected a network, as build makes it, "
            f"found {net!r:.80}")
    called, outputs, maps = trace_stages(net)
    shapes, nodes = graph_shapes(outputs + maps,
                                 (1, 3, *net.config.input_size))
    finished = {_last(outputs, one): k for k, one in enumerate(maps, 1)}
    stages, seen = [], set[str]()
    for k, ((name, block), symbol) in enumerate(zip(called, outputs)):
        new = _names(symbol) - seen
        seen |= new
        cost = sum(_cost(nodes[node], shapes) for node in new)
        stages.append(Stage(name, shapes[symbol.list_outputs()[0]][1:],
                            count_parameters(block), cost, finished.get(k)))
    sizes = [shapes[one.list_outputs()[0]][1:] for one in maps]
    heads = [_head(name, predictors, norms, sizes[k][1:])
             for name, predictors, norms, k in net.named_heads()]
    return Summary(stages, sizes, heads)


def multiply_adds(net: Network) -> int:
    """Count the multiply-adds of one image: convolutions and dense layers.

    >>> from dsod_d2l import models
    >>> round(multiply_adds(models.build("dsod300")) / 1e9, 2)
    15.08
    """
    return summarise(net).multiply_adds


def trace_stages(net: Network) -> tuple[list, list, list]:
    """Return the (name, block) of stages as called, their symbols, the maps.
    """
    called: list = []
    outputs: list = []
    hooks = []
    for name, block in net.named_stages():
        def note(_, __, out, name=name, block=block):
            called.append((name, block))
            outputs.append(out)
        hooks.append(block.register_forward_hook(note))
    try:
        maps = net.features(mx.sym, mx.sym.var("data"))
    finally:
        for hook in hooks:
            hook.detach()
    return called, outputs, maps


def graph_shapes(symbols: list, data_shape: tuple) -> tuple[dict, dict]:
    """Return the shape of every output by name, and every node by name.

    Args:
        symbols: list of ``mx.sym`` outputs, made of one variable "data".
        data_shape: of that variable.

    Returns:
        Two dictionaries in the order of the graph. A node is what
        ``tojson`` says of it, and "from", the nodes that it reads.

    Raises:
        mx.MXNetError: what a node reads does not fit it.
    """
    graph = mx.sym.Group(symbols)
    internals = graph.get_internals()
    # The other function prints before it raises, and else does the same.
    _, shapes, _ = internals.infer_shape_partial(data=data_shape)
    nodes = json.loads(graph.tojson())["nodes"]
    for node in nodes:       # inputs by the name of what comes in
        node["from"] = [nodes[where[0]] for where in node["inputs"]]
    return (dict(zip(internals.list_outputs(), shapes)),
            {node["name"]: node for node in nodes})


def _names(symbol):
    """Return the names of all nodes a symbol depends on, itself included."""
    return {node["name"] for node in json.loads(symbol.tojson())["nodes"]}


def _last(outputs, one):
    """Return the place of the last stage that a map depends on."""
    inside = _names(one)
    return max(k for k, symbol in enumerate(outputs)
               if symbol.name in inside)


def _cost(node, shapes):
    """Return the multiply-adds of one node of the graph."""
    if node["op"] not in MULTIPLYING:
        return 0
    data, weight = (output_shape(source, shapes)
                    for source in node["from"][:2])
    out = output_shape(node, shapes)
    cells = data if node["op"] == "Deconvolution" else out
    return prod(weight) * prod(cells[2:])


def output_shape(node: dict, shapes: dict) -> tuple[int, ...]:
    """Return the shape of what a node yields, of ``graph_shapes``' two."""
    name = node["name"]
    return shapes[name if node["op"] == "null" else f"{name}_output"]


def _head(name, predictors, norms, cells):
    """Return the row of the predictors of a map of that many cells."""
    channels = _in_channels(predictors[0])
    outputs = [block(mx.sym.var("data")) for block in predictors]
    shapes, nodes = graph_shapes(outputs, (1, channels, *cells))
    cost = sum(_cost(node, shapes) for node in nodes.values())
    numbers = sum(count_parameters(block) for block in [*predictors, *norms])
    values = sum(prod(shapes[one.list_outputs()[0]]) for one in outputs)
    return Stage(name, (values // prod(cells), *cells), numbers, cost)


def _in_channels(block):
    """Return the channels that a block's first convolution takes."""
    if isinstance(block, nn.Conv2D):
        return block._in_channels
    return next(filter(None, map(_in_channels, block._children.values())),
                None)
