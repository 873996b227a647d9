"""The options of info, and how data sets are named."""

from __future__ import annotations

from ..config import NAMED

DATA = ("what to read: standin, rec:PATH, voc:FOLDER[:SET], coco:FILE, "
        "csv:FILE, yolo:FOLDER, list:FILE or pikachu:FOLDER; `data --help` "
        "explains them and their options")


def info(parser):
    """Add the options of ``info``."""
    parser.add_argument("--model", choices=NAMED, help="a network to "
                        "describe; without it, the machine is described")
    parser.add_argument("--num-classes", type=int, help="foreground classes")
    input_option(parser)
    parser.add_argument("--authors", action="store_true", help="the network "
                        "as the authors' code builds it, slips included")
    parser.add_argument("--time", action="store_true",
                        help="measure the forward pass of one image")
    parser.add_argument("--picture", metavar="FILE",
                        help="draw the network into an image file")


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
