"""Faults planted in copies of the chapters: a changed digit, source, library or picture is caught.

nbval's own comparison is asked about every digit that is stored, without running the
chapters; one chapter is then run by nbval from end to end.
"""
import base64
import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import notebook_rules as rules
from tools import run_notebooks
from tools.marked_numbers import agreed, agreed_outputs

pytestmark = pytest.mark.slow     # kernels, launchers and interpreters of their own

nbval_plugin = pytest.importorskip("nbval.plugin")

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = run_notebooks.chapters()
SHORT = ROOT / "book" / "02_predictors.ipynb"  # the one that is run


@pytest.fixture(params=CHAPTERS, ids=[path.stem for path in CHAPTERS])
def path(request):
    return request.param


# ---- what nbval compares -----------------------------------------------------------------

@pytest.fixture
def nbval_cells(request, monkeypatch):
    """Return a function from a notebook to its cells as nbval collects them, its settings ours."""
    monkeypatch.setattr(request.config.option, "nbval_sanitize_with", str(run_notebooks.SANITISE))

    def collect(path):
        file = nbval_plugin.IPyNbFile.from_parent(request.session, path=path)
        file.setup_sanitize_files()
        return list(file.collect())
    return collect


def mutants(outputs):
    """Yield (what was changed, outputs) with one digit of one stored text changed at a time."""
    for number, out in enumerate(outputs):
        fields = [("text",)] if out.output_type == "stream" else [
            ("data", mime) for mime in out.get("data", {}) if mime.startswith("text/")] or [
            ("evalue",), ("traceback", 0)]
        for field in fields:
            whole = out
            for name in field:
                whole = whole[name]
            for digit in re.finditer(r"\d", whole):
                other = copy.copy(whole[:digit.start()] + str((int(digit.group()) + 1) % 10)
                                  + whole[digit.end():])
                changed = [nbformat.from_dict({**out}) for out in outputs]
                place = changed[number]
                if len(field) == 2:
                    place[field[0]] = copy.copy(place[field[0]])
                    place = place[field[0]]
                place[field[-1]] = other
                yield whole[max(0, digit.start() - 20):digit.end() + 20], changed


def is_compared(cell):
    """Tell whether nbval compares what a collected cell gives."""
    return cell.options["check"] and cell.cell.outputs


def sanitised_away(cell, outputs):
    """Tell whether the settings hide the change of an output from nbval."""
    return cell.sanitize_outputs(outputs) == cell.sanitize_outputs(cell.cell.outputs)


def within_tolerance(cell, outputs):
    """Tell whether only numbers that are marked with a tolerance were changed, by less than that."""
    return agreed_outputs(copy.deepcopy(outputs), cell.cell.outputs) == cell.cell.outputs


@pytest.mark.parametrize("value, passes", [
    ("0.95", True), ("0.99", True), ("0.90", True), ("1.01", False), ("0.89", False), ("nan", False)])
def test_a_marked_number_is_compared_with_its_tolerance(tmp_path, value, passes):
    """The chapter's file holds 0.95 ± 0.05; what is computed now is another number."""
    nb = new_notebook(cells=[new_code_cell(f"print('AP50 {value} ± 0.05')", execution_count=1,
                                           outputs=[new_output("stream", text="AP50 0.95 ± 0.05\n")])])
    nbformat.write(nb, tmp_path / "x.ipynb")
    done = nbval(tmp_path / "x.ipynb")
    assert (done.returncode == 0) == passes, done.stdout


def test_a_tolerance_is_compared_as_text():
    assert agreed("0.95 ± 0.5", "0.95 ± 0.05") == "0.95 ± 0.5"
    assert agreed("a 1 ± 0.1, b 5 ± 0.1", "a 1.05 ± 0.1, b 7 ± 0.1") == "a 1.05 ± 0.1, b 5 ± 0.1"
    assert agreed("2e-07 ± 1e-05", "3e-06 ± 1e-05") == "3e-06 ± 1e-05"


def test_every_stored_digit_is_compared(path, nbval_cells):
    tried, hidden, missed = 0, 0, []
    for cell in filter(is_compared, nbval_cells(path)):
        assert cell.compare_outputs(copy.deepcopy(cell.cell.outputs), cell.cell.outputs)
        for what, changed in mutants(cell.cell.outputs):
            tried += 1
            if sanitised_away(cell, changed):
                hidden += 1
            elif cell.compare_outputs(changed, cell.cell.outputs) and not within_tolerance(
                    cell, changed):
                missed.append((cell.name, what))
    assert not missed
    assert tried > 120 and hidden < 0.02 * tried, (tried, hidden)


def test_a_dropped_output_is_noticed(path, nbval_cells):
    for cell in filter(is_compared, nbval_cells(path)):
        outputs = cell.cell.outputs
        assert not cell.compare_outputs([], outputs) and not cell.compare_outputs(outputs, [])


def test_the_cells_that_nbval_compares_are_those_that_the_rules_count(path, nbval_cells):
    collected = nbval_cells(path)
    cells = [cell for _, cell in rules.code_cells(nbformat.read(path, 4))]
    assert len(collected) == len(cells)
    for nbvals, ours in zip(collected, cells):
        assert nbvals.cell.source == ours.source
        assert not rules.shows_text(ours) or is_compared(nbvals)


