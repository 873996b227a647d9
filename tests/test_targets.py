"""Targets: matching by hand and against a slow one; offsets both ways."""

import doctest

import numpy as np
import pytest

from dsod_d2l import targets as tg
from dsod_d2l.boxes import centre_to_corner, corner_to_centre, iou


def slow_match(overlaps, threshold=0.5):
    """Bipartite, then threshold: as it is defined, one pair at a time."""
    anchors, objects = overlaps.shape
    found = [-1] * anchors
    free = {(a, o) for a in range(anchors) for o in range(objects)
            if overlaps[a, o] > tg.LEAST_OVERLAP}
    while free:
        best = max(sorted(free), key=lambda pair: overlaps[pair])
        found[best[0]] = best[1]
        free = {pair for pair in free
                if pair[0] != best[0] and pair[1] != best[1]}
    for anchor in range(anchors):
        if found[anchor] < 0 and objects:
            best = int(np.argmax(overlaps[anchor]))
            if overlaps[anchor, best] >= threshold:
                found[anchor] = best
    return found


def test_examples():
    assert doctest.testmod(tg).failed == 0


@pytest.mark.parametrize("overlaps, expected", [
    # Two objects want the same anchor: the second takes its next best.
    ([[0.9, 0.8], [0.1, 0.3], [0.2, 0.2]], [0, 1, -1]),
    # The object that comes later overlaps more: it wins, the first yields.
    ([[0.6, 0.7], [0.1, 0.2], [0.55, 0.3]], [1, -1, 0]),
    # An object below the threshold still gets its best anchor.
    ([[0.1], [0.2], [0.0]], [-1, 0, -1]),
    # The threshold itself is enough; a hair below is not.
    ([[0.9], [0.5], [0.499]], [0, 0, -1]),
    # A free anchor takes the object that it overlaps most.
    ([[0.9, 0.0], [0.0, 0.9], [0.6, 0.7]], [0, 1, 1]),
    # More objects than anchors: the worst pairs go without.
    ([[0.3, 0.9, 0.5]], [1]),
    # No overlap, no match, not even to the only object.
    ([[0.0], [0.0]], [-1, -1]),
    ([[1e-6], [0.0]], [-1, -1]),
    # The same object twice: each gets an anchor.
    ([[0.8, 0.8], [0.7, 0.7], [0.1, 0.1]], [0, 1, -1]),
    # Chains of second choices.
    ([[0.9, 0.85, 0.8], [0.5, 0.7, 0.75], [0.1, 0.3, 0.2]], [0, 2, 1]),
])
def test_match_by_hand(overlaps, expected):
    overlaps = np.array(overlaps)
    before = overlaps.copy()
    found = tg.match(overlaps)
    assert found.dtype == np.int64 and found.tolist() == expected
    np.testing.assert_array_equal(overlaps, before)


def test_match_without_objects_or_anchors():
    assert tg.match(np.zeros((3, 0))).tolist() == [-1, -1, -1]
    assert tg.match(np.zeros((0, 3))).tolist() == []


@pytest.mark.parametrize("seed", range(60))
def test_match_equals_the_slow_one(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 25), rng.integers(1, 9)
    # Few distinct values, so that ties are everywhere; every third sparse.
    overlaps = rng.integers(0, 5 + 20 * (seed % 2), shape) / 25
    if seed % 3 == 0:
        overlaps *= rng.random(shape) < 0.3
    threshold = [0.5, 0.1, 0.4][seed % 3]
    assert tg.match(overlaps, threshold).tolist() == slow_match(overlaps,
                                                                threshold)


def test_match_gives_every_object_an_anchor_of_its_own():
    rng = np.random.default_rng(0)
    overlaps = rng.uniform(0.01, 0.3, (40, 12))
    found = tg.match(overlaps)
    assert sorted(found[found >= 0]) == list(range(12))


def random_pairs(count):
    rng = np.random.default_rng(count)
    centre = rng.uniform(0.2, 0.8, (2, count, 2))
    size = rng.uniform(0.05, 0.4, (2, count, 2))
    return centre_to_corner(np.concatenate([centre, size], axis=-1))


def test_encode_by_hand():
    # Centre moves by (.1, -.05), the anchor is .4 wide and .2 high.
    anchor = np.array([[0.3, 0.4, 0.7, 0.6]])
    box = centre_to_corner(np.array([[0.6, 0.45, 0.2, 0.4]]))
    expected = [0.1 / 0.4 / 0.1, -0.05 / 0.2 / 0.1,
                np.log(0.5) / 0.2, np.log(2) / 0.2]
    np.testing.assert_allclose(tg.encode(box, anchor), [expected])


