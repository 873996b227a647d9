"""The page of messages: each of ours that it explains is truly said."""

import os
import re
import struct
from pathlib import Path

import dsod_d2l  # noqa: F401  (prepares MXNet)
import mxnet as mx
import numpy as np
import pytest

import small_runs
from dsod_d2l import config, evaluation, files, models, weights
from dsod_d2l.workbench import machine, outputs
from dsod_d2l.workbench.formats import addresses, choices
from dsod_d2l.workbench.pretrained import transfer
from dsod_d2l.workbench.cli import main
from dsod_d2l.datasets import pictures
from dsod_d2l.workbench.formats.conversion import convert
from dsod_d2l.datasets.recordio import write_payloads
from dsod_d2l.datasets.records import write_records
from dsod_d2l.workbench.video import VideoReader
from dsod_d2l.workbench.runs import run_folder as folders
from dsod_d2l.workbench.runs import parallel, precision
from dsod_d2l.workbench.runs.long_run import run_training
from dsod_d2l.workbench.runs.tuning import Tuning
from dsod_d2l.datasets.loader import BatchMaker, Loader
from small_sets import CLASSES, Small, encoded
from test_hostile_files import png_of

TWO = [mx.cpu(0), mx.cpu(1)]
PAGE = Path(__file__).resolve().parents[1] / "book" / "troubleshooting.md"
# Said by tests of their own, for they need another process or a log.
ELSEWHERE = {"... cannot be locked", "xmin ... is not below xmax ...",
             "it leaves the image: found ..., expected x from ... to ...",
             "worker ... of ... was killed by ...; the other processes are "
             "stopped", "The other workers have been silent for ... seconds",
             "this processor does not compute with bfloat16",
             "memory has run out (...)",
              "no font of this machine has ... letters such as ...",
              "--device gpu: there is none to be used, ...",
              # Of test_exporting and test_serving, where the packages are.
              "... was not written by dsod_d2l: its metadata lack the format",
              "... needs the operators of ..., expected opset ...",
              "--precision ... needs objects of every class",
              "AP falls from ... to ..., by more than --loss",
              "... needs ..., which is not installed",
              "serve needs ..., not installed here",
              "port ... cannot be had"}


def quoted():
    """Return the texts in the headings about messages of this module."""
    ours = PAGE.read_text().partition("## Messages of this module")[2]
    ours = ours.partition("\n## ")[0]
    return [part for heading in re.findall(r"^### (.*)$", ours, re.M)
            for part in re.findall(r"`([^`]*)`", heading)]


def rec(folder, **changes):
    path = folder / "a.rec"
    boxes, labels = changes.get("boxes", [[0, 0, 1, 1]]), [0]
    write_records(path, [(np.array(boxes), labels, encoded("a.jpg", 30, 50))])
    return path


def other_label(folder):
    head = struct.pack("<IfQQ", 3, 0, 0, 0) + struct.pack("<3f", 4, 5, 6)
    write_payloads(folder / "a.rec", [head + encoded("a.jpg", 30, 50)])
    addresses.open_dataset(f"rec:{folder}/a.rec")


def bad_box(folder):
    rec(folder)
    data = (folder / "a.rec").read_bytes()
    box = struct.pack("<5f", 0, 0, 0, 1, 1)
    assert box in data
    (folder / "a.rec").write_bytes(data.replace(
        box, struct.pack("<5f", 0, 1, 0, 0, 1)))
    addresses.open_dataset(f"rec:{folder}/a.rec")


def weights_file(folder, name="w.safetensors", **facts):
    net = small_runs.network()
    models.initialise(net)
    weights.save_weights(folder / name, net, ("square",))
    tensors, metadata = weights.load_tensors(folder / name)
    weights.save_tensors(folder / name, tensors, {**metadata, **facts})
    return folder / name


def foreign(folder):
    from safetensors.numpy import save_file
    save_file({"a": np.ones(3, np.float32)}, folder / "w.safetensors")
    weights.load_model(folder / "w.safetensors")


def written(name, data, read):
    def say(folder):
        (folder / name).write_bytes(data)
        read(folder / name)
    return say


def changed(folder):
    path = weights_file(folder)
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    weights.load_model(path)


