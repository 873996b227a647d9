"""The book: every chapter keeps the rules, is not stale, shows its part of the library,
and the built pages stand on their own."""
import base64
import copy
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from browsing import listed_names
from tools import notebook_rules as rules
from tools import run_notebooks
from tools.fold_cells import folded
from tools.stamp_repository import setup_cell

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS, NOTEBOOKS = run_notebooks.chapters(), run_notebooks.notebooks()

# What each chapter must show of the library, in cells tagged library:<module>.<name>.
REQUIRED = {
    "00_tour": {},
    "01_anchors": {"boxes": "corner_to_centre centre_to_corner area iou",
                   "anchors": "cell_shapes map_anchors all_anchors"},
    "02_predictors": {"blocks": "Predictor"},
    "03_downsampling": {"blocks": "conv_norm_relu DownSample"},
    "04_dense_blocks": {"blocks": "norm_relu_conv Stem DenseLayer dense_block Transition PooledReuse "
                                  "DensePrediction ChannelNorm join halving_pool"},
    "05_pikachu": {"boxes": "mirror_boxes", "datasets.sample": "Sample",
                   "transforms.resizing": "resize", "transforms.pipelines": "mirror light",
                   "transforms.cropping": "boxes_in_window crop draw_window"},
    "06_targets": {"targets": "match encode decode label_anchors"},
    "07_losses": {"losses": "cross_entropy focal_loss smooth_l1 hard_negatives DetectionLoss"},
    "08_training": {"training": "TrainingGraph learning_rate one_step fit"}, "08b_full": {},
    "09_detection": {"detection": "softmax nms detections_from_outputs"},
    "10_evaluation": {"evaluation.matching": "precision_recall average_precision match_voc"},
    "11_family": {"models.network": "count_parameters", "models.summary": "multiply_adds",
                  "config.families": "half", "config.presets": "ablation even_steps",
                  "blocks": "plain_stem plain_prediction"},
    "12_augmentation": {
        "transforms.colours": "change_brightness change_contrast change_hsv distort",
        "transforms.cropping": "draw_expansion draw_patches meets collect_patches patch_window "
                               "letter_box_frame letter_box undo_letter_box",
        "transforms.pipelines": "ssd_window ssd"},
    "13_your_data": {"workbench.formats.image_folder": "box_fault",
                     "workbench.checking.anchor_fit": "best_overlaps recall",
                     "workbench.formats.addresses": "split_path",
                     "workbench.pretrained.transfer": "start_from"},
    "14_grp_dsod": {"models.grp_dsod": "unit OneInFour FrozenUpSampling UpSampling Gate"},
    "15_ssd": {"models.backbones": "conv_unit depthwise_unit", "config.base": "scale_sizes",
               "workbench.pretrained.classifier_weights": "decimate"},
    "16_refinedet": {"refinement": "refine easy_negatives second_targets",
                     "models.refinedet": "transfer_unit doubling_unit TransferBlock"},
    "17_pruning": {"workbench.pruning.cycle": "cut masked",
                   "workbench.pruning.choosing": "round_removed"}, "18_ship_it": {}
}


def required(stem):
    """Return the dotted names that a chapter must show; an appendix need show none."""
    return {f"{module}.{name}" for module, names in REQUIRED.get(stem, {}).items()
            for name in names.split()}


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def chapter(request):
    """Return one chapter or appendix as (path, notebook)."""
    return request.param, nbformat.read(request.param, 4)


# ---- the chapters ----------------------------------------------------------------

def test_the_table_of_contents_lists_the_chapters():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [Path(entry["file"]).name for part in toc["parts"] for entry in part["chapters"]]
    in_order = [path.stem for path in CHAPTERS if path.stem != "08b_full"]
    in_order.insert(in_order.index("10_evaluation") + 1, "08b_full")    # read when AP is known
    assert [name for name in listed if name[0].isdigit()] == in_order
    assert list(REQUIRED) == [path.stem for path in CHAPTERS]
    assert {path.stem for path in NOTEBOOKS} <= set(listed)


def test_a_chapter_keeps_the_rules(chapter):
    path, nb = chapter
    assert not rules.problems(nb, path.stem)


