"""Videos as they are out there, and what is shown live: a window, a page."""

import http.client
import json
import re
import struct
import threading
import time
import urllib.request

import cv2
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager

from dsod_d2l.detection import Detections
from dsod_d2l.workbench import drawing, fonts, live_page, video
from dsod_d2l.workbench.cli import demo
from dsod_d2l.workbench.drawing import paint_detections
from dsod_d2l.workbench.video import VideoReader, VideoWriter
from test_cli import call, here, value  # noqa: F401  (a fixture)

SIZE = (64, 96)
QUARTERS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def frame(number):
    """Red at the top left, blue elsewhere, brighter with each frame."""
    image = np.full((*SIZE, 3), (0, 0, 100 + 10 * number), np.uint8)
    image[:32, :32] = (200, 0, 0)
    return image


def film(path, count=8, codec="mp4v", fps=10):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, SIZE[::-1])
    assert writer.isOpened()
    for number in range(count):
        writer.write(frame(number)[..., ::-1])
    writer.release()
    return path


def boxes_of(data, start, stop, path=()):
    """Yield (path, start, size) of the boxes of an MP4 file."""
    while start < stop:
        size, kind = struct.unpack(">I4s", data[start:start + 8])
        here_now = (*path, kind)
        yield here_now, start, size
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            yield from boxes_of(data, start + 8, start + size, here_now)
        start += size


def turned(path, degrees):
    """Write a display matrix into an MP4 file, as a telephone does."""
    data = bytearray(path.read_bytes())
    (start,) = [at for names, at, _ in boxes_of(data, 0, len(data)) if names[-1] == b"tkhd"]
    a, b, c, d = (65536 * part for part in QUARTERS[degrees])
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[start + 48:start + 84] = matrix
    path.write_bytes(data)
    return path


def paced(path, *lengths):
    """Give each frame of an MP4 file a length, in lengths of before."""
    data = bytearray(path.read_bytes())
    every = list(boxes_of(data, 0, len(data)))
    (where, at, size), = [one for one in every if one[0][-1] == b"stts"]
    _, _, entries, count, delta = struct.unpack(">5I", data[at + 4:at + 24])
    assert (entries, count) == (1, len(lengths)) and sum(lengths) == count
    new = struct.pack(">2I", 0, len(lengths)) + b"".join(
        struct.pack(">2I", 1, int(delta * length)) for length in lengths)
    data[at + 8:at + size] = new
    for names, start, old in every:
        if names == where[:len(names)]:
            data[start:start + 4] = struct.pack(">I", old + len(new) - (size - 8))
    path.write_bytes(data)
    return path


# ------------------------------------------------------------------- videos

