"""YOLO as the programs lay it out, opened by the address one types first."""

import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import datasets
from dsod_d2l.workbench.formats import addresses
from small_sets import encoded

BOXES = {"a": [(0, .5, .5, .25, .5)], "b": [(1, .25, .25, .5, .5),
                                            (0, .75, .5, .1, .2)],
         "c": [(1, .4, .6, .2, .2)], "a.rf.1": [(1, .5, .5, 1, 1)]}


def put(root, files):
    """Write {name: text, or None for an image} below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.write_bytes(encoded("x.jpg", 40, 60))
        else:
            path.write_text(text)
    return root


def lines(stem):
    return "".join(" ".join(map(str, row)) + "\n" for row in BOXES[stem])


def pair(image, text):
    """An image and its text file, both by name; the stem says which boxes."""
    return {image: None, text: lines(Path(image).stem)}


def parse(path):
    """Read a text file of boxes, independently of the reader."""
    rows = []
    for line in Path(path).read_text().split("\n"):
        if line:
            label, x, y, w, h = map(float, line.split())
            rows.append((int(label), [x - w / 2, y - h / 2,
                                      x + w / 2, y + h / 2]))
    return rows


def opened(spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return addresses.open_dataset(spec)


def holds(spec, texts, classes=("cat", "dog")):
    """The set has the images of these text files, with their boxes."""
    found = opened(spec)
    assert found.classes == classes
    entries = sorted((found.entry(row) for row in range(len(found))),
                     key=lambda one: Path(one.name).stem)
    assert [Path(one.name).stem for one in entries] == sorted(
        path.stem for path in texts)
    for entry, path in zip(entries, sorted(texts, key=lambda one: one.stem)):
        rows = parse(path)
        assert entry.labels.tolist() == [label for label, _ in rows]
        np.testing.assert_allclose(entry.boxes, np.reshape(
            [box for _, box in rows], (-1, 4)), atol=1e-12)
    for row in range(len(found)):
        assert found[row].image.shape == (40, 60, 3)
    return found


NAMES = "cat\ndog\n"
YAML = "names: [cat, dog]\nnc: 2\n"
# What is written; the address behind the folder; the text files meant.
LAYOUTS = {
    "labelImg, all in one folder": (
        {**pair("a.jpg", "a.txt"), **pair("b.JPG", "b.txt"),
         "classes.txt": NAMES}, "", ["a.txt", "b.txt"]),
    "labelImg, two folders": (
        {**pair("images/a.jpg", "labels/a.txt"),
         **pair("images/b.png", "labels/b.txt"),
         "labels/classes.txt": NAMES}, "", ["labels/a.txt", "labels/b.txt"]),
    "folders of any name": (
        {**pair("My pictures/a.jpg", "boxes/a.txt"),
         "classes.txt": NAMES}, "", ["boxes/a.txt"]),
    "darknet": (
        {**pair("obj/a.jpg", "obj/a.txt"), **pair("obj/b.jpg", "obj/b.txt"),
         "obj.names": NAMES, "train.txt": "data/obj/a.jpg\n",
         "test.txt": "/srv/me/darknet/data/obj/b.jpg\n",
         "obj.data": "classes= 2\ntrain  = data/train.txt\nvalid  = "
         "data/test.txt\nnames = data/obj.names\nbackup = backup/\n"},
        "", ["obj/a.txt"]),
    "darknet, what it calls valid": (
        {**pair("obj/a.jpg", "obj/a.txt"), **pair("obj/b.jpg", "obj/b.txt"),
         "obj.names": NAMES, "train.txt": "data/obj/a.jpg\n",
         "test.txt": "D:\\darknet\\data\\obj\\b.jpg\n",
         "obj.data": "train = data/train.txt\nvalid = data/test.txt\n"
         "names = data/obj.names\n"}, "/obj.data:valid", ["obj/b.txt"]),
    "CVAT, YOLO 1.1": (
        {**pair("obj_train_data/a.jpg", "obj_train_data/a.txt"),
         **pair("obj_train_data/sub/b.jpg", "obj_train_data/sub/b.txt"),
         "obj.names": NAMES, "obj.data": "classes = 2\nnames = data/obj.names"
         "\nbackup = backup/\ntrain = data/train.txt\n", "train.txt":
         "data/obj_train_data/a.jpg\ndata/obj_train_data/sub/b.jpg\n"}, "",
        ["obj_train_data/a.txt", "obj_train_data/sub/b.txt"]),
    "a list of images": (
        {**pair("images/a.jpg", "labels/a.txt"),
         **pair("images/c.jpg", "labels/c.txt"), "classes.txt": NAMES,
         "mine.txt": "./images/c.jpg\n"}, "/mine.txt", ["labels/c.txt"]),
    "Ultralytics": (
        {**pair("images/train/a.jpg", "labels/train/a.txt"),
         **pair("images/val/b.jpg", "labels/val/b.txt"), "data.yaml":
         "path: ../datasets/mine\ntrain: images/train\nval: images/val\n"
         "test:\nnames:\n  0: cat\n  1: dog\n"}, "", ["labels/train/a.txt"]),
    "Ultralytics, the file": (
        {**pair("images/train/a.jpg", "labels/train/a.txt"),
         **pair("images/val/b.jpg", "labels/val/b.txt"), "mine.yml":
         "path: /content/datasets/mine\ntrain: images/train\n"
         f"val: images/val\n{YAML}"}, "/mine.yml:val", ["labels/val/b.txt"]),
    "Ultralytics, several folders": (
        {**pair("x/images/a.jpg", "x/labels/a.txt"),
         **pair("y/images/b.jpg", "y/labels/b.txt"),
         **pair("z/images/c.jpg", "z/labels/c.txt"), "data.yaml":
         f"train: [x/images, y/images]\nval: z/images\n{YAML}"}, "",
        ["x/labels/a.txt", "y/labels/b.txt"]),
    "Ultralytics, lists": (
        {**pair("images/a.jpg", "labels/a.txt"),
         **pair("images/b.jpg", "labels/b.txt"),
         "train.txt": "./images/a.jpg\n", "val.txt": "./images/b.jpg\n",
         "data.yaml": f"train: train.txt\nval: val.txt\n{YAML}"}, "",
        ["labels/a.txt"]),
    "Ultralytics, in a folder of the archive": (
        {**pair("set/images/train2017/a.jpg", "set/labels/train2017/a.txt"),
         **pair("set/images/val2017/b.jpg", "set/labels/val2017/b.txt"),
         "set/classes.txt": NAMES}, "", ["set/labels/train2017/a.txt"]),
    "Roboflow": (
        {**pair("train/images/a.jpg", "train/labels/a.txt"),
         **pair("valid/images/b.jpg", "valid/labels/b.txt"),
         "data.yaml": "train: ../train/images\nval: ../valid/images\n"
         f"test: ../test/images\n\n{YAML}", "README.roboflow.txt":
         "made by a program\n"}, "", ["train/labels/a.txt"]),
    "Roboflow, valid": (
        {**pair("train/images/a.jpg", "train/labels/a.txt"),
         **pair("valid/images/b.jpg", "valid/labels/b.txt"),
         "data.yaml": "train: ../train/images\nval: ../valid/images\n"
         f"{YAML}"}, ":valid", ["valid/labels/b.txt"]),
    "Roboflow for darknet": (
        {**pair("train/a.rf.1.jpg", "train/a.rf.1.txt"),
         **pair("valid/b.jpg", "valid/b.txt"),
         "train/_darknet.labels": NAMES, "valid/_darknet.labels": NAMES},
        "", ["train/a.rf.1.txt"]),
    "Label Studio": (
        {**pair("images/a.jpg", "labels/a.txt"), "classes.txt": NAMES,
         "notes.json": "{}"}, "", ["labels/a.txt"]),
    "makesense, which names no class": (
        {**pair("a.jpg", "a.txt"), **pair("b.jpg", "b.txt")},
        "?classes=cat,dog", ["a.txt", "b.txt"]),
    "everything": (
        {**pair("images/train/a.jpg", "labels/train/a.txt"),
         **pair("images/val/b.jpg", "labels/val/b.txt"),
         "classes.txt": NAMES}, ":all",
        ["labels/train/a.txt", "labels/val/b.txt"]),
    "labels named by an option": (
        {**pair("p/x/a.jpg", "q/x/a.txt"), "r/b.txt": "0 1 1 1 1\n",
         "classes.txt": NAMES}, "?images=p&labels=q", ["q/x/a.txt"])}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path, name):
    files, rest, texts = LAYOUTS[name]
    put(tmp_path, files)
    holds(f"yolo:{tmp_path}{rest}", [tmp_path / text for text in texts])


def test_one_split_is_taken_and_the_rest_is_named(tmp_path):
    put(tmp_path, LAYOUTS["Ultralytics"][0])
    found = addresses.open_dataset(f"yolo:{tmp_path}")
    away = ("paths in data.yaml are not there, such as ../datasets/mine: "
            "looked for by their last parts")
    assert len(found) == 1 and found.remarks == {
        "images of val are left out, only those of train are taken; "
        f"yolo:{tmp_path}:val takes them, yolo:{tmp_path}:all everything": 1,
        away: 1}
    assert addresses.open_dataset(f"yolo:{tmp_path}:val").remarks == {away: 1}
    assert len(addresses.open_dataset(f"yolo:{tmp_path}:all")) == 2
    found = addresses.open_dataset(f"yolo:{tmp_path}:validation")
    assert len(found) == 1 and found.entry(0).name == "b.jpg"


def test_images_beside_the_splits_are_told(tmp_path):
    put(tmp_path, {**pair("images/train/a.jpg", "labels/train/a.txt"),
                   **pair("images/b.jpg", "labels/b.txt"),
                   "classes.txt": NAMES})
    found = addresses.open_dataset(f"yolo:{tmp_path}")
    assert len(found) == 1 and "images of rest are left out" in str(
        found.remarks)
    found = addresses.open_dataset(f"yolo:{tmp_path}:rest")
    assert len(found) == 1 and found.entry(0).labels.tolist() == [1, 0]


def test_training_takes_train_and_says_what_it_leaves(tmp_path, capsys):
    from dsod_d2l.workbench.cli import main
    put(tmp_path, {**LAYOUTS["Ultralytics"][0],
                   **pair("images/train/b.jpg", "labels/train/b.txt")})
    assert main(["train", "--data", f"yolo:{tmp_path}", "--dry-run",
                 "--batch-size", "1", "--held-back", "0"]) == 0
    out, err = capsys.readouterr()
    assert "2 images to train" in out
    assert "1 images of val are left out" in err


def test_without_train_a_split_must_be_named(tmp_path):
    put(tmp_path, {**pair("val/a.jpg", "val/a.txt"),
                   **pair("test/b.jpg", "test/b.txt"), "classes.txt": NAMES})
    with pytest.raises(ValueError, match="holds the splits test, val, and no "
                       "train: .* as in yolo:.*:test, or all"):
        addresses.open_dataset(f"yolo:{tmp_path}")
    assert len(addresses.open_dataset(f"yolo:{tmp_path}", split="val")) == 1
    with pytest.raises(FileNotFoundError, match="no folder .*/night; there "
                       "are the splits test, val"):
        addresses.open_dataset(f"yolo:{tmp_path}:night")


def test_a_split_that_is_stated_and_not_there(tmp_path):
    put(tmp_path, LAYOUTS["Roboflow"][0])
    with pytest.raises(FileNotFoundError, match="nor what data.yaml states, "
                       "'../test/images'; there are the splits train, val"):
        addresses.open_dataset(f"yolo:{tmp_path}:test")


def test_validation_is_not_trained_on_where_train_is_lost(tmp_path):
    put(tmp_path, {**pair("images/a.jpg", "labels/a.txt"),
                   "data.yaml": f"train: gone/here\nval: images\n{YAML}"})
    with pytest.raises(FileNotFoundError, match="data.yaml states 'gone/here' "
                       "for the split train: there is nothing of that name"):
        addresses.open_dataset(f"yolo:{tmp_path}")
    assert len(addresses.open_dataset(f"yolo:{tmp_path}:val")) == 1


@pytest.mark.parametrize("rest", ["/train", "/train/images", "/train/labels"])
def test_a_part_by_its_own_folder(tmp_path, rest):
    put(tmp_path, LAYOUTS["Roboflow"][0])
    holds(f"yolo:{tmp_path}{rest}", [tmp_path / "train/labels/a.txt"])


@pytest.mark.parametrize("line, box", [
    ("1 .1 .2 .5 .2 .3 .9", (.1, .2, .5, .9)),                  # a triangle
    ("1 .1 .2 .5 .2 .5 .9 .1 .9", (.1, .2, .5, .9)),            # four corners
    ("1 .3 .1 .5 .3 .3 .5 .1 .3 .3 .1", (.1, .1, .5, .5)),
    ("1 .5 .5 .2 .4 .87", (.4, .3, .6, .7)),                    # a score
    ("1 .5 .5 .2 .4 .87 12", (.4, .3, .6, .7)),                 # and a track
    ("1.0 .5 .5 .2 .4", (.4, .3, .6, .7)),
    ("1 .5 .5 .2 .4 " + "0.9 0.9 2 " * 17, (.4, .3, .6, .7))])  # a pose
def test_lines_with_more_than_a_box(tmp_path, line, box):
    put(tmp_path, {**pair("a.jpg", "a.txt"), "classes.txt": NAMES})
    (tmp_path / "a.txt").write_text(line)
    found = addresses.open_dataset(f"yolo:{tmp_path}")
    entry = found.entry(0)
    assert entry.labels.tolist() == [1]
    np.testing.assert_allclose(entry.boxes, [box], atol=1e-12)
    assert list(found.remarks.values()) == [1] * (line != "1.0 .5 .5 .2 .4")


def test_key_points_that_data_yaml_states(tmp_path):
    put(tmp_path, {**pair("a.jpg", "a.txt"), "data.yaml":
                   YAML + "kpt_shape: [2, 2]\n"})
    (tmp_path / "a.txt").write_text("0 .5 .5 .2 .4 .1 .1 .9 .9\n")
    entry = addresses.open_dataset(f"yolo:{tmp_path}").entry(0)
    np.testing.assert_allclose(entry.boxes, [(.4, .3, .6, .7)], atol=1e-12)


def test_class_lists_that_disagree(tmp_path):
    put(tmp_path, {**pair("images/a.jpg", "labels/a.txt"),
                   "labels/classes.txt": NAMES,
                   "data.yaml": "names: [dog, cat]\n"})
    with pytest.raises(ValueError, match="data.yaml and .*labels/classes.txt "
                       "disagree: class 0 is 'dog' in the one and 'cat' in "
                       r"the other; .*\?classes="):
        addresses.open_dataset(f"yolo:{tmp_path}")
    found = addresses.open_dataset(f"yolo:{tmp_path}?classes=dog,cat")
    assert found.classes == ("dog", "cat")
    (tmp_path / "data.yaml").write_text("names: [cat, dog, cow]\n")
    found = addresses.open_dataset(f"yolo:{tmp_path}")
    assert found.classes == ("cat", "dog", "cow")
    assert "labels/classes.txt" in str(found.remarks)


def test_a_number_beyond_the_names_and_no_names_at_all(tmp_path):
    put(tmp_path, {**pair("b.jpg", "b.txt"), "classes.txt": "cat\n"})
    with pytest.raises(ValueError, match="b.txt, line 1: the class '1' is not "
                       "a whole number from 0 to 0; classes=A,B names all"):
        addresses.open_dataset(f"yolo:{tmp_path}")
    assert len(addresses.open_dataset(f"yolo:{tmp_path}?classes=cat,x")) == 1
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(FileNotFoundError, match="found none.*, 0 to 1 here: "
                       r"yolo:.*\?classes=A,B"):
        addresses.open_dataset(f"yolo:{tmp_path}")


def test_text_files_that_hold_no_labels(tmp_path):
    put(tmp_path, {**pair("a.jpg", "a.txt"), "classes.txt": NAMES,
                   "README.txt": "Thank you for the boxes\n",
                   "requirements.txt": "numpy\n"})
    assert len(addresses.open_dataset(f"yolo:{tmp_path}")) == 1
    (tmp_path / "lost.txt").write_text("0 .5 .5 .1 .1\n")
    with pytest.raises(ValueError, match="lost.txt: there is no image"):
        addresses.open_dataset(f"yolo:{tmp_path}")


def test_pictures_called_as_lists_are(tmp_path):
    put(tmp_path, {"images/classes.jpg": None, "images/train.jpg": None,
                   "labels/classes.txt": "1 .5 .5 .2 .2\n",
                   "labels/train.txt": "0 .5 .5 .2 .2\n",
                   "classes.txt": NAMES})
    found = addresses.open_dataset(f"yolo:{tmp_path}")
    assert [found.entry(row).labels.tolist() for row in range(2)] == [[1], [0]]


def test_a_list_that_names_what_is_not_there(tmp_path):
    put(tmp_path, {**pair("images/a.jpg", "labels/a.txt"),
                   "classes.txt": NAMES,
                   "mine.txt": "images/a.jpg\nimages/z.jpg\n"})
    with pytest.raises(ValueError, match="mine.txt, line 2: there is no image "
                       "'images/z.jpg'"):
        addresses.open_dataset(f"yolo:{tmp_path}/mine.txt")


def test_combined_splits_are_one_set(tmp_path):
    put(tmp_path, LAYOUTS["everything"][0])
    found = addresses.open_dataset(f"yolo:{tmp_path}:all")
    assert isinstance(found, datasets.Combined)


# Where the images and the text files of a split are; {} is the split.
PATTERNS = [("images/{}", "labels/{}"), ("{}/images", "{}/labels"),
            ("{}", "{}"), ("set/images/{}", "set/labels/{}"),
            ("{}/imgs", "{}/txt"), ("images/{}", "images/{}")]
stems = st.text(st.characters(
    codec="utf-8", exclude_categories=("C", "Z"),
    exclude_characters="/\\:"), min_size=1, max_size=12).filter(
        lambda text: not text.startswith(".")
        and text.casefold() not in ("classes", "thumbs.db", "desktop.ini"))
rows = st.lists(st.tuples(
    st.integers(0, 1), *[st.floats(.3, .6) for _ in range(2)],
    *[st.floats(.01, .5) for _ in range(2)]), max_size=3)


@settings(max_examples=60, deadline=None, database=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PATTERNS), st.sampled_from(["train", "training"]),
       st.sampled_from(["val", "valid", "validation"]),
       st.sampled_from([".jpg", ".JPG", ".png", ".jfif", ".tiff"]),
       st.dictionaries(stems, rows, min_size=1, max_size=4))
def test_any_names_in_any_layout(pattern, train, val, suffix, sets):
    """What is found is what ten lines of Python read from the same files."""
    distinct = {stem.casefold(): stem for stem in sets}.values()
    root = Path(tempfile.mkdtemp())
    try:
        images, texts = pattern
        for split, names in ((train, distinct), (val, ["other"])):
            put(root, {f"{images.format(split)}/{name}{suffix}": None
                       for name in names})
            put(root, {f"{texts.format(split)}/{name}.txt": "".join(
                " ".join(map(repr, row)) + "\n" for row in sets.get(name, []))
                for name in names})
        top = root / "set" if images.startswith("set") else root
        (top / "classes.txt").write_text(NAMES)
        wanted = [root / f"{texts.format(train)}/{name}.txt"
                  for name in distinct]
        found = opened(f"yolo:{root}".replace("+", "%2B"))
        assert len(found) == len(wanted)
        by_name = {found.entry(row).name: found.entry(row)
                   for row in range(len(found))}
        for path in wanted:
            entry = by_name[path.name.removesuffix(".txt") + suffix]
            boxes = parse(path)
            assert entry.labels.tolist() == [label for label, _ in boxes]
            np.testing.assert_allclose(entry.boxes, np.reshape(
                [box for _, box in boxes], (-1, 4)), atol=1e-12)
        assert 1 in found.remarks.values()           # that of the other split
    finally:
        shutil.rmtree(root)
