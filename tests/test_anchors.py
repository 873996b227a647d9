"""Anchors: by hand, then where the maps of real networks put them."""

import doctest

import numpy as np
import pytest

from dsod_d2l import anchors as an
from dsod_d2l import config
from dsod_d2l.boxes import corner_to_centre
from dsod_d2l.config import AnchorSpec


def test_examples():
    assert doctest.testmod(an).failed == 0


def test_shapes_are_all_sizes_with_the_first_ratio_then_the_other_ratios():
    spec = AnchorSpec(sizes=(0.4, 0.2), ratios=(1, 4, 0.25))
    assert an.cell_shapes(spec).tolist() == [[0.4, 0.4], [0.2, 0.2],
                                             [0.8, 0.2], [0.2, 0.8]]


def test_the_first_ratio_holds_for_every_size():
    spec = AnchorSpec(sizes=(0.4, 0.2), ratios=(4,))
    assert an.cell_shapes(spec).tolist() == [[0.8, 0.2], [0.4, 0.1]]


def test_order_is_row_then_column_then_shape():
    spec = AnchorSpec(sizes=(0.2, 0.1), ratios=(1,))
    found = corner_to_centre(an.map_anchors((2, 3), spec))
    assert found.shape == (12, 4) and found.dtype == np.float32
    np.testing.assert_allclose(found[::2, 0], [1 / 6, 3 / 6, 5 / 6] * 2,
                               rtol=1e-6)
    np.testing.assert_allclose(found[::2, 1], [0.25] * 3 + [0.75] * 3)
    np.testing.assert_allclose(found[::2, :2], found[1::2, :2])
    np.testing.assert_allclose(found[:2, 3], [0.2, 0.1], rtol=1e-6)


def test_ratio_one_is_a_square_of_the_image():
    spec = AnchorSpec(sizes=(0.5,), ratios=(1,))
    height, width = 200, 600
    found = corner_to_centre(an.map_anchors((7, 19), spec, (height, width)))
    np.testing.assert_allclose(found[:, 2] * width, 100, rtol=1e-5)
    np.testing.assert_allclose(found[:, 3] * height, 100, rtol=1e-5)


def test_step_is_a_fraction_of_the_height_on_both_axes():
    spec = AnchorSpec(sizes=(0.1,), ratios=(1,), step=0.25)
    found = corner_to_centre(an.map_anchors((2, 3), spec, (100, 200)))
    pixels = found[:, :2] * [200, 100]
    np.testing.assert_allclose(pixels, [[12.5, 12.5], [37.5, 12.5],
                                        [62.5, 12.5], [12.5, 37.5],
                                        [37.5, 37.5], [62.5, 37.5]],
                               rtol=1e-5)


@pytest.mark.parametrize("map_shape, image_shape", [
    ((0, 3), None), ((2, 3), (0, 5)), ((2, -1), (10, 10))])
def test_empty_maps_are_refused(map_shape, image_shape):
    with pytest.raises(ValueError, match="at least one row and one column"):
        an.map_anchors(map_shape, AnchorSpec(sizes=(0.1,)), image_shape)


def test_maps_and_rows_must_be_as_many():
    with pytest.raises(ValueError, match="2 feature maps need as many"):
        an.all_anchors([(2, 2), (1, 1)], [AnchorSpec(sizes=(0.1,))], (9, 9))


def test_all_anchors_puts_the_finest_map_first():
    rows = [AnchorSpec(sizes=(0.1,)), AnchorSpec(sizes=(0.5,))]
    found = an.all_anchors([(2, 3), (1, 2)], rows, (100, 150))
    np.testing.assert_array_equal(
        found[:18], an.map_anchors((2, 3), rows[0], (100, 150)))
    np.testing.assert_array_equal(
        found[18:], an.map_anchors((1, 2), rows[1], (100, 150)))


@pytest.mark.parametrize("name", list(config.PRESETS))
@pytest.mark.parametrize("size", [None, (272, 400)])
def test_as_many_anchors_as_the_configuration_says(name, size):
    preset = config.get(name, **({"input_size": size} if size else {}))
    assert an.anchors_for(preset).shape == (preset.anchor_count, 4)


def test_the_authors_steps_put_anchors_off_the_image():
    found = corner_to_centre(an.anchors_for(config.get("dsod300")))
    outside = (found[:, :2] > 1).any(axis=1)
    last = np.arange(8744) >= 8744 - 16
    assert (outside & last).sum() == 12          # of the 2 x 2 map
    assert outside.sum() == 126                  # and 114 of the 10 x 10 map
    np.testing.assert_allclose(found[last][::4, :2] * 300,
                               [[150, 150], [450, 150], [150, 450],
                                [450, 450]], rtol=1e-6)


def test_dsod300_has_the_published_sizes_in_pixels():
    found = corner_to_centre(an.anchors_for(config.get("dsod300"))) * 300
    firsts = [0, 5776, 7942, 8542, 8692, 8728]
    np.testing.assert_allclose(found[firsts, 2], [30, 60, 111, 162, 213, 264],
                               rtol=1e-5)
    seconds = np.sqrt(np.array([30 * 60, 60 * 111, 111 * 162, 162 * 213,
                                213 * 264, 264 * 315]))
    np.testing.assert_allclose(found[np.array(firsts) + 1, 3], seconds,
                               rtol=1e-5)
    # The wide one of ratio 3 comes fifth, as in Caffe's PriorBox.
    np.testing.assert_allclose(found[5776 + 4, 2:],
                               [60 * 3 ** .5, 60 / 3 ** .5], rtol=1e-5)
