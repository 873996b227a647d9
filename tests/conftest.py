"""What the tests of the pages share: the built book, its address, and a browser."""
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import dsod_d2l  # noqa: F401  (prepares MXNet, in whatever order the tests are read)
from browsing import CHROMIUM, ROOT, Visit

# What a shell runs in the background ignores Ctrl-C, and so does all that it starts; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Build the book away from the tree; return the folder of its pages."""
    out = tmp_path_factory.mktemp("book")
    built = subprocess.run(
        [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", ".",
         "-n", "-W", "--keep-going", "-q", "--path-output", str(out)],
        cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]
    return out / "_build" / "html"


@pytest.fixture(scope="session")
def address(pages):
    """Serve the pages; return their address."""
    class Quiet(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"     # one connection for many files

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(pages)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def chromium():
    """Start Chromium without a window; return the browser."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visits(chromium, address):
    """Return visit(width, theme): a window, kept from one test to the next."""
    made = {}

    def visit(width=1280, theme="light"):
        if (width, theme) not in made:
            made[width, theme] = Visit(chromium, address, width, theme)
        made[width, theme].problems.clear()
        return made[width, theme]
    yield visit
    for one in made.values():
        one.context.close()


@pytest.fixture
def window(chromium, address):
    """Return window(width, theme, touch): a new window; nothing may go wrong in it."""
    made = []

    def open_window(**wishes):
        made.append(Visit(chromium, address, **wishes))
        return made[-1]
    yield open_window
    for one in made:
        one.context.close()
    assert not [problem for one in made for problem in one.problems]
