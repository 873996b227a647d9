"""The folder of a run: held by one process, saved to, gone on from."""

import contextlib
import csv
import datetime
import fcntl
import io
import json
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from ... import weights
from ...config.base import require
from ...files import one_line, write_atomically
from ...training import History
from .. import machine
from . import checkpoints

_log = logging.getLogger(__name__)
_HELD = set()


def _let_go():
    """Close the locks in a child: one that lives on would keep them."""
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_let_go)
NO_RUN = "there is no run in {} to resume: leave out --resume to start one"


@contextlib.contextmanager
def hold(folder: str | Path, resume: bool) -> Iterator[Path]:
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
    require(folder.is_dir() or not resume, NO_RUN.format(folder))
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
        _log.warning("%s cannot be locked (%s): make sure that no other run "
                    "is training there.", folder, error.strerror)
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())


def refuse_earlier(folder: Path) -> None:
    """Raise ValueError if a new run would overwrite an earlier one."""
    found = checkpoints.list_checkpoints(folder / "checkpoints")[-1:] + [
        folder / name for name in (
            "model.safetensors", "best.safetensors", "history.csv",
            "history.json", "history.png") if (folder / name).exists()]
    found += [folder / "run.json"] if (folder / "run.json").exists(
        ) and "starts" not in read_description(folder) else []
    if found:
        raise ValueError(
            f"{folder} holds a run already ({found[0].relative_to(folder)}): "
            "go on with it by --resume (in Python resume=True), or name "
            "another folder")


