"""checking: the report over a data set, its faults, and anchors that fit."""

import json
import os

import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l import anchors, config
from dsod_d2l.workbench import checking
from dsod_d2l.workbench.checking import anchor_fit, contents, figure
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.formats.conversion import convert
from dsod_d2l.datasets.sample import Entry
from small_sets import CLASSES, Small, encoded
from test_datasets_readers import voc_folder, xml

TINY = config.get("dsod_tiny")


def report(dataset, faults=()):
    return checking.examine(dataset, dataset.classes, faults, TINY,
                            "dsod_tiny", np.random.default_rng(0), "a set")


def test_counts_sizes_and_ratios():
    value = report(Small()).to_dict()
    assert value["sound"] and value["images"] == 4 and value["objects"] == 6
    assert value["classes"]["big dog"] == {
        "objects": 3, "images": 2, "difficult": 2, "truncated": 1,
        "occluded": 1, "crowd": 1}
    assert value["classes"]["cat"]["images"] == 2 and value["empty"] == [
        "image 2"]
    assert value["sizes"] == {"small": 4, "medium": 2, "large": 0}
    # Sides: 20 x 20, 50 x 30, 10 x 10, 13 x 10, 46.125 x 60.625, 2 x 2.
    assert value["side"]["0%"] == 2 and value["side"]["100%"] == round(
        (46.125 * 60.625) ** .5, 4)
    assert value["ratio"]["0%"] == round(46.125 / 60.625, 4)
    assert value["ratio"]["100%"] == round(50 / 30, 4)
    assert value["share"]["100%"] == 1.0 and not value["unused"]
    json.dumps(value, allow_nan=False)


def test_duplicates_and_unused_classes():
    class Double(Small):
        classes = (*CLASSES, "never")

        def entry(self, index):
            entry = super().entry(index)
            if index == 1:
                rows = [0, 1, 0, 2, 0]
                entry = entry._replace(boxes=entry.boxes[rows],
                                       labels=entry.labels[rows],
                                       flags=entry.flags[rows])
                entry.labels[4] = 2         # another class: no duplicate
            return entry
    found = report(Double())
    assert found.duplicates == ["image 1: object 2 is there before, with the "
                                "same box and class"]
    assert found.to_dict()["unused"] == ["never"]
    words = contents.describe_contents(found)
    assert "boxes that are there twice: 1" in words
    assert "classes without objects: never" in words


def test_every_fault_is_gathered(tmp_path):
    cat = ("cat", 1, 1, 30, 30)
    voc_folder(tmp_path, {
        "a": xml(cat, ("dog", 5, 5, 5, 9), ("cat", 1, 1, 99, 9)),
        "b": xml(cat, name="other.jpg"), "c": "<annotation>", "d": xml(
            cat, ("cow", 1, 1, 9, 9), name="d.jpg"),
        "e": xml(cat, name="e.jpg"), "f": xml(cat, name="f.jpg"),
        "g": xml(cat, name="g.jpg", size=(41, 60)), "h": xml(
            cat, name="h.jpg")}, {"train": "a\nb\nc\nd\ne\nf\ng\nh\nh\nz\n"})
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "JPEGImages/e.jpg").unlink()
    (tmp_path / "JPEGImages/f.jpg").write_bytes(
        encoded("f.jpg", 40, 60)[:-30])
    found = checking.inspect(f"voc:{tmp_path}", TINY, "dsod_tiny",
                             np.random.default_rng(0))
    value = found.to_dict()
    # b is an image that was renamed.
    assert not value["sound"] and value["images"] == 2
    assert list(value["remarks"].values()) == [1]
    assert value["kinds"] == {
        "duplicate": 1, "degenerate box": 1, "box outside": 1,
        "file": 2, "unknown class": 1, "image": 2, "size": 1}
    words = contents.describe_contents(found)
    for fault in found.faults:
        assert fault.reason in words and fault.reason.endswith(".")


def test_what_cannot_be_opened_at_all_is_reported(tmp_path, capsys):
    (tmp_path / "a.json").write_text("{")
    for spec in (f"coco:{tmp_path}/a.json", f"voc:{tmp_path}/none"):
        assert main(["data", "check", spec, "--json"]) == 1
        value = json.loads(capsys.readouterr().out)
        assert len(value["faults"]) == 1 and value["images"] == 0
        assert not value["sound"] and value["anchors"] == {"model":
                                                           "dsod_tiny"}
        assert main(["data", "check", spec]) == 1
        assert "0 sound images, 0 objects, 1 fault\n" in capsys.readouterr(
            ).out


