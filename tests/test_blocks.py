"""The blocks: sizes, widths, order of parts, and training at any width."""

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import blocks


def run(block, shape, seed=0):
    mx.random.seed(seed)
    block.initialize()
    x = mx.nd.random.normal(shape=shape)
    return x, block(x)


def test_stem_divides_by_four_and_rounds_up():
    assert run(blocks.Stem(8), (1, 3, 30, 45))[1].shape == (1, 16, 8, 12)


def test_down_sample_halves():
    assert run(blocks.DownSample(3, 10), (2, 3, 20, 20))[1].shape == (
        2, 10, 10, 10)


def test_dense_layer_keeps_its_input_and_adds_growth():
    layer = blocks.DenseLayer(16, 24, 8)
    x, y = run(layer, (2, 16, 5, 7))
    assert y.shape == (2, 24, 5, 7)
    np.testing.assert_array_equal(y[:, :16].asnumpy(), x.asnumpy())
    names = [type(part).__name__ for unit in layer.new for part in unit]
    assert names == ["BatchNorm", "Activation", "Conv2D"] * 2


def test_dense_block_adds_layers_times_growth():
    block = blocks.dense_block(16, layers=3, bottleneck=24, growth=8)
    assert run(block, (1, 16, 4, 6))[1].shape == (1, 16 + 3 * 8, 4, 6)


@pytest.mark.parametrize("pool, shape", [(True, (1, 5, 3, 4)),
                                         (False, (1, 5, 5, 7))])
def test_transition_mixes_and_pools_only_if_asked(pool, shape):
    block = blocks.Transition(12, 5, pool)
    assert run(block, (1, 12, 5, 7))[1].shape == shape


def test_dense_prediction_puts_the_reused_half_first():
    block = blocks.DensePrediction(10, 4)
    x, y = run(block, (1, 10, 5, 7))
    assert y.shape == (1, 8, 3, 4)
    np.testing.assert_allclose(y[:, :4].asnumpy(),
                               block.reused(x).asnumpy(), rtol=1e-5)


def test_channel_norm_has_length_scale_at_each_place():
    _, y = run(blocks.ChannelNorm(6, 20), (2, 6, 3, 4))
    length = np.sqrt((y.asnumpy() ** 2).sum(axis=1))
    np.testing.assert_allclose(length, 20, rtol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
def test_predictor_orders_values_like_anchors(norm):
    """Cell by cell, then anchor by anchor, then value by value."""
    block = blocks.Predictor(4, anchors=3, values=5, norm=norm)
    x, y = run(block, (2, 4, 2, 3))
    raw = block.scores(x).asnumpy()                    # (2, 15, 2, 3)
    assert y.shape == (2, 2 * 3 * 3, 5)
    for row, column, anchor in [(0, 1, 2), (1, 2, 0), (1, 0, 1)]:
        place = (row * 3 + column) * 3 + anchor
        np.testing.assert_allclose(
            y.asnumpy()[:, place],
            raw[:, anchor * 5:anchor * 5 + 5, row, column], rtol=1e-6)
    assert ("bias" in " ".join(block.collect_params())) is not norm


def test_initial_weights_have_the_published_spread():
    body = blocks.convolution(64, 200, 3)
    head = blocks.convolution(64, 200, 3, weight=blocks.HEAD_INIT)
    for conv in (body, head):
        conv.initialize()
    values = body.weight.data().asnumpy()
    limit = (3 / (64 * 9)) ** 0.5          # Caffe: U(-sqrt(3 / fan in), ..)
    assert abs(values).max() == pytest.approx(limit, rel=1e-3)
    assert values.std() == pytest.approx(limit / 3 ** 0.5, rel=0.01)
    assert head.weight.data().asnumpy().std() == pytest.approx(.01, rel=.01)


@pytest.mark.parametrize("growth", [8, 12, 16, 20, 24, 40])
@pytest.mark.parametrize("hybrid", [False, True])
def test_any_growth_rate_trains(growth, hybrid):
    """A concatenation at any channel has a backward pass on this CPU."""
    block = mx.gluon.nn.HybridSequential()
    block.add(*blocks.dense_block(32, 4, 32, growth),
              blocks.Transition(32 + 4 * growth, 32))
    block.initialize()
    if hybrid:
        block.hybridize()
    stem = blocks.Stem(16)         # a block after a stem, as in a network
    stem.initialize()
    with mx.autograd.record():
        y = block(stem(mx.nd.random.normal(shape=(2, 3, 64, 64))))
        loss = (y * y).mean()
    loss.backward()
    grads = [p.grad().asnumpy() for p in block.collect_params().values()
             if p.grad_req != "null"]
    assert all(np.isfinite(grad).all() for grad in grads)
    assert any(np.abs(grad).max() > 0 for grad in grads)


def test_join_takes_the_slow_path_only_where_it_must():
    assert blocks.is_aligned(32, 16) and blocks.is_aligned(16, 7)
    assert not blocks.is_aligned(20, 16)
    assert not blocks.is_aligned(16, 8, 16)
