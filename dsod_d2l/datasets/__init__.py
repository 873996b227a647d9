"""Data sets: where samples come from.

A data set is any object with ``classes`` (a tuple of names), ``len()`` and
``[i]``, which returns a Sample. ``open_dataset`` makes one from a short text.
"""

from __future__ import annotations

import importlib

from .base import Sample, make_sample

__all__ = ["Pikachu", "RecordDataset", "Sample", "StandIn", "Subset",
           "example", "make_sample", "open_dataset", "split"]

FORMS = ("rec:PATH", "standin", "standin:train", "standin:val",
         "pikachu:FOLDER", "pikachu:FOLDER:train", "pikachu:FOLDER:val")
SPLITS = ("train", "val")
_HOMES = {"Pikachu": "pikachu", "RecordDataset": "records",
          "StandIn": "standin", "Subset": "subsets", "split": "subsets",
          "example": "examples"}


def __getattr__(name):
    # Each source is imported when it is first used: this keeps the import of
    # the package cheap.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def open_dataset(spec, split=None, **options):
    """Open the data set that a short text names.

    Args:
        spec: ``rec:PATH`` (a .rec file), ``standin``, ``standin:train`` or
            ``standin:val`` (the rendered stand-in), or ``pikachu:FOLDER``,
            also with ``:train`` or ``:val`` at its end.
        split: "train" or "val", for a spec that does not say; default
            "train". A .rec file has no splits.
        options: passed on, such as ``bad`` and ``cache`` of RecordDataset.

    Raises:
        ValueError: the spec has none of these forms.
        FileNotFoundError: what it names is not there.
    """
    kind, _, rest = str(spec).partition(":")
    if split not in (None, *SPLITS):
        raise ValueError(f"split must be train or val, found {split!r}.")
    if kind == "rec" and rest:
        from .records import RecordDataset
        return RecordDataset(rest, **options)
    if kind == "standin" and rest in ("", *SPLITS):
        from .standin import StandIn
        options.pop("bad", None)    # what is rendered holds no bad sample
        return StandIn(split=rest or split or SPLITS[0], **options)
    if kind == "pikachu" and rest:
        from .pikachu import Pikachu
        folder, _, last = rest.rpartition(":")
        if folder and last in SPLITS:
            return Pikachu(folder, last, **options)
        return Pikachu(rest, split or SPLITS[0], **options)
    raise ValueError(f"data must have one of the forms {', '.join(FORMS)}; "
                     f"found {str(spec)!r}.")
