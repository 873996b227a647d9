"""Class-agnostic and soft suppression: by hand, and against slow ones."""

import dataclasses
import doctest
import math

import numpy as np
import pytest

import dsod_d2l
from dsod_d2l import config, detection
from dsod_d2l.config import DetectConfig
from dsod_d2l.detection import Detections, Detector
from dsod_d2l.workbench import suppression
from dsod_d2l.workbench.suppression import (SuppressingDetector,
                                            SuppressionConfig, soft_scores)

NEAR = np.array([[0, 0, .4, .4], [.02, .02, .42, .4], [.3, .3, .9, .9]])


def test_examples():
    assert doctest.testmod(suppression) == (0, 2)


def slow_iou(one, other):
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(high, 0)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / (whole - both)


def slow_soft(boxes, scores, weight):
    """Soft-NMS as its paper's figure 2 has it: lists, one box at a time."""
    rest = [[float(score), number, tuple(map(float, box))] for number,
            (box, score) in enumerate(zip(boxes, scores))]
    chosen = {}
    while rest:
        best = max(rest, key=lambda row: (row[0], -row[1]))
        rest.remove(best)
        chosen[best[1]] = best[0]
        for row in rest:
            row[0] *= weight(slow_iou(best[2], row[2]))
    return [chosen[number] for number in range(len(boxes))]


def random_boxes(rng, count):
    low = rng.uniform(0, .5, (count, 2))
    return np.hstack([low, low + rng.uniform(.2, .5, (count, 2))])


@pytest.mark.parametrize("seed, count", [(0, 0), (1, 1), (2, 30), (3, 80)])
@pytest.mark.parametrize("decay, options, weight", [
    ("gaussian", {"sigma": .5}, lambda iou: math.exp(-iou * iou / .5)),
    ("gaussian", {"sigma": .1}, lambda iou: math.exp(-iou * iou / .1)),
    ("linear", {"threshold": .3}, lambda iou: 1 - iou if iou > .3 else 1),
    ("linear", {"threshold": 0}, lambda iou: 1 - iou)])
def test_soft_scores_are_those_of_the_slow_one(seed, count, decay, options,
                                               weight):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, count), rng.random(count).round(1)
    given = scores.copy()
    got = soft_scores(boxes, scores, decay, **options)
    np.testing.assert_allclose(got, slow_soft(boxes, scores, weight),
                               atol=1e-12)
    assert (scores == given).all() and got.dtype == float
    assert count < 2 or (got < scores).any()


def outputs(boxes, scores):
    """Return what a network says whose detections are these, and anchors.

    Args:
        boxes: (N, 4).
        scores: (N, K) probabilities.
    """
    background = 1 - scores.sum(axis=1, keepdims=True)
    return np.log(np.hstack([background, scores])), np.zeros(boxes.shape)


class Net:
    """Two classes; the boxes are its anchors."""

    def __init__(self, config, boxes, scores):
        self.config, self.boxes, self.scores = config, boxes, scores

    def __call__(self, batch):
        return [np.stack([part] * len(batch)) for part in outputs(
            self.boxes, self.scores)]


@pytest.fixture
def detect(monkeypatch):
    """Return what a detector finds whose candidates are given."""
    def run(boxes, scores, how, **settings):
        net = Net(dataclasses.replace(config.get("dsod_tiny"), num_classes=2),
                  boxes, scores)
        monkeypatch.setattr(detection, "anchors_for", lambda _: boxes)
        rules = DetectConfig(**{"score_threshold": .05, **settings})
        made = dsod_d2l.Detector(
            net, ("a", "b"), detect_config=rules,
            suppression=SuppressionConfig(**how))
        plain = Detector(net, ("a", "b"), rules)
        picture = np.zeros((60, 90, 3), np.uint8)
        assert isinstance(made, SuppressingDetector)
        assert made.detect_config == rules
        return made.detect(picture), plain.detect(picture)
    return run


SCORES = np.array([[.6, .3], [.2, .5], [.3, .2]])


def test_each_class_on_its_own_is_the_plain_detector(detect):
    made, plain = detect(NEAR, SCORES, {})
    for name in ("labels", "scores", "boxes"):
        assert (getattr(made, name) == getattr(plain, name)).all()
    assert plain.labels.tolist() == [0, 1, 0, 1]


def test_a_class_suppresses_the_others_if_asked_to(detect):
    """The second box is b, and lies on a better a."""
    made, _ = detect(NEAR, SCORES, {"nms_kind": "agnostic"})
    assert made.labels.tolist() == [0, 0]
    np.testing.assert_allclose(made.scores, [.6, .3], atol=1e-6)
    np.testing.assert_allclose(made.boxes, NEAR[[0, 2]], atol=1e-6)
    made, _ = detect(NEAR, SCORES, {"nms_kind": "agnostic"}, keep=1)
    assert made.labels.tolist() == [0]


@pytest.mark.parametrize("seed", range(3))
def test_agnostic_is_the_greedy_choice_of_all_classes(detect, seed):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, 40), rng.random((40, 2)) / 2
    made, _ = detect(boxes, scores, {"nms_kind": "agnostic"},
                     nms_threshold=.4)
    rows = sorted(((score, -label, box) for label in (0, 1) for score, box in
                   zip(scores[:, label], boxes.tolist()) if score >= .05),
                  key=lambda row: -row[0])
    chosen = []
    for row in rows:
        if all(slow_iou(row[2], other[2]) <= .4 for other in chosen):
            chosen.append(row)
    np.testing.assert_allclose(made.scores, [row[0] for row in chosen],
                               atol=1e-6)
    assert made.labels.tolist() == [-row[1] for row in chosen]


@pytest.mark.parametrize("seed", range(3))
def test_soft_keeps_what_is_still_likely(detect, seed):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, 40), rng.random((40, 2)) / 2
    made, plain = detect(boxes, scores, {"nms_kind": "soft",
                                         "soft_decay": "linear"},
                         score_threshold=.2, nms_threshold=.3)
    wanted = []
    for label in (0, 1):
        rows = np.flatnonzero(scores[:, label] >= .2)
        lowered = slow_soft(boxes[rows], scores[rows, label],
                            lambda iou: 1 - iou if iou > .3 else 1)
        wanted += [(score, label) for score in lowered if score >= .2]
    wanted.sort(reverse=True)
    assert len(made) == len(wanted) > len(plain) > 0
    np.testing.assert_allclose(made.scores, [one[0] for one in wanted],
                               atol=1e-6)
    assert made.labels.tolist() == [one[1] for one in wanted]
    assert made.scores.dtype == np.float32 and isinstance(made, Detections)


@pytest.mark.parametrize("field, value", [
    ("sigma", 0), ("sigma", float("nan")), ("nms_kind", "hard"),
    ("soft_decay", "cosine")])
def test_what_makes_no_sense_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        SuppressionConfig(**{field: value})