def params(folder):
    mx.nd.save(str(folder / "a.params"), [mx.nd.ones(2)])
    weights.load_model(folder / "a.params")


def misfit(folder):
    net = models.build("dsod_tiny", num_classes=2)
    weights.fill(net, weights.load_tensors(weights_file(folder))[0])


def two_classes(folder):
    net = models.build("dsod_tiny", 2, **small_runs.SMALL)
    small_runs.train(folder, net=net)


def other_names(folder):
    evaluation.class_numbers(["a", "b"], ["c"])


def other_objects(folder):
    choices.matched(Small(), CLASSES[:2])


def full(folder):
    (folder / f".a.{os.getpid()}.partial").symlink_to("/dev/full")
    files.write_atomically(folder / "a", b"x" * 9)


def held(folder):
    with folders.hold(folder, False):
        small_runs.train(folder)


def twice(folder, **changes):
    small_runs.train(folder, steps=1)
    small_runs.train(folder, **{"steps": 1, **changes})


def nothing_to_learn(folder):
    data = small_runs.Squares()
    data.samples = [one.keep(slice(0)) for one in data.samples]
    run_training(small_runs.network(), data, small_runs.settings(), folder)


def deadly(folder):
    class Deadly(small_runs.Squares):
        def __getitem__(self, index):
            os._exit(1)
    list(Loader(BatchMaker(Deadly(), small_runs.network().config,
                           small_runs.settings()), 0, 1))


def unknown_class(folder):
    convert(Small(), f"voc:{folder}")
    (folder / "labels.json").write_text('["cat", "big dog"]')
    addresses.open_dataset(f"voc:{folder}")


def no_picture(folder):
    convert(Small(), f"voc:{folder}")
    (folder / "JPEGImages/b.jpg").unlink()
    addresses.open_dataset(f"voc:{folder}")


def other_size(folder):
    convert(Small(), f"voc:{folder}")
    (folder / "JPEGImages/b.jpg").write_bytes(encoded("b.jpg", 50, 30))
    addresses.open_dataset(f"voc:{folder}")[1]


def somebodys(folder):
    (folder / "a.png").write_bytes(b"somebody's")
    outputs.check_target(folder / "a.png")


def doctype(folder):
    convert(Small(), f"voc:{folder}")
    path = folder / "Annotations/b.xml"
    path.write_bytes(b"<!DOCTYPE a>" + path.read_bytes())
    addresses.open_dataset(f"voc:{folder}")


SAID = {
    "There is no record file ...":
        lambda folder: addresses.open_dataset(f"rec:{folder}/a.rec"),
    "There is no image file ...":
        lambda folder: pictures.read_image(folder / "a.jpg"),
    "data must have one of the forms ...":
        lambda folder: addresses.open_dataset("pictures"),
    "box 3: ...": bad_box,
    "a label of ... numbers does not fit its own head width": other_label,
    "the network has ... classes, the data set has ...": two_classes,
    "the detector knows ... classes (...), the data set has ...": other_names,
    "objects of the data set are of ..., which ... does not know":
        other_objects,
    "... was not written by dsod_d2l: its metadata lacks the format": foreign,
    "... is a .params file of MXNet, which does not say what network it "
    "belongs to": params,
    "... is not a readable safetensors file": written(
        "w.safetensors", b"<html>404</html>", weights.load_model),
    "... describes no network that can be built":
        lambda folder: weights.load_model(weights_file(folder, model={})),
    "tensor ... has shape ..., expected ...": misfit,
    "... does not fit ...: its ... has the shape ..., expected was ...":
        lambda folder: transfer.start_from(models.build("dsod_tiny"),
                                           weights_file(folder), ("square",)),
    "... needs an input of at least ... pixels on each side":
        lambda folder: config.get("dsod300", input_size=40),
    "belongs to a run with other ... (...): resume with what stands there, or "
    "name another folder":
        lambda folder: twice(folder, seed=7, resume=True),
    "there is no run in ... to resume: leave out --resume to start one":
        lambda folder: small_runs.train(folder / "none", resume=True),
    "... holds a run already": twice,
    "another run, process ..., is training in ...": held,
    "... holds no object to learn from in ... images": nothing_to_learn,
    "a data worker ..., mostly because memory had run out": deadly,
    "--freeze ... fits no array of ...": lambda folder: small_runs.train(
        folder, tuning=Tuning(freeze="head")),
    "... is damaged: its content does not have the checksum that was written "
    "with it": changed,
    "... was not written (...); an earlier file is untouched": full,
    "the class ... is not one of ...": unknown_class,
    "there is no image ... in ...": no_picture,
    "the file states ... pixels, the image has ...": other_size,
    "expected a whole image, found ... bytes that cannot be read as one":
        written("a.png", b"GIF89a", pictures.read_image),
    "expected an image of at most ... pixels":
        written("a.png", png_of(60000, 60000), pictures.read_image),
    "it declares a document type, which may hide entities and is not read":
        doctype,
    "camera ... does not answer": lambda folder: VideoReader(99),
    "... is there, was written by something else, and would be lost: give another ...":
        somebodys,
    "expected a video that OpenCV can read":
        written("a.avi", b"RIFF", VideoReader),
    "is the input ... itself, which would be lost":
        lambda folder: outputs.check_target(folder / "a", [folder / "a"]),
    "a batch of ... images cannot be divided evenly among ... devices":
        lambda folder: parallel.Devices(TWO, small_runs.settings(batch_size=3)),
    "there is no GPU ...: MXNet finds ...":
        lambda folder: machine.named_devices(["7"]),
    "synchronised normalisation on contexts of the CPU would stall":
        lambda folder: parallel.set_norms(small_runs.network(), TWO),
    "precision ... is for a ..., and this run is on ...":
        lambda folder: small_runs.train(folder, precision="float16"),
    "MXNet cannot convert ... to ..., as it can no network with "
    "up-sampling": lambda folder: precision.lowered(
        models.build("grp_dsod_tiny", 1), "bfloat16"),
}


