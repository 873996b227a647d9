"""ONNX files: the detections of MXNet and our own NumPy, without either."""
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np
import onnx
import pytest
from narrow import narrow
from onnx import helper, numpy_helper

import dsod_d2l as dd
from dsod_d2l import models
from dsod_d2l.config import DetectConfig
from dsod_d2l.boxes import iou
from dsod_d2l.datasets.pictures import read_image
from dsod_d2l.detection import Detections, Detector, to_batch
from dsod_d2l.evaluation import Truth, evaluate_detections
from dsod_d2l.weights import load_model, save_weights
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.detectors import detector_of_file
from dsod_d2l.workbench.exporting import onnx_graph, read_facts
from dsod_d2l.workbench.exporting.onnx_detector import OnnxDetector
from dsod_d2l.workbench.exporting.onnx_graph import export_onnx
from dsod_d2l.workbench.suppression import SuppressionConfig

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "data/samples").glob("*.jpg"))
WEIGHTS = sorted((ROOT / "data/weights").glob("*.safetensors"))
ALL = DetectConfig(score_threshold=0.4, candidates=5000, keep=5000)


def unpaired(ours, theirs):
    """Return what of ours has no partner of its own among theirs."""
    alone, free = [], np.ones(len(theirs), bool)
    boxes = theirs.pixels().boxes
    for label, score, box in ours.pixels():
        near = (free & (theirs.labels == label) & (np.abs(theirs.scores - score) <= 1e-5)
                & (np.abs(boxes - box).max(axis=1, initial=0) <= 1e-2))
        if near.any():
            free[near.argmax()] = False
        else:
            alone.append((label, score, box))
    return alone


def same(ours, theirs):
    return len(ours) == len(theirs) and not unpaired(ours, theirs)


def eventful(name, rng, classes=("a", "b", "c"), **changes):
    """Build a narrow network whose scores and offsets lie far apart."""
    mx.random.seed(int(rng.integers(1000)))
    np.random.seed(int(rng.integers(1000)))     # MXNet's Xavier draws from either
    changes = {**narrow(name), **changes}
    if "vgg" in name:       # of 4 channels some places are next to nothing, where rounding counts
        changes["backbone"] = dataclasses.replace(changes["backbone"], widths=(16,) * 15)
    net = models.build(name, list(classes), **changes)
    models.initialise(net)
    for key, one in net.collect_params().items():
        if "running_var" in key:
            one.set_data(mx.nd.array(rng.uniform(0.5, 2, one.shape)))
        elif key.endswith(("running_mean", "beta", "bias")):
            one.set_data(mx.nd.array(rng.normal(0, 0.3, one.shape)))
    heads = [net.class_heads, net.box_heads]
    if net.steps == 2:
        heads = [net.object_heads, net.move_heads, *heads]
    image = rng.uniform(-2, 2, (1, 3, *net.config.input_size))
    for rows in heads:
        for head in rows:
            for key, one in head.collect_params().items():
                if key.endswith("weight"):
                    one.set_data(mx.nd.array(rng.normal(0, 0.2, one.shape)))
    for rows, made, wanted in zip(heads, net.predict(image.astype(np.float32)),
                                  (2, 1) * net.steps):
        for head in rows:
            last = head.scores[-1]
            one = getattr(last, "gamma", None) or last.weight
            one.set_data(one.data() * (wanted / np.sqrt(np.square(made).mean())))
    return net


def pictures(rng, count=2):
    return [rng.integers(0, 256, (90, 140 + row, 3), np.uint8) for row in range(count)]


CASES = {
    "toy_ssd": {}, "dsod_tiny": {}, "dsod_gluon": {"input_size": (144, 176)},
    "grp_dsod_tiny": {}, "grp_dsod320": {"authors": True},
    "ssd300_vgg16": {}, "ssd_mobilenet_v2_tiny": {"resize": "letter-box"},
    "ssd300_resnet50": {"offset_means": (0.1, -0.2, 0.05, 0.3)},
    "refinedet_dsod_tiny": {"input_size": (128, 192)},
    "refinedet_vgg_tiny": {"offset_means": (0.02, 0, 0.1, 0), "easy": None},
    "refinedet320_vgg16": {"authors": True}}


