"""Configurations: published counts, what is refused, and the way to JSON."""

import dataclasses
import doctest
import json

import numpy as np
import pytest

from dsod_d2l import config
from dsod_d2l.anchors import anchors_for
from dsod_d2l.config import (ablation, AnchorSpec, DetectConfig, families,
                             presets, TrainConfig)


def test_examples():
    for module in (presets, families):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name, size, count", [
    ("toy_ssd", 256, 5444),
    ("dsod_gluon", 256, 5460),
    ("dsod_gluon", 512, 21840),
    ("dsod300", 300, 8744),
    ("dsod300", 256, 6132),
    ("dsod300", 320, 9602),
    ("dsod512", 512, 24564),
    ("grp_dsod320", 320, 9602),
    ("grp_dsod320", 300, 8744),
    ("grp_dsod320_star", 320, 17078),
    ("ssd300_vgg16", 300, 8732),
    ("ssd512_vgg16", 512, 24564),
])
def test_published_numbers_of_anchors(name, size, count):
    preset = config.get(name, input_size=size)
    assert preset.anchor_count == count == len(anchors_for(preset))


@pytest.mark.parametrize("name, size, sides", [
    ("dsod300", 300, [38, 19, 10, 5, 3, 2]),
    ("dsod300", 256, [32, 16, 8, 4, 2, 1]),
    ("dsod300", 320, [40, 20, 10, 5, 3, 2]),
    ("dsod512", 512, [64, 32, 16, 8, 4, 2, 1]),
    ("grp_dsod320", 320, [40, 20, 10, 5, 3, 2]),
    ("toy_ssd", 256, [32, 16, 8, 4, 1]),
    ("dsod_tiny", 256, [32, 16, 8, 4, 2]),
    ("dsod_small", 320, [40, 20, 10, 5, 3]),
    ("ssd300_vgg16", 300, [38, 19, 10, 5, 3, 1]),
    ("ssd512_vgg16", 512, [64, 32, 16, 8, 4, 2, 1]),
])
def test_published_sides_of_the_maps(name, size, sides):
    shapes = config.get(name, input_size=size).map_shapes()
    assert shapes == [(side, side) for side in sides]


def test_height_and_width_are_kept_apart():
    preset = config.get("dsod300", input_size=(300, 512))
    assert preset.map_shapes()[:2] == [(38, 64), (19, 32)]
    assert preset.anchor_count == len(anchors_for(preset))


def test_distinct_changes_sizes_but_no_count():
    plain = config.get("dsod_gluon")
    assert plain.anchors[0].sizes == (.2, .2)        # as published
    found = config.get("dsod_gluon", distinct=True)
    assert found.anchors[0].sizes == pytest.approx((.2, (.2 * .37) ** .5))
    assert found.anchors[-1].sizes == pytest.approx((.88, .88 ** .5))
    assert found.anchor_count == plain.anchor_count == 5460


def centres(config_):
    """Return the centres of all anchors, in fractions of the image."""
    boxes = anchors_for(config_)
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def test_the_authors_steps_put_twelve_anchors_outside():
    authors = config.get("dsod300")
    assert [round(row.step * 300) for row in authors.anchors] == [
        8, 16, 32, 64, 100, 300]
    assert config.get("dsod300", authors=True) == authors
    outside = (centres(authors)[-16:] > 1).any(axis=1)     # the 2 x 2 map
    assert outside.sum() == 12
    even = config.get("dsod300", even_steps=True)
    assert (centres(even) < 1).all() and even.anchor_count == 8744
    np.testing.assert_allclose(
        centres(even)[-16:], np.repeat([[.25, .25], [.75, .25], [.25, .75],
                                        [.75, .75]], 4, axis=0), atol=1e-6)


@pytest.mark.parametrize("name", list(config.PRESETS))
@pytest.mark.parametrize("size", [(300, 512), (640, 257), (257, 257)])
def test_at_another_size_every_centre_lies_in_the_image(name, size):
    middle = centres(config.get(name, input_size=size))
    assert (middle > 0).all() and (middle < 1).all()


def test_steps_of_ones_own_are_kept_at_another_size():
    rows = config.get("dsod300").anchors
    resized = config.get("dsod300", input_size=320, anchors=rows)
    assert resized.anchors == rows


def pixels(config_):
    """Return least and greatest size of each row, and step, in pixels."""
    side = config_.input_size[0]
    return [(least * side, mean ** 2 / least * side, row.step * side)
            for row in config_.anchors for least, mean in [row.sizes]]


def test_the_authors_grp_cuts_sizes_to_whole_pixels():
    want = [(32, 64, 8), (64, 118, 16), (118, 172, 32), (172, 227, 64),
            (227, 281, 100), (281, 336, 320)]
    for name in ("grp_dsod320", "grp_dsod320_star"):
        found = config.get(name, authors=True)
        np.testing.assert_allclose(pixels(found), want, rtol=1e-9)
        assert (found.up, found.gate_init) == ("frozen", "zero")
        ours = config.get(name)
        assert (ours.up, ours.gate_init) == ("nearest", "xavier")
        assert ours.anchors[2].sizes[0] * 320 == pytest.approx(118.4)
        assert found.anchor_count == ours.anchor_count
    with pytest.raises(ValueError, match="toy_ssd has no form of the auth"):
        config.get("toy_ssd", authors=True)


