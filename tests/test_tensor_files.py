"""Files of tensors: whole or not at all, and every change is noticed."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from dsod_d2l import files, weights

ROOT = Path(__file__).resolve().parents[1]
TENSORS = {"a": np.arange(6, dtype="float32").reshape(2, 3),
           "b": np.array([7, -1], dtype="int64"), "none": np.zeros((0, 4))}
FACTS = {"classes": ["cat", "\"checksum\":\"" + "0" * 64], "step": 3}


@pytest.fixture
def path(tmp_path):
    weights.save_tensors(tmp_path / "t.safetensors", TENSORS, FACTS)
    return tmp_path / "t.safetensors"


def test_arrays_and_facts_come_back(path):
    tensors, facts = weights.load_tensors(path)
    assert facts == FACTS and set(tensors) == set(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].dtype == array.dtype


def test_the_checksum_is_that_of_the_file_with_a_blank(path):
    """By hand: SHA-256 of all bytes, the 64 of the checksum being zeros."""
    import hashlib
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    stored = json.loads(data[8:8 + size])["__metadata__"]["checksum"]
    assert data.count(stored.encode()) == 1
    blank = data.replace(stored.encode(), b"0" * 64)
    assert hashlib.sha256(blank).hexdigest() == stored


def test_every_changed_byte_is_noticed(path):
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8])
                         + data[at + 1:])
        with pytest.raises(ValueError, match="t.safetensors"):
            weights.load_tensors(path)


def test_a_cut_or_longer_file_is_noticed(path):
    data = path.read_bytes()
    for changed in [data[:at] for at in range(0, len(data), 7)] + [
            data + b"\0", data + data, b"\0" * len(data)]:
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="t.safetensors"):
            weights.load_tensors(path)


@pytest.mark.parametrize("header", [
    b"[" * 100_000, b"[]", b"1", b"null", b'{"__metadata__": [1]}',
    b'{"__metadata__": {"format": "dsod_d2l 1", "x": "' + b"[" * 9999
    + b'"}}', b'{"__metadata__": {"format": ["dsod_d2l 2"]}}', b"\xff\xfe"])
def test_a_strange_header_is_one_clear_error(tmp_path, header):
    path = tmp_path / "t.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="t.safetensors"):
        weights.load_tensors(path)


def test_files_of_format_1_have_no_checksum_and_load(tmp_path):
    path = tmp_path / "old.safetensors"
    path.write_bytes(save({"a": TENSORS["a"]},
                          {"format": "dsod_d2l 1", "step": "3"}))
    tensors, facts = weights.load_tensors(path)
    assert facts == {"step": 3}
    np.testing.assert_array_equal(tensors["a"], TENSORS["a"])


def test_the_module_needs_no_mxnet():
    code = ("import sys, dsod_d2l.weights\n"
            "assert 'mxnet' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_views_that_are_not_contiguous_come_back_right(tmp_path):
    array = np.arange(24, dtype="float32").reshape(2, 3, 4)
    views = {"turned": array.transpose(2, 0, 1), "strided": array[:, ::2],
             "scalar": np.float32(3), "fortran": np.asfortranarray(array)}
    weights.save_tensors(tmp_path / "v.safetensors", views, {})
    loaded, _ = weights.load_tensors(tmp_path / "v.safetensors")
    for name, view in views.items():
        np.testing.assert_array_equal(loaded[name], view)
        assert loaded[name].shape == np.shape(view)


def test_nothing_is_pickled(tmp_path):
    weights.save_tensors(tmp_path / "w.safetensors",
                              {"x": np.ones((2, 3))}, {"note": "text"})
    text = (tmp_path / "w.safetensors").read_bytes()
    assert int.from_bytes(text[:8], "little") < len(text)
    assert text[8:9] == b"{"


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, where):
    path = tmp_path / "w.safetensors"
    files.write_atomically(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(files.os, where, full)
    with pytest.raises(OSError, match="No space left.*untouched") as caught:
        files.write_atomically(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"),
                    reason="this system has no /dev/full")
def test_a_disk_that_is_really_full_is_named(tmp_path, monkeypatch):
    (tmp_path / f".w.safetensors.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="w.safetensors was not written"):
        files.write_atomically(tmp_path / "w.safetensors", b"x" * 9)


FULL = """
import json, sys
from dsod_d2l import files
path, old, new = sys.argv[1], b"o" * 50_000, b"n" * 50_000
files.write_atomically(path, old)
try:
    files.write_atomically(path, new)
except OSError as error:
    print(json.dumps([error.errno, str(error)]))
assert open(path, "rb").read() == old
"""


@pytest.mark.skipif(not shutil.which("unshare") or subprocess.run(
    ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"],
    capture_output=True).returncode != 0,
    reason="a small disk cannot be mounted here")
def test_a_small_disk_that_fills_up_keeps_the_old_file(tmp_path):
    script = tmp_path / "full.py"
    script.write_text(FULL)
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=80k none disk '
         '&& exec "$0" full.py disk/w && ls disk', sys.executable],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    number, text = json.loads(done.stdout)
    assert number == errno.ENOSPC and "No space left" in text, done.stderr
    assert "disk/w was not written" in text


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w"
    files.write_atomically(path, b"old")

    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(files.os, "replace", stop)
    with contextlib.suppress(KeyboardInterrupt):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["w"]


def test_a_file_is_written_whole_or_not_at_all_piece_by_piece(tmp_path):
    path = tmp_path / "new" / "folder" / "w"
    with files.replacing(path) as file:
        file.write(b"one ")
        assert not path.exists()
        file.write(b"two")
    assert path.read_bytes() == b"one two"
    with pytest.raises(RuntimeError), files.replacing(path) as file:
        file.write(b"half")
        raise RuntimeError("stopped")
    assert path.read_bytes() == b"one two"
    assert [one.name for one in path.parent.iterdir()] == ["w"]


def test_a_source_that_cannot_be_read_is_not_said_to_be_the_target(tmp_path):
    for source, error in ((tmp_path / "none", FileNotFoundError),
                          (tmp_path, IsADirectoryError)):
        with pytest.raises(error) as caught, files.replacing(
                tmp_path / "w") as file:
            file.write(source.read_bytes())
        assert "was not written" not in str(caught.value)
    with pytest.raises(OSError, match="^a sentence$"), files.replacing(
            tmp_path / "w"):
        raise OSError("a sentence")
    assert not list(tmp_path.iterdir())