@pytest.mark.parametrize("name", CASES)
def test_every_family_detects_the_same(name, tmp_path):
    rng = np.random.default_rng(7)
    net, path = eventful(name, rng, **CASES[name]), tmp_path / "a.onnx"
    export_onnx(path, net, net.classes)
    ours = Detector(net, net.classes, ALL)
    theirs = OnnxDetector(path, ALL)
    images = pictures(np.random.default_rng(8), 3)
    for mine, other in zip(ours.detect(images), theirs.detect(images)):
        assert len(mine) > 20 and set(mine.labels) == {0, 1, 2}
        assert same(mine, other), unpaired(mine, other)[:3]


def test_a_map_of_next_to_nothing_is_normalised_as_mxnet_does(tmp_path):
    """Below 1e-5 the epsilon counts, which MXNet's own converter leaves out."""
    import onnxruntime
    net = eventful("ssd300_vgg16", np.random.default_rng(5))
    net.backbone.stages[3][-1][0].weight.set_data(
        net.backbone.stages[3][-1][0].weight.data() * 1e-6)
    net.backbone.stages[3][-1][0].bias.set_data(mx.nd.zeros(16))
    export_onnx(tmp_path / "a.onnx", net, net.classes, raw=True)
    batch = to_batch(pictures(np.random.default_rng(6)), net.config)
    found = onnxruntime.InferenceSession(tmp_path / "a.onnx").run(None, {"data": batch})
    for mine, other in zip(net.predict(batch), found):
        assert np.abs(mine - other).max() < 1e-4


def test_every_family_is_among_them():
    known = {dd.build(name).config.family for name in CASES}
    assert known == set(models.NETWORKS)


def exported(path, weights=WEIGHTS[0], **options):
    """Write weights that are there as an ONNX file; return the detector of MXNet."""
    net, metadata = load_model(weights)
    export_onnx(path, net, metadata["classes"], **options)
    return Detector(net, metadata["classes"])


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.stem)
def test_the_weights_that_are_there_detect_the_same_in_the_samples(weights, tmp_path):
    """A pruned network is among them; 200 detections are the most, so equal ones may differ there."""
    path = tmp_path / "a.onnx"
    ours, theirs = exported(path, weights), dd.Detector(path)
    assert isinstance(theirs, OnnxDetector) and theirs.classes == ours.classes
    for sample in SAMPLES:
        mine, other = ours(sample), theirs(sample)
        assert same(mine, other), (sample, unpaired(mine, other))
        assert np.abs(mine.scores - other.scores).max(initial=0) <= 1e-5


