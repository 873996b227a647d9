"""What a run may do beside its settings, watched and ended by what it meets."""

import errno
import io
import json
import logging
import os
import signal
import struct
import sys
import types
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from dsod_d2l import config, models, training, transforms, weights
from dsod_d2l.config import AnchorSpec
from dsod_d2l.datasets import make_sample
from dsod_d2l.datasets.loader import BatchMaker
from dsod_d2l.losses import ChosenLoss, DetectionLoss
from dsod_d2l.workbench.checking import anchor_fit
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.pretrained import transfer
from dsod_d2l.workbench.runs import checkpoints, curves, freezing, long_run, plan, weighing
from dsod_d2l.workbench.runs import run_folder as folders
from dsod_d2l.workbench.runs.long_run import run_training
from dsod_d2l.workbench.runs.tuning import Tuning
from dsod_d2l.training import StepLosses
from small_runs import SMALL, Squares, ending, network, settings, train


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(folders, "history_picture", lambda _: b"picture")


class Killed(BaseException):
    """Stands for SIGKILL."""


def killing_at(step):
    def kill(row):
        if row["step"] == step:
            raise Killed
    return kill


class Two(Squares):
    """Six squares of one class, then two of another."""

    classes = ("light", "dark")

    def __getitem__(self, index):
        return super().__getitem__(index)._replace(
            labels=np.array([int(index >= 6)]))


def started():
    """Return a small network whose numbers are drawn."""
    mx.random.seed(3)
    net = network()
    models.initialise(net)
    return net


# ---- weights that stay --------------------------------------------------------

@pytest.mark.parametrize("patterns", [("stem", "box_heads.1"), ("*.gamma", "stem.")])
def test_frozen_arrays_keep_every_bit_and_the_others_learn(tmp_path, patterns):
    net = started()
    before = weights.parameter_arrays(net)
    names = freezing.frozen_names(net, patterns)
    assert names == [name for name in before if name.startswith("stem.")
                     or name.startswith("box_heads.1.") and "stem" in patterns
                     or name.endswith("gamma") and "stem" not in patterns]
    train(tmp_path / "frozen", net=net, tuning=Tuning(freeze=patterns), steps=3)
    train(tmp_path / "free", net=started(), steps=3)

    def same(folder):
        after = weights.load_tensors(tmp_path / folder / "model.safetensors")[0]
        return {name for name in before if np.array_equal(before[name], after[name])}
    # The coarsest maps have no object here, and some arrays no gradient.
    assert same("frozen") == {*names, *same("free")}
    assert len(same("free")) < len(before) / 3
    # The network is as free as before, once the run is over.
    assert all(parameter.grad_req == ("null" if "running" in name else "write")
               for name, parameter in net._collect_params_with_prefix().items())
    blocks = []
    net.apply(blocks.append)
    assert not any(block._kwargs["use_global_stats"] for block in blocks
                   if isinstance(block, mx.gluon.nn.BatchNorm))


def test_what_is_not_frozen_takes_the_step_it_would_have_taken():
    """Heads have no statistics: without them the gradients are the same."""
    def after(*names):
        net = started()
        train(None, net=net, tuning=Tuning(freeze=names), optimiser="sgd", steps=1, clip=None,
              held_back=0.0, average=0.0, augment="none")
        return weights.parameter_arrays(net)
    plain, held, first = after(), after("class_heads"), weights.parameter_arrays(started())
    for name, array in held.items():
        same = first if name.startswith("class_heads.") else plain
        np.testing.assert_array_equal(array, same[name], err_msg=name)
    assert not np.array_equal(first["class_heads.0.scores.0.weight"],
                              plain["class_heads.0.scores.0.weight"])


def test_a_frozen_normalisation_uses_its_running_statistics():
    net = started()
    images = mx.nd.random.uniform(shape=(2, 3, 65, 80))
    mean = net.predict(images.asnumpy())[0]
    with freezing.frozen(net, ("stem", "to_first", "to_second", "reuse", "predictions")):
        with mx.autograd.train_mode():
            found = net(images)[0].asnumpy()
    with mx.autograd.train_mode():
        other = net(images)[0].asnumpy()
    np.testing.assert_array_equal(found, mean)
    assert np.abs(other - mean).max() > 1e-3


