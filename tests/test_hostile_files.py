"""Files made to do harm: each is one sentence, soon, and little memory."""

import io
import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import dsod_d2l  # noqa: F401  (prepares MXNet)
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from PIL import Image

from dsod_d2l import config, models, weights
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.runs import checkpoints
from dsod_d2l.datasets import pictures
from dsod_d2l.workbench.formats.conversion import convert
from dsod_d2l.datasets.recordio import MAGIC, RecordReader
from dsod_d2l.detection import Detector
from dsod_d2l.workbench.pretrained.transfer import start_from
import small_runs
from small_sets import Small, picture

SMALL = dict(stem=4, bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
             predictions=(4, 4, 4), input_size=(65, 80))


def sentence(words, function, *arguments, **options):
    """The function must refuse in one line that holds the words."""
    with pytest.raises(ValueError, match=words) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


def encoded(kind, **options):
    """Return a picture of 30 x 50 pixels as the bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(picture(30, 50)).save(file, kind, **options)
    return file.getvalue()


def png_of(width, height):
    """Return a PNG of a few bytes that states a size."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(
            ">I", zlib.crc32(body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b""))


def jpeg_of(width, height):
    """Return a small JPEG whose head states another size."""
    data = encoded("JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4:]


BOMBS = {"a.png": png_of(60000, 60000), "b.png": png_of(12000, 11500),
         "c.jpg": jpeg_of(60000, 60000), "d.jpg": jpeg_of(11500, 12000)}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_a_head_that_asks_for_gigabytes(tmp_path, name):
    (tmp_path / name).write_bytes(BOMBS[name])
    for read in (pictures.read_image, pictures.read_size):
        said = sentence("at most 134,217,728 pixels, found .* state more",
                        read, tmp_path / name)
        assert said.startswith(str(tmp_path / name))
    sentence("at most", pictures.encoded_size, BOMBS[name])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_photograph_of_a_large_sensor_is_no_bomb():
    assert pictures.encoded_size(jpeg_of(12000, 9000)) == (9000, 12000)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("data", [
    b"", bytes(500), encoded("JPEG")[:100], encoded("PNG")[:100],
    encoded("PNG")[:-200], b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"GIF89a", b"II*\0\x08\0\0\0\xff\xff", b"RIFF\xff\xff\xff\xffWEBPVP8 "],
    ids=range(9))
def test_what_is_no_whole_image(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    sentence(r"a.png: expected a whole image, found \d+ bytes that cannot be "
             "read as one", pictures.read_image, tmp_path / "a.png")


def test_no_other_program_is_started_for_an_image(tmp_path):
    """Pillow hands PostScript to Ghostscript, which can write files."""
    canary = tmp_path / "canary"
    data = (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
            b"(" + str(canary).encode() + b") (w) file closefile\nshowpage\n")
    (tmp_path / "a.jpg").write_bytes(data)
    assert Image.open(io.BytesIO(data)).format == "EPS"
    sentence("UnidentifiedImageError", pictures.read_image, tmp_path / "a.jpg")
    assert not canary.exists()


@pytest.mark.parametrize("kind, suffix", [
    ("BMP", ".bmp"), ("GIF", ".gif"), ("JPEG", ".jpg"), ("PNG", ".png"),
    ("TIFF", ".tif"), ("WEBP", ".webp"), ("MPO", ".jpg")])
def test_the_formats_that_are_read(kind, suffix):
    more = dict(save_all=True, append_images=[
        Image.fromarray(picture(30, 50, 1))]) if kind == "MPO" else {}
    data = encoded(kind, **more)
    assert Image.open(io.BytesIO(data)).format == kind
    assert pictures.suffix(data) == suffix
    assert pictures.encoded_size(data) == (30, 50)
    assert pictures.decode_image(data).shape == (30, 50, 3)


def test_records_that_share_their_parts(tmp_path):
    """Ten thousand beginnings, and behind each the same ten thousand parts."""
    count, path = 10_000, tmp_path / "a.rec"
    heads = [struct.pack("<II", MAGIC, 1 << 29 | 8 * (count - 1 - row))
             for row in range(count)]
    tail = struct.pack("<II", MAGIC, 2 << 29) * count
    path.write_bytes(b"".join(heads) + tail
                     + struct.pack("<II", MAGIC, 3 << 29))
    path.with_suffix(".idx").write_text("".join(
        f"{row}\t{8 * row}\n" for row in range(count)))
    begin = time.process_time()
    sentence("this record runs into the one that the index puts at byte",
             RecordReader, path)
    path.with_suffix(".idx").write_text("0\t0\n1\t0\n")
    sentence("line 2: offset 0 was there before", RecordReader, path)
    path.with_suffix(".idx").write_text("0\t" + "9" * 5000 + "\n")
    sentence("line 1: expected a key, a tab and a byte offset", RecordReader,
             path)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("text", [
    "names: !!python/object/apply:os.mkdir [CANARY]\n",
    "names: [a, &x [b], *x]\n", "names: [a, 2001-99-99]\n", "names: 2001-99-99",
    "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi")) + "names: [*i]\n",
    "names: " + "[" * 9000], ids=range(6))
