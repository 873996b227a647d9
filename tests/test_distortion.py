"""transforms.colours: SSD's changes of colour, their ranges and chances."""

import colorsys

import cv2
import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import transforms
from dsod_d2l.datasets import make_sample
from dsod_d2l.transforms import colours

H, W = 40, 60


def coloured():
    image = np.random.default_rng(3).integers(0, 256, (H, W, 3),
                                              dtype=np.uint8)
    image.flags.writeable = False
    return image


@pytest.mark.parametrize("amount", [-32, -7.5, 0, 0.4, 31.7])
def test_brightness_equals_opencv(amount):
    theirs = cv2.addWeighted(coloured(), 1, coloured(), 0, amount)
    np.testing.assert_array_equal(
        transforms.change_brightness(coloured(), amount), theirs)


@pytest.mark.parametrize("factor", [0.5, 0.83, 1, 1.5])
def test_contrast_equals_opencv(factor):
    theirs = cv2.convertScaleAbs(coloured(), alpha=factor)
    np.testing.assert_array_equal(
        transforms.change_contrast(coloured(), factor), theirs)


def test_contrast_and_brightness_do_not_commute():
    image = np.full((2, 3, 3), 200, np.uint8)
    first = transforms.change_contrast(
        transforms.change_brightness(image, 20), 0.5)
    last = transforms.change_brightness(
        transforms.change_contrast(image, 0.5), 20)
    assert first[0, 0, 0] == 110 and last[0, 0, 0] == 120


def turned(rgb, saturation, hue):
    """Change one colour with the standard library, in full precision."""
    h, s, v = colorsys.rgb_to_hsv(*np.array(rgb) / 255)
    return 255 * np.array(colorsys.hsv_to_rgb(
        (h + hue / 180) % 1, min(s * saturation, 1), v))


@pytest.mark.parametrize("saturation, hue", [
    (1, 18), (1, -18), (0.5, 0), (1.5, 0), (1.2, -7), (1, 100)])
def test_hsv_equals_the_standard_library(saturation, hue):
    image = coloured()
    found = transforms.change_hsv(image, saturation, hue)
    expected = np.array([[turned(pixel, saturation, hue) for pixel in row]
                         for row in image])
    # A hue in steps of two degrees is wrong by a degree: 255 / 60 a degree.
    apart = np.abs(found - expected)
    assert apart.max() <= 8 and apart.mean() < 1.6


def test_hues_go_round_the_circle():
    red = np.full((2, 3, 3), (200, 20, 20), np.uint8)
    down = transforms.change_hsv(red, hue=-18)
    assert down[0, 0].tolist() == pytest.approx(turned((200, 20, 20), 1, -18),
                                                abs=4)
    np.testing.assert_array_equal(down, transforms.change_hsv(red, hue=162))
    np.testing.assert_array_equal(transforms.change_hsv(red, hue=180), red)


def test_shuffled_channels():
    found = transforms.shuffle_channels(coloured(), (2, 0, 1))
    np.testing.assert_array_equal(found[..., 0], coloured()[..., 2])
    np.testing.assert_array_equal(found[..., 1], coloured()[..., 0])
    assert found.flags.c_contiguous


@pytest.fixture
def record(monkeypatch):
    """Return a list of (what was changed, by how much), in order."""
    calls = []

    def keep(name):
        def change(image, *values):
            calls.append((name, *values))
            return image
        return change

    for name in ("brightness", "contrast", "hsv"):
        monkeypatch.setattr(colours, f"change_{name}", keep(name))
    monkeypatch.setattr(colours, "shuffle_channels", keep("shuffle"))
    return calls


def draws(record, times=3000, **options):
    """Return the calls of each of many distortions."""
    sample = make_sample(coloured(), [], [])
    rng, found = np.random.default_rng(0), []
    for _ in range(times):
        record.clear()
        transforms.distort(sample, rng, **options)
        found.append(list(record))
    return found


def test_ranges_and_chances_are_the_authors(record):
    found = draws(record)
    values = {name: np.array([[call[1:] for call in calls if call[0] == name
                               ][0] for calls in found])
              for name in ("brightness", "contrast", "hsv")}
    drawn = {"brightness": (values["brightness"][:, 0], 0, -32, 32),
             "contrast": (values["contrast"][:, 0], 1, .5, 1.5),
             "saturation": (values["hsv"][:, 0], 1, .5, 1.5),
             "hue": (values["hsv"][:, 1], 0, -18, 18)}
    for name, (value, idle, low, high) in drawn.items():
        moved = value[value != idle]
        assert 0.47 < len(moved) / len(value) < 0.53, name
        assert low <= moved.min() < low + (high - low) / 50, name
        assert high - (high - low) / 50 < moved.max() <= high, name
        quarter = ((moved - low) / (high - low) < 0.25).mean()
        assert 0.21 < quarter < 0.29, name          # even, not only in range
    both = (drawn["saturation"][0] != 1) & (drawn["hue"][0] != 0)
    assert 0.22 < both.mean() < 0.28                # one does not ask another


def test_contrast_comes_first_or_last_by_the_toss_of_a_coin(record):
    orders = [tuple(call[0] for call in calls) for calls in draws(record)]
    early, late = ("brightness", "contrast", "hsv"), ("brightness", "hsv",
                                                      "contrast")
    assert set(orders) == {early, late}
    assert 0.47 < orders.count(early) / len(orders) < 0.53


def test_channels_are_shuffled_only_if_asked(record):
    assert not any(call[0] == "shuffle" for calls in draws(record, 300)
                   for call in calls)
    some = draws(record, 2000, shuffle=0.25)
    orders = [tuple(calls[-1][1]) for calls in some
              if calls[-1][0] == "shuffle"]
    assert 0.22 < len(orders) / len(some) < 0.28 and len(set(orders)) == 6


def test_distort_leaves_boxes_and_its_input():
    sample = make_sample(coloured(), [[.1, .2, .3, .9]], [0])
    rng = np.random.default_rng(0)
    found = [transforms.distort(sample, rng) for _ in range(40)]
    assert all(one.boxes is sample.boxes for one in found)
    assert all(one.image.dtype == np.uint8 for one in found)
    assert len({one.image.tobytes() for one in found}) > 30
    still = transforms.distort(sample, rng, probability=0)
    np.testing.assert_array_equal(still.image, sample.image)
