"""SSD: two maps of a classifier, and extra layers that make the others."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from .backbones import VGG16Config, make_backbone
from .base import ModelConfig
from .checks import between, positive, require, whole
from .dsod import half

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
    head: kind of the predictors, a key of ``models.heads.HEADS``.
    clip_anchors: True for anchors that end where the image does.
    codec: how a box is said relative to its anchor, a key of
        ``codec.CODECS``; ``variances`` are its deviations.
    offset_means: its means of dx, dy, dw, dh.

    Paper: SSD, section 2.1 and figure 2 (arXiv:1512.02325).
    """

    family: ClassVar[str] = "ssd"
    backbone: object = VGG16Config()
    extras: tuple = ((256, 512, "half"), (128, 256, "half"),
                     (128, 256, "valid"), (128, 256, "valid"))
    extra_norm: bool = False
    l2_scale: float | None = 20.0
    head: str = "plain"
    clip_anchors: bool = False
    codec: str = "offsets"
    offset_means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self):
        object.__setattr__(self, "backbone", make_backbone(self.backbone))
        object.__setattr__(self, "extras",
                           tuple(tuple(row) for row in self.extras))
        for row in self.extras:
            require(len(row) == 3 and row[2] in EXTRA_FORMS, "a row of "
                    "extras needs two widths and one of "
                    f"{', '.join(EXTRA_FORMS)}, found {row}")
        whole(self, 1, "extra_widths")
        for name in ("extra_norm", "clip_anchors"):
            require(isinstance(getattr(self, name), bool), f"{name} must be "
                    f"True or False, found {getattr(self, name)!r}")
        object.__setattr__(self, "offset_means", tuple(self.offset_means))
        require(len(self.offset_means) == 4, "offset_means needs 4 numbers, "
                f"found {self.offset_means}")
        between(self, -inf, inf, "offset_means")
        if self.l2_scale is not None:
            positive(self, "l2_scale")
        super().__post_init__()

    @property
    def extra_widths(self):
        """All channels of the extra layers."""
        return tuple(width for row in self.extras for width in row[:2])

    @property
    def least_side(self):
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

    def sides(self, side):
        """See ``ModelConfig.sides``; every halving rounds up."""
        sides = []
        for count in self.backbone.halvings:
            sides.append(-(-side // 2 ** count))
        for *_, form in self.extras:
            sides.append(EXTRA_FORMS[form][1](sides[-1]))
        return sides
