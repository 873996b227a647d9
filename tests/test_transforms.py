"""transforms: boxes follow the pixels, no image loses its last object.

The pipeline of SSD is tested in test_distortion, test_patches and
test_letterbox.
"""

import cv2
import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import boxes as box_tools
from dsod_d2l import transforms
from dsod_d2l.datasets import make_sample

H, W = 60, 100


def generator(seed=0):
    return np.random.default_rng(seed)


def painted(*boxes, shape=(H, W)):
    """A black image; object k is a rectangle of value 255 in channel k."""
    image = np.zeros((*shape, 3), np.uint8)
    for k, (x0, y0, x1, y1) in enumerate(boxes):
        image[y0:y1, x0:x1, k] = 255
    scale = np.array([shape[1], shape[0]] * 2)
    sample = make_sample(image, np.array(boxes).reshape(-1, 4) / scale,
                         range(len(boxes)), np.arange(len(boxes)) % 2)
    for array in sample[:4]:
        array.flags.writeable = False       # a transform that writes fails
    return sample


def extent(image, channel, least=128):
    """Return the box of the bright pixels of a channel, in fractions."""
    rows, cols = np.nonzero(image[..., channel] >= least)
    height, width = image.shape[:2]
    return np.array([cols.min() / width, rows.min() / height,
                     (cols.max() + 1) / width, (rows.max() + 1) / height])


def check(sample, pixels=0.0, least=128):
    """Boxes are valid, and lie where the pixels are, to so many pixels."""
    assert sample.image.dtype == np.uint8 and sample.image.flags.c_contiguous
    assert [a.dtype for a in sample[1:4]] == [np.float32, np.int64, bool]
    assert len(sample.boxes) == len(sample.labels) == len(sample.difficult)
    box_tools.check_boxes(sample.boxes, sample.labels, 3, "it")
    height, width = sample.image.shape[:2]
    for box, label in zip(sample.boxes, sample.labels):
        apart = np.abs(box - extent(sample.image, label, least))
        assert (apart * [width, height, width, height] <= pixels + 1e-4).all()


SEVERAL = painted((10, 6, 30, 36), (30, 12, 50, 18), (14, 10, 20, 20))
ONE, NONE = painted((70, 30, 90, 54)), painted()


def test_resize_equals_mxnet():
    mx = pytest.importorskip("mxnet")
    image = generator().integers(0, 256, (H, W, 3), dtype=np.uint8)
    found = transforms.resize(make_sample(image, [], []), (90, 70)).image
    theirs = mx.image.imresize(mx.nd.array(image, dtype="uint8"), 70, 90)
    assert np.abs(found.astype(int) - theirs.asnumpy()).max() <= 1


@pytest.mark.parametrize("size, shape", [((30, 50), (30, 50)), (64, (64, 64)),
                                         ((H, W), (H, W))])
def test_resize_keeps_boxes_on_their_objects(size, shape):
    found = transforms.resize(SEVERAL, size)
    assert found.image.shape[:2] == shape
    np.testing.assert_array_equal(found.boxes, SEVERAL.boxes)
    check(found, pixels=1)
    assert found.image is not SEVERAL.image


def test_resize_takes_the_mean_where_it_shrinks_to_a_half():
    stripes = np.zeros((H, W, 3), np.uint8)
    stripes[:, ::4] = 200
    sample = make_sample(stripes, [], [])
    assert (transforms.resize(sample, (15, 25)).image == 50).all()
    nearest = transforms.resize(sample, (15, 25), "nearest").image
    assert set(np.unique(nearest)) <= {0, 200}


@pytest.mark.parametrize("size", [0, (0, 10), (10, -1)])
def test_resize_refuses_no_size(size):
    with pytest.raises(ValueError, match="size must be at least 1 pixel"):
        transforms.resize(ONE, size)


def test_resize_refuses_unknown_interpolations():
    with pytest.raises(ValueError, match="interpolation must be one of nearest"
                                         ".*found 'best'"):
        transforms.resize(ONE, 10, "best")


def test_mirror():
    found = transforms.mirror(SEVERAL)
    np.testing.assert_array_equal(found.image, SEVERAL.image[:, ::-1])
    np.testing.assert_allclose(found.boxes[0], [.7, .1, .9, .6], atol=1e-6)
    check(found)
    twice = transforms.mirror(found)
    np.testing.assert_array_equal(twice.image, SEVERAL.image)
    np.testing.assert_allclose(twice.boxes, SEVERAL.boxes, atol=1e-6)
    assert transforms.mirror(NONE).boxes.shape == (0, 4)


