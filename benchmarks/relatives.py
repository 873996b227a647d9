"""Compact networks of all families, from scratch, for the same computing time.

Each is trained on the real Pikachu pictures for twenty minutes of one core,
which are ten of two, and judged on the 100 validation pictures; the four
best are trained on blood cells for a quarter of an hour of one core, chosen
on ``val``, and judged on ``test``. All have the same settings. A network's
number of steps is what fits into its time at a pace that is measured first,
in turns, in seconds of the processor; so nothing that disturbs a run costs it
steps. At the end forward passes are timed, in rounds, on one core.

    python benchmarks/relatives.py --keep FILE     three hours and a half
    python benchmarks/relatives.py --minutes 0.2   only tries the script
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before MXNet: it reads the number of threads when it is loaded.
import dsod_d2l                                               # noqa: E402,F401

import mxnet as mx                                            # noqa: E402
import numpy as np                                            # noqa: E402

from benchmarks import bccd, common, pikachu                  # noqa: E402
from dsod_d2l import config, models  # noqa: E402
from dsod_d2l.workbench import machine  # noqa: E402
from dsod_d2l.workbench.runs.long_run import run_training  # noqa: E402

MODELS = ("toy_ssd", "ssd_vgg_thin", "ssd_mobilenet_v2_tiny", "dsod_tiny",
          "grp_dsod_tiny", "refinedet_vgg_tiny", "refinedet_dsod_tiny")
MINUTES = {"pikachu": 20.0, "bccd": 15.0}
BEST = 4
SETTINGS = {
    "pikachu": {**pikachu.COMMON, "augment": "shifted", "held_back": 0.0,
                "average": 0.99},
    "bccd": bccd.SETTINGS}
PACED = 20             # steps from which the pace is taken


def one_run(job):
    """Train one network, in a process of its own; return its figures.

    Args:
        job: dictionary with ``model``, ``on`` (pikachu or bccd) and
            ``steps``; without ``steps`` only the pace is measured.
    """
    steps, judged = job.get("steps"), None
    if job["on"] == "pikachu":
        dataset = pikachu.real("train")
    else:
        dataset = bccd.pictures("train")
    settings = config.TrainConfig(**{
        **SETTINGS[job["on"]], "steps": steps or PACED,
        **({} if steps else {"evaluate_every": 0.0})})
    if steps and job["on"] == "bccd":
        judged = bccd.pictures("val")
    mx.random.seed(settings.seed)
    net = models.build(job["model"], len(dataset.classes))
    used = []
    fitted = run_training(
        net, dataset, settings, validation=judged, progress=False,
        callbacks=[lambda row: used.append(time.process_time())])
    pace = float(np.median(np.diff(used)))
    if not steps:
        return {"pace": pace}
    if job["on"] == "pikachu":
        found = pikachu.judge(fitted.net, dataset.classes, pikachu.real("val"))
    else:
        found = {"best on val": fitted.best, **bccd.figures_of(
            fitted.net, dataset.classes, bccd.pictures("test"))}
    return {"steps": steps, "pace": pace, **found}


def timed(job):
    """Return the milliseconds of the forward pass of one image."""
    return {"latency": machine.forward_time(config.get(job["model"]),
                                            repeats=30)}


def affordable(on, names, minutes):
    """Return {network: steps that fit into the minutes}, by measured paces."""
    found = common.rounds({
        name: lambda name=name: common.child(
            "one_run", {"model": name, "on": on}, threads=1)
        for name in names}, 2)
    return {name: int(minutes * 60 / min(one["pace"] for one in answers))
            for name, answers in found.items()}


def train_all(on, names, minutes, kept):
    """Return {network: its figures}, best first."""
    steps = kept.once(f"{on}: steps", lambda: affordable(on, names, minutes))
    found = {name: kept.once(f"{on}: {name}", lambda name=name: common.child(
        "one_run", {"model": name, "on": on, "steps": steps[name]},
        threads=1)) for name in names}
    return dict(sorted(found.items(), key=lambda item: -item[1]["AP"]))


def costs(rounds):
    """Return {network: parameters, multiply-adds, and latency}."""
    found = common.rounds({
        name: lambda name=name: common.child("timed", {"model": name},
                                             threads=1)
        for name in MODELS}, rounds)
    rows = {}
    for name, answers in found.items():
        net = models.build(name, 1)
        models.initialise(net)
        rows[name] = {
            "parameters": models.count_parameters(net),
            "multiply-adds": models.multiply_adds(net),
            "milliseconds": common.spread([one["latency"]
                                           for one in answers])}
    return rows


def parse():
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, help="instead of 20 and 15")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="finished runs are written "
                        "there, and those found there are not done again")
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.quick = options.minutes is not None
    return options


def main():
    """Train, judge, time, and save the result."""
    options = parse()
    if options.child:
        name, job = options.child
        work = {"one_run": one_run, "timed": timed}[name]
        print(json.dumps(work(json.loads(job))))
        return
    commit, kept = common.commit(), common.Kept(options.keep)
    minutes = {on: options.minutes or MINUTES[on] for on in MINUTES}
    found = train_all("pikachu", MODELS, minutes["pikachu"], kept)
    cells = train_all("bccd", list(found)[:BEST], minutes["bccd"], kept)
    common.save("relatives", {
        "figures": {"pikachu": found, "bccd": cells,
                    "costs": kept.once("costs", lambda: costs(options.rounds))},
        "minutes": minutes, "seed": 0, "config": SETTINGS, **commit}, options)


if __name__ == "__main__":
    main()
