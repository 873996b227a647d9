"""Train compact networks from scratch on blood cells, and judge them.

    python benchmarks/bccd.py dsod_tiny     a quarter of an hour on one core
    python benchmarks/bccd.py dsod_small    half an hour on one core
    python benchmarks/bccd.py toy_ssd       a quarter of an hour on one core

BCCD has 364 pictures of red cells, white cells and platelets; it is found
through DSOD_REAL_DATA. A network learns from ``train``, the best model is
chosen on ``val`` as training goes, and ``test`` is looked at once, at the
end. Pictures with a box that has no area are left out, and counted. Seconds
are those of training steps, loading included, evaluation apart.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
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
CLASSES = "RBC,WBC,Platelets"
SETTINGS = {"optimiser": "adam", "learning_rate": 2e-3, "weight_decay": 0.0,
            "batch_size": 16, "augment": "light", "average": 0.998,
            "held_back": 0.0, "evaluate_every": 10}
STEPS = {"dsod_tiny": 1800, "dsod_small": 1300, "toy_ssd": 1200}


def pictures(name):
    """Open the image set of that name, decoded in memory."""
    root = os.environ.get("DSOD_REAL_DATA")
    if not root:
        raise SystemExit("set DSOD_REAL_DATA to the folder that holds "
                         "bccd/BCCD")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = addresses.open_dataset(
            f"voc:{root}/bccd/BCCD:{name}?classes={CLASSES}", cache=True,
            bad="skip")
    for one in said:
        common.note(str(one.message))
    return found


def figures_of(net, classes, dataset):
    """Return the figures of a network on a data set, class by class."""
    result = evaluate_dataset(Detector(net, classes), dataset)
    return {"images": result.images, "objects": result.objects,
            **{name: round(getattr(result, name), 4)
               for name in ("AP", "AP50", "AP75")},
            "classes": {classes[one.label]: {"AP": round(one.AP, 4),
                                    "AP50": round(one.AP50, 4),
                                    "objects": one.objects}
                        for one in result.classes}}


def main():
    """Train one network and save its result and its weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", choices=STEPS)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    options.quick, options.rounds = False, 1
    settings = config.TrainConfig(
        **SETTINGS, steps=options.steps or STEPS[options.model])
    train, chosen_on, judged_on = map(pictures, ("train", "val", "test"))
    mx.random.seed(settings.seed)
    net = models.build(options.model, len(train.classes))
    fitted = run_training(net, train, settings, validation=chosen_on)
    commit = common.commit()      # before the weights make the tree differ
    figures = {"seconds": round(fitted.history[-1]["seconds"], 1),
               "steps": settings.steps, "trained on": len(train),
               "best on val": fitted.best,
               "on test": figures_of(fitted.net, train.classes, judged_on)}
    curve = [{key: row[key] for key in ("step", "loss", "seconds", "AP",
                                        "AP50") if key in row}
             for row in fitted.history
             if row["step"] % 50 == 0 or "AP" in row]
    common.save(f"bccd_{options.model}", {
        "figures": figures, "curve": curve, "seed": settings.seed,
        "parameters": models.count_parameters(fitted.net),
        "config": {"model": fitted.net.config.to_dict(),
                   "train": settings.to_dict()}}, options)
    if options.model == "dsod_tiny":
        weights.save_weights(
            options.weights / "dsod_tiny_bccd.safetensors", fitted.net,
            train.classes, train=settings.to_dict(), figures=figures,
            **commit)


if __name__ == "__main__":
    main()
