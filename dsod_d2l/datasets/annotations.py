"""Data sets of image files, made of what annotation files say about them."""

from __future__ import annotations

import concurrent.futures
import os
import threading
import warnings
from pathlib import Path

import numpy as np

from . import images
from .base import Sample
from .entries import Fault
from .files import one_line

BAD = ("error", "skip")
CACHE_LIMIT = 2 << 30        # bytes of decoded images that are kept


class NothingSound(ValueError):
    """No image of a data set is sound; ``faults`` lists why."""

    def __init__(self, message, faults):
        super().__init__(message)
        self.faults = faults


class Annotated:
    """A data set whose images are files, and whose objects are entries.

    Boxes and labels of all images are checked on opening. An image is
    decoded when it is asked for, and then compared with the size that the
    entry states.

    Args:
        entries: list of ``Entry``.
        classes: names of the classes.
        folder: the names of the entries are relative to it.
        title: names the data set in messages.
        faults: list of ``Fault`` that belong to no image.
        bad: "error" raises the first fault; "skip" leaves the images with a
            fault out, decoding each once to find those that cannot be read,
            and counts them in ``skipped``.
        cache: keep decoded images, up to ``CACHE_LIMIT`` bytes.

    Attributes:
        faults: list of every ``Fault`` that was found.
        skipped: those that a line or an image was left out for, one each.
        clipped: number of boxes that were cut to their image.

    Raises:
        ValueError: the first fault, a sentence with file and row.
    """

    def __init__(self, entries, classes, folder, title, faults=(),
                 bad="error", cache=False):
        if bad not in BAD:
            raise ValueError(f"bad must be one of {', '.join(BAD)}, found "
                             f"{bad!r}.")
        self.classes, self.title = tuple(classes), title
        self.folder = Path(folder)
        self._images, self._room = ({}, CACHE_LIMIT) if cache else (None, 0)
        self._lock = threading.Lock()
        self._entries = entries
        self.faults = self._judge(faults, bad)
        self.skipped = [*faults, *(entry.faults[0] for entry in entries
                                   if entry.faults)]
        self._entries = [entry for entry in entries if not entry.faults]
        self.clipped = sum(entry.clipped for entry in self._entries)
        if not self._entries:
            first = f" The first: {one_line(self.faults[0].reason)}" \
                if self.faults else ""
            raise NothingSound(f"{title}: expected at least one sound image, "
                               f"found {len(entries)} listed and none sound."
                               f"{first}", self.faults)
        if self.faults:
            warnings.warn(self._summary(len(entries)), stacklevel=3)

    def __len__(self):
        return len(self._entries)

    def __getitem__(self, index):
        entry = self._entries[index]
        crowd = entry.flags[:, 3]
        return Sample(self._image(entry), entry.boxes.astype(np.float32),
                      entry.labels, entry.flags[:, 0], entry.source,
                      crowd if crowd.any() else None, entry.areas)

    def __repr__(self):
        note = f", {len(self.skipped)} skipped" if self.skipped else ""
        return (f"{type(self).__name__}({self.title!r}, images={len(self)}, "
                f"classes={len(self.classes)}{note})")

    def __getstate__(self):
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state):
        self.__dict__.update(state, _lock=threading.Lock())

    def entry(self, index):
        """Return the Entry of one image, which is not decoded."""
        return self._entries[index]

    def encoded(self, index):
        """Return the bytes of one image file."""
        return (self.folder / self._entries[index].name).read_bytes()

    def size(self, index):
        """Return (height, width) of one image as its file says."""
        return images.read_size(self.folder / self._entries[index].name)

    def _judge(self, faults, bad):
        """Raise the first fault, or return all; skip decodes every image."""
        found = [*faults, *(fault for entry in self._entries
                            for fault in entry.faults)]
        if bad == "error":
            if found:
                raise ValueError(one_line(found[0].reason))
            return []
        sound = [row for row, entry in enumerate(self._entries)
                 if not entry.faults]
        with concurrent.futures.ThreadPoolExecutor(_cores()) as pool:
            for row, fault in zip(sound, pool.map(self._unreadable, sound)):
                if fault:
                    self._entries[row] = self._entries[row]._replace(
                        faults=(fault,))
                    found.append(fault)
        return found

    def _unreadable(self, row):
        entry = self._entries[row]
        try:
            self._image(entry)
        except (ValueError, OSError) as error:
            kind = "size" if "pixels, the image has" in str(error) else "image"
            return Fault(entry.source, str(error), kind)
        return None

    def _summary(self, listed):
        return (f"{self.title}: {listed - len(self._entries)} of {listed} "
                f"images are faulty and left out (faults: {len(self.faults)})"
                f". The first: {one_line(self.faults[0].reason)}")

    def _image(self, entry):
        """Return the pixels of an entry's image."""
        image = self._images.get(entry.name) if self._images else None
        if image is None:
            image = images.read_image(self.folder / entry.name)
            if entry.size and tuple(entry.size) != image.shape[:2]:
                raise ValueError(images.size_lies(entry, image.shape))
            self._keep(entry.name, image)
        return image

    def _keep(self, name, image):
        with self._lock:
            if self._images is None or image.nbytes > self._room:
                return
            image.flags.writeable = False     # the same array is handed out
            self._room -= image.nbytes
            self._images[name] = image


def _cores():
    return min(os.cpu_count() or 1, 8)
