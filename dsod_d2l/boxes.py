"""Boxes: the convention, the two forms, overlap, and what makes a box valid.

A box is ``(xmin, ymin, xmax, ymax)`` in fractions of the image: x grows to
the right, y grows downwards, and a box that fills the image is
``(0, 0, 1, 1)``. A set of M boxes is a float array of shape (M, 4). Nothing
here adds a pixel to a width, and nothing changes an argument in place.
"""

from collections.abc import Iterable, Sequence

import numpy as np


def corner_to_centre(boxes: np.ndarray) -> np.ndarray:
    """Turn corner boxes into centre boxes.

    Args:
        boxes: (..., 4) array of xmin, ymin, xmax, ymax.

    Returns:
        Array of the same shape: centre x, centre y, width, height.

    >>> corner_to_centre(np.array([0.0, 0.25, 0.5, 0.75])).tolist()
    [0.25, 0.5, 0.5, 0.5]
    """
    xmin, ymin, xmax, ymax = np.moveaxis(np.asarray(boxes), -1, 0)
    return np.stack([(xmin + xmax) / 2, (ymin + ymax) / 2,
                     xmax - xmin, ymax - ymin], axis=-1)


def centre_to_corner(boxes: np.ndarray) -> np.ndarray:
    """Turn centre boxes into corner boxes.

    Args:
        boxes: (..., 4) array of centre x, centre y, width, height.

    Returns:
        Array of the same shape: xmin, ymin, xmax, ymax.

    >>> centre_to_corner(np.array([0.25, 0.5, 0.5, 0.5])).tolist()
    [0.0, 0.25, 0.5, 0.75]
    """
    x, y, width, height = np.moveaxis(np.asarray(boxes), -1, 0)
    return np.stack([x - width / 2, y - height / 2,
                     x + width / 2, y + height / 2], axis=-1)


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the area of each box, in squared units of its coordinates.

    Args:
        boxes: (..., 4) corner boxes. A box turned inside out has area 0.

    Returns:
        (...) array.

    >>> area(np.array([[0.0, 0.0, 0.5, 0.25], [0.5, 0.0, 0.2, 1.0]])).tolist()
    [0.125, 0.0]
    """
    boxes = np.asarray(boxes)
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every pair of boxes.

    Args:
        first: (N, 4) corner boxes.
        second: (M, 4) corner boxes.

    Returns:
        (N, M) array in [0, 1]; 0 where a pair has no area at all.

    Paper: the Jaccard overlap of SSD, section 2.2 (arXiv:1512.02325).

    >>> tall = np.array([[0.0, 0.0, 0.5, 1.0]])
    >>> wide = np.array([[0.0, 0.0, 1.0, 0.5], [0.6, 0.0, 1.0, 1.0]])
    >>> iou(tall, wide).round(3).tolist()
    [[0.333, 0.0]]
    """
    first, second = np.asarray(first), np.asarray(second)
    # One object after the other, (M, N): the long axis lies last in memory.
    xmin, ymin, xmax, ymax = first.T[:, None]                  # each (1, N)
    left, top, right, bottom = second.T[:, :, None]            # each (M, 1)
    shared = np.maximum(np.minimum(xmax, right) - np.maximum(xmin, left), 0)
    shared *= np.maximum(np.minimum(ymax, bottom) - np.maximum(ymin, top), 0)
    union = area(first) + area(second)[:, None] - shared
    return (shared / np.maximum(union, np.finfo(np.float32).tiny)).T


def clip(boxes: np.ndarray) -> np.ndarray:
    """Return the boxes cut to the image, [0, 1] on both axes.

    >>> clip(np.array([[-0.5, 0.25, 0.5, 1.75]])).tolist()
    [[0.0, 0.25, 0.5, 1.0]]
    """
    return np.clip(boxes, 0, 1)


