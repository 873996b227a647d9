"""The command export: a network leaves MXNet, as an ONNX file."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from ...config import DetectConfig
from ...config.base import require
from ...datasets.sample import few
from ...datasets.wrappers import complete
from ...files import write_atomically
from ..detectors import evaluate, matched, open_detector
from ..outputs import check_target
from .options import FaultOptions, add_fields, given_fields, open_data, pairs

CALIBRATED = 64          # pictures, from all over a data set


class ExportOptions(FaultOptions):
    """What is written, and where to.

    weights (FILE): the weights, which know their network and its classes
    out (FILE): the file to write, an .onnx
    raw: the bare network, without normalisation, decoding and suppression
    any_size: take pictures of any size, which the graph brings to that of the
        network; else they come in that size
    batch (COUNT): images that it takes at once; None: any number
    licence (TEXT): what the file says of the licence of its weights; None:
        what the weights say, else that it is not stated
    precision: of the network's numbers; others than float32 need --data
    data (SET): with --precision, what it is calibrated on and judged by; see
        `evaluate`
    loss: with --precision, by how much AP may fall; where it falls by more,
        nothing is written
    """

    weights: str
    out: str
    raw: bool = False
    any_size: bool = False
    batch: int | None = None
    licence: str | None = None
    precision: Literal["float32", "float16", "int8"] = "float32"
    data: str | None = None
    loss: float = 0.01


def add_options(parser: ArgumentParser) -> None:
    """Add the options, and the fields of ``DetectConfig`` as defaults."""
    add_fields(parser, ExportOptions)
    add_fields(parser, DetectConfig, defaults=asdict(DetectConfig()))


def run(options: Namespace) -> tuple[Any, str]:
    """Write a network as an ONNX file, from picture to detections."""
    from ...weights import load_model
    from ..exporting.onnx_graph import export_onnx
    check_target(options.out, [options.weights], [".onnx"])
    net, metadata = load_model(options.weights)
    settings = DetectConfig(**given_fields(options, DetectConfig))
    write = partial(export_onnx, net=net, classes=metadata["classes"],
                    detect_config=settings, batch=options.batch,
                    raw=options.raw, licence=options.licence or metadata.get(
                        "licence") or "not stated",
                    any_size=options.any_size, precision=options.precision)
    facts = write(options.out) if options.precision == "float32" else _judged(
        options, write, open_detector(net, metadata["classes"],
                                      detect_config=settings))
    value = {"written": options.out, "bytes": Path(options.out).stat().st_size,
             **{name: fact for name, fact in facts.items() if name != "model"}}
    return value, pairs({**value, "bytes": f"{value['bytes']:,}",
                         "batch": facts["batch"] or "any"})


def _judged(options, write, detector):
    """Write a network of another precision, if it is as good as the whole.
    """
    from ...detection import to_batch
    words = f"--precision {options.precision}"
    require(options.data and not options.raw, f"{words} needs --data SET, to "
            "calibrate on and to judge by, and goes without --raw")
    dataset = matched(open_data(options), detector.classes)
    count, entry = len(dataset), complete(dataset).entry
    known = {label for row in range(count) for label in entry(row).labels}
    lacking = [name for label, name in enumerate(detector.classes)
               if label not in known]
    require(not lacking, f"{words} needs objects of every class to calibrate "
            f"on and to judge by, found none of {few(lacking)} in the {count} "
            f"pictures of --data {options.data}")
    rows = np.linspace(0, count - 1, min(count, CALIBRATED)).astype(int)
    with TemporaryDirectory() as folder:
        path = Path(folder, "judged.onnx")
        facts = write(path, calibration=(
            np.repeat(to_batch([dataset[row].image], detector.config),
                      options.batch or 1, axis=0) for row in rows.tolist()))
        before, after = (evaluate(one, dataset).AP for one in (detector, path))
        require(before - after <= options.loss, f"{words}: AP falls from "
                f"{before:.4f} to {after:.4f}, by more than --loss "
                f"{options.loss:g}; nothing is written")
        write_atomically(options.out, path.read_bytes())
    return {**facts, "AP_before": round(before, 4),
            "AP_after": round(after, 4)}
