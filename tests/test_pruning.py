"""Pruning: what is left computes what the whole computes with zeros."""

import dataclasses
import json

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn

from dsod_d2l import config, models, weights
from dsod_d2l.workbench import pruning
from dsod_d2l.workbench.pruning import cycle
from dsod_d2l.workbench.pruning.channels import trace
from dsod_d2l.blocks import conv_norm_relu
from dsod_d2l.datasets.sample import make_sample
from narrow import narrow

SIZE = (136, 200)
SMALL = dict(num_classes=2, input_size=SIZE, stem=6, bottleneck=10, growth=5,
             layers=(1, 2, 1, 2), second=7, predictions=(5, 6, 4))


def randomise(net, rng):
    """Give every number a value that a wrong slice would betray."""
    models.initialise(net)
    for name, parameter in net._collect_params_with_prefix().items():
        shape, kind = parameter.shape, name.rpartition(".")[2]
        if kind in ("running_var", "gamma", "scale"):
            array = rng.uniform(0.5, 2, shape)
        elif kind == "weight":
            array = rng.normal(0, 1, shape) * rng.uniform(
                0.3, 2, (shape[0],) + (1,) * (len(shape) - 1))
            array /= np.sqrt(np.prod(shape[1:]))
        else:
            array = rng.normal(0, 0.5, shape)
        parameter.set_data(mx.nd.array(array))
    return net


def outputs(net, batch=1):
    x = np.random.default_rng(9).normal(size=(batch, 3,
                                              *net.config.input_size))
    return [one.asnumpy() for one in net(mx.nd.array(x))]


def same(first, second):
    return all(np.abs(a - b).max() <= 1e-5 * max(1, np.abs(b).max())
               for a, b in zip(first, second))


class Mixed(models.Network):
    """All that ties channels: shortcuts, depthwise layers, gates, products."""

    def __init__(self, config):
        super().__init__(config)
        self.stem = conv_norm_relu(3, 12, stride=4)
        self.one = conv_norm_relu(12, 12, bias=True)
        self.two = conv_norm_relu(12, 9)
        self.project = nn.Conv2D(9, 1, in_channels=12)
        self.deep = nn.HybridSequential()
        self.deep.add(nn.Conv2D(9, 3, 2, 1, groups=9, in_channels=9),
                      nn.BatchNorm(in_channels=9),
                      nn.HybridLambda(lambda F, x: F.clip(x, 0, 6)),
                      nn.Conv2D(8, 1, in_channels=9))
        self.up = nn.Conv2DTranspose(9, 2, 2, in_channels=8)
        self.grouped = nn.Conv2D(8, 3, padding=1, groups=2, in_channels=8)
        self.inner = nn.Dense(5, "relu", in_units=9)
        self.gate = nn.Dense(9, in_units=5)
        self.add_heads([9, 8])

    def features(self, F, x):
        x = self.stem(x)
        x = x + self.one(x)                             # identity shortcut
        x = F.relu(self.project(x) + self.two(x))       # projection shortcut
        deep = self.deep(x)
        x = x + F.slice_like(self.up(deep), x, axes=(2, 3))
        z = F.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1))
        z = F.reshape(F.sigmoid(self.gate(self.inner(z))), (0, 0, 1, 1))
        return [F.broadcast_mul(x, z), self.grouped(deep)]


@pytest.fixture
def mixed(monkeypatch):
    monkeypatch.setitem(models.NETWORKS, "toy_ssd", Mixed)
    preset = config.get("toy_ssd")
    sized = dataclasses.replace(preset, input_size=SIZE, num_classes=2)
    return randomise(models.NETWORKS["toy_ssd"](dataclasses.replace(
        sized, name="mixed")), np.random.default_rng(3))


