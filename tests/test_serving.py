"""Detections over HTTP: right answers, many at a time, and hostile uploads."""
import asyncio
import gzip
import io
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsod_d2l as dd
from dsod_d2l.config import DetectConfig
from dsod_d2l.detection import Detector
from dsod_d2l.weights import load_model
from dsod_d2l.workbench.cli import main, serve
from dsod_d2l.workbench.cli.detect import as_rows
from dsod_d2l.workbench.exporting.onnx_graph import export_onnx

httpx, uvicorn = pytest.importorskip("httpx"), pytest.importorskip("uvicorn")
ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "data/samples").glob("*.jpg"))
PHOTO = SAMPLES[0].read_bytes()
WEIGHTS = ROOT / "data/weights/dsod_tiny_bccd.safetensors"
MOST = 300_000


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "a.onnx"
    net, metadata = load_model(WEIGHTS)
    export_onnx(path, net, metadata["classes"], DetectConfig(score_threshold=0.05))
    return dd.Detector(path)


def ask(detector, method="POST", path="/detect", seconds=20, **request):
    """Return the response to one request, without a server."""
    async def one():
        app = serve.application(detector, MOST, seconds)
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **request)
    # In a thread of its own: a browser that another test has open keeps a loop in this one.
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, one()).result()


def test_the_answer_is_what_detect_prints(detector):
    net, metadata = load_model(WEIGHTS)
    ours = Detector(net, metadata["classes"], DetectConfig(score_threshold=0.05))
    for sample in SAMPLES:
        wanted = as_rows(ours(sample))
        for request in ({"content": sample.read_bytes()},
                        {"files": {"image": (sample.name, sample.read_bytes(), "image/jpeg")}}):
            answer = ask(detector, **request)
            assert answer.status_code == 200
            found = answer.json()
            assert [row["label"] for row in found] == [row["label"] for row in wanted]
            for mine, other in zip(found, wanted):
                assert mine["box"] == pytest.approx(other["box"], abs=0.03)
                assert mine["score"] == pytest.approx(other["score"], abs=2e-4)


