"""Start a network from the weights of another one: fine-tuning."""

from __future__ import annotations

from typing import NamedTuple

import mxnet as mx

from .. import checkpoints, models

CLASS_HEADS = "class_heads."
HEADS = (CLASS_HEADS, "box_heads.")


class Transfer(NamedTuple):
    """What came of it: names of tensors.

    loaded: taken from the file.
    drawn: of the network, left to chance: the file lacks them, they have
        another shape, or they tell other classes apart.
    left: of the file, of no use.
    converted: layers of the file that had another form.
    """

    loaded: tuple
    drawn: tuple
    left: tuple
    converted: tuple = ()

    def __str__(self):
        rooms = sorted({name.split(".")[0] for name in self.drawn})
        rest = (f"; drawn anew: {len(self.drawn)}, in {', '.join(rooms)}"
                if rooms else "")
        unused = f"; not used: {len(self.left)}" if self.left else ""
        if self.converted:
            unused += f"; converted: {', '.join(self.converted)}"
        return (f"{len(self.loaded)} of {len(self.loaded) + len(self.drawn)} "
                f"tensors loaded{rest}{unused}")


def start_from(net, path, classes, ctx=None):
    """Fill a network with all that fits of a weights file.

    A tensor fits if it has the same name and shape. What tells the classes
    apart is taken only if the file has the same classes in the same order.
    Only heads may have other shapes than those of the file.

    Args:
        net: a ``models.Network``; it is initialised.
        path: a file that training wrote.
        classes: names of the classes to be learned.
        ctx: MXNet context, default the CPU.

    Returns:
        ``Transfer``.

    Raises:
        FileNotFoundError, ValueError: the file cannot be read, is of other
            widths or of another backbone, or nothing of it fits but heads.
    """
    tensors, metadata = checkpoints.load_tensors(path)
    check_body(net, tensors, path)
    same = list(metadata.get("classes", ())) == list(classes)
    wanted = net._collect_params_with_prefix()
    loaded = [name for name, parameter in wanted.items()
              if name in tensors and tensors[name].shape == parameter.shape
              and (same or not name.startswith(CLASS_HEADS))]
    if all(name.startswith(HEADS) for name in loaded):
        raise ValueError(f"{path} does not fit {net.config.name}: it holds "
                         f"{metadata.get('model', {}).get('name', '?')}")
    models.initialise(net, ctx or mx.cpu())
    for name in loaded:
        wanted[name].set_data(mx.nd.array(tensors[name]))
    return Transfer(tuple(loaded),
                    tuple(name for name in wanted if name not in loaded),
                    tuple(name for name in tensors if name not in loaded))


def check_body(net, tensors, path):
    """Refuse tensors of other widths, or of another backbone.

    The few layers that happen to agree would not be worth starting from.

    Args:
        net: a ``models.Network``; its heads may differ.
        tensors: {name: array}.
        path: file of the tensors, for the message.

    Raises:
        ValueError: a tensor of the body has another shape than the network's
            of the same name.
    """
    for name, parameter in net._collect_params_with_prefix().items():
        if name in tensors and not name.split(".")[0].endswith("heads"):
            shape = tensors[name].shape
            if shape != parameter.shape:
                raise ValueError(
                    f"{path} does not fit {net.config.name}: its {name} has "
                    f"the shape {shape}, expected was {parameter.shape}")
