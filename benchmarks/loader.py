"""Measure the loader: images/s alone, and against batches in memory.

The loader decodes, augments and labels images in worker processes. Alone, it
is asked for batches as fast as it makes them. In training, ``dsod_tiny``
learns from the loader's batches, and in another process from batches that lie
ready in memory as float arrays: the same network, loss and optimiser. The
ratio says what reading costs.
"""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import numpy as np

import common

SEED = 0
MODEL = "dsod_tiny"
BATCH = 16
ALONE = [(workers, augment) for workers in (0, 1, 2)
         for augment in ("none", "light")]
# name: workers, whether decoded images are kept in memory
SOURCES = {"in memory": None, "0 workers": (0, False),
           "1 worker": (1, False), "2 workers": (2, False),
           "1 worker, kept images": (1, True)}
AIM = 0.9
TOLERANCE = 1e-4


def open_data(job, cache=False):
    """Return the real Pikachu where there is one, else the stand-in."""
    from dsod_d2l.workbench.downloads import Pikachu
    from dsod_d2l.workbench.standin.rendered import StandIn

    if job["real"]:
        return Pikachu(Path(os.environ["DSOD_REAL_DATA"]) / "pikachu",
                       cache=cache)
    if job["root"]:
        return StandIn(count=job["images"], root=job["root"], workers=1,
                       cache=cache)
    return StandIn(cache=cache)


def make_loader(job, workers, augment, batches, cache=False):
    """Return the network's configuration, settings and loader."""
    from dsod_d2l import config
    from dsod_d2l.datasets.loader import BatchMaker, Loader

    model = config.get(MODEL, input_size=job["side"])
    settings = config.TrainConfig(batch_size=job["batch"], seed=SEED,
                                  augment=augment)
    data = open_data(job, cache)
    if cache:
        data.validate()
    maker = BatchMaker(data, model, settings)
    return model, settings, Loader(maker, 0, batches, workers)


def alone(job):
    """Time the loader by itself; sum up what it delivered."""
    count, warm = job["batches"], job["warm"]
    *_, loader = make_loader(job, job["workers"], job["augment"],
                             count + warm)
    digest = 0
    for number, batch in enumerate(loader):
        if number == warm:
            begin = time.perf_counter()
        if number < warm:
            for array in batch[:3]:
                digest = zlib.crc32(np.ascontiguousarray(array), digest)
    # The clock starts when the first timed batch is there.
    seconds = time.perf_counter() - begin
    return {"images_per_second": (count - 1) * job["batch"] / seconds,
            "digest": digest}


def training(job):
    """Time training from a loader, or from memory where there is none."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    import mxnet as mx
    from dsod_d2l import models

    memory = job["source"] is None
    workers, cache = job["source"] or (0, False)
    count = job["kept"] if memory else job["steps"] + job["warm"]
    model, settings, loader = make_loader(job, workers, "light", count,
                                          cache)
    mx.random.seed(SEED)
    net = models.build(model)
    models.initialise(net)
    step = make_step(net, settings, memory)
    batches = ready(loader, model, job) if memory else map(arrays, loader)
    losses, seconds = [], []
    for _ in range(job["steps"] + job["warm"]):
        begin = time.perf_counter()
        losses.append(step(next(batches)))
        seconds.append(time.perf_counter() - begin)
    return {"images_per_second": job["steps"] * job["batch"]
            / sum(seconds[job["warm"]:]), "loss": losses[0]}


def arrays(batch):
    """Hand one batch of the loader to the framework."""
    import mxnet as mx

    return [mx.nd.array(part, dtype=part.dtype) for part in batch[:3]]


def ready(loader, model, job):
    """Yield, again and again, batches kept as normalised float arrays."""
    import mxnet as mx

    from dsod_d2l.detection import to_batch

    kept = []
    for batch in loader:
        pixels = to_batch(list(batch.images), model)
        kept.append([mx.nd.array(pixels), *arrays(batch)[1:]])
    mx.nd.waitall()
    for number in range(job["steps"] + job["warm"]):
        yield kept[number % len(kept)]


def make_step(net, settings, memory):
    """Return the function that does one step and returns its loss."""
    from dsod_d2l.training import TrainingGraph
    from mxnet import autograd, gluon

    class FloatGraph(TrainingGraph):
        """The training graph without the step from bytes to floats."""

        def hybrid_forward(self, F, images, classes, offsets):
            return self.loss(*self.outputs.net(images),
                             F.cast(classes, "float32"), offsets)

    graph = (FloatGraph if memory else TrainingGraph)(net, settings)
    graph.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {
        "learning_rate": 1e-3, "momentum": settings.momentum,
        "wd": settings.weight_decay}, kvstore=None)

    def step(batch):
        with autograd.record():
            loss = sum(graph(*batch))
        loss.backward()
        trainer.step(1)
        return float(loss.asscalar())

    return step


def jobs(options):
    """Return the common settings, and {name: function} of both kinds."""
    quick = options.quick
    real = os.environ.get("DSOD_REAL_DATA")
    real = bool(real) and (Path(real) / "pikachu" / "train.rec").is_file()
    job = {"side": 80 if quick else 256, "batch": 4 if quick else BATCH,
           "batches": 3 if quick else 40, "warm": 1 if quick else 4,
           "steps": 2 if quick else 25, "kept": 2 if quick else 8,
           "real": real and not quick, "images": 16,
           "root": options.folder if quick else None}

    def ask(name, **changes):
        return lambda: common.child(name, {**job, **changes},
                                    1 if quick else common.cores())

    lone = {f"{workers} workers, {augment}": ask(
        "alone", workers=workers, augment=augment)
        for workers, augment in ALONE}
    trained = {f"training, {name}": ask("training", source=source)
               for name, source in SOURCES.items()}
    return job, lone, trained


def check(lone, trained):
    """Return what agrees: batches of any workers, and first losses."""
    for augment in ("none", "light"):
        digests = {answers[0]["digest"] for name, answers in lone.items()
                   if name.endswith(augment)}
        if len(digests) > 1:
            raise ValueError(f"augment {augment}: the batches depend on the "
                             "number of workers")
    first = trained["training, in memory"][0]["loss"]
    return {"batches_equal": True, "losses": {
        name: common.agree(f"loss of {name}", first, answers[0]["loss"],
                           TOLERANCE) for name, answers in trained.items()}}


def measure(options):
    """Measure all settings; return the payload and the text."""
    job, lone, trained = jobs(options)
    if job["root"]:
        common.child("render", job, 1)
    answers = common.rounds({**lone, **trained}, options.rounds)
    speeds = {name: [one["images_per_second"] for one in values]
              for name, values in answers.items()}
    lone, trained = ({name: answers[name] for name in part}
                     for part in (lone, trained))
    ratios = {name: common.ratio(speeds[name], speeds["training, in memory"])
              for name in trained}
    payload = {"config": {"model": MODEL, "batch": job["batch"],
                          "side": job["side"], "threads": common.cores(),
                          "data": "Pikachu" if job["real"] else "stand-in"},
               "seed": SEED, "differences": check(lone, trained),
               "figures": {"images_per_second": {
                   name: common.spread(values)
                   for name, values in speeds.items()},
                   "of_training_in_memory": ratios, "aim": AIM}}
    rows = [(name, common.spread(values), ratios.get(name, ""))
            for name, values in speeds.items()]
    return payload, common.table(rows, ("setting", "images/s",
                                        "of training in memory"))


def render(job):
    """Make the small stand-in before anything is timed."""
    return {"images": len(open_data(job))}


CHILDREN = {"alone": alone, "training": training, "render": render}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
