"""Several devices do what one does with the whole batch."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from dsod_d2l import config, models, training, weights as weight_files
from dsod_d2l.workbench import machine
from dsod_d2l.workbench.runs import checkpoints
from dsod_d2l.workbench.runs.long_run import LongRun, run_training
from dsod_d2l.datasets.loader import BatchMaker
from dsod_d2l.workbench.runs.parallel import Devices, set_norms
from narrow import narrow
from test_training import Squares, settings, small

TWO = [mx.cpu(0), mx.cpu(1)]


class Crowded(Squares):
    """Squares: one, two, three or none in an image, so that parts differ."""

    def __getitem__(self, index):
        return Squares(objects=index % 4)[index]


def plain(**changes):
    """Return a network without batch normalisation."""
    mx.random.seed(0)
    changes = {**narrow("ssd300_vgg16"), "extras": ((4, 6, "half"),) * 2,
               "anchors": config.get("ssd300_vgg16").anchors[:4], **changes}
    return models.build("ssd300_vgg16", 1, input_size=(80, 96), **changes)


def trained(net, ctx, folder=None, resume=False, data=None, **changes):
    plan = settings(**{"batch_size": 8, "steps": 4, "optimiser": "sgd",
                       "learning_rate": 0.01, "clip": 0.5, **changes})
    fitted = run_training(net, data or Crowded(), plan, folder, resume, ctx,
                          progress=False)
    return fitted, weight_files.parameter_arrays(fitted.net)


def close(one, other, tolerance=1e-5):
    for name, array in one.items():
        scale = max(np.abs(array).max(), 1e-3)
        assert np.abs(array - other[name]).max() <= tolerance * scale, name


def distance(one, other):
    """Return the length of the difference of all numbers of two networks."""
    return np.sqrt(sum(np.square(np.subtract(
        array, other[name], dtype=np.float64)).sum()
        for name, array in one.items()))


@pytest.mark.parametrize("changes", [
    {}, dict(classification="focal"), dict(optimiser="adam", accumulate=2),
    dict(average=0.9, weight_decay=5e-4)])
@pytest.mark.parametrize("ctx", [TWO, [mx.cpu(k) for k in range(4)]])
def test_a_divided_batch_gives_the_same_run(ctx, changes):
    one, weights = trained(plain(), mx.cpu(), **changes)
    several, divided = trained(plain(), ctx, **changes)
    for name in ("loss", "classification", "localisation", "gradient"):
        np.testing.assert_allclose(several.history.column(name)[1],
                                   one.history.column(name)[1], rtol=1e-5)
    # A number alone may be a sum of many that cancel, rounded in any order;
    # so the ways of all numbers are compared, as a whole.
    _, start = trained(plain(), mx.cpu(), **{
        **changes, "learning_rate": 1e-12, "weight_decay": 0.0})
    assert distance(weights, divided) < 5e-5 * distance(weights, start)
    for parameter in several.net.collect_params().values():
        assert parameter.list_ctx() == ctx
        first, *rest = parameter.list_data()
        for data in rest:                    # they have not drifted apart
            np.testing.assert_array_equal(first.asnumpy(), data.asnumpy())


def positives(classes):
    """Count the positive anchors of each of two devices."""
    return [[(part > 0).sum()] for part in np.split(classes, 2)]


def test_the_parts_have_unlike_numbers_of_objects():
    """Or the mean over the devices would pass the test above."""
    run = LongRun(plain(), Crowded(), settings(batch_size=8), TWO)
    run.begin()
    batch = run.maker.fill(0, run.maker.empty()[0])
    counts = positives(batch.classes)
    assert counts[0] != counts[1]
    assert sum(run.devices.shares(counts)) == pytest.approx(1)


def test_an_array_of_no_positives_has_a_share():
    devices = Devices(TWO, settings(batch_size=2))
    for classes, shares in ((np.zeros((2, 5), int), [1, 1]),
                            (np.array([[0, 1, 2], [0, 0, 0]]), [1, 0.5])):
        assert devices.shares(positives(classes)) == shares


def test_one_device_in_a_list_is_one_device():
    _, plainly = trained(small(), mx.cpu())
    _, listed = trained(small(), [mx.cpu()])
    for name, array in plainly.items():
        np.testing.assert_array_equal(array, listed[name])


@pytest.mark.parametrize("ctx", [mx.cpu(), [mx.cpu()]])
def test_one_device_is_a_plain_loop_bit_for_bit(ctx):
    """The loop of chapter 8, without any of what divides a batch."""
    plan = settings(batch_size=4, steps=3, optimiser="sgd", held_back=0.0,
                    learning_rate=0.01, warmup=2, clip=None)
    fitted = run_training(small(), Squares(), plan, None, False, ctx,
                          progress=False)
    net, losses = small(), []
    mx.random.seed(plan.seed)
    models.initialise(net)
    maker = BatchMaker(Squares(), net.config, plan)
    graph = training.TrainingGraph(net, plan)
    graph.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {
        "wd": plan.weight_decay, "momentum": plan.momentum}, kvstore=None)
    for step in range(3):
        mx.random.seed(plan.seed * 1_000_003 + step)
        trainer.set_learning_rate(training.learning_rate(step, plan))
        batch = maker.fill(step, maker.empty()[0])
        with autograd.record():
            first, second = graph(*(mx.nd.array(array, dtype=array.dtype)
                                    for array in batch[:3]))
            loss = first + plan.localisation_weight * second
        loss.backward()
        trainer.step(1)
        losses.append(first.asscalar() + float(second.asscalar()))
    assert fitted.history.column("loss")[1] == pytest.approx(losses, rel=1e-7)
    for name, array in weight_files.parameter_arrays(net).items():
        np.testing.assert_array_equal(
            array, weight_files.parameter_arrays(fitted.net)[name])


def test_a_run_on_two_devices_resumes_to_the_same_numbers(tmp_path):
    changes = dict(optimiser="adam", average=0.9, steps=6,
                   checkpoint_every=3, keep_checkpoints=9)
    _, whole = trained(small(), TWO, tmp_path / "a", **changes)
    trained(small(), TWO, tmp_path / "b", **changes)
    for path in checkpoints.list_checkpoints(tmp_path / "b/checkpoints")[1:]:
        path.unlink()
    fitted, again = trained(small(), TWO, tmp_path / "b", True, **changes)
    for name, array in whole.items():
        np.testing.assert_array_equal(array, again[name])


def test_two_devices_go_on_where_one_was_stopped(tmp_path):
    changes = dict(optimiser="adam", steps=6, checkpoint_every=3,
                   keep_checkpoints=9)
    one, weights = trained(plain(), mx.cpu(), tmp_path, **changes)
    for path in checkpoints.list_checkpoints(tmp_path / "checkpoints")[1:]:
        path.unlink()
    two, divided = trained(plain(), TWO, tmp_path, True, **changes)
    np.testing.assert_allclose(two.history.column("loss")[1],
                               one.history.column("loss")[1], rtol=1e-5)
    close(weights, divided, 1e-4)


def test_the_best_model_is_chosen_with_two_devices(tmp_path):
    fitted, weights = trained(small(), TWO, tmp_path, held_back=0.25,
                              evaluate_every=1.0, average=0.9)
    assert fitted.best["step"] > 0
    saved = weight_files.load_tensors(tmp_path / "model.safetensors")[0]
    for name, array in weights.items():
        np.testing.assert_array_equal(array, saved[name])


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="a batch of 8 images cannot be "
                                         "divided evenly among 3 devices$"):
        trained(plain(), [mx.cpu(k) for k in range(3)])


def test_a_network_of_two_steps_is_trained_the_same_on_two_devices():
    """Each step has its own positives, in unlike numbers on the devices."""
    def refined():
        mx.random.seed(0)
        return models.build(
            "refinedet_vgg_tiny", 1, input_size=(80, 96), transfer=16,
            transfer_norm=False, extra_norm=False, backbone=config.VGG16Config(
                widths=(8,) * 15, conv5=True, pool5=2, dilation=1))

    one, weights = trained(refined(), mx.cpu())
    two, divided = trained(refined(), TWO)
    for name in ("classification", "localisation", "gradient"):
        np.testing.assert_allclose(two.history.column(name)[1],
                                   one.history.column(name)[1], rtol=1e-4)
    close(weights, divided)


def test_normalisation_over_all_devices_is_that_of_one_device():
    """In a process of its own: MXNet reads the variable only once."""
    code = """if True:
        import sys
        sys.path.insert(0, "tests")
        import dsod_d2l
        from test_parallel import *
        changes = dict(sync_norm=True, clip=None, learning_rate=1e-3)
        one, weights = trained(small(), mx.cpu(), **changes)
        two, divided = trained(small(), TWO, **changes)
        apart, _ = trained(small(), TWO, **{**changes, "sync_norm": False})
        def losses(run):
            return np.array(run.history.column("loss")[1])
        print(losses(one), losses(two), losses(apart))
        assert np.allclose(losses(two), losses(one), rtol=1e-4)
        assert not np.allclose(losses(apart)[0], losses(one)[0], rtol=1e-4)
        assert weights.keys() == divided.keys()
        close(weights, divided, 1e-2)            # many are close to 0
        names = {type(block).__name__ for block in blocks(two.net)}
        assert "BatchNorm" in names and "SyncBatchNorm" not in names
        """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        timeout=100, cwd=os.path.dirname(os.path.dirname(__file__)),
        env={**os.environ, "MXNET_CPU_TEMP_COPY": "4096"})
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def blocks(block):
    yield block
    for child in block._children.values():
        yield from blocks(child)


def test_normalisation_over_devices_changes_place_and_comes_back(monkeypatch):
    net = small()
    before = {name: type(block) for name, block
              in enumerate(blocks(net))}
    with pytest.raises(ValueError, match="would stall: set "
                                         "MXNET_CPU_TEMP_COPY=4096"):
        set_norms(net, TWO)
    monkeypatch.setenv("MXNET_CPU_TEMP_COPY", "4096")
    set_norms(net, TWO)
    norms = [block for block in blocks(net)
             if type(block).__name__ == "SyncBatchNorm"]
    assert len(norms) > 5 and all(block._kwargs["ndev"] == 2
                                  for block in norms)
    assert len({block._kwargs["key"] for block in norms}) == len(norms)
    assert norms[0]._kwargs["eps"] == 1e-5
    set_norms(net, TWO[:1])
    assert {name: type(block) for name, block
            in enumerate(blocks(net))} == before


@pytest.mark.parametrize("text, message", [
    ("0,1", "there is no GPU 0: MXNet finds none"),
    ("cpu0,cpu0", "a device is named twice: cpu0,cpu0"),
    ("cpu", "such as cpu0,cpu1, found 'cpu'"),
    ("gpu0", "found 'gpu0'"), ("", "found ''")])
def test_devices_that_are_none_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        machine.named_devices(text.split(","))


def test_devices_by_name(monkeypatch):
    found, reason = machine.named_devices(["cpu0", "cpu1"])
    assert found == TWO and reason == "Running on cpu(0), cpu(1), as asked."
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 4)
    assert machine.named_devices(["1", " 3"])[0] == [mx.gpu(1), mx.gpu(3)]
    with pytest.raises(ValueError, match="no GPU 4: MXNet finds 4"):
        machine.named_devices(["4"])
    with pytest.raises(ValueError, match="cannot share the work"):
        machine.named_devices(["cpu0", "1"])
