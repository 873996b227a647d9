"""The kinds of mistakes: by hand, and against AP50."""

import dataclasses

import numpy as np
import pytest

from dsod_d2l import evaluation
from dsod_d2l.boxes import iou
from dsod_d2l.workbench.reports import mistakes
from dsod_d2l.detection import Detections
from test_evaluation_oracles import random_set

# In a picture of one row: IoU of boxes of width .2 that are moved.
A, B = [0, 0, .2, 1], [.6, 0, .8, 1]
A_FAR, NOWHERE = [.1, 0, .3, 1], [.4, 0, .5, 1]          # IoU 1/3, 0


def found(*rows):
    labels, scores, boxes = zip(*rows) if rows else ((), (), ())
    return Detections(np.array(labels, int), np.array(scores, float),
                      np.array(boxes, float).reshape(-1, 4))


def truth(*rows, **more):
    return evaluation.Truth(np.array([row[1] for row in rows]).reshape(-1, 4),
                    np.array([row[0] for row in rows], int), **more)


@pytest.mark.parametrize("rows, kinds, states", [
    ([(0, .9, A)], "right", "found missed"),
    ([(0, .8, A), (0, .9, A)], "right duplicate", "found missed"),
    ([(0, .9, A_FAR)], "localisation", "pointed_to missed"),
    ([(1, .9, A)], "class", "pointed_to missed"),
    ([(1, .9, A_FAR)], "both", "missed missed"),
    ([(0, .9, NOWHERE)], "background", "missed missed"),
    ([], "", "missed missed"),
    # A box of the right class half off, right on one of the other class.
    ([(1, .9, A), (1, .8, B)], "class right", "pointed_to found"),
    # Whoever has it does not mind who else points there.
    ([(0, .9, A), (0, .8, A_FAR)], "right localisation", "found missed")])
def test_each_kind_by_hand(rows, kinds, states):
    got = mistakes.find_mistakes([found(*rows)], [truth((0, A), (1, B))])
    assert list(got.kind) == kinds.split()
    assert [str(one).replace(" ", "_") for one in got.state] == states.split()
    counts = mistakes.count_mistakes(got)
    assert sum(counts.values()) == len(rows) + (got.state == "missed").sum()


def test_what_is_not_asked_for_is_no_mistake():
    got = mistakes.find_mistakes(
        [found((0, .9, A), (1, .9, [.62, .2, .7, .4]), (0, .9, NOWHERE))],
        [truth((0, A), (1, B), difficult=[True, False],
               crowd=[False, True])])
    assert list(got.kind) == ["ignored", "ignored", "background"]
    assert list(got.state) == ["ignored", "ignored"]
    cost = mistakes.cost_of_mistakes(got, 2)
    assert all(np.isnan(value) for value in cost.values())


def test_scores_below_the_threshold_are_left_out():
    one, other = found((0, .3, A), (0, .9, NOWHERE)), truth((0, A))
    assert list(mistakes.find_mistakes([one], [other], .5).kind) == ["background"]
    assert len(mistakes.find_mistakes([one], [other]).kind) == 2


def test_the_cost_of_each_kind_by_hand():
    """Class 0 has A, class 1 has B; AP50 is the mean of both."""
    objects = [truth((0, A), (1, B))]

    def cost(*rows):
        return mistakes.cost_of_mistakes(mistakes.find_mistakes([found(*rows)], objects),
                                   2)
    base = (1, .9, B)                            # AP50 is 1/2 to begin with
    assert cost(base, (0, .9, A_FAR))["localisation"] == pytest.approx(.5)
    assert cost(base, (1, .8, A))["class"] == pytest.approx(.5)
    assert cost(base, (1, .8, A))["missed"] == 0
    assert cost(base)["missed"] == pytest.approx(0.5)      # class 0 is no more
    assert cost((0, .9, NOWHERE), (0, .8, A), base)["background"] == (
        pytest.approx(.25))


def test_the_best_of_two_is_put_right_and_not_both():
    """Of two objects one is pointed to twice: recall rises to 1/2."""
    got = mistakes.find_mistakes([found((0, .9, A_FAR), (0, .8, A_FAR))],
                           [truth((0, A), (0, B))])
    assert list(got.kind) == ["localisation"] * 2
    assert mistakes.cost_of_mistakes(got, 1)["localisation"] == pytest.approx(
        51 / 101)


