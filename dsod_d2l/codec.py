"""Codecs: how a network says a box relative to its anchor.

``targets.encode`` and ``targets.decode`` are what nearly all networks use. A
network may shift these offsets by their means, or have a codec of its own: what
it predicts is translated where targets come in and where detections go out.
"""

from __future__ import annotations

import numpy as np

from .targets import decode, encode


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

    def __init__(self, means, variances):
        self.shift = np.divide(means, variances)
        self.variances = variances

    def encode(self, boxes, anchors):
        """Return what stands for boxes (N, 4): an array (N, 4)."""
        return encode(boxes, anchors, self.variances) - self.shift

    def decode(self, offsets, anchors):
        """Return the boxes (N, 4) that offsets (N, 4) stand for."""
        return decode(offsets + self.shift, anchors, self.variances)


CODECS = {"offsets": OffsetCodec}


def codec_for(config):
    """Return the codec of a network.

    Args:
        config: ``ModelConfig``.

    Raises:
        ValueError: there is no such codec.
    """
    if config.codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, found "
                         f"{config.codec!r}")
    return CODECS[config.codec](config.offset_means, config.variances)


def is_plain(config):
    """Say whether a network predicts what ``targets.encode`` makes."""
    return config.codec == "offsets" and not any(config.offset_means)


def to_codec(targets, anchors, config):
    """Say the offsets of ``Targets`` in the codec of a network.

    Args:
        targets: ``Targets`` of N anchors, as ``label_anchors`` makes them.
        anchors: (N, 4) corner boxes.
        config: ``ModelConfig``.
    """
    if is_plain(config):
        return targets
    rows, offsets = targets.positive, np.zeros_like(targets.offsets)
    boxes = decode(targets.offsets[rows], anchors[rows], config.variances)
    offsets[rows] = codec_for(config).encode(boxes, anchors[rows])
    return targets._replace(offsets=offsets)


def from_codec(offsets, anchors, config):
    """Say what a network predicts as ``targets.encode`` would.

    Args:
        offsets: (N, 4), predicted.
        anchors: (N, 4) corner boxes.
        config: ``ModelConfig``.
    """
    if is_plain(config):
        return offsets
    boxes = codec_for(config).decode(offsets, anchors)
    return encode(boxes, anchors, config.variances).astype(offsets.dtype)
