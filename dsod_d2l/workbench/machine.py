"""What this machine has, and how its devices are named."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

import numpy as np

from ..config.base import require
from ..runtime import devices, gpus, restoring


def named_devices(names: Sequence[str]) -> tuple[list, str]:
    """Choose several devices for one process.

    Args:
        names: numbers of GPUs, such as "0" or "1"; or "cpu0", "cpu1" and so
            on, which are parts of one CPU and only good to try things.

    Returns:
        The list of MXNet contexts, and one plain sentence.

    Raises:
        ValueError: a name is unknown, twice there, or of no GPU here; or
            there are GPUs and a CPU.
    """
    import mxnet as mx

    found, count = [], mx.context.num_gpus()
    for name in map(str.strip, names):
        number = name.removeprefix("cpu")
        require(number.isdecimal(), "devices are numbers of GPUs such as 0,1 "
                f"or parts of the CPU such as cpu0,cpu1, found {name!r}.")
        require(number != name or int(number) < count, f"there is no GPU "
                f"{name}: MXNet finds {count or 'none'}.")
        found.append((mx.gpu if number == name else mx.cpu)(int(number)))
    require(len(set(found)) == len(found), "a device is named twice: "
            f"{','.join(names)}.")
    require(len({one.device_type for one in found}) < 2, "GPUs and parts of "
            f"the CPU cannot share the work, found {','.join(names)}.")
    return found, f"Running on {', '.join(map(str, found))}, as asked."


_BUILDS = ("mxnet", "mxnet-cu112")


def describe_machine() -> dict:
    """Return versions, device, GPUs, threads and what was put back.

    Returns:
        dict, JSON-ready; None where something is not installed.
    """
    from .. import __version__

    found = {"dsod_d2l": __version__,
             "python": platform.python_version(),
             "platform": platform.platform(),
             "numpy": np.__version__,
             "opencv": _version("opencv-python-headless", "opencv-python"),
             "matplotlib": _version("matplotlib"), "d2l": _version("d2l"),
             "mxnet": _version(*_BUILDS),
             "build": " and ".join(filter(_version, _BUILDS)) or None}
    try:
        context, reason = devices.device()
        found.update(device=str(context), reason=reason)
    except (ImportError, OSError) as error:
        found.update(device=None, reason="MXNet cannot be imported: "
                     f"{str(error).rstrip('.')}.")
    return {**found, "driver": gpus.driver(),
            "gpus": list(map(str, gpus.installed())),
            "threads": devices.threads(), "cores": devices.usable_cores(),
            "restored": list(restoring.RESTORED)}


def _version(*names):
    """Return the version of the first package that is installed, or None."""
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
