"""A data set of which classes and objects are chosen, or matched by name."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from ...config.base import one_of, require
from ...datasets.sample import FLAGS, Entry, crowds_in, few
from ...datasets.wrappers import Wrapper, complete
from ...evaluation import class_numbers
from .text_files import unknown_class

_log = logging.getLogger(__name__)
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
        classes: instead of only: the classes in their order, whether the
            data set has them or not.
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
                 only: list | tuple | None = None,
                 classes: Sequence[str] | None = None, **policies: str):
        super().__init__(dataset)
        for flag, policy in policies.items():
            require(flag in FLAGS, f"there is no choice {flag!r}; expected "
                    f"{', '.join(FLAGS)}.")
            one_of(flag, policy, POLICIES)
        self._policies = policies
        names = _renamed(dataset.classes, rename or {})
        self.classes = tuple(classes or _chosen(dict.fromkeys(names), only))
        index = {name: label for label, name in enumerate(self.classes)}
        # The new index of each old class, -1 for one that is left out.
        self._labels = np.array([index.get(name, -1) for name in names],
                                np.int64)
        self.dropped = Counter()
        self._kept = [self._choose(row) for row in range(len(dataset))]

    @property
    def category_ids(self) -> tuple:
        """The id of each class, None for one that the data set lacks.

        Of classes that were made one, it is that of the first.
        """
        ids: list[Any] = [None] * len(self.classes)
        for label, key in reversed([*zip(self._labels,
                                         self.dataset.category_ids)]):
            if label >= 0:
                ids[label] = key
        return tuple(ids)

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
        require(name in classes, f"rename: {unknown_class(name, classes)}.")
    return [rename.get(name, name) for name in classes]


def _chosen(names, only):
    """Return the classes that stay."""
    if only is None:
        return tuple(names)
    require(not isinstance(only, str) and only and len(set(only)) == len(only),
            f"only must list different class names, found {only!r}.")
    for name in only:
        require(name in names, f"only: {unknown_class(name, names)}; where "
                "files merely lack one, classes= lists all that may occur.")
    return tuple(only)


def matched(dataset: Any, classes: Sequence[str],
            whose: str = "the detector") -> Any:
    """Return a data set with the classes of another one, matched by name.

    It may lack some, have them in another order, and have more of which
    there is no object: the first and the last are remarked.

    Args:
        dataset: any data set.
        classes: names that its classes are to have, in this order.
        whose: they are, in messages.

    Raises:
        ValueError: it has objects of other classes, or none of these.
    """
    names = tuple(dataset.classes)
    known = [name for name in names if name in classes]
    if not known:
        class_numbers(classes, names)      # raises, unless they are no names
    if names == tuple(classes) or not known:
        return dataset
    chosen = Selected(dataset, classes=classes)
    other = [name for name in names if name not in classes]
    lacking = [name for name in classes if name not in names]
    if chosen.dropped:
        used = {names[label] for row in range(len(dataset))
                for label in complete(dataset).entry(row).labels}
        other = [name for name in other if name in used]
        raise ValueError(
            f"{chosen.dropped['class']} objects of the data set are of "
            f"{few(other)}, which {whose} does not know, only "
            f"{few(list(classes))}; behind its name ?rename={other[0]}:NAME "
            f"calls them otherwise, and ?only={_listed(known)} leaves them "
            "out.")
    if lacking:
        _log.warning("The data set lacks %s, which %s knows: no figure comes "
                     "of it. ?classes=%s behind its name lists all that may "
                     "occur.", few(lacking), whose, _listed(classes))
    if other:
        _log.warning("The data set names %s and has no object of it; %s does "
                     "not know it: left out.", few(other), whose)
    return chosen


def _listed(names):
    """Return names as the address of a data set lists them."""
    return ",".join(re.sub("[%,&]", lambda one: quote(one[0]), name)
                    for name in names)
