"""Make MXNet 1.9.1 run on this Python and numpy, on all cores.

MXNet was last released in 2022. Since then numpy has dropped names that it
uses and changed how numbers print, and Python 3.12 has dropped ``distutils``.
``prepare`` puts back what is missing before MXNet is imported; the rest
happens when it is. Importing the package calls it: the one import here that
changes something outside.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import numbers
import os
import struct
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESTORED: list[str] = []    # what had to be put back or patched
_THREADS = "OMP_NUM_THREADS"


def prepare(before: Callable[[Path], None] | None = None) -> None:
    """Put back what MXNet misses here, and set its number of threads.

    To be called before MXNet is imported; a second call does nothing. It
    imports neither MXNet nor anything heavy. What it changes:

    - numpy: the removed names that MXNet looks up, and on numpy 2 the way
      in which numbers print (MXNet reads them as text);
    - a small ``distutils.version`` where there is none;
    - the variable OMP_NUM_THREADS, unless it is set or MXNet is loaded:
      MXNet itself would leave half of the cores idle. In a notebook it is
      the cores that no other process keeps busy; elsewhere all of them, for
      a run that is resumed needs as many threads to end with the same bits;
    - OMP_WAIT_POLICY, unless it is set: threads sleep while they wait;
    - the coming import of MXNet: functions that fail here are replaced.

    Args:
        before: called with the folder of MXNet when it is about to be
            imported.
    """
    _restore_numpy()
    _restore_distutils()
    if "mxnet" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if _THREADS not in os.environ:
            count = free_cores if "ipykernel" in sys.modules else usable_cores
            os.environ[_THREADS] = str(count())
    if not any(isinstance(finder, MXNetFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MXNetFinder(before))
    if "mxnet" in sys.modules:
        patch(sys.modules["mxnet"])


class MXNetFinder(importlib.abc.MetaPathFinder):
    """Finds MXNet where the others find it; does more when it is loaded.

    Args:
        before: called with the folder of MXNet before it is loaded, or None.
    """

    def __init__(self, before: Callable[[Path], None] | None):
        self.before = before

    def find_spec(self, name: str, path: Any = None, target: Any = None
                  ) -> Any:
        """Return the specification of MXNet, its loader changed, or None."""
        if name != "mxnet":
            return None
        for finder in sys.meta_path:
            spec = finder is not self and finder.find_spec(name, path, target)
            if spec:
                loader: Any = spec.loader
                if spec.origin and loader:
                    loader.exec_module = functools.partial(
                        self.load, loader.exec_module)
                return spec
        return None

    def load(self, run: Callable, module: Any) -> None:
        """Load MXNet as its own loader does, and patch it."""
        if self.before:
            self.before(Path(module.__spec__.origin).parent)
        run(module)
        patch(module)


def _restore_numpy():
    values = _dropped()
    with warnings.catch_warnings():      # numpy may warn of a name it has
        warnings.simplefilter("ignore")
        missing = [name for name in values if not hasattr(np, name)]
    for name in missing:
        setattr(np, name, values[name])
        RESTORED.append(f"numpy.{name}")
    if repr(np.float64(0.5)) != "0.5":
        # "np.float64(0.5)" in a tuple is not a number to MXNet.
        np.set_printoptions(legacy="1.25")
        RESTORED.append("numpy print option legacy=1.25")


def _dropped():
    """Return {name: replacement} of all that MXNet looks up in numpy."""
    money = ("mirr", "npv", "pmt", "ppmt", "pv", "rate")
    return {"bool": np.bool_, "PZERO": 0.0, "NZERO": -0.0, "PINF": np.inf,
            "NINF": -np.inf, "Inf": np.inf, "NaN": np.nan, "NAN": np.nan,
            "compat": types.SimpleNamespace(basestring=(str, bytes)),
            "round_": np.round, "product": np.prod, "sometrue": np.any,
            "alltrue": np.all, "in1d": _in1d,
            "msort": functools.partial(np.sort, axis=0),
            "trapz": getattr(np, "trapezoid", None),
            **{name: _gone(name) for name in money}}


def _in1d(first, second, assume_unique=False, invert=False):
    return np.isin(np.ravel(first), second, assume_unique, invert)


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
    from packaging.version import Version

    package = types.ModuleType("distutils", "Stands in for the old module.")
    module = types.ModuleType("distutils.version")
    vars(module).update(StrictVersion=Version, LooseVersion=Version)
    vars(package).update(__path__=[], version=module)
    sys.modules.update({"distutils": package, "distutils.version": module})
    RESTORED.append("distutils.version")


def patch(mxnet: Any) -> None:
    """Replace the functions that fail with this numpy, once."""
    if hasattr(mxnet, "recordio") and not hasattr(np.ndarray, "tostring"):
        _replace(mxnet.recordio, "pack", _pack)
        _replace(mxnet.recordio, "pack_img", _pack_img)
    if hasattr(mxnet, "contrib") and not _converts():
        _replace(mxnet.contrib.quantization, "c_array", _c_array)


def _replace(module, name, maker):
    """Put maker(module, original) in the place of a function."""
    original = getattr(module, name)
    if original.__module__ != __name__:
        new = functools.wraps(original)(maker(module, original))
        new.__module__ = __name__
        setattr(module, name, new)
        RESTORED.append(f"{module.__name__}.{name}")


def _converts():
    """Return whether numpy turns an array of one element into a number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(np.ones(1)) == 1
        except TypeError:
            return False


