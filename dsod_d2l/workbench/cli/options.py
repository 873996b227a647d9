"""What several commands share: options, data sets, detectors, tables.

The options of a command are the fields of a class: the type says what is
read, and the docstring is the help, with what stands for a value in brackets
behind the name. ``TrainConfig`` and ``DetectConfig`` are read so, too. One
that has no value must be given.
"""

import dataclasses
import inspect
import re
import sys
import types
import typing
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

from tabulate import tabulate

from ...config import NAMED, DetectConfig, TrainConfig
from ...config.base import (Bounds, Count, NotNegative, Positive, Share, Whole,
                            require)
from ...datasets.pictures import size_lies
from ...datasets.sample import Dataset, Fault, Faulty
from ...files import one_line
from ...runtime import usable_cores
from ...transforms import AUGMENTATIONS
from .. import machine
from ..detectors import detector_of_file, is_onnx
from ..exporting.onnx_detector import RUNTIMES
from ..formats import addresses
from ..suppression import SuppressionConfig
from ..tiles import TiledDetector, check_tiles


class FaultOptions:
    """What becomes of faulty images.

    bad: stop at what is faulty, or leave out and count it: its image (skip),
        or bad objects alone (object)
    """

    bad: Literal["error", "skip", "object"] = "error"


class DataOptions(FaultOptions):
    """Which data set is read.

    data (SET): what to read: standin, rec:PATH, voc:FOLDER[:SET], coco:FILE,
        csv:FILE, yolo:FOLDER, list:FILE or pikachu:FOLDER; `data --help`
        explains them and their options
    """

    data: str


class NetworkOptions:
    """Which network is built.

    model (NAME): the network; `info --presets` lists them
    input (SIDE): height and width of the network in pixels, or one for both
    authors: the network as the authors' code builds it, slips included
    """

    model: str | None = None
    input: tuple[int, ...] | None = None
    authors: bool = False


class DeviceOptions:
    """Where it is computed.

    device: where to compute; None: a GPU where there is one
    """

    device: Literal["cpu", "gpu"] | None = None


class WeightsOptions(DeviceOptions):
    """Which network that has been trained.

    weights (FILE): the weights, which know their network and its classes;
        to detect with, also a file that `export` has written
    letter_box: fit images in undistorted: only for weights so old that they
        do not say that they want it
    """

    weights: str
    letter_box: bool = False


class TileOptions:
    """How large pictures are seen.

    tiles (SIDE): go through large pictures in tiles of so many pixels, too:
        small objects keep their pixels
    overlap (SHARE): of a tile that the next one has in common with it, at
        least
    """

    tiles: int | None = None
    overlap: float = 0.2


def field_texts(kind: type) -> dict[str, tuple[str, str]]:
    """Return {field: (what is in brackets, text)} of a docstring.

    >>> field_texts(NetworkOptions)["model"]
    ('NAME', 'the network; `info --presets` lists them')
    """
    rows = re.findall(r"^(\w+(?:, \w+)*)(?: \((.+)\))?: (.+(?:\n +.+)*)",
                      inspect.getdoc(kind) or "", re.M)
    return {name: (sign, " ".join(text.split()).rstrip(".").replace("``", ""))
            for names, sign, text in rows for name in names.split(", ")}


def add_fields(parser: Any, kind: type, absent: bool = False,
               defaults: dict[str, Any] | None = None,
               **choices: Iterable[str]) -> None:
    """Add an option for each field of a class.

    Args:
        parser: of the command.
        kind: the class; a field without a value must be given.
        absent: whether what is not given is absent from what is parsed.
        defaults: {field: value}, and only these fields; None: all, with
            their own.
        choices: of fields whose type cannot list them.
    """
    texts = {name: text for base in reversed(kind.__mro__)
             for name, text in field_texts(base).items()}
    hints = typing.get_type_hints(kind)
    choices = {"model": NAMED, "augment": AUGMENTATIONS, **choices}
    for name in defaults or hints:
        value = (defaults or {}).get(name, getattr(kind, name, None))
        sign, text = texts[name]
        text, _, none = text.partition("; None: ")
        more: dict[str, Any] = _how_to_read(hints[name])
        if "type" in more:
            more["metavar"] = sign or {int: "N", float: "X"}.get(more["type"])
            more["choices"] = choices.get(name, more.get("choices"))
        shown = none if value is None else _shown(value)
        parser.add_argument(
            f"--{name.replace('_', '-')}", **more,
            required=not hasattr(kind, name),
            default=SUPPRESS if absent else value,
            help=f"{text} (default {shown})" if shown else text)


