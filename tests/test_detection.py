"""Detection: suppression by hand and against a slow one, then images."""

import dataclasses
import doctest

import cv2
import numpy as np
import pytest

import dsod_d2l
from dsod_d2l import config, models
from dsod_d2l import detection as dt
from dsod_d2l.anchors import anchors_for
from dsod_d2l.boxes import in_pixels, iou
from dsod_d2l.config import DetectConfig
from dsod_d2l.targets import encode


def slow_nms(boxes, scores, threshold):
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    kept = []
    for row in order:
        if all(iou(boxes[[row]], boxes[[other]])[0, 0] <= threshold
               for other in kept):
            kept.append(row)
    return kept


def random_boxes(rng, count):
    low = rng.uniform(0, 0.6, (count, 2))
    return np.concatenate([low, low + rng.uniform(.1, .4, (count, 2))], 1)


def test_examples():
    assert doctest.testmod(dt).attempted > 5
    assert doctest.testmod(dt).failed == 0


def test_softmax_by_hand_and_at_any_size():
    found = dt.softmax(np.log(np.array([[1, 2, 5], [3, 3, 3]])))
    np.testing.assert_allclose(found, [[1/8, 2/8, 5/8], [1/3] * 3])
    huge = dt.softmax(np.array([[1e30, -1e30, 0]], np.float32))
    assert huge.tolist() == [[1, 0, 0]] and huge.dtype == np.float32


@pytest.mark.parametrize("boxes, scores, expected", [
    # Three in a chain: the middle one is dropped, so the last one stays.
    ([[0, 0, .4, 1], [.1, 0, .5, 1], [.2, 0, .6, 1]], [.9, .8, .7], [0, 2]),
    ([[0, 0, .4, 1], [.1, 0, .5, 1], [.2, 0, .6, 1]], [.8, .9, .7], [1]),
    ([[0, 0, .5, 1], [.5, 0, 1, 1]], [.5, .6], [1, 0]),         # touching
    ([[0, 0, 1, 1], [.3, .3, .5, .5]], [.5, .6], [1, 0]),       # nested
    ([[0, 0, 1, 1]] * 3, [.5, .5, .5], [0]),                    # equal scores
    ([[0, 0, .4, 1], [.5, 0, .9, 1], [0, 0, .4, 1]], [.5, .5, .5], [0, 1]),
    (np.zeros((0, 4)), [], []),
])
def test_nms_by_hand(boxes, scores, expected):
    kept = dt.nms(np.array(boxes, float), np.array(scores, float), 0.45)
    assert kept.tolist() == expected


@pytest.mark.parametrize("count", [1, 127, 128, 129, 300])
def test_nms_is_the_slow_one_across_its_blocks(count):
    rng = np.random.default_rng(count)
    boxes, scores = random_boxes(rng, count), rng.integers(0, 9, count) / 9
    for threshold in (0.0, 0.3, 0.9, 1.0):
        assert (dt.nms(boxes, scores, threshold).tolist()
                == slow_nms(boxes, scores, threshold))


def test_best_first_is_a_stable_sort():
    rng = np.random.default_rng(0)
    for count in (1, 3, 7, 40, 99):
        scores = rng.integers(0, 6, 40) / 6
        expected = np.argsort(-scores, kind="stable")[:count]
        np.testing.assert_array_equal(dt.best_first(scores, count), expected)
    assert dt.best_first(np.zeros(0), 5).tolist() == []


ANCHORS = np.array([[.0, .0, .4, .6], [.02, .0, .42, .6], [.5, .2, .9, .8],
                    [.2, .6, .8, 1.2], [1.2, .1, 1.4, .3]])
STAY = np.zeros((5, 4))


def outputs_for(probabilities):
    """Return class scores for rows of foreground probabilities."""
    rows = np.clip(probabilities, 1e-9, 1)
    return np.log(np.c_[1 - rows.sum(axis=1), rows])


def test_detections_by_hand():
    scores = outputs_for([[.6, .3], [.7, .2], [.1, .8], [.5, .009],
                          [.9, .05]])
    found = dt.detections_from_outputs(scores, STAY, ANCHORS)
    # Class 0: anchor 1 drops 0; 2 at .1. Class 1: anchor 0 drops 1; 3 is
    # below .01. Anchor 4 lies off the image, anchor 3 is cut to it.
    assert found.labels.tolist() == [1, 0, 0, 1, 0]
    np.testing.assert_allclose(found.scores, [.8, .7, .5, .3, .1], rtol=1e-6)
    np.testing.assert_allclose(
        found.boxes, [ANCHORS[2], ANCHORS[1], [.2, .6, .8, 1], ANCHORS[0],
                      ANCHORS[2]], rtol=1e-6)
    assert [column.dtype for column in (
        found.labels, found.scores, found.boxes)] == [
            np.int64, np.float32, np.float32]


