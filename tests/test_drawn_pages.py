"""What the extensions of the page make of line drawings and of a chapter's head."""

import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from docutils import nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools" / "_ext"))
import first_picture  # noqa: E402
import line_drawings  # noqa: E402
import you_are_here  # noqa: E402

SVG = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" fill="currentColor">'
       "<style>:root{color:#222}</style><text>map</text></svg>")


def test_a_drawing_becomes_a_part_of_the_page(tmp_path):
    (tmp_path / "one.svg").write_text(SVG)
    (tmp_path / "two.svg").write_text(SVG.replace("currentColor", "red"))
    builder = SimpleNamespace(images={"one.svg": "one.svg", "two.svg": "two.svg"})
    app = SimpleNamespace(srcdir=tmp_path, builder=builder)
    context = {"body": '<img alt="A map." src="../_images/one.svg" /> <img src="_images/two.svg"/>'}
    line_drawings.put_drawings_in(app, "page", "", context, None)
    assert context["body"].startswith('<svg role="img" aria-label="A map." xmlns')
    assert "<style>" not in context["body"] and "<text>map</text>" in context["body"]
    assert context["body"].endswith('<img src="_images/two.svg"/>')


def cell(*children):
    container = nodes.container("", *children)
    container["classes"] = ["cell"]
    return container


def part(kind, *children):
    made = nodes.container("", *children)
    made["classes"] = [kind]
    return made


def folded(*children):
    made = cell(*children)
    made["classes"].append("tag_hide-input")
    return made


@pytest.mark.parametrize("between, places, first", [
    ([], [0, 2, 1, 3], "cell_output"),
    ([folded(part("cell_input"))], [0, 2, 1, 4], "cell_output"),          # the helpers of a drawing
    ([cell(part("cell_input"))], [0, 1, 3, 4], "cell_input"),             # code to be read
    ([folded(part("cell_input"), part("cell_output"))], [0, 1, 3, 4], "cell_input")])
def test_the_first_picture_stands_before_what_is_folded(between, places, first):
    setup = folded(part("cell_input"))
    picture = cell(part("cell_input"), part("cell_output", nodes.image(uri="a.png")))
    question, text = nodes.paragraph("", "Why?"), nodes.paragraph("", "Because.")
    section = nodes.section("", question, setup, *between, picture, text)
    first_picture.put_first(None, nodes.document(None, None, "", section), "page")
    assert [section.index(one) for one in (question, setup, picture, text)] == places
    assert picture.children[0]["classes"] == [first]


@pytest.mark.parametrize("number, name", [("04", "network"), ("10", "evaluation"),
                                          ("08b", "training"), ("12", "pictures")])
def test_the_map_marks_where_a_chapter_stands(number, name):
    pages = ["04_dense_blocks", "05_pikachu", "10_evaluation"]
    chart = ElementTree.fromstring(you_are_here.chart(number, pages))
    links = {one.find("text").text: one for one in chart.iter("a")}
    assert {one: link.get("href") for one, link in links.items()} == {
        "network": "04_dense_blocks.html", "pictures": "05_pikachu.html",
        "evaluation": "10_evaluation.html"}
    marked = [one.get("fill") for one in chart.iter("rect")].index(you_are_here.COLOUR)
    assert you_are_here.STATIONS[marked][0] == name
    assert len(list(chart.iter("rect"))) == len(you_are_here.STATIONS)


def test_a_page_that_is_no_chapter_has_no_map():
    assert you_are_here.chart("glossary", []) == you_are_here.chart("00", []) == ""
    app = SimpleNamespace(env=SimpleNamespace(found_docs={"book/01_anchors", "book/glossary"}))
    context = {"body": "<h1>Anchors</h1><p>Why?</p>"}
    you_are_here.add_chart(app, "book/01_anchors", "", context, None)
    assert context["body"].startswith('<h1>Anchors</h1>\n<nav class="you-are-here"')
    assert 'href="01_anchors.html" aria-current="true"' in context["body"]
