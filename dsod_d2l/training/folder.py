"""The folder of a run: held by one process, and says what the run is."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import logging
import os
import shlex
import sys
from pathlib import Path

from .. import checkpoints, runtime
from ..tensor_files import write_atomically

log = logging.getLogger(__name__)
_HELD = set()


def _let_go():
    """Close the locks in a child: one that lives on would keep them."""
    while _HELD:
        os.close(_HELD.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def hold(folder, resume):
    """Hold the folder of a run, so that no other process trains there.

    The lock is the system's: it ends with the process, however that ends.

    Args:
        folder: is made for a new run.
        resume: whether a run is to be there.

    Yields:
        Path of the folder.

    Raises:
        ValueError: another run holds it, or there is none to go on with.
    """
    folder = Path(folder)
    if resume and not folder.is_dir():
        raise ValueError(f"there is no run in {folder} to resume: leave out "
                         "--resume to start one")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    _HELD.add(handle)
    try:
        _lock(folder, handle)
        for part in (folder, folder / "checkpoints"):
            for partial in part.glob("*.partial"):
                partial.unlink()          # of a run that was killed
        yield folder
    finally:
        _HELD.discard(handle)
        os.close(handle)


def _lock(folder, handle):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 20).decode(errors="replace") or "unknown"
        raise ValueError(f"another run, process {holder}, is training in "
                         f"{folder}: wait for its end, or name another "
                         "folder") from None
    except OSError as error:
        log.warning("%s cannot be locked (%s): make sure that no other run "
                    "is training there.", folder, error.strerror)
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())


def refuse_earlier(folder):
    """Raise ValueError if a new run would overwrite an earlier one."""
    found = checkpoints.list_checkpoints(folder / "checkpoints")[-1:] + [
        folder / name for name in ("model.safetensors", "best.safetensors")
        if (folder / name).exists()]
    if found:
        raise ValueError(
            f"{folder} holds a run already ({found[0].relative_to(folder)}): "
            "go on with it by --resume (in Python resume=True), or name "
            "another folder")


def read_description(folder):
    """Return what ``describe`` wrote, {} if there is nothing readable."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def describe(folder, facts, step):
    """Write run.json: the run, and each start with command and versions.

    Args:
        folder: of the run.
        facts: JSON-ready dictionary on the run.
        step: 0, or the step from which a run goes on.
    """
    earlier = read_description(folder).get("starts") if step else []
    earlier = earlier if isinstance(earlier, list) else []
    start = {"date": _now(), "step": step, "command": shlex.join(sys.orig_argv),
             "versions": runtime.describe()}
    text = json.dumps({**facts, "starts": [*earlier, start]}, indent=1)
    write_atomically(folder / "run.json", (text + "\n").encode())


def _now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
