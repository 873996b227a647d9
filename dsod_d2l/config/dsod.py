"""The DSOD family: one configurable network, and its Gluon reproduction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import ModelConfig
from .checks import between, positive, require, whole


def half(side):
    """Return the side after a pooling of 2 in ceil mode."""
    return -(-side // 2)


@dataclass(frozen=True, kw_only=True)
class DenseConfig(ModelConfig):
    """What all networks of dense blocks share, DS/A-B-k-theta.

    stem: A, channels of the first convolution; the stem block ends in 2A.
    bottleneck: B, channels of each 1 x 1 convolution.
    growth: k, channels each dense layer adds.
    compression: theta, channels a transition keeps.
    layers: dense layers in each block; the blocks after the second work at
        the scale of the second feature map.
    second: channels of either half of the second feature map.
    predictions: channels of either half of each further map.
    l2_scale: initial scale of the normalised maps; None: not normalised.
    head_norm: True for heads without bias and with batch normalisation.

    Paper: DSOD, sections 3.1 and 4.1 (arXiv:1708.01241).
    """

    stem: int = 64
    bottleneck: int = 192
    growth: int = 48
    compression: float = 1.0
    layers: tuple[int, ...] = (6, 8, 8, 8)
    second: int = 256
    predictions: tuple[int, ...] = (256, 128, 128, 128)
    l2_scale: float | None = 20.0
    head_norm: bool = True

    def __post_init__(self):
        for field in ("layers", "predictions"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        require(len(self.layers) >= 3 and min(self.layers) >= 1,
                "layers needs at least three blocks of at least one layer, "
                f"found {self.layers}")
        require(sum(self.layers) <= 1000, "layers may have 1000 dense layers "
                f"in all, found {self.layers}")
        whole(self, 1, "stem", "bottleneck", "growth", "layers", "second",
              "predictions")
        if self.l2_scale is not None:
            positive(self, "l2_scale")
        require(isinstance(self.head_norm, bool), "head_norm must be True or "
                f"False, found {self.head_norm!r}")
        between(self, 0, 1, "compression")
        require(self.compression * min(self.block_widths()) >= 1,
                f"compression {self.compression} leaves no channel of a "
                "block")
        super().__post_init__()

    @property
    def stem_width(self):
        """Channels of the stem's output."""
        return 2 * self.stem

    def kept(self, width):
        """Return how many of ``width`` channels a transition keeps."""
        return int(width * self.compression)

    def block_widths(self):
        """Return the channels after each dense block."""
        widths, width = [], self.stem_width
        for count in self.layers:
            widths.append(width + count * self.growth)
            width = self.kept(widths[-1])
        return widths

    def sides(self, side):
        """See ``ModelConfig.sides``; pools round up, as in Caffe."""
        first = half(half(half(side)))       # stem convolution, two pools
        sides = [first, half(first)]
        for _ in self.predictions:
            sides.append(half(sides[-1]))
        return sides


@dataclass(frozen=True, kw_only=True)
class DSODConfig(DenseConfig):
    """DSOD, and the networks it was measured against in its ablation.

    stem_style: "block" for three 3 x 3 convolutions; "plain" for one 7 x 7
        of A channels and a 3 x 3 pool, as in DenseNet and ResNet.
    prediction: "dense" for maps that are half reused and half learned;
        "plain" for maps learned from the one before alone, as in SSD. They
        are equally wide.

    Paper: DSOD, sections 3.2 and 4.1 (arXiv:1708.01241).
    """

    family: ClassVar[str] = "dsod"
    stem_style: str = "block"
    prediction: str = "dense"

    def __post_init__(self):
        for name, known in (("stem_style", ("block", "plain")),
                            ("prediction", ("dense", "plain"))):
            require(getattr(self, name) in known, f"{name} must be one of "
                    f"{', '.join(known)}, found {getattr(self, name)!r}")
        super().__post_init__()

    @property
    def stem_width(self):
        """See ``DenseConfig.stem_width``."""
        return self.stem * (2 if self.stem_style == "block" else 1)


@dataclass(frozen=True, kw_only=True)
class GluonDSODConfig(DenseConfig):
    """The Gluon reproduction of DSOD, with its own liberties.

    Its stem ends in two 1 x 1 convolutions, its bottleneck is as narrow as
    its growth, every convolution has a bias, the first map is taken before
    the transition, and maps and heads are not normalised.
    """

    family: ClassVar[str] = "dsod_gluon"
    stem: int = 32
    bottleneck: int = 48
    l2_scale: float | None = None
    head_norm: bool = False
