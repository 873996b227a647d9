"""The CUDA 11 libraries of MXNet's GPU build, from the packages on PyPI.

They are loaded by their paths before MXNet asks for them by name, so neither
LD_LIBRARY_PATH nor an installed CUDA is needed. The packages for CUDA 12 hold
other files under some of the same names; those are told apart and refused.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


class Library(NamedTuple):
    """A file that MXNet needs, and the package that holds it."""

    soname: str
    package: str
    version: str


LIBRARIES = (
    Library("libcudart.so.11.0", "nvidia-cuda-runtime-cu11", "11.8.89"),
    Library("libnvrtc.so.11.2", "nvidia-cuda-nvrtc-cu11", "11.8.89"),
    Library("libnvToolsExt.so.1", "nvidia-nvtx-cu11", "11.8.86"),
    Library("libcublasLt.so.11", "nvidia-cublas-cu11", "11.11.3.6"),
    Library("libcublas.so.11", "nvidia-cublas-cu11", "11.11.3.6"),
    Library("libcufft.so.10", "nvidia-cufft-cu11", "10.9.0.58"),
    Library("libcurand.so.10", "nvidia-curand-cu11", "10.3.0.86"),
    Library("libcusolver.so.11", "nvidia-cusolver-cu11", "11.4.1.48"),
    Library("libnccl.so.2", "nvidia-nccl-cu11", "2.21.5"),
    Library("libcudnn.so.8", "nvidia-cudnn-cu11", "8.9.6.50"),
)
# MXNet warns of a newer cuDNN, and of a machine without a GPU.
_QUIET = ("MXNET_CUDNN_LIB_CHECKING", "MXNET_CUDA_LIB_CHECKING")


def is_gpu_build(folder):
    """Return whether the MXNet in this folder is a build for CUDA.

    Args:
        folder: path of the package ``mxnet``.
    """
    return any(_whole_file(info, "libmxnet.so")
               for info in Path(folder).parent.glob("mxnet_cu*.dist-info"))


def preload(roots=None):
    """Load the driver and the CUDA 11 libraries for MXNet's GPU build.

    Args:
        roots: folders with installed packages, default ``sys.path``.

    Raises:
        ImportError: there is no driver, or libraries are missing; the
            sentence names the packages that have them.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise ImportError(
            "This is MXNet's GPU build, and there is no NVIDIA driver here "
            "(libcuda.so.1): pip uninstall mxnet-cu112, then pip install "
            "--no-deps mxnet==1.9.1, the build for the CPU.") from None
    for name in _QUIET:
        os.environ.setdefault(name, "0")
    paths = {library: _find(library, roots or sys.path)
             for library in LIBRARIES}
    if not any(paths.values()):      # then a CUDA 11 of the system may do
        paths = {library: library.soname for library in LIBRARIES}
    missing = [library for library in LIBRARIES if not _load(paths[library])]
    if missing:
        raise ImportError(_sentence(missing))


def _load(path):
    try:
        return path and ctypes.CDLL(str(path))
    except OSError:
        return None


def _find(library, roots):
    """Return the path of a library in its own package, or None."""
    stem = library.package.replace("-", "_")
    for root in roots:
        for info in Path(root or ".").glob(f"{stem}-*.dist-info"):
            if path := _whole_file(info, library.soname):
                return path
    return None


def _whole_file(info, name):
    """Return the path of a package's file, if it has the size it came with.

    Another package may have written a file of its own over it.
    """
    for file in metadata.Distribution.at(info).files or ():
        path = Path(file.locate())
        if file.name == name and path.is_file():
            return path if path.stat().st_size == file.size else None
    return None


def _sentence(missing):
    which = ", ".join(library.soname for library in missing)
    pins = dict.fromkeys(f"{library.package}=={library.version}"
                         for library in missing)
    return (f"MXNet's GPU build lacks {which}, missing or overwritten by a "
            f"package for CUDA 12: pip install --no-deps {' '.join(pins)}, "
            "or all of requirements-gpu.txt into a folder of its own.")
