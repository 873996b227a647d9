"""Evaluation against other programs: pycocotools, gluoncv, and slow ones."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from dsod_d2l import evaluation as ev
from dsod_d2l.boxes import iou
from dsod_d2l.detection import Detections
from dsod_d2l.evaluation.matching import IOU_THRESHOLDS, match_coco

COCO_NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
              "AR1", "AR10", "AR", "AR_small", "AR_medium", "AR_large")


def random_set(seed, images=40, classes=4, difficult=0.15, crowd=0.0,
               size=(480, 640), integers=False, most=60):
    """Return detections near and far from the objects, with equal scores.

    integers: boxes of whole eighths of 512 x 1024, so that overlaps are
        equal, or one half, and nothing is rounded.
    """
    size = (512, 1024) if integers else size
    rng = np.random.default_rng(seed)
    detections, truths = [], []
    for image in range(images):
        objects, count = rng.poisson(5), rng.integers(0, most)
        labels = rng.integers(0, classes, objects)
        boxes = some_boxes(rng, objects)
        spots, names = some_boxes(rng, count), rng.integers(0, classes, count)
        if objects:
            at, near = rng.integers(0, objects, count), rng.random(count) < .6
            spots[near] = boxes[at][near] + rng.normal(0, .02, (near.sum(), 4))
            names[near] = labels[at][near]
        spots[:, 2:] = np.maximum(spots[:, 2:], spots[:, :2] + .01)
        if integers:
            unit = np.array([size[1], size[0]] * 2) / 8
            boxes, spots = [np.round(part * unit) / unit
                            for part in (boxes, spots)]
            spots[:, 2:] = np.maximum(spots[:, 2:],
                                      spots[:, :2] + 1 / unit[:2])
        scores = rng.random(count).round(2)
        detections.append(Detections(names, scores, spots, size))
        truths.append(ev.Truth(boxes, labels, rng.random(objects) < difficult,
                               rng.random(objects) < crowd, None, size))
    return detections, truths


def some_boxes(rng, count):
    """Return boxes of all of COCO's sizes."""
    low = rng.uniform(0, .7, (count, 2))
    sides = rng.choice([.03, .1, .3], (count, 1)) * rng.uniform(
        .5, 1, (count, 2))
    return np.concatenate([low, low + sides], 1)


# ---------------------------------------------------------------- pycocotools

def xywh(boxes, size):
    corners = boxes * np.array([size[1], size[0]] * 2)
    return np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])


def coco(detections, truths, classes, one_size=False):
    """Return the figures of pycocotools by name.

    It knows no difficult objects. With ``one_size`` sizes are given up, and a
    difficult object gets an area out of the only range.
    """
    tools = pytest.importorskip("pycocotools.coco", reason="no pycocotools")
    from pycocotools.cocoeval import COCOeval
    objects, results = [], []
    for image, (one, truth) in enumerate(zip(detections, truths)):
        for row, box in enumerate(xywh(truth.boxes, truth.size)):
            area = (box[2] * box[3] if truth.areas is None
                    else truth.areas[row])
            objects.append(dict(
                id=len(objects) + 1, image_id=image, bbox=box.tolist(),
                category_id=int(truth.labels[row]),
                area=1e12 if truth.difficult[row] else float(area),
                iscrowd=int(truth.crowd[row])))
        results += [dict(image_id=image, category_id=int(label),
                         bbox=box.tolist(), score=float(score))
                    for label, score, box in zip(
                        one.labels, one.scores, xywh(one.boxes, truth.size))]
    with contextlib.redirect_stdout(io.StringIO()):
        data = tools.COCO()
        data.dataset = {
            "images": [{"id": image} for image in range(len(truths))],
            "annotations": objects, "info": {},
            "categories": [{"id": label} for label in range(classes)]}
        data.createIndex()
        run = COCOeval(data, data.loadRes(results) if results else
                       tools.COCO(), "bbox")
        if one_size:
            run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
        if not one_size:
            run.summarize()
            return dict(zip(COCO_NAMES, run.stats))
    table = run.eval["precision"][:, :, :, 0, 2]     # threshold, recall, class
    table = table[:, :, (table > -1).all(axis=(0, 1))]
    return dict(zip(COCO_NAMES, (table.mean(), table[0].mean(),
                                 table[5].mean())))