def _how_to_read(hint: Any) -> dict[str, Any]:
    """Return what ``add_argument`` is told of a type."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _how_to_read(parts[0])              # the other is None
    if hint is bool:
        return {"action": "store_true"}
    if typing.get_origin(hint) is Literal:
        return {"type": str, "choices": parts}
    return ({"type": parts[0], "nargs": "+"} if parts else {"type": hint})


def _shown(value: Any) -> str:
    """Return a default as the help has it; "" for one that says nothing."""
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if isinstance(value, bool) else str(value)


def add_commands(parser: Any, dest: str, commands: dict[str, Any]) -> None:
    """Add commands, {name: (function, what adds its options)}.

    The first line of the docstring of a function is the help.
    """
    parts = parser.add_subparsers(dest=dest, required=True, metavar="COMMAND")
    for name, (function, add_options) in commands.items():
        text = function.__doc__.splitlines()[0]
        part = parts.add_parser(name, help=text, description=text)
        add_options(part)
        part.add_argument("--json", action="store_true", default=SUPPRESS,
                          help="print one JSON value instead of a table")


def given_fields(options: Namespace, kind: type) -> dict[str, Any]:
    """Return the fields of a class that were given, with their values."""
    return {name: getattr(options, name) for name in
            typing.get_type_hints(kind) if hasattr(options, name)}


# What numbers options may have that are no fields of a configuration.
RANGES = {
    "most frames num_classes input train val size multiple servers most_bytes":
        Count,
    "epochs drop_epochs silence seconds": Positive,
    "areas loss finetune": NotNegative, "from_step": Whole, "at ratio": Share,
    "iou": Annotated[float, Bounds("a number above 0, at most 1", 0, 1, 0)]}


def check_numbers(options: Namespace) -> None:
    """Raise a ValueError if an option has a number that makes no sense."""
    for names, kind in RANGES.items():
        bounds = typing.get_args(kind)[1]
        for name in names.split():
            value = getattr(options, name, None)
            if value is not None:
                bounds.check(f"--{name.replace('_', '-')}",
                             tuple(value) if isinstance(value, list)
                             else value)
    for config in (TrainConfig, DetectConfig, SuppressionConfig):
        config(**{name: value for name, value in given_fields(
            options, config).items() if not isinstance(value, (bool, str))})


def input_size(options: Namespace) -> dict[str, Any]:
    """Return what --input changes of a network, as fields."""
    if not options.input:
        return {}
    require(len(options.input) <= 2, "--input takes one or two sides, found "
            f"{len(options.input)}")
    return {"input_size": (options.input * 2)[:2]}


def add_detector(parser: ArgumentParser, threshold: float,
                 weights: type = WeightsOptions) -> None:
    """Add --weights, --device, --tiles, and how detections are chosen."""
    add_fields(parser, weights)
    parser.add_argument("--runtime", choices=RUNTIMES, metavar="NAME", help=
                        f"what runs an exported file: {', '.join(RUNTIMES)}")
    add_fields(parser, TileOptions)
    add_fields(parser, DetectConfig, defaults=dataclasses.asdict(
        DetectConfig(score_threshold=threshold)))
    add_fields(parser, SuppressionConfig)


class Incomplete(Exception):
    """Something was left out, which the exit code says, 1."""


def check_device(options: Namespace) -> None:
    """Raise a ValueError if --device asks for a GPU, and there is none."""
    if getattr(options, "device", None) != "gpu" or is_onnx(
            getattr(options, "weights", None)):       # which asks by itself
        return
    machine.asked_device("gpu")


def make_detector(options: Namespace) -> Any:
    """Return the ``Detector`` that the options ask for."""
    check_tiles(options.tiles, options.overlap)
    require(not options.tiles or options.nms_kind == "per-class", "--tiles "
            "makes one of the boxes of a class that meet: leave out "
            "--nms-kind")
    detector = detector_of_file(
        options.weights, device=options.device, runtime=options.runtime,
        detect_config=DetectConfig(**given_fields(options, DetectConfig)),
        suppression=SuppressionConfig(**given_fields(options,
                                                     SuppressionConfig)))
    if options.letter_box:
        detector.config = dataclasses.replace(detector.config,
                                              resize="letter-box")
    return detector if options.tiles is None else TiledDetector(
        detector, options.tiles, options.overlap)


def open_data(options: Namespace, spec: str | None = None, **more: Any) -> Any:
    """Open a data set, --data by default; only some take --bad."""
    spec = spec or options.data
    if not spec.startswith("standin"):
        more["bad"] = options.bad
    dataset = addresses.open_dataset(spec, **more)
    for text, count in getattr(dataset, "remarks", {}).items():
        print(f"{spec}: {count} {text}", file=sys.stderr)
    if more.get("bad") == "error" and isinstance(dataset, Dataset):
        _check_heads(dataset)
    return dataset


def _check_heads(dataset):
    """Raise for an image whose head says that it cannot be used as it is.

    What the files say was checked on opening; a picture that is none, or
    has another size, must not come up at a late step.
    """
    def check(index):
        entry = dataset.entry(index)
        try:
            size = dataset.size(index)
        except (ValueError, OSError) as error:
            return Fault(entry.source, one_line(str(error)), "image")
        if entry.size and tuple(entry.size) != tuple(size):
            return Fault(entry.source, size_lies(entry, size), "size")
        return None
    with ThreadPoolExecutor(min(usable_cores(), 8)) as pool:
        faults = list(filter(None, pool.map(check, range(len(dataset)))))
    if faults:
        raise Faulty(faults[0].reason, faults)


def pairs(values: dict[str, Any]) -> str:
    """Return names and values as a table to read."""
    return tabulate([(name, _text(value)) for name, value in values.items()],
                    tablefmt="plain", disable_numparse=True)


def figures(rows: Iterable[Iterable[Any]], headings: Sequence[str]) -> str:
    """Return a table of names and, right of them, numbers already in words."""
    return tabulate(rows, headings, disable_numparse=True,
                    colalign=("left",) + ("right",) * (len(headings) - 1))


def _text(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "nothing"
    return "-" if value is None else value