def test_yaml_that_is_more_than_names(tmp_path, text):
    convert(Small(), f"yolo:{tmp_path}")
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "data.yaml").write_text(
        text.replace("CANARY", str(tmp_path / "canary")))
    begin = time.process_time()
    sentence("data.yaml: expected the class names under 'names'",
             addresses.open_dataset, f"yolo:{tmp_path}")
    assert not (tmp_path / "canary").exists()
    assert time.process_time() - begin < 3


def test_very_many_names(tmp_path):
    convert(Small(), f"yolo:{tmp_path}")
    path, begin = tmp_path / "classes.txt", time.process_time()
    path.write_text("\n".join(map(str, range(100_000))))
    assert len(addresses.open_dataset(f"yolo:{tmp_path}").classes) == 100_000
    path.write_text(path.read_text() + "\n7")
    sentence("the class '7' is there twice", addresses.open_dataset,
             f"yolo:{tmp_path}")
    assert time.process_time() - begin < 5


def weights_file(tmp_path, **changes):
    """Write a weights file whose facts are changed; return its path."""
    net = models.build("dsod_tiny", 2, **SMALL)
    models.initialise(net)
    path = tmp_path / "w.safetensors"
    weights.save_weights(path, net, ("cat", "dog"))
    tensors, facts = weights.load_tensors(path)
    facts["model"].update(changes.pop("model", {}))
    facts.update(changes)
    weights.save_tensors(path, tensors, facts)
    return path


@pytest.mark.parametrize("changes, words", [
    (dict(layers=[10 ** 9] * 3), "layers must be at most 65536, found a "
     "number of 30 bits"),
    (dict(layers=[65536] * 3), "layers may have 1000 dense layers in all"),
    (dict(layers=[1] * 101), "layers has 101 items, expected at most 100"),
    (dict(stem=10 ** 4000), "stem must be at most 65536"),
    (dict(input_size=[65000, 65000]), "anchors at 65000 x 65000 pixels, "
     "expected at most 10000000"),
    (dict(input_size=[]), "needs an input of at least"),
    (dict(input_size="big"), "input_size must be a whole number"),
    (dict(input_size=None), "input_size must be a whole number of at least 1, "
     "found None"),
    (dict(anchors=[5]), "another kind than it should"),
    (dict(anchors=[{"sizes": [0.1], "colour": 1}]), "AnchorSpec has no field "
     "colour"),
    (dict(name=["x"]), "name must be a short text"),
    (dict(family=["x"]), "another kind than it should"),
    (dict(family="other"), "family 'other' is not known"),
    (dict(colour=1), "has no field colour"),
    (dict(compression=1e308, growth=65536), "compression must be a number"),
])
def test_weights_whose_network_cannot_be(tmp_path, changes, words):
    path = weights_file(tmp_path, model=changes)
    said = sentence("describes no network that can be built: .*" + words,
                    weights.load_model, path)
    assert said.startswith(str(path))


@pytest.mark.parametrize("changes, words", [
    (dict(classes=["cat"]), "a network of 2 classes, but names 1"),
    (dict(classes=5), "expected a list as its classes, found int"),
    (dict(classes=["cat", 7]), "expected class names"),
    (dict(classes=["cat", "cat"]), "there twice"),
    (dict(model=None), "expected a dict as its model, found NoneType")])
def test_weights_whose_facts_are_of_another_kind(tmp_path, changes, words):
    model = changes.pop("model", {})
    path = weights_file(tmp_path, **changes)
    if model is None:
        tensors, facts = weights.load_tensors(path)
        weights.save_tensors(path, tensors, {**facts, "model": None})
    sentence(f"w.safetensors.*{words}", weights.load_model, path)


@pytest.mark.parametrize("kind", ["uint64", "int16", "bool", "int32"])
def test_weights_that_are_no_floating_numbers(tmp_path, kind):
    path = weights_file(tmp_path)
    tensors, facts = weights.load_tensors(path)
    weights.save_tensors(path, {name: array.astype(kind) for name, array
                                     in tensors.items()}, facts)
    words = (f"numbers of the kind {kind}, which MXNet lacks"
             if kind in ("uint64", "int16") else
             f"do not fit .* holds {kind} numbers")
    sentence(f"w.safetensors.* {words}", weights.load_model, path)


