"""Other widths than a family's own: a network after some of it was cut away.

A configuration may name layers and their number of filters. The network is
built as ever, and then made to fit: what each later layer reads is found
from the graph.
"""

from __future__ import annotations

from mxnet.gluon import nn

from ..blocks import is_aligned
from .channels import owners, trace


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