def test_whole_sizes_stay_what_they_are():
    """Also where a quotient of floats comes out just below."""
    for side in range(300, 641):
        rows = [AnchorSpec(sizes=(k / side, (k * (k + 1)) ** 0.5 / side),
                           step=1) for k in (29, 64, 115, 118, 172, 227)]
        given = config.get("dsod300", input_size=side, anchors=rows)
        np.testing.assert_allclose(pixels(presets.whole_pixels(given)),
                                   pixels(given), rtol=1e-9)


def test_sizes_for_coco_and_512():
    coco = config.get("dsod300_coco", authors=True)
    np.testing.assert_allclose(
        pixels(coco), [(21, 45, 8), (45, 99, 16), (99, 153, 32),
                       (153, 207, 64), (207, 261, 100), (261, 315, 300)])
    wide = config.get("dsod512")
    np.testing.assert_allclose(
        [row.sizes[0] for row in wide.anchors],
        [.07, .15, .3, .45, .6, .75, .9])
    np.testing.assert_allclose(
        [row.sizes[1] ** 2 / row.sizes[0] for row in wide.anchors],
        [.15, .3, .45, .6, .75, .9, 1.05])
    assert [row.per_cell for row in wide.anchors] == [4, 6, 6, 6, 6, 4, 4]


def test_the_rows_of_the_ablation_change_one_thing_each():
    rows = list(ablation().values())
    assert len(rows) == 8 and len({row.name for row in rows}) == 8
    changed = [{field.name for field in dataclasses.fields(one)
                if getattr(one, field.name) != getattr(two, field.name)}
               - {"name"} for one, two in zip(rows, rows[1:])]
    assert changed == [{"layers"}, {"compression"}, {"bottleneck"}, {"stem"},
                       {"growth", "bottleneck"}, {"stem_style"},
                       {"prediction"}]
    first = rows[0]
    assert (first.stem, first.bottleneck, first.growth, first.compression,
            len(first.layers)) == (32, 12, 16, 0.5, 3)
    assert dataclasses.replace(rows[-1], name="dsod300") == config.get(
        "dsod300")


def test_the_rows_of_the_ablation_have_names():
    rows = list(ablation().values())
    assert [config.get(f"dsod300_ablation_{number}") for number
            in range(1, 9)] == rows
    assert config.get(rows[0].name, input_size=(129, 200)).anchors[
        -1].step is None
    assert set(config.NAMED) - set(config.PRESETS) == {
        row.name for row in rows}


@pytest.mark.parametrize("name, least", [
    ("dsod300", 129), ("dsod_gluon", 129), ("dsod_tiny", 65),
    ("toy_ssd", 128), ("dsod512", 257), ("grp_dsod320", 129),
    ("grp_dsod_tiny", 65), ("ssd300_vgg16", 257), ("ssd512_vgg16", 257),
    ("ssd_vgg_thin", 65)])
def test_the_least_side_is_legal_and_one_less_is_not(name, least):
    preset = config.get(name, input_size=(least, least + 50))
    shapes = preset.map_shapes()
    assert preset.least_side == least
    assert all(big > small for one, two in zip(shapes, shapes[1:])
               for big, small in zip(one, two))
    for size in (least - 1, (least + 50, least - 1)):
        with pytest.raises(ValueError, match=f"at least {least} pixels"):
            config.get(name, input_size=size)


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_there_and_back_through_json(name):
    preset = config.get(name, num_classes=3, input_size=(272, 321))
    text = json.dumps(preset.to_dict())
    again = config.from_dict(json.loads(text))
    assert again == preset and type(again) is type(preset)
    assert hash(again) == hash(preset)
    np.testing.assert_array_equal(anchors_for(again), anchors_for(preset))


def test_training_settings_go_to_json_and_back():
    settings = TrainConfig(steps=5, milestones=[0.5, 0.75], clip=None)
    again = TrainConfig(**json.loads(json.dumps(settings.to_dict())))
    assert again == settings


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no preset is called 'dsod'"):
        config.get("dsod")
    with pytest.raises(ValueError, match="dsod300 has no field growht"):
        config.get("dsod300", growht=3)
    with pytest.raises(ValueError, match="family 'yolo' is not known"):
        config.from_dict({"family": "yolo"})
    with pytest.raises(ValueError, match="family None is not known"):
        config.from_dict({})
    wrong = {**config.get("toy_ssd").to_dict(), "colour": 1}
    with pytest.raises(ValueError, match="toy_ssd has no field colour"):
        config.from_dict(wrong)


def test_configurations_are_frozen_and_checked_anew():
    preset = config.get("dsod_tiny")
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset.growth = 3
    with pytest.raises(ValueError, match="growth"):
        dataclasses.replace(preset, growth=0)