NETWORKS = [
    ("dsod_tiny", SMALL),
    ("dsod_tiny", {**SMALL, "l2_scale": 20.0, "head_norm": True}),
    ("dsod_tiny", {**SMALL, "stem_style": "plain", "prediction": "plain"}),
    ("dsod300_smallest", {"input_size": SIZE, "layers": (2, 2, 1, 1)}),
    ("dsod_gluon", {"input_size": SIZE, "layers": (1, 2, 1)}),
    ("grp_dsod_tiny", {"input_size": SIZE}),
    ("grp_dsod320", {"input_size": SIZE, "layers": (1, 1, 1),
                     "authors": True}),
    ("toy_ssd", {"input_size": SIZE}),
    ("refinedet_dsod_tiny", {"input_size": SIZE}),
    ("refinedet_vgg_tiny", {"input_size": SIZE}),
    *[(name, {"input_size": (300, 310), **narrow(name)}) for name in (
        "ssd300_vgg16", "ssd300_vgg16_bn", "ssd300_resnet50",
        "ssd300_mobilenet_v1", "ssd300_mobilenet_v2",
        "refinedet320_vgg16")]]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name, changes", NETWORKS)
def test_a_pruned_network_computes_what_the_masked_one_does(name, changes,
                                                            seed):
    rng = np.random.default_rng(seed)
    net = randomise(models.build(name, **changes), rng)
    scope = ("layer", "global")[seed]
    plan = pruning.plan_pruning(net, rng.uniform(0.2, 0.6), scope=scope,
                             multiple=int(rng.choice([1, 3])))
    small, zeroed = pruning.cut(net, plan), pruning.masked(net, plan)
    assert same(outputs(small), outputs(zeroed))
    assert not same(outputs(zeroed), outputs(net))
    assert models.count_parameters(small) < models.count_parameters(net)


