"""Benchmarks: every script runs, and its implementations agree."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dsod_d2l import models
from tools import measured_clusters

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
SCRIPTS = ("augmentation", "evaluation", "geometry", "loader", "opening",
           "scaling", "step")


def load(name, monkeypatch):
    """Import a module of the benchmarks, which are no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def common(monkeypatch):
    return load("common", monkeypatch)


@pytest.fixture(scope="module", params=SCRIPTS)
def result(request, tmp_path_factory):
    """Return what a script wrote, as text, and what it printed."""
    out = tmp_path_factory.mktemp(request.param)
    done = subprocess.run(
        [sys.executable, f"benchmarks/{request.param}.py", "--quick",
         "--out", str(out)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert [file.name for file in out.iterdir()] == [f"{request.param}.json"]
    return (out / f"{request.param}.json").read_text(), done.stdout


def numbers(value):
    """Yield every number in nested lists and dictionaries."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, (int, float)):
        yield value


def test_what_is_kept_is_not_done_again(common, tmp_path):
    path = tmp_path / "kept.json"
    assert common.Kept(path).once("one", lambda: {"AP": 0.5}) == {"AP": 0.5}
    again = common.Kept(path)
    assert again.once("one", lambda: pytest.fail("done again")) == {"AP": 0.5}
    assert again.once("two", lambda: 2) == 2
    assert common.Kept(path).answers == {"one": {"AP": 0.5}, "two": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]
    assert common.Kept().once("one", lambda: 1) == 1


@pytest.mark.slow
def test_a_result_explains_itself(result):
    facts = json.loads(result[0])
    assert facts["quick"] is True and facts["rounds"] == 1
    assert {"config", "seed", "commit", "dirty", "command", "date",
            "machine", "versions", "figures", "differences"} <= set(facts)
    assert facts["machine"]["cores"] >= 1
    assert facts["versions"]["mxnet"] == "1.9.1"
    assert re.match(r"python benchmarks/\w+\.py --quick --out \w+$",
                    facts["command"])


def test_a_result_names_no_machine_and_no_folder(result):
    text = result[0]
    assert str(ROOT) not in text and str(Path.home()) + "/" not in text
    assert socket.gethostname() not in text
    assert not re.search(r'"/\w|[A-Z]:\\\\', text)


def test_all_figures_are_positive_numbers(result):
    found = list(numbers(json.loads(result[0])["figures"]))
    assert len(found) > 10
    assert np.isfinite(found).all() and min(found) > 0


def test_the_implementations_agree(result):
    facts = json.loads(result[0])
    found = facts["differences"]
    if facts["benchmark"] in ("augmentation", "loader"):
        assert found.pop("batches_equal") is True
    differences = list(numbers(found))
    assert len(differences) >= 5 and max(differences) <= 1e-4
    assert len(result[1].splitlines()) > 5          # the table
    if facts["benchmark"] == "scaling":
        assert "| `dsod_tiny` | 5.1 MB |" in measured_clusters.scaling(facts)


def test_relatives_have_equal_time_and_the_best_go_on(monkeypatch, tmp_path):
    """The children are made up: a pace in alphabetical order, the AP too."""
    relatives = load("relatives", monkeypatch)
    ranks = {name: k for k, name in enumerate(sorted(relatives.MODELS), 1)}
    asked = []

    def child(task, job, threads):
        asked.append(job)
        rank = ranks[job["model"]]
        if task == "timed":
            return {"latency": float(rank)}
        return {"pace": rank / 10, "steps": job.get("steps"),
                "AP": rank / 10, "AP50": 1.0}
    monkeypatch.setattr(relatives.common, "child", child)
    monkeypatch.setattr(sys, "argv", ["relatives.py", "--out", str(tmp_path),
                                      "--keep", str(tmp_path / "kept")])
    relatives.main()
    asked_first, asked = asked, []
    relatives.main()                     # all of it is in the kept file
    assert asked_first and not asked
    found = json.loads((tmp_path / "relatives.json").read_text())["figures"]
    best = sorted(ranks, key=ranks.get, reverse=True)
    assert list(found["pikachu"]) == best
    assert list(found["bccd"]) == best[:4]
    for name, one in found["pikachu"].items():
        assert one["steps"] == int(20 * 60 / (ranks[name] / 10))
        cost = found["costs"][name]
        assert cost["milliseconds"]["median"] == ranks[name]
        net = models.build(name, 1)
        assert cost["parameters"] == models.count_parameters(net)


def test_disagreement_stops_a_benchmark(common):
    with pytest.raises(ValueError, match="scores: the results differ by 0.5"):
        common.agree("scores", [2.0, 1.0], [1.0, 1.0], 1e-4)
    with pytest.raises(ValueError, match="differ by nan"):
        common.agree("scores", [np.nan], [1.0], 1e-4)
    with pytest.raises(ValueError, match="shapes differ"):
        common.agree("scores", [1.0], [1.0, 1.0], 1e-4)
    assert common.agree("scores", [2.0], [2.0], 0) == 0


def test_rounds_are_interleaved_and_turned(common):
    seen = []
    answers = common.rounds({name: lambda name=name: seen.append(name)
                             or len(seen) for name in "abc"}, 2)
    assert "".join(seen) == "abccba"
    assert answers == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}
    assert common.ratio(answers["a"], answers["b"])["most"] == 1.2


def test_a_failing_child_says_why(common, monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no such thing')")
    monkeypatch.setattr(sys, "argv", [str(script)])
    with pytest.raises(RuntimeError, match="no such thing"):
        common.child("task", {"size": 1})


def test_a_child_has_only_the_settings_it_is_given(common, monkeypatch,
                                                   tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import json, os\nprint(json.dumps(dict(os.environ)))")
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("MXNET_ENGINE_TYPE", "NaiveEngine")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = common.child("task", {}, threads=3, environment={"GOMP_X": "1"})
    assert found["OMP_NUM_THREADS"] == "3" and found["GOMP_X"] == "1"
    assert "MXNET_ENGINE_TYPE" not in found
    assert "OMP_NUM_THREADS" not in common.child("task", {})


def test_multiply_adds_are_counted_by_the_shapes(monkeypatch):
    load("common", monkeypatch)
    step = load("step", monkeypatch)
    from mxnet.gluon import HybridBlock, nn

    class Net(HybridBlock):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2D(8, 3, 2, 1, in_channels=3)
            self.one = nn.Conv2D(6, 1, in_channels=8)
            self.two = nn.Conv2D(4, (3, 5), groups=2, in_channels=8)

        def hybrid_forward(self, F, x):
            x = self.body(x)
            return self.one(x), self.two(x)

    body = 8 * (6 * 10) * 3 * 9          # (12, 20) halves to (6, 10)
    one = 6 * (6 * 10) * 8
    two = 4 * (4 * 6) * 4 * 15           # no padding; four inputs a group
    net = Net()
    assert step.multiply_adds(net, (1, 3, 12, 20)) == body + one + two
    assert step.multiply_adds(net, (3, 3, 12, 20)) == 3 * (body + one + two)


@pytest.mark.slow
def test_bfloat16_is_near_float32(tmp_path):
    done = subprocess.run(
        [sys.executable, "benchmarks/precision.py", "--quick", "--out",
         str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    facts = json.loads((tmp_path / "precision.json").read_text())
    found = facts["figures"]
    assert "| `dsod_tiny`, 8 | training |" in measured_clusters.precision(facts)
    assert set(found) == {"dsod_tiny, inference", "dsod_tiny, training"}
    for name, one in found.items():
        assert 0 < one["largest_difference"] < (0.1 if "inference" in name
                                                else 0.3)   # after steps
