"""Published counts from the built networks, and networks of any legal kind."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import (anchors, config, datasets, detection, evaluation,
                      models, weights)
from dsod_d2l.workbench.runs.long_run import run_training
from narrow import narrow

PUBLISHED = [           # preset, classes, side, trainable, with statistics, N
    ("toy_ssd", 1, 256, 1_010_376, 1_012_360, 5444),
    ("toy_ssd", 2, 256, 1_031_132, 1_033_116, 5444),
    ("dsod_gluon", 1, 256, 6_389_104, 6_454_032, 5460),
    ("dsod300", 20, 300, 14_715_804, 14_795_736, 8744),
    ("dsod300", 80, 300, 21_700_524, 21_784_056, 8744),
    ("dsod300_coco", 80, 300, 21_700_524, 21_784_056, 8744),
    ("dsod300_lite", 20, 300, 10_395_612, 10_436_792, 8744),
    ("dsod300_smallest", 20, 300, 5_833_372, 5_872_280, 8744),
    ("dsod512", 20, 512, 15_276_232, 15_357_744, 24564),
    ("ssd300_vgg16", 20, 300, 26_285_486, 26_285_486, 8732),
    ("ssd300_vgg16_bn", 20, 300, 26_301_358, 26_301_358 + 15_872, 8732),
    ("ssd512_vgg16", 20, 512, 27_188_676, 27_188_676, 24564),
    # One pair of extra layers more than SSD300: 2 x (128 + 256).
    ("ssd512_vgg16_bn", 20, 512, 27_188_676 + 15_872 + 768,
     27_188_676 + 2 * (15_872 + 768), 24564),
    ("refinedet320_vgg16", 20, 320, 34_440_884, 34_440_884, 6375),
    ("refinedet320_vgg16", 80, 320, 36_100_484, 36_100_484, 6375),
    ("refinedet512_vgg16", 20, 512, 34_440_884, 34_440_884, 16320),
    ("ssd300_resnet50", 20, 300, 30_954_158, 30_954_158 + 53_120, 8732),
    ("ssd300_mobilenet_v1", 20, 300, 8_777_902, 8_799_790, 8732),
    ("ssd300_mobilenet_v2", 20, 300, 8_005_198, 8_039_374, 8732),
]


@pytest.mark.parametrize("name, classes, side, trainable, all_, count",
                         PUBLISHED)
def test_published_counts(name, classes, side, trainable, all_, count):
    net = models.build(name, classes)
    assert net.config.input_size == (side, side)
    assert models.count_parameters(net) == trainable
    assert models.count_parameters(net, trainable=False) == all_
    assert len(anchors.anchors_for(net.config)) == count


@pytest.mark.parametrize("changes, trainable, all_", [
    (dict(bottleneck=36), 8_828_364, 8_898_936),
    (dict(bottleneck=48), 9_281_244, 9_352_536),
    (dict(bottleneck=144, growth=36), 10_536_252, 10_600_800),
    (dict(bottleneck=12, growth=16), 5_044_012, 5_079_800),
])
def test_counts_of_the_family(changes, trainable, all_):
    net = models.build("dsod300", 20, **changes)
    assert models.count_parameters(net) == trainable
    assert models.count_parameters(net, trainable=False) == all_


def caffe_floats(net):
    """Return the numbers in Caffe's file: one more per normalisation."""
    norms = [name for name in net.collect_params() if name.endswith("gamma")]
    return models.count_parameters(net, trainable=False) + len(norms)


@pytest.mark.parametrize("name, side, trainable, floats, ours, count", [
    ("grp_dsod320", 320, 13_779_312, 14_193_977, 13_904_100, 9602),
    ("grp_dsod320", 300, 13_779_312, 14_105_741, 13_904_100, 8744),
    ("grp_dsod320_star", 320, 15_539_962, 15_955_327, 15_664_750, 17078)])
def test_published_counts_of_grp(name, side, trainable, floats, ours, count):
    net = models.build(name, input_size=side, authors=True)
    assert models.count_parameters(net) == trainable
    assert caffe_floats(net) == floats
    assert len(anchors.anchors_for(net.config)) == count
    working = models.build(name, input_size=side)
    assert models.count_parameters(working) == ours
    kernels = [up.weight.shape[2] for up in net.doubling]
    assert kernels == ([2, 2, 2, 1, 1] if side == 320 else [2, 1, 2, 1, 1])