@pytest.mark.parametrize("name", ["dsod300", "dsod300_lite"])
def test_half_of_everything_is_the_network_of_half_the_widths(name):
    net = models.build(name)
    old = net.config
    models.initialise(net)
    small = pruning.cut(net, pruning.plan_pruning(net, 0.5, multiple=1))
    half = models.build(name, stem=old.stem // 2, second=old.second // 2,
                        bottleneck=old.bottleneck // 2,
                        growth=old.growth // 2,
                        predictions=tuple(k // 2 for k in old.predictions))
    for one, other in zip(small.collect_params().values(),
                          half.collect_params().values()):
        assert one.shape == other.shape
    assert models.multiply_adds(small) == models.multiply_adds(half)
    assert models.summarise(small).maps == models.summarise(half).maps


@pytest.mark.parametrize("name, kept, ratio, millions, less", [
    ("ssd300_vgg16", [9, 14], 0.2, 14.06, 31),
    ("refinedet320_vgg16", [9, 12, 14], 0.2, 15.19, 26)])
def test_the_base_of_vgg_by_a_fifth(name, kept, ratio, millions, less):
    """What feeds heads stays: conv4_3, conv5_3 if it does, and fc7."""
    net = models.build(name)
    models.initialise(net)
    base = [layer for layer in trace(net).layers
            if layer.startswith("backbone.")]
    protect = [base[k] for k in kept]
    plan = pruning.plan_pruning(net, ratio, ["backbone.*"], protect, multiple=1)
    small = models.build(net.config, widths={
        layer: after for layer, (_, after) in plan.widths.items()})
    whole, left = (models.count_parameters(one.backbone)
                   for one in (net, small))
    assert round(whole / 1e6, 2) == 20.48
    assert round(left / 1e6, 2) == millions
    assert round(100 * (1 - left / whole)) == less
    assert small.config.anchor_count == net.config.anchor_count


def test_the_residual_widths_of_resnet_stay_unless_asked_for():
    net = randomise(models.build("ssd300_resnet50", input_size=(300, 310),
                                 **narrow("ssd300_resnet50")),
                    np.random.default_rng(4))
    layers = list(trace(net).layers)
    blocks = [layer for layer in layers if ".body." in layer]
    inner = {layer for layer in blocks if ".body.2." not in layer}
    ends = {layer for layer in layers if "shortcut" in layer} | (
        set(blocks) - inner)
    assert (len(inner), len(ends)) == (32, 16 + 4)
    plan = pruning.plan_pruning(net, 0.4, ["backbone.*"], multiple=1)
    assert set(plan.widths) == inner | {"backbone.stages.0.0.0"}
    plan = pruning.plan_pruning(net, 0.4, ["backbone.*"], multiple=1,
                             shortcuts=True)
    assert set(plan.widths) == inner | ends | {"backbone.stages.0.0.0"}
    assert {plan.widths[layer] for layer in ends} == {(5, 3)}
    assert same(outputs(pruning.cut(net, plan)),
                outputs(pruning.masked(net, plan)))


def test_bottlenecks_alone():
    net = models.build("dsod_tiny")
    models.initialise(net)
    plan = pruning.plan_pruning(net, 0.25, layers=["to_*.new.0.2"])
    assert set(plan.widths.values()) == {(64, 48)} and len(plan.widths) == 8
    assert (models.multiply_adds(pruning.cut(net, plan))
            == models.multiply_adds(models.build("dsod_tiny", bottleneck=48)))


def test_the_smallest_filters_go_and_their_readers_lose_the_same_channels():
    """Followed by hand: a growth layer, the next bottleneck, a transition."""
    net = randomise(models.build("dsod_tiny", **SMALL),
                    np.random.default_rng(5))
    whole = weights.parameter_arrays(net)
    layer = "to_first.2.0.new.1.2"           # first of two layers: 12 + 5 in
    width = whole["to_first.1.mix.2.weight"].shape[0]
    plan = pruning.plan_pruning(net, 0.4, layers=[layer], multiple=1)
    left = weights.parameter_arrays(pruning.cut(net, plan))
    size = np.abs(whole[f"{layer}.weight"]).sum(axis=(1, 2, 3))
    stays = np.sort(np.argsort(size)[2:])
    np.testing.assert_array_equal(left[f"{layer}.weight"],
                                  whole[f"{layer}.weight"][stays])
    for reader, behind in (("to_first.2.1.new.0", 0),
                           ("to_first.3.mix", 5)):
        kept = np.concatenate([np.arange(width), width + stays,
                               width + 5 + np.arange(behind)])
        for kind in ("gamma", "beta", "running_mean", "running_var"):
            np.testing.assert_array_equal(left[f"{reader}.0.{kind}"],
                                          whole[f"{reader}.0.{kind}"][kept])
        np.testing.assert_array_equal(left[f"{reader}.2.weight"],
                                      whole[f"{reader}.2.weight"][:, kept])
    changed = {name for name in whole if whole[name].shape
               != left[name].shape}
    assert changed == {f"{layer}.weight"} | {
        f"{reader}.{kind}" for reader in ("to_first.2.1.new.0",
                                          "to_first.3.mix")
        for kind in ("0.gamma", "0.beta", "0.running_mean", "0.running_var",
                     "2.weight")}


def test_everything_that_ties_channels(mixed):
    """Residual widths stay unless asked for; gates and depthwise follow."""
    plan = pruning.plan_pruning(mixed, 0.4, multiple=1)
    assert set(plan.widths) == {"inner"}      # all else is tied by additions
    plan = pruning.plan_pruning(mixed, 0.4, multiple=1, shortcuts=True)
    assert plan.widths == {"inner": (5, 3), "gate": (9, 6), "up": (9, 6),
                           "project": (9, 6), "two.0": (9, 6),
                           "stem.0": (12, 8), "one.0": (12, 8)}
    small, zeroed = pruning.cut(mixed, plan), pruning.masked(mixed, plan)
    assert small.deep[0].weight.shape == (6, 1, 3, 3)
    assert [block._in_channels for block in (
        small.deep[0], small.deep[3], small.up, small.grouped)] == [6, 6, 8, 8]
    assert same(outputs(small), outputs(zeroed))
    assert not same(outputs(zeroed), outputs(mixed))
    again = pruning.cut(small, pruning.plan_pruning(small, 0.4, multiple=1,
                                                 shortcuts=True))
    assert again.project.weight.shape == (4, 5, 1, 1)


def test_tied_layers_lose_the_filters_that_are_small_in_all_of_them(mixed):
    tied = ("project", "two.0", "up")
    sizes = 0
    for name in tied:
        array = np.abs(weights.parameter_arrays(mixed)[f"{name}.weight"])
        size = array.mean(axis=(0, 2, 3) if name == "up" else (1, 2, 3))
        sizes = sizes + size / size.mean()
    plan = pruning.plan_pruning(mixed, 0.4, ["project"], shortcuts=True,
                             multiple=1)
    keeps = plan.keeps(plan.channels.layers["up"])
    np.testing.assert_array_equal(np.flatnonzero(~keeps),
                                  np.sort(np.argsort(sizes)[:3]))


def test_the_whole_network_is_ranked_against_the_mean_of_each_layer():
    net = randomise(models.build("dsod_tiny", **SMALL),
                    np.random.default_rng(1))
    groups = pruning.filter_groups(net)
    scores = np.concatenate([group.scores for group in groups])
    assert all(group.scores.mean() == pytest.approx(1) for group in groups)
    plan = pruning.plan_pruning(net, 0.3, scope="global", multiple=1)
    assert len(plan.gone) == int(0.3 * len(scores))
    gone = np.concatenate([group.scores[np.isin(group.roots, plan.gone)]
                           for group in groups])
    assert gone.max() < np.sort(scores)[len(gone) + len(groups)]
    heavy = pruning.plan_pruning(net, 0.75, scope="global", multiple=1)
    assert min(after for _, after in heavy.widths.values()) >= 1


def test_what_is_left_is_rounded_to_a_multiple():
    net = models.build("dsod_tiny")
    models.initialise(net)
    for ratio, left in ((0.3, {16, 32, 48}), (0.9, {16})):
        plan = pruning.plan_pruning(net, ratio)
        assert {after for _, after in plan.widths.values()} <= {
            16, 32, 48, 112, 128, 144}
        assert {plan.widths["to_first.2.0.new.0.2"][1],
                plan.widths["to_first.2.0.new.1.2"][1]} <= left


def test_ratios_by_layer_and_protected_layers():
    net = models.build("dsod_tiny", **SMALL)
    models.initialise(net)
    plan = pruning.plan_pruning(net, {"to_first.*.new.0.2": 0.5,
                                   "to_*": 0.2, "reuse*": 0}, multiple=1)
    assert plan.widths["to_first.0.0.new.0.2"] == (10, 5)
    assert plan.widths["to_second.0.0.new.0.2"] == (10, 8)
    assert all(name.startswith("to_") for name in plan.widths)
    plan = pruning.plan_pruning(net, 0.5, protect=["stem*", "to_first.3*"],
                             multiple=1)
    assert "to_first.1.mix.2" in plan.widths
    assert not [name for name in plan.widths
                if name.startswith(("stem", "to_first.3", "class", "box"))]


def test_a_pruned_network_is_an_ordinary_one(tmp_path):
    """Saved, loaded, pruned again and trained, though nothing is aligned."""
    net = randomise(models.build("dsod_tiny", **SMALL),
                    np.random.default_rng(2))
    small = pruning.cut(net, pruning.plan_pruning(net, 0.3, multiple=1))
    weights.save_weights(tmp_path / "small.safetensors", small, ("a", "b"))
    loaded, _ = weights.load_model(tmp_path / "small.safetensors")
    assert loaded.config == small.config and hash(loaded.config)
    assert same(outputs(loaded), outputs(small))
    twice = pruning.cut(loaded, pruning.plan_pruning(loaded, 0.3, multiple=1))
    assert dict(twice.config.widths)["to_first.0.0.new.0.2"] == 5
    for one in (loaded, twice, randomise(models.build(twice.config),
                                         np.random.default_rng(0))):
        one.hybridize()
        with autograd.record():
            scores, offsets = one(mx.nd.ones((2, 3, *SIZE)))
            (scores.sum() + offsets.sum()).backward()
        assert all(np.isfinite(p.grad().asnumpy()).all() for p
                   in one.collect_params().values() if p.grad_req != "null")


def test_what_is_aligned_after_pruning_is_known():
    net = models.build("grp_dsod_tiny")
    assert net.starts == [True] * 4 and net.aligned == (True, True)
    models.initialise(net)
    small = pruning.cut(net, pruning.plan_pruning(net, 0.5))
    assert small.starts == [True] * 4 and small.aligned == [True, True]
    assert small.to_first[0][1].aligned
    odd = pruning.cut(net, pruning.plan_pruning(
        net, {"doubling.1*": 0.3, "to_first.0.1*": 0.3}, multiple=1))
    assert odd.starts == [True, False, True, True]
    assert [block.aligned for block in odd.to_first[0]] == [
        True, True, False, False]


def test_a_configuration_keeps_its_widths_and_old_ones_have_none():
    pairs = {"stem.convolutions.1.0": 8, "reuse.mix.2": 5}
    one = config.get("dsod_tiny", widths=pairs)
    again = config.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one and dict(one.widths) == pairs
    assert one.to_dict()["widths"] == pairs
    old = config.get("dsod_tiny").to_dict()
    assert old.pop("widths") == {}
    assert config.from_dict(old) == config.get("dsod_tiny")
    net = models.build(one)
    assert net.stem.convolutions[1][0].weight.shape == (8, 16, 3, 3)
    assert net.stem.convolutions[2][0].weight.shape == (32, 8, 3, 3)
    assert net.reuse.mix[2].weight.shape == (5, 192, 1, 1)
    assert "reuse" not in repr(one)


@pytest.mark.parametrize("widths, words", [
    ({"stem.9": 4}, "no layer 'stem.9'"),
    ({"class_heads.0.scores.0": 6}, "must stay 8"),
    ({"stem.convolutions.0.0": 0}, "at least 1")])
def test_wrong_widths_are_one_sentence(widths, words):
    with pytest.raises(ValueError, match=words):
        models.build("dsod_tiny", widths=widths)


def test_layers_that_are_added_need_the_same_width(mixed):
    with pytest.raises(ValueError, match="8 and 12 channels|12 and 8"):
        models.build(mixed.config, widths={"one.0": 8})


@pytest.mark.parametrize("widths, words", [
    ({"gates.0.whole": 2}, "the width of gates.0.whole must stay 1, found 2"),
    ({"gates.1.each": 40}, "maps of (40 and 160|160 and 40) channels cannot"),
    ({"doubling.0.mix.1": 8}, "no layer 'doubling.0.mix.1' that could be "
     "given a width; its first one is 'stem.0.0'$")])
def test_wrong_widths_of_gates_are_one_sentence(widths, words, capsys):
    with pytest.raises(ValueError, match=words):
        models.build("grp_dsod_tiny", widths=widths)
    assert capsys.readouterr() == ("", "")      # MXNet prints its arguments


def test_layers_that_do_not_fit_in_groups_are_one_sentence(mixed):
    with pytest.raises(ValueError, match="^mixed: layers of such widths do "
                       "not fit .*group") as caught:
        models.build(mixed.config, widths={"deep.3": 7})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wishes, words", [
    (dict(ratio=1), "would empty layer stem.convolutions.0.0, which has 6"),
    (dict(ratio=1.2), "from 0 to below 1, found 1.2"),
    (dict(ratio=-0.1), "from 0 to below 1"),
    (dict(ratio=0.99, scope="global"), "would empty a layer"),
    (dict(ratio={"stem*": 0.1}, scope="global"), "must be a number"),
    (dict(ratio=0.3, layers=["nowhere*"]), "no layer 'nowhere"),
    (dict(ratio=0.3, protect=["nowhere"]), "no layer 'nowhere'"),
    (dict(ratio=0.3, layers=["class_heads*"]), "no layer is left"),
    (dict(ratio=0.3), "removes no filter: the widest of .* multiples of 16"),
    (dict(ratio=0.3, scope="all"), "scope must be one of layer, global"),
    (dict(ratio=0.3, multiple=0), "multiple must be a whole number of at lea"),
    (dict(ratio=0.3, multiple=2.5), "a whole number of .* found 2.5"),
    (dict(ratio="0.3"), "ratio must be a number from 0 .* found '0.3'"),
    (dict(ratio={"*": None}), "ratio must be a number .* None"),
    (dict(ratio=0.3, layers="stem*"), "layers must be a list .* 'stem.'"),
    (dict(ratio=0.3, protect="stem*"), "protect must be a list")])
