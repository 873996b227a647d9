"""The commands, from ``info`` and ``data`` to ``export`` and ``demo``.

Every command prints a table to read, or with ``--json`` one JSON value.
Wrong use ends with one sentence on the error stream and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import data, demo, detect, evaluate, export, info, launch, prune, train
from .options import add_commands

# name: what it does, and what adds its options.
COMMANDS = {room.__name__.rpartition(".")[2]: (room.run, room.add_options)
            for room in (info, data, train, launch, evaluate, prune, export,
                         detect, demo)}
_WITHOUT_MXNET = (
    "this needs MXNet, which is not installed: pip install --no-deps "
    "mxnet==1.9.1, where it has wheels (Linux on x86-64 or aarch64, macOS on "
    "x86-64); detect, demo and evaluate do without where --weights is a file "
    "that export has written")


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and leave with code 2."""
        self.exit(2, f"{self.prog}: {message} (--help tells more)\n")


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="python -m dsod_d2l", description="Build, train and "
                    "use DSOD, an object detector trained from scratch.")
    # launch hands words on.
    parser.set_defaults(parse=parser.parse_args, json=False)
    add_commands(parser, "command", COMMANDS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    chosen, value = build_parser().parse_args(arguments), None
    try:
        value, table = COMMANDS[chosen.command][0](chosen)
        if table is not None:
            print(json.dumps(value) if chosen.json else table, flush=True)
    except BrokenPipeError:        # the reader of a pipe has left early
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{chosen.command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name != "mxnet":
            raise
        print(f"{chosen.command}: {_WITHOUT_MXNET}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"{chosen.command}: {_farewell(stop, arguments)}",
              file=sys.stderr)
        return 128 + getattr(stop, "signum", signal.SIGINT)
    # `data check` says by its code, too, whether a data set is sound.
    return 1 if isinstance(value, dict) and value.get("sound") is False else 0


def _farewell(stop, arguments):
    """Return what to say after Ctrl-C, or a signal to a training run."""
    if not getattr(stop, "resumable", False) or "DMLC_ROLE" in os.environ:
        return str(stop) or "stopped"
    words = sys.orig_argv if arguments is None else [
        "python", "-m", "dsod_d2l", *arguments]
    return f"{stop.done}; go on with: {launch.resuming(words)}"
