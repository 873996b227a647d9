"""Evaluation: by hand, against slow oracles, and against pycocotools."""

import contextlib
import doctest
import io
import json

import numpy as np
import pytest

from dsod_d2l import evaluation as ev
from dsod_d2l.boxes import iou
from dsod_d2l.detection import Detections

LEFT, RIGHT, LOW = [0, 0, .25, .5], [.5, 0, .75, .5], [0, .5, 1, 1]


def found(*rows):
    """Return Detections of (label, score, box) rows."""
    labels, scores, boxes = zip(*rows) if rows else ((), (), ())
    return Detections(np.array(labels, int), np.array(scores, float),
                      np.array(boxes, float).reshape(-1, 4))


def truth(*rows):
    """Return a truth of (label, box) or (label, box, difficult) rows."""
    return (np.array([row[1] for row in rows], float).reshape(-1, 4),
            np.array([row[0] for row in rows], int),
            np.array([len(row) > 2 and row[2] for row in rows], bool))


def test_examples():
    assert doctest.testmod(ev).attempted > 4
    assert doctest.testmod(ev).failed == 0


# ------------------------------------------------------------ the curve

def test_precision_and_recall_by_hand():
    curve = ev.precision_recall([.3, .9, .6, .8], [True, True, False, True],
                                5)
    np.testing.assert_allclose(curve.recall, [.2, .4, .4, .6])
    np.testing.assert_allclose(curve.precision, [1, 1, 2 / 3, 3 / 4])


def test_equal_scores_keep_their_order():
    curve = ev.precision_recall([.5] * 40, [True] + [False] * 39, 1)
    assert curve.precision[0] == 1 and curve.recall.tolist() == [1] * 40


@pytest.mark.parametrize("recall, precision, voc07, area", [
    ([1.0], [1.0], 1, 1),
    ([], [], 0, 0),
    ([0.0, 0.0], [0.0, 0.0], 0, 0),
    # Half the objects, no mistake: recalls 0 to .5 are 6 of 11.
    ([.25, .5], [1, 1], 6 / 11, .5),
    # The envelope lifts the first precision to the second.
    ([0, .5, .5], [0, .5, 1 / 3], .5 * 6 / 11, .25),
    ([.5, .5, 1], [1, .5, 2 / 3], (6 + 5 * 2 / 3) / 11, .5 + 1 / 3),
    # A recall of 3 / 10 reaches the point .3, of 7 / 10 the point .7.
    ([3 / 10], [1], 4 / 11, .3),
    ([7 / 10], [1], 8 / 11, .7),
])
def test_average_precision_by_hand(recall, precision, voc07, area):
    recall, precision = np.array(recall), np.array(precision)
    for style, expected in (("voc07", voc07), ("area", area)):
        value = ev.average_precision(recall, precision, style)
        assert type(value) is float
        assert value == pytest.approx(expected, abs=1e-12)


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="area, voc07, coco, found 'voc10'"):
        ev.average_precision(np.ones(1), np.ones(1), "voc10")


# ------------------------------------------------------------ whole sets

def test_a_perfect_detector_has_one_everywhere():
    truths = [truth((0, LEFT), (1, RIGHT), (0, LOW)), truth(), truth((1, LOW))]
    detections = [found(*((label, .5, box) for box, label, _ in zip(*row)))
                  for row in truths]
    result = ev.evaluate_detections(detections, truths, 2)
    assert [getattr(result, name) for name in ev.STYLES] == [1.0] * 5
    assert result.images == 3 and result.objects == 4
    assert [row.objects for row in result.classes] == [2, 2]
    assert [row.detections for row in result.classes] == [2, 2]


def test_by_hand_two_classes_and_two_images():
    """Class 0: right, wrong, right of 3 objects; class 1: wrong of 1."""
    detections = [found((0, .9, LEFT), (0, .6, LOW), (1, .9, LEFT)),
                  found((0, .8, [.5, .5, 1, 1]))]
    truths = [truth((0, LEFT), (0, LOW), (1, RIGHT)), truth((0, LEFT))]
    result = ev.evaluate_detections(detections, truths, 2)
    first, second = result.classes
    # recall 1/3, 1/3, 2/3 at precision 1, 1/2, 2/3
    assert first.voc12 == pytest.approx(1 / 3 + 2 / 9)
    assert first.voc07 == pytest.approx((4 + 3 * 2 / 3) / 11)
    assert first.AP50 == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert second.AP == second.AP50 == second.voc07 == 0
    assert result.AP50 == pytest.approx(first.AP50 / 2)


def test_ap_is_the_mean_over_the_thresholds():
    """IoU .82 passes .5 to .8: seven of ten; .75 is among them."""
    wide = [0, 0, .82, .5]
    result = ev.evaluate_detections([found((0, .9, wide))],
                                    [truth((0, [0, 0, 1.0, .5]))], 1)
    assert result.AP == pytest.approx(.7)
    assert result.AP50 == result.AP75 == 1


