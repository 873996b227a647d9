"""The prose: spelling, links, and the tools that check them, each shown a planted fault."""
import subprocess
import sys
from pathlib import Path

import pytest

from tools import check_links, check_spelling, prose

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