@pytest.mark.parametrize("facts", [dict(model=7), dict(classes=7),
                                   dict(classes={"a": 1})])
def test_training_does_not_begin_from_such_weights(tmp_path, facts):
    path = weights_file(tmp_path)
    tensors, known = weights.load_tensors(path)
    weights.save_tensors(path, tensors, {**known, **facts})
    net = models.build("dsod_tiny", 2, **SMALL)
    sentence("w.safetensors: expected a .* as its .*, found",
             start_from, net, path, ("cat", "dog"))


def test_messages_of_others_are_one_short_line(tmp_path):
    path = weights_file(tmp_path)
    data = path.read_bytes()
    at = data.index(b'"F32"')
    bad = data[:at] + b'"' + b"a" * 3000 + b'"' + data[at + 5:]
    size = int.from_bytes(data[:8], "little") + 3000 - 3
    path.write_bytes(struct.pack("<Q", size) + bad[8:])
    sentence("is not a readable safetensors file|checksum",
             weights.load_model, path)


def test_every_network_of_the_presets_is_within_the_limits():
    for name in config.PRESETS:
        preset = config.get(name)
        values = json.loads(json.dumps(preset.to_dict()))
        assert config.from_dict(values) == preset


@pytest.fixture(scope="module")
def trained():
    """A network and its trainer, which have done one step."""
    net = models.build("dsod_tiny", 2, **SMALL)
    models.initialise(net)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9},
                            kvstore=None)
    with mx.autograd.record():
        loss = sum((part ** 2).mean() for part in
                   net(mx.nd.ones((2, 3, 65, 80))))
    loss.backward()
    trainer.step(1)
    return net, trainer


@pytest.mark.parametrize("changes", [
    dict(step="7"), dict(step=None), dict(counts=[1]), dict(counts={"x": 1}),
    dict(counts={"1": "1"}), dict(counts={"9" * 5000: 1})])
def test_checkpoints_whose_record_is_of_another_kind(tmp_path, trained,
                                                     changes):
    path = checkpoints.save_checkpoint(tmp_path, 1, *trained, {})
    tensors, facts = weights.load_tensors(path)
    weights.save_tensors(path, tensors, {**facts, **changes})
    said = sentence("is no training checkpoint", checkpoints.read_checkpoint,
                    path)
    assert said.startswith(str(path))


@pytest.mark.parametrize("text", [b"[]", b"", b"\xff{", b"[" * 100_000])
def test_checkpoints_whose_facts_are_no_dictionary(tmp_path, trained, text):
    path = checkpoints.save_checkpoint(tmp_path, 1, *trained, {})
    tensors, facts = weights.load_tensors(path)
    tensors["facts"] = np.frombuffer(text, np.uint8)
    weights.save_tensors(path, tensors, facts)
    sentence("is no training checkpoint", checkpoints.read_checkpoint, path)


@pytest.mark.parametrize("change", [
    lambda array: array[:1], lambda array: array.astype("int32"),
    lambda array: array[None]])
def test_checkpoints_whose_optimiser_has_another_form(tmp_path, trained,
                                                      change):
    path = checkpoints.save_checkpoint(tmp_path, 1, *trained, {})
    tensors, facts = weights.load_tensors(path)
    name = max((name for name in tensors if name.startswith("optimiser/")),
               key=lambda name: tensors[name].size)
    tensors[name] = change(tensors[name])
    weights.save_tensors(path, tensors, facts)
    sentence("does not fit this run: the optimiser's state of .* has another "
             "form", checkpoints.restore_checkpoint, checkpoints.read_checkpoint(path),
             *trained)


