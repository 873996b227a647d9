"""A classifier's weights in a backbone: the classifier itself is the oracle."""

import doctest
import inspect
import re

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision
from safetensors.numpy import save_file

from dsod_d2l import config, models
from dsod_d2l.config import classifiers
from dsod_d2l.workbench.pretrained import classifier_weights, transfer

THIN = (6, 7, 8, 9, 10)      # widths of the blocks of a thin VGG16
WIDTHS = (6, 6, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10, 10, 1024, 1024)


def test_examples():
    assert doctest.testmod(classifier_weights).failed == 0


def randomised(net, side=64):
    """Give a classifier of Gluon's numbers, also where they begin as 0."""
    net.initialize(mx.init.Xavier("gaussian", "in", 2))
    net(mx.nd.zeros((1, 3, side, side)))
    rng = np.random.default_rng(5)
    for name, parameter in net.collect_params().items():
        if name.endswith(("bias", "beta", "mean")):
            parameter.set_data(mx.nd.array(rng.normal(
                0, 0.2, parameter.shape)))
        elif name.endswith(("gamma", "var")):
            parameter.set_data(mx.nd.array(rng.uniform(
                0.5, 1.5, parameter.shape)))
    return net


def gluon_vgg(norm=False, side=224):
    return randomised(vision.VGG([2, 2, 3, 3, 3], THIN, 10, norm), side)


def ssd(backbone):
    """Return a small SSD on a backbone, not initialised."""
    rows = config.get("ssd300_vgg16").anchors
    return models.build(
        "ssd300_vgg16", 2, backbone=backbone, input_size=520,
        anchors=rows[:len(backbone.halvings)] + rows[2:],
        extras=((4, 6, "half"), (4, 6, "half"), (4, 6, "valid"),
                (4, 6, "valid")))


def filled(net, path):
    return classifier_weights.start_from_classifier(net,
                                          classifier_weights.read_classifier(path))


def picture(side, batch=1):
    return mx.nd.array(np.random.default_rng(1).normal(
        size=(batch, 3, *side)))


def close(found, wanted):
    wanted = wanted.asnumpy()
    np.testing.assert_allclose(found.asnumpy(), wanted, rtol=1e-3,
                               atol=1e-4 * abs(wanted).max())


@pytest.mark.parametrize("norm", [False, True])
def test_vgg16_sees_what_the_classifier_sees(norm, tmp_path):
    """Conv4_3 and conv5_3, at sides that no pool has to round."""
    theirs = gluon_vgg(norm)
    theirs.save_parameters(str(tmp_path / "vgg.params"))
    net = ssd(config.VGG16Config(widths=WIDTHS, norm=norm, conv5=True))
    told = filled(net, tmp_path / "vgg.params")
    x = want = picture((96, 160))
    convolutions, found = 0, list(net.backbone(x))
    for block in theirs.features[:-4]:
        if isinstance(block, nn.MaxPool2D) and convolutions in (10, 13):
            close(found.pop(0), want)
        want = block(want)
        convolutions += isinstance(block, nn.Conv2D)
    assert len(found) == 1
    assert sorted(told.left) == ["output.bias", "output.weight"]
    assert len(told.converted) == 2
    kept = [name for name in told.drawn if name.startswith("backbone")]
    assert len(kept) == (8 if norm else 0)       # the norms of fc6 and fc7
    assert set(told.loaded) | set(told.drawn) == set(
        net._collect_params_with_prefix())


def test_fc6_and_fc7_are_the_dense_layers_decimated(tmp_path):
    """Without what is thinned out, the middle cell is the dense layer."""
    theirs = gluon_vgg()
    fc6, fc7 = theirs.features[-4], theirs.features[-2]
    grid = fc6.weight.data().asnumpy().reshape(4096, 10, 7, 7)
    kept = np.zeros_like(grid)
    kept[:, :, ::3, ::3] = grid[:, :, ::3, ::3]
    fc6.weight.set_data(mx.nd.array(kept.reshape(4096, -1)))
    square = fc7.weight.data().asnumpy().copy()
    square[:, np.arange(4096) % 4 > 0] = 0
    fc7.weight.set_data(mx.nd.array(square))
    theirs.save_parameters(str(tmp_path / "vgg.params"))
    net = ssd(config.VGG16Config(widths=WIDTHS, pool5=2, dilation=3))
    filled(net, tmp_path / "vgg.params")
    x = picture((224, 224))
    with mx.autograd.predict_mode():
        want = theirs.features(x)[:, ::4]
    close(net.backbone(x)[-1][:, :, 3, 3], want)


