"""The backbones of SSD: classifiers, cut where their maps are fine enough.

A backbone is a frozen dataclass here, which knows how often each of its maps
is halved, and a block in ``models.backbones``, which computes them. Both are
entered under one name.
"""

from __future__ import annotations

from dataclasses import dataclass

from .checks import require, whole

BACKBONES = {}


def register(cls):
    """Enter a backbone's configuration under its default name.

    Args:
        cls: a subclass of ``BackboneConfig``.

    Returns:
        The class, so that this serves as a decorator.
    """
    BACKBONES[cls.name] = cls
    return cls


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """What all backbones share.

    name: under which it is registered.
    """

    name: str = ""

    @property
    def halvings(self):
        """How often each of its maps is halved, finest first."""
        raise TypeError(f"{type(self).__name__} has no maps")


@register
@dataclass(frozen=True, kw_only=True)
class VGG16Config(BackboneConfig):
    """VGG16 with its two dense layers made convolutions.

    widths: channels of the 13 convolutions, and of fc6 and fc7.
    norm: True for batch normalisation behind every convolution.
    conv5: True for three maps, conv4_3, conv5_3 and fc7; else without the
        second.
    pool5: 1 for a pooling of 3 x 3 that keeps the size, as in SSD; 2 for
        one that halves it, as in RefineDet.
    dilation: of fc6.

    Paper: VGG, table 1, D (arXiv:1409.1556); SSD, section 3
    (arXiv:1512.02325).
    """

    name: str = "vgg16"
    widths: tuple[int, ...] = (64, 64, 128, 128, *[256] * 3, *[512] * 6,
                               1024, 1024)
    norm: bool = False
    conv5: bool = False
    pool5: int = 1
    dilation: int = 6

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))
        whole(self, 1, "widths", "dilation")
        require(len(self.widths) == 15, "widths of vgg16 needs 15 numbers, "
                f"found {len(self.widths)}")
        require(self.pool5 in (1, 2), "pool5 must be 1 or 2, found "
                f"{self.pool5!r}")
        for name in ("norm", "conv5"):
            require(isinstance(getattr(self, name), bool), f"{name} must be "
                    f"True or False, found {getattr(self, name)!r}")

    @property
    def halvings(self):
        """See ``BackboneConfig.halvings``."""
        return (3, *[4] * self.conv5, 3 + self.pool5)


def make_backbone(value):
    """Return a backbone's configuration.

    Args:
        value: one, a registered name, or the dictionary of one.

    Raises:
        ValueError: the name or a field is not known.

    >>> make_backbone("vgg16").halvings
    (3, 4)
    """
    if isinstance(value, BackboneConfig):
        return value
    fields = {"name": value} if isinstance(value, str) else dict(value)
    name = fields.get("name")
    require(name in BACKBONES, f"no backbone is called {name!r}, expected "
            f"one of {', '.join(BACKBONES)}")
    cls = BACKBONES[name]
    unknown = sorted(set(fields) - set(cls.__dataclass_fields__))
    require(not unknown, f"{name} has no field {', '.join(unknown)}")
    return cls(**fields)
