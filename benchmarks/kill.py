"""Kill training runs at random moments, resume them, and compare their ends.

A small network is trained on rendered pictures, again and again. Each run is
killed (SIGKILL) at some moment, resumed, often killed once more, and so on
until it ends. Its losses, weights, averaged weights, best model and optimiser
state are then compared, bit for bit, with those of a run that was left alone.
A share of the kills waits for a file that is just being written.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import common

sys.path.insert(0, str(common.ROOT))
os.environ["OMP_NUM_THREADS"] = "1"      # "bit for bit" is said of one core
from dsod_d2l import weights  # noqa: E402

NETWORK = dict(name_or_config="dsod_tiny", num_classes=1, stem=16,
               bottleneck=16, growth=16, layers=(1, 2, 2), second=16,
               predictions=(16, 16, 16), input_size=(80, 96))
PICTURES = 40
# Evaluation falls between checkpoints, so that a best model may be newer
# than the newest of them.
SHARED = dict(batch_size=4, warmup=4, checkpoint_every=4, held_back=0.2,
              evaluate_every=0.75, average=0.9, augment="light")
SETUPS = {
    "sgd": dict(optimiser="sgd", learning_rate=0.02, workers=0),
    "sgd, accumulate 2, one worker": dict(
        optimiser="sgd", learning_rate=0.02, accumulate=2, workers=1),
    "adam, one worker": dict(optimiser="adam", learning_rate=3e-3,
                             workers=1),
    "adam, accumulate 2, one checkpoint kept": dict(
        optimiser="adam", learning_rate=3e-3, accumulate=2, workers=0,
        keep_checkpoints=1)}
KINDS = {"time": 0.45, "write": 0.45, "start": 0.1}
TARGETS = {"step-": 0.5, "best": 0.2, "history": 0.2, "model": 0.05,
           "run": 0.05}
FRESH = 0.2            # share of starts in an interpreter of their own
NOTHING_THERE = 3      # exit code of a start that found no run to resume


def train(job):
    """Train in this process, as one start of a run."""
    from dsod_d2l import config, datasets, models
    from dsod_d2l.workbench.formats import addresses
    from dsod_d2l.workbench.runs import run_folder
    from dsod_d2l.workbench.runs.long_run import run_training
    # Drawing takes longer than a dozen steps, and is nothing to resume.
    run_folder.history_picture = lambda history: b"no picture"
    data = datasets.Subset(addresses.open_dataset("standin:train"),
                           range(PICTURES))
    settings = config.TrainConfig(**job["settings"])
    net = models.build(**NETWORK)
    os.write(job["ready"], b"!")
    try:
        run_training(net, data, settings, job["folder"], job["resume"],
                     progress=False)
    except ValueError as error:
        if not (job["resume"] and "leave out --resume" in str(error)):
            raise
        sys.exit(NOTHING_THERE)


def _train_forked(job, notes):
    os.setsid()
    os.dup2(notes, 1)
    os.dup2(notes, 2)
    train(job)


class Start:
    """A process that trains; its messages are kept in a file.

    Most are forked from this one, which has imported MXNet but has computed
    nothing with it: that saves the time of the import. A fresh one is an
    interpreter of its own.
    """

    def __init__(self, folder, settings, resume, fresh):
        self.folder, self.fresh = Path(folder), fresh
        self.notes = tempfile.TemporaryFile()
        self.heard, ready = os.pipe()
        job = {"folder": str(folder), "settings": settings, "resume": resume,
               "ready": ready}
        self.begun = time.perf_counter()
        if fresh:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--train", json.dumps(job)],
                stdout=self.notes, stderr=self.notes, pass_fds=[ready],
                start_new_session=True)
        else:
            self.process = multiprocessing.get_context("fork").Process(
                target=_train_forked, args=(job, self.notes.fileno()))
            self.process.start()
        os.close(ready)

    def ready(self):
        """Wait until the training itself begins."""
        os.read(self.heard, 1)
        self.begun = time.perf_counter()

    def ended(self):
        """Say whether the process has come to its end by itself."""
        return (self.process.poll() is not None if self.fresh
                else not self.process.is_alive())

    def wait(self):
        """Wait for the end; return the exit code and the seconds."""
        if self.fresh:
            self.code = self.process.wait()
        else:
            self.process.join()
            self.code = self.process.exitcode
        seconds = time.perf_counter() - self.begun
        os.close(self.heard)
        self.notes.seek(0)
        self.text = self.notes.read().decode()
        return self.code, seconds

    def kill(self, plan):
        """Kill as planned; return what was seen, None if it ended first."""
        if plan["kind"] != "start":
            self.ready()
        seen = (self._watch(plan) if plan["kind"] == "write"
                else self._sleep(plan["seconds"]))
        if not seen:
            self.wait()
            return None
        after = time.perf_counter() - self.begun
        self.process.kill()
        self.wait()
        return {"seconds": round(after, 4), "being_written":
                sorted(path.name for path in partials(self.folder))}

    def _sleep(self, seconds):
        time.sleep(max(0, self.begun + seconds - time.perf_counter()))
        return not self.ended()

    def _watch(self, plan):
        """Wait for the n-th file of a kind to be written, and a moment."""
        wanted, before = plan["nth"], set()
        while not self.ended():
            now = {path.name for path in partials(self.folder)
                   if path.name.startswith(plan["target"])}
            wanted -= len(now - before)
            if wanted <= 0:
                return self._sleep(time.perf_counter() - self.begun
                                   + plan["delay"])
            before = now
            time.sleep(0.0005)
        return False

    def orphans(self):
        """Say whether a process of this start outlives it by 5 seconds."""
        for _ in range(500):
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.01)
        os.killpg(self.process.pid, signal.SIGKILL)
        return True


def partials(folder):
    """Return the files of a run that are just being written."""
    return [*folder.glob("*.partial"), *folder.glob("checkpoints/*.partial")]


def draw(rng, seconds):
    """Draw a plan: when to kill a start that would take ``seconds``."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    if kind == "write":
        target = rng.choice(list(TARGETS), p=list(TARGETS.values()))
        return {"kind": "write", "target": str(target),
                "nth": int(rng.integers(1, 5 if target in ("step-", "history")
                                        else 3)),
                "delay": float(rng.choice([0, rng.uniform(0, 0.01)]))}
    return {"kind": str(kind), "seconds": float(rng.uniform(0, seconds))}


