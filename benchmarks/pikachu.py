"""Train dsod_tiny from scratch and judge it on the real Pikachu pictures.

    python benchmarks/pikachu.py real       trained on the real set, 8 minutes
    python benchmarks/pikachu.py quick      seconds until AP50 reaches 0.95
    python benchmarks/pikachu.py transfer   trained on the rendered stand-in

Seconds are those of training steps, loading included, imports and
evaluation apart. The real set is found through DSOD_REAL_DATA. The model is
chosen on a held-back slice of the training set; the validation pictures are
looked at once, at the end. ``quick`` first looks for the number of steps
(evaluating on the validation pictures as it goes), then trains anew for that
many steps without a look, and reports the second run.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before MXNet: it reads the number of threads when it is loaded.
import dsod_d2l                                               # noqa: E402,F401

import mxnet as mx                                            # noqa: E402

from benchmarks import common                                 # noqa: E402
from dsod_d2l import config, models, weights  # noqa: E402
from dsod_d2l.workbench.formats import addresses  # noqa: E402
from dsod_d2l.workbench.runs.long_run import run_training  # noqa: E402
from dsod_d2l.detection import Detector                       # noqa: E402
from dsod_d2l.evaluation import evaluate_dataset              # noqa: E402

WEIGHTS = Path(__file__).resolve().parents[1] / "data" / "weights"
COMMON = {"optimiser": "adam", "learning_rate": 2e-3, "weight_decay": 0.0,
          "batch_size": 16}
RUNS = {
    # The set's boxes reach further to the right of a creature than to its
    # left, so mirrored pictures would teach a contradiction.
    "real": {"steps": 1300, "held_back": 0.1, "evaluate_every": 5,
             "augment": "shifted"},
    "quick": {"steps": 60, "held_back": 0.0, "batch_size": 8, "warmup": 5,
              "schedule": "constant", "augment": "none"},
    "transfer": {"steps": 700, "held_back": 0.1, "evaluate_every": 5},
}
GOAL = 0.95      # AP50 of the quick run
STRIDE = 2       # steps between its looks


class Reached(Exception):
    """The quick run has reached its goal."""


def real(split):
    """Open the real Pikachu pictures, decoded in memory."""
    root = os.environ.get("DSOD_REAL_DATA")
    if not root:
        raise SystemExit("set DSOD_REAL_DATA to the folder that holds "
                         "pikachu/train.rec")
    dataset = addresses.open_dataset(f"pikachu:{root}/pikachu", split,
                                    cache=True)
    dataset.validate()
    return dataset


def train(dataset, settings, callbacks=()):
    """Train dsod_tiny; return what ``fit`` returns."""
    mx.random.seed(settings.seed)
    net = models.build("dsod_tiny", len(dataset.classes))
    return run_training(net, dataset, settings, callbacks=callbacks)


def judge(net, classes, dataset):
    """Return the figures of a network on a data set."""
    result = evaluate_dataset(Detector(net, classes), dataset)
    return {"AP": round(result.AP, 4), "AP50": round(result.AP50, 4),
            "AP75": round(result.AP75, 4), "images": result.images}


def steps_to_goal(dataset, judged, settings):
    """Return how many steps it takes until AP50 reaches the goal."""
    reached = []

    def look(row):
        if row["step"] % STRIDE == 0:
            result = judge(nets[0], dataset.classes, judged)
            if result["AP50"] >= GOAL:
                reached.append(row["step"])
                raise Reached
    mx.random.seed(settings.seed)
    nets = [models.build("dsod_tiny", len(dataset.classes))]
    try:
        run_training(nets[0], dataset, settings, callbacks=[look])
    except Reached:
        return reached[0]
    raise SystemExit(f"AP50 {GOAL} was not reached in {settings.steps} steps")


def main():
    """Run one of the three and save its result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    options.quick, options.rounds = False, 1
    changes = {"steps": options.steps} if options.steps else {}
    settings = config.TrainConfig(**{**COMMON, **RUNS[options.run],
                                     **changes})
    validation = real("val")
    dataset = (addresses.open_dataset("standin:train", cache=True)
               if options.run == "transfer" else real("train"))
    dataset.validate()
    if options.run == "quick":
        steps = steps_to_goal(dataset, validation, settings)
        settings = config.TrainConfig(**{**settings.to_dict(),
                                         "steps": steps})
    fitted = train(dataset, settings)
    figures = {"seconds": round(fitted.history[-1]["seconds"], 1),
               "steps": settings.steps,
               "images seen": settings.steps * settings.batch_size,
               "trained on": len(dataset),
               "held back": fitted.best,
               "on real validation": judge(fitted.net, dataset.classes,
                                           validation)}
    if options.run == "transfer":
        figures["on stand-in validation"] = judge(
            fitted.net, dataset.classes, addresses.open_dataset("standin:val"))
    commit = common.commit()      # before the weights make the tree differ
    curve = [{key: row[key] for key in ("step", "loss", "seconds", "AP")
              if key in row} for row in fitted.history
             if row["step"] % 20 == 0 or "AP" in row]
    common.save(f"pikachu_{options.run}", {
        "figures": figures, "curve": curve, "seed": settings.seed,
        "config": {"model": fitted.net.config.to_dict(),
                   "train": settings.to_dict()}}, options)
    if options.run != "quick":
        name = "pikachu" if options.run == "real" else "standin"
        weights.save_weights(
            options.weights / f"dsod_tiny_{name}.safetensors", fitted.net,
            dataset.classes, train=settings.to_dict(), figures=figures,
            **commit)


if __name__ == "__main__":
    main()
