"""RefineDet: its parts, its two losses, its decoding, and what is optional."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import (anchors, config, detection, models, refinement, targets,
                      weights as weight_files)
from dsod_d2l.workbench.pretrained import transfer
from dsod_d2l.workbench.runs.long_run import run_training
from dsod_d2l.config.families import Refined
from dsod_d2l.models.refinedet import TransferBlock
from dsod_d2l.datasets.loader import BatchMaker
from dsod_d2l.training import StepGraph, fit, graph_inputs, training_graph
from test_models import Squares

NARROW = dict(stem=16, bottleneck=16, growth=16, layers=(1, 1, 1), second=16,
              predictions=(16, 16), transfer=16)
SIDE = (97, 140)


def narrow(num_classes=2, **changes):
    """Return a narrow network with numbers, for images of 97 x 140."""
    mx.random.seed(0)
    net = models.build("refinedet_dsod_tiny", num_classes, input_size=SIDE,
                       **{**NARROW, **changes})
    models.initialise(net)
    return net


def image(batch=1):
    return mx.nd.random.normal(shape=(batch, 3, *SIDE))


# ------------------------------------------------------------- the network

@pytest.mark.parametrize("changes, outputs", [
    ({}, 4), (dict(transfer=None), 4), (dict(refine=False), 2),
    (dict(refine=False, transfer=None), 2)])
@pytest.mark.parametrize("hybrid", [False, True])
def test_parts_can_be_left_out(changes, outputs, hybrid):
    net = narrow(**changes)
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    assert net.steps == outputs / 2
    found, count = net(image(2)), net.config.anchor_count
    shapes = [(2, count, 2), (2, count, 4), (2, count, 3), (2, count, 4)]
    assert [one.shape for one in found] == shapes[-outputs:]
    assert count == len(anchors.anchors_for(net.config))
    maps = [one.shape for one in net.features(mx.nd, image())]
    assert [shape[2:] for shape in maps] == net.config.map_shapes()
    assert all(shape[1] == 16 for shape in maps) == bool(net.config.transfer)


def test_a_summary_counts_every_number_once():
    for changes in ({}, dict(l2_scale=20.0), dict(transfer=None),
                    dict(refine=False), dict(source_scales=(10, 8))):
        net = narrow(**changes)
        found = models.summarise(net)
        assert (sum(row.parameters for row in [*found.stages, *found.heads])
                == models.count_parameters(net))
        assert sorted(row.feature_map for row in found.stages
                      if row.feature_map) == [1, 2, 3, 4]


def test_a_transfer_by_hand():
    """Ones everywhere, but -1 before the sum, which so has both signs."""
    block = TransferBlock(1, 1)
    block.initialize()
    for name, parameter in block.collect_params().items():
        parameter.set_data(mx.nd.full(parameter.shape,
                                      name.endswith("weight")))
    block.own[1][0].weight.set_data(mx.nd.full((1, 1, 3, 3), -1))
    one = mx.nd.zeros((1, 1, 5, 7))
    one[0, 0, 2, 3] = 1
    coarser = mx.nd.arange(12).reshape((1, 1, 3, 4))
    box = np.ones((3, 3))

    def spread(array):
        padded = np.pad(array, 1)
        return sum(padded[r:r + array.shape[0], c:c + array.shape[1]]
                   for r, c in np.argwhere(box))

    doubled = coarser.asnumpy()[0, 0].repeat(2, 0).repeat(2, 1)[:5, :7]
    joined = doubled - spread(spread(one.asnumpy()[0, 0]))
    wanted = spread(np.maximum(joined, 0))
    assert joined.min() < 0 < joined.max()
    np.testing.assert_allclose(block(one, coarser).asnumpy()[0, 0], wanted)


@pytest.mark.parametrize("relu", [True, False])
def test_the_coarsest_transfer_takes_nothing_in(relu):
    block = TransferBlock(3, 4, top=True, relu=relu)
    block.initialize()
    made = block(mx.nd.random.normal(shape=(1, 3, 2, 5))).asnumpy()
    assert made.shape == (1, 4, 2, 5) and (made.min() >= 0) == relu


def test_the_authors_form_differs_in_fc6_and_in_the_relus_of_the_top():
    found = {}
    for authors in (False, True):
        net = models.build("refinedet320_vgg16", authors=authors)
        fc6, top = net.backbone.stages[-1][1][0], net.transfers[-1]
        found[authors] = fc6._kwargs["dilate"], top.relu, len(top.last)
        assert models.count_parameters(net) == 34_440_884
        assert [len(block.last) for block in net.transfers][:-1] == [2] * 3
        assert net.config.source_scales == (10, 8)
        assert net.config.easy == .99
    assert found == {False: ((6, 6), False, 1), True: ((3, 3), True, 2)}


def test_only_the_first_sources_are_scaled():
    net = narrow(source_scales=(10, 8))
    sources = [one.asnumpy() for one in net.sources(mx.nd, image())]
    lengths = [np.sqrt((one ** 2).sum(axis=1)) for one in sources]
    np.testing.assert_allclose(lengths[0], 10, rtol=1e-4)
    np.testing.assert_allclose(lengths[1], 8, rtol=1e-4)
    assert np.ptp(lengths[2]) > 1e-3


# ---------------------------------------------------------------- training

class Few(Squares):
    """Squares of two classes; every second image has none."""

    classes = ("odd", "even")

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index % 2:
            return sample._replace(boxes=sample.boxes[:0],
                                   labels=sample.labels[:0],
                                   difficult=sample.difficult[:0])
        return sample._replace(labels=np.array([0, 1]))


def settings(**changes):
    return config.TrainConfig(**{
        "steps": 2, "batch_size": 4, "augment": "none", "held_back": 0,
        "workers": 0, **changes})


def batch_of(net, dataset, plan):
    maker = BatchMaker(dataset, net.config, plan, truths=True)
    return maker.fill(0, maker.empty()[0])


def outputs_of(net, batch):
    normal = detection.to_batch(list(batch.images), net.config)
    with mx.autograd.train_mode():
        return [one.asnumpy() for one in net(mx.nd.array(normal))]


def hard_loss(scores, moves, classes, offsets):
    """Return both losses of one step in plain NumPy, mining per image."""
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    chances = powers / powers.sum(axis=2, keepdims=True)
    total = local = 0
    for chance, move, label, wanted in zip(chances, moves, classes, offsets):
        positive = label > 0
        total -= np.log(chance[positive, label[positive]]).sum()
        nats = np.sort(-np.log(chance[label == 0, 0]))[::-1]
        total += nats[:3 * positive.sum()].sum()
        gap = np.abs(move - wanted)[positive]
        local += np.where(gap < 1, gap ** 2 / 2, gap - .5).sum()
    return np.array([total, local]) / max((classes > 0).sum(), 1)


@pytest.mark.parametrize("easy", [.99, .5, None])
def test_the_losses_are_those_of_two_steps_each_with_its_positives(easy):
    net, plan = narrow(easy=easy), settings()
    batch = batch_of(net, Few(), plan)
    said, base = outputs_of(net, batch), anchors.anchors_for(net.config)
    classes, offsets = np.empty((2, 4, len(base)), int), np.empty(
        (2, 4, len(base), 4))
    for row, (boxes, labels) in enumerate(batch.truths):
        steps = [targets.label_anchors(base, boxes, labels),
                 targets.label_anchors(targets.decode(said[1][row], base),
                                       boxes, labels)]
        for step, one in enumerate(steps):
            classes[step, row], offsets[step, row] = one.classes, one.offsets
    classes[0] = classes[0] > 0
    if easy:
        chance = 1 / (1 + np.exp(said[0][..., 1] - said[0][..., 0]))
        classes[1][(classes[1] == 0) & (chance > easy)] = -1
    wanted = (hard_loss(*said[:2], classes[0], offsets[0])
              + hard_loss(*said[2:], classes[1], offsets[1]))
    graph = training_graph(net, plan)
    assert isinstance(graph, StepGraph)
    with mx.autograd.record():
        found = graph(*graph_inputs(batch, mx.cpu()))
    found = np.array([one.asscalar() for one in found])
    np.testing.assert_allclose(found[:2] + found[2:], wanted, rtol=2e-4)
    assert graph.positives == [(one > 0).sum() for one in classes]


@pytest.mark.parametrize("dataset", [Few(), Squares()], ids=["some", "one"])
@pytest.mark.parametrize("changes", [{}, dict(refine=False), dict(
    transfer=None), dict(refine=False, transfer=None)])
def test_every_form_trains_on_images_with_and_without_objects(dataset,
                                                              changes):
    net = narrow(len(dataset.classes), **changes)
    before = weight_files.parameter_arrays(net)
    fitted = run_training(net, dataset, settings(workers=1), progress=False)
    assert np.isfinite(fitted.history.column("loss")[1]).all()
    after = weight_files.parameter_arrays(net)
    assert all(np.isfinite(one).all() for one in after.values())
    moved = {name.split(".")[0] for name in before
             if not np.array_equal(before[name], after[name])}
    assert moved == {name.split(".")[0] for name in before}


def test_a_batch_without_any_object_gives_finite_losses():
    class Empty(Few):
        def __getitem__(self, index):
            return super().__getitem__(1)

    fitted = fit(narrow(), Empty(), settings())
    assert fitted.history[-1]["loss"] == 0


def test_no_gradient_goes_through_the_matching():
    """The offsets of the first step learn from its own targets alone."""
    net, plan = narrow(), settings()
    batch, grads = batch_of(net, Few(), plan), []
    arrays = graph_inputs(batch, mx.cpu())
    graph = training_graph(net, plan)
    weights = [head.scores[0].weight for head in net.move_heads]
    outputs = graph.outputs(arrays[0])
    wanted = net.step_targets(outputs, arrays[1:3], batch.truths, .5)
    assert set(np.unique(wanted[0])) == {0, 1}      # of two classes
    for both in (True, False):
        with mx.autograd.record():
            if both:
                losses = graph(*arrays)
            else:
                losses = graph.losses.loss(
                    *graph.outputs(arrays[0])[:2],
                    *(mx.nd.array(one) for one in wanted[:2]))
            sum(losses).backward()
        grads.append(np.concatenate([one.grad().asnumpy().ravel()
                                     for one in weights]))
    np.testing.assert_allclose(*grads, rtol=1e-4, atol=1e-6)
    assert np.abs(grads[0]).max() > 0


def test_a_refinement_that_is_no_number_stops_the_run_before_it_harms():
    net = narrow()
    net.move_heads[0].scores[0].bias.set_data(mx.nd.array(
        [np.nan] * 12))
    before = weight_files.parameter_arrays(net)
    with pytest.raises(FloatingPointError, match="squares"):
        run_training(net, Few(), settings(), progress=False)
    after = weight_files.parameter_arrays(net)
    name = "class_heads.0.scores.0.weight"
    np.testing.assert_array_equal(before[name], after[name])


# --------------------------------------------------------------- detection

def test_detection_starts_from_the_refined_anchors_that_are_not_filtered():
    net = narrow(num_classes=1)
    base, count = anchors.anchors_for(net.config), net.config.anchor_count
    objectness = np.zeros((count, 2), np.float32)
    scores = np.tile(np.float32([9, 0]), (count, 1))
    moves, offsets = np.zeros((2, count, 4), np.float32)
    scores[[40, 90]] = [0, 9]
    moves[40], offsets[40] = [2, 0, 0, 0], [0, 3, 0, 0]
    objectness[90] = [4.7, 0]                     # sure, and left out
    left = net.last_step((objectness, moves, scores, offsets), base)
    assert [len(one) for one in left] == [count - 1] * 3
    found = detection.detections_from_outputs(*left)
    assert len(found.labels) == 1
    x, y, width, height = (base[40, 0], base[40, 1],
                           *(base[40, 2:] - base[40, :2]))
    wanted = [x + .2 * width, y + .3 * height, x + 1.2 * width,
              y + 1.3 * height]
    np.testing.assert_allclose(found.boxes[0], np.clip(wanted, 0, 1),
                               atol=1e-5)
    objectness[:] = [9, 0]
    none = detection.detections_from_outputs(*net.last_step(
        (objectness, moves, scores, offsets), base))
    assert len(none.labels) == 0


def test_a_detector_does_as_its_parts():
    net = narrow()
    pixels = np.random.default_rng(1).integers(0, 255, (80, 90, 3), np.uint8)
    detector = detection.Detector(net, ("a", "b"))
    outputs = [one.asnumpy()[0] for one in net(mx.nd.array(
        detection.to_batch([pixels], net.config)))]
    refined = refinement.refine(anchors.anchors_for(net.config), outputs[1])
    wanted = detection.detections_from_outputs(*outputs[2:], refined)
    found = detector.detect(pixels)
    assert len(found.labels) > 10
    for name in ("labels", "scores", "boxes"):
        np.testing.assert_allclose(getattr(found, name),
                                   getattr(wanted, name), atol=1e-6)


def test_means_of_offsets_hold_in_both_steps():
    """What a network with means says is what one without says, shifted."""
    changes = dict(input_size=SIDE, backbone=dataclasses.replace(
        config.get("refinedet_vgg_tiny").backbone, widths=(4,) * 15))
    plain = models.build("refinedet_vgg_tiny", **changes)
    shifted = models.build("refinedet_vgg_tiny", **changes,
                           offset_means=(.1, 0, .2, -.1))
    shift = np.array([1, 0, 1, -.5])
    rng, base = np.random.default_rng(0), anchors.anchors_for(plain.config)
    objectness, scores = rng.normal(0, 3, (2, 1, len(base), 2))
    moves, offsets = rng.normal(0, 1, (2, 1, len(base), 4))
    truths = [(Squares()[0].boxes, Squares()[0].labels)]
    found = []
    for net, by in ((plain, 0), (shifted, shift)):
        said = [objectness, moves - by, scores, offsets - by]
        wanted = net.step_targets([mx.nd.array(one) for one in said], [
            np.zeros((1, 2))] * 2, truths, .5)
        found.append([*net.last_step([one[0] for one in said], base),
                      wanted[2], wanted[3] + by * (wanted[2] > 0)[..., None]])
    assert (found[0][3] > 0).any()
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("changes, message", [
    (dict(transfer=0), "transfer must be a whole number of at least 1"),
    (dict(refine=1), "refine must be True or False, found 1"),
    (dict(easy=1.0), "easy must be a number from 0.5 to below 1, or None, found 1.0"),
    (dict(easy=.4), "easy must be a number from 0.5 to below 1, or None, found 0.4"),
    (dict(source_scales=(1, 2, 3, 4, 5)), "5 numbers for 4 feature maps"),
    (dict(source_scales=(-1,)), "source_scales must be positive, found -1"),
    (dict(input_size=32), "at least 33 pixels")])
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config.get("refinedet_dsod_tiny", **changes)


def test_a_map_too_small_to_be_doubled_is_refused():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Toy(Refined, config.ToySSDConfig):
        pass

    with pytest.raises(ValueError, match="1 x 1 cells do not cover 4 x 6"):
        Toy(name="toy", anchors=config.get("toy_ssd").anchors,
            input_size=(256, 384))


def test_what_was_trained_detects_the_same_from_its_file(tmp_path):
    fitted = run_training(narrow(), Few(), settings(), tmp_path,
                          progress=False)
    pixels = Few()[0].image
    ours, theirs = (detector.detect(pixels) for detector in (
        detection.Detector(fitted.net, Few.classes),
        detection.Detector.from_weights(tmp_path / "model.safetensors")))
    assert len(ours.labels)
    for name in ("labels", "scores", "boxes"):
        np.testing.assert_array_equal(getattr(ours, name),
                                      getattr(theirs, name))


def test_a_network_of_one_step_lends_its_body(tmp_path):
    """Fine-tuning: what DSOD learned is taken over, the rest is drawn."""
    plain = models.build("dsod_tiny", 2, input_size=SIDE, **{
        **{name: value for name, value in NARROW.items()
           if name != "transfer"}, "predictions": (16, 16),
        "anchors": config.get("dsod_tiny").anchors[:4]})
    models.initialise(plain)
    path = tmp_path / "plain.safetensors"
    weight_files.save_weights(path, plain, Few.classes)
    net = narrow()
    found = transfer.start_from(net, path, Few.classes)
    assert {name.split(".")[0] for name in found.loaded} >= {
        "stem", "to_first", "to_second", "reuse", "predictions"}
    assert {name.split(".")[0] for name in found.drawn} >= {
        "object_heads", "move_heads", "transfers"}
    np.testing.assert_array_equal(
        net.stem.convolutions[0][0].weight.data().asnumpy(),
        plain.stem.convolutions[0][0].weight.data().asnumpy())


def test_a_configuration_comes_back_from_its_dictionary():
    one = dataclasses.replace(config.get("refinedet_dsod_tiny"), easy=None,
                              source_scales=(3.0, 4.0))
    assert config.from_dict(one.to_dict()) == one