def outcome(folder):
    """Return all that must not differ: {name: value}, arrays as bytes."""
    rows = json.loads((folder / "history.json").read_text())
    found = {"history": [_timeless(row) for row in rows]}
    for path in sorted(folder.rglob("*.safetensors")):
        tensors, facts = weights.load_tensors(path)
        if "facts" in tensors:
            facts = {**facts, **json.loads(tensors.pop("facts").tobytes())}
            facts["history"] = [_timeless(row) for row in facts["history"]]
        found[f"{path.name}: facts"] = _timeless(facts)
        for name, array in tensors.items():
            found[f"{path.name}: {name}"] = (array.dtype.str, array.shape,
                                             array.tobytes())
    return found


def _timeless(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def torn(folder):
    """Return names of files that are there under their name, but damaged."""
    faulty = []
    for path in folder.rglob("*.safetensors"):
        try:
            weights.load_tensors(path)
        except ValueError:
            faulty.append(path.name)
    return faulty


class Trial:
    """One setup: a run that is left alone, and runs that are killed."""

    def __init__(self, name, steps, root):
        self.name, self.root = name, Path(root) / str(len(os.listdir(root)))
        self.settings = {"steps": steps, **SHARED, **SETUPS[name]}
        start = Start(self.root / "whole", self.settings, False, fresh=True)
        start.ready()
        code, self.seconds = start.wait()
        if code:
            raise RuntimeError(f"{name}: the run that is left alone failed:\n"
                               + start.text)
        self.whole = outcome(self.root / "whole")
        self.moments, self.runs, self.faults = [], 0, []

    def run(self, rng, most):
        """Kill and resume one run until it ends, after ``most`` kills."""
        self.runs += 1
        folder, resume = self.root / f"run {self.runs}", False
        while True:
            plan = draw(rng, self.seconds) if most and (
                not resume or rng.random() < 0.8) else None
            fresh = rng.random() < FRESH or (
                plan is not None and plan["kind"] == "start")
            start = Start(folder, self.settings, resume, fresh)
            seen = start.kill(plan) if plan else start.wait() and None
            code = start.code
            if start.orphans():
                self.faults.append("a worker outlived its run")
            if seen:
                most -= 1
                self._note(folder, plan, {**seen, "fresh": fresh})
            elif code not in (0, NOTHING_THERE):
                self.faults.append(f"exit code {code}: {start.text[-2000:]}")
                return most
            if not seen and code == 0:
                self._compare(folder)
                return most
            resume = code != NOTHING_THERE

    def _note(self, folder, plan, seen):
        steps = [int(path.stem[5:]) for path
                 in folder.glob("checkpoints/*.safetensors")]
        self.moments.append({"setup": self.name, "kind": plan["kind"], **seen,
                             "newest_checkpoint": max(steps, default=None),
                             "description": (folder / "run.json").exists()})
        self.faults += [f"torn: {name}" for name in torn(folder)]

    def _compare(self, folder):
        found = outcome(folder)
        self.faults += [
            f"differs: {name}" for name in sorted({*found, *self.whole})
            if found.get(name) != self.whole.get(name)]


def figures(trials):
    """Return the counts of a finished measurement, JSON-ready."""
    moments = [one for trial in trials for one in trial.moments]
    writing = [one for one in moments if one["being_written"]]
    reached = [one["newest_checkpoint"] for one in moments]
    return {
        "kills": len(moments), "runs": sum(trial.runs for trial in trials),
        "resumed_from_a_checkpoint": sum(step is not None
                                         for step in reached),
        "from_checkpoints": sorted({step for step in reached if step}),
        "begun_again_without_a_checkpoint": sum(
            one["newest_checkpoint"] is None and one["description"]
            for one in moments),
        "nothing_there_yet": sum(not one["description"] for one in moments),
        "while_a_file_was_written": len(writing),
        "files_written_then": sorted({
            name[1:].rsplit(".", 2)[0] for one in writing
            for name in one["being_written"]}),
        "compared_per_run": {trial.name: len(trial.whole)
                             for trial in trials},
        "faults": [f"{trial.name}: {fault}" for trial in trials
                   for fault in trial.faults]}


def measure(options):
    """Do all kills; return the payload of the result."""
    from dsod_d2l.workbench.runs import long_run  # noqa: F401  (before the first fork)
    rng = np.random.default_rng(options.seed)
    names = list(SETUPS)[-1:] if options.quick else list(SETUPS)
    with tempfile.TemporaryDirectory() as root:
        trials = [Trial(name, options.steps, root) for name in names]
        left = options.kills
        while left and not any(trial.faults for trial in trials):
            trial = min(trials, key=lambda one: len(one.moments))
            left -= min(left, 6) - trial.run(rng, min(left, 6))
            common.note(f"{options.kills - left} of {options.kills} kills, "
                        f"{sum(one.runs for one in trials)} runs")
    moments = [one for trial in trials for one in trial.moments]
    config = {"network": NETWORK, "pictures": PICTURES, "threads": 1,
              "settings": {trial.name: trial.settings for trial in trials}}
    return {"config": config, "seed": options.seed,
            "figures": figures(trials), "moments": moments}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=common.RESULTS,
                        help="folder for the result (default data/results)")
    parser.add_argument("--quick", action="store_true",
                        help="four kills of short runs: only tries the script")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(json.loads(options.train))
        return
    options.rounds = 1
    if options.quick:
        options.kills, options.steps = 4, 12
    payload = measure(options)
    found = payload["figures"]
    print(json.dumps(found, indent=1))
    common.save("kill", payload, options)
    sys.exit(1 if found["faults"] else 0)


if __name__ == "__main__":
    main()
