"""Training with convolutions in half the bits, and the scale of the loss."""

import json
import logging

import dsod_d2l  # noqa: F401  (prepares MXNet)
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from dsod_d2l import config, models, training, weights as weight_files
from dsod_d2l.workbench.runs import checkpoints
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.runs import parallel, precision
from dsod_d2l.workbench.runs.precision import LossScale, lowered
from dsod_d2l.workbench.runs.long_run import run_training
from small_runs import Squares, ending, network, settings, train
from test_parallel import TWO, plain

needs_bfloat16 = pytest.mark.skipif(not precision.has_bfloat16(), reason="no bfloat16 in this processor")


# ---- the graph -------------------------------------------------------------------

def both(net, kind, images):
    """Return outputs and gradients of a network as it is, and lowered."""
    found = []
    for one in (net, lowered(net, kind)):
        with autograd.record():
            outputs = one(images)
            loss = sum((output ** 2).mean() for output in outputs)
        loss.backward()
        found.append([output.asnumpy() for output in outputs] + [
            parameter.grad().asnumpy() for parameter in net.collect_params().values() if parameter.grad_req != "null"])
    return found


def rounded(array):
    """Return float32 rounded to the 8 bits of bfloat16, to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 << 16
    return bits.astype(np.uint32).view(np.float32)


@needs_bfloat16
def test_a_convolution_multiplies_rounded_numbers():
    """Its oracle: the same in float32, of numbers that bfloat16 can hold."""
    rng = np.random.default_rng(0)
    data, weight = (rng.normal(0, 1, shape).astype(np.float32) for shape in ((2, 3, 9, 14), (16, 3, 3, 3)))
    convolution = mx.sym.Convolution(mx.sym.var("x"), mx.sym.var("w"), kernel=(3, 3), num_filter=16, no_bias=True)
    low = precision.amp.convert_symbol(convolution, target_dtype="bfloat16")

    def run(symbol, *arrays):
        arrays = {name: mx.nd.array(array) for name, array in zip("xw", arrays)}
        return mx.sym.amp_cast(symbol, dtype="float32").bind(mx.cpu(), arrays).forward()[0].asnumpy()

    found, exact = run(low, data, weight), run(convolution, rounded(data), rounded(weight))
    assert np.abs(found - run(convolution, data, weight)).max() > 1e-3
    np.testing.assert_allclose(found, rounded(exact), rtol=2**-7, atol=1e-3)


@needs_bfloat16
@pytest.mark.parametrize("name", ["dsod_tiny", "ssd_vgg_thin", "refinedet_dsod_tiny"])
def test_a_lowered_network_is_near_and_shares_its_numbers(name):
    net = models.build(name, 2)
    models.initialise(net)
    shape = (2, 3, *net.config.input_size)
    images = mx.nd.array(np.random.default_rng(0).normal(0, 1, shape))
    high, low = both(net, "bfloat16", images)
    assert {array.dtype for array in low} == {np.dtype(np.float32)}
    differ = 0
    for one, other in zip(high, low):
        scale = max(np.abs(one).max(), 1e-6)
        differ += np.abs(one - other).max() > 1e-4 * scale
    assert differ > len(high) / 2                # it does compute in another type
    for one, other in zip(high[:2], low[:2]):
        assert np.abs(one - other).max() < 0.1 * np.abs(one).max()
    assert lowered(net, "float32") is net
    assert lowered(net, "bfloat16").collect_params().keys() == net.collect_params().keys()


@pytest.mark.parametrize("name", [name for name in config.PRESETS if not name.startswith("grp")])
def test_every_network_can_be_converted_for_a_gpu(name):
    """What MXNet would compute there: casts to float16 in front of convolutions, and none to it behind."""
    net = models.build(name, 3)
    found = lowered(net, "float16")
    assert found.collect_params().keys() == net.collect_params().keys()
    assert (found.config, found.steps) == (net.config, net.steps)
    symbol = found._cached_graph[1]
    assert set(symbol.infer_type(pixels="float32")[1]) == {np.float32}
    assert "float16" in symbol.tojson(remove_amp_cast=False)


def test_up_sampling_is_refused_in_one_sentence():
    net = models.build("grp_dsod_tiny", 1)
    with pytest.raises(ValueError, match="cannot convert grp_dsod_tiny to bfloat16, .*: take precision float32$"):
        lowered(net, "bfloat16")


# ---- runs -------------------------------------------------------------------------

@needs_bfloat16
@pytest.mark.parametrize("ctx", [None, TWO])
def test_a_run_in_bfloat16_resumes_to_the_same_numbers(tmp_path, ctx):
    def go(folder, resume=False, **changes):
        return run_training(network(), Squares(), settings(**{"precision": "bfloat16", **changes}), folder, resume,
                            ctx, progress=False)

    whole = go(tmp_path / "a")
    go(tmp_path / "b")
    for path in checkpoints.list_checkpoints(tmp_path / "b/checkpoints")[1:]:
        path.unlink()
    go(tmp_path / "b", True)
    assert ending(tmp_path / "a") == ending(tmp_path / "b")
    with pytest.raises(ValueError, match="other settings"):
        go(tmp_path / "b", True, precision="float32")
    exact = go(tmp_path / "c", precision="float32")
    one, other = (run.history.column("loss")[1] for run in (whole, exact))
    assert one != other
    np.testing.assert_allclose(one[:2], other[:2], rtol=0.05)
    weights = weight_files.load_tensors(tmp_path / "a/model.safetensors")[0]
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


@needs_bfloat16
def test_the_network_itself_stays_float32():
    """Neither a later run in this process nor the evaluation is lowered."""
    before, net = train(None, net=plain(), held_back=0.), plain()
    train(None, net=net, precision="bfloat16", held_back=0.)
    after = train(None, net=plain(), held_back=0.)
    assert before.history.column("loss") == after.history.column("loss")


def test_a_type_that_the_device_has_not_is_refused(tmp_path, capsys, monkeypatch):
    with pytest.raises(ValueError, match=r"precision float16 is for a GPU, and this run is on cpu\(0\): bfloat16 is"):
        train(None, precision="float16")
    with pytest.raises(ValueError, match=r"precision bfloat16 is for a CPU, and this run is on gpu\(1\): float16 is"):
        precision.check_precision("bfloat16", mx.gpu(1))
    precision.check_precision("float16", mx.gpu(0))
    precision.check_precision("float32", mx.gpu(0))
    code = main(["train", "--data", "standin:train", "--precision", "float16", "--out", str(tmp_path / "a")])
    assert code == 2 and "precision float16 is for a GPU" in capsys.readouterr().err
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    with pytest.raises(ValueError, match="this processor does not compute with bfloat16: take precision float32"):
        train(None, precision="bfloat16")


def test_what_a_processor_says_of_itself(tmp_path):
    for text, found in (("flags : fpu avx512f avx512_bf16 vaes", True), ("Features : asimd bf16", True),
                        ("flags : fpu avx512f avx2", False)):
        (tmp_path / "cpuinfo").write_text(text)
        assert precision.has_bfloat16(tmp_path / "cpuinfo") is found
    assert not precision.has_bfloat16(tmp_path / "none")


# ---- the scale of the loss, as float16 has it, in float32 ---------------------------

@pytest.fixture
def scaled(monkeypatch):
    """Let runs have float16's scale, and compute in float32, which a CPU can."""
    monkeypatch.setattr(parallel, "check_precision", lambda *_: None)
    monkeypatch.setattr(parallel, "LossScale", lambda kind: LossScale("float16"))


