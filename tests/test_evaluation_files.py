"""Result files of VOC and COCO: written, read back, and read by others."""

import contextlib
import dataclasses
import io
import json
import types

import numpy as np
import pytest

from dsod_d2l import evaluation as ev
from dsod_d2l.detection import Detections
from dsod_d2l.workbench.reports import result_files
from dsod_d2l.datasets.sample import Dataset
from test_evaluation_oracles import coco, random_set

CLASSES = ("cat", "dog", "tv monitor")
SIZES = [(120, 200), (99, 301), (50, 50)]
NAMES = ["000001", "000007", "2008_a"]


def found(seed, count):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, .5, (count, 2))
    boxes = np.hstack([low, low + rng.uniform(.1, .5, (count, 2))])
    return Detections(rng.integers(0, 3, count),
                      -np.sort(-rng.random(count)).astype(np.float32),
                      boxes.astype(np.float32), SIZES[seed])


SET = [found(0, 6), found(1, 0), found(2, 9)]


def assert_same(one, other):
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.scores, b.scores)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=2e-7)


def test_a_line_of_voc_by_hand(tmp_path):
    """Half of an image of 200 x 120: pixels 1 to 100, and all 120 rows."""
    one = Detections(np.array([1]), np.array([.25]),
                     np.array([[0, 0, .5, 1]]), SIZES[0])
    paths = result_files.write_voc(tmp_path / "new", [one], ["a"], CLASSES,
                                   "val")
    assert [path.name for path in paths] == [
        "comp4_det_val_cat.txt", "comp4_det_val_dog.txt",
        "comp4_det_val_tv monitor.txt"]
    assert paths[1].read_text() == "a 0.25 1 1 100 120\n"
    assert paths[0].read_text() == ""
    paths = result_files.write_voc(tmp_path / "new", [one], ["a"], CLASSES, "val", "comp3")
    assert [path.name for path in paths][0] == "comp3_det_val_cat.txt"
    assert paths[1].read_text() == "a 0.25 1 1 100 120\n"


def test_an_entry_of_coco_by_hand(tmp_path):
    one = Detections(np.array([1]), np.array([.25]),
                     np.array([[.25, .5, .75, 1]]), SIZES[0])
    result_files.write_coco(tmp_path / "new/r.json", [one], [42],
                            [1, 18, 72])
    assert json.loads((tmp_path / "new/r.json").read_text()) == [
        {"image_id": 42, "category_id": 18, "bbox": [50, 60, 100, 60],
         "score": .25}]


def test_both_come_back_whole(tmp_path):
    result_files.write_voc(tmp_path, SET, NAMES, CLASSES)
    assert_same(result_files.read_voc(tmp_path, NAMES, SIZES, CLASSES), SET)
    result_files.write_coco(tmp_path / "r.json", SET, NAMES, [3, 5, 9])
    assert_same(result_files.read_coco(tmp_path / "r.json", NAMES, SIZES,
                                [3, 5, 9]), SET)


def test_pycocotools_reads_the_file(tmp_path):
    detections, truths = random_set(3, difficult=0)
    path = tmp_path / "r.json"
    result_files.write_coco(path, detections, list(range(len(truths))),
                            list(range(4)))
    tools = pytest.importorskip("pycocotools.coco", reason="no pycocotools")
    data = tools.COCO()
    data.dataset = {"images": [{"id": k} for k in range(len(truths))],
                    "annotations": [], "info": {},
                    "categories": [{"id": k} for k in range(4)]}
    with contextlib.redirect_stdout(io.StringIO()):
        data.createIndex()
        rows = data.loadRes(str(path)).dataset["annotations"]
    assert len(rows) == sum(len(one.scores) for one in detections)
    again = result_files.read_coco(path, list(range(len(truths))),
                            [one.size for one in truths], list(range(4)))
    result = ev.evaluate_detections(again, truths, 4)
    expected = coco(detections, truths, 4)
    assert result.AP == pytest.approx(expected["AP"], abs=1e-4)


class Named(Dataset):
    """Three images of known names, sizes and, if wanted, ids."""

    def __init__(self, names=("deep/000001.jpg", "000007.png", "a/2008_a.jpg"),
                 classes=CLASSES, ids=None):
        self.names, self.classes = names, classes
        if ids:
            self.image_ids = dict(zip(names, ids))
            self.category_ids = (3, 5, 9)[:len(classes)]

    def __len__(self):
        return len(self.names)

    def entry(self, index):
        return types.SimpleNamespace(name=self.names[index])


def printed(one):
    """Return detections as ``detect`` prints them."""
    return [{"label": CLASSES[label], "score": float(score),
             "box": [float(side) for side in box]}
            for label, score, box in one.pixels()]