@pytest.mark.parametrize("change, labels, scores", [
    ({"score_threshold": 0.5}, [1, 0, 0], [.8, .7, .5]),
    ({"keep": 2}, [1, 0], [.8, .7]),
    # Only the best of each class is looked at.
    ({"candidates": 1}, [1, 0], [.8, .7]),
    # 0 and 1 overlap by .38 / .42 = .905.
    ({"nms_threshold": 0.95, "score_threshold": 0.55}, [1, 0, 0],
     [.8, .7, .6]),
    ({"score_threshold": 1.0}, [], []),
])
def test_every_setting_does_what_it_says(change, labels, scores):
    given = outputs_for([[.6, .3], [.7, .2], [.1, .8], [.5, .009],
                         [.9, .05]])
    found = dt.detections_from_outputs(given, STAY, ANCHORS,
                                       DetectConfig(**change))
    assert found.labels.tolist() == labels
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6)
    assert found.boxes.shape == (len(labels), 4)


def test_a_box_off_the_image_takes_no_candidates_place():
    scores = outputs_for([[.1], [.1], [.2], [.3], [.9]])
    found = dt.detections_from_outputs(scores, STAY, ANCHORS,
                                       DetectConfig(candidates=1))
    np.testing.assert_allclose(found.scores, [.3], rtol=1e-6)


def test_offsets_are_decoded_with_the_variances_given():
    boxes = np.array([[.1, .2, .7, .4], [.3, .1, .5, .9]])
    variances = (0.2, 0.1, 0.4, 0.3)
    found = dt.detections_from_outputs(
        outputs_for([[.9], [.8]]), encode(boxes, ANCHORS[:2], variances),
        ANCHORS[:2], variances=variances)
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-6)


def test_endless_boxes_are_cut_to_the_image_without_a_warning(recwarn):
    offsets = np.zeros((5, 4), np.float32)
    offsets[0] = [0, 0, 1e6, 1e6]
    found = dt.detections_from_outputs(
        outputs_for([[.9], [0], [0], [0], [0]]).astype(np.float32), offsets,
        ANCHORS.astype(np.float32))
    assert found.boxes.tolist() == [[0, 0, 1, 1]]
    assert not recwarn.list


@pytest.mark.parametrize("scores, offsets, words", [
    (np.zeros((4, 2)), STAY, "for 5 anchors, found"),
    (np.zeros((5, 2)), STAY[:3], "for 5 anchors, found"),
    (np.zeros((5, 2)), np.zeros((5, 5)), r"offsets \(N, 4\)"),
    (np.full((5, 2), np.nan), STAY, "class_scores must be finite, found 10"),
    (np.zeros((5, 2)), STAY + np.inf, "offsets must be finite, found 20"),
])
def test_wrong_outputs_are_refused(scores, offsets, words):
    with pytest.raises(ValueError, match=words):
        dt.detections_from_outputs(scores, offsets, ANCHORS)


def test_boxes_in_pixels_keep_height_and_width_apart():
    boxes = np.array([[0, .5, .25, 1]], np.float32)
    assert in_pixels(boxes, (200, 400, 3)).tolist() == [[0, 100, 100, 200]]
    found = dt.Detections(np.array([0]), np.array([.5]), boxes, (200, 400))
    pixels = found.pixels()
    assert pixels.boxes.tolist() == [[0, 100, 100, 200]]
    assert (pixels.unit, found.unit) == ("pixels", "fractions")
    assert pixels.pixels() is pixels and pixels.size == (200, 400)


def three_found(**facts):
    return dt.Detections(np.array([2, 0, 1]), np.array([.9, .8, .2]),
                         np.array([[0, 0, .5, 1], [.5, 0, 1, .5],
                                   [.2, .2, .4, .6]]), **facts)


def test_detections_count_and_give_their_rows():
    found = three_found(classes=("a", "b", "c"))
    assert len(found) == 3
    assert [(label, score, box.tolist()) for label, score, box in found][1] \
        == (0, .8, [.5, 0, 1, .5])
    for rows in (found.scores > .5, slice(2), [0, 1]):
        part = found[rows]
        assert part.labels.tolist() == [2, 0] and part.classes == found.classes
        assert part.boxes.tolist() == found.boxes[:2].tolist()
    assert found[2].boxes.tolist() == [[.2, .2, .4, .6]]
    assert not len(found[found.scores > 2])


