"""The commands info, data, train, launch, evaluate, prune, detect, demo.

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

from . import data, demo, detect, evaluate, info, launch, prune, train

# name: what it does, and what adds its options.
COMMANDS = {room.__name__.rpartition(".")[2]: (room.run, room.add_options)
            for room in (info, data, train, launch, evaluate, prune, detect,
                         demo)}


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one sentence."""

    def error(self, message):
        """Print the sentence and leave with code 2."""
        self.exit(2, f"{self.prog}: {message} (--help tells more)\n")


def build_parser():
    """Return the parser of all commands."""
    parser = Parser(prog="python -m dsod_d2l", description="Build, train and "
                    "use DSOD, an object detector trained from scratch.")
    parser.set_defaults(parse=parser.parse_args)    # launch hands words on
    commands_of = parser.add_subparsers(dest="command", required=True,
                                        metavar="COMMAND")
    for name, (function, add_options) in COMMANDS.items():
        text = function.__doc__.splitlines()[0]
        command = commands_of.add_parser(name, help=text, description=text)
        add_options(command)
        command.add_argument("--json", action="store_true",
                             help="print one JSON value instead of a table")
    return parser


def main(arguments=None):
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
