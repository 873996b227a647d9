"""The sample: one image with its objects, as every data set hands it out."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .pictures import read_image

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


def make_sample(image, boxes, labels, difficult=None, source="an image"):
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
    if difficult is None:
        difficult = np.zeros(len(labels), dtype=bool)
    return Sample(image, boxes, labels, np.asarray(difficult, dtype=bool),
                  source)


class Fault(NamedTuple):
    """Something wrong in a file: where, what in one sentence, which kind."""

    source: str
    reason: str
    kind: str = "file"


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


def unknown_class(name, classes):
    """Return the clause that says that a class name is not known."""
    name = str(name)[:80]
    near = difflib.get_close_matches(name, list(classes), 1)
    folded = {one.casefold(): one for one in classes}
    near = near or [one for one in [folded.get(name.casefold())] if one]
    meant = f"; {near[0]!r} is known" if near else ""
    few = ", ".join(list(classes)[:6]) + (", ..." if len(classes) > 6 else "")
    return f"the class {name!r} is not one of {few}{meant}"


FOLDER = Path(__file__).resolve().parents[2] / "data" / "samples"


def example(name):
    """Return one of the committed pictures of the stand-in.

    Args:
        name: "field", "street", "interior" (one object each), "none",
            "three" (three objects) or "wide" (two, 200 x 320 pixels).

    Returns:
        ``Sample``.

    Raises:
        ValueError: no picture has that name.
        FileNotFoundError: the module lies outside its repository.
    """
    if not (FOLDER / "labels.json").is_file():
        raise FileNotFoundError("the example pictures come with the "
                                f"repository only: there is no {FOLDER}")
    rows = json.loads((FOLDER / "labels.json").read_text())["images"]
    by_name = {Path(row["file"]).stem: row for row in rows}
    if name not in by_name:
        raise ValueError(f"no example is called {name!r}, expected one of "
                         f"{', '.join(by_name)}")
    row = by_name[name]
    return make_sample(read_image(FOLDER / row["file"]), row["boxes"],
                       row["labels"], source=row["file"])