def renamed(theirs, rules):
    """Return a network's arrays, each name changed by pairs of words."""
    arrays = {}
    for name, parameter in theirs._collect_params_with_prefix().items():
        for old, new in rules:
            name = name.replace(old, new)
        arrays[name] = parameter.data().asnumpy()
    return arrays


TORCH = [("gamma", "weight"), ("beta", "bias")]


@pytest.mark.parametrize("form", ["structural", "prefix", "exported",
                                  "safetensors"])
def test_all_files_of_a_network_give_the_same_backbone(form, tmp_path):
    theirs = randomised(vision.MobileNet(0.25))
    path = tmp_path / "net.params"
    if form == "structural":
        theirs.save_parameters(str(path))
    elif form == "prefix":
        theirs.collect_params().save(str(path))
    elif form == "exported":
        theirs.hybridize()
        theirs(picture((64, 64)))
        theirs.export(str(tmp_path / "net"))
        path = tmp_path / "net-0000.params"
    else:
        path = tmp_path / "net.safetensors"
        arrays = renamed(theirs, TORCH)
        first = [name for name in arrays if name.endswith("running_mean")]
        arrays.update({name.replace("running_mean", "num_batches_tracked"):
                       np.array(3) for name in first})
        save_file(arrays, str(path))
    net = ssd(config.MobileNetV1Config(width=0.25))
    told = filled(net, path)
    assert not [name for name in told.drawn if name.startswith("backbone")]
    x = want = picture((128, 96))
    for block in theirs.features[:33]:        # five units behind the stem
        want = block(want)
    close(net.backbone(x)[0], want)


def unhalve(block):
    """Take the stride out of a unit of a classifier."""
    for child in [block, *block._children.values()]:
        if isinstance(child, nn.Conv2D):
            child._kwargs["stride"] = (1, 1)
        elif child is not block:
            unhalve(child)


def test_mobilenet_v1_to_its_end(tmp_path):
    theirs = randomised(vision.MobileNet(0.5))
    theirs.save_parameters(str(tmp_path / "net.params"))
    net = ssd(config.MobileNetV1Config(width=0.5))
    filled(net, tmp_path / "net.params")
    unhalve(theirs.features[69])              # of the last but one unit
    x = picture((96, 128))
    close(net.backbone(x)[1], theirs.features[:81](x))
    short = ssd(config.MobileNetV1Config(width=0.5, last_block=False))
    assert len(filled(short, tmp_path / "net.params").left) == 2 + 2 * 5


def without_expansion(theirs):
    """Leave out what widens by 1, as GluonCV and torchvision do."""
    layers = theirs.features[3].out
    rest = list(layers._children.values())[3:]
    layers._children.clear()
    layers.add(*rest)


