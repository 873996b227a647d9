"""The options of info and data."""

from __future__ import annotations

from ..config import PRESETS

DATA = "rec:PATH, standin[:train|val] or pikachu:FOLDER[:train|val]"


def info(parser):
    """Add the options of ``info``."""
    parser.add_argument("--model", choices=PRESETS, help="a network to "
                        "describe; without it, the machine is described")
    parser.add_argument("--num-classes", type=int, help="foreground classes")
    parser.add_argument("--input", type=int, nargs="+", metavar="SIDE",
                        help="height and width in pixels, or one for both")
    parser.add_argument("--authors", action="store_true", help="the network "
                        "as the authors' code builds it, slips included")
    parser.add_argument("--time", action="store_true",
                        help="measure the forward pass of one image")
    parser.add_argument("--picture", metavar="FILE",
                        help="draw the network into an image file")


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
