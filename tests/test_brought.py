"""What people bring: small sets as programs write them, and as hands spoil them.

Each is opened by the address that one types first. What it holds is written
down here, once, in pixels: ``TRUTH``. Or it is refused, in a sentence that
says what helps.
"""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.datasets import pictures
from dsod_d2l.workbench.formats import addresses, image_folder
from small_sets import encoded, in_pixels

SIZES = {"a": (40, 60), "b.v2": (30, 50), "c": (64, 48)}       # height, width
TRUTH = {"a": [("cat", (10, 5, 30, 25)), ("dog", (0, 0, 60, 40))],
         "b.v2": [("dog", (2, 3, 4, 7))], "c": []}
FILLED = {stem: rows for stem, rows in TRUTH.items() if rows}
FIRST = {"a": TRUTH["a"]}


def called(name, rows=FILLED):
    return {stem: [(name, box) for _, box in objects]
            for stem, objects in rows.items()}


def shown(folder="", stems=SIZES, ending="jpg"):
    """{name: JPEG} of the pictures."""
    return {f"{folder}{stem}.{ending}": encoded("x.jpg", *SIZES[stem]) for stem in stems}


def coco(bbox=list, **more):
    """COCO's table, with each box as ``bbox`` writes it."""
    ids = {stem: row for row, stem in enumerate(SIZES, 1)}
    return {"images": [{"id": key, "file_name": f"{stem}.jpg", "height": SIZES[stem][0],
                        "width": SIZES[stem][1]} for stem, key in ids.items()],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [
                {"image_id": ids[stem], "category_id": 1 + (name == "dog"),
                 "bbox": bbox([x, y, right - x, low - y])}
                for stem, rows in TRUTH.items() for name, (x, y, right, low) in rows],
            **more}


def table(row, head="image,xmin,ymin,xmax,ymax,class", end="\n"):
    """A line for each object; w and h are the sides of its box."""
    lines = [head] if head else []
    lines += [row.format(stem, *box, kind=name, w=box[2] - box[0], h=box[3] - box[1])
              for stem, rows in FILLED.items() for name, box in rows]
    return end.join(lines) + end


def yolo(stem):
    high, wide = SIZES[stem]
    return "".join(f"{int(name == 'dog')} {(x + right) / 2 / wide} {(y + low) / 2 / high} "
                   f"{(right - x) / wide} {(low - y) / high}\n"
                   for name, (x, y, right, low) in TRUTH[stem])


def texts(folder=""):
    return {f"{folder}{stem}.txt": yolo(stem) for stem in SIZES}


PLAIN = "{0}.jpg,{1},{2},{3},{4},{kind}"
NAMES = {"classes.txt": "cat\ndog\n"}
KERAS = {**shown("train/"), "train/_classes.txt": "cat\ndog\n", "train/_annotations.txt":
         "a.jpg 10,5,30,25,0 0,0,60,40,1\nb.v2.jpg 2,3,4,7,1\nc.jpg\n"}
