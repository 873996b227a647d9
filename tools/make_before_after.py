"""Draw the two pictures of the first page: a network before it is trained, and after.

    python tools/make_before_after.py    write book/assets/img/before.jpg and after.jpg

They are the first and the last picture of chapter 8: random weights, and those of the shipped detector.
"""
import io
import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mxnet as mx
from matplotlib.figure import Figure

from dsod_d2l import models
from dsod_d2l.config import DetectConfig
from dsod_d2l.datasets import example
from dsod_d2l.detection import Detector
from dsod_d2l.visualisation import draw_boxes, draw_image

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "book" / "assets" / "img"
WEIGHTS = ROOT / "data" / "weights" / "dsod_tiny_standin.safetensors"
SIDE = 720            # pixels: twice the width at which a phone shows it
SHOWN = 40            # boxes of the untrained network, as in the chapter
SURE = 0.5


def untrained():
    """Return what a network of random weights finds, the first boxes of many."""
    mx.random.seed(0)
    net = models.build("dsod_tiny", num_classes=1)
    models.initialise(net)
    found = Detector(net, ("pikachu",)).detect(example("three").image)
    return found.boxes[:SHOWN], None


def trained():
    """Return what the shipped detector finds."""
    sure = DetectConfig(score_threshold=SURE)
    detector = Detector.from_weights(WEIGHTS, detect_config=sure)
    found = detector.detect(example("three").image)
    return found.boxes, found.scores


def drawn(boxes, scores):
    """Return the picture of the book with boxes, as a JPEG."""
    figure = Figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
    ax = figure.add_axes([0, 0, 1, 1])
    draw_image(ax, example("three").image)
    draw_boxes(ax, boxes, scores=scores, linewidth=2 if scores is None else 5)
    for text in ax.texts:
        text.set_fontsize(22)
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 80, "optimize": True})
    return file.getvalue()


def main():
    for name, found in (("before", untrained()), ("after", trained())):
        raw = drawn(*found)
        (FOLDER / f"{name}.jpg").write_bytes(raw)
        print(f"{name}.jpg: {len(found[0])} boxes, {len(raw)} bytes")


if __name__ == "__main__":
    main()
