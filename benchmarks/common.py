"""What all benchmarks share: settings in their own processes, and results.

A script names its settings. Each one is measured in a process of its own, in
rounds: all settings once, then all again in the opposite order, so that a
machine that slows down slows all of them. A ratio is formed within a round;
what is reported is the median over the rounds, with the least and the most.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results"
PACKAGES = ("mxnet", "numpy", "opencv-python-headless", "d2l", "pycocotools")
# A reader's own settings of the libraries must not reach a measurement.
PRIVATE = ("OMP_", "GOMP_", "KMP_", "MXNET_", "MKLDNN_", "DNNL_")
LEVELS = (("AVX-512", "avx512f"), ("AVX2", "avx2"), ("AVX", "avx"),
          ("SSE4.1", "sse4_1"))


def cores():
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start(description, children, measure):
    """Run a benchmark's command line.

    Args:
        description: the script's docstring.
        children: {name: function}, what a process of its own can be asked
            for; each takes a dictionary and returns one, JSON-ready.
        measure: called with the options in the parent process; returns the
            payload for ``save`` and the text to print.
    """
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--out", type=Path, default=RESULTS,
                        help="folder for the result (default data/results)")
    parser.add_argument("--quick", action="store_true",
                        help="tiny sizes, one round: only tries the script")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, job = options.child
        print(json.dumps(children[name](json.loads(job))))
        return
    options.rounds = 1 if options.quick else options.rounds
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, found {options.rounds}")
    with tempfile.TemporaryDirectory() as folder:
        options.folder = folder
        payload, text = measure(options)
    print(text)
    save(Path(sys.argv[0]).stem, payload, options)


def child(name, job, threads=None, environment=None):
    """Do one job in a new process, and return its answer.

    Args:
        name: key of the script's ``children``.
        job: dictionary, JSON-ready.
        threads: OMP_NUM_THREADS there; None: left to the library.
        environment: further variables.

    Raises:
        RuntimeError: the process failed; with the end of its messages.
    """
    variables = {key: value for key, value in os.environ.items()
                 if not key.startswith(PRIVATE)}
    variables["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if threads:
        variables["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, sys.argv[0], "--child", name, json.dumps(job)]
    done = subprocess.run(command, env={**variables, **(environment or {})},
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} with {job} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rounds(settings, count):
    """Measure all settings in interleaved rounds.

    Args:
        settings: {name: function without arguments that returns an answer}.
        count: number of rounds.

    Returns:
        {name: list of answers, one per round}.
    """
    answers = {name: [] for name in settings}
    for turn in range(count):
        names = list(settings)[::-1] if turn % 2 else list(settings)
        for name in names:
            note(f"round {turn + 1} of {count}: {name}")
            answers[name].append(settings[name]())
    return answers


class Kept:
    """Answers of long runs, in a file, so that a script can be stopped.

    Args:
        path: JSON file, made when there is something to keep; None: nothing
            outlives the process.
    """

    def __init__(self, path=None):
        self.path = path
        self.answers = {}
        if path and path.exists():
            self.answers = json.loads(path.read_text(encoding="utf-8"))

    def once(self, name, work):
        """Return the answer that is kept, or do the work and keep it."""
        if name not in self.answers:
            self.answers[name] = work()
            note(f"{name}: {self.answers[name]}")
            if self.path:
                write(self.path, self.answers)
        return self.answers[name]


def write(path, facts):
    """Write JSON in one go: a reader never sees half of it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def note(text):
    """Tell whoever waits what is being done."""
    print(text, file=sys.stderr, flush=True)


def clock(function, times, warm=2):
    """Return the seconds of each of ``times`` calls, after ``warm`` ones.

    The function must return only when all its work is done.
    """
    for _ in range(warm):
        function()
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return seconds


def spread(values, digits=4):
    """Return median, least and most of some numbers, rounded.

    >>> spread([1.0, 4.0, 2.0])
    {'median': 2.0, 'least': 1.0, 'most': 4.0}
    """
    def rounded(value):
        return float(f"{value:.{digits}g}")
    return {"median": rounded(np.median(values)),
            "least": rounded(np.min(values)), "most": rounded(np.max(values))}


def ratio(over, under):
    """Return the spread of ratios, each formed within one round.

    >>> ratio([2.0, 9.0], [1.0, 3.0])
    {'median': 2.5, 'least': 2.0, 'most': 3.0}
    """
    return spread(np.divide(over, under))


def difference(first, second):
    """Return the largest difference of two arrays over the largest value."""
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        raise ValueError(f"the shapes differ: {first.shape}, {second.shape}")
    if not first.size:
        return 0.0
    return float(np.abs(first - second).max() / max(np.abs(first).max(), 1e-9))


def agree(name, first, second, tolerance):
    """Return the difference of two results.

    Raises:
        ValueError: it exceeds the tolerance: what was timed is not the same.
    """
    found = difference(first, second)
    if not found <= tolerance:
        raise ValueError(f"{name}: the results differ by {found:.2g}, "
                         f"expected at most {tolerance:g}")
    return float(f"{found:.2g}")


def table(rows, head):
    """Return rows as text in columns; a spread is shown by its median."""
    def plain(value):
        if isinstance(value, dict):
            return f"{value['median']:.4g} ({value['least']:.3g}" \
                   f" to {value['most']:.3g})"
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    cells = [list(map(str, head))] + [list(map(plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width
                               in zip(row, widths)).rstrip() for row in cells)


def save(name, payload, options):
    """Write ``name``.json with the payload and all that explains it."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{name}.json"
    facts = {"benchmark": name, "quick": options.quick,
             "rounds": options.rounds, **payload, "command": command(),
             **commit(), "date": _today(), "machine": machine(),
             "versions": versions()}
    write(path, facts)
    note(f"written: {path.name}")


def command():
    """Return the command that was given, without absolute paths."""
    words = [Path(word).name if os.path.isabs(word) else word
             for word in sys.argv[1:]]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}",
                       *words])


def commit():
    """Return the commit, and whether the code that runs differs from it."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", "dsod_d2l", "benchmarks")
    return {"commit": head or None,
            "dirty": None if changes is None else bool(changes)}


def _git(*words):
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, text=True,
                              capture_output=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _today():
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def machine():
    """Return what of the machine matters for speed."""
    flags = set()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        flags.update(next(line for line in text.splitlines()
                          if line.startswith("flags")).split())
    except (OSError, StopIteration):
        pass
    level = next((name for name, flag in LEVELS if flag in flags), None)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cores": cores(), "cpu_level": level,
            "architecture": platform.machine(), "system": platform.system(),
            "load_at_end": load and round(load, 2)}


def versions():
    """Return the versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