STATED = {**shown("images/"), **texts("labels/")}
SETUP = "train: images\nval: images\nnc: {}\nnames: [cat, dog]\n"
# What lies there, the address, what is found, what is remarked.
READ = {
    "COCO, boxes as text": ({**shown(), "x.json": coco(
        lambda box: list(map(str, box)))}, "coco:{}", TRUTH, ""),
    "COCO, some sides as text": ({**shown(), "x.json": coco(
        lambda box: [box[0], f"{box[1]:.2f}", *box[2:]])}, "coco:{}", TRUTH, ""),
    "COCO, key points alone": ({**shown(), "annotations/person_keypoints_val.json":
                                coco()}, "coco:{}", TRUTH, ""),
    "Keras, the folder": (KERAS, "yolo:{}", TRUTH, ""),
    "Keras, its split": (KERAS, "yolo:{}:train", TRUTH, ""),
    "Keras, the file": (KERAS, "yolo:{}/train/_annotations.txt", TRUTH, ""),
    "Keras, as a table": (KERAS, "csv:{}", TRUTH, ""),
    "RetinaNet by Roboflow": ({**shown("train/"), "train/_annotations.csv": table(
        PLAIN, ""), "train/_classes.csv": "cat,0\ndog,1\n"}, "csv:{}", FILLED, ""),
    "a table without classes": ({**shown("pics/"), "x.csv": table(
        PLAIN[:-7], "image,xmin,ymin,xmax,ymax")}, "csv:{}?classes=car",
        called("car"), ""),
    "wheat, with one class": ({**shown("train/"), "train.csv": table(
        '{0},"[{1}.0, {2}.0, {w}.0, {h}.0]",x', "image_id,bbox,source")},
        "csv:{}?classes=wheat", called("wheat"), ""),
    "numbers for classes": ({**shown(), "x.csv": table(
        "{0}.jpg,{1},{2},{3},{4},7", "image,xmin,ymin,xmax,ymax,class_id")},
        "csv:{}", called("7"), ""),
    "a box of blanks": ({**shown(), "x.csv": table(
        "{0}.jpg,{1} {2} {w} {h},{kind}", "image_id,bbox,label")}, "csv:{}", FILLED, ""),
    "a box in brackets": ({**shown(), "x.csv": table(
        '{0}.jpg,"({1}, {2}, {w}, {h})",{kind}', "image_id,bbox,label")},
        "csv:{}", FILLED, ""),
    "Excel's first line": ({**shown(), "x.csv": "sep=;\n" + table(PLAIN).replace(
        ",", ";")}, "csv:{}", FILLED, ""),
    "a remark first": ({**shown(), "x.csv": "# made by me\n\n" + table(PLAIN)},
                       "csv:{}", FILLED, ""),
    "blanks between": ({**shown(), "x.txt": table(PLAIN, "").replace(",", " ")},
                       "csv:{}/x.txt", FILLED, ""),
    "UTF-16 without a mark": ({**shown(), "x.csv": table(PLAIN).encode("utf-16-le")},
                              "csv:{}", FILLED, ""),
    "Windows": ({**shown(), "x.csv": b"\xef\xbb\xbf" + table(PLAIN, end="\r\n").encode()},
                "csv:{}", FILLED, ""),
    "text files in a folder of any name": (
        {**shown("images/"), **texts("labels_my-project_2024/")},
        "yolo:{}?classes=cat,dog", TRUTH, ""),
    "images of any name": ({**shown("my #1/"), **texts("labels/"), **NAMES},
                           "yolo:{}?images=my #1", TRUTH, ""),
    "too many classes stated": (
        {**STATED, "data.yaml": SETUP.format(3)}, "yolo:{}", TRUTH,
        "data.yaml states 3 classes, and 2 have a name"),
    "too few classes stated": (
        {**STATED, "data.yaml": SETUP.format(1)}, "yolo:{}/data.yaml", TRUTH,
        "data.yaml states 1 classes, and 2 have a name"),
    "as many as stated": ({**STATED, "data.yaml": SETUP.format(2)}, "yolo:{}",
                          TRUTH, ""),
    "darknet, too many stated": (
        {**shown("obj/"), **texts("obj/"), "obj.names": "cat\ndog\n", "obj.data":
         "classes= 5\ntrain = data/train.txt\nnames = data/obj.names\n", "train.txt":
         "".join(f"obj/{stem}.jpg\n" for stem in SIZES)}, "yolo:{}", TRUTH,
        "obj.data states 5 classes, and 2 have a name"),
}
# What lies there, the address, words of the answer.
REFUSED = {
    "fractions of COCO": ({**shown(), "x.json": coco(
        lambda box: [side / 60 for side in box])}, "coco:{}",
        "look like fractions"),
    "panoptic": ({**shown(), "panoptic_val.json": coco(str)}, "coco:{}",
                 "expected a bbox of four numbers"),
    "LabelMe": ({**shown(), "a.json": {"shapes": []}}, "coco:{}", "a file of LabelMe"),
    "VIA": ({**shown(), "a.json": {"a.jpg": {"regions": [{"region_attributes": {}}]}}},
            "coco:{}", "a file of VIA"),
    "CVAT's own": ({**shown(), "a.xml": "<annotations/>"}, "voc:{}", "as CVAT's own"),
    "no classes in a table": ({**shown(), "x.csv": table(
        PLAIN[:-7], "image,xmin,ymin,xmax,ymax")}, "csv:{}", "or classes=NAME, for all"),
    "tfrecord": ({"train/x.tfrecord": b"\0" * 40}, "coco:{}",
                 "train/x.tfrecord: a tfrecord of TensorFlow is not read"),
    "an archive": ({"x.zip": b"PK\3\4"}, "voc:{}/x.zip", "unpack it first"),
    "an archive inside": ({"x.zip": b"PK\3\4"}, "yolo:{}", "unpack it first"),
    "a sheet": ({"x.xlsx": b"PK\3\4\0"}, "csv:{}/x.xlsx", "save it as CSV"),
    "VOC as YOLO": ({**shown(), "a.xml": "<annotation/>"}, "yolo:{}", "like voc:{}."),
    "YOLO as VOC": ({**shown(), **texts(), **NAMES}, "voc:{}", "like yolo:{}."),
    "COCO as CSV": ({**shown(), "x.json": coco()}, "csv:{}", "like coco:{}."),
    "COCO as YOLO": ({**shown(), "x.json": coco()}, "yolo:{}/x.json",
                     "like coco:{}/x.json."),
    "CSV as COCO": ({**shown(), "x.csv": table(PLAIN)}, "coco:{}/x.csv",
                    "like csv:{}/x.csv."),
    "a class without a name": ({**KERAS, "train/_classes.txt": "cat\n"}, "yolo:{}",
                               "line 1: the class '1' is not one of cat"),
    "no split stated": ({**STATED, "data.yaml": "names: [cat, dog]\n"},
                        "yolo:{}/data.yaml", "states no folder or list of images"),
}


