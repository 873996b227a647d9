"""Numbers in training: half the bits, scaled losses, averaged weights."""

from __future__ import annotations

import contextlib
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet.contrib import amp
from mxnet.gluon import SymbolBlock

PLACES = {"bfloat16": "cpu", "float16": "gpu"}
CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
FIRST_SCALE, MOST_SCALE, SCALE_PATIENCE = 2**16, 2**24, 2000


def check_precision(kind, ctx):
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
        self.value, self._good = FIRST_SCALE if self.active else 1, 0

    def overflowed(self, norm):
        """Note the norm of a step's gradient; say if the step is left out."""
        if not self.active:
            return False
        if np.isfinite(norm):
            self._good += 1
            if self._good == SCALE_PATIENCE:
                self.value, self._good = min(2 * self.value, MOST_SCALE), 0
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
                and 1 <= state[0] <= MOST_SCALE
                and 0 <= state[1] < SCALE_PATIENCE):
            raise ValueError(f"{source}: the scale of the loss must be a "
                             f"factor and a number of steps, found "
                             f"{repr(state):.60}")
        self.value, self._good = state


PREFIX = "average/"


class Average:
    """Exponential moving average of all numbers of a network.

    Running statistics of batch normalisation are averaged as well, so that
    they belong to the averaged weights. The first steps weigh more than the
    decay says, or the average would long remember random weights: after step
    t the decay is (1 + t) / (10 + t) at most.

    Args:
        net: an initialised network.
        decay: of the average, from 0 to below 1.

    >>> Average.decay_at(0.99, 0), Average.decay_at(0.99, 9999)
    (0.1, 0.99)
    """

    def __init__(self, net, decay):
        self.decay = decay
        self.parameters = net._collect_params_with_prefix()
        self.arrays = self._copies()

    @staticmethod
    def decay_at(decay, step):
        """Return the decay after that many steps."""
        return min(decay, (1 + step) / (10 + step))

    def update(self, step):
        """Take in the weights as they are after ``step`` steps."""
        decay = self.decay_at(self.decay, step)
        for name, array in self.arrays.items():
            array *= decay
            array += (1 - decay) * self._data(self.parameters[name])

    @contextlib.contextmanager
    def in_place(self):
        """Put the average into the network, and the weights back after."""
        own = self._copies()
        self.keep()
        try:
            yield
        finally:
            self.keep(own)

    def keep(self, arrays=None):
        """Leave the average in the network, or other arrays."""
        for name, array in (arrays or self.arrays).items():
            for data in self.parameters[name].list_data():
                data[:] = array

    def state(self):
        """Return what a checkpoint needs: name -> NumPy array."""
        return {PREFIX + name: array.asnumpy()
                for name, array in self.arrays.items()}

    def restore(self, tensors, source="the checkpoint"):
        """Take the average from the tensors of a checkpoint.

        Raises:
            ValueError: one is missing, or of another shape or kind.
        """
        for name, array in self.arrays.items():
            value = tensors.get(PREFIX + name)
            if (value is None or value.shape != array.shape
                    or value.dtype.kind != "f"):
                raise ValueError(f"{source} holds no average of the weights "
                                 f"{name} that fits this run")
            array[:] = mx.nd.array(value, ctx=array.context)

    def _copies(self):
        return {name: self._data(parameter).copy()
                for name, parameter in self.parameters.items()}

    @staticmethod
    def _data(parameter):
        return parameter.data(parameter.list_ctx()[0])
