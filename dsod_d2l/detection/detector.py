"""Run a network on images: arrays, files, lists and folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import boxes as box_tools
from .. import transforms
from ..anchors import anchors_for
from ..config import DetectConfig
from ..datasets.base import make_sample
from ..datasets.images import SUFFIXES, read_image
from .outputs import detections_from_outputs, in_pixels


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
        from ..checkpoints import load_model
        net, metadata = load_model(path, options.get("ctx"))
        return cls(net, net.config, metadata["classes"], **options)

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