def test_blood_cells_are_found_and_judged_the_same(shipped, tmp_path):
    root = os.environ.get("DSOD_REAL_DATA")
    if not root:
        pytest.skip("DSOD_REAL_DATA is not set")
    import onnxruntime
    path, ours = shipped
    data = dd.open_dataset(f"voc:{root}/bccd/BCCD:test?classes={','.join(ours.classes)}")
    theirs, sized = dd.Detector(path), tmp_path / "any.onnx"
    export_onnx(sized, ours.net, ours.classes, any_size=True)
    session, rows = onnxruntime.InferenceSession(sized), []
    for row in range(len(data)):
        image = data[row].image
        mine, other = ours(image), theirs(image)
        assert same(mine, other), (row, unpaired(mine, other)[:3])
        labels, scores, boxes = (one[0] for one in session.run(
            ["labels", "scores", "boxes"], {"images": image[None]}))
        rows.append((mine, Detections(labels[labels >= 0], scores[labels >= 0], boxes[labels >= 0])))
        for label, score, box in mine[mine.scores > 0.1]:
            assert iou(box[None], boxes[labels == label]).max() >= 0.98
    truths = [Truth.of(data[row]) for row in range(len(data))]
    before, after = (evaluate_detections(list(found), truths, 3).AP for found in zip(*rows))
    assert before > 0.5 and abs(before - after) <= 0.002


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Return the ONNX file of a small network, and the ``Detector`` of MXNet."""
    path = tmp_path_factory.mktemp("shipped") / "bccd.onnx"
    return path, exported(path)


@pytest.mark.parametrize("settings", [
    DetectConfig(score_threshold=0), DetectConfig(nms_threshold=0), DetectConfig(nms_threshold=1),
    DetectConfig(candidates=3), DetectConfig(keep=2), DetectConfig(score_threshold=1)], ids=str)
def test_the_thresholds_are_inputs(shipped, settings):
    path, ours = shipped
    theirs = OnnxDetector(path, settings)
    ours = Detector(ours.net, ours.classes, settings)
    mine, other = ours(SAMPLES[0]), theirs(SAMPLES[0])
    assert same(mine, other), unpaired(mine, other)[:3]
    assert len(other) <= settings.keep


def test_what_is_said_at_the_export_holds_where_nothing_else_is(tmp_path):
    import onnxruntime
    path = tmp_path / "a.onnx"
    ours = exported(path, detect_config=DetectConfig(score_threshold=0.05, keep=7))
    assert dd.Detector(path).detect_config == DetectConfig(score_threshold=0.05, keep=7)
    plain = dataclasses.replace(ours.config, mean=(0, 0, 0), std=(1, 1, 1))
    image = to_batch([ours(SAMPLES[0]).image()], plain).astype(np.uint8)
    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_inputs()] == ["images"]
    labels, scores, boxes = session.run(None, {"images": image.transpose(0, 2, 3, 1)})
    ours.detect_config = DetectConfig(score_threshold=0.05, keep=7)
    found = ours(SAMPLES[0])
    assert labels.shape == scores.shape == (1, 7) and boxes.shape == (1, 7, 4)
    assert labels[0, :len(found)].tolist() == found.labels.tolist()
    assert (labels[0, len(found):] == -1).all()
    assert np.allclose(boxes[0, :len(found)], found.boxes, atol=1e-5)


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_a_fixed_batch_and_a_free_one(batch, tmp_path):
    path = tmp_path / "a.onnx"
    ours = exported(path, batch=batch)
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert (shape[0].dim_value or None) == batch
    for mine, other in zip(ours(SAMPLES), dd.Detector(path)(SAMPLES), strict=True):
        assert same(mine, other)


# Sizes (height, width): smaller, larger, halved on one side and on both, and the network's own.
SIZES = [(256, 256), (90, 140), (700, 1100), (520, 300), (1025, 513), (512, 512), (1, 7)]


@pytest.mark.parametrize("resize", ["stretch", "letter-box"])
def test_pictures_of_any_size_are_brought_to_size_in_the_graph(resize, tmp_path):
    import onnxruntime
    path = tmp_path / "a.onnx"
    net, metadata = load_model(WEIGHTS[0])
    net.config = dataclasses.replace(net.config, resize=resize)
    export_onnx(path, net, metadata["classes"], any_size=True)
    ours, theirs = Detector(net, metadata["classes"]), dd.Detector(path)
    session, compared = onnxruntime.InferenceSession(path), 0
    for sample in SAMPLES[:3]:
        for height, width in SIZES[1:4]:
            image = cv2.resize(read_image(sample), (width, height), interpolation=cv2.INTER_AREA)
            assert same(ours(image), theirs(image))       # brought to size before it
            labels, scores, boxes = (row[0] for row in session.run(
                ["labels", "scores", "boxes"], {"images": image[None]}))
            for label, score, box in ours(image):
                if score > 0.1:
                    near = (labels == label) & (np.abs(scores - score) < 0.02)
                    assert near.any() and iou(box[None], boxes[near]).max() >= 0.98, (height, width)
                    compared += 1
    assert compared > 15


@pytest.mark.parametrize("resize", ["stretch", "letter-box"])
@pytest.mark.parametrize("size", SIZES)
def test_the_pixels_are_those_of_opencv(resize, size, tmp_path):
    """All, where it interpolates; of means but those half-way between two numbers."""
    import onnxruntime
    config = dataclasses.replace(models.build("toy_ssd", ["a"], input_size=(144, 176)).config,
                                 mean=(0, 0, 0), std=(1, 1, 1), resize=resize)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    image = cv2.resize(cv2.resize(image, (9, 5)), size[::-1], interpolation=cv2.INTER_CUBIC)
    given, found = (helper.make_tensor_value_info(name, kind, None) for name, kind in
                    (("images", 2), ("sized", 1)))
    formulas = onnx_graph.FORMULAS
    nodes = onnx_graph.nodes_of(formulas["before"].format(
        picture="sized", sized=formulas["sized"].format(
            frame=formulas[resize],
            rows=formulas["share"].format(at="row", axis=0, shape=[1, -1]),
            columns=formulas["share"].format(at="column", axis=1, shape=[-1, 1]))))
    graph = helper.make_graph(nodes, "sized", [given], [found], [
        onnx_graph._tensor(one, name) for name, one in onnx_graph._constants(config).items()])
    model = helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])
    pixels, = onnxruntime.InferenceSession(model.SerializeToString()).run(["sized"], {"images": image[None]})
    wanted = to_batch([image], config)
    if resize == "stretch" and not (size[0] >= 2 * 144 and size[1] >= 2 * 176):
        assert (pixels == wanted).all()
    assert np.abs(pixels - wanted).max() <= 1 and (pixels != wanted).mean() < 0.01


def test_the_bare_network(tmp_path):
    import onnxruntime
    path, rng = tmp_path / "a.onnx", np.random.default_rng(3)
    for name, outputs in (("dsod_tiny", ["class_scores", "offsets"]),
                          ("refinedet_vgg_tiny", list(onnx_graph.RAW_OUTPUTS))):
        net = eventful(name, rng)
        export_onnx(path, net, net.classes, raw=True)
        session = onnxruntime.InferenceSession(path)
        assert [one.name for one in session.get_outputs()] == outputs
        assert [one.name for one in session.get_inputs()] == ["data"]
        batch = to_batch(pictures(rng), net.config)
        for mine, other in zip(net.predict(batch), session.run(None, {"data": batch})):
            assert np.allclose(mine, other, atol=1e-4)
    with pytest.raises(ValueError, match="bare network.* without --raw"):
        dd.Detector(path)


def test_what_the_file_says_of_itself(shipped):
    path, ours = shipped
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    text = {row.key: row.value for row in model.metadata_props}
    assert json.loads(text["classes"]) == ["RBC", "WBC", "Platelets"]
    assert json.loads(text["model"]) == json.loads(json.dumps(ours.config.to_dict()))
    assert json.loads(text["resize"]) == "stretch" and json.loads(text["licence"]) == "not stated"
    assert json.loads(text["opset"]) == 13 == model.opset_import[0].version
    assert {node.domain for node in model.graph.node} == {""}


def test_numbers_that_are_not_finite_are_no_empty_picture(tmp_path):
    net = models.build("toy_ssd", ["a"], **narrow("toy_ssd"))
    models.initialise(net)
    head = net.class_heads[0].scores[-1].weight
    head.set_data(mx.nd.full(head.shape, np.nan))
    export_onnx(tmp_path / "a.onnx", net, net.classes)
    with pytest.raises(ValueError, match="must be finite"):
        dd.Detector(tmp_path / "a.onnx")(SAMPLES[0])


# ---- other precisions, other runtimes ------------------------------------------------

@pytest.mark.parametrize("name", ["dsod_tiny", "ssd_mobilenet_v2_tiny", "ssd300_vgg16"])
def test_numbers_of_8_and_of_16_bits_say_nearly_the_same(name, tmp_path):
    import onnxruntime
    rng = np.random.default_rng(4)
    net = eventful(name, rng)
    batches = [to_batch(pictures(rng), net.config) for _ in range(6)]
    wanted, errors, sizes = net.predict(batches[0]), {}, {}
    for precision, batch in (("float32", None), ("float16", 2), ("int8", None), ("int8", 2)):
        path = tmp_path / f"{precision}.onnx"
        facts = export_onnx(path, net, net.classes, raw=True, precision=precision, batch=batch,
                            calibration=iter(batches))
        model = onnx.load(path)
        assert facts["precision"] == precision and {node.domain for node in model.graph.node} == {""}
        kinds = {tensor.data_type for tensor in model.graph.initializer}
        assert (10 in kinds, 3 in kinds) == (precision == "float16", precision == "int8")
        found = onnxruntime.InferenceSession(path).run(None, {"data": batches[0]})
        assert [one.dtype for one in found] == [np.float32] * 2
        errors[precision] = max(np.abs(mine - one).mean() / np.abs(one).mean() for mine, one in zip(found, wanted))
        sizes[precision] = sum(np.prod(one.dims, initial=1) * {10: 2, 3: 1}.get(one.data_type, 4)
                               for one in model.graph.initializer)
    assert errors["float32"] < 1e-5 < errors["float16"] < 0.01 < errors["int8"] < 0.2, errors
    assert sizes["float16"] < 0.6 * sizes["float32"] and sizes["int8"] < 0.6 * sizes["float32"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the words of an export of a small network, and of its data set."""
    path, words = tmp_path_factory.mktemp("small") / "w.safetensors", f"voc:{ROOT / 'data/samples/voc'}"
    net = eventful("toy_ssd", np.random.default_rng(1), dd.open_dataset(words).classes)
    save_weights(path, net, net.classes)
    return ["export", "--weights", str(path)], f"{words}:all"


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_ap_before_and_after_is_said(precision, small, tmp_path, capsys):
    path, (words, data) = tmp_path / "a.onnx", small
    words = [*words, "--out", str(path), "--precision", precision, "--data", data, "--json", "--loss", "1"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    dataset = dd.open_dataset(data)
    assert found["AP_before"] == pytest.approx(dd.evaluate(words[2], dataset).AP, abs=1e-4)
    assert found["AP_after"] == pytest.approx(dd.evaluate(str(path), dataset).AP, abs=1e-4)
    assert found["precision"] == precision


def test_where_ap_falls_by_more_nothing_is_written(small, tmp_path, capsys, monkeypatch):
    from dsod_d2l.workbench.cli import export
    path, (words, data) = tmp_path / "a.onnx", small
    words = [*words, "--out", str(path), "--precision", "float16", "--data", data]
    for loss, code in (("0.0099", 2), ("0.0101", 0)):
        values = iter((0.51, 0.5))
        monkeypatch.setattr(export, "evaluate", lambda one, dataset: types.SimpleNamespace(AP=next(values)))
        assert main([*words, "--loss", loss]) == code
        assert path.exists() == (code == 0)
        if code:
            assert capsys.readouterr().err == (
                "export: --precision float16: AP falls from 0.5100 to 0.5000, by more than --loss 0.0099; "
                "nothing is written\n")


def test_calibration_needs_objects_of_every_class(small, tmp_path, capsys):
    words, data = small
    words = [*words, "--out", str(tmp_path / "a.onnx"), "--precision", "int8"]
    first, second = dd.open_dataset(data).classes[:2]
    (tmp_path / "empty.csv").write_text("image,xmin,ymin,xmax,ymax,label\n")
    for more, said in (([], "needs --data SET"), (["--data", data, "--raw"], "goes without --raw"),
                       (["--data", f"{data}?only={first}"], f"found none of {second} in the 36 pictures"),
                       (["--data", f"csv:{tmp_path / 'empty.csv'}"], "empty.csv"),
                       (["--data", data, "--loss", "-1"], "--loss must be")):
        assert main([*words, *more]) == 2
        text = capsys.readouterr().err
        assert said in text and text.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["empty.csv"]


@pytest.mark.parametrize("runtime", ["openvino", "openvino-bfloat16"])
def test_openvino_detects_the_same(runtime, shipped):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    path, ours = shipped
    theirs, settings = dd.Detector(path, runtime=runtime), DetectConfig(score_threshold=0.2)
    for sample in SAMPLES:
        if runtime == "openvino":
            assert same(ours(sample), theirs(sample))
    ours.detect_config = theirs.detect_config = settings      # its inputs, too
    for sample in SAMPLES:
        mine, other = ours(sample), theirs(sample)
        assert len(mine) == len(other) or runtime != "openvino"
        for label, score, box in mine[mine.scores > 0.3]:
            near = other.labels == label
            assert iou(box[None], other.boxes[near]).max() > (0.999 if runtime == "openvino" else 0.9)
    ours.detect_config = DetectConfig()
    with pytest.raises(ValueError, match="leave out --device gpu"):
        dd.Detector(path, runtime=runtime, device="gpu")


def test_openvino_takes_8_bits_of_a_fixed_batch(tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    net = eventful("dsod_tiny", np.random.default_rng(2))
    images = pictures(np.random.default_rng(3))
    export_onnx(tmp_path / "a.onnx", net, net.classes, batch=1, precision="int8",
                calibration=[to_batch(images[:1], net.config)])
    code = f"import dsod_d2l as dd; print(len(dd.Detector({str(tmp_path / 'a.onnx')!r}, runtime='openvino')({str(SAMPLES[0])!r})))"
    done = process(code)            # it may end the process without a word
    assert done.returncode == 0 and int(done.stdout) == len(dd.Detector(tmp_path / "a.onnx")(SAMPLES[0]))


def test_openvino_on_the_command_line(shipped, capsys):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    words = ["detect", str(SAMPLES[0]), "--weights", str(shipped[0]), "--json", "--score-threshold", "0.05"]
    found = [main([*words, *more]) or json.loads(capsys.readouterr().out)
             for more in ([], ["--runtime", "openvino"])]
    assert [row["label"] for row in found[0]] == [row["label"] for row in found[1]]


def test_a_runtime_that_is_not_there(shipped, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    for weights, runtime, said in (
            (shipped[0], "openvino", "openvino, which is not installed: pip install openvino"),
            (WEIGHTS[0], "openvino", "--runtime goes with a file that export has written")):
        assert main(["detect", str(SAMPLES[0]), "--weights", str(weights), "--runtime", runtime]) == 2
        text = capsys.readouterr().err
        assert said in text and text.count("\n") == 1
    with pytest.raises(ValueError, match="runtime must be one of onnxruntime, openvino"):
        dd.Detector(shipped[0], runtime="tensorrt")


@pytest.mark.parametrize("suppression", [
    SuppressionConfig(nms_kind="agnostic"), SuppressionConfig(nms_kind="soft")], ids=lambda one: one.nms_kind)
def test_other_kinds_of_suppression(suppression, shipped):
    path, ours = shipped
    ours = dd.Detector(ours.net, ours.classes, suppression=suppression)
    theirs = dd.Detector(path, suppression=suppression)
    for sample in SAMPLES:
        mine, other = ours(sample), theirs(sample)
        assert same(mine, other), unpaired(mine, other)[:3]


def test_formulas_become_nodes():
    import onnxruntime
    nodes = onnx_graph.nodes_of("low, high = Split(a * [2] + b % [4], axis=0)\ny = Where(high >= low, low, [-1])")
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(name, 7, [4]) for name in "ab"],
                              [helper.make_tensor_value_info("y", 7, None)])
    model = helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])
    found, = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {
        "a": np.array([1, 2, 3, 0]), "b": np.array([5, 6, 7, 8])})
    assert found.tolist() == [3, -1]          # 2a + b % 4 = 3, 6 | 9, 0