def test_boxes_of_another_unit_are_named():
    with pytest.raises(ValueError, match="boxes of Detections: expected "
                       "fractions of the picture, found 120: .*like pixels"):
        dt.Detections(np.array([0]), np.array([.5]),
                      np.array([[0, 20, 120, 50]]))
    with pytest.raises(ValueError, match="size of the picture is not known"):
        three_found().pixels()


def test_detections_are_drawn_on_their_picture(tmp_path):
    from matplotlib.figure import Figure
    image = np.full((40, 60, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    for picture in (image, tmp_path / "a.png"):
        found = three_found(picture=picture, size=(40, 60),
                            classes=("cat", "dog", "cow"))
        ax = Figure().add_subplot()
        assert found.draw(ax) is ax
        assert [text.get_text() for text in ax.texts] == ["cat 80%",
                                                          "cow 90%"]
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert ax.patches[1].get_bbox().extents.tolist() == [0, 0, 30, 40]
    assert len(found.draw(Figure().add_subplot(), least=0).patches) == 3
    plt = pytest.importorskip("matplotlib.pyplot")
    before = plt.get_fignums()
    drawn = found.draw()
    assert drawn.figure.number not in before and len(drawn.patches) == 2
    plt.close(drawn.figure)
    with pytest.raises(ValueError, match="look like pixels"):
        found.pixels().draw(Figure().add_subplot())
    with pytest.raises(ValueError, match="picture is not known: .*picture="):
        three_found().draw(Figure().add_subplot())


# ------------------------------------------------------------- on images

TINY = config.get("dsod_tiny", num_classes=2, input_size=(96, 128),
                  mean=(10, 20, 30), std=(2, 4, 8))


class Bright:
    """A stand-in for a network: each image's mean tells what it finds.

    One object at the anchor whose index is the mean of the red channel,
    class 0 if green is above its mean, else class 1.
    """

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch.shape)
        red, green = (batch[:, channel].mean(axis=(1, 2))
                      for channel in (0, 1))
        scores = np.zeros((len(batch), TINY.anchor_count, 3), np.float32)
        scores[..., 0] = 20
        index = np.rint(red * TINY.std[0] + TINY.mean[0]).astype(int)
        for row, (at, up) in enumerate(zip(index, green > 0)):
            scores[row, at, 1 if up else 2] = 25
        return scores, np.zeros((*scores.shape[:2], 4), np.float32)


def plain(red, green=200, size=(50, 80)):
    image = np.zeros((*size, 3), np.uint8)
    image[..., 0], image[..., 1] = red, green
    return image


@pytest.fixture
def detector():
    return dt.Detector(Bright(), ("cat", "dog"), config=TINY, batch_size=2)


def expected(anchor):
    return np.clip(anchors_for(TINY)[anchor], 0, 1)


def test_an_array_of_any_size(detector):
    for size in ((50, 80), (300, 90), (96, 128), (1, 1)):
        found = detector.detect(plain(100, size=size))
        assert found.labels.tolist() == [0]
        np.testing.assert_allclose(found.boxes, [expected(100)], atol=1e-6)
        assert found.size == size and found.classes == ("cat", "dog")
        pixels = detector(plain(101, 0, size)).pixels()
        assert pixels.labels.tolist() == [1]
        np.testing.assert_allclose(
            pixels.boxes[0], expected(101) * (size[::-1] * 2), rtol=1e-5)


@pytest.mark.parametrize("size", [(50, 80), (200, 90), (96, 128)])
def test_a_letter_box_gives_boxes_in_the_original_picture(monkeypatch, size):
    """A rectangle is found by its pixels in the batch, wherever that is."""
    height, width = size
    boxed = dataclasses.replace(TINY, resize="letter-box")
    image = np.zeros((*size, 3), np.uint8)
    box = np.array([width // 5, height // 4, width // 2, height // 2])
    image[box[1]:box[3], box[0]:box[2]] = 255

    def find(batch):
        bright = batch[0, 2] * TINY.std[2] + TINY.mean[2] > 128
        rows, columns = np.nonzero(bright)
        found = np.array([columns.min() / 128, rows.min() / 96,
                          (columns.max() + 1) / 128, (rows.max() + 1) / 96])
        beside = [0, 0, 1, 0.01] if height < width else [0, 0, 0.01, 1]
        return [dt.Detections(np.array([0, 1]), np.array([.9, .8]),
                              np.array([found, beside]))]

    detector = dt.Detector(Bright(), ("cat", "dog"), config=boxed)
    monkeypatch.setattr(detector, "detect_batch", find)
    found = detector.detect(image).pixels()
    pixel = max(height / 96, width / 128)
    assert np.abs(found.boxes[0] - box).max() <= pixel
    # What lies in the filling alone is dropped; without filling there is none.
    assert found.labels.tolist() == [0] if size != (96, 128) else [0, 1]
    batch = dt.to_batch([image], boxed)
    rows, columns = np.nonzero(batch[0, 2] * 8 + 30 > 200)
    sides = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert abs(sides[0] / sides[1] - (box[2] - box[0]) / (box[3] - box[1])
               ) < .12                                   # not distorted


def test_a_list_goes_through_in_batches_and_keeps_its_order(detector):
    found = detector.detect([plain(red) for red in (60, 70, 80, 90, 99)])
    assert detector.net.batches == [(2, 3, 96, 128)] * 2 + [(1, 3, 96, 128)]
    for red, one in zip((60, 70, 80, 90, 99), found):
        np.testing.assert_allclose(one.boxes, [expected(red)], atol=1e-6)
    assert detector.detect([]) == []


def test_files_and_folders(detector, tmp_path):
    for name, red in (("b.png", 70), ("a.bmp", 60), ("c.png", 80)):
        cv2.imwrite(str(tmp_path / name), plain(red)[..., ::-1])
    (tmp_path / "notes.txt").write_text("not an image")
    found = detector.detect(tmp_path)
    assert list(found) == ["a.bmp", "b.png", "c.png"]
    np.testing.assert_allclose(found["b.png"].boxes, [expected(70)],
                               atol=1e-6)
    one = detector.detect(str(tmp_path / "b.png"))
    np.testing.assert_array_equal(one.boxes, found["b.png"].boxes)
    two = detector.detect([tmp_path / "c.png", plain(60)])
    np.testing.assert_array_equal(two[0].boxes, found["c.png"].boxes)
    assert two[0].picture == tmp_path / "c.png"
    assert (two[1].picture == plain(60)).all()


def test_what_cannot_be_read_is_named(detector, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        detector.detect(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="expected image files"):
        detector.detect(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and nothing more")
    with pytest.raises(ValueError, match="broken.png"):
        detector.detect(tmp_path)


@pytest.mark.parametrize("image", [
    np.zeros((5, 5, 3)), np.zeros((5, 5), np.uint8),
    np.zeros((5, 5, 4), np.uint8), np.zeros((0, 5, 3), np.uint8)])
def test_other_arrays_are_refused(detector, image):
    with pytest.raises(ValueError, match=r"image 0: expected a uint8"):
        detector.detect(image)


def test_class_names_must_be_as_many_as_the_classes():
    with pytest.raises(ValueError, match="must name 2 classes, found 1"):
        dt.Detector(Bright(), ("cat",), config=TINY)
    with pytest.raises(ValueError, match="config= must give the ModelConfig"):
        dt.Detector(Bright(), ("cat", "dog"))


def test_a_batch_is_resized_normalised_and_channel_first():
    image = plain(14, 28, (200, 150))
    image[..., 2] = 46
    batch = dt.to_batch([image, image], TINY)
    assert batch.shape == (2, 3, 96, 128) and batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch[1, :, 7, 9].tolist() == [2, 2, 2]


def test_a_real_network_from_its_weights_file(tmp_path):
    from dsod_d2l import models, weights
    net = models.build(TINY)
    net.initialize()
    images = [np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)]
    own = dt.Detector(net, ("cat", "dog"))
    before = own.detect(images)[0]
    path = tmp_path / "weights.safetensors"
    weights.save_weights(path, net, ("cat", "dog"))
    again = dt.Detector.from_weights(path)
    assert again.classes == ("cat", "dog") and again.config == TINY
    face = dsod_d2l.Detector(path)
    for detector in (again, face):
        found = detector.detect(images)[0]
        for name in ("labels", "scores", "boxes"):
            np.testing.assert_array_equal(getattr(found, name),
                                          getattr(before, name))
    assert len(before.labels) == DetectConfig().keep
    assert (np.diff(before.scores) <= 0).all()
    assert before.boxes.min() >= 0 and before.boxes.max() <= 1


def test_a_network_that_was_built_with_names_needs_no_others():
    import dsod_d2l as dd
    net = models.build("dsod_tiny", ["cat", "dog"], input_size=(96, 128))
    assert dd.Detector(net).classes == ("cat", "dog")
    with pytest.raises(ValueError, match="classes must be given"):
        dd.Detector(models.build("dsod_tiny", 2, input_size=(96, 128)))


def test_a_network_without_weights_is_named():
    net = models.build("dsod_tiny", ["cat"], input_size=(96, 128))
    with pytest.raises(ValueError, match="dsod_tiny has no weights yet"):
        dt.Detector(net, net.classes).detect(np.zeros((96, 128, 3), np.uint8))


def test_the_folder_of_a_run_is_no_weights_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="leaves model.safetensors"):
        dt.Detector.from_weights(tmp_path)
