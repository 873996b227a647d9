"""transforms.cropping: expansion and patches, and the pipeline that they make up."""

import numpy as np
import pytest
from test_transforms import H, NONE, ONE, SEVERAL, W, check, painted

from dsod_d2l import boxes as box_tools
from dsod_d2l import transforms
from dsod_d2l.datasets import make_sample
from dsod_d2l.transforms import cropping, pipelines

BOXES = SEVERAL.boxes
TOUCHING = painted((10, 10, 50, 50), (50, 10, 90, 50), (20, 20, 40, 40))


def generator(seed=0):
    return np.random.default_rng(seed)


# ---- expansion -----------------------------------------------------------

def test_expansion_has_the_ratios_and_places_asked_for():
    windows = np.array([transforms.draw_expansion((H, W), generator(k))
                        for k in range(3000)])
    sides = windows[:, 2:] - windows[:, :2]
    ratio = sides / [W, H]
    assert (np.abs(ratio[:, 0] - ratio[:, 1]) < 0.03).all()    # whole pixels
    assert 0.98 <= ratio.min() < 1.05 and 3.95 < ratio.max() <= 4
    assert abs(ratio.mean() - 2.5) < 0.05
    assert (windows[:, :2] <= 0).all() and (windows[:, 2:] >= [W, H]).all()
    place = -windows[:, :2] / np.maximum(sides - [W, H], 1)
    assert (np.abs(place[ratio[:, 0] > 1.5].mean(axis=0) - 0.5) < 0.02).all()
    assert place.max() <= 1


def test_expand_by_hand():
    found = transforms.expand(SEVERAL, generator(1), (2., 2.))
    assert found.image.shape == (2 * H, 2 * W, 3) and len(found.boxes) == 3
    np.testing.assert_allclose(box_tools.area(found.boxes),
                               box_tools.area(BOXES) / 4, rtol=1e-4)
    check(found)
    filled = (found.image == transforms.FILL).all(axis=-1)
    assert filled.sum() == 3 * H * W


def test_expand_happens_as_often_as_asked():
    rng = generator()
    larger = sum(transforms.expand(ONE, rng, probability=0.3).image.shape
                 != (H, W, 3) for _ in range(500))
    assert 120 < larger < 180


@pytest.mark.parametrize("ratio", [(0.5, 2), (3, 2), (1, np.inf)])
def test_expansion_refuses_to_shrink(ratio):
    with pytest.raises(ValueError, match="ratio must be two numbers from 1"):
        transforms.draw_expansion((H, W), generator(), ratio)


# ---- patches -------------------------------------------------------------

def test_patches_have_the_sides_asked_for():
    found = transforms.draw_patches(generator(), 20000)
    sides = found[:, 2:] - found[:, :2]
    assert (found >= 0).all() and (found <= 1 + 1e-12).all()
    side, aspect = np.sqrt(sides.prod(axis=1)), sides[:, 0] / sides[:, 1]
    assert .3 <= side.min() < .301 and .999 < side.max() <= 1
    assert abs(side.mean() - .65) < .005                        # even
    assert .5 <= aspect.min() < .501 and 1.999 < aspect.max() <= 2
    small = side < .7              # 0.7 * 2**.5 < 1: nothing is held back
    assert abs(aspect[small].mean() - 1.25) < .01
    held = (aspect > side**2 * (1 + 1e-9)) & (aspect < side**-2 * (1 - 1e-9))
    assert held[small].all() and not held[side > .9].all()
    assert (sides[~held].max(axis=1) > 1 - 1e-9).all()
    spare = 1 - sides[small]
    assert np.abs((found[small, :2] / spare).mean(axis=0) - .5).max() < .01


def one_by_one(boxes, tried, least, rule):
    """Tell by loops whether a patch is accepted."""
    found = []
    for box in boxes:
        shared = 1.0
        for low, high in ((0, 2), (1, 3)):
            shared *= max(0, min(tried[high], box[high])
                          - max(tried[low], box[low]))
        total = sum((one[2] - one[0]) * (one[3] - one[1])
                    for one in (tried, box)) - shared
        found.append(shared / total >= least)
    return any(found) if rule == "any" else all(found)


