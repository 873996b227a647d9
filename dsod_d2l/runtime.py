"""Make MXNet 1.9.1 importable on this Python and numpy; choose the device.

MXNet was last released in 2022. Since then numpy has dropped names that it
uses and changed how numbers print, and Python 3.12 has dropped ``distutils``.
``prepare`` puts back what is missing, before MXNet is imported. Importing the
package calls it: the one import here that changes something outside.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import sys
import types
from importlib import metadata

import numpy as np

_THREADS = "OMP_NUM_THREADS"
_restored = []    # what prepare() had to put back, for describe()


def prepare():
    """Put back what MXNet misses here, and set its number of threads.

    To be called before MXNet is imported; a second call does nothing. It
    imports neither MXNet nor anything heavy. What it changes:

    - numpy from 1.24: the removed names that MXNet looks up, and on numpy 2
      the way in which numbers print (MXNet reads them as text);
    - a small ``distutils.version`` where there is none;
    - the variable OMP_NUM_THREADS, unless it is set or MXNet is loaded:
      MXNet itself would leave half of the cores idle.
    """
    _restore_numpy()
    _restore_distutils()
    if _THREADS not in os.environ and "mxnet" not in sys.modules:
        os.environ[_THREADS] = str(usable_cores())


def usable_cores():
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_init(*_):
    """Keep a data worker to one thread; call it first in a new process."""
    import cv2

    os.environ[_THREADS] = "1"
    cv2.setNumThreads(1)


def device(prefer=None):
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
    if mx.runtime.Features().is_enabled("CUDA"):
        return mx.cpu(), "Running on the CPU, because MXNet finds no GPU."
    return mx.cpu(), ("Running on the CPU, because this MXNet is built "
                      "without GPU support.")


def describe():
    """Return versions, device, threads and what was put back, JSON-ready."""
    found = {"python": platform.python_version(),
             "platform": platform.platform(),
             "numpy": np.__version__,
             "opencv": _version("opencv-python-headless", "opencv-python"),
             "mxnet": _version("mxnet", "mxnet-cu112")}
    try:
        context, reason = device()
        found.update(device=str(context), reason=reason)
    except (ImportError, OSError) as error:
        found.update(device=None, reason="MXNet cannot be imported: "
                                         f"{error}.")
    threads = os.environ.get(_THREADS, "")
    return {**found, "threads": int(threads) if threads.isdecimal() else None,
            "cores": usable_cores(), "restored": list(_restored)}


def _version(*names):
    """Return the version of the first package that is installed, or None."""
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _restore_numpy():
    """Put back what numpy 1.24 and later have dropped, and only that."""
    if np.lib.NumpyVersion(np.__version__) < "1.24.0":
        return
    for name, value in _dropped().items():
        # hasattr would ask numpy's own __getattr__, which warns.
        if name not in vars(np):
            setattr(np, name, value)
            _restored.append(f"numpy.{name}")
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        if np.get_printoptions()["legacy"] is False:
            # "np.float64(0.5)" in a tuple is not a number to MXNet.
            np.set_printoptions(legacy="1.25")
            _restored.append("numpy print option legacy=1.25")


def _dropped():
    """Return {name: replacement} of all that MXNet looks up in numpy."""
    values = {"bool": np.bool_, "PZERO": 0.0, "NZERO": -0.0, "PINF": np.inf,
              "NINF": -np.inf, "Inf": np.inf, "NaN": np.nan, "NAN": np.nan,
              "compat": types.SimpleNamespace(basestring=(str, bytes))}
    functions = {"round_": np.round, "product": np.prod, "sometrue": np.any,
                 "alltrue": np.all, "row_stack": np.vstack, "in1d": _in1d,
                 "trapz": getattr(np, "trapezoid", None), "msort": _msort}
    money = {name: _gone(name)
             for name in ("mirr", "npv", "pmt", "ppmt", "pv", "rate")}
    return {**values, **functions, **money}


def _in1d(first, second, assume_unique=False, invert=False):
    return np.isin(np.ravel(first), second, assume_unique, invert)


def _msort(values):
    return np.sort(values, axis=0)


def _gone(name):
    def function(*_args, **_options):
        raise NotImplementedError(f"numpy.{name} was removed in numpy 1.20; "
                                  "use the package numpy-financial.")
    function.__name__ = name
    return function


def _restore_distutils():
    """Stand in for ``distutils.version`` where Python has none."""
    if importlib.util.find_spec("distutils") is not None:
        return
    package = types.ModuleType("distutils", "Stands in for the old module.")
    package.__path__ = []
    module = types.ModuleType("distutils.version")
    module.StrictVersion = module.LooseVersion = _Version
    package.version = module
    sys.modules.update({"distutils": package, "distutils.version": module})
    _restored.append("distutils.version")


@functools.total_ordering
class _Version:
    """A version that compares by its numbers."""

    def __init__(self, text):
        self.version = tuple(int(n) for n in re.findall(r"\d+", str(text)))

    def __eq__(self, other):
        return self.version == _Version(other).version

    def __lt__(self, other):
        return self.version < _Version(other).version

    def __str__(self):
        return ".".join(map(str, self.version))
