"""The command ``data``: make, download, convert and check data sets."""

import os
import shutil
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from ...config import get
from ...datasets.sample import EXAMPLES
from .. import downloads
from ..formats import addresses, conversion
from ..outputs import FIGURE_SUFFIXES, check_folder, check_target
from .options import FaultOptions, add_commands, add_fields, pairs


def run(chosen: Namespace) -> tuple[Any, ...]:
    """Make, download, convert or check a data set."""
    if getattr(chosen, "folder", None):
        check_folder(chosen.folder, "--folder")
    return DATA_COMMANDS[chosen.set][0](chosen)


def add_options(parser: ArgumentParser) -> None:
    """Add the sub-commands of ``data`` with their options."""
    _explain_data_sets(parser)
    add_commands(parser, "set", DATA_COMMANDS)


def _adding(kind, explain=False, **places):
    """Return what adds options, and what stands without a name."""
    def add(parser):
        for place, more in places.items():
            parser.add_argument(place, **more)
        add_fields(parser, kind)
        if explain:
            _explain_data_sets(parser)
    return add


def _explain_data_sets(parser):
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = addresses.describe_addresses()


def _samples(chosen):
    """Copy the example pictures, and a detector of what is in them."""
    shutil.copytree(EXAMPLES, chosen.folder, dirs_exist_ok=True)
    return {"folder": chosen.folder}, (
        "Now try: python -m dsod_d2l detect {0}/three.jpg --weights "
        "{0}/detector.onnx --out found.png").format(chosen.folder)


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
    folder = downloads.download_pikachu(chosen.folder)
    return _paths({name: folder / name for name in downloads.SHA1})


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
        kind, sign, rest = chosen.target.partition(":")
        done = conversion.convert(dataset, kind + sign
                                  + os.path.expanduser(rest), chosen.bad,
                                  lambda number: bar.update())
    # A fault is a (source, sentence, ...) in every data set.
    skipped = [fault[1] for fault in [*getattr(dataset, "skipped", []),
                                      *done.skipped]]
    remarks = dict(getattr(dataset, "remarks", {}))
    value = {**done._asdict(), "skipped": skipped, "remarks": remarks}
    lines = [f"{done.path}: {done.images} images, {done.objects} objects, "
             f"{len(skipped)} faulty ones left out", *skipped,
             *(f"{count} {text}" for text, count in remarks.items()),
             *(f"{old} is now {new}" for old, new in done.renamed.items())]
    return value, "\n".join(lines)


def _check(chosen):
    """Report on a data set: counts, faults, sizes, and how anchors fit."""
    from ..checking import contents
    if chosen.out:
        check_target(chosen.out, suffixes=FIGURE_SUFFIXES)
    report = contents.inspect(chosen.spec, get(chosen.model), chosen.model,
                              np.random.default_rng(0), bad=chosen.bad)
    value = report.to_dict()
    table = contents.describe_contents(report)
    if not chosen.out or not len(report.labels):
        return value, table

    def write():
        from ..checking.figure import save_report
        from ..fonts import fonts_of
        with fonts_of(report.classes):
            save_report(chosen.out, report)
        value["figure"] = chosen.out
    return value, table, write


def _paths(paths):
    """Return {name: path} as a value and as a table."""
    value = {name: str(path) for name, path in paths.items()}
    return value, pairs(value)


class StandinOptions:
    """How the stand-in is rendered.

    folder: where to; None: data/
    train (COUNT): training images
    val (COUNT): validation images
    objects (COUNT): objects in each image: a number, or fewest and most
    size (SIDE): side of the images in pixels
    workers: processes that render; None: one for each core
    """

    folder: str | None = None
    train: int = 1000
    val: int = 200
    objects: tuple[int, ...] = (1,)
    size: int = 256
    workers: int | None = None


class FetchOptions:
    """Where a set goes.

    folder: where to
    """

    folder: str = "data/pikachu"


class SampleOptions(FetchOptions):
    """Where the examples go."""

    folder: str = "samples"


class DownloadOptions:
    """Where archives go.

    folder: where to
    keep: keep the archives once they are unpacked
    """

    folder: str
    keep: bool = False


class CheckOptions:
    """With what a data set is compared.

    model (NAME): the network whose anchors are compared; `info --presets`
        lists them
    out (FILE.png): write a picture
    bad: every fault is listed; counted is what is left without bad objects
        (object), or without their images (skip)
    """

    model: str = "dsod_tiny"
    bad: Literal["object", "skip"] = "object"
    out: str | None = None


ARCHIVE_NAMES = [*downloads.ARCHIVE_GROUPS, *downloads.ARCHIVES]
_SPEC = {"help": "a data set, see below"}
# name: function, and what adds its options.
DATA_COMMANDS = {
    "samples": (_samples, _adding(SampleOptions)),
    "standin": (_standin, _adding(StandinOptions)),
    "pikachu": (_pikachu, _adding(FetchOptions)),
    "download": (_download, _adding(DownloadOptions, name={
        "choices": ARCHIVE_NAMES, "metavar": "NAME",
        "type": lambda name: name.replace("_", "-"),
        "help": ", ".join(ARCHIVE_NAMES)})),
    "convert": (_convert, _adding(
        FaultOptions, True, source={**_SPEC, "metavar": "FROM"},
        target={"metavar": "TO", "help": ", ".join(conversion.TARGETS)})),
    "check": (_check, _adding(CheckOptions, True,
                              spec={**_SPEC, "metavar": "DATA"}))}
