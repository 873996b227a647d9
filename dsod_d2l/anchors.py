"""Anchors: the boxes a detector starts from, laid over each feature map."""

from collections.abc import Sequence

import numpy as np

from .boxes import clip
from .config.base import AnchorSpec, ModelConfig


def cell_shapes(spec: AnchorSpec) -> np.ndarray:
    """Return the width and height of the anchors that one cell carries.

    The first size is combined with every ratio, the other sizes with the
    first ratio only: n sizes and m ratios give n + m - 1 shapes.

    Args:
        spec: an ``AnchorSpec``; sizes in fractions of the image height,
            ratios as width / height on a square image.

    Returns:
        (A, 2) float64 array of width and height, both in fractions of the
        image height: every size with the first ratio, then the first size
        with every other ratio.

    Paper: SSD, section 2.2 (arXiv:1512.02325).
    """
    pairs = [(size, spec.ratios[0]) for size in spec.sizes]
    pairs += [(spec.sizes[0], ratio) for ratio in spec.ratios[1:]]
    sizes, ratios = np.array(pairs, dtype=np.float64).T
    return np.stack([sizes * ratios ** 0.5, sizes / ratios ** 0.5], axis=1)


def map_anchors(map_shape: tuple[int, int], spec: AnchorSpec,
                image_shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return every anchor of one feature map, as corner boxes.

    Args:
        map_shape: (rows, columns) of the feature map, in cells.
        spec: ``AnchorSpec`` of this map; ``spec.step`` is the distance of
            neighbouring centres in fractions of the image height, or None
            for centres spread evenly over the image.
        image_shape: (height, width) of the network input. An anchor of
            ratio 1 is a square of this image. Default: in proportion to
            the map, as MXNet's MultiBoxPrior assumes.

    Returns:
        float32 array (rows * columns * A, 4) of xmin, ymin, xmax, ymax, row
        by row, then column, then shape. Anchors may leave the image.

    Raises:
        ValueError: a map or image side is below 1.

    Paper: SSD, section 2.2 (arXiv:1512.02325), kept by DSOD
    (arXiv:1708.01241).

    >>> from dsod_d2l.config import AnchorSpec
    >>> wide = map_anchors((2, 4), AnchorSpec(sizes=(0.5,), ratios=(1, 4)))
    >>> wide.shape
    (16, 4)
    >>> wide[:2].tolist()                       # x is half as long as y
    [[0.0, 0.0, 0.25, 0.5], [-0.125, 0.125, 0.375, 0.375]]
    """
    rows, columns = map_shape
    height, width = image_shape or map_shape
    if min(rows, columns, height, width) < 1:
        raise ValueError("a map and an image need at least one row and one "
                         f"column, found {tuple(map_shape)} and "
                         f"{image_shape}")
    aspect = height / width
    step_y = spec.step or 1 / rows
    step_x = spec.step * aspect if spec.step else 1 / columns
    x, y = np.meshgrid((np.arange(columns) + 0.5) * step_x,
                       (np.arange(rows) + 0.5) * step_y)
    centres = np.stack([x, y], axis=-1)[:, :, None]      # (rows, cols, 1, 2)
    halves = cell_shapes(spec) * [aspect, 1] / 2         # (A, 2)
    corners = np.concatenate([centres - halves, centres + halves], axis=-1)
    return corners.reshape(-1, 4).astype(np.float32)


def all_anchors(map_shapes: Sequence, specs: Sequence[AnchorSpec],
                image_shape: tuple[int, int]) -> np.ndarray:
    """Return the anchors of all feature maps, finest map first.

    Args:
        map_shapes: (rows, columns) of each map.
        specs: one ``AnchorSpec`` per map.
        image_shape: (height, width) of the network input.

    Returns:
        float32 array (N, 4) of corner boxes, in the order of the network's
        predictions.

    Raises:
        ValueError: the numbers of maps and specs differ.
    """
    if len(map_shapes) != len(specs):
        raise ValueError(f"{len(map_shapes)} feature maps need as many "
                         f"AnchorSpec rows, found {len(specs)}")
    return np.concatenate([map_anchors(shape, spec, image_shape)
                           for shape, spec in zip(map_shapes, specs)])


def anchors_for(config: ModelConfig) -> np.ndarray:
    """Return all anchors, (N, 4), of a model configuration.

    They are cut at the image's edge if it says so.

    >>> from dsod_d2l import config
    >>> anchors_for(config.get("dsod300")).shape
    (8744, 4)
    """
    found = all_anchors(config.map_shapes(), config.anchors,
                        config.input_size)
    return clip(found) if config.clip_anchors else found
