"""Measure bfloat16 against float32 on the CPU: inference and training.

MXNet's automatic mixed precision puts casts around convolutions, and leaves
the rest, and the weights, in float32. For inference a converted copy of the
network is made; training is that of `train --precision bfloat16`.

Also reported: how far the network's outputs are from those of float32, and
how far the losses of the first steps. A processor without bfloat16 computes
the same much more slowly.
"""

from __future__ import annotations

import numpy as np

import common

SEED = 0
MODELS = (("dsod_tiny", 8), ("dsod300", 2))
KINDS = ("float32", "bfloat16")


def prepared(job):
    """Return network and normalised images."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    import mxnet as mx
    from dsod_d2l import models

    mx.random.seed(SEED)
    net = models.build(job["model"], 1)
    models.initialise(net)
    shape = (job["batch"], 3, *net.config.input_size)
    images = np.random.default_rng(SEED).normal(0, 1, shape)
    return net, mx.nd.array(images)


def inference(job):
    """Time the network alone; return its largest score as well."""
    net, images = prepared(job)
    import mxnet as mx
    from mxnet.contrib import amp

    fast = {"static_alloc": True, "static_shape": True}
    net.hybridize(**fast)
    whole = [one.asnumpy() for one in net(images)]
    if job["kind"] == "bfloat16":
        net = amp.convert_hybrid_block(net, target_dtype="bfloat16",
                                       ctx=mx.cpu())
        net.hybridize(**fast)

    def run():
        for output in net(images):
            output.wait_to_read()

    seconds = common.clock(run, job["times"], warm=3)
    return {"seconds": seconds, "difference": max(
        common.difference(one, other.astype("float32").asnumpy())
        for one, other in zip(whole, net(images)))}


def training(job):
    """Time training steps; return their losses as well."""
    net, _ = prepared(job)
    import mxnet as mx
    from dsod_d2l.config import TrainConfig
    from dsod_d2l.training import TrainingGraph
    from dsod_d2l.workbench.runs.precision import lowered
    from mxnet import autograd, gluon
    from step import training_batch

    batch = training_batch(net, job["batch"])
    graph = TrainingGraph(lowered(net, job["kind"]), TrainConfig())
    graph.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": 1e-2, "momentum": .9})
    losses = []

    def step():
        with autograd.record():
            loss = sum(graph(*batch))
        loss.backward()
        trainer.step(1)
        losses.append(float(loss.asscalar()))
        mx.nd.waitall()

    seconds = common.clock(step, job["times"], warm=3)
    return {"seconds": seconds, "losses": losses}


def answer(job):
    """Answer for one setting."""
    return {"inference": inference, "training": training}[job["task"]](job)


def figures(answers):
    """Return what is reported: times, gains, and how far the numbers are."""
    found = {}
    for (model, task), rows in answers.items():
        middle = {kind: [float(np.median(one["seconds"])) for one in row]
                  for kind, row in rows.items()}
        low = rows["bfloat16"][0]
        far = (low["difference"] if task == "inference" else
               common.difference(rows["float32"][0]["losses"],
                                 low["losses"]))
        found[f"{model}, {task}"] = {
            "milliseconds": {kind: common.spread(1e3 * np.array(values))
                             for kind, values in middle.items()},
            "gain": common.ratio(middle["float32"], middle["bfloat16"]),
            "largest_difference": float(f"{far:.3g}")}
    return found


def measure(options):
    """Measure all settings; return the payload and the text."""
    chosen = MODELS[:1] if options.quick else MODELS
    settings = {}
    for model, batch in chosen:
        for task in ("inference", "training"):
            for kind in KINDS:
                job = {"model": model, "task": task, "kind": kind,
                       "batch": 1 if options.quick else batch,
                       "times": 2 if options.quick else 10}
                settings[model, task, kind] = (
                    lambda job=job: common.child("answer", job, 1))
    flat = common.rounds(settings, options.rounds)
    answers = {}
    for (model, task, kind), row in flat.items():
        answers.setdefault((model, task), {})[kind] = row
    found = figures(answers)
    rows = [(name, *one["milliseconds"].values(), one["gain"],
             one["largest_difference"]) for name, one in found.items()]
    return ({"config": {"models": dict(chosen), "threads": 1}, "seed": SEED,
             "figures": found},
            common.table(rows, ("what", "float32, ms", "bfloat16, ms",
                                "gain", "difference")))


CHILDREN = {"answer": answer}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
