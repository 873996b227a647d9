"""Put back what newer Pythons and numpys have dropped and MXNet needs."""

from __future__ import annotations

import functools
import importlib.util
import numbers
import re
import struct
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

RESTORED: list[str] = []  # what had to be put back or patched: describe()


def restore() -> None:
    """Put back what is missing here, and only that."""
    _restore_numpy()
    _restore_distutils()


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
    package = types.ModuleType("distutils", "Stands in for the old module.")
    module = types.ModuleType("distutils.version")
    vars(module).update(StrictVersion=_Version, LooseVersion=_Version)
    vars(package).update(__path__=[], version=module)
    sys.modules.update({"distutils": package, "distutils.version": module})
    RESTORED.append("distutils.version")


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


def apply(mxnet: Any) -> None:
    """Replace the functions that fail with this numpy, once."""
    if hasattr(mxnet, "recordio") and not hasattr(np.ndarray, "tostring"):
        _replace(mxnet.recordio, "pack", _pack)
        _replace(mxnet.recordio, "pack_img", pack_img)
    if hasattr(mxnet, "contrib") and not _converts():
        _replace(mxnet.contrib.quantization, "c_array", c_array)


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


def pack_img(recordio: Any, _original: Callable) -> Callable:
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


def c_array(_quantization: Any, original: Callable) -> Callable:
    """Return ``c_array`` that takes arrays of one element as numbers."""
    def function(ctype, values):
        return original(ctype, [value.item() if isinstance(value, np.ndarray)
                                else value for value in values])
    return function