def test_difficult_objects_are_not_asked_for():
    truths = [truth((0, LEFT), (0, LOW, True))]
    missed = ev.evaluate_detections([found((0, .5, LEFT))], truths, 1)
    both = ev.evaluate_detections([found((0, .5, LEFT), (0, .9, LOW))],
                                  truths, 1)
    for result in (missed, both):
        assert result.AP == result.voc07 == 1 and result.objects == 1


def test_classes_without_objects_are_left_out_of_the_mean():
    result = ev.evaluate_detections(
        [found((0, .9, LEFT), (2, .9, RIGHT))],
        [truth((0, LEFT), (1, LOW, True))], 3)
    assert result.AP == 1
    assert [np.isnan(row.AP) for row in result.classes] == [False, True, True]
    assert result.classes[2].detections == 1


def test_no_objects_at_all_give_nan_and_null():
    result = ev.evaluate_detections([found((0, .9, LEFT))], [truth()], 1)
    assert np.isnan(result.AP) and result.objects == 0
    values = json.loads(json.dumps(result.to_dict()))
    assert values["AP"] is None and values["classes"][0]["AP50"] is None
    assert values["images"] == 1


def test_no_detections_give_zero():
    result = ev.evaluate_detections([found()], [truth((0, LEFT))], 1)
    assert [getattr(result, name) for name in ev.STYLES] == [0] * 5


def test_padding_is_no_object():
    rows = truth((0, LEFT), (-1, LOW), (-1, LOW))
    result = ev.evaluate_detections([found((0, .9, LEFT))], [rows], 1)
    assert result.AP == 1 and result.objects == 1


def test_truths_may_do_without_difficult():
    boxes, labels, _ = truth((0, LEFT))
    for row in ((boxes, labels), ev.Truth(boxes, labels)):
        result = ev.evaluate_detections([found((0, .9, LEFT))], [row], 1)
        assert result.AP == 1


def test_only_the_best_of_each_class_and_image_count():
    rows = [(0, .9 - k / 100, [.8, .8, .9, .9]) for k in range(5)]
    detections = [found((1, .01, RIGHT), *rows, (0, .1, LEFT))]
    truths = [truth((0, LEFT), (1, RIGHT))]
    five, six = (ev.evaluate_detections(detections, truths, 2, most)
                 for most in (5, 6))
    assert five.classes[0].AP50 == 0 < six.classes[0].AP50
    assert five.classes[0].detections == 5
    assert five.classes[1].AP50 == six.classes[1].AP50 == 1


@pytest.mark.parametrize("detections, truths, words", [
    ([found()], [truth(), truth()], "for 2 images, found 1"),
    ([], [], "at least one image"),
    ([found((2, .5, LEFT))], [truth()],
     "detections of image 0: expected labels 0 to 1, found 2"),
    ([found((-1, .5, LEFT))], [truth()], "0 to 1, found -1"),
    ([found(), found()], [truth(), truth((5, LEFT))],
     "objects of image 1: expected labels 0 to 1, found 5"),
    ([found((0, np.nan, LEFT))], [truth()], "image 0: a score is nan"),
])
def test_wrong_input_is_named(detections, truths, words):
    with pytest.raises(ValueError, match=words):
        ev.evaluate_detections(detections, truths, 2)


# --------------------------------------------------- against other evaluators

def random_set(seed, images=40, classes=4, difficult=0.15):
    """Return detections near and far from the objects, with equal scores."""
    rng = np.random.default_rng(seed)
    detections, truths = [], []
    for image in range(images):
        objects, count = rng.poisson(5), rng.integers(0, 60)
        labels = rng.integers(0, classes, objects)
        low = rng.uniform(0, .7, (objects, 2))
        boxes = np.concatenate(
            [low, low + rng.uniform(.05, .3, (objects, 2))], 1)
        low = rng.uniform(0, .7, (count, 2))
        spots = np.concatenate([low, low + rng.uniform(.05, .3, (count, 2))],
                               1)
        names = rng.integers(0, classes, count)
        if objects:
            at, near = rng.integers(0, objects, count), rng.random(count) < .6
            spots[near] = boxes[at][near] + rng.normal(0, .02, (near.sum(), 4))
            names[near] = labels[at][near]
        spots[:, 2:] = np.maximum(spots[:, 2:], spots[:, :2] + .01)
        detections.append(Detections(names, rng.random(count).round(2), spots))
        truths.append((boxes, labels, rng.random(objects) < difficult))
    return detections, truths


def coco(detections, truths, classes):
    """Return AP, AP50 and AP75 of pycocotools, or skip the test.

    An object that is difficult is one out of the range of areas there.
    """
    tools = pytest.importorskip("pycocotools.coco", reason="no pycocotools")
    from pycocotools.cocoeval import COCOeval
    unit, objects, results = np.array([640, 480, 640, 480]), [], []

    def as_xywh(box):
        x0, y0, x1, y1 = box * unit
        return [x0, y0, x1 - x0, y1 - y0]

    for image, (one, (boxes, labels, difficult)) in enumerate(
            zip(detections, truths)):
        objects += [dict(id=0, image_id=image, category_id=int(label),
                         bbox=as_xywh(box), area=1e12 if hard else 9.,
                         iscrowd=0)
                    for box, label, hard in zip(boxes, labels, difficult)]
        results += [dict(image_id=image, category_id=int(label),
                         bbox=as_xywh(box), score=float(score))
                    for label, score, box in zip(*one)]
    for number, row in enumerate(objects):
        row["id"] = number + 1
    with contextlib.redirect_stdout(io.StringIO()):
        data = tools.COCO()
        data.dataset = {
            "images": [{"id": image} for image in range(len(truths))],
            "annotations": objects,
            "categories": [{"id": label} for label in range(classes)]}
        data.createIndex()
        run = COCOeval(data, data.loadRes(results), "bbox")
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.params.maxDets = [100]
        run.evaluate()
        run.accumulate()
    table = run.eval["precision"][:, :, :, 0, 0]     # threshold, recall, class
    table = table[:, :, (table > -1).all(axis=(0, 1))]
    return table.mean(), table[0].mean(), table[5].mean()


