"""Mutated annotation files: a clear error, or every object accounted for."""

import json
import re
import warnings
import xml.etree.ElementTree as tree

import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import IMAGES, Small

ROUNDS = 250         # mutated files of each format
TOKENS = [b"<", b">", b"&", b"\"", b"'", b",", b"\n", b"\r", b"\t", b"\0",
          b"{", b"}", b"[", b"]", b":", b"-", b".", b"0", b"1", b"999999999",
          b"1e999", b"nan", b"null", b"true", b"\xff", b"\xef\xbb\xbf",
          "½".encode(), b"../", b"/", b"\\", b" ", b"</object>", b"<object>",
          b"<!DOCTYPE a>", b"<![CDATA[", b"cat", b"1_0", b"0x10", b"-0", b""]


def mutated(data, rng):
    """Return the bytes with one to three small accidents."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(data) + 1))
        length = int(rng.integers(1, 30))
        kind = rng.integers(0, 5)
        token = TOKENS[rng.integers(0, len(TOKENS))]
        if kind == 0:
            data[at:at + length] = b""                      # cut
        elif kind == 1:
            data[at:at] = data[at:at + length]              # doubled
        elif kind == 2:
            data[at:at] = token
        elif kind == 3 and at < len(data):
            data[at:at + 1] = token
        elif at < len(data):
            data[at] ^= 1 << int(rng.integers(0, 8))        # a flipped bit
    return bytes(data)


def outcome(spec):
    """Open a set both ways; return what stops it, and what is skipped over.

    Nothing but a ValueError or an OSError of one sentence may come.
    """
    found, skipping = [], None
    for bad in ("error", "skip"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                skipping = addresses.open_dataset(spec, bad=bad)
            found.append(None)
        except (ValueError, OSError) as error:
            text = str(error)
            assert text and "\n" not in text and len(text) < 1000, text
            found.append(text)
            skipping = None
    return (*found, skipping)


def checked(spec, listed, objects):
    """Hold an outcome against independent counts of images and objects.

    Args:
        listed: number of images that the file names, or None if unknown.
        objects: number of objects in it, or None.
    """
    stopped, broken, skipping = outcome(spec)
    if stopped is None:
        whole = addresses.open_dataset(spec)
        assert len(skipping) + len(skipping.faults) == len(whole)
        if skipping.faults:         # a size that lies is seen when it is read
            with pytest.raises(ValueError, match="pixels, the image has"):
                [whole[row] for row in range(len(whole))]
        if objects is not None:
            assert sum(len(whole.entry(row).labels)
                       for row in range(len(whole))) == objects
        for row in range(len(whole)):
            boxes = whole.entry(row).boxes
            assert (boxes[:, :2] < boxes[:, 2:]).all() and not len(
                boxes) or (boxes.min() >= 0 and boxes.max() <= 1)
    elif broken is None:
        assert skipping.faults              # never left out without a word
        if listed is not None:
            assert len(skipping) + len(skipping.skipped) >= listed
    return stopped is not None


def run(tmp_path, spec, file, count, seed):
    """Mutate one file of a set many times; most must be found faulty."""
    sound = file.read_bytes()
    caught = 0
    for number in range(ROUNDS):
        data = mutated(sound, np.random.default_rng([seed, number]))
        file.write_bytes(data)
        caught += checked(spec, *count(data))
    file.write_bytes(sound)
    assert outcome(spec)[0] is None
    assert caught > ROUNDS // 4
    return caught


def test_voc(tmp_path):
    convert(Small(), f"voc:{tmp_path}")

    def count(data):
        try:
            root = tree.fromstring(data)
        except (tree.ParseError, ValueError, LookupError):
            return len(IMAGES), None
        return len(IMAGES), len(root.findall("object")) + 3
    run(tmp_path, f"voc:{tmp_path}", tmp_path / "Annotations/b.xml", count, 1)


def test_image_sets(tmp_path):
    convert(Small(), f"voc:{tmp_path}")
    run(tmp_path, f"voc:{tmp_path}", tmp_path / "ImageSets/Main/train.txt",
        lambda data: (None, None), 2)


def test_lists(tmp_path):
    convert(Small(), f"voc:{tmp_path}")
    (tmp_path / "a.lst").write_text("".join(
        f"JPEGImages/{name}\tAnnotations/{name[:-4]}.xml\n"
        for name, *_ in IMAGES))
    run(tmp_path, f"list:{tmp_path}/a.lst", tmp_path / "a.lst",
        lambda data: (None, None), 3)


def test_coco(tmp_path):
    path = convert(Small(), f"coco:{tmp_path}").path

    def count(data):
        try:
            table = json.loads(data.decode("utf-8-sig"))
            return len(table["images"]), len(table["annotations"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None, None
    file = tmp_path / "annotations/instances_train.json"
    assert str(file) == path
    run(tmp_path, f"coco:{path}", file, count, 4)


def test_csv(tmp_path):
    path = convert(Small(), f"csv:{tmp_path}/a.csv").path

    def count(data):
        # Quoting and line ends change what a row is: count plain files only.
        text = data.decode("latin-1")
        if re.search("[\"\r\0\x0b\x0c\x1c-\x1e\x85]", text):
            return None, None
        rows = [row for row in text.split("\n")[1:] if row.strip(", ")]
        bare = [row for row in rows if not any(
            cell.strip() for cell in row.split(",")[1:6])]
        return None, len(rows) - len(bare)
    run(tmp_path, f"csv:{path}", tmp_path / "a.csv", count, 5)


def test_yolo(tmp_path):
    convert(Small(), f"yolo:{tmp_path}")
    for name, seed in (("labels/b.txt", 6), ("flags.csv", 7)):
        def count(data, name=name):
            if name != "labels/b.txt":
                return len(IMAGES), 6 if name == "flags.csv" else None
            try:
                lines = data.decode("utf-8-sig").splitlines()
            except ValueError:
                return len(IMAGES), None
            return len(IMAGES), 3 + sum(bool(line.strip()) for line in lines)
        run(tmp_path, f"yolo:{tmp_path}", tmp_path / name, count, seed)


@pytest.mark.parametrize("name", ["classes.txt", "labels.json"])
def test_class_names(tmp_path, name):
    convert(Small(), f"yolo:{tmp_path}")
    if name == "labels.json":
        (tmp_path / name).write_text(json.dumps(Small.classes))
    file = tmp_path / name
    sound = file.read_bytes()
    for number in range(ROUNDS):
        file.write_bytes(mutated(sound, np.random.default_rng([9, number])))
        outcome(f"yolo:{tmp_path}")


def test_bits_of_images(tmp_path):
    """A damaged image is found when a set is opened to skip what is bad."""
    convert(Small(), f"yolo:{tmp_path}")
    file = tmp_path / "images/b.jpg"
    sound = file.read_bytes()
    for number in range(60):
        rng = np.random.default_rng([10, number])
        file.write_bytes(sound[:int(rng.integers(0, len(sound)))])
        stopped, broken, skipping = outcome(f"yolo:{tmp_path}")
        assert broken is None and len(skipping) == 3
        assert "images/b.jpg" in skipping.skipped[0].reason
