"""SSD: what its backbones and extra layers compute, by other means."""

import dataclasses
import doctest

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from dsod_d2l import (anchors, config, detection, evaluation, models, targets,
                      weights)
from dsod_d2l.models import backbones, ssd
from dsod_d2l.workbench.runs.long_run import run_training
from dsod_d2l.config import AnchorSpec, base, classifiers
from dsod_d2l.config.families import SSDConfig
from dsod_d2l.models.backbones import Backbone
from dsod_d2l.models.backbones import conv_unit
from narrow import narrow
from small_runs import Squares


def test_examples():
    for module in (classifiers, base, targets):
        assert doctest.testmod(module).failed == 0


def numbers(*shape, seed=0):
    return mx.nd.array(np.random.default_rng(seed).normal(size=shape))


def layers(net):
    """Yield each convolution of a network, and whether a norm follows it."""
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith("weight"):
            behind = name.rsplit(".", 2)[0]
            yield name, any(other.startswith(f"{behind}.1.gamma") for other
                            in net._collect_params_with_prefix())


def test_the_scale_formula_and_the_table_of_pixels():
    pixels = [row.sizes[0] * 300 for row in config.get("ssd300_vgg16").anchors]
    np.testing.assert_allclose(pixels, [30, 60, 111, 162, 213, 264])
    np.testing.assert_allclose(base.scale_sizes(6), [
        .1, .2, .375, .55, .725, .9])
    np.testing.assert_allclose(base.scale_sizes(7, .15, .9, .07), [
        .07, .15, .3, .45, .6, .75, .9])
    table = config.get("ssd512_vgg16").anchors
    np.testing.assert_allclose([row.sizes[0] for row in table],
                               base.scale_sizes(7, .15, .9, .07))


