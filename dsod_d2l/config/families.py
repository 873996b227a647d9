"""The configuration of each family, and the way back from a dictionary."""

from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, ClassVar, Literal

from .base import (COUNTED, Bounds, Count, ModelConfig, Positive, Share,
                   require, require_fields)
from .classifiers import VGG16Config, make_backbone


def half(side: int) -> int:
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

    stem: Count = 64
    bottleneck: Count = 192
    growth: Count = 48
    compression: Share = 1.0
    layers: tuple[Count, ...] = (6, 8, 8, 8)
    second: Count = 256
    predictions: tuple[Count, ...] = (256, 128, 128, 128)
    l2_scale: Positive | None = 20.0
    head_norm: bool = True

    def check(self) -> None:
        """See ``Checked``."""
        require(len(self.layers) >= 3, "layers needs at least three blocks, "
                f"found {self.layers}")
        require(sum(self.layers) <= 1000, "layers may have 1000 dense layers "
                f"in all, found {self.layers}")
        require(self.compression * min(self.block_widths()) >= 1,
                f"compression {self.compression} leaves no channel of a "
                "block")

    @property
    def stem_width(self) -> int:
        """Channels of the stem's output."""
        return 2 * self.stem

    def kept(self, width: int) -> int:
        """Return how many of ``width`` channels a transition keeps."""
        return int(width * self.compression)

    def block_widths(self) -> list[int]:
        """Return the channels after each dense block."""
        widths, width = [], self.stem_width
        for count in self.layers:
            widths.append(width + count * self.growth)
            width = self.kept(widths[-1])
        return widths

    def sides(self, side: int) -> list[int]:
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
    stem_style: Literal["block", "plain"] = "block"
    prediction: Literal["dense", "plain"] = "dense"

    @property
    def stem_width(self) -> int:
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
    prediction: ClassVar[str] = "dense"
    stem: Count = 32
    bottleneck: Count = 48
    l2_scale: Positive | None = None
    head_norm: bool = False


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
    first_reuse: Count = 128
    second: Count = 171
    predictions: tuple[Count, ...] = (86, 86, 86, 128)
    pyramid: tuple[Count, ...] = (128, 171, 86, 86, 86)
    gate_ratio: Count = 16
    up: Literal["nearest", "frozen"] = "nearest"
    gate_init: Literal["xavier", "zero"] = "xavier"

    def __post_init__(self):
        super().__post_init__()
        require(len(self.pyramid) == len(self.predictions) + 1,
                f"pyramid needs {len(self.predictions) + 1} widths, one for "
                f"each map but the last, found {self.pyramid}")


# name: kernel, stride and padding of the second convolution, and the side
# it makes of a side.
EXTRA_FORMS = {"half": ((3, 2, 1), half),
               "valid": ((3, 1, 0), lambda side: side - 2),
               "even": ((4, 1, 1), lambda side: side - 1)}


