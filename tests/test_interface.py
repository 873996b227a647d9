"""The page of the interface is what the docstrings say; the tools are configured once."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import dsod_d2l
from tools import write_interface

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_is_what_the_docstrings_say():
    done = subprocess.run([sys.executable, "tools/write_interface.py", "--check"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_noticed(tmp_path, monkeypatch):
    stale = tmp_path / "interface.md"
    monkeypatch.setattr(write_interface, "PAGE", stale)
    monkeypatch.setattr(sys, "argv", ["write_interface.py", "--check"])
    with pytest.raises(SystemExit, match="not what the docstrings say"):
        write_interface.main()
    stale.write_text(write_interface.page().replace("dd.evaluate(", "dd.judge("))
    with pytest.raises(SystemExit, match="not what the docstrings say"):
        write_interface.main()


def test_every_name_of_the_face_and_of_the_module_is_on_the_page():
    text = write_interface.page()
    assert [name for name in dsod_d2l.__all__ if f"### `{name}`" not in text] == []
    for name in ("detection.nms", "boxes.iou", "anchors.map_anchors", "models.DSOD"):
        room, _, own = name.partition(".")
        part = text.partition(f"### `dsod_d2l.{room}`")[2].partition("\n### ")[0]
        assert f"- `{own}(" in part
    assert "workbench.runs" not in text and " at 0x" not in text


def test_a_name_that_no_group_has_is_said(monkeypatch):
    monkeypatch.setattr(write_interface, "GROUPS", {"All": ["fit"]})
    monkeypatch.setattr(sys, "argv", ["write_interface.py", "--check"])
    with pytest.raises(SystemExit, match="lacks .*evaluate"):
        write_interface.main()


def example(first, *rest, second=1, **more):
    """Do ``this`` and ``a_b``, once_in a line.

    Args:
        first: 3 * 4 numbers,
            and more.
        second, more: two.

    Returns:
        Nothing.
    """


def test_a_signature_and_an_explanation():
    assert write_interface.signature("f", example) == "f(first, *rest, second=1, **more)"
    assert write_interface.first(example) == "Do `this` and `a_b`, once\\_in a line."
    assert write_interface.entries(example) == [
        ("first", "3 * 4 numbers,\n    and more."), ("second, more", "two.")]


# ---- the tools that check code -------------------------------------------------------

def pins():
    return dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.M))


def test_what_checks_code_is_pinned_and_configured_and_run():
    makefile = (ROOT / "Makefile").read_text()
    lint = re.search(r"^lint:.*?\n\n", makefile, re.M | re.S)[0]
    settings = (ROOT / "pyproject.toml").read_text()
    for tool in ("ruff", "isort", "mypy"):
        assert tool in pins() and f"[tool.{tool}]" in settings and f"bin/{tool}" in lint
    assert "tools/house.py" in lint and re.search(r"^check: lint", makefile, re.M)
    assert "pre_commit" in pins() and re.search(r"^quick: lint", makefile, re.M)


def test_pre_commit_runs_the_same_and_fetches_nothing():
    pre_commit = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    repo, = pre_commit["repos"]
    assert repo["repo"] == "local"
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    assert {hook["id"] for hook in repo["hooks"]} == {"ruff", "isort", "mypy", "house",
                                                      "interface"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repo["hooks"])


def test_the_quick_job_stays_below_five_minutes():
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    job = flow["jobs"]["quick"]
    assert job["timeout-minutes"] <= 5 and "test" in flow["jobs"]
    assert job["steps"][-1]["run"].startswith("make quick")


def test_the_types_travel_with_the_package():
    assert (ROOT / "dsod_d2l" / "py.typed").is_file()
    assert 'dsod_d2l = ["py.typed", ' in (ROOT / "pyproject.toml").read_text()
