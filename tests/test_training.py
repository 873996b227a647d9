"""Training: the schedule, the step, resuming, and what stops a run."""

import csv
import json
import logging

import mxnet as mx
import numpy as np
import pytest

import dsod_d2l
from dsod_d2l import config, models, training, weights as weight_files
from dsod_d2l.datasets import loader
from dsod_d2l.evaluation import measure
from dsod_d2l.workbench.runs import checkpoints, long_run
from dsod_d2l.datasets import make_sample
from dsod_d2l.detection import to_batch
from dsod_d2l.evaluation import evaluate_dataset
from dsod_d2l.workbench.runs.long_run import diagnose, run_training

SMALL = dict(stem=16, bottleneck=16, growth=16, layers=(1, 2, 2), second=16,
             predictions=(16, 16, 16), input_size=(80, 96))


class Squares:
    """Bright squares on noise, 80 x 96: easy enough for seconds."""

    classes = ("square",)

    def __init__(self, count=16, objects=1):
        self.count, self.objects = count, objects

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 90, (80, 96, 3), dtype=np.uint8)
        boxes = []
        for _ in range(self.objects):
            side = int(rng.integers(16, 30))
            y, x = rng.integers(0, (80 - side, 96 - side))
            image[y:y + side, x:x + side] = 255
            boxes.append([x / 96, y / 80, (x + side) / 96, (y + side) / 80])
        boxes = np.array(boxes).reshape(-1, 4)
        return make_sample(image, boxes, [0] * len(boxes),
                           source=f"square {index}")


def settings(**changes):
    return config.TrainConfig(**{
        "steps": 6, "batch_size": 4, "optimiser": "adam", "warmup": 2,
        "learning_rate": 3e-3, "augment": "none", "held_back": 0,
        "workers": 0, "weight_decay": 0.0, **changes})


def small(**changes):
    mx.random.seed(0)
    return models.build("dsod_tiny", **{**SMALL, **changes})


@pytest.mark.parametrize("augment, boxed", [("letter-box", True),
                                            ("light", False)])
def test_a_run_judges_as_it_trains(augment, boxed):
    resize = "letter-box" if boxed else "stretch"
    run = training.Run(small(resize=resize), Squares(2),
                       settings(augment=augment))
    assert run.detector().config.resize == resize
    net = small(resize="stretch" if boxed else "letter-box")
    with pytest.raises(ValueError, match=f"augment '{augment}' does not fit "
                       f"dsod_tiny.*: build it with resize='{resize}', or"):
        run_training(net, Squares(2), settings(augment=augment))


def test_training_and_detection_normalise_alike():
    same = mx.gluon.nn.HybridLambda(lambda F, pixels: pixels)
    same.config = config.get("dsod_tiny", mean=(10, 120, 250),
                             std=(2, 50, 90), input_size=(80, 96))
    images = np.random.default_rng(0).integers(0, 256, (2, 80, 96, 3),
                                               np.uint8)
    for at_once in (False, True):
        graph = training.PixelGraph(same)
        graph.hybridize(at_once)
        np.testing.assert_allclose(
            graph(mx.nd.array(images, dtype=np.uint8)).asnumpy(),
            to_batch(list(images), same.config), rtol=1e-6, atol=1e-5)


