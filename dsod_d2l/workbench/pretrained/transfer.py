"""Start a network from the weights of another one: fine-tuning."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import mxnet as mx

from ... import config as configs, models, weights
from ...config.base import require
from ...files import one_line

CLASS_HEADS = "class_heads."
HEADS = (CLASS_HEADS, "box_heads.")
# Of a configuration, what the shapes of tensors tell, or a new data set asks.
FREE = {"family", "name", "num_classes", "input_size", "anchors", "widths"}


class Transfer(NamedTuple):
    """What came of it: names of tensors.

    loaded: taken from the file.
    drawn: of the network, left to chance: the file lacks them, they have
        another shape, or they tell other classes apart.
    left: of the file, of no use.
    converted: layers of the file that had another form.
    differing: what shapes do not tell, such as where a backbone halves its
        maps, see ``differing``.
    """

    loaded: tuple[str, ...]
    drawn: tuple[str, ...]
    left: tuple[str, ...]
    converted: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    def __str__(self) -> str:
        rooms = sorted({name.split(".")[0] for name in self.drawn})
        rest = (f"; drawn anew: {len(self.drawn)}, in {', '.join(rooms)}"
                if rooms else "")
        unused = f"; not used: {len(self.left)}" if self.left else ""
        if self.converted:
            unused += f"; converted: {', '.join(self.converted)}"
        if self.differing:
            unused += f"; otherwise in the file: {'; '.join(self.differing)}"
        return (f"{len(self.loaded)} of {len(self.loaded) + len(self.drawn)} "
                f"tensors loaded{rest}{unused}")


def start_from(net, path: str | Path, classes, ctx=None) -> Transfer:
    """Fill a network with all that fits of a weights file.

    A tensor fits if it has the same name and shape. What tells the classes
    apart is taken only if the file has the same classes in the same order.
    Only heads may have other shapes than those of the file. What the two
    configurations say otherwise, though no shape shows it, is reported.

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
    tensors, metadata = weights.load_tensors(path)
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
                    tuple(name for name in tensors if name not in loaded),
                    differing=differing(metadata.get("model", {}),
                                        net.config.to_dict()))


def settings_of(path: str | Path, name: str) -> dict:
    """Return what a preset needs for the weights of a network of its name.

    That network may have been pruned, have anchors of its own, or a backbone
    of the kind of the classifier it began with.

    Args:
        path: a weights file.
        name: of a preset.

    Returns:
        Dictionary of fields, {} if the file's network has another name.

    Raises:
        FileNotFoundError, ValueError: the file cannot be read.
    """
    model = weights.load_tensors(path)[1].get("model", {})
    if model.get("name") != name:
        return {}
    fields, theirs = {"widths": model.get("widths", {})}, model.get("backbone")
    preset = configs.get(name)
    anchors = tuple(configs.AnchorSpec(**row)
                    for row in model.get("anchors", ()))
    if len(anchors) == len(preset.anchors) and anchors != preset.anchors:
        fields["anchors"] = anchors         # what its boxes are relative to
    ours = getattr(preset, "backbone", None)
    if ours and isinstance(theirs, dict) and theirs.get("name") == ours.name:
        kinds = {kind: theirs[kind] for kind in ours.kinds if kind in theirs}
        if kinds:
            fields["backbone"] = dataclasses.replace(ours, **kinds)
    return fields


def differing(theirs: dict, ours: dict) -> tuple[str, ...]:
    """Return what two configurations say otherwise.

    Args:
        theirs, ours: as dictionaries.

    Returns:
        Tuple of "field: theirs, here ours", without what shapes tell.
    """
    ours = json.loads(json.dumps(ours))         # lists, as in a file
    pairs = []
    for field in sorted((theirs.keys() & ours.keys()) - FREE):
        one, other = theirs[field], ours[field]
        if isinstance(one, dict) and isinstance(other, dict):
            pairs += [(f"{field} {part}", one[part], other[part])
                      for part in sorted(one.keys() & other.keys())]
        else:
            pairs.append((field, one, other))
    return tuple(one_line(f"{field}: {one}, here {other}")
                 for field, one, other in pairs if one != other)


def check_body(net, tensors: dict, path: str | Path) -> None:
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
            require(shape == parameter.shape, f"{path} does not fit "
                    f"{net.config.name}: its {name} has the shape {shape}, "
                    f"expected was {parameter.shape}")
