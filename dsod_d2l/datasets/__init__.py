"""Data sets: where samples come from.

A data set is any object with ``classes`` (a tuple of names), ``len()`` and
``[i]``, which returns a Sample. ``open_dataset`` makes one from a short text.
"""

from __future__ import annotations

import importlib

from . import specs
from .base import Sample, make_sample

__all__ = ["Coco", "Combined", "CsvTable", "Pairs", "Pikachu",
           "RecordDataset", "Sample", "Selected", "StandIn", "Subset", "VOC",
           "Yolo", "example", "make_sample", "open_dataset", "split"]

_HOMES = {"Pikachu": "pikachu", "RecordDataset": "records",
          "StandIn": "standin", "Subset": "subsets", "split": "subsets",
          "example": "examples", "VOC": "voc", "Coco": "coco",
          "CsvTable": "csv_table", "Yolo": "yolo", "Pairs": "pairs",
          "Combined": "combined", "Selected": "selection"}


def __getattr__(name):
    # Each source is imported when it is first used: this keeps the import of
    # the package cheap.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def open_dataset(spec, split=None, **options):
    """Open the data set that a short text names.

    Args:
        spec: ``KIND:PATH`` with options after a ``?``; ``specs.describe()``
            lists all forms. Several, joined by ``" + "``, are one data set;
            their classes must agree.
        split: "train" or "val", for a spec that does not say; default
            "train" where there are splits of that name.
        options: passed on, such as ``bad`` and ``cache``.

    Raises:
        ValueError: the spec has none of the forms, or a file is faulty.
        FileNotFoundError: what it names is not there.
    """
    if split not in (None, *specs.SPLITS):
        raise ValueError(f"split must be train or val, found {split!r}.")
    parts = [specs.open_one(text.strip(), split, options)
             for text in str(spec).split(" + ")]
    if len(parts) == 1:
        return parts[0]
    from .combined import Combined
    return Combined(parts)
