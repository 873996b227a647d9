"""Every reader of files, with sound files to begin from."""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
from PIL import Image

import common

sys.path[:0] = [str(common.ROOT), str(common.ROOT / "tests")]
import hostile_mutations as mutations  # noqa: E402

NETWORK = dict(stem=4, bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
               predictions=(4, 4, 4), input_size=(65, 80))


class Target(NamedTuple):
    """A file, sound versions of it, what reads it, and its own mutations."""

    path: Path
    seeds: list
    read: Callable
    structured: Callable | None = None


def _network():
    from dsod_d2l import models
    net = models.build("dsod_tiny", 2, **NETWORK)
    models.initialise(net)
    return net


def weights(folder):
    """Weights, as ``Detector.from_weights`` reads them."""
    from dsod_d2l import weights
    from dsod_d2l.detection import Detector
    path = folder / "w.safetensors"
    weights.save_weights(path, _network(), ("cat", "dog"), best={"AP": 1})
    return Target(path, [path.read_bytes()],
                  lambda: Detector.from_weights(path),
                  mutations.resealed_tensors)


def start(folder):
    """Weights, as training begins from them."""
    from dsod_d2l.workbench.pretrained.transfer import start_from
    target, net = weights(folder), _network()

    def read():
        start_from(net, target.path, ("cat", "dog"))
    return target._replace(read=read)


def checkpoint(folder):
    """A checkpoint, and what a run takes from it."""
    import mxnet as mx
    from mxnet import gluon

    from dsod_d2l.workbench.runs import checkpoints
    from dsod_d2l.workbench.runs import run_folder
    net = _network()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"momentum": 0.9},
                            kvstore=None)
    with mx.autograd.record():
        loss = sum(part.sum() for part in net(mx.nd.ones((1, 3, 65, 80))))
    loss.backward()
    trainer.step(1)
    path = checkpoints.save_checkpoint(folder, 1, net, trainer, {
        "best": {"step": 1, "AP": 0.5, "AP50": 1.0}, "seconds": 1.5,
        "history": [{"step": 1, "loss": 2.5}], "train": {"seed": 1}})

    def read():
        found = checkpoints.read_checkpoint(path)
        if not run_folder._sound(found.facts):
            raise ValueError(f"{path} lacks facts")
        checkpoints.restore_checkpoint(found, net, trainer)
    return Target(path, [path.read_bytes()], read, mutations.resealed_facts)


def params(folder):
    """MXNet's .params."""
    import mxnet as mx

    from dsod_d2l.workbench.pretrained.params_file import load_params
    path = folder / "a.params"
    seeds = []
    _network().save_parameters(str(path))
    seeds.append(path.read_bytes())
    for kind in ("float16", "int8", "bool"):
        mx.nd.save(str(path), {"arg:a": mx.nd.ones((2, 3), dtype=kind),
                               "aux:b": mx.nd.ones((1,))})
        seeds.append(path.read_bytes())
    with mx.util.np_shape(True), mx.util.np_array(True):
        mx.npx.save(str(path), {"s": mx.np.array(3.5)})
    return Target(path, [*seeds, path.read_bytes()],
                  lambda: load_params(path, plain_names=True))


def run_json(folder):
    """The description in the folder of a run."""
    from dsod_d2l.workbench.runs import run_folder as folders
    path = folder / "run.json"
    folders.describe_run(folder, {"train": {"seed": 1}, "classes": ["a"]}, 0)

    def read():
        folders.read_description(folder)
        folders.describe_run(folder, {}, 1)
    return Target(path, [path.read_bytes()], read, mutations.swapped_json)


def _records(folder):
    from dsod_d2l.workbench.formats.conversion import convert
    from small_sets import Small
    convert(Small(), f"rec:{folder / 'a.rec'}")
    return folder / "a.rec"


