"""Measure anchors, targets, suppression and AP against other libraries.

Everything is done by the library's NumPy functions ("ours"), and by MXNet's
operators, d2l's functions or pycocotools where they do the same, each in a
process of its own and on one core each (MXNet's on all cores as well). The
results are compared before any time is believed. ``NOTES`` says what
is compared with nothing, and why.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import common

SEED = 0
CLASSES = 20
OBJECTS = (1, 5, 20)
NMS_THRESHOLD = 0.45
TOLERANCE = {"anchors": 1e-5, "targets": 1e-4, "nms": 0, "detections": 1e-4,
             "ap": 1e-9}
NOTES = {"detections, d2l": "left out: it suppresses boxes across classes, "
                            "background among them, which takes minutes",
         "detections, full": "ours alone keeps several classes of an anchor"}


# -------------------------------------------------------------- what is given

def preset():
    """Return dsod300 with anchors spread evenly, as d2l lays them."""
    from dsod_d2l import config

    chosen = config.get("dsod300", num_classes=CLASSES)
    rows = tuple(dataclasses.replace(row, step=None)
                 for row in chosen.anchors)
    return dataclasses.replace(chosen, anchors=rows)


def objects(count):
    """Return (count, 4) boxes and their labels."""
    rng = np.random.default_rng([SEED, count])
    low = rng.uniform(0, .7, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(.05, .3, (count, 2))], 1)
    return boxes.astype(np.float32), rng.integers(0, CLASSES, count)


def lone_boxes(count):
    """Return boxes of one class in heaps, and scores without ties."""
    rng = np.random.default_rng([SEED, 1])
    heap = rng.uniform(.1, .7, (40, 4))[rng.integers(0, 40, count)]
    low = heap[:, :2] + rng.normal(0, .02, (count, 2))
    sides = .1 + heap[:, 2:] / 5 + rng.uniform(0, .04, (count, 2))
    scores = rng.permutation(count) / count
    boxes = np.concatenate([low, low + sides], 1)
    return boxes.astype(np.float32), scores.astype(np.float32)


def outputs(anchors, full):
    """Return class scores and offsets of one image.

    Args:
        anchors: number of anchors.
        full: False for 200 anchors with one likely class each, as a trained
            network gives; True for any class likely anywhere.
    """
    rng = np.random.default_rng([SEED, 2])
    offsets = rng.normal(0, .5, (anchors, 4)).astype(np.float32)
    if full:
        scores = rng.normal(0, 2, (anchors, CLASSES + 1))
        return scores.astype(np.float32), offsets
    scores = np.zeros((anchors, CLASSES + 1), dtype=np.float32)
    scores[:, 0] = 12
    rows = rng.choice(anchors, 200, replace=False)
    scores[rows, 0] = 0
    scores[rows, rng.integers(1, CLASSES + 1, 200)] = rng.permutation(
        np.linspace(8, 12, 200))
    return scores, offsets


def judged_set(images):
    """Return detections and objects of many images, with scores tied."""
    from dsod_d2l.detection import Detections

    rng = np.random.default_rng([SEED, 3])
    found, wanted = [], []
    for _ in range(images):
        many = int(rng.integers(0, 7))
        low = rng.uniform(0, .7, (many, 2))
        boxes = np.concatenate([low, low + rng.uniform(.05, .3, (many, 2))],
                               1)
        labels = rng.integers(0, CLASSES, many)
        rows = rng.integers(0, many, 20) if many else []
        spots = boxes[rows] + np.tile(rng.normal(0, .02, (len(rows), 2)), 2)
        names = np.where(rng.random(len(rows)) < .8, labels[rows],
                         rng.integers(0, CLASSES, len(rows)))
        found.append(Detections(names.astype(int),
                                rng.random(len(rows)).round(3), spots))
        wanted.append((boxes, labels, np.zeros(many, dtype=bool)))
    return found, wanted


# ------------------------------------------------------------ implementations
# Each returns {task: function}; a function returns a list of arrays.

def ours(job):
    """The library's functions."""
    from dsod_d2l import detection, evaluation, targets
    from dsod_d2l.anchors import anchors_for

    model = preset()
    anchors = anchors_for(model)
    tasks = {"anchors": lambda: [anchors_for(model)]}
    for count in OBJECTS:
        tasks[f"targets, {count}"] = lambda given=objects(count): list(
            targets.label_anchors(anchors, *given)[:2])
    tasks["nms"] = lambda given=lone_boxes(job["boxes"]): [detection.nms(
        *given, NMS_THRESHOLD)]
    for name, full in (("detections", False), ("detections, full", True)):
        tasks[name] = lambda given=outputs(len(anchors), full): parts(
            detection.detections_from_outputs(*given, anchors))
    tasks["ap"] = lambda given=judged_set(job["images"]): [
        summary(evaluation.evaluate_detections(*given, CLASSES))]
    return tasks