def test_the_page_asks_the_service():
    answer = ask(None, "GET", "/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert 'fetch("/detect"' in answer.text and "http" not in answer.text.replace("http-equiv", "")


# ---- hostile uploads -----------------------------------------------------------------

def encoded(kind, size=(40, 30), mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
                    ).convert(mode).save(file, kind, **options)
    return file.getvalue()


def png(width, height, data=b""):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as inside:
        inside.writestr("a.jpg", PHOTO)
    return file.getvalue()


def tiff_of_itself():
    """A directory of fields whose next directory is itself."""
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHIII", 1, 256, 3, 1, 10, 8)


def nans():
    file = io.BytesIO()
    Image.fromarray(np.full((20, 20), np.nan, np.float32)).save(file, "TIFF")
    return file.getvalue()


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=x"}
FORM = b'--x\r\nContent-Disposition: form-data; name="a"; filename="%s"\r\n\r\n%s\r\n--x--\r\n'
# kind: what is sent, and the codes that may come back.
HOSTILE = {
    "nothing": ({"content": b""}, 422), "text": ({"content": b"a street"}, 422),
    "zeros": ({"content": bytes(5000)}, 422),
    "noise": ({"content": np.random.default_rng(1).bytes(5000)}, 422),
    "json": ({"json": {"image": "a.jpg"}}, 422),
    "base64": ({"content": b"data:image/jpeg;base64,/9j/4AAQSkZJRg=="}, 422),
    "web page": ({"content": b"<!doctype html><script>alert(1)</script>"}, 422),
    "svg": ({"content": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'}, 422),
    "xml with entities": ({"content": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'}, 422),
    "pdf": ({"content": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"}, 422),
    "postscript": ({"content": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"}, 422),
    "archive": ({"content": archive()}, 422), "compressed": ({"content": gzip.compress(PHOTO)}, 422),
    "pickle": ({"content": pickle.dumps([1, 2])}, 422),
    "weights": ({"content": WEIGHTS.read_bytes()[:MOST]}, 422),
    "half a jpeg": ({"content": PHOTO[:len(PHOTO) // 2]}, 422),
    "head of a jpeg": ({"content": PHOTO[:20]}, 422),
    "half a png": ({"content": encoded("PNG")[:900]}, 422),
    "half a gif": ({"content": encoded("GIF")[:300]}, 422),
    "half a webp": ({"content": encoded("WEBP")[:200]}, 422),
    "half a bmp": ({"content": encoded("BMP")[:200]}, 422),
    "icon": ({"content": encoded("ICO")}, 422),
    "png of 3.6 thousand million pixels": ({"content": png(60000, 60000)}, 422),
    "bomb: 49 million pixels in 150 kB": (
        {"content": png(7000, 7000, zlib.compress(bytes(7000 * 21001)))}, 422),
    "png without width": ({"content": png(0, 10)}, 422),
    "png without pixels": ({"content": png(30, 30)}, 422),
    "png with wrong pixels": ({"content": png(30, 30, b"\xff" * 50)}, 422),
    "tiff that follows itself": ({"content": tiff_of_itself()}, 422),
    "tiff of no numbers": ({"content": nans()}, 422),
    "too many bytes": ({"content": bytes(MOST + 1)}, 413),
    "too many bytes, it says": ({"content": PHOTO, "headers": {"Content-Length": str(10**30)}}, 413),
    "no length": ({"content": (part for part in ())}, 411),
    "negative length": ({"content": PHOTO, "headers": {"Content-Length": "-1"}}, 411),
    "form without a file": ({"data": {"image": "a.jpg"}}, 422),
    "form of text alone": ({"files": {"image": (None, "a.jpg")}}, 422),
    "form of two files": ({"files": [("a", ("a.jpg", PHOTO)), ("b", ("b.jpg", PHOTO))]}, 400),
    "form of many fields": ({"files": [("a", (None, "1"))] * 50}, 400),
    "form that never ends": ({"content": b"--x\r\nContent-Disposition: form-data", "headers": BOUNDARY}, 422),
    "form without a boundary": (
        {"content": PHOTO, "headers": {"Content-Type": "multipart/form-data"}}, 400),
    "form of another boundary": ({"content": FORM.replace(b"--x", b"--y"), "headers": BOUNDARY}, 400),
    "file of a dangerous name": ({"content": FORM % (b"../../etc/passwd", b"nothing"), "headers": BOUNDARY}, 422),
    "wrong method": ({"method": "PUT", "content": PHOTO}, 405),
    "wrong path": ({"path": "/../../etc/passwd", "content": PHOTO}, 404),
    "name of another host": ({"content": PHOTO, "headers": {"Host": "evil.example"}}, 400),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_uploads_get_one_sentence(kind, detector):
    request, code = HOSTILE[kind]
    if kind == "no length":
        async def parts():
            yield PHOTO
        request = {"content": parts()}
    answer = ask(detector, **request)
    assert answer.status_code == code, answer.text
    said = answer.text if kind == "name of another host" else answer.json()["detail"]
    assert said and said.isprintable() and len(said) < 300 and "Traceback" not in said
    assert str(ROOT) not in said and "/tmp" not in said


def test_there_are_enough_kinds():
    assert len(HOSTILE) >= 20


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_other_formats_are_welcome(kind, detector):
    assert ask(detector, content=encoded(kind)).status_code == 200


def test_a_picture_that_takes_too_long(detector):
    class Slow:
        def detect(self, image):
            time.sleep(0.5)
    assert ask(Slow(), seconds=0.1, content=PHOTO).status_code == 408


# ---- a server ------------------------------------------------------------------------

@pytest.fixture(scope="module")
def address(detector):
    place = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(serve.application(detector, MOST, 2), log_level="critical",
                                           limit_concurrency=serve.CONNECTIONS))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    yield place.getsockname()
    server.should_exit = True
    thread.join(10)


def test_concurrent_requests_get_their_own_answers(address, detector):
    url = "http://{}:{}/detect".format(*address)
    wanted = [as_rows(detector(sample)) for sample in SAMPLES]
    assert len({json.dumps(rows) for rows in wanted}) == len(SAMPLES)
    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(8) as pool:
        rows = [row % len(SAMPLES) for row in range(24)]
        found = list(pool.map(lambda row: client.post(url, content=SAMPLES[row].read_bytes()), rows))
    assert [one.status_code for one in found] == [200] * 24
    assert [one.json() for one in found] == [wanted[row] for row in rows]


def test_those_who_send_nothing_or_leave_do_not_stop_the_others(address):
    url = "http://{}:{}/detect".format(*address)
    head = b"POST /detect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n"
    slow, gone, silent = (socket.create_connection(address) for _ in range(3))
    slow.sendall(head + b"abc")
    gone.sendall(head + b"abc")
    gone.close()
    for wrong in (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"GET " + b"a" * 100000, b"\r\n" * 100,
                  head.replace(b"5000", b"-3") + PHOTO):
        with socket.create_connection(address) as one:
            one.sendall(wrong)
            one.settimeout(10)
            if wrong.strip():
                assert b" 400 " in one.recv(500)
    assert httpx.post(url, content=PHOTO, timeout=20).status_code == 200
    slow.settimeout(20)
    assert b"not done within 2 seconds" in slow.recv(2000) + slow.recv(2000)
    silent.close()


def test_the_command_without_mxnet(detector):
    code = "import sys; sys.modules['mxnet'] = None; from dsod_d2l.workbench.cli import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, "serve", "--weights", str(detector.path), "--port", "0",
                                "--score-threshold", "0.05", "--json"], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        said = process.stderr.readline()
        assert "http://127.0.0.1:" in said and said.count("\n") == 1
        url = said.split()[4].rstrip(";")
        for _ in range(100):
            try:
                answer = httpx.post(url + "detect", content=PHOTO, timeout=20)
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        assert answer.json() == as_rows(detector(SAMPLES[0]))
        process.send_signal(signal.SIGINT)
        printed, error = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0 and json.loads(printed) == {"address": url} and not error


def test_wrong_use(detector, capsys, monkeypatch):
    weights = ["serve", "--weights", str(detector.path)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for words, said in ((["--port", str(taken.getsockname()[1])], "cannot be had"),
                            (["--port", "70000"], "--port 0"), (["--seconds", "0"], "--seconds must be"),
                            (["--most-bytes", "0"], "--most-bytes must be"), (["--runtime", "openvino"], None)):
            if said is None:
                monkeypatch.setitem(sys.modules, "openvino", None)
                said = "openvino, which is not installed: pip install openvino"
            assert main([*weights, *words]) == 2
            text = capsys.readouterr().err
            assert said in text and text.count("\n") == 1
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(weights) == 2
    assert "serve needs fastapi, not installed here: pip install 'dsod-d2l[serve]'" in capsys.readouterr().err


def test_nothing_listens_for_the_net():
    assert serve.NAMES[0] == "127.0.0.1" and os.path.exists(Path(serve.__file__).with_suffix(".html"))