def mirror_boxes(boxes: np.ndarray) -> np.ndarray:
    """Return the boxes of an image that was mirrored left to right.

    >>> mirror_boxes(np.array([[0.0, 0.25, 0.25, 1.0]])).tolist()
    [[0.75, 0.25, 1.0, 1.0]]
    """
    boxes = np.asarray(boxes)
    return np.stack([1 - boxes[..., 2], boxes[..., 1],
                     1 - boxes[..., 0], boxes[..., 3]], axis=-1)


def fault(box: Iterable[float]) -> str | None:
    """Say what is wrong with one box, or return None if nothing is.

    Args:
        box: xmin, ymin, xmax, ymax, in fractions of the image.

    Returns:
        A clause such as ``"xmin 0.7 is not below xmax 0.2"``, or None. A
        millionth outside the image is taken for rounding.

    >>> fault([0.7, 0.1, 0.2, 0.5])
    'xmin 0.7 is not below xmax 0.2'
    >>> fault([0.1, 0.1, 0.2, 0.5]) is None
    True
    """
    xmin, ymin, xmax, ymax = (float(value) for value in box)
    if not np.isfinite([xmin, ymin, xmax, ymax]).all():
        return ("a coordinate is not finite: "
                f"{xmin:g} {ymin:g} {xmax:g} {ymax:g}")
    if xmin >= xmax:
        return f"xmin {xmin:g} is not below xmax {xmax:g}"
    if ymin >= ymax:
        return f"ymin {ymin:g} is not below ymax {ymax:g}"
    if min(xmin, ymin) < -1e-6 or max(xmax, ymax) > 1 + 1e-6:
        return ("it leaves the image [0, 1]: "
                f"{xmin:g} {ymin:g} {xmax:g} {ymax:g}")
    return None


FARTHEST = 5     # pictures are larger in pixels, and what is drawn ends sooner


def require_fractions(boxes: np.ndarray, source: str = "the boxes") -> None:
    """Raise if boxes cannot be fractions of a picture.

    Args:
        boxes: (M, 4) corner boxes; they may leave the picture.
        source: what they are, for the message.

    Raises:
        ValueError: a coordinate is so large that it must be one in pixels.
    """
    most = np.abs(boxes).max(initial=0)
    if most > FARTHEST:
        raise ValueError(f"{source}: expected fractions of the picture, "
                         f"found {most:g}: these look like pixels, which are "
                         "divided by (width, height, width, height)")


def in_pixels(boxes: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Turn fractions of a picture into pixels.

    Args:
        boxes: (M, 4) corner boxes in fractions of the picture.
        size: (height, width, ...) of the picture.

    >>> in_pixels(np.array([[0.0, 0.5, 1.0, 1.0]]), (200, 300)).tolist()
    [[0.0, 100.0, 300.0, 200.0]]
    """
    height, width = size[:2]
    return boxes * np.array([width, height, width, height], dtype=np.float32)


def check_boxes(boxes: np.ndarray, labels: np.ndarray, num_classes: float,
                source: str) -> None:
    """Raise if a box or a label of one image cannot be trained on.

    Args:
        boxes: (M, 4) corner boxes in fractions of the image.
        labels: (M,) class indices, 0 to num_classes - 1.
        num_classes: number of foreground classes.
        source: name of the image in messages, such as ``"a.rec, record 3"``.

    Raises:
        ValueError: names the source, the row, what was expected and found.
    """
    if boxes.ndim != 2 or boxes.shape[1:] != (4,):
        raise ValueError(f"{source}: boxes must have shape (M, 4), "
                         f"found {tuple(boxes.shape)}")
    if labels.shape != boxes.shape[:1]:
        raise ValueError(f"{source}: expected one label per box, found "
                         f"{labels.shape[0]} labels for {len(boxes)} boxes")
    for row, (box, label) in enumerate(zip(boxes, labels)):
        problem = fault(box)
        if problem:
            raise ValueError(f"{source}, box {row}: {problem}")
        if not 0 <= label < num_classes:
            raise ValueError(f"{source}, box {row}: label {label} is out of "
                             f"range, expected 0 to {num_classes - 1}")
