"""Conversion: every format to every other one and back, nothing lost."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import datasets
from dsod_d2l.workbench.formats import addresses, voc, writers
from dsod_d2l.workbench.formats.conversion import convert
from dsod_d2l.datasets.sample import Entry
from small_sets import CLASSES, IMAGES, Small, assert_same, in_pixels

# What to write, and what to open.
FORMATS = {"voc": ("voc:{}/v:val", "voc:{}/v:val"),
           "coco": ("coco:{}/c:val", "coco:{}/c:val"),
           "yolo": ("yolo:{}/y:val", "yolo:{}/y:val"),
           "csv": ("csv:{}/t/a.csv", "csv:{}/t/a.csv"),
           "rec": ("rec:{}/r/a.rec", "rec:{}/r/a.rec")}


def through(dataset, kind, folder):
    """Write a data set in one format and open it again."""
    target, spec = (text.format(folder) for text in FORMATS[kind])
    done = convert(dataset, target)
    assert done.images == len(dataset) and not done.skipped
    assert Path(done.path).exists() and not done.renamed
    split = {"split": "val"} if kind == "coco" else {}
    return addresses.open_dataset(spec, **split)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_back_what_was_written(tmp_path, kind):
    found = through(Small(), kind, tmp_path)
    assert_same(found, Small())
    for index, (_, height, width, rows) in enumerate(IMAGES):
        sample = found[index]
        assert sample.image.shape == (height, width, 3)
        assert sample.boxes.dtype == np.float32
        assert sample.difficult.tolist() == [bool(row[2][0]) for row in rows]
        crowd = [bool(row[2][3]) for row in rows]
        assert (sample.crowd.tolist() if any(crowd) else sample.crowd) == (
            crowd if any(crowd) else None)


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_every_format_to_every_other_and_back(tmp_path, first, second):
    there = through(Small(), first, tmp_path / "1")
    other = through(there, second, tmp_path / "2")
    assert_same(through(other, first, tmp_path / "3"), Small())


@pytest.mark.parametrize("kind", FORMATS)
def test_real_voc_files_through_every_format_and_back(tmp_path, kind):
    root = os.environ.get("DSOD_REAL_DATA")
    if not root:
        pytest.skip("DSOD_REAL_DATA is not set")
    spec = f"voc:{root}/bccd/BCCD:val"
    with pytest.raises(ValueError, match="BloodImage_00338.xml, object 12 "
                       r"\(line 158\): xmin 504 is not below xmax 504."):
        addresses.open_dataset(spec)
    with pytest.warns(UserWarning, match="1 of 87 images are faulty"):
        real = addresses.open_dataset(spec, bad="skip")
    assert len(real) == 86 and len(real.skipped) == 1
    back = through(through(real, kind, tmp_path / "1"), "voc", tmp_path / "2")
    assert_same(back, real, digits=9)         # whole pixels stay whole
    assert real.entry(3).flags[:, 1].any()


def test_fractions_of_six_digits_survive_pixels(tmp_path):
    class Fractions(Small):
        def entry(self, index):
            rng = np.random.default_rng(index)
            low = rng.uniform(0, .5, (3, 2))
            boxes = np.hstack([low, low + rng.uniform(.1, .5, (3, 2))])
            return Entry(IMAGES[index][0], boxes.round(6), np.arange(3),
                         np.zeros((3, 4), bool), None, "here")
    for kind in ("voc", "coco", "csv", "yolo"):
        found = through(Fractions(), kind, tmp_path / kind)
        for index in range(len(IMAGES)):
            np.testing.assert_allclose(found.entry(index).boxes,
                                       Fractions().entry(index).boxes,
                                       atol=3e-7, rtol=0)


def test_what_voc_files_say(tmp_path):
    convert(Small(), f"voc:{tmp_path}")
    text = (tmp_path / "Annotations/b.xml").read_text()
    assert "<width>50</width><height>30</height>" in text
    # 1-based, the last pixel included: edges 10 and 20 are pixels 11 to 20.
    assert ("<name>Tür &amp; &lt;b&gt;</name><difficult>0</difficult>"
            "<truncated>1</truncated><bndbox><xmin>11</xmin><ymin>11</ymin>"
            "<xmax>20</xmax><ymax>20</ymax></bndbox>") in text
    assert "<xmin>2.25</xmin>" in (
        tmp_path / "Annotations/deep/d.xml").read_text()
    assert (tmp_path / "ImageSets/Main/train.txt").read_text() == (
        "a\nb\nc\ndeep/d\n")


def test_what_yolo_files_say(tmp_path):
    convert(Small(), f"yolo:{tmp_path}")
    assert (tmp_path / "labels/a.txt").read_text() == (
        "0 0.3333333333 0.375 0.3333333333 0.5\n")
    assert (tmp_path / "labels/c.txt").read_text() == ""
    assert (tmp_path / "classes.txt").read_text().split("\n")[:3] == list(
        CLASSES)
    assert "labels/b.txt,3,0,0,1,1" in (tmp_path / "flags.csv").read_text()


def test_pycocotools_reads_what_was_written(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    done = convert(Small(), f"coco:{tmp_path}")
    table = coco.COCO(done.path)
    assert [row["name"] for row in table.cats.values()] == list(CLASSES)
    rows = table.imgToAnns[2]
    assert [row["bbox"] for row in rows] == [[0, 0, 50, 30], [10, 10, 10, 10],
                                             [20, 10, 13, 10]]
    assert [row["iscrowd"] for row in rows] == [0, 0, 1]
    assert rows[2]["area"] == 130 and rows[0]["difficult"] == 1


def test_two_splits_share_a_folder_and_nothing_is_replaced(tmp_path):
    for kind in ("voc", "coco", "yolo"):
        convert(datasets.Subset(Small(), [0, 1]), f"{kind}:{tmp_path}/{kind}:a")
        convert(datasets.Subset(Small(), [2, 3]), f"{kind}:{tmp_path}/{kind}:b")
        for part, wanted in (("a", [0, 1]), ("b", [2, 3])):
            found = addresses.open_dataset(f"{kind}:{tmp_path}/{kind}:{part}")
            assert_same(found, datasets.Subset(Small(), wanted))
        with pytest.raises(FileExistsError, match="is there already"):
            convert(Small(), f"{kind}:{tmp_path}/{kind}:a")
    with pytest.raises(ValueError, match="has the classes cat, big dog"):
        class Other(Small):
            classes = ("x", "y", "z")
        convert(Other(), f"voc:{tmp_path}/voc:c")


def test_names_that_clash_get_a_number(tmp_path):
    twice = datasets.Combined([Small(), Small()])
    done = convert(twice, f"voc:{tmp_path}/v")
    assert sorted(done.renamed.values()) == ["a_1.jpg", "b_1.jpg", "c_1.jpg",
                                             "deep/d_1.png"]
    found = voc.VOC(tmp_path / "v")
    assert len(found) == 8
    assert found.entry(5).boxes.tolist() == found.entry(1).boxes.tolist()


def test_a_box_that_voc_cannot_hold_is_an_error_or_counted(tmp_path):
    class Tiny(Small):
        def entry(self, index):
            entry = super().entry(index)
            if index == 1:
                entry.boxes[0, 2] = entry.boxes[0, 0] + .5 / 50
            return entry
    with pytest.raises(ValueError, match="image 1, object 0: a VOC file"):
        convert(Tiny(), f"voc:{tmp_path}/a")
    done = convert(Tiny(), f"voc:{tmp_path}/b", bad="skip")
    assert done.images == 3 and "one pixel" in done.skipped[0].reason
    assert len(voc.VOC(tmp_path / "b")) == 3


def test_what_cannot_be_converted_is_one_sentence(tmp_path):
    for target in ("voc", "voc:", "tfrecord:a", "csv:a.txt", "rec:a"):
        with pytest.raises(ValueError, match="^target must .*\\.$"):
            convert(Small(), target)

    class Lies(Small):
        def entry(self, index):
            return super().entry(index)._replace(size=(40, 61))
    with pytest.raises(ValueError, match="image 0: the file states 61 x 40 "
                                         "pixels, the image has 60 x 40."):
        convert(Lies(), f"voc:{tmp_path}")

    class Line(Small):
        classes = ("a", "b\nc", "d")
    with pytest.raises(ValueError, match="the class name .* cannot be"):
        convert(Line(), f"voc:{tmp_path}")


def test_nothing_warns_on_the_way(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in FORMATS:
            through(Small(), kind, tmp_path / kind)


# --- every name and every kind of picture -------------------------------------

FORMS = ["plain.jpg", "a.b.c.png", "a.rf.0f3.jpg", "a b.jpg", "photo 1.jpg",
         "a%20b.jpg", "a+b?.jpg", "\u00fc.jpg", "u\u0308.jpg", "UP.JPG",
         "twice.jpg", "twice.png", "deep/er/plain.jpg", "train/t.jpg",
         "val/t.jpg", "images/i.jpg", "labels/i.jpg", "~t.jpg", "classes.jpg",
         "train.jpg", ".hidden.jpg", ".folder/h.jpg", "noend", "two.jpg.png",
         "#1.jpg", "&,;'\".jpg", "<x>.jpg", "001.jpg", "1.jpg", "-1.jpg",
         "null.jpg", "b.bmp", "g.gif", "j.jfif", "t.tif", "w.webp", "a\\s.jpg",
         "__MACOSX/m.jpg", "c:d.jpg", "../up.jpg", "x.dat", "Thumbs.db.jpg"]
KINDS = {".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF", ".webp": "WEBP",
         ".png": "PNG"}


class Named:
    """A picture of each name, each with a box of its own and other bytes."""

    classes = CLASSES

    def __len__(self):
        return len(FORMS)

    def entry(self, index):
        return Entry(FORMS[index], np.array([[.1, .2, .3 + index / 100, .9]]),
                     np.array([index % 3]), np.zeros((1, 4), bool), (20, 30),
                     f"image {index}")

    def encoded(self, index):
        file = io.BytesIO()
        Image.fromarray(np.full((20, 30, 3), index, np.uint8)).save(
            file, KINDS.get(Path(FORMS[index]).suffix.lower(), "JPEG"))
        return file.getvalue()

    def size(self, index):
        return 20, 30


def by_bytes(dataset):
    """Return {bytes of an image: (boxes in pixels, class, name)}."""
    return {dataset.encoded(row): (in_pixels(dataset, row).round(4).tolist(),
                                   dataset.entry(row).labels.tolist(),
                                   dataset.entry(row).name)
            for row in range(len(dataset))}


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", [*FORMATS, "yolo:{}/y", "voc:{}/v"])
def test_what_is_written_is_read_whatever_its_name(tmp_path, first, second):
    wanted = by_bytes(Named())
    assert len(wanted) == len(FORMS)
    convert(Named(), FORMATS[first][0].format(tmp_path / "1"))
    there = addresses.open_dataset(FORMATS[first][1].format(tmp_path / "1"),
                                   "val" if first == "coco" else None)
    target, spec = FORMATS.get(second, (second, second))
    convert(there, target.format(tmp_path / "2"))
    found = addresses.open_dataset(spec.format(tmp_path / "2"),
                                   "val" if second == "coco" else None)
    for one in (there, found):
        here = by_bytes(one)
        assert len(one) == len(FORMS) and set(here) == set(wanted)
        for data, (boxes, labels, name) in here.items():
            np.testing.assert_allclose(boxes, wanted[data][0], atol=1e-3)
            assert labels == wanted[data][1]
            said = wanted[data][2]
            if said in FORMS[:10]:
                assert name == said
        for row in range(len(one)):
            assert one[row].image.shape == (20, 30, 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_set_is_never_written_over_its_source(tmp_path, kind):
    target, spec = (text.format(tmp_path) for text in FORMATS[kind])
    convert(Small(), target)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")
              if path.is_file()}
    split = {"split": "val"} if kind == "coco" else {}
    source = addresses.open_dataset(spec, **split)
    with pytest.raises(FileExistsError, match="is there already"):
        convert(source, target)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*")
                      if path.is_file()}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stop_on_the_way_leaves_no_half_set(tmp_path, kind):
    class Stops(Small):
        def encoded(self, index):
            if index == 2:
                raise ValueError("image 2 cannot be read.")
            return super().encoded(index)
    target = FORMATS[kind][0].format(tmp_path)
    with pytest.raises(ValueError, match="image 2 cannot"):
        convert(Stops(), target)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert convert(Small(), target).images == 4          # nothing is there


def test_a_list_of_im2rec_is_not_replaced(tmp_path):
    (tmp_path / "a.lst").write_text("0\t2\t5\t0\t.1\t.1\t.9\t.9\tx.jpg\n")
    with pytest.raises(FileExistsError, match="a.lst is there already"):
        convert(Small(), f"rec:{tmp_path}/a.rec")
    assert not (tmp_path / "a.rec").exists()


def test_a_picture_has_its_name_once_it_is_whole(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        writers.write_new(tmp_path / "a.jpg", b"half")
    assert list(tmp_path.iterdir()) == []