def _pack(recordio, _original):
    """Return ``recordio.pack`` without ``ndarray.tostring``."""
    def function(header, s):
        header = recordio.IRHeader(*header)
        if isinstance(header.label, numbers.Number):
            header = header._replace(flag=0)
        else:
            label = np.asarray(header.label, np.float32)
            header = header._replace(flag=label.size, label=0)
            s = label.tobytes() + s
        return struct.pack(recordio._IR_FORMAT, *header) + s
    return function


def _pack_img(recordio, _original):
    """Return ``recordio.pack_img`` without ``ndarray.tostring``."""
    def function(header, img, quality=95, img_fmt=".jpg"):
        cv2, kind = recordio.cv2, img_fmt.lower()
        flag = {".jpg": cv2.IMWRITE_JPEG_QUALITY,
                ".jpeg": cv2.IMWRITE_JPEG_QUALITY,
                ".png": cv2.IMWRITE_PNG_COMPRESSION}.get(kind)
        done, data = cv2.imencode(img_fmt, img,
                                  None if flag is None else [flag, quality])
        if not done:
            raise ValueError(f"the image cannot be encoded as {img_fmt}")
        return recordio.pack(header, data.tobytes())
    return function


def _c_array(_quantization, original):
    """Return ``c_array`` that takes arrays of one element as numbers."""
    def function(ctype, values):
        return original(ctype, [value.item() if isinstance(value, np.ndarray)
                                else value for value in values])
    return function


def threads() -> int | None:
    """Return the number of threads that is set, or None."""
    text = os.environ.get(_THREADS, "")
    return int(text) if text.isdecimal() else None


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_cores() -> int:
    """Return how many usable cores no other process keeps busy, at least one.

    With more threads than cores one thread spins inside a convolution until
    the next has its turn: a step takes ten times as long. Linux tells how
    many threads run now; the least of several looks counts.
    """
    file, looks = Path("/proc/loadavg"), []
    if not file.exists():
        return usable_cores()
    for _ in range(5):
        looks.append(int(file.read_text().split()[3].partition("/")[0]))
        time.sleep(0.01)
    free = (os.cpu_count() or 1) - min(looks) + 1        # one is this process
    return max(1, min(usable_cores(), free))


def worker_init(*_: Any) -> None:
    """Keep a data worker to one thread; call it first in a new process."""
    import cv2

    os.environ[_THREADS] = "1"
    cv2.setNumThreads(1)
