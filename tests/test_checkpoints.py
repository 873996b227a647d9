"""Files: what comes back is what was saved, and damage is named."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

from dsod_d2l import models, weights
from dsod_d2l.workbench.runs import checkpoints

SMALL = dict(stem=4, bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
             predictions=(4, 4, 4), input_size=(65, 80))


def small(**changes):
    net = models.build("dsod_tiny", 2, **{**SMALL, **changes})
    models.initialise(net)
    return net


def test_a_model_comes_back_from_its_file_alone(tmp_path):
    net, path = small(), tmp_path / "w.safetensors"
    x = mx.nd.random.normal(shape=(1, 3, 65, 80))
    before = [part.asnumpy() for part in net(x)]
    weights.save_weights(path, net, ("cat", "dog"), result={"AP": 0.5})
    other, metadata = weights.load_model(path)
    assert metadata["classes"] == ["cat", "dog"]
    assert metadata["result"] == {"AP": 0.5}
    assert other.config == net.config
    for old, new in zip(before, other(x)):
        np.testing.assert_array_equal(old, new.asnumpy())


@pytest.mark.parametrize("changes, found", [
    (dict(growth=8), "shape"), (dict(layers=(1, 1, 2)), "missing"),
    (dict(num_classes=3), "shape")])
def test_weights_of_another_network_name_the_first_misfit(tmp_path, changes,
                                                          found):
    path = tmp_path / "w.safetensors"
    weights.save_weights(path, small(), ("a", "b"))
    tensors, _ = weights.load_tensors(path)
    net = models.build("dsod_tiny", **{"num_classes": 2, **SMALL, **changes})
    with pytest.raises(ValueError, match=rf"w.safetensors.*{found}"):
        weights.fill(net, tensors, str(path))


def test_a_tensor_too_many_is_named():
    net = small()
    tensors = {**weights.parameter_arrays(net), "extra": np.zeros(2)}
    with pytest.raises(ValueError, match="no tensor 'extra'"):
        weights.fill(net, tensors)


@pytest.mark.parametrize("damage", [
    lambda data: data[:20], lambda data: b"", lambda data: b"\xff" * 64,
    lambda data: data[:-5], lambda data: b"\x01" + data[1:],
    lambda data: data.replace(b"dsod_d2l 2", b"something ")])
def test_a_damaged_or_foreign_file_is_one_clear_error(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    weights.save_weights(path, small(), ("a", "b"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="w.safetensors"):
        weights.load_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors"):
        weights.load_model(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("optimiser, options", [
    ("sgd", {"momentum": 0.9}), ("sgd", {}), ("adam", {})])
def test_a_checkpoint_restores_weights_and_optimiser(tmp_path, optimiser,
                                                     options):
    def trainer_of(net):
        # A list keeps the network's order; a dictionary is sorted by names
        # that count the layers of the process: batchnorm1000, batchnorm999.
        return gluon.Trainer(list(net.collect_params().values()), optimiser,
                             {"learning_rate": 0.01, **options}, kvstore=None)

    def go(net, trainer, steps):
        for seed in steps:
            mx.random.seed(seed)
            x = mx.nd.random.normal(shape=(2, 3, 65, 80))
            with mx.autograd.record():
                loss = sum((part ** 2).mean() for part in net(x))
            loss.backward()
            trainer.step(1)

    one = small()
    trainer = trainer_of(one)
    go(one, trainer, range(3))
    checkpoints.save_checkpoint(tmp_path, 3, one, trainer, {"note": [1]})
    go(one, trainer, range(3, 6))
    two = small()
    other = trainer_of(two)
    found = checkpoints.read_checkpoint(
        checkpoints.list_checkpoints(tmp_path)[-1])
    checkpoints.restore_checkpoint(found, two, other)
    assert (found.step, found.facts) == (3, {"note": [1]})
    go(two, other, range(3, 6))
    for a, b in zip(weights.parameter_arrays(one).values(),
                    weights.parameter_arrays(two).values()):
        np.testing.assert_array_equal(a, b)


def test_only_the_newest_checkpoints_stay(tmp_path):
    net = small()
    trainer = gluon.Trainer(net.collect_params(), "sgd", kvstore=None)
    for step in (5, 20, 100):
        checkpoints.save_checkpoint(tmp_path, step, net, trainer, {}, keep=2)
    names = [path.name for path in checkpoints.list_checkpoints(tmp_path)]
    assert names == ["step-0000020.safetensors", "step-0000100.safetensors"]


@pytest.mark.parametrize("keep", [1, 2])
def test_what_is_newer_than_the_newest_is_dropped(tmp_path, keep):
    """It was damaged: the run has come from the checkpoint before it."""
    net = small()
    trainer = gluon.Trainer(net.collect_params(), "sgd", kvstore=None)
    for step in (5, 20):
        checkpoints.save_checkpoint(tmp_path, step, net, trainer, {}, keep)
    (tmp_path / "step-0000090.safetensors").write_bytes(b"damaged")
    checkpoints.save_checkpoint(tmp_path, 25, net, trainer, {}, keep)
    steps = [int(path.stem[5:])
             for path in checkpoints.list_checkpoints(tmp_path)]
    assert steps == [20, 25][-keep:]


def test_a_long_history_fits_into_a_checkpoint(tmp_path):
    """Metadata of more than 100 MB would be written, but never read."""
    net = small()
    trainer = gluon.Trainer(net.collect_params(), "sgd", kvstore=None)
    facts = {"history": "x" * 101_000_000}
    path = checkpoints.save_checkpoint(tmp_path, 1, net, trainer, facts)
    assert checkpoints.read_checkpoint(path).facts == facts


def test_a_model_is_no_checkpoint(tmp_path):
    weights.save_weights(tmp_path / "w.safetensors", small(), ("a", "b"))
    with pytest.raises(ValueError, match="no training checkpoint"):
        checkpoints.read_checkpoint(tmp_path / "w.safetensors")


def test_a_checkpoint_is_no_model(tmp_path):
    net = small()
    trainer = gluon.Trainer(net.collect_params(), "sgd", kvstore=None)
    path = checkpoints.save_checkpoint(tmp_path, 1, net, trainer, {})
    with pytest.raises(ValueError, match="--resume"):
        weights.load_model(path)


def test_the_number_of_class_names_must_fit(tmp_path):
    with pytest.raises(ValueError, match="2 classes, found \\('a',\\)"):
        weights.save_weights(tmp_path / "w.safetensors", small(), ("a",))
