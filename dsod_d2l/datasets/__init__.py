"""Data sets: where samples come from.

A data set is any object with ``classes`` (a tuple of names), ``len()`` and
``[i]``, which returns a Sample; ``Dataset`` says what else it may tell.
``dsod_d2l.open_dataset`` makes one from a short text.
"""

from .records import RecordDataset
from .sample import Dataset, Sample, example, make_sample
from .wrappers import Combined, Subset, split

__all__ = ["Combined", "Dataset", "RecordDataset", "Sample", "Subset",
           "example", "make_sample", "split"]