@pytest.mark.parametrize("rule", ["any", "all"])
@pytest.mark.parametrize("boxes", [BOXES, TOUCHING.boxes, BOXES[:1],
                                   BOXES[:0]])
def test_collecting_equals_trying_one_after_the_other(boxes, rule):
    sizes = set()
    for seed in range(60):
        found = transforms.collect_patches(boxes, generator(seed), rule, 20)
        drawn = transforms.draw_patches(generator(seed), 6 * 20)
        expected = [cropping.WHOLE]
        for sampler, least in enumerate(cropping.LEAST):
            for trial in range(20):
                tried = drawn[sampler * 20 + trial]
                if one_by_one(boxes, tried, least, rule):
                    expected.append(tried)
                    break
        np.testing.assert_allclose(found, expected)
        sizes.add(len(found))
    if not len(boxes):     # nothing meets "any", and everything meets "all"
        assert sizes == ({1} if rule == "any" else {7})


def test_patches_are_truly_rejected():
    tiny = [[.4, .4, .42, .41]]
    for seed in range(30):
        found = transforms.collect_patches(tiny, generator(seed))
        assert len(found) == 2      # an IoU of 0.1 is out of reach: free only
    big = np.array([[0.05, 0.05, 0.95, 0.95]])
    for seed in range(30):
        found = transforms.collect_patches(big, generator(seed))
        best = box_tools.iou(found, big)[1:, 0]
        assert (np.sort(best) >= np.sort((0,) + cropping.LEAST[:len(best) - 1]
                                         )[:len(best)] - 1e-9).all()


def test_any_asks_less_than_all():
    two = np.array([[.1, .1, .4, .4], [.6, .6, .9, .9]])
    tried = transforms.draw_patches(generator(), 5000)
    any_, all_ = (transforms.meets(tried, two, .1, rule)
                  for rule in ("any", "all"))
    assert not (all_ & ~any_).any() and all_.sum() < any_.sum() / 3
    np.testing.assert_array_equal(
        any_, (box_tools.iou(tried, two) >= .1).any(axis=1))


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule must be any or all, found 'x'"):
        transforms.random_patch(ONE, generator(), rule="x")


def test_one_of_the_collected_patches_is_taken_evenly(monkeypatch):
    four = np.arange(16.).reshape(4, 4)
    monkeypatch.setattr(cropping, "collect_patches", lambda *_, **__: four)
    rng = generator()
    taken = [int(transforms.draw_patch(BOXES, rng)[0]) // 4
             for _ in range(2000)]
    counts = np.bincount(taken)
    assert len(counts) == 4 and counts.min() > 430 and counts.max() < 570


@pytest.mark.parametrize("patch, window", [
    ((0, 0, 1, 1), (0, 0, W, H)), ((.104, .3, .206, .5), (10, 18, 21, 30)),
    ((.999, .999, 1, 1), (99, 59, 100, 60)), ((.5, .5, .501, .501),
                                              (50, 30, 51, 31))])
def test_windows_of_patches(patch, window):
    found = transforms.patch_window(np.array(patch), (H, W))
    assert tuple(found) == window


@pytest.mark.parametrize("sample", [SEVERAL, TOUCHING, ONE, NONE])
@pytest.mark.parametrize("rule", ["any", "all"])
def test_random_patches_keep_boxes_on_their_objects(sample, rule):
    rng, counts = generator(), set()
    for _ in range(150):
        found = transforms.random_patch(sample, rng, rule=rule)
        check(found)
        counts.add(len(found.boxes))
    assert max(counts) == len(sample.boxes)


# ---- the pipeline ----------------------------------------------------------

@pytest.fixture
def plain_colours(monkeypatch):
    monkeypatch.setattr(pipelines, "distort", lambda sample, rng: sample)


APART = painted((10, 6, 34, 36), (50, 12, 80, 38), (16, 44, 60, 58))


@pytest.mark.parametrize("size", [(120, 200), 90, (300, 150)])
def test_ssd_keeps_boxes_on_their_objects(plain_colours, size):
    rng, seen = generator(), set()
    for _ in range(250):
        found = transforms.ssd(APART, size, rng)
        seen.add(tuple(found.labels))
        height, width = found.image.shape[:2]
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]) * [width, height]
        if len(sides) and sides.min() < 2:
            continue               # too thin to be measured by its pixels
        check(found, pixels=1.01)
    assert {(0, 1, 2), (0,), (1,), (2,), ()} <= seen