def test_the_page_explains_what_is_tried_here():
    assert set(quoted()) - ELSEWHERE == set(SAID)


@pytest.mark.parametrize("text", SAID)
def test_a_message_is_said_as_it_is_explained(tmp_path, text):
    words = "box 0" if text.startswith("box") else text.strip(". ")
    pattern = ".*".join(map(re.escape, words.split("...")))
    with pytest.raises((ValueError, OSError), match=pattern) as caught:
        SAID[text](tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("box, text", [
    ([0.5, 0.1, 0.2, 0.9], "xmin ... is not below xmax ..."),
    ([10, 10, 20, 20], "it leaves the image: found ..., expected x from ... "
     "to ..."), ([10, 10, 20, 20], "these look like pixels")])
def test_boxes_of_a_table(tmp_path, box, text):
    convert(Small(), f"csv:{tmp_path}/a.csv")
    rows = (tmp_path / "a.csv").read_text().splitlines()
    cells = dict(zip(rows[0].split(","), rows[1].split(",")))
    cells.update(zip(("xmin", "ymin", "xmax", "ymax"), map(str, box)))
    (tmp_path / "a.csv").write_text(f"{rows[0]}\n{','.join(cells.values())}\n")
    pattern = ".*".join(map(re.escape, text.strip(". ").split("...")))
    with pytest.raises(ValueError, match=pattern):
        addresses.open_dataset(f"csv:{tmp_path}/a.csv?unit=fractions")


def test_the_way_from_a_params_file_is_the_one_on_the_page(tmp_path,
                                                           monkeypatch):
    code = re.search(r"```python\n(.*?load_params.*?)```", PAGE.read_text(),
                     re.S)[1]
    monkeypatch.chdir(tmp_path)
    net = models.build("dsod_tiny", num_classes=1)
    models.initialise(net)
    net.save_parameters("old.params")
    exec(code, {})
    again, metadata = weights.load_model("new.safetensors")
    assert metadata["classes"] == ["pikachu"]
    for name, array in weights.parameter_arrays(net).items():
        np.testing.assert_array_equal(
            weights.parameter_arrays(again)[name], array)


def test_the_command_line_says_so_too(tmp_path, capsys):
    mx.nd.save(str(tmp_path / "a.params"), [mx.nd.ones(2)])
    assert main(["evaluate", "--weights", str(tmp_path / "a.params"),
                 "--data", "standin:val"]) != 0
    said = capsys.readouterr().err.strip()
    assert "is a .params file of MXNet" in said and "\n" not in said