def test_crop_by_hand():
    found = transforms.crop(SEVERAL, (15, 3, 65, 33))
    np.testing.assert_array_equal(found.image, SEVERAL.image[3:33, 15:65])
    # In pixels: (0, 3, 15, 30), (15, 9, 35, 15), (0, 7, 5, 17).
    np.testing.assert_allclose(
        found.boxes * [50, 30, 50, 30],
        [[0, 3, 15, 30], [15, 9, 35, 15], [0, 7, 5, 17]], atol=1e-5)
    assert found.difficult.tolist() == [False, True, False]
    check(found)


def test_crop_drops_objects_whose_centre_is_outside():
    found = transforms.crop(SEVERAL, (25, 3, 65, 33))
    assert found.labels.tolist() == [1] and found.difficult.tolist() == [True]
    check(found)


def test_crop_outside_the_image_is_filled():
    found = transforms.crop(ONE, (-10, -20, 150, 70))
    assert found.image.shape == (90, 160, 3)
    np.testing.assert_array_equal(found.image[20:80, 10:110], ONE.image)
    outside = np.ones((90, 160), bool)
    outside[20:80, 10:110] = False
    assert (found.image[outside] == transforms.FILL).all()
    np.testing.assert_allclose(found.boxes * [160, 90, 160, 90],
                               [[80, 50, 100, 74]], atol=1e-4)


def test_crop_and_stretch_are_one_step():
    window = (12, 4, 71, 59)
    found = transforms.crop(SEVERAL, window, (48, 80))
    apart = transforms.resize(transforms.crop(SEVERAL, window), (48, 80))
    np.testing.assert_array_equal(found.image, apart.image)
    np.testing.assert_array_equal(found.boxes, apart.boxes)


def test_crop_refuses_a_window_without_area():
    with pytest.raises(ValueError, match="window must have x0 < x1"):
        transforms.crop(ONE, (10, 10, 10, 20))


OPTIONS = [dict(), dict(scale=(.2, .5), aspect=(.5, 2)), dict(scale=(1., 2.)),
           dict(scale=(.05, .1), tries=3), dict(keep=0.01, scale=(.3, 1.5))]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("sample", [SEVERAL, ONE, NONE])
def test_random_crop_keeps_objects(sample, options):
    rng = generator()
    least = max(1, options.get("keep", 1.) * len(sample.boxes))
    for _ in range(150):
        found = transforms.random_crop(sample, rng, **options)
        assert len(found.boxes) >= (least if len(sample.boxes) else 0)
        check(found, least=200)


def test_windows_have_the_sides_and_places_asked_for():
    windows = np.array([transforms.draw_window(
        NONE, generator(k), scale=(.5, .8), aspect=(.5, 2)) for k in range(500)])
    sides = (windows[:, 2:] - windows[:, :2]) / [W, H]
    side, aspect = np.sqrt(sides.prod(axis=1)), sides[:, 0] / sides[:, 1]
    assert .48 < side.min() < .53 and .77 < side.max() < .82
    assert .48 < aspect.min() < .55 and 1.8 < aspect.max() < 2.1
    # A factor and its inverse are equally likely.
    assert abs(np.log(aspect).mean()) < .06
    inside = sides.max(axis=1) <= 1
    assert (windows[inside] >= 0).all()
    assert (windows[inside] <= [W, H, W, H]).all()
    assert (windows[inside, :2].min(axis=0) == 0).all()
    assert (windows[inside, 2:].max(axis=0) == [W, H]).all()


def test_larger_windows_hold_the_whole_image_anywhere():
    windows = np.array([transforms.draw_window(
        NONE, generator(k), scale=(2, 2), aspect=(1, 1)) for k in range(500)])
    assert (windows[:, 2:] - windows[:, :2] == [2 * W, 2 * H]).all()
    assert (windows[:, :2].min(axis=0) <= [-W + 2, -H + 2]).all()
    assert (windows[:, :2].min(axis=0) >= [-W, -H]).all()
    assert (windows[:, :2].max(axis=0) <= 0).all()
    assert (windows[:, :2].max(axis=0) >= -2).all()
    assert (abs(windows[:, :2].mean(axis=0) * 2 / [W, H] + 1) < .1).all()


def test_a_share_of_the_objects_may_go():
    corners = painted((0, 0, 10, 10), (90, 0, 100, 10), (0, 50, 10, 60))
    counts = {len(transforms.random_crop(corners, generator(k), keep=.3,
                                         scale=(.4, .9)).boxes)
              for k in range(200)}
    assert counts == {1, 2, 3}
    all_three = {len(transforms.random_crop(corners, generator(k), keep=1.,
                                            scale=(.4, .9)).boxes)
                 for k in range(50)}
    assert all_three == {3}