def test_the_learning_rate_at_each_step():
    plan = config.TrainConfig(steps=100, warmup=10, learning_rate=1.0,
                              schedule="multistep", milestones=(0.5, 0.75))
    rate = [training.learning_rate(step, plan) for step in range(100)]
    assert rate[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rate[49:51] == pytest.approx([1, 0.1])
    assert rate[74:76] == pytest.approx([0.1, 0.01])
    plan = config.TrainConfig(steps=100, warmup=0, learning_rate=2.0)
    assert training.learning_rate(0, plan) == 2
    assert training.learning_rate(50, plan) == pytest.approx(1)
    assert 0 < training.learning_rate(99, plan) < 0.01
    plan = config.TrainConfig(steps=9, warmup=0, schedule="constant")
    assert training.learning_rate(8, plan) == plan.learning_rate


@pytest.mark.parametrize("name, changes", [
    ("dsod_tiny", {}), ("toy_ssd", dict(body=(16, 32, 32), extra=32)),
    ("dsod300", dict(stem=16, bottleneck=32, growth=16, layers=(1, 1, 1, 1),
                     second=16, predictions=(16,) * 4)),
    ("dsod_gluon", dict(stem=16, bottleneck=16, growth=16,
                        layers=(1, 1, 1, 1), second=16,
                        predictions=(16,) * 4))])
def test_each_family_overfits_four_images(name, changes):
    mx.random.seed(0)
    net = models.build(name, 1, input_size=(129, 140), **changes)
    fitted = run_training(net, Squares(4), settings(steps=50),
                          progress=False)
    loss = fitted.history.column("loss")[1]
    assert np.mean(loss[-5:]) < 0.35 * np.mean(loss[:5])


def test_the_loop_of_the_module_is_what_a_long_run_does():
    plan = settings(steps=4, held_back=0.25, evaluate_every=1.0)
    seen = []
    plain = training.fit(small(), Squares(8), plan, callbacks=[seen.append])
    long = dsod_d2l.fit(small(), Squares(8), plan, progress=False)
    assert seen == plain.history and plain.best == long.best
    assert [{**row, "seconds": 0} for row in plain.history] == [
        {**row, "seconds": 0} for row in long.history]
    for one, other in zip(arrays_after(plain.net), arrays_after(long.net)):
        np.testing.assert_array_equal(one, other)


def test_the_loop_calls_its_hooks_in_turn():
    hooks, called = ("begin", "batches", "stop", "backward", "change", "due",
                     "judge", "after_step", "end"), []

    class Noted(training.Run):
        def __getattribute__(self, name):
            if name in hooks:
                called.append(name)
            return super().__getattribute__(name)
    training.fit(small(), Squares(8), settings(
        steps=2, held_back=0.25, accumulate=2, batch_size=2), start=Noted)
    step = ["stop", "backward", "backward", "change", "due"]
    assert called == ["begin", "batches", *step, "after_step", *step,
                      "judge", "after_step", "end"]


def test_a_run_may_stop_between_two_steps():
    class Two(training.Run):
        def stop(self):
            return self.step == 2
    assert len(training.fit(small(), Squares(4), settings(),
                            start=Two).history) == 2


def arrays_after(net):
    return list(weight_files.parameter_arrays(net).values())


@pytest.mark.parametrize("changes", [
    {}, dict(optimiser="sgd", accumulate=2, learning_rate=0.01),
    dict(augment="light", workers=1, schedule="multistep"),
    dict(average=0.9), dict(average=0.9, held_back=0.25, evaluate_every=1.)])
def test_a_resumed_run_ends_with_the_same_numbers(tmp_path, changes):
    plan = settings(checkpoint_every=3, keep_checkpoints=9, **changes)
    whole = run_training(small(), Squares(), plan, tmp_path / "a",
                         progress=False)
    run_training(small(), Squares(), plan, tmp_path / "b", progress=False)
    for path in checkpoints.list_checkpoints(tmp_path / "b/checkpoints")[1:]:
        path.unlink()                            # as if stopped after step 3
    mx.random.seed(99)
    again = run_training(small(), Squares(), plan, tmp_path / "b",
                         resume=True, progress=False)
    for one, other in zip(arrays_after(whole.net), arrays_after(again.net)):
        np.testing.assert_array_equal(one, other)
    same = [{k: v for k, v in row.items() if k != "seconds"}
            for row in whole.history]
    assert same == [{k: v for k, v in row.items() if k != "seconds"}
                    for row in again.history]


def test_an_accumulated_step_is_the_mean_of_its_passes():
    plan = settings(batch_size=2, accumulate=2, steps=1, warmup=0,
                    optimiser="sgd", momentum=0.0, learning_rate=0.5,
                    clip=None)
    net, grads = small(), []
    for number in range(2):                      # each pass on its own
        run = training.Run(net, Squares(4), plan)
        run.begin()
        for parameter in run.parameters:
            parameter.zero_grad()
        run.backward(run.maker.fill(number, run.maker.empty()[0]))
        grads.append([p.grad().asnumpy().copy() for p in run.parameters])
    before = [p.data().asnumpy().copy() for p in run.parameters]
    for parameter in run.parameters:
        parameter.zero_grad()
    run_training(net, Squares(4), plan, progress=False)
    for old, one, two, parameter in zip(before, *grads, run.parameters):
        np.testing.assert_allclose(
            parameter.data().asnumpy(), old - 0.5 * (one + two) / 2,
            rtol=1e-4, atol=1e-5)


def test_a_non_finite_loss_stops_before_the_weights_change(tmp_path):
    net = small()
    models.initialise(net)
    head = net.class_heads[0].scores[0].weight
    head.set_data(head.data() * float("nan"))
    learned = [p for p in net.collect_params().values()
               if p.grad_req != "null"]
    before = [p.data().asnumpy() for p in learned]
    with pytest.raises(FloatingPointError, match=r"step 1: .*square [0-3], "):
        run_training(net, Squares(4), settings(), tmp_path, progress=False)
    for parameter, old in zip(learned, before):
        np.testing.assert_array_equal(parameter.data().asnumpy(), old)
    assert not (tmp_path / "model.safetensors").exists()
    assert not checkpoints.list_checkpoints(tmp_path / "checkpoints")


def test_clipping_limits_the_step():
    def moved(clip):
        net = small()
        models.initialise(net)
        before = arrays_after(net)
        run_training(net, Squares(4), settings(
            steps=1, warmup=0, optimiser="sgd", momentum=0.0,
            learning_rate=1.0, clip=clip), progress=False)
        grads = [p.grad_req != "null" for p in
                 net._collect_params_with_prefix().values()]
        return sum(float(((a - b) ** 2).sum()) for a, b, learned in
                   zip(before, arrays_after(net), grads) if learned) ** 0.5
    assert moved(0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved(None) > 0.1


def test_a_run_leaves_its_history_and_best_model(tmp_path):
    plan = settings(steps=40, held_back=0.25, evaluate_every=4,
                    checkpoint_every=20)         # 4.5 steps in an epoch
    fitted = run_training(small(), Squares(24), plan, tmp_path,
                          progress=False)
    rows = json.loads((tmp_path / "history.json").read_text())
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert {row["step"] for row in rows if "AP" in row} == {18, 36, 40}
    table = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert float(table[0]["loss"]) == pytest.approx(rows[0]["loss"])
    assert (tmp_path / "history.png").read_bytes()[:4] == b"\x89PNG"
    best = max((row["AP"], -row["step"]) for row in rows if "AP" in row)
    assert (fitted.best["AP"], -fitted.best["step"]) == best
    net, metadata = weight_files.load_model(tmp_path / "model.safetensors")
    assert metadata["best"] == fitted.best
    for one, other in zip(arrays_after(net), arrays_after(fitted.net)):
        np.testing.assert_array_equal(one, other)


def test_the_best_model_may_be_chosen_on_a_set_of_its_own(monkeypatch):
    judged, chosen = [], Squares(3)
    monkeypatch.setattr(
        training, "evaluate_dataset", lambda detector, dataset:
        judged.append(dataset) or evaluate_dataset(detector, dataset))
    fitted = run_training(small(), Squares(8), settings(held_back=0.5),
                          progress=False, validation=chosen)
    assert judged == [chosen] and fitted.best["step"] == 6


def test_other_classes_to_choose_the_model_on_are_refused():
    other = Squares(3)
    other.classes = ("circle",)
    with pytest.raises(ValueError, match=r"1 classes \(square\), the data set "
                       r"has 1 \(circle\); rename=circle:NAME"):
        run_training(small(), Squares(8), settings(), validation=other)


def test_the_held_back_slice_is_never_trained_on():
    seen = set()

    class Watched(Squares):
        def __getitem__(self, index):
            seen.add(int(index))
            return super().__getitem__(index)
    run = training.Run(small(), Watched(20), settings(held_back=0.2))
    run.begin()
    held = set(run.held.indices.tolist())
    assert len(held) == 4 and not held & set(run.train.indices.tolist())
    for number in range(8):
        run.maker.fill(number, run.maker.empty()[0])
    assert seen == set(range(20)) - held


def test_images_without_objects_train():
    fitted = training.fit(small(), Squares(4, objects=0), settings(steps=2))
    assert np.isfinite(fitted.history.column("loss")[1]).all()


def test_a_run_without_any_object_is_refused(tmp_path):
    """A loss of 0 would look like success; crowds are no objects either."""
    class Crowds(Squares):
        def __getitem__(self, index):
            return super().__getitem__(index)._replace(crowd=np.array([True]))
    for data in (Squares(4, objects=0), Crowds(4)):
        with pytest.raises(ValueError, match="holds no object to learn from "
                           "in 4 images; `data check`"):
            run_training(small(), data, settings(), tmp_path, progress=False)
    assert not (tmp_path / "run.json").exists()


def test_other_classes_and_nothing_to_resume_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 classes.*square"):
        run_training(small(num_classes=2), Squares(), settings())
    with pytest.raises(ValueError, match="no run in"):
        run_training(small(), Squares(), settings(), tmp_path, resume=True)


def test_resuming_with_other_settings_is_refused(tmp_path):
    run_training(small(), Squares(), settings(steps=1), tmp_path,
                 progress=False)
    with pytest.raises(ValueError, match=r"other settings \(learning_rate: "
                       r"0.003 there, 0.01 here; seed: 0 there, 1 here\)"):
        run_training(small(), Squares(), settings(
            steps=2, learning_rate=0.01, seed=1), tmp_path, resume=True,
            progress=False)


def test_a_run_that_ends_at_zero_says_why(caplog):
    far = dict(anchors=[config.AnchorSpec(sizes=(0.9,))] * 5)
    net = small(**far)
    with caplog.at_level(logging.WARNING):
        fitted = run_training(net, Squares(12), settings(
            steps=1, held_back=0.5), progress=False)
    assert fitted.best["AP"] == 0
    assert "no anchor reaches" in caplog.text


def test_diagnosis_of_scores_below_the_threshold():
    from dsod_d2l.config import DetectConfig
    from dsod_d2l.detection import Detector
    net = small()
    models.initialise(net)
    detector = Detector(net, ("square",), DetectConfig(score_threshold=1.0))
    found = diagnose(detector, Squares(4), settings())
    assert any("below the threshold" in sentence for sentence in found)
    assert diagnose(detector, Squares(4, objects=0), settings()) == [
        "the images judged hold no object"]


def test_what_is_saved_is_the_average_of_the_weights(tmp_path):
    """Against an average kept by hand from the callbacks."""
    net, seen = small(), []

    def keep(_):
        seen.append(weight_files.parameter_arrays(net))
    models.initialise(net)
    start = weight_files.parameter_arrays(net)
    fitted = run_training(net, Squares(8), settings(steps=12, average=0.5),
                          tmp_path, progress=False, callbacks=[keep])
    for step, weights in enumerate(seen, 1):
        decay = min(0.5, (1 + step) / (10 + step))
        start = {name: decay * start[name] + (1 - decay) * array
                 for name, array in weights.items()}
    saved = weight_files.load_tensors(tmp_path / "model.safetensors")[0]
    ended = weight_files.parameter_arrays(fitted.net)
    moved = 0
    for name, array in start.items():
        np.testing.assert_allclose(saved[name], array, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(saved[name], ended[name])
        moved += np.abs(saved[name] - seen[-1][name]).sum()
    assert moved > 0.1


def test_evaluation_sees_the_average_and_training_does_not(monkeypatch):
    seen, judge = [], measure.evaluate_dataset

    def watch(detector, dataset):
        seen.append(weight_files.parameter_arrays(detector.net))
        return judge(detector, dataset)
    monkeypatch.setattr(training, "evaluate_dataset", watch)

    def losses(average):
        run = run_training(small(), Squares(12), settings(
            steps=9, average=average, held_back=0.25, evaluate_every=1.0),
            progress=False)
        return run.history.column("loss")[1], run.net
    (without, plain), (with_it, averaged) = losses(0.0), losses(0.9)
    assert without == with_it                    # the same path
    assert any((one != other).any() for one, other in
               zip(arrays_after(plain), arrays_after(averaged)))
    for one, other in zip(seen[:len(seen) // 2], seen[len(seen) // 2:]):
        assert any((one[name] != other[name]).any() for name in one)


def test_a_slice_without_objects_is_not_judged(tmp_path, caplog):
    class Bare(Squares):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return sample if index in self.filled else sample._replace(
                boxes=sample.boxes[:0], labels=sample.labels[:0],
                difficult=sample.difficult[:0])
    data, plan = Bare(8), settings(steps=2, held_back=0.25,
                                   evaluate_every=1.0)
    run = training.Run(small(), data, plan)
    data.filled = set(range(8)) - set(run.held.indices.tolist())
    with caplog.at_level(logging.WARNING):
        fitted = run_training(small(), data, plan, tmp_path, progress=False)
    assert fitted.best is None and "hold no object" in caplog.text
    assert not any("AP" in row for row in fitted.history)
    assert "NaN" not in (tmp_path / "history.json").read_text()
    assert weight_files.load_model(tmp_path / "model.safetensors")[1][
        "best"] is None


def test_bar_and_workers_are_closed_whatever_happens(monkeypatch):
    closed = []

    class Bar(long_run.tqdm):
        def close(self):
            closed.append("bar")
            super().close()

    class Loader(loader.Loader):
        def __iter__(self):
            try:
                yield from super().__iter__()
            finally:
                closed.append("loader")

    def stop(row):
        raise KeyboardInterrupt
    monkeypatch.setattr(long_run, "tqdm", Bar)
    monkeypatch.setattr(training, "Loader", Loader)
    with pytest.raises(KeyboardInterrupt):
        run_training(small(), Squares(4), settings(), progress=False,
                     callbacks=[stop])
    assert {"bar", "loader"} <= set(closed)


def test_what_a_run_leaves_is_short_in_words():
    """A notebook shows it where a cell ends in a call of fit."""
    net = models.build("dsod_tiny", 2)
    fitted = training.Fitted(net, training.History([{"step": 1}] * 900),
                             {"step": 7, "AP": 0.5, "AP50": 0.75})
    assert repr(fitted) == ("Fitted(dsod_tiny, 900 steps, best={'step': 7, "
                            "'AP': 0.5, 'AP50': 0.75})")


class PixelBoxes:
    """A data set of one's own, whose boxes are in pixels by mistake."""

    classes = ("a", "b")

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return make_sample(np.zeros((96, 96, 3), np.uint8),
                           [[10, 10, 50, 30]], [0], source=f"mine {index}")


def test_boxes_in_pixels_stop_the_first_step():
    with pytest.raises(ValueError, match="mine .*these look like pixels"):
        training.fit(models.build("dsod_tiny", 2, input_size=(96, 96)),
                     PixelBoxes(), config.TrainConfig(
                         steps=2, batch_size=2, held_back=0, workers=0,
                         warmup=0))


@pytest.mark.parametrize("names", [("a", "c"), ("b", "a")])
def test_a_network_of_other_names_is_not_trained(names):
    with pytest.raises(ValueError, match="built for the classes .*names of the"
                                         " data set"):
        training.fit(models.build("dsod_tiny", names), PixelBoxes(),
                     config.TrainConfig(steps=1))