@pytest.mark.parametrize("widened", [True, False])
def test_mobilenet_v2_to_its_end(widened, tmp_path):
    theirs = randomised(vision.MobileNetV2(0.5))
    if not widened:
        without_expansion(theirs)
    theirs.save_parameters(str(tmp_path / "net.params"))
    read = classifier_weights.read_classifier(tmp_path / "net.params")
    one = classifier_weights.adapt(ssd(config.MobileNetV2Config(width=0.5)).config,
                         read)
    assert one.backbone.expand_first == widened
    net = models.build(one)
    told = classifier_weights.start_from_classifier(net, read)
    assert told.left == ("output.0.weight",)
    assert not [name for name in told.drawn if name.startswith("backbone")]
    x = picture((96, 128))
    close(net.backbone(x)[0], theirs.features[:9](x))
    unhalve(theirs.features[16])              # the first one of 160
    close(net.backbone(x)[1], theirs.features[:-1](x))


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, False])
def test_resnet50_to_its_end(early, tmp_path):
    """Gluon's halves in the 1 x 1, and has biases that ours has not."""
    theirs = randomised(vision.resnet50_v1())
    if not early:
        for stage in theirs.features[5:7]:
            halving = stage[0].body
            halving[0]._kwargs["stride"] = (1, 1)
            halving[3]._kwargs["stride"] = (2, 2)
        for name, parameter in theirs.collect_params().items():
            if "conv" in name and name.endswith("bias"):
                parameter.set_data(parameter.data() * 0)
    path = tmp_path / "net.params"
    arrays = {name: parameter.data() for name, parameter
              in theirs._collect_params_with_prefix().items()
              if early or "body" not in name or "bias" not in name}
    mx.nd.save(str(path), arrays)
    read = classifier_weights.read_classifier(path)
    one = classifier_weights.adapt(config.get("ssd300_resnet50"), read)
    assert one.backbone.stride_at == ("1x1" if early else "3x3")
    net = models.build(one)
    told = classifier_weights.start_from_classifier(net, read)
    assert sorted(told.left) == ["output.bias", "output.weight"]
    assert len(told.converted) == (32 if early else 0)
    x = picture((64, 96))
    first, last = net.backbone(x)
    close(first, theirs.features[:6](x))
    unhalve(theirs.features[7][0].body)
    unhalve(theirs.features[7][0].downsample)
    close(last, mx.nd.Pooling(theirs.features[:8](x), kernel=(7, 7),
                              pad=(3, 3), pool_type="avg"))


def resnet50_by_torchvision():
    """Return names and shapes in the order of the alphabet, as stored."""
    net = models.build("ssd300_resnet50").backbone
    arrays, shapes = {}, [
        (conv.weight.shape, norm.gamma.shape[0])
        for _, conv, norm in classifier_weights.layer_pairs(net)]
    names = [("conv1", "bn1")]
    for stage, depth in enumerate((3, 4, 6, 3), 1):
        for block in range(depth):
            where = f"layer{stage}.{block}"
            names += [(f"{where}.conv{k}", f"{where}.bn{k}")
                      for k in (1, 2, 3)]
            if block == 0:
                names.append((f"{where}.downsample.0",
                              f"{where}.downsample.1"))
    for k, ((conv, norm), (shape, width)) in enumerate(zip(names, shapes)):
        arrays[f"{conv}.weight"] = np.full(shape, k, np.float32)
        for part in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"{norm}.{part}"] = np.full(width, k + 0.5, np.float32)
    arrays["fc.weight"] = np.zeros((10, 2048), np.float32)
    return dict(sorted(arrays.items()))


def test_names_of_torchvision_come_in_the_order_of_the_network(tmp_path):
    save_file(resnet50_by_torchvision(), str(tmp_path / "r.safetensors"))
    net = models.build("ssd300_resnet50")
    filled(net, tmp_path / "r.safetensors")
    for k, (_, conv, norm) in enumerate(classifier_weights.layer_pairs(
            net.backbone)):
        assert (conv.weight.data() == k).asnumpy().all()
        assert (norm.running_var.data() == k + 0.5).asnumpy().all()


@pytest.mark.parametrize("make", [
    lambda: vision.MobileNet(0.25), lambda: vision.MobileNetV2(0.25),
    lambda: vision.VGG([2, 2, 3, 3, 3], THIN, 10), vision.resnet50_v1])
def test_names_of_gluon_come_in_the_order_of_the_network(make, tmp_path):
    """Names with a prefix, which safetensors sorts by the alphabet."""
    theirs = make()
    theirs.initialize()
    theirs(mx.nd.zeros((1, 3, 64, 64)))
    save_file({name: parameter.data().asnumpy() for name, parameter
               in theirs.collect_params().items()},
              str(tmp_path / "net.safetensors"))
    theirs.collect_params().save(str(tmp_path / "net.params"))
    ours, wanted = (classifier_weights.read_classifier(tmp_path / name)
                    for name in ("net.safetensors", "net.params"))
    for kind in ("convolutions", "norms", "dense"):
        assert ([layer.name for layer in getattr(ours, kind)] ==
                [layer.name for layer in getattr(wanted, kind)])


