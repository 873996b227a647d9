"""The commands, from ``info`` and ``data`` to ``export`` and ``demo``.

Every command prints a table to read, or with ``--json`` one JSON value.
Wrong use ends with one sentence on the error stream and exit code 2; the code
is 1 where something was left out, which that stream says, too.
"""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from ... import __version__
from ...datasets.sample import Faulty
from . import (data, demo, detect, evaluate, export, info, launch, prune,
               serve, train)
from .options import Incomplete, add_commands, check_device, check_numbers

# name: what it does, and what adds its options.
COMMANDS = {room.__name__.rpartition(".")[2]: (room.run, room.add_options)
            for room in (info, data, train, launch, evaluate, prune, export,
                         detect, demo, serve)}
_WITHOUT_MXNET = (
    "this needs MXNet, which is not installed: pip install --no-deps "
    "mxnet==1.9.1, where it has wheels (Linux on x86-64 or aarch64, macOS on "
    "x86-64); detect, demo and evaluate do without where --weights is a file "
    "that export has written")


BAD_HELP = (" `data check` lists every fault; --bad object leaves out bad "
            "objects alone, --bad skip their images too.")


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and leave with code 2."""
        self.exit(2, f"{self.prog}: {message} (--help tells more)\n")


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="python -m dsod_d2l", description="Build, train and "
                    "use DSOD, an object detector trained from scratch.")
    parser.add_argument("--version", action="version",
                        version=f"dsod_d2l {__version__}")
    # launch hands words on.
    parser.set_defaults(parse=parser.parse_args, json=False)
    add_commands(parser, "command", COMMANDS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    for stream in (sys.stdout, sys.stderr):     # names of files may be odd
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")
    chosen = build_parser().parse_args(arguments)
    try:
        check_numbers(chosen)
        value = _carry_out(chosen)
    except BrokenPipeError:        # the reader of a pipe has left early
        _into_nothing()
        return 0
    except (ValueError, OSError, FloatingPointError) as error:
        more = BAD_HELP if isinstance(error, Faulty) else ""
        said, code = f"{error}{more}", 2
    except ModuleNotFoundError as error:
        if error.name != "mxnet":
            raise
        said, code = _WITHOUT_MXNET, 2
    except Incomplete as error:
        said, code = str(error), 1
    except RuntimeError as error:
        if not hasattr(error, "resumable"):      # of a run, see ``Broken``
            raise
        said, code = _farewell(error, arguments), 2
    except KeyboardInterrupt as stop:
        said = _farewell(stop, arguments)
        code = 128 + getattr(stop, "signum", signal.SIGINT)
    else:
        # `data check` says by its code, too, whether a data set is sound.
        return int(isinstance(value, dict) and value.get("sound") is False)
    print(f"{chosen.command}: {said}", file=sys.stderr)
    return code


def _carry_out(chosen):
    """Run a command and print what it returns: a value and a table.

    Further ones are functions called once the table stands there, so that
    what they fail at costs nothing that was computed. They may return a line
    to print, and add to the value, which comes last.
    """
    check_device(chosen)
    value, table, *late = COMMANDS[chosen.command][0](chosen)
    if not chosen.json:
        _say(table)
    try:
        for write in late:
            line = write()
            if line and not chosen.json:
                _say(f"\n{line}")
    finally:
        if chosen.json and table is not None:
            _say(json.dumps(value))
    return value


def _say(text):
    """Print a text, if there is one; the reader of a pipe may have left."""
    try:
        if text is not None:
            print(text, flush=True)
    except BrokenPipeError:
        _into_nothing()


def _into_nothing():
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _farewell(stop, arguments):
    """Return what to say after Ctrl-C, or when a training run was ended."""
    if not getattr(stop, "resumable", False) or "DMLC_ROLE" in os.environ:
        return str(stop) or "stopped"
    words = sys.orig_argv if arguments is None else [
        "python", "-m", "dsod_d2l", *arguments]
    return f"{stop.done}; go on with: {launch.resuming(words)}"
