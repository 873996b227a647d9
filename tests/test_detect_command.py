"""detect: where results go, what stays, what goes on, labels and crops."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dsod_d2l.datasets import pictures
from dsod_d2l.detection import Detections, Detector
from dsod_d2l.files import replacing
from dsod_d2l.workbench import drawing, found_files, outputs, video
from dsod_d2l.workbench.formats.addresses import open_dataset
from test_cli import call, here, picture, value  # noqa: F401  (a fixture)

ROOT = Path(__file__).parents[1]
NAMES = ["a.b.png", "a.jpg", "a.png", "sub/a.png"]


@pytest.fixture
def photos(tmp_path):
    """Pictures of one stem, of a dotted one, and one in a folder below."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        cv2.imwrite(str(folder / name), picture(seed, (60 + seed, 90)))
    return folder


def detect(here, source, *more):  # noqa: F811
    return ["detect", source, "--weights", here / "w.safetensors",
            "--score-threshold", 0.0, "--keep", 2, *more]


def files(folder):
    return sorted(path.relative_to(folder).as_posix()
                  for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------- what stays as it is

@pytest.mark.parametrize("out", ["photos", "photos/", "link", "photos/../photos"])
def test_no_picture_of_a_folder_is_overwritten(capsys, here, photos, out):  # noqa: F811
    (photos.parent / "link").symlink_to(photos)
    before = [(photos / name).read_bytes() for name in NAMES]
    code, printed, err = call(capsys, *detect(here, photos, "--out", f"{photos.parent}/{out}"))
    assert code == 2 and not printed and "is the input" in err and "such as drawn/" in err
    assert [(photos / name).read_bytes() for name in NAMES] == before
    assert files(photos) == NAMES


def test_a_folder_above_may_hold_a_source_too(capsys, here, photos):  # noqa: F811
    """photos/sub/a.png, seen from sub/, is drawn to photos/a.png: another one."""
    (photos / "sub/sub").mkdir()
    (photos / "sub/sub/a.png").write_bytes((photos / "sub/a.png").read_bytes())
    code, _, err = call(capsys, *detect(here, photos / "sub", "--out", photos))
    assert code == 2 and "sub/a.png itself" in err


@pytest.mark.parametrize("make", [os.link, os.symlink])
def test_a_picture_is_not_overwritten_through_a_link(capsys, here, photos, make):  # noqa: F811
    source, link = photos / "a.png", photos.parent / "new.png"
    make(source, link)
    before = source.read_bytes()
    for out in (link, source):
        code, _, err = call(capsys, *detect(here, source, "--out", out))
        assert code == 2 and "is the input" in err and "such as" in err
    assert source.read_bytes() == before


@pytest.mark.parametrize("command", ["detect", "demo"])
def test_a_video_is_not_overwritten(capsys, here, tmp_path, command):  # noqa: F811
    film = tmp_path / "film.avi"
    film.write_bytes(b"not looked at")
    for out in (film, tmp_path):
        code, _, err = call(capsys, command, film, "--weights", here / "w.safetensors",
                            "--out", out)
        assert code == 2 and "is the input" in err and "film-new.avi" in err
    assert film.read_bytes() == b"not looked at"


def test_pruned_weights_do_not_replace_the_whole_ones(capsys, here, tmp_path):  # noqa: F811
    weights = tmp_path / "model.safetensors"
    weights.write_bytes((here / "w.safetensors").read_bytes())
    code, _, err = call(capsys, "prune", "--weights", weights, "--data",
                        f"rec:{here}/squares.rec", "--ratio", .3, "--out", tmp_path)
    assert code == 2 and "is the input" in err
    assert weights.read_bytes() == (here / "w.safetensors").read_bytes()


# -------------------------------------------------------------- what --out means

def test_one_picture_goes_where_it_is_told(capsys, here, photos, tmp_path):  # noqa: F811
    (tmp_path / "there").mkdir()
    for out, path in (("there", "there/a.jpg"), ("new/", "new/a.jpg"),
                      ("deep/er/b.png", "deep/er/b.png"), ("c.bmp", "c.bmp"),
                      ("d.webp", "d.webp"), ("e.TIF", "e.TIF"), ("f.jfif", "f.jfif")):
        if Path(path).suffix.lower() not in drawing.DRAWN_SUFFIXES:
            continue
        before = set(files(tmp_path))
        value(capsys, *detect(here, photos / "a.jpg", "--out", f"{tmp_path}/{out}"))
        assert set(files(tmp_path)) - before == {path}
        assert Image.open(tmp_path / path).size == (90, 61)


@pytest.mark.parametrize("out, words", [
    ("drawn", "drawn.png, or of a folder, such as"), ("a.xyz", "ends in .jpg"),
    ("photos/a.jpg/b.png", "is a file, expected a folder")])
def test_a_name_that_means_nothing_is_refused_first(capsys, here, photos,  # noqa: F811
                                                    out, words, monkeypatch):
    monkeypatch.setattr(Detector, "from_weights", None)       # never asked for
    code, printed, err = call(capsys, *detect(here, photos / "a.jpg", "--out",
                                              photos.parent / out))
    assert code == 2 and not printed and words in err and err.count("\n") == 1


def test_what_cannot_be_written_is_said_first(here, photos, monkeypatch):  # noqa: F811
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="photos is not writable"):
        outputs.check_target(photos / "new.png")
    with pytest.raises(ValueError, match="is there and cannot be written"):
        outputs.check_target(photos / "a.png")
    with pytest.raises(ValueError, match="--crops: the folder .*photos is not"):
        outputs.check_folder(photos / "b/c", "--crops")


