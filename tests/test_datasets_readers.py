"""Readers of VOC, COCO, CSV, YOLO and lists: what is read, and each fault."""

import json
import os
import sys

import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import datasets
from dsod_d2l.datasets import loader, sample as sample_module
from dsod_d2l.workbench.formats import (addresses, choices, coco as coco_format,
                                        voc, yolo as yolo_format)
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import CLASSES, Small, assert_same, encoded, in_pixels

OBJECT = ("<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
          "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>")


def xml(*objects, name="a.jpg", size=(40, 60)):
    """A VOC file; an object is a class and four numbers, or text."""
    inner = "\n".join(one if isinstance(one, str) else OBJECT.format(*one)
                      for one in objects)
    return (f"<annotation><filename>{name}</filename>\n<size><width>{size[1]}"
            f"</width><height>{size[0]}</height></size>\n{inner}"
            "</annotation>")


def voc_folder(root, files, lists=None):
    """Write {name: XML text} with images of 60 x 40, and {set: names}."""
    for name, text in files.items():
        for folder, suffix, data in (
                ("Annotations", "xml", text.encode()),
                ("JPEGImages", "jpg", encoded("x.jpg", 40, 60))):
            path = root / folder / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    for name, names in (lists or {}).items():
        (root / f"ImageSets/Main/{name}.txt").write_text(names)
    return root