def timm_names():
    """Return the layers of timm's MobileNetV2, in order of the network."""
    names = [("conv_stem", "bn1"), ("blocks.0.0.conv_dw", "blocks.0.0.bn1"),
             ("blocks.0.0.conv_pw", "blocks.0.0.bn2")]
    for stage, depth in enumerate((2, 3, 4, 3, 3, 1), 1):
        for block in range(depth):
            where = f"blocks.{stage}.{block}"
            names += [(f"{where}.{conv}", f"{where}.bn{k}") for k, conv
                      in enumerate(("conv_pw", "conv_dw", "conv_pwl"), 1)]
    return [*names, ("conv_head", "bn2")]


def test_names_of_timm_come_in_the_order_of_the_network(tmp_path):
    """MobileNetV1's blocks are those that have no conv_pwl."""
    theirs = vision.MobileNetV2(0.25)
    without_expansion(theirs)
    randomised(theirs).save_parameters(str(tmp_path / "net.params"))
    read = classifier_weights.read_classifier(tmp_path / "net.params")
    arrays, wanted = {}, [read.convolutions[:-1], read.norms]
    for names, *layers in zip(timm_names(), *wanted, strict=True):
        for name, layer in zip(names, layers):
            parts = {"gamma": "weight", "beta": "bias"}
            arrays.update({f"{name}.{parts.get(part, part)}": layer[part]
                           for part in layer.parts})
    save_file(arrays, str(tmp_path / "net.safetensors"))
    again = classifier_weights.read_classifier(tmp_path / "net.safetensors")
    for ours, theirs in zip(wanted, (again.convolutions, again.norms)):
        for one, other in zip(ours, theirs, strict=True):
            assert sorted(one.parts) == sorted(other.parts)
            for part in one.parts:
                np.testing.assert_array_equal(one[part], other[part])


