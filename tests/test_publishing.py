"""What surrounds the book: workflows, citation, changes, card, and what pages say of themselves."""
import io
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import matplotlib
import numpy as np
import pytest
import yaml
from PIL import Image

import dsod_d2l
from tools import make_card, stamp_repository

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


# ---- workflows -----------------------------------------------------------------------

def workflow(path):
    """Return a workflow; YAML 1.1 reads its key `on` as True."""
    read = yaml.safe_load(path.read_text())
    read["on"] = read.pop(True)
    return read


def jobs_and_steps(flow):
    """Return (job, step) for each step of a workflow."""
    return [(job, step) for job in flow["jobs"].values() for step in job["steps"]]


def targets():
    """Return the targets of the Makefile."""
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    return set(phony.replace("\\\n", " ").split())


def faults(flow):
    """Return a sentence for each step of a workflow that could not work, or is not to be trusted."""
    found = []
    for job, step in jobs_and_steps(flow):
        if "uses" in step and not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]):
            found.append(f"{step['uses']} is no official action pinned by the hash of a commit")
        command = step.get("run", "").split()
        if command[:1] == ["make"] and command[1] not in targets():
            found.append(f"there is no target {command[1]}")
        if command[:1] == ["bash"] and not (ROOT / command[1]).is_file():
            found.append(f"there is no program {command[1]}")
        if command and command[0] not in ("make", "bash"):
            found.append(f"{command[0]} is neither make nor a program of the tree")
        if "timeout-minutes" not in job or not re.search(r"-\d", job["runs-on"]):
            found.append("a job has no time limit, or runs on what is newest")
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_official_actions_and_existing_commands(path):
    flow = workflow(path)
    assert not faults(flow)
    assert flow["permissions"] == {"contents": "read"} and "group" in flow["concurrency"]
    assert jobs_and_steps(flow)[0][1]["uses"].startswith("actions/checkout@")
    # The version beside the hash is what a reader, and a program that renews both, goes by.
    pins = re.findall(r"uses: (\S+)(?:  # (v\d+\.\d+\.\d+))?$", path.read_text(), re.M)
    assert len(pins) == path.read_text().count("uses:") and all(version for _, version in pins)


def test_an_action_has_the_same_hash_wherever_it_is_used():
    pins = {line.split("uses: ")[1] for path in WORKFLOWS for line in path.read_text().splitlines() if "uses: " in line}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins}) == 6


@pytest.mark.parametrize("step, said", [
    ({"uses": "someone/deploy@v1"}, "no official action"),
    ({"uses": "actions/checkout@v6"}, "pinned by the hash"),
    ({"uses": "actions/checkout@main"}, "no official action"),
    ({"run": "make pages"}, "no target pages"), ({"run": "bash no/such"}, "no program no/such"),
    ({"run": "pip install x"}, "neither make nor"),
])
def test_a_faulty_step_is_noticed(step, said):
    job = {"runs-on": "ubuntu-24.04", "timeout-minutes": 1, "steps": [step]}
    assert said in faults({"jobs": {"x": job}})[0]


def test_the_pages_are_built_and_deployed_as_they_should():
    flow = workflow(ROOT / ".github" / "workflows" / "pages.yml")
    assert flow["on"]["push"]["branches"] == [CONFIG["repository"]["branch"]]
    assert flow["concurrency"]["cancel-in-progress"] is False
    build, deploy = flow["jobs"]["build"], flow["jobs"]["deploy"]
    names = [step.get("uses", step.get("run")).partition("@")[0] for step in build["steps"]]
    assert names == ["actions/checkout", "actions/setup-python", "make book PYTHON=python",
                     "actions/configure-pages", "actions/upload-pages-artifact"]
    html = re.search(r"^HTML := (.*)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    assert build["steps"][-1]["with"]["path"] == html
    assert deploy["needs"] == "build" and deploy["environment"]["name"] == "github-pages"
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}


def test_the_tests_run_on_the_oldest_and_the_newest_python():
    from tools import make_env

    flow = workflow(ROOT / ".github" / "workflows" / "test.yml")
    pythons = flow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert {make_env.OLDEST, make_env.NEWEST} <= {tuple(map(int, p.split("."))) for p in pythons}
    assert {"push", "pull_request"} <= set(flow["on"])


# ---- citation ------------------------------------------------------------------------

REFERENCE = {"type", "title", "authors", "collection-title", "conference", "year", "identifiers"}
CITATION = {"cff-version", "message", "title", "abstract", "type", "authors", "version", "license",
            "repository-code", "url", "keywords", "references", "preferred-citation"}