def assert_like_coco(result, expected):
    for name, value in expected.items():
        ours = getattr(result, name)
        assert (np.isnan(ours) if value == -1
                else ours == pytest.approx(value, abs=1e-9)), name


@pytest.mark.parametrize("seed, options", [
    (0, {}), (1, {"difficult": 0}), (2, {"classes": 1}),
    (3, {"images": 1}), (4, {"classes": 30}), (5, {"difficult": 0.9}),
    (6, {"crowd": 0.2})])
def test_difficult_objects_are_those_out_of_range(seed, options):
    detections, truths = random_set(seed, **options)
    classes = options.get("classes", 4)
    result = ev.evaluate_detections(detections, truths, classes)
    assert 0 < result.AP < result.AP50
    assert_like_coco(result, coco(detections, truths, classes, True))


@pytest.mark.parametrize("seed, options", [
    (10, {}), (11, {"crowd": 0.3}), (12, {"crowd": 0.3, "integers": True}),
    (13, {"classes": 1, "integers": True}), (14, {"classes": 30}),
    (15, {"images": 2, "crowd": 0.5}), (16, {"crowd": 1.0}),
    (17, {"classes": 1, "most": 400, "images": 6, "crowd": .2}),
    (18, {"size": (200, 90)}), (19, {"size": (2000, 1500)}),
    (20, {"images": 3, "most": 1})])
def test_all_twelve_figures_of_coco(seed, options):
    detections, truths = random_set(seed, difficult=0, **options)
    classes = options.get("classes", 4)
    result = ev.evaluate_detections(detections, truths, classes)
    assert_like_coco(result, coco(detections, truths, classes))


def test_the_areas_of_a_coco_file_decide_about_sizes(tmp_path):
    from dsod_d2l.workbench.formats import addresses
    from dsod_d2l.workbench.formats.conversion import convert
    from small_sets import Small
    path = convert(Small(), f"coco:{tmp_path}:val").path
    with open(path) as file:
        table = json.load(file)
    for number, one in enumerate(table["annotations"]):
        one["area"] = (20, 2000, 20000)[number % 3]
    with open(path, "w") as file:
        json.dump(table, file)
    dataset = addresses.open_dataset(f"coco:{path}")
    truths = [ev.Truth.of(sample).whole() for sample in dataset]
    detections = [detections_of(truth) for truth in truths]
    result = ev.evaluate_detections(detections, truths, 3)
    assert_like_coco(result, coco(detections, truths, 3))
    boxes = [truth._replace(areas=None) for truth in truths]
    assert (result.AR_large, result.AR_small) != (
        lambda one: (one.AR_large, one.AR_small))(
            ev.evaluate_detections(detections, boxes, 3))


def detections_of(truth):
    """Return an object's box, moved a little, as what was found."""
    moved = truth.boxes + np.array([0, 0, -.02, .01])
    scores = np.linspace(.9, .5, len(moved))
    return Detections(truth.labels, scores, moved)


@pytest.mark.parametrize("crowd", [0, .3])
def test_the_area_of_an_outline_goes_before_that_of_the_box(crowd):
    detections, truths = random_set(21, difficult=0, crowd=crowd)
    rng = np.random.default_rng(0)
    truths = [one._replace(areas=np.prod(xywh(one.boxes, one.size)[:, 2:], 1)
                           * rng.uniform(.1, .9, len(one.labels)))
              for one in truths]
    result = ev.evaluate_detections(detections, truths, 4)
    assert_like_coco(result, coco(detections, truths, 4))