def test_a_name_that_fits_nothing_names_those_near():
    with pytest.raises(ValueError, match=r"--freeze class_head fits no array of dsod_tiny; near it are "
                       r".*class_heads"):
        freezing.frozen_names(network(), ["stem", "class_head"])
    with pytest.raises(ValueError, match=r"--freeze \* leaves nothing to learn"):
        freezing.frozen_names(network(), ["*"])
    said = freezing.tell_frozen(network(), ["class_heads.0.scores.0.bias"])
    assert said.startswith("1 of ") and said.endswith("in class_heads")
    net = network()
    with pytest.raises(ValueError, match="fits no array"):      # before the work
        train(None, net=net, tuning=Tuning(freeze="nothing"))


@pytest.mark.parametrize("tuning", [
    Tuning(freeze="stem"), Tuning(watch="loss", class_weights={"square": 2.5})])
def test_such_a_run_that_is_killed_ends_the_same(tmp_path, tuning):
    weights.save_weights(tmp_path / "start.safetensors", started(), ("square",))

    def go(folder, **more):
        net = weights.load_model(tmp_path / "start.safetensors")[0]
        return train(tmp_path / folder, net=net, tuning=tuning, **more)
    go("whole")
    with pytest.raises(Killed):
        go("killed", callbacks=[killing_at(3)])
    go("killed", resume=True)
    assert ending(tmp_path / "killed") == ending(tmp_path / "whole")


# ---- classes that count more --------------------------------------------------

def by_hand(scores, offsets, classes, wanted, weights, focal, ratio=3):
    """Return both losses in NumPy, image by image and anchor by anchor."""
    first = second = 0.0
    for image in range(len(scores)):
        logits = scores[image].astype(float)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        chosen = np.maximum(classes[image], 0)
        share = shares[np.arange(len(chosen)), chosen]
        nats, positive = -np.log(share), classes[image] > 0
        if focal:
            nats = nats * (1 - share) ** 2 * np.where(positive, .25, .75) * (classes[image] >= 0)
            counts = np.ones(len(chosen), bool)
        else:
            rows = np.flatnonzero(classes[image] == 0)
            rows = rows[np.argsort(-nats[rows], kind="stable")][:ratio * positive.sum()]
            counts = positive.copy()
            counts[rows] = True
        first += (nats * counts * np.asarray(weights)[chosen]).sum()
        step = np.abs(offsets[image] - wanted[image])
        second += (np.where(step < 1, step ** 2 / 2, step - .5).sum(axis=1) * positive).sum()
    number = max((classes > 0).sum(), 1)
    return first / number, second / number


@pytest.mark.parametrize("kind", ["softmax", "focal"])
@pytest.mark.parametrize("hybrid", [False, True])
def test_the_loss_with_weights_by_hand(kind, hybrid):
    rng, plan = np.random.default_rng(5), settings(classification=kind)
    classes = rng.choice([-1, 0, 0, 0, 0, 0, 1, 2], (3, 40))
    scores, offsets, wanted = (rng.normal(size=(3, 40, size)).astype(np.float32)
                               for size in (3, 4, 4))
    arrays = [mx.nd.array(one) for one in (scores, offsets, classes, wanted)]

    def found(weights):
        loss = ChosenLoss(plan, np.array(weights, np.float32))
        loss.hybridize(hybrid)
        return [one.asscalar() for one in loss(*arrays)]
    np.testing.assert_allclose(found([1, 3, .5]), by_hand(
        scores, offsets, classes, wanted, [1, 3, .5], kind == "focal"), rtol=1e-5)
    assert found([1, 1, 1]) == [one.asscalar() for one in DetectionLoss(kind)(*arrays)]


