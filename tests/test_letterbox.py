"""transforms.cropping, the letter-box: nothing is distorted, and boxes come back."""

import numpy as np
import pytest
from test_transforms import H, NONE, SEVERAL, W, check, painted

from dsod_d2l import boxes as box_tools
from dsod_d2l import transforms
from dsod_d2l.datasets import make_sample

TALL = painted((6, 10, 36, 30), (10, 50, 50, 90), shape=(100, 60))
SIZES = [300, (120, 90), (64, 200), (H, W), (31, 47)]


@pytest.mark.parametrize("shape, size, frame", [
    ((100, 200), 300, (0, 75, 300, 225)), ((200, 100), 300, (75, 0, 225, 300)),
    ((200, 320), 300, (0, 56, 300, 244)), ((60, 100), (60, 100),
                                           (0, 0, 100, 60)),
    ((3, 5000), 300, (0, 149, 300, 150))])
def test_the_frame_by_hand(shape, size, frame):
    assert tuple(transforms.letter_box_frame(shape, size)) == frame


@pytest.mark.parametrize("sample", [SEVERAL, TALL, NONE])
@pytest.mark.parametrize("size", SIZES)
def test_boxes_stay_on_their_objects(sample, size):
    found = transforms.letter_box(sample, size)
    shape = (size, size) if np.ndim(size) == 0 else size
    assert found.image.shape[:2] == shape
    assert len(found.boxes) == len(sample.boxes)
    check(found, pixels=1, least=128)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_distorted_and_the_rest_is_filled(size):
    found = transforms.letter_box(TALL, size)
    height, width = found.image.shape[:2]
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]) * [width, height]
    before = (TALL.boxes[:, 2:] - TALL.boxes[:, :2]) * [60, 100]
    scale = sides / before
    assert np.ptp(scale) < scale.mean() * 0.03      # whole pixels
    left, top, right, bottom = transforms.letter_box_frame((100, 60), size)
    outside = np.ones((height, width), bool)
    outside[top:bottom, left:right] = False
    assert (found.image[outside] == transforms.FILL).all()
    assert (left, top) == (0, 0) or min(left, top) == 0
    assert abs(left - (width - right)) <= 1 and abs(top - (height - bottom)
                                                    ) <= 1


@pytest.mark.parametrize("sample", [SEVERAL, TALL, NONE])
@pytest.mark.parametrize("size", SIZES)
def test_there_and_back(sample, size):
    found = transforms.letter_box(sample, size)
    back = transforms.undo_letter_box(found.boxes, sample.image.shape, size)
    np.testing.assert_allclose(back, sample.boxes, atol=1e-5)
    assert back.dtype == np.float32 and back.shape == sample.boxes.shape


def test_boxes_in_the_filling_are_cut_away():
    back = transforms.undo_letter_box([[0, 0, 1, .2], [0, 0, .5, .5]],
                                      (100, 200), 300)
    assert box_tools.area(back)[0] == 0
    np.testing.assert_allclose(back[1], [0, 0, .5, .5], atol=1e-6)


def test_a_speck_is_never_turned_into_nothing():
    sample = make_sample(np.zeros((H, W, 3), np.uint8),
                         [[.5, .5, .50000006, .6]], [0])
    found = transforms.letter_box(sample, (300, 100))
    box_tools.check_boxes(found.boxes, found.labels, 1, "it")
