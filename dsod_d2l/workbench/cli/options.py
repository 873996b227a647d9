"""What several commands share: options, data sets, detectors, tables.

The options of a command are the fields of a class: the type says what is
read, and the docstring is the help, with what stands for a value in brackets
behind the name. ``TrainConfig`` and ``DetectConfig`` are read so, too. One
that has no value must be given.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tabulate import tabulate

from ...config import NAMED, DetectConfig
from ...transforms import AUGMENTATIONS
from ..formats import addresses


class FaultOptions:
    """What becomes of faulty images.

    bad: stop at a faulty image, or leave it out and count it
    """

    bad: Literal["error", "skip"] = "error"


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
    parts = parser.add_subparsers(dest=dest, required=True,
                                  metavar="COMMAND")
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


def input_size(options: Namespace) -> dict[str, Any]:
    """Return what --input changes of a network, as fields."""
    if not options.input:
        return {}
    if len(options.input) > 2:
        raise ValueError("--input takes one or two sides, found "
                         f"{len(options.input)}")
    return {"input_size": (options.input * 2)[:2]}


def add_detector(parser: ArgumentParser, threshold: float) -> None:
    """Add --weights, --device and the fields of ``DetectConfig``."""
    add_fields(parser, WeightsOptions)
    add_fields(parser, DetectConfig, defaults=dataclasses.asdict(
        DetectConfig(score_threshold=threshold)))


def make_detector(options: Namespace) -> Any:
    """Return the ``Detector`` that the options ask for."""
    from ..detectors import detector_of_file
    settings = DetectConfig(**given_fields(options, DetectConfig))
    detector = detector_of_file(options.weights, device=options.device,
                                detect_config=settings)
    if options.letter_box:
        detector.config = dataclasses.replace(detector.config,
                                              resize="letter-box")
    return detector


def open_data(options: Namespace, spec: str | None = None,
              **more: Any) -> Any:
    """Open a data set, --data by default; only some take --bad."""
    spec = spec or options.data
    if not spec.startswith("standin"):
        more["bad"] = options.bad
    return addresses.open_dataset(spec, **more)


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