def test_a_folder_keeps_its_folders_and_stems(capsys, here, photos, tmp_path):  # noqa: F811
    got = value(capsys, *detect(here, photos, "--out", tmp_path / "drawn"))
    assert list(got) == NAMES == files(tmp_path / "drawn")
    for seed, name in enumerate(NAMES):
        assert pictures.read_size(tmp_path / "drawn" / name) == (60 + seed, 90)
    # Drawn once more, into a folder below: what is drawn there is no picture.
    for _ in range(2):
        again = value(capsys, *detect(here, photos, "--out", photos / "drawn", "--crops",
                                      photos / "crops"))
        assert again == got
    code, _, err = call(capsys, *detect(here, photos, "--out", tmp_path / "a.png"))
    assert code == 2 and "written to a folder" in err


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "new/a.png"
    with replacing(path) as file:
        file.write(b"old")
        assert not path.exists()
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"old" and files(tmp_path) == ["new/a.png"]


# -------------------------------------------------------- what goes on, and what stops

def test_one_bad_picture_is_named_and_the_rest_go_on(capsys, here, photos, tmp_path):  # noqa: F811
    whole = value(capsys, *detect(here, photos))
    (photos / "a.jpg").write_bytes((photos / "a.jpg").read_bytes()[:300])
    lines = tmp_path / "lines.jsonl"
    code, printed, err = call(capsys, *detect(here, photos, "--out", lines), "--json")
    assert code == 1 and "a.jpg" in err and "1 of 4 pictures" in err
    del whole["a.jpg"]
    assert json.loads(printed) == whole
    assert {row["image"]: row["detections"] for row in
            map(json.loads, lines.read_text().splitlines())} == whole
    whole_ones = [path for path in photos.rglob("*.png")]
    for path in whole_ones:
        path.write_bytes(b"none")
    code, printed, err = call(capsys, *detect(here, photos, "--labels", "yolo", "--out",
                                              tmp_path / "none"))
    assert code == 1 and "4 of 4 pictures" in err and "nothing found" in printed
    code, printed, err = call(capsys, *detect(here, photos, "--bad", "error"))
    assert code == 2 and "a.b.png" in err and not printed
    assert call(capsys, *detect(here, photos / "a.jpg"))[0] == 2


