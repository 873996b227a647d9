"""pikachu and fetch: a folder, and downloads from a host that misbehaves."""

import hashlib
import http.server
import json
import os
import shutil
import threading
import time

import cv2
import numpy as np
import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet)
from dsod_d2l.workbench import downloads
from dsod_d2l.workbench.cli import main
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.downloads import check_sum, fetch
from dsod_d2l.datasets.records import write_records

BODY = np.random.default_rng(0).bytes(200_000)
SHA1 = hashlib.sha1(BODY).hexdigest()


class Host(http.server.BaseHTTPRequestHandler):
    """Serves files from memory, in the way that ``behave`` says."""

    def do_GET(self):
        """Answer one request."""
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        behave, body = server.behave, server.files.get(self.path)
        if behave == "silent":
            return server.stop.wait(5)
        if body is None:
            return self.send_error(404)
        start = self.start_of() if behave != "no ranges" else None
        start = 7 if behave == "other range" else start
        if start is not None and start >= len(body):
            return self.send_error(416)
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/"
                                              f"{len(body)}")
        part = body[start or 0:]
        missing = 9 if behave == "stalls" else 0
        self.send_header("Content-Length", str(len(part) + missing))
        self.end_headers()
        if behave == "cuts":
            part = part[:len(part) // 2]
        self.wfile.write(part)
        if behave == "stalls":
            server.stop.wait(5)

    def start_of(self):
        """Return where a Range begins, or None."""
        value = self.headers.get("Range")
        return int(value.removeprefix("bytes=").rstrip("-")) if value else None

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def host():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.behave, server.ranges = "well", []
    server.files, server.stop = {"/a.bin": BODY}, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetch(host, tmp_path):
    steps = []
    path = fetch(host.url + "a.bin", tmp_path / "a.bin", SHA1,
                 progress=lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == BODY and names(tmp_path) == ["a.bin"]
    assert steps[-1] == (len(BODY), len(BODY))
    fetch(host.url + "a.bin", path, SHA1.upper())       # it is there already
    assert host.ranges == [None]


def test_fetch_goes_on_after_a_cut(host, tmp_path):
    path, host.behave = tmp_path / "a.bin", "cuts"
    with pytest.raises(ConnectionError, match="was cut.*goes on from there"):
        fetch(host.url + "a.bin", path, SHA1)
    assert names(tmp_path) == ["a.bin.part"]
    held = (tmp_path / "a.bin.part").read_bytes()
    assert 0 < len(held) <= 100_000 and BODY.startswith(held)
    host.behave = "well"
    assert fetch(host.url + "a.bin", path, SHA1).read_bytes() == BODY
    assert host.ranges == [None, f"bytes={len(held)}-"]
    assert names(tmp_path) == ["a.bin"]


def test_fetch_begins_again_where_the_host_cannot_go_on(host, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"an older beginning")
    host.behave = "no ranges"
    path = fetch(host.url + "a.bin", tmp_path / "a.bin", SHA1)
    assert path.read_bytes() == BODY and host.ranges == ["bytes=18-"]


def test_fetch_does_not_append_what_it_did_not_ask_for(host, tmp_path):
    sizes = []
    (tmp_path / "a.bin.part").write_bytes(BODY[:100])
    host.behave = "other range"
    with pytest.raises(ValueError, match="expected SHA-1"):
        fetch(host.url + "a.bin", tmp_path / "a.bin", SHA1,
              progress=lambda done, total: sizes.append(total))
    assert sizes[-1] == len(BODY) - 7 and names(tmp_path) == []


def test_fetch_takes_a_part_that_is_whole(host, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert fetch(host.url + "a.bin", tmp_path / "a.bin",
                 SHA1).read_bytes() == BODY


def test_wrong_checksum_leaves_nothing(host, tmp_path):
    wrong = "0" * 40
    with pytest.raises(ValueError, match=f"a.bin.*: expected SHA-1 {wrong}, "
                                         f"found {SHA1}"):
        fetch(host.url + "a.bin", tmp_path / "a.bin", wrong)
    assert names(tmp_path) == []


def test_wrong_checksum_of_a_part_is_cured_by_the_next_try(host, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"wrong")
    with pytest.raises(ValueError, match="expected SHA-1"):
        fetch(host.url + "a.bin", tmp_path / "a.bin", SHA1)
    assert fetch(host.url + "a.bin", tmp_path / "a.bin",
                 SHA1).read_bytes() == BODY


def test_a_file_that_is_there_but_another_is_kept(host, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(ValueError, match="a.bin: expected SHA-1"):
        fetch(host.url + "a.bin", tmp_path / "a.bin", SHA1)
    assert (tmp_path / "a.bin").read_bytes() == b"mine" and not host.ranges


def test_not_found(host, tmp_path):
    with pytest.raises(ConnectionError, match="b.bin cannot be fetched: the "
                                              "server answers 404 Not Found"):
        fetch(host.url + "b.bin", tmp_path / "b.bin", SHA1)
    assert names(tmp_path) == []


@pytest.mark.parametrize("behave", ["silent", "stalls"])
def test_time_out(host, tmp_path, behave):
    host.behave = behave
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match="no answer came in time"):
        fetch(host.url + "a.bin", tmp_path / "a.bin", SHA1, timeout=.3)
    assert time.monotonic() - begin < 4


def test_no_host_at_all(tmp_path):
    with pytest.raises(ConnectionError, match="the host does not answer"):
        fetch("http://127.0.0.1:9/a.bin", tmp_path / "a.bin", SHA1, timeout=1)


# --- Pikachu -----------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    image = cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    (tmp_path / "set").mkdir()
    for count, name in ((3, "train.rec"), (2, "val.rec")):
        write_records(tmp_path / "set" / name,
                      [([[.1, .2, .3, .4]], [0], image)] * count)
    return tmp_path / "set"


def test_a_local_folder(folder):
    (folder / "val.idx").unlink()
    train = downloads.Pikachu(folder)
    val = addresses.open_dataset(f"pikachu:{folder}:val", cache=True)
    assert (len(train), len(val)) == (3, 2)
    assert train.classes == val.classes == ("pikachu",)
    assert (folder / "val.idx").is_file()


def test_a_local_copy_is_compared_only_if_asked(folder):
    with pytest.raises(ValueError, match="train.rec: expected SHA-1 e6bcb6ffba"):
        downloads.Pikachu(folder, verify=True)


def test_a_folder_without_the_files_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="train.rec. Use the rendered "
                                                "stand-in"):
        downloads.Pikachu(tmp_path)
    with pytest.raises(ValueError, match="split must be "):
        downloads.Pikachu(tmp_path, "test")


def test_download(host, tmp_path, folder, monkeypatch, capsys):
    files = {name: (folder / name).read_bytes() for name in downloads.SHA1}
    host.files = {f"/{name}": data for name, data in files.items()}
    monkeypatch.setattr(downloads, "SHA1", {
        name: hashlib.sha1(data).hexdigest() for name, data in files.items()})
    shutil.rmtree(folder)
    assert downloads.download_pikachu(folder, host.url) == folder
    assert main(["data", "pikachu", "--folder", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        name: str(folder / name) for name in downloads.SHA1}
    assert names(folder) == ["train.idx", "train.rec", "val.rec"]
    assert len(downloads.Pikachu(folder, "val", verify=True)) == 2


def test_a_dead_host_says_what_to_do(host, tmp_path):
    with pytest.raises(ConnectionError) as caught:
        downloads.download_pikachu(tmp_path / "new", host.url)
    text = str(caught.value)
    assert "404" in text and "Use the rendered stand-in" in text
    assert "pikachu:FOLDER" in text and "\n" not in text
    host.behave = "silent"
    with pytest.raises(ConnectionError, match="in time. Use the rendered"):
        downloads.download_pikachu(tmp_path / "new", host.url, timeout=.2)


def test_published_checksums():
    assert downloads.SHA1["train.rec"] == (
        "e6bcb6ffba1ac04ff8a9b1115e650af56ee969c8")
    assert downloads.SHA1["train.idx"] == (
        "dcf7318b2602c06428b9988470c731621716c393")
    assert downloads.SHA1["val.rec"] == (
        "d6c33f799b4d058e82f2cb5bd9a976f69d72d520")


def test_sha1_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert check_sum(tmp_path / "abc",
                      "a9993e364706816aba3e25717850c26c9cd0d89d")


@pytest.mark.parametrize("split, count", [("train", 800), ("val", 100)])
def test_real_pikachu(split, count):
    root = os.environ.get("DSOD_REAL_DATA")
    if not root:
        pytest.skip("DSOD_REAL_DATA is not set")
    found = addresses.open_dataset(f"pikachu:{root}/pikachu", split)
    assert len(found) == count and found.classes == ("pikachu",)
    sample = found[count - 1]
    assert sample.image.shape == (256, 256, 3) and len(sample.boxes) == 1
    # Pikachu is yellow: its middle has little blue.
    x0, y0, x1, y1 = (sample.boxes[0] * 256).astype(int)
    red, _, blue = sample.image[y0:y1, x0:x1].mean(axis=(0, 1))
    assert red > blue
