"""The training film: its two files say the same, it is of chapter 08's run, and the piece
that shows it can be scrubbed, and says something where no script runs."""
import ast
import json
import shutil

import nbformat
import numpy as np
import pytest

from browsing import ROOT
from dsod_d2l import config
from dsod_d2l.anchors import anchors_for
from dsod_d2l.boxes import iou
from dsod_d2l.datasets import example
from dsod_d2l.targets import label_anchors
from tools import make_training_film as maker

CHAPTER = nbformat.read(ROOT / "book/08_training.ipynb", 4)


@pytest.fixture(scope="module")
def film():
    return json.loads(maker.FILM.read_text())


# ---- the data ------------------------------------------------------------------------------

def test_the_script_of_the_page_is_the_film(film):
    assert maker.SCRIPT.read_text() == maker.script(film)
    assert maker.SCRIPT.stat().st_size < 12_000


def test_the_film_is_of_the_run_of_the_chapter(film):
    source = next(cell.source for cell in CHAPTER.cells if cell.id == "s1-batch")
    call = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
                and ast.unparse(node.func) == "config.TrainConfig")
    assert eval(ast.unparse(call), {"config": config}) == maker.SETTINGS
    assert len(film["losses"]) == maker.SETTINGS.steps == maker.STEPS[-1]


def test_a_moment_holds_the_best_boxes_first(film):
    assert [one["step"] for one in film["frames"]] == list(maker.STEPS)
    for one in film["frames"]:
        assert len(one["boxes"]) == len(one["scores"]) <= maker.MOST_BOXES
        assert one["scores"] == sorted(one["scores"], reverse=True)
        assert min(one["scores"]) >= maker.LEAST_SCORE
    np.testing.assert_allclose(film["objects"], example("three").boxes, atol=6e-4)


def test_what_was_mined_is_background_three_to_one(film):
    three = example("three")
    wanted = label_anchors(anchors_for(config.get("dsod_tiny")), three.boxes, three.labels)
    for one in film["frames"]:
        assert len(set(one["mined"])) == 3 * wanted.positive.sum()
        assert not wanted.classes[one["mined"]].any()


# ---- the piece -----------------------------------------------------------------------------

@pytest.fixture
def sheet(tmp_path):
    """Return the address of a page with the piece alone, opened as a file."""
    shutil.copytree(ROOT / "book/assets/js", tmp_path / "js")
    shutil.copy(ROOT / "data/samples/three.jpg", tmp_path)
    place = next(cell.source for cell in CHAPTER.cells if cell.id == "film-scrub")
    place = place[place.index("<div"):place.index("</div>")] + "</div>"
    (tmp_path / "page.html").write_text(
        f'<!doctype html><meta charset="utf-8">{place}<script src="js/interactive.js"></script>')
    return (tmp_path / "page.html").as_uri()


def test_the_scrubber(chromium, sheet, film):
    page, faults = chromium.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda one: faults.append(one.url))
    page.goto(sheet)
    slider = page.locator("input[type=range]")
    slider.focus()
    for one in film["frames"]:
        boxes, scores = np.array(one["boxes"]), np.array(one["scores"])
        sure = iou(np.array(film["objects"]), boxes[scores >= 0.5])
        covered = (sure >= 0.5).any(axis=1).sum()
        said = page.locator("[aria-live]").inner_text()
        count = (scores >= 0.5).sum()
        assert said.startswith(
            f"After {one['step']} steps {count} {'box has' if count == 1 else 'boxes have'} a "
            f"score of at least 0.5; {covered} of the 3 creatures are covered.")
        assert f"AP50 is {one['AP50']:.2f}" in said
        if one["step"]:
            assert f"loss is {sum(film['losses'][one['step'] - 1]):.1f}" in said
        assert page.locator("output").inner_text() == f"step {one['step']}"
        assert slider.get_attribute("aria-valuetext") == f"step {one['step']}"
        assert page.locator("svg").first.locator("rect").count() == len(boxes)
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == str(len(film["frames"]) - 1)
    assert not faults
    page.close()


def test_the_place_says_something_without_scripts(chromium, sheet):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(sheet)
    said = page.locator("[data-interactive=film]").inner_text()
    assert said.startswith("On the pages of the book") and "cell above" in said
    context.close()