def test_labels_are_written_though_nobody_reads_the_table(here, photos):  # noqa: F811
    words = " ".join(f"'{word}'" for word in detect(here, photos, "--out", photos.parent / "set",
                                                    "--labels", "csv"))
    done = subprocess.run(["bash", "-c", f"'{sys.executable}' -m dsod_d2l {words} | :"], cwd=ROOT,
                          capture_output=True, timeout=120,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert not done.stderr and (photos.parent / "set/labels.csv").is_file()


def test_a_name_that_cannot_be_printed_costs_nothing(here, photos):  # noqa: F811
    odd = os.fsencode(photos / "a.png")[:-5] + b"\xff.png"
    os.rename(photos / "a.png", odd)
    done = subprocess.run(
        [sys.executable, "-m", "dsod_d2l", *map(str, detect(here, photos, "--out",
                                                            photos.parent / "d"))],
        cwd=ROOT, capture_output=True, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert b"\\udcff.png" in done.stdout and b"sub/a.png" in done.stdout
    assert b"\xff.png" in b" ".join(os.listdir(os.fsencode(photos.parent / "d")))


@pytest.mark.parametrize("error, code", [(KeyboardInterrupt, 130), (OSError, 2)])
def test_what_is_done_stays_when_it_stops(capsys, here, photos, tmp_path,  # noqa: F811
                                          monkeypatch, error, code):
    whole, real, seen = value(capsys, *detect(here, photos)), drawing.save_detections, []

    def draw(path, found, least):
        if len(seen) == 2:
            raise error("the disk is full")
        seen.append(real(path, found, least))
    monkeypatch.setattr(drawing, "save_detections", draw)
    got, printed, err = call(capsys, *detect(here, photos, "--out", tmp_path / "d", "--crops",
                                             tmp_path / "c"), "--json")
    assert got == code and "2 of 4 pictures are done" in err
    assert json.loads(printed) == {name: whole[name] for name in NAMES[:2]}
    assert files(tmp_path / "d") == NAMES[:2]


def test_ctrl_c_leaves_what_is_done(here, tmp_path):  # noqa: F811
    """In a process of its own: enough pictures for it to come in between."""
    (tmp_path / "many").mkdir()
    data = cv2.imencode(".png", picture())[1].tobytes()
    for number in range(3000):
        (tmp_path / f"many/{number:04d}.png").write_bytes(data)
    lines = tmp_path / "lines.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "dsod_d2l", *map(str, detect(here, tmp_path / "many", "--out",
                                                            lines))],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and not (lines.exists() and lines.stat().st_size):
        time.sleep(.02)
    process.send_signal(signal.SIGINT)
    printed, err = process.communicate(timeout=120)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert process.returncode == 130 and 0 < len(rows) < 3000
    done = int(re.search(r"stopped: (\d+) of 3000 pictures are done", err)[1])
    # The signal may come between a picture's line and the end of its work.
    assert len(rows) - done in (0, 1)
    assert f"{done - 1:04d}.png" in printed and f"{len(rows):04d}.png" not in printed


def test_a_table_is_printed_before_a_picture_fails(capsys, here, tmp_path,  # noqa: F811
                                                   monkeypatch):
    from dsod_d2l.workbench.checking import figure

    def fail(*_):
        raise OSError("the disk is full")
    monkeypatch.setattr(figure, "save_report", fail)
    options = ["data", "check", f"rec:{here}/squares.rec", "--out", tmp_path / "a.png"]
    code, printed, err = call(capsys, *options)
    assert code == 2 and "square" in printed and "the disk is full" in err
    code, printed, err = call(capsys, *options, "--json")
    assert code == 2 and json.loads(printed)["images"] == 8


# -------------------------------------------------------------------- labels, crops

@pytest.mark.parametrize("kind, address", [
    ("yolo", "yolo:{}"), ("voc", "voc:{}"), ("csv", "csv:{}/labels.csv"),
    ("coco", "coco:{}/annotations/instances_train.json")])
def test_labels_are_read_by_our_own_readers(capsys, here, photos, tmp_path,  # noqa: F811
                                            kind, address):
    if kind == "voc":
        (photos / "a.b.png").unlink()        # its reader takes .b for an ending
    got = value(capsys, *detect(here, photos, "--out", tmp_path / "set", "--labels", kind))
    dataset = open_dataset(address.format(tmp_path / "set"))
    assert dataset.classes == ("square",) and len(dataset) == len(got)
    seen = []
    for sample, entry in ((dataset[row], dataset.entry(row)) for row in range(len(dataset))):
        height, width = sample.image.shape[:2]
        name = NAMES[height - 60]          # each picture has a height of its own
        seen.append(name)
        wanted = [row["box"] for row in got[name]]
        np.testing.assert_allclose(entry.boxes * [width, height, width, height], wanted,
                                   atol=.011)
        assert (entry.labels == 0).all()
    assert sorted(seen) == sorted(got)
    code, _, err = call(capsys, *detect(here, photos, "--out", tmp_path / "set", "--labels",
                                        kind))
    assert code == 2 and "empty or not there" in err


def test_labels_need_a_folder_and_pictures(capsys, here, photos, tmp_path):  # noqa: F811
    code, _, err = call(capsys, *detect(here, photos, "--labels", "yolo"))
    assert code == 2 and "--labels needs --out" in err
    (tmp_path / "a.avi").write_bytes(b"")
    code, _, err = call(capsys, *detect(here, photos, "--frames", 3))
    assert code == 2 and "--frames goes with a video" in err
    code, _, err = call(capsys, *detect(here, tmp_path / "a.avi", "--labels", "yolo"))
    assert code == 2 and "not a video" in err