def test_without_stretching_the_steps_and_the_window_give_the_same_bytes():
    for seed in range(60):
        rng, same = generator(seed), generator(seed)
        canvas = transforms.expand(APART, rng, probability=0.5)
        steps = transforms.random_patch(canvas, rng)
        window = transforms.ssd_window(APART, same)
        if (window[2:] > 0).all() and (window[:2] < [W, H]).all():
            once = transforms.crop(APART, window)
            np.testing.assert_array_equal(once.image, steps.image)
            np.testing.assert_array_equal(once.labels, steps.labels)
            np.testing.assert_allclose(once.boxes, steps.boxes, atol=1e-6)


def test_ssd_equals_its_steps_one_after_the_other():
    smooth = np.linspace(0, 200, H * W * 3).reshape(H, W, 3).astype(np.uint8)
    sample = make_sample(smooth, APART.boxes, APART.labels)
    for seed in range(80):
        rng, same = generator(seed), generator(seed)
        canvas = transforms.expand(sample, rng, probability=0.5)
        steps = transforms.random_patch(canvas, rng, (150, 130), "linear")
        window = transforms.ssd_window(sample, same)
        if (window[2:] <= 0).any() or (window[:2] >= [W, H]).any():
            assert (steps.image == transforms.FILL).all()
            assert not len(steps.boxes)
            continue
        once = transforms.crop(sample, window, (150, 130), "linear")
        np.testing.assert_array_equal(once.labels, steps.labels)
        np.testing.assert_allclose(once.boxes, steps.boxes, atol=1 / 130)
        apart = np.abs(once.image.astype(int) - steps.image)
        assert apart.mean() < 4                    # the edge of the filling


def test_ssd_draws_every_interpolation_and_mirrors_every_other_time(
        monkeypatch, plain_colours):
    used, rng = [], generator()
    crop = cropping.crop
    monkeypatch.setattr(pipelines, "crop", lambda s, w, size, how: (
        used.append(str(how)), crop(s, w, size, how))[1])
    left = [transforms.ssd(ONE, (96, 160), rng) for _ in range(1000)]
    counts = {name: used.count(name) / len(used) for name in set(used)}
    assert set(counts) == set(transforms.INTERPOLATIONS)
    assert 0.16 < min(counts.values()) and max(counts.values()) < 0.24
    # The object is on the right: unmirrored views lean to the right.
    assert len(used) <= len(left)


def test_ssd_mirrors_expands_and_passes_on_what_is_whole(monkeypatch,
                                                         plain_colours):
    monkeypatch.setattr(pipelines, "draw_patch",
                        lambda boxes, rng, rule: np.array([0., 0, 1, 1]))
    rng, found = generator(), []
    for _ in range(1000):
        one = transforms.ssd(ONE, (H, W), rng)
        found.append((one.boxes[0] * [W, H, W, H]).round(1).tolist())
    whole = [found.count(box) for box in ([70, 30, 90, 54],
                                          [10, 30, 30, 54])]
    assert 430 < sum(whole) < 570 and min(whole) > 200


def test_ssd_may_see_nothing_but_the_filling(plain_colours):
    rng = generator()
    blank = [one for one in (transforms.ssd(APART, (48, 64), rng)
                             for _ in range(1500))
             if (one.image == transforms.FILL).all()]
    assert 0 < len(blank) < 100
    assert all(one.boxes.shape == (0, 4) and one.image.dtype == np.uint8
               and one.labels.dtype == np.int64 for one in blank)


def test_ssd_on_a_picture_without_objects():
    rng = generator()
    for _ in range(50):
        found = transforms.ssd(NONE, (48, 64), rng)
        assert found.image.shape == (48, 64, 3)
        assert found.boxes.shape == (0, 4)


def test_the_same_generator_gives_the_same_view():
    first, same, other = (transforms.ssd(SEVERAL, 64, generator(k))
                          for k in (5, 5, 6))
    np.testing.assert_array_equal(first.image, same.image)
    np.testing.assert_array_equal(first.boxes, same.boxes)
    assert (first.image != other.image).any()