@pytest.mark.parametrize("seed, options", [
    (0, {}), (1, {"difficult": 0}), (2, {"classes": 1}),
    (3, {"images": 1}), (4, {"classes": 30}), (5, {"difficult": 0.9})])
def test_coco_numbers_are_those_of_pycocotools(seed, options):
    detections, truths = random_set(seed, **options)
    classes = options.get("classes", 4)
    result = ev.evaluate_detections(detections, truths, classes)
    assert 0 < result.AP < result.AP50
    np.testing.assert_allclose([result.AP, result.AP50, result.AP75],
                               coco(detections, truths, classes), atol=1e-9)


def test_coco_numbers_of_more_than_a_hundred_detections():
    detections, truths = random_set(7, images=6, classes=1)
    crowd = [Detections(*(np.tile(column, (4, 1))[:len(column) * 4]
                          if column.ndim > 1 else np.tile(column, 4)
                          for column in one)) for one in detections]
    assert max(len(one.labels) for one in crowd) > 150
    result = ev.evaluate_detections(crowd, truths, 1)
    np.testing.assert_allclose([result.AP, result.AP50, result.AP75],
                               coco(crowd, truths, 1), atol=1e-9)


def slow_voc(detections, truths, label, style):
    """VOC's AP of one class, one detection after the other."""
    rows = [(-score, image, row) for image, one in enumerate(detections)
            for row, score in enumerate(one.scores)
            if one.labels[row] == label]
    order = sorted(rows, key=lambda row: row[0])
    taken, right, wrong, curve = set(), 0, 0, []
    total = sum((labels == label)[~hard].sum() for _, labels, hard in truths)
    for _, image, row in order:
        boxes, labels, hard = truths[image]
        mine = np.flatnonzero(labels == label)
        overlaps = [iou(detections[image].boxes[[row]], boxes[[one]])[0, 0]
                    for one in mine]
        best = max(range(len(mine)), key=overlaps.__getitem__, default=None)
        if best is None or overlaps[best] < .5:
            wrong += 1
        elif hard[mine[best]]:
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


@pytest.mark.parametrize("seed", range(4))
def test_voc_numbers_are_those_of_the_slow_one(seed):
    detections, truths = random_set(seed + 20, images=25, classes=3)
    result = ev.evaluate_detections(detections, truths, 3)
    for row in result.classes:
        for name, style in (("voc07", "voc07"), ("voc12", "area")):
            assert getattr(row, name) == pytest.approx(
                slow_voc(detections, truths, row.label, style), abs=1e-12)
    assert result.voc07 == pytest.approx(
        np.mean([row.voc07 for row in result.classes]))


def test_the_order_of_the_detections_of_an_image_is_of_no_account():
    detections, truths = random_set(9)
    rng = np.random.default_rng(0)
    detections = [one._replace(scores=rng.permutation(999)[:len(one.labels)]
                               / 999) for one in detections]
    mixed = []
    for one in detections:
        order = rng.permutation(len(one.labels))
        mixed.append(Detections(*(column[order] for column in one)))
    assert (ev.evaluate_detections(mixed, truths, 4)
            == ev.evaluate_detections(detections, truths, 4))


class FakeDetector:
    """Finds one object, where the first pixel says."""

    classes, batch_size = ("a", "b"), 2

    def __init__(self):
        self.calls = []

    def detect(self, images):
        self.calls.append(len(images))
        return [found((0, .9, LEFT if image[0, 0, 0] else RIGHT))
                for image in images]


class FakeDataset(list):
    classes = ("a", "b")


def test_a_data_set_is_read_a_batch_at_a_time():
    from dsod_d2l.datasets.base import make_sample
    images = [np.full((4, 5, 3), value, np.uint8) for value in (0, 1, 1)]
    dataset = FakeDataset(make_sample(image, [LEFT], [0]) for image in images)
    detector = FakeDetector()
    result = ev.evaluate_dataset(detector, dataset)
    assert detector.calls == [2, 1]
    # wrong, right, right at equal scores: the envelope is 2/3 up to 2/3.
    assert result.voc12 == pytest.approx(2 / 3 * 2 / 3)
    dataset.classes = ("a", "b", "c")
    with pytest.raises(ValueError, match=r"2 classes \(a, b\).*has 3"):
        ev.evaluate_dataset(detector, dataset)
