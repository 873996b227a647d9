"""Video: written and read back, detected in, painted, and what goes wrong."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from dsod_d2l.detection import Detections
from dsod_d2l.workbench import drawing, video
from dsod_d2l.workbench.video import detect_frames, VideoReader, VideoWriter
from dsod_d2l.visualisation import class_colour
from dsod_d2l.workbench.drawing import paint_detections
from test_cli import call, here, value  # noqa: F401  (here is a fixture)

SIZE, COUNT = (60, 90), 7


def moving(number):
    """A bright square that moves right, on red."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[..., 0] = 200
    image[10:40, 5 + 8 * number:35 + 8 * number] = 255
    return image


@pytest.fixture
def film(tmp_path):
    """Write a film with OpenCV alone."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.5,
                             SIZE[::-1])
    assert writer.isOpened()
    for number in range(COUNT):
        writer.write(moving(number)[..., ::-1])
    writer.release()
    return path


class Squares:
    """Finds the bright square; remembers how many frames came together."""

    batch_size = 3

    def __init__(self):
        self.calls = []

    def detect(self, images):
        self.calls.append(len(images))
        found = []
        for image in images:
            rows, columns = np.nonzero(image[..., 2] > 128)
            box = [columns.min(), rows.min(), columns.max() + 1,
                   rows.max() + 1]
            found.append(Detections(np.array([0]), np.array([.75]),
                                    box / np.array([[90., 60] * 2]), SIZE,
                                    picture=image))
        return found


def test_a_film_is_read_in_order_and_in_red(film):
    with VideoReader(film) as reader:
        assert (reader.size, reader.fps) == (SIZE, 12.5)
        images = list(reader)
    assert len(images) == COUNT
    for number, image in enumerate(images):
        assert image.shape == (*SIZE, 3) and image.dtype == np.uint8
        error = np.abs(image.astype(int) - moving(number)).mean()
        assert error < 8, number                  # JPEG; not blue for red


def test_frames_are_detected_in_batches(film):
    detector = Squares()
    with VideoReader(film) as reader:
        got = list(detect_frames(detector, reader))
    assert len(got) == COUNT and detector.calls == [3, 3, 1]
    for number, found in enumerate(got):
        np.testing.assert_allclose(
            found.pixels().boxes[0],
            [5 + 8 * number, 10, 35 + 8 * number, 40], atol=2)
        assert np.abs(found.image().astype(int) - moving(number)).mean() < 8
    detector.calls.clear()
    assert len(list(detect_frames(detector, map(moving, range(2)), 1))) == 2
    assert detector.calls == [1, 1]
    assert list(detect_frames(detector, [])) == []


@pytest.mark.parametrize("name", ["new/film.avi", "film.mp4"])
def test_what_is_written_can_be_read(tmp_path, name):
    with VideoWriter(tmp_path / name, 10, SIZE) as writer:
        for number in range(3):
            writer.write(moving(number))
        with pytest.raises(ValueError, match="frames of .60, 90."):
            writer.write(np.zeros((90, 60, 3), np.uint8))
    with VideoReader(tmp_path / name) as reader:
        images = list(reader)
    assert len(images) == 3
    assert np.abs(images[2].astype(int) - moving(2)).mean() < 12


def test_what_is_no_video_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="none.avi"):
        VideoReader(tmp_path / "none.avi")
    (tmp_path / "bad.avi").write_bytes(b"RIFF, but no film")
    with pytest.raises(ValueError, match="bad.avi.*codec is missing"):
        VideoReader(tmp_path / "bad.avi")
    with pytest.raises(ValueError, match="camera 99 does not answer"):
        VideoReader(99)
    with pytest.raises(ValueError, match="ends in .avi.*found .gif"):
        VideoWriter(tmp_path / "film.gif", 10, SIZE)
    monkeypatch.setitem(video.VIDEO_CODECS, ".avi", "zzzz")
    with pytest.raises(ValueError, match="no codec zzzz"):
        VideoWriter(tmp_path / "film.avi", 10, SIZE)


# -------------------------------------------------------------------- painting

def test_painting_is_a_copy_with_boxes_in_their_colours():
    image = np.full((200, 300, 3), 90, np.uint8)
    found = Detections(np.array([1]), np.array([.9]),
                       np.array([[100., 50, 250, 180]]), unit="pixels",
                       classes=("cat", "dog"), picture=image)
    painted = paint_detections(found, "12 FPS")
    assert (image == 90).all() and painted.shape == image.shape
    colour = drawing._bytes(class_colour(1))
    for x, y in ((100, 120), (250, 120), (180, 180)):
        np.testing.assert_array_equal(painted[y, x], colour)
    assert (painted[100:160, 120:240] == 90).all()       # inside: untouched
    assert (painted[:12, :40] != 90).any()               # the note
    parts = dataclasses.replace(found, size=(200, 300), unit="fractions",
                                boxes=found.boxes / [300, 200, 300, 200])
    assert (painted == paint_detections(parts, "12 FPS")).all()
    assert (paint_detections(found[:0]) == 90).all()


def test_names_are_painted_inside_the_picture():
    image = np.zeros((80, 90, 3), np.uint8)
    found = Detections(np.array([0, 0]), np.array([.9, .8]),
                       np.array([[85., 0, 90, 10], [-5, 70, 10, 95]]), unit="pixels",
                       classes=("a long name",), picture=image)
    painted = paint_detections(found)
    assert (painted[:20] != 0).any()


# ------------------------------------------------------------ the command line

def test_detect_in_a_video(capsys, here, film, tmp_path):  # noqa: F811
    options = ["detect", film, "--weights", here / "w.safetensors",
               "--score-threshold", 0.0, "--keep", 2]
    got = value(capsys, *options)
    assert got["frames"] == COUNT == len(got["detections"])
    assert got["fps"] == 12.5 and got["found"] == {"square": 2 * COUNT}
    for rows in got["detections"]:
        xmin, ymin, xmax, ymax = rows[0]["box"]
        assert 0 <= xmin < xmax <= 90 and 0 <= ymin < ymax <= 60
    lines = tmp_path / "new/lines.jsonl"
    assert "detections" not in value(capsys, *options, "--out", lines)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(COUNT))
    assert rows[5]["time"] == .4
    assert [row["detections"] for row in rows] == got["detections"]
    painted = tmp_path / "painted.avi"
    assert f"{2 * COUNT} square" in call(capsys, *options, "--out",
                                         painted)[1]
    with VideoReader(painted) as reader:
        images = list(reader)
    assert len(images) == COUNT and images[0].shape == (*SIZE, 3)
    assert np.abs(images[0].astype(int) - moving(0)).mean() > 3


@pytest.mark.parametrize("out, words", [
    ("film.gif", "ends in .avi"), ("film", "found no ending")])
def test_a_video_that_cannot_be_written(capsys, here, film,  # noqa: F811
                                        tmp_path, out, words):
    code, _, err = call(capsys, "detect", film, "--weights",
                        here / "w.safetensors", "--out", tmp_path / out)
    assert code == 2 and words in err and err.count("\n") == 1


def test_the_demo_runs_without_a_screen(capsys, here, film,  # noqa: F811
                                        tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    options = ["demo", film, "--weights", here / "w.safetensors"]
    got = value(capsys, *options, "--out", tmp_path / "seen.avi", "--frames",
                3)
    assert got["frames"] == 3 and got["frames_per_second"] > 0
    with VideoReader(tmp_path / "seen.avi") as reader:
        assert len(list(reader)) == 3
    out = call(capsys, *options)[1]
    assert "FPS: " in out and f"frames             {COUNT}" in out
    assert call(capsys, *options, "--frames", 0)[0] == 2
    code, _, err = call(capsys, "demo", "99", "--weights",
                        here / "w.safetensors")
    assert code == 2 and "camera 99" in err


def test_the_speed_is_that_of_late():
    from dsod_d2l.workbench.cli.demo import RECENT, Speed
    times = iter([0.0, *np.arange(1, 11), *(10 + np.arange(1, RECENT + 1)
                                            / 10)])
    speed = Speed(clock=lambda: next(times))
    assert [speed.tick() for _ in range(10)][-1] == pytest.approx(1)
    assert [speed.tick() for _ in range(RECENT)][-1] == pytest.approx(10)
    assert speed.overall() == pytest.approx((10 + RECENT) / 13)