def test_an_address_without_a_kind_is_no_fault_of_a_data_set(tmp_path,
                                                             capsys):
    for name, kinds in (("a.json", "coco"), ("a.CSV", "csv"), ("a.rec", "rec"),
                        ("data.yaml", "yolo"), ("a.txt", "yolo list")):
        path = tmp_path / name
        path.write_text("")
        assert main(["data", "check", str(path)]) == 2
        wanted = " or ".join(f"{kind}:{path}" for kind in kinds.split())
        assert capsys.readouterr().err.endswith(
            f"{path} has no kind in front: expected {wanted}; `data --help` "
            "lists all forms.\n")
        path.unlink()
    (tmp_path / "x").mkdir()
    for name in "x/a.xml", "x/a.txt":
        (tmp_path / name).write_text("")
    with pytest.raises(ValueError, match=f"expected voc:{tmp_path} or "
                       f"yolo:{tmp_path}; `data"):
        addresses.open_dataset(str(tmp_path))
    for spec in ("cvat:x", "nowhere", "", f"voc:{tmp_path}?bogus=1"):
        assert main(["data", "check", spec]) == 2
        out = capsys.readouterr()
        assert not out.out and ("one of the forms" in out.err
                                or "bogus=1" in out.err)


def test_a_reader_is_not_replaced_by_accident(monkeypatch):
    monkeypatch.setattr(addresses, "_FILES", dict(addresses._FILES))
    monkeypatch.setattr(addresses, "_OWN", dict(addresses._OWN))
    monkeypatch.setattr(addresses, "ADDRESS_FORMS",
                        dict(addresses.ADDRESS_FORMS))
    for kind in "voc", "standin":
        with pytest.raises(ValueError, match=f"{kind}' has a reader already; "
                           "replace=True"):
            addresses.add_format(kind, lambda *_: 1, "x:FILE", "nothing")
        addresses.add_format(kind, lambda *_, kind=kind: [kind], "x:FILE", "nothing",
                             replace=True)
    assert addresses.open_dataset("voc:x") == ["voc"]


def test_a_set_without_one_sound_image_lists_all_faults(tmp_path):
    voc_folder(tmp_path, {"a": xml(("cat", 9, 1, 9, 9)), "b": xml(
        ("cat", 9, 1, 9, 9), name="b.jpg")})
    found = checking.inspect(f"voc:{tmp_path}", TINY, "dsod_tiny",
                             np.random.default_rng(0))
    assert len(found.faults) == 2 and found.images == 0
    assert found.to_dict()["side"] == {} and contents.describe_contents(found)
    with pytest.raises(ValueError, match="at least one object to draw"):
        figure.save_report(tmp_path / "a.png", found)


def test_recall_by_hand():
    spec = anchors.map_anchors((1, 2), config.AnchorSpec((.5,), (1,)), (1, 2))
    # Anchors (.125, .25, .375, .75) and (.625, .25, .875, .75).
    boxes = np.array([[.125, .25, .375, .75], [.125, .25, .375, .501],
                      [.625, .25, .875, .49], [0, 0, .1, .1]])
    found = anchor_fit.best_overlaps(spec, boxes)
    np.testing.assert_allclose(found, [1, .502, .48, 0], atol=1e-6)
    assert anchor_fit.recall(found) == .5
    assert anchor_fit.class_recall(found, np.array([0, 1, 1, 1])) == (
        1 + 1 / 3) / 2
    assert anchor_fit.best_overlaps(spec, np.zeros((0, 4))).shape == (0,)


@pytest.mark.parametrize("model, size", [("dsod_tiny", None),
                                         ("toy_ssd", None),
                                         ("dsod300", (160, 320))])
def test_small_and_wide_objects_are_found_by_what_is_suggested(model, size):
    settings = config.get(model, **({"input_size": size} if size else {}))
    rng = np.random.default_rng(1)
    centres = rng.uniform(.2, .8, (400, 2))
    sides = np.where(np.arange(400)[:, None] < 380, [.3, .15], [.07, .06])
    sides = sides * rng.uniform(.9, 1.1, (400, 2))
    boxes = np.hstack([centres - sides / 2, centres + sides / 2])
    labels = (np.arange(400) >= 380).astype(int)
    fit = anchor_fit.fit_anchors(settings, boxes, labels,
                                 np.random.default_rng(0))
    before = anchor_fit.class_recall(fit.overlaps, labels)
    after = anchor_fit.class_recall(fit.suggested, labels)
    assert before < .8 and after > before + .2
    for old, new in zip(settings.anchors, fit.specs):
        assert len(old.sizes) == len(new.sizes) and old.step == new.step
        assert len(old.ratios) == len(new.ratios)
    sizes = [spec.sizes[0] for spec in fit.specs]
    assert sizes == sorted(sizes)


