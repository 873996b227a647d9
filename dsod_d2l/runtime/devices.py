"""Where networks run, and on how many threads."""

from __future__ import annotations

import os
import sys
from typing import Any

from . import gpus

_THREADS = "OMP_NUM_THREADS"


def set_threads() -> None:
    """Let MXNet use every core, unless that was decided elsewhere."""
    if _THREADS not in os.environ and "mxnet" not in sys.modules:
        os.environ[_THREADS] = str(usable_cores())


def threads() -> int | None:
    """Return the number of threads that is set, or None."""
    text = os.environ.get(_THREADS, "")
    return int(text) if text.isdecimal() else None


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_init(*_: Any) -> None:
    """Keep a data worker to one thread; call it first in a new process."""
    import cv2

    os.environ[_THREADS] = "1"
    cv2.setNumThreads(1)


def device(prefer: str | None = None) -> tuple[Any, str]:
    """Choose where networks run.

    Args:
        prefer: "gpu", "cpu", or None for a GPU where there is one.

    Returns:
        The MXNet context, and one plain sentence that says why.

    Raises:
        ValueError: prefer is none of these.
    """
    if prefer not in (None, "cpu", "gpu"):
        raise ValueError(f"prefer must be cpu, gpu or None, found {prefer!r}.")
    import mxnet as mx

    if prefer == "cpu":
        return mx.cpu(), "Running on the CPU, as asked."
    count = mx.context.num_gpus()
    if count:
        more = f", the first of {count}" if count > 1 else ""
        return mx.gpu(0), f"Running on the GPU{more}."
    return mx.cpu(), (f"Running on the CPU, because "
                      f"{_why_no_gpu(mx.runtime.Features())}.")


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
