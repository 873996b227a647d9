"""RefineDet (arXiv:1711.06897), on the maps of any other family.

Its transfer connection lends coarse maps' views to finer ones.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mxnet.gluon import nn

from .. import refinement
from ..anchors import anchors_for
from ..blocks import BODY_INIT, ChannelNorm, Predictor, chained
from ..targets import codec_for, plain_offsets
from .backbones import conv_unit
from .dsod import DSOD
from .network import Network
from .ssd import SSD


def transfer_unit(in_channels: int, channels: int, norm: bool,
                  relu: bool) -> nn.HybridSequential:
    """Return a 3 x 3 convolution, with BN instead of a bias, and a ReLU."""
    return conv_unit(in_channels, channels, norm=norm, bias=not norm,
                     act="relu" if relu else None, weight=BODY_INIT)


def doubling_unit(channels: int, norm: bool) -> nn.HybridSequential:
    """Return a deconvolution that makes two cells of one on each axis."""
    unit = nn.HybridSequential()
    unit.add(nn.Conv2DTranspose(channels, 2, 2, in_channels=channels,
                                use_bias=not norm,
                                weight_initializer=BODY_INIT))
    if norm:
        unit.add(nn.BatchNorm(in_channels=channels, epsilon=1e-5))
    return unit


class TransferBlock(nn.HybridBlock):
    """Turn a map that anchors were refined on into one to detect on.

    Args:
        in_channels: width of the map.
        channels: width of what is made of it.
        norm: True for batch normalisation instead of biases.
        top: True for the coarsest map, which has no coarser one to take in.
        relu: whether the sum, and what is made of it, goes through a ReLU.

    Returns (forward of the map, and of the next coarser block's output
    unless ``top``):
        (B, channels, rows, columns); what the coarser map has too much,
        where an odd side was halved, is cut off.

    Paper: RefineDet, section 3 and figure 2, "transfer connection block"
    (arXiv:1711.06897).
    """

    def __init__(self, in_channels: int, channels: int, norm: bool = False,
                 top: bool = False, relu: bool = True):
        super().__init__()
        self.relu = relu
        self.own = chained(transfer_unit(in_channels, channels, norm, True),
                           transfer_unit(channels, channels, norm, False))
        self.double = None if top else doubling_unit(channels, norm)
        self.last = transfer_unit(channels, channels, norm, relu)

    def hybrid_forward(self, F, x, *coarser):
        """Return the map to detect on."""
        x = self.own(x)
        if coarser:
            x = x + F.slice_like(self.double(*coarser), x, axes=(2, 3))
        return self.last(F.relu(x) if self.relu else x)


class Refinement(Network):
    """Two steps on the maps of a family: to be put before its class.

    On each map of the family, anchors are told from background and moved.
    A transfer connection makes of each map another one, on which the moved
    anchors are classified and moved again.

    Returns (forward):
        objectness (B, N, 2), offsets of the anchors (B, N, 4), class scores
        (B, N, K + 1) and offsets of the refined anchors (B, N, 4); where
        nothing is refined the last two.

    Paper: RefineDet, section 3 (arXiv:1711.06897).
    """

    def add_heads(self, widths: Sequence[int], l2_scale: float | None = None,
                  norm: bool = False, predictor: Callable = Predictor) -> None:
        """Create the predictors of both steps, and what lies between them.

        Args:
            widths, l2_scale, norm, predictor: see ``Network.add_heads``.
        """
        config = self.config
        self.anchors = anchors_for(config)
        scales: Any = config.source_scales or (l2_scale,) * len(widths)
        self.scaled = [k for k, scale in enumerate(scales) if scale]
        self.source_norms = chained(*[ChannelNorm(widths[k], scales[k])
                                      for k in self.scaled])
        if config.refine:
            self.steps = 2
            self.object_heads = self.heads(widths, 2, norm, predictor)
            self.move_heads = self.heads(widths, 4, norm, predictor)
        if config.transfer:
            shared = config.transfer, config.transfer_norm
            self.transfers = chained(
                *[TransferBlock(width, *shared) for width in widths[:-1]],
                TransferBlock(widths[-1], *shared, top=True,
                              relu=config.top_relu))
            widths = [config.transfer] * len(widths)
        super().add_heads(widths, None, norm, predictor)

    def sources(self, F: Any, x: Any) -> list:
        """Return the maps that anchors are refined on, finest first."""
        maps = list(super().features(F, x))
        for k, norm in zip(self.scaled, self.source_norms):
            maps[k] = norm(maps[k])
        return maps

    def transferred(self, sources: list) -> list:
        """Return the maps that objects are detected on, finest first."""
        if not self.config.transfer:
            return sources
        maps: list = []
        for transfer, one in zip(reversed(list(self.transfers)),
                                 reversed(sources)):
            maps.insert(0, transfer(one, *maps[:1]))
        return maps

    def features(self, F: Any, x: Any) -> list:
        """Return the maps that objects are detected on, finest first."""
        return self.transferred(self.sources(F, x))

    def hybrid_forward(self, F: Any, x: Any) -> tuple:
        """Return scores and offsets of both steps."""
        sources = self.sources(F, x)
        maps = self.transferred(sources)
        pairs = [(self.class_heads, maps), (self.box_heads, maps)]
        if self.config.refine:
            pairs = [(self.object_heads, sources),
                     (self.move_heads, sources), *pairs]
        return tuple(F.concat(*[head(one) for head, one in zip(*pair)], dim=1)
                     for pair in pairs)

    def step_targets(self, outputs: list, targets: tuple, truths: list,
                     threshold: float) -> tuple[np.ndarray, ...]:
        """See ``Network.step_targets``: an anchor, then a refined one."""
        classes, offsets = targets
        objectness, moves = (one.asnumpy() for one in outputs[:2])
        # A loss that is not finite ends the run, and names the images.
        moves = np.nan_to_num(moves, nan=0, posinf=0, neginf=0)
        codec = codec_for(self.config)
        second = [refinement.second_targets(
            self.anchors, *said, threshold, self.config.easy, codec.encode,
            codec.decode) for said in zip(objectness, moves, truths)]
        return (np.minimum(classes, 1), offsets,
                np.stack([one.classes for one in second]),
                np.stack([one.offsets for one in second]))

    def last_step(self, outputs: Sequence[np.ndarray],
                  anchors: np.ndarray) -> tuple[np.ndarray, ...]:
        """See ``Network.last_step``: easy negatives are left out."""
        config = self.config
        if not config.refine:
            return super().last_step(outputs, anchors)
        kept = ~refinement.easy_negatives(outputs[0], config.easy)
        _, moves, scores, offsets = (one[kept] for one in outputs)
        refined = refinement.refine(anchors[kept], moves,
                                    codec_for(config).decode)
        return scores, plain_offsets(offsets, refined, config), refined

    def named_stages(self) -> list[tuple[str, Any]]:
        """See ``Network.named_stages``."""
        named = super().named_stages()
        named += [(f"L2 norm of map {k + 1}", norm)
                  for k, norm in zip(self.scaled, self.source_norms)]
        if self.config.transfer:
            named += [(f"transfer to map {k}", block)
                      for k, block in enumerate(self.transfers, 1)]
        return named

    def named_heads(self) -> list[tuple[str, Sequence, list, int]]:
        """See ``Network.named_heads``."""
        first = (zip(self.object_heads, self.move_heads)
                 if self.config.refine else ())
        return [(f"refinement on map {k + 1}", pair, [], k) for k, pair
                in enumerate(first)] + super().named_heads()


class RefineDSOD(Refinement, DSOD):
    """DSOD whose anchors are refined.

    Args:
        config: ``RefineDSODConfig``.
    """


class RefineSSD(Refinement, SSD):
    """RefineDet on VGG16, or on any backbone of SSD.

    Args:
        config: ``RefineSSDConfig``.
    """