def test_only_the_last_of_several_steps_tells_classes_apart():
    rng, plan = np.random.default_rng(1), settings()
    pairs = [[mx.nd.array(rng.normal(size=(2, 9, size))) for size in (wide, 4)] for wide in (2, 3)]
    wanted = [[mx.nd.array(rng.integers(0, top, (2, 9))), mx.nd.array(rng.normal(size=(2, 9, 4)))]
              for top in (2, 3)]
    loss = StepLosses(plan, np.array([1, 5, 7], np.float32))
    found = [one.asscalar() for one in loss(*pairs[0], *pairs[1], *wanted[0], *wanted[1])]
    last = ChosenLoss(plan, np.array([1, 5, 7], np.float32))
    apart = [*DetectionLoss()(*pairs[0], *wanted[0]), *last(*pairs[1], *wanted[1])]
    assert found == [one.asscalar() for one in apart]


def test_weights_are_said_by_class_or_balanced():
    def said(*words):
        return weighing.weights_by_class(words, Two()).tolist()
    assert said("dark=4") == [1, 1, 4]
    assert said("dark=0", "light=0.5") == [1, .5, 0]
    # 8 objects, 2 classes: 8 / (2 * 6) and 8 / (2 * 2); their mean is 1.
    np.testing.assert_allclose(said("balanced"), [1, 2 / 3, 2], rtol=1e-6)

    class Lacking(Two):
        classes = ("light", "dark", "none")
    np.testing.assert_allclose(weighing.weights_by_class(("balanced",), Lacking()),
                               [1, 2 / 3, 2, 1], rtol=1e-6)
    with pytest.raises(ValueError, match="--class-weights drak=2: .*being one of dark"):
        said("drak=2")
    for wrong in ("nan", "-1", "much", "inf", ""):
        with pytest.raises(ValueError, match="expected a number of at least 0"):
            said(f"dark={wrong}")
    assert Tuning(class_weights={"a=b": 2}).class_weights == ("a=b=2",)
    assert Tuning(class_weights="balanced").class_weights == ("balanced",)


@pytest.mark.parametrize("ctx", [None, [mx.cpu(0), mx.cpu(1)]])
def test_a_run_with_weights(ctx):
    def losses(**given):
        net = models.build("dsod_tiny", 2, **SMALL)
        mx.random.seed(0)
        return [row["classification"] for row in run_training(
            net, Two(), settings(steps=2, held_back=0.0, batch_size=4, augment="none"), ctx=ctx, progress=False,
            tuning=Tuning(**given)).history]
    plain, ones, more = losses(), losses(class_weights={"dark": 1}), losses(class_weights={"dark": 30})
    assert plain == ones and more[0] > plain[0]


def test_a_network_of_two_steps_trains_with_weights():
    net = models.build("refinedet_dsod_tiny", 2, input_size=(96, 96), stem=8, bottleneck=8, growth=8,
                       layers=(1, 1, 1), second=8, predictions=(8, 8), transfer=8)
    fitted = run_training(net, Two(), settings(steps=2, held_back=0.0, augment="none"), progress=False,
                          validation=Two(3), tuning=Tuning(class_weights={"dark": 3}))
    assert np.isfinite(fitted.history.column("loss")[1]).all()
    assert np.isfinite(fitted.history[-1]["validation_loss"])


# ---- the loss on what is not trained on ---------------------------------------