def test_wrong_wishes_are_one_sentence(wishes, words):
    net = models.build("dsod_tiny", **{**SMALL, "second": 6, "growth": 2,
                                       "layers": (1, 1, 1)})
    models.initialise(net)
    with pytest.raises(ValueError, match=words) as caught:
        pruning.plan_pruning(net, **wishes)
    assert "\n" not in str(caught.value)


def test_every_channel_of_every_family_is_followed():
    for name in config.PRESETS:
        net = models.build(name)
        found = trace(net)
        free = [layer for layer, ids in found.layers.items()
                if found.fixed.isdisjoint(found.root[ids])]
        kept = set(found.layers) - set(free)
        assert all(layer.startswith(("class_heads", "box_heads",
                                     "object_heads", "move_heads"))
                   or layer.endswith(".whole") for layer in kept), name
        parameters = net.collect_params()
        assert set(found.axes) == set(parameters)
        for parameter, axes in found.axes.items():
            shape = parameters[parameter].shape
            assert all(shape[axis] == len(ids) for axis, ids in axes.items())


class Squares:
    """A square on noise: a data set that is learned in a few steps."""

    classes = ("square",)

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 60, (80, 96, 3), dtype=np.uint8)
        y, x = rng.integers(5, 35, 2)
        image[y:y + 30, x:x + 40] = 255
        box = np.array([[x / 96, y / 80, (x + 40) / 96, (y + 30) / 80]])
        return make_sample(image, box, [0], source=f"square {index}")