def test_the_citation_has_the_keys_of_its_format():
    # The names of the Citation File Format 1.2.0, as far as they are used here.
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert set(cited) <= CITATION | {"date-released"}
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["cff-version"] == "1.2.0" and cited["type"] in ("software", "dataset")
    for authors in [cited["authors"], *(entry["authors"] for entry in cited["references"])]:
        assert authors and all(set(one) in ({"name"}, {"family-names", "given-names"})
                               for one in authors)
    for entry in cited["references"]:
        assert set(entry) <= REFERENCE and isinstance(entry["year"], int)
        assert all(set(one) == {"type", "value"} for one in entry["identifiers"])


def test_the_citation_says_what_the_project_says():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["title"] == CONFIG["title"] and cited["authors"][0]["name"] == CONFIG["author"]
    assert cited["version"] == dsod_d2l.__version__ and cited["license"] == "Apache-2.0"
    assert cited["repository-code"] == CONFIG["repository"]["url"]
    assert cited["url"] == stamp_repository.site()
    bib = (ROOT / "book" / "references.bib").read_text()
    for entry in cited["references"]:
        assert entry["title"].partition(": ")[2] in bib
        assert entry["identifiers"][0]["value"].partition(":")[2] in bib


def test_stamping_reaches_the_citation(tmp_path):
    (tmp_path / "_config.yml").write_text(
        "repository: {url: 'https://github.com/a/b', branch: main}\n"
        "html: {baseurl: 'https://a.example/b'}\n")
    text = "url: https://old.example\nrepository-code: https://old.example/x\n"
    (tmp_path / "CITATION.cff").write_text(text)
    _, new = stamp_repository.stamped(tmp_path / "CITATION.cff", tmp_path)
    assert new == "url: https://a.example/b/\nrepository-code: https://github.com/a/b\n"


# ---- changes ---------------------------------------------------------------------------

def test_the_changes_are_those_of_the_changelog(pages):
    log = (ROOT / "CHANGELOG.md").read_text()
    page = (pages / "book" / "errata.html").read_text()
    assert f"{dsod_d2l.__version__} (not released)" in page or "not released" not in log
    first = re.search(r"^- (\w+ \w+ \w+)", log, re.M).group(1)
    assert first in page and first not in (ROOT / "book" / "errata.md").read_text()


# ---- logo, favicon, card -----------------------------------------------------------------

def luminance(rgb):
    """Return the relative luminance of a colour of 0..255, as WCAG 2 defines it."""
    part = np.asarray(rgb, dtype=float) / 255
    part = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(part @ [0.2126, 0.7152, 0.0722])


def contrast(first, second):
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_definition():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", ["logo", "favicon"])
@pytest.mark.parametrize("ground", [(255, 255, 255), (0x14, 0x18, 0x1E), (0x20, 0x21, 0x24)])
def test_logo_and_favicon_are_seen_on_light_and_dark(name, ground):
    image = Image.open(ROOT / "book" / "assets" / "img" / f"{name}.png")
    assert image.mode == "RGBA" and image.size[0] == image.size[1] >= 48
    pixels = np.asarray(image).reshape(-1, 4)
    inked = pixels[pixels[:, 3] > 250][:, :3]
    assert (pixels[:, 3] == 0).mean() > 0.4  # no ground of its own
    colours, counts = np.unique(inked, axis=0, return_counts=True)
    most = colours[counts.argmax()]
    assert contrast(most, ground) >= 3 and counts.max() > 0.3 * len(inked)


DRAWN_BY = "3.7.2"     # another matplotlib sets the letters of the card differently


def coarse(raw):
    """Return a picture by 20 pixels."""
    return np.asarray(Image.open(io.BytesIO(raw)).resize((60, 32), Image.BOX), dtype=float)


def test_the_card_is_what_its_program_draws():
    raw = make_card.CARD.read_bytes()
    assert len(raw) < make_card.MOST_BYTES
    assert Image.open(io.BytesIO(raw)).size == (1200, 630)
    stored, drawn = coarse(raw), coarse(make_card.card(CONFIG["title"]))
    assert abs(stored - drawn)[:, :30].mean() < 1          # the picture, and its boxes
    if matplotlib.__version__ == DRAWN_BY:
        assert abs(stored - drawn).mean() < 1
        assert abs(stored - coarse(make_card.card("Another title"))).mean() > 1


# ---- what pages say of themselves ------------------------------------------------------------