def test_caffe_files_of_the_family_have_their_published_sizes():
    for name, megabytes in [("dsod300", 59.18), ("dsod300_lite", 41.75),
                            ("dsod300_smallest", 23.49),
                            ("dsod300_coco", 87.14), ("dsod512", 61.43)]:
        floats = caffe_floats(models.build(name))
        assert 4e-6 * floats == pytest.approx(megabytes, abs=0.005)


def test_the_ablation_in_counts():
    """Plain prediction has 15.8 million numbers; the authors' had 18.2."""
    found = {name: models.count_parameters(models.build(row))
             for name, row in config.ablation().items()}
    assert list(found.values()) == [
        4_831_692, 4_898_284, 5_415_916, 6_055_516, 6_221_340, 14_816_156,
        15_677_788, 14_715_804]
    plain = models.build(config.ablation()["stem block"])
    assert round(caffe_floats(plain) / 1e6, 1) == 15.8


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
    ("dsod_gluon", (129, 200)), ("grp_dsod320", (129, 150)),
    ("grp_dsod_tiny", (67, 100))])
def test_outputs_fit_the_anchors_on_any_legal_size(name, side):
    net = models.build(name, 3, input_size=side)
    scores, offsets = forward(net, side, batch=2)
    count = len(anchors.anchors_for(net.config))
    assert scores.shape == (2, count, 4)
    assert offsets.shape == (2, count, 4)
    maps = [m.shape[2:] for m in net.features(mx.nd, mx.nd.zeros(
        (1, 3, *side)))]
    assert maps == net.config.map_shapes()


SIDES = [65, 66, 97, 128, 129, 130, 150, 191, 200, 255, 256, 257, 258, 299,
         300, 301, 320, 333, 400, 511, 512, 513, 600, 639, 640]


@pytest.mark.parametrize("name", ["toy_ssd", "dsod_gluon", "dsod300",
                                  "dsod512", "dsod_tiny", "grp_dsod320",
                                  "grp_dsod_tiny", "plain", "ssd300_vgg16",
                                  "ssd512_vgg16", "ssd300_resnet50",
                                  "ssd300_mobilenet_v1",
                                  "ssd300_mobilenet_v2", "refinedet320_dsod",
                                  "refinedet320_vgg16"])
def test_maps_have_the_sides_of_the_configuration(name):
    """Shapes alone: from the least side to 640, height unlike width."""
    one = (config.ablation()["large growth"] if name == "plain"
           else config.get(name))
    net = models.build(one)
    maps = mx.sym.Group(net.features(mx.sym, mx.sym.var("data")))
    legal = [side for side in SIDES if side >= one.least_side]
    for height, width in zip(legal, [*legal[3:], *legal[:3]]):
        shapes = maps.infer_shape(data=(1, 3, height, width))[1]
        sized = dataclasses.replace(one, input_size=(height, width))
        assert [shape[2:] for shape in shapes] == sized.map_shapes()


@pytest.mark.parametrize("side", [(257, 300), (320, 258), (300, 512)])
def test_frozen_kernels_fit_any_size(side):
    net = models.build("grp_dsod320", authors=True, input_size=side)
    out = mx.sym.Group(net.features(mx.sym, mx.sym.var("data")))
    shapes = out.infer_shape(data=(1, 3, *side))[1]
    assert [shape[2:] for shape in shapes] == net.config.map_shapes()


@pytest.mark.parametrize("name, side, least", [
    ("toy_ssd", 127, 128), ("dsod300", 128, 129), ("dsod_gluon", 128, 129),
    ("dsod_tiny", 64, 65), ("dsod512", 256, 257), ("grp_dsod320", 128, 129),
    ("ssd300_vgg16", 256, 257), ("ssd512_vgg16", 256, 257)])
def test_a_size_below_the_least_is_refused(name, side, least):
    with pytest.raises(ValueError, match=f"at least {least} pixels"):
        models.build(name, input_size=side)


