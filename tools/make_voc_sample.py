"""Make data/samples/voc, the small labelled folder of the chapter about your own data.

    python tools/make_voc_sample.py [FOLDER]

36 pictures of the stand-in, 256 x 192, some with creatures turned blue: two classes. Boxes are
widened to whole pixels; an object below 20 pixels is marked difficult. The same for everybody
up to the last bit of the JPEG encoder.
"""
import sys
from pathlib import Path

import cv2
import numpy as np

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dsod_d2l.workbench.standin.picture import render_sample
from dsod_d2l.datasets.sample import Entry
from dsod_d2l.workbench.formats.writers import VocWriter

SEED, SIZE, QUALITY = 13, (192, 256), 80
CLASSES = ("blue", "yellow")
PARTS = {"train": 24, "val": 12}
SMALL = 20  # pixels, the root of the area
FOLDER = Path(__file__).resolve().parents[1] / "data" / "samples" / "voc"


def make(folder):
    """Write both image sets."""
    start = 0
    for part, count in PARTS.items():
        writer = VocWriter(folder, CLASSES, part)
        writer.write(item(number) for number in range(start, start + count))
        start += count


def item(number):
    """Return (name, Entry, size, JPEG bytes) of one picture."""
    rng = np.random.default_rng([SEED, number])
    sample = render_sample(rng, SIZE, (1, 3))
    height, width = SIZE
    edges = sample.boxes * [width, height, width, height]
    edges = np.concatenate([np.floor(edges[:, :2] + .01), np.ceil(edges[:, 2:] - .01)], axis=1)
    labels = rng.integers(2, size=len(edges))
    image = sample.image.copy()
    for box, label in zip(edges.astype(int), labels):
        if CLASSES[label] == "blue":
            turn_blue(image[box[1]:box[3], box[0]:box[2]])
    flags = np.zeros((len(edges), 4), bool)
    flags[:, 0] = np.sqrt(np.prod(edges[:, 2:] - edges[:, :2], axis=1)) < SMALL
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    name = f"{number:04}.jpg"
    entry = Entry(name, edges / [width, height, width, height], labels, flags, SIZE, name)
    return name, entry, SIZE, data.tobytes()


def turn_blue(part):
    """Turn what is yellow in a part of an image blue, in place."""
    hsv = cv2.cvtColor(part, cv2.COLOR_RGB2HSV)
    yellow = (abs(hsv[..., 0].astype(int) - 26) < 10) & (hsv[..., 1] > 110)
    hsv[..., 0][yellow] += 82
    part[:] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


if __name__ == "__main__":
    make(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
