"""A data set and a network for training runs that take a fraction of a second."""

import mxnet as mx
import numpy as np

from dsod_d2l import config, models, weights
from dsod_d2l.workbench.runs import checkpoints
from dsod_d2l.workbench.runs.long_run import run_training
from dsod_d2l.datasets import make_sample

SMALL = dict(stem=16, bottleneck=16, growth=16, layers=(1, 1, 1), second=16,
             predictions=(16, 16, 16), input_size=(65, 80))


class Squares:
    """Bright squares on noise, 65 x 80."""

    classes = ("square",)

    def __init__(self, count=8):
        self.samples = [self._draw(index) for index in range(count)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]

    @staticmethod
    def _draw(index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 90, (65, 80, 3), dtype=np.uint8)
        side = int(rng.integers(16, 30))
        y, x = rng.integers(0, (65 - side, 80 - side))
        image[y:y + side, x:x + side] = 255
        box = [x / 80, y / 65, (x + side) / 80, (y + side) / 65]
        return make_sample(image, [box], [0], source=f"square {index}")


def settings(**changes):
    """Return settings in which evaluation falls between checkpoints."""
    return config.TrainConfig(**{
        "steps": 5, "batch_size": 2, "optimiser": "adam", "warmup": 2,
        "learning_rate": 3e-3, "augment": "light", "held_back": 0.25,
        "evaluate_every": 1.0, "average": 0.9, "checkpoint_every": 2,
        "workers": 0, **changes})


def network():
    """Return a small network; its numbers are not drawn yet."""
    return models.build("dsod_tiny", **SMALL)


def train(folder, resume=False, net=None, callbacks=(), from_step=None,
          tuning=None, **changes):
    """Train the small network on the squares."""
    mx.random.seed(np.random.randint(1000))     # whatever was before
    return run_training(net or network(), Squares(), settings(**changes),
                        folder, resume, progress=False, callbacks=callbacks,
                        from_step=from_step, tuning=tuning)


def ending(folder):
    """Return all that a run leaves, but for times: {name: value}."""
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        tensors, facts = weights.load_tensors(path)
        if "facts" in tensors:
            found.update(history=checkpoints.read_checkpoint(path).facts)
            tensors.pop("facts")
        found[path.name] = facts, {name: array.tobytes() for name, array
                                   in tensors.items()}
    found["history"] = [{name: value for name, value in row.items()
                         if name != "seconds"}
                        for row in found["history"]["history"]]
    return found