def test_an_ignored_cell_is_not_compared(tmp_path, nbval_cells):
    nb = new_notebook(cells=[new_code_cell(str(number), execution_count=number + 1, outputs=[
        new_output("stream", text="7\n")]) for number in range(2)])
    nb.cells[1].metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(nb, tmp_path / "x.ipynb")
    first, second = nbval_cells(tmp_path / "x.ipynb")
    assert is_compared(first) and not is_compared(second)


# ---- the whole way, on small notebooks and one chapter ------------------------------------------

def nbval(path):
    """Run nbval on one notebook as a reader would, settings of the project included."""
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "--nbval", "-c",
                           str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "conftest",
                           "-p", "no:cacheprovider", str(path)], cwd=path.parent,
                          env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True)


def test_a_changed_digit_of_a_chapter_makes_nbval_fail(tmp_path):
    nb = nbformat.read(SHORT, 4)
    shown = [cell for _, cell in rules.code_cells(nb) if rules.shows_text(cell)]
    out = next(out for cell in reversed(shown) for out in cell.outputs
               if out.output_type == "stream" and re.search(r"\d", out.text))
    digit = re.search(r"\d", out.text)
    out.text = out.text[:digit.start()] + str((int(digit.group()) + 1) % 10) + out.text[digit.end():]
    nbformat.write(nb, tmp_path / SHORT.name)
    done = nbval(tmp_path / SHORT.name)
    count = len(rules.code_cells(nb))
    assert done.returncode == 1 and f"1 failed, {count - 1} passed" in done.stdout, done.stdout


# ---- what is stale ---------------------------------------------------------------------------------

def test_a_changed_source_is_stale(path, monkeypatch):
    monkeypatch.setattr(run_notebooks, "library_files", lambda nb, root=ROOT: [])
    nb = nbformat.read(path, 4)
    before, missed = run_notebooks.digest(nb), []
    for number, cell in rules.code_cells(nb):
        source = cell.source
        for place in {0, len(source) // 2, len(source) - 1}:
            cell.source = source[:place] + chr(ord(source[place]) ^ 1) + source[place + 1:]
            if run_notebooks.digest(nb) == before and not rules.is_setup(cell):
                missed.append((number, place))
        cell.source = source
    assert not missed and run_notebooks.digest(nb) == before


def test_the_set_up_cell_is_watched_too(path):
    nb = nbformat.read(path, 4)
    cell = rules.code_cells(nb)[0][1]
    for place in range(0, len(cell.source), 40):
        changed = copy.deepcopy(nb)
        rules.code_cells(changed)[0][1].source = cell.source[:place] + "~" + cell.source[place:]
        assert any("set-up cell" in problem for problem in rules.setup_is_the_same(changed))


def test_a_changed_library_makes_the_chapter_stale(path, tmp_path):
    """Change a number in the code of a module that the chapter reaches."""
    shutil.copytree(ROOT / "dsod_d2l", tmp_path / "dsod_d2l",
                    ignore=shutil.ignore_patterns("__pycache__"))
    nb = nbformat.read(path, 4)
    before = run_notebooks.digest(nb, tmp_path)
    files = [file for file in run_notebooks.library_files(nb, tmp_path)
             if re.search(r"= \d", run_notebooks.bare_code(file.read_text()))]
    text = files[-1].read_text()
    line = next(line for line in run_notebooks.bare_code(text).splitlines()
                if re.search(r"= \d", line))
    files[-1].write_text(text.replace(line, re.sub(r"= (\d)", r"= 1\1", line, count=1)))
    assert run_notebooks.digest(nb, tmp_path) != before


# ---- what the rules see without running anything -------------------------------------------------------

def said(nb, rule):
    return " ".join(rule(nb))


def test_removed_outputs_are_noticed(path):
    nb = nbformat.read(path, 4)
    for _, cell in rules.code_cells(nb):
        cell.outputs = []
    assert "six in ten" in said(nb, rules.enough_is_compared)


def test_a_cell_that_was_not_run_is_noticed(path):
    nb = nbformat.read(path, 4)
    for number, cell in rules.code_cells(nb):
        count, cell.execution_count = cell.execution_count, None
        assert "not executed in one go" in said(nb, rules.everything_is_run), number
        cell.execution_count = count
    assert not said(nb, rules.everything_is_run)


def test_a_destroyed_picture_is_noticed(path):
    nb = nbformat.read(path, 4)
    assert not said(nb, rules.pictures_are_whole)
    shown = 0
    for number, cell in rules.code_cells(nb):
        for mime, raw in rules.images(cell):
            shown += 1
            for broken in (raw[:len(raw) // 2], b"\0" + raw[1:]):
                alone = new_notebook(cells=[new_code_cell("1", outputs=[new_output(
                    "display_data", {mime: base64.b64encode(broken).decode()})])])
                assert "broken picture" in said(alone, rules.pictures_are_whole), number
    assert shown >= 1         # drawings are text, and have a rule of their own
