"""Data sets: where samples come from.

A data set is any object with ``classes`` (a tuple of names), ``len()`` and
``[i]``, which returns a Sample. ``dsod_d2l.open_dataset`` makes one from a
short text.
"""

from .records import RecordDataset
from .sample import Sample, example, make_sample
from .wrappers import Combined, Selected, Subset, split

__all__ = ["Combined", "RecordDataset", "Sample", "Selected", "Subset",
           "example", "make_sample", "split"]
