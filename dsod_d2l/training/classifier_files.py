"""Weights files of classifiers, whoever has trained them, as lists of layers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.numpy import load as parse

from ..params_file import load_params

LEAF = re.compile(r"(.*)[._](weight|bias|gamma|beta|(?:running|moving)_"
                  r"(?:mean|var)|num_batches_tracked)")
# What others call the parts of a normalisation.
OURS = {"weight": "gamma", "bias": "beta", "moving_mean": "running_mean",
        "moving_var": "running_var"}


class Layer(NamedTuple):
    """The tensors of one layer of a file: part -> (name, array)."""

    name: str
    parts: dict

    def __getitem__(self, part):
        return self.parts[part][1]


class Classifier(NamedTuple):
    """The layers of a file, each kind in the order of the network.

    convolutions, norms, dense: lists of ``Layer``.
    names: of all tensors.
    """

    path: str
    convolutions: list
    norms: list
    dense: list
    names: tuple


def _arrays(path):
    """Return the tensors of a file, in the order of its network."""
    path = Path(path)
    if path.suffix != ".safetensors":
        return load_params(path, plain_names=True)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such weights file")
    try:
        found = parse(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: "
                         f"{error}") from error
    # Such a file is sorted by the alphabet, where 10 comes before 9.
    return {name: found[name] for name in sorted(found, key=_order(found))}


def _order(names):
    """Return what to sort names by, to have the order of their network.

    Of timm's MobileNets, stem and blocks are not in alphabetical order, nor
    is a block that ends in conv_pwl: it begins with conv_pw, not conv_dw. Of
    Gluon's MobileNetV2, the last convolution is the second by its name.
    """
    inverted = {name.split("conv_pwl.")[0] for name in names
                if "conv_pwl." in name}
    bottlenecks = any("_linearbottleneck" in name for name in names)

    def key(name):
        if name.split("conv_pw.")[0] in inverted:
            name = name.replace("conv_pw.", "conv_a.")
        if bottlenecks:
            name = re.sub("features_(conv|batchnorm)1_", r"features_z\1_",
                          name)
        return (not name.startswith(("conv_stem.", "bn1.")),
                [int(part) if part.isdigit() else part
                 for part in re.split(r"(\d+)", name)])
    return key


def read_classifier(path):
    """Read a classifier's weights.

    Args:
        path: a .params file, or a .safetensors file with names as MXNet,
            GluonCV, torchvision or timm give them.

    Returns:
        ``Classifier``.

    Raises:
        FileNotFoundError, ValueError: there is no such file, it is damaged,
            or it holds no convolution.
    """
    layers, arrays = {}, _arrays(path)
    for name, array in arrays.items():
        if found := LEAF.fullmatch(name):
            layer, part = found.groups()
            layers.setdefault(layer, {})[part] = (name, array)
    kinds = {"conv": [], "norm": [], "dense": []}
    for name, parts in layers.items():
        kind = _kind(parts)
        if kind not in kinds:
            raise ValueError(f"{path}: of its layer {name} there is only "
                             f"{' and '.join(parts)}")
        kinds[kind].append(Layer(name, parts))
    if not kinds["conv"]:
        raise ValueError(f"{path} holds no weights of a convolution")
    norms = [Layer(layer.name, {OURS.get(part, part): value for part, value
                                in layer.parts.items()})
             for layer in kinds["norm"]]
    return Classifier(str(path), kinds["conv"], norms, kinds["dense"],
                      tuple(arrays))


def _kind(parts):
    if {"gamma", "running_mean", "moving_mean"} & set(parts):
        return "norm"
    axes = parts["weight"][1].ndim if "weight" in parts else 0
    return {4: "conv", 2: "dense"}.get(axes, "none")
