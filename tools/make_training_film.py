"""Train the network of chapter 08 and keep what it sees on the way: the training film.

    python tools/make_training_film.py        write the film's two files (some minutes)

At eight moments of the run the thread picture is shown to the network: its best
detections, the background anchors that mining would choose, and the AP50 on the
stand-in's validation pictures are kept, and the loss of every step. Chapters 07 and 08
read book/assets/training_film.json; the scrubber on the page reads the same film, without
the anchors, as a script, because a page that was opened as a file can load nothing else.
"""
import json
import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mxnet as mx
import numpy as np

import dsod_d2l
from dsod_d2l import config, losses, models, targets, training
from dsod_d2l.anchors import anchors_for
from dsod_d2l.datasets import example
from dsod_d2l.detection import Detector, to_batch
from dsod_d2l.evaluation import evaluate_dataset

ASSETS = Path(__file__).resolve().parents[1] / "book" / "assets"
FILM = ASSETS / "training_film.json"
SCRIPT = ASSETS / "js" / "film_data.js"
STEPS = (0, 5, 10, 20, 40, 80, 120, 220)
MOST_BOXES, LEAST_SCORE = 24, 0.05
SETTINGS = config.TrainConfig(
    steps=STEPS[-1], batch_size=16, optimiser="adam", learning_rate=2e-3,
    weight_decay=0.0, held_back=0.0)


def mined(net, sample):
    """Return the background anchors that mining chooses, and their losses in nats.

    Args:
        net: a network of one step.
        sample: the picture, of any size.
    """
    anchors = anchors_for(net.config)
    wanted = targets.label_anchors(anchors, sample.boxes, sample.labels)
    scores = mx.nd.array(net.predict(to_batch([sample.image], net.config))[0])
    classes = mx.nd.array(wanted.classes[None])
    nats = losses.cross_entropy(mx.nd, scores, classes)
    chosen = losses.hard_negatives(mx.nd, nats, classes, classes > 0)
    rows = np.flatnonzero(chosen[0].asnumpy())
    return rows, nats[0].asnumpy()[rows]


def frame(net, step, sample, validation):
    """Return what is kept of one moment, as plain numbers."""
    detector = Detector(net, validation.classes)
    found = detector.detect(sample.image)
    best = np.flatnonzero(found.scores >= LEAST_SCORE)[:MOST_BOXES]
    rows, nats = mined(net, sample)
    return {"step": step,
            "AP50": round(float(evaluate_dataset(detector, validation).AP50), 3),
            "boxes": found.boxes[best].astype(float).round(3).tolist(),
            "scores": found.scores[best].astype(float).round(2).tolist(),
            "mined": rows.tolist(),
            "nats": round(float(nats.mean()), 3)}


def film():
    """Train, and return the film."""
    train, validation = map(dsod_d2l.open_dataset, ("standin:train", "standin:val"))
    sample = example("three")
    mx.random.seed(0)
    net = models.build("dsod_tiny", num_classes=1)
    models.initialise(net)
    frames = [frame(net, 0, sample, validation)]

    def look(row):
        if row["step"] in STEPS:
            frames.append(frame(net, row["step"], sample, validation))
            print(frames[-1]["step"], round(row["loss"], 3), frames[-1]["AP50"], flush=True)
    fitted = training.fit(net, train, SETTINGS, callbacks=[look])
    rows = [[round(row[name], 2) for name in ("classification", "localisation")]
            for row in fitted.history]
    return {"objects": sample.boxes.astype(float).round(3).tolist(), "frames": frames,
            "losses": rows}


def script(whole):
    """Return the film as the page's script: without what only chapter 07 shows."""
    shown = {**whole, "frames": [
        {name: value for name, value in one.items() if name not in ("mined", "nats")}
        for one in whole["frames"]]}
    return f"window.dsodFilm = {json.dumps(shown, separators=(',', ':'))};\n"


def main():
    whole = film()
    FILM.write_text(json.dumps(whole, separators=(",", ":")) + "\n")
    SCRIPT.write_text(script(whole))
    for path in (FILM, SCRIPT):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
