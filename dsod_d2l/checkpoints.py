"""Weights and training states on disk: safetensors, atomic, and complete.

A weights file holds the tensors and, in its metadata, everything needed to
rebuild the network and its preprocessing. A checkpoint holds the optimiser's
state as well. Nothing is pickled, so loading a file runs no code.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import mxnet as mx
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialise

from . import config as configs
from . import models, params_file

FORMAT = "dsod_d2l 1"
NAME = re.compile(r"step-(\d+)\.safetensors")


def write_atomically(path, data):
    """Write bytes so that the file is either the old one or the new one.

    Args:
        path: the file; its folder is made.
        data: bytes.

    Raises:
        OSError: the disk is full or not writable; the old file is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"{path} was not written "
                      f"({error.strerror}); an earlier file is untouched"
                      ) from error


def save_tensors(path, tensors, metadata):
    """Write named arrays and a JSON-ready dictionary as safetensors.

    Args:
        tensors: name -> array. Each is made contiguous first: safetensors
            writes the memory of a strided view as it lies, in wrong order.
        metadata: dictionary; each value is stored as JSON text.
    """
    whole = {name: np.ascontiguousarray(array).reshape(np.shape(array))
             for name, array in tensors.items()}
    text = {key: json.dumps(value) for key, value in metadata.items()}
    write_atomically(path, serialise(whole, {"format": FORMAT, **text}))


def load_tensors(path):
    """Read what ``save_tensors`` wrote.

    Returns:
        (tensors, metadata): two dictionaries.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or written by something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such weights file")
    data = path.read_bytes()
    if data.startswith(params_file.MAGIC):
        raise ValueError(
            f"{path} is a .params file of MXNet, which does not say what "
            "network it belongs to: build the network, fill it with "
            "dsod_d2l.params_file.load_params and checkpoints.fill, and save "
            "it with checkpoints.save_weights")
    try:
        tensors = parse(data)
        size = int.from_bytes(data[:8], "little")
        text = json.loads(data[8:8 + size]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: "
                         f"{error}") from error
    if text.pop("format", None) != FORMAT:
        raise ValueError(f"{path} was not written by dsod_d2l: its metadata "
                         f"lacks the format {FORMAT!r}")
    return tensors, {key: json.loads(value) for key, value in text.items()}


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
            another shape.
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
    extra = [name for name in tensors if name not in wanted]
    if extra:
        raise ValueError(f"{source} do not fit {net.config.name}: it has no "
                         f"tensor {extra[0]} {tensors[extra[0]].shape}")
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
    net = models.build(configs.from_dict(metadata["model"]))
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
    counts = trainer._optimizer._index_update_count
    path = Path(folder) / f"step-{step:07d}.safetensors"
    save_tensors(path, tensors, {"step": step, "counts": dict(counts),
                                 "facts": facts})
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def list_checkpoints(folder):
    """Return the checkpoint files of a folder, oldest first."""
    found = [path for path in Path(folder).glob("step-*.safetensors")
             if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(NAME.fullmatch(path.name)[1]))


def load_checkpoint(path, net, trainer):
    """Put a network and its trainer back to where a run was saved.

    Returns:
        (step, facts) as given to ``save_checkpoint``.

    Raises:
        FileNotFoundError, ValueError: see ``load_tensors`` and ``fill``.
    """
    tensors, metadata = load_tensors(path)
    weights = {name[4:]: array for name, array in tensors.items()
               if name.startswith("net/")}
    fill(net, weights, str(path))
    updater, optimiser = trainer._updaters[0], trainer._optimizer
    for index, parameter in enumerate(trainer._params):
        parts = [tensors[key] for key in
                 sorted(key for key in tensors
                        if key.startswith(f"optimiser/{index}/"))]
        if not parts:
            continue
        state = optimiser.create_state_multi_precision(index,
                                                       parameter.data())
        for array, value in zip(_flat(state), parts):
            array[:] = value
        updater.states[index] = state
        updater.states_synced[index] = True
    counts = {int(key): value for key, value in metadata["counts"].items()}
    optimiser._index_update_count.update(counts)
    optimiser.num_update = max(counts.values(), default=0)
    return metadata["step"], metadata["facts"]