def _read_all(spec):
    """Open a data set both ways and read all its images."""
    from dsod_d2l.workbench.formats import addresses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            addresses.open_dataset(spec, bad="skip")
        except (ValueError, OSError) as error:
            _check_words(error)
        whole = addresses.open_dataset(spec)
        for row in range(len(whole)):
            sample = whole[row]
            boxes = sample.boxes
            assert sample.image.dtype == np.uint8 and sample.image.ndim == 3
            assert not len(boxes) or (
                boxes.min() >= 0 and boxes.max() <= 1
                and (boxes[:, :2] < boxes[:, 2:]).all()), boxes


def _check_words(error):
    text = str(error)
    assert text and "\n" not in text, f"no sentence: {text!r}"


def record(folder):
    """A .rec file without its index."""
    path = _records(folder)
    seeds = [path.read_bytes()]

    def read():
        path.with_suffix(".idx").unlink(missing_ok=True)
        _read_all(f"rec:{path}")
    return Target(path, seeds, read)


def index(folder):
    """The .idx of a sound .rec."""
    path = _records(folder)
    return Target(path.with_suffix(".idx"),
                  [path.with_suffix(".idx").read_bytes()],
                  lambda: _read_all(f"rec:{path}"))


def record_list(folder):
    """The .lst beside a .rec, from which the names come."""
    from dsod_d2l.workbench.formats import addresses
    path = _records(folder)
    whole = addresses.open_dataset(f"rec:{path}")

    def read():
        whole._names = None
        [whole.entry(row) for row in range(len(whole))]
    return Target(path.with_suffix(".lst"),
                  [path.with_suffix(".lst").read_bytes()
                   if path.with_suffix(".lst").is_file()
                   else b"0\t1\ta.jpg\n1\t0\tb.jpg\n2\t4\tdeep/c.png\n"], read)


def _pictures(folder, kinds, structured=None):
    from small_sets import picture

    from dsod_d2l.datasets import pictures
    path, seeds = folder / "a.jpg", []
    for kind, mode, options in kinds:
        file = io.BytesIO()
        plain = Image.fromarray(picture(21, 34))
        if mode.startswith("I"):
            plain = plain.convert("I")
        plain.convert(mode).save(file, kind, **options)
        seeds.append(file.getvalue())

    def read():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                pictures.read_size(path)
            except ValueError as error:
                _check_words(error)
            pixels = pictures.read_image(path)
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size
        assert pixels.dtype == np.uint8
    return Target(path, seeds, read, structured)


def _exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def jpeg(folder):
    """JPEG: plain, progressive, grey, CMYK, turned by its EXIF."""
    return _pictures(folder, [
        ("JPEG", "RGB", {}), ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "L", {}), ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"exif": _exif()})])


def png(folder):
    """PNG: plain, grey, palette, transparent, 16 bits."""
    return _pictures(folder, [
        ("PNG", "RGB", {}), ("PNG", "L", {}), ("PNG", "P", {}),
        ("PNG", "RGBA", {}), ("PNG", "I;16", {}),
        ("PNG", "1", {"exif": _exif()})], mutations.resealed_png)


