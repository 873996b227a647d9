"""Networks: one file per family, built from a name or a configuration.

A network takes images (B, 3, H, W), normalised, and returns class scores
(B, N, K + 1) and offsets (B, N, 4), in training and inference alike.
Anchors, targets, losses and detection stay outside.
"""

from __future__ import annotations

import dataclasses

from .. import config as configs
from .backbones import build_backbone
from .dsod import DSOD
from .dsod_gluon import GluonDSOD
from .grp_dsod import GRPDSOD
from .network import Network, count_parameters, initialise
from .refinedet import RefineDSOD, RefineSSD
from .ssd import SSD
from .summary import forward_time, multiply_adds, summarise
from .toy_ssd import ToySSD
from .widths import narrow

__all__ = ["DSOD", "GRPDSOD", "GluonDSOD", "Network", "RefineDSOD",
           "RefineSSD", "SSD", "ToySSD", "build", "build_backbone",
           "count_parameters", "forward_time", "initialise", "multiply_adds",
           "summarise"]

NETWORKS = {"toy_ssd": ToySSD, "dsod": DSOD, "dsod_gluon": GluonDSOD,
            "grp_dsod": GRPDSOD, "ssd": SSD, "refinedet": RefineSSD,
            "refinedet_dsod": RefineDSOD}


def build(name_or_config, num_classes=None, **changes):
    """Build a network; its parameters are not initialised yet.

    Args:
        name_or_config: name of a preset, or a ``ModelConfig``.
        num_classes: number of foreground classes; None: the preset's.
        changes: fields of the configuration to change.

    Returns:
        A ``Network``, with its configuration as ``.config``.

    Raises:
        ValueError: the name is not known or the configuration not legal, or
            it gives a width to a layer that the network lacks.
    """
    if num_classes is not None:
        changes["num_classes"] = num_classes
    if isinstance(name_or_config, str):
        config = configs.get(name_or_config, **changes)
    else:
        config = dataclasses.replace(name_or_config, **changes)
    net = NETWORKS[config.family](config)
    if config.widths:
        narrow(net, dict(config.widths))
    return net
