"""Terms of the glossary say what they mean where they stand, and the search finds the right page."""
import re

import pytest

from browsing import ROOT

TERM = re.compile(r'<a class="term[^>]*href="([^"]*)"[^>]*title="([^"]*)"[^>]*>(.*?)</a>', re.S)


def marks(pages, name):
    """Return [(address, meaning, word)] of the marks of a page."""
    return TERM.findall((pages / "book" / f"{name}.html").read_text())


@pytest.fixture(scope="module")
def chapters():
    return sorted(path.stem for path in (ROOT / "book").glob("[01]*.ipynb"))


def test_terms_lead_to_the_glossary_once_a_page(pages, chapters):
    glossary = (pages / "book/glossary.html").read_text()
    for name in chapters:
        found = marks(pages, name)
        assert len(found) >= 2, name
        places = [address for address, _, _ in found]
        assert len(places) == len(set(places)), name
        for address, meaning, word in found:
            page, anchor = address.split("#")
            assert page == "glossary.html" and f'id="{anchor}"' in glossary, word
            assert len(meaning) > 20 and "<" not in meaning and "\\" not in meaning, meaning
    words = {word for name in chapters for _, _, word in marks(pages, name)}
    assert {"anchors", "mAP"} <= words and not {"map", "maps", "stand in"} & words


def test_headings_code_and_links_have_no_marks(pages, chapters):
    for name in chapters:
        html = (pages / "book" / f"{name}.html").read_text()
        for kind in ("h1", "h2", "h3", "code", "pre", "thead"):
            for part in re.findall(rf"<{kind}[ >].*?</{kind}>", html, re.S):
                assert 'class="term' not in part, part[:200]


def test_a_term_is_explained_by_mouse_and_by_keyboard(visits):
    page = visits(1280, "light").open("book/01_anchors")
    term = page.locator("a.term").first
    term.scroll_into_view_if_needed()
    tip = page.locator("#term-meaning")
    assert not tip.is_visible()
    term.hover()
    assert tip.is_visible() and len(tip.inner_text()) > 20
    page.mouse.move(2, 2)
    tip.wait_for(state="hidden")
    term.focus()
    assert tip.is_visible() and term.get_attribute("aria-describedby") == "term-meaning"
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_a_meaning_stays_on_a_telephone(visits):
    page = visits(375, "dark").open("book/04_dense_blocks")
    for term in page.locator("a.term").all()[:6]:
        term.focus()
        box = page.locator("#term-meaning").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 375


@pytest.mark.parametrize("query, first", [
    ("dense block", "04_"), ("anchor", "01_"), ("nms", "09_"), ("non-maximum suppression", "09_"),
    ("average precision", "10_"), ("train my own data", "13_"), ("export onnx", "18_"),
    ("transition layer", "04_"), ("hard negative mining", "07_"), ("out of memory", "troubleshooting")])
def test_the_search_finds_the_page_first(visits, query, first):
    page = visits(1280, "light").page
    page.goto(f"/search.html?q={query.replace(' ', '+')}", wait_until="load")
    page.locator("#search-results li a").first.wait_for()
    page.locator("#search-results p.context").first.wait_for()
    assert first in page.locator("#search-results li a").first.get_attribute("href")
    page.wait_for_function("!document.querySelector('#search-progress')?.textContent.includes('Searching')")
    for text in page.locator("#search-results p.context").all_inner_texts():
        assert "Show code cell" not in text and "\\frac" not in text and ".ipynb" not in text, text
