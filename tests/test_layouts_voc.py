"""VOC as people bring it: layouts, names, flags, faults, turned pictures."""

import io
import json
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.datasets.records import write_records
from dsod_d2l.workbench import checking
from dsod_d2l.workbench.checking import contents
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.formats.image_folder import EntryMaker
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import encoded, in_pixels
from test_checking import TINY
from test_datasets_readers import CAT, OBJECT, xml


def made(root, files):
    """Write {path: text, bytes, or None for a picture of 60 x 40}."""
    for name, what in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what is None:
            what = encoded(name, 40, 60)
        path.write_bytes(what if isinstance(what, bytes) else what.encode())
    return root


def pairs(*names, notes="{}.xml", shown="{}.jpg"):
    """An XML file and a picture for each name; the boxes differ."""
    files = {}
    for row, name in enumerate(names):
        last = shown.format(name).rpartition("/")[2]
        files[notes.format(name)] = xml(("cat", 1 + row, 2, 30, 20 + row),
                                        name=last)
        files[shown.format(name)] = None
    return files


def read_by_hand(path):
    """The classes and boxes of an XML file, without the product."""
    return [(one.findtext("name"), [float(one.findtext(f"bndbox/{side}"))
                                    for side in ("xmin", "ymin", "xmax",
                                                 "ymax")])
            for one in ElementTree.parse(path).iter("object")]


def objects(dataset):
    """{picture: its classes and boxes as the file counts, from 1}."""
    found = {}
    for row in range(len(dataset)):
        entry, boxes = dataset.entry(row), in_pixels(dataset, row)
        found[entry.name] = [
            (dataset.classes[label], (box + [1, 1, 0, 0]).round(4).tolist())
            for label, box in zip(entry.labels, boxes)]
    return found


def remarks(dataset):
    """The remarks, without their examples."""
    return {text.split(", such as")[0].split(",")[0].split(";")[0]: count
            for text, count in dataset.remarks.items()}


def report(spec):
    return contents.inspect(spec, TINY, "dsod_tiny", np.random.default_rng(0))


def fault(capsys, *words):
    """Run a command that ends with one sentence; return it."""
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err


# --- layouts ------------------------------------------------------------------

