"""The sample, and the data set that hands it out: what all of them share."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config.base import one_of
from ..files import one_line
from ..runtime import usable_cores
from . import pictures

FLAGS = ("difficult", "truncated", "occluded", "crowd")


class Sample(NamedTuple):
    """One image and its objects.

    image: uint8 (H, W, 3), red, green, blue.
    boxes: float32 (M, 4) corner boxes in fractions of the image.
    labels: int64 (M,) class indices from 0.
    difficult: bool (M,), objects that an evaluation does not ask for.
    source: where it came from, for messages.
    crowd: bool (M,), boxes around many objects at once, or None for none.
        They are not trained on, and what is found inside them is not judged.
    areas: float64 (M,) pixels that the objects cover, nan where only the box
        is known, or None; COCO's sizes are judged by them.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    source: str = "an image"
    crowd: np.ndarray | None = None
    areas: np.ndarray | None = None

    def keep(self, rows: slice | np.ndarray) -> Sample:
        """Return it with some of its objects alone."""
        return self._replace(boxes=self.boxes[rows], labels=self.labels[rows],
                             difficult=self.difficult[rows])


def make_sample(image: np.ndarray, boxes: Any, labels: Any,
                difficult: Any = None, source: str = "an image") -> Sample:
    """Return a Sample with arrays of the promised types.

    Args:
        image: uint8 (H, W, 3) RGB.
        boxes: M rows of xmin, ymin, xmax, ymax; M may be 0.
        labels: M class indices.
        difficult: M flags, default all False.
        source: name for messages.
    """
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.asarray(labels, dtype=np.int64).reshape(-1)
    flags = np.zeros(len(labels)) if difficult is None else difficult
    return Sample(image, boxes, labels, np.asarray(flags, dtype=bool), source)


class Fault(NamedTuple):
    """Something wrong in a file: where, what in one sentence, which kind."""

    source: str
    reason: str
    kind: str = "file"


class ObjectFault(Fault):
    """A Fault that costs one object alone, not its image."""


class Entry(NamedTuple):
    """What is known of one image, without its pixels.

    name: of the image file, relative to the folder of images.
    boxes: float64 (M, 4) corner boxes in fractions of the image.
    labels: int64 (M,) class indices.
    flags: bool (M, 4), columns as in ``FLAGS``.
    size: (height, width) that the file states, or None.
    source: where it stands, for messages.
    faults: tuple of Fault; what is faulty has no row in the arrays.
    clipped: number of boxes that were cut to the image.
    areas: float64 (M,) pixels that the objects cover, nan where the file
        does not say it, or None where it says none.
    """

    name: str
    boxes: np.ndarray
    labels: np.ndarray
    flags: np.ndarray
    size: tuple | None
    source: str
    faults: tuple = ()
    clipped: int = 0
    areas: np.ndarray | None = None


def broken_entry(name: str, source: str, reason: str,
                 kind: str = "file") -> Entry:
    """Return the Entry of an image of which nothing can be told but why."""
    none = np.zeros((0, 4))
    return Entry(name, none, none[:, 0].astype(np.int64), none.astype(bool),
                 None, source, (Fault(source, reason, kind),))


def crowds_in(flags: np.ndarray) -> np.ndarray | None:
    """Return the column of crowds as a Sample has it, None for none."""
    return flags[:, 3] if flags[:, 3].any() else None


def few(names: Sequence[str]) -> str:
    """Return the first names as text."""
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


