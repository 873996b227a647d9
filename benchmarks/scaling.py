"""Measure what several devices and processes gain on one CPU.

Each setting does the same training steps with the same whole batch:

one        one process, one thread
threads    one process, one thread for each of two cores
contexts   one process, two contexts of the CPU, one thread each
workers    two worker processes, one thread each, and a parameter server
half       one process, one thread, and half of the batch

The batch is made once, so that only the step is measured. The exchange of
gradients is measured by itself as well, with its bytes. What two workers can
gain follows from both: a whole step over the half and the exchange.
book/clusters.md states the figures (tools/write_measured.py).
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np

import common

SEED = 0
SETTINGS = ("one", "threads", "contexts", "workers", "half")
BATCHES = {"dsod_tiny": 16, "dsod300": 4, "ssd300_vgg16": 4}
WARM = 2
TOLERANCE = 1e-4


class Noise:
    """Noise with one object in each picture."""

    classes = tuple(f"thing {k}" for k in range(20))     # as many as VOC

    def __init__(self, shape):
        self.shape = shape

    def __len__(self):
        return 64

    def __getitem__(self, index):
        from dsod_d2l.datasets import make_sample

        rng = np.random.default_rng([SEED, index])
        image = rng.integers(0, 256, (*self.shape, 3), dtype=np.uint8)
        low = rng.uniform(0, .5, 2)
        return make_sample(image, [[*low, *(low + .4)]], [0],
                           source=f"noise {index}")


def network(job):
    """Return the network of a job; a quick one is narrow."""
    from dsod_d2l import config, models

    changes = {}
    if job["quick"] and job["model"] == "ssd300_vgg16":
        preset = config.get(job["model"])
        changes = {"backbone": config.VGG16Config(widths=(8,) * 15),
                   "extras": tuple((8, 8, form) for *_, form
                                   in preset.extras)}
    return models.build(job["model"], len(Noise.classes), **changes)


def measure_steps(job, team=None):
    """Do a job's steps; return seconds, losses, and the exchange."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    import mxnet as mx
    from dsod_d2l import config
    from dsod_d2l.training import one_step
    from dsod_d2l.workbench.runs.long_run import LongRun
    from dsod_d2l.models.summary import multiply_adds

    mx.random.seed(SEED)
    net = network(job)
    settings = config.TrainConfig(
        steps=99, batch_size=job["batch"], learning_rate=1e-4, warmup=0,
        schedule="constant", augment="none", held_back=0, workers=0)
    contexts = [mx.cpu(k) for k in range(2 if job["setting"] == "contexts"
                                         else 1)]
    run = LongRun(net, Noise(net.config.input_size), settings, contexts,
                  team=team)
    run.begin()
    batches = itertools.repeat(run.maker.fill(0, run.maker.empty()[0]))
    losses, seconds, exchange = [], [], []
    for _ in range(WARM + job["steps"]):
        begin = time.perf_counter()
        losses.append(one_step(run, batches)["loss"])
        mx.nd.waitall()
        seconds.append(time.perf_counter() - begin)
    for _ in range(job["steps"] if len(contexts) > 1 or team else 0):
        begin = time.perf_counter()
        run.trainer.allreduce_grads()
        mx.nd.waitall()
        exchange.append(time.perf_counter() - begin)
    size = sum(4 * int(np.prod(one.shape)) for one in run.parameters)
    return {"seconds": seconds[WARM:], "losses": losses,
            "exchange": exchange, "bytes": size,
            "multiply_adds": multiply_adds(net)}


def worker(job):
    """Be one of two workers; the first one leaves the answer in a file."""
    import dsod_d2l  # noqa: F401  (servers stay in the next line)
    from dsod_d2l.workbench.runs import distributed

    with distributed.joined(600) as team:
        answer = measure_steps(job, team)
        if team.rank == 0:
            Path(job["file"]).write_text(json.dumps(answer))
    return {}


def steps(job):
    """Answer for one setting."""
    if job["setting"] != "workers":
        return measure_steps(job)
    import dsod_d2l  # noqa: F401
    from dsod_d2l.workbench.cli import launch

    crew = launch.Crew([sys.executable, sys.argv[0], "--child", "worker",
                        json.dumps(job)], 2, 1, threads=1)
    try:
        crew.watch([])
    finally:
        crew.close()
    return json.loads(Path(job["file"]).read_text())


def batches_of(options):
    """Return {network: images of a whole batch}."""
    if options.quick:
        return {"dsod_tiny": 4, "ssd300_vgg16": 4}
    return BATCHES


def jobs(options):
    """Return {name: function} of all settings of all networks."""
    found, batches = {}, batches_of(options)
    for model, setting in itertools.product(batches, SETTINGS):
        job = {"model": model, "setting": setting, "quick": options.quick,
               "batch": batches[model] // (2 if setting == "half" else 1),
               "steps": 2 if options.quick else 5,
               "file": str(Path(options.folder) / f"{model}.json")}
        threads = 2 if setting == "threads" and not options.quick else 1
        found[model, setting] = (
            lambda job=job, threads=threads:
            common.child("steps", job, threads))
    return found


def figures(answers, batches):
    """Return what is reported of each network."""
    found = {}
    for model, batch in batches.items():
        rows = {setting: answers[model, setting] for setting in SETTINGS}
        middle = {setting: [float(np.median(one["seconds"])) for one in row]
                  for setting, row in rows.items()}
        exchange = {setting: [float(np.median(one["exchange"]))
                              for one in rows[setting]]
                    for setting in ("contexts", "workers")}
        found[model] = {
            "batch": batch,
            "milliseconds": {setting: common.spread(1e3 * np.array(values))
                             for setting, values in middle.items()},
            "gain_over_one": {setting: common.ratio(middle["one"],
                                                    middle[setting])
                              for setting in SETTINGS[1:-1]},
            "gain_expected_of_workers": common.ratio(
                middle["one"], np.add(middle["half"], exchange["workers"])),
            "exchange_milliseconds": {
                setting: common.spread(1e3 * np.array(values))
                for setting, values in exchange.items()},
            "multiply_adds_of_an_image": rows["one"][0]["multiply_adds"],
            "bytes_each_way": rows["one"][0]["bytes"]}
    return found


def check(answers, models):
    """Return the differences of the losses from those of one process.

    Batch normalisation sees half a batch on each of two devices, so only
    the network without it is compared there.
    """
    found = {}
    for model, setting in itertools.product(models, SETTINGS[1:-1]):
        if model == "ssd300_vgg16" or setting == "threads":
            one, other = (answers[model, name][0]["losses"][:3]
                          for name in ("one", setting))
            for step, (mine, theirs) in enumerate(zip(one, other), 1):
                found[f"{model}, step {step}: {setting}"] = common.agree(
                    f"loss of {model}, {setting}", [mine], [theirs],
                    TOLERANCE)
    return found


def measure(options):
    """Measure all settings; return the payload and the text."""
    settings = jobs(options)
    answers = common.rounds(settings, options.rounds)
    batches = batches_of(options)
    found = figures(answers, batches)
    payload = {"config": {"batch": batches, "classes": len(Noise.classes)},
               "seed": SEED, "figures": found,
               "differences": check(answers, batches)}
    rows = [(model, setting, value, one["gain_over_one"].get(setting, ""),
             one["exchange_milliseconds"].get(setting, ""))
            for model, one in found.items()
            for setting, value in one["milliseconds"].items()]
    return payload, common.table(rows, ("network", "setting", "ms per step",
                                        "gain over one", "exchange, ms"))


CHILDREN = {"steps": steps, "worker": worker}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
