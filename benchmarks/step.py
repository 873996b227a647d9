"""Measure a training step and inference of dsod_gluon on the CPU.

Four settings, each with what the one before has:

default    imperative, with as many threads as MXNet takes by itself
threads    imperative, with one thread for each core
graph      hybridized, with static memory and shapes
fused      convolution, normalisation and ReLU joined (inference only)

MXNet's own number of threads is half of the processors, at least one: it
takes every other one for a hyper-thread. The library sets OMP_NUM_THREADS
when it is imported, so the first setting names that half explicitly.

The multiply-adds of the network, counted from its graph, over the time give
its speed; over the speed of the best of several convolutions, measured in the
same rounds, they give its share of what this machine's convolutions reach.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import common

SEED = 0
MODEL = "dsod_gluon"
CHAIN = 6                     # equal convolutions behind each other
SHAPES = ((256, 3, 64), (256, 3, 32), (128, 3, 64), (64, 3, 128),
          (512, 3, 16), (512, 1, 32))      # channels, kernel, side
SETTINGS = ("default", "threads", "graph", "fused")
TASKS = ("train", "inference", "inference_one")
TOLERANCE = 1e-4


def multiply_adds(net, shape):
    """Count the multiply-adds of all convolutions of a network.

    Args:
        net: Gluon block.
        shape: of its input, (B, 3, H, W).

    Returns:
        An integer, for one forward pass of the whole batch.
    """
    import mxnet as mx

    outputs = net(mx.sym.var("data"))
    inner = mx.sym.Group(list(outputs)).get_internals()
    shapes = dict(zip(inner.list_outputs(),
                      inner.infer_shape(data=shape)[1]))
    nodes, total = json.loads(inner.tojson())["nodes"], 0
    for node in nodes:
        if node["op"] == "Convolution":
            weight = nodes[node["inputs"][1][0]]["name"]
            total += int(np.prod(shapes[node["name"] + "_output"])
                         * np.prod(shapes[weight][1:]))
    return total


def build(job):
    """Return the network with numbers that depend on the seed alone."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    import mxnet as mx
    from dsod_d2l import models

    net = models.build(MODEL, input_size=job["side"])
    net.initialize()
    rng = np.random.default_rng(SEED)
    for parameter in net.collect_params().values():
        if len(parameter.shape) == 4:
            scale = np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.set_data(mx.nd.array(
                rng.normal(0, scale, parameter.shape)))
    return net


def training_batch(net, size):
    """Return images (bytes), classes and offsets, with one object each."""
    import mxnet as mx
    from dsod_d2l import anchors, targets

    rng = np.random.default_rng(SEED)
    images = rng.integers(0, 256, (size, *net.config.input_size, 3))
    boxes = rng.uniform(0, .4, (size, 1, 2))
    boxes = np.concatenate([boxes, boxes + .4], axis=2)
    rows = [targets.label_anchors(anchors.anchors_for(net.config), box, [0])
            for box in boxes]
    classes, offsets, _ = map(np.stack, zip(*rows))
    return (mx.nd.array(images, dtype="uint8"),
            mx.nd.array(classes, dtype="int32"), mx.nd.array(offsets))


def train(job):
    """Time forward, loss, backward and update."""
    net = build(job)
    import mxnet as mx
    from dsod_d2l.config import TrainConfig
    from dsod_d2l.training import TrainingGraph
    from mxnet import autograd, gluon

    graph, batch = TrainingGraph(net, TrainConfig()), training_batch(
        net, job["batch"])
    if job["setting"] == "graph":
        graph.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd",
                            {"learning_rate": 1e-3, "momentum": .9})

    def gradients():
        with autograd.record():
            loss = sum(graph(*batch))
        loss.backward()
        return loss

    def step():
        gradients()
        trainer.step(1)
        mx.nd.waitall()

    loss = float(gradients().asscalar())
    squares = sum(float((parameter.grad() ** 2).sum().asscalar())
                  for parameter in net.collect_params().values()
                  if parameter.grad_req != "null")
    return {"loss": loss, "gradient": squares ** .5,
            "seconds": common.clock(step, job["steps"])}


def inference(job):
    """Time the network alone, on images that are ready."""
    net = build(job)
    import mxnet as mx

    rng = np.random.default_rng(SEED)
    images = mx.nd.array(rng.normal(0, 1, (job["batch"], 3, job["side"],
                                           job["side"])))
    fast = {"static_alloc": True, "static_shape": True}
    if job["setting"] == "graph":
        net.hybridize(**fast)
    elif job["setting"] == "fused":
        net.optimize_for(images, backend="MKLDNN", **fast)

    def run():
        for output in net(images):
            output.wait_to_read()

    seconds = common.clock(run, job["times"], warm=3)
    scores, offsets = (output.asnumpy() for output in net(images))
    np.savez(Path(job["folder"]) / job["file"], scores=scores,
             offsets=offsets)
    return {"seconds": seconds}


def network(job):
    """Answer for one setting: every task it can do, one after the other."""
    answer = {}
    if job["setting"] != "fused":
        answer["train"] = train(job)
    for task, batch in (("inference", job["batch"]), ("inference_one", 1)):
        answer[task] = inference({**job, "batch": batch,
                                  "file": f"{job['setting']}-{task}.npz"})
    return answer