def laid(folder, files):
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        value = json.dumps(value) if isinstance(value, dict) else value
        path.write_bytes(value if isinstance(value, bytes) else value.encode())
    return str(folder)


def opened(root, address):
    """{stem: [(class, edges in pixels)]}, and what is remarked, of an address."""
    data, found = addresses.open_dataset(address.replace("{}", root)), {}
    for row in range(len(data)):
        entry = data.entry(row)
        assert data[row].image.shape[:2] == data.size(row)
        stem = entry.name.rpartition("/")[2].rpartition(".")[0]
        found[stem] = [(data.classes[label], tuple(box.round(6))) for label, box
                       in zip(entry.labels, in_pixels(data, row))]
    return found, "\n".join(data.remarks)


@pytest.mark.parametrize("case", READ)
def test_what_is_read(tmp_path, case):
    files, address, wanted, remark = READ[case]
    found, remarks = opened(laid(tmp_path, files), address)
    # Pictures that a table does not name are none of its.
    assert {stem: sorted(rows) for stem, rows in found.items()} == {
        stem: sorted(rows) for stem, rows in wanted.items()}
    assert remark in remarks and ("class list" in remarks) == bool(remark)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_or_remarked(tmp_path, case):
    files, address, words = REFUSED[case]
    root = laid(tmp_path, files)
    try:
        said = opened(root, address)[1]
    except (ValueError, OSError) as error:
        said = str(error)
    assert words.replace("{}", root) in said


stems = st.text("aü. _-,0", max_size=6).map(lambda text: f"p{text}q")
boxes = st.lists(st.tuples(*[st.integers(0, 39)] * 2, *[st.integers(1, 20)] * 2,
                           st.integers(0, 1)), max_size=3)


