"""The command line, from outside: values, files, and one sentence of error."""

import dataclasses
import json
import os
import subprocess
import sys
from argparse import SUPPRESS
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dsod_d2l import config, models, weights as weight_files
from dsod_d2l.workbench import outputs
from dsod_d2l.workbench.cli import build_parser, main
from dsod_d2l.workbench.cli.options import field_texts
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.formats.conversion import convert
from dsod_d2l.workbench.recipes import RECIPES
from dsod_d2l.datasets.records import write_records
from dsod_d2l.detection import Detector
from dsod_d2l.workbench.pruning import cycle
from mxnet import nd
from mxnet.gluon.model_zoo import vision
from small_sets import CLASSES, Small

ROOT = Path(__file__).parents[1]


def call(capsys, *arguments):
    """Run a command in this process; return code, output and errors."""
    try:
        code = main([str(one) for one in arguments])
    except SystemExit as stop:
        code = stop.code
    return (code, *capsys.readouterr())


def value(capsys, *arguments):
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def picture(seed=0, shape=(60, 90)):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (*shape, 3), dtype=np.uint8)
    image[10:40, 20:50] = 255
    return image


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a small record file, images and untrained weights."""
    folder = tmp_path_factory.mktemp("cli")
    items = []
    for seed in range(8):
        data = cv2.imencode(".png", picture(seed))[1].tobytes()
        box = [20 / 90, 10 / 60, 50 / 90, 40 / 60]
        items.append(([box], [0], data))
    write_records(folder / "squares.rec", items)
    (folder / "images").mkdir()
    for seed in range(2):
        cv2.imwrite(str(folder / f"images/{seed}.png"), picture(seed))
    net = models.build("dsod_tiny", 1, input_size=(80, 96), stem=4,
                       bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
                       predictions=(4, 4, 4))
    models.initialise(net)
    weight_files.save_weights(folder / "w.safetensors", net, ("square",))
    return folder


@pytest.mark.parametrize("model, classes, parameters, anchors", [
    ("dsod300", 20, 14_715_804, 8744),
    ("dsod300_ablation_1", 20, 4_831_692, 8744), ("dsod_gluon", 1, 6_389_104, 5460),
    ("toy_ssd", 1, 1_010_376, 5444)])
def test_info_of_a_network(capsys, model, classes, parameters, anchors):
    got = value(capsys, "info", "--model", model, "--num-classes", classes)
    assert got["parameters"] == parameters and got["anchors"] == anchors
    assert set(got) == {"parameters", "all_parameters", "multiply_adds",
                        "anchors", "input", "maps", "stages", "heads"}
    assert got["parameters"] == sum(row["parameters"] for row in
                                    [*got["stages"], *got["heads"]])
    if model == "dsod300":
        assert got["input"] == [300, 300]
        assert got["maps"] == [[38, 38], [19, 19], [10, 10], [5, 5], [3, 3],
                               [2, 2]]
        assert got["all_parameters"] == 14_795_736
        assert got["stages"][1] == {
            "name": "dense block 1, layers: 6", "shape": [416, 75, 75],
            "parameters": 788_640, "multiply_adds": 4_406_400_000,
            "feature_map": None}


def test_info_takes_another_input(capsys):
    got = value(capsys, "info", "--model", "dsod300", "--input", 160, 320)
    assert got["input"] == [160, 320] and got["maps"][0] == [20, 40]


def test_info_as_a_table_and_a_picture(capsys, tmp_path):
    path = tmp_path / "new" / "tiny.png"
    code, text, _ = call(capsys, "info", "--model", "dsod_tiny", "--time",
                         "--input", 80, 96, "--picture", path)
    assert code == 0 and path.stat().st_size > 1000
    assert "forward, one image" in text and " ms" in text
    row = next(line for line in text.splitlines() if "transition 2" in line)
    assert row.split("  ")[0] == "transition 2"
    assert row.split()[-1] == "1" and "10 x 12" in row


@pytest.mark.parametrize("words", [
    ["info", "--model", "dsod_tiny", "--picture"],
    ["data", "check", "standin:val", "--out"]])
@pytest.mark.parametrize("name", ["a.png", "A.PNG", "a.pdf"])
def test_a_figure_replaces_no_picture_of_somebody(capsys, tmp_path, words,
                                                  name):
    path = tmp_path / name
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    (tmp_path / "a.png").rename(path)
    before = path.read_bytes()
    code, out, err = call(capsys, *words, path)
    assert code == 2 and not out and err.count("\n") == 1
    assert "written by something else" in err and path.read_bytes() == before


@pytest.mark.parametrize("suffix", outputs.FIGURE_SUFFIXES)
def test_a_figure_of_ours_is_replaced(capsys, tmp_path, suffix):
    from matplotlib.figure import Figure
    path = tmp_path / f"a{suffix}"
    for _ in range(2):
        outputs.check_target(path, suffixes=outputs.FIGURE_SUFFIXES)
        outputs.save_figure(path, Figure())
    for _ in range(3):
        code, _, err = call(capsys, "info", "--model", "dsod_tiny",
                            "--picture", path)
        assert (code, err) == (0, "")


@pytest.mark.parametrize("name", [
    "evaluation.json", "classes.png", "worst/01-cat.png", "detections.json"])
def test_a_report_replaces_nothing_of_somebody(capsys, tmp_path, name):
    truth = coco_set(tmp_path, [3, 1])
    words = ["evaluate", "--data", f"coco:{truth}", "--results", tmp_path
             / "d.json", "--out", tmp_path / "r", "--save", "coco"]
    for _ in range(2):                   # a report of ours is replaced
        assert call(capsys, *words)[0] == 0
    path = tmp_path / "r" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(truth.read_bytes())
    code, out, err = call(capsys, *words)
    assert code == 2 and not out and f"{path} is there, was written" in err
    assert path.read_bytes() == truth.read_bytes()


@pytest.mark.parametrize("name, kind, words", [
    ("my photo.png", "a", "must hold no blank, found 'my photo': --save coco"),
    ("photo.png", "a/b", "must hold no slash, found 'a/b': --save coco takes")])
def test_names_that_voc_cannot_write_are_said_before_the_work(
        capsys, tmp_path, name, kind, words):
    cv2.imwrite(str(tmp_path / name), picture())
    (tmp_path / "t.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": name, "width": 90, "height": 60}],
        "categories": [{"id": 1, "name": kind}], "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0,
             "area": 100, "bbox": [1, 1, 10, 10]}]}))
    (tmp_path / "d.json").write_text("[]")
    words_of = ["evaluate", "--data", f"coco:{tmp_path}/t.json", "--results",
                tmp_path / "d.json", "--out", tmp_path / "r", "--save"]
    code, out, err = call(capsys, *words_of, "voc")
    assert code == 2 and not out and words in err
    assert not (tmp_path / "r").exists()
    assert call(capsys, *words_of, "coco")[0] == 0


def test_what_is_left_out_is_said_in_one_line(tmp_path):
    convert(Small(), f"coco:{tmp_path}:val")
    notes = tmp_path / "annotations/instances_val.json"
    whole = json.loads(notes.read_text())
    whole["annotations"][0]["bbox"] = [0, 0, -1, 5]
    notes.write_text(json.dumps(whole))
    done = subprocess.run(
        [sys.executable, "-m", "dsod_d2l", "train", "--data", f"coco:{notes}",
         "--bad", "skip", "--dry-run"], cwd=ROOT, capture_output=True,
        text=True)
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines() if "left out" in line]
    assert len(said) == 1 and "Warning" not in done.stderr
    assert "warn(" not in done.stderr


def test_a_check_counts_what_either_policy_leaves(capsys, tmp_path):
    convert(Small(), f"coco:{tmp_path}:val")
    notes = tmp_path / "annotations/instances_val.json"
    whole = json.loads(notes.read_text())
    before = len(whole["images"])
    whole["annotations"][0]["bbox"] = [0, 0, -1, 5]
    notes.write_text(json.dumps(whole))
    counts = []
    for more in ([], ["--bad", "skip"]):
        code, out, _ = call(capsys, "data", "check", f"coco:{notes}",
                            "--json", *more)
        assert code == 1
        counts.append(json.loads(out)["images"])
    assert counts == [before, before - 1]


def test_info_of_the_authors_network(capsys):
    got = value(capsys, "info", "--model", "grp_dsod320_star", "--authors")
    assert (got["parameters"], got["anchors"]) == (15_539_962, 17078)
    code, _, error = call(capsys, "info", "--model", "toy_ssd", "--authors")
    assert code == 2 and "no form of the authors' own" in error


def test_a_picture_or_a_time_is_one_of_a_network(capsys, tmp_path):
    for words in (["--picture", tmp_path / "a.png"], ["--time"]):
        code, out, err = call(capsys, "info", *words)
        assert (code, out) == (2, "") and "need --model" in err


def test_info_of_the_machine(capsys):
    got = value(capsys, "info")
    assert got["mxnet"] == "1.9.1" and got["threads"] >= 1
    assert "Running on" in got["reason"]
    assert "Running on" in call(capsys, "info")[1]


def test_train_evaluate_detect(capsys, here, tmp_path):
    data, run = f"rec:{here / 'squares.rec'}", tmp_path / "run"
    options = ["--data", data, "--out", run, "--batch-size", 4, "--workers",
               0, "--held-back", 0.25, "--augment", "none", "--warmup", 0]
    trained = value(capsys, "train", *options, "--steps", 2,
                    "--checkpoint-every", 1)
    assert trained["steps"] == 2 and Path(trained["weights"]).is_file()
    again = value(capsys, "train", *options, "--steps", 2,
                  "--checkpoint-every", 1, "--resume")
    assert again["best"] == trained["best"]
    judged = value(capsys, "evaluate", "--weights", trained["weights"],
                   "--data", data)
    assert {"AP", "AP50", "AP75", "images"} <= set(judged)
    assert judged["classes"][0]["name"] == "class 0"
    assert judged["images"] == 8 and 0 <= judged["AP"] <= 1
    found = value(capsys, "detect", here / "images/0.png", "--weights",
                  trained["weights"], "--score-threshold", 0.0, "--keep", 3)
    assert len(found) == 3
    boxed = value(capsys, "detect", here / "images/0.png", "--weights",
                  trained["weights"], "--score-threshold", 0.0, "--keep", 3,
                  "--letter-box")
    assert boxed and boxed != found
    assert set(found[0]) == {"label", "score", "box"}
    assert found[0]["label"] == "class 0"
    for one in found:
        xmin, ymin, xmax, ymax = one["box"]
        assert 0 <= xmin < xmax <= 90 and 0 <= ymin < ymax <= 60


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name))
               for name in ("labels", "scores", "boxes"))


def test_what_was_trained_letter_boxed_is_judged_so_without_a_flag(
        capsys, here, tmp_path):
    data, run = f"rec:{here / 'squares.rec'}", tmp_path / "run"
    value(capsys, "train", "--data", data, "--out", run, "--batch-size", 4,
          "--workers", 0, "--held-back", 0.25, "--augment", "letter-box",
          "--steps", 1, "--input", 96)
    file = run / "model.safetensors"
    net, metadata = weight_files.load_model(file)
    assert net.config.resize == "letter-box"
    stretched = dataclasses.replace(net.config, resize="stretch")
    images = here / "images/0.png"
    boxed, other, found = (
        detector.detect(images) for detector in (
            Detector(net, ("a",), config=net.config),
            Detector(net, ("a",), config=stretched),
            Detector.from_weights(file)))
    assert same(found, boxed) and not same(boxed, other)
    rows = value(capsys, "detect", images, "--weights", file,
                 "--score-threshold", 0.01)
    np.testing.assert_allclose([row["box"] for row in rows],
                               boxed.pixels().boxes, atol=.006)
    # A file from before networks said it; its settings for training did.
    tensors, facts = weight_files.load_tensors(file)
    del facts["model"]["resize"]
    for augment, resize in (("letter-box", "letter-box"), ("ssd", "stretch"),
                            (None, "stretch")):
        train = {"train": {"augment": augment}} if augment else {}
        weight_files.save_tensors(file, tensors, {**facts, **train})
        assert weight_files.load_model(file)[0].config.resize == resize
    seen = value(capsys, "detect", images, "--weights", file,
                 "--score-threshold", 0.01, "--letter-box")
    assert seen == rows


def test_detect_in_a_folder_draws_every_image(capsys, here, tmp_path):
    found = value(capsys, "detect", here / "images", "--weights",
                  here / "w.safetensors", "--out", tmp_path / "drawn",
                  "--score-threshold", 0.0, "--keep", 2)
    assert sorted(found) == ["0.png", "1.png"]
    assert all(len(one) == 2 and one[0]["label"] == "square"
               for one in found.values())
    for name in found:
        assert (tmp_path / "drawn" / name).stat().st_size > 1000


def test_tables_are_readable(capsys, here):
    out = call(capsys, "evaluate", "--weights", here / "w.safetensors",
               "--data", f"rec:{here / 'squares.rec'}")[1]
    assert "AP50" in out and "square" in out and "8 images" in out
    out = call(capsys, "detect", here / "images/0.png", "--weights",
               here / "w.safetensors", "--score-threshold", 1.0)[1]
    assert "nothing found" in out
    out = call(capsys, "info", "--model", "dsod300")[1]
    assert "14,715,804" in out and "38 x 38" in out


@pytest.mark.parametrize("arguments, words", [
    (["info", "--model", "dsod300", "--input", "100"], "at least 129"),
    (["info", "--model", "resnet"], "invalid choice"),
    (["info", "--model", "dsod300", "--num-classes", "0"], "at least 1"),
    (["detect", "{}/nowhere.jpg", "--weights", "{}/w.safetensors"],
     "nowhere.jpg"),
    (["detect", "{}/images/0.png", "--weights", "{}/nowhere"], "nowhere"),
    (["detect", "{}/images/0.png", "--weights", "{}/squares.rec"],
     "squares.rec"),
    (["evaluate", "--weights", "{}/w.safetensors", "--data", "voc"],
     "rec:PATH"),
    (["train", "--data", "rec:{}/nowhere.rec", "--out", "x"], "nowhere.rec"),
    (["train", "--data", "rec:{}/squares.rec", "--out", "x",
      "--learning-rate", "-1"], "learning_rate must be positive"),
    (["train", "--out", "x"], "--data"),
    (["prune", "--weights", "{}/w.safetensors", "--data",
      "rec:{}/squares.rec", "--scan", "-0.5"], "between 0 and 1, found -0.5"),
    (["prune", "--weights", "{}/w.safetensors", "--data",
      "rec:{}/squares.rec", "--ratio", "1", "--out", "{}/p"], "would empty"),
    (["prune", "--weights", "{}/w.safetensors", "--data",
      "rec:{}/squares.rec", "--ratio", "0.3", "--out", "{}/p"],
     "removes no filter"),
    (["prune", "--weights", "{}/w.safetensors", "--data",
      "rec:{}/squares.rec", "--ratio", "0.3", "--out", "{}/p", "--layers",
      "conv*"], "no layer 'conv*'"),
    (["prune", "--weights", "{}/w.safetensors", "--data",
      "rec:{}/squares.rec", "--ratio", "0.3", "--out", "{}/p", "--finetune",
      "-1"], "finetune must be a number of at least 0"),
    (["train", "--data", "standin", "--out", "x", "--from-step", "-1"],
     "from-step must be a whole number of at least 0"),
    *[(["prune", "--weights", "{}/w.safetensors", "--data",
        "rec:{}/squares.rec", "--scan", "0.5", *option],
       f"{option[0]} goes with --ratio") for option in (
        ["--steps", "2"], ["--finetune", "3"], ["--scope", "global"],
        ["--multiple", "8"])],
    (["prune", "--weights", "{}/w.safetensors", "--data",
      "rec:{}/squares.rec", "--ratio", "0.3", "--out", "{}/p", "--multiple",
      "0"], "multiple must be a whole number of at least 1, found 0"),
    ([], "COMMAND")])
def test_wrong_use_is_one_sentence(capsys, here, arguments, words):
    code, out, err = call(capsys, *[text.format(here) for text in arguments])
    assert code == 2 and out == ""
    assert words in err and err.count("\n") == 1, err


W, REC = ["--weights", "{}/w.safetensors"], ["--data", "rec:{}/squares.rec"]
COMMANDS = {"evaluate": [*W, *REC], "detect": ["{}/images", *W],
            "demo": ["{}/none.mp4", *W], "prune": [*W, *REC],
            "train": [*REC, "--out", "{}/never"], "info": [],
            "data standin": ["--folder", "{}/never"]}


@pytest.mark.parametrize("command, option, values", [
    ("evaluate", "--most", "0 -1"), ("evaluate", "--iou", "0 1.5 nan"),
    ("evaluate", "--areas", "-1 nan inf"), ("evaluate", "--at", "2 -.1 nan"),
    *[(command, option, values) for command in ("evaluate", "detect", "demo")
      for option, values in (("--score-threshold", "2 -1 nan inf"),
                             ("--nms-threshold", "-1 1.1 nan"),
                             ("--sigma", "0 -1 nan inf"),
                             ("--candidates", "0 -1"), ("--keep", "0"))],
    ("demo", "--frames", "0 -1"),
    ("train", "--epochs", "0 -1 nan inf"), ("train", "--drop-epochs", "0 -1 nan"),
    ("train", "--batch-size", "0 -2"),
    ("train", "--learning-rate", "0 nan inf"), ("train", "--steps", "0"),
    ("train", "--workers", "-1"), ("train", "--input", "0 -1"),
    ("train", "--silence", "0 -1 nan"),
    ("train", "--momentum", "2 nan"), ("train", "--held-back", "1 -1 nan"),
    ("prune", "--ratio", "-1 2 nan"), ("info", "--num-classes", "0 -1"),
    ("info", "--input", "0"), ("data standin", "--size", "0 -1"),
    ("data standin", "--train", "0"), ("data standin", "--val", "-1"),
    ("data standin", "--workers", "-1")])
def test_numbers_that_make_no_sense_are_refused_before_the_work(
        capsys, here, command, option, values, monkeypatch):
    monkeypatch.setattr(addresses, "open_dataset", None)      # is not reached
    monkeypatch.setattr(weight_files, "load_model", None)
    words = [word.format(here) for word in COMMANDS[command]]
    if command == "prune" and option != "--ratio":
        words += ["--ratio", ".5"]
    for wrong in values.split():
        code, out, err = call(capsys, *command.split(), *words,
                              f"{option}={wrong}")
        assert code == 2 and out == "" and err.count("\n") == 1
        name = option[2:].replace("-", "_")
        assert f"{name} must " in err.replace(option, f" {name}"), err
    assert not (here / "never").exists()


def test_launch_says_once_what_its_workers_would(capsys):
    code, _, err = call(capsys, "launch", "--workers", 2, "--", "train",
                        "--data", "standin", "--out", "x", "--epochs", 0)
    assert code == 2 and err == ("launch: --epochs must be positive, found "
                                 "0.0\n")


def test_it_runs_as_a_module_and_bears_a_closed_pipe():
    line = (f"'{sys.executable}' -m dsod_d2l info --model dsod300 --json; "
            f"echo $? >&2")
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, text=True,
                          capture_output=True, timeout=120,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert json.loads(done.stdout)["anchors"] == 8744
    assert done.stderr == "0\n"


def test_evaluate_writes_a_report_and_result_files(capsys, here, tmp_path):
    options = ["evaluate", "--weights", here / "w.safetensors", "--data",
               f"rec:{here / 'squares.rec'}", "--keep", 3, "--out", tmp_path]
    names = [Path(path).relative_to(tmp_path).as_posix() for path in
             value(capsys, *options, "--save", "coco")["written"]]
    assert names[:5] == ["evaluation.json", "classes.png", "curves.png",
                         "mistakes.png", "confusion.png"]
    assert names[-1] == "detections.json" and names[5][:8] == "worst/01"
    rows = json.loads((tmp_path / "detections.json").read_text())
    assert {row["category_id"] for row in rows} == {0}
    out = call(capsys, *options, "--save", "voc", "--strict")[1]
    assert "comp4_det_test_square.txt" in out and "small" in out
    lines = (tmp_path / "comp4_det_test_square.txt").read_text().split("\n")
    assert len(lines) == len(rows) + 1
    code, _, err = call(capsys, *options[:-2], "--save", "voc")
    assert code == 2 and "--out" in err


def coco_set(folder, ids):
    """Write a picture for each id and a COCO file; return its path."""
    rng = np.random.default_rng(0)
    images = [{"id": key, "file_name": f"{place}.png", "width": 90,
               "height": 60} for place, key in enumerate(ids)]
    for one in images:
        cv2.imwrite(str(folder / one["file_name"]), picture())
    boxes = [[*rng.integers(0, 30, 2).tolist(),
              *rng.integers(5, 30, 2).tolist()] for _ in range(3 * len(ids))]
    (folder / "g.json").write_text(json.dumps({
        "images": images, "categories": [{"id": 4, "name": "a"},
                                         {"id": 9, "name": "b"}],
        "annotations": [{
            "id": number + 1, "image_id": ids[number % len(ids)], "bbox": box,
            "category_id": (4, 9)[number % 2], "iscrowd": 0,
            "area": box[2] * box[3]} for number, box in enumerate(boxes)]}))
    found = [{"image_id": ids[number % len(ids)], "category_id": (4, 9)[
        number % 2], "score": float(rng.integers(1, 5)) / 5, "bbox": [
            box[0] + int(rng.integers(-2, 3)), *box[1:]]}
        for number, box in enumerate(boxes + boxes[::-1])]
    (folder / "d.json").write_text(json.dumps(found))
    return folder / "g.json"


def test_stored_results_are_judged_as_pycocotools_does(capsys, tmp_path):
    tools = pytest.importorskip("pycocotools.coco", reason="no pycocotools")
    from pycocotools.cocoeval import COCOeval
    truth = coco_set(tmp_path, [30, 7, 12, 100, 9])
    options = ["evaluate", "--data", f"coco:{truth}", "--results"]
    got = value(capsys, *options, tmp_path / "d.json", "--iou", .3, .6,
                "--areas", 200, 400, "--out", tmp_path / "r", "--save",
                "coco", "--at", .5)
    capsys.readouterr()
    data = tools.COCO(str(truth))
    run = COCOeval(data, data.loadRes(str(tmp_path / "d.json")), "bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
    for name, wanted in zip(("AP", "AP50", "AP75", "AP_small"), run.stats):
        assert got[name] == pytest.approx(wanted, abs=1e-6)
    run.params.iouThrs = np.array([.3, .6])
    run.params.areaRng = [[0, 1e10], [0, 200], [200, 400], [400, 1e10]]
    run.params.areaRngLbl = list("abcd")
    run.evaluate()
    run.accumulate()
    aps = run.eval["precision"][..., 2].mean(axis=1)     # IoU, class, range
    for place, iou in enumerate(("0.3", "0.6")):
        assert got[f"AP at {iou}"] == pytest.approx(aps[place, :, 0].mean())
        assert [row[f"AP at {iou}"] for row in got["classes"]] == (
            pytest.approx(aps[place, :, 0].tolist(), abs=1e-6))
    run.params.iouThrs = np.linspace(.5, .95, 10)
    run.evaluate()
    run.accumulate()
    aps = run.eval["precision"][..., 2].mean(axis=(0, 1, 2))
    assert [got[name] for name in ("AP of 0 to 200", "AP of 200 to 400",
                                   "AP from 400")] == pytest.approx(
        aps[1:].tolist(), abs=1e-6)
    assert got["at_threshold"]["score"] == .5
    report = json.loads((tmp_path / "r/evaluation.json").read_text())
    assert report["at_threshold"] == got["at_threshold"]
    assert got["at_threshold"]["IoU"] == .3
    assert report["AP at 0.3"] == got["AP at 0.3"]
    capsys.readouterr()
    again = value(capsys, *options, tmp_path / "r/detections.json")
    assert again["AP"] == got["AP"] and "AP at 0.3" not in again
    table = call(capsys, *options, tmp_path / "d.json", "--iou", .3)[1]
    assert "AP at 0.3" in table


def test_what_detect_prints_is_judged_as_the_weights_are(capsys, here,
                                                         tmp_path):
    truth = coco_set(tmp_path, [3, 1, 2])
    net = models.build("dsod_tiny", ("a", "b"), input_size=(80, 96), stem=4,
                       bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
                       predictions=(4, 4, 4))
    models.initialise(net)
    weights = tmp_path / "w.safetensors"
    weight_files.save_weights(weights, net, ("a", "b"))
    options = ["--weights", weights, "--score-threshold", 0, "--keep", 30]
    code, out, _ = call(capsys, "detect", tmp_path, *options, "--json")
    (tmp_path / "f.json").write_text(out)
    table, rows = json.loads(truth.read_text()), json.loads(out)
    for number, one in enumerate(table["annotations"]):     # all are found
        row = rows[f"{number % 3}.png"][number]
        left, top, right, bottom = row["box"]
        one["bbox"] = [left, top, right - left, bottom - top]
        one["category_id"] = {"a": 4, "b": 9}[row["label"]]
    truth.write_text(json.dumps(table))
    data = ["evaluate", "--data", f"coco:{truth}"]
    plain = value(capsys, *data, *options)
    # Printed are four digits of a score, so that some are equal there.
    got = value(capsys, *data, "--results", tmp_path / "f.json")
    for one, other in zip(got["classes"], plain["classes"]):
        assert one["detections"] == other["detections"]
    assert got["AR"] == pytest.approx(plain["AR"], abs=.02) and got["AR"] > .5
    for kind in ("voc", "coco"):
        saved = value(capsys, *data, *options, "--out", tmp_path / kind,
                      "--save", kind)
        stored = value(capsys, *data, "--results", tmp_path / kind / (
            "detections.json" if kind == "coco" else ""))
        assert stored["AP"] == pytest.approx(saved["AP"], abs=1e-9)
    kinds = [value(capsys, *data, *options, "--keep", 400, "--most", 400,
                   "--nms-kind", kind)
             for kind in ("per-class", "agnostic", "soft")]
    counts = [[row["detections"] for row in one["classes"]] for one in kinds]
    assert len(set(map(sum, counts))) > 1 and counts[0] != counts[2]


@pytest.mark.parametrize("words, message", [
    (["--results", "{}/d.json", "--weights", "{}/w"], "must be either"),
    ([], "must be either --weights, or --results"),
    (["--results", "{}/d.json", "--save", "coco"], "--save needs --out"),
    (["--results", "{}/d.json", "--at", ".5"], "--at needs --out"),
    (["--results", "{}/d.json", "--areas", "9", "3"], "--areas must rise"),
    (["--results", "{}/d.json", "--out", "{}/d.json"], "is a file, expected a folder"),
    (["--results", "{}/d.json", "--out", "{}", "--save", "coco"],
     "choose another --out")])
def test_what_cannot_be_judged_is_said_before_the_work(capsys, tmp_path,
                                                       words, message):
    truth = coco_set(tmp_path, [3, 1])
    before = (tmp_path / "d.json").read_bytes()
    code, out, err = call(capsys, "evaluate", "--data", f"coco:{truth}",
                          *[word.format(tmp_path) for word in words])
    assert code == 2 and message in err and err.count("\n") == 1
    assert (tmp_path / "d.json").read_bytes() == before


def test_figures_are_shown_where_the_report_cannot_be_written(
        capsys, tmp_path, monkeypatch):
    from dsod_d2l.workbench.reports import evaluation_report
    truth = coco_set(tmp_path, [3, 1])

    def full(*_, **__):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(evaluation_report, "write_report", full)
    for extra, shown in (([], "AP75"), (["--json"], '"AP75"')):
        code, out, err = call(capsys, "evaluate", "--data", f"coco:{truth}",
                              "--results", tmp_path / "d.json", "--out",
                              tmp_path / "r", *extra)
        assert code == 2 and "No space left" in err and shown in out


def test_classes_in_another_order_are_found_by_their_names(capsys, tmp_path):
    from collections import Counter

    from dsod_d2l.workbench.formats import addresses
    from dsod_d2l.workbench.formats.conversion import convert
    from dsod_d2l.detection import Detector
    convert(Small(), f"coco:{tmp_path / 'set'}:val")
    known = (CLASSES[1], CLASSES[2], CLASSES[0])
    net = models.build("dsod_tiny", 3, input_size=(80, 96), stem=4,
                       bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
                       predictions=(4, 4, 4))
    models.initialise(net)
    weights = tmp_path / "w.safetensors"
    weight_files.save_weights(weights, net, known)
    notes = tmp_path / "set/annotations/instances_val.json"
    got = value(capsys, "evaluate", "--weights", weights, "--data",
                f"coco:{notes}", "--out", tmp_path, "--save", "coco")
    assert {row["name"]: row["objects"] for row in got["classes"]} == {
        CLASSES[0]: 1, CLASSES[1]: 1, CLASSES[2]: 1}
    names = {row["id"]: row["name"] for row in
             json.loads(notes.read_text())["categories"]}
    rows = json.loads((tmp_path / "detections.json").read_text())
    images = [one.image for one in addresses.open_dataset(f"coco:{notes}")]
    wanted = Counter(known[label] for one in
                     Detector.from_weights(weights).detect(images)
                     for label in one.labels)
    assert Counter(names[row["category_id"]] for row in rows) == wanted
    assert len(set(wanted.values())) == 3        # or they could be swapped


def test_training_takes_another_input(capsys, here, tmp_path):
    options = ["train", "--data", f"rec:{here / 'squares.rec'}"]
    plan = call(capsys, *options, "--recipe", "dsod_gluon", "--input", 160,
                320, "--dry-run")[1]
    assert "dsod_gluon, 160 x 320 pixels" in plan       # the recipe has 512
    code, _, error = call(capsys, *options, "--input", 64, "--dry-run")
    assert code == 2 and "at least 65 pixels" in error
    code, _, error = call(capsys, *options, "--input", 1, 2, 3, "--dry-run")
    assert code == 2 and "one or two sides, found 3" in error
    got = value(capsys, *options, "--input", 65, 96, "--steps", 1, "--out",
                tmp_path, "--batch-size", 2, "--workers", 0)
    _, facts = weight_files.load_model(got["weights"])
    assert facts["model"]["input_size"] == [65, 96]


def test_training_takes_the_network_of_the_authors_on_request(
        capsys, here, monkeypatch):
    built = []
    monkeypatch.setattr(models, "build", lambda *words, build=models.build,
                        **fields: built.append(build(*words, **fields))
                        or built[-1])
    options = ["train", "--data", f"rec:{here / 'squares.rec'}", "--dry-run",
               "--recipe", "grp"]
    for extra in ([], ["--authors"]):
        assert call(capsys, *options, *extra)[0] == 0
    wanted = config.get("grp_dsod320", authors=True, num_classes=1)
    assert built[1].config == wanted != built[0].config
    code, _, err = call(capsys, *options, "--authors", "--model", "dsod_tiny")
    assert code == 2 and "dsod_tiny has no form of the authors' own" in err


def test_a_dry_run_prints_the_plan_and_options_go_before_the_recipe(
        capsys, here):
    options = ["train", "--data", f"rec:{here / 'squares.rec'}", "--dry-run"]
    got = value(capsys, *options, "--recipe", "voc0712")
    assert got["model"] == "dsod300" and got["steps"] == 100_000
    assert got["rates"][:2] == [[0, .1], [20_000, .01]]
    assert (got["batch_size"], got["accumulate"]) == (32, 4)
    got = value(capsys, *options, "--recipe", "voc0712", "--learning-rate",
                .2, "--steps", 100, "--batch-size", 4, "--accumulate", 32,
                "--model", "dsod_tiny")
    assert got["model"] == "dsod_tiny" and got["images_per_step"] == 128
    assert got["rates"][:2] == [[0, .2], [20, .02]]
    got = value(capsys, *options, "--recipe", "toy_ssd")
    assert got["steps"] == 38                    # 150 epochs of 8 / 32
    got = value(capsys, *options, "--recipe", "toy_ssd", "--steps", 7)
    assert got["steps"] == 7
    got = value(capsys, *options, "--recipe", "toy_ssd", "--epochs", 8)
    assert got["steps"] == 2
    got = value(capsys, *options, "--warmup", 0, "--epochs", 40, "--batch-size", 2,
                "--drop-epochs", 10, 30)      # 7 of 8 images: 3.5 steps an epoch
    assert got["rates"][:3] == [[0, .05], [35, .005], [105, .0005]] and got["steps"] == 140
    assert value(capsys, *options)["model"] == "dsod_tiny"
    assert "learning rate" in call(capsys, *options, "--recipe", "coco")[1]
    for wrong, words in ((["--epochs", -1], "epochs must be positive"),
                         (["--epochs", 1, "--steps", 2], "exclude"),
                         (["--epochs", 4, "--drop-epochs", 2, 9], "--epochs or --steps make it"),
                         (["--drop-epochs", 9, 2], "milestones must rise")):
        code, _, err = call(capsys, *options, *wrong)
        assert code == 2 and words in err
    code, _, err = call(capsys, *options[:-1])
    assert code == 2 and "--out must name" in err


def test_training_starts_from_a_classifier(capsys, here, tmp_path):
    """One that Gluon has built, of the width that the preset has."""
    theirs = vision.MobileNetV2(0.5)
    theirs.initialize()
    theirs(nd.zeros((1, 3, 64, 64)))
    theirs.save_parameters(str(tmp_path / "m.params"))
    start = ["train", "--data", f"rec:{here / 'squares.rec'}", "--steps", 1,
             "--batch-size", 2, "--held-back", 0, "--workers", 0, "--model",
             "ssd_mobilenet_v2_tiny", "--out", tmp_path / "run",
             "--backbone-weights", tmp_path / "m.params"]
    code, _, err = call(capsys, *start)
    assert code == 2 and err.count("\n") == 1
    assert "the backbone mobilenet_v2: its features.20.weight has" in err
    arrays = nd.load(str(tmp_path / "m.params"))
    for name in arrays:                 # as a network with a top of 256
        if name.startswith(("features.20.", "features.21.")):
            arrays[name] = arrays[name][:256]
    nd.save(str(tmp_path / "m.params"), arrays)
    got = value(capsys, *start)["started_from"]
    assert got["left"] == ["output.0.weight"] and got["loaded"] == 53 * 5
    assert {name.split(".")[0] for name in got["drawn"]} == {
        "extras", "class_heads", "box_heads"}
    code, _, err = call(capsys, *start, "--weights", here / "w.safetensors")
    assert code == 2 and "exclude each other" in err
    again = [*start[:-4], "--out", tmp_path / "again", "--weights"]
    preset = config.get("ssd_mobilenet_v2_tiny", num_classes=2)
    other = dataclasses.replace(preset, backbone=dataclasses.replace(
        preset.backbone, expand_first=False))
    net = models.build(other)
    models.initialise(net)
    weight_files.save_weights(tmp_path / "o.safetensors", net, ["a", "b"])
    got = value(capsys, *again, tmp_path / "o.safetensors")
    assert not got["started_from"]["differing"]
    assert {name.split(".")[0] for name in got["started_from"]["drawn"]} == {
        "class_heads"}
    code, _, err = call(capsys, *again, tmp_path / "run/model.safetensors",
                        "--model", "ssd_vgg_thin")
    assert code == 2 and "does not fit ssd_vgg_thin" in err
    tuned = weight_files.load_model(got["weights"])[0].config
    assert tuned == dataclasses.replace(other, num_classes=1)
    code, _, err = call(capsys, *start, "--model", "dsod_tiny")
    assert code == 2 and "dsod_tiny has no backbone that a class" in err


def test_weights_of_another_family_or_width_are_refused(capsys, here,
                                                        tmp_path):
    for model in ("ssd_vgg_thin", "ssd_mobilenet_v2_tiny"):
        code, _, err = call(
            capsys, "train", "--data", f"rec:{here / 'squares.rec'}",
            "--steps", 1, "--model", model, "--out", tmp_path / "run",
            "--weights", here / "w.safetensors")
        assert code == 2
        assert f"w.safetensors does not fit {model}: it holds dsod_tiny" in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("model, changes", [
    ("ssd_mobilenet_v2_tiny", {}),
    ("ssd_vgg_thin", dict(backbone=config.VGG16Config(
        norm=True, widths=[8] * 15)))])
def test_weights_of_another_backbone_or_width_are_refused(
        capsys, here, tmp_path, model, changes):
    """A few of their tensors would fit, and all heads do."""
    net = models.build(model, 1, **changes)
    models.initialise(net)
    weight_files.save_weights(tmp_path / "o.safetensors", net, ["square"])
    code, _, err = call(
        capsys, "train", "--data", f"rec:{here / 'squares.rec'}", "--steps",
        1, "--model", "ssd_vgg_thin", "--out", tmp_path / "run",
        "--weights", tmp_path / "o.safetensors")
    assert code == 2 and err.count("\n") == 1
    assert ("o.safetensors does not fit ssd_vgg_thin: its backbone.stages."
            in err)


def test_training_starts_from_weights(capsys, here, tmp_path):
    net = models.build("dsod_tiny", 3)
    models.initialise(net)
    weight_files.save_weights(tmp_path / "w.safetensors", net, [*"abc"])
    got = value(capsys, "train", "--data", f"rec:{here / 'squares.rec'}",
                "--out", tmp_path / "run", "--weights",
                tmp_path / "w.safetensors", "--steps", 1, "--batch-size", 2,
                "--workers", 0, "--held-back", 0, "--learning-rate", 1e-9)
    start = got["started_from"]
    assert start["loaded"] > 50
    assert all(name.startswith("class_heads.") for name in start["drawn"])
    first = weight_files.load_tensors(tmp_path / "w.safetensors")[0]
    ended = weight_files.load_tensors(got["weights"])[0]
    name = next(name for name in first if name.endswith("0.weight")
                and not name.startswith("class_heads"))
    np.testing.assert_allclose(ended[name], first[name], atol=1e-4)


def test_training_on_devices_by_name(here, tmp_path, capsys):
    line = ("train", "--data", f"rec:{here / 'squares.rec'}", "--steps", 1,
            "--batch-size", 4, "--workers", 0, "--held-back", 0,
            "--out", tmp_path)
    code, _, err = call(capsys, *line, "--devices", "cpu0,cpu1,cpu2")
    assert code == 2 and "cannot be divided evenly among 3 devices" in err
    code, _, err = call(capsys, *line, "--devices", "cpu0", "--device", "cpu")
    assert code == 2 and "exclude each other" in err
    code, _, err = call(capsys, *line, "--devices", "cpu0,cpu1",
                        "--sync-norm")
    assert code == 2 and "would stall" in err


def test_prune_train_and_go_on_with_what_is_left(capsys, here, tmp_path):
    data = f"rec:{here / 'squares.rec'}"
    got = value(capsys, "prune", "--weights", here / "w.safetensors",
                "--data", data, "--ratio", .4, "--multiple", 2, "--finetune",
                1, "--steps", 2, "--batch-size", 2, "--workers", 0,
                "--protect", "stem*", "--out", tmp_path / "p")
    stages = [row["stage"] for row in got["rows"]]
    assert stages == ["whole", "pruned 1", "trained 1", "pruned 2",
                      "trained 2"]
    assert got["images"] == 1               # held back of eight
    assert got["rows"][1]["parameters"] < got["rows"][0]["parameters"]
    assert set(got["rows"][0]) == {"stage", "parameters", "multiply_adds",
                                   "latency", "AP", "AP50"}
    net, metadata = weight_files.load_model(got["weights"])
    assert metadata["classes"] == ["square"]
    assert net.stem.convolutions[0][0].weight.shape[0] == 4
    assert net.to_first[0][0].new[0][2].weight.shape[0] < 8
    value(capsys, "evaluate", "--weights", got["weights"], "--data", data)
    assert isinstance(value(capsys, "detect", here / "images/0.png",
                            "--weights", got["weights"]), list)


def test_training_takes_the_widths_of_pruned_weights(capsys, here, tmp_path):
    data = f"rec:{here / 'squares.rec'}"
    net = models.build("dsod_tiny", 1, widths={"reuse.mix.2": 48})
    models.initialise(net)
    weight_files.save_weights(tmp_path / "w.safetensors", net, ("class 0",))
    got = value(capsys, "train", "--weights", tmp_path / "w.safetensors",
                "--data", data, "--steps", 1, "--batch-size", 2, "--workers",
                0, "--held-back", 0, "--out", tmp_path / "t")
    assert not got["started_from"]["drawn"]
    assert dict(weight_files.load_model(got["weights"])[0].config.widths) == {
        "reuse.mix.2": 48}


def test_a_scan_is_a_picture_and_a_table(capsys, here):
    code, out, err = call(capsys, "prune", "--weights",
                          here / "w.safetensors", "--data",
                          f"rec:{here / 'squares.rec'}", "--scan", ".5",
                          "--layers", "to_first.[01].*")
    assert code == 0, err
    folder = here / "w-scan"        # beside the weights: no --out is given
    found = json.loads((folder / "sensitivity.json").read_text())
    assert {row["layer"] for row in found["rows"]} == {
        "to_first.0.0.new.0.2", "to_first.0.0.new.1.2", "to_first.1.mix.2"}
    assert "to_first.1.mix.2" in out and "sensitivity.png" in out
    assert cv2.imread(str(folder / "sensitivity.png")) is not None


@pytest.mark.parametrize("kind, boxed", [("letter-box", True),
                                         ("light", False)])
def test_a_scan_judges_as_was_trained(capsys, here, tmp_path, monkeypatch,
                                      kind, boxed):
    seen = []

    def judge(detector, dataset):
        seen.append(detector.config.resize == "letter-box")
        return SimpleNamespace(AP=0.5, AP50=0.5)
    for module in (cycle,):
        monkeypatch.setattr(module, "evaluate_dataset", judge)
    call(capsys, "prune", "--weights", here / "w.safetensors", "--data",
         f"rec:{here / 'squares.rec'}", "--scan", ".5", "--layers",
         "to_first.1.*", "--augment", kind, "--out", tmp_path)
    assert len(seen) == 2 and set(seen) == {boxed}


def parsers():
    """Yield (words of the command, its parser), those of `data` too."""
    from argparse import _SubParsersAction

    def below(parser, words):
        yield words, parser
        for action in parser._actions:
            if isinstance(action, _SubParsersAction):
                for name, part in action.choices.items():
                    yield from below(part, f"{words} {name}".strip())
    yield from below(build_parser(), "")


@pytest.mark.parametrize("words, parser", [pytest.param(*pair, id=pair[0])
                                           for pair in parsers()])
def test_every_option_says_what_it_does_in_80_columns(words, parser,
                                                      monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for action in parser._actions:
        if action.metavar != "COMMAND":
            assert action.help and not action.help.startswith("default")
            assert not action.help.startswith("(default"), action.dest
    lines = parser.format_help().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(parser.format_usage().splitlines()) <= 32


def test_the_options_of_training_are_the_fields_with_their_words():
    train = dict(parsers())["train"]
    options = {action.dest: action for action in train._actions}
    texts = field_texts(config.TrainConfig)
    for field in dataclasses.fields(config.TrainConfig):
        said = options[field.name].help
        assert said.startswith(texts[field.name][1].partition("; None")[0])
        assert field.name == "sync_norm" or "(default " in said
    assert options["optimiser"].choices == ("sgd", "adam")
    assert "ssd" in options["augment"].choices
    assert options["milestones"].nargs == "+"
    assert options["clip"].type is float and options["workers"].type is int
    assert options["seed"].default is SUPPRESS


def test_info_lists_the_networks_and_the_recipes(capsys):
    found = value(capsys, "info", "--presets")
    assert found == {"networks": list(config.NAMED), "recipes": list(RECIPES)}
    table = call(capsys, "info", "--presets")[1]
    assert "dsod300_lite" in table and "toy_ssd" in table