def test_decode_undoes_encode_with_any_variances():
    boxes, anchors = random_pairs(50)
    for variances in (tg.VARIANCES, (0.1, 0.3, 0.5, 0.7), (1, 1, 1, 1)):
        offsets = tg.encode(boxes, anchors, variances)
        np.testing.assert_allclose(tg.decode(offsets, anchors, variances),
                                   boxes, atol=1e-9)


def test_no_offset_is_the_anchor_itself():
    anchors = random_pairs(5)[0]
    np.testing.assert_allclose(tg.decode(np.zeros((5, 4)), anchors), anchors)


ANCHORS = np.array([[0, 0, .5, .5], [.5, 0, 1, .5], [0, .5, .5, 1],
                    [.5, .5, 1, 1], [0, 0, 1, 1]], np.float32)


def test_label_anchors_by_hand():
    boxes = np.array([[0, 0, .5, .45], [.1, .1, .95, 1]], np.float32)
    found = tg.label_anchors(ANCHORS, boxes, np.array([2, 0]))
    assert found.classes.tolist() == [3, 0, 0, 0, 1]
    assert found.positive.tolist() == [True, False, False, False, True]
    assert found.classes.dtype == np.int32
    assert found.offsets.dtype == np.float32
    assert (found.offsets[1:4] == 0).all()
    np.testing.assert_allclose(
        found.offsets[[0, 4]], tg.encode(boxes, ANCHORS[[0, 4]]), rtol=1e-5)


@pytest.mark.parametrize("boxes, labels", [
    (np.zeros((0, 4)), np.zeros(0, int)),
    ([], []),
    (np.zeros((3, 4)), [-1, -1, -1]),
])
def test_an_image_without_objects_is_all_background(boxes, labels):
    found = tg.label_anchors(ANCHORS, boxes, labels)
    assert found.classes.tolist() == [0] * 5
    assert not found.positive.any() and not found.offsets.any()


def test_padding_counts_for_nothing_wherever_it_stands():
    boxes = np.array([[.5, 0, 1, .4], [0, 0, 1, .9]], np.float32)
    plain = tg.label_anchors(ANCHORS, boxes, np.array([1, 4]))
    pad = ANCHORS[2:3]           # padding may hold any box, even an anchor's
    for rows, labels in (((boxes, pad, pad), [1, 4, -1, -1]),
                         ((pad, boxes), [-1, 1, 4]),
                         ((boxes[:1], pad, boxes[1:]), [1, -1, 4])):
        found = tg.label_anchors(ANCHORS, np.concatenate(rows),
                                 np.array(labels))
        for ours, theirs in zip(found, plain):
            np.testing.assert_array_equal(ours, theirs)


def test_near_misses_can_be_ignored():
    boxes = np.array([[0, 0, 1, .8]], np.float32)
    overlaps = iou(ANCHORS, boxes)[:, 0]
    np.testing.assert_allclose(overlaps, [.3125, .3125, .15 / .9,
                                          .15 / .9, .8], rtol=1e-5)
    found = tg.label_anchors(ANCHORS, boxes, [0], ignore_above=0.3)
    assert found.classes.tolist() == [-1, -1, 0, 0, 1]
    assert found.positive.tolist() == [False] * 4 + [True]
    none = tg.label_anchors(ANCHORS, [], [], ignore_above=0.3)
    assert none.classes.tolist() == [0] * 5


def test_what_is_labelled_decodes_to_its_object():
    rng = np.random.default_rng(4)
    low = rng.uniform(0, 0.6, (6, 2))
    boxes = np.concatenate([low, low + rng.uniform(.1, .4, (6, 2))], 1)
    centre = rng.uniform(0, 1, (300, 2))
    size = rng.uniform(0.05, 0.5, (300, 2))
    anchors = centre_to_corner(np.concatenate([centre, size], 1))
    found = tg.label_anchors(anchors, boxes, np.arange(6))
    decoded = tg.decode(found.offsets, anchors)[found.positive]
    wanted = boxes[found.classes[found.positive] - 1]
    np.testing.assert_allclose(decoded, wanted, atol=1e-6)
    assert set(found.classes[found.positive]) == set(range(1, 7))


def test_mirrored_image_has_mirrored_targets():
    boxes = np.array([[.1, .2, .45, .6], [.6, .1, .9, .9]])
    mirrored = [1, 0, 3, 2, 4]                   # of ANCHORS
    ours = tg.label_anchors(ANCHORS, boxes, [0, 1])
    flipped = boxes.copy()
    flipped[:, [0, 2]] = 1 - boxes[:, [2, 0]]
    theirs = tg.label_anchors(ANCHORS, flipped, [0, 1])
    assert ours.classes[mirrored].tolist() == theirs.classes.tolist()
    np.testing.assert_allclose(
        ours.offsets[mirrored], theirs.offsets * [-1, 1, 1, 1], atol=1e-5)
    assert corner_to_centre(boxes).shape == (2, 4)