class Dataset:
    """What may be asked of a data set; this is where it is written down.

    A class of any kind is one that has ``classes``, ``len()`` and ``[i]``.
    Training and evaluation need no more. Conversion, checks, choices and
    parts also ask for what follows; a data set that lacks it gets it from
    ``complete``, as it stands here: from the decoded samples.

    Attributes:
        classes: names of the classes, a tuple.
        faults: every ``Fault`` that was found in its files.
        skipped: those that an image, or a line, was left out for, one each.
        remarks: {sentence: count} of what was read otherwise than it stands
            in the files, or left out, without being a fault.
        image_ids, category_ids: where it comes from COCO, and nowhere else:
            {name of an image: its id}, and the id of each class.
    """

    classes: tuple[str, ...] = ()
    faults: Sequence[Fault] = ()
    skipped: Sequence[Fault] = ()
    remarks: Mapping[str, int] = {}

    def __len__(self):
        """Return the number of images."""
        raise NotImplementedError

    def __getitem__(self, index):
        """Return the Sample of one image."""
        raise NotImplementedError

    def entry(self, index: int) -> Entry:
        """Return the Entry of one image: all that is known but its pixels."""
        sample = self[index]
        none = np.zeros(len(sample.labels), bool)
        crowd = none if sample.crowd is None else sample.crowd
        flags = np.stack([sample.difficult, none, none, crowd], axis=1)
        return Entry(f"{index:06d}.png", sample.boxes.astype(float),
                     sample.labels, flags, sample.image.shape[:2],
                     sample.source, areas=sample.areas)

    def encoded(self, index: int) -> bytes:
        """Return the bytes of one image file, for ``entry(index).name``."""
        return pictures.encode_image(self[index].image)

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of one image, as the image itself says."""
        return self[index].image.shape[:2]

    def validate(self) -> None:
        """Decode every image once; those of a cache stay in memory.

        Raises:
            ValueError: names the first image that cannot be read.
        """
        for index in range(len(self)):
            self[index]


BAD_POLICIES = ("error", "skip", "object")
EXIF_POLICIES = ("turned", "stored")
CACHE_LIMIT = 2 << 30        # bytes of decoded images that are kept
_KEEPING = threading.Lock()  # images are checked by several threads


def check_policy(bad: str, exif: str = "turned") -> None:
    """Raise ValueError if there is no such way to treat what is faulty."""
    one_of("bad", bad, BAD_POLICIES)
    one_of("exif", exif, EXIF_POLICIES)


class Faulty(ValueError):
    """A data set is not taken as it is; ``faults`` lists why."""

    def __init__(self, message: str, faults: Sequence[Fault]):
        super().__init__(message)
        self.faults = faults


class FileDataset(Dataset):
    """A data set in files, whose boxes and labels were read on opening.

    An image is decoded when it is asked for, from the ``_bytes`` of its
    entry, which whoever inherits gives, beside ``size``.

    Args:
        entries: list of ``Entry``, with different names.
        classes: names of the classes.
        title: names the data set in messages.
        faults: list of ``Fault`` that belong to no image.
        bad: "error" raises the first fault; "skip" leaves the images with a
            fault out, decoding each once to find those that cannot be read,
            and counts them in ``skipped``; "object" does so too, but leaves
            out a bad object alone, which is counted in ``remarks``.
        cache: keep decoded images (height x width x 3 bytes each), up to
            ``CACHE_LIMIT`` bytes, in all processes together.
        exif: "turned" turns an image as its EXIF tag says, "stored" takes
            the pixels as they are stored.
        remarks: as in ``Dataset``.

    Attributes:
        clipped: number of boxes that were cut to their image.

    Raises:
        ValueError: the first fault, a sentence with file and row.
    """

    _unit = "image"
    _LEFT_OUT = ("{title}: {gone} of {listed} images are faulty and left out "
                 "(faults: {faults}).{first}")
    _NONE_SOUND = ("{title}: expected at least one sound image, found "
                   "{listed} listed and none sound.{first}")

    def __init__(self, entries: Sequence[Entry], classes: Sequence[str],
                 title: str, faults: Sequence[Fault] = (), bad: str = "error",
                 cache: bool = False, exif: str = "turned",
                 remarks: Mapping[str, int] | None = None):
        check_policy(bad, exif)
        self.turn, self.remarks = exif == "turned", dict(remarks or {})
        self.classes, self.title = tuple(classes), title
        self._images: dict[str, np.ndarray] = {}
        self._blank: list[str] = []
        self._room = CACHE_LIMIT if cache else 0
        lost = [fault for entry in entries for fault in entry.faults
                if bad == "object" and isinstance(fault, ObjectFault)]
        if lost:
            self.remarks["bad objects left out of their images"] = len(lost)
            entries = [entry._replace(faults=tuple(
                fault for fault in entry.faults
                if not isinstance(fault, ObjectFault))) for entry in entries]
        if bad != "error":
            with ThreadPoolExecutor(min(usable_cores(), 8)) as pool:
                entries = list(pool.map(self._decodable, entries))
                turned = sum(pool.map(self._is_turned, entries))
            if self._blank:
                self.remarks["images are of one colour, such as "
                             f"{min(self._blank)}"] = len(self._blank)
            if turned:
                self.remarks["images have an EXIF tag that turns them, taken "
                             f"as {exif}: exif=turned or exif=stored"] = turned
        self.faults = [*faults, *lost, *(fault for entry in entries
                                         for fault in entry.faults)]
        if bad == "error" and self.faults:
            raise Faulty(one_line(self.faults[0].reason), self.faults)
        self.skipped = [*faults, *(entry.faults[0] for entry in entries
                                   if entry.faults)]
        self._entries = [entry for entry in entries if not entry.faults]
        self.clipped = sum(entry.clipped for entry in self._entries)
        if self.skipped:
            warnings.warn(self._summary(self._LEFT_OUT, len(entries)),
                          stacklevel=3)
        if not self._entries:
            raise Faulty(self._summary(self._NONE_SOUND, len(entries)),
                         self.faults)

    def __len__(self):
        return len(self._entries)

    def __getitem__(self, index):
        if not isinstance(index, Integral):
            raise ValueError("a data set takes one whole number, found "
                             f"{index!r}: datasets.Subset takes several")
        entry = self._entries[index]
        return Sample(self._image(entry), entry.boxes.astype(np.float32),
                      entry.labels, entry.flags[:, 0], entry.source,
                      crowds_in(entry.flags), entry.areas)

    def __repr__(self):
        note = f", {len(self.skipped)} skipped" if self.skipped else ""
        return (f"{type(self).__name__}({self.title!r}, images={len(self)}, "
                f"classes={len(self.classes)}{note})")

    def entry(self, index: int) -> Entry:
        """Return the Entry of one image, which is not decoded."""
        return self._entries[index]

    def encoded(self, index: int) -> bytes:
        """Return the bytes of one image file, which look as it is read."""
        data = self._bytes(self._entries[index])
        return data if self.turn else self._untagged(data)

    def _bytes(self, entry):
        """Return the bytes of an image, or raise a ValueError."""
        raise NotImplementedError

    def _decode(self, entry):
        """Return the pixels of an image, or raise a ValueError."""
        return pictures.decode_image(self._bytes(entry), entry.source,
                                     self.turn)

    def _untagged(self, data):
        """Return the bytes of an image without a tag that turns it."""
        return data if pictures.orientation(data) == 1 else (
            pictures.encode_image(pictures.decode_image(data, turn=False)))

    def _is_turned(self, entry):
        """Return whether an image that can be read has a tag that turns it."""
        return not entry.faults and pictures.orientation(
            self._bytes(entry), entry.source) != 1

    def _decodable(self, entry):
        """Return an entry, with a fault if its image cannot be decoded."""
        try:
            if not entry.faults:
                image = self._image(entry)
                if (image == image[0, 0]).all():
                    self._blank.append(entry.source)
            return entry
        except (ValueError, OSError) as error:
            lies = "pixels, the image has" in str(error)
            fault = Fault(entry.source, str(error),
                          "size" if lies else self._unit)
            return entry._replace(faults=(fault,))

    def _summary(self, sentence, listed):
        first = (f" The first: {one_line(self.skipped[0].reason)}"
                 if self.skipped else "")
        return sentence.format(
            title=self.title, listed=listed, faults=len(self.faults),
            gone=listed - len(self._entries), first=first)

    def _image(self, entry):
        """Return the pixels of an image, from the cache if they are there."""
        image = self._images.get(entry.name)
        if image is None:
            image = self._decode(entry)
            with _KEEPING:
                if image.nbytes <= self._room:
                    image.flags.writeable = False   # handed out many times
                    self._room -= image.nbytes
                    self._images[entry.name] = image
        return image


def share_cache(dataset: Any, sharers: float) -> None:
    """Leave a data set its share of the room for decoded images.

    Args:
        dataset: any data set, or one made of others.
        sharers: how many processes, or data sets, share what is left of
            ``CACHE_LIMIT``; 1 over that number when they are gone.
    """
    for part in getattr(dataset, "parts", ()):
        share_cache(part, sharers)
    if isinstance(dataset, FileDataset):
        dataset._room = int(dataset._room / sharers)


# An installed package has them inside, a checkout beside it.
EXAMPLES = Path(__file__).resolve().parents[1] / "samples"
if not EXAMPLES.is_dir():
    EXAMPLES = EXAMPLES.parents[1] / "data" / "samples"


def example(name: str) -> Sample:
    """Return one of the pictures of the stand-in that come with the module.

    Args:
        name: "field", "street", "interior" (one object each), "none",
            "three" (three objects) or "wide" (two, 200 x 320 pixels).

    Returns:
        ``Sample``.

    Raises:
        ValueError: no picture has that name.
    """
    rows = json.loads((EXAMPLES / "labels.json").read_text())["images"]
    by_name = {Path(row["file"]).stem: row for row in rows}
    one_of("the example", name, by_name)
    row = by_name[name]
    return make_sample(pictures.read_image(EXAMPLES / row["file"]),
                       row["boxes"], row["labels"], source=row["file"])
