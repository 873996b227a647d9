"""Which filters go: those with the smallest weights, layer by layer or over
the whole network.

Paper: Pruning Filters for Efficient ConvNets (arXiv:1608.08710).
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from numbers import Real
from typing import NamedTuple

import numpy as np

from ...blocks import ALIGNED
from ...config.base import COUNTED, one_of, require
from .channels import Channels, trace

SCOPES = ("layer", "global")


class Group(NamedTuple):
    """Layers that can only lose their filters together; mostly a single one.

    layers: their names.
    roots: (n,) numbers of the channels that they make, see ``Channels``.
    scores: (n,) mean absolute weight of each filter, over the mean of its
        layer; where layers are added, the mean over them.
    """

    layers: tuple[str, ...]
    roots: np.ndarray
    scores: np.ndarray

    @property
    def name(self) -> str:
        """Name of the first layer."""
        return self.layers[0]


class PruningPlan(NamedTuple):
    """What is to be removed.

    channels: ``Channels`` of the network.
    gone: roots of the channels that go.
    """

    channels: Channels
    gone: np.ndarray

    def keeps(self, ids: np.ndarray) -> np.ndarray:
        """Return (n,) bool, True for the channels that stay."""
        return ~np.isin(self.channels.root[ids], self.gone)

    @property
    def widths(self) -> dict[str, tuple[int, int]]:
        """Layer -> (filters before, filters after), where they differ."""
        return {name: (len(ids), int(self.keeps(ids).sum()))
                for name, ids in self.channels.layers.items()
                if not self.keeps(ids).all()}


def filter_groups(net, layers=("*",), protect=(), shortcuts: bool = False,
                  channels: Channels | None = None) -> list[Group]:
    """Find what can be pruned, and how much each filter weighs.

    What the outputs need in number, the heads, is never among it.

    Args:
        net: an initialised ``Network``.
        layers: patterns such as "to_first.*"; only these layers.
        protect: patterns of layers that stay whole.
        shortcuts: whether layers tied by an addition may lose filters, all
            of them the same ones; else residual widths stay as they are.
        channels: ``Channels`` of the network, if already at hand.

    Returns:
        List of ``Group``, in the order of the graph.

    Raises:
        ValueError: a pattern fits no layer, or is given outside a list.
    """
    found = channels or trace(net)
    for name, patterns in (("layers", layers), ("protect", protect)):
        require(not isinstance(patterns, str), f"{name} must be a list of "
                f"patterns, found {patterns!r}")
    names = list(found.layers)
    for pattern in (*layers, *protect):
        require(_fits(names, [pattern]), f"{net.config.name} has no layer "
                f"{pattern!r}; they are called "
                f"{', '.join(map(repr, names[:3]))} to {names[-1]!r}")
    weights = _filter_weights(net, found)
    groups = []
    for names, roots in _tied(found):
        if (found.fixed.isdisjoint(roots)
                and (shortcuts or found.added.isdisjoint(roots))
                and _fits(names, layers) and not _fits(names, protect)):
            roots = np.array(sorted(roots))
            groups.append(Group(tuple(names), roots, _scores(
                [(found.root[found.layers[name]], weights[name])
                 for name in names], roots)))
    return groups


def plan_pruning(net, ratio: float | Mapping[str, float], layers=("*",),
                 protect=(), scope: str = "layer", shortcuts: bool = False,
                 multiple: int = ALIGNED) -> PruningPlan:
    """Choose the filters that are to go.

    Args:
        net: an initialised ``Network``.
        ratio: share of the filters to remove, 0 to below 1: of each layer,
            or of all together. For each layer also {pattern: ratio}, where
            the first pattern that fits counts.
        layers, protect, shortcuts: see ``filter_groups``.
        scope: "layer", or "global": the smallest of all, each compared with
            the mean of its layer.
        multiple: the number of filters left is rounded to a multiple of
            this. oneDNN pads maps to 16 channels and is slow where parts of
            a concatenation start elsewhere; 1: not rounded.

    Returns:
        ``PruningPlan``.

    Raises:
        ValueError: the ratio would empty a layer or removes nothing, or a
            pattern fits no layer.
    """
    one_of("scope", scope, SCOPES)
    COUNTED.check("multiple", multiple)
    ratios = ratio if isinstance(ratio, Mapping) else {"*": ratio}
    require(all(isinstance(one, Real) for one in ratios.values()), "ratio "
            "must be a number from 0 to below 1, or {pattern: number}, found "
            f"{ratio!r}")
    if ratios is ratio:
        layers = tuple(ratio)
    channels = trace(net)
    groups = filter_groups(net, layers, protect, shortcuts, channels)
    require(groups, f"{net.config.name}: no layer is left to prune")
    counts = (_over_all(groups, ratio) if scope == "global" else
              [_in_layer(group, ratios) for group in groups])
    gone = [group.roots[np.argsort(group.scores, kind="stable")[
        :round_removed(len(group.roots), count, multiple)]]
        for group, count in zip(groups, counts)]
    plan = PruningPlan(channels, np.concatenate(gone))
    most = max(len(group.roots) for group in groups)
    require(plan.widths, f"ratio {ratio} removes no filter: the widest of the "
            f"{len(groups)} layers has {most}, and what is left is rounded to "
            f"multiples of {multiple}")
    return plan


def _fits(names, patterns):
    return any(fnmatchcase(name, pattern) for name in names
               for pattern in patterns)


def _filter_weights(net, found):
    """Return {layer: mean absolute weight of each filter}."""
    parameters = net._collect_params_with_prefix()
    weights = {}
    for name in found.layers:
        own = parameters[f"{name}.weight"]
        array = own.list_data()[0].asnumpy()
        axis = 0 if (own.name, 0) in found.filters else 1
        others = tuple(k for k in range(array.ndim) if k != axis)
        weights[name] = np.abs(array).mean(axis=others)
    return weights


def _tied(found):
    """Return [(names of layers, set of roots)] of those that share some."""
    parts = []
    for name, ids in found.layers.items():
        if name in found.gates:
            continue
        names, roots = [name], set(found.root[ids].tolist())
        for part in [part for part in parts if part[1] & roots]:
            names, roots = part[0] + names, part[1] | roots
            parts.remove(part)
        parts.append((names, roots))
    return parts


def _scores(members, roots):
    """Return the score of every root; members are (roots, weights)."""
    total, count = np.zeros(len(roots)), np.zeros(len(roots))
    for mine, weights in members:
        place = np.searchsorted(roots, mine)
        np.add.at(total, place, weights / max(weights.mean(), 1e-30))
        np.add.at(count, place, 1)
    return total / count


def _in_layer(group, ratios):
    """Return how many filters of a layer go, by {pattern: ratio}."""
    total = len(group.roots)
    ratio = next(value for pattern, value in ratios.items()
                 if _fits(group.layers, [pattern]))
    require(0 <= ratio <= 1, f"ratio must be from 0 to below 1, found {ratio}")
    require(ratio < 1, f"ratio 1 would empty layer {group.name}, "
            f"which has {total} filters")
    return int(ratio * total)


def _over_all(groups, ratio):
    """Return how many filters of each layer go, the smallest of all first.

    The best filter of each layer stays.
    """
    require(not isinstance(ratio, Mapping) and 0 <= ratio <= 1, "ratio must "
            "be a number from 0 to below 1 where the scope is global, found "
            f"{ratio}")
    scores = np.concatenate([np.sort(group.scores)[:-1] for group in groups])
    owner = np.repeat(range(len(groups)),
                      [len(group.roots) - 1 for group in groups])
    total = len(scores) + len(groups)
    count = int(ratio * total)
    require(count <= len(scores), f"ratio {float(ratio):g} would empty a "
            f"layer: of {total} filters in {len(groups)} layers, {count} are "
            "to go")
    smallest = owner[np.argsort(scores, kind="stable")[:count]]
    return np.bincount(smallest, minlength=len(groups)).tolist()


def round_removed(total: int, count: int, multiple: int) -> int:
    """Return how many go so that a multiple is left, of at least one."""
    left = int((total - count) / multiple + 0.5) * multiple
    return total - min(total, max(multiple, left))
