"""How many files one piece of work passes: tools/trace.py keeps its limits."""
import subprocess
import sys
from pathlib import Path

import pytest

from tools import trace

pytestmark = pytest.mark.slow     # kernels, launchers and interpreters of their own

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("work", trace.WORKS)
def test_a_reader_has_to_know_few_files(work):
    """In a process of its own: what others have imported or kept is no matter."""
    done = subprocess.run([sys.executable, "tools/trace.py", work], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    files = [line.split(":")[0] for line in done.stdout.splitlines()[:-1]]
    assert len(files) == len(set(files)) <= trace.LIMITS[work]
    assert {"step": "training.py", "image": "detection.py"}[work] in files


def test_what_is_passed_is_what_is_called(tmp_path):
    source = tmp_path / "rooms.py"
    source.write_text("def one():\n    return two() + two()\n\n\ndef two():\n    return 1\n")
    room = {}
    exec(compile(source.read_text(), str(source), "exec"), room)
    calls = trace.passed(lambda: room["one"]() + len("ab"), tmp_path)
    assert calls == {("rooms.py", "one"): 1, ("rooms.py", "two"): 2}
    assert trace.report(calls) == "rooms.py: one, two"
    assert trace.passed(room["one"], tmp_path / "elsewhere") == {}


def test_too_many_files_are_refused(monkeypatch, capsys):
    monkeypatch.setitem(trace.LIMITS, "step", 1)
    monkeypatch.setitem(trace.WORKS, "step", lambda: {("a.py", "f"): 1, ("b.py", "g"): 2})
    monkeypatch.setattr(sys, "argv", ["trace.py", "step"])
    with pytest.raises(SystemExit) as ended:
        trace.main()
    assert ended.value.code == 1 and "2 of 1 files" in capsys.readouterr().out