def test_paired_sizes_by_hand():
    assert config.paired_sizes((1, 4), 9) == ((1, 2.0), (4, 6.0))


@pytest.mark.parametrize("values, words", [
    ({"sizes": ()}, "sizes of an AnchorSpec needs at least one"),
    ({"sizes": (0.1,), "ratios": ()}, "ratios of an AnchorSpec"),
    ({"sizes": (0.1, 0)}, "sizes must be positive, found 0"),
    ({"sizes": (float("nan"),)}, "sizes must be positive, found nan"),
    ({"sizes": (0.1,), "ratios": (1, -2)}, "ratios must be positive"),
    ({"sizes": (0.1,), "step": 0}, "step must be positive, found 0"),
])
def test_anchor_rows_are_checked(values, words):
    with pytest.raises(ValueError, match=words):
        AnchorSpec(**values)


BAD_MODEL = {
    "num_classes": (0, 2.5, "3"),
    "input_size": (64, (300, 64), (300.5, 300), (300, 300, 3)),
    "resize": ("squash", None),
    "anchors": ((), (AnchorSpec(sizes=(0.1,)),) * 4),
    "variances": ((0.1, 0.1, 0.2), (0.1, 0.1, 0.2, 0)),
    "mean": ((0, 0), (0, 0, 300)),
    "std": ((1, 1), (1, 1, 0)),
    "widths": ({"stem": 0}, {"stem": 1.5}, {3: 4}, "stem", 4),
}
BAD_DENSE = {**BAD_MODEL, "stem": (0, 1.5), "bottleneck": (0,),
            "growth": (-1,), "compression": (0, 1.1), "second": (0,),
            "layers": ((6, 8), (6, 0, 8), (6, 8, 1.5)), "l2_scale": (0,),
            "predictions": ((8, 0, 8, 8), (8, 8)), "head_norm": (1, "no")}
BAD_DSOD = {**BAD_DENSE, "stem_style": ("stem", None),
            "prediction": ("ssd",)}
BAD_GRP = {**BAD_DENSE, "first_reuse": (0,), "gate_ratio": (0, 1.5),
           "pyramid": ((8, 0, 8, 8, 8), (8, 8)), "up": ("bilinear",),
           "gate_init": ("zeros",)}
BAD_TOY = {**BAD_MODEL, "anchors": ((),), "body": ((), (16, 0)), "extra": (0,)}
BAD_TRAIN = {
    "steps": (0, 1.5), "batch_size": (0,), "accumulate": (0,),
    "optimiser": ("lamb",), "learning_rate": (0, float("nan")),
    "momentum": (-0.1, 1.1), "weight_decay": (-1,), "warmup": (-1,),
    "schedule": ("step",), "milestones": ((0.8, 0.6), (0.5, 1.5)),
    "decay": (0,), "clip": (0,), "classification": ("hinge",),
    "match_threshold": (0, 1.1), "negative_ratio": (-1, float("inf")),
    "localisation_weight": (-1,), "localisation": ("l2",),
    "normalisation": ("per_image",), "mining": ("all", None), "held_back": (-0.1, 1),
    "average": (-0.1, 1),
    "evaluate_every": (-1,), "checkpoint_every": (-1,),
    "keep_checkpoints": (0,), "workers": (-1,), "seed": (-1,),
    "precision": ("float64", "half"), "sync_norm": (1, "no")}
BAD_DETECT = {"score_threshold": (-0.1, 1.1), "nms_threshold": (-0.1, 1.1),
              "candidates": (0, 1.5), "keep": (0,)}


def cases(make, bad):
    return [pytest.param(make, field, value, id=f"{field}={value}")
            for field, values in bad.items() for value in values]


@pytest.mark.parametrize("make, field, value", [
    *cases(lambda **changes: config.get("dsod300", **changes), BAD_DSOD),
    *cases(lambda **changes: config.get("dsod_gluon", **changes), BAD_DENSE),
    *cases(lambda **changes: config.get("grp_dsod320", **changes), BAD_GRP),
    *cases(lambda **changes: config.get("toy_ssd", **changes), BAD_TOY),
    *cases(TrainConfig, BAD_TRAIN), *cases(DetectConfig, BAD_DETECT)])
def test_every_field_is_checked(make, field, value):
    with pytest.raises(ValueError) as caught:
        make(**{field: value})
    shared = ("feature map", "pixels on each side")
    assert any(words in str(caught.value) for words in (field, *shared))


def test_no_field_is_forgotten_above():
    checked_elsewhere = {"name", "augment"}    # any name; by transforms
    for cls, bad in ((families.DSODConfig, BAD_DSOD), (TrainConfig, BAD_TRAIN),
                     (families.GluonDSODConfig, BAD_DENSE),
                     (families.GRPConfig, BAD_GRP),
                     (families.ToySSDConfig, BAD_TOY),
                     (DetectConfig, BAD_DETECT)):
        fields = {field.name for field in dataclasses.fields(cls)}
        assert fields - checked_elsewhere == set(bad)