def quick(name):
    """Return changes for networks that take seconds at their own widths."""
    return narrow(name) if config.get(name).family == "ssd" else {}


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_hybridizing_changes_nothing(name):
    side = (config.get(name).least_side, config.get(name).least_side + 21)
    net = models.build(name, input_size=side, **quick(name))
    models.initialise(net)
    x = mx.nd.random.normal(shape=(1, 3, *side))
    before = [part.asnumpy() for part in net(x)]
    net.hybridize(static_alloc=True, static_shape=True)
    for old, new in zip(before, net(x)):
        np.testing.assert_allclose(old, new.asnumpy(), rtol=1e-3, atol=1e-4)


def trained_count(net, side):
    """Count the numbers that receive a gradient other than zero or not."""
    net.initialize()
    with mx.autograd.record():
        parts = net(mx.nd.random.normal(shape=(1, 3, *side)))
        loss = sum((part * part).sum() for part in parts)
    loss.backward()
    count = 0
    for parameter in net.collect_params().values():
        if parameter.grad_req != "null":
            assert np.isfinite(parameter.grad().asnumpy()).all()
            count += parameter.grad().size
    return count


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_each_preset_does_a_step_at_its_least_size(name):
    least = config.get(name).least_side
    net = models.build(name, input_size=(least, least + 21), **quick(name))
    assert trained_count(net, (least, least + 21)) == \
        models.count_parameters(net)


def widths(rng, count):
    """Draw widths at most of which a concatenation needs care on a CPU."""
    return tuple(int(n) for n in rng.choice([5, 8, 12, 16, 20, 24], count))


# MXNet chooses the layout that fails where all before is a multiple of 16.
WIDE = dict(stem=16, bottleneck=32, layers=(1, 1, 1), compression=1.0)


