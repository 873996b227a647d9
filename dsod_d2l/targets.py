"""Targets: which anchor answers for which object, and what it should say."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .boxes import centre_to_corner, corner_to_centre, iou
from .config.base import ModelConfig, one_of

VARIANCES = (0.1, 0.1, 0.2, 0.2)
LEAST_OVERLAP = 1e-6     # at or below it a pair is never matched, as in Caffe


class Targets(NamedTuple):
    """What every anchor of one image should predict.

    classes: (N,) int32, 0 background, k + 1 for label k, -1 to be ignored.
    offsets: (N, 4) float32, zero where the anchor is not positive.
    positive: (N,) bool, True where the anchor answers for an object.
    """

    classes: np.ndarray
    offsets: np.ndarray
    positive: np.ndarray


def match(overlaps: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Give each anchor at most one object: bipartite first, then threshold.

    First the largest overlap left in the table binds its anchor to its
    object and both leave, until every object that overlaps an anchor has
    one. Then every anchor still free takes the object it overlaps most, if
    that overlap reaches the threshold.

    Args:
        overlaps: (N, M) IoU of N anchors with M objects.
        threshold: least IoU of the second step, inclusive.

    Returns:
        (N,) int64 array: the index of the anchor's object, or -1.

    Paper: SSD, section 2.2 (arXiv:1512.02325).

    >>> match(np.array([[0.6, 0.7], [0.1, 0.2], [0.55, 0.3]])).tolist()
    [1, -1, 0]
    """
    matched = np.full(len(overlaps), -1, dtype=np.int64)
    if overlaps.size == 0:
        return matched
    left = overlaps.T.copy()                 # (M, N), to strike out from
    near = np.flatnonzero(left.max(axis=0) >= threshold)
    matched[near] = left[:, near].argmax(axis=0)
    peak = left.max(axis=1)                  # what each object still hopes for
    while peak.max() > LEAST_OVERLAP:
        row = peak.argmax()
        anchor = left[row].argmax()
        if left[row, anchor] == peak[row]:
            matched[anchor] = row
            left[:, anchor] = peak[row] = -1
        else:                                # its best anchor is taken
            peak[row] = left[row, anchor]
    return matched


def encode(boxes: np.ndarray, anchors: np.ndarray,
           variances: Sequence[float] = VARIANCES) -> np.ndarray:
    """Express boxes relative to their anchors.

    Args:
        boxes: (N, 4) corner boxes, one for each anchor.
        anchors: (N, 4) corner boxes.
        variances: divisors of dx, dy, dw, dh, which bring the four targets
            to about the same size.

    Returns:
        (N, 4) array of dx, dy, dw, dh.

    Paper: SSD, equation 2 (arXiv:1512.02325); the variances stand in the
    authors' code only.

    >>> box = np.array([[0.2, 0.0, 1.0, 0.2]])
    >>> encode(box, np.array([[0.0, 0.0, 0.4, 0.2]])).round(3).tolist()
    [[10.0, 0.0, 3.466, 0.0]]
    """
    box, anchor = corner_to_centre(boxes), corner_to_centre(anchors)
    shift = (box[:, :2] - anchor[:, :2]) / anchor[:, 2:]
    scale = np.log(box[:, 2:] / anchor[:, 2:])
    return np.concatenate([shift, scale], axis=1) / variances


def decode(offsets: np.ndarray, anchors: np.ndarray,
           variances: Sequence[float] = VARIANCES) -> np.ndarray:
    """Turn offsets back into boxes: the inverse of ``encode``.

    Args:
        offsets: (N, 4) array of dx, dy, dw, dh.
        anchors: (N, 4) corner boxes.
        variances: as in ``encode``.

    Returns:
        (N, 4) corner boxes, not clipped to the image.

    >>> anchor = np.array([[0.0, 0.0, 0.4, 0.2]])
    >>> decode(np.array([[5.0, 0.0, 0.0, 0.0]]), anchor).round(6).tolist()
    [[0.2, 0.0, 0.6, 0.2]]
    """
    anchor, scaled = corner_to_centre(anchors), offsets * np.array(variances)
    centre = anchor[:, :2] + scaled[:, :2] * anchor[:, 2:]
    size = anchor[:, 2:] * np.exp(scaled[:, 2:])
    return centre_to_corner(np.concatenate([centre, size], axis=1))