# ---- the command line, and a process without MXNet ---------------------------------

def process(code, *words):
    """Run Python code in a process in which MXNet cannot be imported."""
    block = "import sys; sys.modules['mxnet'] = None\n"
    return subprocess.run([sys.executable, "-c", block + code, *map(str, words)], cwd=ROOT,
                          capture_output=True, text=True, timeout=120)


COMMAND = "from dsod_d2l.workbench.cli import main; sys.exit(main(sys.argv[1:]))"


def test_commands_take_a_file_without_mxnet(shipped, tmp_path):
    path, ours = shipped
    done = process(COMMAND, "detect", SAMPLES[0], "--weights", path, "--json", "--score-threshold", 0.05)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    ours.detect_config = DetectConfig(score_threshold=0.05)
    assert [row["label"] for row in rows] == [ours.classes[k] for k in ours(SAMPLES[0]).labels]
    video = tmp_path / "a.mp4"
    from dsod_d2l.workbench.video import VideoWriter
    with VideoWriter(video, 5, (64, 96)) as write:
        write.write(np.zeros((64, 96, 3), np.uint8))
    done = process(COMMAND, "demo", video, "--weights", path, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["frames"] == 1, done.stderr


def test_evaluating_without_mxnet(tmp_path):
    path, words = tmp_path / "a.onnx", f"voc:{ROOT / 'data/samples/voc'}"
    data = dd.open_dataset(words)
    net = eventful("toy_ssd", np.random.default_rng(1), data.classes)
    export_onnx(path, net, net.classes)
    done = process(COMMAND, "evaluate", "--data", words, "--weights", path, "--json")
    assert done.returncode == 0, done.stderr
    found, wanted = json.loads(done.stdout), dd.evaluate(net, data).to_dict()
    assert found["AP50"] == pytest.approx(wanted["AP50"], abs=1e-6) and found["AP50"] > 0
    assert ([row["detections"] for row in found["classes"]]
            == [row["detections"] for row in wanted["classes"]])


@pytest.mark.parametrize("words", [
    ["train", "--data", "standin:val", "--model", "dsod_tiny", "--out", "OUT"],
    ["detect", "data/samples/street.jpg", "--weights", WEIGHTS[0]],
    ["export", "--weights", WEIGHTS[0], "--out", "OUT/a.onnx"]], ids=lambda words: words[0])
def test_what_needs_mxnet_says_so_in_one_sentence(words, tmp_path):
    done = process(COMMAND, *(str(word).replace("OUT", str(tmp_path / "run")) for word in words))
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "needs MXNet" in done.stderr and "pip install" in done.stderr


def test_detecting_never_imports_mxnet(shipped):
    path, _ = shipped
    code = ("import sys\nimport dsod_d2l as dd\n"
            f"found = dd.Detector({str(path)!r})({str(SAMPLES[0])!r})\n"
            "found.pixels(); print('mxnet' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["False"], done.stderr


# ---- bad input -----------------------------------------------------------------------

def rewritten(path, target, change, seal=True):
    """Write a file anew with a change of its message; by default with a right checksum."""
    model = onnx.load(path)
    text = {row.key: row.value for row in model.metadata_props}
    change(model, text)
    del model.metadata_props[:]
    if seal:
        text["checksum"] = hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()
    helper.set_model_props(model, text)
    target.write_bytes(model.SerializeToString(deterministic=True))


def opset(number, domain=""):
    def change(model, text):
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid(domain, number))
    return change


def fact(name, value):
    return lambda model, text: text.update({name: json.dumps(value)})


def model_fact(name, value):
    return lambda model, text: text.update(model=json.dumps({**json.loads(text["model"]), name: value}))


def external(model, text):
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")


def more_labels(model, text):
    for tensor in model.graph.initializer:
        if tensor.name == "no_label":
            tensor.CopyFrom(numpy_helper.from_array(np.array(9), "no_label"))


def node_of(kind):
    def change(model, text):
        model.graph.node[0].op_type = kind
    return change


def without(name):
    return lambda model, text: text.pop(name)


def other_output(model, text):
    """Give boxes in the place of scores."""
    for node in model.graph.node:
        node.output[:] = [{"scores": "boxes", "boxes": "scores"}.get(one, one) for one in node.output]
    del model.graph.output[:]
    model.graph.output.extend([
        helper.make_tensor_value_info(name, kind, None) for name, kind in
        (("labels", 7), ("scores", 1), ("boxes", 1))])


@pytest.mark.parametrize("change, said", [
    (opset(12), "needs the operators of opset 12, expected opset 13"),
    (opset(99), "opset 99"), (opset(13, "com.acme"), "com.acme 13"),
    (without("format"), "was not written by dsod_d2l"), (without("model"), "describes no detector"),
    (without("detect"), "describes no detector"), (external, "keeps numbers in another file"),
    (fact("classes", ["RBC"]), "network of 3 classes, but names 1"),
    (fact("classes", ["a", "a", "b"]), "there twice"), (fact("classes", {"a": 1}), "the classes"),
    (fact("detect", {"keep": 10**9, "more": 1}), "describes no detector"),
    (fact("detect", {"score_threshold": "0.5"}), "score_threshold must be"),
    (fact("batch", -1), "batch must be"), (fact("batch", True), "batch must be"),
    (fact("batch", "many"), "batch must be"),
    (model_fact("family", "../other"), "family"), (model_fact("num_classes", 10**12), "num_classes"),
    (model_fact("input_size", [10**7, 10**7]), "describes no detector"),
    (model_fact("anchors", []), "describes no detector"), (fact("model", [[]] * 3), "describes no detector"),
    (lambda model, text: text.update(model="[" * 100000), "describes no detector"),
    (lambda model, text: text.update(classes="\x1b[2J"), "describes no detector"),
    (node_of("NoSuchThing"), "onnxruntime cannot run it"), (more_labels, "does not answer"),
    (other_output, "does not answer"), (fact("input", [1, 2]), None)])
def test_bad_files_get_one_sentence(change, said, shipped, tmp_path, capsys):
    path = tmp_path / "bad.onnx"
    rewritten(shipped[0], path, change)
    code = main(["detect", str(SAMPLES[0]), "--weights", str(path), "--score-threshold", "0.9"])
    text = capsys.readouterr().err
    if said is None:
        assert code == 0
    else:
        assert code == 2 and said in text and text.count("\n") == 1 and str(path) in text
        assert text[:-1].isprintable() and len(text) < 700


@pytest.mark.parametrize("part", [0, 1, 7, 100, 5000, 0.5, 0.99, -1])
def test_a_file_that_was_cut_short(part, shipped, tmp_path):
    path, data = tmp_path / "cut.onnx", shipped[0].read_bytes()
    path.write_bytes(data[:int(part * len(data)) if isinstance(part, float) else part])
    with pytest.raises(ValueError, match="no whole ONNX file|was not written by"):
        dd.Detector(path)


def test_a_changed_byte_is_noticed(shipped, tmp_path):
    path, data = tmp_path / "changed.onnx", bytearray(shipped[0].read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        dd.Detector(path)


def test_damaged_bytes_never_make_more_than_a_sentence(shipped, tmp_path):
    rng, data = np.random.default_rng(0), shipped[0].read_bytes()
    tail = data.rindex(b"checksum") - 2000
    for _ in range(300):
        changed = bytearray(data)
        for place in rng.choice([*range(60), *range(tail, len(data))], 4):
            changed[place] = rng.integers(256)
        (tmp_path / "a.onnx").write_bytes(changed)
        try:
            read_facts(tmp_path / "a.onnx")
        except ValueError as error:
            assert "a.onnx" in str(error)


def test_files_of_other_kinds(tmp_path, shipped):
    path = tmp_path / "a.onnx"
    with pytest.raises(FileNotFoundError, match="export --weights"):
        dd.Detector(path)
    path.write_bytes(WEIGHTS[0].read_bytes())
    with pytest.raises(ValueError, match="no whole ONNX file|was not written"):
        dd.Detector(path)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", [
        helper.make_tensor_value_info("x", 1, [1])], [helper.make_tensor_value_info("y", 1, [1])])
    onnx.save(helper.make_model(graph), path)
    with pytest.raises(ValueError, match="not written by dsod_d2l"):
        dd.Detector(path)
    with pytest.raises(ValueError, match=".safetensors, .* or in .onnx"):
        dd.Detector(tmp_path / "a.pt")
    with pytest.raises(ValueError, match="has its own classes"):
        dd.Detector(shipped[0], ["a"])


