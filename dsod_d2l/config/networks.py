"""The configuration of each family, and the way back from a dictionary."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from .base import ModelConfig
from .checks import require, whole
from .dsod import DSODConfig, GluonDSODConfig
from .grp import GRPConfig
from .refine import RefineDSODConfig, RefineSSDConfig
from .ssd import SSDConfig


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


FAMILIES = {cls.family: cls for cls in
            (ToySSDConfig, DSODConfig, GluonDSODConfig, GRPConfig, SSDConfig,
             RefineDSODConfig, RefineSSDConfig)}


# What a file may ask for; a network beyond these would fill the memory.
MOST_NUMBER, MOST_ITEMS, MOST_FIELDS = 1 << 16, 100, 10_000


def from_dict(values):
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
    cls = FAMILIES[family]
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    require(not unknown, f"{family} has no field {', '.join(unknown)}")
    return cls(**values)
