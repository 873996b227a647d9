"""What several commands share: options, data sets, detectors, tables."""

from __future__ import annotations

import dataclasses

from tabulate import tabulate

from ... import config as configs
from ...config import DetectConfig
from ...runtime import devices
from ..formats import addresses

DATA = ("what to read: standin, rec:PATH, voc:FOLDER[:SET], coco:FILE, "
        "csv:FILE, yolo:FOLDER, list:FILE or pikachu:FOLDER; `data --help` "
        "explains them and their options")


def input_option(parser):
    """Add --input."""
    parser.add_argument("--input", type=int, nargs="+", metavar="SIDE",
                        help="height and width in pixels, or one for both")


def input_size(options):
    """Return what --input changes of a network, as fields."""
    if not options.input:
        return {}
    if len(options.input) > 2:
        raise ValueError("--input takes one or two sides, found "
                         f"{len(options.input)}")
    return {"input_size": (options.input * 2)[:2]}


def device_option(parser):
    """Add --device."""
    parser.add_argument("--device", choices=("cpu", "gpu"),
                        help="default: a GPU where there is one")


def data_options(parser):
    """Add --data and --bad."""
    parser.add_argument("--data", required=True, metavar="SET", help=DATA)
    parser.add_argument("--bad", choices=("error", "skip"), default="error",
                        help="stop at a faulty image, or leave it out and "
                        "count it")


def detector_options(parser, threshold):
    """Add --weights, --device and a field of DetectConfig each."""
    parser.add_argument("--weights", required=True, metavar="FILE")
    device_option(parser)
    parser.add_argument("--score-threshold", type=float, default=threshold,
                        help=f"least score, default {threshold:g}")
    for name in ("nms_threshold", "candidates", "keep"):
        default = getattr(DetectConfig, name)
        parser.add_argument("--" + name.replace("_", "-"), default=default,
                            type=type(default), help=f"default {default:g}")
    parser.add_argument("--letter-box", action="store_true",
                        help="fit images in undistorted: only for weights "
                        "so old that they do not say that they want it")


def make_detector(options):
    """Return the ``Detector`` that the options ask for."""
    from ...detection import Detector
    context, _ = devices.device(options.device)
    settings = configs.DetectConfig(
        score_threshold=options.score_threshold, keep=options.keep,
        nms_threshold=options.nms_threshold, candidates=options.candidates)
    detector = Detector.from_weights(options.weights, ctx=context,
                                     detect_config=settings)
    if options.letter_box:
        detector.config = dataclasses.replace(detector.config,
                                              resize="letter-box")
    return detector


def open_data(options, spec=None, **more):
    """Open a data set, --data by default; only some take --bad."""
    spec = spec or options.data
    if not spec.startswith("standin"):
        more["bad"] = options.bad
    return addresses.open_dataset(spec, **more)


def pairs(values):
    """Return names and values as a table to read."""
    return tabulate([(name, _text(value)) for name, value in values.items()],
                    tablefmt="plain", disable_numparse=True)


def _text(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "nothing"
    return "-" if value is None else value
