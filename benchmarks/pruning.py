"""Prune dsod_tiny to half its multiply-adds, and train what is left.

    python benchmarks/pruning.py
    python benchmarks/pruning.py --again     times the networks anew, no more

It starts from the weights that benchmarks/pikachu.py made of the real Pikachu
pictures, which are found through DSOD_REAL_DATA. The share of the filters
taken out of every layer is the least, in hundredths, that leaves half of the
multiply-adds. Training goes on with the pictures that the weights were
trained on, without those that were held back then; the validation pictures
are judged, and nothing is chosen by them.

Forward passes of one image and of eight are timed in processes of their own,
in rounds: of the whole network, of the pruned one, and of one with the same
share of filters gone whose widths are not rounded to multiples of 16. Under
``--again`` only this is done, and put into the result that is there.
"""

from __future__ import annotations

import argparse
import bisect
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before MXNet: it reads the number of threads when it is loaded.
import dsod_d2l                                               # noqa: E402,F401

import mxnet as mx                                            # noqa: E402
import numpy as np                                            # noqa: E402

from benchmarks import common                                 # noqa: E402
from benchmarks.pikachu import real                           # noqa: E402
from dsod_d2l import config, datasets, models, weights  # noqa: E402
from dsod_d2l.workbench import pruning, recipes  # noqa: E402
from dsod_d2l.workbench.runs.long_run import run_training  # noqa: E402

START = common.ROOT / "data" / "weights" / "dsod_tiny_pikachu.safetensors"
GOAL = 0.5                    # share of the multiply-adds that is left
BATCHES = (1, 8)
REPEATS = 30
# As the weights were trained, at half the rate.
SETTINGS = {"optimiser": "adam", "learning_rate": 1e-3, "weight_decay": 0.0,
            "batch_size": 16, "held_back": 0.0, "augment": "shifted"}
HELD_BACK = 0.1               # then, with seed 0


def half(net):
    """Return the least ratio that leaves the goal, and its ``Plan``."""
    goal = GOAL * models.multiply_adds(net)

    def left(hundredths):
        plan = pruning.plan_pruning(net, hundredths / 100)
        return models.multiply_adds(models.build(net.config,
                                                 widths=after(plan)))
    # More filters gone never leave more multiply-adds.
    least = 10 + bisect.bisect_left(range(10, 99), True,
                                    key=lambda one: left(one) <= goal)
    return least / 100, pruning.plan_pruning(net, least / 100)


def after(plan):
    """Return the widths that a plan leaves."""
    return {layer: left for layer, (_, left) in plan.widths.items()}


def seconds(job):
    """Time forward passes of a network; the child's task."""
    net = models.build(config.from_dict(job["model"]))
    models.initialise(net)
    net.hybridize(static_alloc=True, static_shape=True)
    images = mx.nd.zeros((job["batch"], 3, *net.config.input_size))

    def forward():
        for part in net(images):
            part.wait_to_read()
    return {"seconds": float(np.median(common.clock(forward, REPEATS, 5)))}


def speeds(configs, rounds):
    """Return {batch: {name: seconds of every round}}."""
    measured = {}
    for batch in BATCHES:
        answers = common.rounds({
            name: lambda one=one: common.child("seconds", {
                "model": one.to_dict(), "batch": batch})
            for name, one in configs.items()}, rounds)
        measured[batch] = {name: [answer["seconds"] for answer in found]
                           for name, found in answers.items()}
    return measured


def time_figures(measured):
    """Return milliseconds, and how much faster the pruned network is."""
    figures = {}
    for batch, found in measured.items():
        figures[f"batch {batch}"] = {
            "milliseconds": {name: common.spread(1000 * np.array(values))
                             for name, values in found.items()},
            "faster": {name: common.ratio(found["whole"], found[name])
                       for name in ("pruned", "not rounded")}}
    return figures


def difference(net, small, plan, images):
    """Return how far the pruned network is from the masked one."""
    one, other = (model(images)[0].asnumpy() for model
                  in (small, pruning.masked(net, plan)))
    return common.agree("masked", one, other, 1e-5)


def timed(net, ratio, small, rounds):
    """Return the time figures of a network, pruned, and pruned unrounded."""
    raw = models.build(net.config, widths=after(
        pruning.plan_pruning(net, ratio, multiple=1))).config
    return time_figures(speeds({"whole": net.config, "pruned": small,
                                "not rounded": raw}, rounds))


def again(options):
    """Time the networks of a result anew, when the machine is at rest."""
    path = options.out / "pruning.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    net, _ = weights.load_model(START)
    found["figures"]["forward"] = timed(
        net, found["figures"]["ratio"],
        config.from_dict(found["config"]["model"]), options.rounds)
    found["timed"] = {"command": common.command(), "rounds": options.rounds,
                      **common.commit(), "machine": common.machine()}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["figures"]["forward"], indent=1))


def row(net, classes, dataset):
    """Return what a network costs and what it is worth."""
    found = pruning.measure(net, classes, dataset, latency=0.0)._asdict()
    return {name: round(value, 4) for name, value in found.items()
            if name not in ("stage", "latency")}


def parse():
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    parser.add_argument("--weights", type=Path, help="keep the network here")
    parser.add_argument("--again", action="store_true",
                        help="only time the networks of the result anew")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.quick = False
    return options


def main():
    """Prune, train, judge, time, and save the result."""
    options = parse()
    if options.child:
        print(json.dumps(seconds(json.loads(options.child[1]))))
        return
    if options.again:
        again(options)
        return
    commit = common.commit()
    net, metadata = weights.load_model(START)
    classes, validation = metadata["classes"], real("val")
    rest, _ = datasets.split(real("train"), HELD_BACK,
                             np.random.default_rng(0))
    ratio, plan = half(net)
    small = pruning.cut(net, plan)
    images = mx.nd.array(np.random.default_rng(0).normal(
        size=(2, 3, *net.config.input_size)))
    differences = {"masked": difference(net, small, plan, images)}
    figures = {"whole": row(net, classes, validation),
               "pruned": row(small, classes, validation)}
    settings = config.TrainConfig(**SETTINGS, steps=recipes.steps_of(
        options.epochs, len(rest), config.TrainConfig(**SETTINGS)))
    common.note(f"ratio {ratio}: AP {figures['pruned']['AP']}; "
                f"{settings.steps} steps")
    begin = time.perf_counter()
    fitted = run_training(small, rest, settings)
    figures |= {"trained": row(small, classes, validation), "ratio": ratio,
                "seconds": round(fitted.history[-1]["seconds"], 1),
                "seconds in all": round(time.perf_counter() - begin, 1)}
    figures["forward"] = timed(net, ratio, small.config, options.rounds)
    if options.weights:
        weights.save_weights(options.weights, small, classes,
                                 figures=figures, commit=commit,
                                 train=settings.to_dict())
    common.save("pruning", {
        "figures": figures, "differences": differences, "seed": settings.seed,
        "config": {"model": small.config.to_dict(),
                   "train": settings.to_dict()}}, options)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