def test_anchors_that_fit_are_left_alone():
    boxes = anchors.map_anchors((4, 4), config.AnchorSpec((.37,), (1,)))
    boxes = boxes[(boxes >= 0).all(axis=1) & (boxes <= 1).all(axis=1)]
    fit = anchor_fit.fit_anchors(TINY, boxes, np.zeros(len(boxes), int),
                                 np.random.default_rng(0))
    assert fit.specs is None and fit.suggested is None
    assert anchor_fit.recall(fit.overlaps) == 1


def test_many_objects_are_drawn_from(monkeypatch):
    monkeypatch.setattr(anchor_fit, "MOST_BOXES", 50)
    low = np.random.default_rng(0).uniform(0, .5, (200, 2))
    fit = anchor_fit.fit_anchors(TINY, np.hstack([low, low + .3]), np.zeros(
        200, int), np.random.default_rng(0))
    assert len(fit.rows) == 50 == len(set(fit.rows))


def test_the_search_looks_at_every_class_alike():
    labels = np.repeat([0, 1, 4], [9000, 90, 10])
    rows = anchor_fit._balanced(labels, np.random.default_rng(0))
    counts = np.bincount(labels[rows])[[0, 1, 4]]
    assert counts.sum() == anchor_fit.TRIED and counts.min() > 280


def test_clusters_of_shapes():
    rng = np.random.default_rng(0)
    shapes = np.vstack([[.1, .2] * rng.uniform(.95, 1.05, (50, 2)),
                        [.6, .3] * rng.uniform(.95, 1.05, (9, 2))])
    found = anchor_fit.cluster(shapes, 2)
    np.testing.assert_allclose(found, [[.1, .2], [.6, .3]], rtol=.03)
    assert anchor_fit.cluster(shapes[:1], 3).shape == (3, 2)


def test_the_command_line_writes_text_json_and_a_picture(tmp_path, capsys):
    spec = f"csv:{convert(Small(), f'csv:{tmp_path}/a.csv').path}"
    picture = tmp_path / "a.png"
    assert main(["data", "check", spec, "--out", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "4 sound images, 6 objects, 0 faults" in out and "Tür & <b>" in out
    assert "overlap an anchor of dsod_tiny by half or more" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["data", "check", f"{spec}?only=cat", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 2


def test_many_classes_and_many_objects_are_drawn(tmp_path):
    class Many(Small):
        classes = tuple(f"class {k}" for k in range(30))

        def entry(self, index):
            rng = np.random.default_rng(index)
            low = rng.uniform(0, .5, (2000, 2))
            return Entry("a", np.hstack([low, low + rng.uniform(
                .01, .5, (2000, 2))]), rng.integers(0, 30, 2000), np.zeros(
                (2000, 4), bool), (40, 60), f"image {index}")
    figure.save_report(tmp_path / "a.png", report(Many()))
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_convert_from_the_command_line(tmp_path, capsys):
    voc_folder(tmp_path / "v", {"a": xml(("cat", 1, 1, 9, 9)),
                                "b": xml(("cat", 9, 1, 9, 9), name="b.jpg")})
    spec, target = f"voc:{tmp_path}/v", f"yolo:{tmp_path}/y"
    assert main(["data", "convert", spec, target]) == 2
    assert "xmin 9 is not below xmax 9" in capsys.readouterr().err
    assert main(["data", "convert", spec, target, "--bad", "skip",
                 "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["images"] == 1 and len(value["skipped"]) == 1
    assert main(["data", "convert", spec, target, "--bad", "skip"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_the_help_explains_every_form(capsys):
    for command in ([], ["check"], ["convert"]):
        with pytest.raises(SystemExit):
            main(["data", *command, "--help"])
        out = capsys.readouterr().out
        for form in ("voc:FOLDER[:SET]", "coco:FILE[:IMAGES]", "csv:FILE",
                     "yolo:FOLDER[:SPLIT]", "list:FILE", "07++12", "only=A,B"):
            assert form in out


def test_real_cells():
    root = os.environ.get("DSOD_REAL_DATA")
    if not root:
        pytest.skip("DSOD_REAL_DATA is not set")
    found = checking.inspect(f"voc:{root}/bccd/BCCD:all", TINY, "dsod_tiny",
                             np.random.default_rng(0))
    value = found.to_dict()
    assert value["images"] == 362 and value["kinds"] == {"degenerate box": 2}
    # Small platelets are what the many red cells hide.
    assert value["anchors"]["recall"] > .95
    assert value["anchors"]["recall_by_class"]["Platelets"] < .6
    better = value["anchors"]["suggested"]["recall_by_class"]
    assert min(better.values()) > .9
