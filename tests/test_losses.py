"""The losses against plain NumPy, finite differences and hard cases."""

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import losses
from dsod_d2l.config import TrainConfig


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def batch(seed=0, images=2, anchors=40, classes=3):
    """Scores, offsets, classes and wanted offsets with some of each kind."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(images, anchors, classes + 1)) * 3
    labels = np.where(rng.random((images, anchors)) < 0.2,
                      rng.integers(1, classes + 1, (images, anchors)), 0)
    labels[0, :4] = [-1, -1, 1, 0]
    offsets, wanted = rng.normal(size=(2, images, anchors, 4)) * 1.5
    return [array.astype("float32")
            for array in (scores, offsets, labels, wanted)]


def nd(arrays):
    return [mx.nd.array(array) for array in arrays]


def plain_softmax_loss(scores, offsets, classes, wanted, ratio=3):
    """SSD's loss, written with loops."""
    nats, total, boxes = -np.log(softmax(scores)), 0.0, 0.0
    for image in range(len(scores)):
        positive = np.flatnonzero(classes[image] > 0)
        background = np.flatnonzero(classes[image] == 0)
        hardest = sorted(background, key=lambda n: -nats[image, n, 0])
        for n in [*positive, *hardest[:int(ratio * len(positive))]]:
            total += nats[image, n, int(classes[image, n])]
        for error in np.abs(offsets - wanted)[image, positive].ravel():
            boxes += error ** 2 / 2 if error < 1 else error - 0.5
    count = max(1, (classes > 0).sum())
    return total / count, boxes / count


@pytest.mark.parametrize("hybrid", [False, True])
def test_softmax_loss_equals_the_loops(hybrid):
    arrays = batch()
    loss = losses.DetectionLoss("softmax")
    if hybrid:
        loss.hybridize()
    got = [part.asscalar() for part in loss(*nd(arrays))]
    assert got == pytest.approx(plain_softmax_loss(*arrays), rel=1e-5)


def test_focal_loss_equals_its_formula():
    scores, _, classes, _ = batch()
    got = losses.focal_loss(mx.nd, *nd([scores, classes])).asnumpy()
    probability = np.take_along_axis(
        softmax(scores), np.maximum(classes, 0).astype(int)[..., None], -1)
    p, weight = probability[..., 0], np.where(classes > 0, 0.25, 0.75)
    want = -weight * (1 - p) ** 2 * np.log(p) * (classes >= 0)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["softmax", "focal"])
@pytest.mark.parametrize("gap", [88, 1000, 1e6])
def test_loss_and_gradient_stay_finite_at_any_logit(kind, gap):
    scores, offsets, classes, wanted = batch()
    scores[..., 0], scores[..., 1:] = gap, -gap
    scores[1] *= -1
    arrays = nd([scores, offsets, classes, wanted])
    arrays[0].attach_grad()
    with mx.autograd.record():
        total = losses.DetectionLoss(kind)(*arrays)[0]
    total.backward()
    assert np.isfinite(total.asscalar())
    assert np.isfinite(arrays[0].grad.asnumpy()).all()


@pytest.mark.parametrize("kind", ["softmax", "focal"])
def test_gradient_equals_finite_differences(kind):
    scores, offsets, classes, wanted = batch(anchors=12)
    arrays = nd([scores, offsets, classes, wanted])
    loss = losses.DetectionLoss(kind)
    for which in (0, 1):
        arrays[which].attach_grad()
    with mx.autograd.record():
        total = sum(loss(*arrays))
    total.backward()
    for which in (0, 1):
        value, rng = arrays[which].asnumpy(), np.random.default_rng(1)
        for _ in range(8):
            place = tuple(rng.integers(side) for side in value.shape)
            around = []
            for step in (1e-2, -1e-2):
                moved = value.copy()
                moved[place] += step
                changed = list(arrays)
                changed[which] = mx.nd.array(moved)
                around.append(sum(loss(*changed)).asscalar())
            slope = (around[0] - around[1]) / 2e-2
            assert arrays[which].grad.asnumpy()[place] == pytest.approx(
                slope, abs=3e-3)


@pytest.mark.parametrize("kind", ["softmax", "focal"])
def test_images_without_objects_give_a_finite_loss_and_gradient(kind):
    scores, offsets, classes, wanted = batch()
    arrays = nd([scores, offsets, np.zeros_like(classes), wanted])
    for array in arrays[:2]:
        array.attach_grad()
    with mx.autograd.record():
        classification, localisation = losses.DetectionLoss(kind)(*arrays)
        total = classification + localisation
    total.backward()
    assert np.isfinite(classification.asscalar())
    assert localisation.asscalar() == 0
    for array in arrays[:2]:
        assert np.isfinite(array.grad.asnumpy()).all()
    assert not arrays[1].grad.asnumpy().any()


