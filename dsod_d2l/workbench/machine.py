"""What this machine has, and how its devices are named."""

import contextlib
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from .. import runtime
from ..config.base import ModelConfig, require
from . import gpus


def device(prefer: str | None = None) -> tuple[Any, str]:
    """Choose where networks run.

    Args:
        prefer: "gpu", "cpu", or None for a GPU where there is one.

    Returns:
        The MXNet context, and one plain sentence that says why.

    Raises:
        ValueError: prefer is none of these.
    """
    require(prefer in (None, "cpu", "gpu"),
            f"prefer must be cpu, gpu or None, found {prefer!r}.")
    import mxnet as mx

    if prefer == "cpu":
        return mx.cpu(), "Running on the CPU, as asked."
    count = mx.context.num_gpus()
    if count:
        more = f", the first of {count}" if count > 1 else ""
        return mx.gpu(0), f"Running on the GPU{more}."
    return mx.cpu(), (f"Running on the CPU, because "
                      f"{_why_no_gpu(mx.runtime.Features())}.")


def asked_device(prefer: str | None) -> Any:
    """Return the context of ``device``, or raise if a GPU is asked in vain."""
    context, reason = device(prefer)
    require(prefer != "gpu" or context.device_type == "gpu",
            "--device gpu: there is none to be used, "
            f"{reason.partition('because ')[2]} Without --device, the CPU "
            "computes")
    return context


def _why_no_gpu(features):
    """Return the second half of a sentence."""
    if features.is_enabled("CUDA"):
        if gpus.HIDDEN:
            return gpus.HIDDEN[-1]
        if os.environ.get(gpus.VISIBLE) is not None and gpus.installed():
            return f"{gpus.VISIBLE} names no GPU of this machine"
        return "MXNet finds no GPU"
    reason, found = "this MXNet is built without GPU support", gpus.installed()
    if good := [gpu for gpu in found if gpu.supported]:
        return (f"{reason}; requirements-gpu.txt has the build for the "
                f"{gpus.names(good)} here")
    return f"{reason}, and {gpus.no_code_for(found)}" if found else reason


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
        context, reason = device()
        found.update(device=str(context), reason=reason)
    except (ImportError, OSError) as error:
        found.update(device=None, reason="MXNet cannot be imported: "
                     f"{str(error).rstrip('.')}.")
    return {**found, "driver": gpus.driver(),
            "gpus": list(map(str, gpus.installed())),
            "threads": runtime.threads(), "cores": runtime.usable_cores(),
            "restored": list(runtime.RESTORED)}


def _version(*names):
    """Return the version of the first package that is installed, or None."""
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def forward_time(config: ModelConfig, ctx: Any = None,
                 repeats: int = 5) -> float:
    """Measure the forward pass of one image, in milliseconds.

    Args:
        config: ``ModelConfig``; a network with random numbers is built.
        ctx: MXNet context, default the CPU.
        repeats: how often; the median counts.
    """
    import mxnet as mx

    from .. import models
    net = models.build(config)
    models.initialise(net, ctx)
    net.hybridize(static_alloc=True, static_shape=True)
    image = mx.nd.zeros((1, 3, *config.input_size), ctx=ctx)
    times = []
    for _ in range(repeats + 2):               # two to get warm
        start = time.perf_counter()
        for part in net(image):
            part.wait_to_read()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times[2:]))
