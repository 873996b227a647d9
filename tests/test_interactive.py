"""The interactive pieces: their arithmetic and their data are the module's, and they
can be worked with a mouse, a finger and a keyboard."""
import json
import re
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest

from browsing import ROOT
from dsod_d2l import config
from dsod_d2l.anchors import all_anchors, map_anchors
from dsod_d2l.boxes import iou
from dsod_d2l.datasets import example
from dsod_d2l.detection import nms
from dsod_d2l.evaluation import average_precision, precision_recall
from dsod_d2l.evaluation.matching import match_voc
from dsod_d2l.targets import encode, match

TOY = config.get("toy_ssd")
PLACES = {"iou": "01_anchors", "nms": "09_detection", "score": "10_evaluation",
          "field": "03_downsampling"}


# ---- the arithmetic --------------------------------------------------------------------

@pytest.fixture(scope="module")
def script(chromium):
    """Return script(code, **values): what the code gives in the browser."""
    page = chromium.new_page()
    page.add_script_tag(path=ROOT / "book/assets/js/arithmetic.js")

    def run(code, **values):
        plain = {name: np.asarray(value).tolist() if isinstance(value, np.ndarray) else value
                 for name, value in values.items()}
        return page.evaluate(f"({{ {', '.join(plain) or '_'} }}) => {code}", plain)
    yield run
    page.close()


def random_boxes(rng, count, flat=False):
    """Return (count, 4) boxes; some touch, some are nested or have no area."""
    low = rng.integers(0, 12, (count, 2)) / 16
    high = low + rng.integers(0 if flat else 1, 12, (count, 2)) / [16, 32]
    return np.concatenate([low, high], axis=1)


SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_overlaps(script, seed):
    rng = np.random.default_rng(seed)
    first, second = random_boxes(rng, 30, flat=True), random_boxes(rng, 7, flat=True)
    found = script("dsod.overlaps(first, second)", first=first, second=second)
    np.testing.assert_allclose(found, iou(first, second), rtol=0, atol=1e-12)


def test_overlaps_with_nothing(script):
    assert script("dsod.overlaps([], [[0, 0, 1, 1]])") == []
    assert script("dsod.overlaps([[0, 0, 1, 1]], [])") == [[]]


@pytest.mark.parametrize("shape, image", [((2, 4), (200, 320)), ((5, 3), (300, 100)),
                                          ((1, 1), (1, 1)), ((8, 8), (256, 256))])
