"""Chapter 08 on either device: the cells behind its choice of a network run for both of them,
here for two steps on small pictures, and its asserts know both."""
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import mxnet as mx
import nbformat
import numpy as np
import pytest

from browsing import ROOT
from dsod_d2l import config, models, visualisation
from dsod_d2l.datasets import example
from dsod_d2l.detection import Detector
from dsod_d2l.training import fit
from dsod_d2l.workbench.runs.plan import estimate_memory

CELLS = {cell.id: cell.source for cell in nbformat.read(ROOT / "book/08_training.ipynb", 4).cells}
BRANCHES = {"cpu": "dsod_tiny", "gpu": "dsod300"}
SIDE = 160        # dsod300 needs 129


class Pretended(mx.Context):
    """The CPU, which says that it is another device."""

    device_type = "gpu"


class Pictures:
    """The pictures of the book, as a data set."""

    classes = ("pikachu",)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return example(("field", "street", "three", "none")[index])


@pytest.mark.parametrize("kind", BRANCHES)
def test_the_cells_run_for_the_network_of_the_device(kind, capsys):
    settings = config.TrainConfig(steps=2, batch_size=2, warmup=1, optimiser="adam",
                                  learning_rate=2e-3, held_back=0.0, workers=0)

    def build(name, **fields):
        return models.build(name, input_size=(SIDE, SIDE), **fields)
    names = {
        "mx": mx, "np": np, "plt": plt, "visualisation": visualisation, "Detector": Detector,
        "fit": fit, "settings": settings, "Path": Path, "three": example("three"),
        "data": Pictures(),
        "device": mx.cpu() if kind == "cpu" else Pretended("cpu"),
        "models": SimpleNamespace(build=build), "open_dataset": lambda name: Pictures(),
        "set_matplotlib_formats": lambda *_, **__: None}
    with plt.rc_context({"backend": "agg"}):
        for cell in ("s4-fit", "s4-curve", "s5-judge", "s5-found", "s5-which", "s6-save",
                     "s6-check"):
            exec(CELLS[cell], names)
        plt.close("all")
    said = capsys.readouterr().out
    assert names["name"] == names["again"].config.name == BRANCHES[kind]
    assert "2 steps in" in said and "rows of the history 2" in said
    assert "creatures in the picture 3" in said and "largest difference 0.0" in said


@pytest.mark.parametrize("name, enough, too_little", [
    ("dsod_tiny", (0.9, 2), (0.89, 1)), ("dsod300", (0.85, 1), (0.84, 0))])
def test_the_asserts_know_both_networks(name, enough, too_little):
    def check(ap50, creatures):
        overlaps = np.where(np.arange(3) < creatures, 0.8, 0.1)
        for cell in ("s5-check", "s5-which-check"):
            exec(CELLS[cell], {"np": np, "name": name, "best": overlaps,
                               "result": SimpleNamespace(AP50=ap50)})
    check(*enough)
    for short in ((too_little[0], enough[1]), (enough[0], too_little[1])):
        with pytest.raises(AssertionError):
            check(*short)


def test_the_memory_that_is_stated_is_what_a_plan_says():
    settings = config.TrainConfig(batch_size=16, optimiser="adam")
    planned = estimate_memory(models.build("dsod300", num_classes=1), settings)["total"]
    assert "7.4 GB" in CELLS["s4"] and planned == pytest.approx(7.4e9, rel=0.25)