def thin_vgg_arrays():
    """Return a thin VGG16 with small dense layers, by name."""
    rng, shapes, width = np.random.default_rng(0), {}, 3
    for k, channels in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
                           WIDTHS):
        shapes[f"features.{k}"] = (channels, width, 3, 3)
        width = channels
    shapes["classifier.0"], shapes["classifier.3"] = (16, 490), (16, 16)
    arrays = {}
    for name, shape in shapes.items():
        arrays[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
    return arrays


SMALL = config.VGG16Config(widths=(*WIDTHS[:13], 8, 4))


def test_what_is_thinned_out_is_told_and_the_rest_is_copied(tmp_path):
    arrays = thin_vgg_arrays()
    save_file(arrays, str(tmp_path / "v.safetensors"))
    net = ssd(SMALL)
    told = filled(net, tmp_path / "v.safetensors")
    assert told.converted == ("classifier.0", "classifier.3")
    assert "converted: classifier.0, classifier.3" in str(told)
    pairs = classifier_weights.layer_pairs(net.backbone)
    np.testing.assert_array_equal(
        pairs[12][1].weight.data().asnumpy(), arrays["features.28.weight"])
    np.testing.assert_array_equal(
        pairs[13][1].weight.data().asnumpy(),
        arrays["classifier.0.weight"].reshape(16, 10, 7, 7)[::2, :, ::3, ::3])
    np.testing.assert_array_equal(
        pairs[14][1].weight.data().asnumpy()[:, :, 0, 0],
        arrays["classifier.3.weight"][::4, ::2])
    np.testing.assert_array_equal(pairs[14][1].bias.data().asnumpy(),
                                  arrays["classifier.3.bias"][::4])
    assert all(name.split(".")[0] in ("norm", "extras", "class_heads",
                                      "box_heads") for name in told.drawn)


def without(*names):
    return lambda arrays: {name: array for name, array in arrays.items()
                           if name not in names}


BAD = [
    (SMALL, without("features.28.weight", "features.28.bias"),
     r"the backbone vgg16: its classifier.0.weight has the shape .16, 490., "
     r"expected was .10, 10, 3, 3. for backbone.stages.4.3.0.weight"),
    (SMALL, without("features.28.weight"),
     "of its layer features.28 there is only bias"),
    (SMALL, without("features.0.bias"), "its layer features.0 lacks the bias"),
    (SMALL, without("classifier.3.weight", "classifier.3.bias"),
     "it ends after 14 layers, before stages.5.2.0"),
    (config.VGG16Config(), dict, r"features.0.weight has the shape .6, 3, 3, "
     r"3., expected was .64, 3, 3, 3."),
    (config.VGG16Config(widths=(*WIDTHS[:13], 7, 4)), dict,
     r"classifier.0.weight has the shape .16, 490., expected was .7, 10, 3, "
     "3."),
    (config.VGG16Config(widths=SMALL.widths, norm=True), dict,
     "it has 0 batch normalisations, the backbone 15"),
    (config.MobileNetV1Config(), dict,
     "backbone mobilenet_v1: it has 0 batch normalisations, the backbone 27"),
    (SMALL, lambda arrays: {**arrays, "features.5.weight": arrays[
        "features.5.weight"] * np.float32("inf")}, "its features.5.weight holds numbers that "
     "are not finite"),
    (SMALL, lambda arrays: {**arrays, "features.5.bias": arrays[
        "features.5.bias"].astype(int)}, "its features.5.bias holds int64 "
     "numbers, expected floating ones"),
    (SMALL, lambda arrays: {"classifier.0.weight": arrays[
        "classifier.0.weight"]}, "holds no weights of a convolution"),
]


@pytest.mark.parametrize("backbone, change, message", BAD)
def test_what_does_not_fit_is_named_and_changes_nothing(
        backbone, change, message, tmp_path):
    save_file(change(thin_vgg_arrays()), str(tmp_path / "v.safetensors"))
    net = ssd(backbone)
    with pytest.raises(ValueError, match=message) as caught:
        filled(net, tmp_path / "v.safetensors")
    assert "v.safetensors" in str(caught.value)
    assert all(parameter._data is None
               for parameter in net.collect_params().values())


def test_a_norm_that_lacks_a_part_is_named(tmp_path):
    arrays = resnet50_by_torchvision()
    for lost, message in [
            ("layer2.1.bn2.running_var", "layer2.1.bn2 lacks the running_var"),
            ("layer1.0.bn1.running_mean", "layer1.0.bn1 there is only bias a")
            ]:
        save_file(without(lost)(arrays), str(tmp_path / "r.safetensors"))
        with pytest.raises(ValueError, match=message):
            filled(models.build("ssd300_resnet50"),
                   tmp_path / "r.safetensors")


def test_the_way_of_the_weights_knows_no_backbone():
    """A backbone of one's own brings its ``like`` and ``dense_layers``."""
    for source in (classifier_weights, transfer):
        words = set(re.findall(r"\w+", re.sub(
            r'""".*?"""', "", inspect.getsource(source), flags=re.DOTALL)))
        assert not words & {*classifiers.BACKBONES, *models.NETWORKS}


def test_files_that_are_none_and_networks_without_a_backbone(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        classifier_weights.read_classifier(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError, match="no such .params file"):
        classifier_weights.read_classifier(tmp_path / "a.params")
    (tmp_path / "a.safetensors").write_bytes(b"12345678rest")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        classifier_weights.read_classifier(tmp_path / "a.safetensors")
    save_file(thin_vgg_arrays(), str(tmp_path / "v.safetensors"))
    read = classifier_weights.read_classifier(tmp_path / "v.safetensors")
    assert classifier_weights.adapt(config.get("dsod_tiny"), read) == config.get(
        "dsod_tiny")
    with pytest.raises(ValueError, match="dsod_tiny has no backbone"):
        classifier_weights.start_from_classifier(models.build("dsod_tiny"), read)
    assert len(read.names) == 30
