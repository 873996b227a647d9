"""Summaries: published costs, a count by hand, and one by running."""

import doctest

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from dsod_d2l import config, models
from dsod_d2l.models import summary
from dsod_d2l.models.grp_dsod import FrozenUpSampling
from dsod_d2l.workbench import machine


def test_examples():
    assert doctest.testmod(summary).failed == 0


@pytest.mark.parametrize("name, giga, digits", [
    ("dsod300", 15.08, 2), ("dsod300_smallest", 5.30, 2),
    ("dsod300_lite", 11.0, 1), ("dsod512", 43.3, 1),
    ("dsod300_coco", 18.4, 1)])
def test_published_multiply_adds(name, giga, digits):
    cost = models.multiply_adds(models.build(name))
    assert round(cost / 1e9, digits) == giga


def test_it_is_short_in_words():
    found = summary.summarise(models.build("dsod_tiny", input_size=(96, 128)))
    assert repr(found) == (f"Summary({len(found.stages)} stages, 5 maps, "
                           f"{found.multiply_adds:,} multiply-adds)")


def test_a_count_by_hand():
    """Toy SSD of widths 2 and 3 on 16 x 32 pixels, three maps, 2 classes."""
    rows = [config.AnchorSpec(sizes=(0.3,), ratios=(1, 2)),
            config.AnchorSpec(sizes=(0.6,), ratios=(1,)),
            config.AnchorSpec(sizes=(0.9,), ratios=(1,))]
    net = models.build(config.ToySSDConfig(
        name="by hand", body=(2,), extra=3, anchors=rows, num_classes=2,
        input_size=(16, 32)))
    found = models.summarise(net)
    units = [16 * 32 * 9 * (3 * 2 + 2 * 2), 8 * 16 * 9 * (2 * 3 + 3 * 3), 0]
    assert [row.multiply_adds for row in found.stages] == units
    assert [row.shape for row in found.stages] == [
        (2, 8, 16), (3, 4, 8), (3, 1, 1)]
    heads = [8 * 16 * 9 * 2 * 14, 4 * 8 * 9 * 3 * 7, 9 * 3 * 7]
    assert [row.multiply_adds for row in found.heads] == heads
    assert [row.shape for row in found.heads] == [
        (14, 8, 16), (7, 4, 8), (7, 1, 1)]
    assert found.multiply_adds == sum(units) + sum(heads)
    # weights, biases, and two numbers per channel of each normalisation
    assert [row.parameters for row in found.stages] == [
        9 * 6 + 9 * 4 + 2 * 6, 9 * 6 + 9 * 9 + 2 * 9, 0]
    assert found.heads[0].parameters == 9 * 2 * 14 + 14


def count_by_running(net):
    """Note what every convolution and dense layer does in a forward pass."""
    total = []

    def note(block, inputs, out):
        if isinstance(block, nn.Conv2D):
            total.append(np.prod(block.weight.shape) * np.prod(out.shape[2:]))
        elif isinstance(block, nn.Dense):
            total.append(np.prod(block.weight.shape))
        elif isinstance(block, FrozenUpSampling):
            total.append(np.prod(block.weight.shape)
                         * np.prod(inputs[0].shape[2:]))

    net.apply(lambda block: block.register_forward_hook(note))
    models.initialise(net)
    net(mx.nd.zeros((1, 3, *net.config.input_size)))
    return sum(total)


SMALL = dict(stem=4, bottleneck=8, growth=6, second=5)
NETS = [("toy_ssd", dict(input_size=(128, 160))), ("dsod_gluon", SMALL),
        ("dsod300", SMALL), ("grp_dsod320", SMALL),
        ("dsod300", dict(stem_style="plain", prediction="plain", **SMALL)),
        ("grp_dsod320", dict(authors=True, **SMALL))]


@pytest.mark.parametrize("name, changes", NETS)
def test_a_count_by_running(name, changes):
    net = models.build(name, 3, **{"input_size": (129, 170), **changes})
    assert models.multiply_adds(net) == count_by_running(net)


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_stages_and_heads_are_the_whole_network(name):
    net = models.build(name)
    found = models.summarise(net)
    rows = [*found.stages, *found.heads]
    assert sum(row.parameters for row in rows) == models.count_parameters(net)
    numbers = [row.feature_map for row in found.stages if row.feature_map]
    shapes = net.config.map_shapes()
    assert sorted(numbers) == list(range(1, len(shapes) + 1))
    assert [row.shape[1:] for row in found.stages if row.feature_map] == [
        shapes[number - 1] for number in numbers]
    assert [shape[1:] for shape in found.maps] == shapes
    heads = found.heads[-len(shapes):]          # those of the last step
    assert [row.shape[1:] for row in heads] == shapes
    assert len(found.heads) == len(shapes) * net.steps
    anchors = sum(row.shape[0] * row.shape[1] * row.shape[2]
                  for row in heads) // (net.config.num_classes + 5)
    assert anchors == net.config.anchor_count


def test_stages_of_dsod300_are_those_of_the_table():
    """Table 1 of the paper, with maps rounded up."""
    found = models.summarise(models.build("dsod300"))
    assert [shape[:2] for shape in found.maps] == [
        (800, 38), (512, 19), (512, 10), (256, 5), (256, 3), (256, 2)]
    assert [row.shape[:2] for row in found.stages] == [
        (128, 75), (416, 75), (416, 38), (800, 38), (800, 38), (800, 19),
        (1184, 19), (1184, 19), (1568, 19), (256, 19), (256, 19),
        (512, 10), (256, 5), (256, 3), (256, 2)]
    assert found.stages[1].name == "dense block 1, layers: 6"
    assert [row.feature_map for row in found.stages] == (
        [None] * 4 + [1] + [None] * 5 + [2, 3, 4, 5, 6])


def test_stages_of_grp_are_those_of_the_table():
    found = models.summarise(models.build("grp_dsod320"))
    by_name = {row.name: row.shape for row in found.stages}
    assert by_name["reuse of the stem"] == (128, 40, 40)
    assert by_name["map 2 doubled"] == (128, 40, 40)
    assert [by_name[f"gate {k}"] for k in range(1, 7)] == [
        (1184, 40, 40), (513, 20, 20), (258, 10, 10), (258, 5, 5),
        (258, 3, 3), (256, 2, 2)]
    assert [row.shape[1] for row in found.stages if row.name == "pool"] == [
        80, 40, 20]


def test_a_summary_leaves_the_network_as_it_was():
    net = models.build("dsod_tiny")
    models.summarise(net)
    models.initialise(net)
    assert models.summarise(net) == models.summarise(net)
    assert not any(block._forward_hooks for _, block in net.named_stages())


def test_forward_time_is_measured():
    assert 0 < machine.forward_time(config.get(
        "dsod_tiny", input_size=(65, 80)), repeats=2) < 1000
