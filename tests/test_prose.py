"""The prose: spelling, links, and the tools that check them, each shown a planted fault."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import check_links, check_numbers, check_spelling, prose, run_notebooks

ROOT = Path(__file__).resolve().parents[1]


# ---- the text -------------------------------------------------------------------------

def test_all_that_readers_read_is_found():
    places = {place.partition(",")[0] for place, _, _ in prose.texts()}
    assert {"README.md", "CHANGELOG.md", "book/index.md", "01_anchors.ipynb"} <= places
    assert sum("figure" in place for place, _, _ in prose.texts()) > 60  # captions and alt texts


@pytest.mark.parametrize("markdown, seen", [
    ("a `teh` b", "a b"), ("a ``t`h`` b", "a b"), ("```\nteh\n```\nb", "b"), ("$teh$ a", "a"),
    ("$$\nteh\n$$ a", "a"), ("[the page](teh.md) a", "[the page] a"), ("{cite:p}`teh` a", "a"),
    ("at https://teh.org now", "at now"), ("arXiv:1708.01241 a", "a"), ("<b title='x'>a</b>", "a"),
])
def test_code_and_addresses_are_no_prose(markdown, seen):
    assert prose.words_only(markdown).split() == seen.split()


def test_lines_are_kept():
    text = "one\n```\nx\ny\n```\nsix"
    assert prose.words_only(text).splitlines()[5].strip() == "six"


# ---- spelling --------------------------------------------------------------------------

def test_the_spelling_of_the_book():
    done = subprocess.run([sys.executable, "tools/check_spelling.py"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text, line, word", [
    ("A detecter.", 1, "detecter"), ("All is well.\nThe anchr is not.", 2, "anchr"),
    ("The sofmax", 1, "sofmax"), ("It\u2019s an ancor\u2019s box", 1, "ancor's"),
    ("[the pgae](x.md)", 1, "pgae"), ("*Recieve* it", 1, "recieve"),
])
def test_a_misspelt_word_is_noticed(text, line, word):
    (where, found, why), = check_spelling.doubts(text)
    assert (where, found) == (line, word) and why.startswith(("unknown", "a usual mistake"))


@pytest.mark.parametrize("word, british", [
    ("color", "colour"), ("colored", "colour"), ("center", "centre"), ("normalized", "normalised"),
    ("visualization", "visualisation"), ("neighbor", "neighbour"), ("labeled", "ll"), ("gray", "grey"),
    ("behavior", "behaviour"), ("analyze", "analyse"), ("recognizing", "recognising"),
    ("vectorizers", "-ise"), ("optimizer", "optimiser"),
])
def test_american_spelling_is_noticed(word, british):
    (_, found, why), = check_spelling.doubts(f"The {word} here")
    assert found == word and why.startswith("American") and british in why


@pytest.mark.parametrize("text", [
    "The colour of the centre, normalised and labelled", "DSOD's anchors and MXNet's layers",
    "Its size, the prize, resized", "A computer program under the Apache License",
    "`colour = center` and $normalize$", "Of 64x64 cells, x264 and aarch64", "APs",
])
def test_right_words_are_left_alone(text):
    assert not check_spelling.doubts(text)


def test_an_idle_word_is_noticed(monkeypatch):
    monkeypatch.setattr(check_spelling, "known", lambda: {"dsod", "nosuchword", "colour", "box"})
    assert check_spelling.idle_words() == ["box", "colour", "nosuchword"]


# ---- links --------------------------------------------------------------------------------

def test_the_links_of_the_sources():
    done = subprocess.run([sys.executable, "tools/check_links.py"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def page(tmp_path):
    """Return a page with two headings, beside another one."""
    (tmp_path / "other.md").write_text("# Other\n\n## What `F.concat` does, and why\n")
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```\n# no heading\n```\n")
    return page


@pytest.mark.parametrize("target", [
    "other.md", "other.md#what-fconcat-does-and-why", "#page", "https://d2l.ai/x_y?z=1#w",
    "mailto:a@b.example",
])
def test_good_links_are_left_alone(page, target):
    assert check_links.fault(target, page) is None


@pytest.mark.parametrize("target, said", [
    ("gone.md", "no file"), ("other.md#gone", "no heading"), ("#no-heading", "no heading"),
    ("http://d2l.ai", "not https"), ("https://localhost", "no host"), ("https:///x", "no host"),
    ("https://d2l.ai/x.", "full stop"), ("https://d2l.ai/{page}", "character"), ("", "empty"),
    ("ftp://d2l.ai", "not https"),
])
def test_a_bad_link_is_noticed(page, target, said):
    assert said in check_links.fault(target, page)


def test_links_of_every_kind_are_seen():
    text = ('[a](1) ![b](2 "t") [c]: x\n[d]: 3\n<a href="4">x</a> <img alt="x" src="5">\n'
            "`[e](no)` $[f](no)$\n```\n[g](no)\n```\n[![h](6)](7) [i](<8>)")
    assert sorted(check_links.targets(text)) == ["1", "2", "3", "4", "5", "7", "8"]


# ---- numbers --------------------------------------------------------------------------------

CHAPTERS = run_notebooks.notebooks()


@pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])
def test_the_numbers_of_a_chapter_are_asserted(path):
    assert not list(check_numbers.numbers_are_asserted(nbformat.read(path, 4)))


def chapter(text, *code, tags=("remove-cell",)):
    cells = [new_code_cell(source, metadata={"tags": list(tags)}) for source in code]
    return new_notebook(cells=[new_markdown_cell(text), *cells])


def said(nb):
    return " ".join(check_numbers.numbers_are_asserted(nb))


@pytest.mark.parametrize("text, guard", [
    ("It has 5,444 anchors", "assert n == 5444"), ("$5{,}444$ of them", "assert n == 5_444"),
    ("25 896 bytes", "assert n == 25896"), ("an IoU of .714", "assert round(x, 3) == 0.714"),
    ("57% of all", "assert round(x, 2) == .57"), ("17 % of all", "assert round(x, 2) == .17"),
    ("sizes 20 and 37", "assert sizes == [20, 37]"), ("up to 12 of them", "x = 1"),
    ("in 2017, section 4.13", "x = 1"), ("Python 3.11 and MXNet 1.9.1", "x = 1"),
    ("about 35 minutes", "x = 1"), ("`reshape(99)` and [a](99.md)", "x = 1"),
    ("It has 300 pixels (arXiv:1512.02325)", "x = 1"), ("the name DS/64-192-48-1", "x = 1"),
    ("the error says 44", "assert 'found 44' in str(error)"),
    ("Twenty", "x = 1"), ("at 0.99", "w = [.99]\nassert f(w)"),
    ("## Exercises\n\nTake 77 boxes", "boxes(77)"),
])
def test_a_number_that_is_asserted_or_need_not_be(text, guard):
    assert not said(chapter(text, guard))


@pytest.mark.parametrize("text, guard, number", [
    ("It has 5,444 anchors", "assert n == 5445", "5,444"), ("It has 5,444", "n = 5444", "5,444"),
    ("an IoU of 0.714", "assert x == 0.713", "0.714"), ("13 of them", "x = 1", "13"),
    ("one has 40", "assert n == 400", "40"), ("1.5 times", "assert n == 15", "1.5"),
    ("- 300 (arXiv:1512.02325)\n- 301 here", "x = 1", "301"), ("Take 77 boxes", "boxes(77)", "77"),
])
def test_a_number_without_an_assert_is_noticed(text, guard, number):
    assert f"says {number}, and no assert" in said(chapter(text, guard))


def test_captions_count_as_prose():
    nb = chapter("Text", "x = 1", tags=())
    nb.cells[1].metadata["mystnb"] = {"figure": {"caption": "There are 4096."}}
    assert "cell 2 says 4096" in said(nb)


def test_a_value_in_visible_code_is_no_assert():
    assert "says 99" in said(chapter("It has 99", "x = 99\nassert x == y", tags=()))
    assert not said(chapter("It has 99", "x = 99\nassert f(x) == 99", tags=()))


@pytest.mark.parametrize("guard", ["assert 42 == 42", "assert 6 * 7 == 42", "assert round(.4, 0) == 0",
                                   "assert x == 42 and 6 * 7 == 42", "assert (1, 2) == (1, 2)",
                                   "assert True", "assert sum([20, 22]) == 42"])
def test_an_assert_of_literals_is_noticed(guard):
    assert "asserts literals alone" in said(chapter("Text", guard))


@pytest.mark.parametrize("guard", ["assert x == 42", "assert 6 * n == 42", "assert np.log(2) < 1",
                                   "assert x == 42 and 6 * x == 42", "assert f(1) == (1, 2)"])
def test_an_assert_of_an_object_is_left_alone(guard):
    assert not said(chapter("Text", guard))


# ---- messages ---------------------------------------------------------------------------------

def messages():
    """Return the texts in our own sources, with dots in the place of what is filled in."""
    found = []
    for path in [*(ROOT / "dsod_d2l").rglob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "..."
                                     for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_messages_that_are_explained_are_ours():
    text = (ROOT / "book" / "troubleshooting.md").read_text()
    ours = text.partition("## Messages of this module")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (.*)$", ours, re.M)
    quoted = [part for heading in headings for part in re.findall(r"`([^`]*)`", heading)]
    quoted += ["the loss is", "training stops before the weights are changed",
               "This Python cannot make virtual environments", "MXNet 1.9.1 has wheels for",
               "the outputs are stale"]
    assert len(quoted) > 10 and all(part.strip(". ") in text for part in quoted)
    said = re.sub(r"\s+", " ", messages().replace("%s", "..."))
    pieces = [piece.strip() for part in quoted for piece in part.split("...") if piece.strip()]
    assert not [piece for piece in pieces if piece not in said and "box 3" not in piece]


def test_the_glossary_is_in_order_and_leads_to_the_chapters():
    text = (ROOT / "book" / "glossary.md").read_text().partition("## Letters")[0]
    terms = re.findall(r"^(\S[^\n]*)\n: (.*?)(?=\n\n|\Z)", text, re.M | re.S)
    names = [re.sub(r"[^a-z ]", "", term.lower()) for term, _ in terms]
    assert names == sorted(names) and len(names) == len(set(names)) > 70
    assert not [term for term, about in terms if "_" not in about or ".ipynb)" not in about]