def parts(found):
    """Return the three arrays of ``Detections``."""
    return [found.labels, found.scores, found.boxes]


def summary(result):
    """Return the three numbers of COCO as an array."""
    return np.array([result.AP, result.AP50, result.AP75])


def mxnet(job):
    """MXNet's operators."""
    from dsod_d2l.anchors import anchors_for
    import mxnet as mx

    model, ops = preset(), mx.nd.contrib
    maps = [mx.nd.zeros((1, 1, *shape)) for shape in model.map_shapes()]
    plain = anchors_for(model)
    anchors = mx.nd.array(plain[None])
    guesses = mx.nd.zeros((1, CLASSES + 1, len(plain)))

    def prior():
        parts = [ops.MultiBoxPrior(one, sizes=row.sizes, ratios=row.ratios)
                 for one, row in zip(maps, model.anchors)]
        return [mx.nd.concat(*parts, dim=1)[0].asnumpy()]

    def target(rows):
        offsets, mask, classes = ops.MultiBoxTarget(anchors, rows, guesses)
        return [classes[0].asnumpy(),
                (offsets * mask).reshape((-1, 4)).asnumpy()]

    tasks = {"anchors": prior}
    for count in OBJECTS:
        boxes, labels = objects(count)
        rows = mx.nd.array(np.c_[labels, boxes][None])
        tasks[f"targets, {count}"] = lambda rows=rows: target(rows)
    tasks["nms"] = mxnet_nms(mx, job)
    tasks["detections"] = mxnet_detections(mx, anchors)
    return tasks


def mxnet_nms(mx, job):
    """Return the task of box_nms; it gives boxes, so we look them up."""
    boxes, scores = lone_boxes(job["boxes"])
    rows = mx.nd.array(np.c_[scores, boxes][None])
    places = {float(score): row for row, score in enumerate(scores)}

    def run():
        kept = mx.nd.contrib.box_nms(
            rows, NMS_THRESHOLD, valid_thresh=-1, coord_start=1,
            score_index=0)[0].asnumpy()
        return [np.array([places[float(score)]
                          for score in kept[kept[:, 0] >= 0, 0]])]

    return run


def mxnet_detections(mx, anchors):
    """Return the task of MultiBoxDetection, softmax included."""
    from dsod_d2l.config import DetectConfig

    settings = DetectConfig()
    scores, offsets = outputs(anchors.shape[1], False)
    scores = mx.nd.array(scores[None])
    offsets = mx.nd.array(offsets.reshape(1, -1))

    def run():
        chances = mx.nd.transpose(mx.nd.softmax(scores), (0, 2, 1))
        rows = mx.nd.contrib.MultiBoxDetection(
            chances, offsets, anchors, threshold=settings.score_threshold,
            nms_threshold=settings.nms_threshold,
            nms_topk=settings.candidates)[0].asnumpy()
        rows = rows[rows[:, 0] >= 0][:settings.keep]
        return [rows[:, 0], rows[:, 1], rows[:, 2:]]

    return run


def d2l(job):
    """d2l's functions, in MXNet's NumPy mode."""
    from dsod_d2l.anchors import anchors_for
    from d2l import mxnet as theirs
    from mxnet import np as mnp
    from mxnet import npx

    npx.set_np()
    model = preset()
    maps = [mnp.zeros((1, 1, *shape)) for shape in model.map_shapes()]
    plain = anchors_for(model)
    anchors = mnp.array(plain[None])

    def prior():
        parts = [theirs.multibox_prior(one, list(row.sizes),
                                       list(row.ratios))
                 for one, row in zip(maps, model.anchors)]
        return [mnp.concatenate(parts, axis=1)[0].asnumpy()]

    def target(rows):
        offsets, _, classes = theirs.multibox_target(anchors, rows)
        return [classes[0].asnumpy(), offsets.reshape(-1, 4).asnumpy()]

    tasks = {"anchors": prior}
    for count in OBJECTS:
        boxes, labels = objects(count)
        rows = mnp.array(np.c_[labels, boxes][None].astype(np.float32))
        tasks[f"targets, {count}"] = lambda rows=rows: target(rows)
    boxes, chance = map(mnp.array, lone_boxes(job["boxes"]))
    tasks["nms"] = lambda: [theirs.nms(boxes, chance,
                                       NMS_THRESHOLD).asnumpy()]
    return tasks


