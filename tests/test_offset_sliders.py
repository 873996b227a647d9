"""The sliders of chapter 06: their boxes are the module's, on the example of the chapter."""
import json
import re
import shutil

import nbformat
import numpy as np
import pytest

from browsing import ROOT
from dsod_d2l.boxes import centre_to_corner, corner_to_centre, iou
from dsod_d2l.targets import decode, VARIANCES

CELLS = {cell.id: cell.source for cell in nbformat.read(ROOT / "book/06_targets.ipynb", 4).cells}
PLACE = CELLS["s3-play"][CELLS["s3-play"].index("<div"):]
DATA = {name: json.loads(value) for name, value in re.findall(r"data-(\w+)='(.*?)'", PLACE)}


def test_the_place_has_the_example_of_the_chapter():
    names = {"np": np, "centre_to_corner": centre_to_corner, "print": lambda *_: None,
             "encode": lambda *_: np.zeros(1)}
    exec(CELLS["s3-paper"], names)
    for name, box in (("anchor", names["anchor"]), ("object", names["box"])):
        np.testing.assert_allclose(corner_to_centre(box)[0], DATA[name], atol=1e-9)
    assert tuple(DATA["variances"]) == VARIANCES


@pytest.fixture
def page(chromium, tmp_path):
    shutil.copytree(ROOT / "book/assets/js", tmp_path / "js")
    (tmp_path / "page.html").write_text(
        f'<!doctype html><meta charset="utf-8">{PLACE}<script src="js/interactive.js"></script>')
    page, faults = chromium.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.locator("input").first.wait_for()
    yield page
    assert not faults
    page.close()


def shown(page):
    """Return centre and sides of the moved box, and its IoU, as the page says them."""
    cells = page.locator("tbody tr").nth(1).locator("td").all_inner_texts()
    said = page.locator("[aria-live]").inner_text()
    return [float(one) for one in cells], float(re.search(r"IoU of ([\d.]+)", said)[1])


@pytest.mark.parametrize("offsets", [(0, 0, 0, 0), (2.5, -2.5, -3.5, 3.5), (-1.3, 4, 0.7, -8),
                                     (0, 0, 8, 8)])
def test_the_box_is_that_of_the_module(page, offsets):
    for slider, value in zip(page.locator("input").all(), offsets):
        slider.fill(str(value))
    anchor = centre_to_corner(np.array([DATA["anchor"]]))
    moved = decode(np.array([offsets], float), anchor)
    overlap = iou(moved, centre_to_corner(np.array([DATA["object"]])))[0, 0]
    box, said = shown(page)
    np.testing.assert_allclose(box, corner_to_centre(moved)[0], atol=0.0051)
    assert said == pytest.approx(overlap, abs=0.0051)
    drawn = page.locator("svg g rect")
    sides = [float(drawn.get_attribute(name)) / 100 for name in ("x", "y", "width", "height")]
    np.testing.assert_allclose(sides[:2] + [sides[0] + sides[2], sides[1] + sides[3]], moved[0],
                               atol=1e-9)


def test_start_over_and_the_keyboard(page):
    first = page.locator("input").first
    first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("output").first.inner_text() == "0.1"
    page.get_by_role("button", name="Start over").click()
    assert page.locator("output").all_inner_texts() == ["0.0"] * 4
    assert shown(page)[0] == DATA["anchor"]
