"""What this machine has: the first thing to paste in a question."""

from __future__ import annotations

import platform
from importlib import metadata

import numpy as np

from . import devices, gpus, restoring

_BUILDS = ("mxnet", "mxnet-cu112")


def describe():
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
        text = str(error).rstrip(".")
        found.update(device=None,
                     reason=f"MXNet cannot be imported: {text}.")
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