@settings(max_examples=40, deadline=None, database=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(stems, boxes, min_size=1, max_size=3), st.booleans(),
       st.sampled_from(["", "./", "/srv/me/", "C:\\x\\"]), st.sampled_from([" ", "  ", "\t"]),
       st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_made_up_lists_of_boxes(tmp_path_factory, sets, fraction, lead, space, end):
    folder, text, wanted = tmp_path_factory.mktemp("k"), "", {}
    for stem, rows in {stem.casefold(): (stem, rows) for stem, rows in sets.items()}.values():
        (folder / f"{stem}.jpg").write_bytes(encoded("x.jpg", 60, 60))
        rows = [(x, y, x + wide + fraction / 2, y + high, kind)
                for x, y, wide, high, kind in rows]
        text += space.join([f"{lead}{stem}.jpg", *(",".join(map(str, row)) for row
                                                   in rows)]) + end
        wanted[f"{stem}.jpg"] = [(kind, edges) for *edges, kind in rows]
    (folder / "_annotations.txt").write_bytes(text.encode())
    (folder / "_classes.txt").write_text("cat\ndog\n")
    if not any(wanted.values()):
        return                              # then it lists no box
    data = addresses.open_dataset(f"yolo:{folder}")
    assert data.classes == ("cat", "dog") and len(data) == len(wanted)
    for row in range(len(data)):
        entry = data.entry(row)
        theirs = wanted[entry.name]
        assert entry.labels.tolist() == [kind for kind, _ in theirs]
        np.testing.assert_allclose(in_pixels(data, row), np.reshape(
            [box for _, box in theirs], (-1, 4)), atol=1e-9)


def png(tag=None, last=False, behind=0):
    """A PNG; tag: its EXIF orientation, before the pixels or as last chunk but one of so many bytes."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = tag or 1
    image = Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))
    image.save(file, "PNG", **({"exif": exif} if tag and not last else {}))
    data = file.getvalue()
    if tag and last:
        bodies = [b"eXIf" + exif.tobytes()[6:], b"prVt" + bytes(behind)]
        chunks = [struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
                  for body in bodies[:1 + bool(behind)]]
        data = data[:-12] + b"".join(chunks) + data[-12:]
    return data


@pytest.mark.parametrize("tag, last, behind", [
    (None, False, 0), (1, False, 0), (6, False, 0), (6, True, 0), (3, True, 0), (6, True, 200_000)])
def test_the_size_of_a_png_is_read_from_its_head(tmp_path, monkeypatch, tag, last, behind):
    (tmp_path / "a.png").write_bytes(png(tag, last, behind))
    loads = []
    load = Image.core.zip_decoder
    monkeypatch.setattr(Image.core, "zip_decoder", lambda *args: (
        loads.append(1), load(*args))[1])
    upright = (6, 4) if tag == 6 else (4, 6)
    assert pictures.read_size(tmp_path / "a.png") == upright
    assert bool(loads) == last         # a tag behind the pixels is found there
    assert pictures.orientation(png(tag, last, behind)) == (tag or 1)
    assert pictures.read_image(tmp_path / "a.png").shape[:2] == upright


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("more", [{}, {"progressive": True}, {"dpi": (72, 72)}, {
    "comment": "x" * 3000}, {"comment": "x" * 9000}, {"icc_profile": b"x" * 200}, {
    "exif": b""}], ids=str)
def test_the_size_of_a_jpeg_is_read_from_its_head(tmp_path, mode, more):
    for high, wide, tag in (1, 1, 1), (40, 61, 1), (300, 17, 6), (9, 3, 3):
        exif = Image.Exif()
        exif[0x112] = tag
        Image.new(mode, (wide, high)).save(tmp_path / "a.jpg", "JPEG", **{
            **({"exif": exif} if tag > 1 else {}), **more})
        found = image_folder._jpeg_size(tmp_path / "a.jpg")
        assert found in (None, (high, wide))
        assert (found is None) == (tag > 1 and "exif" not in more
                                   or len(more.get("comment", "")) > 4096)
        (tmp_path / "x.csv").write_text("image,xmin,ymin,xmax,ymax,class\n"
                                        "a.jpg,0,0,1,1,cat\n")
        data = addresses.open_dataset(f"csv:{tmp_path}/x.csv?unit=pixels")
        assert data.size(0) == data[0].image.shape[:2] == pictures.read_size(
            tmp_path / "a.jpg")


def test_a_jpeg_that_is_cut_short_or_none_has_no_size(tmp_path):
    data, path = encoded("x.jpg", 40, 60), tmp_path / "a.jpg"
    frame = data.index(b"\xff\xc0")
    for length in range(frame + 9):
        path.write_bytes(data[:length])
        assert image_folder._jpeg_size(path) is None
    for size in (0, 60), (40, 0), (65535, 65535):
        path.write_bytes(data[:frame + 5] + struct.pack(">HH", *size) + data[frame + 9:])
        assert image_folder._jpeg_size(path) is None
    assert image_folder._jpeg_size(tmp_path / "none.jpg") is None
