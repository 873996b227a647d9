"""Weights and training states on disk: complete, and with a checksum.

A weights file holds the tensors and, in its metadata, everything needed to
rebuild the network and its preprocessing. A checkpoint holds the optimiser's
state as well. ``tensor_files`` says how they are written.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import mxnet as mx
import numpy as np

from . import config as configs
from . import models
from .datasets.files import check_names, one_line
from .tensor_files import load_tensors, save_tensors

NAME = re.compile(r"step-(\d+)\.safetensors")


def parameter_arrays(net):
    """Return the network's numbers by structural name, as NumPy arrays."""
    return {name: parameter.data(parameter.list_ctx()[0]).asnumpy() for
            name, parameter in net._collect_params_with_prefix().items()}


def fill(net, tensors, source="the weights", ctx=None):
    """Copy arrays into a network of exactly the same tensors.

    Args:
        net: a network; it is initialised where it is not yet.
        tensors: structural name -> array.
        source: name for messages.
        ctx: MXNet context for a network that is not initialised.

    Raises:
        ValueError: names the first tensor that is missing, left over, or of
            another shape or kind.
    """
    wanted = net._collect_params_with_prefix()
    for name, parameter in wanted.items():
        if name not in tensors:
            raise ValueError(f"{source} do not fit {net.config.name}: tensor "
                             f"{name} {parameter.shape} is missing")
        if tensors[name].shape != parameter.shape:
            raise ValueError(
                f"{source} do not fit {net.config.name}: tensor {name} has "
                f"shape {tensors[name].shape}, expected {parameter.shape}")
        if tensors[name].dtype.kind != "f":
            raise ValueError(
                f"{source} do not fit {net.config.name}: tensor {name} holds "
                f"{tensors[name].dtype} numbers, expected floating ones")
    extra = [name for name in tensors if name not in wanted]
    if extra:
        raise ValueError(f"{source} do not fit {net.config.name}: it has no "
                         f"tensor {extra[0]!r:.80} "
                         f"{tensors[extra[0]].shape}")
    models.initialise(net, ctx)
    for name, parameter in wanted.items():
        parameter.set_data(mx.nd.array(tensors[name]))


def save_weights(path, net, classes, **metadata):
    """Write a network: its numbers, configuration and class names.

    Args:
        path: a .safetensors file.
        net: a ``models.Network``.
        classes: names of its foreground classes.
        metadata: further JSON-ready facts to keep, such as a result.
    """
    if len(classes) != net.config.num_classes:
        raise ValueError(f"the network has {net.config.num_classes} classes, "
                         f"found {len(classes)} class names")
    save_tensors(path, parameter_arrays(net), {
        "model": net.config.to_dict(), "classes": list(classes), **metadata})


def load_model(path, ctx=None):
    """Rebuild a network from its weights file alone.

    Args:
        path: a file of ``save_weights``.
        ctx: MXNet context, default the CPU.

    Returns:
        (net, metadata): the network, ready to be hybridized; a dictionary
        with "classes" and whatever else was saved.

    Raises:
        FileNotFoundError, ValueError: see ``load_tensors`` and ``fill``.
    """
    tensors, metadata = load_tensors(path)
    if "model" not in metadata or "classes" not in metadata:
        raise ValueError(f"{path} holds no network configuration; a training "
                         "checkpoint is read with --resume")
    try:
        net = models.build(configs.from_dict(metadata["model"]))
        names = check_names(metadata["classes"], "the classes")
    except (ValueError, KeyError, TypeError, mx.MXNetError) as error:
        raise ValueError(f"{path} describes no network that can be built: "
                         f"{one_line(str(error).strip())}") from error
    if len(names) != net.config.num_classes:
        raise ValueError(f"{path} describes a network of "
                         f"{net.config.num_classes} classes, but names "
                         f"{len(names)}")
    fill(net, tensors, str(path), ctx or mx.cpu())
    return net, metadata


def _flat(state):
    """Return an optimiser state as a list of arrays."""
    if state is None:
        return []
    return list(state) if isinstance(state, (list, tuple)) else [state]


def save_checkpoint(folder, step, net, trainer, facts, keep=2, extra=None):
    """Write everything a run needs to go on, and drop the oldest files.

    Args:
        folder: the run's checkpoint folder.
        step: optimiser steps done.
        net, trainer: the network and its ``gluon.Trainer``.
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

    Those with a higher step are damaged: the run has come from an earlier
    one, and would otherwise trip over them again.
    """
    last = paths.index(newest) + 1
    for path in paths[:max(last - keep, 0)] + paths[last:]:
        path.unlink(missing_ok=True)


def list_checkpoints(folder):
    """Return the checkpoint files of a folder, oldest first."""
    found = [path for path in Path(folder).glob("step-*.safetensors")
             if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(NAME.fullmatch(path.name)[1]))


class Checkpoint(NamedTuple):
    """What ``read_checkpoint`` found; step and facts as they were saved."""

    path: Path
    step: int
    facts: dict
    counts: dict
    tensors: dict


def read_checkpoint(path):
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
    if not (type(step) is int and isinstance(counts, dict)
            and isinstance(facts, dict)
            and all(key.isdecimal() and len(key) < 10 and type(value) is int
                    for key, value in counts.items())):
        raise ValueError(f"{path} is no training checkpoint")
    counts = {int(key): value for key, value in counts.items()}
    return Checkpoint(Path(path), step, facts, counts, tensors)


def restore(checkpoint, net, trainer):
    """Put a network and its trainer back to where a run was saved.

    Raises:
        ValueError: see ``fill``; or the optimiser's state does not fit.
    """
    weights = {name[4:]: array for name, array in checkpoint.tensors.items()
               if name.startswith("net/")}
    fill(net, weights, str(checkpoint.path))
    optimiser = trainer._optimizer
    for index, parameter in enumerate(trainer._params):
        parts = [checkpoint.tensors[key] for key in
                 sorted(key for key in checkpoint.tensors
                        if key.startswith(f"optimiser/{index}/"))]
        if not parts:
            continue
        for updater, data in zip(trainer._updaters, parameter.list_data()):
            state = optimiser.create_state_multi_precision(index, data)
            _fill_state(state, parts, f"{checkpoint.path} does not fit this "
                        f"run: the optimiser's state of {parameter.name}")
            updater.states[index] = state
            updater.states_synced[index] = True
    for context in trainer._contexts:
        optimiser._set_current_context(context.device_id)
        optimiser._index_update_count.update(checkpoint.counts)
    optimiser.num_update = max(checkpoint.counts.values(), default=0)


def _fill_state(state, parts, source):
    """Copy arrays into an optimiser's state of the same form."""
    arrays = _flat(state)
    if [(array.shape, "f") for array in arrays] != [
            (part.shape, part.dtype.kind) for part in parts]:
        raise ValueError(f"{source} has another form")
    for array, value in zip(arrays, parts):
        array[:] = value
