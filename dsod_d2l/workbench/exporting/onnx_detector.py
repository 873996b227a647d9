"""A detector that runs an ONNX file, without MXNet."""

import dataclasses
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ...config import DetectConfig
from ...config.base import one_of, require
from ...detection import Detections, Detector
from ...files import one_line
from ...runtime import threads
from ..suppression import SuppressionConfig, all_candidates, suppress
from . import read_facts, require_package

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
        suppression: ``SuppressionConfig``, default that of the file, each
            class on its own.
        runtime: what runs it, see ``RUNTIMES``; None: onnxruntime.

    Raises:
        FileNotFoundError, ValueError: see ``read_facts``; or the runtime is
            missing, has no GPU, or cannot run the file.
    """

    def __init__(self, path: str | Path,
                 detect_config: DetectConfig | None = None,
                 batch_size: int = 8, device: str | None = None,
                 suppression: SuppressionConfig | None = None,
                 runtime: str | None = None):
        runtime = runtime or "onnxruntime"
        one_of("runtime", runtime, RUNTIMES)
        facts = read_facts(path)
        self.path, self.fixed, self.runtime = path, facts.batch, runtime
        self.suppression = suppression or SuppressionConfig()
        plain = dataclasses.replace(facts.config, mean=(0, 0, 0),
                                    std=(1, 1, 1))
        super().__init__(self._told(RUNTIMES[runtime], path, facts.data,
                                    device),
                         facts.classes, detect_config or facts.detect_config,
                         plain, facts.batch or batch_size)

    def detect_batch(self, batch: np.ndarray) -> list[Detections]:
        """Return a list of ``Detections`` for images from ``to_batch``."""
        room = max((self.fixed or 0) - len(batch), 0)
        images = np.pad(batch.transpose(0, 2, 3, 1).astype(np.uint8),
                        [(0, room), *3 * [(0, 0)]])
        how, settings = self.suppression, self.detect_config
        plain = how.nms_kind == "per-class"
        outputs = self._told(self.net, {
            "images": images, **threshold_inputs(
                settings if plain else all_candidates(
                    settings, len(self.classes)))})
        self._check(outputs, len(images))
        found = [Detections(*(part[row[0] >= 0] for part in row))
                 for row, _ in zip(zip(*outputs), batch)]
        return found if plain else [suppress(one, settings, how)
                                    for one in found]

    def _told(self, function, *given):
        """Call a function of a runtime, each of which has errors of its own.
        """
        try:
            return function(*given)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"{self.path}: {self.runtime} cannot run it: "
                             f"{one_line(str(error))[:200]}") from error

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


def threshold_inputs(settings: DetectConfig) -> dict[str, np.ndarray]:
    """Return what a graph takes beside pictures, by the names of the fields.
    """
    return {name: np.array([value], np.float32 if "threshold" in name
                           else np.int64)
            for name, value in dataclasses.asdict(settings).items()}


def _onnxruntime(path, data, device):
    """Return a function of the graph's inputs, run by onnxruntime."""
    onnxruntime = require_package("onnxruntime", f"running {path}")
    here = onnxruntime.get_available_providers()
    cuda = "CUDAExecutionProvider"
    require(device != "gpu" or cuda in here, f"{path} cannot run on a GPU: "
            "this onnxruntime has none; pip install onnxruntime-gpu in its "
            "place, or leave out --device gpu")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4          # what fails is raised as well
    options.intra_op_num_threads = threads() or 0
    return partial(onnxruntime.InferenceSession(data, options, providers=[
        name for name in (cuda, "CPUExecutionProvider")
        if name in here and (name != cuda or device != "cpu")]).run, OUTPUTS)


def _openvino(precision, path, data, device):
    """Return a function of the graph's inputs, run by OpenVINO."""
    openvino = require_package("openvino", "--runtime openvino")
    require(device != "gpu", f"{path} cannot run on a GPU by OpenVINO here: "
            "leave out --device gpu, or --runtime")
    model = require_package("onnx", "OpenVINO").load_model_from_string(data)
    # OpenVINO takes what has a default for what never changes.
    own = [one for one in model.graph.initializer
           if one.name not in threshold_inputs(DetectConfig())]
    del model.graph.initializer[:]
    model.graph.initializer.extend(own)
    # Version 2026.4 ends without a word on 8 bits and a batch that is fixed.
    images = model.graph.input[0].type.tensor_type.shape
    images.dim[0].dim_param = "batch"
    core = openvino.Core()
    run = core.compile_model(
        core.read_model(io.BytesIO(model.SerializeToString())), "CPU",
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision,
         **({"INFERENCE_NUM_THREADS": threads()} if threads() else {})})

    def outputs(values):
        found = run(values)
        return [found[name] for name in OUTPUTS]
    return outputs


# bfloat16: where the processor computes with it, as most do in convolutions.
RUNTIMES: dict[str, Callable] = {
    "onnxruntime": _onnxruntime, "openvino": partial(_openvino, "f32"),
    "openvino-bfloat16": partial(_openvino, "bf16")}
