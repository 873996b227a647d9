"""Data sets made of others: parts, several as one, a choice of classes."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .sample import FLAGS, unknown_class


class Subset:
    """Some images of a data set, in the order of their indices.

    Args:
        dataset: any data set.
        indices: integers below its length.

    Raises:
        ValueError: an index is out of range.
    """

    def __init__(self, dataset, indices):
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64).ravel()
        wrong = self.indices[(self.indices < 0)
                             | (self.indices >= len(dataset))]
        if wrong.size:
            raise ValueError(f"indices must lie in 0 to {len(dataset) - 1}, "
                             f"found {wrong[0]}.")

    @property
    def classes(self):
        """Names of the classes of the whole."""
        return self.dataset.classes

    @property
    def image_ids(self):
        """The ids of the images, where the whole has them."""
        return self.dataset.image_ids

    @property
    def category_ids(self):
        """The id of each class, where the whole has them."""
        return self.dataset.category_ids

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]

    def __repr__(self):
        return f"Subset({len(self)} of {self.dataset!r})"

    def entry(self, index):
        """Return the Entry of one image."""
        return self.dataset.entry(self.indices[index])

    def encoded(self, index):
        """Return the bytes of one image file."""
        return self.dataset.encoded(self.indices[index])

    def size(self, index):
        """Return (height, width) of one image as its file says."""
        return self.dataset.size(self.indices[index])


def split(dataset, fraction, rng):
    """Return two Subsets that share no image: the larger rest, and a slice.

    Args:
        dataset: any data set.
        fraction: share of the images in the second part, between 0 and 1;
            both parts hold at least one image.
        rng: numpy.random.Generator that draws the slice.

    Raises:
        ValueError: fraction is out of range, or there are fewer than two
            images.
    """
    if not 0 < fraction < 1:
        raise ValueError("fraction must lie between 0 and 1, found "
                         f"{fraction}.")
    if len(dataset) < 2:
        raise ValueError("dataset must hold at least two images to be split, "
                         f"found {len(dataset)}.")
    size = min(max(round(len(dataset) * fraction), 1), len(dataset) - 1)
    order = rng.permutation(len(dataset))
    return (Subset(dataset, np.sort(order[size:])),
            Subset(dataset, np.sort(order[:size])))


class Combined:
    """The images of several data sets, one after the other.

    Args:
        parts: at least one data set.
        merge: whether the parts may differ in their classes. The classes
            are then those of the first part, and after them what the others
            have more; equal names are one class.

    Raises:
        ValueError: there is no part, or the classes differ.
    """

    def __init__(self, parts, merge=False):
        self.parts = list(parts)
        if not self.parts:
            raise ValueError("parts must hold at least one data set, found "
                             "none.")
        first = self.parts[0].classes
        for part in self.parts[1:]:
            if part.classes != first and not merge:
                raise ValueError(
                    "the classes of data sets to be combined must agree, "
                    f"found {_few(first)} in {self.parts[0]!r} and "
                    f"{_few(part.classes)} in {part!r}; give both the same "
                    "classes, or merge them.")
        self.classes = tuple(dict.fromkeys(
            name for part in self.parts for name in part.classes))
        index = {name: label for label, name in enumerate(self.classes)}
        self._labels = [np.array([index[name] for name in part.classes],
                                 np.int64) for part in self.parts]
        self._starts = np.cumsum([0] + [len(part) for part in self.parts])

    @property
    def skipped(self):
        """What the parts left out."""
        return [fault for part in self.parts
                for fault in getattr(part, "skipped", [])]

    @property
    def image_ids(self):
        """The ids of the images, where all parts have them."""
        return {name: key for part in self.parts
                for name, key in part.image_ids.items()}

    @property
    def category_ids(self):
        """The id of each class, where all parts have them.

        Raises:
            ValueError: the parts differ in the id of a class.
        """
        ids = {}
        for part in self.parts:
            for name, key in zip(part.classes, part.category_ids):
                if ids.setdefault(name, key) != key:
                    raise ValueError(f"the class {name!r} has the id "
                                     f"{ids[name]} in one data set, and {key}"
                                     f" in {part!r}.")
        return tuple(ids[name] for name in self.classes)

    def __len__(self):
        return int(self._starts[-1])

    def __getitem__(self, index):
        part, row = self._find(index)
        sample = self.parts[part][row]
        return sample._replace(labels=self._labels[part][sample.labels])

    def __repr__(self):
        return f"Combined({', '.join(map(repr, self.parts))})"

    def entry(self, index):
        """Return the Entry of one image."""
        part, row = self._find(index)
        entry = self.parts[part].entry(row)
        return entry._replace(labels=self._labels[part][entry.labels])

    def encoded(self, index):
        """Return the bytes of one image file."""
        part, row = self._find(index)
        return self.parts[part].encoded(row)

    def size(self, index):
        """Return (height, width) of one image as its file says."""
        part, row = self._find(index)
        return self.parts[part].size(row)

    def _find(self, index):
        """Return the number of a part, and the row in it."""
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0 to {len(self) - 1}, found "
                             f"{index}")
        index %= len(self)
        part = int(np.searchsorted(self._starts, index, "right")) - 1
        return part, index - int(self._starts[part])


def _few(names):
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


POLICIES = ("keep", "drop", "difficult")


class Selected:
    """A data set whose classes and objects were chosen.

    An image that loses all of its objects stays, as one without objects.

    Args:
        dataset: any data set with ``entry``.
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

    def __init__(self, dataset, rename=None, only=None, **policies):
        self.dataset = dataset
        for flag, policy in policies.items():
            if flag not in FLAGS or policy not in POLICIES:
                raise ValueError(f"{flag} must be one of "
                                 f"{', '.join(POLICIES)}, found {policy!r}."
                                 if flag in FLAGS else
                                 f"there is no choice {flag!r}; expected "
                                 f"{', '.join(FLAGS)}.")
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
    def skipped(self):
        """What the data set itself left out."""
        return getattr(self.dataset, "skipped", [])

    @property
    def image_ids(self):
        """The ids of the images, where the data set has them."""
        return self.dataset.image_ids

    @property
    def category_ids(self):
        """The id of each class, where the data set has them.

        Of classes that were made one, it is that of the first.
        """
        first = [self._labels.tolist().index(label)
                 for label in range(len(self.classes))]
        return tuple(self.dataset.category_ids[old] for old in first)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        kept, flags = self._kept[index]
        sample = self.dataset[index]
        crowd = flags[:, 3] if flags[:, 3].any() else None
        return sample._replace(
            boxes=sample.boxes[kept],
            labels=self._labels[sample.labels[kept]],
            difficult=flags[:, 0], crowd=crowd,
            areas=_of(sample.areas, kept))

    def __repr__(self):
        left = sum(self.dropped.values())
        return (f"Selected({self.dataset!r}, classes={len(self.classes)}, "
                f"{left} objects dropped)")

    def entry(self, index):
        """Return the Entry of one image."""
        kept, flags = self._kept[index]
        entry = self.dataset.entry(index)
        return entry._replace(boxes=entry.boxes[kept], flags=flags,
                              labels=self._labels[entry.labels[kept]],
                              areas=_of(entry.areas, kept))

    def encoded(self, index):
        """Return the bytes of one image file."""
        return self.dataset.encoded(index)

    def size(self, index):
        """Return (height, width) of one image as its file says."""
        return self.dataset.size(index)

    def _choose(self, row):
        """Return the rows of objects that stay in an image; their flags."""
        entry = self.dataset.entry(row)
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


def _of(areas, kept):
    return None if areas is None else areas[kept]


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