def pycocotools(job):
    """The evaluator of COCO."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found, wanted = judged_set(job["images"])
    truths = [{"image_id": image, "category_id": int(label), "iscrowd": 0,
               "area": 9., "bbox": [*box[:2], *(box[2:] - box[:2])]}
              for image, (boxes, labels, _) in enumerate(wanted)
              for box, label in zip(boxes * 512, labels)]
    results = [{"image_id": image, "category_id": int(label),
                "score": float(score),
                "bbox": [*box[:2], *(box[2:] - box[:2])]}
               for image, one in enumerate(found)
               for label, score, box in zip(one.labels, one.scores,
                                            one.boxes * 512)]
    for number, row in enumerate(truths):
        row["id"] = number + 1

    def run():
        data = COCO()
        data.dataset = {"images": [{"id": k} for k in range(len(wanted))],
                        "categories": [{"id": k} for k in range(CLASSES)],
                        "annotations": truths}
        data.createIndex()
        judge = COCOeval(data, data.loadRes([dict(row) for row in results]),
                         "bbox")
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.params.maxDets = [100]
        judge.evaluate()
        judge.accumulate()
        precision = judge.eval["precision"][:, :, :, 0, 0]
        precision = precision[:, :, (precision > -1).all(axis=(0, 1))]
        return [np.array([precision.mean(), precision[0].mean(),
                          precision[5].mean()])]

    return {"ap": run}


IMPLEMENTATIONS = {"ours": ours, "mxnet": mxnet, "mxnet, all cores": mxnet,
                   "d2l": d2l, "pycocotools": pycocotools}


# ------------------------------------------------------------------ measuring

def measure_one(job):
    """Time every task of one implementation; keep its results in a file."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)

    seconds, arrays = {}, {}
    with contextlib.redirect_stdout(io.StringIO()):      # COCO is talkative
        tasks = IMPLEMENTATIONS[job["name"]](job)
        for task, function in tasks.items():
            first = common.clock(function, 1, warm=1)[0]
            times = int(np.clip(job["budget"] / first, 1, job["most"]))
            seconds[task] = float(np.median(
                common.clock(function, times, warm=0)))
            for k, array in enumerate(function()):
                arrays[f"{task}/{k}"] = array
    np.savez(Path(job["folder"]) / f"{job['name']}.npz", **arrays)
    return seconds


def check(names, folder):
    """Return {task, implementation: difference from ours}."""
    files = {name: np.load(Path(folder) / f"{name}.npz") for name in names}
    found = {}
    for name in names[1:]:
        for key in files[name].files:
            task = key.split("/")[0]
            label = f"{task}, {name}"
            off = common.agree(f"{label}, result {key.split('/')[1]}",
                               files["ours"][key], files[name][key],
                               TOLERANCE[task.split(",")[0]])
            found[label] = max(off, found.get(label, 0.0))
    for file in files.values():
        file.close()
    return found


def present(name, quick):
    """Say whether an implementation is installed, and wanted."""
    if name == "mxnet, all cores":
        return not quick and common.cores() > 1
    return name in ("ours", "mxnet") or find_spec(name) is not None


def summed_up(answers):
    """Return {task: {implementation: figures}} from all rounds."""
    figures = {}
    for task in answers["ours"][0]:
        mine = [one[task] for one in answers["ours"]]
        figures[task] = {}
        for name, rounds in answers.items():
            if task in rounds[0]:
                seconds = [one[task] for one in rounds]
                figures[task][name] = {
                    "milliseconds": common.spread(np.multiply(1e3, seconds)),
                    "times_ours": common.ratio(seconds, mine)}
    return figures


def measure(options):
    """Measure all implementations; return the payload and the text."""
    quick = options.quick
    job = {"boxes": 200 if quick else 2000, "images": 20 if quick else 1000,
           "budget": 0 if quick else 1.0, "most": 200,
           "folder": options.folder}
    names = [name for name in IMPLEMENTATIONS if present(name, quick)]

    def ask(name):
        threads = common.cores() if name.endswith("all cores") else 1
        return lambda: common.child("measure_one", {**job, "name": name},
                                    threads)

    answers = common.rounds({name: ask(name) for name in names},
                            options.rounds)
    differences = check(names, options.folder)
    figures = summed_up(answers)
    rows = [(task, name, *values.values(),
             differences.get(f"{task}, {name}", ""))
            for task, one in figures.items() for name, values in one.items()]
    payload = {"config": {"model": "dsod300", "anchors": 8744,
                          "classes": CLASSES, "boxes_of_nms": job["boxes"],
                          "images_of_ap": job["images"]},
               "seed": SEED, "figures": figures,
               "differences": differences, "notes": NOTES}
    return payload, common.table(rows, ("task", "implementation",
                                        "milliseconds", "times ours",
                                        "difference"))


CHILDREN = {"measure_one": measure_one}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
