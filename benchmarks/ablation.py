"""What dense prediction, the stem, growth and bottleneck each earn.

Four networks, dsod_tiny and three that lack one thing, are trained from
scratch on the real Pikachu pictures, three times each, for the same time on
one core. First the pace of each is measured, in turns, in seconds of the
processor; a network's number of steps is what fits into the budget at that
pace, so that another program that disturbs a run costs it no steps. The last
model is judged, on the 100 validation pictures.

    python benchmarks/ablation.py                  five minutes each
    python benchmarks/ablation.py --minutes 0.1    only tries the script
    python benchmarks/ablation.py --keep FILE      can be stopped
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before MXNet: it reads the number of threads when it is loaded.
import dsod_d2l                                               # noqa: E402,F401

import mxnet as mx                                            # noqa: E402
import numpy as np                                            # noqa: E402

from benchmarks import common, pikachu                        # noqa: E402
from dsod_d2l import config, models  # noqa: E402
from dsod_d2l.workbench.runs.long_run import run_training  # noqa: E402

CHANGES = {"dsod_tiny": {},
           "plain prediction": {"prediction": "plain"},
           "plain stem": {"stem_style": "plain"},
           "half the growth and bottleneck": {"growth": 16,
                                              "bottleneck": 32}}
SETTINGS = {**pikachu.COMMON, "augment": "shifted", "held_back": 0.0,
            "average": 0.99}


def one_run(name, seed, steps):
    """Train one network; return its figures."""
    dataset, judged = pikachu.real("train"), pikachu.real("val")
    settings = config.TrainConfig(**SETTINGS, steps=steps, seed=seed)
    mx.random.seed(seed)
    net = models.build("dsod_tiny", len(dataset.classes), **CHANGES[name])
    used = []
    fitted = run_training(net, dataset, settings, progress=False, callbacks=[
        lambda row: used.append(time.process_time())])
    pace = float(np.median(np.diff(used))) if steps > 1 else None
    return {"steps": steps, "pace": pace,
            "seconds": fitted.history[-1]["seconds"],
            "parameters": models.count_parameters(fitted.net),
            **pikachu.judge(fitted.net, dataset.classes, judged)}


def run(name, seed, steps):
    """Do ``one_run`` in a process of its own, on one core."""
    common.note(f"{name}, seed {seed}, {steps} steps")
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, str(seed), str(steps)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, text=True,
        stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def summary(runs):
    """Return the mean and the range of the runs of one network."""
    found = [one["AP"] for one in runs]
    return {"AP mean": round(float(np.mean(found)), 4), "AP least": min(found),
            "AP most": max(found), "parameters": runs[0]["parameters"],
            "steps": runs[0]["steps"],
            "AP75 mean": round(float(np.mean([r["AP75"] for r in runs])), 4)}


def affordable(minutes):
    """Return {network: steps that fit into the minutes}."""
    paces = {name: [] for name in CHANGES}
    for _ in range(2):
        for name in CHANGES:
            paces[name].append(run(name, 0, 25)["pace"])
    return {name: int(minutes * 60 / min(found))
            for name, found in paces.items()}


def main():
    """Measure the paces, train all, and save what came out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    parser.add_argument("--keep", type=Path,
                        help="finished runs are written there, and those "
                        "found there are not done again")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, seed, steps = options.one
        print(json.dumps(one_run(name, int(seed), int(steps))))
        return
    commit = common.commit()
    kept = common.Kept(options.keep)
    steps = kept.once("steps", lambda: affordable(options.minutes))
    runs = {name: [] for name in CHANGES}
    for seed in range(options.seeds):
        for name in CHANGES:
            job = functools.partial(run, name, seed, steps[name])
            runs[name].append(kept.once(f"{name}, seed {seed}", job))
    options.quick, options.rounds = options.minutes < 5, options.seeds
    common.save("ablation", {
        "figures": {name: summary(found) for name, found in runs.items()},
        "runs": runs, "minutes": options.minutes,
        "seed": list(range(options.seeds)),
        "config": {"changes": CHANGES, "train": SETTINGS}, **commit}, options)


if __name__ == "__main__":
    main()
