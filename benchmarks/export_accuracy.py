"""Say what an exported detector loses: AP on the BCCD test set, by precision and runtime.

Each file is made as `export` makes it, of data/weights/dsod_tiny_bccd.safetensors; int8 is
calibrated on 64 pictures of the validation set. "own resizing" is the file of --any-size, which
takes the pictures as they are; of it also stands here which share of the detections above 0.1 it
finds at an IoU of 0.98 or more. Needs DSOD_REAL_DATA; runtimes that are not installed are left
out (requirements-runtimes.txt).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np

import common

sys.path.insert(0, str(common.ROOT))
WEIGHTS = common.ROOT / "data/weights/dsod_tiny_bccd.safetensors"
# what is judged: precision of the file, and the runtime.
WAYS = {"onnxruntime float32": ("float32", "onnxruntime"),
        "onnxruntime float16": ("float16", "onnxruntime"),
        "onnxruntime int8": ("int8", "onnxruntime"),
        "openvino float32": ("float32", "openvino"),
        "openvino bfloat16": ("float32", "openvino-bfloat16"),
        "openvino int8": ("int8", "openvino")}
CALIBRATED, LEAST_SCORE, LEAST_IOU = 64, 0.1, 0.98


def opened(part, classes, quick):
    """Return a part of the BCCD set, of its first pictures alone where it is quick."""
    import dsod_d2l as dd
    from dsod_d2l.datasets import Subset

    root = os.environ.get("DSOD_REAL_DATA") or sys.exit("DSOD_REAL_DATA is not set")
    data = dd.open_dataset(f"voc:{root}/bccd/BCCD:{part}?classes={','.join(classes)}&bad=object")
    return Subset(data, range(6)) if quick else data


def sized_in_the_graph(path, data, ours):
    """Return the detections of a file that takes any size, and the share that is found again."""
    import onnxruntime
    from dsod_d2l.boxes import iou
    from dsod_d2l.detection import Detections

    session, found, matched = onnxruntime.InferenceSession(path), [], []
    for row in range(len(data)):
        image = data[row].image
        labels, scores, boxes = (one[0] for one in session.run(
            ["labels", "scores", "boxes"], {"images": image[None]}))
        there = labels >= 0
        found.append(Detections(labels[there], scores[there], boxes[there]))
        mine = ours(image)
        matched += [iou(box[None], boxes[labels == label]).max(initial=0) >= LEAST_IOU
                    for label, score, box in mine if score > LEAST_SCORE]
    return found, float(np.mean(matched))


def judged(job):
    """Judge all; return AP and AP50 of each way, and what the graph's own resizing does."""
    import dsod_d2l as dd
    from dsod_d2l.detection import to_batch
    from dsod_d2l.evaluation import Truth, evaluate_detections
    from dsod_d2l.weights import load_model
    from dsod_d2l.workbench.detectors import evaluate
    from dsod_d2l.workbench.exporting.onnx_detector import OnnxDetector
    from dsod_d2l.workbench.exporting.onnx_graph import export_onnx

    net, metadata = load_model(WEIGHTS)
    classes = metadata["classes"]
    data, learned = (opened(part, classes, job["quick"]) for part in ("test", "val"))
    ours = dd.Detector(net, classes)
    told = {"ours": dd.evaluate(net, data)}
    for name, (precision, runtime) in WAYS.items():
        if not importlib.util.find_spec(runtime.partition("-")[0]):
            continue
        path = Path(job["folder"], f"{precision}.onnx")
        if not path.is_file():
            rows = np.linspace(0, len(learned) - 1, min(len(learned), CALIBRATED)).astype(int)
            export_onnx(path, net, classes, precision=precision, calibration=(
                to_batch([learned[row].image], net.config) for row in rows.tolist()))
        told[name] = evaluate(OnnxDetector(path, device="cpu", runtime=runtime), data)
    path = Path(job["folder"], "any.onnx")
    export_onnx(path, net, classes, any_size=True)
    found, share = sized_in_the_graph(path, data, ours)
    told["own resizing, onnxruntime float32"] = evaluate_detections(
        found, [Truth.of(data[row]) for row in range(len(data))], len(classes))
    return {"pictures": len(data), "found_again": share, "ways": {
        name: {"AP": round(float(one.AP), 4), "AP50": round(float(one.AP50), 4)}
        for name, one in told.items()}}


def measure(options):
    """Measure all; return payload and text."""
    found = common.child("judged", {"folder": options.folder, "quick": options.quick}, threads=1)
    before = found["ways"]["ours"]["AP"]
    rows = [(name, one["AP"], one["AP50"], f"{one['AP'] - before:+.4f}")
            for name, one in found["ways"].items()]
    text = common.table(rows, ("way", "AP", "AP50", "change of AP"))
    payload = {"config": {"weights": WEIGHTS.name, "calibrated": CALIBRATED, "least_score": LEAST_SCORE,
                          "least_iou": LEAST_IOU}, "seed": None,
               "figures": found["ways"], "pictures": found["pictures"],
               "found_again": found["found_again"]}
    return payload, (f"{text}\nown resizing: {found['found_again']:.2%} of the detections above "
                     f"{LEAST_SCORE} found at IoU {LEAST_IOU}, on {found['pictures']} pictures")


if __name__ == "__main__":
    common.start(__doc__, {"judged": judged}, measure)