@pytest.mark.parametrize("name", ["scale", "aspect"])
@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (-1, 1), (.5, np.nan)])
def test_ranges_are_checked(name, bounds):
    with pytest.raises(ValueError, match=f"{name} must be two positive"):
        transforms.random_crop(ONE, generator(), **{name: bounds})


def coloured():
    return generator(3).integers(40, 200, (H, W, 3), dtype=np.uint8)


def apply(image, **changes):
    return cv2.transform(image, transforms.colour_matrix(**changes))


@pytest.mark.parametrize("name, ours, drawn, most", [
    ("BrightnessJitterAug", dict(brightness=1.2), .2, 1),
    ("SaturationJitterAug", dict(saturation=.7), -.3, 1),
    ("SaturationJitterAug", dict(saturation=1.3), .3, 1),
    ("HueJitterAug", dict(hue=.05), .1, 2),
    ("HueJitterAug", dict(hue=-.05), -.1, 2)])
def test_colours_change_as_in_mxnet(monkeypatch, name, ours, drawn, most):
    mx = pytest.importorskip("mxnet")
    monkeypatch.setattr(mx.image.image.random, "uniform", lambda *_: drawn)
    theirs = getattr(mx.image, name)(.5)(
        mx.nd.array(coloured(), dtype="float32")).asnumpy().clip(0, 255)
    assert np.abs(apply(coloured(), **ours) - theirs).max() <= most


def test_contrast_turns_about_mid_grey():
    image = np.full((2, 3, 3), (100, 127, 200), np.uint8)
    assert apply(image, contrast=2.)[0, 0].tolist() == [72, 126, 255]
    assert np.ptp(apply(coloured(), contrast=0.)) == 0


def test_no_change_and_full_changes_of_colour():
    np.testing.assert_array_equal(apply(coloured()), coloured())
    np.testing.assert_array_equal(apply(coloured(), hue=1.), coloured())
    grey = apply(coloured(), saturation=0.)
    expected = cv2.cvtColor(coloured(), cv2.COLOR_RGB2GRAY)
    assert np.abs(grey - expected[..., None].astype(int)).max() <= 1


def test_photometric_leaves_boxes_and_varies():
    sample = make_sample(coloured(), SEVERAL.boxes, SEVERAL.labels)
    rng = generator()
    found = [transforms.photometric(sample, rng) for _ in range(20)]
    assert all(f.boxes is sample.boxes for f in found)
    assert len({f.image.tobytes() for f in found}) == 20
    still = transforms.photometric(sample, rng, 0, 0, 0, 0)
    np.testing.assert_array_equal(still.image, sample.image)


def test_photometric_factors_stay_in_range():
    grey = make_sample(np.full((4, 6, 3), 100, np.uint8), [], [])
    values = [transforms.photometric(grey, generator(k), .2, 0, 0, 0
                                     ).image[0, 0, 0] for k in range(300)]
    assert 80 <= min(values) < 83 and 117 < max(values) <= 120


def test_random_mirror_draws():
    rng = generator()
    turned = sum(transforms.random_mirror(ONE, rng) is not ONE
                 for _ in range(400))
    assert 160 < turned < 240
    assert transforms.random_mirror(ONE, rng, 0.) is ONE


def test_compose_goes_in_order():
    steps = [lambda s, rng: transforms.crop(s, (0, 0, 50, H)),
             lambda s, rng: transforms.mirror(s),
             lambda s, rng: transforms.resize(s, (rng.integers(20, 21), 40))]
    found = transforms.Compose(steps)(SEVERAL, generator())
    by_hand = transforms.resize(transforms.mirror(
        transforms.crop(SEVERAL, (0, 0, 50, H))), (20, 40))
    np.testing.assert_array_equal(found.image, by_hand.image)
    np.testing.assert_array_equal(found.boxes, by_hand.boxes)


def test_random_resize_takes_all_interpolations():
    sample, rng = make_sample(coloured(), [], []), generator()
    known = {transforms.resize(sample, (90, 130), name).image.tobytes()
             for name in transforms.INTERPOLATIONS}
    found = {transforms.random_resize(sample, rng, (90, 130)).image.tobytes()
             for _ in range(80)}
    assert found <= known and len(found) == len(known) >= 4   # area is linear


