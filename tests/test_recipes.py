"""Recipes: the published rate at the published iteration, and the plan."""

import dataclasses
import doctest

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import (config, models, open_dataset, training, transforms,
                      weights as weight_files)
from dsod_d2l.datasets.loader import BatchMaker
from dsod_d2l.datasets.wrappers import Subset
from dsod_d2l.workbench import recipes
from dsod_d2l.workbench.pretrained import transfer
from dsod_d2l.workbench.runs import plan, precision
from dsod_d2l.workbench.runs.long_run import LongRun, run_training
from dsod_d2l.workbench.runs.parallel import Devices


def test_examples():
    for module in (recipes, plan, precision):
        assert doctest.testmod(module).attempted
        assert doctest.testmod(module).failed == 0


K = 1000
# As the authors' scripts and tutorials have it: steps, then for each rate
# the first and the last step with it, counted from 0.
TABLE = {
    "voc0712": (100 * K, [(.1, 0, 20), (.01, 20, 40), (.001, 40, 60),
                          (1e-4, 60, 80), (1e-5, 80, 100)]),
    "voc07++12": (120 * K, [(.1, 0, 20), (.01, 20, 40), (.001, 40, 60),
                            (1e-4, 60, 80), (1e-5, 80, 100),
                            (1e-6, 100, 120)]),
    "coco": (320 * K, [(.1, 0, 80), (.01, 80, 140), (.001, 140, 200),
                       (1e-4, 200, 260), (1e-5, 260, 320)]),
    "grp": (100 * K, [(.1, 0, 20), (.01, 20, 40), (.001, 40, 60),
                      (1e-4, 60, 80), (1e-5, 80, 100)]),
    "toy_ssd": (4219, [(.1, 0, 4.219)]),
    "refinedet": (120 * K, [(1e-3, 0, 80), (1e-4, 80, 100),
                            (1e-5, 100, 120)]),
    "dsod_gluon": (180 * K, [(.1, 0, 180)]),
    "ssd_voc": (60 * K, [(1e-3, 0, 40), (1e-4, 40, 50), (1e-5, 50, 60)]),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_rate_of_the_table_at_the_iteration_of_the_table(name):
    steps, spans = TABLE[name]
    settings = recipes.get_recipe(name).train
    assert settings.steps == steps
    for rate, first, end in spans:
        for step in (round(first * K), round(end * K) - 1):
            assert training.learning_rate(step, settings) == (
                pytest.approx(rate, rel=1e-9)), step


@pytest.mark.parametrize("name, momentum, decay, batch, passes", [
    ("voc0712", .9, 5e-4, 32, 4), ("voc07++12", .9, 5e-4, 32, 4),
    ("coco", .9, 5e-4, 32, 4), ("grp", .9, 5e-4, 48, 3),
    ("refinedet", .9, 5e-4, 32, 1), ("toy_ssd", 0, 5e-4, 32, 1), ("dsod_gluon", 0, 5e-4, 4, 1),
    ("ssd_voc", .9, 5e-4, 32, 1)])
def test_the_rest_of_the_table(name, momentum, decay, batch, passes):
    settings = recipes.get_recipe(name).train
    assert (settings.momentum, settings.weight_decay, settings.batch_size,
            settings.accumulate) == (momentum, decay, batch, passes)
    assert settings.optimiser == "sgd" and settings.clip is None


def test_cocos_anchors_in_pixels():
    """Minimum 21, 45, .. 261; maximum 45, .. 315: the geometric mean."""
    recipe = recipes.get_recipe("coco")
    got = config.get(recipe.model, **recipe.changes)
    assert got.num_classes == 80
    sizes = np.array([row.sizes for row in got.anchors]) * 300
    low = [21, 45, 99, 153, 207, 261]
    high = [*low[1:], 315]
    np.testing.assert_allclose(sizes[:, 0], low)
    np.testing.assert_allclose(sizes[:, 1], np.sqrt(np.multiply(low, high)))


@pytest.mark.parametrize("recipe", recipes.RECIPES.values(),
                         ids=lambda recipe: recipe.name)
def test_a_recipe_is_whole(recipe):
    assert recipe.name in recipes.RECIPES and len(recipe.note) > 40
    config.get(recipe.model, **recipe.changes)
    assert recipe.train.augment in transforms.AUGMENTATIONS
    images = 810 if recipe.train.held_back else 900
    assert recipe.epochs is None or recipes.steps_of(
        recipe.epochs, images, recipe.train) == recipe.train.steps


def test_epochs_become_steps():
    settings = config.TrainConfig(batch_size=16, accumulate=2)
    assert recipes.steps_of(150, 64, settings) == 300
    assert recipes.steps_of(0.1, 3, settings) == 1
    with pytest.raises(ValueError, match="voc08.*voc0712"):
        recipes.get_recipe("voc08")


def test_the_small_recipe_warms_up_and_ends_near_nothing():
    settings = recipes.get_recipe("small").train
    rate = [training.learning_rate(step, settings)
            for step in range(settings.steps)]
    assert rate[0] == pytest.approx(.001) and rate[49] == pytest.approx(.05)
    assert (np.diff(rate[50:]) < 0).all() and 0 < rate[-1] < 1e-6
    assert rate[50 + (settings.steps - 50) // 2] == pytest.approx(.025,
                                                                  rel=.01)
    assert settings.average == .995


def test_the_gluon_programs_average_over_all_anchors():
    for name, box_loss in (("toy_ssd", "smooth_l1"), ("dsod_gluon", "l1")):
        settings = recipes.get_recipe(name).train
        assert (settings.classification, settings.normalisation,
                settings.localisation) == ("even_focal", "per_anchor",
                                           box_loss)


@pytest.mark.parametrize("name", ["ssd_voc", "refinedet"])
def test_what_starts_from_a_classifier_says_by_which_option(name):
    assert "--backbone-weights" in recipes.get_recipe(name).note


# ------------------------------------------------- every recipe learns

def compact(name):
    """Return what makes the network of a recipe small, maps and all.

    It keeps what the rate is made for: heads, their normalisation, scales. A
    VGG16 is normalised here, where no classifier's weights are at hand.
    """
    own = config.get(name)
    dense = dict(stem=8, bottleneck=16, growth=8, layers=(1, 2, 2), second=16,
                 predictions=(16, 16, 16), anchors=own.anchors[:5])
    vgg = config.VGG16Config(norm=True, widths=[
        4, 4, 8, 8, *[16] * 3, *[32] * 6, 32, 32])
    return {
        "dsod": dense, "dsod_gluon": dense,
        "toy_ssd": dict(body=(8, 8, 16), extra=32),
        "grp_dsod": {**dense, "first_reuse": 16, "pyramid": (16,) * 4},
        # 20 for 512 channels is as much for each channel as 5 for 32.
        "ssd": dict(backbone=vgg, l2_scale=5.0, anchors=own.anchors[:5],
                    extras=((16, 32, "half"),) * 3),
        "refinedet": dict(backbone=dataclasses.replace(
            vgg, conv5=True, pool5=2), transfer=16,
            extras=((16, 32, "half"),))}[own.family]


class Begun(training.Run):
    """The first thirty steps of a run."""

    def stop(self):
        return self.step == 30


# The length of the gradient of the first step; a loss that was added up or
# divided in another way would have another, and want another rate.
FIRST_NORMS = {
    "voc0712": 155.9, "voc07++12": 155.9, "coco": 104.4, "grp": 77.59,
    "refinedet": 44.19, "ssd_voc": 22.20, "ssd_scratch": 26.37,
    "toy_ssd": .3170, "dsod_gluon": .3549, "small": 22.41}


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_thirty_steps_of_a_recipe_learn(name, standin):
    """Sixteen pictures, all of them in each step: nothing but it can fail."""
    loss, norms = thirty_steps(recipes.get_recipe(name), standin)
    assert len(loss) == 30 and np.isfinite(loss).all()
    assert loss[-3:].mean() <= 0.7 * loss[:3].mean()
    assert norms[0] == pytest.approx(FIRST_NORMS[name], rel=.02)


def thirty_steps(recipe, standin, **changes):
    """Return the losses and the lengths of the gradients."""
    side = 128 if recipe.model in ("toy_ssd", "dsod_gluon") else 96
    net = models.build(recipe.model, 1, input_size=(side, side),
                       **compact(recipe.model))
    settings = dataclasses.replace(
        recipe.train, batch_size=16, accumulate=1, augment="none",
        held_back=0.0, workers=0, **changes)
    history = training.fit(net, standin, settings, start=Begun).history
    return [np.array(history.column(key)[1]) for key in ("loss", "gradient")]


def test_the_first_gradient_tells_another_normalisation(standin):
    """Divided by the positives, the toy's is hundreds of times as long."""
    norms = thirty_steps(recipes.get_recipe("toy_ssd"), standin, steps=1,
                         classification="focal",
                         normalisation="per_positive")[1]
    assert norms[0] > 100 * FIRST_NORMS["toy_ssd"]


class Rising(LongRun):
    """A run whose loss is what a test says."""

    def __init__(self, losses):
        self.devices = Devices(mx.cpu(), config.TrainConfig())
        self.history = training.History({"loss": loss} for loss in losses)
        self.step = len(losses)


def test_a_loss_that_has_risen_tenfold_is_told_once(caplog):
    run = Rising([5.0, 6.0, 4.0, 3.0])
    with caplog.at_level("WARNING", "dsod_d2l"):
        for loss in (59.0, 61.0, 900.0):
            assert run.accepts(np.array([loss - 1, 1.0]), 1.0, [])
    [line] = caplog.messages
    assert line.startswith("Step 5: the loss has risen tenfold, from 6 to 61.")
    for word in ("--learning-rate", "--warmup", "--clip 10"):
        assert word in line
    for losses in ([], [0.0, 0.0]):            # nothing to compare with
        assert Rising(losses).accepts(np.array([9.0, 9.0]), 1.0, [])
    assert len(caplog.messages) == 1
    with pytest.raises(FloatingPointError, match="--warmup.*--clip 10"):
        run.accepts(np.array([np.inf, 0.0]), 1.0, ["a picture"])


def test_a_run_per_anchor_has_accuracy_and_mae_in_its_history(standin):
    """As Gluon's programs print them, of the batch that was trained on."""
    settings = dataclasses.replace(
        recipes.get_recipe("toy_ssd").train, steps=2, batch_size=4,
        augment="none", held_back=0.0, workers=0)
    net = models.build("toy_ssd", 1, input_size=(128, 128), body=(4, 4, 4),
                       extra=4)
    models.initialise(net)
    maker = BatchMaker(standin, net.config, settings)
    batch = maker.fill(0, maker.empty()[0])
    with mx.autograd.train_mode():
        scores, offsets = (one.asnumpy() for one in training.PixelGraph(net)(
            mx.nd.array(batch.images, dtype="uint8")))
    history = run_training(net, standin, settings, progress=False).history
    assert history[0]["accuracy"] == pytest.approx(
        (scores.argmax(-1) == batch.classes).mean(), abs=1e-4)
    error = abs(offsets - batch.offsets) * (batch.classes > 0)[..., None]
    assert history[0]["MAE"] == pytest.approx(error.mean(), rel=1e-4)
    assert len(history.column("accuracy")[0]) == 2
    usual = dataclasses.replace(settings, normalisation="per_positive")
    assert "MAE" not in run_training(net, standin, usual,
                                     progress=False).history[0]


@pytest.fixture(scope="module")
def standin():
    return Subset(open_dataset("standin:train", cache=True), range(16))


# ------------------------------------------------------------------ the plan

def tiny(**changes):
    return models.build("dsod_tiny", 1, input_size=(80, 96), stem=8,
                        bottleneck=8, growth=8, layers=(1, 1, 1), second=8,
                        predictions=(8, 8, 8), **changes)


@pytest.mark.parametrize("images", [2, 9, 15, 25])
def test_what_is_planned_to_be_held_back_is_held_back(images):
    from dsod_d2l.datasets import split
    settings = config.TrainConfig(held_back=.1)
    parts = split(range(images), .1, np.random.default_rng(0))
    assert plan.split_sizes(images, settings) == tuple(map(len, parts))


def test_a_plan_by_hand():
    settings = config.TrainConfig(
        steps=40, batch_size=5, accumulate=2, warmup=4, learning_rate=1.0,
        schedule="multistep", milestones=(.5, 1.0), held_back=.2)
    got = plan.plan_run(tiny(), 100, settings)
    assert (got["images"], got["held_back"]) == (80, 20)
    assert (got["images_per_step"], got["images_seen"]) == (10, 400)
    assert got["epochs"] == 5
    assert got["rates"] == [[0, .25], [3, 1.0], [20, .1], [39, .1]]
    text = plan.plan_text(got)
    for words in ("40 steps of 10 images (2 passes of 5)", "5.0 epochs",
                  "20: 0.1", "MiB", "2,048 MiB at most in all processes"):
        assert words in text
    assert got["cache"] == 2 << 30


def test_the_rates_of_a_cosine_are_those_of_the_schedule():
    settings = config.TrainConfig(steps=104, warmup=4)
    rows = plan.rate_table(settings)
    assert [step for step, _ in rows] == [0, 3, 29, 54, 78, 103]
    for step, rate in rows:
        assert rate == pytest.approx(training.learning_rate(step, settings),
                                     rel=1e-5)


def test_the_memory_of_weights_by_hand():
    net = tiny()
    learned = models.count_parameters(net)
    every = models.count_parameters(net, trainable=False)

    def bytes_of(**changes):
        return plan.estimate_memory(
            net, config.TrainConfig(**changes))["parameters"]
    assert bytes_of() == 4 * (every + 2 * learned)
    assert bytes_of(momentum=0.0) == 4 * (every + learned)
    assert bytes_of(optimiser="adam") == 4 * (every + 3 * learned)
    assert bytes_of(average=.9) == 4 * (2 * every + 2 * learned)


def test_the_memory_of_values_grows_with_images_and_pixels():
    def values(net, batch):
        return plan.estimate_memory(
            net, config.TrainConfig(batch_size=batch))["values"]
    small, wide = tiny(), models.build(dataclasses.replace(
        tiny().config, input_size=(160, 192)))
    assert values(small, 6) == 3 * values(small, 2)
    assert 3.5 < values(wide, 2) / values(small, 2) < 4.5
    # The first map alone: half of each side, as wide as the stem.
    assert values(small, 1) > 4 * 8 * 40 * 48


def test_a_plan_that_does_not_fit_names_a_batch_that_does(monkeypatch):
    net, settings = tiny(), config.TrainConfig(batch_size=32, accumulate=3)
    memory = plan.estimate_memory(net, settings)
    one, rest = memory["values"] // 32, memory["parameters"]

    def told(room, contexts=(mx.gpu(0),)):
        monkeypatch.setattr(plan, "device_memory", lambda context: room)
        return plan.plan_run(net, 100, settings, contexts)["warnings"]
    assert told(rest + 32 * one) == [] == told(0, ())
    [line] = told(rest + 31 * one)
    assert "gpu(0) has" in line and "--batch-size 24 --accumulate 4" in line
    assert "--batch-size 8 --accumulate 12" in told(rest + 11 * one)[0]
    assert "a smaller --input" in told(rest)[0]
    # Two GPUs have half of a batch each, two parts of a CPU one memory.
    two = [mx.gpu(0), mx.gpu(1)]
    assert told(rest + 16 * one, two) == [] != told(rest + 15 * one, two)
    assert told(rest + 31 * one, [mx.cpu(0), mx.cpu(1)])


def test_the_memory_of_this_machine():
    [line] = [line for line in open("/proc/meminfo") if "MemTotal" in line]
    assert plan.device_memory(mx.cpu()) == pytest.approx(
        1024 * int(line.split()[1]), rel=.02)


# -------------------------------------------------------------- fine-tuning

@pytest.fixture
def weights(tmp_path):
    net = tiny()
    models.initialise(net)
    weight_files.save_weights(tmp_path / "w.safetensors", net, ("cat",))
    return tmp_path / "w.safetensors"


def test_the_same_classes_take_everything(weights):
    net = tiny()
    got = transfer.start_from(net, weights, ("cat",))
    assert got.drawn == got.left == ()
    assert "drawn anew" not in str(got)
    stored = weight_files.load_tensors(weights)[0]
    for name, array in weight_files.parameter_arrays(net).items():
        np.testing.assert_array_equal(array, stored[name])


@pytest.mark.parametrize("classes", [("dog",), ("cat", "dog")])
def test_other_classes_leave_their_heads_to_chance(weights, classes):
    net = tiny() if len(classes) == 1 else models.build(
        dataclasses.replace(tiny().config, num_classes=2))
    got = transfer.start_from(net, weights, classes)
    assert {name.split(".")[0] for name in got.drawn} == {"class_heads"}
    assert sorted(got.left) == sorted(got.drawn)
    assert "in class_heads" in str(got)
    stored = weight_files.load_tensors(weights)[0]
    arrays = weight_files.parameter_arrays(net)
    assert set(got.loaded) | set(got.drawn) == set(arrays)
    for name in got.loaded:
        np.testing.assert_array_equal(arrays[name], stored[name])
    heads = [name for name in got.drawn if name.endswith("weight")
             and arrays[name].shape == stored[name].shape]
    assert all((arrays[name] != stored[name]).any() for name in heads)


def test_weights_of_another_network_are_refused(weights, tmp_path):
    net = models.build("toy_ssd", 1)
    with pytest.raises(ValueError, match="not fit toy_ssd: it holds dsod_t"):
        transfer.start_from(net, weights, ("cat",))
    with pytest.raises(FileNotFoundError):
        transfer.start_from(net, tmp_path / "none", ("cat",))


def test_what_no_shape_shows_is_told(tmp_path):
    """Two ResNets of the same shapes halve their maps at other places."""
    def ssd(**kind):
        return models.build("ssd300_resnet50", 1, backbone=(
            config.ResNet50Config(stem=4, inner=[(4, 4)] * 16,
                                  outputs=(4, 4, 4, 4), **kind)))
    theirs = ssd(stride_at="1x1")
    models.initialise(theirs)
    path = tmp_path / "r.safetensors"
    weight_files.save_weights(path, theirs, ["cat"])
    told = transfer.start_from(ssd(), path, ["dog"])
    assert told.differing == ("backbone stride_at: 1x1, here 3x3",)
    assert str(told).endswith("; otherwise in the file: backbone stride_at: "
                              "1x1, here 3x3")
    same = transfer.start_from(ssd(stride_at="1x1"), path, ["dog"])
    assert not same.differing and "otherwise" not in str(same)
    net = dataclasses.replace(theirs.config, variances=(.1, .1, .3, .3),
                              mean=(0, 0, 0), num_classes=3)
    told = transfer.start_from(models.build(net), path, ["a", "b", "c"])
    assert [line.split(":")[0] for line in told.differing] == [
        "mean", "variances"]


def test_a_file_says_nothing_of_what_its_preset_may_be_otherwise(tmp_path):
    """The authors' RefineDet stays theirs, whatever wrote the weights."""
    net = models.build("refinedet320_vgg16", 1, backbone=config.VGG16Config(
        widths=[4] * 15, conv5=True, pool5=2))
    models.initialise(net)
    weight_files.save_weights(tmp_path / "w.safetensors", net, ["cat"])
    asked = transfer.settings_of(tmp_path / "w.safetensors",
                                          net.config.name)
    assert asked == {"widths": {}}
    assert not transfer.settings_of(tmp_path / "w.safetensors",
                                             "ssd300_vgg16")


def test_weights_of_other_widths_are_refused_and_nothing_is_taken(weights):
    """Some layers would agree: taking those alone would be silent."""
    net = models.build(dataclasses.replace(tiny().config,
                                           growth=tiny().config.growth + 8))
    models.initialise(net)
    before = weight_files.parameter_arrays(net)
    stored = weight_files.load_tensors(weights)[0]
    assert any(stored[name].shape == array.shape
               for name, array in before.items() if name in stored)
    with pytest.raises(ValueError, match=(
            r"w\.safetensors does not fit dsod_tiny: its .*weight has the "
            r"shape \(.*\), expected was \(")):
        transfer.start_from(net, weights, ("cat",))
    for name, array in weight_files.parameter_arrays(net).items():
        np.testing.assert_array_equal(array, before[name])