@pytest.mark.parametrize("degrees", sorted(QUARTERS))
def test_a_telephones_video_is_upright(tmp_path, degrees):
    with VideoReader(turned(film(tmp_path / "a.mp4"), degrees)) as reader:
        images = list(reader)
    wanted = np.rot90(frame(3), -degrees // 90)         # clockwise, as players do
    assert reader.size == wanted.shape[:2] == images[3].shape[:2]
    assert np.abs(images[3].astype(int) - wanted).mean() < 12


def test_times_are_those_of_the_stream(capsys, here, tmp_path):  # noqa: F811
    lengths = (.5, .5, .5, .5, 2, 2, 1, 1)
    path = paced(film(tmp_path / "a.mp4"), *lengths)
    wanted = np.cumsum([0, *lengths[:-1]]) / 10
    with VideoReader(path) as reader:
        times = [reader.time for _ in reader]
        assert reader.count == 8 and reader.missing() == 0
    np.testing.assert_allclose(times, wanted, atol=2e-3)
    for name, read in (("b.jsonl", lambda text: map(json.loads, text.splitlines())),
                       ("b.json", json.loads)):
        value(capsys, "detect", path, "--weights", here / "w.safetensors", "--out",
              tmp_path / name)
        np.testing.assert_allclose([row["time"] for row in read((tmp_path / name).read_text())],
                                   wanted, atol=2e-3)


def test_a_drawn_video_keeps_the_pace(tmp_path):
    """A frame is shown as long as it was, not as long as the others."""
    times = [0, .1, .2, .7, .8]
    with VideoWriter(tmp_path / "a.avi", 10, SIZE) as writer:
        for number, at in enumerate(times):
            writer.write(frame(3 * number), at)
    with VideoReader(tmp_path / "a.avi") as reader:
        bright = [round((int(image[50, 80, 2]) - 100) / 30) for image in reader]
    assert bright == [0, 1, 2, 2, 2, 2, 2, 3, 4]


def test_half_a_video_is_said(capsys, here, tmp_path):  # noqa: F811
    path = film(tmp_path / "a.avi", 40, "MJPG")
    options = ["detect", path, "--weights", here / "w.safetensors", "--json"]
    assert call(capsys, *options)[0] == 0
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    code, printed, err = call(capsys, *options)
    got = json.loads(printed)
    assert code == 1 and 10 < got["frames"] < 30 and got["missing"] == 40 - got["frames"]
    assert f"states 40 frames, and {got['missing']} of them are not there" in err
    assert call(capsys, *options, "--frames", 5)[0] == 0       # the rest was not asked for
    code, printed, err = call(capsys, "demo", *options[1:])
    assert code == 1 and json.loads(printed)["frames"] == got["frames"]
    assert "are not there" in err


@pytest.mark.parametrize("name, codec", [
    ("a.ts", "mp4v"), ("a.mkv", "mp4v"), ("a.wmv", "WMV2"), ("a.m4v", "mp4v"),
    ("a.webm", "VP80"), ("a.3gp", "mp4v"), ("a.MOV", "mp4v"), ("a.film", None),
    ("A FILM.", None)])
def test_every_container_is_a_video(capsys, here, tmp_path, name, codec):  # noqa: F811
    path = film(tmp_path / (name if codec else "a.mkv"), codec=codec or "mp4v")
    if codec is None:                        # its content says what it is
        path = path.rename(tmp_path / name)
    got = value(capsys, "detect", path, "--weights", here / "w.safetensors")
    assert got["frames"] >= 7 and got["missing"] == 0
    value(capsys, "detect", path, "--weights", here / "w.safetensors", "--out",
          f"{tmp_path}/new/")
    (drawn,) = (tmp_path / "new").iterdir()
    assert drawn.suffix.lower() in video.VIDEO_CODECS
    with VideoReader(drawn) as reader:
        assert len(list(reader)) >= 7


def test_a_text_is_no_video_and_a_picture_of_any_ending_is_one(capsys, here,  # noqa: F811
                                                               tmp_path):
    (tmp_path / "notes.txt").write_text("a line\n" * 99)
    code, _, err = call(capsys, "detect", tmp_path / "notes.txt", "--weights",
                        here / "w.safetensors")
    assert code == 2 and "expected a whole image" in err
    (tmp_path / "photo.dat").write_bytes((here / "images/0.png").read_bytes())
    assert isinstance(value(capsys, "detect", tmp_path / "photo.dat", "--weights",
                            here / "w.safetensors"), list)


def test_an_address_is_played(capsys, here, tmp_path):  # noqa: F811
    """From a server of our own on this machine, a film and a stream."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass
    film(tmp_path / "a.mp4")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/a.mp4"
        for command in ("detect", "demo"):
            got = value(capsys, command, address, "--weights", here / "w.safetensors",
                        "--frames", 3)
            assert got["frames"] == 3
        code, _, err = call(capsys, "demo", address.replace("a.mp4", "none"), "--weights",
                            here / "w.safetensors")
        assert code == 2 and "sends no video" in err
    finally:
        server.shutdown()
        server.server_close()


def test_a_device_is_a_camera(tmp_path):
    assert video.is_live("/dev/null") and video.is_live("0") and not video.is_live(tmp_path)
    with pytest.raises(ValueError, match="camera /dev/null does not answer"):
        VideoReader("/dev/null")
    (tmp_path / "0").write_bytes(b"")
    assert not video.is_live(tmp_path / "0")


def test_a_password_is_not_told():
    with pytest.raises(ValueError, match=r"rtsp://me:\*\*\*@127.0.0.1:9/1 sends no video"):
        VideoReader("rtsp://me:secret@127.0.0.1:9/1")


# -------------------------------------------------------------------- letters

def has(path, text):
    """Ask fontTools, which reads the tables of a font by itself."""
    return set(map(ord, text)) <= set(TTFont(path, fontNumber=0).getBestCmap())


@pytest.mark.parametrize("text", ["naïve Größe", "кот", "γάτα", "گربه", "Łódź"])
def test_the_font_that_matplotlib_brings_has_many_scripts(text):
    found = fonts.find_fonts(text)
    assert found.lacking == "" and len(found.paths) == 1
    assert has(found.paths[0], text.replace(" ", ""))


def test_what_a_font_lacks_is_looked_for_and_said(monkeypatch, caplog):
    fonts.find_fonts.cache_clear()
    dejavu = font_manager.findfont("DejaVu Sans")
    monkeypatch.setattr(fonts, "_others", lambda first: ["/other.ttf", "/more.ttf"])
    monkeypatch.setattr(fonts, "letters", lambda path: frozenset(
        {"/other.ttf": "猫", "/more.ttf": "猫犬"}.get(path, "abc")))
    assert fonts.find_fonts("a 猫") == ((dejavu, "/other.ttf"), "")
    assert fonts.find_fonts("猫犬ก") == ((dejavu, "/other.ttf", "/more.ttf"), "ก")
    fonts.warn_of_letters(["abc", "猫"])
    assert not caplog.text
    fonts.warn_of_letters(["abc", "ก", "한"])
    assert "THAI" in caplog.text and "HANGUL" in caplog.text and "Noto" in caplog.text
    fonts.find_fonts.cache_clear()


def found(name):
    image = np.full((200, 300, 3), 90, np.uint8)
    return Detections(np.array([0]), np.array([.9], np.float32),
                      np.array([[.3, .5, .8, .9]], np.float32), (200, 300), classes=(name,),
                      picture=image)


def test_names_in_other_scripts_are_painted(tmp_path):
    """The ground is as wide as the letters; they are no question marks."""
    names = ["кот", "кит", "???", "γάτα"]
    painted = [paint_detections(found(name)) for name in names]
    saved = []
    for number, name in enumerate(names):
        drawing.save_detections(tmp_path / f"{number}.png", found(name))
        saved.append(cv2.imread(str(tmp_path / f"{number}.png")))
    for images in (painted, saved):
        for one in range(len(names)):
            for other in range(one):
                assert (images[one] != images[other]).any(), (names[one], names[other])
    colour = drawing._bytes(drawing.class_colour(0))
    rows, columns = np.nonzero((painted[0] == colour).all(axis=2))
    assert rows.min() < 90 and 85 <= columns.min() <= 92
    ink = (painted[0][rows.min():99, 90:140] < 100).all(axis=2)
    assert 20 < ink.sum() < 400                        # black on orange


def test_letters_that_join_are_left_to_pillow(tmp_path):
    """Drawn from right to left: the other order looks different."""
    for number, name in enumerate(["\u0628\u062a\u0646", "\u0646\u062a\u0628"]):
        drawing.save_detections(tmp_path / f"{number}.png", found(name))
    here_now, other = (cv2.imread(str(tmp_path / f"{number}.png"))[..., ::-1]
                       for number in (0, 1))
    assert (here_now == paint_detections(found("\u0628\u062a\u0646"))).all()
    assert (here_now != other).any()


@pytest.mark.parametrize("name", ["5$ or 6$", "$x", "a_{b", "$\\frac{$"])
def test_a_dollar_is_a_dollar(tmp_path, name):
    drawing.save_detections(tmp_path / "a.png", found(name))
    drawing.save_detections(tmp_path / "b.png", found(name.replace("$", "S")))
    one, other = (cv2.imread(str(tmp_path / f"{end}.png")) for end in "ab")
    assert (one != other).any() == ("$" in name)


def test_no_warning_of_matplotlib_is_left(tmp_path, recwarn):
    drawing.save_detections(tmp_path / "a.png", found("\N{CJK UNIFIED IDEOGRAPH-732B}"))
    assert not [one for one in recwarn if "Glyph" in str(one.message)]


@pytest.mark.parametrize("suffix", drawing.DRAWN_SUFFIXES)
def test_a_drawing_is_of_the_format_of_its_name(tmp_path, suffix):
    from PIL import Image
    drawing.save_detections(tmp_path / f"new/a{suffix}", found("cat"))
    with Image.open(tmp_path / f"new/a{suffix}") as image:
        assert image.size == (300, 200)
        written = {".dib": ".bmp"}.get(suffix, suffix)    # a .dib is a whole BMP
        assert written in [end for end, kind in Image.registered_extensions().items()
                          if kind == image.format]


# ------------------------------------------------------------------- a window

def windowed(monkeypatch, keys):
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", lambda title: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("closed"))
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: next(keys))
    return shown


@pytest.mark.parametrize("key", [ord("q"), 27])
def test_a_window_shows_the_frames_until_a_key(capsys, here, tmp_path,  # noqa: F811
                                               monkeypatch, key):
    monkeypatch.setattr(live_page, "LivePage", None)          # not asked for
    shown = windowed(monkeypatch, iter([-1, -1, key]))
    got = value(capsys, "demo", film(tmp_path / "a.avi", codec="MJPG"), "--weights",
                here / "w.safetensors")
    assert got["frames"] == 3 and len(shown) == 4 and shown[-1] == "closed"
    assert shown[0].shape == (*SIZE, 3)
    # OpenCV's order: the blue of the frame comes first.
    blue, _, red = np.median(shown[2], axis=(0, 1))      # whatever is drawn over it
    assert blue > 90 and red < 40


def test_without_windows_a_page_is_served_and_the_remedy_said(capsys, here,  # noqa: F811
                                                              tmp_path, monkeypatch):
    def none(title):
        raise cv2.error("The function is not implemented")
    windowed(monkeypatch, iter([]))
    monkeypatch.setattr(cv2, "namedWindow", none)
    code, printed, err = call(capsys, "demo", film(tmp_path / "a.avi", codec="MJPG"),
                              "--weights", here / "w.safetensors")
    assert code == 0 and "frames             8" in printed
    assert "`pip uninstall opencv-python-headless` first" in err
    assert re.search(r"http://127\.0\.0\.1:\d+/", err)


# --------------------------------------------------------------------- a page

def part(response):
    """Return the next picture of a stream."""
    line = response.readline()
    assert line == b"--picture\r\n", line
    head = {}
    while (line := response.readline()) != b"\r\n":
        name, _, content = line.decode().partition(": ")
        head[name] = content.strip()
    data = response.read(int(head["Content-Length"]))
    assert head["Content-Type"] == "image/jpeg" and response.readline() == b"\r\n"
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_page_shows_each_picture(monkeypatch):
    with live_page.LivePage() as page:
        port = int(page.address.rsplit(":")[-1].strip("/"))
        assert page.address == f"http://127.0.0.1:{port}/"
        text = urllib.request.urlopen(page.address).read().decode()
        assert 'src="/stream"' in text and "alt=" in text
        page.show(frame(0))
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        stream.request("GET", "/stream")
        response = stream.getresponse()
        assert response.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=picture"
        for number in (0, 7):
            if number:
                page.show(frame(number))
            assert np.abs(part(response).astype(int) - frame(number)).mean() < 6
        assert page.viewer.is_set()
        for host, path, code in (("evil.example", "/", 403), ("evil.example:80", "/stream", 403),
                                 ("localhost", "/", 200), ("localhost", "/../etc/passwd", 404)):
            other = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            other.request("GET", path, headers={"Host": host})
            assert other.getresponse().status == code
            other.close()
        with pytest.raises(ValueError, match=f"port {port} cannot be had"):
            live_page.LivePage(port)
    assert response.read() == b""                       # the stream has ended
    stream.close()


def test_the_demo_waits_for_a_browser_and_shows_it_the_film(here, tmp_path,  # noqa: F811
                                                            monkeypatch, capsys):
    opened, pages = threading.Event(), []

    class Page(live_page.LivePage):
        def __init__(self, port):
            super().__init__(port)
            pages.append(self)
            opened.set()

        def show(self, image):
            waited.append(self.viewer.is_set())
            super().show(image)
    waited = []
    monkeypatch.setattr(live_page, "LivePage", Page)
    seen = []

    def browse():
        assert opened.wait(60)
        time.sleep(.3)
        with urllib.request.urlopen(pages[0].address + "stream", timeout=60) as response:
            while response.peek(1):
                seen.append(part(response))
    browser = threading.Thread(target=browse)
    browser.start()
    path = film(tmp_path / "a.avi", codec="MJPG")
    got = value(capsys, "demo", path, "--weights", here / "w.safetensors", "--serve")
    browser.join(60)
    assert got["frames"] == 8 and 1 <= len(seen) <= 8
    assert waited == [True] * 8                # not a frame before somebody looks
    assert seen[-1].shape == (*SIZE, 3)
    # Blue grows with the frames: the newest is seen, in order.
    blue = [image[60, 90, 2] for image in seen]
    assert blue == sorted(blue)


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_cannot_be_had(capsys, here, tmp_path, port):  # noqa: F811
    code, _, err = call(capsys, "demo", film(tmp_path / "a.avi", codec="MJPG"), "--weights",
                        here / "w.safetensors", f"--serve={port}")
    assert code == 2 and f"port {port} cannot be had" in err and err.count("\n") == 1


def test_a_film_does_not_wait_for_nobody(monkeypatch):
    assert demo.PATIENCE <= 30
    with live_page.LivePage() as page:
        begin = time.monotonic()
        page.wait(.2)
        assert .1 < time.monotonic() - begin < 5 and not page.viewer.is_set()