def convolutions(job):
    """Time chains of equal convolutions; return the speed of each."""
    import dsod_d2l  # noqa: F401
    import mxnet as mx
    from mxnet.gluon import nn

    found = {}
    for channels, kernel, side in job["shapes"]:
        chain = nn.HybridSequential()
        for _ in range(CHAIN):
            chain.add(nn.Conv2D(channels, kernel, padding=kernel // 2,
                                use_bias=False, in_channels=channels))
        chain.initialize(mx.init.Xavier())
        chain.hybridize(static_alloc=True, static_shape=True)
        images = mx.nd.ones((job["batch"], channels, side, side))
        seconds = common.clock(lambda: chain(images).wait_to_read(),
                               job["times"])
        work = (CHAIN * job["batch"] * side ** 2 * channels ** 2
                * kernel ** 2)
        found[f"{channels} channels, {kernel} x {kernel}, {side} x {side}"] \
            = 2e-9 * work / float(np.median(seconds))
    return found


def count(job):
    """Return the multiply-adds of one image, forward."""
    return {"multiply_adds": multiply_adds(build(job), (1, 3, job["side"],
                                                        job["side"]))}


def threads(setting, quick=False):
    """Return the number of threads of a setting."""
    if setting == "default" or quick:
        return max(common.cores() // 2, 1)
    return common.cores()


def jobs(options):
    """Return the job, and what to do: {name: function}."""
    quick = options.quick
    job = {"side": 160 if quick else 256, "batch": 2 if quick else 4,
           "steps": 1 if quick else 5, "times": 2 if quick else 12,
           "folder": options.folder, "shapes": SHAPES[-1:] if quick
           else SHAPES}

    def ask(name, setting):
        return lambda: common.child(name, {**job, "setting": setting},
                                    threads(setting, quick))

    asked = {setting: ask("network", setting) for setting in SETTINGS}
    return job, {**asked, "convolutions": ask("convolutions", "graph")}


def figures(answers, work, batch):
    """Return {task: figures} from the answers of all rounds."""
    speeds = {shape: [one[shape] for one in answers["convolutions"]]
              for shape in answers["convolutions"][0]}
    best = np.max(list(speeds.values()), axis=0)       # one per round
    found = {}
    for task in TASKS:
        seconds = {name: [float(np.median(one[task]["seconds"]))
                          for one in answers[name]]
                   for name in SETTINGS if task in answers[name][0]}
        names = list(seconds)
        images = 1 if task == "inference_one" else batch
        passes = 3 if task == "train" else 1   # gradients cost two more
        speed = 2e-9 * work * passes * images / np.array(seconds[names[-1]])
        found[task] = {
            "milliseconds": {name: common.spread(np.multiply(1e3, values))
                             for name, values in seconds.items()},
            "gains": {later: common.ratio(seconds[sooner], seconds[later])
                      for sooner, later in zip(names, names[1:])},
            "total": common.ratio(seconds["default"], seconds[names[-1]]),
            "gigaflops": common.spread(speed),
            "share_of_best_convolution": common.spread(speed / best)}
    return found, {shape: common.spread(values)
                   for shape, values in speeds.items()}


def check(answers, folder):
    """Return the largest differences between settings, all within bounds."""
    plain, found = answers["default"][0], {}
    for name in SETTINGS[1:]:
        other = answers[name][0]
        for value in ("loss", "gradient") if "train" in other else ():
            found[f"train, {value}: {name}"] = common.agree(
                f"{value} of {name}", plain["train"][value],
                other["train"][value], TOLERANCE)
        for task in TASKS[1:]:
            with np.load(Path(folder) / f"default-{task}.npz") as first, \
                    np.load(Path(folder) / f"{name}-{task}.npz") as second:
                for value in first:
                    found[f"{task}, {value}: {name}"] = common.agree(
                        f"{value} of {name}", first[value], second[value],
                        TOLERANCE)
    return found


def measure(options):
    """Measure all settings; return the payload and the text."""
    job, settings = jobs(options)
    work = common.child("count", job, 1)["multiply_adds"]
    answers = common.rounds(settings, options.rounds)
    agreement = check(answers, options.folder)
    tasks, speeds = figures(answers, work, job["batch"])
    payload = {"config": {"model": MODEL, "side": job["side"],
                          "batch": job["batch"], "threads": {
                              name: threads(name, options.quick)
                              for name in SETTINGS}},
               "seed": SEED, "multiply_adds_per_image": work,
               "figures": tasks, "convolution_gigaflops": speeds,
               "differences": agreement}
    rows = [(task, name, value, one["gains"].get(name, ""))
            for task, one in tasks.items()
            for name, value in one["milliseconds"].items()]
    rows += [(task, "total", "", one["total"]) for task, one in tasks.items()]
    text = common.table(rows, ("task", "setting", "milliseconds", "gain"))
    shares = [(task, one["gigaflops"], one["share_of_best_convolution"])
              for task, one in tasks.items()]
    text += "\n\n" + common.table(shares, ("task", "GFLOP/s",
                                           "share of best convolution"))
    text += "\n\n" + common.table(speeds.items(), ("convolution", "GFLOP/s"))
    return payload, text


CHILDREN = {"network": network, "convolutions": convolutions, "count": count}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
