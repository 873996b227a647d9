"""Which GPUs are here, and for which MXNet has machine code.

NVML answers before MXNet is imported. CUDA itself is not asked: its first
answer would settle for good which GPUs the process sees.
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

OLDEST, NEWEST = (5, 0), (8, 9)    # no newer code, nor any to be translated
VISIBLE = "CUDA_VISIBLE_DEVICES"
HIDDEN = []                        # what hide_unsupported() had to say
_LENGTH = 96                       # bytes of the texts that NVML returns


class Gpu(NamedTuple):
    """One GPU: its name, UUID and compute capability (major, minor)."""

    name: str
    uuid: str
    capability: tuple

    @property
    def supported(self):
        """Whether MXNet 1.9.1 has machine code for it."""
        return OLDEST <= self.capability <= NEWEST

    def __str__(self):
        return "{} (compute capability {}.{})".format(self.name,
                                                      *self.capability)


def installed():
    """Return the GPUs of this machine in the order of nvidia-smi."""
    def read(nvml):
        count = ctypes.c_uint()
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        return [_gpu(nvml, number) for number in range(count.value)]
    return _ask(read) or []


def driver():
    """Return the version of the NVIDIA driver, or None where there is none."""
    def read(nvml):
        text = ctypes.create_string_buffer(_LENGTH)
        nvml.nvmlSystemGetDriverVersion(text, _LENGTH)
        return text.value.decode()
    return _ask(read) or None


def hide_unsupported():
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


def names(found):
    """Return the names of GPUs for a sentence, each one once.

    >>> names([Gpu("Tesla T4", "", (7, 5)), Gpu("Tesla T4", "", (7, 5))])
    'Tesla T4'
    """
    return " and the ".join(dict.fromkeys(gpu.name for gpu in found))


def no_code_for(found):
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
    name = ctypes.create_string_buffer(_LENGTH)
    uuid = ctypes.create_string_buffer(_LENGTH)
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
