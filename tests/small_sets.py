"""A small data set in memory, whose every number is written down here."""

import io

import numpy as np
from PIL import Image

from dsod_d2l.datasets.sample import Entry

CLASSES = ("cat", "big dog", "Tür & <b>")
# name, height, width, [(label, pixel edges, difficult truncated occluded crowd)]
IMAGES = [
    ("a.jpg", 40, 60, [(0, (10, 5, 30, 25), (0, 0, 0, 0))]),
    ("b.jpg", 30, 50, [(1, (0, 0, 50, 30), (1, 0, 0, 0)),      # touches all
                       (2, (10, 10, 20, 20), (0, 1, 0, 0)),    # nested
                       (0, (20, 10, 33, 20), (0, 0, 1, 1))]),  # a neighbour
    ("c.jpg", 20, 45, []),
    ("deep/d.png", 64, 48, [(1, (1.25, 2.5, 47.375, 63.125), (0, 0, 0, 0)),
                            (1, (3, 4, 5, 6), (1, 1, 1, 1))])]


def picture(height, width, seed=0):
    rng = np.random.default_rng([height, width, seed])
    return rng.integers(0, 255, (height, width, 3), dtype=np.uint8)


def encoded(name, height, width):
    file = io.BytesIO()
    Image.fromarray(picture(height, width)).save(
        file, "PNG" if name.endswith("png") else "JPEG")
    return file.getvalue()


class Small:
    """The images above, as a data set."""

    classes = CLASSES

    def __len__(self):
        return len(IMAGES)

    def entry(self, index):
        name, height, width, rows = IMAGES[index]
        boxes = np.array([box for _, box, _ in rows], float).reshape(-1, 4)
        return Entry(name, boxes / [width, height, width, height],
                     np.array([label for label, _, _ in rows], np.int64),
                     np.array([flags for _, _, flags in rows],
                              bool).reshape(-1, 4),
                     (height, width), f"image {index}")

    def encoded(self, index):
        return encoded(*IMAGES[index][:3])

    def size(self, index):
        return IMAGES[index][1:3]


def in_pixels(dataset, index):
    """Return the pixel edges of one image's boxes."""
    height, width = dataset.size(index)
    return dataset.entry(index).boxes * [width, height, width, height]


def assert_same(found, wanted, digits=4):
    """Two data sets hold the same classes, objects, flags and image bytes."""
    assert found.classes == wanted.classes and len(found) == len(wanted)
    for index in range(len(wanted)):
        one, other = found.entry(index), wanted.entry(index)
        assert one.name == other.name
        assert one.labels.tolist() == other.labels.tolist()
        assert one.flags.tolist() == other.flags.tolist()
        np.testing.assert_allclose(in_pixels(found, index),
                                   in_pixels(wanted, index),
                                   atol=10 ** -digits, rtol=0)
        assert found.encoded(index) == wanted.encoded(index)