def slow_confusions(detections, truths, classes, threshold):
    """The same, one detection after the other, from the boxes themselves."""
    table = [[0] * (classes + 1) for _ in range(classes + 1)]
    for one, truth in zip(detections, truths):
        taken, rest = set(), []
        for label, score, box in sorted(one, key=lambda row: -row[1]):
            if score < threshold:
                continue
            overlaps = iou([box], truth.boxes)[0]
            mine = [row for row in np.flatnonzero(truth.labels == label)
                    if overlaps[row] >= .5 and row not in taken]
            if mine:
                taken.add(max(mine, key=lambda row: (overlaps[row], row)))
                table[label][label] += 1
            else:
                rest.append((label, overlaps))
        for label, overlaps in rest:
            own, other = (np.where((truth.labels == label) == own, overlaps,
                                   -1) for own in (True, False))
            best = other.argmax() if len(other) else None
            if (best is None or own.max() >= .5 or other[best] < .5
                    or best in taken):
                table[classes][label] += 1
            else:
                taken.add(best)
                table[truth.labels[best]][label] += 1
        for row in set(range(len(truth.labels))) - taken:
            table[truth.labels[row]][classes] += 1
    return table


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0, .6])
def test_confusions_are_those_of_the_slow_one(seed, threshold):
    detections, truths = random_set(seed + 40, classes=3, difficult=0)
    rng = np.random.default_rng(seed)
    detections = [dataclasses.replace(one, labels=np.where(
        rng.random(len(one)) < .4, (one.labels + 1) % 3, one.labels))
        for one in detections]
    got = mistakes.count_confusions(
        mistakes.find_mistakes(detections, truths, threshold), 3)
    assert got.tolist() == slow_confusions(detections, truths, 3, threshold)
    right = got[:3, :3].trace()
    assert 0 < right < got[:3, :3].sum() - 5
    assert got[:-1].sum() == sum(len(one.labels) for one in truths)
    assert got[:, :-1].sum() == sum((one.scores >= threshold).sum()
                                    for one in detections)


@pytest.mark.parametrize("seed, options", [(0, {}), (1, {"crowd": .3}),
                                           (2, {"classes": 1})])
def test_right_and_ignored_are_those_of_ap50(seed, options):
    detections, truths = random_set(seed, **options)
    classes = options.get("classes", 4)
    got = mistakes.find_mistakes(detections, truths)
    result = evaluation.evaluate_detections(detections, truths, classes)
    assert set(got.kind) - {"right", "ignored"} <= set(mistakes.MISTAKE_NAMES)
    areas = []
    for row in result.classes:
        rows = (got.labels == row.label) & (got.kind != "ignored")
        areas.append(evaluation.average_precision(*evaluation.precision_recall(
            got.scores[rows], got.kind[rows] == "right", row.objects)))
        assert areas[-1] == pytest.approx(row.AP50, abs=1e-12)
    # Each object is had once, and every target is an object of that image.
    right = got.target[got.kind == "right"]
    assert len(set(right)) == len(right) == (got.state == "found").sum()
    there = got.target >= 0
    assert (got.object_image[got.target[there]] == got.image[there]).all()
    own = np.isin(got.kind, ("right", "duplicate", "localisation"))
    assert (got.object_labels[got.target[own]] == got.labels[own]).all()
    cost = mistakes.cost_of_mistakes(got, classes)
    assert tuple(cost) == mistakes.MISTAKE_NAMES and min(cost.values()) >= 0


def test_the_best_threshold_is_that_of_the_highest_f1():
    detections, truths = random_set(5)
    got = mistakes.find_mistakes(detections, truths)
    at = mistakes.best_threshold(got)

    def f1(threshold):
        cut = mistakes.find_mistakes(detections, truths, threshold)
        right = (cut.kind == "right").sum()
        return 2 * right / ((cut.kind != "ignored").sum()
                            + (cut.state != "ignored").sum())
    others = [f1(score) for score in np.unique(got.scores)]
    assert f1(at) == pytest.approx(max(others))
    assert mistakes.best_threshold(mistakes.find_mistakes([found()], [truth()])) == 0


def test_the_worst_images_come_first():
    objects = [truth((0, A))] * 4
    got = mistakes.find_mistakes(
        [found((0, .9, A)), found(), found((1, .9, NOWHERE)),
         found((0, .9, A), (0, .8, A))], objects)
    assert mistakes.worst_images(got) == [(2, 2), (1, 1), (3, 1)]
    assert mistakes.worst_images(got, 1) == [(2, 2)]


def test_boxes_in_pixels_are_named_and_not_all_mistakes():
    one = dataclasses.replace(found((0, .9, A)), size=(200, 300)).pixels()
    with pytest.raises(ValueError, match="image 0: expected boxes as frac"):
        mistakes.find_mistakes([one], [truth((0, A))])
