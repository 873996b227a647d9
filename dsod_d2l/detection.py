"""Detection: from class scores and offsets to labelled boxes.

All is NumPy. A network of MXNet says by its ``predict`` how such arrays go in
and out of it; other functions of a batch need nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import boxes as box_tools, transforms
from .anchors import anchors_for
from .boxes import area, clip, iou
from .config import DetectConfig, ModelConfig
from .config.base import require
from .config.schedules import DRAWN
from .datasets.pictures import SUFFIXES, read_image
from .datasets.sample import make_sample
from .targets import VARIANCES, decode

BLOCK = 128      # boxes that nms compares at once: bounds its memory


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """What was found in one picture, highest score first.

    It is as long as there are detections, yields (label, score, box) for
    each, and gives those of an index, a slice or a mask.

    labels: (D,) int64, class indices from 0.
    scores: (D,) float32, probabilities.
    boxes: (D, 4) float32 corner boxes, in the unit.
    size: (height, width) of the picture in pixels; None: not known.
    unit: "fractions" of the picture, or "pixels".
    classes: names of the classes; (): not known.
    picture: uint8 (H, W, 3) array, or the path of an image; None: not known.
    image_id: of the picture in its data set; None: it has none.

    Raises:
        ValueError: the boxes are no fractions, and the unit says so.

    >>> half = Detections([0], [.9], np.array([[0, .5, 1, 1]]), (200, 300))
    >>> half.pixels().boxes.tolist()
    [[0.0, 100.0, 300.0, 200.0]]
    """

    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    size: tuple[int, int] | None = None
    unit: str = "fractions"
    classes: tuple[str, ...] = ()
    picture: np.ndarray | str | Path | None = None
    image_id: int | str | None = None

    def __post_init__(self):
        if self.unit == "fractions":
            box_tools.require_fractions(self.boxes, "boxes of Detections")

    def __len__(self):
        return len(self.labels)

    def __iter__(self):
        return zip(self.labels, self.scores, self.boxes)

    def __getitem__(self, rows):
        rows = np.atleast_1d(np.arange(len(self))[rows])
        return replace(self, labels=self.labels[rows],
                       scores=self.scores[rows], boxes=self.boxes[rows])

    def __repr__(self):
        best = [f"{self.classes[label] if self.classes else label} {score:.0%}"
                for label, score in zip(self.labels[:3], self.scores)]
        words = ", ".join(best + ["..."] * (len(self) > 3))
        return f"Detections({len(self)} found{': ' * bool(best)}{words})"

    def pixels(self) -> Detections:
        """Return them with boxes in pixels of the picture."""
        if self.unit == "pixels":
            return self
        if self.size is None:
            raise ValueError("the size of the picture is not known: "
                             "Detections take it as size=(height, width)")
        return replace(self, unit="pixels",
                       boxes=box_tools.in_pixels(self.boxes, self.size))

    def image(self) -> np.ndarray:
        """Return the picture, uint8 (H, W, 3), read if need be."""
        if self.picture is None:
            raise ValueError("the picture is not known: Detections take it "
                             "as picture=, an array or a path")
        return _as_image(self.picture)

    def draw(self, ax: Any = None, least: float = DRAWN) -> Any:
        """Draw them on their picture.

        Args:
            ax: Axes, default those of a new figure.
            least: score below which nothing is drawn.

        Returns:
            The Axes.

        Raises:
            ValueError: the picture is not known, or boxes are in pixels.
        """
        from matplotlib import pyplot as plt

        require(not isinstance(ax, (str, Path)), "expected Axes to draw on; "
                f"draw().figure.savefig({str(ax)!r}) writes a file")
        from .visualisation import draw_detections
        ax = ax or plt.figure().add_subplot()
        draw_detections(ax, self[self.scores >= least])
        return ax


def softmax(scores: np.ndarray) -> np.ndarray:
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


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float = 0.45
        ) -> np.ndarray:
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


def best_first(scores: np.ndarray, count: int) -> np.ndarray:
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


def detections_from_outputs(class_scores: np.ndarray, offsets: np.ndarray,
                            anchors: np.ndarray,
                            config: DetectConfig | None = None,
                            variances: Any = VARIANCES) -> Detections:
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
    check_outputs(class_scores, offsets, anchors)
    scores = softmax(class_scores)[:, 1:]
    likely = np.flatnonzero((scores >= config.score_threshold).any(axis=1))
    with np.errstate(over="ignore"):      # an endless box is cut below
        boxes = clip(decode(offsets[likely], anchors[likely], variances))
    inside = area(boxes) > 0
    boxes, scores = boxes[inside], scores[likely[inside]]
    found = [class_rows(boxes, column, config) for column in scores.T.copy()]
    rows = np.concatenate(found)
    labels = np.repeat(np.arange(scores.shape[1]), [len(f) for f in found])
    best = best_first(scores[rows, labels], config.keep)
    rows, labels = rows[best], labels[best]
    return Detections(labels, scores[rows, labels].astype(np.float32),
                      boxes[rows].astype(np.float32))


def class_rows(boxes: np.ndarray, scores: np.ndarray, config: DetectConfig
               ) -> np.ndarray:
    """Return the rows that are detections of one class."""
    rows = np.flatnonzero(scores >= config.score_threshold)
    rows = rows[best_first(scores[rows], config.candidates)]
    return rows[nms(boxes[rows], scores[rows], config.nms_threshold)]


def check_outputs(class_scores: np.ndarray, offsets: np.ndarray,
                  anchors: np.ndarray) -> None:
    """Raise ValueError unless the rows fit and all numbers are finite."""
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


def to_batch(images: Sequence[np.ndarray], config: ModelConfig) -> np.ndarray:
    """Return images as the network wants them.

    Args:
        images: list of uint8 (H, W, 3) RGB arrays of any size.
        config: ``ModelConfig``: its input size and how to bring images to
            it, its mean and std.

    Returns:
        float32 (B, 3, height, width) array, normalised.

    Raises:
        ValueError: an image has another type or shape.
    """
    height, width = config.input_size
    bring, _ = transforms.RESIZINGS[config.resize]
    batch = np.empty((len(images), height, width, 3), dtype=np.float32)
    for row, image in enumerate(images):
        require(image.dtype == np.uint8 and image.ndim == 3
                and image.shape[2] == 3 and image.size, f"image {row}: "
                "expected a uint8 (H, W, 3) array, found "
                f"{image.dtype} {image.shape}")
        batch[row] = bring(make_sample(image, (), ()), config.input_size).image
    batch -= np.array(config.mean, dtype=np.float32)
    batch /= np.array(config.std, dtype=np.float32)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2))


class Detector:
    """A network with all it takes to run it on pictures.

    Calling it detects: ``detector(source)`` is ``detector.detect(source)``.

    Args:
        net: a ``models.Network``; or a function of a batch, as ``to_batch``
            makes it, that returns class scores (B, N, K + 1) and offsets
            (B, N, 4), arrays before the softmax and the decoding.
        classes: names of the foreground classes.
        detect_config: ``DetectConfig``, default the authors' values.
        config: ``ModelConfig``, default that of the network.
        batch_size: images that go through the network together.

    Raises:
        ValueError: there is no configuration, or the number of names is not
            that of its classes.
    """

    def __init__(self, net: Any, classes: Sequence[str],
                 detect_config: DetectConfig | None = None,
                 config: ModelConfig | None = None, batch_size: int = 8):
        config = config or getattr(net, "config", None)
        if config is None:
            raise ValueError("config= must give the ModelConfig of a network "
                             f"without one, found {type(net).__name__}")
        found = 0 if isinstance(classes, str) else len(classes)
        require(found == config.num_classes, "classes must name "
                f"{config.num_classes} classes, found {found} names: "
                f"{classes!r:.80}")
        self.net, self.config, self.classes = net, config, tuple(classes)
        self.detect_config = detect_config or DetectConfig()
        self.batch_size = batch_size
        self.anchors = anchors_for(config)

    @classmethod
    def from_weights(cls, path: str | Path, *, ctx: Any = None,
                     **options: Any) -> Detector:
        """Make a detector from a file that training wrote.

        Args:
            path: the file.
            ctx: MXNet context, default the CPU.
            options: of ``Detector``.
        """
        from .weights import load_model
        net, metadata = load_model(path, ctx)
        return cls(net, metadata["classes"], **options)

    def detect(self, source: Any) -> Any:
        """Find the objects in a picture: an array, a path, a list, a folder.

        Args:
            source: a uint8 (H, W, 3) RGB array of any size, a ``Sample``,
                the path of an image, a list of these, or the path of a
                folder.

        Returns:
            ``Detections``; for a list a list of them; for a folder a
            dictionary, name of the image file -> ``Detections``.

        Raises:
            FileNotFoundError, ValueError: there is no image to be read.
        """
        if isinstance(source, (str, Path)) and Path(source).is_dir():
            files = _image_files(source)
            return {file.name: found for file, found
                    in zip(files, self._detect_all(files))}
        source = getattr(source, "image", source)
        if isinstance(source, (list, tuple)):
            return self._detect_all(source)
        return self._detect_all([source])[0]

    __call__ = detect

    def detect_batch(self, batch: np.ndarray) -> list[Detections]:
        """Return a list of ``Detections`` for images from ``to_batch``."""
        outputs = getattr(self.net, "predict", self.net)(batch)
        last = getattr(self.net, "last_step",
                       lambda outputs, anchors: (*outputs, anchors))
        rows = [last(image, self.anchors) for image in zip(*outputs)]
        return [detections_from_outputs(scores, offsets, anchors,
                                        self.detect_config,
                                        self.config.variances)
                for scores, offsets, anchors in rows]

    def _detect_all(self, sources):
        found = []
        for start in range(0, len(sources), self.batch_size):
            part = sources[start:start + self.batch_size]
            images = [_as_image(source) for source in part]
            results = self.detect_batch(to_batch(images, self.config))
            found += map(self._in_picture, results, part, images)
        return found

    def _in_picture(self, found, source, image):
        """Return detections in the network's input as those in a picture."""
        _, undo = transforms.RESIZINGS[self.config.resize]
        size = image.shape[:2]
        boxes = undo(found.boxes, size, self.config.input_size)
        found = replace(found, boxes=boxes, size=size, picture=source,
                        classes=self.classes)
        return found[box_tools.area(boxes) > 0]     # not those in the filling


def _as_image(source):
    """Return an image, read where its path is given."""
    source = getattr(source, "image", source)
    require(isinstance(source, (str, Path, np.ndarray)), "expected a picture, "
            "a uint8 (H, W, 3) array or a path, found "
            f"{type(source).__name__}" + "; np.asarray(picture.convert('RGB'"
            ")) makes one" * hasattr(source, "convert"))
    return source if isinstance(source, np.ndarray) else read_image(source)


def _image_files(folder):
    files = [file for file in sorted(Path(folder).iterdir())
             if file.suffix.lower() in SUFFIXES]
    require(files, f"{folder}: expected image files ({', '.join(SUFFIXES)}), "
            "found none")
    return files
