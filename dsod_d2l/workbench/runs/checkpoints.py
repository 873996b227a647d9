"""Training states on disk: the weights, the optimiser and the facts of a run.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...config.base import require
from ...weights import fill, load_tensors, parameter_arrays, save_tensors

NAME = re.compile(r"step-(\d+)\.safetensors")


def _flat(state):
    """Return an optimiser state as a list of arrays."""
    if state is None:
        return []
    return list(state) if isinstance(state, (list, tuple)) else [state]


def save_checkpoint(folder: str | Path, step: int, net, trainer, facts: dict,
                    keep: int = 2, extra: dict | None = None) -> Path:
    """Write everything a run needs to go on, and drop the oldest files.

    Args:
        folder: the run's checkpoint folder.
        step: optimiser steps done.
        net, trainer: the network and its ``gluon.Trainer``, made from a
            list of parameters: of a dictionary it would sort the names.
        facts: JSON-ready dictionary of the run.
        keep: how many checkpoints stay.
        extra: name -> array, whatever else the run needs.

    Returns:
        Path of the new file.
    """
    tensors = {f"net/{name}": array
               for name, array in parameter_arrays(net).items()}
    tensors.update(extra or {})
    for index, state in trainer._updaters[0].states.items():
        for part, array in enumerate(_flat(state)):
            tensors[f"optimiser/{index}/{part}"] = array.asnumpy()
    # As a tensor: a header, with all metadata, may not exceed 100 MB.
    tensors["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    counts = trainer._optimizer._index_update_count
    path = Path(folder) / f"step-{step:07d}.safetensors"
    save_tensors(path, tensors, {"step": step, "counts": dict(counts)})
    _drop(list_checkpoints(folder), path, keep)
    return path


def _drop(paths, newest, keep):
    """Delete all but the ``keep`` files up to the newest.

    Those with a higher step are damaged, or what the run was not to go on
    from: it has come from an earlier one, and would trip over them again.
    """
    last = paths.index(newest) + 1
    for path in paths[:max(last - keep, 0)] + paths[last:]:
        path.unlink(missing_ok=True)


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Return the checkpoint files of a folder, oldest first."""
    found = [path for path in Path(folder).glob("step-*.safetensors")
             if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(NAME.fullmatch(path.name)[1]))


class Checkpoint(NamedTuple):
    """What ``read_checkpoint`` found; step and facts as they were saved."""

    path: Path
    step: int
    facts: dict
    counts: dict[int, int]
    tensors: dict[str, np.ndarray]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file of ``save_checkpoint``; return a ``Checkpoint``.

    Raises:
        FileNotFoundError, ValueError: see ``load_tensors``; or it is no
            checkpoint.
    """
    tensors, metadata = load_tensors(path)
    step, counts = metadata.get("step"), metadata.get("counts")
    try:
        facts = json.loads(tensors.pop("facts").tobytes())
    except (KeyError, ValueError, RecursionError):
        facts = None
    require(type(step) is int and isinstance(counts, dict)
            and isinstance(facts, dict)
            and all(key.isdecimal() and len(key) < 10 and type(value) is int
                    for key, value in counts.items()),
            f"{path} is no training checkpoint")
    counts = {int(key): value for key, value in counts.items()}
    return Checkpoint(Path(path), step, facts, counts, tensors)


def restore_checkpoint(checkpoint: Checkpoint, net, trainer) -> None:
    """Put a network and its trainer back to where a run was saved.

    Raises:
        ValueError: see ``fill``; or the optimiser's state does not fit.
    """
    fill(net, named(checkpoint.tensors, "net/"), str(checkpoint.path))
    for index, parameter in enumerate(trainer._params):
        saved = named(checkpoint.tensors, f"optimiser/{index}/")
        parts = [saved[key] for key in sorted(saved)]
        forms = [(part.shape, part.dtype.kind) for part in parts]
        for arrays in optimiser_states(trainer, index) if parts else ():
            require(forms == [(array.shape, "f") for array in arrays],
                    f"{checkpoint.path} does not fit this run: the "
                    f"optimiser's state of {parameter.name} has another form")
            for array, value in zip(arrays, parts):
                array[:] = value
    set_counts(trainer, checkpoint.counts)


def named(tensors: dict[str, np.ndarray], head: str) -> dict[str, np.ndarray]:
    """Return those tensors whose names have a head, without it."""
    return {name[len(head):]: array for name, array in tensors.items()
            if name.startswith(head)}


def optimiser_states(trainer, index: int) -> list[list]:
    """Return the optimiser's arrays of one parameter, a list a device.

    What the optimiser makes of a parameter at its first step is made now.
    """
    found = []
    for updater, data in zip(trainer._updaters,
                             trainer._params[index].list_data()):
        if index not in updater.states:
            updater.states[index] = (
                trainer._optimizer.create_state_multi_precision(index, data))
            updater.states_synced[index] = True
        found.append(_flat(updater.states[index]))
    return found


def set_counts(trainer, counts: dict[int, int]) -> None:
    """Let an optimiser count its steps on from {parameter: steps done}."""
    optimiser = trainer._optimizer
    for context in trainer._contexts:
        optimiser._set_current_context(context.device_id)
        optimiser._index_update_count.update(counts)
    optimiser.num_update = max(counts.values(), default=0)
