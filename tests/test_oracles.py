"""The geometry against MXNet's operators and d2l's functions.

Where they differ from ours on purpose, a test shows how.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet for this Python)
import mxnet as mx
from dsod_d2l import anchors as an
from dsod_d2l import boxes as bx
from dsod_d2l import config
from dsod_d2l import detection as dt
from dsod_d2l import targets as tg
from dsod_d2l.config import AnchorSpec, DetectConfig

ops = mx.nd.contrib
ROOT = Path(__file__).resolve().parent.parent


def random_boxes(rng, count, least=0.05, most=0.4):
    low = rng.uniform(0, 0.7, (count, 2))
    sides = rng.uniform(least, most, (count, 2))
    return np.concatenate([low, low + sides], 1).astype(np.float32)


# ---------------------------------------------------------------- anchors

@pytest.mark.parametrize("map_shape", [(3, 3), (2, 5), (7, 4), (1, 1)])
@pytest.mark.parametrize("sizes, ratios", [
    ((0.2, 0.272), (1, 2, 0.5)), ((0.5,), (4, 1)), ((0.3, 0.4, 0.5), (1,)),
    ((0.2, 0.28), (1, 2, 1 / 2, 3, 1 / 3))])
def test_map_anchors_are_those_of_multiboxprior(map_shape, sizes, ratios):
    ours = an.map_anchors(map_shape, AnchorSpec(sizes=sizes, ratios=ratios))
    theirs = ops.MultiBoxPrior(mx.nd.zeros((1, 3, *map_shape)), sizes=sizes,
                               ratios=ratios)
    np.testing.assert_allclose(ours, theirs[0].asnumpy(), atol=2e-6)


def test_steps_are_those_of_multiboxprior_which_names_y_first():
    spec = AnchorSpec(sizes=(0.2,), ratios=(1, 2), step=0.25)
    ours = an.map_anchors((2, 4), spec, (100, 200))
    theirs = ops.MultiBoxPrior(mx.nd.zeros((1, 3, 2, 4)), sizes=(0.2,),
                               ratios=(1, 2), steps=(0.25, 0.125))
    np.testing.assert_allclose(ours, theirs[0].asnumpy(), atol=2e-6)


@pytest.mark.parametrize("name", list(config.PRESETS))
def test_all_anchors_of_a_preset(name):
    preset = config.get(name)
    theirs = [ops.MultiBoxPrior(
        mx.nd.zeros((1, 1, *shape)), sizes=row.sizes, ratios=row.ratios,
        steps=(row.step or -1,) * 2) for shape, row
        in zip(preset.map_shapes(), preset.anchors)]
    np.testing.assert_allclose(an.anchors_for(preset),
                               mx.nd.concat(*theirs, dim=1)[0].asnumpy(),
                               atol=2e-6)


def test_multiboxprior_knows_no_image_so_its_squares_follow_the_map():
    """On a 10 x 19 map of a 300 x 600 image its squares are not square."""
    spec, pixels = AnchorSpec(sizes=(0.5,), ratios=(1,)), [600, 300]
    ours = an.map_anchors((10, 19), spec, (300, 600))
    theirs = ops.MultiBoxPrior(mx.nd.zeros((1, 1, 10, 19)), sizes=(0.5,),
                               ratios=(1,))[0].asnumpy()
    sides = [(boxes[0, 2:] - boxes[0, :2]) * pixels
             for boxes in (ours, theirs)]
    np.testing.assert_allclose(sides[0], [150, 150], rtol=1e-5)
    np.testing.assert_allclose(sides[1], [300 * 10 / 19, 150], rtol=1e-5)


# ------------------------------------------------------------ boxes, targets

def test_iou_is_that_of_box_iou():
    rng = np.random.default_rng(0)
    first, second = random_boxes(rng, 40), random_boxes(rng, 7)
    theirs = ops.box_iou(mx.nd.array(first), mx.nd.array(second))
    np.testing.assert_allclose(bx.iou(first, second), theirs.asnumpy(),
                               atol=1e-6)


def mxnet_targets(anchors, boxes, labels):
    """Return class targets (N,) and offsets (N, 4) of MultiBoxTarget."""
    rows = np.concatenate([np.reshape(labels, (-1, 1)),
                           np.reshape(boxes, (-1, 4))], 1)
    offsets, mask, classes = ops.MultiBoxTarget(
        mx.nd.array(anchors[None]), mx.nd.array(rows[None]),
        mx.nd.zeros((1, 9, len(anchors))))
    offsets = (offsets * mask).asnumpy().reshape(-1, 4)
    return classes.asnumpy()[0], offsets


@pytest.mark.parametrize("seed", range(20))
def test_label_anchors_is_multiboxtarget(seed):
    rng = np.random.default_rng(seed)
    preset = config.get("toy_ssd", input_size=(128, 192))
    anchors = an.anchors_for(preset)
    boxes = random_boxes(rng, rng.integers(1, 12), most=0.6)
    if seed % 4 == 0:                               # nested and touching
        boxes = np.concatenate([boxes, np.array(
            [[.11, .13, .52, .88], [.21, .22, .43, .79],
             [.52, .12, .93, .87]], np.float32)])
    labels = rng.integers(0, 8, len(boxes))
    ours = tg.label_anchors(anchors, boxes, labels)
    classes, offsets = mxnet_targets(anchors, boxes, labels)
    assert ours.positive.sum() >= len(boxes)
    np.testing.assert_array_equal(ours.classes, classes)
    np.testing.assert_allclose(ours.offsets, offsets, atol=1e-4)


def test_padding_at_the_end_is_padding_for_multiboxtarget_too():
    boxes = np.concatenate([random_boxes(np.random.default_rng(3), 4),
                            -np.ones((3, 4), np.float32)])
    labels = np.array([2, 0, 7, 1, -1, -1, -1])
    anchors = an.anchors_for(config.get("toy_ssd", input_size=128))
    ours = tg.label_anchors(anchors, boxes, labels)
    np.testing.assert_array_equal(ours.classes,
                                  mxnet_targets(anchors, boxes, labels)[0])


TWO = np.array([[0, 0, .5, 1], [0, 0, 1, 1]], np.float32)


def test_multiboxtarget_asks_for_more_than_the_threshold():
    """IoU is exactly .5: ours is positive, as in Caffe; MXNet's is not."""
    boxes = TWO[:1]
    assert tg.label_anchors(TWO, boxes, [0]).classes.tolist() == [1, 1]
    assert mxnet_targets(TWO, boxes, [0])[0].tolist() == [1, 0]