@dataclass(frozen=True, kw_only=True)
class SSDConfig(ModelConfig):
    """SSD on any backbone.

    backbone: a ``BackboneConfig``, or the name of one.
    extras: for each further map the channels of a 1 x 1 convolution, those
        of the one behind it, and its form: "half" for 3 x 3 at every second
        cell, "valid" for 3 x 3 without padding, "even" for 4 x 4, which
        makes one cell of 2 x 2.
    extra_norm: True for batch normalisation in the extra layers, but not
        behind the last convolution, whose map may have one cell.
    l2_scale: initial scale of the first map's normalisation, or None.
    head: kind of the predictors, a key of ``models.ssd.PREDICTORS``.
    clip_anchors: True for anchors that end where the image does.
    codec: how a box is said relative to its anchor, a key of
        ``targets.CODECS``; ``variances`` are its deviations.
    offset_means: its means of dx, dy, dw, dh.

    Paper: SSD, section 2.1 and figure 2 (arXiv:1512.02325).
    """

    family: ClassVar[str] = "ssd"
    backbone: Any = VGG16Config()
    extras: tuple = ((256, 512, "half"), (128, 256, "half"),
                     (128, 256, "valid"), (128, 256, "valid"))
    extra_norm: bool = False
    l2_scale: Positive | None = 20.0
    head: str = "plain"
    clip_anchors: bool = False
    codec: str = "offsets"
    offset_means: tuple[Annotated[float, Bounds("a number", -inf)], ...] = (
        0.0, 0.0, 0.0, 0.0)

    def check(self) -> None:
        """See ``Checked``; a backbone's name becomes its configuration."""
        object.__setattr__(self, "backbone", make_backbone(self.backbone))
        for row in self.extras:
            require(len(row) == 3 and row[2] in EXTRA_FORMS, "a row of "
                    "extras needs two widths and one of "
                    f"{', '.join(EXTRA_FORMS)}, found {row}")
            COUNTED.check("extras", row[:2])
        require(len(self.offset_means) == 4, "offset_means needs 4 numbers, "
                f"found {self.offset_means}")

    @property
    def least_side(self) -> int:
        """Smallest side at which every coarser map is smaller."""
        same = [one == two for one, two in zip(self.backbone.halvings,
                                               self.backbone.halvings[1:])]
        same += [False] * len(self.extras)

        def falls(sides):
            return sides[-1] > 0 and all(
                big > small or equal for big, small, equal
                in zip(sides, sides[1:], same))
        return next(side for side in range(1, 2 ** 16)
                    if falls(self.sides(side)))

    def sides(self, side: int) -> list[int]:
        """See ``ModelConfig.sides``; every halving rounds up."""
        sides = [-(-side // 2 ** count) for count in self.backbone.halvings]
        for *_, form in self.extras:
            sides.append(EXTRA_FORMS[form][1](sides[-1]))
        return sides


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
    transfer: Count | None = 256
    transfer_norm: bool = False
    top_relu: bool = False
    source_scales: tuple[Positive, ...] = ()
    easy: Annotated[float, Bounds("a number from 0.5 to below 1, or None",
                                  0.5, 1, 1)] | None = 0.99

    def __post_init__(self):
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
    backbone: Any = VGG16Config(conv5=True, pool5=2)
    extras: tuple = ((256, 512, "half"),)
    l2_scale: Positive | None = None
    source_scales: tuple[Positive, ...] = (10.0, 8.0)


@dataclass(frozen=True, kw_only=True)
class ToySSDConfig(ModelConfig):
    """The small SSD of chapter 3: plain halving units and five maps."""

    family: ClassVar[str] = "toy_ssd"
    body: tuple[Count, ...] = (16, 32, 64)
    extra: Count = 128

    def check(self) -> None:
        """See ``Checked``."""
        require(len(self.body), "body needs at least one width, found none")

    @property
    def least_side(self) -> int:
        """Side at which the last halving still has two cells to pool."""
        return 2 ** (len(self.body) + len(self.anchors) - 1)

    def sides(self, side: int) -> list[int]:
        """See ``ModelConfig.sides``; pools round down here."""
        halved = [side // 2 ** (len(self.body) + k)
                  for k in range(len(self.anchors) - 1)]
        return [*halved, 1]


FAMILIES: dict[str, type[ModelConfig]] = {
    cls.family: cls for cls in
    (ToySSDConfig, DSODConfig, GluonDSODConfig, GRPConfig, SSDConfig,
     RefineDSODConfig, RefineSSDConfig)}

# What a file may ask for; a network beyond these would fill the memory.
MOST_NUMBER, MOST_ITEMS, MOST_FIELDS = 1 << 16, 100, 10_000


def from_dict(values: dict[str, Any]) -> ModelConfig:
    """Build the configuration that ``ModelConfig.to_dict`` wrote.

    Raises:
        ValueError: the family or a field is not known, or not of its kind.
    """
    try:
        _limit(values, "the configuration")
        return _built(dict(values))
    except (TypeError, AttributeError, OverflowError, StopIteration,
            RecursionError) as error:
        raise ValueError("the configuration holds something of another kind "
                         f"than it should ({error})") from error


def _limit(value, name):
    """Raise if a value that a file states is beyond all networks."""
    if isinstance(value, dict):
        require(len(value) <= MOST_FIELDS, f"{name} has {len(value)} fields, "
                f"expected at most {MOST_FIELDS}")
        for key, part in value.items():
            _limit(part, str(key)[:40])
    elif isinstance(value, (list, tuple)):
        require(len(value) <= MOST_ITEMS, f"{name} has {len(value)} items, "
                f"expected at most {MOST_ITEMS}")
        for part in value:
            _limit(part, name)
    elif isinstance(value, int):
        require(abs(value) <= MOST_NUMBER, f"{name} must be at most "
                f"{MOST_NUMBER}, found a number of {value.bit_length()} bits")


def _built(values):
    """Return the configuration of a dictionary that is not too large."""
    family = values.pop("family", None)
    require(family in FAMILIES, f"family {family!r} is not known, expected "
            f"one of {', '.join(FAMILIES)}")
    require_fields(FAMILIES[family], values, family)
    return FAMILIES[family](**values)
