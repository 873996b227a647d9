"""Which GPUs are here, which MXNet can use, and the libraries they need."""

import ctypes
import json
import os
import sys
import warnings
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = (5, 0), (8, 9)    # no newer code, nor any to be translated
VISIBLE = "CUDA_VISIBLE_DEVICES"
HIDDEN: list[str] = []             # what hide_unsupported() had to say
_LENGTH = 96                       # bytes of the texts that NVML returns


class Gpu(NamedTuple):
    """One GPU: its name, UUID and compute capability (major, minor)."""

    name: str
    uuid: str
    capability: tuple[int, int]

    @property
    def supported(self) -> bool:
        """Whether MXNet 1.9.1 has machine code for it."""
        return OLDEST <= self.capability <= NEWEST

    def __str__(self):
        major, minor = self.capability
        return f"{self.name} (compute capability {major}.{minor})"


def installed() -> list[Gpu]:
    """Return the GPUs of this machine in the order of nvidia-smi."""
    def read(nvml):
        count = ctypes.c_uint()
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        return [_gpu(nvml, number) for number in range(count.value)]
    return _ask(read) or []


def driver() -> str | None:
    """Return the version of the NVIDIA driver, or None where there is none."""
    def read(nvml):
        text = ctypes.create_string_buffer(_LENGTH)
        nvml.nvmlSystemGetDriverVersion(text, _LENGTH)
        return text.value.decode()
    return _ask(read) or None


def hide_unsupported() -> str | None:
    """Leave to MXNet only the GPUs that it has machine code for.

    To be called before MXNet is imported. Where every GPU is supported
    nothing is changed; else CUDA_VISIBLE_DEVICES is made to name those that
    are, out of those it named before.

    Returns:
        A plain sentence that says what is hidden and what happens now, or
        None where nothing was hidden.
    """
    found = installed()
    if all(gpu.supported for gpu in found):
        return None
    chosen = _chosen(found, os.environ.get(VISIBLE))
    good = [gpu for gpu in chosen if gpu.supported]
    os.environ[VISIBLE] = ",".join(gpu.uuid for gpu in good)
    bad = [gpu for gpu in chosen if not gpu.supported]
    if not bad:
        return None
    HIDDEN.append(no_code_for(bad))
    now = f"on the {names(good)}" if good else "on the CPU"
    return f"{HIDDEN[-1]}; it runs {now}."


def names(found: Iterable[Gpu]) -> str:
    """Return the names of GPUs for a sentence, each one once.

    >>> names([Gpu("Tesla T4", "", (7, 5)), Gpu("Tesla T4", "", (7, 5))])
    'Tesla T4'
    """
    return " and the ".join(dict.fromkeys(gpu.name for gpu in found))


def no_code_for(found: Iterable[Gpu]) -> str:
    """Return what there is to say about GPUs that are not supported.

    >>> print(no_code_for([Gpu("NVIDIA H100", "", (9, 0))]))
    MXNet 1.9.1 has no machine code for the NVIDIA H100 (compute
    capability 9.0), only for 5.0 to 8.9, such as a T4, V100, A100 or L4
    """
    whole = " and the ".join(dict.fromkeys(map(str, found)))
    return (f"MXNet 1.9.1 has no machine code for the {whole}, only for "
            "{}.{} to {}.{}, ".format(*OLDEST, *NEWEST)
            + "such as a T4, V100, A100 or L4")


def _ask(read):
    """Return read(nvml), or None where there is no driver."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2():
        return None
    try:
        return read(nvml)
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml, number):
    handle, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
    name, uuid = (ctypes.create_string_buffer(_LENGTH) for _ in range(2))
    if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)):
        return Gpu(f"lost GPU {number}", "", (0, 0))
    nvml.nvmlDeviceGetName(handle, name, _LENGTH)
    nvml.nvmlDeviceGetUUID(handle, uuid, _LENGTH)
    nvml.nvmlDeviceGetCudaComputeCapability(
        handle, ctypes.byref(major), ctypes.byref(minor))
    return Gpu(name.value.decode(), uuid.value.decode(),
               (major.value, minor.value))


def _chosen(found, text):
    """Return the GPUs that a CUDA_VISIBLE_DEVICES names: up to its first slip.

    Numbers are those of nvidia-smi; a UUID may be cut short.
    """
    if text is None:
        return found
    chosen = []
    for item in map(str.strip, text.split(",")):
        if item.isdecimal():
            named = found[int(item):int(item) + 1]
        else:
            named = [gpu for gpu in found
                     if item and gpu.uuid.startswith(item)]
        if len(named) != 1:
            break
        chosen += named
    return chosen


class Library(NamedTuple):
    """A file that MXNet needs, and the package that holds it."""

    soname: str
    package: str
    version: str


LIBRARIES = tuple(Library(*row) for row in json.loads(
    Path(__file__).with_name("cuda_libraries.json").read_text()))
# MXNet warns of a newer cuDNN, and of a machine without a GPU.
_QUIET = ("MXNET_CUDNN_LIB_CHECKING", "MXNET_CUDA_LIB_CHECKING")


def look_after(folder: Path) -> None:
    """Get ready for the import of MXNet, where it is a build for CUDA.

    Args:
        folder: path of the package ``mxnet``.

    Warns:
        RuntimeWarning: a GPU is hidden, see ``hide_unsupported``.
    """
    if is_gpu_build(folder):
        if sentence := hide_unsupported():
            warnings.warn(sentence, RuntimeWarning, stacklevel=2)
        preload()


def is_gpu_build(folder: str | Path) -> bool:
    """Return whether the MXNet in this folder is a build for CUDA.

    Args:
        folder: path of the package ``mxnet``.
    """
    return any(_whole_file(info, "libmxnet.so")
               for info in Path(folder).parent.glob("mxnet_cu*.dist-info"))


def preload(roots: Iterable[str] | None = None) -> None:
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
        which = ", ".join(library.soname for library in missing)
        pins = dict.fromkeys(f"{library.package}=={library.version}"
                             for library in missing)
        raise ImportError(
            f"MXNet's GPU build lacks {which}, missing or overwritten by a "
            f"package for CUDA 12: pip install --no-deps {' '.join(pins)}, "
            "or all of requirements-gpu.txt into a folder of its own.")


def _load(path):
    try:
        return path and ctypes.CDLL(str(path))
    except OSError:
        return None


def _find(library, roots):
    """Return the path of a library in its own package, or None."""
    stem = library.package.replace("-", "_")
    paths = (_whole_file(info, library.soname) for root in roots
             for info in Path(root or ".").glob(f"{stem}-*.dist-info"))
    return next(filter(None, paths), None)


def _whole_file(info, name):
    """Return the path of a package's file, if it has the size it came with.

    Another package may have written a file of its own over it.
    """
    for file in metadata.Distribution.at(info).files or ():
        path = Path(file.locate())
        if file.name == name and path.is_file():
            return path if path.stat().st_size == file.size else None
    return None
