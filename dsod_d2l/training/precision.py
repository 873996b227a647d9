"""Convolutions in half the bits: other types in the graph, scaled losses.

The weights, their gradients and the optimiser's state stay float32, and so
does the network itself: what is lowered is the graph that a run trains with.
"""

from __future__ import annotations

from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet.contrib import amp
from mxnet.gluon import SymbolBlock

PLACES = {"bfloat16": "cpu", "float16": "gpu"}
CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
FIRST, MOST, PATIENCE = 2**16, 2**24, 2000


def check(kind, ctx):
    """Refuse a type that MXNet does not compute with on a device.

    Args:
        kind: of ``TrainConfig.precision``.
        ctx: an MXNet context.

    Raises:
        ValueError: bfloat16 on a GPU or on a CPU without it, or float16 on
            a CPU.
    """
    place = PLACES.get(kind, ctx.device_type)
    if ctx.device_type != place:
        other = next(name for name, its in PLACES.items() if its != place)
        raise ValueError(f"precision {kind} is for a {place.upper()}, and "
                         f"this run is on {ctx}: {other} is for it")
    if kind == "bfloat16" and not has_bfloat16():
        raise ValueError("this processor does not compute with bfloat16: "
                         "take precision float32")


def has_bfloat16(path="/proc/cpuinfo"):
    """Return whether the processor says that it has bfloat16."""
    try:
        words = set(Path(path).read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(CPU_FLAGS & words)


def lowered(net, kind):
    """Return a network whose convolutions have another type.

    Args:
        net: a ``models.Network`` whose shapes are known.
        kind: "float32", which changes nothing, "bfloat16" or "float16".

    Returns:
        The same, or a HybridBlock with the parameters of ``net``. It takes
        and returns float32, so losses and targets are what they always are.

    Raises:
        ValueError: MXNet cannot convert it.
    """
    if kind == "float32":
        return net
    pixels = mx.sym.var("pixels", dtype="float32")
    try:
        whole = amp.convert_symbol(mx.sym.Group(list(net(pixels))),
                                   target_dtype=kind)
    except mx.MXNetError as error:
        raise ValueError(
            f"MXNet cannot convert {net.config.name} to {kind}, as it can "
            "no network with up-sampling: take precision float32") from error
    found = SymbolBlock([mx.sym.amp_cast(output, dtype="float32")
                         for output in whole],
                        pixels, params=net.collect_params())
    found.config, found.steps = net.config, net.steps
    found.step_targets = net.step_targets
    return found


class LossScale:
    """What a loss is multiplied by, so that small gradients are not lost.

    Float16 has no number below 6e-8. The factor is a power of two, which
    changes no digit of what can be represented. Where a gradient is too large
    it is halved, and the step is left out; after many steps it is doubled.

    Args:
        kind: of ``TrainConfig.precision``; the factor is 1 unless "float16".

    Attributes: ``value``, the factor.

    Paper: section 3.2 of arXiv:1710.03740.
    """

    def __init__(self, kind):
        self.active = kind == "float16"
        self.value, self._good = FIRST if self.active else 1, 0

    def overflowed(self, norm):
        """Note the norm of a step's gradient; say if the step is left out."""
        if not self.active:
            return False
        if np.isfinite(norm):
            self._good += 1
            if self._good == PATIENCE:
                self.value, self._good = min(2 * self.value, MOST), 0
            return False
        if self.value == 1:
            return False                 # no factor is to blame
        self.value, self._good = self.value // 2, 0
        return True

    def state(self):
        """Return what a checkpoint has to hold, JSON-ready."""
        return [self.value, self._good]

    def restore(self, state, source):
        """Go on from a checkpoint's state; the source is for messages.

        Raises:
            ValueError: it is none.
        """
        if not (isinstance(state, list) and len(state) == 2
                and all(type(one) is int for one in state)
                and 1 <= state[0] <= MOST and 0 <= state[1] < PATIENCE):
            raise ValueError(f"{source}: the scale of the loss must be a "
                             f"factor and a number of steps, found "
                             f"{repr(state):.60}")
        self.value, self._good = state
