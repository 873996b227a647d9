"""A detector that runs an ONNX file, without MXNet."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ... import runtime
from ...config import DetectConfig
from ...config.base import require
from ...detection import Detections, Detector
from ...files import one_line
from ..suppression import SuppressionConfig, all_candidates, suppress
from . import onnx_file

OUTPUTS = ["labels", "scores", "boxes"]


class OnnxDetector(Detector):
    """A ``detection.Detector`` whose network is an ONNX file.

    Pictures are brought to size as for any other; all else, normalisation
    and suppression included, is in the file. Its configuration therefore has
    the mean 0 and the deviation 1.

    Args:
        path: a file of ``export_onnx``.
        detect_config: ``DetectConfig``, default that of the file.
        batch_size: images that go through the network together, where the
            file leaves that free.
        device: "cpu", "gpu", or None for a GPU where onnxruntime has one.

    Raises:
        FileNotFoundError, ValueError: see ``read_facts``; or onnxruntime is
            missing, has no GPU, or cannot run the file.
    """

    def __init__(self, path: str | Path,
                 detect_config: DetectConfig | None = None,
                 batch_size: int = 8, device: str | None = None,
                 suppression: SuppressionConfig | None = None):
        facts = onnx_file.read_facts(path)
        self.path, self.fixed = path, facts.batch
        self.suppression = suppression or SuppressionConfig()
        plain = dataclasses.replace(facts.config, mean=(0, 0, 0),
                                    std=(1, 1, 1))
        super().__init__(open_session(path, facts.data, device),
                         facts.classes, detect_config or facts.detect_config,
                         plain, facts.batch or batch_size)

    def detect_batch(self, batch: np.ndarray) -> list[Detections]:
        """Return a list of ``Detections`` for images from ``to_batch``."""
        images = batch.transpose(0, 2, 3, 1).astype(np.uint8)
        if self.fixed:
            room = np.zeros((self.fixed - len(images), *images.shape[1:]),
                            np.uint8)
            images = np.concatenate([images, room])
        values: dict[str, Any] = {"images": np.ascontiguousarray(images)}
        how, settings = self.suppression, self.detect_config
        plain = how.nms_kind == "per-class"
        for name, value in dataclasses.asdict(settings if plain else (
                all_candidates(settings, len(self.classes)))).items():
            values[name] = np.array([value], np.float32 if "threshold" in name
                                    else np.int64)
        try:
            outputs = self.net.run(OUTPUTS, values)
        except Exception as error:      # onnxruntime has a dozen kinds
            raise ValueError(f"{self.path}: onnxruntime cannot run it: "
                             f"{one_line(str(error))[:200]}") from error
        self._check(outputs, len(images))
        found = [self._found(*row) for row, _ in zip(zip(*outputs), batch)]
        return found if plain else [suppress(one, settings, how)
                                    for one in found]

    def _check(self, outputs, count):
        """Raise unless the graph has answered as one from here does."""
        labels, scores, boxes = outputs
        shape = (count, *labels.shape[1:])
        good = (labels.shape == shape == scores.shape and len(shape) == 2
                and boxes.shape == (*shape, 4) and labels.dtype == np.int64)
        require(good and labels.max(initial=-1) < len(self.classes),
                f"{self.path} does not answer as a graph of export does")
        require(np.isfinite(scores).all(), f"{self.path}: scores and offsets "
                "of the network must be finite, found some that are not")

    @staticmethod
    def _found(labels, scores, boxes):
        real = labels >= 0
        return Detections(labels[real], scores[real], boxes[real])


def open_session(path: str | Path, data: bytes,
                 device: str | None = None) -> Any:
    """Return a session of onnxruntime.

    Args:
        path: of the file, for messages.
        data: its bytes.
        device: see ``OnnxDetector``.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"{path} is run by onnxruntime, which is not "
                         "installed: pip install onnxruntime") from error
    here = onnxruntime.get_available_providers()
    cuda = "CUDAExecutionProvider"
    require(device != "gpu" or cuda in here, f"{path} cannot run on a GPU: "
            "this onnxruntime has none; pip install onnxruntime-gpu in its "
            "place, or leave out --device gpu")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4          # what fails is raised as well
    options.intra_op_num_threads = runtime.threads() or 0
    try:
        return onnxruntime.InferenceSession(data, options, providers=[
            name for name in (cuda, "CPUExecutionProvider")
            if name in here and (name != cuda or device != "cpu")])
    except Exception as error:              # onnxruntime has a dozen kinds
        raise ValueError(f"{path}: onnxruntime cannot run it: "
                         f"{one_line(str(error))[:200]}") from error
