"""The committed weights and results: they load, and say what they did."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from dsod_d2l import config, models, weights
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.detection import Detector
from dsod_d2l.evaluation import evaluate_dataset

DATA = Path(__file__).resolve().parents[1] / "data"
WEIGHTS = sorted((DATA / "weights").glob("*.safetensors"))
RESULTS = sorted((DATA / "results").glob("*.json"))
REAL = os.environ.get("DSOD_REAL_DATA")


def test_there_are_weights_and_results():
    assert {path.stem for path in WEIGHTS} >= {"dsod_tiny_pikachu",
                                               "dsod_tiny_standin"}
    assert {path.stem for path in RESULTS} >= {
        "pikachu_real", "pikachu_quick", "pikachu_transfer", "step",
        "loader", "geometry", "augmentation", "bccd_dsod_tiny",
        "bccd_dsod_small", "bccd_toy_ssd", "ablation", "dsod300", "kill",
        "hostile", "pruning", "precision", "scaling", "relatives",
        "ssd_gluoncv"}


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_weights_are_small_and_whole(path):
    assert path.stat().st_size < 8e6
    net, metadata = weights.load_model(path)
    assert bool(net.config.widths) == path.stem.endswith("half")
    assert dataclasses.replace(net.config, widths=()) == config.get(
        "dsod_tiny", num_classes=len(metadata["classes"]))
    assert metadata["classes"] == (["RBC", "WBC", "Platelets"]
                                   if "bccd" in path.stem else ["pikachu"])
    assert {"train", "figures", "commit"} <= set(metadata)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_says_how_it_was_made(path):
    found = json.loads(path.read_text())
    assert found["command"].startswith("python benchmarks/")
    assert len(found["commit"]) == 40 and "dirty" in found
    assert not found["quick"]
    assert {"figures", "config", "seed", "date", "machine",
            "versions"} <= set(found)


def test_the_stand_in_weights_find_the_stand_in():
    detector = Detector.from_weights(
        DATA / "weights" / "dsod_tiny_standin.safetensors")
    result = evaluate_dataset(detector, addresses.open_dataset("standin:val"))
    stored = json.loads((DATA / "results/pikachu_transfer.json").read_text())
    stored = stored["figures"]["on stand-in validation"]
    assert result.AP50 == pytest.approx(stored["AP50"], abs=0.01)
    assert result.AP50 >= 0.9


@pytest.mark.skipif(not REAL, reason="DSOD_REAL_DATA is not set")
def test_the_weights_of_blood_cells_give_the_stated_figures():
    detector = Detector.from_weights(
        DATA / "weights" / "dsod_tiny_bccd.safetensors")
    stored = json.loads((DATA / "results/bccd_dsod_tiny.json").read_text())
    stored = stored["figures"]["on test"]
    result = evaluate_dataset(detector, addresses.open_dataset(
        f"voc:{REAL}/bccd/BCCD:test?classes=RBC,WBC,Platelets", bad="skip"))
    assert (result.images, result.objects) == (72, 945)
    for name in ("AP", "AP50", "AP75"):
        assert getattr(result, name) == pytest.approx(stored[name], abs=0.01)
    assert result.AP50 >= 0.88


@pytest.mark.skipif(not REAL, reason="DSOD_REAL_DATA is not set")
@pytest.mark.parametrize("name, run, least", [
    ("pikachu", "real", {"AP": 0.8, "AP50": 0.95}),
    ("standin", "transfer", {"AP50": 0.5})])
def test_the_weights_give_the_stated_figures_on_real_pictures(name, run,
                                                              least):
    detector = Detector.from_weights(
        DATA / "weights" / f"dsod_tiny_{name}.safetensors")
    result = evaluate_dataset(detector, addresses.open_dataset(
        f"pikachu:{REAL}/pikachu:val"))
    stored = json.loads((DATA / f"results/pikachu_{run}.json").read_text())
    for figure, value in stored["figures"]["on real validation"].items():
        assert getattr(result, figure) == pytest.approx(value, abs=0.01)
    assert all(getattr(result, key) >= value for key, value in least.items())


@pytest.mark.skipif(not REAL, reason="DSOD_REAL_DATA is not set")
def test_the_pruned_weights_give_the_stated_figures():
    """Half of the work, and an AP within 0.02 of that of the whole."""
    stored = json.loads((DATA / "results/pruning.json").read_text())["figures"]
    detector = Detector.from_weights(
        DATA / "weights" / "dsod_tiny_pikachu_half.safetensors")
    result = evaluate_dataset(detector, addresses.open_dataset(
        f"pikachu:{REAL}/pikachu:val"))
    work = models.multiply_adds(detector.net)
    assert work == stored["trained"]["multiply_adds"]
    assert work <= stored["whole"]["multiply_adds"] / 2
    for figure in ("AP", "AP50"):
        assert getattr(result, figure) == pytest.approx(
            stored["trained"][figure], abs=0.01)
    assert stored["whole"]["AP"] - result.AP < 0.02