def test_multiboxtarget_ignores_every_anchor_of_an_image_without_objects():
    """Ours are background: such an image teaches what is no object."""
    padding = -np.ones((1, 4))
    assert tg.label_anchors(TWO, padding, [-1]).classes.tolist() == [0, 0]
    assert mxnet_targets(TWO, padding, [-1])[0].tolist() == [-1, -1]


def test_multiboxtarget_stops_at_a_leading_padding_row():
    """Ours looks at the label of every row."""
    boxes = np.array([[-1] * 4, [0, 0, .5, .9]], np.float32)
    assert tg.label_anchors(TWO, boxes, [-1, 3]).classes.tolist() == [4, 0]
    assert mxnet_targets(TWO, boxes, [-1, 3])[0].tolist() == [-1, -1]


# --------------------------------------------------------------- detection

@pytest.mark.parametrize("seed", range(10))
def test_nms_is_box_nms(seed):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, 500), rng.permutation(500) / 500
    threshold = [0.2, 0.45, 0.7][seed % 3]
    rows = np.concatenate([scores[:, None], boxes], 1).astype(np.float32)
    theirs = ops.box_nms(mx.nd.array(rows[None]), threshold, valid_thresh=-1,
                         coord_start=1, score_index=0).asnumpy()[0]
    kept = dt.nms(boxes, scores, threshold)
    assert 50 < len(kept) < 500
    np.testing.assert_array_equal(rows[kept], theirs[theirs[:, 0] >= 0])


