"""Evaluation: by hand. Other programs judge in test_evaluation_oracles."""

import dataclasses
import doctest
import json

import numpy as np
import pytest

from dsod_d2l import evaluation as ev
from dsod_d2l.detection import Detections
from dsod_d2l.evaluation import matching, measure, tables

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
    for module in (matching, measure, tables):
        assert doctest.testmod(module).attempted
        assert doctest.testmod(module).failed == 0


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
    assert [getattr(result, name) for name in ev.AP_STYLES] == [1.0] * 5
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
    assert [getattr(result, name) for name in ev.AP_STYLES] == [0] * 5


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


def test_boxes_in_pixels_never_give_an_ap_of_zero_in_silence():
    one = dataclasses.replace(found((0, .9, LEFT)), size=(200, 300))
    assert ev.evaluate_detections([one], [truth((0, LEFT))],
                                  1).AP == 1
    with pytest.raises(ValueError, match="detections of image 1: expected "
                       "boxes as fractions.* found pixels: give them without"):
        ev.evaluate_detections([one, one.pixels()],
                               [truth((0, LEFT))] * 2, 1)
    with pytest.raises(ValueError, match="the boxes of a Truth: expected "
                       "fractions of the picture, found 100"):
        ev.evaluate_detections([one], [ev.Truth(one.pixels().boxes, [0])], 1)


class FakeDetector:
    """Finds one object, where the first pixel says."""

    classes, batch_size = ("a", "b"), 2

    def __init__(self):
        self.calls = []

    def detect(self, images):
        self.calls.append(len(images))
        return [found((0, .9, LEFT if image[0, 0, 0] else RIGHT))
                for image in images]


@pytest.mark.parametrize("most", [0, -3, float("nan")])
def test_no_detections_at_all_are_not_judged(most):
    with pytest.raises(ValueError, match="most must be at least 1, found"):
        ev.evaluate_detections([found()], [truth((0, LEFT))], 1, most)


class FakeDataset(list):
    classes = ("a", "b")


def test_a_data_set_is_read_a_batch_at_a_time():
    from dsod_d2l.datasets.sample import make_sample
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


@pytest.mark.parametrize("classes, label, AP50", [
    (("a", "b"), 0, 1), (("b", "a"), 1, 1), (("b", "a"), 0, 0),
    (("class 0", "class 1"), 0, 1)])
def test_classes_are_the_same_by_their_names(classes, label, AP50):
    from dsod_d2l.datasets.sample import make_sample
    dataset = FakeDataset([make_sample(np.ones((4, 5, 3), np.uint8), [LEFT],
                                       [label])])
    dataset.classes = classes
    result = ev.evaluate_dataset(FakeDetector(), dataset)
    assert result.AP50 == AP50
    assert [row.objects for row in result.classes] == [AP50, 1 - AP50]


def test_a_set_may_lack_classes_and_order_them_otherwise():
    from dsod_d2l.datasets.sample import make_sample

    class Three(FakeDetector):
        classes = ("c", "a", "b")

        def detect(self, images):
            return [found((2, .9, LEFT)) for _ in images]
    dataset = FakeDataset([make_sample(np.ones((4, 5, 3), np.uint8), [LEFT],
                                       [0])])
    for names, AP50, objects in ((("b", "a"), 1, [0, 0, 1]), (
            ("b",), 1, [0, 0, 1]), (("a", "b"), 0, [0, 1, 0])):
        dataset.classes = names
        result = ev.evaluate_dataset(Three(), dataset)
        assert result.AP50 == AP50
        assert [row.objects for row in result.classes] == objects


def test_other_names_of_as_many_classes_are_refused():
    dataset = FakeDataset()
    dataset.classes = ("a", "c")
    with pytest.raises(ValueError, match=(
            r"\(a, b\).*has 2 \(a, c\); rename=c:NAME or only=a behind")):
        ev.evaluate_dataset(FakeDetector(), dataset)
    dataset.classes = ("d", "c")
    with pytest.raises(ValueError, match="; rename=d:NAME behind the name"):
        ev.evaluate_dataset(FakeDetector(), dataset)
    assert ev.class_numbers(("x", "y", "z"), ("y", "z", "x")).tolist() == [
        1, 2, 0]
