"""Data sets made of others: a part of one, several as one."""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..config.base import require
from .sample import Dataset, Entry, few


class Wrapper(Dataset):
    """A data set that hands on the images of others.

    What a part lacks of ``Dataset`` is made up from its samples.

    Args:
        parts: at least one data set of any kind.
    """

    def __init__(self, *parts: Any):
        self.parts, self.dataset = parts, parts[0]
        self.classes = getattr(self.dataset, "classes", ())
        self.faults, self.skipped = (
            [fault for part in parts for fault in getattr(part, name, ())]
            for name in ("faults", "skipped"))
        self.remarks: Counter = sum((Counter(getattr(part, "remarks", {}))
                                     for part in parts), Counter())

    @property
    def image_ids(self) -> dict:
        """The ids of the images, where all parts have them."""
        return {name: key for part in self.parts
                for name, key in part.image_ids.items()}

    @property
    def category_ids(self) -> Sequence:
        """The id of each class, where the data set has them."""
        return self.dataset.category_ids

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        part, row = self._find(index)
        return self._changed(index, self.parts[part][row])

    def __repr__(self):
        return repr(self.dataset)

    def entry(self, index: int) -> Entry:
        """Return the Entry of one image."""
        return self._changed(index, self._ask("entry", index))

    def encoded(self, index: int) -> bytes:
        """Return the bytes of one image file."""
        return self._ask("encoded", index)

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of one image as its file says."""
        return self._ask("size", index)

    def _ask(self, name, index):
        """Return what the part that has an image says of it."""
        part, row = self._find(index)
        part = self.parts[part]
        return getattr(part, name, functools.partial(
            getattr(Dataset, name), part))(row)

    def _find(self, index):
        """Return the number of a part, and the row in it."""
        return 0, index

    def _changed(self, index, one):
        """Return a Sample or an Entry as it is handed on."""
        return one


def complete(dataset: Any) -> Dataset:
    """Return a data set that has all of ``Dataset``; see there."""
    return dataset if isinstance(dataset, Dataset) else Wrapper(dataset)


class Subset(Wrapper):
    """Some images of a data set, in the order of their indices.

    Args:
        dataset: any data set.
        indices: integers below its length.

    Raises:
        ValueError: an index is out of range.
    """

    def __init__(self, dataset: Any, indices: Any):
        super().__init__(dataset)
        self.indices = np.asarray(indices, dtype=np.int64).ravel()
        wrong = self.indices[(self.indices < 0)
                             | (self.indices >= len(dataset))].tolist()
        require(not wrong, f"indices must lie in 0 to {len(dataset) - 1}, "
                f"found {wrong[0] if wrong else ''}.")

    def __len__(self):
        return len(self.indices)

    def __repr__(self):
        return f"Subset({len(self)} of {self.dataset!r})"

    def _find(self, index):
        return 0, int(self.indices[index])


def split(dataset: Any, fraction: float, rng: np.random.Generator
          ) -> tuple[Subset, Subset]:
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
    require(0 < fraction < 1,
            f"fraction must lie between 0 and 1, found {fraction}.")
    require(len(dataset) > 1, "dataset must hold at least two images to be "
            f"split, found {len(dataset)}; to train on all, hold none back "
            "(held_back=0, --held-back 0).")
    size = min(max(round(len(dataset) * fraction), 1), len(dataset) - 1)
    order = rng.permutation(len(dataset))
    return (Subset(dataset, np.sort(order[size:])),
            Subset(dataset, np.sort(order[:size])))


class Combined(Wrapper):
    """The images of several data sets, one after the other.

    Args:
        parts: at least one data set.
        merge: whether the parts may differ in their classes. The classes
            are then those of the first part, and after them what the others
            have more; equal names are one class.

    Raises:
        ValueError: there is no part, or the classes differ.
    """

    def __init__(self, parts: Iterable, merge: bool = False):
        parts = list(parts)
        require(parts, "parts must hold at least one data set, found none.")
        super().__init__(*parts)
        for part in self.parts[1:]:
            require(merge or part.classes == self.classes,
                    "the classes of data sets to be combined must agree, "
                    f"found {few(self.classes)} in {self.dataset!r} and "
                    f"{few(part.classes)} in {part!r}; give both the same, "
                    "as by ?classes= behind their names, or merge them.")
        self.classes = tuple(dict.fromkeys(
            name for part in self.parts for name in part.classes))
        index = {name: label for label, name in enumerate(self.classes)}
        self._labels = [np.array([index[name] for name in part.classes],
                                 np.int64) for part in self.parts]
        self._starts = np.cumsum([0] + [len(part) for part in self.parts])

    @property
    def category_ids(self) -> Sequence:
        """The id of each class, where all parts have them.

        Raises:
            ValueError: the parts differ in the id of a class.
        """
        ids: dict = {}
        for part in self.parts:
            for name, key in zip(part.classes, part.category_ids):
                if ids.setdefault(name, key) != key:
                    raise ValueError(f"the class {name!r} has the id "
                                     f"{ids[name]} in one data set, and {key}"
                                     f" in {part!r}.")
        return tuple(ids[name] for name in self.classes)

    def __len__(self):
        return int(self._starts[-1])

    def __repr__(self):
        return f"Combined({', '.join(map(repr, self.parts))})"

    def _find(self, index):
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0 to {len(self) - 1}, found "
                             f"{index}")
        index %= len(self)
        part = int(np.searchsorted(self._starts, index, "right")) - 1
        return part, index - int(self._starts[part])

    def _changed(self, index, one):
        labels = self._labels[self._find(index)[0]]
        return one._replace(labels=labels[one.labels])
