"""What is inside a record: a head, a label of numbers, an encoded image.

The head is ``flag, label, id, id2``; where flag is above 0, that many float32
numbers follow and are the label. The label of a detection set is
``[A, B, ...]``: A numbers of head (A, B, and often width and height), then B
numbers for each object: class, xmin, ymin, xmax, ymax and, where B is above
5, a 1 for an object that is difficult; where B is 9 in a file that was written
here, also one that is truncated, occluded, or a crowd.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from .. import boxes as box_tools
from . import images
from .entries import FLAGS

_HEAD = struct.Struct("<IfQQ")


class Head(NamedTuple):
    """The head of a record; `label` is a number, or a float32 array."""

    flag: int
    label: float | np.ndarray
    id: int
    id2: int


class Objects(NamedTuple):
    """The objects of one image, as its label says, not yet checked.

    boxes: float32 (M, 4) corner boxes in fractions of the image.
    labels: int64 (M,) class indices.
    flags: bool (M, 4), columns as in ``entries.FLAGS``.
    """

    boxes: np.ndarray
    labels: np.ndarray
    flags: np.ndarray


def pack(head, image):
    """Return a payload: the head, its label where that is an array, the image.

    Args:
        head: Head; its flag is set from the label.
        image: bytes.
    """
    if np.ndim(head.label) == 0:
        return _HEAD.pack(0, head.label, head.id, head.id2) + image
    label = np.asarray(head.label, dtype="<f4").ravel()
    return (_HEAD.pack(label.size, 0, head.id, head.id2) + label.tobytes()
            + image)


def unpack(payload, source):
    """Return the Head and the image's bytes of a payload.

    Raises:
        ValueError: the payload is too short for what its head says.
    """
    if len(payload) < _HEAD.size:
        raise ValueError(f"{source}: expected a head of {_HEAD.size} bytes, "
                         f"found a record of {len(payload)}.")
    head = Head(*_HEAD.unpack_from(payload))
    end = _HEAD.size + 4 * head.flag
    if head.flag == 0:
        return head, payload[end:]
    if end > len(payload):
        raise ValueError(f"{source}: the head claims a label of {head.flag} "
                         f"numbers, but only {len(payload) - _HEAD.size} "
                         "bytes follow it.")
    label = np.frombuffer(payload, "<f4", head.flag, _HEAD.size)
    return head._replace(label=label), payload[end:]


def objects(label, source):
    """Return the Objects that a detection label lists.

    Args:
        label: the label of a Head.
        source: name of the record, for messages.

    Raises:
        ValueError: the label is not a detection label, or a class is not a
            whole number.

    >>> label = [4, 5, 640, 480, 2, 0.25, 0.5, 0.75, 1.0]
    >>> objects(label, "a.rec, record 0").boxes.tolist()
    [[0.25, 0.5, 0.75, 1.0]]
    """
    label = np.asarray(label, dtype=np.float32)
    if label.ndim != 1 or len(label) < 2:
        raise ValueError(f"{source}: expected a detection label "
                         "[head width, object width, ...], found "
                         f"{label.size} number(s).")
    head, width = (float(value) for value in label[:2])
    if not (2 <= head <= len(label) and width >= 5 and head % 1 == 0
            and width % 1 == 0 and (len(label) - head) % width == 0):
        raise ValueError(f"{source}: a label of {len(label)} numbers does not "
                         f"fit its own head width {head:g} (expected 2 or "
                         f"more) and object width {width:g} (5 or more).")
    count = int((len(label) - head) // width)
    rows = label[int(head):].reshape(count, int(width) if count else 5)
    for row, value in enumerate(rows[:, 0]):
        # Above 2^24, float32 cannot tell one whole number from the next.
        if not (abs(value) < 2**24 and value % 1 == 0):
            raise ValueError(f"{source}, box {row}: expected a whole number "
                             f"as its class, found {value:g}.")
    flags = np.zeros((count, len(FLAGS)), bool)
    # A sixth number is "difficult" everywhere; what follows it elsewhere has
    # no agreed meaning.
    known = len(FLAGS) if rows.shape[1] == 5 + len(FLAGS) else 1
    if rows.shape[1] > 5:
        flags[:, :known] = rows[:, 5:5 + known] > 0
    return Objects(rows[:, 1:5].copy(), rows[:, 0].astype(np.int64), flags)


def pack_objects(boxes, labels, image, key=0, source="an image", flags=None):
    """Return the payload of one image and its objects.

    Args:
        boxes: (M, 4) corner boxes in fractions of the image.
        labels: M class indices from 0.
        image: bytes of an encoded image; its size goes into the label.
        key: number of the record.
        source: name for messages.
        flags: (M, 4) as in ``entries.FLAGS``. They take four more numbers an
            object, one if only "difficult" is set, none if nothing is.

    Raises:
        ValueError: a box or label is faulty, or the image cannot be read.
    """
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.asarray(labels, dtype=np.int64).reshape(-1)
    box_tools.check_boxes(boxes, labels, np.inf, source)
    height, width = images.encoded_size(image, source)
    flags = np.zeros((len(boxes), 0)) if flags is None else np.asarray(flags)
    flags = flags[:, :len(FLAGS) if flags[:, 1:].any() else int(flags.any())]
    rows = np.column_stack([labels.astype(np.float32), boxes, flags])
    label = np.concatenate([[4, rows.shape[1], width, height], rows.ravel()])
    return pack(Head(0, label, key, 0), image)
