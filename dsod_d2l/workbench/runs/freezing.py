"""Weights that stay as they are while the others learn."""

import contextlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from mxnet.gluon import nn

from ...config.base import require
from ...models import count_parameters
from .tuning import near


def frozen_names(net: Any, patterns: Sequence[str]) -> list[str]:
    """Return the names of all arrays of a network that are to stay.

    Args:
        net: a ``models.Network``.
        patterns: first parts of names, or patterns for whole names.

    Raises:
        ValueError: one fits nothing, or nothing is left to learn.
    """
    parameters = net._collect_params_with_prefix()
    fits = {pattern: [name for name in parameters
                      if f"{name}.".startswith(f"{pattern.rstrip('.')}.")
                      or fnmatchcase(name, pattern)] for pattern in patterns}
    parts = dict.fromkeys(name.rsplit(".", cut)[0] for cut in (9, 2, 1, 0)
                          for name in parameters)
    for pattern, names in fits.items():
        require(names, f"--freeze {pattern} fits no array of "
                f"{net.config.name}; near it are {near(pattern, list(parts))}")
    found = {name for names in fits.values() for name in names}
    require(not found or any(
        parameter.grad_req != "null" and name not in found
        for name, parameter in parameters.items()),
        f"--freeze {' '.join(patterns)} leaves nothing to learn")
    return [name for name in parameters if name in found]


def tell_frozen(net: Any, patterns: Sequence[str]) -> str | None:
    """Return in one sentence what stays as it is, None if nothing does."""
    names = frozen_names(net, patterns)
    if not names:
        return None
    parameters = net._collect_params_with_prefix()
    numbers = sum(int(np.prod(parameters[name].shape)) for name in names)
    rooms = dict.fromkeys(name.split(".")[0] for name in names)
    return (f"{len(names)} of {len(parameters)} arrays stay as they are "
            f"({numbers:,} of {count_parameters(net, False):,} numbers), in "
            f"{', '.join(rooms)}")


@contextlib.contextmanager
def frozen(net: Any, patterns: Sequence[str]) -> Iterator[list[str]]:
    """Let some arrays of a network stay as they are for a while.

    A batch normalisation whose running statistics are among them uses these
    in training, too.

    Args:
        net, patterns: see ``frozen_names``.

    Yields:
        Names of the arrays.
    """
    names = frozen_names(net, patterns)
    parameters = net._collect_params_with_prefix()
    before = {name: parameters[name].grad_req for name in names}
    staying = {id(parameters[name]) for name in names}
    blocks: list = []
    net.apply(blocks.append)
    norms = [block for block in blocks if isinstance(block, nn.BatchNorm)
             and staying & {id(block.running_mean), id(block.running_var)}]
    try:
        for name in names:
            parameters[name].grad_req = "null"
        for block in norms:
            block._kwargs["use_global_stats"] = True
        yield names
    finally:
        for name in names:
            parameters[name].grad_req = before[name]
        for block in norms:
            block._kwargs["use_global_stats"] = False