def test_a_scale_that_is_doubled_leaves_its_step_as_it_is(tmp_path, monkeypatch):
    """The gradients of that step have the factor of before."""
    train(tmp_path / "a", clip=None)
    monkeypatch.setattr(parallel, "LossScale", lambda kind: LossScale("float16"))
    monkeypatch.setattr(precision, "SCALE_PATIENCE", 3)
    train(tmp_path / "b", clip=None)
    one, other = ending(tmp_path / "a"), ending(tmp_path / "b")
    assert one["model.safetensors"] == other["model.safetensors"]
    assert one["history"] == other["history"]


@pytest.mark.parametrize("ctx, changes", [(None, {}), (TWO, dict(accumulate=2, optimiser="sgd"))])
def test_a_power_of_two_changes_no_bit(tmp_path, ctx, changes, monkeypatch):
    def go(folder):
        run_training(network(), Squares(), settings(**{"clip": None, **changes}), tmp_path / folder, False, ctx, progress=False)
        found = ending(tmp_path / folder)
        return found["model.safetensors"], found["history"]

    plainly = go("a")
    monkeypatch.setattr(parallel, "LossScale", lambda kind: LossScale("float16"))
    assert go("b") == plainly


def test_a_clipped_gradient_is_that_of_the_loss(tmp_path, monkeypatch):
    """To rounding: MXNet reads the factor of an update from a text."""
    def go():
        found = train(None, clip=0.5, optimiser="sgd", learning_rate=0.02, held_back=0.)
        return [found.history.column(name)[1] for name in ("loss", "gradient")]

    plainly = go()
    monkeypatch.setattr(parallel, "LossScale", lambda kind: LossScale("float16"))
    np.testing.assert_allclose(go(), plainly, rtol=1e-3)
    np.testing.assert_allclose(go()[0][:2], plainly[0][:2], rtol=1e-6)


