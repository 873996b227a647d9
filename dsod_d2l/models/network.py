"""What all networks share: maps in, scores and offsets of all anchors out."""

from collections.abc import Callable, Sequence
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from ..blocks import ChannelNorm, Predictor, chained
from ..config.base import ModelConfig
from ..config.families import DenseConfig
from ..targets import plain_offsets


class Network(nn.HybridBlock):
    """A network that predicts from several feature maps.

    A family builds its stages in ``__init__``, calls ``add_heads`` with the
    width of each map, and returns the maps from ``features``. One that works
    in several steps, each of which starts from the boxes of the one before,
    also says what a step should learn (``step_targets``) and where the last
    one starts (``last_step``): training and detection ask for no more.

    Returns (forward):
        class scores (B, N, K + 1), before the softmax, and offsets (B, N, 4);
        of a network in several steps such a pair for each.
    """

    steps = 1

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config: Any = config       # of the class of its family

    def add_heads(self, widths: Sequence[int], l2_scale: float | None = None,
                  norm: bool = False, predictor: Callable = Predictor) -> None:
        """Create the predictors of every map.

        Args:
            widths: channels of each feature map.
            l2_scale: initial scale of the maps' normalisation, or None.
            norm: whether predictors have batch normalisation.
            predictor: class of the predictors, called as ``Predictor`` is.
        """
        norms = [] if l2_scale is None else [
            ChannelNorm(width, l2_scale) for width in widths]
        self.norms = chained(*norms)
        self.class_heads = self.heads(widths, self.config.num_classes + 1,
                                      norm, predictor)
        self.box_heads = self.heads(widths, 4, norm, predictor)

    def heads(self, widths: Sequence[int], values: int, norm: bool,
              predictor: Callable) -> nn.HybridSequential:
        """Return a predictor of so many values an anchor for every map."""
        return chained(*[predictor(width, spec.per_cell, values, norm)
                         for width, spec in zip(widths, self.config.anchors)])

    def features(self, F: Any, x: Any) -> list:
        """Return the list of feature maps, finest first."""
        raise TypeError(f"{type(self).__name__} defines no feature maps")

    def named_stages(self) -> list[tuple[str, Any]]:
        """Return (name, block) of every stage before the heads."""
        raise TypeError(f"{type(self).__name__} names no stages")

    def step_targets(self, outputs: list, targets: tuple, truths: list,
                     threshold: float) -> tuple[np.ndarray, ...]:
        """Return what each of several steps should learn of a batch.

        Args:
            outputs: arrays, as the network returned them.
            targets: classes (B, N) and offsets (B, N, 4) of the anchors, in
                NumPy.
            truths: (boxes, labels) of each image.
            threshold: least IoU of a box with its object.

        Returns:
            NumPy arrays, classes and offsets for each step in turn.
        """
        raise TypeError(f"{type(self).__name__} works in one step")

    def predict(self, batch: np.ndarray) -> list[np.ndarray]:
        """Return the outputs for a batch of images, NumPy in and out.

        Args:
            batch: float32 (B, 3, height, width), see ``detection.to_batch``.

        Returns:
            List of arrays, as the network returns them.

        Raises:
            ValueError: the network has no weights yet.
        """
        parameter = next(iter(self.collect_params().values()))
        if parameter._data is None:
            raise ValueError(f"{self.config.name} has no weights yet: train "
                             "it, load some, or call models.initialise")
        ctx = parameter.list_ctx()[0]           # where its numbers are
        return [one.asnumpy() for one in self(mx.nd.array(batch, ctx=ctx))]

    def last_step(self, outputs: Sequence[np.ndarray],
                  anchors: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return what the last step says of one image, and of which boxes.

        Args:
            outputs: NumPy arrays, those of one image.
            anchors: (N, 4) corner boxes.

        Returns:
            class scores, offsets, and the boxes that the offsets move: rows
            that are no candidates may be left out of all three.
        """
        scores, offsets = outputs
        return scores, plain_offsets(offsets, anchors, self.config), anchors

    def named_heads(self) -> list[tuple[str, Sequence, list, int]]:
        """Return (name, predictors, normalisation, map) of all heads."""
        return [(f"heads of map {k + 1}", pair, list(self.norms)[k:k + 1], k)
                for k, pair in enumerate(zip(self.class_heads,
                                             self.box_heads))]

    def hybrid_forward(self, F: Any, x: Any) -> tuple:
        """Return class scores and offsets of all anchors."""
        maps = self.features(F, x)
        if len(self.norms):
            maps = [norm(one) for norm, one in zip(self.norms, maps)]
        scores = [head(one) for head, one in zip(self.class_heads, maps)]
        offsets = [head(one) for head, one in zip(self.box_heads, maps)]
        return F.concat(*scores, dim=1), F.concat(*offsets, dim=1)


def dense_chain(config: DenseConfig, last: int, block: Callable,
                transition: Callable) -> list:
    """Return dense blocks, each with the transition behind it.

    Args:
        config: says how many layers they have, and how wide they are.
        last: channels that the last transition keeps.
        block: called with the channels before it, the number of layers,
            bottleneck and growth.
        transition: called with its place from 0 and its channels before and
            after.
    """
    grown, chain = config.block_widths(), []
    kept = [*map(config.kept, grown[:-1]), last]
    for k, width in enumerate([config.stem_width, *kept[:-1]]):
        chain += [block(width, config.layers[k], config.bottleneck,
                        config.growth), transition(k, grown[k], kept[k])]
    return chain


def dense_stages(chain: list) -> list[tuple[str, Any]]:
    """Name dense blocks and the transitions behind them, in pairs."""
    named = []
    for k, (block, end) in enumerate(zip(chain[::2], chain[1::2]), 1):
        named += [(f"dense block {k}, layers: {len(block)}", block),
                  (f"transition {k}", end)]
    return named


def count_parameters(net: Any, trainable: bool = True) -> int:
    """Count a network's numbers.

    Args:
        net: any Gluon block whose shapes are known.
        trainable: True for those that receive a gradient; False to count
            the running statistics of batch normalisation as well.
    """
    return int(sum(np.prod(parameter.shape) for parameter
                   in net.collect_params().values()
                   if parameter.grad_req != "null" or not trainable))


def initialise(net: Any, ctx: Any = None) -> None:
    """Draw the numbers of those parameters that have none yet.

    Args:
        net: any Gluon block whose shapes are known.
        ctx: MXNet context, default the CPU.
    """
    for parameter in net.collect_params().values():
        if parameter._data is None:
            parameter.initialize(ctx=ctx)