def test_a_detector_is_made_of_sound_weights(tmp_path):
    """What the faults above are changes of."""
    assert Detector.from_weights(weights_file(tmp_path)).classes == ("cat", "dog")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The newest checkpoint of a small run, and its bytes."""
    folder = tmp_path_factory.mktemp("run")
    small_runs.train(folder, steps=2, average=0.9)
    path = checkpoints.list_checkpoints(folder / "checkpoints")[-1]
    return path, path.read_bytes()


@pytest.mark.parametrize("change, words", [
    (lambda tensors, facts: facts.update(history=[1]), "lacks the history"),
    (lambda tensors, facts: facts.update(best=7), "or the best model"),
    (lambda tensors, facts: facts.update(seconds=None), "lacks .* the time"),
    (lambda tensors, facts: facts.pop("train"), "a run with other settings"),
    (lambda tensors, facts: [tensors.pop(name) for name in list(tensors)
                             if name.startswith("average/")],
     "holds no average of the weights")])
def test_runs_whose_checkpoint_lacks_something(stopped, change, words):
    path, data = stopped
    path.write_bytes(data)
    tensors, metadata = weights.load_tensors(path)
    facts = json.loads(tensors["facts"].tobytes())
    change(tensors, facts)
    tensors["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    weights.save_tensors(path, tensors, metadata)
    sentence(words, small_runs.train, path.parents[1], resume=True, steps=2,
             average=0.9)


@pytest.mark.parametrize("text", [b"", b"\xff", b"[" * 100_000, b"[1]",
                                  b'{"starts": 7}'])
def test_runs_whose_description_is_damaged(stopped, text):
    """The checkpoint has it all; the description is written anew."""
    path, data = stopped
    path.write_bytes(data)
    described = path.parents[1] / "run.json"
    described.write_bytes(text)
    small_runs.train(path.parents[1], resume=True, steps=2, average=0.9)
    assert len(json.loads(described.read_text())["starts"]) == 1


ROOT = Path(__file__).resolve().parents[1]


def run_hostile(*words):
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/hostile.py"), *words],
        capture_output=True, text=True, cwd=ROOT)


@pytest.mark.slow
def test_two_hundred_hostile_files_for_every_reader(tmp_path):
    """The beginning of `make test-hostile`, in one process."""
    text = (ROOT / "benchmarks/hostile_readers.py").read_text()
    readers = text[text.rindex("READERS"):text.rindex(")}")].split("(")[-1]
    readers = readers.replace(",", " ").split()
    done = run_hostile("--child", ",".join(readers), "0", "200",
                       str(tmp_path))
    assert len(readers) >= 20
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row for row in rows if row[2]] == []
    assert done.returncode == 0, (rows[-1:], done.stderr[-2000:])
    assert len(rows) == 200 * len(readers)
    refused = [row for row in rows if row[1] != "accepted"]
    assert len(refused) > len(rows) / 2


@pytest.mark.parametrize("fault, words", [
    ("raise KeyError(3)", "KeyError: 3"),
    ("raise ValueError('two\\nlines a.json')", "not one line"),
    ("raise ValueError('no name')", "does not name the file"),
    ("import os; os.mkdir('the_canary_sings')", "a payload was run"),
    ("open('/dev/null').read(); [0] * (1 << 29)", "MemoryError"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
     "the process ended: -11"),
    ("import signal; signal.setitimer(signal.ITIMER_PROF, 0.01)\n"
     "while True: pass", "the process ended: -27")])
def test_the_harness_sees_each_kind_of_failure(tmp_path, fault, words):
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import hostile_readers
def read():
    if read.calls:
        exec({fault!r})
    read.calls += 1
read.calls = 0
def coco_results(folder):
    return hostile_readers.Target(folder / "a.json", [b"[1]"], read)
hostile_readers.READERS = {{"coco_results": coco_results}}
sys.argv = [{str(ROOT / "benchmarks/hostile.py")!r}] + sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), "--child", "coco_results", "0", "1",
         str(tmp_path)], capture_output=True, text=True)
    said = done.stdout or f"the process ended: {done.returncode}"
    assert words in said, done.stderr[-2000:]


def test_messages_hide_nothing_of_a_file(tmp_path):
    """No line break, no escape sequence, and no endless quotation."""
    convert(Small(), f"coco:{tmp_path}")
    path = tmp_path / "annotations/instances_train.json"
    table = json.loads(path.read_text())
    table["images"][0]["file_name"] = "a\nb\x1b[2J" + "c" * 5000
    path.write_text(json.dumps(table))
    said = sentence("a.b.*there is no image", addresses.open_dataset,
                    f"coco:{path}")
    assert said.isprintable() and len(said) <= 400


@pytest.mark.parametrize("text", ["7", "{}", '{"-1": ""}', "null", "[[]]",
                                  '["a", ""]', '[""]', '"abc"'])
def test_names_in_json_that_are_no_list(tmp_path, text):
    convert(Small(), f"yolo:{tmp_path}")
    (tmp_path / "labels.json").write_text(text)
    if text == '["a", ""]':
        sentence("disagree", addresses.open_dataset, f"yolo:{tmp_path}")
        (tmp_path / "classes.txt").unlink()
        sentence("labels/b.txt", addresses.open_dataset, f"yolo:{tmp_path}")
    else:
        sentence("labels.json: expected class names", addresses.open_dataset,
                 f"yolo:{tmp_path}")
