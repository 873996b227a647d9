"""Evaluation against other programs: pycocotools, gluoncv, and slow ones."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import sys
import types
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from dsod_d2l import evaluation as ev
from dsod_d2l.boxes import iou
from dsod_d2l.datasets import make_sample
from dsod_d2l.detection import Detections
from dsod_d2l.evaluation.matching import IOU_THRESHOLDS, match_coco
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.formats.conversion import convert
from dsod_d2l.workbench.reports import result_files

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


def coco(detections, truths, classes, one_size=False, ids=None, rules=None):
    """Return the figures of pycocotools by name.

    It knows no difficult objects. With ``one_size`` sizes are given up, and a
    difficult object gets an area out of the only range. ``ids`` are those of
    the images, default their numbers. With ``rules``, (IoU, ranges of area),
    return AP of each, (classes, ranges, IoU); nan where there is none.
    """
    ids = range(len(truths)) if ids is None else ids
    tools = pytest.importorskip("pycocotools.coco", reason="no pycocotools")
    from pycocotools.cocoeval import COCOeval
    objects, results = [], []
    for image, one, truth in zip(ids, detections, truths):
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
            "images": [{"id": image} for image in ids],
            "annotations": objects, "info": {},
            "categories": [{"id": label} for label in range(classes)]}
        data.createIndex()
        run = COCOeval(data, data.loadRes(results) if results else
                       tools.COCO(), "bbox")
        if one_size:
            run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        if rules:
            run.params.iouThrs, run.params.areaRng = map(np.array, rules)
            run.params.areaRngLbl = list(map(str, rules[1]))
        run.evaluate()
        run.accumulate()
        if rules:
            table = run.eval["precision"][..., 2]
            table = np.where(table < 0, np.nan, table).mean(axis=1)
            return table.transpose(1, 2, 0)
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


@pytest.mark.parametrize("seed, crowd", [(70, 0), (71, .3)])
def test_any_iou_and_any_range_of_area(seed, crowd):
    detections, truths = random_set(seed, difficult=0, crowd=crowd)
    rules = [.1, .3, .75], [[0, 1e10], [0, 900], [900, 5000], [5000, 1e10]]
    ours = ev.ap_table(detections, truths, 4, *rules)
    theirs = coco(detections, truths, 4, rules=rules)
    assert ours.shape == (4, 4, 3) and np.nanmin(ours) < np.nanmax(ours)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    result = ev.evaluate_detections(detections, truths, 4)
    assert [row.AP for row in result.classes] == [
        np.mean(row) for row in ev.ap_table(detections, truths, 4)[:, 0]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("text", [False, True])
def test_of_equal_scores_the_image_of_the_lower_id_comes_first(seed, text):
    detections, truths = random_set(seed + 80, difficult=0, crowd=.2)
    detections = [dataclasses.replace(one, scores=one.scores.round(1))
                  for one in detections]        # many are equal
    ids = np.random.default_rng(seed).permutation(900)[:len(truths)]
    ids = [f"{one:04d}" if text else int(one) for one in ids]
    named = [dataclasses.replace(one, image_id=key)
             for one, key in zip(detections, ids)]
    result = ev.evaluate_detections(named, truths, 4)
    assert_like_coco(result, coco(detections, truths, 4, ids=ids))
    assert result.AP != ev.evaluate_detections(detections, truths, 4).AP


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

def slow_voc(detections, truths, label, style, strict=False):
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
                             truth.size) for one in mine]
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


def slow_iou(one, other, size):
    """IoU in pixels."""
    one, other = (box * np.array([size[1], size[0]] * 2)
                  for box in (one, other))
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    inner = max(wide, 0) * max(high, 0)
    return inner / ((one[2] - one[0]) * (one[3] - one[1]) - inner
                    + (other[2] - other[0]) * (other[3] - other[1]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rules", [{}, {"strict": True}])
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


def test_what_strict_changes_and_pixel_does_not():
    """A box of 4 x 2 pixels in one of 4 x 4, also where pixels are counted."""
    size = (16, 8)
    truths = [ev.Truth([[0, 0, 4 / 8, 4 / 16]], [0], size=size)]
    found = [Detections(np.array([0]), np.array([.9]),
                        np.array([[0, 0, 4 / 8, 2 / 16]]))]
    values = {(strict, pixel): ev.evaluate_detections(
        found, truths, 1, strict=strict, pixel=pixel)
        for strict in (False, True) for pixel in (False, True)}
    assert [values[key].voc07 for key in sorted(values)] == [1, 1, 0, 0]
    assert {one.AP50 for one in values.values()} == {1}


def devkit(folder, image_set, label_name, results):
    """VOC's AP of a class, 11-point, as VOCevaldet.m computes it from files.

    Args:
        folder: in VOC's layout.
        image_set: name of a list of images.
        label_name: of the class.
        results: lines of its result file.
    """
    wanted, total = {}, 0
    for name in (folder / f"ImageSets/Main/{image_set}.txt").read_text(
            ).split():
        root = ElementTree.parse(folder / f"Annotations/{name}.xml")
        mine = [one for one in root.iter("object")
                if one.findtext("name") == label_name]
        boxes = [[float(one.findtext(f"bndbox/{side}")) for side in
                  ("xmin", "ymin", "xmax", "ymax")] for one in mine]
        hard = [one.findtext("difficult") == "1" for one in mine]
        wanted[name] = boxes, hard, [False] * len(boxes)
        total += hard.count(False)
    rows = sorted((line.split() for line in results),
                  key=lambda row: -float(row[1]))
    right = wrong = 0
    curve = []
    for name, _, *box in rows:
        xmin, ymin, xmax, ymax = map(float, box)
        boxes, hard, got = wanted[name]
        best, at = -1, None
        for place, (left, top, right_, bottom) in enumerate(boxes):
            wide = min(xmax, right_) - max(xmin, left) + 1
            high = min(ymax, bottom) - max(ymin, top) + 1
            if wide > 0 and high > 0:
                both = ((xmax - xmin + 1) * (ymax - ymin + 1)
                        + (right_ - left + 1) * (bottom - top + 1)
                        - wide * high)
                if wide * high / both > best:
                    best, at = wide * high / both, place
        if best > .5 and hard[at]:
            continue
        if best > .5 and not got[at]:
            right, got[at] = right + 1, True
        else:
            wrong += 1
        curve.append((right / total, right / (right + wrong)))
    return np.mean([max((p for r, p in curve if r >= tenth / 10), default=0)
                    for tenth in range(11)])


class Judged:
    """Truths as a data set of black pictures, to be converted."""

    classes = ("a", "b", "c")

    def __init__(self, truths):
        self.truths = truths

    def __len__(self):
        return len(self.truths)

    def __getitem__(self, row):
        one = self.truths[row]
        return make_sample(np.zeros((*one.size, 3), np.uint8), one.boxes,
                           one.labels, one.difficult)


@pytest.mark.parametrize("seed, size", [(60, (90, 160)), (61, (130, 80))])
def test_voc_numbers_are_those_of_the_devkit_on_the_files_we_write(
        tmp_path, seed, size):
    """In small pictures, where a pixel more or less matters."""
    detections, truths = random_set(seed, images=25, classes=3, size=size,
                                    most=20)
    convert(Judged(truths), f"voc:{tmp_path}:test")
    data = addresses.open_dataset(f"voc:{tmp_path}:test?classes=a,b,c")
    names = [Path(data.entry(row).name).stem for row in range(len(data))]
    paths = result_files.write_voc(tmp_path / "results", [
        dataclasses.replace(one, size=size) for one in detections], names,
        Judged.classes)
    found = result_files.read_voc(tmp_path / "results", names,
                                  [size] * len(names), Judged.classes)
    ours = ev.evaluate_detections(found, [ev.Truth.of(one) for one in data],
                                  3, strict=True, pixel=True)
    for row, name, path in zip(ours.classes, Judged.classes, paths):
        assert 0 < row.voc07 < 1 and row.voc07 == pytest.approx(devkit(
            tmp_path, "test", name, path.read_text().splitlines()), abs=1e-9)


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
    # It wants pixels as VOC's files number them, from 1 and the last within.
    unit, first = np.array([*truths[0].size[::-1]] * 2), [1, 1, 0, 0]
    # It asks for a recall of 0.30000000000000004, which 3 of 10 do not reach.
    exact = types.SimpleNamespace(**{**vars(np), "arange": lambda *_:
                                     ev.RECALL_POINTS["voc07"]})
    monkeypatch.setattr(metrics, "np", exact)
    for name, theirs in (("voc07", metrics.VOC07MApMetric),
                         ("voc12", metrics.VOCMApMetric)):
        metric = theirs(iou_thresh=0.5, class_names=["a", "b", "c"])
        for one, truth in zip(detections, truths):
            metric.update(*(np.asarray(column)[None] for column in (
                one.boxes * unit + first, one.labels, one.scores,
                truth.boxes * unit + first, truth.labels, truth.difficult)))
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
