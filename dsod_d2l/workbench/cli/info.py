"""The command info: a network in words, or this machine."""

from argparse import ArgumentParser, Namespace
from typing import Any

from tabulate import tabulate

from ...config import NAMED
from ...config.base import require
from .. import machine
from ..outputs import FIGURE_SUFFIXES, check_target
from ..recipes import RECIPES
from .options import NetworkOptions, add_fields, figures, input_size, pairs


class InfoOptions(NetworkOptions):
    """What info is asked.

    model (NAME): a network to describe; without it, the machine is described
    presets: list the networks that --model may name, and the recipes
    num_classes: foreground classes; None: those of the preset
    time: measure the forward pass of one image
    picture (FILE): draw the network into an image file
    """

    presets: bool = False
    num_classes: int | None = None
    time: bool = False
    picture: str | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``info``."""
    add_fields(parser, InfoOptions)


def describe_network(options: Namespace) -> tuple[dict[str, Any], str]:
    """Return a network as a JSON-ready value and as tables to read."""
    from ... import models
    if options.picture:
        check_target(options.picture, suffixes=FIGURE_SUFFIXES,
                     option="--picture")
    net = models.build(options.model, options.num_classes,
                       authors=options.authors, **input_size(options))
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
        context, reason = machine.device()
        value["forward_ms"] = round(machine.forward_time(config, context), 2)
        value["device"] = reason
    if options.picture:
        from ..architecture import draw_architecture
        draw_architecture(net).save(options.picture)
    return value, "\n\n".join([_head(config, value), _stages(summary),
                               _maps(config, summary)])


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
    return figures(rows, ("stage", "channels", "cells", "parameters",
                          "million multiply-adds", "map"))


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


def _presets():
    """Return the networks and recipes by name, as a value and a table."""
    rows = [(name, config.family, " x ".join(map(str, config.input_size)),
             config.anchor_count) for name, config in NAMED.items()]
    recipes = [(name, recipe.model) for name, recipe in RECIPES.items()]
    value = {"networks": list(NAMED), "recipes": list(RECIPES)}
    return value, "\n\n".join([
        tabulate(rows, ("network", "family", "input", "anchors")),
        tabulate(recipes, ("recipe", "network"))])


def run(options: Namespace) -> tuple[Any, str]:
    """Describe a network, or this machine (what to paste in a question)."""
    if options.presets:
        return _presets()
    if not options.model:
        require(not options.picture and not options.time, "--picture and "
                "--time need --model, the network that they are of")
        found = machine.describe_machine()
        return found, pairs(found)
    return describe_network(options)
