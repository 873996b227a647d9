"""Functions of MXNet that call what newer numpys have dropped."""

from __future__ import annotations

import functools
import numbers
import struct
import warnings

import numpy as np

from .restoring import RESTORED


def apply(mxnet):
    """Replace the functions that fail with this numpy, once."""
    if hasattr(mxnet, "recordio") and not hasattr(np.ndarray, "tostring"):
        _replace(mxnet.recordio, "pack", pack)
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


def pack(recordio, _original):
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


def pack_img(recordio, _original):
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


def c_array(_quantization, original):
    """Return ``c_array`` that takes arrays of one element as numbers."""
    def function(ctype, values):
        return original(ctype, [value.item() if isinstance(value, np.ndarray)
                                else value for value in values])
    return function
