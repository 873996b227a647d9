"""MXNet's .params files: the arrays MXNet saved, or one sentence."""

import struct

import dsod_d2l  # noqa: F401  (prepares MXNet)
import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon

from dsod_d2l import models, weights
from dsod_d2l.workbench.pretrained.params_file import load_params

SMALL = dict(stem=4, bottleneck=8, growth=4, layers=(1, 1, 1), second=4,
             predictions=(4, 4, 4), input_size=(65, 80))
HEAD = struct.pack("<QQ", 0x112, 0)


def same(found, wanted):
    """Names in order, shapes, types and every number."""
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        array = np.asarray(array)
        assert found[name].dtype == array.dtype and found[name].flags.writeable
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "uint8",
                                  "int32", "int8", "int64", "bool"])
def test_every_kind_that_mxnet_saves(tmp_path, kind):
    rng = np.random.default_rng(1)
    arrays = {"b": rng.normal(size=(2, 3, 5)) * 50, "a": np.array([[-1, 0]])}
    arrays = {name: array.astype(kind) for name, array in arrays.items()}
    path = tmp_path / "a.params"
    mx.nd.save(str(path), {name: mx.nd.array(array, dtype=kind)
                           for name, array in arrays.items()})
    same(load_params(path), arrays)


def array_bytes(shape, kind, data, magic=0xF993FAC9, axes=None):
    """Return one array as the file holds it."""
    storage = b"" if magic == 0xF993FAC8 else struct.pack("<i", 0)
    axes = len(shape) if axes is None else axes
    return (struct.pack("<I", magic) + storage
            + struct.pack(f"<i{len(shape)}q", axes, *shape)
            + struct.pack("<iii", 1, 0, kind) + data)


def file_bytes(*arrays, names=("x",)):
    """Return a whole file."""
    return b"".join([HEAD, struct.pack("<Q", len(arrays)), *arrays,
                     struct.pack("<Q", len(names)),
                     *(struct.pack("<Q", len(name)) + name.encode()
                       for name in names)])


@pytest.mark.parametrize("kind, dtype", [(8, "int16"), (9, "uint16"),
                                         (10, "uint32"), (11, "uint64")])
def test_kinds_that_others_write(tmp_path, kind, dtype):
    values = np.array([[7, 1, 2 ** 15 - 1]], dtype)
    (tmp_path / "a.params").write_bytes(
        file_bytes(array_bytes((1, 3), kind, values.tobytes())))
    same(load_params(tmp_path / "a.params"), {"x": values})


def test_the_first_version_of_the_format(tmp_path):
    """MXNet reads the bytes of this test too, and takes them for the same."""
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = tmp_path / "a.params"
    path.write_bytes(file_bytes(array_bytes((3, 2), 0, values.tobytes(),
                                            magic=0xF993FAC8)))
    same({name: array.asnumpy()
          for name, array in mx.nd.load(str(path)).items()}, {"x": values})
    same(load_params(path), {"x": values})


def test_no_axes_and_axes_of_length_zero(tmp_path):
    path = tmp_path / "a.params"
    with mx.util.np_shape(True), mx.util.np_array(True):
        mx.npx.save(str(path), {"scalar": mx.np.array(3.5),
                                "empty": mx.np.zeros((0, 3)),
                                "plain": mx.np.ones((1, 2))})
    same(load_params(path), {"scalar": np.float32(3.5),
                             "empty": np.zeros((0, 3), np.float32),
                             "plain": np.ones((1, 2), np.float32)})


@pytest.mark.parametrize("saved", [[(2, 3), (1,)], []])
def test_arrays_without_names_are_numbered(tmp_path, saved):
    mx.nd.save(str(tmp_path / "a"), [mx.nd.ones(shape) for shape in saved])
    same(load_params(tmp_path / "a"),
         {str(row): np.ones(shape, np.float32)
          for row, shape in enumerate(saved)})


def test_a_network_of_gluon(tmp_path):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(8, 3), gluon.nn.BatchNorm(), gluon.nn.PReLU(),
            gluon.nn.Dense(5))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(mx.nd.random.normal(shape=(2, 3, 9, 7)))
    wanted = {name: parameter.data().asnumpy() for name, parameter
              in net._collect_params_with_prefix().items()}
    net.save_parameters(str(tmp_path / "a.params"))
    same(load_params(tmp_path / "a.params"), wanted)

    net.export(str(tmp_path / "b"))
    found = load_params(tmp_path / "b-0000.params")
    assert {name[:4] for name in found} == {"arg:", "aux:"}
    wanted = {name: parameter.data().asnumpy() for name, parameter
              in net.collect_params().items()}
    plain = load_params(tmp_path / "b-0000.params", plain_names=True)
    same(dict(sorted(plain.items())), dict(sorted(wanted.items())))