def random_config(seed, family):
    """Draw a small legal configuration of a family of dense blocks."""
    rng = np.random.default_rng(seed)
    rows = [config.AnchorSpec(sizes=tuple(rng.uniform(.1, .9, n)),
                              ratios=(1, 2, .5)[:m])
            for n, m in rng.integers(1, 4, (5, 2))]
    extra = {}
    if family is config.DSODConfig:
        extra = dict(stem_style=str(rng.choice(["block", "plain"])),
                     prediction=str(rng.choice(["dense", "plain"])))
    if family is config.GRPConfig:
        extra = dict(up=["nearest", "frozen"][seed % 2],
                     gate_init=["xavier", "zero"][seed // 2 % 2],
                     first_reuse=widths(rng, 1)[0], pyramid=widths(rng, 4),
                     gate_ratio=int(rng.choice([1, 16])))
    narrow = dict(
        stem=int(rng.integers(2, 12)), bottleneck=widths(rng, 1)[0],
        layers=tuple(int(n) for n in rng.integers(1, 3, rng.integers(3, 5))),
        compression=float(rng.choice([0.5, 1.0])))
    return family(
        name="random", anchors=rows, num_classes=int(rng.integers(1, 5)),
        input_size=tuple(int(side) for side in rng.integers(65, 140, 2)),
        growth=widths(rng, 1)[0], second=widths(rng, 1)[0],
        predictions=widths(rng, 3), l2_scale=[None, 20.0][seed % 2],
        head_norm=bool(seed % 3), **(narrow if seed % 2 else WIDE), **extra)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("family", [
    config.DSODConfig, config.GRPConfig, config.GluonDSODConfig],
    ids=lambda family: family.family)
def test_random_configurations_build_train_and_fit_their_anchors(
        family, seed, hybrid):
    one = random_config(seed, family)
    net = models.build(one)
    if hybrid:
        net.hybridize()
    assert trained_count(net, one.input_size) == models.count_parameters(net)
    scores, _ = net(mx.nd.zeros((1, 3, *one.input_size)))
    assert scores.shape[1] == len(anchors.anchors_for(one))


@pytest.mark.parametrize("odd", [
    dict(growth=24), dict(second=24), dict(predictions=(24, 24, 24)),
    dict(first_reuse=24), dict(pyramid=(24, 24, 24, 24))],
    ids=lambda odd: next(iter(odd)))
@pytest.mark.parametrize("hybrid", [False, True])
def test_grp_trains_with_one_width_that_is_no_multiple_of_16(odd, hybrid):
    even = dict(growth=16, second=32, predictions=(32,) * 3, first_reuse=32,
                pyramid=(32,) * 4)
    net = models.build("grp_dsod_tiny", input_size=(70, 80),
                       **{**WIDE, **even, **odd})
    if hybrid:
        net.hybridize()
    assert trained_count(net, (70, 80)) == models.count_parameters(net)


@pytest.mark.parametrize("seed", range(2))
def test_random_toys_train(seed):
    rng = np.random.default_rng(seed)
    net = models.build("toy_ssd", int(rng.integers(1, 4)), input_size=(
        128, 150), body=widths(rng, 3), extra=widths(rng, 1)[0])
    assert trained_count(net, (128, 150)) == models.count_parameters(net)


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_a_name_finds_its_way_through_a_file(name, tmp_path):
    """By way of a narrow network of the same family, to stay quick."""
    net = models.build(name, 2, **narrow(name))
    models.initialise(net)
    path = tmp_path / "net.safetensors"
    weights.save_weights(path, net, ("one", "two"))
    again, metadata = weights.load_model(path)
    assert again.config == net.config and again.config.name == name
    assert metadata["classes"] == ["one", "two"]
    arrays = weights.parameter_arrays(again)
    for key, array in weights.parameter_arrays(net).items():
        np.testing.assert_array_equal(array, arrays[key])


def test_the_authors_gates_never_learn_and_ours_do():
    """The weights of a gate that starts at zero have no gradient, ever."""
    for form in ("zero", "xavier"):
        net = models.build("grp_dsod_tiny", gate_init=form,
                           input_size=(65, 80))
        models.initialise(net)
        trainer = mx.gluon.Trainer(net.collect_params(), "sgd",
                                   {"learning_rate": 1e-5})
        for _ in range(3):
            x = mx.nd.random.normal(shape=(2, 3, 65, 80))
            with mx.autograd.record():
                loss = sum((part * part).sum() for part in net(x))
            loss.backward()
            trainer.step(2)
        for gate in net.gates:
            layers = [gate.squeeze[1], gate.each, gate.whole]
            grads = [abs(layer.weight.grad().asnumpy()).max()
                     for layer in layers]
            assert (max(grads) == 0) == (form == "zero")
            biases = [abs(layer.bias.grad().asnumpy()).max()
                      for layer in layers[1:]]
            assert min(biases) > 0
            if form == "zero":
                assert not any(layer.weight.data().asnumpy().any()
                               for layer in layers)


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


class Squares:
    """Two bright squares on noise, 129 x 140."""

    classes = ("square",)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 90, (129, 140, 3), dtype=np.uint8)
        boxes = []
        for left in (0, 70):
            side = int(rng.integers(25, 50))
            y, x = rng.integers(0, (129 - side, 70 - side))
            image[y:y + side, left + x:left + x + side] = 255
            boxes.append([(left + x) / 140, y / 129, (left + x + side) / 140,
                          (y + side) / 129])
        return datasets.make_sample(image, np.array(boxes), [0, 0],
                                    source=f"squares {index}")


@pytest.mark.slow
@pytest.mark.parametrize("name, changes", [
    ("grp_dsod_tiny", {}), ("refinedet_dsod_tiny", {}),
    ("refinedet_vgg_tiny", {}),
    ("grp_dsod_tiny", dict(up="frozen", gate_init="zero")),
    ("dsod_tiny", dict(stem_style="plain", prediction="plain"))])
def test_a_compact_network_learns_four_images_by_heart(name, changes):
    mx.random.seed(0)
    net = models.build(name, 1, input_size=(129, 140), **changes)
    plan = config.TrainConfig(
        steps=60, batch_size=4, optimiser="adam", warmup=2,
        learning_rate=3e-3, augment="none", held_back=0, workers=0,
        weight_decay=0.0)
    run_training(net, Squares(), plan, progress=False)
    detector = detection.Detector(net, Squares.classes)
    result = evaluation.evaluate_dataset(detector, Squares())
    assert result.AP50 == 1 and result.AP > 0.8
