"""Configurations: published counts, what is refused, and the way to JSON."""

import dataclasses
import doctest
import json

import numpy as np
import pytest

from dsod_d2l import config
from dsod_d2l.anchors import anchors_for
from dsod_d2l.config import (AnchorSpec, DetectConfig, TrainConfig, presets,
                             networks)


def test_examples():
    for module in (networks, presets):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name, size, count", [
    ("toy_ssd", 256, 5444),
    ("dsod_gluon", 256, 5460),
    ("dsod_gluon", 512, 21840),
    ("dsod300", 300, 8744),
    ("dsod300", 256, 6132),
    ("dsod300", 320, 9602),
])
def test_published_numbers_of_anchors(name, size, count):
    preset = config.get(name, input_size=size)
    assert preset.anchor_count == count == len(anchors_for(preset))


@pytest.mark.parametrize("name, size, sides", [
    ("dsod300", 300, [38, 19, 10, 5, 3, 2]),
    ("dsod300", 256, [32, 16, 8, 4, 2, 1]),
    ("dsod300", 320, [40, 20, 10, 5, 3, 2]),
    ("toy_ssd", 256, [32, 16, 8, 4, 1]),
    ("dsod_tiny", 256, [32, 16, 8, 4, 2]),
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


@pytest.mark.parametrize("name, least", [
    ("dsod300", 129), ("dsod_gluon", 129), ("dsod_tiny", 65),
    ("toy_ssd", 128)])
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
    preset = config.get(name, num_classes=3, input_size=(272, 320))
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
    "anchors": ((), (AnchorSpec(sizes=(0.1,)),) * 4),
    "variances": ((0.1, 0.1, 0.2), (0.1, 0.1, 0.2, 0)),
    "mean": ((0, 0), (0, 0, 300)),
    "std": ((1, 1), (1, 1, 0)),
}
BAD_DSOD = {**BAD_MODEL, "stem": (0, 1.5), "bottleneck": (0,),
            "growth": (-1,), "compression": (0, 1.1), "second": (0,),
            "layers": ((6, 8), (6, 0, 8), (6, 8, 1.5)), "l2_scale": (0,),
            "predictions": ((8, 0, 8, 8), (8, 8)), "head_norm": (1, "no")}
BAD_TOY = {**BAD_MODEL, "anchors": ((),), "body": ((), (16, 0)), "extra": (0,)}
BAD_TRAIN = {
    "steps": (0, 1.5), "batch_size": (0,), "accumulate": (0,),
    "optimiser": ("lamb",), "learning_rate": (0, float("nan")),
    "momentum": (-0.1, 1.1), "weight_decay": (-1,), "warmup": (-1,),
    "schedule": ("step",), "milestones": ((0.8, 0.6), (0.5, 1.5)),
    "decay": (0,), "clip": (0,), "classification": ("hinge",),
    "match_threshold": (0, 1.1), "negative_ratio": (-1, float("inf")),
    "localisation_weight": (-1,), "held_back": (-0.1, 1),
    "evaluate_every": (-1,), "checkpoint_every": (-1,),
    "keep_checkpoints": (0,), "workers": (-1,), "seed": (-1,)}
BAD_DETECT = {"score_threshold": (-0.1, 1.1), "nms_threshold": (-0.1, 1.1),
              "candidates": (0, 1.5), "keep": (0,)}


def cases(make, bad):
    return [pytest.param(make, field, value, id=f"{field}={value}")
            for field, values in bad.items() for value in values]


@pytest.mark.parametrize("make, field, value", [
    *cases(lambda **changes: config.get("dsod300", **changes), BAD_DSOD),
    *cases(lambda **changes: config.get("dsod_gluon", **changes), BAD_DSOD),
    *cases(lambda **changes: config.get("toy_ssd", **changes), BAD_TOY),
    *cases(TrainConfig, BAD_TRAIN), *cases(DetectConfig, BAD_DETECT)])
def test_every_field_is_checked(make, field, value):
    with pytest.raises(ValueError) as caught:
        make(**{field: value})
    shared = ("feature map", "pixels on each side")
    assert any(words in str(caught.value) for words in (field, *shared))


def test_no_field_is_forgotten_above():
    checked_elsewhere = {"name", "augment"}    # any name; by transforms
    for cls, bad in ((networks.DSODConfig, BAD_DSOD), (TrainConfig, BAD_TRAIN),
                     (networks.GluonDSODConfig, BAD_DSOD),
                     (networks.ToySSDConfig, BAD_TOY),
                     (DetectConfig, BAD_DETECT)):
        fields = {field.name for field in dataclasses.fields(cls)}
        assert fields - checked_elsewhere == set(bad)
