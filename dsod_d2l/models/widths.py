"""Networks with other widths: a pruned one is built from its configuration.

A layer is told how many filters it has. What reads its map follows: MXNet
infers all other shapes.
"""

import re
from ast import literal_eval
from typing import Any

import mxnet as mx
from mxnet.gluon import nn

from ..blocks import ChannelNorm, is_aligned
from ..config.base import require
from ..files import one_line
from .network import Network
from .summary import MULTIPLYING, graph_shapes, output_shape

RESIZABLE = (nn.Dense, nn.Conv2D, nn.Conv2DTranspose)


def named_blocks(net: Any) -> dict[str, Any]:
    """Return {structural name: block} of all blocks within a block."""
    found = {}
    for name, child in net._children.items():
        found[name] = child
        found.update({f"{name}.{inner}": block
                      for inner, block in named_blocks(child).items()})
    return found


def narrow(net: Network, widths: dict[str, int]) -> None:
    """Give layers of a network another number of filters.

    Args:
        net: a ``Network`` that is not initialised.
        widths: {name of a convolution or dense layer: number of filters}.

    Raises:
        ValueError: the network has no such layer, or something needs the
            number of its filters, as the anchors do those of a head.
    """
    title, blocks = net.config.name, named_blocks(net)
    layers = {name: block for name, block in blocks.items()
              if isinstance(block, RESIZABLE) and _groups(block) == 1}
    kept = _kept(_graph(net)[1])
    for name, width in widths.items():
        require(name in layers, f"{title} has no layer {name!r} that could be "
                f"given a width; its first one is {next(iter(layers))!r}")
        weight = layers[name].weight
        count = weight.shape[isinstance(layers[name], nn.Conv2DTranspose)]
        require(width == count or weight.name not in kept, f"{title}: the "
                f"width of {name} must stay {count}, found {width}")
        _resize(layers[name], width)
    try:
        _infer(net, blocks.values())
    except mx.MXNetError as error:
        raise ValueError(f"{title}: {_misfit(str(error))}") from error


def _groups(block):
    return getattr(block, "_kwargs", {}).get("num_group", 1)


def _graph(net):
    """Return the shapes and the nodes of a network's graph, by their name."""
    return graph_shapes(list(net(mx.sym.var("data"))),
                        (1, 3, *net.config.input_size))


def _kept(nodes):
    """Return the weights of layers whose map is reshaped, to anchors mostly.

    A reshape that keeps the channels is none of these.
    """
    kept = set()
    for node in nodes.values():
        if node["op"] == "Reshape" and literal_eval(
                node["attrs"]["shape"])[:2] != (0, 0):
            while node["op"] not in MULTIPLYING:
                node = node["from"][0]
            kept.add(node["from"][1]["name"])
    return kept


def _resize(block, width):
    """Set the number of filters of a convolution or a dense layer."""
    if hasattr(block, "_units"):
        block._units = width
    else:
        block._channels = block._kwargs["num_filter"] = width


def _infer(net, blocks):
    """Find all shapes anew, from the numbers of filters alone."""
    parameters = net.collect_params().values()
    before = {one.name: one.shape for one in parameters}

    def reshape(shapes):
        for one in parameters:
            one._shape = shapes.get(one.name)
            one._var = None                 # the symbol knew the old shape

    def follow(block, inputs):
        """Give what keeps channels apart as many as it reads."""
        channels = inputs[0].infer_shape_partial(
            data=(1, 3, *net.config.input_size))[1][0][1]
        if isinstance(block, ChannelNorm):
            block.scale._shape = (1, channels, 1, 1)
        else:
            block._channels = channels
            block._kwargs["num_group"] = block._kwargs["num_filter"] = channels
    following = [block for block in blocks if isinstance(block, ChannelNorm)
                 or 1 < _groups(block) == block._kwargs["num_filter"]]
    hooks = [block.register_forward_pre_hook(follow) for block in following]
    reshape({})
    try:
        shapes, nodes = _graph(net)
    finally:
        for hook in hooks:
            hook.detach()
    reshape({**before, **shapes})
    for block in [net, *blocks]:
        if hasattr(block, "_in_channels"):
            first, second = block.weight.shape[:2]
            block._in_channels = (first if isinstance(
                block, nn.Conv2DTranspose) else second * _groups(block))
        _align(block, [[output_shape(part, shapes)[1]
                        for part in node["from"]] for node in nodes.values()
                       if node["op"] == "Concat" and node["name"].startswith(
                           f"{block.prefix}concat")])


def _misfit(problem):
    """Say in a sentence what MXNet says of layers that do not fit."""
    counts = re.findall(r"\[\d+,(\d+)", problem)
    if len(counts) != 2:
        return f"layers of such widths do not fit ({one_line(problem)})"
    return (f"maps of {' and '.join(counts)} channels cannot be added or "
            "multiplied: the layers that make them need the same width")


def _align(block, joins):
    """Say anew which concatenations of a block are aligned.

    A block's nodes bear its prefix, in the order in which it calls them; one
    that cannot be told for certain is not aligned, see ``blocks.join``.
    """
    found = (is_aligned(*widths) for widths in joins)
    for name in ("aligned", "starts"):
        flags = getattr(block, name, None)
        if isinstance(flags, bool):
            setattr(block, name, next(found, False))
        elif flags is not None:
            setattr(block, name, [next(found, False) for _ in flags])