@pytest.mark.parametrize("name", sorted({*transforms.AUGMENTATIONS} - {"ssd"}))
@pytest.mark.parametrize("sample", [SEVERAL, ONE, NONE])
def test_recipes(name, sample):
    rng = generator()
    for _ in range(100):
        found = transforms.AUGMENTATIONS[name](sample, (96, 160), rng)
        assert found.image.shape == (96, 160, 3)
        assert len(found.boxes) >= len(sample.boxes) / 2
        # Stretched by 1.6 and more, an edge is a ramp two pixels wide.
        check(found, pixels=2.5, least=170)
        assert found.source == sample.source


def test_none_draws_nothing_and_changes_nothing_but_the_size():
    found = transforms.AUGMENTATIONS["none"](SEVERAL, (H, W), None)
    np.testing.assert_array_equal(found.image, SEVERAL.image)
    np.testing.assert_array_equal(found.boxes, SEVERAL.boxes)


def test_the_same_generator_gives_the_same_sample():
    first, same, other = (transforms.light(SEVERAL, 64, generator(k))
                          for k in (5, 5, 6))
    for a, b in zip(first[:4], same[:4]):
        np.testing.assert_array_equal(a, b)
    assert (first.image != other.image).any()


@pytest.mark.parametrize("speck", [[.9999999, .5, 1., .5001],
                                   [.5, .5, .500001, .6]])
def test_a_speck_of_an_object_is_never_turned_into_nothing(speck):
    image = np.zeros((H, W, 3), np.uint8)
    sample = make_sample(image, [speck], [0])
    for seed in range(100):
        found = transforms.light(sample, 64, generator(seed))
        assert len(found.boxes) == 1
        box_tools.check_boxes(found.boxes, found.labels, 1, "it")


def test_a_zoomed_out_crop_equals_fill_then_stretch():
    smooth = make_sample(cv2.GaussianBlur(coloured(), (0, 0), 3), ONE.boxes,
                         [0])
    window, size = (-24, -12, 126, 78), (45, 75)    # exactly half
    found = transforms.crop(smooth, window, size)
    apart = transforms.resize(transforms.crop(smooth, window), size, "linear")
    np.testing.assert_allclose(found.boxes, apart.boxes, atol=1e-6)
    inner = np.s_[8:34, 15:60]
    assert np.abs(found.image[inner].astype(int) - apart.image[inner]).max() <= 8


@pytest.mark.parametrize("window", [(-10, -20, 150, 70), (-33, 5, 140, 47),
                                    (40, 11, 163, 101), (-501, -77, 103, 301)])
@pytest.mark.parametrize("size", [(64, 64), (37, 91)])
def test_zoomed_out_boxes_follow_the_pixels(window, size):
    found = transforms.crop(ONE, window, size)
    assert found.image.shape[:2] == size and len(found.boxes) == 1
    check(found, pixels=1, least=190)
    # Where rounding moves the picture, it is by half a pixel at most.
    x0, y0, x1, y1 = window
    exact = (ONE.boxes[0] * [W, H, W, H] - [x0, y0, x0, y0]) / [
        x1 - x0, y1 - y0, x1 - x0, y1 - y0]
    apart = np.abs(found.boxes[0] - exact.clip(0, 1)) * (size[::-1] * 2)
    assert (apart <= .51).all()


def test_a_window_that_barely_meets_the_image():
    found = transforms.crop(ONE, (99, 59, 5000, 5000), 32)
    assert found.image.shape == (32, 32, 3) and len(found.boxes) == 0
    found = transforms.crop(ONE, (-5000, -5000, 1, 1), 32)
    assert found.image.shape == (32, 32, 3)
    with pytest.raises(ValueError, match="meet the image"):
        transforms.crop(ONE, (100, 0, 120, 60))


def test_crop_drops_a_box_that_float32_would_flatten():
    sample = make_sample(np.zeros((H, W, 3), np.uint8),
                         [[.5, .5, .50000006, .6]], [0])
    assert len(transforms.crop(sample, (-200, 0, 101, H)).boxes) == 0


def test_shifted_moves_whole_pixels_and_keeps_every_object():
    rng = generator(0)
    height, width = 64, 96
    image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    boxes = [[0, 0, 8 / width, 8 / height], [.5, .5, .75, .875]]
    sample = make_sample(image, boxes, [0, 1])
    moves = set()
    for _ in range(40):
        found = transforms.shifted(sample, (height, width), rng)
        assert found.labels.tolist() == [0, 1]
        x0, y0, x1, y1 = (found.boxes[1] * ([width, height] * 2)).round(4)
        assert x0 % 1 == y0 % 1 == 0
        moves.add((x0, y0))
        cut = found.image[int(y0):int(y1), int(x0):int(x1)]
        whole = image[32:56, 48:72]
        assert (cut == whole).all()
    assert len(moves) > 10
