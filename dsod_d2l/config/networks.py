"""What describes a network: its anchors, widths and input, checked at birth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from .checks import between, positive, require, whole


def _half(side):
    """Return the side after a pooling of 2 in ceil mode."""
    return -(-side // 2)


@dataclass(frozen=True)
class AnchorSpec:
    """The anchors of one feature map.

    sizes: in fractions of the image height; the first is combined with
        every ratio, the others with the first ratio only.
    ratios: width / height.
    step: distance between centres in fractions of the image height; None
        where it is the image divided by the map.
    """

    sizes: tuple[float, ...]
    ratios: tuple[float, ...] = (1.0, 2.0, 0.5)
    step: float | None = None

    def __post_init__(self):
        for name in ("sizes", "ratios"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            require(getattr(self, name), f"{name} of an AnchorSpec needs at "
                    "least one number, found none")
        positive(self, "sizes", "ratios")
        if self.step is not None:
            positive(self, "step")

    @property
    def per_cell(self):
        """Number of anchors at each cell."""
        return len(self.sizes) + len(self.ratios) - 1


def paired_sizes(sizes, last):
    """Pair every size with the geometric mean of itself and the next one.

    Args:
        sizes: one size per feature map.
        last: the size that would follow the last one.

    Returns:
        Tuple of (s_k, sqrt(s_k * s_(k+1))).

    Paper: SSD, section 2.2 (arXiv:1512.02325).
    """
    following = (*sizes[1:], last)
    return tuple((s, (s * t) ** 0.5) for s, t in zip(sizes, following))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What all networks share; ``family`` says which class builds it.

    num_classes: foreground classes, without background.
    input_size: (height, width) in pixels.
    anchors: one AnchorSpec per feature map, finest map first.
    mean, std: per channel (R, G, B), subtracted from and dividing the
        pixels 0 to 255.
    """

    family: ClassVar[str] = ""
    name: str
    num_classes: int = 1
    input_size: tuple[int, int] = (256, 256)
    anchors: tuple[AnchorSpec, ...]
    variances: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    mean: tuple[float, ...] = (123.68, 116.78, 103.94)
    std: tuple[float, ...] = (58.4, 57.1, 57.4)

    def __post_init__(self):
        size = self.input_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        object.__setattr__(self, "input_size", size)
        whole(self, 1, "num_classes", "input_size")
        for field, length in (("variances", 4), ("mean", 3), ("std", 3)):
            object.__setattr__(self, field, tuple(getattr(self, field)))
            require(len(getattr(self, field)) == length, f"{field} needs "
                    f"{length} numbers, found {getattr(self, field)}")
        between(self, 0, 255, "mean")
        positive(self, "variances", "std")
        rows = tuple(row if isinstance(row, AnchorSpec) else AnchorSpec(**row)
                     for row in self.anchors)
        object.__setattr__(self, "anchors", rows)
        require(len(size) == 2 and min(size) >= self.least_side,
                 f"{self.name} needs an input of at least {self.least_side} "
                 f"pixels on each side for its {len(rows)} feature maps, "
                 f"found {' x '.join(map(str, size))}")
        require(len(rows) == len(self.map_shapes()), f"{self.name} has "
                 f"{len(self.map_shapes())} feature maps, found {len(rows)} "
                 "AnchorSpec rows")

    @property
    def least_side(self):
        """Smallest side at which every map is smaller than the one before."""
        return 2 ** (len(self.anchors) + 1) + 1

    def sides(self, side):
        """Return the length of one image side on every feature map."""
        raise TypeError(f"{type(self).__name__} has no feature maps")

    def map_shapes(self):
        """Return (rows, columns) of every feature map, finest first."""
        return list(zip(*(self.sides(side) for side in self.input_size)))

    @property
    def anchor_count(self):
        """Number of anchors N of one image."""
        return sum(rows * columns * spec.per_cell for (rows, columns), spec
                   in zip(self.map_shapes(), self.anchors))

    def to_dict(self):
        """Return a JSON-ready dictionary; ``from_dict`` reads it back."""
        return {"family": self.family, **dataclasses.asdict(self)}


@dataclass(frozen=True, kw_only=True)
class ToySSDConfig(ModelConfig):
    """The small SSD of chapter 3: plain halving units and five maps."""

    family: ClassVar[str] = "toy_ssd"
    body: tuple[int, ...] = (16, 32, 64)
    extra: int = 128

    def __post_init__(self):
        object.__setattr__(self, "body", tuple(self.body))
        require(self.body, "body needs at least one width, found none")
        whole(self, 1, "body", "extra")
        super().__post_init__()

    @property
    def least_side(self):
        """Side at which the last halving still has two cells to pool."""
        return 2 ** (len(self.body) + len(self.anchors) - 1)

    def sides(self, side):
        """See ``ModelConfig.sides``; pools round down here."""
        halved = [side // 2 ** (len(self.body) + k)
                  for k in range(len(self.anchors) - 1)]
        return [*halved, 1]


@dataclass(frozen=True, kw_only=True)
class DSODConfig(ModelConfig):
    """DSOD, DS/A-B-k-theta in the paper's notation (arXiv:1708.01241).

    stem: A, channels of the first convolution; the stem ends in 2A.
    bottleneck: B, channels of each 1 x 1 convolution.
    growth: k, channels each dense layer adds.
    compression: theta, channels a transition keeps.
    layers: dense layers in each block; the blocks after the second work at
        the scale of the second feature map.
    second: channels of either half of the second feature map.
    predictions: channels of either half of each further map.
    l2_scale: initial scale of the normalised maps; None: not normalised.
    head_norm: True for heads without bias and with batch normalisation.
    """

    family: ClassVar[str] = "dsod"
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
        whole(self, 1, "stem", "bottleneck", "growth", "layers", "second",
              "predictions")
        if self.l2_scale is not None:
            positive(self, "l2_scale")
        require(isinstance(self.head_norm, bool), "head_norm must be True or "
                f"False, found {self.head_norm!r}")
        require(0 < self.compression <= 1, "compression must lie above 0 "
                 f"and not above 1, found {self.compression}")
        super().__post_init__()

    def sides(self, side):
        """See ``ModelConfig.sides``; pools round up, as in Caffe."""
        first = _half(_half(_half(side)))       # stem convolution, two pools
        sides = [first, _half(first)]
        for _ in self.predictions:
            sides.append(_half(sides[-1]))
        return sides


@dataclass(frozen=True, kw_only=True)
class GluonDSODConfig(DSODConfig):
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


FAMILIES = {cls.family: cls for cls in
            (ToySSDConfig, DSODConfig, GluonDSODConfig)}


def from_dict(values):
    """Build the configuration that ``ModelConfig.to_dict`` wrote.

    Raises:
        ValueError: the family or a field is not known.
    """
    values = dict(values)
    family = values.pop("family", None)
    require(family in FAMILIES, f"family {family!r} is not known, expected "
            f"one of {', '.join(FAMILIES)}")
    cls = FAMILIES[family]
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    require(not unknown, f"{family} has no field {', '.join(unknown)}")
    return cls(**values)