def test_anchors_of_a_map(script, shape, image):
    spec = config.AnchorSpec(sizes=(0.3, 0.45), ratios=(2, 1, 0.5))
    found = script("dsod.mapAnchors(shape, { sizes, ratios }, aspect)", shape=shape,
                   sizes=spec.sizes, ratios=spec.ratios, aspect=image[0] / image[1])
    np.testing.assert_allclose(found, map_anchors(shape, spec, image), atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_matching(script, seed):
    rng = np.random.default_rng(seed)
    objects = random_boxes(rng, rng.integers(0, 6))
    anchors = map_anchors((3, 5), config.AnchorSpec(sizes=(0.3, 0.5), ratios=(1, 2)), (3, 5))
    table = iou(anchors.astype(float), objects)
    for threshold in (0.2, 0.5):
        found = script("dsod.match(table, threshold)", table=table, threshold=threshold)
        assert found["matched"] == match(table, threshold).tolist()
        bound = np.array(found["matched"])[found["first"]]
        assert sorted(set(bound)) == sorted(bound)       # one first anchor an object


def test_matching_goes_by_the_largest_overlap_left(script):
    for table in ([[0.6, 0.7], [0.1, 0.2], [0.55, 0.3]], [[0.9, 0.8], [0.2, 0.1]], [[0.9], [0.5]],
                  [[0.3, 0.3]], [[0.0], [0.0]], [[0.5, 0.5], [0.5, 0.5]], [[], []], []):
        wide = np.reshape(np.array(table, dtype=float), (len(table), -1)) if table else \
            np.zeros((0, 2))
        assert script("dsod.match(table, 0.5).matched", table=table) == match(wide).tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets(script, seed):
    rng = np.random.default_rng(seed)
    boxes, anchors = random_boxes(rng, 10), random_boxes(rng, 10)
    found = script("boxes.map((box, row) => dsod.encode(box, anchors[row]))",
                   boxes=boxes, anchors=anchors)
    np.testing.assert_allclose(found, encode(boxes, anchors), atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_suppression(script, seed):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, 40), rng.integers(1, 20, 40) / 20     # many are equal
    for threshold in (0.0, 0.25, 0.45, 1.0):
        assert script("dsod.nms(boxes, scores, threshold)", boxes=boxes, scores=scores,
                      threshold=threshold) == nms(boxes, scores, threshold).tolist()


def test_suppression_of_nothing(script):
    assert script("dsod.nms([], [], 0.45)") == []


@pytest.mark.parametrize("seed", SEEDS)
def test_curve_and_average_precision(script, seed):
    rng = np.random.default_rng(seed)
    boxes, objects = random_boxes(rng, 25), random_boxes(rng, rng.integers(1, 9))
    table, scores = iou(boxes, objects), np.sort(rng.integers(1, 20, 25) / 20)[::-1]
    correct, _ = match_voc(table, np.zeros(len(objects), bool), 0.3)
    assert script("dsod.matchVoc(table, 0.3)", table=table) == correct.tolist()
    shuffled = rng.permutation(25)
    curve = precision_recall(scores[shuffled], correct[shuffled], len(objects))
    found = script("dsod.precisionRecall(scores, correct, objects)", scores=scores[shuffled],
                   correct=correct[shuffled], objects=len(objects))
    np.testing.assert_allclose(found["recall"], curve.recall, rtol=1e-12)
    np.testing.assert_allclose(found["precision"], curve.precision, rtol=1e-12)
    for style in ("area", "voc07", "coco"):
        assert script("dsod.averagePrecision(curve, style)", curve=found, style=style) == \
            pytest.approx(average_precision(*curve, style), abs=1e-12)


def test_an_overlap_of_just_the_threshold_is_enough(script):
    assert script("dsod.matchVoc([[0.5], [0.9]], 0.5)") == [True, False]


def test_a_recall_of_three_tenths_reaches_the_fourth_point(script):
    curve = {"recall": [0.1, 0.2, 3 / 10], "precision": [1, 1, 1]}
    assert script("dsod.averagePrecision(curve, 'voc07')", curve=curve) == pytest.approx(4 / 11)


# ---- the data: those of the chapter ------------------------------------------------------

class Place(HTMLParser):
    """Finds the interactive place of a chapter: its data and its sentence."""

    def __init__(self, name):
        super().__init__()
        self.data, self.sentence, self.inside = {}, "", False
        self.nb = nbformat.read(ROOT / "book" / f"{name}.ipynb", 4)
        for cell in self.nb.cells:
            if cell.cell_type == "markdown":
                self.feed(cell.source + "\n")

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "data-interactive" in found:
            self.inside = True
            self.data = {key[len("data-"):]: value for key, value in found.items()}

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "div"

    def handle_data(self, text):
        self.sentence += text if self.inside else ""

    def values(self, key):
        """Return the numbers that the place brings under a key."""
        return json.loads(self.data[key])

    def variables(self, cell_id):
        """Return what a code cell of the chapter gives to names by np.array(...)."""
        source = next(cell.source for cell in self.nb.cells if cell.id == cell_id)
        names = {"np": np}
        for statement in re.findall(r"^\w+ = np\.array\((?:.|\n)*?\)$", source, re.M):
            exec(statement, names)
        return names


@pytest.mark.parametrize("name", PLACES)
def test_a_place_says_what_is_there_where_no_script_runs(name):
    place = Place(PLACES[name])
    assert place.data["interactive"] == name
    assert re.match(r"\s*(On t|T)he pages of the book", place.sentence)


def test_the_playground_has_the_boxes_and_anchors_of_the_chapter():
    place = Place("01_anchors")
    np.testing.assert_allclose(place.values("boxes"), example("three").boxes, atol=1e-6)
    assert place.values("maps") == [
        {"map": list(shape), "sizes": list(spec.sizes), "ratios": list(spec.ratios)}
        for shape, spec in zip(TOY.map_shapes(), TOY.anchors)]
    assert all(spec.step is None for spec in TOY.anchors) and TOY.input_size == (256, 256)


def test_the_stepper_has_the_examples_of_the_chapter():
    place = Place("09_detection")
    given = {**place.variables("nms-table"), **place.variables("nms-chain-code")}
    four, chain = place.values("examples")
    assert four["boxes"] == given["four"].tolist()
    assert four["scores"] == given["four_scores"].tolist()
    assert chain["boxes"] == given["chain"].tolist()
    assert chain["scores"] == given["chain_scores"].tolist()


def test_the_slider_has_the_detections_of_the_chapter():
    place = Place("10_evaluation")
    given = place.variables("opening")
    assert place.values("boxes") == given["boxes"].tolist()
    assert place.values("scores") == given["scores"].tolist() == sorted(given["scores"])[::-1]
    np.testing.assert_allclose(place.values("objects"), example("three").boxes, atol=1e-6)


# ---- the pieces ----------------------------------------------------------------------------

def piece(visit, name):
    """Open a chapter and return the page and its interactive piece."""
    page = visit.open(f"book/{PLACES[name]}")
    found = page.locator(f"[data-interactive={name}]")
    found.locator("svg").first.wait_for()
    found.scroll_into_view_if_needed()
    return page, found


def table(found):
    """Return the rows of a piece's table: first text -> the others."""
    rows = found.locator("tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))")
    return {first: rest if len(rest) > 1 else rest[0] for first, *rest in rows}


def numbers(text):
    """Return the numbers of a text such as "0.10, -0.20"."""
    return [float(value) for value in text.split(", ")]


def playground(boxes, chosen, threshold=0.5):
    """Return what the playground should say of one of its boxes."""
    boxes = np.array(boxes, dtype=float)
    anchors = all_anchors(TOY.map_shapes(), TOY.anchors, TOY.input_size).astype(float)
    overlaps = iou(anchors, boxes)
    matched = match(overlaps, threshold)
    own = np.flatnonzero(matched == chosen)
    best = own[overlaps[own, chosen].argmax()]
    return len(own), overlaps[best], encode(boxes[[chosen]], anchors[[best]])[0]


def check_playground(found, boxes, chosen, threshold=0.5):
    count, overlaps, offsets = playground(boxes, chosen, threshold)
    said = table(found)
    assert f"gets {count} anchor" in found.locator("[aria-live]").inner_text()
    assert numbers(said["its IoU with the three objects"]) == pytest.approx(overlaps, abs=0.0051)
    assert numbers(said["offsets dx, dy, dw, dh"]) == pytest.approx(offsets, abs=0.0052)
    assert found.locator(".anchor").count() == min(count, 60)


def boxes_of(found):
    """Return the boxes that the playground draws, as fractions."""
    return np.array(found.locator("rect.object").evaluate_all(
        "all => all.map((one) => { const [x, y, w, h] = ['x', 'y', 'width', 'height']"
        ".map((name) => Number(one.getAttribute(name)) / 100); return [x, y, x + w, y + h]; })"))


def test_the_playground_by_keyboard(window):
    page, found = piece(window(), "iou")
    boxes = np.array(Place("01_anchors").values("boxes"))
    check_playground(found, boxes, 0)
    found.locator("rect.object").nth(0).focus()
    page.keyboard.press("Tab")
    for key in ["ArrowLeft"] * 3 + ["ArrowDown"]:
        page.keyboard.press(key)
    boxes[1] += np.array([-3, 1, -3, 1]) / 100
    np.testing.assert_allclose(boxes_of(found), boxes, atol=1e-6)
    check_playground(found, boxes, 1)
    for key in ["Shift+ArrowUp"] * 30:
        page.keyboard.press(key)
    boxes[1, 3] -= 0.3
    np.testing.assert_allclose(boxes_of(found), boxes, atol=1e-6)
    check_playground(found, boxes, 1)
    slider = found.locator("input[type=range]")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "0.35"
    check_playground(found, boxes, 1, 0.35)
    found.get_by_role("button", name="Start over").click()
    check_playground(found, Place("01_anchors").values("boxes"), 1, 0.35)


def drag(page, element, x, y):
    """Drag the middle of an element by pixels."""
    box = element.bounding_box()
    start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + x / 2, start[1] + y / 2)
    page.mouse.move(start[0] + x, start[1] + y)
    page.mouse.up()


