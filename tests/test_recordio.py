"""recordio: equal to MXNet's on good files, and an error on every bad one."""

import multiprocessing
import os
import pickle
import struct

import cv2
import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.datasets import recordio, records
from dsod_d2l.datasets.recordio import RecordReader, write_payloads
from dsod_d2l.datasets.records import write_records

MAGIC = struct.pack("<I", recordio.MAGIC)
PAYLOADS = [b"", b"a", b"four", b"seven..", bytes(range(256)) * 3,
            MAGIC, MAGIC + MAGIC, MAGIC + b"x", b"1234" + MAGIC,
            b"1234" + MAGIC + b"567", b"12" + MAGIC + b"3456",
            MAGIC + b"ab" + MAGIC + b"cd" + MAGIC,
            b"1234" + MAGIC + MAGIC + b"56781", MAGIC[:3], b"12345678" + MAGIC]


@pytest.fixture(scope="module")
def mx():
    return pytest.importorskip("mxnet")


def jpeg(height=20, width=30, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3),
                                                  dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def spoil(path, position, value):
    data = bytearray(path.read_bytes())
    data[position:position + len(value)] = value
    path.write_bytes(data)


def random_payloads(count=200):
    """Payloads in which the magic number is frequent, aligned or not."""
    rng = np.random.default_rng(7)
    pieces = [MAGIC, b"\x00", b"ab", b"wxyz", MAGIC[:2]]
    return [b"".join(pieces[k] for k in rng.integers(0, 5, rng.integers(9)))
            for _ in range(count)]


def test_writes_the_same_bytes_as_mxnet(mx, tmp_path):
    payloads = PAYLOADS + random_payloads()
    theirs = mx.recordio.MXIndexedRecordIO(str(tmp_path / "mx.idx"),
                                           str(tmp_path / "mx.rec"), "w")
    for key, payload in enumerate(payloads):
        theirs.write_idx(key, payload)
    theirs.close()
    assert write_payloads(tmp_path / "own.rec", payloads) == len(payloads)
    for suffix in (".rec", ".idx"):
        assert ((tmp_path / f"own{suffix}").read_bytes()
                == (tmp_path / f"mx{suffix}").read_bytes())


def test_reads_the_same_as_mxnet(mx, tmp_path):
    payloads = PAYLOADS + random_payloads()
    path = tmp_path / "a.rec"
    write_payloads(path, payloads)
    own = RecordReader(path)
    theirs = mx.recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")),
                                           str(path), "r")
    assert own.keys == theirs.keys
    for key, payload in enumerate(payloads):
        assert own[key] == payload
        assert theirs.read_idx(key) == payload
    plain = mx.recordio.MXRecordIO(str(path), "r")
    assert [plain.read() for _ in payloads] == payloads
    assert plain.read() is None


@pytest.mark.parametrize("label", [3.0, [1.5], [4, 5, 9, 7, 0, .1, .2, .3, 1]])
def test_unpack_equals_mxnet(mx, label):
    payload = records.pack(records.Head(0, label, 12, 7), b"data")
    head, image = records.unpack(payload, "a record")
    theirs, their_image = mx.recordio.unpack(payload)
    assert image == their_image == b"data"
    assert (head.flag, head.id, head.id2) == (theirs.flag, theirs.id,
                                              theirs.id2)
    np.testing.assert_array_equal(head.label, theirs.label)


def test_mxnets_detection_iterator_reads_what_is_written(mx, tmp_path):
    boxes = [[[.1, .2, .5, .9]], [[0, 0, 1, .5], [.25, .5, .75, 1]]]
    items = [(boxes[0], [1], jpeg()), (boxes[1], [0, 2], jpeg(seed=1))]
    path = tmp_path / "a.rec"
    done = []
    write_records(path, items, progress=done.append)
    assert done == [1, 2]
    iterator = mx.image.ImageDetIter(
        batch_size=2, data_shape=(3, 20, 30), path_imgrec=str(path),
        path_imgidx=str(path.with_suffix(".idx")))
    batch = iterator.next()
    labels = batch.label[0].asnumpy()
    np.testing.assert_allclose(labels[0], [[1, .1, .2, .5, .9], [-1] * 5],
                               rtol=1e-6)
    np.testing.assert_allclose(labels[1, :, 1:], boxes[1])
    assert batch.data[0].shape == (2, 3, 20, 30)


def test_label_holds_width_before_height(tmp_path):
    write_records(tmp_path / "a.rec", [([], [], jpeg(20, 30))])
    head, _ = records.unpack(RecordReader(tmp_path / "a.rec")[0], "it")
    assert head.label.tolist() == [4, 5, 30, 20]


def test_real_records_equal_mxnets(mx):
    folder = os.environ.get("DSOD_REAL_DATA")
    if not folder:
        pytest.skip("DSOD_REAL_DATA is not set")
    own = RecordReader(os.path.join(folder, "pikachu", "val.rec"))
    theirs = mx.recordio.MXRecordIO(str(own.path), "r")
    assert len(own) == 100
    for position in range(len(own)):
        payload = theirs.read()
        assert own[position] == payload
        head, image = records.unpack(payload, "it")
        expected, data = mx.recordio.unpack(payload)
        assert image == data
        np.testing.assert_array_equal(head.label, expected.label)
    assert theirs.read() is None


