"""The command info: a network in words, or this machine."""

from __future__ import annotations

from tabulate import tabulate

from ...config import NAMED
from ...runtime import devices
from .. import machine
from .options import input_option, input_size, pairs


def add_options(parser):
    """Add the options of ``info``."""
    parser.add_argument("--model", choices=NAMED, help="a network to "
                        "describe; without it, the machine is described")
    parser.add_argument("--num-classes", type=int, help="foreground classes")
    input_option(parser)
    parser.add_argument("--authors", action="store_true", help="the network "
                        "as the authors' code builds it, slips included")
    parser.add_argument("--time", action="store_true",
                        help="measure the forward pass of one image")
    parser.add_argument("--picture", metavar="FILE",
                        help="draw the network into an image file")


def describe_network(options):
    """Return a network as a JSON-ready value and as tables to read."""
    from ... import models
    net = models.build(options.model, **_changes(options))
    config, summary = net.config, models.summarise(net)
    value = {"parameters": models.count_parameters(net),
             "all_parameters": models.count_parameters(net, trainable=False),
             "multiply_adds": summary.multiply_adds,
             "anchors": config.anchor_count,
             "input": list(config.input_size),
             "maps": [list(shape) for shape in config.map_shapes()],
             "stages": [row._asdict() for row in summary.stages],
             "heads": [row._asdict() for row in summary.heads]}
    if options.time:
        context, reason = devices.device()
        value["forward_ms"] = round(models.forward_time(config, context), 2)
        value["device"] = reason
    if options.picture:
        from ..drawing import save_network
        save_network(options.picture, summary, config)
    return value, "\n\n".join([_head(config, value), _stages(summary),
                               _maps(config, summary)])


def _changes(options):
    """Return the changes that the options make to the preset."""
    changes = {"authors": True} if options.authors else {}
    if options.num_classes is not None:
        changes["num_classes"] = options.num_classes
    return changes | input_size(options)


def _head(config, value):
    facts = {"network": config.name, "classes": config.num_classes,
             "input": " x ".join(map(str, config.input_size)),
             "trainable parameters": f"{value['parameters']:,}",
             "all parameters": f"{value['all_parameters']:,}",
             "multiply-adds": f"{value['multiply_adds'] / 1e9:.2f} billion",
             "anchors": f"{value['anchors']:,}"}
    if "forward_ms" in value:
        facts["forward, one image"] = f"{value['forward_ms']} ms"
        facts["device"] = value["device"]
    return pairs(facts)


def _stages(summary):
    rows = [(row.name, *_cells(row.shape), f"{row.parameters:,}",
             f"{row.multiply_adds / 1e6:,.1f}", row.feature_map or "")
            for row in [*summary.stages, *summary.heads]]
    return tabulate(rows, ("stage", "channels", "cells", "parameters",
                           "million multiply-adds", "map"),
                    colalign=("left",) + ("right",) * 5)


def _maps(config, summary):
    rows = [(k, *_cells(shape), spec.per_cell,
             shape[1] * shape[2] * spec.per_cell,
             ", ".join(f"{size:.3f}" for size in spec.sizes),
             ", ".join(f"{ratio:.3g}" for ratio in spec.ratios))
            for k, (shape, spec)
            in enumerate(zip(summary.maps, config.anchors), 1)]
    return tabulate(rows, ("map", "channels", "cells", "anchors per cell",
                           "anchors", "sizes", "ratios"))


def _cells(shape):
    return shape[0], f"{shape[1]} x {shape[2]}"


def run(options):
    """Describe a network, or this machine (what to paste in a question)."""
    if not options.model:
        found = machine.describe_machine()
        return found, pairs(found)
    return describe_network(options)