def label_anchors(anchors: np.ndarray, boxes: np.ndarray, labels: np.ndarray,
                  threshold: float = 0.5, ignore_above: float | None = None,
                  encode: Callable = encode) -> Targets:
    """Make the targets of one image.

    Args:
        anchors: (N, 4) corner boxes.
        boxes: (M, 4) corner boxes of the objects.
        labels: (M,) class indices from 0; a row with -1 is padding and
            counts for nothing.
        threshold: least IoU for a further anchor of an object.
        ignore_above: anchors that stay unmatched with an IoU of at least
            this are neither object nor background (class -1); None: none.
        encode: expresses boxes relative to anchors, as ``encode`` does; the
            method of that name of a network's codec, see ``codec_for``.

    Returns:
        ``Targets`` of N anchors. Without objects all are background.

    Paper: SSD, section 2.2 (arXiv:1512.02325).
    """
    real = np.asarray(labels) >= 0
    boxes, labels = np.reshape(boxes, (-1, 4))[real], np.asarray(labels)[real]
    offsets = np.zeros((len(anchors), 4), dtype=np.float32)
    classes = np.zeros(len(anchors), dtype=np.int32)
    overlaps = iou(anchors, boxes)
    matched = match(overlaps, threshold)
    positive = matched >= 0
    if ignore_above is not None and len(boxes):
        classes[overlaps.max(axis=1) >= ignore_above] = -1
    classes[positive] = labels[matched[positive]] + 1
    offsets[positive] = encode(boxes[matched[positive]], anchors[positive])
    return Targets(classes, offsets, positive)


class OffsetCodec:
    """Offsets less their means, divided by their deviations.

    Args:
        means: of dx, dy, dw, dh, before the division.
        variances: the deviations, which the authors of SSD call variances.

    >>> codec = OffsetCodec((0, 0, 0, 0.5), (0.1, 0.1, 0.2, 0.25))
    >>> box = np.array([[0.0, 0.0, 0.4, 0.2]])
    >>> codec.encode(box, box).tolist()
    [[0.0, 0.0, 0.0, -2.0]]
    """

    def __init__(self, means: Sequence[float], variances: Sequence[float]):
        self.shift = np.divide(means, variances)
        self.variances = variances

    def encode(self, boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """Return what stands for boxes (N, 4): an array (N, 4)."""
        return encode(boxes, anchors, self.variances) - self.shift

    def decode(self, offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """Return the boxes (N, 4) that offsets (N, 4) stand for."""
        return decode(offsets + self.shift, anchors, self.variances)


CODECS = {"offsets": OffsetCodec}


def codec_for(config: ModelConfig) -> OffsetCodec:
    """Return the codec of a network.

    Args:
        config: ``ModelConfig``.

    Raises:
        ValueError: there is no such codec.
    """
    one_of("codec", config.codec, CODECS)
    return CODECS[config.codec](config.offset_means, config.variances)


def plain_offsets(offsets: np.ndarray, anchors: np.ndarray,
                  config: ModelConfig) -> np.ndarray:
    """Say what a network predicts as ``targets.encode`` would.

    Args:
        offsets: (N, 4), predicted.
        anchors: (N, 4) corner boxes.
        config: ``ModelConfig``.
    """
    if config.codec == "offsets" and not any(config.offset_means):
        return offsets
    boxes = codec_for(config).decode(offsets, anchors)
    return encode(boxes, anchors, config.variances).astype(offsets.dtype)
