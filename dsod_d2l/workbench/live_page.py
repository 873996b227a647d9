"""A page that shows pictures as they come, for a browser on this machine."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

_HOST = "127.0.0.1"             # nobody else on the net sees the camera
NAMES = (_HOST, "localhost")    # of this machine, as a browser says them
BOUNDARY = "picture"
PAGE = Path(__file__).with_suffix(".html").read_bytes()


class LivePage(contextlib.AbstractContextManager):
    """Pictures for whoever looks: ``/`` is the page, ``/stream`` MJPEG.

    Args:
        port: where it is served; 0: one that is free.

    Attributes: ``address`` of the page.

    Raises:
        ValueError: the port cannot be had.
    """

    def __init__(self, port: int = 0):
        self.picture, self.number, self.open = b"", 0, True
        self.changed, self.viewer = threading.Condition(), threading.Event()
        try:
            self._server = ThreadingHTTPServer((_HOST, port), type(
                "Handler", (_Handler,), {"page": self}))
        except (OSError, OverflowError) as error:
            raise ValueError(f"port {port} cannot be had ({error}): --serve "
                             "without a number takes one that is free"
                             ) from error
        self._server.daemon_threads = True
        self.address = f"http://{_HOST}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True
                         ).start()

    def __exit__(self, *_):
        with self.changed:
            self.open = False
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def show(self, image: np.ndarray) -> None:
        """Show a uint8 (H, W, 3) RGB picture to all who look."""
        data = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
        with self.changed:
            self.picture, self.number = data, self.number + 1
            self.changed.notify_all()

    def pictures(self) -> Iterator[bytes]:
        """Yield the newest JPEG file, whenever there is another one."""
        seen = 0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.number > seen
                                      or not self.open)
                if self.number == seen:
                    return
                data, seen = self.picture, self.number
            yield data

    def wait(self, seconds: float) -> None:
        """Wait for the first viewer, but not for ever."""
        self.viewer.wait(seconds)


class _Handler(BaseHTTPRequestHandler):
    page: LivePage

    def do_GET(self):
        """Answer with the page, or with pictures until they end."""
        # A page of another site must not look through a name of its own.
        host = self.headers.get("Host", "").partition(":")[0]
        if host not in NAMES or self.path not in ("/", "/stream"):
            self.send_error(404 if host in NAMES else 403)
        elif self.path == "/":
            self._head("text/html; charset=utf-8")
            self.wfile.write(PAGE)
        else:
            self._head(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.page.viewer.set()
            with contextlib.suppress(ConnectionError):     # the tab is closed
                for data in self.page.pictures():
                    self.wfile.write(
                        f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                        f"Content-Length: {len(data)}\r\n\r\n".encode()
                        + data + b"\r\n")

    def _head(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def log_message(self, *_):
        """Keep the terminal for what is found."""
