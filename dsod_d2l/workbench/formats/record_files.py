"""RecordIO files of other programs, whose boxes may leave the image a little.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...datasets import pictures
from ...datasets.records import RecordDataset
from ...datasets.sample import Entry, broken_entry
from .image_folder import SLACK


class FittedRecords(RecordDataset):
    """A ``RecordDataset`` whose boxes end at the edges of the image.

    Args:
        path: the `.rec` file.
        outside: "error" takes a box that leaves its image for a fault, but
            for a hundredth of a pixel, which is rounding; "clip" cuts it to
            the image and counts it.
        options: of ``RecordDataset``.

    Raises:
        FileNotFoundError, ValueError: as there.
    """

    def __init__(self, path: str | Path, outside: str = "error",
                 **options: Any):
        self._outside = outside
        super().__init__(path, **options)

    def _read(self, position: int) -> Entry:
        entry = super()._read(position)
        over = np.maximum(-entry.boxes, entry.boxes - 1)
        if not over.max(initial=0) > 1e-6:
            return entry
        try:
            height, width = pictures.encoded_size(self._bytes(entry),
                                                  entry.source)
        except ValueError as error:
            return broken_entry(entry.name, entry.source, str(error), "record")
        over = (over * ([width, height] * 2) > SLACK).any(axis=1)
        if over.any() and self._outside != "clip":
            return entry
        return entry._replace(boxes=entry.boxes.clip(0, 1),
                              clipped=int(over.sum()))