def test_results_are_read_whoever_has_written_them(tmp_path):
    named = dict(zip(Named().names, map(printed, SET)))
    stems = {name.rpartition("/")[2]: rows for name, rows in named.items()}
    lines = [{"image": name, "detections": rows}
             for name, rows in named.items()]
    for name, value in (("own", named), ("short", stems), ("rows", lines)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        found = result_files.read_results(tmp_path / f"{name}.json", Named(),
                                          SIZES)
        assert_same(found, SET)
        assert [one.image_id for one in found] == [None] * 3
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for start in ("comp4_det_test_", "comp3_det_val_"):
        folder = tmp_path / start
        for path in result_files.write_voc(folder, SET, NAMES, CLASSES):
            path.rename(folder / path.name.replace("comp4_det_test_", start))
        for path in (folder, path.with_name(f"{start}cat.txt")):
            assert_same(result_files.read_results(path, Named(), SIZES), SET)
    result_files.write_coco(tmp_path / "r.json", SET, [7, 4, 5], [3, 5, 9])
    found = result_files.read_results(tmp_path / "r.json",
                                      Named(ids=[7, 4, 5]), SIZES)
    assert_same(found, SET)
    assert [one.image_id for one in found] == [7, 4, 5]
    result_files.write_coco(tmp_path / "r.json", SET, range(3), range(3))
    assert_same(result_files.read_results(tmp_path / "r.json", Named(),
                                          SIZES), SET)
    assert_same(result_files.read_results(tmp_path / "own.jsonl", Named(),
                                          SIZES), SET)


def test_detections_of_a_class_that_the_set_lacks_are_counted(tmp_path,
                                                              caplog):
    lost = sum((one.labels == 2).sum() for one in SET)
    assert lost
    (tmp_path / "own.json").write_text(json.dumps(dict(zip(
        Named().names, map(printed, SET)))))
    result_files.write_coco(tmp_path / "coco.json", SET, [7, 4, 5], [3, 5, 9])
    for name, words, dataset in (
            ("own", "tv monitor", Named(classes=CLASSES[:2])),
            ("coco", "9", Named(classes=CLASSES[:2], ids=[7, 4, 5]))):
        caplog.clear()
        assert_same(result_files.read_results(
            tmp_path / f"{name}.json", dataset, SIZES),
            [one[one.labels != 2] for one in SET])
        assert f"{lost} detections of {words} are left out" in caplog.text


@pytest.mark.parametrize("text, words", [
    ('{"x.jpg": []}', "'x.jpg' is no image of the set"),
    ('{"000007": [{"label": 3, "score": 1, "box": [0, 0, 9, 9]}]}',
     "000007, row 0: expected label, score and a box"),
    ('{"000007": [{"label": "cat", "score": NaN, "box": [0, 0, 9, 9]}]}',
     "000007, row 0: expected label"),
    ("[7]", "found a list of something else"), ("3", "found int"),
    ("{", "expected JSON")])
def test_faulty_results_are_named(tmp_path, text, words):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        result_files.read_results(tmp_path / "r.json", Named(), SIZES)


def test_results_that_may_be_of_two_images_are_of_none(tmp_path):
    names = ("a/1.jpg", "b/1.jpg", "2.jpg")
    (tmp_path / "r.json").write_text('{"1.jpg": []}')
    with pytest.raises(ValueError, match="'1.jpg' is no image of the set"):
        result_files.read_results(tmp_path / "r.json", Named(names), SIZES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="comp4_det_test_cat.txt, found none"):
        result_files.read_results(tmp_path / "empty", Named(), SIZES)
    with pytest.raises(ValueError, match="two images are called '1'"):
        result_files.read_results(tmp_path / "empty", Named(names), SIZES)


@pytest.mark.parametrize("names, words", [
    (["a", "a", "b"], "two images are called 'a'"),
    (["a", "b"], "expected names of 3 images, found 2"),
    (["a", "b c", "d"], "no blank, found 'b c'")])
def test_names_that_cannot_be_written(tmp_path, names, words):
    with pytest.raises(ValueError, match=words):
        result_files.write_voc(tmp_path, SET, names, CLASSES)


def test_both_units_are_written_and_a_missing_size_is_named(tmp_path):
    seen = []
    for found in (SET, [one.pixels() for one in SET]):
        result_files.write_voc(tmp_path, found, NAMES, CLASSES)
        result_files.write_coco(tmp_path / "r.json", found, NAMES, [3, 5, 9])
        seen.append([path.read_text() for path in sorted(tmp_path.iterdir())])
    assert seen[0] == seen[1]
    lost = [dataclasses.replace(one, size=None) for one in SET]
    for write in (lambda: result_files.write_voc(tmp_path, lost, NAMES,
                                                 CLASSES),
                  lambda: result_files.write_coco(tmp_path / "r.json", lost,
                                                  NAMES, [3, 5, 9])):
        with pytest.raises(ValueError, match="size of the picture is not"):
            write()


@pytest.mark.parametrize("text, words", [
    ("000001 0.5 1 2 3\n", "line 1: expected an image, a score and four"),
    ("000001 0.5 1 1 9 9\n000001 x 1 2 3 4\n", "line 2: expected"),
    ("000001 nan 1 2 3 4\n", "line 1: expected"),
    ("other 0.5 1 2 3 4\n", "line 1: 'other' is no image of the set")])
def test_a_faulty_line_is_named(tmp_path, text, words):
    for name in CLASSES:
        (tmp_path / f"comp4_det_test_{name}.txt").write_text(text)
    with pytest.raises(ValueError, match=words):
        result_files.read_voc(tmp_path, NAMES, SIZES, CLASSES)
    (tmp_path / "comp4_det_test_dog.txt").unlink()
    (tmp_path / "comp4_det_test_cat.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="result file of class dog"):
        result_files.read_voc(tmp_path, NAMES, SIZES, CLASSES)


@pytest.mark.parametrize("text, words", [
    ("{", "expected JSON"), ("{}", "expected a list of detections"),
    ('[{"image_id": 1}]', "entry 0: expected image_id"),
    ("[7]", "entry 0: expected image_id"),
    ('[{"image_id": [], "category_id": 3, "score": 1, "bbox": [0, 0, 1, 1]}]',
     "entry 0: expected"),
    ('[{"image_id": 1, "category_id": 9, "score": 1, "bbox": [0, 0, 1, 1]}]',
     "category 9 does not belong"),
    ('[{"image_id": 1, "category_id": 3, "score": 1, "bbox": [0, 0, 1]}]',
     "entry 0: expected")])
def test_a_faulty_entry_is_named(tmp_path, text, words):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        result_files.read_coco(path, [1, 2], SIZES[:2], [3])
    with pytest.raises(FileNotFoundError):
        result_files.read_coco(tmp_path / "none", [1], SIZES[:1], [3])