def by_hand(net, x):
    """Run VGG16 with the plain operators of MXNet."""
    arrays = {name: parameter.data() for name, parameter
              in net._collect_params_with_prefix().items()}
    rows = iter([name[:-7] for name in arrays if name.endswith("weight")])

    def conv(x, **options):
        name = next(rows)
        weight, bias = arrays[name + ".weight"], arrays[name + ".bias"]
        kernel = weight.shape[2:]
        options = {"pad": (kernel[0] // 2,) * 2, **options}
        return mx.nd.relu(mx.nd.Convolution(
            x, weight, bias, kernel=kernel, num_filter=len(weight),
            **options))

    def pool(x):
        return mx.nd.Pooling(x, kernel=(2, 2), stride=(2, 2),
                             pooling_convention="full", pool_type="max")

    maps = []
    for depth in (2, 2, 3, 3, 3):
        if maps:
            x = pool(x)
        for _ in range(depth):
            x = conv(x)
        maps.append(x)
    if len(net.widths) == 3:
        fc6 = conv(pool(x), dilate=(3, 3), pad=(3, 3))
    else:
        fc6 = conv(mx.nd.Pooling(x, kernel=(3, 3), pad=(1, 1),
                                 pool_type="max"), dilate=(6, 6), pad=(6, 6))
    return [maps[3], maps[4], conv(fc6)]


@pytest.mark.parametrize("changes, kept, halvings", [
    ({}, (0, 2), (3, 4)),
    (dict(conv5=True, pool5=2, dilation=3), (0, 1, 2), (3, 4, 5))],
    ids=["ssd", "refinedet"])
def test_vgg16_by_hand(changes, kept, halvings):
    widths = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19)
    wanted = config.VGG16Config(widths=widths, **changes)
    net = models.build_backbone(wanted)
    models.initialise(net)
    for parameter in net.collect_params(".*bias").values():
        parameter.set_data(numbers(*parameter.shape))
    x = numbers(2, 3, 100, 140)
    maps = net(x)
    assert net.widths == [(12, 15, 19)[k] for k in kept]
    assert wanted.halvings == halvings
    expected = [by_hand(net, x)[k] for k in kept]
    for found, want, width, count in zip(maps, expected, net.widths,
                                         halvings):
        assert found.shape == (2, width, -(-100 // 2 ** count),
                               -(-140 // 2 ** count))
        np.testing.assert_allclose(found.asnumpy(), want.asnumpy(),
                                   rtol=1e-4, atol=1e-5)


def test_the_last_block_of_mobilenet_can_be_left_out():
    short = config.MobileNetV1Config(last_block=False)
    net = models.build("ssd300_mobilenet_v1", backbone=short)
    assert models.count_parameters(net) == 8_777_902 - 1_061_888
    assert net.backbone.widths == [256, 1024]


def test_the_convolution_of_mobilenet_v2_that_widens_by_1_is_optional():
    short = config.MobileNetV2Config(expand_first=False)
    net = models.build("ssd300_mobilenet_v2", backbone=short)
    assert models.count_parameters(net) == 8_005_198 - 32 * 32 - 2 * 32


def test_maps_of_all_backbones_are_those_of_the_table():
    for name, widths in [("vgg16", (512, 1024)), ("resnet50", (512, 2048)),
                         ("mobilenet_v1", (256, 1024)),
                         ("mobilenet_v2", (32, 1280))]:
        maps = models.summarise(models.build(f"ssd300_{name}")).maps
        assert [row[:2] for row in maps] == [
            *zip(widths, (38, 19)), (512, 10), (256, 5), (256, 3), (256, 1)]


# The counts that torchvision states of whole classifiers (their dense layer
# has 2048 x 1000 weights and 1000 biases), and of the convolutions of VGG11.
@pytest.mark.parametrize("name, published, less", [
    ("resnet50", 25_557_032, 2_049_000), ("resnet101", 44_549_160, 2_049_000),
    ("resnet152", 60_192_808, 2_049_000),
    ("vgg11", 9_220_480, -(9 * 512 * 1024 + 1024 + 1024 * 1024 + 1024))])
def test_published_counts_of_deeper_and_shallower_bodies(name, published,
                                                         less):
    net = models.build("ssd300_vgg16", backbone=name)
    assert models.count_parameters(net.backbone) == published - less
    assert [row[1] for row in models.summarise(net).maps] == [
        38, 19, 10, 5, 3, 1]
    assert config.from_dict(net.config.to_dict()) == net.config


def test_depths_and_widths_of_a_body_belong_together():
    for changes, said in [
            ({"name": "vgg16", "depths": [1] * 4}, "depths of vgg16 needs 5"),
            ({"name": "vgg16", "depths": [1] * 5}, "widths of vgg16 needs 7"),
            ({"name": "resnet50", "depths": [1] * 5}, "resnet50 needs 4")]:
        with pytest.raises(ValueError, match=said):
            config.get("ssd300_vgg16", backbone=changes)
    with pytest.raises(ValueError, match="vgg12.*vgg11, resnet101, resnet152"):
        config.get("ssd300_vgg16", backbone="vgg12")


def test_a_width_multiplier_thins_all_but_the_last_layer():
    half = models.build_backbone(config.MobileNetV2Config(width=0.5))
    assert half.widths == [16, 1280]
    assert models.build_backbone(config.MobileNetV1Config(
        width=0.25)).widths == [64, 256]


def test_only_the_first_map_is_normalised():
    net = models.build("ssd300_vgg16", input_size=(257, 280),
                       **narrow("ssd300_vgg16"))
    models.initialise(net)
    x = numbers(1, 3, 257, 280)
    maps, plain = net.features(mx.nd, x), net.backbone(x)
    lengths = (maps[0] ** 2).sum(axis=1).sqrt().asnumpy()
    some = plain[0].asnumpy().any(axis=1)
    assert some.mean() > 0.5
    np.testing.assert_allclose(lengths[some], 20, rtol=1e-3)
    np.testing.assert_array_equal(maps[1].asnumpy(), plain[1].asnumpy())
    again = net.extras[0](plain[1])
    np.testing.assert_array_equal(maps[2].asnumpy(), again.asnumpy())
    net = models.build("ssd300_vgg16", l2_scale=None)
    assert net.norm is None and "norm" not in [
        name.split(".")[0] for name in net._collect_params_with_prefix()]


def test_batch_norm_is_everywhere_but_in_the_last_extra_and_the_heads():
    normed = dict(layers(models.build("ssd300_vgg16_bn")))
    bare = [name for name, norm in normed.items() if not norm]
    assert [name for name in bare if "heads" not in name] == [
        "extras.3.1.0.weight"]
    assert len(bare) == 1 + 2 * 6
    assert not any(norm for _, norm in layers(models.build("ssd300_vgg16")))


def test_the_extra_layers_are_those_of_the_paper():
    for name, rows in [
            ("ssd300_vgg16", ["512 x 10 x 10", "256 x 5 x 5", "256 x 3 x 3",
                              "256 x 1 x 1"]),
            ("ssd512_vgg16", ["512 x 16 x 16", "256 x 8 x 8", "256 x 4 x 4",
                              "256 x 2 x 2", "256 x 1 x 1"])]:
        found = models.summarise(models.build(name)).stages
        assert [" x ".join(map(str, row.shape)) for row in found
                if row.name == "extra layers"] == rows


def test_the_form_of_the_scale_formula():
    found = config.get("ssd300_vgg16", scale_formula=True)
    pairs = np.array([row.sizes for row in found.anchors])
    np.testing.assert_allclose(pairs[:, 0], base.scale_sizes(6))
    following = [.2, .375, .55, .725, .9, 1.075]
    np.testing.assert_allclose(pairs[:, 1], np.sqrt(pairs[:, 0] * following))
    assert found.anchor_count == 8732
    np.testing.assert_allclose(
        [row.sizes[0] for row in config.get("ssd512_vgg16",
                                            scale_formula=True).anchors],
        base.scale_sizes(7, .15, .9, .07))


def test_anchors_end_at_the_edge_if_asked_for():
    """MXNet's operator, which clips too, is the oracle."""
    rows = [AnchorSpec(sizes=(0.5, 0.7))] * 5
    cut, free = (anchors.anchors_for(config.get(
        "ssd_vgg_thin", anchors=rows, input_size=(96, 160), clip_anchors=one))
        for one in (True, False))
    theirs = [mx.nd.contrib.MultiBoxPrior(
        mx.nd.zeros((1, 1, *shape)), (0.5, 0.7), (1, 2, .5), clip=True)[0]
        for shape in config.get("ssd_vgg_thin",
                                input_size=(160, 160)).map_shapes()]
    square = anchors.anchors_for(config.get(
        "ssd_vgg_thin", anchors=rows, input_size=160, clip_anchors=True))
    np.testing.assert_allclose(square, mx.nd.concat(*theirs, dim=0).asnumpy(),
                               atol=1e-6)
    assert free.min() < 0 and free.max() > 1
    np.testing.assert_array_equal(cut, free.clip(0, 1))


def test_means_of_offsets_are_taken_off_and_put_back():
    one = config.get("ssd_vgg_thin", offset_means=(0.02, -0.01, 0.3, 0.1),
                     variances=(0.1, 0.2, 0.2, 0.4), input_size=(96, 160))
    found, rng = anchors.anchors_for(one), np.random.default_rng(0)
    corner = rng.uniform(0, .5, (3, 2))
    objects = np.concatenate([corner, corner + rng.uniform(.1, .5, (3, 2))],
                             axis=1)
    plain, ours = (targets.label_anchors(
        found, objects, [0, 0, 0], encode=targets.codec_for(which).encode)
        for which in (dataclasses.replace(one, offset_means=(0,) * 4), one))
    rows = plain.positive
    assert rows.sum() > 3 and not ours.offsets[~rows].any()
    np.testing.assert_allclose(       # (t - mean) / deviation, by hand
        ours.offsets[rows], (plain.offsets[rows] * one.variances
                             - one.offset_means) / one.variances, atol=1e-4)
    back = targets.plain_offsets(ours.offsets, found, one)
    np.testing.assert_allclose(back[rows], plain.offsets[rows], atol=1e-4)
    moves, usual = rng.normal(size=(len(found), 4)), config.get("dsod_tiny")
    assert targets.plain_offsets(moves, found, usual) is moves
    for mine, theirs in zip(targets.label_anchors(
            found, objects, [0, 0, 0], encode=targets.codec_for(usual).encode),
            targets.label_anchors(found, objects, [0, 0, 0])):
        np.testing.assert_array_equal(mine, theirs)


class Corners:
    """Say where the corners are, in sides of the anchor: no logarithm."""

    def __init__(self, means, variances):
        self.unit = np.array(variances)

    def encode(self, boxes, anchors):
        sides = np.tile(anchors[:, 2:] - anchors[:, :2], 2)
        return (boxes - anchors) / sides / self.unit

    def decode(self, offsets, anchors):
        sides = np.tile(anchors[:, 2:] - anchors[:, :2], 2)
        return anchors + offsets * self.unit * sides


class Wide(nn.HybridBlock):
    """Predict from 5 x 5 cells."""

    def __init__(self, in_channels, anchors, values, norm=False):
        super().__init__()
        self.values, self.scores = values, nn.Conv2D(
            anchors * values, 5, padding=2, in_channels=in_channels)

    def hybrid_forward(self, F, x):
        x = F.transpose(self.scores(x), axes=(0, 2, 3, 1))
        return F.reshape(x, shape=(0, -1, self.values))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EightConfig(config.BackboneConfig):
    """A backbone of one's own: a configuration and a block."""

    name: str = "eight"
    width: int = 16

    @property
    def halvings(self):
        return (2, 3)


class Eight(Backbone):
    """Four convolutions, three of which halve the map."""

    def __init__(self, config):
        super().__init__()
        wide = config.width
        self.add_stage("quarter", conv_unit(3, wide, stride=2),
                       conv_unit(wide, wide, stride=2), width=wide)
        self.add_stage("eighth", conv_unit(wide, 2 * wide, stride=2),
                       conv_unit(2 * wide, 2 * wide), width=2 * wide)


@pytest.fixture
def own_parts(monkeypatch):
    monkeypatch.setitem(classifiers.BACKBONES, "eight", EightConfig)
    monkeypatch.setitem(backbones.BLOCKS, "eight", Eight)
    monkeypatch.setitem(ssd.PREDICTORS, "wide", Wide)
    monkeypatch.setitem(targets.CODECS, "corners", Corners)


def test_a_network_of_ones_own_parts_learns_and_is_saved(own_parts, tmp_path):
    """Backbone, head, codec and boxes are others; all else is as ever."""
    mx.random.seed(0)
    rows = [AnchorSpec(sizes=(size, size * 1.3)) for size in (.2, .35, .6)]
    net = models.build("ssd_vgg_thin", 1, backbone="eight", head="wide",
                       codec="corners", anchors=rows, input_size=(96, 104),
                       extras=((16, 32, "half"),), l2_scale=None)
    assert models.summarise(net).stages[1].name == "eighth"
    run_training(net, Squares(4), dataclasses.replace(BY_HEART, steps=100),
                 progress=False)
    assert precision(net) == 1
    path = tmp_path / "own.safetensors"
    weights.save_weights(path, net, Squares.classes)
    again = weights.load_model(path)[0]
    assert again.config == net.config
    assert precision(again) == 1


BY_HEART = config.TrainConfig(
    steps=60, batch_size=4, optimiser="adam", warmup=2, learning_rate=3e-3,
    augment="none", held_back=0, workers=0, weight_decay=0.0)


def precision(net):
    """Return the AP50 of a network on the four images."""
    detector = detection.Detector(net, Squares.classes)
    return evaluation.evaluate_dataset(detector, Squares(4)).AP50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ssd_vgg_thin", "ssd_mobilenet_v2_tiny"])
def test_a_compact_network_learns_four_images_by_heart(name):
    mx.random.seed(0)
    net = models.build(name, 1, input_size=(81, 100))
    run_training(net, Squares(4), BY_HEART, progress=False)
    assert precision(net) == 1


def test_separable_heads_by_hand():
    head = ssd.SeparablePredictor(6, 4, 3)
    models.initialise(head)
    filters, mix = head.scores[0][0], head.scores[1]
    mix.bias.set_data(numbers(12))
    assert filters.weight.shape == (6, 1, 3, 3)
    x = numbers(2, 6, 5, 7)
    each = mx.nd.concat(*[mx.nd.Convolution(
        x[:, k:k + 1], filters.weight.data()[k:k + 1], no_bias=True,
        num_filter=1, kernel=(3, 3), pad=(1, 1)) for k in range(6)], dim=1)
    each = mx.nd.clip(each / (1 + 1e-5) ** 0.5, 0, 6)  # begins with mean 0
    want = mx.nd.dot(each.transpose((0, 2, 3, 1)).reshape((-1, 6)),
                     mix.weight.data().reshape((12, 6)), transpose_b=True)
    want = (want + mix.bias.data()).reshape((2, 5 * 7 * 4, 3))
    np.testing.assert_allclose(head(x).asnumpy(), want.asnumpy(), rtol=1e-4,
                               atol=1e-5)


@pytest.mark.parametrize("changes, message", [
    (dict(backbone=5), "backbone must be a name, a dictionary or a "
     "BackboneConfig, found 5"),
    (dict(backbone="vgg19"), "no backbone is called 'vgg19', expected one of "
     "vgg16"),
    (dict(backbone={"name": "vgg16", "depth": 3}), "vgg16 has no field depth"),
    (dict(backbone={"name": "vgg16", "widths": [1] * 14}),
     "widths of vgg16 needs 15 numbers, found 14"),
    (dict(backbone={"name": "vgg16", "pool5": 3}), "pool5 must be one of 1, 2, "
     "found 3"),
    (dict(backbone={"name": "vgg16", "norm": 1}), "norm must be True or "
     "False, found 1"),
    (dict(backbone={"name": "resnet50", "inner": [(1, 2)] * 15}), "inner of "
     "resnet50 needs 16 pairs"),
    (dict(backbone={"name": "resnet50", "outputs": [1] * 5}), "outputs of "
     "resnet50 needs 4 numbers"),
    (dict(backbone={"name": "resnet50", "stride_at": "5x5"}), "stride_at must "
     "be one of 3x3, 1x1, found '5x5'"),
    (dict(backbone={"name": "mobilenet_v2", "width": 0.05}), "width 0.05 "
     "leaves no channel of a layer of mobilenet_v2"),
    (dict(backbone={"name": "mobilenet_v1", "width": 0}), "width must be "
     "positive, found 0"),
    (dict(backbone={"name": "mobilenet_v1", "last_block": 1}), "last_block "
     "must be True or False, found 1"),
    (dict(backbone={"name": "mobilenet_v2", "expand_first": "no"}),
     "expand_first must be True or False, found 'no'"),
    (dict(extras=((256, 512, "double"),) * 4), "two widths and one of half, "
     "valid, even, found .256, 512, 'double'."),
    (dict(extras=((256, 0, "half"),) * 4), "extras must be a whole "
     "number of at least 1, found 0"),
    (dict(extras=((256, 512, "half"),) * 3), "5 feature maps, found 6 Anch"),
    (dict(codec="corner"), "codec must be one of offsets, found 'corner'"),
    (dict(clip_anchors=1), "clip_anchors must be True or False, found 1"),
    (dict(offset_means=(0, 0)), "offset_means needs 4 numbers, found .0, 0."),
    (dict(offset_means=(0, 0, 0, "a")), "offset_means must be a number"),
    (dict(l2_scale=0), "l2_scale must be positive, found 0"),
    (dict(head="linear"), "head must be one of plain"),
    (dict(input_size=256), "ssd300_vgg16 needs an input of at least 257 "
     "pixels on each side for its 6 feature maps, found 256 x 256")])
def test_bad_input_is_named_in_a_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        models.build("ssd300_vgg16", **changes)


def test_a_configuration_takes_a_backbone_in_three_forms():
    one = config.get("ssd300_vgg16_bn")
    for form in (config.VGG16Config(norm=True),
                 {"name": "vgg16", "norm": True}):
        assert config.get("ssd300_vgg16_bn", backbone=form) == one
    assert isinstance(one, SSDConfig)
    assert config.get("ssd300_vgg16_bn", backbone="vgg16") != one