def one_fault(spec, words, **options):
    """Opening stops with a sentence; skipping counts the same one."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        addresses.open_dataset(spec, **options)
    text = str(caught.value)
    assert words in text and "\n" not in text and text.endswith("."), text
    with pytest.warns(UserWarning, match="faulty and left out"):
        found = addresses.open_dataset(spec, bad="skip", **options)
    assert [fault.reason for fault in found.faults] == [text]
    assert len(found.skipped) == 1 and "1 skipped" in repr(found)
    return found


# --- VOC ----------------------------------------------------------------------

def test_voc_counts_pixels_from_one_and_includes_the_last(tmp_path):
    voc_folder(tmp_path, {"a": xml(("cat", 1, 1, 60, 40),
                                   ("cat", 16, 21, 30, 40))})
    found = addresses.open_dataset(f"voc:{tmp_path}")
    assert in_pixels(found, 0).tolist() == [[0, 0, 60, 40], [15, 20, 30, 40]]
    np.testing.assert_array_equal(found[0].boxes, np.float32(
        [[0, 0, 1, 1], [.25, .5, .5, 1]]))
    assert found[0].source == f"{tmp_path.name}/Annotations/a.xml"
    other = addresses.open_dataset(f"voc:{tmp_path}?origin=0")
    assert in_pixels(other, 0)[1].tolist() == [16, 21, 30, 40]


def test_voc_flags_parts_and_floats(tmp_path):
    person = ("<object><name>person</name><truncated>1</truncated><difficult>1"
              "</difficult><occluded>0</occluded><bndbox><xmin>2.5</xmin><ymin>"
              "3</ymin><xmax>20</xmax><ymax>30</ymax></bndbox><part><name>head"
              "</name><bndbox><xmin>4</xmin><ymin>5</ymin><xmax>9</xmax><ymax>8"
              "</ymax></bndbox></part></object>")
    voc_folder(tmp_path, {"a": xml(person)})
    found = voc.VOC(tmp_path)
    assert found.classes == ("person",)
    assert found.entry(0).flags.tolist() == [[True, True, False, False]]
    assert in_pixels(found, 0).tolist() == [[1.5, 2, 20, 30]]


def test_voc_sets_and_classes(tmp_path):
    cat, dog = xml(("cat", 1, 1, 9, 9)), xml(("dog", 1, 1, 9, 9), name="b.jpg")
    root = voc_folder(tmp_path / "set", {"a": cat, "b": dog},
                      {"train": "a\n", "val": "b\n\n"})
    assert len(voc.VOC(root)) == 1
    for name, count in (("train", 1), ("val", 1), ("all", 2)):
        found = addresses.open_dataset(f"voc:{root}:{name}")
        # The same names whatever the set: labels must not move.
        assert len(found) == count and found.classes == ("cat", "dog")
    assert addresses.open_dataset(f"voc:{root}", "val").entry(0).name == "b.jpg"
    (root / "ImageSets/Main/trainval.txt").write_text("a\nb\n")
    assert len(voc.VOC(root)) == 2
    (root / "classes.txt").write_text("dog\ncat\n")
    assert voc.VOC(root).classes == ("dog", "cat")
    assert voc.VOC(root, classes=["cat", "dog", "cow"]).classes[2] == "cow"
    with pytest.raises(FileNotFoundError, match="no image set 'test' in .*"
                       "expected one of train, trainval, val, all."):
        voc.VOC(root, "test")


def test_bare_folders(tmp_path):
    voc_folder(tmp_path, {"a": xml(("cat", 1, 1, 9, 9))})
    (tmp_path / "Annotations/a.xml").rename(tmp_path / "JPEGImages/a.xml")
    found = addresses.open_dataset(f"voc:{tmp_path}/JPEGImages")
    assert len(found) == 1 and found[0].image.shape == (40, 60, 3)


@pytest.fixture
def years(tmp_path):
    for year, sets in (("2007", ("trainval", "test")), ("2012", ("trainval",))):
        files = {f"{year}_{name}": xml(("dog", 1, 1, 9, 9),
                                       name=f"{year}_{name}.jpg")
                 for name in sets}
        voc_folder(tmp_path / "VOCdevkit" / f"VOC{year}", files,
                   {name: f"{year}_{name}\n" for name in sets})
    return tmp_path


@pytest.mark.parametrize("name, wanted", [
    ("07+12", ["2007_trainval", "2012_trainval"]),
    ("07++12", ["2007_trainval", "2007_test", "2012_trainval"]),
    ("2007-test", ["2007_test"])])
def test_years_by_name(years, name, wanted):
    for root in (years, years / "VOCdevkit"):
        found = addresses.open_dataset(f"voc:{root}:{name}")
        assert [found.entry(row).name[:-4] for row in range(len(found))
                ] == wanted
        assert found.classes == voc.VOC_CLASSES and len(found.classes) == 20
        assert found[0].labels.tolist() == [11]
    found = addresses.open_dataset(
        f"voc:{years}:2007-test + voc:{years}/VOCdevkit/VOC2012:trainval")
    assert len(found) == 2


def test_an_unclear_year_says_what_there_is(years):
    for name in ("", ":trainval", ":07-12", ":2007"):
        with pytest.raises(ValueError, match="holds VOC2007, VOC2012: expected "
                                             "an image set such as 2007-test"):
            addresses.open_dataset(f"voc:{years}{name}")
    with pytest.raises(FileNotFoundError, match="no image set 'val'"):
        addresses.open_dataset(f"voc:{years}:2012-val")


BOMB = ('<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b '
        '"&a;&a;&a;&a;">]><annotation><filename>&b;</filename></annotation>')
CAT = ("cat", 1, 1, 9, 9)
VOC_FAULTS = [
    (xml(("cat", 20, 1, 20, 9)), "bad.xml, object 0 (line 3): xmin 20 is not "
                                 "below xmax 20"),
    (xml(CAT, ("cat", 1, 9, 20, 3)), "object 1 (line 4): ymin 9 is not below"),
    (xml(("cat", 1, 1, 61, 9)), "it leaves the image: found 1 1 61 9, expected"
                                " x from 1 to 60 and y from 1 to 40"),
    (xml(("cat", 0, 1, 20, 9)), "these look like pixels counted from 0 "
                                "(origin=0)"),
    (xml(("cat", .1, .2, .5, .9)), "these look like fractions"),
    (xml(("cat", 1, 1, "nan", 9)), "xmax is not a number: 'nan'"),
    (xml(("cat", 1, 1, "inf", 9)), "a coordinate is not a finite number"),
    (xml(("cat", 1, 1, "", 9)), "it has no bndbox with xmax"),
    (xml(("", 1, 1, 9, 9)), "it has no name"),
    (xml(("Cat", 1, 1, 9, 9)), "the class 'Cat' is not one of cat, dog; 'cat' "
                               "is known"),
    (xml(("dgo", 1, 1, 9, 9)), "'dog' is known"),
    (xml(OBJECT.format(*CAT).replace("</name>", "</name><name>dog</name>")),
     "it has more than one <name>"),
    (xml(CAT, size=(40, 61)), "bad.xml: the file states 61 x 40 pixels, the "
                              "image has 60 x 40"),
    (xml(CAT, size=(40, -6)), "expected a size of whole pixels"),
    (xml(CAT)[:-20], "expected the XML of an annotation, but"),
    ("", "bad.xml, line 1: expected the XML of an annotation, but no element"),
    ("<html/>", "expected <annotation> as its root, found <html>"),
    ("<annotation>" * 99, "nested deeper than 30"),
    (BOMB, "it declares a document type"),
]


@pytest.mark.parametrize("text, words", VOC_FAULTS,
                         ids=[words[-30:] for _, words in VOC_FAULTS])
def test_each_fault_of_a_voc_file(tmp_path, text, words):
    good = xml(CAT, ("dog", 1, 1, 60, 40), name="good.jpg")
    voc_folder(tmp_path, {"bad": text.replace("a.jpg", "bad.jpg"),
                          "good": good})
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    if "states 61" in words:        # seen when the image is read
        with pytest.raises(ValueError, match=words):
            voc.VOC(tmp_path)[0]
        with pytest.warns(UserWarning):
            found = voc.VOC(tmp_path, bad="skip")
        assert words in found.skipped[0].reason
    else:
        found = one_fault(f"voc:{tmp_path}", words)
    assert len(found) == 1 and found[0].labels.tolist() == [0, 1]


@pytest.mark.parametrize("names, words", [
    ("a\nnone\n", "the image set 'train' lists 'none', but there is no "),
    ("a\n../../x\n", "train.txt, line 2: the name '../../x' leaves the folder"),
    ("a\n/etc/passwd\n", "line 2: the name '/etc/passwd' leaves the folder"),
    ("a\na\n", "train.txt, line 2: 'a' is listed in line 1 already")])
def test_each_fault_of_an_image_set(tmp_path, names, words):
    voc_folder(tmp_path, {"a": xml(CAT)}, {"train": names})
    assert len(one_fault(f"voc:{tmp_path}", words)) == 1


def test_missing_and_broken_images(tmp_path):
    files = {name: xml(CAT, name=f"{name}.jpg") for name in "abc"}
    voc_folder(tmp_path, files)
    (tmp_path / "JPEGImages/b.jpg").unlink()
    one_fault(f"voc:{tmp_path}", "b.xml: there is no image 'b' in")
    (tmp_path / "JPEGImages/b.jpg").write_bytes(b"no image")
    assert len(voc.VOC(tmp_path)) == 3       # seen when it is read
    with pytest.raises(ValueError, match="b.jpg: expected a whole image"):
        voc.VOC(tmp_path)[1]
    with pytest.warns(UserWarning, match="1 of 3 images"):
        assert len(voc.VOC(tmp_path, bad="skip", cache=True)) == 2


def test_empty_sets(tmp_path):
    voc_folder(tmp_path, {"a": xml(CAT)}, {"train": "\n"})
    with pytest.raises(ValueError, match="at least one sound image, found 0"):
        voc.VOC(tmp_path)
    (tmp_path / "Annotations/a.xml").write_text(xml())
    with pytest.raises(ValueError, match="found no class name at all"):
        voc.VOC(tmp_path)
    with pytest.raises(FileNotFoundError, match="folder such as Annotations"):
        voc.VOC(tmp_path / "ImageSets")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        voc.VOC(tmp_path / "none")


def test_boxes_outside_can_be_cut_with_a_count(tmp_path):
    voc_folder(tmp_path, {"a": xml(("cat", 0, 1, 70, 9), CAT)})
    found = addresses.open_dataset(f"voc:{tmp_path}?outside=clip")
    assert found.clipped == 1
    assert in_pixels(found, 0).tolist() == [[0, 0, 60, 9], [0, 0, 9, 9]]


def test_a_size_that_is_not_there_comes_from_the_image(tmp_path):
    voc_folder(tmp_path, {"a": xml(("cat", 1, 1, 30, 40), size=(0, 0))})
    assert voc.VOC(tmp_path)[0].boxes.tolist() == [[0, 0, .5, 1]]


# --- lists --------------------------------------------------------------------

def test_lists(tmp_path):
    voc_folder(tmp_path, {"a": xml(("cat", 16, 21, 30, 40)),
                          "b": xml(("dog", 1, 1, 9, 9), name="b.jpg")})
    lines = ["JPEGImages/b.jpg Annotations/b.xml", "",
             "JPEGImages/a.jpg\tAnnotations/a.xml"]
    (tmp_path / "all.txt").write_text("\n".join(lines))
    found = addresses.open_dataset(f"list:{tmp_path}/all.txt")
    assert found.classes == ("cat", "dog") and len(found) == 2
    assert found[1].boxes.tolist() == [[.25, .5, .5, 1]]
    for extra, words in [
            ("JPEGImages/a.jpg", "line 4: expected an image and an XML file"),
            ("a b c", "line 4: expected an image and an XML file"),
            ("../a.jpg Annotations/a.xml", "line 4: the name '../a.jpg' leaves"),
            ("JPEGImages/a.jpg Annotations/a.xml", "is listed in line 3 alr"),
            ("JPEGImages/c.jpg Annotations/c.xml", "line 4: there is no file"),
            ("JPEGImages/c.jpg Annotations/a.xml", "line 4: there is no im"),
            ("JPEGImages/b.jpg ../Annotations/b.xml", "line 4: 'JPEGImages")]:
        (tmp_path / "all.txt").write_text("\n".join([*lines, extra]))
        one_fault(f"list:{tmp_path}/all.txt", words)


# --- COCO ---------------------------------------------------------------------

@pytest.fixture
def coco(tmp_path):
    """Write a COCO set of Small; return a function that changes the table."""
    path = convert(Small(), f"coco:{tmp_path}:val").path
    with open(path) as file:
        table = json.load(file)

    def change(function=None):
        new = json.loads(json.dumps(table))
        if function:
            function(new)
        with open(path, "w") as file:
            file.write(json.dumps(new).replace("Infinity", "1e999"))
        return f"coco:{path}"
    return change


def test_coco_category_ids_need_not_follow_one_another(coco):
    def spread(table):
        ids = {1: 90, 2: 3, 3: 17}
        for one in table["categories"]:
            one["id"] = ids[one["id"]]
        for one in table["annotations"]:
            one["category_id"] = ids[one["category_id"]]
    spec = coco(spread)
    found = addresses.open_dataset(spec)
    assert found.classes == ("big dog", "Tür & <b>", "cat")
    assert found.category_ids == (3, 17, 90)
    assert found[0].labels.tolist() == [2] and found[1].labels.tolist() == [
        0, 1, 2]
    assert found.image_ids["c.jpg"] == 3
    assert coco_format.Coco(spec[5:], classes=CLASSES).category_ids == (90, 3, 17)
    chosen = datasets.Subset(addresses.open_dataset(f"{spec}?only=cat,big dog"),
                             [1])
    assert chosen.category_ids == (90, 3) and chosen.image_ids["c.jpg"] == 3
    assert not hasattr(choices.Selected(Small()), "image_ids")


def test_coco_layout_and_crowd(coco, tmp_path):
    path = coco()[5:]
    for spec in (f"coco:{tmp_path}:val", f"coco:{path}",
                 f"coco:{path}:{tmp_path}/val",
                 f"coco:{path}?images={tmp_path}/val"):
        assert_same(addresses.open_dataset(spec), Small())
    sample = addresses.open_dataset(f"coco:{tmp_path}", "val")[1]
    assert sample.crowd.tolist() == [False, False, True]
    assert loader.without_crowds(sample).labels.tolist() == [1, 2]


def test_coco_areas_of_outlines_stay_with_their_objects(coco):
    def state(table):
        for number, one in enumerate(table["annotations"]):
            one["area"] = 100 + number
        del table["annotations"][2]["area"]
    spec = coco(state)
    found = addresses.open_dataset(spec)
    assert found[0].areas.tolist() == [100] and found[2].areas is None
    assert found[1].areas[[0, 2]].tolist() == [101, 103]
    assert np.isnan(found[1].areas[1])
    chosen = addresses.open_dataset(f"{spec}?only=cat")
    assert chosen[1].areas.tolist() == chosen.entry(1).areas.tolist() == [103]
    assert loader.without_crowds(found[1]).areas is None


def put(kind, row, **values):
    return lambda table: table[kind][row].update(values)


COCO_FAULTS = [
    (put("annotations", 0, bbox=[10, 5, 0, 20]), "xmin 10 is not below xmax 10"),
    (put("annotations", 0, bbox=[10, 5, 51, 20]), "it leaves the image"),
    (put("annotations", 0, bbox=[10, 5, "wide", 20]), "expected a bbox of four"),
    (put("annotations", 0, bbox=[10, 5, 20]), "expected a bbox of four"),
    (put("annotations", 0, bbox=None), "expected a bbox of four"),
    (put("annotations", 0, bbox=[1e999, 5, 20, 20]), "not a finite number"),
    (put("annotations", 0, category_id=9), "no category has the id 9"),
    (put("annotations", 0, category_id=[1]), "no category has the id [1]"),
    (put("images", 0, width=61), "the file states 61 x 40 pixels, the image"),
    (put("images", 0, width="wide"), "expected width and height in whole pix"),
    (put("images", 2, file_name="none.jpg"), "there is no image"),
]


@pytest.mark.parametrize("change, words", COCO_FAULTS,
                         ids=[words[:24] for _, words in COCO_FAULTS])
def test_each_fault_of_a_coco_file(coco, change, words):
    spec = coco(change)
    if "states 61" in words:
        with pytest.raises(ValueError, match=words):
            addresses.open_dataset(spec)[0]
    else:
        found = one_fault(spec, words)
        assert len(found) == 3 and words in found.skipped[0].reason


@pytest.mark.parametrize("change, words", [
    (put("annotations", 0, image_id=9), "annotation 0: no image has the id 9"),
    (put("annotations", 0, image_id=None), "no image has the id None"),
    (lambda table: table["annotations"].append(7), "no image has the id None"),
    (lambda table: table["images"].append({"id": 2, "file_name": "z.jpg"}),
     "image 4: the id 2 is there twice"),
    (lambda table: table["images"].append({"id": 9, "file_name": "a.jpg"}),
     "image 4: the file 'a.jpg' is there twice"),
    (lambda table: table["images"].append({"id": 9, "file_name": "../a.jpg"}),
     "image 4: the name '../a.jpg' leaves the folder"),
    (lambda table: table["images"].append(7), "expected an id and a file_nam"),
], ids=range(7))
def test_faults_that_belong_to_no_image_cost_none(coco, change, words):
    assert len(one_fault(coco(change), words)) == 4


EMPTY = '{"images": [], "annotations": [], "categories": '


@pytest.mark.parametrize("text, words", [
    ("{", "expected JSON, but"), ("[]", "found no list 'images'"),
    ("[" * 100_000, "expected JSON, but"), ("", "expected JSON, but"),
    (EMPTY + "{}}", "'categories'"), (EMPTY + "[]}", "one category"),
    ('{"images": [NaN]}', "found no list 'categories'"),
    (EMPTY + '[{"id": 1}]}', "category 0: expected a whole number as id"),
    (EMPTY + '[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
     "category 1: the id 1 or the name 'b' is there twice"),
    (EMPTY + '[{"id": 1, "name": "a"}]}', "found 0 listed and none sound"),
    ("\0\xff", "expected UTF-8 text, found the byte 0xff at position 1")],
    ids=range(11))
def test_a_coco_file_that_cannot_be_read(tmp_path, text, words):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    for bad in ("error", "skip"):
        with pytest.raises(ValueError) as caught:
            addresses.open_dataset(f"coco:{tmp_path}/a.json", bad=bad)
        assert words in str(caught.value)
        assert f"{tmp_path}/a.json" in str(caught.value)


def test_rounding_of_coco_boxes_is_not_a_fault(coco):
    found = addresses.open_dataset(coco(put("annotations", 1,
                                           bbox=[0, 0, 50.01, 30])))
    assert in_pixels(found, 1)[0].tolist() == [0, 0, 50, 30]


# --- CSV ----------------------------------------------------------------------

def csv_file(folder, text, name="a.csv"):
    for image in "ab":
        (folder / f"{image}.jpg").write_bytes(encoded("x.jpg", 40, 60))
    (folder / name).write_text(text)
    return f"csv:{folder / name}"


def test_csv_in_pixels_and_in_fractions(tmp_path):
    pixels = csv_file(tmp_path, "class, filename ,x1,y1,x2,y2\n"
                                "cat,a.jpg,15,20,30,40\n\nb,b.jpg,0,0,60,1\n")
    found = addresses.open_dataset(pixels)
    assert found.unit == "pixels" and found.classes == ("b", "cat")
    assert found[0].boxes.tolist() == [[.25, .5, .5, 1]]
    fractions = csv_file(tmp_path, "image,xmin,ymin,xmax,ymax,class,difficult\n"
                         "a.jpg,0.25,0.5,0.5,1,cat,1\nb.jpg,,,,,,\n", "f.csv")
    found = addresses.open_dataset(fractions)
    assert found.unit == "fractions" and len(found) == 2
    assert found[0].boxes.tolist() == [[.25, .5, .5, 1]]
    assert found[0].difficult.tolist() == [True] and not len(found[1].labels)


HEAD = "image,xmin,ymin,xmax,ymax,class,width,height,crowd\n"
GOOD = "a.jpg,15,20,30,40,cat,60,40,0\n"


@pytest.mark.parametrize("row, words", [
    ("b.jpg,9,0,9,9,cat,60,40,0", "b.jpg, line 3: xmin 9 is not below xmax 9"),
    ("b.jpg,0,0,61,9,cat,60,40,0", "line 3: it leaves the image"),
    ("b.jpg,0,0,x,9,cat,60,40,0", "line 3: xmax is not a number: 'x'"),
    ("b.jpg,0,0,,9,cat,60,40,0", "line 3: xmax is not a number: ''"),
    ("b.jpg,0,0,9,9,cat,60.5,40,0", "line 3: expected width and height in"),
    ("b.jpg,0,0,9,9,cat,60,40", "line 3: expected 9 cells and the name"),
    (",0,0,9,9,cat,60,40,0", "line 3: expected 9 cells and the name"),
    ("n.jpg,0,0,9,9,cat,60,40,0", "line 3: there is no image"),
    ("../n.jpg,0,0,9,9,cat,60,40,0", "line 3: the name '../n.jpg' leaves the f"),
    ("b.jpg,,,,,,60,40,\nb.jpg,0,0,9,9,cat,60,40,0",
     "line 4: this image has rows with an object and a row without"),
    ("b.jpg,0,0,9,9,dog,60,40,0", "line 3: the class 'dog' is not one of cat"),
])
def test_each_fault_of_a_csv_file(tmp_path, row, words):
    (tmp_path / "classes.txt").write_text("cat\n")
    spec = csv_file(tmp_path, HEAD + GOOD + row + "\n" + GOOD)
    found = one_fault(spec, words)
    assert len(found) == 1 and len(found[0].labels) == 2


@pytest.mark.parametrize("text, words", [
    ("", "found an empty file"), ("image,xmin\n", "expected one column each"),
    (HEAD.replace("ymax", "xmax"), "expected one column each of"),
    (HEAD + '"a.jpg', "line 2: expected CSV, but"), (HEAD, "one object"),
    (HEAD + "a\0.jpg,1,1,2,2,c,9,9,0\n", "")], ids=range(6))
def test_a_csv_file_that_cannot_be_read(tmp_path, text, words):
    with pytest.raises(ValueError) as caught:
        addresses.open_dataset(csv_file(tmp_path, text))
    assert words in str(caught.value) and "a.csv" in str(caught.value)


def test_the_unit_can_be_declared_and_is_then_checked(tmp_path):
    spec = csv_file(tmp_path, HEAD + GOOD)
    with pytest.raises(ValueError, match="x from 0 to 1 .*look like pixels"):
        addresses.open_dataset(f"{spec}?unit=fractions")
    assert len(addresses.open_dataset(f"{spec}?unit=pixels")) == 1
    with pytest.raises(ValueError, match="unit must be one of pixels"):
        addresses.open_dataset(f"{spec}?unit=metres")


# --- YOLO ---------------------------------------------------------------------

@pytest.fixture
def yolo(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        (tmp_path / f"images/{name}.jpg").write_bytes(encoded("x", 40, 60))
    (tmp_path / "labels/a.txt").write_text("1 0.375 0.75 0.25 0.5\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    return tmp_path


def test_yolo_boxes_are_centre_and_size(yolo):
    found = addresses.open_dataset(f"yolo:{yolo}")
    assert found.classes == ("cat", "dog") and len(found) == 2
    assert found[0].boxes.tolist() == [[.25, .5, .5, 1]]
    assert found[0].labels.tolist() == [1] and not len(found[1].labels)


def test_a_yolo_split_is_in_both_folders_or_holds_both(yolo):
    for name in ("images", "labels"):
        (yolo / name).rename(yolo / f"old {name}")
        (yolo / "train").mkdir(exist_ok=True)
        (yolo / f"old {name}").rename(yolo / "train" / name)
    for found in (addresses.open_dataset(f"yolo:{yolo}:train"),
                  addresses.open_dataset(f"yolo:{yolo}", split="train")):
        assert [len(one.labels) for one in found] == [1, 0]
        assert found.entry(0).name == "a.jpg"
    (yolo / "train/labels").rename(yolo / "labels")
    with pytest.raises(ValueError, match="found 2 images in .*train/images, "
                       "and no text file of theirs .*; labels=FOLDER names"):
        addresses.open_dataset(f"yolo:{yolo}:train")
    with pytest.raises(FileNotFoundError, match="no folder .*valid"):
        addresses.open_dataset(f"yolo:{yolo}:valid")


@pytest.mark.parametrize("text", ["names: [cat, dog]\n",
                                  "names:\n  1: dog\n  0: cat\n"])
def test_yolo_names_from_yaml(yolo, text):
    pytest.importorskip("yaml")
    (yolo / "classes.txt").rename(yolo / "data.yaml")
    (yolo / "data.yaml").write_text(text)
    assert yolo_format.open_yolo(yolo).classes == ("cat", "dog")
    for wrong in ("names: 3", "names: {1: a}", "[", "names: [a, a]"):
        (yolo / "data.yaml").write_text(wrong)
        with pytest.raises(ValueError, match="data.yaml"):
            yolo_format.open_yolo(yolo)
    (yolo / "data.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="class names in classes.txt"):
        yolo_format.open_yolo(yolo)


def test_yolo_names_from_yaml_without_its_reader(yolo, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)       # as if not installed
    yolo_format.open_yolo(yolo)                      # its names are in classes.txt
    (yolo / "classes.txt").rename(yolo / "data.yaml")
    with pytest.raises(ValueError, match="data.yaml needs PyYAML to be read; "
                       "or write the names into classes.txt"):
        yolo_format.open_yolo(yolo)


@pytest.mark.parametrize("line, words", [
    ("2 .5 .5 .1 .1", "labels/b.txt, line 2: the class '2' is not a whole "
                      "number from 0 to 1"),
    ("-1 .5 .5 .1 .1", "the class '-1' is not"),
    ("0.5 .5 .5 .1 .1", "the class '0.5' is not"),
    ("0 .5 .5 .1", "expected five numbers"),
    ("0 .5 .5 .1 .1 .9 .9 .9", "expected five numbers"),
    ("0 .1 .1 .2 .2 .3 .3 .4 .4 .5", "the points of a polygon"),
    ("cat .5 .5 .1 .1", "expected five numbers"),
    ("0 .9 .5 .4 .1", "it leaves the image"),
    ("0 30 20 10 10", "these look like pixels"),
    ("0 .5 .5 0 .1", "xmin 0.5 is not below xmax 0.5"),
    ("0 nan .5 .1 .1", "expected five numbers")])
def test_each_fault_of_a_yolo_file(yolo, line, words):
    (yolo / "labels/b.txt").write_text(f"0 .5 .5 .1 .1\n{line}\n")
    assert len(one_fault(f"yolo:{yolo}", words)) == 1


def test_a_yolo_file_without_an_image(yolo):
    (yolo / "labels/c.txt").write_text("")
    assert len(one_fault(f"yolo:{yolo}", "labels/c.txt: there is no image"
                         )) == 2
    (yolo / "labels/c.txt").unlink()
    (yolo / "flags.csv").write_text("file,line,a,b,c,d\nlabels/x.txt,1,0,0,0,0")
    one_fault(f"yolo:{yolo}", "flags.csv, line 2: expected a text file")


# --- choices ------------------------------------------------------------------

@pytest.fixture
def small(tmp_path):
    return f"csv:{convert(Small(), f'csv:{tmp_path}/a.csv').path}"


def test_only_and_rename(small):
    found = addresses.open_dataset(f"{small}?rename=big dog:pet,cat:pet")
    assert found.classes == ("pet", "Tür & <b>")
    assert found[1].labels.tolist() == [0, 1, 0]
    found = addresses.open_dataset(f"{small}?only=big dog")
    assert found.classes == ("big dog",) and found.dropped == {"class": 3}
    assert [len(found[row].labels) for row in range(4)] == [0, 1, 0, 2]
    assert len(found.entry(1).boxes) == 1 and found.encoded(2)


@pytest.mark.parametrize("column, flag", list(enumerate(
    ("difficult", "truncated", "occluded", "crowd"))))
def test_each_flag_can_be_dropped_or_made_difficult(small, column, flag):
    whole = addresses.open_dataset(small)
    dropped = addresses.open_dataset(f"{small}?{flag}=drop")
    marked = addresses.open_dataset(f"{small}?{flag}=difficult")
    kept = addresses.open_dataset(f"{small}?{flag}=keep")
    assert dropped.dropped == {flag: 2} and not marked.dropped
    for row in range(len(whole)):
        flags = whole.entry(row).flags
        stay = ~flags[:, column]
        np.testing.assert_array_equal(dropped[row].boxes,
                                      whole[row].boxes[stay])
        assert dropped[row].labels.tolist() == whole[row].labels[stay].tolist()
        assert marked[row].difficult.tolist() == (
            flags[:, 0] | flags[:, column]).tolist()
        assert kept.entry(row).flags.tolist() == flags.tolist()
        if flag == "crowd":
            assert marked[row].crowd is None


@pytest.mark.parametrize("options, words", [
    ("only=cow", "only: the class 'cow' is not one of cat"),
    ("only=cat,cat", "only must list different class names"),
    ("rename=cow:x", "rename: the class 'cow' is not one of"),
    ("rename=cat", "rename must have the form OLD:NEW"),
    ("crowd=ignore", "crowd must be one of keep, drop, difficult"),
    ("colour=red", "the option 'colour=red' of"), ("only=", "the option"),
    ("only", "the option 'only'"),
    ("only=cat&only=cat", "it is there twice")])
def test_choices_that_cannot_be(small, options, words):
    with pytest.raises(ValueError) as caught:
        addresses.open_dataset(f"{small}?{options}")
    assert words in str(caught.value)


def test_training_from_a_voc_folder(tmp_path, capsys):
    """Two steps and an evaluation, from the command line."""
    from dsod_d2l.workbench.cli import main
    convert(Small(), f"voc:{tmp_path}/v")
    spec = f"voc:{tmp_path}/v:train?crowd=drop"
    assert main(["train", "--data", spec, "--out", str(tmp_path / "run"),
                 "--steps", "2", "--batch-size", "2", "--workers", "1",
                 "--held-back", "0", "--warmup", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    assert main(["evaluate", "--data", f"voc:{tmp_path}/v", "--weights",
                 str(tmp_path / "run/model.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 4


def test_combined():
    first = Small()
    second = choices.Selected(Small(), only=["Tür & <b>", "cat"])
    with pytest.raises(ValueError, match="classes of data sets .* must agree"):
        datasets.Combined([first, second])
    both = datasets.Combined([second, first], merge=True)
    assert both.classes == ("Tür & <b>", "cat", "big dog") and len(both) == 8
    assert both.entry(1).labels.tolist() == [0, 1]
    assert both.entry(5).labels.tolist() == [2, 0, 1]
    assert both.encoded(7) == first.encoded(3) and both.size(7) == (64, 48)
    assert both.entry(-1).name == "deep/d.png"
    with pytest.raises(IndexError):
        both.entry(8)
    with pytest.raises(ValueError, match="at least one data set"):
        datasets.Combined([])


def test_combined_coco_files_keep_their_ids(coco):
    one = addresses.open_dataset(coco())
    both = datasets.Combined([one, one])
    assert both.category_ids == one.category_ids
    assert both.image_ids == one.image_ids
    other = addresses.open_dataset(coco())
    other.category_ids = other.category_ids[::-1]
    other.image_ids = {f"other {name}": key + 1000 for name, key
                       in one.image_ids.items()}
    assert len(datasets.Combined([one, other]).image_ids) == 2 * len(one)
    with pytest.raises(ValueError, match="the class 'cat' has the id"):
        datasets.Combined([one, other]).category_ids
    mixed = datasets.Combined([one, Small()], merge=True)
    assert not hasattr(mixed, "image_ids")
    assert not hasattr(mixed, "category_ids")


def test_combined_samples_have_the_labels_of_the_whole(small, tmp_path):
    other = addresses.open_dataset(f"{small}?only=Tür %26 <b>,cat")
    both = datasets.Combined([other, addresses.open_dataset(small)], merge=True)
    assert both[1].labels.tolist() == [0, 1]
    assert both[5].labels.tolist() == [2, 0, 1]
    assert both[5].boxes.tolist() == other.dataset[1].boxes.tolist()


def test_crowds_are_not_trained_on(small):
    """The loader takes them out: no anchor becomes positive for one."""
    from dsod_d2l import config
    from dsod_d2l.datasets.loader import BatchMaker
    settings = config.TrainConfig(batch_size=4, augment="none")
    counts = {}
    for policy in ("keep", "drop", "difficult"):
        found = addresses.open_dataset(f"{small}?crowd={policy}")
        maker = BatchMaker(found, config.get("dsod_tiny", num_classes=3),
                           settings)
        counts[policy] = (maker.fill(0, maker.empty()[0]).classes > 0).sum()
    assert counts["keep"] == counts["drop"] < counts["difficult"]


def test_the_cache_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_module, "CACHE_LIMIT", 40 * 60 * 3 + 1)
    convert(Small(), f"yolo:{tmp_path}")
    found = addresses.open_dataset(f"yolo:{tmp_path}", cache=True)
    assert found[0].image is found[0].image
    assert not found[0].image.flags.writeable
    assert found[1].image is not found[1].image


def test_real_cells():
    root = os.environ.get("DSOD_REAL_DATA")
    if not root:
        pytest.skip("DSOD_REAL_DATA is not set")
    found = addresses.open_dataset(f"voc:{root}/bccd/BCCD:test?only=RBC,WBC")
    assert len(found) == 72 and found.classes == ("RBC", "WBC")
    assert found[0].image.shape == (480, 640, 3)