def test_half_precision_and_a_network_of_ours(tmp_path):
    """The way from such a file to one of safetensors, as the book gives it."""
    net = models.build("dsod_tiny", 2, **SMALL)
    models.initialise(net)
    x = mx.nd.random.normal(shape=(1, 3, 65, 80))
    before = net(x)[0].asnumpy()
    net.save_parameters(str(tmp_path / "a.params"))
    other = models.build("dsod_tiny", 2, **SMALL)
    weights.fill(other, load_params(tmp_path / "a.params"), "a.params")
    np.testing.assert_array_equal(other(x)[0].asnumpy(), before)
    net.cast("float16")
    net.save_parameters(str(tmp_path / "b.params"))
    kinds = {array.dtype.name for array in
             load_params(tmp_path / "b.params").values()}
    assert "float16" in kinds


SOUND = array_bytes((2, 1), 0, bytes(8))
BAD = {
    "its first bytes are others": b"PK\x03\x04" + bytes(40),
    "its first bytes are": b"",
    "byte 24: the number of names takes 8": HEAD[:8] + bytes(16),
    "byte 24: expected the start of array 0, found 0x0":
        HEAD + struct.pack("<QQ", 1, 0),
    "expected at most 0 arrays.*found the number 255":
        HEAD + b"\xff" + bytes(7),
    "expected at most 7 arrays": HEAD + b"\xff" * 8 + bytes(28),
    "expected the start of array 0, found 0x4":
        HEAD + struct.pack("<QI", 1, 4) + bytes(9),
    "array 0 is sparse.*1": HEAD + struct.pack("<QIi", 1, 0xF993FAC9, 1),
    "array 0 has 33 axes": file_bytes(array_bytes((2,), 0, b"", axes=33)),
    "array 0 has -1 axes": file_bytes(array_bytes((2,), 0, b"", axes=-1)),
    "array 0 has 0 axes; expected 1": file_bytes(array_bytes((), 0, b"")),
    r"array 0 cannot have the shape \(2, -1\)":
        file_bytes(array_bytes((2, -1), 0, b"")),
    r"array 0 cannot have the shape \(0, 2\)":
        file_bytes(array_bytes((0, 2), 0, b"")),
    r"array 0 cannot have the shape \(0, 4294967296, 4294967296\)":
        file_bytes(array_bytes((0, 1 << 32, 1 << 32), 0, b"", 0xF993FACA)),
    r"array 0 cannot have the shape \(4294967296, 4294967296\)":
        file_bytes(array_bytes((1 << 32, 1 << 32), 0, b"")),
    r"array 0 of shape \(1000000, 9\) takes 36000000 bytes, but":
        file_bytes(array_bytes((1000000, 9), 0, b"")),
    r"kind 12 \(bfloat16\)": file_bytes(array_bytes((1,), 12, b"ab")),
    "kind -1; expected": file_bytes(array_bytes((1,), -1, b"abcd")),
    "truth value other": file_bytes(array_bytes((3,), 7, b"\0\1\2")),
    "the length of name 0 takes 8|at most 0 names":
        file_bytes(SOUND)[:-9] + bytes(2),
    "name 0 takes 200 bytes, but the file ends after 1":
        file_bytes(SOUND)[:-9] + struct.pack("<Q", 200) + b"x",
    "name 0 is not UTF-8": file_bytes(SOUND)[:-1] + b"\xff",
    "found 5 more bytes": file_bytes(SOUND) + bytes(5),
    "expected 2 different names.*found 1":
        file_bytes(SOUND, SOUND, names=("x",)),
    "expected 2 different names.*found 2, 1 of":
        file_bytes(SOUND, SOUND, names=("x", "x")),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_wrong_is_one_sentence(tmp_path, words):
    path = tmp_path / "bad.params"
    path.write_bytes(BAD[words])
    with pytest.raises(ValueError, match=words) as caught:
        load_params(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_shorter_file_is_refused(tmp_path):
    path = tmp_path / "bad.params"
    whole = file_bytes(SOUND, array_bytes((3,), 3, b"abc"), names=("x", "yz"))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="bad.params"):
            load_params(path)
    path.write_bytes(whole)
    assert load_params(path)["yz"].tolist() == [97, 98, 99]


def test_names_that_become_the_same(tmp_path):
    mx.nd.save(str(tmp_path / "a"), {"arg:x": mx.nd.ones(1),
                                     "aux:x": mx.nd.ones(1)})
    assert len(load_params(tmp_path / "a")) == 2
    with pytest.raises(ValueError, match="two arrays have the same name"):
        load_params(tmp_path / "a", plain_names=True)


def test_sparse_arrays_and_missing_files(tmp_path):
    mx.nd.save(str(tmp_path / "a"), {
        "x": mx.nd.ones((2, 3)).tostype("row_sparse")})
    with pytest.raises(ValueError, match="array 0 is sparse.*only dense"):
        load_params(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="nowhere.params"):
        load_params(tmp_path / "nowhere.params")


def test_where_weights_are_expected_it_says_what_to_do(tmp_path):
    path = tmp_path / "a.params"
    mx.nd.save(str(path), {"x": mx.nd.ones((2, 3))})
    with pytest.raises(ValueError, match=r"a.params is a \.params file of "
                       "MXNet.*load_params.*save_weights") as caught:
        weights.load_model(path)
    assert "\n" not in str(caught.value)