def tiny(seed=0, **changes):
    return randomise(models.build("dsod_tiny", **{
        **SMALL, "num_classes": 1, "input_size": (80, 96),
        "layers": (1, 1, 1), **changes}), np.random.default_rng(seed))


def test_the_cycle_evaluates_prunes_and_trains(tmp_path):
    net, told = tiny(), []
    before = weights.parameter_arrays(net)
    settings = config.TrainConfig(steps=3, batch_size=2, held_back=0.0,
                                  augment="none", workers=0)
    small, rows = pruning.prune_and_train(
        net, Squares.classes, Squares(6), Squares(3), 0.3, settings, 2,
        tmp_path, told.append, multiple=1)
    assert [row.stage for row in rows] == [
        "whole", "pruned 1", "trained 1", "pruned 2", "trained 2"]
    assert told == rows
    counts = [row.parameters for row in rows]
    assert counts[0] > counts[1] == counts[2] > counts[3] == counts[4]
    assert rows[0].multiply_adds == models.multiply_adds(net)
    assert rows[-1].multiply_adds == models.multiply_adds(small)
    assert all(row.latency > 0 and 0 <= row.AP <= 1 for row in rows)
    after = weights.parameter_arrays(net)
    assert all((before[name] == after[name]).all() for name in before)
    first, _ = weights.load_model(tmp_path / "step-1.safetensors")
    last, metadata = weights.load_model(tmp_path / "model.safetensors")
    assert models.count_parameters(first) == counts[1]
    assert same(outputs(last), outputs(small))
    assert [row["stage"] for row in metadata["pruning"]] == [
        row.stage for row in rows]


