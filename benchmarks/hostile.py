"""Give every reader thousands of damaged and hostile files.

Each reader gets its files in a process of its own, with little memory and a
few seconds of computing time for each file. A reader may return, or raise a
ValueError or an OSError of one line that names the file. Anything else is a
failure: another error, a process that ends, one that takes too long or too
much memory, a payload that was run, another file that was shown.

    python benchmarks/hostile.py              10,000 files for each reader
    python benchmarks/hostile.py --only png --files 500
    python benchmarks/hostile.py --only png --at 1234      one file, in full
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

import common
import hostile_mutations as mutations
import hostile_readers

SEED = 5
ROOM = 3 << 29          # bytes of address space beyond those at the start
SECONDS = 5             # of computing, for one file
PATIENCE = 300          # seconds without a word before a process is ended
SHOWN = 5               # failures of a reader that the result describes


def file_of(target, number, name):
    """Return the bytes of one mutated file."""
    place = list(hostile_readers.READERS).index(name)
    rng = np.random.default_rng([SEED, place, number])
    return mutations.mutated(target.seeds, rng, target.structured)


def verdict(target, names):
    """Read the file that lies there; return what came of it.

    Args:
        target: ``hostile_readers.Target``.
        names: of the files one of which an error has to name.

    Returns:
        (kind, failure): "accepted" or the name of an error; None or a text.
    """
    try:
        target.read()
    except (ValueError, OSError) as error:
        text = str(error)
        failure = None
        if "\n" in text or len(text) > 1000:
            failure = f"not one line: {text[:200]!r}"
        elif "MemoryError" in text:
            failure = f"too much memory: {text[:200]!r}"
        elif not any(name in text for name in names):
            failure = f"does not name the file: {text[:200]!r}"
        elif "SECRET" in text:
            failure = f"shows another file: {text[:200]!r}"
        return type(error).__name__, failure
    except BaseException as error:
        return type(error).__name__, f"{type(error).__name__}: {error}"[:300]
    return "accepted", None


def limit_memory():
    """Allow this process a bounded part of memory beyond what it has."""
    if resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY:
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def child(names, start, stop, folder):
    """Give readers the files from ``start`` to ``stop`` in this process."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    for name in names:
        place = Path(folder, name)
        place.mkdir()
        os.chdir(place)
        read_files(name, start, stop, place)


def read_files(name, start, stop, folder):
    """Read the files of one reader; print a line of JSON for each."""
    target = hostile_readers.READERS[name](folder)
    for seed in target.seeds:       # what is sound is read
        target.path.write_bytes(seed)
        target.read()
    names = {path.name for path in folder.rglob("*")} | {folder.name}
    limit_memory()
    for number in range(start, stop):
        target.path.write_bytes(file_of(target, number, name))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)      # ends the process
        begin = time.process_time()
        kind, failure = verdict(target, names)
        elapsed = time.process_time() - begin
        signal.setitimer(signal.ITIMER_PROF, 0)
        if Path(mutations.CANARY).exists():
            failure, _ = "a payload was run", os.rmdir(mutations.CANARY)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([number, kind, failure, elapsed, peak, name]),
              flush=True)


def answers(name, start, stop):
    """Yield what a child prints; last (None, exit code)."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", name, str(start), str(stop),
             folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True)
        lines = queue.Queue()

        def listen():
            for line in process.stdout:
                lines.put(line)
            lines.put(None)
        threading.Thread(target=listen, daemon=True).start()
        try:
            while (line := lines.get(timeout=PATIENCE)) is not None:
                yield json.loads(line)
        except queue.Empty:
            process.kill()
        yield None, process.wait()


def measure(name, files):
    """Give a reader its files; return a dictionary of what came of them."""
    kinds, failures, ends = Counter(), [], Counter()
    times, peaks, number = [], [], 0
    while number < files:
        for found in answers(name, number, files):
            if found[0] is not None:
                number = found[0] + 1
                kinds[found[1]] += 1
                if found[2]:
                    failures.append([found[0], found[2]])
                times.append(found[3])
                peaks.append(found[4])
            elif number < files:
                code = found[1]
                if not times and code > 0:
                    raise RuntimeError(f"{name} cannot begin: run it with "
                                       f"--at {number} to see why")
                ends["hang" if code == -signal.SIGPROF else "crash"] += 1
                failures.append([number, f"the process ended: {code}"])
                number += 1
    return {"files": files, "accepted": kinds.pop("accepted", 0),
            "refused": sum(kinds.values()), "errors": dict(sorted(
                kinds.items())), "crashes": ends["crash"],
            "hangs": ends["hang"], "failures": len(failures),
            "first_failures": failures[:SHOWN],
            "slowest_ms": round(1000 * max(times, default=0), 1),
            "mean_ms": round(1000 * float(np.mean(times or [0])), 2),
            "growth_mb": round((max(peaks) - peaks[0]) / 1024, 1)
            if peaks else None}


def show(name, number):
    """Read one file in this process, and let its error be seen in full."""
    import dsod_d2l  # noqa: F401
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        os.chdir(folder)
        target = hostile_readers.READERS[name](Path(folder))
        data = file_of(target, number, name)
        target.path.write_bytes(data)
        print(f"{len(data)} bytes: {data[:300]!r}")
        target.read()
        print("accepted")


def main():
    """Run the command line; return 1 if any reader failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", metavar="READER",
                        choices=list(hostile_readers.READERS))
    parser.add_argument("--at", type=int, help="show this file alone")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, start, stop, folder = options.child
        return child(name.split(","), int(start), int(stop), folder)
    names = options.only or list(hostile_readers.READERS)
    if options.at is not None:
        return show(names[0], options.at)
    figures = {}
    for name in names:
        common.note(f"{name} ...")
        figures[name] = found = measure(name, options.files)
        common.note(f"  accepted {found['accepted']}, refused "
                    f"{found['refused']}, failures {found['failures']}, "
                    f"slowest {found['slowest_ms']} ms, grown by "
                    f"{found['growth_mb']} MB")
        for number, text in found["first_failures"]:
            common.note(f"  --only {name} --at {number}: {text}")
    options.quick, options.rounds = options.files < 10_000, 1
    if not options.only:
        common.save("hostile", {
            "config": {"files": options.files, "room_mb": ROOM >> 20,
                       "seconds": SECONDS}, "seed": SEED,
            "figures": figures}, options)
    return any(found["failures"] for found in figures.values())


if __name__ == "__main__":
    sys.exit(main())
