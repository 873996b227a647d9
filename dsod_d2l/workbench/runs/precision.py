"""Numbers in training: half the bits, scaled losses, averaged weights."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import gluon
from mxnet.contrib import amp

from ...config.base import require

PLACES = {"bfloat16": "cpu", "float16": "gpu"}
CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
FIRST_SCALE, MOST_SCALE, SCALE_PATIENCE = 2**16, 2**24, 2000


def check_precision(kind: str, ctx: mx.Context) -> None:
    """Refuse a type that MXNet does not compute with on a device.

    Args:
        kind: of ``TrainConfig.precision``.
        ctx: an MXNet context.

    Raises:
        ValueError: bfloat16 on a GPU or on a CPU without it, or float16 on
            a CPU.
    """
    place = PLACES.get(kind, ctx.device_type)
    other = next(name for name, its in PLACES.items() if its != place)
    require(ctx.device_type == place, f"precision {kind} is for a "
            f"{place.upper()}, and this run is on {ctx}: {other} is for it")
    require(kind != "bfloat16" or has_bfloat16(), "this processor does not "
            "compute with bfloat16: take precision float32")


def has_bfloat16(path: str | Path = "/proc/cpuinfo") -> bool:
    """Return whether the processor says that it has bfloat16."""
    with contextlib.suppress(OSError):
        words = Path(path).read_text(encoding="utf-8").split()
        return not CPU_FLAGS.isdisjoint(words)
    return False


def lowered(net, kind: str) -> gluon.Block:
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
    found = gluon.SymbolBlock(
        [mx.sym.amp_cast(output, dtype="float32") for output in whole],
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

    def __init__(self, kind: str):
        self.active = kind == "float16"
        self.value, self._good = FIRST_SCALE if self.active else 1, 0

    def overflowed(self, norm: float) -> bool:
        """Note the norm of a step's gradient; say if the step is left out."""
        if self.active and np.isfinite(norm):
            self._good += 1
            if self._good == SCALE_PATIENCE:
                self.value, self._good = min(2 * self.value, MOST_SCALE), 0
        elif self.active and self.value > 1:    # 1 is not to blame
            self.value, self._good = self.value // 2, 0
            return True
        return False

    def state(self) -> list[int]:
        """Return what a checkpoint has to hold, JSON-ready."""
        return [self.value, self._good]

    def restore(self, state, source) -> None:
        """Go on from a checkpoint's state; the source is for messages.

        Raises:
            ValueError: it is none.
        """
        require(isinstance(state, list) and [*map(type, state)] == [int, int]
                and 1 <= state[0] <= MOST_SCALE
                and 0 <= state[1] < SCALE_PATIENCE,
                f"{source}: the scale of the loss must be a factor and a "
                f"number of steps, found {repr(state):.60}")
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

    def __init__(self, net, decay: float):
        self.decay = decay
        self.parameters = net._collect_params_with_prefix()
        self.arrays = self._copies()

    @staticmethod
    def decay_at(decay: float, step: int) -> float:
        """Return the decay after that many steps."""
        return min(decay, (1 + step) / (10 + step))

    def update(self, step: int) -> None:
        """Take in the weights as they are after ``step`` steps."""
        decay = self.decay_at(self.decay, step)
        for name, array in self.arrays.items():
            array *= decay
            array += (1 - decay) * self.parameters[name].list_data()[0]

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the network, and the weights back after."""
        own = self._copies()
        self.keep()
        try:
            yield
        finally:
            self.keep(own)

    def keep(self, arrays: dict | None = None) -> None:
        """Leave the average in the network, or other arrays."""
        for name, array in (arrays or self.arrays).items():
            for data in self.parameters[name].list_data():
                data[:] = array

    def state(self) -> dict[str, np.ndarray]:
        """Return what a checkpoint needs: name -> NumPy array."""
        return {PREFIX + name: array.asnumpy()
                for name, array in self.arrays.items()}

    def restore(self, tensors: dict, source: str = "the checkpoint") -> None:
        """Take the average from the tensors of a checkpoint.

        Raises:
            ValueError: one is missing, or of another shape or kind.
        """
        for name, array in self.arrays.items():
            value = tensors.get(PREFIX + name)
            require(value is not None and value.shape == array.shape
                    and value.dtype.kind == "f", f"{source} holds no average "
                    f"of the weights {name} that fits this run")
            array[:] = mx.nd.array(value, ctx=array.context)

    def _copies(self):
        return {name: parameter.list_data()[0].copy()
                for name, parameter in self.parameters.items()}