def test_a_step_that_cannot_be_done_says_what_there_is(tmp_path):
    net = tiny(growth=16, second=16)
    wishes = {"layers": ["to_first.0.0*"], "multiple": 12}
    pruning.plan_pruning(net, 0.2, **wishes)            # from 16 filters to 12
    with pytest.raises(ValueError, match=(
            r"^step 2 of 5: ratio 0.2 removes no filter.*; .*model.safeten"
            r"sors is the network after step 1$")):
        pruning.prune_and_train(net, Squares.classes, Squares(2), Squares(2),
                                0.2, steps=5, folder=tmp_path, **wishes)
    left, _ = weights.load_model(tmp_path / "model.safetensors")
    assert 0 < models.count_parameters(left) < models.count_parameters(net)
    with pytest.raises(ValueError, match="^ratio 0.2 removes no filter"):
        pruning.prune_and_train(left, Squares.classes, Squares(2), Squares(2),
                                0.2, steps=5, folder=tmp_path, **wishes)


def test_classes_to_train_on_come_in_the_order_of_the_network():
    net = tiny(num_classes=2)
    data = Squares(3)
    data.classes = ("b", "a")
    settings = config.TrainConfig(steps=1, held_back=0.0)
    with pytest.raises(ValueError, match="in the order a,b, found b,a; only="):
        pruning.prune_and_train(net, ("a", "b"), data, data, 0.3, settings)