def mxnet_detections(scores, offsets, anchors, config_):
    """Return rows of label, score, box: the survivors of MultiBoxDetection."""
    found = ops.MultiBoxDetection(
        mx.nd.array(dt.softmax(scores).T[None]),
        mx.nd.array(offsets.reshape(1, -1)), mx.nd.array(anchors[None]),
        threshold=config_.score_threshold,
        nms_threshold=config_.nms_threshold).asnumpy()[0]
    return found[found[:, 0] >= 0]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("classes", [1, 5])
def test_detections_are_those_of_multiboxdetection(seed, classes):
    """Where one class at most passes the threshold at each anchor."""
    rng = np.random.default_rng(seed)
    preset = config.get("toy_ssd", input_size=(128, 192))
    anchors = an.anchors_for(preset)
    scores = rng.normal(0, 1, (len(anchors), classes + 1))
    scores[:, 0] += 2
    scores[np.arange(len(anchors)), rng.integers(0, classes + 1,
                                                 len(anchors))] += 4
    scores = scores.astype(np.float32)
    offsets = rng.normal(0, 1, (len(anchors), 4)).astype(np.float32)
    # At .5 only one class can pass.
    wish = DetectConfig(score_threshold=0.5, candidates=9999, keep=9999)
    ours = dt.detections_from_outputs(scores, offsets, anchors, wish)
    theirs = mxnet_detections(scores, offsets, anchors, wish)
    assert len(ours.labels) > 50

    def in_order(labels, values, boxes):
        rows = np.concatenate([labels[:, None], values[:, None], boxes], 1)
        return rows[np.lexsort((values, labels))]     # scores are the same

    np.testing.assert_allclose(
        in_order(ours.labels, ours.scores, ours.boxes),
        in_order(theirs[:, 0], theirs[:, 1], theirs[:, 2:]), atol=2e-5)


def test_multiboxdetection_takes_one_class_per_anchor():
    """Ours lets an anchor speak for two, as Caffe and the authors do."""
    anchors = np.array([[.1, .1, .5, .9]], np.float32)
    scores = np.log(np.array([[.2, .5, .3]], np.float32))
    offsets = np.zeros((1, 4), np.float32)
    ours = dt.detections_from_outputs(scores, offsets, anchors)
    assert ours.labels.tolist() == [0, 1]
    theirs = mxnet_detections(scores, offsets, anchors, DetectConfig())
    assert theirs[:, 0].tolist() == [0]


def test_multiboxdetection_drops_at_the_threshold_ours_and_box_nms_above():
    boxes = np.array([[0, 0, 1, 1], [0, 0, .5, 1]], np.float32)   # IoU .5
    assert dt.nms(boxes, np.array([.9, .8]), 0.5).tolist() == [0, 1]
    assert dt.nms(boxes, np.array([.9, .8]), 0.49).tolist() == [0]
    rows = np.array([[.9, *boxes[0]], [.8, *boxes[1]]])
    kept = ops.box_nms(mx.nd.array(rows[None]), 0.5, coord_start=1,
                       score_index=0).asnumpy()[0]
    assert (kept[:, 0] > 0).all()
    scores = np.log(np.array([[.1, .9], [.2, .8]], np.float32))
    theirs = mxnet_detections(scores, np.zeros((2, 4), np.float32), boxes,
                              DetectConfig(nms_threshold=0.5))
    assert len(theirs) == 1


# --------------------------------------------------------------------- d2l