def test_without_sizes_there_are_no_figures_by_size():
    detections, truths = random_set(22)
    plain = [one._replace(size=None) for one in truths]
    result = ev.evaluate_detections(detections, plain, 4)
    whole = ev.evaluate_detections(detections, truths, 4)
    assert result.AP == pytest.approx(whole.AP) and np.isnan(result.AP_small)
    assert result.AR == pytest.approx(whole.AR) and np.isnan(result.AR_small)
    assert whole.AP_small > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_data_set_is_judged_as_one_image_is(seed):
    """The rule that can be read gives the same, class by class."""
    detections, truths = random_set(seed + 30, classes=2, integers=True)
    for label in range(2):
        scores, right = [], []
        for one, truth in zip(detections, truths):
            rows = np.flatnonzero(one.labels == label)
            rows = rows[np.argsort(-one.scores[rows], kind="stable")]
            mine = truth.labels == label
            correct, out = match_coco(
                iou(one.boxes[rows], truth.boxes[mine]),
                truth.difficult[mine])
            scores.append(np.where(out, -1, one.scores[rows]))
            right.append(correct)
        scores, right = np.hstack(scores), np.hstack(right)
        total = sum((~one.difficult[one.labels == label]).sum()
                    for one in truths)
        areas = [ev.average_precision(*ev.precision_recall(
            scores[t][scores[t] >= 0], right[t][scores[t] >= 0], total))
            for t in range(len(IOU_THRESHOLDS))]
        result = ev.evaluate_detections(detections, truths, 2)
        assert result.classes[label].AP == pytest.approx(np.mean(areas))


# ----------------------------------------------------------------- VOC

def slow_voc(detections, truths, label, style, strict=False, pixel=0):
    """VOC's AP of one class, one detection after the other."""
    rows = [(-score, image, row) for image, one in enumerate(detections)
            for row, score in enumerate(one.scores)
            if one.labels[row] == label]
    taken, right, wrong, curve = set(), 0, 0, []
    total = sum(((one.labels == label) & ~one.difficult).sum()
                for one in truths)
    for _, image, row in sorted(rows, key=lambda row: row[0]):
        truth = truths[image]
        mine = np.flatnonzero(truth.labels == label)
        overlaps = [slow_iou(detections[image].boxes[row], truth.boxes[one],
                             truth.size, pixel) for one in mine]
        best = max(range(len(mine)), key=overlaps.__getitem__, default=None)
        enough = best is not None and (overlaps[best] > .5 if strict
                                       else overlaps[best] >= .5)
        if not enough:
            wrong += 1
        elif truth.difficult[mine[best]]:
            continue
        elif (image, best) in taken:
            wrong += 1
        else:
            taken.add((image, best))
            right += 1
        curve.append((right / total, right / (right + wrong)))
    if style == "voc07":
        return np.mean([max((p for r, p in curve if r >= tenth / 10),
                            default=0) for tenth in range(11)])
    area, before = 0.0, 0.0
    for at, (recall, _) in enumerate(curve):
        area += (recall - before) * max(p for _, p in curve[at:])
        before = recall
    return area


def slow_iou(one, other, size, pixel):
    """IoU in pixels, the sides longer by ``pixel``."""
    one, other = (box * np.array([size[1], size[0]] * 2) + [0, 0, pixel, pixel]
                  for box in (one, other))
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    inner = max(wide, 0) * max(high, 0)
    return inner / ((one[2] - one[0]) * (one[3] - one[1]) - inner
                    + (other[2] - other[0]) * (other[3] - other[1]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rules", [
    {}, {"strict": True}, {"pixel": True}, {"strict": True, "pixel": True}])
def test_voc_numbers_are_those_of_the_slow_one(seed, rules):
    detections, truths = random_set(seed + 20, images=25, classes=3,
                                    integers=True)
    result = ev.evaluate_detections(detections, truths, 3, **rules)
    for row in result.classes:
        for name, style in (("voc07", "voc07"), ("voc12", "area")):
            assert getattr(row, name) == pytest.approx(slow_voc(
                detections, truths, row.label, style, **rules), abs=1e-12)
    assert result.voc07 == pytest.approx(
        np.mean([row.voc07 for row in result.classes]))


