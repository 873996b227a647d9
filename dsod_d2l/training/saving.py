"""What a run saves, and how it goes on from there.

A checkpoint is one file that holds all of it: weights, the optimiser's state
and its counts, the average, the best model, the history. The position in the
data and the random numbers follow from the step. Nothing else in the folder
is read by ``begin``, so that it cannot disagree.
"""

from __future__ import annotations

import contextlib
import json
import logging

from .. import checkpoints, tensor_files
from . import folder as folders
from .history import History

log = logging.getLogger(__name__)
BEST = "best/"


def begin(run, resume):
    """Start a run in its folder, or bring it to where it was saved.

    Args:
        run: a new ``Run``.
        resume: True to go on from the newest checkpoint that is whole. A
            run without one starts from its beginning, and says so.

    Raises:
        ValueError: there is nothing to resume, or other settings or data;
            or a new run would overwrite an earlier one.
    """
    if run.folder is None:
        if resume:
            raise ValueError("to resume a run, name its folder")
        return
    if resume:
        _resume(run)
    else:
        folders.refuse_earlier(run.folder)
    folders.describe(run.folder, _identity(run), run.step)


def save(run):
    """Write a checkpoint and the history, unless this step has one."""
    if run.folder is None or run.saved == run.step:
        return
    facts = {**_identity(run), "best": run.best, "seconds": run.seconds,
             "scale": run.devices.scale.state(), "history": list(run.history)}
    extra = dict(run.average.state() if run.average else {})
    if run.best:
        extra.update({BEST + name: array
                      for name, array in run.best_arrays.items()})
    checkpoints.save_checkpoint(run.folder / "checkpoints", run.step, run.net,
                                run.trainer, facts,
                                run.settings.keep_checkpoints, extra)
    run.saved = run.step
    run.history.write(run.folder)


def save_best(run):
    """Write the best model so far for whoever wants it before the end."""
    path = run.folder / "best.safetensors"
    if run.best is None:
        path.unlink(missing_ok=True)
        return
    tensor_files.save_tensors(path, run.best_arrays, {
        "model": run.net.config.to_dict(), "classes": list(run.classes),
        "best": run.best})


@contextlib.contextmanager
def forgiving(run):
    """Turn a full disk into a warning: the run itself is worth more.

    At the last step it stays an error, as there is no later chance.
    """
    try:
        yield
    except OSError as error:
        if run.step == run.settings.steps:
            raise
        log.warning("Step %d: %s. Training goes on.", run.step, error)


def _identity(run):
    """Return what has to be the same for a run to go on, JSON-ready."""
    facts = {"model": run.net.config.to_dict(),
             "train": run.settings.to_dict(), "classes": run.classes,
             "images": {"train": len(run.train),
                        "held back": len(run.held or ())}}
    return json.loads(json.dumps(facts))


def _resume(run):
    found = _newest(run.folder / "checkpoints")
    stored = found.facts if found else folders.read_description(run.folder)
    if not stored:
        raise ValueError(f"there is no run in {run.folder} to resume: leave "
                         "out --resume to start one")
    for name, value in _identity(run).items():
        if stored.get(name) != value:
            what = {"train": "settings", "model": "network"}.get(name, name)
            raise ValueError(f"{run.folder} belongs to a run with other "
                             f"{what}; resume with the same ones")
    if found:
        _restore(run, found)
        run.history.write(run.folder)
    else:
        log.warning("%s has no checkpoint yet: the run starts from its "
                    "beginning.", run.folder)
    save_best(run)


def _newest(folder):
    """Return the newest whole ``Checkpoint`` of a folder, None if empty."""
    faults = []
    for path in reversed(checkpoints.list_checkpoints(folder)):
        try:
            found = checkpoints.read_checkpoint(path)
        except (ValueError, OSError) as error:
            faults.append(str(error))
            continue
        for fault in faults:
            log.warning("%s; the run goes on from %s.", fault, path.name)
        return found
    if faults:
        raise ValueError(f"no checkpoint in {folder} can be read: "
                         + "; ".join(faults))
    return None


def _restore(run, found):
    """Bring a run to the state of a ``Checkpoint``."""
    facts = found.facts
    if not _sound(facts):
        raise ValueError(f"{found.path} lacks the history, the time or the "
                         "best model of its run")
    checkpoints.restore(found, run.net, run.trainer)
    run.devices.scale.restore(facts.get("scale"), found.path)
    run.step = run.saved = found.step
    run.best, run.seconds = facts["best"], facts["seconds"]
    run.history = History(facts["history"])
    if run.average:
        run.average.restore(found.tensors, str(found.path))
    if run.best:
        run.best_arrays = {name[len(BEST):]: array
                           for name, array in found.tensors.items()
                           if name.startswith(BEST)}


def _sound(facts):
    """Return whether the facts of a checkpoint are of the right kinds."""
    best, history = facts.get("best"), facts.get("history")
    return (isinstance(facts.get("seconds"), (int, float))
            and isinstance(history, list)
            and all(isinstance(row, dict) for row in history)
            and (best is None or isinstance(best, dict) and all(
                isinstance(best.get(name), (int, float))
                for name in ("step", "AP", "AP50"))))
