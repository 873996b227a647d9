"""Convert a data set to another format, nothing lost."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ...config.base import require
from ...datasets import pictures
from ...datasets.sample import Fault, check_policy
from ...datasets.wrappers import complete
from . import writers
from .addresses import take_dataset

TARGETS = {"voc:FOLDER[:SET]": writers.VocWriter,
           "coco:FOLDER[:SPLIT]": writers.CocoWriter,
           "yolo:FOLDER[:SPLIT]": writers.YoloWriter,
           "csv:FILE.csv": writers.CsvWriter,
           "rec:FILE.rec": writers.RecordWriter}


class Converted(NamedTuple):
    """What was written: the main file, counts, faults, and new names."""

    path: str
    images: int
    objects: int
    skipped: list
    renamed: dict


def convert(dataset: Any, target: str, bad: str = "error",
            progress: Callable[[int], Any] | None = None) -> Converted:
    """Write a data set in another format.

    Boxes keep the precision that ``writers`` states; labels, flags and class
    names are kept, and the bytes of the images are copied as they are.

    Args:
        dataset: any data set, or its address.
        target: one of ``TARGETS``.
        bad: "error" stops at the first image that the format cannot hold,
            "skip" leaves it out with its reason.
        progress: called with the number of images done, after each.

    Returns:
        ``Converted``. An image whose name is taken, but for its suffix, gets
        a number at its end; one that is hidden, leaves its folder or does
        not end as images do gets a plain name; ``renamed`` lists those.

    Raises:
        ValueError: target has none of the forms, or an image is faulty.
        FileExistsError: a file is there already; none is ever replaced.
    """
    check_policy(bad)
    dataset = complete(take_dataset(dataset))
    for name in dataset.classes:
        require(name == name.strip() and name.isprintable(),
                f"the class name {name!r} cannot be written: expected "
                "printable text without space around it.")
    writer = _writer(target, dataset.classes)
    run = _Run(dataset, writer, bad, progress)
    path = writer.write(run.items())
    return Converted(str(path), len(run.stems), run.objects, run.skipped,
                     run.renamed)


def _writer(target, classes):
    """Return the writer that a target names."""
    kind, _, rest = str(target).partition(":")
    make = next((make for form, make in TARGETS.items()
                 if form.startswith(f"{kind}:")), None)
    require(make and rest, "target must have one of the forms "
            f"{', '.join(TARGETS)}; found {str(target)!r}.")
    if kind in ("csv", "rec"):
        require(rest.endswith(f".{kind}"),
                f"target must end in .{kind}, found {target!r}.")
        return make(Path(rest).parent, classes, Path(rest).name)
    folder, _, part = rest.rpartition(":")
    if len(folder) < 2 or "/" in part:
        return make(rest, classes)
    return make(folder, classes, part)


class _Run:
    """The images of one conversion, and what is counted on the way."""

    def __init__(self, dataset, writer, bad, progress):
        self.dataset, self.writer = dataset, writer
        self.bad, self.progress, self.objects = bad, progress, 0
        self.skipped, self.renamed, self.stems = [], {}, set()

    def items(self):
        """Yield (name, Entry, size, bytes) of every image that is sound."""
        for index in range(len(self.dataset)):
            try:
                entry, size, data = self._read(index)
            except (ValueError, OSError) as error:
                if self.bad == "error":
                    raise
                self.skipped.append(Fault(f"image {index}", str(error)))
                continue
            self.objects += len(entry.labels)
            yield self._name(entry.name, data), entry, size, data
            if self.progress is not None:
                self.progress(index + 1)

    def _read(self, index):
        """Return the Entry, the real size and the bytes of one image."""
        entry, data = self.dataset.entry(index), self.dataset.encoded(index)
        size = pictures.encoded_size(data, entry.source)
        if entry.size and tuple(entry.size) != size:
            raise ValueError(pictures.size_lies(entry, size))
        name = entry.name
        require(name.isprintable() and name == name.strip(),
                f"{entry.source}: the file name {name!r} cannot be written.")
        self.writer.check(entry, size)
        return entry, size, data

    def _name(self, name, data):
        """Return a name that every reader finds, whose stem is not taken."""
        path = self.writer.place(_plain_name(name, data))
        new, count = path, 0
        while new.with_suffix("") in self.stems:
            count += 1
            new = path.with_name(f"{path.stem}_{count}{path.suffix}")
        self.stems.add(new.with_suffix(""))
        if count or new.as_posix() != name:
            self.renamed[f"{name} ({len(self.stems) - 1})"] = str(new)
        return new.as_posix()


def _plain_name(name, data):
    """Return a name inside a folder, not hidden, that ends as an image's."""
    parts = [re.sub(r"^\.+|^__(?=MACOSX)", "_", part) for part
             in PurePosixPath(name.replace("\\", "/")).parts
             if part not in ("/", "..")] or ["image"]
    parts[0] = re.sub("^(.):", r"\1_", parts[0])
    path = PurePosixPath(*parts)
    if path.suffix.lower() not in pictures.SUFFIXES:
        path = path.with_name(path.name + pictures.suffix(data))
    return path