def test_boxes_too_small_for_a_label_are_counted(photos):
    boxes = np.array([[1, 1, 1.5, 9], [1, 1, 9, 9]]) / [90, 60, 90, 60]
    found = Detections(np.array([0, 0]), np.array([.9, .8]), boxes, (60, 90),
                       classes=("a",), picture=photos / "a.b.png")
    text = found_files.save_labels(photos / "new", "voc", {"a.b.png": found}, ("a",))
    assert "1 pictures with 1 objects" in text and "1 boxes of less than a pixel" in text


def test_crops_of_a_folder(capsys, here, photos, tmp_path):  # noqa: F811
    got = value(capsys, *detect(here, photos, "--crops", tmp_path / "crops"))
    assert files(tmp_path / "crops") == sorted(
        f"square/{name}-{k}.png" for name in NAMES for k in (1, 2))
    assert got.keys() == set(NAMES)
    code, _, err = call(capsys, *detect(here, photos, "--crops", photos))
    assert code == 2 and "give another one" in err


def test_crops_do_not_lie_among_the_pictures(capsys, here, photos):  # noqa: F811
    shown = photos.rename(photos.parent / "square")
    code, out, err = call(capsys, *detect(here, shown, "--crops", photos.parent))
    assert (code, out) == (2, "") and "square, where the pictures are: give another" in err
    assert files(shown) == NAMES


@pytest.mark.skipif(not pictures.LACKING, reason="pillow-heif is there")
def test_a_picture_that_lacks_its_plug_in_is_told_so(capsys, here, photos):  # noqa: F811
    (photos / "b.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    code, out, err = call(capsys, *detect(here, photos))
    assert code == 1 and "a.png" in out and "b.HEIC: pictures of this kind are read with pillow-heif" in err
    assert "1 of 5 pictures could not be read" in err
    code, out, err = call(capsys, *detect(here, photos / "b.HEIC"))
    assert (code, out) == (2, "") and "pip install pillow-heif" in err


def test_crops_are_the_pixels_of_the_boxes(tmp_path):
    """Each pixel that a box touches; one at least; the picture's edge is one."""
    image = picture()
    boxes = np.array([[10.25, 5.5, 20, 30.125], [80, 50, 90, 60], [7.25, 7.25, 7.5, 7.5]])
    found = Detections(np.array([0, 1, 0]), np.array([.9, .8, .7]), boxes / [90, 60, 90, 60],
                       (60, 90), classes=("a", "b"))
    paths = found_files.save_crops(tmp_path, "deep/x.jpg", found, image)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "a/deep/x.jpg-1.png", "b/deep/x.jpg-2.png", "a/deep/x.jpg-3.png"]
    for path, wanted in zip(paths, (image[5:31, 10:20], image[50:, 80:], image[7:8, 7:8])):
        np.testing.assert_array_equal(pictures.read_image(path), wanted)


@pytest.mark.parametrize("name", ["../up", "a/b", "..", "a:b", "nul\x00", "dot.", "c\\d"])
def test_a_class_of_any_name_has_a_folder_inside(tmp_path, name):
    folder = found_files.class_folder(["cat", name], 1)
    assert folder.startswith("1-") and "/" not in folder and "\\" not in folder
    (tmp_path / folder).mkdir()


# ------------------------------------------------------------------------- devices

@pytest.mark.parametrize("words", [
    ["train", "--data", "rec:{}/squares.rec", "--out", "{}/x", "--steps", "1"],
    ["train", "--data", "rec:{}/squares.rec", "--dry-run"],
    ["evaluate", "--weights", "{}/w.safetensors", "--data", "rec:{}/squares.rec"],
    ["prune", "--weights", "{}/w.safetensors", "--data", "rec:{}/squares.rec", "--ratio", ".5"],
    ["detect", "{}/images", "--weights", "{}/w.safetensors"],
    ["launch", "--workers", "2", "--", "train", "--data", "rec:{}/squares.rec", "--out", "{}/x",
     "--steps", "1"],
    ["demo", "{}/film.avi", "--weights", "{}/w.safetensors"]])
