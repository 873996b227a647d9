"""The parts of GRP-DSOD: up-sampling by hand, gates by their formula."""

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import blocks
from dsod_d2l.models import grp_dsod


def ready(block, seed=0):
    mx.random.seed(seed)
    block.initialize()
    return block


def normal(*shape):
    return mx.nd.random.normal(shape=shape)


def test_a_unit_normalises_behind_the_convolution():
    unit = grp_dsod.unit(3, 8, 3, 2)
    assert [type(part).__name__ for part in unit] == [
        "Conv2D", "BatchNorm", "Activation"]
    out = ready(unit)(normal(1, 3, 5, 8))
    assert out.shape == (1, 8, 3, 4) and out.min().asscalar() >= 0
    assert "bias" not in " ".join(unit.collect_params())


@pytest.mark.parametrize("size, shape", [(2, (1, 4, 4, 5)),
                                         (4, (1, 4, 2, 3))])
def test_a_pooled_unit_rounds_up(size, shape):
    assert ready(grp_dsod.pooled_unit(3, 4, size))(
        normal(1, 3, 7, 9)).shape == shape


def test_a_dense_block_keeps_its_input_in_front():
    block = ready(grp_dsod.post_dense_block(5, 3, 6, 7))
    x = normal(2, 5, 3, 4)
    y = block(x)
    assert y.shape == (2, 5 + 3 * 7, 3, 4)
    np.testing.assert_array_equal(y[:, :5].asnumpy(), x.asnumpy())


def test_dense_prediction_puts_the_reused_half_first():
    block = ready(grp_dsod.dense_prediction(10, 4))
    x = normal(1, 10, 5, 7)
    y = block(x)
    assert y.shape == (1, 8, 3, 4)
    np.testing.assert_allclose(y[:, :4].asnumpy(),
                               block.first(x).asnumpy(), rtol=1e-5)


@pytest.mark.parametrize("fine", [(6, 8), (5, 8), (6, 7), (5, 7)])
def test_up_sampling_repeats_cells_and_fits_the_fine_map(fine):
    block = ready(grp_dsod.UpSampling(3, 4))
    x = normal(2, 3, 3, 4)
    mixed = block.mix(x).asnumpy()
    want = mixed.repeat(2, axis=2).repeat(2, axis=3)
    found = block(x, normal(2, 5, *fine)).asnumpy()
    np.testing.assert_array_equal(found, want[:, :, :fine[0], :fine[1]])


@pytest.mark.parametrize("kernel", [(2, 2), (1, 1), (1, 2)])
def test_frozen_up_sampling_is_a_sum_with_zeros_between(kernel):
    block = ready(grp_dsod.FrozenUpSampling(3, 4, kernel))
    block.after = blocks.nn.HybridSequential()          # look before the norm
    block.after.add(blocks.nn.HybridLambda(lambda F, x: x))
    x = normal(2, 3, 3, 4)
    found = block(x, x).asnumpy()
    rows, columns = (2 * n - 2 + k for n, k in zip((3, 4), kernel))
    want = np.zeros((2, 4, rows, columns), np.float32)
    want[:, :, ::2, ::2] = x.asnumpy().sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    assert block.weight.grad_req == "null"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_gate_is_its_formula():
    gate = ready(grp_dsod.Gate(40, 16))
    x = normal(2, 40, 3, 5)
    weights = {name: value.data().asnumpy() for name, value
               in gate._collect_params_with_prefix().items()}
    plain = x.asnumpy()
    z = np.maximum(plain.mean((2, 3)) @ weights["squeeze.1.weight"].T, 0)
    assert z.shape == (2, 2)                            # 40 // 16
    each = sigmoid(z @ weights["each.weight"].T)[:, :, None, None]
    image = sigmoid(z @ weights["whole.weight"].T)[:, :, None, None]
    want = plain + image * np.maximum(each * plain, 0)
    np.testing.assert_allclose(gate(x).asnumpy(), want, rtol=1e-4, atol=1e-5)


def test_a_gate_of_zeros_adds_a_quarter_of_what_is_positive():
    gate = ready(grp_dsod.Gate(8, weight="zeros"))
    x = normal(2, 8, 3, 5)
    want = x.asnumpy() + np.maximum(x.asnumpy(), 0) / 4
    np.testing.assert_allclose(gate(x).asnumpy(), want, rtol=1e-5)


@pytest.mark.parametrize("channels, count", [
    (1184, 176_565), (513, 33_410), (258, 8_547), (256, 8_481), (5, 18)])
def test_published_counts_of_gates(channels, count):
    """Of GRP-DSOD320: these, the third three times, make 244,097."""
    numbers = grp_dsod.Gate(channels).collect_params().values()
    assert sum(np.prod(one.shape) for one in numbers) == count
