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
