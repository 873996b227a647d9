"""The command ``data``: make, download, convert and check data sets."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ... import config as configs
from .. import downloads
from ..formats import addresses, conversion
from .options import pairs


def run(chosen):
    """Make, download, convert or check a data set."""
    return DATA_COMMANDS[chosen.set][0](chosen)


def add_options(parser):
    """Add the sub-commands of ``data`` with their options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = addresses.describe_addresses()
    parts = parser.add_subparsers(dest="set", required=True,
                                  metavar="COMMAND")
    for name, (function, add) in DATA_COMMANDS.items():
        text = function.__doc__.splitlines()[0]
        part = parts.add_parser(
            name, help=text, description=text,
            epilog=(addresses.describe_addresses()
                    if name in ("convert", "check") else None),
            formatter_class=argparse.RawDescriptionHelpFormatter)
        add(part)
        part.add_argument("--json", action="store_true",
                          default=argparse.SUPPRESS,
                          help="print one JSON value instead of a table")


def _standin(chosen):
    """Render the stand-in."""
    from ..standin.rendered import make_standin
    objects = chosen.objects
    return _paths(make_standin(
        chosen.folder, chosen.train, chosen.val, size=chosen.size,
        objects=objects[0] if len(objects) == 1 else tuple(objects),
        workers=chosen.workers))


def _pikachu(chosen):
    """Download the Pikachu set."""
    from ..downloads import download_pikachu as fetch_all
    folder = Path(chosen.folder or "data/pikachu")
    return _paths({Path(path).name: path for path in fetch_all(folder)})


def _download(chosen):
    """Download PASCAL VOC or COCO by name, compare and unpack it."""
    bar = tqdm(unit="B", unit_scale=True, leave=False,
               disable=True if chosen.json else None)

    def tell(name, done, total):
        bar.total = total
        bar.set_description(name, refresh=False)
        bar.update(done - bar.n)
    with bar:
        names = downloads.download(chosen.name, chosen.folder, chosen.keep,
                                  progress=tell)
    return ({"folder": chosen.folder, "archives": names},
            f"{', '.join(names)}: unpacked in {chosen.folder}")


def _convert(chosen):
    """Convert a data set to voc, coco, yolo, csv or rec, nothing lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # what is skipped is listed below
        dataset = addresses.open_dataset(chosen.source, bad=chosen.bad)
    with tqdm(total=len(dataset), unit="image", leave=False,
              disable=True if chosen.json else None) as bar:
        done = conversion.convert(dataset, chosen.target, chosen.bad,
                                  lambda number: bar.update())
    # A fault is a (source, sentence, ...) in every data set.
    skipped = [fault[1] for fault in [*getattr(dataset, "skipped", []),
                                      *done.skipped]]
    value = {"path": done.path, "images": done.images,
             "objects": done.objects, "skipped": skipped,
             "renamed": done.renamed}
    lines = [f"{done.path}: {done.images} images, {done.objects} objects, "
             f"{len(skipped)} faulty ones left out", *skipped,
             *(f"{old} is now {new}" for old, new in done.renamed.items())]
    return value, "\n".join(lines)


def _check(chosen):
    """Report on a data set: counts, faults, sizes, and how anchors fit."""
    from .. import checking
    from ..checking import contents
    report = checking.inspect(chosen.spec, configs.get(chosen.model),
                              chosen.model, np.random.default_rng(0))
    value = report.to_dict()
    if chosen.out and len(report.labels):
        from ..checking.figure import save_report
        save_report(chosen.out, report)
        value["figure"] = chosen.out
    return value, contents.describe_contents(report)


def _paths(paths):
    """Return {name: path} as a value and as a table."""
    value = {name: str(path) for name, path in paths.items()}
    return value, pairs(value)


def _standin_options(part):
    _folder_option(part, "data/")
    part.add_argument("--train", type=int, default=1000, metavar="COUNT",
                      help="training images")
    part.add_argument("--val", type=int, default=200, metavar="COUNT",
                      help="validation images")
    part.add_argument("--objects", type=int, nargs="+", default=[1],
                      metavar="COUNT", help="objects in each image: a number, "
                      "or fewest and most")
    part.add_argument("--size", type=int, default=256, metavar="SIDE",
                      help="side of the images in pixels")
    part.add_argument("--workers", type=int, help="processes that render")


def _pikachu_options(part):
    _folder_option(part, "data/pikachu")


def _folder_option(part, default):
    part.add_argument("--folder", help=f"where to; default: {default}")


def _download_options(part):
    names = [*downloads.ARCHIVE_GROUPS, *downloads.ARCHIVES]
    part.add_argument("name", choices=names, metavar="NAME",
                      help=", ".join(names))
    part.add_argument("--folder", required=True, help="where to")
    part.add_argument("--keep", action="store_true",
                      help="keep the archives once they are unpacked")


def _convert_options(part):
    part.add_argument("source", metavar="FROM", help="a data set, see below")
    part.add_argument("target", metavar="TO",
                      help=", ".join(conversion.TARGETS))
    part.add_argument("--bad", choices=("error", "skip"), default="error",
                      help="stop at a faulty image, or leave it out and "
                      "count it")


def _check_options(part):
    part.add_argument("spec", metavar="DATA", help="a data set, see below")
    part.add_argument("--model", choices=configs.NAMED, default="dsod_tiny",
                      help="the network whose anchors are compared, default "
                      "dsod_tiny")
    part.add_argument("--out", metavar="FILE.png", help="write a picture")


DATA_COMMANDS = {"standin": (_standin, _standin_options),
            "pikachu": (_pikachu, _pikachu_options),
            "download": (_download, _download_options),
            "convert": (_convert, _convert_options),
            "check": (_check, _check_options)}
