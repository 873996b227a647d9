"""Databases of Caffe: values put together by hand, byte by byte, are the oracle."""
import doctest
import multiprocessing
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor

import cv2
import lmdb
import numpy as np
import pytest

import dsod_d2l as dd
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.formats import caffe_lmdb
from dsod_d2l.workbench.formats.conversion import convert

LABELMAP = """item {
  name: "none_of_the_above"
  label: 0
  display_name: "background"
}
item { name: "7" label: 2 display_name: "traffic light" }
item {
  name: "cat"
  label: 1
}
"""


def varint(value):
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def number(field, value):
    return varint(field << 3) + varint(value)


def part(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def single(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


def box(xmin, ymin, xmax, ymax, difficult=None):
    """Return an Annotation: instance_id, and its NormalizedBBox."""
    sides = b"".join(single(k, value) for k, value in enumerate((xmin, ymin, xmax, ymax), 1))
    hard = b"" if difficult is None else number(6, difficult)
    return number(1, 0) + part(2, sides + hard + single(8, 0.1))


def jpeg(seed=0, height=40, width=60):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes(), pixels[..., ::-1]


def value(groups, image, encoded=1):
    """Return an AnnotatedDatum: {number of a class: Annotations}."""
    datum = (number(1, 3) + number(2, 40) + number(3, 60) + part(4, image)
             + number(5, 2**64 - 1) + number(7, encoded))
    return part(1, datum) + number(2, 0) + b"".join(
        part(3, number(1, label) + b"".join(part(2, one) for one in rows))
        for label, rows in groups.items())


def write(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=1 << 24) as database, database.begin(write=True) as view:
        for key, one in rows:
            view.put(key.encode(), one)
    return folder


ROWS = [("00000000_VOC2007/JPEGImages/9.jpg", value(
            {2: [box(0.1, 0.25, 0.5, 1.0), box(0, 0, 1, 0.5, 1)], 1: [box(0.5, 0.5, 0.75, 0.75, 0)]}, jpeg(0)[0])),
        ("00000001_VOC2007/JPEGImages/4.jpg", value({}, jpeg(1)[0])),
        ("00000002_VOC2007/JPEGImages/9.jpg", value({1: [box(1 / 60, 1 / 40, 1, 1)]}, jpeg(2)[0]))]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "labelmap_voc.prototxt").write_text(LABELMAP)
    return write(tmp_path / "trainval_lmdb", ROWS)


def opened(folder, **options):
    words = "&".join(f"{name}={text}" for name, text in
                     {"labelmap": folder.parent / "labelmap_voc.prototxt", **options}.items())
    return dd.open_dataset(f"lmdb:{folder}?{words}")


def test_examples():
    assert doctest.testmod(caffe_lmdb).failed == 0


def test_what_was_written_is_read(folder):
    data = opened(folder)
    assert data.classes == ("cat", "traffic light") and len(data) == 3
    first, empty, last = (data[row] for row in range(3))
    assert first.labels.tolist() == [1, 1, 0] and first.difficult.tolist() == [False, True, False]
    assert first.boxes == pytest.approx(np.array(
        [[0.1, 0.25, 0.5, 1], [0, 0, 1, 0.5], [0.5, 0.5, 0.75, 0.75]]), abs=1e-7)
    for seed, sample in enumerate((first, empty, last)):
        np.testing.assert_array_equal(sample.image, jpeg(seed)[1])
    assert empty.boxes.shape == (0, 4) and first.crowd is None
    assert [data.entry(row).name for row in range(3)] == [
        "VOC2007/JPEGImages/9.jpg", "VOC2007/JPEGImages/4.jpg", "00000002_VOC2007/JPEGImages/9.jpg"]
    assert data.size(0) == (40, 60) and data.encoded(1) == jpeg(1)[0]
    assert dd.open_dataset(f"lmdb:{folder / 'data.mdb'}?classes=a,b").classes == ("a", "b")


def test_pixels_of_voc_count_from_one(folder):
    """The script takes xmin = 1 of 60 for 1/60, where 0 is meant."""
    with pytest.warns(UserWarning, match="pixels counted from 0"):       # the first box of all
        found, = opened(folder, origin=1, bad="skip")[1].boxes
    assert found == pytest.approx([0, 0, 1, 1], abs=1e-6)


def test_other_orders_and_choices(folder):
    data = opened(folder, classes="traffic light,cat", difficult="drop")
    assert data.classes == ("traffic light", "cat")
    assert data[0].labels.tolist() == [0, 1] and len(data) == 3


def test_workers_and_copies_read_the_same(folder):
    """One process may open a database once; two data sets and forked workers have it in common."""
    data, twin = opened(folder), opened(folder)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for row, image in enumerate(pool.map(_image, [(data, k) for k in (0, 1, 2, 0)])):
            np.testing.assert_array_equal(image, jpeg(row % 3)[1])
    with ThreadPoolExecutor(8) as pool:
        for row, image in enumerate(pool.map(_image, [(data, k % 3) for k in range(200)])):
            np.testing.assert_array_equal(image, jpeg(row % 3)[1])
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy[2].image, twin[2].image)


def _image(job):
    return job[0][job[1]].image


def test_it_is_trained_on_and_converted(folder, tmp_path):
    data = opened(folder)
    done = convert(data, f"csv:{tmp_path / 'out' / 'a.csv'}")
    assert (done.images, done.objects) == (3, 4)
    again = dd.open_dataset(f"csv:{tmp_path / 'out' / 'a.csv'}")
    for mine, other in zip(data, again, strict=True):
        np.testing.assert_array_equal(mine.image, other.image)
        np.testing.assert_allclose(mine.boxes, other.boxes, atol=1e-6)
    fitted = dd.fit(dd.build("dsod_tiny", data.classes), data, dd.TrainConfig(
        steps=1, batch_size=2, held_back=0, workers=2), progress=False)
    assert dd.evaluate(fitted.net, data).objects == 3


