"""The report: its files, its numbers, and what its pictures show."""

import json

import cv2
import numpy as np
import pytest

from dsod_d2l import evaluation as ev
from dsod_d2l.workbench.reports import evaluation_report as vis
from dsod_d2l.datasets import make_sample
from dsod_d2l.workbench.reports import evaluation_report
from test_evaluation_errors import A, A_FAR, B, NOWHERE, found, truth
from test_evaluation_oracles import random_set


class Pictures(list):
    classes = ("cat", "dog")


def pictures(count, size=(60, 90)):
    return Pictures(make_sample(np.full((*size, 3), 200, np.uint8), (), (),
                                source=f"picture {k}") for k in range(count))


def test_a_report_by_hand(tmp_path):
    detections = [found((0, .9, A)), found((0, .8, A_FAR), (1, .7, NOWHERE)),
                  found()]
    truths = [truth((0, A)), truth((0, A), (1, B)), truth((0, A))]
    result = ev.evaluate_detections(detections, truths, 2)
    old = tmp_path / "r/worst/07-000009.png"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier report")
    paths, value = vis.write_report(tmp_path / "r", pictures(3), ("cat",
                                    "dog"), detections, truths, result)
    assert json.loads((tmp_path / "r/evaluation.json").read_text()) == value
    assert value["mistakes"]["threshold"] == .9
    assert value["mistakes"]["counts"] == {
        "right": 1, "localisation": 0, "class": 0, "both": 0, "duplicate": 0,
        "background": 0, "missed": 3}
    assert value["worst"] == [
        {"image": 1, "mistakes": 2, "source": "picture 1"},
        {"image": 2, "mistakes": 1, "source": "picture 2"}]
    assert [row["name"] for row in value["classes"]] == ["cat", "dog"]
    assert [path.relative_to(tmp_path / "r").as_posix() for path in paths] == [
        "evaluation.json", "classes.png", "curves.png", "mistakes.png",
        "confusion.png", "worst/01-000001.png", "worst/02-000002.png"]
    assert not old.exists()
    for path in paths[1:]:
        assert cv2.imread(str(path)).std() > 1


@pytest.mark.parametrize("options", [{}, {"classes": 30}])
def test_a_report_of_many_images(tmp_path, options):
    detections, truths = random_set(3, **options)
    classes = [f"class {k}" for k in range(options.get("classes", 4))]
    result = ev.evaluate_detections(detections, truths, len(classes))
    paths, value = vis.write_report(tmp_path, pictures(len(truths)), classes,
                                    detections, truths, result, worst=2)
    assert len(paths) == 7 and len(value["worst"]) == 2
    numbers = [row["mistakes"] for row in value["worst"]]
    assert numbers == sorted(numbers, reverse=True)
    assert value["AP"] == result.AP


def test_nothing_there_and_nothing_found(tmp_path):
    result = ev.evaluate_detections([found()], [truth()], 2)
    paths, value = vis.write_report(tmp_path, None, ("a", "b"), [found()],
                                    [truth()], result)
    assert len(paths) == 5 and value["worst"] == []
    assert value["AP"] is None and value["at_threshold"]["recall"] is None
    assert set(value["mistakes"]["AP50 lost"].values()) == {None}


def test_no_object_but_detections(tmp_path):
    """As of a set of empty pictures, to see what is found where nothing is."""
    detections = [found((0, .9, A), (1, .4, B)), found()]
    truths = [truth(), truth((0, A), difficult=[True])]
    result = ev.evaluate_detections(detections, truths, 2)
    paths, value = vis.write_report(tmp_path, pictures(2), ("a", "b"),
                                    detections, truths, result)
    assert len(paths) == 6 and value["AP"] is None
    at = value["at_threshold"]
    assert (at["score"], at["precision"], at["recall"]) == (0, 0, None)
    assert at["confusion"]["objects by detections"] == [
        [0, 0, 0], [0, 0, 0], [1, 1, 0]]


def test_what_is_right_and_wrong_at_a_score(tmp_path):
    """Two of class cat, one found; one dog, taken for a cat; one too much."""
    detections = [found((0, .9, A), (0, .8, B), (1, .7, NOWHERE)),
                  found((0, .2, A))]
    truths = [truth((0, A), (1, B)), truth((0, A))]
    result = ev.evaluate_detections(detections, truths, 2)

    def at(score):
        return vis.write_report(tmp_path, None, ("cat", "dog"), detections,
                                truths, result, threshold=score)[1]
    value = at(.5)["at_threshold"]
    assert value["confusion"] == {
        "names": ["cat", "dog", "(nothing)"], "objects by detections": [
            [1, 0, 1], [1, 0, 0], [0, 1, 0]]}
    assert (value["score"], value["IoU"]) == (.5, .5)
    assert value["classes"] == [
        {"name": "cat", "precision": 1 / 2, "recall": 1 / 2, "F1": 1 / 2},
        {"name": "dog", "precision": 0, "recall": 0, "F1": 0}]
    assert (value["precision"], value["recall"]) == (1 / 3, 1 / 3)
    assert value["F1"] == pytest.approx(1 / 3)
    value = at(.1)["at_threshold"]
    assert (value["precision"], value["recall"]) == (2 / 4, 2 / 3)
    assert value["F1"] == pytest.approx(2 * 2 / (4 + 3))


def test_an_image_shows_each_kind_in_its_colour(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(evaluation_report, "draw_boxes", lambda ax, boxes, labels,
                        classes, colours: drawn.update(
                            boxes=boxes, words=classes, colours=colours))
    evaluation_report._image(tmp_path, 0, 4, pictures(1)[0], ("cat", "dog"),
                  found((0, .3, NOWHERE), (1, .8, A), (0, .9, B)),
                  truth((0, A), (0, B), (1, NOWHERE)), .5)
    assert drawn["words"] == ["right cat", "class dog", "missed dog"]
    np.testing.assert_allclose(drawn["boxes"], [B, A, NOWHERE])
    assert drawn["colours"] == [evaluation_report.COLOURS[kind] for kind in
                                ("right", "class", "missed")]