def read_description(folder: Path) -> dict:
    """Return what ``describe`` wrote, {} if there is nothing readable."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def describe_run(folder: Path, facts: dict, step: int) -> None:
    """Write run.json: the run, and each start with command and versions.

    Args:
        folder: of the run.
        facts: JSON-ready dictionary on the run.
        step: 0, or the step from which a run goes on.
    """
    earlier = read_description(folder).get("starts") if step else []
    earlier = earlier if isinstance(earlier, list) else []
    now = datetime.datetime.now().astimezone()
    start = {"date": now.isoformat(timespec="seconds"), "step": step,
             "command": shlex.join(sys.orig_argv),
             "versions": machine.describe_machine()}
    text = json.dumps({**facts, "starts": [*earlier, start]}, indent=1)
    write_atomically(folder / "run.json", (text + "\n").encode())


BEST = "best/"


def begin(run) -> None:
    """Start a run in its folder, or bring it to where it was saved.

    Args:
        run: a new ``LongRun``. One that is to be resumed goes on from the
            newest checkpoint that is whole, or from that of ``from_step``;
            without one it starts from its beginning, and says so.

    Raises:
        ValueError: there is nothing to resume, or other settings or data,
            or fewer steps than are done;
            or a new run would overwrite an earlier one.
    """
    if run.folder is None:
        require(not run.resume, "to resume a run, name its folder")
        return
    if run.resume:
        _resume(run)
    else:
        refuse_earlier(run.folder)
    describe_run(run.folder, _identity(run), run.step)


def save(run) -> None:
    """Write a checkpoint and the history, unless this step has one."""
    if run.folder is None or run.saved == run.step:
        return
    facts = {**_identity(run), "best": run.best, "seconds": run.seconds,
             "scale": run.devices.scale.state(), "history": list(run.history)}
    extra = run.average.state() if run.average else {}
    for name, array in (run.best_arrays or {}).items():
        extra[BEST + name] = array
    checkpoints.save_checkpoint(run.folder / "checkpoints", run.step, run.net,
                                run.trainer, facts,
                                run.settings.keep_checkpoints, extra)
    run.saved = run.step
    write_history(run.folder, run.history)


def save_best(run) -> None:
    """Write the best model so far for whoever wants it before the end."""
    if run.folder is None:
        return
    path = run.folder / "best.safetensors"
    if run.best is None:
        path.unlink(missing_ok=True)
        return
    weights.save_tensors(path, run.best_arrays, {
        "model": run.net.config.to_dict(), "classes": list(run.classes),
        "best": run.best})


def write_history(folder: Path, history: History) -> None:
    """Write history.csv, history.json and history.png."""
    names = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(history)
    for ending, data in (
            ("csv", text.getvalue().encode()),
            ("json", (json.dumps(list(history)) + "\n").encode()),
            ("png", history_picture(history))):
        write_atomically(folder / f"history.{ending}", data)


def history_picture(history: History) -> bytes:
    """Return the learning curve as the bytes of a PNG.

    The loss on what is not trained on is beside it, where it is known.
    """
    from matplotlib.figure import Figure

    from ...visualisation import plot_history
    figure = Figure(figsize=(6, 4), layout="constrained")
    names = ["classification", "localisation"]
    if any("validation_loss" in row for row in history):
        names.append("validation_loss")
    plot_history(figure.subplots(), history, names)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


@contextlib.contextmanager
def forgiving(run) -> Iterator[None]:
    """Turn a full disk into a warning: the run itself is worth more.

    At the last step it stays an error, as there is no later chance.
    """
    try:
        yield
    except OSError as error:
        if run.step == run.settings.steps:
            raise
        _log.warning("Step %d: %s. Training goes on.", run.step, error)


def _identity(run):
    """Return what has to be the same for a run to go on, JSON-ready."""
    return _plain({
        "model": run.net.config.to_dict(), "train": run.settings.to_dict(),
        "classes": run.classes, "images": {
            "train": len(run.train), "held back": len(run.held or ())},
        "tuning": run.tuning.facts()})


# What changes no number; of steps there may be more, see ``_go_on``.
MAY_DIFFER = {"steps", "workers", "checkpoint_every", "keep_checkpoints"}
TITLES = {"train": "settings", "tuning": "settings", "model": "network"}


def _resume(run):
    found = (_newest(run.folder / "checkpoints") if run.from_step is None
             else _checkpoint_at(run.folder / "checkpoints", run.from_step))
    stored = found.facts if found else read_description(run.folder)
    require(stored, NO_RUN.format(run.folder))
    _compare(run, stored)
    if found:
        _go_on(run, found)
        write_history(run.folder, run.history)
    else:
        _log.warning("%s has no checkpoint yet: the run starts from its "
                    "beginning.", run.folder)
    save_best(run)


def _compare(run, stored):
    """Raise ValueError if a run's facts differ from those that are stored.

    What an older version did not store was as it is by default now.
    """
    kinds = {"model": type(run.net.config), "train": type(run.settings),
             "tuning": type(run.tuning)}
    stored = {"tuning": {}, **stored}
    for name, ours in _identity(run).items():
        theirs = stored.get(name)
        if not isinstance(ours, dict):
            ours, theirs = {name: ours}, {name: theirs}
        head = (f"{run.folder} belongs to a run with other "
                f"{TITLES.get(name, name)}")
        require(isinstance(theirs, dict), f"{head}, which it does not tell")
        told = []
        for field in sorted({*ours, *theirs} - MAY_DIFFER):
            usual = _plain(getattr(kinds.get(name), field, None))
            old, new = theirs.get(field, usual), ours.get(field, usual)
            if old != new:
                told.append(f"{field}: {_shown(old)} there, {_shown(new)} "
                            "here")
        require(not told, f"{head} ({'; '.join(told)}): resume with what "
                "stands there, or name another folder")


def _plain(value):
    """Return a value as a file of JSON has it."""
    return json.loads(json.dumps(value, default=str))


def _shown(value):
    """Return a value as a short text."""
    return one_line(json.dumps(value), 200)


def _go_on(run, found):
    """Bring a run to a ``Checkpoint``; it may have more steps than before.

    The rates of the steps to come are those of a schedule of so many steps.
    """
    steps = run.settings.steps
    require(found.step <= steps, f"{run.folder} has done {found.step} steps, "
            f"and is to have {steps}: to go on, ask for more (--steps), or "
            "begin at an earlier checkpoint (--from-step)")
    _restore(run, found)
    before = found.facts["train"].get("steps")
    if before != steps:
        _log.warning("The run has %d steps now instead of %s; from step %d "
                     "on the learning rate is that of a schedule of %d.",
                     steps, before, found.step, steps)


def _checkpoint_at(folder, step):
    """Return the ``Checkpoint`` of a step."""
    there = {int(checkpoints.NAME.fullmatch(path.name)[1]): path
             for path in checkpoints.list_checkpoints(folder)}
    require(step in there, f"there is no checkpoint of step {step} in "
            f"{folder}, there are those of: "
            f"{', '.join(map(str, there)) or 'none'} (--keep-checkpoints "
            "says how many stay)")
    return checkpoints.read_checkpoint(there[step])


def _newest(folder):
    """Return the newest whole ``Checkpoint`` of a folder, None if empty."""
    faults = []
    for path in reversed(checkpoints.list_checkpoints(folder)):
        try:
            found = checkpoints.read_checkpoint(path)
        except (ValueError, OSError) as error:
            faults.append(str(error))
        else:
            for fault in faults:
                _log.warning("%s; the run goes on from %s.", fault, path.name)
            return found
    require(not faults, f"no checkpoint in {folder} can be read: "
            + "; ".join(faults))
    return None


def _restore(run, found):
    """Bring a run to the state of a ``Checkpoint``."""
    facts = found.facts
    require(_sound(facts), f"{found.path} lacks the history, the time or the "
            "best model of its run")
    checkpoints.restore_checkpoint(found, run.net, run.trainer)
    run.devices.scale.restore(facts.get("scale"), found.path)
    run.step = run.saved = found.step
    run.best, run.seconds = facts["best"], facts["seconds"]
    run.history = History(facts["history"])
    if run.average:
        run.average.restore(found.tensors, str(found.path))
    if run.best:
        run.best_arrays = checkpoints.named(found.tensors, BEST)


def _sound(facts):
    """Return whether the facts of a checkpoint are of the right kinds."""
    best, history = facts.get("best"), facts.get("history")
    return (isinstance(facts.get("seconds"), (int, float))
            and isinstance(history, list)
            and all(isinstance(row, dict) for row in history)
            and (best is None or isinstance(best, dict) and all(
                isinstance(best.get(name), (int, float))
                for name in ("step", "AP", "AP50"))))