def test_the_outputs_are_those_of_the_code(chapter):
    path, nb = chapter
    assert nb.metadata.get("source_digest") == run_notebooks.digest(nb), (
        f"the outputs of {path.name} are stale: tools/run_notebooks.py runs it anew")


def test_a_chapter_is_stored_in_the_normal_form(chapter):
    path, nb = chapter
    normal = run_notebooks.normalise(copy.deepcopy(nb))
    assert json.loads(nbformat.writes(normal)) == json.loads(path.read_text(encoding="utf-8"))


def test_a_chapter_shows_its_part_of_the_library(chapter):
    path, nb = chapter
    shown = {name for _, cell in rules.code_cells(nb) for name in rules.library_names(cell)}
    assert not required(path.stem) - shown


def test_what_chapters_must_show_is_in_the_library():
    names = sorted(set().union(*map(required, REQUIRED)))
    assert len(names) > 70
    assert not [name for name in names if rules.library_tree(name) is None]


def test_each_definition_is_shown_once():
    shown = [name for path in NOTEBOOKS for _, cell in rules.code_cells(nbformat.read(path, 4))
             for name in rules.library_names(cell)]
    assert not {name for name in shown if shown.count(name) > 1}


# ---- the rules themselves: each one notices the breach it is there for --------------

def small_notebook():
    """Return a notebook that keeps every rule."""
    cells = [new_markdown_cell("# Title\n\nA question."),
             new_code_cell(setup_cell(), metadata={"tags": ["hide-input"]}),
             new_code_cell("print(6 * 7)", outputs=[new_output("stream", text="42\n")]),
             new_code_cell("1 + 1", outputs=[new_output("execute_result", {"text/plain": "2"})])]
    for count, cell in enumerate(cells[1:], 1):
        cell.execution_count = count
        for out in cell.outputs:
            if out.output_type == "execute_result":
                out.execution_count = count
    return folded(new_notebook(cells=cells))


