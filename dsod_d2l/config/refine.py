"""RefineDet: what refines anchors, on any family that has maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .backbones import VGG16Config
from .checks import between, positive, require, whole
from .dsod import DSODConfig
from .ssd import SSDConfig


@dataclass(frozen=True, kw_only=True)
class Refined:
    """What makes a network of one step one of two, whatever its backbone.

    refine: False for a network of one step: no anchor is refined.
    transfer: channels of the maps to detect on; None: these are the maps
        that anchors are refined on.
    transfer_norm: True for batch normalisation in the transfer connection.
    top_relu: True for the ReLUs of the authors' code in the coarsest map's
        transfer, which others left out.
    source_scales: initial scale of the normalisation of each of the first
        maps that anchors are refined on; (): as the family has it.
    easy: probability of background, by the first step, above which an
        anchor is left out; None: none is.

    Paper: RefineDet, section 3 and table 3 (arXiv:1711.06897).
    """

    refine: bool = True
    transfer: int | None = 256
    transfer_norm: bool = False
    top_relu: bool = False
    source_scales: tuple[float, ...] = ()
    easy: float | None = 0.99

    def __post_init__(self):
        object.__setattr__(self, "source_scales", tuple(self.source_scales))
        positive(self, "source_scales")
        for name in ("refine", "transfer_norm", "top_relu"):
            require(isinstance(getattr(self, name), bool), f"{name} must be "
                    f"True or False, found {getattr(self, name)!r}")
        if self.transfer is not None:
            whole(self, 1, "transfer")
        if self.easy is not None:
            between(self, 0.5, 1, "easy")
            require(self.easy < 1, "easy must be below 1, or None, found "
                    f"{self.easy}")
        super().__post_init__()
        require(len(self.source_scales) <= len(self.anchors), "source_scales "
                f"has {len(self.source_scales)} numbers for "
                f"{len(self.anchors)} feature maps")
        shapes = self.map_shapes() if self.transfer else []
        for fine, coarse in zip(shapes, shapes[1:]):
            require(all(one <= 2 * other for one, other in zip(fine, coarse)),
                    "a transfer doubles each map, but "
                    f"{' x '.join(map(str, coarse))} cells do not cover "
                    f"{' x '.join(map(str, fine))}")


@dataclass(frozen=True, kw_only=True)
class RefineDSODConfig(Refined, DSODConfig):
    """DSOD whose anchors are refined."""

    family: ClassVar[str] = "refinedet_dsod"


@dataclass(frozen=True, kw_only=True)
class RefineSSDConfig(Refined, SSDConfig):
    """RefineDet: SSD's backbone, one extra map, and anchors refined.

    Others put fc6 on every sixth cell and left out two ReLUs, which the
    defaults follow; ``get(name, authors=True)`` does as the authors do.
    """

    family: ClassVar[str] = "refinedet"
    backbone: object = VGG16Config(conv5=True, pool5=2)
    extras: tuple = ((256, 512, "half"),)
    l2_scale: float | None = None
    source_scales: tuple[float, ...] = (10.0, 8.0)