@pytest.mark.parametrize("width", [1280, 375])
def test_the_playground_by_mouse(window, width):
    page, found = piece(window(width=width), "iou")
    boxes = np.array(Place("01_anchors").values("boxes"))
    side = found.locator("svg").bounding_box()["width"]
    drag(page, found.locator("rect.object").nth(2), 0.1 * side, 0.2 * side)
    boxes[2] += [0.1, 0.2, 0.1, 0.2]
    np.testing.assert_allclose(boxes_of(found), boxes, atol=0.004)
    check_playground(found, boxes_of(found), 2)
    drag(page, found.locator(".handle").nth(0), 0.05 * side, -0.5 * side)
    moved = boxes_of(found)
    np.testing.assert_allclose(moved[2], [boxes[2, 0] + 0.05, 0, *boxes[2, 2:]], atol=0.006)
    check_playground(found, moved, 2)
    for far, sides, edge in ((5 * side, slice(2, 4), 1), (-5 * side, slice(0, 2), 0)):
        drag(page, found.locator("rect.object").nth(2), far, far)       # stays inside
        assert boxes_of(found)[2, sides].tolist() == pytest.approx([edge, edge])


@pytest.mark.parametrize("way", [(-1, 0), (0, 1)], ids=["across", "down"])
def test_the_playground_by_finger(window, way):
    page, found = piece(window(width=375, touch=True), "iou")
    before, scrolled = boxes_of(found), page.evaluate("scrollY")
    box = found.locator("rect.object").nth(0).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    for kind, far in (("touchStart", 0), ("touchMove", 20), ("touchMove", 60)):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": x + way[0] * far, "y": y + way[1] * far}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    side = found.locator("svg").bounding_box()["width"]
    moved = np.array([*way, *way]) * 60 / side
    np.testing.assert_allclose(boxes_of(found)[0], before[0] + moved, atol=0.005)
    assert page.evaluate("scrollY") == scrolled
    check_playground(found, boxes_of(found), 0)


