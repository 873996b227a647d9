"""The pages in a browser: nothing goes wrong on any of them, and what can be used works."""
import json
import re
from urllib.parse import unquote

import pytest
import yaml

from browsing import ROOT, listed_names

SIZES = {"desktop": 1280, "phone": 375}
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
CHAPTERS = [name for name in listed_names() if (ROOT / f"{name}.ipynb").exists()]

# Sentences about what a reader would see go wrong on the page that is shown.
FAULTS = r"""
(() => {
  const found = [], room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > room) {
    const wide = [...document.querySelectorAll("article *")]
      .filter((one) => one.getBoundingClientRect().right > room + 1);
    found.push(`wider than ${room}: ${wide.slice(0, 3).map((one) => one.outerHTML.slice(0, 90))}`);
  }
  for (const image of document.images) {
    if (!image.complete || !image.naturalWidth) found.push(`broken: ${image.src}`);
  }
  for (const one of document.querySelectorAll(".katex-error")) {
    found.push(`KaTeX: ${one.textContent}`);
  }
  for (const one of document.querySelectorAll("i[class*='fa-'], [data-theme=auto]")) {
    found.push(`no icon: ${one.outerHTML.slice(0, 90)}`);
  }
  for (const one of document.querySelectorAll("article pre")) {
    if (!one.closest(".cell") && one.scrollWidth > one.clientWidth + 1) {
      found.push(`cut off: ${one.textContent.slice(0, 60)}`);
    }
  }
  for (const one of document.querySelectorAll(".math")) {
    if (!one.querySelector(".katex")) found.push(`raw formula: ${one.textContent}`);
  }
  const ends = (one) => one.getBoundingClientRect().right;
  for (const one of document.querySelectorAll("span.math")) {
    const formula = one.querySelector(".katex-html");
    if (formula && ends(formula) > ends(one) + 1) found.push(`cut off: ${one.textContent}`);
  }
  for (const one of document.querySelectorAll(".prev-next-title")) {
    if (one.scrollWidth > one.clientWidth + 1) found.push(`cut off: ${one.textContent}`);
  }
  for (const one of document.querySelectorAll("[data-interactive]")) {
    if (!one.matches(".interactive") || !one.querySelector("svg, img, canvas")) {
      found.push(`not interactive: ${one.dataset.interactive}`);
    }
  }
  return found;
})()
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", listed_names())
def test_nothing_goes_wrong_on_a_page(visits, name, size, theme):
    visit = visits(SIZES[size], theme)
    page = visit.open(name)
    page.evaluate("Promise.all([...document.images].map((one) => one.decode().catch(() => 0)))")
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert not visit.problems + page.evaluate(FAULTS)


# What axe-core (tests/axe, MPL 2.0) finds, of the faults that keep people out.
ACCESS = """
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations
  .filter(({ impact }) => ["serious", "critical"].includes(impact))
  .map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 120)}`))
"""


@pytest.mark.slow
@pytest.mark.parametrize("size, theme", [("desktop", "light"), ("phone", "dark")])
@pytest.mark.parametrize("name", [*listed_names(), "search"])
def test_nobody_is_kept_out(visits, name, size, theme):
    page = visits(SIZES[size], theme).open(name)
    page.evaluate((ROOT / "tests/axe/axe.min.js").read_text(encoding="utf-8"))
    assert not page.evaluate(ACCESS)


def test_what_keeps_people_out_is_noticed(visits):
    page = visits(375, "light").open("book/references")
    page.evaluate((ROOT / "tests/axe/axe.min.js").read_text(encoding="utf-8"))
    page.evaluate("document.querySelector('article').innerHTML += '<img src=\"data:,\">'")
    assert any("image-alt" in one for one in page.evaluate(ACCESS))


WEIGHT = """
[performance.getEntriesByType("navigation"), performance.getEntriesByType("resource")].flat()
  .filter(({ name }) => !/_images|thumbs|three.jpg|before.jpg|after.jpg/.test(name))
  .map(({ name, decodedBodySize }) => [name, decodedBodySize])
"""


@pytest.mark.parametrize("name", ["book/index", "book/09_detection", "book/14_grp_dsod"])
def test_a_page_is_light(window, name):
    loads = window().open(name).evaluate(WEIGHT)
    assert len(loads) <= 25 and sum(size for _, size in loads) <= 1_000_000
    assert not [one for one, _ in loads if "searchindex" in one]


def test_formulas_are_there_without_scripts(pages):
    page = (pages / "book/07_losses.html").read_text(encoding="utf-8")
    assert page.count('class="katex"') > 20 and "annotation" not in page


# ---- what a fault looks like: each is noticed ------------------------------------------

BREACHES = {
    "wider than": "document.querySelector('article').innerHTML +="
                  " '<p style=\"width:3000px\">x</p>'",
    "broken": "document.querySelector('article').innerHTML += '<img src=\"data:,\">'",
    "KaTeX": "document.querySelector('article').innerHTML += '<b class=\"katex-error\">x</b>'",
    "no icon": "document.querySelector('article').innerHTML += '<i class=\"fa-solid fa-x\"></i>'",
    "raw formula": "document.querySelector('article').innerHTML +="
                   " '<span class=\"math\">\\\\(x\\\\)</span>'",
    "cut off": "document.querySelector('.prev-next-title').textContent = 'x'.repeat(80);"
               "document.querySelector('.prev-next-title').style.overflowWrap = 'normal'",
    "not interactive": "document.querySelector('article').innerHTML +="
                       " '<div data-interactive=\"x\"></div>'",
    "page error": "setTimeout(() => { throw new Error('x'); })",
    "console error": "console.error('x')",
    "console warning": "console.warn('x')",
    "status 404": "fetch('/nowhere.html')",
    "another host": "fetch('http://127.0.0.2:9/x').catch(() => 0)",
}


@pytest.mark.parametrize("said", BREACHES)
def test_a_fault_is_noticed(visits, said):
    visit = visits(375, "light")
    page = visit.open("book/references")
    page.evaluate(f"() => {{ {BREACHES[said]}; }}")
    page.wait_for_timeout(150)
    assert any(said in problem for problem in visit.problems + page.evaluate(FAULTS))


FIGURES = """
[...document.querySelectorAll('.cell_output img')].map((one) =>
    [one.naturalWidth, one.clientWidth, one.parentElement.clientWidth])
"""


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_text_of_a_figure_can_be_read_on_a_phone(visits, name):
    page = visits(375, "light").open(name)
    page.evaluate("Promise.all([...document.images].map((one) => one.decode().catch(() => 0)))")
    for natural, shown, room in page.evaluate(FIGURES):
        assert shown >= 0.6 * natural      # 10 points are about 8 pixels then
        assert natural >= 540 or shown <= room


# ---- finding one's way -----------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
def test_search_finds_a_term(window, size):
    page = window(width=SIZES[size]).open("book/index")
    page.locator(".search-button, .search-button__button").locator("visible=true").first.click()
    page.locator("input[type=search]").locator("visible=true").first.fill("bipartite")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=bipartite*")
    hits = page.locator("#search-results ul.search > li")
    hits.first.wait_for()
    assert any("06_targets" in one for one in hits.locator("a").evaluate_all(
        "all => all.map((one) => one.href)"))


def test_a_chapter_is_among_the_first_and_excerpts_are_text(window):
    page = window().open("search")
    page.goto(page.url + "?q=dense+block")
    first = page.locator("#search-results ul.search > li").first
    first.locator("p.context").wait_for()
    page.locator("#search-results .search-summary", has_text="found").wait_for()
    found = page.locator("#search-results ul.search > li > a").evaluate_all(
        "all => all.map((one) => one.href)")
    assert any("04_dense_blocks" in one for one in found[:3])
    excerpts = " ".join(page.locator("p.context").all_inner_texts())
    assert "\\frac" not in excerpts and "Show code cell" not in excerpts


@pytest.mark.parametrize("size", SIZES)
def test_the_first_page_compares_two_pictures(window, size):
    page = window(width=SIZES[size]).open("book/index")
    slider = page.locator(".before-after input")
    slider.fill("80")
    after = page.locator(".before-after img").nth(1)
    assert "20%" in after.evaluate("one => getComputedStyle(one).clipPath")
    assert page.locator(".chapter-card").count() == len(
        [name for name in CHAPTERS if not name.endswith("reference")])
    page.get_by_role("link", name="Start reading").click()
    page.wait_for_url("**/00_tour.html")


def test_on_paper_the_ground_is_white_and_nothing_is_folded(window):
    page = window(theme="dark").open("book/10_evaluation")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("article details:not([open])").count()


def test_the_menu_folds_on_a_desktop(window):
    page = window().open("book/index")
    chapter = page.locator("nav.bd-links a[href='01_anchors.html']")
    assert chapter.is_visible()
    page.locator("button.primary-toggle").locator("visible=true").first.click()
    chapter.wait_for(state="hidden")
    page.locator("button.primary-toggle").locator("visible=true").first.click()
    chapter.wait_for(state="visible")


def test_the_menu_leads_to_a_chapter_on_a_phone(window):
    page = window(width=375, touch=True).open("book/index")
    chapter = page.locator("nav.bd-links a[href='01_anchors.html']")
    assert not chapter.is_visible() or not in_sight(page, chapter)
    page.locator("button.primary-toggle").locator("visible=true").first.tap()
    chapter.wait_for(state="visible")
    page.wait_for_timeout(400)                     # it slides in
    chapter.tap()
    page.wait_for_url("**/01_anchors.html")


def test_the_contents_of_a_page_open_on_a_phone(window):
    page = window(width=375, touch=True).open("book/01_anchors")
    page.locator("button.secondary-toggle").locator("visible=true").first.tap()
    entry = page.get_by_role("link", name="Exercises").locator("visible=true").first
    entry.wait_for()
    page.wait_for_timeout(400)
    entry.tap()
    page.wait_for_url("**#exercises")


def in_sight(page, one):
    """Tell whether an element lies inside the window."""
    box = one.bounding_box()
    return bool(box) and 0 <= box["x"] < page.viewport_size["width"]


@pytest.mark.parametrize("size", SIZES)
def test_the_menus_of_a_chapter_open(window, size):
    page = window(width=SIZES[size]).open("book/01_anchors")
    for name, entry in (("launch", "Colab"), ("source", "Suggest edit"), ("download", ".ipynb")):
        menu = page.locator(f".dropdown-{name}-buttons, .dropdown-{name}s-buttons").first
        item = menu.locator(".dropdown-item", has_text=entry)
        assert not item.is_visible()
        menu.locator("button").first.click()
        item.wait_for(state="visible")
        assert in_sight(page, item)
        page.keyboard.press("Escape")


# ---- what can be used on a page ----------------------------------------------------------

def test_a_copy_button_copies(window):
    page = window().open("book/01_anchors")
    cell = page.locator(".cell_input .highlight", has_text="def corner_to_centre").first
    cell.hover()
    cell.locator("button.copybtn").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.length > 0)")
    copied = page.evaluate("navigator.clipboard.readText()")
    cells = json.loads((ROOT / "book/01_anchors.ipynb").read_text())["cells"]
    assert copied.rstrip() in ["".join(one["source"]).rstrip() for one in cells]


def test_the_theme_switch_goes_round(window):
    page = window(theme="dark").open("book/index")
    seen = []
    for _ in range(4):
        seen.append(tuple(page.evaluate(
            "[document.documentElement.dataset.mode, document.documentElement.dataset.theme]")))
        page.locator("button.theme-switch-button").locator("visible=true").first.click()
    assert seen[0] == seen[3] == ("auto", "dark")
    assert set(seen) == {("auto", "dark"), ("light", "light"), ("dark", "dark")}


@pytest.mark.parametrize("size", SIZES)
def test_a_folded_solution_opens_and_closes(window, size):
    page = window(width=SIZES[size]).open("book/01_anchors")
    solution = page.locator("details.hide", has_text="computed:").last
    inside = solution.locator(".cell_output").first
    assert not inside.is_visible()
    for visible in (True, False):
        solution.locator("summary").click()
        inside.wait_for(state="visible" if visible else "hidden")


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_links_of_a_chapter_lead_to_its_file(pages, name):
    page = (pages / f"{name}.html").read_text(encoding="utf-8")
    links = [unquote(link) for link in re.findall(r'href="([^"]+)"', page)]
    notebook = f"{name}.ipynb"

    def paths(start):
        return {link.partition(start)[2] for link in links if start in link}
    colab = REPOSITORY.replace("//github.com", "//colab.research.google.com/github")
    assert paths(f"{colab}/blob/main/") == {notebook}
    assert paths(f"{REPOSITORY}/edit/main/") == {notebook}
    assert paths("../_sources/") == {notebook}
    assert (pages / "_sources" / notebook).read_bytes() == (ROOT / notebook).read_bytes()
    assert any(link.startswith(f"{REPOSITORY}/issues/new") for link in links)


@pytest.mark.parametrize("name", [name for name in listed_names() if name not in CHAPTERS])
def test_the_edit_link_of_a_page_leads_to_its_file(pages, name):
    page = (pages / f"{name}.html").read_text(encoding="utf-8")
    found = re.findall(rf'href="{re.escape(REPOSITORY)}/edit/main/([^"]+)"', page)
    assert found and set(found) == {f"{name}.md"} and (ROOT / found[0]).is_file()