def test_the_rules_of_voc_make_a_difference():
    """A box of 4 x 4 pixels half in another: 1/2; with + 1 it is more."""
    size = (16, 8)
    truths = [ev.Truth([[0, 0, 4 / 8, 4 / 16]], [0], size=size)]
    found = [Detections(np.array([0]), np.array([.9]),
                        np.array([[0, 0, 4 / 8, 2 / 16]]))]
    values = {(strict, pixel): ev.evaluate_detections(
        found, truths, 1, strict=strict, pixel=pixel)
        for strict in (False, True) for pixel in (False, True)}
    assert [values[key].voc07 for key in sorted(values)] == [1, 1, 0, 1]
    assert {one.AP50 for one in values.values()} == {1}
    with pytest.raises(ValueError, match="pixel needs the size"):
        ev.evaluate_detections(found, [truths[0]._replace(size=None)], 1,
                               pixel=True)


def gluoncv_metrics():
    """Load gluoncv's VOC metrics alone: the rest wants many packages."""
    spec = importlib.util.find_spec("gluoncv")
    if spec is None:
        pytest.skip("gluoncv is not installed")
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    home = Path(spec.origin).parent / "utils"
    for name in ("voc_oracle", "voc_oracle.metrics"):
        sys.modules.setdefault(name, types.ModuleType(name))
        sys.modules[name].__path__ = []
    for name, file in (("voc_oracle.bbox", "bbox.py"),
                       ("voc_oracle.metrics.voc_detection",
                        "metrics/voc_detection.py")):
        spec = importlib.util.spec_from_file_location(name, home / file)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(4))
def test_voc_numbers_are_those_of_gluoncv(seed, monkeypatch):
    metrics = gluoncv_metrics()
    detections, truths = random_set(seed + 50, images=60, classes=3,
                                    integers=bool(seed % 2))
    # It puts equal scores in the opposite order: there are none here.
    rng = np.random.default_rng(seed)
    detections = [dataclasses.replace(
        one, scores=rng.permutation(9999)[:len(one)] / 9999 + image * 1e-7)
        for image, one in enumerate(detections)]
    ours = ev.evaluate_detections(detections, truths, 3, pixel=True)
    unit = np.array([*truths[0].size[::-1]] * 2)       # it wants pixels
    # It asks for a recall of 0.30000000000000004, which 3 of 10 do not reach.
    exact = types.SimpleNamespace(**{**vars(np), "arange": lambda *_:
                                     ev.RECALL_POINTS["voc07"]})
    monkeypatch.setattr(metrics, "np", exact)
    for name, theirs in (("voc07", metrics.VOC07MApMetric),
                         ("voc12", metrics.VOCMApMetric)):
        metric = theirs(iou_thresh=0.5, class_names=["a", "b", "c"])
        for one, truth in zip(detections, truths):
            metric.update(*(np.asarray(column)[None] for column in (
                one.boxes * unit, one.labels, one.scores,
                truth.boxes * unit, truth.labels, truth.difficult)))
        for row, value in zip([*ours.classes, ours], metric.get()[1]):
            assert getattr(row, name) == pytest.approx(value, abs=1e-9)


def test_the_order_of_the_detections_of_an_image_is_of_no_account():
    detections, truths = random_set(9)
    rng = np.random.default_rng(0)
    detections = [dataclasses.replace(
        one, scores=rng.permutation(999)[:len(one)] / 999)
        for one in detections]
    mixed = []
    for one in detections:
        mixed.append(one[rng.permutation(len(one))])
    assert (ev.evaluate_detections(mixed, truths, 4)
            == ev.evaluate_detections(detections, truths, 4))
