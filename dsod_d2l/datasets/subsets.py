"""Parts of a data set: chosen images, and a slice held back."""

from __future__ import annotations

import numpy as np


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
