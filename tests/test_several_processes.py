"""How the tests run: several files at a time, the longest first; what is said at the end."""
import importlib.util
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import conftest as shared
import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.fixture
def outer():
    """Return the settings of the root, which share their name with those of this folder."""
    spec = importlib.util.spec_from_file_location("outer", ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_longest_files_are_there_and_come_first(outer, monkeypatch):
    there = {path.name for folder in ("tests", "book") for path in (ROOT / folder).iterdir()}
    assert set(outer.LONGEST) <= there and len(set(outer.LONGEST)) == len(outer.LONGEST)
    names = ["test_boxes.py", outer.LONGEST[1], "test_anchors.py", outer.LONGEST[0], outer.LONGEST[1]]
    items = [types.SimpleNamespace(path=Path(name)) for name in names]
    monkeypatch.setattr(outer, "SEVERAL", True)
    outer.pytest_collection_modifyitems(items)
    assert [item.path.name for item in items] == [
        outer.LONGEST[0], outer.LONGEST[1], outer.LONGEST[1], "test_boxes.py", "test_anchors.py"]


TRIAL = """
import os

def test_a():
    assert os.environ.get("OMP_NUM_THREADS") == {threads!r}
    open({folder!r} + "/" + os.environ.get("PYTEST_XDIST_WORKER", "alone"), "w").close()
"""


@pytest.mark.parametrize("several, threads, processes", [
    (["-n", "2", "--dist", "loadfile"], "1", ["gw0", "gw1"]), (["-n", "0"], "7", ["alone"])])
def test_a_process_takes_whole_files_and_one_thread(tmp_path, several, threads, processes):
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "out").mkdir()
    for name in ("test_x.py", "test_y.py"):
        (tmp_path / name).write_text(TRIAL.format(threads=threads, folder=str(tmp_path / "out")))
    own = {name: value for name, value in os.environ.items()
           if not name.startswith("PYTEST_XDIST") and name != "OMP_NUM_THREADS"}
    if several[1] == "0":
        own["OMP_NUM_THREADS"] = "7"         # a reader's own number stays
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *several,
                           "--rootdir", str(tmp_path), str(tmp_path)], capture_output=True, text=True,
                          cwd=tmp_path, env={**own, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == processes


def test_the_targets_take_several_processes_and_leave_out_what_is_slow():
    assert re.search(r"^PYTEST := .* -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder$",
                     MAKEFILE, re.M)
    target = {name: line for name, line in re.findall(r"^(test[\w-]*):.*\n\t(.*)", MAKEFILE, re.M)}
    assert '-m "not slow"' in target["test"] and "slow" not in target["test-all"]
    assert target["test"].replace('-m "not slow" ', "") == target["test-all"]
    assert "make test-all" in (ROOT / ".ci" / "run").read_text()


def test_what_is_skipped_for_want_of_a_browser_is_one_line():
    reports = [types.SimpleNamespace(longrepr=("file", 1, f"Skipped: {shared.NO_CHROMIUM}"))] * 3
    other = types.SimpleNamespace(longrepr=("file", 1, "Skipped: gluoncv is not installed"))
    line = shared.without_browser([*reports, other])
    assert line.startswith("3 tests of the pages were skipped: ") and "called chromium" in line
    assert shared.without_browser([other]) is None


@pytest.mark.parametrize("ours, theirs, failed", [(1, 2, False), (1, 9000, True), (9000, 1, True)])
def test_the_largest_process_is_what_is_limited(monkeypatch, ours, theirs, failed):
    monkeypatch.setattr(shared, "peaks", {})
    monkeypatch.setattr(shared, "most_memory", lambda: ours)
    gateway = types.SimpleNamespace(id="gw0")
    shared.pytest_testnodedown(types.SimpleNamespace(gateway=gateway, workeroutput={"MiB": theirs}))
    session = types.SimpleNamespace(config=types.SimpleNamespace(), exitstatus=0)
    shared.pytest_sessionfinish(session)
    assert (session.exitstatus == pytest.ExitCode.TESTS_FAILED) == failed
