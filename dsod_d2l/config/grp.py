"""GRP-DSOD: DSOD with a feature pyramid and gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .checks import require, whole
from .dsod import DenseConfig


@dataclass(frozen=True, kw_only=True)
class GRPConfig(DenseConfig):
    """GRP-DSOD, in the authors' form or in one whose parts all work.

    The authors' code differs from its paper in two places. Its up-sampling
    is a frozen deconvolution whose kernel, meant to be bilinear, is
    [[1, 0], [0, 0]]: every channel is the same sum of all input channels,
    at every second cell, with zeros between. And its gates begin with
    weights of zero, which no gradient can ever move: a gate is a constant
    per channel, whatever the image. The defaults here do what the paper
    says; ``get(name, authors=True)`` does what the code does.

    first_reuse: channels of either of the two earlier maps in the first
        feature map: the stem before its pool, and the first block.
    pyramid: channels that come from the next coarser map, for each map but
        the last.
    gate_ratio: a gate's hidden layer is this much narrower than its map.
    up: "nearest" for a learned 1 x 1 convolution and the nearest cell;
        "frozen" for the authors' deconvolution.
    gate_init: "xavier", or the authors' "zero".

    Paper: GRP-DSOD, section 3 (arXiv:1712.00886).
    """

    family: ClassVar[str] = "grp_dsod"
    first_reuse: int = 128
    second: int = 171
    predictions: tuple[int, ...] = (86, 86, 86, 128)
    pyramid: tuple[int, ...] = (128, 171, 86, 86, 86)
    gate_ratio: int = 16
    up: str = "nearest"
    gate_init: str = "xavier"

    def __post_init__(self):
        object.__setattr__(self, "pyramid", tuple(self.pyramid))
        whole(self, 1, "first_reuse", "pyramid", "gate_ratio")
        for name, known in (("up", ("nearest", "frozen")),
                            ("gate_init", ("xavier", "zero"))):
            require(getattr(self, name) in known, f"{name} must be one of "
                    f"{', '.join(known)}, found {getattr(self, name)!r}")
        super().__post_init__()
        require(len(self.pyramid) == len(self.predictions) + 1,
                f"pyramid needs {len(self.predictions) + 1} widths, one for "
                f"each map but the last, found {self.pyramid}")
