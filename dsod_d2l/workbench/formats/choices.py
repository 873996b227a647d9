"""A data set of which classes and objects are chosen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...datasets.sample import FLAGS, Entry, crowds_in
from ...datasets.wrappers import Wrapper
from .text_files import unknown_class

POLICIES = ("keep", "drop", "difficult")


class Selected(Wrapper):
    """A data set whose classes and objects were chosen.

    An image that loses all of its objects stays, as one without objects.

    Args:
        dataset: any data set.
        rename: {old class name: new one}; two with the same new name become
            one class.
        only: the class names to keep, in the order of their new indices,
            after renaming. Default: all.
        difficult, truncated, occluded, crowd: what becomes of such objects:
            "keep"; "drop"; or "difficult", which an evaluation does not ask
            for. A crowd that is kept is an ignored region in an evaluation
            and not trained on.

    Attributes:
        dropped: Counter of objects that were left out, by reason.

    Raises:
        ValueError: a class or a policy is not known.
    """

    def __init__(self, dataset: Any, rename: dict | None = None,
                 only: list | tuple | None = None, **policies: str):
        super().__init__(dataset)
        for flag, policy in policies.items():
            if flag not in FLAGS:
                raise ValueError(f"there is no choice {flag!r}; expected "
                                 f"{', '.join(FLAGS)}.")
            if policy not in POLICIES:
                raise ValueError(f"{flag} must be one of "
                                 f"{', '.join(POLICIES)}, found {policy!r}.")
        self._policies = policies
        names = _renamed(dataset.classes, rename or {})
        self.classes = _chosen(dict.fromkeys(names), only)
        index = {name: label for label, name in enumerate(self.classes)}
        # The new index of each old class, -1 for one that is left out.
        self._labels = np.array([index.get(name, -1) for name in names],
                                np.int64)
        self.dropped = Counter()
        self._kept = [self._choose(row) for row in range(len(dataset))]

    @property
    def category_ids(self) -> tuple:
        """The id of each class, where the data set has them.

        Of classes that were made one, it is that of the first.
        """
        first = [self._labels.tolist().index(label)
                 for label in range(len(self.classes))]
        return tuple(self.dataset.category_ids[old] for old in first)

    def __repr__(self):
        left = sum(self.dropped.values())
        return (f"Selected({self.dataset!r}, classes={len(self.classes)}, "
                f"{left} objects dropped)")

    def _changed(self, index, one):
        kept, flags = self._kept[index]
        told = {"flags": flags} if isinstance(one, Entry) else {
            "difficult": flags[:, 0], "crowd": crowds_in(flags)}
        return one._replace(
            boxes=one.boxes[kept], labels=self._labels[one.labels[kept]],
            areas=None if one.areas is None else one.areas[kept], **told)

    def _choose(self, row):
        """Return the rows of objects that stay in an image; their flags."""
        entry = self._ask("entry", row)
        stay = self._labels[entry.labels] >= 0
        self._count("class", ~stay)
        flags = entry.flags.copy()
        for flag, policy in self._policies.items():
            column = FLAGS.index(flag)
            struck = entry.flags[:, column]
            if policy == "drop":
                self._count(flag, struck & stay)
                stay &= ~struck
            elif policy == "difficult":
                flags[struck, 0] = True
                flags[struck, 3] &= flag != "crowd"
        kept = np.flatnonzero(stay)
        return kept, flags[kept]

    def _count(self, reason, struck):
        if struck.any():
            self.dropped[reason] += int(struck.sum())


def _renamed(classes, rename):
    """Return the class names with the new ones in place."""
    for name in rename:
        if name not in classes:
            raise ValueError(f"rename: {unknown_class(name, classes)}.")
    return [rename.get(name, name) for name in classes]


def _chosen(names, only):
    """Return the classes that stay."""
    if only is None:
        return tuple(names)
    if isinstance(only, str) or not only or len(set(only)) != len(only):
        raise ValueError("only must list different class names, found "
                         f"{only!r}.")
    for name in only:
        if name not in names:
            raise ValueError(f"only: {unknown_class(name, names)}.")
    return tuple(only)
