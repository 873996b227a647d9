"""Two steps in NumPy: refined anchors, easy negatives, second targets."""

import doctest
import warnings

import numpy as np
import pytest

from dsod_d2l import refinement, targets
from dsod_d2l.boxes import iou

# Two anchors far apart, and an object a little off the first one.
ANCHORS = np.array([[.1, .2, .3, .6], [.6, .5, 1., .7]], np.float32)
BOX = np.array([[.2, .2, .4, .6]], np.float32)


def test_the_examples_in_the_text():
    found = doctest.testmod(refinement)
    assert found.attempted == 3 and found.failed == 0


def test_two_steps_by_hand():
    """Width .2: dx 3 moves by 3 * .1 * .2; then the rest is a third of it."""
    refined = refinement.refine(ANCHORS, [[3, 0, 0, 0], [0, 0, 5 * np.log(2), 0]])
    np.testing.assert_allclose(refined[0], [.16, .2, .36, .6], rtol=1e-6)
    np.testing.assert_allclose(refined[1], [.4, .5, 1.2, .7], rtol=1e-6)
    rest = targets.encode(BOX, refined[:1])
    np.testing.assert_allclose(rest, [[2, 0, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(targets.decode(rest, refined[:1]), BOX,
                               atol=1e-6)


def test_both_steps_end_at_the_object_whatever_the_first_one_says():
    rng = np.random.default_rng(0)
    anchors, boxes = (np.sort(rng.uniform(0, 1, (50, 2, 2)), axis=1)
                      .reshape(50, 4) for _ in range(2))
    moves = rng.normal(0, 3, (50, 4))
    codec = targets.OffsetCodec((0, 0, 0, 0), (.1, .2, .3, .4))
    refined = refinement.refine(anchors, moves, codec.decode)
    offsets = targets.encode(boxes, refined, (.1, .2, .3, .4))
    np.testing.assert_allclose(
        targets.decode(offsets, refined, (.1, .2, .3, .4)), boxes, atol=1e-9)


def test_an_endless_refinement_stays_finite_and_no_number_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refined = refinement.refine(ANCHORS, [[0, 0, 1e30, 0], [0, 0, 0, -1e30]])
    assert np.isfinite(refined).all()
    assert (refined[:, 2:] > refined[:, :2]).all()
    with pytest.raises(ValueError, match="finite, found 2 values"):
        refinement.refine(ANCHORS, [[0, np.nan, 0, 0], [np.inf, 0, 0, 0]])


def test_easy_negatives_are_above_the_limit_alone():
    """At .99 the scores differ by ln 99 = 4.595."""
    scores = np.array([[4.59, 0], [4.60, 0], [0, -4.60], [-4.6, 0]])
    assert refinement.easy_negatives(scores).tolist() == [0, 1, 1, 0]
    assert refinement.easy_negatives(scores, .5).tolist() == [1, 1, 1, 0]
    assert not refinement.easy_negatives(scores, None).any()


def random_image(seed, objects):
    """Return anchors, objectness, moves and objects of one image."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-.1, .8, (300, 2))
    anchors = np.concatenate([corner, corner + rng.uniform(.05, .5, (300, 2))],
                             axis=1)
    boxes = np.sort(rng.uniform(0, 1, (objects, 2, 2)), axis=1)
    return (anchors, rng.normal(0, 4, (300, 2)), rng.normal(0, 1, (300, 4)),
            (boxes.reshape(-1, 4), rng.integers(0, 3, objects)))


@pytest.mark.parametrize("objects", [0, 1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_second_targets_are_those_of_the_refined_boxes(seed, objects):
    anchors, objectness, moves, truth = random_image(seed, objects)
    refined = targets.decode(moves, anchors)
    plain = targets.label_anchors(refined, *truth, threshold=.4)
    found = refinement.second_targets(anchors, objectness, moves, truth, .4,
                                   most=None)
    for ours, theirs in zip(found, plain):
        np.testing.assert_array_equal(ours, theirs)
    assert (found.classes > 0).sum() >= objects
    assert objects == 0 or not np.array_equal(
        found.classes, targets.label_anchors(anchors, *truth, .4).classes)


@pytest.mark.parametrize("objects", [0, 2])
def test_filtering_leaves_out_sure_negatives_and_no_positive(objects):
    anchors, _, moves, truth = random_image(7, objects)
    plain = refinement.second_targets(anchors, np.zeros((300, 2)), moves, truth)
    sure = np.array([[9., 0]] * 150 + [[4., 0]] * 150)
    sure[plain.positive] = [9, 0]             # it misses every object
    found = refinement.second_targets(anchors, sure, moves, truth)
    wanted = np.where(plain.positive, plain.classes,
                      np.where(sure[:, 0] > 5, -1, 0))
    np.testing.assert_array_equal(found.classes, wanted)
    np.testing.assert_array_equal(found.offsets, plain.offsets)
    assert (found.classes == 0).any() and (found.classes == -1).any()


def test_padding_counts_for_nothing():
    anchors, objectness, moves, (boxes, labels) = random_image(3, 2)
    padded = (np.concatenate([[[0, 0, 0, 0]], boxes, [[0, 0, 1, 1]]]),
              np.array([-1, *labels, -1]))
    for ours, theirs in zip(
            refinement.second_targets(anchors, objectness, moves, padded),
            refinement.second_targets(anchors, objectness, moves,
                                   (boxes, labels))):
        np.testing.assert_array_equal(ours, theirs)


def test_a_refined_anchor_takes_an_object_that_its_anchor_did_not_reach():
    """By hand: IoU 1/3 before, 1 after moving by half its width."""
    truth = BOX, np.array([2])
    assert iou(ANCHORS, BOX).max() == pytest.approx(1 / 3)
    moves = np.array([[5, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    found = refinement.second_targets(ANCHORS, np.zeros((2, 2)), moves, truth)
    assert found.classes.tolist() == [3, 0]
    np.testing.assert_allclose(found.offsets[0], 0, atol=1e-5)
    first = targets.label_anchors(ANCHORS, *truth)
    np.testing.assert_allclose(first.offsets[0], [5, 0, 0, 0], atol=1e-5)
