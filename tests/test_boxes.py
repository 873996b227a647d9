"""Boxes: hand-made values first, then what must hold of any boxes."""

import doctest

import numpy as np
import pytest

from dsod_d2l import boxes as bx

WHOLE = [0.0, 0.0, 1.0, 1.0]


def random_boxes(rng, count):
    """Return boxes inside the image, wider and narrower than high."""
    low = rng.uniform(0, 0.7, (count, 2))
    return np.concatenate([low, low + rng.uniform(0.02, 0.3, (count, 2))], 1)


def slow_iou(first, second):
    """IoU of two boxes, in words."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = width * height if width > 0 and height > 0 else 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1])
             for box in (first, second)]
    return shared / (sum(areas) - shared)


def test_examples():
    assert doctest.testmod(bx).attempted > 8
    assert doctest.testmod(bx).failed == 0


@pytest.mark.parametrize("first, second, expected", [
    (WHOLE, WHOLE, 1.0),
    (WHOLE, [0, 0, 0.5, 1], 0.5),                        # nested
    ([0, 0, 0.5, 1], [0.5, 0, 1, 1], 0.0),               # touching side
    ([0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], 0.0),           # touching corner
    ([0, 0, 0.2, 0.2], [0.8, 0.8, 1, 1], 0.0),           # apart on both axes
    ([0, 0, 0.2, 1], [0.8, 0, 1, 1], 0.0),               # apart on one axis
    ([0, 0, 0.5, 1], [0, 0, 1, 0.25], 1 / 5),            # a cross
    ([0, 0, 1, 0.5], [0, 0.25, 1, 0.75], 1 / 3),
    ([0.3, 0.3, 0.3, 0.3], [0.3, 0.3, 0.3, 0.3], 0.0),   # no area at all
])
def test_iou_by_hand(first, second, expected):
    table = bx.iou(np.array([first], float), np.array([second], float))
    assert table.shape == (1, 1)
    assert table[0, 0] == pytest.approx(expected, abs=1e-12)


def test_iou_is_that_of_every_pair():
    rng = np.random.default_rng(0)
    first, second = random_boxes(rng, 37), random_boxes(rng, 5)
    expected = [[slow_iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(bx.iou(first, second), expected, atol=1e-12)
    np.testing.assert_array_equal(bx.iou(first, second),
                                  bx.iou(second, first).T)


def test_iou_keeps_float32_and_takes_empty_sets():
    some = random_boxes(np.random.default_rng(1), 4).astype(np.float32)
    assert bx.iou(some, some).dtype == np.float32
    assert bx.iou(some, some[:0]).shape == (4, 0)
    assert bx.iou(some[:0], some).shape == (0, 4)


def test_iou_does_not_care_for_the_aspect_of_the_image():
    rng = np.random.default_rng(2)
    first, second = random_boxes(rng, 9), random_boxes(rng, 4)
    pixels = np.array([640, 200, 640, 200])
    np.testing.assert_allclose(bx.iou(first * pixels, second * pixels),
                               bx.iou(first, second), rtol=1e-9)


def test_the_two_forms_by_hand():
    corner = np.array([[0.1, 0.2, 0.5, 0.3], [0.0, 0.0, 1.0, 0.5]])
    centre = np.array([[0.3, 0.25, 0.4, 0.1], [0.5, 0.25, 1.0, 0.5]])
    np.testing.assert_allclose(bx.corner_to_centre(corner), centre)
    np.testing.assert_allclose(bx.centre_to_corner(centre), corner,
                               atol=1e-15)


def test_the_two_forms_are_inverse_for_any_leading_axes():
    boxes = random_boxes(np.random.default_rng(3), 12).reshape(3, 4, 4)
    there = bx.corner_to_centre(boxes)
    assert there.shape == boxes.shape
    np.testing.assert_allclose(bx.centre_to_corner(there), boxes)


def test_area_counts_a_box_turned_inside_out_as_nothing():
    boxes = np.array([[0, 0, 0.5, 0.25], [0.5, 0.5, 0.25, 0.25],
                      [0.1, 0.1, 0.1, 0.9]])
    assert bx.area(boxes).tolist() == [0.125, 0, 0]


def test_clip_cuts_to_the_image_and_leaves_its_argument():
    boxes = np.array([[-0.5, 0.25, 0.5, 1.75], [0.1, 0.2, 0.3, 0.4]])
    before = boxes.copy()
    assert bx.clip(boxes).tolist() == [[0, 0.25, 0.5, 1],
                                       [0.1, 0.2, 0.3, 0.4]]
    np.testing.assert_array_equal(boxes, before)


def test_mirror_by_hand_and_twice():
    boxes = np.array([[0.0, 0.1, 0.25, 0.9], [0.5, 0.0, 1.0, 0.2]])
    assert bx.mirror_boxes(boxes).tolist() == [[0.75, 0.1, 1, 0.9],
                                         [0, 0, 0.5, 0.2]]
    np.testing.assert_array_equal(bx.mirror_boxes(bx.mirror_boxes(boxes)), boxes)


@pytest.mark.parametrize("box, words", [
    ([0.7, 0.1, 0.2, 0.5], "xmin 0.7 is not below xmax 0.2"),
    ([0.2, 0.1, 0.2, 0.5], "xmin 0.2 is not below xmax 0.2"),
    ([0.1, 0.6, 0.2, 0.5], "ymin 0.6 is not below ymax 0.5"),
    ([-0.1, 0.1, 0.2, 0.5], "leaves the image"),
    ([0.1, 0.1, 0.2, 1.1], "leaves the image"),
    ([0.1, np.nan, 0.2, 0.5], "not finite"),
    ([0.1, 0.1, np.inf, 0.5], "not finite"),
])
def test_fault_names_what_is_wrong(box, words):
    assert words in bx.fault(box)


def test_fault_takes_a_millionth_for_rounding():
    assert bx.fault(WHOLE) is None
    assert bx.fault([-5e-7, 0, 1 + 5e-7, 1]) is None
    assert bx.fault([-2e-6, 0, 1, 1]) is not None


@pytest.mark.parametrize("boxes, labels, words", [
    (np.zeros((2, 5)), [0, 0], r"shape \(M, 4\), found \(2, 5\)"),
    (np.array([WHOLE]), [0, 1], "found 2 labels for 1 boxes"),
    (np.array([WHOLE, [0.5, 0, 0.4, 1]]), [0, 1], "a.rec, box 1: xmin 0.5"),
    (np.array([WHOLE, WHOLE]), [0, 3],
     "box 1: label 3 is out of range, expected 0 to 2"),
    (np.array([WHOLE]), [-1], "box 0: label -1 is out of range"),
])
def test_check_boxes_names_file_and_row(boxes, labels, words):
    with pytest.raises(ValueError, match=words):
        bx.check_boxes(boxes, np.array(labels), 3, "a.rec")


def test_check_boxes_is_content_with_good_ones_and_with_none():
    bx.check_boxes(np.array([WHOLE, WHOLE]), np.array([0, 2]), 3, "a.rec")
    bx.check_boxes(np.zeros((0, 4)), np.zeros(0, int), 3, "a.rec")


def test_iou_takes_whole_numbers():
    assert bx.iou([[0, 0, 4, 4]], [[2, 0, 6, 4]]).tolist() == [[8 / 24]]