def test_an_object_below_the_threshold_still_gets_an_anchor(window):
    page, found = piece(window(), "iou")
    found.locator("rect.object").nth(0).focus()
    for _ in range(30):
        page.keyboard.press("Shift+ArrowUp")
    assert "no object goes without" in found.locator("[aria-live]").inner_text()
    count, overlaps, _ = playground(boxes_of(found), 0)      # which of equal anchors is open
    assert count == 1 and overlaps[0] < 0.5 and found.locator(".anchor").count() == 1


@pytest.mark.parametrize("example_name", ["the four boxes", "the chain"])
@pytest.mark.parametrize("threshold", [0.0, 0.45, 0.6, 1.0])
def test_the_stepper(visits, example_name, threshold):
    page, found = piece(visits(1280, "light"), "nms")
    given = next(one for one in Place("09_detection").values("examples")
                 if one["name"] == example_name)
    found.locator("select").select_option(label=example_name)
    found.locator("input[type=range]").fill(str(threshold))
    kept = [chr(65 + row) for row in nms(np.array(given["boxes"], float),
                                         np.array(given["scores"]), threshold)]
    step, back = (found.get_by_role("button", name=name) for name in ("Step", "Back"))
    assert back.is_disabled() and {one for _, one in table(found).values()} == {"left"}
    while step.is_enabled():
        step.click()
    said = {name: fate for name, (_, fate) in table(found).items()}
    assert [name for name, fate in said.items() if fate == "kept"] == sorted(kept)
    assert set(said.values()) <= {"kept", "dropped"}
    assert f"{' and '.join(sorted(kept))} stay" in found.locator("[aria-live]").inner_text()
    while back.is_enabled():
        back.click()
    assert {one for _, one in table(found).values()} == {"left"}


@pytest.mark.parametrize("width", [1280, 375])
def test_the_stepper_shows_all_of_the_chain_and_keeps_its_place(window, width):
    page, found = piece(window(width=width), "nms")
    found.locator("select").select_option(label="the chain")
    frame = found.locator("svg").bounding_box()
    for one in found.locator("svg rect").all():
        box = one.bounding_box()
        assert box["y"] + box["height"] <= frame["y"] + frame["height"] + 1
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
    step = found.get_by_role("button", name="Step")
    step.focus()
    place = step.bounding_box()["y"]
    for _ in range(9):
        page.keyboard.press("Enter")
        assert step.bounding_box()["y"] == pytest.approx(place, abs=1)
        assert step.evaluate("one => one === document.activeElement")