BAD = [
    (b"", "the picture must be an image file"), (b"\xff" * 40, "AnnotatedDatum"),
    (ROWS[0][1][:200], "AnnotatedDatum"), (part(1, ROWS[0][1]), "AnnotatedDatum"),
    (number(1, 3), "AnnotatedDatum"), (value({}, b"no picture"), "no image|picture"),
    (value({}, bytes(3 * 40 * 60), encoded=0), "create_data.sh writes it by --encoded"),
    (value({3: [box(0, 0, 1, 1)]}, jpeg()[0]), "the class '3' is not one of cat, traffic light"),
    (value({0: [box(0, 0, 1, 1)]}, jpeg()[0]), "the class '0' is not one of"),
    (value({1: [box(0.5, 0, 0.5, 1)]}, jpeg()[0]), "box 0: xmin 30 is not below xmax 30"),
    (value({1: [box(0, 0, 1, 1), box(0, 0, 1.5, 1)]}, jpeg()[0]), "box 1: it leaves the image"),
    (value({1: [box(float("nan"), 0, 1, 1)]}, jpeg()[0]), "not a finite number"),
    (value({1: [number(1, 0)]}, jpeg()[0]), "box 0: xmin 0 is not below"),
    (value({1: [part(2, number(1, 2**63))]}, jpeg()[0]), "AnnotatedDatum|not below|finite"),
    (value({1: [part(2, part(1, b"xmin"))]}, jpeg()[0]), "AnnotatedDatum"),
]


@pytest.mark.parametrize("bad, said", BAD)
def test_a_bad_value_is_named_by_its_key(bad, said, tmp_path):
    (tmp_path / "labelmap_voc.prototxt").write_text(LABELMAP)
    folder = write(tmp_path / "a", [*ROWS[:2], ("00000007_bad.jpg", bad)])
    with pytest.raises(ValueError, match=said) as caught:
        opened(folder)
    text = str(caught.value)
    assert "key 00000007_bad.jpg" in text and "\n" not in text and len(text) < 500
    with pytest.warns(UserWarning, match="1 of 3 images are faulty and left out"):
        assert len(opened(folder, bad="skip")) == 2


def test_values_damaged_at_random_never_make_more_than_a_sentence(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for row in range(300):
        damaged = bytearray(ROWS[0][1])
        for place in rng.choice([*range(30), *range(len(damaged) - 130, len(damaged))], 3):
            damaged[place] = rng.integers(256)
        rows.append((f"{row:08d}_a{row}.png", bytes(damaged)))
    (tmp_path / "labelmap_voc.prototxt").write_text(LABELMAP)
    with pytest.warns(UserWarning, match="of 300 images are faulty"):
        data = opened(write(tmp_path / "a", rows), bad="skip")
    assert all("\n" not in fault.reason for fault in data.faults)


@pytest.mark.parametrize("make, said", [
    (lambda folder: None, "is no folder with a database (data.mdb) that LMDB can read"),
    (lambda folder: folder.mkdir(), "is no folder with a database (data.mdb) that LMDB can read"),
    (lambda folder: (folder.mkdir(), (folder / "data.mdb").write_bytes(b"")), "that LMDB can read"),
    (lambda folder: (folder.mkdir(), (folder / "data.mdb").write_bytes(b"no" * 9000)), "that LMDB can read"),
    (lambda folder: write(folder, []), "at least one sound image")])
def test_what_is_no_database(make, said, tmp_path, capsys):
    make(tmp_path / "a")
    words = f"lmdb:{tmp_path / 'a'}?classes=cat"
    assert main(["data", "convert", words, f"csv:{tmp_path / 'b' / 'b.csv'}"]) == 2
    text = capsys.readouterr().err
    assert said in text and text.count("\n") == 1 and str(tmp_path / "a") in text


@pytest.mark.parametrize("least", [8192, 12000])
def test_a_file_cut_short_does_not_end_the_process(least, folder):
    path = folder / "data.mdb"
    path.write_bytes(path.read_bytes()[:least])
    with pytest.raises(ValueError, match="data.mdb is cut short: expected .* bytes, found"):
        opened(folder)


@pytest.mark.parametrize("text, said", [
    ("", "is no labelmap"), ("item { name: \"a\" }", "is no labelmap"),
    ("item { name: \"a\" label: 1 }\nitem { name: \"b\" label: 1 }", "a number of its own"),
    ("item { name: \"a\" label: 1 }\nitem { name: \"a\" label: 2 }", "'a' is there twice"),
    ("item { name: \"a\" label: 0 }", "expected class names"), ("item { label: 1 }", "expected class names"),
    (None, "labelmap_voc.prototxt")])
def test_labelmaps(text, said, folder):
    path = folder.parent / "labelmap_voc.prototxt"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        opened(folder)
    with pytest.raises(ValueError, match="say how they are called by labelmap=FILE or classes=A,B"):
        dd.open_dataset(f"lmdb:{folder}")


def test_without_lmdb(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(ValueError, match="needs lmdb, which is not installed: pip install lmdb$"):
        opened(folder)


def test_the_folder_alone_says_what_is_meant(folder):
    with pytest.raises(ValueError, match="expected lmdb:"):
        dd.open_dataset(str(folder))
