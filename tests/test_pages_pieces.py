"""The picker of receptive fields, the meanings of terms, and the search of the pages."""
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from browsing import ROOT, listed_names
from dsod_d2l import config, models
from dsod_d2l.anchors import map_anchors
from test_interactive import Place

TOY = config.get("toy_ssd")
PLACE = Place("03_downsampling")
MAPS = PLACE.values("maps")
QUERIES = {"dense block": "04_dense_blocks", "anchor": "01_anchors", "nms": "09_detection",
           "non-maximum suppression": "09_detection", "average precision": "10_evaluation",
           "train my own data": "13_your_data", "export onnx": "18_ship_it",
           "transition layer": "04_dense_blocks", "hard negative mining": "07_losses"}


# ---- the picker ------------------------------------------------------------------------

@pytest.fixture(scope="module")
def seen():
    """Return of each map the table (column of pixels, column of cells): does the one see the other?

    The weights of the built network are made positive, so that nothing cancels; one column of
    pixels at a time is lit.
    """
    network = models.build("toy_ssd")
    models.initialise(network)
    for parameter in network.collect_params(".*(weight|bias)").values():
        value = parameter.data()
        parameter.set_data(value.abs() if parameter.name.endswith("weight") else value * 0)
    lit = np.zeros((256, 3, 64, 256), dtype=np.float32)
    lit[np.arange(256), :, :, np.arange(256)] = 1
    scores = network.predict(lit)[0]                   # (256, all anchors, classes)
    tables, first = [], 0
    for side, spec in zip((32, 16, 8, 4, 1), TOY.anchors):
        rows = max(side // 4, 1)
        part = scores[:, first:first + rows * side * spec.per_cell]
        first += part.shape[1]
        tables.append((part.reshape(256, rows, side, -1) > 0).any(axis=(1, 3)))
    assert first == scores.shape[1]
    return tables


@pytest.mark.parametrize("number", range(5))
def test_a_field_is_what_the_built_network_sees(seen, number):
    one, pixel = MAPS[number], np.arange(256)[:, None]
    left = one["start"] + np.arange(one["side"]) * one["stride"]
    np.testing.assert_array_equal(seen[number], (pixel >= left) & (pixel < left + one["field"]))


def test_the_maps_of_the_picker_are_those_of_the_network():
    assert [[one["side"]] * 2 for one in MAPS] == [list(shape) for shape in TOY.map_shapes()]
    assert PLACE.values("pixels") == TOY.input_size[0] == TOY.input_size[1]
    assert all(one["stride"] * one["side"] == 256 for one in MAPS)
    for one, spec in zip(MAPS, TOY.anchors):
        assert (one["sizes"], one["ratios"]) == (list(spec.sizes), list(spec.ratios))


def rectangles(place, kind):
    """Return the rectangles of a drawing as corner boxes, fractions of its side."""
    return np.array(place.locator(f"rect.{kind}").evaluate_all(
        "all => all.map((one) => { const [x, y, w, h] = ['x', 'y', 'width', 'height']"
        ".map((name) => Number(one.getAttribute(name)) / 100); return [x, y, x + w, y + h]; })"))


def check_picker(found, number, row, column):
    """Compare what the picker says and draws of a cell with the module's numbers."""
    one, spec = MAPS[number], TOY.anchors[number]
    corner = np.array([column, row]) * one["stride"] + one["start"]
    whole = np.concatenate([corner, corner + one["field"]])
    shown = whole.clip(0, 256)
    said = found.locator("[aria-live]").inner_text()
    assert said.startswith(f"Map {one['side']} x {one['side']}, row {row}, column {column}:")
    if shown.tolist() == [0, 0, 256, 256]:
        assert "sees the whole picture" in said
    else:
        assert (f"columns {whole[0]} to {whole[2] - 1} and rows {whole[1]} to {whole[3] - 1}, "
                f"{one['field']} x {one['field']} pixels") in said
        assert ("those outside of the picture are padding" in said) == (shown != whole).any()
    np.testing.assert_allclose(rectangles(found, "frame"), [shown / 256], atol=1e-9)
    anchors = map_anchors((one["side"],) * 2, spec, (256, 256)).reshape(
        one["side"], one["side"], -1, 4)[row, column]
    np.testing.assert_allclose(rectangles(found, "anchor"), anchors, atol=1e-6)
    sides = " and ".join(str(round(256 * size)) for size in spec.sizes)
    assert said.endswith(f"Its square anchors have sides of {sides} pixels.")


def picker(visit):
    """Open the chapter; return its page and its picker."""
    page = visit.open("book/03_downsampling")
    found = page.locator("[data-interactive=field]")
    found.locator("svg").first.wait_for()
    found.scroll_into_view_if_needed()
    return page, found


def test_the_picker_by_keyboard(window):
    page, found = picker(window())
    check_picker(found, 0, 9, 13)
    found.locator(".cells svg").focus()
    for key in ["ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowUp"]:
        page.keyboard.press(key)
    check_picker(found, 0, 10, 12)
    for _ in range(40):
        page.keyboard.press("ArrowUp")
    check_picker(found, 0, 0, 12)                 # not out of the map; the field is
    for number, row, column in ((1, 0, 6), (2, 0, 3), (3, 0, 1), (4, 0, 0)):
        found.get_by_role("button").nth(number).press("Enter")
        check_picker(found, number, row, column)
        assert found.get_by_role("button", pressed=True).count() == 1


@pytest.mark.parametrize("width", [1280, 375])
def test_the_picker_by_mouse(window, width):
    page, found = picker(window(width=width))
    for number in range(5):
        found.get_by_role("button").nth(number).click()
        side = MAPS[number]["side"]
        box = found.locator(".cells svg").bounding_box()
        for row, column in {(0, 0), (side // 2, side // 3), (side - 1, side - 1)}:
            page.mouse.click(box["x"] + (column + 0.5) / side * box["width"],
                             box["y"] + (row + 0.5) / side * box["height"])
            check_picker(found, number, row, column)


# ---- the terms -------------------------------------------------------------------------

class Marks(HTMLParser):
    """Collects the marked terms of a page: (href, title, the elements around it)."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.append(given.get("id"))
        if "term" in (given.get("class") or "").split() and tag == "a":
            self.found.append((given["href"], given.get("title"), list(self.open)))
        if tag not in ("img", "br", "hr", "input", "meta", "link", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        while tag in self.open and self.open.pop() != tag:
            pass


@pytest.fixture(scope="module")
def marks(pages):
    return {name: Marks((pages / f"{name}.html").read_text(encoding="utf-8"))
            for name in listed_names()}


def test_a_term_is_marked_once_and_only_in_sentences(marks):
    for name, one in marks.items():
        links = [href for href, _, _ in one.found]
        assert len(links) == len(set(links)), name
        for href, _, around in one.found:
            assert not {"a", "pre", "code", "h1", "h2", "h3", "h4", "th", "details", "nav", "figcaption",
                        "summary", "button"} & set(around), (name, href)
            assert {"p", "article"} <= set(around), (name, href)
    assert sum(len(one.found) for one in marks.values()) > 100
    # A map is not mAP, though it is in italics here and there.
    assert not [href for href, _, _ in marks["book/01_anchors"].found if href.endswith("#term-map")]
    assert [href for href, _, _ in marks["book/10_evaluation"].found if href.endswith("#term-map")]
    assert not marks["book/glossary"].found


def test_a_mark_leads_to_its_entry_and_says_what_it_means_without_scripts(marks):
    entries = set(marks["book/glossary"].ids)
    for name, one in marks.items():
        for href, title, _ in one.found:
            page, _, anchor = href.partition("#")
            assert page == "glossary.html" and anchor in entries, (name, href)
            assert title and title[-1] in ".?)" and not re.search(r"[\\$]", title), (name, title)


def test_the_meaning_of_a_term(window):
    page = window().open("book/04_dense_blocks")
    term, tip = page.locator("a.term").nth(1), page.get_by_role("tooltip")
    title = next(title for href, title, _ in Marks(
        page.evaluate("fetch(location.href).then((one) => one.text())")).found
        if href == term.get_attribute("href"))
    assert not tip.count()
    term.hover()
    assert tip.inner_text() == title
    assert term.get_attribute("aria-describedby") == tip.get_attribute("id")
    tip.hover()
    page.wait_for_timeout(350)
    assert tip.count()                             # the way to it may be crossed
    page.mouse.move(5, 5)
    tip.wait_for(state="hidden")
    term.focus()
    assert tip.inner_text() == title
    page.keyboard.press("Escape")
    assert not tip.count() and not term.get_attribute("aria-describedby")


def test_the_meaning_of_a_term_by_finger(window):
    page = window(width=375, touch=True).open("book/04_dense_blocks")
    tip = page.get_by_role("tooltip")
    for number in (0, 1, 2):                       # each touch shows another one
        term = page.locator("a.term").nth(number)
        term.tap()
        assert tip.count() == 1 and term.get_attribute("aria-describedby")
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 375
        assert page.url.endswith("04_dense_blocks.html")
    term.tap()                                     # the second one follows the link
    page.wait_for_url("**/glossary.html#term-*")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_shown_keeps_nobody_out(visits, theme):
    page = visits(1280, theme).open("book/03_downsampling")
    page.locator("[data-interactive=field] svg").first.wait_for()
    page.locator("a.term").first.focus()
    page.evaluate((ROOT / "tests/axe/axe.min.js").read_text(encoding="utf-8"))
    assert page.evaluate("""axe.run(document, { resultTypes: ["violations"] }).then((one) =>
        one.violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
        .map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 120)}`))""") == []


# ---- the search ------------------------------------------------------------------------

def search(visit, query):
    """Ask the page of the search; return (address, title, excerpt) of what it finds, best first."""
    page = visit.page
    page.goto(f"/search.html?q={query.replace(' ', '+')}")
    page.locator("#search-results .search-summary", has_text="found").wait_for()
    page.wait_for_function("document.querySelectorAll('#search-results p.context').length >= Math.min("
                           "3, document.querySelectorAll('#search-results ul.search > li').length)")
    return page.locator("#search-results ul.search > li").evaluate_all("""all => all.map((one) => [
        one.querySelector("a").getAttribute("href"), one.querySelector("a").textContent,
        (one.querySelector("p.context") || { textContent: "" }).textContent])""")


@pytest.mark.parametrize("query", QUERIES)
def test_the_page_that_explains_comes_first(visits, query):
    found = search(visits(1280, "light"), query)
    assert found[0][0].startswith(f"book/{QUERIES[query]}.html")
    for address, title, excerpt in found:
        page, _, heading = title.partition(" > ")
        assert re.sub(r"^[\d. ]+", "", page) != heading, f"twice: {title}"
        assert not re.search(r"\\[a-z]+|Show code cell|Open in Colab|import ", excerpt), excerpt
    assert sum(bool(excerpt) for *_, excerpt in found) >= min(3, len(found))


def test_a_word_is_found_in_another_spelling(visits):
    visit = visits(1280, "light")
    assert [one[0] for one in search(visit, "batch normalization")] == \
        [one[0] for one in search(visit, "batch normalisation")] != []


def test_the_button_that_hides_what_was_searched_has_no_sign_of_a_missing_font(visits):
    page = visits(1280, "light").page
    page.goto("/book/04_dense_blocks.html?highlight=dense", wait_until="load")
    button = page.locator("#searchbox .highlight-link a")
    button.wait_for()
    assert button.evaluate("one => getComputedStyle(one, '::before').content") == "none"
    button.click()
    assert not page.locator("mark, .highlighted").count()