def test_the_slider_and_its_drawings_fit_a_telephone(visits):
    _, found = piece(visits(375, "light"), "score")
    drawings = found.locator("svg").all()
    end = max(one.bounding_box()["y"] + one.bounding_box()["height"] for one in drawings)
    assert end - found.bounding_box()["y"] < 600


def test_the_stepper_by_keyboard(visits):
    page, found = piece(visits(375, "dark"), "nms")
    words = found.locator("[aria-live]")
    found.locator("svg").focus()
    page.keyboard.press("ArrowRight")
    assert "A has the best score left, 0.90: keep it." in words.inner_text()
    page.keyboard.press("ArrowRight")
    assert "B overlaps A by 0.60, more than 0.45: drop it." in words.inner_text()
    assert table(found)["B"] == ["0.80", "dropped"]
    page.keyboard.press("ArrowLeft")
    assert table(found)["B"] == ["0.80", "left"]
    page.keyboard.press("End")
    assert "A and C stay" in words.inner_text()
    page.keyboard.press("Home")
    assert "wait" in words.inner_text()


def check_slider(found, score, threshold):
    place = Place("10_evaluation")
    boxes, scores, objects = (np.array(place.values(key))
                              for key in ("boxes", "scores", "objects"))
    correct, _ = match_voc(iou(boxes, objects), np.zeros(3, bool), threshold)
    reported = int((scores >= score).sum())
    right = int(correct[:reported].sum())
    curve = precision_recall(scores, correct, 3)
    said = table(found)
    assert [said[f"{kind} positives, {kind[0].upper()}P"] for kind in ("true", "false")] == [
        str(right), str(reported - right)]
    assert said["false negatives, FN"] == str(3 - right)
    assert said["recall"] == f"{right} / 3 = {right / 3:.3f}"
    here = found.locator("circle.here")
    if reported:
        assert said["precision"] == f"{right} / {reported} = {right / reported:.3f}"
        assert float(here.get_attribute("cx")) == pytest.approx(100 * curve.recall[reported - 1])
        assert float(here.get_attribute("cy")) == pytest.approx(
            100 - 100 * curve.precision[reported - 1])
    else:
        assert not here.count() and said["precision"] == "no box is reported"
    for name, style in (("all", "area"), ("11", "voc07"), ("101", "coco")):
        assert said[f"AP, {name} points"] == f"{average_precision(*curve, style):.3f}"


def test_the_slider_by_keyboard(visits):
    page, found = piece(visits(375, "light"), "score")
    score, overlap = found.locator("input[type=range]").all()
    check_slider(found, 0.5, 0.5)
    score.focus()
    for value in np.arange(11, 21) / 20:
        page.keyboard.press("ArrowRight")
        check_slider(found, value, 0.5)
    page.keyboard.press("Home")
    check_slider(found, 0, 0.5)
    overlap.focus()
    for value in np.arange(11, 20) / 20:
        page.keyboard.press("ArrowRight")
        check_slider(found, 0, value)


def test_the_slider_by_mouse(visits):
    page, found = piece(visits(1280, "dark"), "score")
    slider = found.locator("input[type=range]").first
    box = slider.bounding_box()
    for part in (0.2, 0.7, 0.93):
        page.mouse.click(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
        check_slider(found, float(slider.input_value()), 0.5)
    assert float(slider.input_value()) > 0.85


@pytest.mark.parametrize("name", PLACES)
def test_a_piece_can_be_used_without_sight_and_without_a_mouse(visits, name):
    _, found = piece(visits(1280, "light"), name)
    assert found.get_attribute("role") == "group" and found.get_attribute("aria-label")
    for drawing in found.locator("svg").all():
        assert len(drawing.get_attribute("aria-label")) > 10
    for one in found.locator("button, input, select, [tabindex]").all():
        if one.is_enabled():
            one.focus()
            assert one.evaluate("one => one === document.activeElement")
    assert found.locator("[aria-live=polite]").inner_text()
