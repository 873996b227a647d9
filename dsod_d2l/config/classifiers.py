"""The backbones of SSD: classifiers, cut where their maps are fine enough.

A backbone is a frozen dataclass here, which knows how often each of its maps
is halved, and a block in ``models.backbones``, which computes them. Both are
entered under one name, in ``BACKBONES`` and ``BLOCKS``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from .base import COUNTED, Checked, Count, Positive, require, require_fields


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(Checked):
    """What all backbones share.

    name: under which it is entered.
    dense_layers: how many of the last convolutions are dense layers in the
        classifier.
    kinds: fields that ``like`` sets.
    """

    dense_layers: ClassVar[int] = 0
    kinds: ClassVar[tuple[str, ...]] = ()
    name: str = ""

    def like(self, convolutions: list[dict]) -> BackboneConfig:
        """Return it as a classifier's file has it, where kinds differ.

        Args:
            convolutions: of the file, a list of {part: (name, array)}.
        """
        return self

    @property
    def halvings(self) -> tuple[int, ...]:
        """How often each of its maps is halved, finest first."""
        return (3, 4)


@dataclass(frozen=True, kw_only=True)
class VGG16Config(BackboneConfig):
    """VGG16, or another VGG, its two dense layers made convolutions.

    depths: convolutions of each of the five blocks.
    widths: channels of these convolutions, 13 in VGG16, and of fc6 and fc7.
    norm: True for batch normalisation behind every convolution.
    conv5: True for three maps, conv4_3, conv5_3 and fc7; else without the
        second.
    pool5: 1 for a pooling of 3 x 3 that keeps the size, as in SSD; 2 for
        one that halves it, as in RefineDet.
    dilation: of fc6.

    Paper: VGG, table 1, D (arXiv:1409.1556); SSD, section 3
    (arXiv:1512.02325).
    """

    dense_layers: ClassVar[int] = 2
    name: str = "vgg16"
    depths: tuple[Count, ...] = (2, 2, 3, 3, 3)
    widths: tuple[Count, ...] = (64, 64, 128, 128, *[256] * 3, *[512] * 6,
                                 1024, 1024)
    norm: bool = False
    conv5: bool = False
    pool5: Literal[1, 2] = 1
    dilation: Count = 6

    def check(self) -> None:
        """See ``Checked``."""
        require(len(self.depths) == 5, "depths of vgg16 needs 5 numbers, "
                f"found {len(self.depths)}")
        count = sum(self.depths) + self.dense_layers
        require(len(self.widths) == count, f"widths of vgg16 needs {count} "
                f"numbers, found {len(self.widths)}")

    @property
    def halvings(self) -> tuple[int, ...]:
        """See ``BackboneConfig.halvings``."""
        return (3, *[4] * self.conv5, 3 + self.pool5)


@dataclass(frozen=True, kw_only=True)
class ResNet50Config(BackboneConfig):
    """ResNet-50, or a deeper one, with a last stage that does not halve.

    stem: channels of the first convolution.
    depths: blocks of each of the four stages.
    inner: channels of the 1 x 1 and the 3 x 3 convolution that each of the
        blocks begins with, 16 in ResNet-50; (): as in the paper.
    outputs: channels that each of the four stages ends in.
    stride_at: which convolution halves a map, "3x3" or "1x1". The paper's
        networks, and Gluon's of version 1, have "1x1".

    Paper: ResNet, table 1 (arXiv:1512.03385).
    """

    kinds: ClassVar[tuple[str, ...]] = ("stride_at",)
    name: str = "resnet50"
    stem: Count = 64
    depths: tuple[Count, ...] = (3, 4, 6, 3)
    inner: tuple = ()
    outputs: tuple[Count, ...] = (256, 512, 1024, 2048)
    stride_at: Literal["3x3", "1x1"] = "3x3"

    def check(self) -> None:
        """See ``Checked``."""
        require(len(self.depths) == 4, "depths of resnet50 needs 4 numbers, "
                f"found {self.depths}")
        object.__setattr__(self, "inner", self.inner or tuple(
            (64 * 2 ** stage,) * 2 for stage, depth in enumerate(self.depths)
            for _ in range(depth)))
        count = sum(self.depths)
        require([len(pair) for pair in self.inner] == [2] * count, "inner of "
                f"resnet50 needs {count} pairs, found {self.inner}")
        require(len(self.outputs) == 4, "outputs of resnet50 needs 4 "
                f"numbers, found {self.outputs}")
        COUNTED.check("inner", sum(self.inner, ()))

    def like(self, convolutions: list[dict]) -> BackboneConfig:
        """See ``BackboneConfig.like``: shapes are the same in both kinds.

        Gluon's, which halves in its 1 x 1 convolutions, has biases there.
        """
        early = any("bias" in parts and parts["weight"][1].shape[2:] == (1, 1)
                    for parts in convolutions)
        return replace(self, stride_at="1x1" if early else "3x3")


@dataclass(frozen=True, kw_only=True)
class MobileNetConfig(BackboneConfig):
    """What both MobileNets share.

    width: factor of all channels, the paper's alpha.
    """

    width: Positive = 1.0

    def check(self) -> None:
        """See ``Checked``."""
        require(self.scaled(16) >= 1, f"width {self.width} leaves no channel "
                f"of a layer of {self.name}")

    def scaled(self, channels: int) -> int:
        """Return a number of channels times the width, rounded down."""
        return int(channels * self.width)


@dataclass(frozen=True, kw_only=True)
class MobileNetV1Config(MobileNetConfig):
    """MobileNet whose last but one unit does not halve.

    last_block: False to leave the last unit out, as a known SSD does by a
        slip: it counts its 1,061,888 parameters and never runs it.

    Paper: MobileNets, table 1 (arXiv:1704.04861).
    """

    name: str = "mobilenet_v1"
    last_block: bool = True

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the first convolution and of each unit."""
        plain = (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
        return tuple(self.scaled(channels) for channels
                     in plain[:None if self.last_block else -1])


@dataclass(frozen=True, kw_only=True)
class MobileNetV2Config(MobileNetConfig):
    """MobileNetV2 whose stage of 160 channels does not halve.

    top: channels of the last layer; the width does not touch them.
    expand_first: whether the first block, which widens by 1, has a
        convolution for it, as in Gluon's network. Those of the authors, of
        GluonCV and of torchvision have none.

    Paper: MobileNetV2, table 2 (arXiv:1801.04381).
    """

    kinds: ClassVar[tuple[str, ...]] = ("expand_first",)
    name: str = "mobilenet_v2"
    top: Count = 1280
    expand_first: bool = True

    def like(self, convolutions: list[dict]) -> BackboneConfig:
        """See ``BackboneConfig.like``: the second layer may be depthwise."""
        shapes = [parts["weight"][1].shape for parts in convolutions[1:2]]
        return replace(self, expand_first=shapes[0][2:] != (3, 3)
                       if shapes else self.expand_first)


BACKBONES: dict[str, type[BackboneConfig]] = {
    cls.name: cls for cls in (VGG16Config, ResNet50Config, MobileNetV1Config,
                              MobileNetV2Config)}
# Backbones of another depth, by name: values of the classes above.
DEEPER = {
    "vgg11": VGG16Config(depths=(1, 1, 2, 2, 2), widths=(
        64, 128, 256, 256, *[512] * 4, 1024, 1024)),
    "resnet101": ResNet50Config(depths=(3, 4, 23, 3)),
    "resnet152": ResNet50Config(depths=(3, 8, 36, 3))}


def make_backbone(value: BackboneConfig | str | dict) -> BackboneConfig:
    """Return a backbone's configuration.

    Args:
        value: one, a known name, or the dictionary of one.

    Raises:
        ValueError: the name or a field is not known.

    >>> make_backbone("vgg16").halvings
    (3, 4)
    """
    if isinstance(value, BackboneConfig):
        return value
    require(isinstance(value, (str, dict)), "backbone must be a name, a "
            f"dictionary or a BackboneConfig, found {value!r}")
    if isinstance(value, str) and value in DEEPER:
        return DEEPER[value]
    fields = {"name": value} if isinstance(value, str) else dict(value)
    name: Any = fields.get("name")
    require(name in BACKBONES, f"no backbone is called {name!r}, expected "
            f"one of {', '.join([*BACKBONES, *DEEPER])}")
    cls = BACKBONES[name]
    require_fields(cls, fields, name)
    return cls(**fields)
