"""The options of each command."""

from __future__ import annotations

import dataclasses

from ..config import PRESETS, DetectConfig, TrainConfig

DATA = "rec:PATH, standin[:train|val] or pikachu:FOLDER[:train|val]"
DRAWN = 0.3     # least score of what detect shows: most of the rest is noise


def info(parser):
    """Add the options of ``info``."""
    parser.add_argument("--model", choices=PRESETS, help="a network to "
                        "describe; without it, the machine is described")
    parser.add_argument("--num-classes", type=int, help="foreground classes")
    parser.add_argument("--input", type=int, nargs="+", metavar="SIDE",
                        help="height and width in pixels, or one for both")


def data(parser):
    """Add the options of ``data``."""
    parser.add_argument("set", choices=("standin", "pikachu"),
                        help="render the stand-in, or download Pikachu")
    parser.add_argument("--folder", help="where to; default: data/")
    parser.add_argument("--train", type=int, default=1000, metavar="COUNT",
                        help="training images of the stand-in")
    parser.add_argument("--val", type=int, default=200, metavar="COUNT",
                        help="validation images of the stand-in")
    parser.add_argument("--objects", type=int, nargs="+", default=[1],
                        metavar="COUNT", help="objects in each image of the "
                        "stand-in: a number, or fewest and most")
    parser.add_argument("--size", type=int, default=256, metavar="SIDE",
                        help="side of the stand-in's images in pixels")
    parser.add_argument("--workers", type=int, help="processes that render")


def train(parser):
    """Add the options of ``train``: one for every field of TrainConfig."""
    parser.add_argument("--data", required=True, metavar="SET", help=DATA)
    parser.add_argument("--out", required=True, metavar="FOLDER",
                        help="where weights, checkpoints and history go")
    parser.add_argument("--model", choices=PRESETS, default="dsod_tiny")
    parser.add_argument("--resume", action="store_true", help="go on from "
                        "the newest checkpoint in FOLDER")
    _common(parser)
    for field in dataclasses.fields(TrainConfig):
        _from_field(parser, field)


def evaluate(parser):
    """Add the options of ``evaluate``."""
    parser.add_argument("--weights", required=True, metavar="FILE")
    parser.add_argument("--data", required=True, metavar="SET", help=DATA)
    _common(parser)
    _detection(parser, DetectConfig.score_threshold)


def detect(parser):
    """Add the options of ``detect``."""
    parser.add_argument("image", metavar="IMAGE", help="an image file, or a "
                        "folder of them")
    parser.add_argument("--weights", required=True, metavar="FILE")
    parser.add_argument("--out", metavar="PATH", help="write the image with "
                        "its boxes; for a folder of images, a folder")
    parser.add_argument("--device", choices=("cpu", "gpu"))
    _detection(parser, DRAWN)


def _common(parser):
    parser.add_argument("--bad", choices=("error", "skip"), default="error",
                        help="stop at a faulty image, or leave it out and "
                        "count it")
    parser.add_argument("--device", choices=("cpu", "gpu"),
                        help="default: a GPU where there is one")


def _detection(parser, threshold):
    parser.add_argument("--score-threshold", type=float, default=threshold,
                        help=f"least score, default {threshold:g}")
    for name in ("nms_threshold", "candidates", "keep"):
        default = getattr(DetectConfig, name)
        parser.add_argument("--" + name.replace("_", "-"), default=default,
                            type=type(default), help=f"default {default:g}")
    parser.add_argument("--letter-box", action="store_true",
                        help="fit images in undistorted, for networks "
                        "trained with --augment letter-box")


def _from_field(parser, field):
    """Add an option for one field of TrainConfig."""
    default, name = field.default, "--" + field.name.replace("_", "-")
    if isinstance(default, tuple):
        parser.add_argument(name, type=float, nargs="+", default=default,
                            help=f"default {' '.join(map(str, default))}")
        return
    kind = {"clip": float, "workers": int}.get(field.name, type(default))
    parser.add_argument(name, type=kind, default=default,
                        help=f"default {default}")
