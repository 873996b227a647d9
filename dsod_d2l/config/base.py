"""What all networks have: anchors, an input, classes, checked at birth."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from numbers import Integral, Real
from typing import (Annotated, Any, ClassVar, Literal, get_args, get_origin,
                    get_type_hints)


@cache
def _kinds(cls):
    """Return {field: what it may be} of a class."""
    return get_type_hints(cls, include_extras=True)


def require(good: object, message: str) -> None:
    """Raise a ValueError unless something holds."""
    if not good:
        raise ValueError(message)


def one_of(name: str, value: object, known: Collection[str]) -> None:
    """Require that a value is one of those that are known."""
    require(value in known, f"{name} must be one of "
            f"{', '.join(map(str, known))}, found {value!r}")


def require_fields(cls: type[Checked], names: Iterable[str],
                   title: str) -> None:
    """Require that a configuration's class has fields of these names."""
    known = [field.name for field in dataclasses.fields(cls)]
    unknown = sorted(set(names) - set(known))
    near = [found for name in unknown
            for found in difflib.get_close_matches(name, known, 1)]
    require(not unknown, f"{title} has no field {', '.join(unknown)}" + (
        f"; did you mean {', '.join(near)}?" if near else ""))


@dataclass(frozen=True)
class Bounds:
    """Which numbers a field may hold, one or a tuple of them.

    words: the same, for messages.
    least, most: the ends of their range, both in it.
    without: a number in the range that is none of them.
    kind: class of the numbers.
    """

    words: str
    least: float
    most: float = inf
    without: float | None = None
    kind: Any = Real

    def check(self, name: str, value: Any) -> None:
        """Raise a ValueError unless a value holds only such numbers."""
        for one in value if isinstance(value, tuple) else (value,):
            require(isinstance(one, self.kind) and abs(one) < inf
                    and self.least <= one <= self.most
                    and one != self.without,
                    f"{name} must be {self.words}, found {one!r}")


COUNTED = Bounds("a whole number of at least 1", 1, kind=Integral)
ABOVE_0 = Bounds("positive", 0, without=0)
FROM_0 = Bounds("a number of at least 0", 0)
FROM_0_TO_1 = Bounds("a number from 0 to 1", 0, 1)
Count = Annotated[int, COUNTED]
Whole = Annotated[int, Bounds("a whole number of at least 0", 0,
                              kind=Integral)]
Positive = Annotated[float, ABOVE_0]
NotNegative = Annotated[float, FROM_0]
Share = Annotated[float, FROM_0_TO_1]
BelowOne = Annotated[float, Bounds("a number from 0 to below 1", 0, 1, 1)]


def _bounds(kind):
    """Return the ``Bounds`` within an annotation, or None."""
    return kind if isinstance(kind, Bounds) else next(
        filter(None, map(_bounds, get_args(kind))), None)


def _tuples(item):
    """Make tuples of what is given, or comes from a file, as lists."""
    if isinstance(item, (str, bytes, dict)) or not isinstance(item, Iterable):
        return item
    return tuple(map(_tuples, item))


@dataclass(frozen=True)
class Checked:
    """Numbers that belong together, checked at birth.

    Lists become tuples. Fields of type ``bool`` must be flags, those of a
    ``Literal`` type one of its values, and those whose type states ``Bounds``
    numbers within them, or None where that is a choice; what else must hold,
    ``check`` knows.
    """

    def __new__(cls, *_: Any, **given: Any) -> Any:
        require_fields(cls, given, cls.__name__)
        return super().__new__(cls)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name,
                               _tuples(getattr(self, field.name)))
        for name, kind in _kinds(type(self)).items():
            value = getattr(self, name)
            require(kind is not bool or isinstance(value, bool),
                    f"{name} must be True or False, found {value!r}")
            if get_origin(kind) is Literal:
                one_of(name, value, get_args(kind))
            bounds = _bounds(kind)
            if bounds and not (value is None
                               and type(None) in get_args(kind)):
                bounds.check(name, value)
        self.check()

    def check(self) -> None:
        """Raise a ValueError unless the numbers are legal."""


MOST_ANCHORS = 10_000_000    # 160 MB of boxes


@dataclass(frozen=True)
class AnchorSpec(Checked):
    """The anchors of one feature map.

    sizes: in fractions of the image height; the first is combined with
        every ratio, the others with the first ratio only.
    ratios: width / height.
    step: distance between centres in fractions of the image height; None
        where it is the image divided by the map.
    """

    sizes: tuple[Positive, ...]
    ratios: tuple[Positive, ...] = (1.0, 2.0, 0.5)
    step: Positive | None = None

    def check(self) -> None:
        """See ``Checked``."""
        for name in ("sizes", "ratios"):
            require(len(getattr(self, name)), f"{name} of an AnchorSpec needs "
                    "at least one number, found none")

    @property
    def per_cell(self) -> int:
        """Number of anchors at each cell."""
        return len(self.sizes) + len(self.ratios) - 1


def scale_sizes(count: int, least: float = 0.2, most: float = 0.9,
                first: float = 0.1) -> tuple[float, ...]:
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


def paired_sizes(sizes: Sequence[float],
                 last: float) -> tuple[tuple[float, float], ...]:
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
class ModelConfig(Checked):
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
    num_classes: Count = 1
    input_size: tuple[Count, Count] = (256, 256)
    resize: Literal["stretch", "letter-box"] = "stretch"
    anchors: tuple[AnchorSpec, ...]
    variances: tuple[Positive, ...] = (0.1, 0.1, 0.2, 0.2)
    mean: tuple[Annotated[float, Bounds("a number from 0 to 255", 0, 255)],
                ...] = (123.68, 116.78, 103.94)
    std: tuple[Positive, ...] = (58.4, 57.1, 57.4)
    widths: tuple[tuple[str, int], ...] = dataclasses.field(default=(),
                                                            repr=False)

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.input_size, int):
            object.__setattr__(self, "input_size", (self.input_size,) * 2)
        size = self.input_size
        require(isinstance(self.name, str) and len(self.name) <= 100
                and self.name.isprintable(), "name must be a short text, "
                f"found {self.name!r:.80}")
        for field, length in (("variances", 4), ("mean", 3), ("std", 3)):
            require(len(getattr(self, field)) == length, f"{field} needs "
                    f"{length} numbers, found {getattr(self, field)}")
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
    def least_side(self) -> int:
        """Smallest side at which every map is smaller than the one before."""
        return 2 ** (len(self.anchors) + 1) + 1

    def sides(self, side: int) -> list[int]:
        """Return the length of one image side on every feature map."""
        raise TypeError(f"{type(self).__name__} has no feature maps")

    def map_shapes(self) -> list[tuple[int, int]]:
        """Return (rows, columns) of every feature map, finest first."""
        return list(zip(*(self.sides(side) for side in self.input_size)))

    @property
    def anchor_count(self) -> int:
        """Number of anchors N of one image."""
        return sum(rows * columns * spec.per_cell for (rows, columns), spec
                   in zip(self.map_shapes(), self.anchors))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; ``from_dict`` reads it back."""
        return {"family": self.family, **dataclasses.asdict(self),
                "widths": dict(self.widths)}
