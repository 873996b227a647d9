"""Measure average precision on a large data set against pycocotools.

As many images, classes and detections as COCO's validation set has. All
twelve figures of COCO are computed by both, each in a process of its own and
on one core, and compared before any time is believed. Ours computes VOC's
figures on top. Judging starts where both have detections and objects in
their own form; pycocotools needs "loading" to get there, we do not.
"""

from __future__ import annotations

import contextlib
import io
import resource
import sys
import time

import numpy as np

import common

SEED = 0
SIZE = (480, 640)
NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1",
         "AR10", "AR", "AR_small", "AR_medium", "AR_large")
TOLERANCE = 1e-9


def data_set(job):
    """Return detections and objects: 60 % of the first near the second.

    An image has about seven objects, of about three classes, one in twenty
    a crowd; the other detections are anywhere and of any class.
    """
    rng = np.random.default_rng(SEED)
    found, wanted = [], []
    for _ in range(job["images"]):
        many = rng.poisson(7)
        kinds = rng.integers(0, job["classes"], max(1, many // 2))
        labels = rng.choice(kinds, many)
        boxes = some_boxes(rng, many)
        spots = some_boxes(rng, job["detections"])
        names = rng.integers(0, job["classes"], len(spots))
        if many:
            at = rng.integers(0, many, len(spots))
            near = rng.random(len(spots)) < .6
            shift = rng.normal(0, .1, (near.sum(), 4))
            sides = np.tile(boxes[at[near], 2:] - boxes[at[near], :2], 2)
            spots[near] = boxes[at[near]] + shift * sides
            names[near] = labels[at[near]]
        spots[:, 2:] = np.maximum(spots[:, 2:], spots[:, :2] + .005)
        found.append((names, rng.random(len(spots)).round(3), spots))
        wanted.append((boxes, labels, rng.random(many) < .05))
    return found, wanted


def some_boxes(rng, count):
    """Return boxes of all sizes, more small ones than large ones."""
    low = rng.uniform(0, .7, (count, 2))
    sides = .3 * rng.random((count, 1)) ** 2 * rng.uniform(.5, 1, (count, 2))
    return np.concatenate([low, low + sides + .01], 1)


def ours(job):
    """Judge with the library; return seconds and figures."""
    from dsod_d2l.detection import Detections
    from dsod_d2l.evaluation import evaluate_detections, Truth

    found, wanted = data_set(job)
    found = [Detections(*one) for one in found]
    wanted = [Truth(boxes, labels, crowd=crowd, size=SIZE)
              for boxes, labels, crowd in wanted]
    before, begin = memory(), time.perf_counter()
    result = evaluate_detections(found, wanted, job["classes"])
    return answer(begin, before, [getattr(result, name) for name in NAMES])


def pycocotools(job):
    """Judge with COCO's own program; return seconds and figures."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found, wanted = data_set(job)
    truths = [{"image_id": image, "category_id": int(label),
               "iscrowd": int(flag), "area": box[2] * box[3], "bbox": box}
              for image, (boxes, labels, crowd) in enumerate(wanted)
              for box, label, flag in zip(xywh(boxes), labels, crowd)]
    for number, row in enumerate(truths):
        row["id"] = number + 1
    results = [{"image_id": image, "category_id": int(label),
                "score": float(score), "bbox": box}
               for image, (labels, scores, boxes) in enumerate(found)
               for label, score, box in zip(labels, scores, xywh(boxes))]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):      # it is talkative
        data = COCO()
        data.dataset = {"images": [{"id": k} for k in range(len(wanted))],
                        "categories": [{"id": k}
                                       for k in range(job["classes"])],
                        "annotations": truths, "info": {}}
        data.createIndex()
        judge = COCOeval(data, data.loadRes(results), "bbox")
        before, begin = memory(), time.perf_counter()
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {**answer(begin, before, judge.stats.tolist()),
            "loading": begin - start}


def xywh(boxes):
    """Return boxes in pixels as x, y, width and height, as lists."""
    boxes = boxes * np.array([SIZE[1], SIZE[0]] * 2)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes.tolist()


def memory():
    """Return the most memory that this process has held, in MiB."""
    unit = 2 ** 20 if sys.platform == "darwin" else 2 ** 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def answer(begin, before, figures):
    """Return seconds since ``begin``, MiB since then, and the figures."""
    return {"judging": time.perf_counter() - begin,
            "memory": max(memory() - before, 0.1), "figures": figures}


def measure(options):
    """Measure both; return the payload and the text."""
    job = {"images": 60 if options.quick else 5000,
           "classes": 6 if options.quick else 80, "detections": 100}
    answers = common.rounds({name: lambda name=name: common.child(
        name, job, threads=1) for name in CHILDREN}, options.rounds)
    first = {name: rows[0]["figures"] for name, rows in answers.items()}
    differences = {name: common.agree(name, [one], [other], TOLERANCE)
                   for name, one, other in zip(NAMES, *first.values())}
    seconds = {name: [row["judging"] for row in rows]
               for name, rows in answers.items()}
    figures = {name: {"seconds": common.spread(seconds[name]),
                      "times_ours": common.ratio(seconds[name],
                                                 seconds["ours"]),
                      "MiB": common.spread([row["memory"] for row in rows])}
               for name, rows in answers.items()}
    figures["pycocotools"]["seconds_of_loading"] = common.spread(
        [row["loading"] for row in answers["pycocotools"]])
    rows = [(name, *(row[key] for key in ("seconds", "times_ours", "MiB")))
            for name, row in figures.items()]
    head = common.table(rows, ("", "seconds", "times ours", "MiB"))
    both = common.table([(name, one, other, differences[name])
                         for name, one, other in zip(NAMES, *first.values())],
                        ("figure", *first, "difference"))
    return {"config": job, "seed": SEED, "figures": figures,
            "judged": first["ours"], "differences": differences}, (
                f"{head}\n\n{both}")


CHILDREN = {"ours": ours, "pycocotools": pycocotools}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
