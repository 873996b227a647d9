"""Networks: one file per family, built from a name or a configuration.

A network takes images (B, 3, H, W), normalised, and returns class scores
(B, N, K + 1) and offsets (B, N, 4), in training and inference alike.
Anchors, targets, losses and detection stay outside.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from .. import config as configs
from ..config.base import ModelConfig, require
from ..config.families import FAMILIES
from .backbones import build_backbone
from .dsod import DSOD, GluonDSOD
from .grp_dsod import GRPDSOD
from .network import Network, count_parameters, initialise
from .refinedet import RefineDSOD, RefineSSD
from .ssd import SSD, ToySSD
from .summary import multiply_adds, summarise
from .widths import narrow

__all__ = ["DSOD", "GRPDSOD", "GluonDSOD", "Network", "RefineDSOD",
           "RefineSSD", "SSD", "ToySSD", "add_family", "build",
           "build_backbone", "count_parameters", "initialise",
           "multiply_adds", "summarise"]

NETWORKS = {"toy_ssd": ToySSD, "dsod": DSOD, "dsod_gluon": GluonDSOD,
            "grp_dsod": GRPDSOD, "ssd": SSD, "refinedet": RefineSSD,
            "refinedet_dsod": RefineDSOD}


def build(name_or_config: str | ModelConfig,
          classes: Sequence[str] | int | None = None,
          **changes: Any) -> Network:
    """Build a network; its parameters are not initialised yet.

    Args:
        name_or_config: name of a preset, or a ``ModelConfig``.
        classes: names or number of the foreground classes; None: the
            preset's number.
        changes: fields of the configuration to change.

    Returns:
        A ``Network``, with its configuration as ``.config`` and the names
        of its classes as ``.classes``, None where none were given.

    Raises:
        ValueError: the name is not known or the configuration not legal, or
            it gives a width to a layer that the network lacks.
    """
    names = classes if isinstance(classes, (list, tuple)) else None
    if classes is not None:
        changes["num_classes"] = len(names) if names is not None else classes
    if isinstance(name_or_config, str):
        config = configs.get(name_or_config, **changes)
    else:
        config = dataclasses.replace(name_or_config, **changes)
    net = NETWORKS[config.family](config)
    net.classes = tuple(names) if names else None
    if config.widths:
        narrow(net, dict(config.widths))
    return net


def add_family(config: type[ModelConfig], network: type[Network],
               *presets: ModelConfig) -> None:
    """Make a family known to ``build`` and to the files of weights.

    Args:
        config: a ``ModelConfig``, whose ``family`` is the name.
        network: the ``Network`` that is built from such a configuration.
        presets: configurations to be known by their names.

    Raises:
        ValueError: a network has other maps than its preset says.
    """
    require("family" in vars(config), f"{config.__name__} needs a name of "
            'its own for the family: family: ClassVar[str] = "name"')
    for preset in presets:
        made = [shape[1:] for shape in summarise(network(preset)).maps]
        require(made == preset.map_shapes(), f"{preset.name}: the network "
                f"makes maps of {made} cells, its configuration says "
                f"{preset.map_shapes()}; sides() tells the length of a side "
                "on each map")
    FAMILIES[config.family], NETWORKS[config.family] = config, network
    configs.NAMED.update({preset.name: preset for preset in presets})
