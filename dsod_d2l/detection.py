"""Detection: from class scores and offsets to labelled boxes.

All functions are NumPy. Only ``Detector``, which runs a network on images,
meets MXNet, and imports it when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import boxes as box_tools, transforms
from .anchors import anchors_for
from .boxes import area, clip, iou
from .config import DetectConfig
from .datasets.pictures import SUFFIXES, read_image
from .datasets.sample import make_sample
from .targets import VARIANCES, decode

BLOCK = 128      # boxes that nms compares at once: bounds its memory


class Detections(NamedTuple):
    """What was found in one image, highest score first.

    labels: (D,) int64, class indices from 0.
    scores: (D,) float32, probabilities.
    boxes: (D, 4) float32 corner boxes.
    """

    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray


def in_pixels(detections, image_shape):
    """Return the detections with boxes in pixels of the image.

    Args:
        detections: ``Detections`` in fractions of the image.
        image_shape: (height, width, ...) of the image.

    >>> half = Detections([0], [.9], np.array([[0.0, 0.5, 1.0, 1.0]]))
    >>> in_pixels(half, (200, 300)).boxes.tolist()
    [[0.0, 100.0, 300.0, 200.0]]
    """
    height, width = image_shape[:2]
    scale = np.array([width, height, width, height], dtype=np.float32)
    return detections._replace(boxes=detections.boxes * scale)


def softmax(scores):
    """Turn class scores into probabilities, over the last axis.

    Args:
        scores: (..., K + 1) array, finite.

    Returns:
        Array of the same shape; every row sums to 1, whatever its size.

    >>> softmax(np.array([[1000.0, 1000.0], [0.0, -1000.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def nms(boxes, scores, threshold=0.45):
    """Drop every box that overlaps a better one: non-maximum suppression.

    Args:
        boxes: (N, 4) corner boxes, all of one class.
        scores: (N,) scores; of equal ones the first in the array is better.
        threshold: IoU above which the worse of two boxes is dropped.

    Returns:
        int64 array of the indices kept, best first.

    Paper: SSD, section 3.7 (arXiv:1512.02325).

    >>> boxes = np.array([[0, 0, .5, 1], [0, 0, .5, .9], [.5, 0, 1, 1]])
    >>> nms(boxes, np.array([0.6, 0.9, 0.7])).tolist()
    [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    kept = [order[:0]]
    while len(order):
        block, order = order[:BLOCK], order[BLOCK:]
        overlaps = iou(boxes[block], boxes[block]) > threshold
        alive = np.ones(len(block), dtype=bool)
        for row in range(len(block)):
            if alive[row]:
                alive[row + 1:] &= ~overlaps[row, row + 1:]
        kept.append(block[alive])
        if len(order):
            worse = iou(boxes[order], boxes[kept[-1]]) > threshold
            order = order[~worse.any(axis=1)]
    return np.concatenate(kept)


def best_first(scores, count):
    """Return the indices of the highest scores, best first.

    Args:
        scores: (N,) array.
        count: how many to return at most.

    Returns:
        int64 array; of equal scores the first in the array comes first.

    >>> best_first(np.array([0.5, 0.2, 0.9, 0.5, 0.5]), 3).tolist()
    [2, 0, 3]
    """
    chosen = np.arange(len(scores))
    if len(scores) > count:       # cheaper than sorting all of them
        least = np.partition(scores, -count)[-count]
        chosen = np.flatnonzero(scores >= least)
    order = np.argsort(-scores[chosen], kind="stable")
    return chosen[order[:count]]


def detections_from_outputs(class_scores, offsets, anchors, config=None,
                            variances=VARIANCES):
    """Turn the outputs of a network for one image into detections.

    Each class on its own: scores below the threshold leave, the best
    candidates stay, ``nms`` thins them out. The best of all classes are
    kept. One anchor may give detections of several classes.

    Args:
        class_scores: (N, K + 1) before the softmax, class 0 background.
        offsets: (N, 4) predicted dx, dy, dw, dh.
        anchors: (N, 4) corner boxes.
        config: ``DetectConfig``, default the authors' values.
        variances: see ``targets.encode``.

    Returns:
        ``Detections``, boxes cut to the image; a box of which nothing is
        left there is no candidate.

    Raises:
        ValueError: the numbers of rows differ, or an output is not finite.

    Paper: SSD, section 3.7 (arXiv:1512.02325).
    """
    config = config or DetectConfig()
    _check_outputs(class_scores, offsets, anchors)
    scores = softmax(class_scores)[:, 1:]
    likely = np.flatnonzero((scores >= config.score_threshold).any(axis=1))
    with np.errstate(over="ignore"):      # an endless box is cut below
        boxes = clip(decode(offsets[likely], anchors[likely], variances))
    inside = area(boxes) > 0
    boxes, scores = boxes[inside], scores[likely[inside]]
    found = [_one_class(boxes, column, config) for column in scores.T.copy()]
    rows = np.concatenate(found)
    labels = np.repeat(np.arange(scores.shape[1]), [len(f) for f in found])
    best = best_first(scores[rows, labels], config.keep)
    rows, labels = rows[best], labels[best]
    return Detections(labels, scores[rows, labels].astype(np.float32),
                      boxes[rows].astype(np.float32))


def _one_class(boxes, scores, config):
    """Return the rows that are detections of one class."""
    rows = np.flatnonzero(scores >= config.score_threshold)
    rows = rows[best_first(scores[rows], config.candidates)]
    return rows[nms(boxes[rows], scores[rows], config.nms_threshold)]


def _check_outputs(class_scores, offsets, anchors):
    rows = {len(class_scores), len(offsets), len(anchors)}
    if len(rows) > 1 or class_scores.ndim != 2 or offsets.shape[1:] != (4,):
        raise ValueError("expected class_scores (N, K + 1) and offsets "
                         f"(N, 4) for {len(anchors)} anchors, found "
                         f"{class_scores.shape} and {offsets.shape}")
    for name, values in (("class_scores", class_scores),
                         ("offsets", offsets)):
        if not np.isfinite(values).all():
            bad = np.count_nonzero(~np.isfinite(values))
            raise ValueError(f"{name} must be finite, found {bad} values "
                             "that are not")


def to_batch(images, config, letter_box=False):
    """Return images as the network wants them.

    Args:
        images: list of uint8 (H, W, 3) RGB arrays of any size.
        config: ``ModelConfig``; its input size, mean and std.
        letter_box: fit images in without distorting them; else stretch.

    Returns:
        float32 (B, 3, height, width) array, normalised.

    Raises:
        ValueError: an image has another type or shape.
    """
    height, width = config.input_size
    bring = transforms.letter_box if letter_box else transforms.resize
    batch = np.empty((len(images), height, width, 3), dtype=np.float32)
    for row, image in enumerate(images):
        if (image.dtype != np.uint8 or image.ndim != 3
                or image.shape[2] != 3 or not image.size):
            raise ValueError(f"image {row}: expected a uint8 (H, W, 3) array, "
                             f"found {image.dtype} {image.shape}")
        sample = make_sample(image, (), ())
        batch[row] = bring(sample, config.input_size).image
    batch -= np.array(config.mean, dtype=np.float32)
    batch /= np.array(config.std, dtype=np.float32)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2))


class Detector:
    """A network with all it takes to run it on images.

    Args:
        net: called on (B, 3, height, width), returns (class_scores,
            offsets), or what its ``last_step`` makes these of, see
            ``models.Network``.
        config: ``ModelConfig`` of that network.
        classes: names of the foreground classes.
        detect_config: ``DetectConfig``, default the authors' values.
        ctx: MXNet context, default that of the network's parameters.
        batch_size: images that go through the network together.

    Raises:
        ValueError: the number of names is not that of the classes.
    """

    def __init__(self, net, config, classes, detect_config=None, ctx=None,
                 batch_size=8):
        if len(classes) != config.num_classes:
            raise ValueError(f"classes must name {config.num_classes} "
                             f"classes, found {len(classes)} names")
        self.net, self.config, self.classes = net, config, tuple(classes)
        self.detect_config = detect_config or DetectConfig()
        # Default: where the network's numbers are.
        self.ctx = ctx or next(iter(net.collect_params().values())
                               ).list_ctx()[0]
        self.batch_size = batch_size
        self.anchors = anchors_for(config)

    @classmethod
    def from_weights(cls, path, **options):
        """Make a detector from a file that training wrote."""
        from .weights import load_model
        net, metadata = load_model(path, options.get("ctx"))
        return cls(net, net.config, metadata["classes"], **options)

    def __call__(self, source):
        """Find the objects in one image or in many, see ``detect``."""
        return self.detect(source)

    def detect(self, source, pixels=False):
        """Find the objects in one image or in many.

        Args:
            source: a uint8 (H, W, 3) RGB array of any size, the path of an
                image, a list of these, or the path of a folder.
            pixels: True for boxes in pixels of the original image.

        Returns:
            ``Detections``; for a list a list of them; for a folder a
            dictionary, name of the image file -> ``Detections``.

        Raises:
            FileNotFoundError, ValueError: there is no image to be read.
        """
        if isinstance(source, (str, Path)) and Path(source).is_dir():
            files = _image_files(source)
            return dict(zip([file.name for file in files],
                            self._detect_all(files, pixels)))
        if isinstance(source, (list, tuple)):
            return self._detect_all(source, pixels)
        return self._detect_all([source], pixels)[0]

    def detect_batch(self, batch):
        """Return a list of ``Detections`` for images from ``to_batch``."""
        import mxnet as mx
        outputs = self.net(mx.nd.array(batch, ctx=self.ctx))
        last = getattr(self.net, "last_step", _one_step)
        return [detections_from_outputs(*last(image, self.anchors),
                                        self.detect_config,
                                        self.config.variances)
                for image in zip(*(o.asnumpy() for o in outputs))]

    def _detect_all(self, sources, pixels):
        found = []
        for start in range(0, len(sources), self.batch_size):
            images = [source if isinstance(source, np.ndarray)
                      else read_image(source)
                      for source in sources[start:start + self.batch_size]]
            boxed = self.detect_config.letter_box
            results = self.detect_batch(to_batch(images, self.config, boxed))
            if boxed:
                results = [_out_of_box(result, image, self.config.input_size)
                           for result, image in zip(results, images)]
            if pixels:
                results = [in_pixels(result, image.shape)
                           for result, image in zip(results, images)]
            found += results
        return found


def detect(source, weights, **options):
    """Find the objects in images with the network of a weights file.

    Args:
        source: see ``Detector.detect``; images of any size, or a folder.
        weights: a file that training wrote.
        options: of ``Detector``, such as ``detect_config``.

    Returns:
        As ``Detector.detect``, with boxes in pixels of the original image.
    """
    return Detector.from_weights(weights, **options).detect(source,
                                                            pixels=True)


def _one_step(outputs, anchors):
    """Return the outputs of one image with the boxes that they move."""
    return (*outputs, anchors)


def _out_of_box(found, image, size):
    """Return detections in the picture; those in the filling are dropped."""
    boxes = transforms.undo_letter_box(found.boxes, image.shape, size)
    kept = box_tools.area(boxes) > 0
    return found._replace(labels=found.labels[kept],
                          scores=found.scores[kept], boxes=boxes[kept])


def _image_files(folder):
    files = [file for file in sorted(Path(folder).iterdir())
             if file.suffix.lower() in SUFFIXES]
    if not files:
        raise ValueError(f"{folder}: expected image files "
                         f"({', '.join(SUFFIXES)}), found none")
    return files