@pytest.mark.parametrize("package, run", [
    ("onnxruntime", lambda path, out: dd.Detector(path)),
    ("onnx", lambda path, out: dd.Detector(path)),
    ("onnx", lambda path, out: exported(out))])
def test_a_package_that_is_not_installed(package, run, shipped, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"{package}, which is not installed: pip install {package}$"):
        run(shipped[0], tmp_path / "a.onnx")


def test_a_gpu_that_onnxruntime_lacks(shipped):
    import onnxruntime
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="leave out --device gpu"):
        detector_of_file(shipped[0], device="gpu")


def test_wrong_options_of_export(tmp_path, capsys):
    weights = str(WEIGHTS[0])
    for words, said in ((["--out", "a.pt"], "a.pt: expected a name that ends in .onnx"),
                        (["--out", str(tmp_path / "a.onnx"), "--batch", "0"], "batch must be"),
                        (["--out", str(tmp_path / "a.onnx"), "--keep", "0"], "keep must be")):
        assert main(["export", "--weights", weights, *words]) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dsod_d2l.weights.load_model", lambda path: pytest.fail("work was begun"))
    (tmp_path / "a.onnx").mkdir()
    (tmp_path / "file").touch()
    for name, said in (("a.onnx", "is a folder"), ("file/a.onnx", "file")):
        assert main(["export", "--weights", str(WEIGHTS[0]), "--out", str(tmp_path / name)]) == 2
        assert said in capsys.readouterr().err


def test_the_command_and_the_licence(tmp_path, capsys):
    net = models.build("toy_ssd", ["a"], **narrow("toy_ssd"))
    models.initialise(net)
    save_weights(tmp_path / "w.safetensors", net, ["a"], licence="CC0")
    for more, licence in (([], "CC0"), (["--licence", "MIT"], "MIT")):
        assert main(["export", "--weights", str(tmp_path / "w.safetensors"), "--out",
                     str(tmp_path / "new" / "a.onnx"), "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)["licence"] == licence
    assert os.listdir(tmp_path / "new") == ["a.onnx"]
