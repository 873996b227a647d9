"""Tiles: where they lie, and that an object in several of them is one."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dsod_d2l.config import DetectConfig
from dsod_d2l.detection import Detections
from dsod_d2l.workbench.tiles import merge_tiles, tile_places, TiledDetector
from test_cli import call, here, value  # noqa: F401  (here is a fixture)

SIDE = 100


class Bright:
    """Finds whatever is brighter than black, each value a square of its own.

    Class 0 is below 128. It sees nothing of less than a twentieth of the
    picture's longer side, as a network that makes pictures small.
    """

    batch_size, classes = 4, ("dark", "light")
    detect_config = DetectConfig()

    def __init__(self):
        self.seen = []

    def detect(self, images):
        assert len(images) <= self.batch_size
        self.seen += [image.shape[:2] for image in images]
        return [self._one(image) for image in images]

    def _one(self, image):
        boxes, labels = [], []
        height, width = image.shape[:2]
        for colour in np.unique(image[..., 0]):
            rows, columns = np.nonzero(image[..., 0] == colour)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            if colour and min(box[2] - box[0], box[3] - box[1]) > max(height, width) / 20:
                boxes.append(box)
                labels.append(int(colour >= 128))
        boxes = np.array(boxes, float).reshape(-1, 4) / [width, height, width, height]
        scores = np.linspace(.9, .5, len(labels)).astype(np.float32)
        return Detections(np.array(labels, np.int64), scores, boxes.astype(np.float32),
                          (height, width), classes=self.classes, picture=image)


def scene(size, *objects):
    image = np.zeros((*size, 3), np.uint8)
    for number, (left, top, right, bottom) in enumerate(objects):
        image[top:bottom, left:right] = 20 + 10 * number
    return image


def found_in(size, *objects, side=SIDE, overlap=.2):
    found = TiledDetector(Bright(), side, overlap).detect(scene(size, *objects))
    assert found.size == tuple(size) and found.unit == "fractions"
    assert (np.diff(found.scores) <= 0).all()
    return sorted(map(tuple, found.pixels().boxes.round(2).tolist()))


@given(height=st.integers(1, 700), width=st.integers(1, 700), side=st.integers(16, 300),
       overlap=st.floats(0, .9))
@settings(max_examples=200, deadline=None)
def test_tiles_cover_the_picture_and_overlap(height, width, side, overlap):
    places = tile_places((height, width), side, overlap)
    covered = np.zeros((height, width), bool)
    for left, top, right, bottom in places:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        assert (right - left, bottom - top) == (min(side, width), min(side, height))
        covered[top:bottom, left:right] = True
    assert covered.all() and len(np.unique(places, axis=0)) == len(places)
    for axis, length in ((0, width), (1, height)):
        starts = np.unique(places[:, axis])
        steps = np.diff(starts)
        assert (steps <= np.ceil(min(side, length) * (1 - overlap)) + 1).all()


def test_small_objects_are_found_in_tiles_alone():
    size, objects = (210, 430), [(10, 20, 18, 28), (300, 100, 310, 112)]
    assert found_in(size, *objects, side=500) == []          # one tile: as it was
    assert found_in(size, *objects) == [tuple(map(float, one)) for one in objects]


@pytest.mark.parametrize("box", [
    (70, 20, 110, 60),           # in the first tile cut, in the second whole
    (60, 10, 190, 90),           # larger than a tile: across three of them
    (70, 75, 130, 130),          # where four tiles meet
    (0, 0, 240, 240)])           # the whole picture
def test_an_object_across_edges_is_one(box):
    assert found_in((240, 240), box) == [tuple(map(float, box))]


@pytest.mark.parametrize("overlap", [0.0, .1, .5])
def test_pieces_are_joined_where_no_tile_and_no_whole_picture_has_it(overlap):
    """The long thin one is too small for the whole, and longer than a tile."""
    box = (30, 40, 700, 50)
    assert found_in((150, 800), box, overlap=overlap) == [tuple(map(float, box))]
    box = (40, 30, 50, 700)
    assert found_in((800, 150), box, overlap=overlap) == [tuple(map(float, box))]


def test_neighbours_stay_two():
    """One ends where a tile ends, the other begins there, lower."""
    pair = [(70, 10, 100, 30), (100, 60, 130, 90)]
    assert found_in((100, 400), *pair) == [tuple(map(float, one)) for one in pair]


def test_a_small_one_inside_a_large_one_stays():
    boxes = np.array([[0, 0, 200, 200], [40, 40, 80, 80], [100., 50, 150, 90]], np.float32)
    cuts = np.zeros((3, 4), bool)
    cuts[2, 0] = True                        # a piece of the large one
    scores = np.array([.5, .9, .8], np.float32)
    _, rows = merge_tiles(boxes, np.zeros(3, int), scores, cuts, .45)
    assert rows.tolist() == [1, 0]
    _, rows = merge_tiles(boxes, np.array([0, 0, 1]), scores, cuts, .45)
    assert rows.tolist() == [1, 2, 0]        # of another class: no piece of it


def test_no_picture_of_a_list_is_lost_and_few_tiles_go_together():
    detector = Bright()
    found = TiledDetector(detector, SIDE)([scene((120, 340), (5, 5, 50, 50)), scene((60, 80))])
    assert [len(one) for one in found] == [1, 0]
    assert detector.seen[0] == (120, 340) and detector.seen[-1] == (60, 80)
    assert set(detector.seen[1:-1]) == {(100, 100)} and len(detector.seen) == 2 + 8


def test_tiles_on_the_command_line(capsys, here):  # noqa: F811
    options = ["--weights", here / "w.safetensors", "--score-threshold", 0.0, "--keep", 5]
    image = here / "images/0.png"
    plain = value(capsys, "detect", image, *options)
    assert value(capsys, "detect", image, *options, "--tiles", 90) == plain    # one tile
    tiled = value(capsys, "detect", image, *options, "--tiles", 40, "--overlap", .5)
    assert len(tiled) == 5 and tiled != plain
    judged = ["evaluate", *options[:2], "--data", f"rec:{here}/squares.rec", "--tiles"]
    assert value(capsys, *judged, 40)["images"] == 8
    for wrong, words in ((["--tiles", 0], "--tiles must be at least 16"),
                         (["--tiles", 40, "--overlap", 1], "--overlap must be a share"),
                         (["--tiles", 40, "--overlap", "nan"], "--overlap must be a share")):
        code, _, err = call(capsys, "detect", image, *options, *wrong)
        assert code == 2 and words in err
