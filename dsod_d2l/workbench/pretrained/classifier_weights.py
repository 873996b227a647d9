"""Start a backbone from a classifier's weights, whoever has trained it.

Files of MXNet and GluonCV (.params) and safetensors with the names of either,
of torchvision or of timm are read. Names differ, but the order of layers does
not: the first convolution of the file is that of the backbone, and so on, and
every shape is compared. Nothing is taken over by half: what does not fit is
an error.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet.gluon import nn
from safetensors import SafetensorError
from safetensors.numpy import load as parse

from ... import models
from ...config.base import ModelConfig, require
from ...models.widths import named_blocks
from .params_file import load_params
from .transfer import Transfer

LEAF = re.compile(r"(.*)[._](weight|bias|gamma|beta|(?:running|moving)_"
                  r"(?:mean|var)|num_batches_tracked)")
# What others call the parts of a normalisation.
OURS = {"weight": "gamma", "bias": "beta", "moving_mean": "running_mean",
        "moving_var": "running_var"}


class Layer(NamedTuple):
    """The tensors of one layer of a file: part -> (name, array)."""

    name: str
    parts: dict[str, tuple[str, np.ndarray]]

    def __getitem__(self, part: str) -> np.ndarray:
        return self.parts[part][1]


class Classifier(NamedTuple):
    """The layers of a file, each kind in the order of the network.

    convolutions, norms, dense: lists of ``Layer``.
    names: of all tensors.
    """

    path: str
    convolutions: list[Layer]
    norms: list[Layer]
    dense: list[Layer]
    names: tuple[str, ...]


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


def read_classifier(path: str | Path) -> Classifier:
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
    convolutions, norms, dense = [], [], []
    by_axes = {4: convolutions, 2: dense}
    for name, parts in layers.items():
        axes = parts["weight"][1].ndim if "weight" in parts else 0
        if parts.keys() & {"gamma", "running_mean", "moving_mean"}:
            norms.append(Layer(name, {OURS.get(part, part): value
                                      for part, value in parts.items()}))
        else:
            require(axes in by_axes, f"{path}: of its layer {name} there is "
                    f"only {' and '.join(parts)}")
            by_axes[axes].append(Layer(name, parts))
    require(convolutions, f"{path} holds no weights of a convolution")
    return Classifier(str(path), convolutions, norms, dense, tuple(arrays))


NORM = ("gamma", "beta", "running_mean", "running_var")


def adapt(config: ModelConfig, classifier: Classifier) -> ModelConfig:
    """Return the configuration whose backbone works as the file's network.

    Of ResNet-50 there are two kinds with the same shapes: one halves in its
    1 x 1 convolutions, one in its 3 x 3 convolutions. Of MobileNetV2 there is
    one with a convolution that widens nothing, and one without. A backbone's
    ``like`` tells them apart.

    Args:
        config: ``ModelConfig``; without a backbone it comes back as it is.
        classifier: ``Classifier``.
    """
    if not hasattr(config, "backbone"):
        return config
    return dataclasses.replace(config, backbone=config.backbone.like(
        [layer.parts for layer in classifier.convolutions]))


def start_from_classifier(net, classifier: Classifier, ctx=None) -> Transfer:
    """Fill a network's backbone with a classifier's weights.

    The dense layers of VGG16 become convolutions: of fc6, which looks at
    7 x 7 cells, every third row and column is kept, and of its 4096 channels
    every fourth. Normalisations behind them, which no classifier has, are
    left as they begin. A bias before a normalisation, which Gluon's ResNet
    has and ours has not, goes into the mean.

    Args:
        net: a ``models.Network`` with a backbone; it is initialised.
        classifier: ``Classifier``.
        ctx: MXNet context, default the CPU.

    Returns:
        ``Transfer``: the heads and the extra layers are left to chance.

    Raises:
        ValueError: the network has no backbone, or the file lacks a layer or
            has one of another shape; nothing is changed then.

    Paper: of fc6, DeepLab, section 3.1 (arXiv:1412.7062), and SSD,
    section 3.1 (arXiv:1512.02325).
    """
    require(hasattr(net, "backbone"), f"{net.config.name} has no backbone "
            "that a classifier's weights fit")
    fitted = _Fitting(net, classifier)
    models.initialise(net, ctx or mx.cpu())
    for parameter, array in fitted.values.items():
        parameter.set_data(mx.nd.array(array))
    loaded = [fitted.names[parameter] for parameter in fitted.values]
    return Transfer(tuple(loaded),
                    tuple(name for name in fitted.names.values()
                          if name not in loaded),
                    tuple(name for name in classifier.names
                          if name not in fitted.used),
                    tuple(fitted.converted))


def layer_pairs(block: nn.HybridBlock) -> list[list]:
    """Return [name, convolution, the normalisation behind it or None]."""
    pairs = []
    for name, child in named_blocks(block).items():
        if isinstance(child, nn.Conv2D):
            pairs.append([name, child, None])
        elif isinstance(child, nn.BatchNorm):
            pairs[-1][2] = child
    return pairs


class _Fitting:
    """What a file says of each parameter of a backbone.

    values: parameter -> array.
    used: names of the file's tensors that are in it.
    converted: names of the layers that were not merely copied.
    names: parameter -> its name in the network.
    """

    def __init__(self, net, classifier):
        backbone = net.config.backbone
        self.path, self.kind = classifier.path, backbone.name
        self.values, self.used, self.converted = {}, [], []
        self.names = {parameter: name for name, parameter
                      in net._collect_params_with_prefix().items()}
        pairs = layer_pairs(net.backbone)
        wanted = sum(norm is not None for *_, norm in pairs)
        self._check(bool(wanted) == bool(classifier.norms), "it has "
                    f"{len(classifier.norms)} batch normalisations, the "
                    f"backbone {wanted}")
        sources = [*classifier.convolutions, *classifier.dense]
        norms = iter(classifier.norms)
        for place, (name, conv, norm) in enumerate(pairs):
            self._check(place < len(sources), f"it ends after {place} layers, "
                        f"before {name}")
            dense = place >= len(pairs) - backbone.dense_layers
            self._convolution(conv, sources[place], dense)
            normed = next(norms, None) if norm else None
            self._check(not norm or normed or dense, "it has no batch "
                        f"normalisation for {name}")
            for part in NORM if normed else ():
                self._take(getattr(norm, part), normed, part)
            self._bias(conv, norm, sources[place], dense)

    def _check(self, good, problem):
        require(good, f"{self.path} does not fit the backbone {self.kind}: "
                f"{problem}")

    def _take(self, parameter, layer, part, change=np.asarray):
        """Note the value of a parameter, changed by a function."""
        self._check(part in layer.parts, f"its layer {layer.name} lacks the "
                    f"{part}")
        name, array = layer.parts[part]
        self._check(array.dtype.kind == "f", f"its {name} holds {array.dtype} "
                    "numbers, expected floating ones")
        value = change(array.astype(np.float32))
        self._check(np.isfinite(value).all(), f"its {name} holds numbers that "
                    "are not finite")
        self._check(value.shape == parameter.shape, f"its {name} has the "
                    f"shape {array.shape}, expected was {parameter.shape} for "
                    f"{self.names[parameter]}")
        self.values[parameter] = value
        self.used.append(name)

    def _convolution(self, conv, layer, dense):
        def change(array):
            if not dense or array.shape == conv.weight.shape:
                return array
            self.converted.append(layer.name)
            return decimate(array, conv.weight.shape)
        self._take(conv.weight, layer, "weight", change)

    def _bias(self, conv, norm, layer, dense):
        """Take a bias over, as such or into the mean behind it."""
        if conv.bias is not None:
            every = (max(layer["weight"].shape[0] // conv.bias.shape[0], 1)
                     if dense else 1)
            self._take(conv.bias, layer, "bias", lambda array: array[::every])
        elif "bias" in layer.parts:
            name, bias = layer.parts["bias"]
            self._check(norm and bias.shape == norm.running_mean.shape,
                        f"its {name} of shape {bias.shape} has no place")
            self.values[norm.running_mean] -= bias
            self.used.append(name)
            self.converted.append(layer.name)


def decimate(weight: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Keep every so many channels, rows and columns of a dense layer.

    Args:
        weight: (O, I) of a dense layer, or (O, I, 7, 7) or (O, I, 1, 1) of
            the same as a convolution. I of the first dense layer runs over
            channels, then 7 rows, then 7 columns.
        shape: (o, i, rows, columns) of a convolution: 3 x 3 for 7 x 7, else
            1 x 1.

    Returns:
        Array of that shape, or ``weight`` where there is no such choice.

    >>> decimate(np.arange(2 * 49).reshape(2, 49), (1, 1, 3, 3))[0, 0]
    array([[ 0,  3,  6],
           [21, 24, 27],
           [42, 45, 48]])
    """
    side = 7 if shape[2] == 3 else 1
    if weight.size % (len(weight) * side * side) == 0:
        grid = weight.reshape(len(weight), -1, side, side)
        if all(big % small == 0 for big, small in zip(grid.shape, shape[:2])):
            outputs, inputs = (big // small for big, small
                               in zip(grid.shape, shape[:2]))
            return grid[::outputs, ::inputs, ::3, ::3]
    return weight
