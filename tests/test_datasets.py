"""datasets: odd images, record sets with good and bad samples, specs, parts."""

import io
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import datasets
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.datasets import pictures, records
from dsod_d2l.datasets.recordio import write_payloads
from dsod_d2l.datasets.records import write_records

BOX = [.1, .2, .5, .9]


def photo(height=40, width=60):
    """A smooth picture whose corners differ, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / (width - 1), y * 255 / (height - 1),
                     np.full(x.shape, 80)], axis=-1).astype(np.uint8)


def encoded(pixels, kind="JPEG", mode=None, **options):
    picture = Image.fromarray(pixels)
    picture = picture.convert(mode) if mode else picture
    file = io.BytesIO()
    if kind == "JPEG":
        options = {"quality": 95, "subsampling": 0, **options}
    picture.save(file, kind, **options)
    return file.getvalue()


def close(found, expected, most=8):
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert found.flags.c_contiguous and found.flags.writeable
    worst = np.abs(found.astype(int) - expected).max()
    assert worst <= most, f"pixels differ by {worst}"


# --- images ------------------------------------------------------------------

def test_plain_jpeg_equals_pillow_and_mxnet():
    mx = pytest.importorskip("mxnet")
    data = encoded(photo())
    found = pictures.decode_image(data)
    close(found, photo())
    close(found, np.asarray(Image.open(io.BytesIO(data))), most=1)
    close(found, mx.image.imdecode(data).asnumpy(), most=3)


@pytest.mark.parametrize("kind, mode", [("PNG", None), ("BMP", None),
                                        ("PNG", "RGBA"), ("JPEG", "CMYK")])
def test_modes_that_keep_the_colours(kind, mode):
    close(pictures.decode_image(encoded(photo(), kind, mode)), photo())


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_greyscale(kind):
    grey = np.asarray(Image.fromarray(photo()).convert("L"))
    close(pictures.decode_image(encoded(grey, kind)), np.stack([grey] * 3, -1))


def test_greyscale_with_alpha_palette_and_one_bit():
    grey = np.asarray(Image.fromarray(photo()).convert("L"))
    close(pictures.decode_image(encoded(photo(), "PNG", "LA")),
          np.stack([grey] * 3, -1))
    few = np.where(photo() > 127, 255, 0).astype(np.uint8)
    close(pictures.decode_image(encoded(few, "PNG", "P")), few, most=0)
    bits = np.repeat(few[..., :1], 3, -1)
    close(pictures.decode_image(encoded(bits, "PNG", "1")), bits, most=0)


def test_transparent_pixels_become_white():
    rgba = np.dstack([photo(), np.zeros((40, 60), np.uint8)])
    rgba[:, 30:, 3] = 255
    found = pictures.decode_image(encoded(rgba, "PNG"))
    assert (found[:, :30] == 255).all()
    close(found[:, 30:].copy(), photo()[:, 30:], most=0)


def test_sixteen_bits_are_scaled():
    grey = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    found = pictures.decode_image(cv2.imencode(".png", grey)[1].tobytes())
    close(found, np.stack([grey // 257] * 3, -1).astype(np.uint8), most=1)
    colour = photo().astype(np.uint16) * 257
    found = pictures.decode_image(
        cv2.imencode(".png", colour[..., ::-1])[1].tobytes())
    close(found, photo(), most=1)


def saved(values, kind):
    """A picture of any numbers, written by Pillow or OpenCV."""
    if values.ndim == 3 or values.dtype == np.uint16 and kind != "TIFF":
        return cv2.imencode(f".{kind.lower()}", values[..., ::-1] if
                            values.ndim == 3 else values)[1].tobytes()
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


RAMP = np.tile(np.arange(0, 256, 5, np.uint8), (9, 1))      # 0 to 255


def test_why_a_picture_is_not_read(tmp_path):
    double = np.zeros((3, 4), float)
    assert cv2.imwrite(str(tmp_path / "a.tif"), double)
    (tmp_path / "b.jpg").write_bytes(b"<!DOCTYPE html>")
    for name, words in (
            ("a.tif", r"a TIFF of 1 values a pixel, of 64 bits, floating; co"),
            ("b.jpg", r"UnidentifiedImageError, it begins with b'<!DOCTYPE h")
            ):
        for read in pictures.read_image, pictures.read_size:
            with pytest.raises(ValueError, match=rf"{name}: .*\({words}"):
                read(tmp_path / name)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_fewer_bits_than_sixteen_fill_the_range(kind, bits):
    grey = RAMP.astype(np.uint16) << (bits - 8)
    wanted = np.round(grey / (2 ** bits - 1) * 255).astype(int)
    close(pictures.decode_image(saved(grey, kind)),
          np.stack([wanted] * 3, -1), most=1)
    colour = np.stack([grey, grey // 2, grey[:, ::-1]], -1)
    close(pictures.decode_image(saved(colour, kind)), np.stack(
        [wanted, wanted // 2, wanted[:, ::-1]], -1), most=1)


@pytest.mark.parametrize("values, wanted", [
    (RAMP.astype(np.float32) / 255, RAMP),
    (RAMP.astype(np.float32), RAMP),
    (RAMP.astype(np.int32), RAMP),
    (RAMP.astype(np.int32) * 257, RAMP),
    (RAMP.astype(np.float32) / 255 - .5, RAMP),          # -0.5 to 0.5
    (RAMP.astype(np.int32) * 70000 + 9, RAMP),
    (RAMP.astype(np.float32) * 1e30, RAMP),
    ((RAMP > 99).astype(np.int32), (RAMP > 99) * 255),   # a mask of 0 and 1
    (RAMP.astype(np.int32) * 0, RAMP * 0)])
def test_numbers_that_are_no_bytes_are_scaled(values, wanted):
    close(pictures.decode_image(saved(values, "TIFF")),
          np.stack([wanted] * 3, -1).astype(int), most=1)


def test_numbers_that_are_none_are_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(saved(
        np.where(RAMP == 5, np.nan, RAMP).astype(np.float32), "TIFF"))
    with pytest.raises(ValueError, match="a.tif: expected pixels that are "
                       "numbers, found nan or infinity."):
        pictures.read_image(tmp_path / "a.tif")


def test_unsigned_numbers_of_32_bits(tmp_path):
    import struct
    values = RAMP.astype("<u4") << 24
    file = io.BytesIO()
    Image.fromarray(values.view(np.int32)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    at = data.index(struct.pack("<HHI", 339, 3, 1))
    data[at + 8] = 1                       # the sample format: unsigned
    close(pictures.decode_image(bytes(data)), np.stack([RAMP] * 3, -1),
          most=1)


def test_one_table_of_formats(tmp_path):
    """What one can find in a folder is read, and its suffix is known."""
    for kind, ends in pictures.FORMATS.items():
        file = io.BytesIO()
        Image.fromarray(photo()).save(file, kind)
        assert pictures.suffix(file.getvalue()) == ends[0]
        for end in ends:
            assert end in pictures.SUFFIXES
            (tmp_path / f"a{end}").write_bytes(file.getvalue())
            assert pictures.read_image(tmp_path / f"a{end}").shape == (
                40, 60, 3)
            assert pictures.read_size(tmp_path / f"a{end}") == (40, 60)


TURNS = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1],
         4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
         6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
         8: lambda a: np.rot90(a, -1)}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_image_upright(kind, orientation):
    # What a camera stores is the upright picture turned the other way.
    stored = np.ascontiguousarray(TURNS[orientation](photo()))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    close(pictures.decode_image(data), photo())
    assert pictures.encoded_size(data) == (40, 60)
    if kind == "JPEG":
        raw = np.frombuffer(data, np.uint8)
        close(cv2.imdecode(raw, cv2.IMREAD_COLOR)[..., ::-1].copy(), photo())


def test_an_orientation_that_is_none_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 77
    close(pictures.decode_image(encoded(photo(), exif=exif)), photo())


@pytest.mark.parametrize("data", [b"", b"no image at all",
                                  encoded(photo())[:-40],
                                  encoded(photo())[:200],
                                  encoded(photo(), "PNG")[:-40],
                                  encoded(photo(), "PNG")[:30]])
def test_unreadable_images_are_named(tmp_path, data):
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="bad.jpg: expected a whole image, "
                                         f"found {len(data)} bytes"):
        pictures.read_image(path)


def test_read_image(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(photo(), "PNG"))
    close(pictures.read_image(tmp_path / "a.png"), photo(), most=0)
    with pytest.raises(FileNotFoundError, match="no image file .*none.png"):
        pictures.read_image(tmp_path / "none.png")


# --- record sets -------------------------------------------------------------

def payload(label, image=None):
    return records.pack(records.Head(0, label, 0, 0),
                              encoded(photo()) if image is None else image)


def box_payload(*rows):
    return payload(np.concatenate([[2, 5], np.ravel(rows)]))


@pytest.fixture
def three(tmp_path):
    """Three images: one object, none, two that touch and nest."""
    items = [([BOX], [1], encoded(photo())), ([], [], encoded(photo(30, 50))),
             ([BOX, [.1, .2, .3, .4]], [0, 2], encoded(photo()))]
    write_records(tmp_path / "a.rec", items)
    return tmp_path / "a.rec"


def test_record_dataset_gives_back_what_was_written(three):
    found = datasets.RecordDataset(three)
    assert len(found) == 3 and found.classes == ("class 0", "class 1",
                                                 "class 2")
    first, empty, double = found
    close(first.image, photo())
    assert empty.image.shape == (30, 50, 3)
    np.testing.assert_array_equal(first.boxes, np.float32([BOX]))
    assert empty.boxes.shape == (0, 4) and empty.labels.shape == (0,)
    assert double.labels.tolist() == [0, 2] and not double.difficult.any()
    assert [a.dtype for a in first[1:4]] == [np.float32, np.int64, bool]
    assert double.source == "a.rec, record 2"
    assert repr(found).endswith("a.rec', images=3, classes=3)")
    assert found.entry(2).labels.tolist() == [0, 2]


def test_names_come_from_the_argument_or_from_beside_the_file(three):
    (three.parent / "labels.json").write_text(json.dumps(["a", "b", "c"]))
    assert datasets.RecordDataset(three).classes == ("a", "b", "c")
    assert datasets.RecordDataset(three, classes="xyz".split() + ["p", "q"]
                                  ).classes == ("xyz", "p", "q")
    for text in ("{", "[]", "[1]", '"abc"'):
        (three.parent / "labels.json").write_text(text)
        with pytest.raises(ValueError, match="labels.json: expected a JSON"):
            datasets.RecordDataset(three)
    with pytest.raises(ValueError, match="classes must be a sequence"):
        datasets.RecordDataset(three, classes="abc")


def test_cache_keeps_the_same_pixels(three):
    found = datasets.RecordDataset(three, cache=True)
    found.validate()
    assert found[0].image is found[0].image
    assert not found[0].image.flags.writeable
    fresh = datasets.RecordDataset(three)
    assert fresh[0].image is not fresh[0].image
    np.testing.assert_array_equal(found[2].image, fresh[2].image)


BAD = [
    (box_payload([0, .5, .2, .1, .9]), "box 0: xmin 0.5 is not below xmax 0.1"),
    (box_payload([0, .1, .2, .1, .9]), "box 0: xmin 0.1 is not below xmax 0.1"),
    (box_payload([0, *BOX], [0, .1, .9, .3, .2]),
     "box 1: ymin 0.9 is not below ymax 0.2"),
    (box_payload([0, .1, .2, 1.5, .9]), r"box 0: it leaves the image \[0, 1\]"),
    (box_payload([0, -.1, .2, .5, .9]), r"box 0: it leaves the image \[0, 1\]"),
    (box_payload([0, .1, np.nan, .5, .9]), "box 0: a coordinate is not finite"),
    (box_payload([0, .1, .2, np.inf, .9]), "box 0: a coordinate is not finite"),
    (box_payload([5, *BOX]), "box 0: label 5 is out of range, expected 0 to 1"),
    (box_payload([-1, *BOX]), "box 0: label -1 is out of range"),
    (box_payload([.5, *BOX]), "box 0: expected a whole number as its class"),
    (payload([2, 5, 0, .1]), "does not fit its own head width"),
    (payload(3.0), "expected a detection label"),
    (b"short", "expected a head of 24 bytes"),
]


@pytest.mark.parametrize("bad, reason", BAD, ids=[text for _, text in BAD])
def test_bad_samples_are_an_error_or_counted(tmp_path, bad, reason):
    path = tmp_path / "train.rec"
    write_payloads(path, [box_payload([0, *BOX]), bad, box_payload([1, *BOX])])
    with pytest.raises(ValueError, match=f"train.rec, record 1[,:] ?{reason}"
                                         f"|train.rec, record 1: .*{reason}"):
        datasets.RecordDataset(path, classes=("a", "b"))
    with pytest.warns(UserWarning, match="1 of 3 records are faulty and left "
                                         "out. The first: train.rec, record 1"):
        found = datasets.RecordDataset(path, classes=("a", "b"), bad="skip")
    assert len(found) == 2
    assert [s.source[-1] for s in found] == ["0", "2"]
    (source, text, _), = found.skipped
    assert source == "train.rec, record 1"
    assert reason.replace("\\", "") in text
    assert "images=2" in repr(found) and "1 skipped" in repr(found)


def test_rows_of_minus_one_fill_a_label_up(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [box_payload([1, *BOX], [-1] * 5, [-1] * 5),
                          box_payload([-1] * 5)])
    found = datasets.RecordDataset(path, classes=("a", "b"))
    assert found[0].labels.tolist() == [1] and len(found[1].labels) == 0


def test_a_hundredth_of_a_pixel_is_rounding(tmp_path):
    path = tmp_path / "a.rec"
    over = 1 + .009 / 60                    # the picture is 60 x 40
    write_payloads(path, [box_payload([0, .5, .5, over, 1 + .009 / 40]),
                          box_payload([0, -.009 / 60, 0, .5, .5])])
    found = addresses.open_dataset(f"rec:{path}")
    assert found[0].boxes.tolist() == [[.5, .5, 1, 1]]
    assert found[1].boxes.tolist() == [[0, 0, .5, .5]] and found.clipped == 0
    write_payloads(path, [box_payload([0, .5, .5, 1 + .02 / 60, 1])])
    with pytest.raises(ValueError, match="record 0, box 0: it leaves"):
        addresses.open_dataset(f"rec:{path}")
    found = addresses.open_dataset(f"rec:{path}?outside=clip")
    assert found[0].boxes.tolist() == [[.5, .5, 1, 1]] and found.clipped == 1
    write_payloads(path, [box_payload([0, 2, 2, 3, 3])])
    with pytest.raises(ValueError, match="record 0, box 0: "):
        addresses.open_dataset(f"rec:{path}?outside=clip")
    with pytest.raises(ValueError, match="outside must be one of error, clip"):
        addresses.open_dataset(f"rec:{path}?outside=ignore")


def test_a_bad_object_of_a_record_costs_itself(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [box_payload([1, *BOX], [0, .5, .5, .5, .6],
                                      [7, *BOX], [0, .2, .2, .3, .3])])
    found = datasets.RecordDataset(path, ("a", "b"), bad="object")
    assert found[0].labels.tolist() == [1, 0]
    np.testing.assert_allclose(found[0].boxes, [BOX, [.2, .2, .3, .3]])
    assert [fault.reason for fault in found.faults] == [
        "a.rec, record 0, box 1: xmin 0.5 is not below xmax 0.5",
        "a.rec, record 0, box 2: label 7 is out of range, expected 0 to 1"]
    assert list(found.remarks.values()) == [2]


def test_pictures_of_one_colour_are_told(tmp_path):
    plain = np.full((40, 60, 3), 9, np.uint8)
    nearly = plain.copy()
    nearly[39, 59, 2] = 10
    path = tmp_path / "a.rec"
    write_payloads(path, [payload([2, 5], encoded(one, "PNG"))
                          for one in (photo(), plain, nearly)])
    found = datasets.RecordDataset(path, bad="skip")
    assert found.remarks == {
        "images are of one colour, such as a.rec, record 1": 1}


def test_names_in_a_list_of_im2rec(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [box_payload([0, *BOX])] * 3)
    (tmp_path / "a.lst").write_text(
        "0\t0\tsub\\ü.jpg\n1\t0\t/abs/b.jpg\n2\t0\t.1\tc d.jpg\n",
        encoding="utf-8")
    found = datasets.RecordDataset(path)
    assert [found.entry(row).name for row in range(3)] == [
        "sub/ü.jpg", "000001.jpg", "c d.jpg"]


def test_an_unreadable_image_is_an_error_when_read_or_counted(tmp_path):
    path = tmp_path / "train.rec"
    label = [2, 5, 0, *BOX]
    write_payloads(path, [payload(label), payload(label, b"no image"),
                          payload(label, encoded(photo())[:-50])])
    found = datasets.RecordDataset(path)
    match = "train.rec, record 1: expected a whole image"
    with pytest.raises(ValueError, match=match):
        found[1]
    with pytest.raises(ValueError, match=match):
        found.validate()
    with pytest.warns(UserWarning, match="2 of 3 records"):
        found = datasets.RecordDataset(path, bad="skip")
    assert len(found) == 1 and len(found.skipped) == 2
    assert found.skipped[1][0] == "train.rec, record 2"


def test_faults_come_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "train.rec"
    write_payloads(path, [box_payload([0, *BOX]), box_payload([7, *BOX]),
                          b"short", payload([2, 5, 0, *BOX], b"no image")])
    with pytest.raises(ValueError, match="record 1, box 0: label 7"):
        datasets.RecordDataset(path, classes=("a",))
    with pytest.warns(UserWarning, match="3 of 4 .*record 1, box 0: label 7"):
        found = datasets.RecordDataset(path, classes=("a",), bad="skip")
    assert [fault.source[-1] for fault in found.skipped] == ["1", "2", "3"]


def test_sound_records_are_not_warned_about(three, recwarn):
    assert datasets.RecordDataset(three, bad="skip").skipped == []
    assert not recwarn.list


def test_nothing_but_bad_samples_is_an_error(tmp_path):
    path = tmp_path / "train.rec"
    write_payloads(path, [b"short"])
    with pytest.raises(ValueError, match="found 1 faulty"), \
            pytest.warns(UserWarning):
        datasets.RecordDataset(path, bad="skip")
    write_payloads(path, [])
    with pytest.raises(ValueError, match="at least one sound record"):
        datasets.RecordDataset(path)


def test_a_truncated_file_cannot_be_skipped_over(three):
    os.truncate(three, three.stat().st_size - 8)
    for bad in ("error", "skip"):
        with pytest.raises(ValueError, match=r"a\.rec, byte \d+: a record"):
            datasets.RecordDataset(three, bad=bad)
    with pytest.raises(ValueError, match="bad must be one of error, skip"):
        datasets.RecordDataset(three, bad="ignore")


def test_a_wild_label_does_not_make_a_million_names(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [box_payload([1, *BOX]), box_payload([9e6, *BOX])])
    with pytest.raises(ValueError, match="label 9000000 is out of range, "
                                         "expected 0 to 1"):
        datasets.RecordDataset(path)


# --- specs and parts ---------------------------------------------------------

@pytest.fixture
def opened(monkeypatch):
    """Replace the sources by ones that note their arguments."""
    from dsod_d2l.workbench.formats import record_files
    from dsod_d2l.workbench import downloads
    from dsod_d2l.workbench.standin import rendered
    calls = []

    def noting(name):
        return lambda *args, **options: calls.append((name, args, options))
    monkeypatch.setattr(record_files, "FittedRecords", noting("rec"))
    monkeypatch.setattr(downloads, "Pikachu", noting("pikachu"))
    monkeypatch.setattr(rendered, "StandIn", noting("standin"))
    return calls


@pytest.mark.parametrize("spec, split, call", [
    ("rec:a/b.rec", None, ("rec", ("a/b.rec",), {})),
    ("rec:c:/b.rec", "val", ("rec", ("c:/b.rec",), {})),
    ("standin", None, ("standin", (), {"split": "train"})),
    ("standin", "val", ("standin", (), {"split": "val"})),
    ("standin:val", "train", ("standin", (), {"split": "val"})),
    ("pikachu:a/b", None, ("pikachu", ("a/b", "train"), {})),
    ("pikachu:a/b", "val", ("pikachu", ("a/b", "val"), {})),
    ("pikachu:a/b:val", "train", ("pikachu", ("a/b", "val"), {})),
    ("pikachu:c:/b", None, ("pikachu", ("c:/b", "train"), {})),
    ("pikachu:val", None, ("pikachu", ("val", "train"), {}))])
def test_specs(opened, spec, split, call):
    addresses.open_dataset(spec, split)
    assert opened == [call]


def test_options_are_passed_on(opened):
    addresses.open_dataset("rec:a", bad="skip", cache=True)
    addresses.open_dataset("standin", bad="skip", cache=True)
    assert opened == [("rec", ("a",), {"bad": "skip", "cache": True}),
                      ("standin", (), {"split": "train", "cache": True})]


@pytest.mark.parametrize("spec", ["", "rec", "rec:", "pikachu", "pikachu:",
                                  "standin:test", "cvat:folder", "a.rec"])
def test_unknown_specs_list_the_known_ones(spec):
    with pytest.raises(ValueError, match="rec:PATH, standin, .*pikachu:FOLDER"
                                         f".*found {spec!r}"):
        addresses.open_dataset(spec)


def test_a_split_that_is_none():
    with pytest.raises(ValueError, match="split must be "):
        addresses.open_dataset("standin", "test")


def test_import_is_cheap():
    code = ("import sys, dsod_d2l as d\n"
            "assert not {'mxnet', 'cv2', 'PIL', 'requests'} & set(sys.modules)"
            "\nfrom dsod_d2l.datasets import RecordDataset\n"
            "assert not {'mxnet', 'requests'} & set(sys.modules)\n"
            "try:\n    d.nothing\nexcept AttributeError as e: assert 'nothing'"
            " in str(e)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True,
                          text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_subset(three):
    part = datasets.Subset(datasets.RecordDataset(three), [2, 0])
    assert len(part) == 2 and part.classes[0] == "class 0"
    assert [s.source for s in part] == ["a.rec, record 2", "a.rec, record 0"]
    assert repr(part).startswith("Subset(2 of RecordDataset(")
    with pytest.raises(ValueError, match="indices must lie in 0 to 2, found 3"):
        datasets.Subset(part.dataset, [0, 3])


def test_split_shares_nothing_and_loses_nothing():
    whole = range(41)
    rest, slice_ = datasets.split(whole, .1, np.random.default_rng(0))
    assert len(slice_) == 4
    assert sorted([*rest.indices, *slice_.indices]) == list(whole)
    again = datasets.split(whole, .1, np.random.default_rng(0))[1]
    other = datasets.split(whole, .1, np.random.default_rng(1))[1]
    assert again.indices.tolist() == slice_.indices.tolist()
    assert other.indices.tolist() != slice_.indices.tolist()


@pytest.mark.parametrize("fraction", [.001, .999])
def test_split_leaves_no_part_empty(fraction):
    parts = datasets.split(range(3), fraction, np.random.default_rng(0))
    assert min(map(len, parts)) == 1


def test_split_refuses_what_cannot_be():
    for fraction in (0, 1, -1, np.nan):
        with pytest.raises(ValueError, match="fraction must lie between"):
            datasets.split(range(3), fraction, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least two images"):
        datasets.split(range(1), .5, np.random.default_rng(0))