def test_a_wrong_augment_is_told_before_anything_is_pruned():
    settings = config.TrainConfig(steps=1, held_back=0.0)
    with pytest.raises(ValueError, match="augment 'light' does not fit"):
        pruning.prune_and_train(tiny(resize="letter-box"), Squares.classes,
                                Squares(2), None, 0.3, settings)


def test_a_scan_prunes_each_layer_by_itself(monkeypatch):
    net = tiny(resize="letter-box")
    seen = []

    def judge(detector, dataset):
        assert detector.config.resize == "letter-box"
        arrays = weights.parameter_arrays(detector.net)
        seen.append({name: int((arrays[f"{name}.weight"] == 0).all(
            axis=(1, 2, 3)).sum()) for name in trace(net).layers})
        return dataclasses.make_dataclass("Result", ["AP"])(len(seen) / 100)
    monkeypatch.setattr(cycle, "evaluate_dataset", judge)
    rows = pruning.scan(net, ("square",), Squares(2), (0.1, 0.5), layers=["to_*"])
    layers = [name for name in trace(net).layers if name.startswith("to_")]
    assert list(dict.fromkeys(row.layer for row in rows)) == layers
    for row, zeros in zip(rows, seen):
        assert zeros.pop(row.layer) == int(row.ratio * row.filters)
        assert not any(zeros.values())
    assert [row.AP for row in rows] == [k / 100 for k in
                                        range(1, len(rows) + 1)]
    small = [row.filters for row in rows if row.ratio == 0.1]
    assert small and min(small) == 10      # of 5 filters a tenth is none


@pytest.mark.parametrize("ratios, wishes, words", [
    ((0.5, -0.5), {}, "between 0 and 1, found -0.5"),
    ((0.5, 1), {}, "between 0 and 1, found 1"),
    ((0,), {}, "between 0 and 1, found 0"),
    ((float("nan"),), {}, "between 0 and 1, found nan"),
    ((0.01, 0.02), {}, "none has enough for ratio 0.02"),
    ((0.5,), {"layers": ["class_heads*"]}, "no layer may lose filters"),
    ((0.5,), {"protect": ["stems"]}, "no layer 'stems'")])
def test_a_wrong_scan_is_one_sentence(monkeypatch, ratios, wishes, words):
    monkeypatch.setattr(cycle, "evaluate_dataset", None)
    with pytest.raises(ValueError, match=words):
        pruning.scan(tiny(), ("square",), Squares(2), ratios, **wishes)


def test_no_step_is_no_cycle():
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, found 0"):
        pruning.prune_and_train(tiny(), ("square",), Squares(2), Squares(2),
                                0.3, steps=0)
