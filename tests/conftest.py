"""What the tests share: the built book, its address, a browser; and little memory."""
import ctypes
import fcntl
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# MXNet keeps what it has prepared for every shape of every layer, for ever: gigabytes in a
# process that builds hundreds of networks. No single one has this many different layers.
os.environ.setdefault("MXNET_MKLDNN_CACHE_NUM", "200")

import dsod_d2l  # noqa: F401  (prepares MXNet, in whatever order the tests are read)
from browsing import CHROMIUM, NO_CHROMIUM, ROOT, Visit

MOST_MEMORY = 2.5 * 1024    # MiB
kept = {"MiB": 0}           # what the process held when memory was last given back
peaks = {}                  # MiB: the most that each process of the tests has held

# What a shell runs in the background ignores Ctrl-C, and so does all that it starts; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def little_memory():
    """Give back what tests have used, by the half GiB: freed memory stays in the process else."""
    yield
    if sys.platform.startswith("linux") and held_memory() > kept["MiB"] + 512:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        kept["MiB"] = held_memory()


def held_memory():
    """Return the memory that this process holds now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Note how much memory one of several processes took."""
    peaks[node.gateway.id] = getattr(node, "workeroutput", {}).get("MiB", 0)


def pytest_sessionfinish(session):
    """Note the memory of this process; above the limit is a failure of the whole run."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["MiB"] = most_memory()
        return
    peaks["main"] = most_memory()
    if max(peaks.values()) > MOST_MEMORY:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Say how much memory a process took, and what was skipped for want of a browser."""
    peak = max(peaks.values(), default=0)
    terminalreporter.write_line(
        f"memory of the largest process of the tests: {peak / 1024:.2f} GiB at most")
    if peak > MOST_MEMORY:
        terminalreporter.write_line(f"that is above {MOST_MEMORY / 1024} GiB", red=True)
    line = without_browser(terminalreporter.stats.get("skipped", []))
    if line:
        terminalreporter.write_line(line, yellow=True)


def without_browser(reports):
    """Return a line about the skipped tests that need Chromium, or None."""
    count = sum(NO_CHROMIUM in str(report.longrepr) for report in reports)
    return (f"{count} tests of the pages were skipped: install Chromium to run them "
            "(the package is called chromium; on macOS, Google Chrome)") if count else None


def most_memory():
    """Return the most memory that this process has held, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Build the book away from the tree, once for all processes; return the folder of its pages."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent              # that of the whole run
    with open(folder / "book.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)    # the others wait for the one that builds
        if not (folder / "book.built").exists():
            built = subprocess.run(
                [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build",
                 ".", "-n", "-W", "--keep-going", "-q", "--path-output", str(folder / "book")],
                cwd=ROOT, capture_output=True, text=True)
            assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]
            (folder / "book.built").touch()
    return folder / "book" / "_build" / "html"


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
        pytest.skip(NO_CHROMIUM)
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