@pytest.mark.parametrize("kind", ["softmax", "focal"])
def test_ignored_anchors_change_nothing(kind):
    scores, offsets, classes, wanted = batch()
    loss = losses.DetectionLoss(kind)
    before = [part.asscalar() for part in
              loss(*nd([scores, offsets, classes, wanted]))]
    scores[classes == -1] = 50
    offsets[classes == -1] = 1e3
    after = [part.asscalar() for part in
             loss(*nd([scores, offsets, classes, wanted]))]
    assert before == after


def test_mining_keeps_three_of_the_hardest_per_positive_in_each_image():
    nats = mx.nd.array([[5, 1, 4, 3, 2, 6, 7], [1, 2, 3, 4, 5, 6, 7]])
    classes = mx.nd.array([[0, 0, 0, 0, 0, -1, 1], [0] * 7])
    chosen = losses.hard_negatives(mx.nd, nats, classes, classes > 0)
    assert chosen.asnumpy().tolist() == [[1, 0, 1, 1, 0, 0, 0], [0] * 7]


def test_smooth_l1_has_both_branches():
    offsets = mx.nd.array([[[0.5, 2.0, 0.0, -3.0]]])
    got = losses.smooth_l1(mx.nd, offsets, offsets * 0, mx.nd.ones((1, 1)))
    assert got.asscalar() == pytest.approx(0.125 + 1.5 + 0 + 2.5)


# ---- what a TrainConfig may choose of it

def chosen(arrays, **changes):
    """Return both parts of the chosen loss, and the same by its own graph."""
    loss = losses.ChosenLoss(TrainConfig(**changes))
    plain = [part.asscalar() for part in loss(*nd(arrays))]
    loss.hybridize()
    assert [part.asscalar() for part in loss(*nd(arrays))] == (
        pytest.approx(plain, rel=1e-6))
    return plain


@pytest.mark.parametrize("kind", ["softmax", "focal"])
def test_without_a_choice_it_is_bit_by_bit_the_usual_loss(kind):
    usual = [part.asscalar()
             for part in losses.DetectionLoss(kind)(*nd(batch(3)))]
    assert chosen(batch(3), classification=kind) == usual


def test_the_mean_over_all_anchors_and_all_offsets():
    """As the Gluon programs have it: alpha for the background, too."""
    scores, offsets, classes, wanted = arrays = batch(4)
    classes[classes < 0] = 0                   # their matcher ignores none
    got = chosen(arrays, classification="even_focal", localisation="l1",
                 normalisation="per_anchor")
    p = np.take_along_axis(softmax(scores), classes.astype(int)[..., None],
                           -1)[..., 0]
    nats = -0.25 * (1 - p) ** 2 * np.log(p)
    error = np.abs(offsets - wanted) * (classes > 0)[..., None]
    assert got == pytest.approx([nats.mean(), error.mean()], rel=1e-5)
    smooth = np.where(error < 1, error ** 2 / 2, error - 0.5)
    smooth[error == 0] = 0
    assert chosen(arrays, normalisation="per_anchor")[1] == (
        pytest.approx(smooth.mean(), rel=1e-5))


def test_l1_divided_by_the_positives():
    _, offsets, classes, wanted = arrays = batch(5)
    error = np.abs(offsets - wanted) * (classes > 0)[..., None]
    assert chosen(arrays, localisation="l1")[1] == pytest.approx(
        error.sum() / (classes > 0).sum(), rel=1e-5)


def test_mining_over_the_batch_takes_the_worst_of_all_images():
    """It is the loss of one image that has all their anchors."""
    scores, offsets, classes, wanted = arrays = batch(6)
    classes[1][classes[1] > 0] = 0             # one image without objects
    one = [array.reshape(1, -1, *array.shape[2:]) for array in arrays]
    got = chosen(arrays, mining="batch")
    assert got == pytest.approx(plain_softmax_loss(*one), rel=1e-5)
    assert got[0] != pytest.approx(plain_softmax_loss(*arrays)[0], rel=1e-3)
    few = chosen(arrays, mining="batch", negative_ratio=1)
    assert few == pytest.approx(plain_softmax_loss(*one, ratio=1), rel=1e-5)