# d2l works in MXNet's NumPy mode, which is global: it gets its own process.
D2L = """
import sys
import dsod_d2l
import numpy as onp
from d2l import mxnet as d2l
from mxnet import np, npx
npx.set_np()
given = {k: np.array(v) for k, v in onp.load(sys.argv[1]).items()}
anchors, boxes = given["anchors"], given["boxes"]
found = {
    "prior": d2l.multibox_prior(np.zeros((1, 3, 4, 7)), [0.3, 0.2],
                                [1, 2, 0.5]),
    "iou": d2l.box_iou(anchors, boxes),
    "match": d2l.assign_anchor_to_bbox(boxes, anchors, npx.cpu()),
    "far": d2l.assign_anchor_to_bbox(given["apart"], anchors[:6], npx.cpu()),
    "encode": d2l.offset_boxes(anchors, boxes[given["one"].astype(int)]),
    "decode": d2l.offset_inverse(anchors, given["offsets"]),
    "nms": d2l.nms(anchors, given["scores"], 0.45),
    "padded": d2l.multibox_target(np.expand_dims(anchors, 0),
                                  np.expand_dims(given["padded"], 0))[2],
}
onp.savez(sys.argv[2], **{k: v.asnumpy() for k, v in found.items()})
"""


@pytest.fixture(scope="module")
def d2l(tmp_path_factory):
    """What we gave d2l, and what it made of it."""
    if find_spec("d2l") is None:
        pytest.skip("d2l is not installed")
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("d2l")
    boxes = random_boxes(rng, 5)
    given = {"anchors": random_boxes(rng, 300), "boxes": boxes,
             "one": rng.integers(0, 5, 300),
             "offsets": rng.normal(0, 1, (300, 4)).astype(np.float32),
             "scores": (rng.permutation(300) / 300).astype(np.float32),
             "apart": np.array([[5, 5, 6, 6]], np.float32),
             "padded": np.concatenate(
                 [np.c_[np.arange(5), boxes], -np.ones((2, 5))]
             ).astype(np.float32)}
    np.savez(folder / "given.npz", **given)
    subprocess.run([sys.executable, "-c", D2L, folder / "given.npz",
                    folder / "found.npz"], check=True, cwd=ROOT,
                   env={**os.environ, "PYTHONPATH": str(ROOT)})
    with np.load(folder / "found.npz") as found:
        return given, dict(found)


def test_anchors_are_those_of_d2l(d2l):
    ours = an.map_anchors((4, 7), AnchorSpec(sizes=(0.3, 0.2)))
    np.testing.assert_allclose(ours, d2l[1]["prior"][0], atol=2e-6)


def test_iou_is_that_of_d2l(d2l):
    given, found = d2l
    np.testing.assert_allclose(bx.iou(given["anchors"], given["boxes"]),
                               found["iou"], atol=1e-6)


def test_matching_is_that_of_d2l(d2l):
    given, found = d2l
    ours = tg.match(bx.iou(given["anchors"], given["boxes"]))
    assert (ours >= 0).sum() > 5
    np.testing.assert_array_equal(ours, found["match"])


def test_d2l_binds_an_object_to_an_anchor_that_does_not_touch_it(d2l):
    given, found = d2l
    overlaps = bx.iou(given["anchors"][:6], given["apart"])
    assert tg.match(overlaps).tolist() == [-1] * 6
    assert (found["far"] == 0).sum() == 1


def test_offsets_are_those_of_d2l(d2l):
    given, found = d2l
    np.testing.assert_allclose(
        tg.encode(given["boxes"][given["one"]], given["anchors"]),
        found["encode"], atol=2e-4)           # it adds 1e-6 in the logarithm
    np.testing.assert_allclose(
        tg.decode(given["offsets"], given["anchors"]), found["decode"],
        atol=1e-5)


def test_nms_is_that_of_d2l(d2l):
    given, found = d2l
    np.testing.assert_array_equal(
        dt.nms(given["anchors"], given["scores"], 0.45), found["nms"])


def test_d2l_makes_targets_of_padding_and_ours_does_not(d2l):
    given, found = d2l
    ours = tg.label_anchors(given["anchors"], given["padded"][:, 1:],
                            given["padded"][:, 0]).classes
    theirs = found["padded"][0]
    # Two anchors are bound to the padding rows; their class is -1 + 1 = 0.
    differ = np.flatnonzero(ours != theirs)
    assert len(differ) <= 2 and set(theirs[differ]) <= {0}
    assert set(ours[ours > 0]) == set(range(1, 6))