class Head(HTMLParser):
    """Collects the <meta> tags of a page, its canonical address and its links."""

    def __init__(self, page):
        super().__init__()
        self.meta, self.canonical, self.links = {}, [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "meta" and ("property" in found or "name" in found):
            self.meta.setdefault(found.get("property", found.get("name")), found["content"])
        if tag == "link" and found.get("rel") == "canonical":
            self.canonical.append(found["href"])
        if tag == "a":
            self.links.append(found.get("href") or "")


def listed():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"]] + [entry["file"] for part in toc["parts"] for entry in part["chapters"]]


def test_every_page_has_a_description_and_a_card(pages):
    site, about = stamp_repository.site(), set()
    for name in listed():
        head = Head(pages / f"{name}.html")
        assert head.meta["og:url"] == f"{site}{name}.html" and head.canonical == [head.meta["og:url"]]
        assert head.meta["og:title"] and head.meta["og:site_name"] == CONFIG["title"]
        assert 30 < len(head.meta["description"]) <= 210, (name, head.meta["description"])
        assert head.meta["og:description"] == head.meta["description"]
        assert "Colab" not in head.meta["description"] and "<" not in head.meta["og:title"]
        picture = head.meta["og:image"]
        assert picture.startswith(site) and (pages / picture[len(site):]).is_file()
        about.add(head.meta["description"])
    assert len(about) == len(listed())


def test_the_root_leads_to_the_book_and_shows_its_card(pages):
    site, text = stamp_repository.site(), (pages / "index.html").read_text(encoding="utf-8")
    head = Head(pages / "index.html")
    assert f"<title>{CONFIG['title']}</title>" in text
    assert head.canonical == [site + "book/index.html"] and head.links == ["book/index.html"]
    assert 'content="0; url=book/index.html"' in text and (pages / "book/index.html").is_file()
    assert head.meta["og:title"] == CONFIG["title"] and head.meta["twitter:card"] == "summary_large_image"
    assert (pages / head.meta["og:image"][len(site):]).is_file()


def test_the_map_of_the_site_lists_the_pages(pages):
    from xml.etree import ElementTree

    site = stamp_repository.site()
    found = [entry.text for entry in ElementTree.parse(pages / "sitemap.xml").iter() if entry.tag.endswith("loc")]
    assert sorted(found) == sorted(f"{site}{name}.html" for name in listed())
    assert (pages / "robots.txt").read_text().splitlines() == [
        "User-agent: *", "Allow: /", f"Sitemap: {site}sitemap.xml"]


def test_what_is_not_found_leads_back_from_any_depth(pages):
    site, links = stamp_repository.site(), Head(pages / "404.html").links
    assert len(links) == 2 and all(link.startswith(site) for link in links)
    assert all((pages / link[len(site):]).is_file() for link in links)


def test_every_page_lets_the_reader_report_a_mistake(pages):
    for name in listed():
        links = [url for url in Head(pages / f"{name}.html").links if "/issues/new?" in url]
        own = [url for url in links if url.startswith(CONFIG["repository"]["url"])]
        assert links == own and len(links) >= 2, name  # the theme's button, and our line
        asked = [parse_qs(urlsplit(url).query) for url in links]
        assert any(name in part["body"][0] and len(part["title"][0]) > 12 for part in asked)


def test_the_version_has_a_heading_and_a_date_once_it_is_released():
    heading = re.search(r"^## (\S+) \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heading.group(1) == dsod_d2l.__version__
    if heading.group(2) != "not released":
        released = yaml.safe_load((ROOT / "CITATION.cff").read_text())["date-released"]
        assert heading.group(2) == released.isoformat() and isinstance(released, date)


def page_head():
    """Import the extension, which is no part of a package."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("page_head", ROOT / "tools" / "_ext" / "page_head.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text, short", [
    ("One. Two.", "One. Two."), ("a" * 90 + ". " + "b " * 80, "a" * 90 + "."),
    ("word " * 60, "word " * 39 + "word ..."), ("Who? " + "c " * 120, "Who? " + "c " * 97 + "..."),
])
def test_a_long_description_is_cut_behind_a_sentence_or_a_word(text, short):
    assert page_head().shorten(text) == short


def test_titles_and_addresses_are_escaped():
    head = page_head()
    assert head.plain('<span class="x">1. </span>A &amp; B') == "1. A & B"
    assert 'content="A &amp; &quot;B&quot;"' in head.tags(("A & \"B\"", "t"), "about", "s/", "p")
    link = re.search(r'href="([^"]*)"', head.report_link("https://a.b/c", "A & B?", "book/x"))
    asked = parse_qs(urlsplit(link.group(1).replace("&amp;", "&")).query)
    assert asked == {"title": ["Mistake in: A & B?"], "body": ["Page: book/x\n\n"]}
