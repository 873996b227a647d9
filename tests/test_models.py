"""Published counts from the built networks, and networks of any legal kind."""

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import anchors, config, models

PUBLISHED = [           # preset, classes, side, trainable, with statistics, N
    ("toy_ssd", 1, 256, 1_010_376, 1_012_360, 5444),
    ("toy_ssd", 2, 256, 1_031_132, 1_033_116, 5444),
    ("dsod_gluon", 1, 256, 6_389_104, 6_454_032, 5460),
    ("dsod300", 20, 300, 14_715_804, 14_795_736, 8744),
    ("dsod300", 80, 300, 21_700_524, 21_784_056, 8744),
]


@pytest.mark.parametrize("name, classes, side, trainable, all_, count",
                         PUBLISHED)
def test_published_counts(name, classes, side, trainable, all_, count):
    net = models.build(name, classes)
    assert net.config.input_size == (side, side)
    assert models.count_parameters(net) == trainable
    assert models.count_parameters(net, trainable=False) == all_
    assert len(anchors.anchors_for(net.config)) == count


@pytest.mark.parametrize("changes, trainable", [
    (dict(layers=(3, 4, 4, 4), bottleneck=256, growth=64), 10_395_612),
    (dict(bottleneck=64, growth=16), 5_833_372),
    (dict(bottleneck=36), 8_828_364),
    (dict(bottleneck=48), 9_281_244),
    (dict(bottleneck=12, growth=16), 5_044_012),
])
def test_counts_of_the_family(changes, trainable):
    assert models.count_parameters(
        models.build("dsod300", 20, **changes)) == trainable


@pytest.mark.parametrize("changes, trainable", [
    (dict(stem=64), 6_837_776), (dict(stem=64, num_classes=20), 8_611_160)])
def test_counts_of_the_gluon_reproduction(changes, trainable):
    net = models.build("dsod_gluon", **changes)
    assert models.count_parameters(net) == trainable


def test_distinct_sizes_keep_the_counts():
    plain, other = (models.build("dsod_gluon", distinct=flag)
                    for flag in (False, True))
    assert models.count_parameters(plain) == models.count_parameters(other)
    assert len(anchors.anchors_for(other.config)) == 5460
    sizes = [row.sizes for row in other.config.anchors]
    assert sizes[0] == pytest.approx((0.2, (0.2 * 0.37) ** 0.5))
    assert all(row.sizes[0] == row.sizes[1] for row in plain.config.anchors)


def forward(net, side, batch=1):
    net.initialize()
    return net(mx.nd.random.normal(shape=(batch, 3, *side)))


@pytest.mark.parametrize("name, side", [
    ("toy_ssd", (128, 200)), ("dsod_tiny", (129, 160)),
    ("dsod_tiny", (256, 256)), ("dsod300", (129, 150)),
    ("dsod_gluon", (129, 200))])
def test_outputs_fit_the_anchors_on_any_legal_size(name, side):
    net = models.build(name, 3, input_size=side)
    scores, offsets = forward(net, side, batch=2)
    count = len(anchors.anchors_for(net.config))
    assert scores.shape == (2, count, 4)
    assert offsets.shape == (2, count, 4)
    maps = [m.shape[2:] for m in net.features(mx.nd, mx.nd.zeros(
        (1, 3, *side)))]
    assert maps == net.config.map_shapes()


@pytest.mark.parametrize("name, side, least", [
    ("toy_ssd", 127, 128), ("dsod300", 128, 129), ("dsod_gluon", 128, 129),
    ("dsod_tiny", 64, 65)])
def test_a_size_below_the_least_is_refused(name, side, least):
    with pytest.raises(ValueError, match=f"at least {least} pixels"):
        models.build(name, input_size=side)


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_hybridizing_changes_nothing(name):
    net = models.build(name, input_size=160)
    net.initialize()
    x = mx.nd.random.normal(shape=(1, 3, 160, 160))
    before = [part.asnumpy() for part in net(x)]
    net.hybridize(static_alloc=True, static_shape=True)
    for old, new in zip(before, net(x)):
        np.testing.assert_allclose(old, new.asnumpy(), rtol=1e-3, atol=1e-4)


def trained_count(net, side):
    """Count the numbers that receive a gradient other than zero or not."""
    net.initialize()
    with mx.autograd.record():
        scores, offsets = net(mx.nd.random.normal(shape=(1, 3, *side)))
        loss = (scores * scores).sum() + (offsets * offsets).sum()
    loss.backward()
    count = 0
    for parameter in net.collect_params().values():
        if parameter.grad_req != "null":
            assert np.isfinite(parameter.grad().asnumpy()).all()
            count += parameter.grad().size
    return count


@pytest.mark.parametrize("seed", range(6))
def test_random_configurations_build_train_and_fit_their_anchors(seed):
    rng = np.random.default_rng(seed)
    rows = [config.AnchorSpec(sizes=tuple(rng.uniform(.1, .9, n)),
                              ratios=(1, 2, .5)[:m])
            for n, m in rng.integers(1, 4, (5, 2))]
    one = config.DSODConfig(
        name="random", anchors=rows, num_classes=int(rng.integers(1, 5)),
        input_size=tuple(int(side) for side in rng.integers(65, 140, 2)),
        stem=int(rng.integers(2, 12)), bottleneck=int(rng.integers(3, 20)),
        growth=int(rng.integers(3, 20)),
        compression=float(rng.choice([0.5, 1.0])),
        layers=tuple(int(n) for n in rng.integers(1, 3, rng.integers(3, 5))),
        second=int(rng.integers(3, 20)),
        predictions=tuple(int(n) for n in rng.integers(3, 20, 3)),
        l2_scale=[None, 20.0][seed % 2], head_norm=bool(seed % 3))
    net = models.build(one)
    assert trained_count(net, one.input_size) == models.count_parameters(net)
    scores, _ = net(mx.nd.zeros((1, 3, *one.input_size)))
    assert scores.shape[1] == len(anchors.anchors_for(one))


def test_head_and_body_weights_are_initialised_as_published():
    net = models.build("dsod300")
    models.initialise(net)
    head = net.class_heads[0].scores[0].weight.data().asnumpy()
    assert head.std() == pytest.approx(0.01, rel=0.02)
    assert net.norms[0].scale.data().asnumpy().min() == 20


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="dsod_tiny"):
        models.build("dsod_tin")
    with pytest.raises(ValueError, match="no field"):
        models.build("dsod_tiny", depth=3)