def test_missing_index_is_rebuilt_and_written(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, PAYLOADS)
    index = path.with_suffix(".idx")
    before = index.read_bytes()
    index.unlink()
    reader = RecordReader(path)
    assert [reader[k] for k in range(len(reader))] == PAYLOADS
    assert index.read_bytes() == before
    assert names(tmp_path) == ["a.idx", "a.rec"]


def test_missing_index_is_kept_in_memory_where_nothing_can_be_written(
        tmp_path, monkeypatch):
    path = tmp_path / "a.rec"
    write_payloads(path, PAYLOADS)
    path.with_suffix(".idx").unlink()

    def refuse(*_):
        raise PermissionError("read-only")
    monkeypatch.setattr(recordio, "write_atomically", refuse)
    reader = RecordReader(path)
    assert [reader[k] for k in range(len(reader))] == PAYLOADS
    assert not path.with_suffix(".idx").exists()


def test_order_follows_the_index(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"zero", b"one", b"two"])
    lines = path.with_suffix(".idx").read_text().splitlines()
    path.with_suffix(".idx").write_text("\n".join([lines[2], lines[0]]))
    reader = RecordReader(path)
    assert reader.keys == [2, 0]
    assert [reader[0], reader[1]] == [b"two", b"zero"]


def test_truncation_anywhere_is_an_error(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"first", b"12" * 5, b"1234" + MAGIC + b"5"])
    whole = path.read_bytes()
    starts = RecordReader(path).offsets
    path.with_suffix(".idx").unlink()
    for length in range(len(whole)):
        if length in starts:
            continue          # a file that ends between records is whole
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.rec, byte \d+: .*ends"):
            RecordReader(path)
        assert not path.with_suffix(".idx").exists()


def test_truncation_with_an_index_is_an_error(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"first", b"second"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match=r"byte 16: a record claims 6 bytes, "
                                         "but the file ends after 4"):
        RecordReader(path)
    path.write_bytes(whole[:16])
    with pytest.raises(ValueError, match=r"a\.idx, line 2: offset 16 lies "
                                         "outside the record file of 16"):
        RecordReader(path)


def test_a_file_cut_short_while_open_is_an_error(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"first", b"second"])
    reader = RecordReader(path)
    os.truncate(path, 20)
    with pytest.raises(ValueError, match="byte 16: .*before the file ends"):
        reader[1]


def test_corruption_is_an_error(tmp_path):
    path = tmp_path / "a.rec"

    def opens_with(position, value, match):
        write_payloads(path, [b"first", b"1234" + MAGIC + b"5", b"third"])
        spoil(path, position, value)
        with pytest.raises(ValueError, match=match):
            RecordReader(path)
        path.with_suffix(".idx").unlink()
        with pytest.raises(ValueError, match=match):
            RecordReader(path)

    opens_with(16, b"\0", r"byte 16: expected the start of a record")
    opens_with(4, struct.pack("<I", 2**29 - 1), "byte 0: a record claims "
               "536870911 bytes")
    opens_with(4, struct.pack("<I", 5 << 29 | 5), "byte 0: part flag 5")
    opens_with(4, struct.pack("<I", 2 << 29 | 5), "byte 0: part flag 2")
    # The second part claims to begin a record.
    opens_with(32, struct.pack("<I", 1), r"byte 28: part flag 0 .* at byte 16")
    opens_with(20, struct.pack("<I", 1 << 29 | 3), "byte 24: a part of 3")


def test_a_last_part_that_never_comes_is_an_error(tmp_path):
    path = tmp_path / "a.rec"
    path.write_bytes(MAGIC + struct.pack("<I", 1 << 29 | 4) + b"1234")
    with pytest.raises(ValueError, match="byte 12: the file ends inside"):
        RecordReader(path)


@pytest.mark.parametrize("text, match", [
    ("0\t0\n1\t4\n", "byte 4: expected the start of a record"),
    ("0\t0\n1\t9999\n", "line 2: offset 9999 lies outside"),
    ("0\t0\n1\t-16\n", "line 2: expected a key, a tab"),
    ("0\t0\nnonsense\n", "line 2: expected a key, a tab"),
    ("0\t0\n0\t16\n", "line 2: key 0 was there before"),
    ("0\t0\n1\t28\n", "byte 28: part flag 3")])
def test_lies_in_the_index_are_errors(tmp_path, text, match):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"first", b"1234" + MAGIC + b"5"])
    path.with_suffix(".idx").write_text(text)
    with pytest.raises(ValueError, match=match):
        RecordReader(path)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="no record file nowhere.rec"):
        RecordReader("nowhere.rec")


def test_survives_pickling(tmp_path):
    write_payloads(tmp_path / "a.rec", PAYLOADS)
    reader = pickle.loads(pickle.dumps(RecordReader(tmp_path / "a.rec")))
    assert [reader[k] for k in range(len(reader))] == PAYLOADS