def test_a_gpu_that_is_not_there_is_an_error(capsys, here, words):  # noqa: F811
    import mxnet as mx
    if mx.context.num_gpus():
        pytest.skip("there is one")
    writer = cv2.VideoWriter(str(here / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (90, 60))
    writer.write(picture())
    writer.release()
    code, printed, err = call(capsys, *[word.format(here) for word in words], "--device", "gpu")
    assert code == 2 and not printed and err.count("\n") == 1
    assert "--device gpu: there is none to be used, this MXNet is built without" in err
    assert not (here / "x").exists()


# ------------------------------------------------------------- what others have written

@pytest.mark.parametrize("suffix", outputs.DRAWN_SUFFIXES)
def test_a_drawing_is_marked_and_read(tmp_path, suffix):
    """Ours may be replaced, in every format; the mark is no part of the picture."""
    path, image = tmp_path / f"a{suffix}", picture(0, (40, 60))
    outputs.save_picture(path, Image.fromarray(image))
    outputs.check_target(path)
    seen = pictures.read_image(path)
    assert seen.shape == image.shape
    assert np.abs(seen.astype(int) - image).mean() < 12
    Image.fromarray(image).save(path)                  # somebody else's, same pixels
    with pytest.raises(ValueError, match="written by something else"):
        outputs.check_target(path)


@pytest.mark.parametrize("out", ["mine.jpg", "mine.png", "mine.bmp", "mine.json",
                                 "mine.jsonl", "d/a.jpg"])
def test_nothing_of_others_is_replaced(capsys, here, photos, tmp_path, out):  # noqa: F811
    (tmp_path / "d").mkdir()
    path = tmp_path / out
    if path.suffix.startswith(".json"):                # CreateML's labels begin so
        path.write_text('[{"image": "a.jpg", "annotations": []}]')
    else:
        cv2.imwrite(str(path), picture(5))
    before = path.read_bytes()
    source, target = (photos, "d") if "/" in out else (photos / "a.jpg", out)
    words = detect(here, source, "--out", tmp_path / target)
    code, printed, err = call(capsys, *words)
    assert code == 2 and not printed and "written by something else" in err
    assert err.count("\n") == 1 and path.read_bytes() == before
    path.unlink()
    for _ in range(2):                                 # what is ours is
        assert call(capsys, *words)[0] == 0
    assert path.exists()


@pytest.mark.parametrize("suffix", video.VIDEO_CODECS)
def test_a_film_of_others_is_not_replaced(capsys, here, tmp_path, suffix):  # noqa: F811
    film, out = tmp_path / "film.avi", tmp_path / f"out{suffix}"
    with video.VideoWriter(film, 10, (60, 90)) as writer:
        for _ in range(4):
            writer.write(picture())
    out.write_bytes(b"somebody's film")
    words = detect(here, film, "--out", out)
    code, _, err = call(capsys, *words)
    assert code == 2 and "written by something else" in err
    assert out.read_bytes() == b"somebody's film"
    out.unlink()
    for _ in range(2):
        assert value(capsys, *words)["frames"] == 4
    with video.VideoReader(out) as reader:             # the mark is no frame
        assert len(list(reader)) == 4


def test_crops_of_others_are_not_replaced(capsys, here, photos, tmp_path):  # noqa: F811
    path = tmp_path / "c/square/a.jpg-1.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody's picture")
    words = detect(here, photos / "a.jpg", "--crops", tmp_path / "c")
    code, printed, err = call(capsys, *words)
    assert code == 2 and not printed and "--crops: " in err and "another folder" in err
    assert path.read_bytes() == b"somebody's picture"
    path.unlink()
    for _ in range(2):
        assert call(capsys, *words)[0] == 0


@pytest.mark.parametrize("name", ["comp4_det_test_square.txt", "detections.json",
                                  "evaluation.json", "curves.png"])
def test_a_report_replaces_nothing_of_others(capsys, here, tmp_path, name):  # noqa: F811
    path = tmp_path / name
    path.write_text("somebody's")
    code, printed, err = call(
        capsys, "evaluate", "--data", f"rec:{here}/squares.rec", "--weights",
        here / "w.safetensors", "--out", tmp_path, "--save",
        "voc" if name.startswith("comp4") else "coco")
    assert code == 2 and not printed and name in err
    assert path.read_text() == "somebody's"


@pytest.mark.parametrize("name, more", [
    ("model.safetensors", ["--ratio", .3]), ("sensitivity.json", ["--scan", .3]),
    ("sensitivity.png", ["--scan", .3])])
def test_pruning_replaces_nothing(capsys, here, tmp_path, name, more):  # noqa: F811
    path = tmp_path / name
    path.write_text("somebody's")
    code, printed, err = call(
        capsys, "prune", "--data", f"rec:{here}/squares.rec", "--weights",
        here / "w.safetensors", "--out", tmp_path, *more)
    assert code == 2 and not printed and name in err and "would be lost" in err
    assert path.read_text() == "somebody's"


def test_a_folder_that_is_none_is_said(capsys, photos):
    for words in (["standin", "--train", 1, "--val", 1], ["pikachu"], ["download", "voc2007"]):
        code, _, err = call(capsys, "data", *words, "--folder", photos / "a.jpg")
        assert code == 2 and "a.jpg is a file, expected a folder" in err