# Files, what follows voc:FOLDER, {picture: its XML file}, and remarks.
LAYOUTS = {
    "lower-case names of folders": (
        pairs("a", "b", notes="annotations/{}.xml", shown="images/{}.jpg"), "",
        {"a.jpg": "annotations/a.xml", "b.jpg": "annotations/b.xml"}, {}),
    "kangaroo": (
        pairs("00001", notes="annots/{}.xml", shown="images/{}.jpg"), "",
        {"00001.jpg": "annots/00001.xml"}, {}),
    "names that say nothing": (
        pairs("a", notes="boxes/{}.xml", shown="frames/{}.png"), "",
        {"a.png": "boxes/a.xml"}, {}),
    "a folder in a folder": (
        {**pairs("a", "b", notes="BCCD/Annotations/{}.xml",
                 shown="BCCD/JPEGImages/{}.jpg"),
         "BCCD/ImageSets/Main/val.txt": "b\n", "plot.py": "1"}, ":val",
        {"b.jpg": "BCCD/Annotations/b.xml"}, {}),
    "capital suffixes": (
        pairs("a", notes="Annotations/{}.XML", shown="JPEGImages/{}.JPG"), "",
        {"a.JPG": "Annotations/a.XML"}, {}),
    "roboflow takes train": (
        pairs("train/a_jpg.rf.1a", "valid/b_jpg.rf.2b", "test/c_jpg.rf.3c"),
        "", {"train/a_jpg.rf.1a.jpg": "train/a_jpg.rf.1a.xml"},
        {"XML files were left out: the image set 'train' was taken": 2}),
    "roboflow's valid is val": (
        pairs("train/a", "valid/b"), ":val",
        {"valid/b.jpg": "valid/b.xml"}, {}),
    "all of roboflow": (
        pairs("train/a", "valid/a"), ":all",
        {"train/a.jpg": "train/a.xml", "valid/a.jpg": "valid/a.xml"}, {}),
    "parts of two folders": (
        pairs("a", notes="val/annotations/{}.xml", shown="val/images/{}.jpg")
        | pairs("a", notes="train/annotations/{}.xml",
                shown="train/images/{}.jpg"), ":all",
        {"train/images/a.jpg": "train/annotations/a.xml",
         "val/images/a.jpg": "val/annotations/a.xml"}, {}),
    "folders of two parts": (
        pairs("train/a", "val/b", notes="annotations/{}.xml",
              shown="images/{}.jpg"), ":val",
        {"images/val/b.jpg": "annotations/val/b.xml"}, {}),
    "cameras, each with its frames": (
        pairs("left/1", "right/1"), "",
        {"left/1.jpg": "left/1.xml", "right/1.jpg": "right/1.xml"}, {}),
    "named by options": (
        {**pairs("a", notes="x/{}.xml", shown="y/{}.jpg"), "z/b.jpg": None},
        "?annotations=x&images=y", {"a.jpg": "x/a.xml"}, {}),
    "two pictures of one stem": (
        {"a.jpg": None, "a.png": None, "a.xml": xml(CAT, name="a.png")}, "",
        {"a.png": "a.xml"}, {}),
    "renamed with its XML": (
        {"new.jpg": None, "new.xml": xml(CAT, name="DSC_1.jpg")}, "",
        {"new.jpg": "new.xml"}, {"XML files whose <filename> is not their "
                                 "image's": 1}),
    "numbered XML": (
        {"photo.jpg": None, "0001.xml": xml(CAT, name="photo.jpg")}, "",
        {"photo.jpg": "0001.xml"}, {"XML files called otherwise than their "
                                    "image": 1}),
    "pictures without XML": (
        {**pairs("a"), "b.jpg": None, "._c.jpg": b"", "._c.xml": b""}, "",
        {"a.jpg": "a.xml"}, {"images without an XML file": 1}),
    "a list with suffixes": (
        {**pairs("a", notes="Annotations/{}.xml", shown="JPEGImages/{}.jpg"),
         "ImageSets/Main/train.txt": "a.jpg\nb.jpg\n",
         "JPEGImages/b.jpg": None}, ":train", {"a.jpg": "Annotations/a.xml"},
        {"images without an XML file": 1}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_by_its_first_address(tmp_path, layout):
    files, address, wanted, said = LAYOUTS[layout]
    root = made(tmp_path / "set", files)
    found = addresses.open_dataset(f"voc:{root}{address}")
    assert objects(found) == {name: read_by_hand(root / path)
                              for name, path in wanted.items()}
    assert remarks(found) == said
    assert found[0].image.shape == (40, 60, 3)
    value = report(f"voc:{root}{address}").to_dict()
    assert value["remarks"] == found.remarks and value["sound"]


def test_pictures_without_xml_are_negatives_if_wanted(tmp_path):
    root = made(tmp_path, {**pairs("a"), "b.jpg": None})
    found = addresses.open_dataset(f"voc:{root}?negatives=keep")
    assert {name: len(rows) for name, rows in objects(found).items()} == {
        "a.jpg": 1, "b.jpg": 0}
    assert remarks(found) == {"images without an XML file": 1}
    with pytest.raises(ValueError, match="negatives must be one of drop, ke"):
        addresses.open_dataset(f"voc:{root}?negatives=yes")


@pytest.mark.parametrize("files, words", [
    ({"a/b.jpg": None}, "expected XML files in a folder such as Annotations, "
     "or beside the images; .* annotations=FOLDER names it"),
    ({"a/b.xml": xml(CAT)}, "holds 1 XML files, but no JPEGImages or other "
     "images. .* images=FOLDER names it"),
    ({"a.xml": xml(CAT), "b.jpg": None}, "there is no image 'a' in .*; "
     "images=FOLDER names another folder"),
    ({"l/1.xml": xml(CAT, name="1.jpg"), "r/1.xml": xml(CAT, name="1.jpg"),
      "r/1.jpg": None}, "l/1.xml: there is no image 'l/1' in")],
    ids=range(4))
def test_a_failed_guess_says_what_was_looked_for(tmp_path, files, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        addresses.open_dataset(f"voc:{made(tmp_path, files)}")


def test_two_files_of_one_picture(tmp_path):
    root = made(tmp_path, {**pairs("a"), "b.xml": xml(CAT, name="a.jpg")})
    with pytest.raises(ValueError, match="b.xml: its image 'a.jpg' is that of "
                                         ".*/a.xml already"):
        addresses.open_dataset(f"voc:{root}")


# --- lists --------------------------------------------------------------------

@pytest.mark.parametrize("line, address", [
    ("VOC/JPEGImages/a.jpg VOC/Annotations/a.xml", "?root={}/data"),
    ("../data/VOC/JPEGImages/a.jpg\t../data/VOC/Annotations/a.xml",
     "?root={}/data"),
    ("C:\\me\\VOC\\JPEGImages\\a.jpg C:\\me\\VOC\\Annotations\\a.xml",
     "?root={}/data/VOC"),
    ("a.jpg a.xml", "?root={}/data")])
def test_the_pictures_of_a_list_may_lie_elsewhere(tmp_path, line, address):
    root = made(tmp_path, {"lists/all.txt": line, **pairs(
        "a", notes="data/VOC/Annotations/{}.xml",
        shown="data/VOC/JPEGImages/{}.jpg")})
    found = addresses.open_dataset(f"list:{root}/lists/all.txt"
                                   + address.format(root))
    assert [*objects(found).values()] == [
        read_by_hand(root / "data/VOC/Annotations/a.xml")]
    with pytest.raises(ValueError, match="line 1: .*root=FOLDER|leaves the folder"
                       ):
        addresses.open_dataset(f"list:{root}/lists/all.txt")


def test_a_list_pairs_by_hand(tmp_path):
    root = made(tmp_path, {"my b.jpg": None, "old a.xml": xml(
        CAT, name="c.jpg"), "all.txt": "my b.jpg old a.xml\n"})
    found = addresses.open_dataset(f"list:{root}/all.txt")
    assert objects(found) == {"my b.jpg": read_by_hand(root / "old a.xml")}
    assert remarks(found) == {
        "XML files whose <filename> is not their image's": 1}


def test_nothing_is_read_outside_a_list_s_folder(tmp_path):
    root = made(tmp_path, {"x.xml": xml(CAT, name="a.jpg"), "in/a.jpg": None,
                           "in/all.txt": "a.jpg ../x.xml\n"})
    with pytest.raises(ValueError, match="line 1: the name '../x.xml' leaves"):
        addresses.open_dataset(f"list:{root}/in/all.txt")


# --- what is written in the files ---------------------------------------------

FLAG = st.sampled_from([
    ("0", False), ("1", True), ("Unspecified", False), ("0.06", True),
    ("3", True), ("0.0", False), ("true", True), ("None", False), ("", False),
    ("-1", False), ("no", False), ("quite", False)])
STEM = st.text("abcXYZ09._- éß#=%", min_size=1, max_size=9).filter(
    lambda text: text.strip(" .") == text and not text.startswith("."))


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEM, min_size=1, max_size=4, unique_by=str.casefold),
       st.lists(FLAG, min_size=3, max_size=3), st.sampled_from(
           [("", ""), ("annots/", "pics/"), ("Annotations/", "JPEGImages/")]),
       st.sampled_from(["{}.jpg", "C:\\x\\{}.jpg", "./{}.jpg", "{}", "no.jpg",
                        ""]))
def test_made_up_names_and_flags(tmp_path_factory, stems, flags, folders,
                                 stated):
    root, files = tmp_path_factory.mktemp("voc") / "set", {}
    inner = "".join(f"<{name}>{value}</{name}>" for name, (value, _) in zip(
        ("difficult", "truncated", "occluded"), flags))
    for row, stem in enumerate(stems):
        files[f"{folders[0]}{stem}.xml"] = xml(
            OBJECT.format("cat", 1 + row, 2, 30.5, 39).replace(
                "<bndbox>", inner + "<bndbox>"), name=stated.format(stem))
        files[f"{folders[1]}{stem}.jpg"] = None
    made(root, files)
    found = addresses.open_dataset(f"voc:{root}")
    assert objects(found) == {
        f"{stem}.jpg": read_by_hand(root / f"{folders[0]}{stem}.xml")
        for stem in stems}
    for row in range(len(found)):
        assert found.entry(row).flags[0, :3].tolist() == [
            wanted for _, wanted in flags]
    unclear = sum(value == "quite" for value, _ in flags) * len(stems)
    assert unclear == sum(count for text, count in found.remarks.items()
                          if text.startswith("flags "))


@pytest.mark.parametrize("size", [
    "<size><width/><height/></size>", "", "<size><width>0</width><height>0"
    "</height></size>", "<size><width>60</width><height>None</height></size>"])
def test_sizes_that_say_nothing_are_measured_and_counted(tmp_path, size):
    text = re.sub("<size>.*</size>", size, xml(("cat", 1, 1, 60, 40)))
    found = addresses.open_dataset(
        f"voc:{made(tmp_path, {'a.jpg': None, 'a.xml': text})}")
    assert objects(found) == {"a.jpg": [("cat", [1, 1, 60, 40])]}
    assert remarks(found) == {"images without a stated size": 1}


@pytest.mark.parametrize("outline", [
    "<polygon><x1>3</x1><y1>9</y1><x2>20</x2><y2>4</y2><x3>5</x3><y3>30</y3>"
    "</polygon>", "<polygon><pt><x>3</x><y>4</y></pt><pt><x>20</x><y>30</y>"
    "</pt><pt><x>5</x><y>9</y></pt></polygon>",
    # 26 x 17 around (11.5, 17), turned by a quarter.
    "<robndbox><cx>11.5</cx><cy>17</cy><w>26</w><h>17</h><angle>1.5707963268"
    "</angle></robndbox>"])
def test_a_polygon_without_a_box_has_one_around_it(tmp_path, outline):
    text = xml(f"<object><name>cat</name>{outline}</object>")
    found = addresses.open_dataset(
        f"voc:{made(tmp_path, {'a.jpg': None, 'a.xml': text})}")
    assert objects(found) == {"a.jpg": [("cat", [3, 4, 20, 30])]}
    assert remarks(found) == {"objects with a polygon or a turned box": 1}


@pytest.mark.parametrize("data, name", [
    ('<?xml version="1.0" encoding="gb2312"?>{}', "\u732b"),
    ('<?xml version="1.0" encoding="windows-1252"?>{}', "chât"),
    ('\n\n<?xml version="1.0" encoding="utf-8"?>{}', "cat"),
    ('\ufeff{}', "cat"), ('<?xml version="1.0" encoding="utf-16"?>{}', "cat")])
def test_encodings_and_empty_lines_before_the_declaration(tmp_path, data,
                                                          name):
    coding = re.findall('encoding="(.*?)"', data) or ["utf-8"]
    text = data.format(xml((name, 1, 1, 9, 9), ("cat", 9, 1, 9, 9)))
    root = made(tmp_path, {"a.jpg": None, "a.xml": text.encode(coding[0])})
    found = addresses.open_dataset(f"voc:{root}?bad=object")
    assert name in found.classes and len(found[0].labels) == 1
    line = text[:text.rindex("<object>")].count("\n") + 1
    assert f"object 1 (line {line}): xmin 9 is not" in found.faults[0].reason


@pytest.mark.parametrize("files, words", [
    ({"a.xml": "<annotation>", "b.xml": "x"}, [
        "a.xml, line 1: expected the XML of an annotation", "b.xml, line 1"]),
    ({"a.xml": b'<annotation>\0\xff</annotation>'},
     ["a.xml: expected UTF-8 text, found the byte 0xff at position 13"]),
    ({"a.xml": b'<?xml version="1.0" encoding="gb2312"?>\n<annotation>\0\xff'},
     ["a.xml: expected GB2312 text, found the byte 0xff"])], ids=range(3))
def test_the_real_reason_is_told_where_nothing_can_be_read(tmp_path, files,
                                                           words):
    root = made(tmp_path, {"a.jpg": None, "b.jpg": None, **files})
    with pytest.raises(ValueError, match=re.escape(words[0])):
        addresses.open_dataset(f"voc:{root}")
    found = [fault.reason for fault in report(f"voc:{root}").faults]
    assert len(found) == len(words)
    assert all(text in one for text, one in zip(words, found))
    made(root, {"all.txt": "a.jpg\n0\t4\t5\ta.jpg\n"})
    found = report(f"list:{root}/all.txt").faults
    assert [fault.reason.partition(": ")[0][-6:] for fault in found] == [
        "line 1", "line 2"]


def test_classes_that_may_be_one_or_disagree(tmp_path):
    root = made(tmp_path, {
        "a.jpg": None, "a.xml": xml(CAT, ("Cat", 1, 1, 9, 9)),
        "classes.txt": "cat\nCat\n", "labels.json": '["Cat", "cat"]'})
    found = addresses.open_dataset(f"voc:{root}")
    assert found.classes == ("Cat", "cat")
    text = " ".join(found.remarks)
    assert "the classes 'cat' and 'Cat' may be one; ?rename=cat:Cat" in text
    assert ("class list disagrees: labels.json (Cat, cat) was taken, not "
            "classes.txt (cat, Cat)") in text
    one = addresses.open_dataset(f"voc:{root}?rename=cat:Cat")
    assert one.classes == ("Cat",) and one.remarks == found.remarks


# --- what is faulty -----------------------------------------------------------

@pytest.fixture
def flat(tmp_path):
    """A picture with a sound, a flat and an unknown object; a lost one."""
    return made(tmp_path / "flat", {
        "classes.txt": "cat\n", "a.jpg": None, "a.xml": xml(
            CAT, ("cat", 9, 1, 9, 9), ("elk", 1, 1, 9, 9)),
        "b.jpg": None, "b.xml": xml(CAT, name="b.jpg"), "c.jpg": b"no",
        "c.xml": xml(CAT, name="c.jpg")})


def test_a_bad_object_costs_itself_or_its_picture_or_stops(flat):
    wanted = {"object": (2, 2, 3, 1), "skip": (1, 1, 3, 2)}
    for bad, (images, count, faults, skipped) in wanted.items():
        with pytest.warns(UserWarning, match="faulty and left out"):
            found = addresses.open_dataset(f"voc:{flat}", bad=bad)
        assert sum(len(found[row].labels) for row in range(len(found))) == count
        assert (len(found), len(found.faults), len(found.skipped)) == (
            images, faults, skipped)
        assert remarks(found) == ({"bad objects left out of their images": 2}
                                  if bad == "object" else {})
    for spec, bad in ((f"voc:{flat}?bad=error", "skip"), (f"voc:{flat}",
                                                          "error")):
        with pytest.raises(ValueError, match="a.xml, object 1 .*xmin 9 is not"
                                             " below xmax 9.$"):
            addresses.open_dataset(spec, bad=bad)
    with pytest.raises(ValueError, match="bad must be one of error, skip, obj"):
        addresses.open_dataset(f"voc:{flat}?bad=picture")


def test_commands_name_what_helps_against_bad_objects(flat, tmp_path, capsys):
    words = fault(capsys, "data", "convert", f"voc:{flat}",
                  f"yolo:{tmp_path}/y")
    assert "--bad object" in words and "`data check`" in words
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["data", "convert", f"voc:{flat}", f"csv:{tmp_path}/a.csv",
                     "--bad", "object"]) == 0
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert [row.split(",")[:6] for row in rows[1:]] == [
        ["a.jpg", "0", "0", "9", "9", "cat"],
        ["b.jpg", "0", "0", "9", "9", "cat"]]
    capsys.readouterr()
    assert main(["data", "check", f"voc:{flat}", "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert (value["images"], value["objects"], len(value["faults"])) == (2, 2,
                                                                         3)
    assert value["remarks"] == {"bad objects left out of their images": 2}
    assert main(["data", "check", f"voc:{flat}"]) == 1
    assert "2 bad objects left out" in capsys.readouterr().out


def test_a_picture_of_another_size_is_told_before_the_first_step(tmp_path,
                                                                 capsys):
    root = made(tmp_path / "set", {**pairs("a", "b"), "c.jpg": encoded(
        "c.jpg", 60, 40), "c.xml": xml(CAT, name="c.jpg")})
    out = tmp_path / "run"
    words = fault(capsys, "train", "--data", f"voc:{root}", "--out", out)
    assert "c.xml: the file states 60 x 40 pixels, the image has 40" in words
    assert "exif=stored" in words and "--bad object" in words
    made(root, {"c.jpg": b"no picture"})
    words = fault(capsys, "train", "--data", f"voc:{root}", "--out", out)
    assert "c.jpg: expected a whole image" in words and "--bad skip" in words
    assert not out.exists()


@pytest.mark.parametrize("more, sound", [(.009, True), (.1, False)])
def test_fractions_have_the_tolerance_of_pixels(tmp_path, more, sound):
    made(tmp_path, {"a.jpg": None})
    maker = EntryMaker("a.jpg", "a", range(1), path=tmp_path / "a.jpg")
    maker.add(0, (-more / 60, 0, 1, 1 + more / 40), (0, "", None, 1), "row 1",
              pixels=False)
    entry = maker.entry()
    assert entry.boxes.tolist() == [[0, 0, 1, 1]] * sound
    assert len(entry.faults) == (not sound) and entry.clipped == 0


# --- pictures that their EXIF tag turns ---------------------------------------

def turned(tag, size=(40, 60)):
    """A JPEG of grey with a red rectangle, as stored, and its corners."""
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[8:24, 8:40] = (250, 0, 0)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = tag
    Image.fromarray(pixels).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue(), (8, 8, 40, 24)


def redness(dataset):
    """The share of red in the box, and outside of it."""
    sample = dataset[0]
    height, width = sample.image.shape[:2]
    x0, y0, x1, y1 = (sample.boxes[0] * [width, height, width, height]
                      ).round().astype(int)
    red = sample.image[..., 0].astype(int) - sample.image[..., 1] > 100
    return red[y0:y1, x0:x1].mean(), red.sum() / ((y1 - y0) * (x1 - x0))


@pytest.mark.parametrize("tag", [3, 6])
@pytest.mark.parametrize("kind", ["voc", "rec", "csv", "yolo"])
def test_boxes_drawn_on_the_stored_pixels(tmp_path, kind, tag):
    data, (x0, y0, x1, y1) = turned(tag)
    edges = np.array([x0 / 60, y0 / 40, x1 / 60, y1 / 40])
    root, spec = tmp_path / "set", f"{kind}:{tmp_path}/set"
    if kind == "voc":
        made(root, {"a.jpg": data, "a.xml": xml(("cat", x0 + 1, y0 + 1, x1,
                                                 y1))})
    elif kind == "rec":
        spec += "/a.rec"
        write_records(root / "a.rec", [([edges], [0], data)])
    elif kind == "csv":
        spec += "/a.csv"
        made(root, {"a.jpg": data, "a.csv": "image,xmin,ymin,xmax,ymax,class,"
                    f"width,height\na.jpg,{x0},{y0},{x1},{y1},cat,60,40"})
    else:
        made(root, {"a.jpg": data, "classes.txt": "cat", "a.txt": "0 "
                    f"{24 / 60} {16 / 40} {32 / 60} {16 / 40}"})
    found = addresses.open_dataset(f"{spec}?exif=stored")
    assert min(redness(found)) > .95 and max(redness(found)) < 1.05
    assert found[0].image.shape == (40, 60, 3) and found.size(0) == (40, 60)
    told = " ".join([*report(spec).remarks,
                     *(one.reason for one in report(spec).faults)])
    assert "EXIF tag" in told and "exif=stored" in told
    told = report(f"{spec}?exif=stored")
    assert not told.faults and len(told.labels) == 1
    assert "1 images have an EXIF tag" in contents.describe_contents(told)
    # What is converted looks the same to whoever honours the tag.
    convert(found, f"yolo:{tmp_path}/y")
    other = addresses.open_dataset(f"yolo:{tmp_path}/y")
    assert min(redness(other)) > .95
    np.testing.assert_array_equal(other[0].image, found[0].image)


def test_upright_boxes_stay_as_they_were(tmp_path):
    data, _ = turned(6)
    root = made(tmp_path, {"a.jpg": data, "a.xml": xml(
        ("cat", 17, 9, 32, 40), size=(60, 40))})
    found = addresses.open_dataset(f"voc:{root}")
    assert redness(found)[0] > .95 and found[0].image.shape == (60, 40, 3)
    with pytest.raises(ValueError, match="exif must be one of turned, stored"):
        addresses.open_dataset(f"voc:{root}?exif=flat")
    with pytest.raises(ValueError, match="states 40 x 60 pixels, the image has"
                                         " 60 x 40; .* exif"):
        addresses.open_dataset(f"voc:{root}?exif=stored")[0]


# --- addresses ----------------------------------------------------------------

@pytest.mark.parametrize("folder, written", [
    ("what?", "what%3F"), ("a + b", "a %2B b"), ("50%", "50%"),
    ("a%20b", "a%20b"), ("a+b", "a+b"), ("~x", "~x")])
def test_signs_in_a_folder_s_name(tmp_path, folder, written, monkeypatch):
    monkeypatch.chdir(made(tmp_path, pairs(f"{folder}/a", f"{folder}/b")))
    for spec in (f"voc:{tmp_path}/{written}", f"voc:{written}",
                 f"voc:{written}:all?only=cat"):
        assert len(addresses.open_dataset(spec)) == 2
    assert len(addresses.open_dataset(
        f"voc:{written} + voc:{tmp_path}/{written}")) == 4
    with pytest.raises(ValueError, match="%3F is a question mark and %2B a +"):
        addresses.open_dataset("voc:what?/x")


def test_home_in_an_address(tmp_path, monkeypatch, capsys):
    made(tmp_path, pairs("set/a", notes="x/{}.xml", shown="set/{}.jpg") | {
        "list.txt": "set/a.jpg x/set/a.xml\n"})
    monkeypatch.setenv("HOME", str(tmp_path))
    for spec in ("voc:~/set/set?annotations=~/x", "list:~/list.txt",
                 "list:~/list.txt?root=~"):
        made(tmp_path, {"set/a.jpg": None})
        assert len(addresses.open_dataset(spec)) == 1
    assert main(["data", "convert", "list:~/list.txt", "csv:~/a.csv"]) == 0
    assert (tmp_path / "a.csv").is_file() and capsys.readouterr().out


def test_a_folder_of_the_stand_in_keeps_its_class_names(tmp_path, capsys):
    assert main(["data", "standin", "--folder", str(tmp_path), "--train", "2",
                 "--val", "1", "--size", "64", "--json"]) == 0
    paths = json.loads(capsys.readouterr().out)
    for path in paths.values():
        assert addresses.open_dataset(f"rec:{path}").classes == ("pikachu",)


def test_archives_are_named_with_either_line(capsys, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr("dsod_d2l.workbench.downloads.download",
                        lambda name, *_, **more: heard.append(name) or [name])
    for name in ("voc2007_test", "voc2007-test"):
        assert main(["data", "download", name, "--folder", str(tmp_path)]) == 0
    assert heard == ["voc2007-test"] * 2 and checking


CODINGS = {"cp1252": "M\u00fcll \u2013", "latin-1": "M\u00fcll \x81",
           "utf-8": "M\u00fcll", "utf-16": "M\u00fcll"}


def named(name):
    """The files of a set with one class, as each format writes it."""
    table = {"images": [{"id": 1, "file_name": "a.jpg"}],
             "annotations": [{"id": 1, "image_id": 1, "category_id": 1,
                              "bbox": [1, 1, 5, 5]}],
             "categories": [{"id": 1, "name": name}]}
    return {
        "voc:{}": {"a.xml": xml((name, 1, 1, 9, 9))},
        "list:{}/all.txt": {"a.xml": xml((name, 1, 1, 9, 9)),
                            "all.txt": "a.jpg\ta.xml\n"},
        "coco:{}": {"a.json": json.dumps(table, ensure_ascii=False)},
        "csv:{}/a.csv": {"a.csv": "image,xmin,ymin,xmax,ymax,class\r\n"
                         f"a.jpg,2,2,9,9,{name}\r\n"},
        "yolo:{}": {"a.txt": "0 .5 .5 .5 .5\n", "obj.names": f"{name}\n"},
        "yolo:{}/data.yaml": {"a.txt": "0 .5 .5 .5 .5\n",
                              "data.yaml": f"names: ['{name}']\ntrain: .\n"}}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("spec", named(""))
def test_text_of_older_systems_is_read_and_remarked(tmp_path, spec, coding):
    name = CODINGS[coding]
    files = {file: text.encode(coding) for file, text in
             named(name)[spec].items()}
    root = made(tmp_path, {"a.jpg": None, **files})
    found = report(spec.format(root))
    if coding == "latin-1" and spec == "yolo:{}/data.yaml":
        assert "data.yaml: expected the class names" in found.faults[0].reason
        return                      # YAML allows no such character
    assert found.classes == (name,) and len(found.labels) == 1
    said = [text for text in found.remarks if "read as" in text]
    assert bool(said) == (coding in ("cp1252", "latin-1"))
    assert all(f"not utf-8, read as {coding}, such as {root}" in text
               for text in said)


def test_a_stated_encoding_that_is_wrong_is_remarked(tmp_path):
    text = xml(("M\u00fcll", 1, 1, 9, 9))
    for stated, coding, told in (("ascii", "utf-8", "utf-8"),
                                 ("klingon", "cp1252", "cp1252"),
                                 ("gb2312", "gb2312", None),
                                 ("utf-16", "utf-8", None)):
        name = "\u732b" if stated == "gb2312" else "M\u00fcll"
        head = f'<?xml version="1.0" encoding="{stated}"?>'
        root = made(tmp_path / stated, {"a.jpg": None, "a.xml": (
            head + text.replace("M\u00fcll", name)).encode(coding)})
        found = addresses.open_dataset(f"voc:{root}")
        assert found.classes == (name,)
        assert list(found.remarks) == ([] if told is None else [
            f"files of text that are not {stated}, read as {told}, such as "
            f"{root}/a.xml"])


def test_faults_name_the_folder_of_their_file(tmp_path):
    root = made(tmp_path / "set", {
        "JPEGImages/p07.jpg": None,
        "Annotations/p07.xml": xml(("cat", 9, 1, 3, 3), ("cat", 1, 1, 9, 9)),
        "images/train/a.jpg": None, "labels/train/a.txt": "0 2 2 2 2\n",
        "classes.txt": "cat\n"})
    for spec, place in ((f"voc:{root}?images=JPEGImages",
                         "set/Annotations/p07.xml, object 0 (line "),
                        (f"yolo:{root}", "set/labels/train/a.txt, line 1: "),
                        (f"yolo:{root}:train", "set/labels/train/a.txt, ")):
        assert report(spec).faults[0].reason.startswith(place)
    elsewhere = made(tmp_path / "other", {"x/a.xml": xml(
        ("cat", 9, 1, 3, 3)), "y/a.jpg": None})
    found = report(f"voc:{elsewhere}/y?annotations={elsewhere}/x")
    assert found.faults[0].reason.startswith(f"{elsewhere}/x/a.xml, object 0")


def test_a_list_of_pictures_that_lie_elsewhere(tmp_path):
    made(tmp_path / "away", {name: None for name in ("a.jpg", "b.jpg")})
    made(tmp_path / "away", {"a.txt": "0 .5 .5 .5 .5\n", "b.txt": ""})
    made(tmp_path, {"set/all.txt": f"{tmp_path}/away/a.jpg\n",
                    "set/obj.names": "cat\n"})
    spec = f"yolo:{tmp_path}/set/all.txt"
    assert f"images={tmp_path}/away names its folder" in (
        report(spec).faults[0].reason)
    found = addresses.open_dataset(f"{spec}?images={tmp_path}/away")
    assert len(found) == 1 and found.classes == ("cat",)