def drawing(noise=False, empty=False, kind="PNG"):
    """Return a picture as bytes: two areas, noise, or nothing."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20] = 0 if empty else 200
    if noise:
        pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def show(nb, raw, caption="What is found here.", kind="png"):
    """Let the last cell of a notebook show a picture."""
    nb.cells[3].outputs.append(output(**{f"image/{kind}": base64.b64encode(raw).decode()}))
    nb.cells[3].metadata["mystnb"] = {"image": {"alt": "Two areas, dark and light."},
                                      "figure": {"caption": caption}}


def test_a_good_notebook_has_no_problems():
    nb = small_notebook()
    assert not rules.problems(nb)
    show(nb, drawing())
    show(nb, drawing(noise=True, kind="JPEG"), kind="jpeg")
    assert not rules.problems(nb)


def unrun(nb):
    for cell in nb.cells[1:]:
        cell.execution_count, cell.outputs = None, []


def output(**data):
    return new_output("display_data", data)


BREACHES = [
    (unrun, "not executed in one go"),
    (lambda nb: nb.cells[3].update(execution_count=9), "not executed in one go"),
    (lambda nb: nb.cells[2].update(source="x = 1\n" * 21), "21 lines"),
    (lambda nb: nb.cells[2].update(source="x = " + "1" * 80), "84 columns"),
    (lambda nb: nb.cells[2].update(source=" "), "empty"),
    (lambda nb: nb.cells[2].update(source="print(1);"), "semicolon"),
    (lambda nb: nb.cells[2].update(source="%time 1"), "uses '%'"),
    (lambda nb: nb.cells[2].update(source="1 # NBVAL_SKIP"), "by a comment"),
    (lambda nb: nb.cells[2].metadata.update(tags=["funny"]), "unknown tag 'funny'"),
    (lambda nb: nb.cells[2].metadata.update(tags=["hide-cell"]), "cell 3 is not folded"),
    (lambda nb: nb.cells[1].metadata.pop("cellView"), "cell 2 is not folded"),
    (lambda nb: nb.cells[2].update(source="#@title A\n1"), "cell 3 is not folded"),
    (lambda nb: nb.cells[2].metadata.update(tags=["nbval-ignore-output"]), "no assert follows"),
    (lambda nb: nb.cells[2].metadata.update(tags=["nbval-ignore-output"]), "one in ten may be"),
    (lambda nb: nb.cells[2].update(outputs=[]), "six in ten"),
    (lambda nb: nb.cells[2].outputs[0].update(name="stderr"), "writes to stderr"),
    (lambda nb: nb.cells[2].outputs.append(output(**{"image/svg+xml": "<svg/>"})), "does not scale"),
    (lambda nb: nb.cells[2].outputs.append(output(**{"image/svg+xml": "<svg>"})), "broken drawing"),
    (lambda nb: nb.cells[2].outputs.append(output(**{"image/gif": "x"})), "image/gif"),
    (lambda nb: nb.cells[2].outputs.append(output(**{"image/png": "x"})), "alternative text"),
    (lambda nb: nb.cells[2].outputs.append(new_output("error", ename="E")), "ends in an error"),
    (lambda nb: nb.cells[2].outputs[0].update(text="/ho" + "me/me\n"), "absolute path"),
    (lambda nb: nb.cells[2].update(source="open('/tm" + "p/x')"), "absolute path"),
    (lambda nb: nb.cells[1].update(source="import numpy as np"), "not the set-up cell"),
    (lambda nb: nb.cells[2].update(source=setup_cell()), "repeats the set-up"),
    (lambda nb: nb.cells[0].update(source="Text."), "does not start with the title"),
    (lambda nb: nb.cells[0].update(source="# A\n\n# B"), "2 titles"),
    (lambda nb: nb.cells[0].update(source="# A\n\n```{note}\nx\n```"), "Colab shows raw"),
    (lambda nb: nb.cells[0].update(source="# A\n\n{cite:p}`x`"), "Colab shows raw"),
    (lambda nb: nb.cells[0].update(source="# A\n\n<div class='a'>\nx\n</div>"), "Colab shows raw"),
    (lambda nb: nb.cells[0].update(source="# A\n\n[x](no.ipynb)"), "not there"),
    (lambda nb: nb.cells[0].update(source="# A\n\n![a long text](https://a.b/c)"), "Colab does not"),
    (lambda nb: nb.cells[0].update(source="# A\n\n![a long text](index.md)"), "Colab does not"),
    (lambda nb: nb.cells[2].update(source="assert 1"), "only an assert"),
    (lambda nb: show(nb, drawing(), caption=""), "without a caption"),
    (lambda nb: show(nb, drawing()[:60]), "broken picture"),
    (lambda nb: show(nb, b"no picture"), "broken picture"),
    (lambda nb: show(nb, drawing(empty=True)), "empty picture"),
    (lambda nb: show(nb, drawing(noise=True)), "photograph as PNG"),
    (lambda nb: nb.cells[0].update(source="# A\n\n" + "x" * 10**6), "bytes"),
    (lambda nb: nb.cells[2].metadata.update(tags=["library:boxes.iou"]), "does not define"),
    (lambda nb: nb.cells[2].update(source="def iou(a, b):\n    return a",
                                   metadata={"tags": ["library:boxes.iou"]}), "differently"),
    (lambda nb: nb.cells[2].update(source="def no_such(a):\n    return a",
                                   metadata={"tags": ["library:boxes.no_such"]}),
     "the library does not define"),
    (lambda nb: nb.cells[2].update(source="def recall(a):\n    return float((a >= THRESHOLD).mean())",
                                   metadata={"tags": ["library:m.recall"]}),
     "uses THRESHOLD in m.recall, and no cell up to it"),
    (lambda nb: shadow(nb, "iou = 1"), "uses iou in m.f, which cell 3 has made something else"),
    (lambda nb: shadow(nb, "def iou(a):\n    return a"), "which cell 3 has made something else"),
    (lambda nb: nb.cells[2].update(source="from dsod_d2l.boxes import area, _iou"), "uses _iou"),
    (lambda nb: nb.cells[2].update(metadata={"tags": ["library:boxes._iou"]}), "uses boxes._iou"),
    (lambda nb: nb.cells[2].update(source="import dsod_d2l.boxes\nimport mxnet"), "sort the imports"),
    (lambda nb: nb.cells[2].update(source="from os import path\nimport re"), "sort the imports"),
    (lambda nb: nb.cells[2].update(source="from re import sub, match"), "sort the names: match, sub"),
    (lambda nb: nb.cells[2].update(source="from re import sub\nfrom re import match"), "in two lines"),
    (lambda nb: nb.cells[3].update(source="import sys"), "imports sys again, as cell 2 does"),
    (lambda nb: nb.cells[3].update(source="import dsod_d2l.workbench.video"), "uses the workbench"),
]


def shadow(nb, source):
    """Let a library cell use a name that an earlier cell has given another value."""
    nb.cells[2].update(source=f"from dsod_d2l.boxes import iou\n{source}")
    nb.cells[3].update(source="def f(a):\n    return iou(a, a)",
                       metadata={"tags": ["library:m.f"]})


@pytest.mark.parametrize("breach, said", BREACHES, ids=[said for _, said in BREACHES])
def test_a_breach_is_noticed(breach, said):
    nb = small_notebook()
    breach(nb)
    assert any(said in sentence for sentence in rules.problems(nb)), rules.problems(nb)


@pytest.mark.parametrize("before, cell", [
    ("from dsod_d2l.boxes import iou", "def f(a):\n    return iou(a, a)"),
    ("import math", "from dsod_d2l.boxes import iou\ndef f(a):\n    return iou(a, math.pi)"),
    ("%time\nimport cv2", "class f:\n    def g(self):\n        return [cv2.flip(x) for x in (1, self)]"),
    ("import cv2", "def f(a):\n    return 1 if a else f(1)"),
])
def test_a_library_cell_may_use_what_is_there(before, cell):
    nb = small_notebook()
    nb.cells[2].update(source=before)
    nb.cells[3].update(source=cell, metadata={"tags": ["library:m.f"]})
    assert not list(rules.library_cells_run_where_they_stand(nb))


def test_the_chapters_that_teach_the_workbench_may_use_it():
    nb = small_notebook()
    nb.cells[3].update(source="import dsod_d2l.workbench.video")
    assert not rules.problems(nb, "13_your_data")
    assert rules.problems(nb, "12_augmentation")


def test_docstrings_and_annotations_do_not_count():
    bare = rules.definition("def f(a, b=1):\n    return a\n", "f")
    dressed = "def f(a: int, b: int = 1) -> int:\n    '''Do.'''\n    # why\n    return a\n"
    assert rules.definition(dressed, "f") == bare
    assert rules.definition("def f(a, b=2):\n    return a\n", "f") != bare
    assert rules.definition("def f(a, b=1):\n    return b\n", "f") != bare


# ---- staleness -----------------------------------------------------------------------

def package(folder, **files):
    """Write a small package named as ours; return its parent folder."""
    (folder / "dsod_d2l").mkdir(exist_ok=True)
    for name, text in {"__init__": "", "c": "", **files}.items():
        (folder / "dsod_d2l" / f"{name}.py").write_text(text)
    return folder


def test_the_digest_follows_imports_and_code_alone(tmp_path):
    nb = new_notebook(cells=[new_code_cell("from dsod_d2l.a import f")])
    files = {"a": "from . import b\n", "b": "'''Doc.'''\nX = 1\n", "c": "Y = 1\n"}
    before = run_notebooks.digest(nb, package(tmp_path, **files))
    reached = [file.stem for file in run_notebooks.library_files(nb, tmp_path)]
    assert reached == ["__init__", "a", "b"]
    same = [{"c": "Y = 2\n"}, {"b": "'''Other.'''\n\n# why\nX = 1\n"}]
    other = [{"b": "'''Doc.'''\nX = 2\n"}, {"__init__": "Z = 1\n"}, {"a": "from . import b, c\n"}]
    for change in same:
        assert run_notebooks.digest(nb, package(tmp_path, **{**files, **change})) == before
    for change in other:
        assert run_notebooks.digest(nb, package(tmp_path, **{**files, **change})) != before


def test_a_package_that_imports_by_name_counts_whole(tmp_path):
    package(tmp_path, __init__="def __getattr__(name):\n    return import_module(name)\n", b="")
    nb = new_notebook(cells=[new_code_cell("import dsod_d2l")])
    reached = [file.stem for file in run_notebooks.library_files(nb, tmp_path)]
    assert reached == ["__init__", "b", "c"]


@pytest.mark.parametrize("source", ["import dsod_d2l.a", "from dsod_d2l import a",
                                    "import dsod_d2l\ndsod_d2l.a.f(1)", "%time\nimport dsod_d2l.a"])
def test_every_way_to_import_is_seen(tmp_path, source):
    package(tmp_path, a="")
    nb = new_notebook(cells=[new_code_cell(source)])
    assert "a" in [file.stem for file in run_notebooks.library_files(nb, tmp_path)]


def test_running_stores_what_it_compares(tmp_path):
    path = tmp_path / "x.ipynb"
    nb = new_notebook(cells=[new_code_cell("print('a')\nprint('b')\n6 * 7")])
    nbformat.write(nb, path)
    assert run_notebooks.check_all([path]) == 1
    assert run_notebooks.run_all([path], timeout=60) == 0
    first = path.read_bytes()
    assert run_notebooks.check_all([path]) == 0
    assert run_notebooks.run_all([path], timeout=60) == 0
    assert path.read_bytes() == first
    cell = nbformat.read(path, 4).cells[0]
    assert cell.outputs[0].text == "a\nb\n" and cell.outputs[1].data["text/plain"] == "42"
    assert cell["id"] == nb.cells[0]["id"]


def test_a_failing_notebook_is_not_written(tmp_path, capsys):
    path = tmp_path / "x.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert run_notebooks.run_all([path], timeout=60) == 1
    assert path.read_bytes() == before and "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_has_a_digit_to_compare(path):
    shown = "".join(rules.text_of(out) for _, cell in rules.code_cells(nbformat.read(path, 4))
                    if rules.shows_text(cell) for out in cell.outputs)
    assert any(letter.isdigit() for letter in shown)


# ---- the pages ---------------------------------------------------------------------------

class References(HTMLParser):
    """Collects what a page loads by itself, and the local pages that it links to."""

    def __init__(self, page):
        super().__init__()
        self.loads, self.links, self.images, self.places = [], [], [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places.add(found.get("id"))
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "prefetch"):
            self.loads.append(found.get("href") or "")
        elif found.get("src"):
            self.loads.append(found["src"])
        if tag == "img":
            self.images.append(found)


def listed_pages(pages):
    """Return the pages of the table of contents."""
    return [pages / f"{name}.html" for name in listed_names()]


def test_what_pages_load_and_link_to_is_there(pages):
    missing = []
    for page in listed_pages(pages):
        found = References(page)
        for url in found.loads + found.links:
            parts = urlsplit(url)
            if parts.path and not parts.scheme and not parts.netloc:
                if not (page.parent / unquote(parts.path)).exists():
                    missing.append(f"{page.name}: {url}")
    assert not missing


def lost_places(page):
    """Return the links of a page to a place, in it or in another page, that is not there."""
    lost = []
    for url in References(page).links:
        parts = urlsplit(url)
        there = page.parent / unquote(parts.path) if parts.path else page
        if parts.fragment and not parts.netloc and there.suffix == ".html":
            if unquote(parts.fragment) not in References(there).places | {"top"}:
                lost.append(f"{page.name}: {url}")
    return lost


def test_links_to_a_place_in_a_page_find_it(pages):
    assert not [link for page in listed_pages(pages) for link in lost_places(page)]


def test_a_lost_place_is_noticed(tmp_path):
    (tmp_path / "b.html").write_text('<h2 id="there">x</h2>')
    page = tmp_path / "a.html"
    page.write_text('<a href="b.html#there">1</a><a href="b.html#gone">2</a><a href="#no">3</a>')
    assert lost_places(page) == ["a.html: b.html#gone", "a.html: #no"]


def test_every_picture_has_an_alternative_text(pages):
    bare = [f"{page.name}: {image.get('src')}" for page in listed_pages(pages)
            for image in References(page).images
            if len(image.get("alt") or "") < 10 or "_images/" in (image.get("alt") or "")]
    assert not bare
