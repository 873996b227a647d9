"""Sets whose classes differ from those that were trained: matched by name."""

import json

import numpy as np
import pytest

import dsod_d2l
from dsod_d2l import models, weights as weight_files
from dsod_d2l.datasets import make_sample
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.formats.choices import Selected, matched
from dsod_d2l.workbench.formats.conversion import convert

KNOWN = ("ant", "bee", "cow")
BOXES = [[.1, .1, .5, .6], [.4, .3, .9, .8]]


class Set:
    """Two pictures: an object of each label, then one more of the last."""

    def __init__(self, classes, labels):
        self.classes, self.labels = classes, labels

    def __len__(self):
        return 2

    def __getitem__(self, row):
        image = np.full((60, 90, 3), 40 + 90 * row, np.uint8)
        labels = [self.labels, self.labels[-1:]][row]
        return make_sample(image, BOXES[:len(labels)], labels)


def names_of(dataset):
    return [[dataset.classes[label] for label in sample.labels]
            for sample in (dataset[0], dataset[1])]


@pytest.mark.parametrize("classes, labels, words", [
    (("cow", "bee", "ant"), [0, 2], []),
    (("cow", "bee"), [0, 1], ["lacks ant, which the detector knows",
                              "?classes=ant,bee,cow"]),
    (("bee",), [0], ["lacks ant, cow"]),
    (("insects", "ant", "bee", "cow"), [3, 1],
     ["names insects and has no object"]),
    (("all", "cow"), [1], ["names all and", "lacks ant, bee"])])
def test_classes_are_matched_by_name_with_a_remark(classes, labels, words,
                                                   caplog):
    given = Set(classes, labels)
    got = matched(given, KNOWN)
    assert got.classes == KNOWN and names_of(got) == names_of(given)
    assert (got[0].boxes == given[0].boxes).all()
    assert len(caplog.records) == len(words[:1]) + (len(words) > 1
                                                    and "names" in words[0])
    assert all(one in caplog.text for one in words)
    caplog.clear()
    assert matched(got, KNOWN) is got and not caplog.records


@pytest.mark.parametrize("classes", [KNOWN, ("class 0", "class 1", "class 2")])
def test_what_agrees_stays_as_it_is(classes):
    given = Set(classes, [0, 1])
    assert matched(given, KNOWN) is given


@pytest.mark.parametrize("classes, labels, words, without", [
    (("root", "cow", "yak"), [1, 2],
     "2 objects of the data set are of yak, which the detector does not "
     "know, only ant, bee, cow; behind its name \\?rename=yak:NAME calls them "
     "otherwise, and \\?only=cow leaves them out", "root"),
    (("x", "y"), [0, 1], "2 \\(x, y\\); rename=x:NAME behind", "only=")])
def test_objects_of_other_classes_are_refused(classes, labels, words,
                                              without):
    with pytest.raises(ValueError, match=words) as stop:
        matched(Set(classes, labels), KNOWN)
    assert without not in str(stop.value)


def test_names_are_written_as_an_address_takes_them(tmp_path, caplog):
    known = ("salt, pepper", "50 % & more", "cow")
    convert(Set(("cow",), [0]), f"yolo:{tmp_path}/set")
    matched(addresses.open_dataset(f"yolo:{tmp_path}/set"), known)
    option = caplog.text.partition("?classes=")[2].partition(" behind")[0]
    convert(Set(("cow",), [0]), f"voc:{tmp_path}/voc:val")
    got = addresses.open_dataset(f"voc:{tmp_path}/voc?classes={option}")
    assert got.classes == known


def test_an_only_that_a_set_lacks_names_what_helps():
    with pytest.raises(ValueError, match="only: the class 'ant' is not one of "
                       "cow; where files merely lack one, classes= lists"):
        Selected(Set(("cow",), [0]), only=["ant", "cow"])


def test_sets_to_be_joined_name_what_helps(tmp_path):
    for name in ("cow", "bee"):
        convert(Set((name,), [0]), f"voc:{tmp_path}/{name}:val")
    both = [f"voc:{tmp_path}/{name}" for name in ("cow", "bee")]
    with pytest.raises(ValueError, match="as by \\?classes= behind"):
        addresses.open_dataset(" + ".join(both))
    got = addresses.open_dataset(" + ".join(
        f"{one}?classes=bee,cow" for one in both))
    assert len(got) == 4 and got.classes == ("bee", "cow")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Sets in files, and a network of three classes."""
    folder = tmp_path_factory.mktemp("sets")
    convert(Set(KNOWN, [0, 2]), f"coco:{folder}/train:all")
    for name, (classes, labels) in {
            "order": (("cow", "ant", "bee"), [0, 2]),
            "lacks": (("cow", "bee"), [0, 1]),
            "root": (("things", "ant", "bee", "cow"), [2, 3])}.items():
        convert(Set(classes, labels), f"coco:{folder}/{name}:all")
    net = models.build("dsod_tiny", KNOWN, input_size=(80, 96), stem=4,
                       bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
                       predictions=(4, 4, 4))
    models.initialise(net)
    weight_files.save_weights(folder / "w.safetensors", net, KNOWN)
    return folder


def spec(here, name):
    return f"coco:{here}/{name}/annotations/instances_all.json"


@pytest.mark.parametrize("name, counts", [
    ("order", [0, 2, 1]), ("lacks", [0, 2, 1]), ("root", [0, 1, 2])])
def test_evaluate_train_and_prune_take_them(here, capsys, caplog, tmp_path,
                                            name, counts):
    def run(*words):
        caplog.clear()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out), caplog.text
    weights = ["--weights", here / "w.safetensors", "--json"]
    got, err = run("evaluate", "--data", spec(here, name), *weights, "--out",
                   tmp_path / "e", "--save", "coco")
    assert [row["objects"] for row in got["classes"]] == counts
    assert ("lacks ant" in err) == (name == "lacks")
    rows = json.loads((tmp_path / "e/detections.json").read_text())
    truth = json.loads(open(spec(here, name)[5:]).read())
    assert {row["category_id"] for row in rows} <= {
        row["id"] for row in truth["categories"]}
    assert ("are not saved" in err) == (name == "lacks")
    result = dsod_d2l.evaluate(here / "w.safetensors",
                               dsod_d2l.open_dataset(spec(here, name)))
    assert [row.objects for row in result.classes] == counts
    assert result.to_dict()["AP"] == got["AP"]
    tiny = ["--input", 80, "--steps", 1, "--batch-size", 2, "--workers", 0,
            "--json"]
    got, err = run("train", "--data", spec(here, "train"), "--validation",
                   spec(here, name), *tiny, "--out", tmp_path / "run")
    assert got["best"]["step"] == 1
    assert err.count("lacks ant, which the set to train on") == (name == "lacks")
    got, _ = run("prune", "--data", spec(here, "train"), "--validation",
                 spec(here, name), *weights, "--scan", ".5", "--layers",
                 "to_first.1.mix*", "--out", tmp_path / "p")
    assert got["images"] == 2