def other_images(folder):
    """BMP, GIF, TIFF and WebP."""
    return _pictures(folder, [
        ("BMP", "RGB", {}), ("BMP", "P", {}), ("GIF", "P", {}),
        ("TIFF", "RGB", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "1", {"compression": "group4"}),
        ("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True})])


def _set(folder, spec, name, structured=None, opened=None):
    """A file of a small data set that is otherwise sound."""
    from dsod_d2l.workbench.formats.conversion import convert
    from small_sets import Small
    convert(Small(), spec)
    (folder / "secret.txt").write_text("SECRET")
    path = folder / name
    return Target(path, [path.read_bytes()],
                  lambda: _read_all(opened or spec), structured)


def voc_xml(folder):
    """An XML file of a VOC folder."""
    return _set(folder, f"voc:{folder}", "Annotations/b.xml")


def image_set(folder):
    """A list of images of a VOC folder."""
    return _set(folder, f"voc:{folder}", "ImageSets/Main/train.txt")


def coco_json(folder):
    """A COCO file."""
    name = "annotations/instances_train.json"
    return _set(folder, f"coco:{folder}", name, mutations.swapped_json,
                f"coco:{folder / name}")


def csv(folder):
    """A CSV file."""
    return _set(folder, f"csv:{folder / 'a.csv'}", "a.csv")


def yolo_text(folder):
    """A text file of a YOLO folder."""
    return _set(folder, f"yolo:{folder}", "labels/b.txt")


def yolo_flags(folder):
    """The flags beside a converted YOLO folder."""
    return _set(folder, f"yolo:{folder}", "flags.csv")


def yolo_yaml(folder):
    """The names of a YOLO folder, in YAML."""
    target = _set(folder, f"yolo:{folder}", "classes.txt")
    names = target.path.read_text().splitlines()
    target.path.unlink()
    texts = [json.dumps({"names": names}, indent=1),
             "path: x\nnames:\n" + "".join(
                 f"  {row}: {json.dumps(name)}\n"
                 for row, name in enumerate(names))]
    return target._replace(path=folder / "data.yaml",
                           seeds=[text.encode() for text in texts])


def class_names(folder):
    """The names of a YOLO folder, in JSON."""
    target = _set(folder, f"yolo:{folder}", "classes.txt")
    names = json.dumps(target.path.read_text().splitlines()).encode()
    return target._replace(path=folder / "labels.json", seeds=[names],
                           structured=mutations.swapped_json)


def pair_list(folder):
    """A list of pairs."""
    from small_sets import IMAGES
    target = _set(folder, f"voc:{folder}", "Annotations/b.xml")
    path = folder / "a.lst"
    rows = "".join(f"JPEGImages/{name}\tAnnotations/{name[:-4]}.xml\n"
                   for name, *_ in IMAGES)
    return target._replace(path=path, seeds=[rows.encode()],
                           read=lambda: _read_all(f"list:{path}"))


def _results():
    from dsod_d2l.detection import Detections
    boxes = np.array([[0.1, 0.2, 0.5, 0.75], [0, 0, 1, 1]], np.float32)
    return [Detections(np.array([0, 1]), np.array([0.5, 0.25], np.float32),
                       boxes, (40, 60))] * 2


def coco_results(folder):
    """Detections in COCO's file of results."""
    from dsod_d2l.workbench.reports import result_files
    path = folder / "a.json"
    result_files.write_coco(path, _results(), [3, 7], [1, 5])
    return Target(path, [path.read_bytes()],
                  lambda: result_files.read_coco(path, [3, 7], [(40, 60)] * 2,
                                                 [1, 5]),
                  mutations.swapped_json)


def voc_results(folder):
    """Detections in VOC's files of results."""
    from dsod_d2l.workbench.reports import result_files
    names, classes = ["a", "b"], ["cat", "dog"]
    path = result_files.write_voc(folder, _results(), names, classes)[0]
    return Target(path, [path.read_bytes()],
                  lambda: result_files.read_voc(folder, names, [(40, 60)] * 2,
                                                classes))


def caffe_value(folder):
    """One value of a database of Caffe; LMDB itself trusts its pages."""
    import lmdb
    from test_caffe_lmdb import ROWS
    value = folder / "value.bin"

    def read():
        place = folder / "lmdb"
        place.mkdir(exist_ok=True)
        (place / "data.mdb").unlink(missing_ok=True)
        with lmdb.open(str(place), map_size=1 << 22, sync=False) as database:
            with database.begin(write=True) as view:
                view.put(b"00000000_a.png", value.read_bytes())
        _read_all(f"lmdb:{place}?classes=cat,dog")
    return Target(value, [row for _, row in ROWS], read)


def labelmap(folder):
    """The names of a database of Caffe."""
    from dsod_d2l.workbench.formats.caffe_lmdb import read_labelmap
    from test_caffe_lmdb import LABELMAP
    path = folder / "labelmap_voc.prototxt"
    return Target(path, [LABELMAP.encode()], lambda: read_labelmap(path))


READERS = {function.__name__: function for function in (
    weights, start, checkpoint, params, run_json, record, index, record_list,
    jpeg, png, other_images, voc_xml, image_set, coco_json, csv, yolo_text,
    yolo_flags, yolo_yaml, class_names, pair_list, coco_results, voc_results,
    caffe_value, labelmap)}