@pytest.mark.parametrize("resize", ["stretch", "letter-box"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_loss_on_other_images_is_that_of_one_batch_of_all(resize, average):
    """Three images in batches of two, against one batch; nothing is varied."""
    class Wide(Squares):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            if index == 1:                     # an image without objects
                return sample.keep(slice(0))
            return make_sample(np.pad(sample.image, ((0, 0), (0, 40), (0, 0))),
                               sample.boxes * [80 / 120, 1, 80 / 120, 1], sample.labels)
    held, plan = Wide(3), settings(steps=1, average=average, augment="light" if resize == "stretch" else "letter-box")
    net = models.build("dsod_tiny", **SMALL, resize=resize)
    fitted = run_training(net, Squares(4), plan, progress=False, validation=held)
    maker = BatchMaker(held, net.config, settings(batch_size=3, augment=plan.augment))
    maker.augment = (transforms.plain if resize == "stretch" else
                     lambda sample, size, rng: transforms.letter_box(sample, size))
    batch = maker.fill(0, maker.empty()[0])
    assert (batch.classes.max(axis=1) == 0).sum() == 1
    whole = training.TrainingGraph(net, plan)(*training.graph_inputs(batch, mx.cpu()))
    # What was kept is the model that was judged: there is one evaluation.
    assert fitted.history[-1]["validation_loss"] == pytest.approx(
        sum(one.asscalar() for one in whole), rel=1e-5)
    assert fitted.best["validation_loss"] == fitted.history[-1]["validation_loss"]


def test_what_is_held_back_has_no_loss_unless_it_is_asked_for():
    for watch, there in (("AP", False), ("loss", True)):
        history = train(None, tuning=Tuning(watch=watch)).history
        assert any("validation_loss" in row for row in history) == there
    rows = [{"step": 1, "classification": 2., "localisation": 1., "validation_loss": 3.}]
    assert folders.history_picture(rows) == b"picture"


def test_looking_at_the_loss_changes_no_step(tmp_path):
    train(tmp_path / "a", tuning=Tuning(watch="loss"))
    train(tmp_path / "b")
    one, other = (ending(tmp_path / name) for name in "ab")
    assert [row["loss"] for row in one["history"]] == [row["loss"] for row in other["history"]]
    last = "step-0000005.safetensors"
    same = {name: array for name, array in other[last][1].items() if not name.startswith("best/")}
    assert same == {name: one[last][1][name] for name in same}


# ---- ending early -------------------------------------------------------------

@pytest.fixture
def judged(monkeypatch):
    """Return plan(values): what each evaluation in turn finds."""
    def arrange(*values):
        left = list(values)
        monkeypatch.setattr(training, "evaluate_dataset", lambda *_: SimpleNamespace(
            objects=1, images=2, AP=left[0], AP50=1 - left.pop(0)))
    return arrange


MANY = dict(steps=99, evaluate_every=1 / 3)       # one evaluation each step


@pytest.mark.parametrize("watch, steps, best", [("AP", 4, 2), ("AP50", 5, 3)])
def test_a_run_ends_when_nothing_has_been_better_for_long(tmp_path, judged, caplog, watch, steps, best):
    judged(.2, .5, .1, .3, .4, .9)
    seen = {}
    with caplog.at_level(logging.WARNING):
        fitted = train(tmp_path, **MANY, tuning=Tuning(patience=2, watch=watch), callbacks=[
            lambda row: seen.update({row["step"]: 0})])
    assert len(fitted.history) == steps == max(seen) and fitted.best["step"] == best
    assert (f"Stopped after step {steps} of 99: 2 evaluations have brought no better {watch} than "
            f"that of step {best}") in caplog.text
    facts = weights.load_model(tmp_path / "model.safetensors")[1]
    assert facts["best"]["step"] == best
    found = checkpoints.list_checkpoints(tmp_path / "checkpoints")[-1]
    assert found.name == f"step-{steps:07d}.safetensors"
    before = ending(tmp_path)
    train(tmp_path, resume=True, **MANY, tuning=Tuning(patience=2, watch=watch))
    assert ending(tmp_path) == before


def test_more_patience_goes_on(tmp_path, judged):
    judged(.5, .1, .2, .3, .4, .9, .1, .1, .1, .1)
    train(tmp_path, **MANY, tuning=Tuning(patience=2))
    fitted = train(tmp_path, resume=True, **MANY, tuning=Tuning(patience=4))
    assert [row["step"] for row in fitted.history] == [1, 2, 3, 4, 5]


def test_the_best_model_by_its_loss(tmp_path, judged, monkeypatch):
    judged(.5, .1, .2, .3, .4, .9)
    losses = iter([4., 2., 3., 1., 1., 1.5])
    monkeypatch.setattr(weighing, "held_loss", lambda *_: next(losses))
    fitted = train(tmp_path, **MANY, tuning=Tuning(watch="loss", patience=2))
    assert len(fitted.history) == 6 and fitted.best == {
        "step": 4, "AP": .3, "AP50": .7, "validation_loss": 1.0}


def test_an_evaluation_that_there_is_not_cannot_be_waited_for():
    for changes, words in ((dict(held_back=0.0), "--held-back.*--validation"),
                           (dict(evaluate_every=0.0), "--evaluate-every 1")):
        with pytest.raises(ValueError, match=words):
            train(None, tuning=Tuning(patience=3), **changes)
    with pytest.raises(ValueError, match="images to choose the best model on"):
        train(None, tuning=Tuning(watch="loss"), held_back=0.0)
    with pytest.raises(ValueError, match="patience must be a whole number"):
        Tuning(patience=-1)
    with pytest.raises(ValueError, match="watch must be one of AP, AP50, loss"):
        Tuning(watch="accuracy")


# ---- what ends a run ----------------------------------------------------------

def failing(error, at=3):
    def fail(row):
        if row["step"] == at:
            raise error
    return fail


@pytest.mark.parametrize("error, words", [
    (MemoryError(), r"memory has run out \(MemoryError\): a smaller batch_size, .*accumulate"),
    (mx.MXNetError("Traceback:\n  File x\nMXNetError: cudaMalloc retry failed: out of memory"),
     r"memory has run out \(MXNetError: cudaMalloc retry failed: out of memory\)"),
    (mx.MXNetError("std::bad_alloc"), "memory has run out"),
    (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "memory has run out"),
    (mx.MXNetError("Traceback:\n  File x\nMXNetError: Check failed: a < b (3 vs. 2)"),
     r"MXNet has failed: MXNetError: Check failed: a < b \(3 vs. 2\)")])
def test_what_a_run_cannot_help_is_one_sentence(tmp_path, error, words, whole_run):
    with pytest.raises(RuntimeError, match=words) as caught:
        train(tmp_path, callbacks=[failing(error)])
    assert caught.value.resumable and "\n" not in str(caught.value)
    assert str(caught.value).endswith("; resume=True goes on from the newest checkpoint")
    train(tmp_path, resume=True)
    assert ending(tmp_path) == whole_run
    with pytest.raises(long_run.Broken, match="no checkpoint yet") as caught:
        train(tmp_path / "new", callbacks=[failing(error, 1)])
    assert not caught.value.resumable


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "history_picture", lambda _: b"picture")
        train(folder)
    return ending(folder)


def test_other_errors_are_left_alone(tmp_path):
    for error in (OSError(errno.ENOSPC, "full"), KeyError("x"), ValueError("y")):
        with pytest.raises(type(error)) as caught:
            train(tmp_path / type(error).__name__, callbacks=[failing(error)])
        assert caught.value is error


def test_the_death_of_a_data_worker_costs_no_step(tmp_path, whole_run):
    """All that was done is saved, though no checkpoint was due."""
    class Deadly(Squares):
        asked = 0

        def __getitem__(self, index):
            if os.getpid() != parent:
                self.asked += 1
                if self.asked == 8:          # in the fourth batch of two
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(index)
    parent = os.getpid()
    with pytest.raises(long_run.Broken, match="a data worker was killed by SIGKILL") as caught:
        run_training(network(), Deadly(), settings(workers=1, checkpoint_every=0), tmp_path, progress=False)
    assert caught.value.resumable
    path, = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    assert path.name == "step-0000003.safetensors"
    train(tmp_path, resume=True)
    assert ending(tmp_path)["model.safetensors"] == whole_run["model.safetensors"]


def test_the_command_says_how_to_go_on_after_a_failure(monkeypatch, tmp_path, capsys):
    def fail(*_, **__):
        raise long_run.Broken("memory has run out (bad_alloc)", fail.saved)
    monkeypatch.setattr(long_run, "run_training", fail)
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    words = ["train", "--data", str_of(tmp_path), "--out", str(tmp_path / "a b"), "--input", "96", "--json"]
    for fail.saved, end in ((False, ""), (True, "; go on with: python -m dsod_d2l train --data "
                                          f"{str_of(tmp_path)} --out '{tmp_path}/a b' --input 96 --json --resume")):
        assert main(words) == 2
        assert capsys.readouterr().err == f"train: memory has run out (bad_alloc){end}\n"


# ---- anchors on the command line ----------------------------------------------

class Small(Squares):
    """Squares of a tenth of the picture, which no anchor of dsod_tiny fits."""

    @staticmethod
    def _draw(index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 90, (96, 96, 3), dtype=np.uint8)
        boxes = []
        for y in (5, 40, 70):
            x = int(rng.integers(0, 80))
            image[y:y + 6, x:x + 6] = 255
            boxes.append([x / 96, y / 96, (x + 6) / 96, (y + 6) / 96])
        return make_sample(image, boxes, [0] * 3, source=f"square {index}")


def str_of(folder):
    """Write small squares as a record file; return its address."""
    import cv2

    from dsod_d2l.datasets.records import write_records
    path = folder / "small.rec"
    write_records(path, [(one.boxes, one.labels, cv2.imencode(".png", one.image)[1].tobytes())
                         for one in Small().samples])
    return f"rec:{path}"


@pytest.fixture
def fitted(tmp_path, capsys):
    """Return a data set's address, and what `data check` says of it."""
    address = str_of(tmp_path)
    assert main(["data", "check", address, "--json"]) == 0
    return address, json.loads(capsys.readouterr().out)["anchors"]


def test_the_anchors_that_fit_are_those_of_data_check(fitted, tmp_path, capsys):
    address, check = fitted
    assert main(["train", "--data", address, "--anchors", "fit", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["anchors"]
    assert (found["recall_before"], found["recall"]) == (check["recall"], check["suggested"]["recall"])
    assert found["recall"] > found["recall_before"]
    assert [{name: row[name] for name in ("sizes", "ratios")} for row in found["anchors"]] == (
        check["suggested"]["anchors"])
    assert main(["train", "--data", address, "--anchors", "fit", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert f"{check['recall']:.1%} of 24 objects overlap one by half or more before, " in text
    words = ["train", "--data", address, "--anchors", "fit", "--out", str(tmp_path / "run"), "--steps", "1",
             "--batch-size", "2", "--held-back", "0", "--workers", "0", "--json"]
    assert main(words) == 0
    net, _ = weights.load_model(tmp_path / "run/model.safetensors")
    assert [list(spec.sizes) for spec in net.config.anchors] == [
        row["sizes"] for row in check["suggested"]["anchors"]]
    # Who starts from these weights has the anchors that they were trained with.
    assert transfer.settings_of(tmp_path / "run/model.safetensors", "dsod_tiny")["anchors"] == (
        net.config.anchors)
    assert main([*words, "--resume"]) == 0


def test_anchors_are_read_in_every_form_that_is_written(fitted, tmp_path, capsys):
    address, check = fitted
    preset = config.get("dsod_tiny")
    wanted = tuple(AnchorSpec(tuple(row["sizes"]), tuple(row["ratios"]))
                   for row in check["suggested"]["anchors"])
    assert main(["data", "check", address]) == 0
    printed = capsys.readouterr().out
    rounded = tuple(AnchorSpec(spec.sizes, tuple(round(one, 3) for one in spec.ratios)) for spec in wanted)
    (tmp_path / "printed.txt").write_text(printed)
    (tmp_path / "check.json").write_text(json.dumps({"anchors": check}))
    (tmp_path / "rows.json").write_text(json.dumps(check["suggested"]["anchors"]))
    net = models.build("dsod_tiny", 1, anchors=wanted)
    models.initialise(net)
    weights.save_weights(tmp_path / "w.safetensors", net, ["a"])
    for name in ("check.json", "rows.json", "w.safetensors"):
        assert anchor_fit.read_anchors(str(tmp_path / name), preset) == wanted
    assert anchor_fit.read_anchors(json.dumps(check["suggested"]["anchors"]), preset) == wanted
    assert anchor_fit.read_anchors(str(tmp_path / "printed.txt"), preset) == rounded
    assert anchor_fit.read_anchors(printed, preset) == rounded
    # A step that is not said stays the network's.
    stepped = config.get("dsod300")
    rows = [{"sizes": [.1 * k]} for k in range(1, 7)]
    assert [spec.step for spec in anchor_fit.read_anchors(json.dumps(rows), stepped)] == [
        spec.step for spec in stepped.anchors]


@pytest.mark.parametrize("asked, words", [
    ("fitt", "expected fit, or a file or text with AnchorSpec"), ("[1, 2]", "expected fit"), ("{}", "expected fit"),
    ('[{"sizes": [0.1]}]', "dsod_tiny has 5 feature maps, found anchors for 1"),
    ("AnchorSpec(sizes=(.1,)) " * 6, "5 feature maps, found anchors for 6"),
    ("AnchorSpec(sizes=(-1,)) " * 5, "sizes must be positive"),
    ("AnchorSpec(size=(1,)) " * 5, "AnchorSpec has no field size; did you mean sizes"),
    ("AnchorSpec(sizes=(open,)) " * 5, "expected fit"), ("x" * 5000, "expected fit"),
    ("none.safetensors", "no such weights file")])
def test_what_are_no_anchors_is_one_sentence(asked, words):
    with pytest.raises((ValueError, OSError), match=words) as caught:
        anchor_fit.read_anchors(asked, config.get("dsod_tiny"))
    assert len(str(caught.value)) < 500


def test_anchors_that_fit_already_stay():
    preset = config.get("dsod_tiny")

    class Fitting(Squares):
        def entry(self, index):
            spec = preset.anchors[2].sizes[0]
            return SimpleNamespace(boxes=np.array([[.5 - spec / 2, .5 - spec / 2, .5 + spec / 2, .5 + spec / 2]]),
                                   labels=np.array([0]))
    from dsod_d2l.datasets.wrappers import Wrapper

    class Whole(Wrapper):
        def entry(self, index):
            return Fitting().entry(index)
    found = anchor_fit.choose_anchors("fit", preset, Whole(Fitting(3)))
    assert found.specs is None and "none were found that fit clearly better" in anchor_fit.tell_anchors(found)


# ---- curves -------------------------------------------------------------------

def test_a_live_curve_is_one_picture_drawn_again(monkeypatch):
    shown = []

    class Handle:
        def update(self, picture):
            shown.append(("again", picture))
    fake = types.ModuleType("IPython")
    fake.display = SimpleNamespace(
        Image=lambda data: data, display=lambda picture, display_id:
        shown.append(("new", picture)) or Handle())
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setattr(curves, "history_picture", lambda history: len(history))
    train(None, callbacks=[curves.LiveCurve(every=2)])
    assert shown == [("new", 2), ("again", 4), ("again", 5)]
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(ValueError, match="pip install ipython"):
        curves.LiveCurve()


def records_of(path):
    """Yield the records of an event file, by its layout: length, check, data, check."""
    data = io.BytesIO(path.read_bytes())
    while head := data.read(12):
        yield data.read(struct.unpack("<Q", head[:8])[0])
        data.read(4)


def scalars_of(folder):
    """Return {(name, step): value} of the event files of a folder."""
    from tensorboardX.proto.event_pb2 import Event
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in records_of(path):
            event = Event.FromString(record)
            found.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
    return found


def test_the_history_as_event_files(tmp_path):
    pytest.importorskip("tensorboardX")
    board = curves.TensorBoard(tmp_path)
    history = train(None, callbacks=[board]).history
    wanted = {(name, row["step"]): value for row in history for name, value in row.items()
              if name != "step" and value is not None}
    found = scalars_of(tmp_path)
    assert found.keys() == wanted.keys() and ("AP", 5) in found
    for key, value in wanted.items():
        assert found[key] == pytest.approx(value, rel=1e-6)


def test_without_its_library_the_command_says_so_before_the_work(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main(["train", "--data", str_of(tmp_path), "--out", str(tmp_path / "run"), "--tensorboard"]) == 2
    assert "pip install tensorboardX" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# ---- a plan, and words that are almost right -----------------------------------

@pytest.mark.parametrize("changes, said", [
    (dict(), None), (dict(batch_size=2), "--learning-rate 0.0063 suits them, or --accumulate 8"),
    (dict(batch_size=2, learning_rate=0.006), None), (dict(batch_size=2, accumulate=8), None),
    (dict(batch_size=2, optimiser="adam"), None), (dict(batch_size=4, momentum=0.0, learning_rate=0.1), None)])
def test_a_plan_warns_of_small_batches(changes, said):
    found = plan.plan_run(network(), 9, config.TrainConfig(**changes))
    assert [said in one for one in found["warnings"]] == [True] * bool(said)
    assert ("warning: a learning rate of" in plan.plan_text(found)) == bool(said)


def test_a_field_that_is_almost_right_is_named():
    with pytest.raises(ValueError, match=r"^TrainConfig has no field step; did you mean steps\?$"):
        config.TrainConfig(step=4)
    with pytest.raises(ValueError, match="has no field colour$"):
        config.get("toy_ssd", colour=1)
    with pytest.raises(ValueError, match="Tuning has no field frezze; did you mean freeze"):
        Tuning(frezze="stem")


def test_one_image_says_how_to_train_on_it():
    with pytest.raises(ValueError, match=r"at least two images .*\(held_back=0, --held-back 0\)"):
        run_training(network(), Squares(1), settings(), progress=False)


def test_the_command_freezes_and_says_what(tmp_path, capsys):
    address = str_of(tmp_path)
    weights.save_weights(tmp_path / "w.safetensors", models_drawn(), ["class 0"])
    words = ["train", "--data", address, "--weights", str(tmp_path / "w.safetensors"), "--freeze", "stem",
             "--class-weights", "balanced"]
    assert main([*words, "--dry-run", "--json"]) == 0
    assert "arrays stay as they are" in json.loads(capsys.readouterr().out)["frozen"]
    assert main([*words, "--out", str(tmp_path / "run"), "--steps", "1", "--batch-size", "2", "--workers", "0"]) == 0
    assert "arrays stay as they are" in capsys.readouterr().out
    old, new = (weights.load_tensors(tmp_path / name)[0] for name in ("w.safetensors", "run/model.safetensors"))
    stays = {name: np.array_equal(old[name], new[name]) for name in old}
    assert all(stays[name] for name in old if name.startswith("stem."))
    assert not any(stays[name] for name in old if name.startswith("to_first."))


@pytest.mark.parametrize("words, said", [
    (["--class-weights", "clas 0=2"], "--class-weights clas 0=2: expected CLASS=WEIGHT or balanced, the class "
     "being one of class 0"), (["--patience", "3"], "--evaluate-every 1 for every epoch"),
    (["--freeze", "steam"], "--freeze steam fits no array of dsod_tiny; near it are stem"),
    (["--watch", "loss", "--held-back", "0"], "need images to choose the best model on")])
def test_a_dry_run_knows_what_cannot_be(tmp_path, capsys, words, said):
    assert main(["train", "--data", str_of(tmp_path), "--dry-run", *words]) == 2
    assert said in capsys.readouterr().err


def models_drawn():
    net = models.build("dsod_tiny", 1)
    models.initialise(net)
    return net


@pytest.mark.parametrize("given, words", [
    ({"ctx": "cpu"}, r"such as mx.cpu\(\) or .*found 'cpu'"),
    ({"callbacks": print}, "callbacks must be a list of functions"),
    ({"tuning": {"freeze": "stem"}}, "expected a Tuning as tuning, found {'freeze'")])
def test_what_is_given_in_another_form_is_said(given, words):
    from dsod_d2l.workbench.runs.long_run import run_training
    from small_runs import Squares, network, settings
    with pytest.raises(ValueError, match=words):
        run_training(network(), Squares(), settings(), progress=False, **given)
