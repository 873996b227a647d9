"""Train networks of full width from scratch, and judge them once.

    python benchmarks/full.py dsod_gluon --folder runs/gluon   real Pikachu
    python benchmarks/full.py dsod300 --folder runs/dsod300    real Pikachu
    python benchmarks/full.py chapter --folder runs/chapter    the stand-in

The real set is found through DSOD_REAL_DATA. The model is chosen on a tenth
of the training pictures; the 100 validation pictures are looked at once, at
the end. ``chapter`` is what chapter 08 runs where there is a GPU. A run of
hours may be stopped and started again with the same line: it goes on from
its newest checkpoint. Seconds are those of training steps, loading included;
other work beside the run makes them more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before MXNet: it reads the number of threads when it is loaded.
import dsod_d2l                                               # noqa: E402,F401

import mxnet as mx                                            # noqa: E402

from benchmarks import common                                 # noqa: E402
from benchmarks.pikachu import real                           # noqa: E402
from dsod_d2l import config, models, open_dataset             # noqa: E402
from dsod_d2l.detection import Detector                       # noqa: E402
from dsod_d2l.evaluation import evaluate_dataset              # noqa: E402
from dsod_d2l.workbench.runs.long_run import run_training     # noqa: E402

SHARED = {"batch_size": 16, "optimiser": "adam", "learning_rate": 2e-3,
          "weight_decay": 0.0}
REAL = {"augment": "shifted", "held_back": 0.1, "warmup": 30,
        "evaluate_every": 5, "checkpoint_every": 20}
# Preset, side in pixels, and what of TrainConfig differs.
NETWORKS = {
    "dsod_gluon": ("dsod_gluon", 256, {"steps": 1300, **REAL}),
    "dsod300": ("dsod300", 300, {"steps": 600, **REAL}),
    "chapter": ("dsod300", 300, {"steps": 220, "held_back": 0.0,
                                 "evaluate_every": 4,
                                 "checkpoint_every": 20}),
}
ROWS = ("step", "loss", "seconds", "AP", "AP50")


def figures_of(net, classes, dataset):
    """Return the figures of a network on a data set."""
    result = evaluate_dataset(Detector(net, classes), dataset)
    return {"images": result.images,
            **{name: round(getattr(result, name), 4)
               for name in ("AP", "AP50", "AP75")}}


def main():
    """Train one network, or go on with it, and save its result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--folder", type=Path, required=True,
                        help="of the run: checkpoints and history")
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    options = parser.parse_args()
    options.quick, options.rounds = False, 1
    preset, side, changes = NETWORKS[options.name]
    settings = config.TrainConfig(**{**SHARED, **changes})
    if options.name == "chapter":
        train, judged_on = map(open_dataset, ("standin:train",
                                              "standin:val"))
        chosen_on = judged_on
    else:
        train, judged_on, chosen_on = real("train"), real("val"), None
    mx.random.seed(settings.seed)
    net = models.build(preset, num_classes=1, input_size=(side, side))
    fitted = run_training(net, train, settings, options.folder,
                          resume=options.folder.is_dir(),
                          validation=chosen_on)
    figures = {"seconds": round(fitted.history[-1]["seconds"], 1),
               "steps": settings.steps, "best": fitted.best,
               "judged": figures_of(fitted.net, train.classes, judged_on)}
    curve = [{key: row[key] for key in ROWS if key in row}
             for row in fitted.history
             if row["step"] % 20 == 0 or row["step"] <= 3 or "AP" in row]
    common.save(f"full_{options.name}", {
        "figures": figures, "curve": curve, "seed": settings.seed,
        "parameters": models.count_parameters(fitted.net),
        "config": {"model": fitted.net.config.to_dict(),
                   "train": settings.to_dict()}}, options)


if __name__ == "__main__":
    main()
