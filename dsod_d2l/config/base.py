"""What all networks have: anchors, an input, classes, checked at birth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import inf
from numbers import Integral, Real
from typing import ClassVar, Literal, get_args, get_origin, get_type_hints


def require(good, message):
    """Raise a ValueError unless something holds."""
    if not good:
        raise ValueError(message)


def chosen(config):
    """Require that fields of a ``Literal`` type have one of its values."""
    for name, kind in get_type_hints(type(config)).items():
        value, known = getattr(config, name), get_args(kind)
        require(get_origin(kind) is not Literal or value in known, f"{name} "
                f"must be one of {', '.join(map(str, known))}, found "
                f"{value!r}")


def whole(config, least, *names):
    """Require fields that are whole numbers of at least ``least``."""
    for name in names:
        for value in _items(getattr(config, name)):
            require(isinstance(value, Integral) and value >= least,
                    f"{name} must be a whole number of at least {least}, "
                    f"found {value!r}")


def between(config, least, most, *names):
    """Require fields that are numbers from ``least`` to ``most``."""
    words = (f"of at least {least}" if most == inf
             else f"from {least} to {most}")
    for name in names:
        for value in _items(getattr(config, name)):
            require(isinstance(value, Real) and least <= value <= most
                    and abs(value) < inf,
                    f"{name} must be a number {words}, found {value!r}")


def positive(config, *names):
    """Require fields that are finite numbers above 0."""
    for name in names:
        for value in _items(getattr(config, name)):
            require(isinstance(value, Real) and 0 < value < inf,
                    f"{name} must be positive, found {value!r}")


def true_or_false(config, *names):
    """Require fields that are flags."""
    for name in names:
        require(isinstance(getattr(config, name), bool), f"{name} must be "
                f"True or False, found {getattr(config, name)!r}")


def make_tuples(config, *names):
    """Make tuples of fields that may be given, or come from a file, as lists.
    """
    for name in names:
        object.__setattr__(config, name, tuple(getattr(config, name)))


def _items(value):
    return value if isinstance(value, tuple) else (value,)


MOST_ANCHORS = 10_000_000    # 160 MB of boxes


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
        make_tuples(self, "sizes", "ratios")
        for name in ("sizes", "ratios"):
            require(getattr(self, name), f"{name} of an AnchorSpec needs at "
                    "least one number, found none")
        positive(self, "sizes", "ratios")
        if self.step is not None:
            positive(self, "step")

    @property
    def per_cell(self):
        """Number of anchors at each cell."""
        return len(self.sizes) + len(self.ratios) - 1


def scale_sizes(count, least=0.2, most=0.9, first=0.1):
    """Return one size per feature map, evenly spaced but for the first.

    Args:
        count: number of maps, at least 3.
        least, most: sizes of the second and the last map, in fractions of
            the image height.
        first: size of the first map.

    Returns:
        Tuple: first, then s_k = least + (most - least) (k - 1) / (m - 1)
        for k = 1 to m = count - 1.

    Paper: SSD, equation 4 (arXiv:1512.02325). The authors' code takes whole
    percents and whole pixels instead: 37 % where this gives 37.5 %.

    >>> [round(size, 3) for size in scale_sizes(6)]
    [0.1, 0.2, 0.375, 0.55, 0.725, 0.9]
    """
    step = (most - least) / (count - 2)
    return (first, *(least + step * k for k in range(count - 1)))


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


def _pairs(widths):
    """Return the widths of layers as pairs, in order of the names."""
    try:
        pairs = tuple(sorted(dict(widths).items()))
    except (TypeError, ValueError):
        raise ValueError("widths must be a dictionary of layers and numbers "
                         f"of filters, found {widths!r}") from None
    for layer, width in pairs:
        require(isinstance(layer, str) and isinstance(width, Integral)
                and width >= 1, "widths must give layers a whole number of "
                f"filters of at least 1, found {layer!r}: {width!r}")
    return pairs


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What all networks share; ``family`` says which class builds it.

    num_classes: foreground classes, without background.
    input_size: (height, width) in pixels.
    resize: how a picture is brought to that size: "stretch", or "letter-box"
        to fit it in undistorted and fill up the rest.
    anchors: one AnchorSpec per feature map, finest map first.
    mean, std: per channel (R, G, B), subtracted from and dividing the
        pixels 0 to 255.
    widths: {layer: number of its filters} where it differs from what the
        family has, as after pruning; kept as pairs, in order of the names.
    """

    family: ClassVar[str] = ""
    # Fields of those families that leave the choice: whether anchors end
    # where the image does, and how offsets are said (``targets``).
    clip_anchors: ClassVar[bool] = False
    codec: ClassVar[str] = "offsets"
    offset_means: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0, 0.0)
    name: str
    num_classes: int = 1
    input_size: tuple[int, int] = (256, 256)
    resize: Literal["stretch", "letter-box"] = "stretch"
    anchors: tuple[AnchorSpec, ...]
    variances: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    mean: tuple[float, ...] = (123.68, 116.78, 103.94)
    std: tuple[float, ...] = (58.4, 57.1, 57.4)
    widths: tuple[tuple[str, int], ...] = dataclasses.field(default=(),
                                                            repr=False)

    def __post_init__(self):
        for field in dataclasses.fields(self):      # JSON has lists only
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        size = self.input_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        object.__setattr__(self, "input_size", size)
        require(isinstance(self.name, str) and len(self.name) <= 100
                and self.name.isprintable(), "name must be a short text, "
                f"found {self.name!r:.80}")
        whole(self, 1, "num_classes", "input_size")
        chosen(self)
        make_tuples(self, "variances", "mean", "std")
        for field, length in (("variances", 4), ("mean", 3), ("std", 3)):
            require(len(getattr(self, field)) == length, f"{field} needs "
                    f"{length} numbers, found {getattr(self, field)}")
        between(self, 0, 255, "mean")
        positive(self, "variances", "std")
        object.__setattr__(self, "widths", _pairs(self.widths))
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
        require(self.anchor_count <= MOST_ANCHORS, f"{self.name} has "
                f"{self.anchor_count} anchors at {size[0]} x {size[1]} pixels"
                f", expected at most {MOST_ANCHORS}")

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
        return {"family": self.family, **dataclasses.asdict(self),
                "widths": dict(self.widths)}