def read_many(reader, positions, queue):
    queue.put([reader[k] for k in positions])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(),
                    reason="this system cannot fork")
def test_forked_workers_do_not_disturb_one_another(tmp_path):
    payloads = [bytes([k]) * 4001 for k in range(200)]
    write_payloads(tmp_path / "a.rec", payloads)
    reader = RecordReader(tmp_path / "a.rec")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    order = list(range(200)) * 5
    workers = [context.Process(target=read_many, args=(reader, order, queue))
               for _ in range(3)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(result == payloads * 5 for result in results)


def test_a_write_that_fails_leaves_the_old_files(tmp_path):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"old"])

    def fails():
        yield b"new"
        raise RuntimeError("no more")
    with pytest.raises(RuntimeError):
        write_payloads(path, fails())
    assert RecordReader(path)[0] == b"old"
    assert names(tmp_path) == ["a.idx", "a.rec"]


def test_a_stop_between_the_two_files_leaves_no_wrong_index(tmp_path,
                                                            monkeypatch):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"old", b"older"])
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(recordio, "_index_text", stop)
        write_payloads(path, [b"something longer", b"new"])
    assert names(tmp_path) == ["a.rec"]
    reader = RecordReader(path)
    assert [reader[0], reader[1]] == [b"something longer", b"new"]


def stop(*_):
    raise RuntimeError("stopped")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"),
                    reason="this system has no /dev/full")
def test_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch):
    path = tmp_path / "a.rec"
    write_payloads(path, [b"old"])
    (tmp_path / f".a.rec.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_payloads(path, [b"new" * 9999])
    assert RecordReader(path)[0] == b"old"


def test_write_refuses_faulty_boxes_and_images(tmp_path):
    path = tmp_path / "a.rec"
    good = ([[.1, .2, .3, .4]], [0], jpeg())
    for bad, match in [(([[.3, .2, .1, .4]], [0], jpeg()), "box 0: xmin"),
                       (([[.1, .2, .3, .4]], [-1], jpeg()), "label -1"),
                       ((good[0], [0], b"no image"), "expected a whole image"),
                       ((good[0], [0, 0], jpeg()), "one label per box")]:
        with pytest.raises(ValueError, match=f"a.rec, record 1.*{match}"):
            write_records(path, [good, bad])
        assert not path.exists()
    with pytest.raises(ValueError, match="path must end in .rec"):
        write_payloads(tmp_path / "a.txt", [])


def test_payloads_too_short_for_their_head():
    with pytest.raises(ValueError, match="a record: expected a head of 24 "
                                         "bytes, found a record of 23"):
        records.unpack(bytes(23), "a record")
    lie = struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0) + bytes(8)
    with pytest.raises(ValueError, match="claims a label of 4294967295 numbers"
                                         ", but only 8 bytes"):
        records.unpack(lie, "a record")
    lie = struct.pack("<IfQQ", 3, 0, 0, 0) + bytes(8)
    with pytest.raises(ValueError, match="a record: .* a label of 3 numbers"):
        records.unpack(lie, "a record")


@pytest.mark.parametrize("label, match", [
    (7.0, "expected a detection label"),
    ([4], "expected a detection label"),
    ([4, 5, 9], "does not fit"), ([1, 5], "does not fit"),
    ([2, 4, 0, 0, 0, 1], "does not fit"), ([2.5, 5], "does not fit"),
    ([2, 5, 0, .1, .1, .2], "does not fit"), ([np.nan, 5], "does not fit"),
    ([2, np.inf, 1], "does not fit"), ([np.inf, 5, 1], "does not fit"), ([2, 1e30, 1], "does not fit"),
    ([2, 5, 0.5, .1, .1, .2, .2], "box 0: expected a whole number"),
    ([2, 5, np.nan, .1, .1, .2, .2], "box 0: expected a whole number"),
    ([2, 5, -np.inf, .1, .1, .2, .2], "box 0: expected a whole number"),
    ([2, 5, 1e30, .1, .1, .2, .2], "box 0: expected a whole number")])
def test_faulty_labels(label, match):
    with pytest.raises(ValueError, match=match):
        records.objects(label, "a.rec, record 3")


@pytest.mark.parametrize("label", [[2, 5], [4, 5, 640, 480], [2, 1e30],
                                   [2, 6]])
def test_labels_without_objects(label):
    found = records.objects(label, "a.rec, record 3")
    assert found.boxes.shape == (0, 4) and found.labels.shape == (0,)
    assert found.flags.shape == (0, 4) and found.flags.dtype == bool


def test_sixth_number_marks_difficult_objects():
    label = [2, 6, 1, .1, .2, .3, .4, 0, 0, 0, 0, 1, 1, 1]
    found = records.objects(label, "a.rec, record 3")
    assert found.labels.tolist() == [1, 0]
    assert found.flags[:, 0].tolist() == [False, True]
    assert found.boxes.dtype == np.float32 and found.boxes.shape == (2, 4)