def overflowing(monkeypatch, *steps):
    """Let the gradients of some steps be too large."""
    real = training.Run.gradient_norm
    seen = []

    def norm(run):
        seen.append(run.devices.scale.value)
        return float("inf") if run.step + 1 in steps else real(run)
    monkeypatch.setattr(training.Run, "gradient_norm", norm)
    return seen


def test_a_step_that_overflows_is_left_out(tmp_path, scaled, monkeypatch, caplog):
    seen, net, weights = overflowing(monkeypatch, 2, 3), network(), []

    def note(row):
        weights.append(weight_files.parameter_arrays(net)[name].copy())
    models.initialise(net)
    name = next(name for name in weight_files.parameter_arrays(net) if name.endswith("weight"))
    with caplog.at_level(logging.WARNING):
        fitted = run_training(net, Squares(), settings(held_back=0., average=0.), tmp_path, progress=False,
                              callbacks=[note])
    assert seen == [2**16, 2**16, 2**15, 2**14, 2**14]
    same = [np.array_equal(*pair) for pair in zip(weights, weights[1:])]
    assert same == [True, True, False, False]
    assert fitted.history.column("gradient")[0] == [1, 4, 5]
    assert "Step 2: a gradient is too large for float16. The step is left out, and the loss multiplied by 32768" \
        in caplog.text
    rows = json.loads((tmp_path / "history.json").read_text())
    assert rows[1]["gradient"] is None and np.isfinite(rows[1]["loss"])


def test_the_scale_is_resumed(tmp_path, scaled, monkeypatch):
    seen = overflowing(monkeypatch, 2)
    train(tmp_path / "a")
    first = list(seen)
    for path in checkpoints.list_checkpoints(tmp_path / "a/checkpoints")[1:]:
        path.unlink()
    del seen[:]
    train(tmp_path / "a", resume=True)
    assert first == [2**16, 2**16, 2**15, 2**15, 2**15] and seen == [2**15]
    found = checkpoints.read_checkpoint(checkpoints.list_checkpoints(tmp_path / "a/checkpoints")[-1])
    assert found.facts["scale"] == [2**15, 3]


def test_a_gradient_that_no_scale_mends_stops_the_run(tmp_path, scaled, monkeypatch):
    overflowing(monkeypatch, *range(1, 99))
    with pytest.raises(FloatingPointError, match="step 17: .*the gradient's norm inf"):
        train(tmp_path, steps=60)


def test_the_scale_by_hand():
    scale = LossScale("float16")
    for _ in range(1999):
        assert not scale.overflowed(1.0)
    assert scale.value == 2**16
    assert not scale.overflowed(1.0) and scale.value == 2**17
    assert scale.overflowed(float("nan")) and scale.state() == [2**16, 0]
    scale.restore([2**24, 1999], "a")
    assert not scale.overflowed(0.0) and scale.value == 2**24        # no further
    other = LossScale("bfloat16")
    assert not other.overflowed(float("inf")) and other.state() == [1, 0]


@pytest.mark.parametrize("state", [None, [1], [0, 0], [1.5, 0], [2**25, 0], [1, 2000], [True, 0], "ab"])
def test_a_damaged_scale_is_one_sentence(state):
    with pytest.raises(ValueError, match="x.safetensors: the scale of the loss must be"):
        LossScale("float16").restore(state, "x.safetensors")
