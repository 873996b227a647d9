"""Weights with torchvision's names: its networks, in NumPy and as it builds them, are the oracle.

Files are built from torchvision_names.json, which tools/write_torchvision_names.py has written.
"""
import json
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.numpy import save_file

import dsod_d2l as dd
from dsod_d2l import config, models
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.pretrained import classifier_weights

TABLE = json.loads(Path(__file__).with_name("torchvision_names.json").read_text())
NETWORKS = [name for name in TABLE if name != "torchvision"]
PRESETS = {"vgg16": "ssd300_vgg16", "vgg16_bn": "ssd300_vgg16", "resnet50": "ssd300_resnet50",
           "mobilenet_v2": "ssd300_mobilenet_v2"}
THIN = 16            # VGG16 has 138 million numbers; here each layer has a 16th of its channels


def shapes(name, thin=1):
    """Return {name of a tensor: shape} of torchvision's network, or of a thin one."""
    return {key: [side if row and side in (3, 7) or side == 3 else max(side // thin, 1)
                  for row, side in enumerate(shape)] for key, shape in TABLE[name].items()}


def drawn(name, thin=1):
    """Return a state of the network in which no number is as it begins."""
    rng, arrays = np.random.default_rng(3), {}
    for key, shape in shapes(name, thin).items():
        part = key.rpartition(".")[2]
        if part == "num_batches_tracked":
            arrays[key] = np.array(7)
        elif part == "running_var" or (part == "weight" and len(shape) == 1):
            arrays[key] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.2
            arrays[key] = rng.normal(0, scale, shape).astype(np.float32)
    return arrays


# ---- torchvision's networks in NumPy, by the names of their tensors -------------------------

def conv(state, name, x, stride=1):
    """Convolve as nn.Conv2d does whose map stays as large; depthwise where its filters are."""
    weight = state[f"{name}.weight"]
    side = weight.shape[2]
    x = np.pad(x, [(0, 0), *2 * [(side // 2, side // 2)]])
    view = sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    if weight.shape[1] == 1 < len(x):
        found = np.einsum("chwij,cij->chw", view, weight[:, 0])
    else:
        found = np.tensordot(weight, view, ((1, 2, 3), (0, 3, 4)))
    bias = state.get(f"{name}.bias")
    return found if bias is None else found + bias[:, None, None]


def norm(state, name, x):
    gamma, beta, mean, var = (state[f"{name}.{part}"][:, None, None] for part in
                              ("weight", "bias", "running_mean", "running_var"))
    return (x - mean) / np.sqrt(var + 1e-5) * gamma + beta


def pooled(x, side, stride, pad, how, fill):
    x = np.pad(x, [(0, 0), *2 * [(pad, pad)]], constant_values=fill)
    return how(sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride], axis=(3, 4))


def vgg16(state, x, step=1):
    """Return what follows the ReLU of conv4_3, which is features.21, of vgg16_bn features.30."""
    with_norms = "features.1.running_mean" in state
    place = 0
    for count, depth in enumerate((2, 2, 3, 3)):
        for _ in range(depth):
            x = conv(state, f"features.{place}", x)
            if with_norms:
                x = norm(state, f"features.{place + 1}", x)
            x, place = np.maximum(x, 0), place + 2 + with_norms
        if count < 3:
            x, place = pooled(x, 2, 2, 0, np.max, 0), place + 1
    return [x]


def resnet50(state, x):
    """Return layer2, and the mean of layer4, which does not halve, over 7 x 7 cells."""
    x = np.maximum(norm(state, "bn1", conv(state, "conv1", x, 2)), 0)
    x, maps = pooled(x, 3, 2, 1, np.max, -np.inf), []
    for stage, depth in enumerate((3, 4, 6, 3), 1):
        for row in range(depth):
            at, old = f"layer{stage}.{row}", x
            stride = 2 if stage in (2, 3) and row == 0 else 1
            for k in (1, 2, 3):
                x = norm(state, f"{at}.bn{k}", conv(state, f"{at}.conv{k}", x, stride if k == 2 else 1))
                x = x if k == 3 else np.maximum(x, 0)
            if row == 0:
                old = norm(state, f"{at}.downsample.1", conv(state, f"{at}.downsample.0", old, stride))
            x = np.maximum(x + old, 0)
        maps.append(x)
    return [maps[1], pooled(x, 7, 1, 3, np.mean, 0)]


def mobilenet_v2(state, x):
    """Return features.6, and features.18 where features.14 does not halve."""
    def unit(name, x, stride=1):
        return np.clip(norm(state, f"{name}.1", conv(state, f"{name}.0", x, stride)), 0, 6)
    x, maps = unit("features.0", x, 2), []
    for place in range(1, 18):
        at, old = f"features.{place}.conv", x
        stride = 2 if place in (2, 4, 7) else 1
        if place > 1:
            x = unit(f"{at}.0", x)
        x = unit(f"{at}.{int(place > 1)}", x, stride)
        x = norm(state, f"{at}.{2 + (place > 1)}", conv(state, f"{at}.{1 + (place > 1)}", x))
        x = x + old if x.shape == old.shape and stride == 1 else x
        maps.append(x)
    return [maps[5], unit("features.18", x)]


ORACLES = {"vgg16": vgg16, "vgg16_bn": vgg16, "resnet50": resnet50, "mobilenet_v2": mobilenet_v2}


def detector(name, path):
    """Return an SSD that has begun with a file, and what was told of it."""
    source = classifier_weights.read_classifier(path)
    changes = {"input_size": (300, 300)}
    if "vgg" in name:
        widths = [width // THIN for width in config.VGG16Config().widths]
        changes["backbone"] = config.VGG16Config(widths=widths, norm=name == "vgg16_bn")
    settings = models.build(PRESETS[name], 2, **changes).config
    net = models.build(classifier_weights.adapt(settings, source))
    return net, classifier_weights.start_from_classifier(net, source)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_the_table_sees_what_the_classifier_sees(name, tmp_path):
    thin = THIN if "vgg" in name else 1
    state = drawn(name, thin)
    save_file(state, str(tmp_path / "a.safetensors"))
    net, told = detector(name, tmp_path / "a.safetensors")
    x = np.random.default_rng(1).normal(size=(3, 64, 96)).astype(np.float32)
    for mine, other in zip(net.backbone(mx.nd.array(x[None])), ORACLES[name](state, x)):
        np.testing.assert_allclose(mine.asnumpy()[0], other, rtol=1e-3, atol=1e-4 * abs(other).max())
    left = [key for key in told.drawn if key.startswith("backbone")]
    assert len(left) == (8 if name == "vgg16_bn" else 0)        # the norms of fc6 and fc7
    unused = {key.partition(".")[0] for key in told.left if "num_batches" not in key}
    assert unused == {"resnet50": {"fc"}}.get(name, {"classifier"}), told.left
    assert "loaded" in str(told)


def test_fc6_and_fc7_are_thinned_out(tmp_path):
    """fc6 takes 7 x 7 cells of each channel, as PyTorch flattens them; every third is kept."""
    state = drawn("vgg16", THIN)
    save_file(state, str(tmp_path / "a.safetensors"))
    net, told = detector("vgg16", tmp_path / "a.safetensors")
    assert told.converted == ("classifier.0", "classifier.3")
    fc6, fc7 = (pair[1] for pair in classifier_weights.layer_pairs(net.backbone)[-2:])
    wide = state["classifier.0.weight"].reshape(256, 32, 7, 7)
    np.testing.assert_array_equal(fc6.weight.data().asnumpy(), wide[::4, :, ::3, ::3])
    np.testing.assert_array_equal(fc7.weight.data().asnumpy()[..., 0, 0],
                                  state["classifier.3.weight"][::4, ::4])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_full_networks_have_the_shapes_of_the_table(name):
    """Nothing is drawn: VGG16 alone would take half a gigabyte."""
    class Source:
        parts = {"weight": ("", np.zeros((1, 1, 3, 3)))}        # features.1: widens by 1, depthwise
    settings = models.build(PRESETS[name], 2).config.backbone
    if name == "vgg16_bn":
        settings = config.VGG16Config(norm=True)
    net = models.build(PRESETS[name], 2, backbone=settings.like([Source.parts] * 2))
    theirs = [shape for key, shape in TABLE[name].items()
              if key.endswith("weight") and len(shape) in (2, 4)][:-1]
    ours = [list(pair[1].weight.shape) for pair in classifier_weights.layer_pairs(net.backbone)]
    if "vgg" in name:
        assert theirs[-2:] == [[4096, 512 * 49], [4096, 4096]]
        assert ours.pop() == [1024, 1024, 1, 1] and ours.pop() == [1024, 512, 3, 3]
        del theirs[-2:]
    assert sorted(ours) == sorted(theirs[:len(ours)]) and len(ours) == len(theirs)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_torchvision_writes_itself(name, tmp_path):
    """The file comes from torchvision's constructor, and the maps from its layers."""
    torch = pytest.importorskip("torch", reason="torchvision is not installed")
    vision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    if "vgg" in name:                   # their constructor takes the widths of its blocks
        wide = [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"]
        theirs = vision.models.VGG(vision.models.vgg.make_layers(
            [one if one == "M" else one // THIN for one in wide], name == "vgg16_bn"))
        theirs.classifier = torch.nn.Sequential(*[
            torch.nn.Linear(*(side // THIN for side in sides)) if sides else torch.nn.ReLU()
            for sides in ((512 * 49, 4096), (), (), (4096, 4096), (), (), (4096, 160))])
    else:
        theirs = getattr(vision.models, name)(weights=None)
    state = {key: torch.from_numpy(np.array(one)) for key, one in
             drawn(name, THIN if "vgg" in name else 1).items() if "classifier.6" not in key}
    theirs.load_state_dict(state, strict="vgg" not in name)
    theirs.eval()
    save_file({key: one.numpy() for key, one in theirs.state_dict().items()},
              str(tmp_path / "a.safetensors"))
    net, _ = detector(name, tmp_path / "a.safetensors")
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 3, 64, 96)).astype(np.float32))
    with torch.inference_mode():
        if name == "resnet50":
            for layer in (theirs.layer4[0].conv2, theirs.layer4[0].downsample[0]):
                layer.stride = (1, 1)
            first = theirs.layer2(theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))))
            wanted = [first, torch.nn.functional.avg_pool2d(theirs.layer4(theirs.layer3(first)), 7, 1, 3)]
        elif name == "mobilenet_v2":
            theirs.features[14].conv[1][0].stride = (1, 1)
            wanted = [theirs.features[:7](x), theirs.features(x)]
        else:
            wanted = [theirs.features[:33 if name == "vgg16_bn" else 23](x)]
    for mine, other in zip(net.backbone(mx.nd.array(x.numpy())), wanted):
        np.testing.assert_allclose(mine.asnumpy(), other.numpy(), rtol=1e-3,
                                   atol=1e-4 * abs(other.numpy()).max())


def test_the_command_trains_from_such_a_file(tmp_path, capsys):
    """Their pictures are RGB, less the mean and divided by the deviation, as ours."""
    save_file(drawn("mobilenet_v2"), str(tmp_path / "m.safetensors"))
    words = ["train", "--data", f"voc:{Path(__file__).parents[1] / 'data/samples/voc'}:all", "--model",
             "ssd300_mobilenet_v2", "--steps", "1", "--batch-size", "1",
             "--backbone-weights", str(tmp_path / "m.safetensors"), "--out", str(tmp_path / "run"), "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["started_from"]
    assert found["weights"] == str(tmp_path / "m.safetensors") and found["loaded"] > 200
    one = dd.build("ssd300_mobilenet_v2", ["a"]).config
    assert np.abs(np.subtract(one.mean, np.array([0.485, 0.456, 0.406]) * 255)).max() < 0.51
    assert np.abs(np.subtract(one.std, np.array([0.229, 0.224, 0.225]) * 255)).max() < 0.03
