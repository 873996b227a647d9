"""Several data sets as one."""

from __future__ import annotations

import numpy as np


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
