"""Time the detector of the page "Try it" in Chromium.

    python benchmarks/browser.py            needs `make book` and Chromium

One thread, a picture of 640 x 480 pixels. In each of some rounds: the bare
network; the network with decoding and suppression; and all, from the pixels
of the picture to boxes that are drawn. What is stated are medians over the
rounds, in milliseconds, and the second in times of the first.
"""

from __future__ import annotations

import argparse
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import common                                 # noqa: E402
from browsing import CHROMIUM                                 # noqa: E402

ROUNDS = """async (rounds) => {
    const network = await window.dsodTry.loadNetwork("creatures");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [640, 480];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const image = new Image();
    image.src = "../_static/three.jpg";
    await image.decode();
    const rows = [];
    for (let k = 0; k < rounds + 3; k += 1) {
        const start = performance.now();
        context.drawImage(image, 0, 0, 640, 480);
        const pixels = context.getImageData(0, 0, 640, 480);
        const { found, times } = await window.dsodTry.detect(pixels, network);
        const before = performance.now();
        const [kept] = window.dsodTry.suppress(found, 0.45, 1);
        const suppressed = performance.now() - before;
        kept.filter(({ score }) => score >= 0.3).forEach(({ box }) =>
            context.strokeRect(640 * box[0], 480 * box[1], 640 * (box[2] - box[0]),
                               480 * (box[3] - box[1])));
        rows.push([times[1], times[1] + times[2] + suppressed, performance.now() - start]);
    }
    return rows.slice(3);
}"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves without a word."""

    def log_message(self, *args):
        pass


def measure(rounds):
    """Return the figures, from the built pages."""
    from playwright.sync_api import sync_playwright
    pages = ROOT / "_build" / "html"
    if not (pages / "book" / "try_it.html").is_file():
        raise SystemExit("the pages are not built: make book")
    if CHROMIUM is None:
        raise SystemExit("Chromium is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0),
                                 partial(Quiet, directory=str(pages)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM,
                                         args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/book/try_it.html")
        page.wait_for_function("window.dsodTry")
        rows = np.array(page.evaluate(ROUNDS, rounds))
        version = browser.version
        browser.close()
    server.shutdown()
    names = ("network", "with decoding and suppression", "picture to boxes")
    figures = {name: {"median": round(float(np.median(column)), 1),
                      "least": round(float(column.min()), 1),
                      "most": round(float(column.max()), 1)}
               for name, column in zip(names, rows.T)}
    figures["in times of the network"] = round(
        float(np.median(rows[:, 1] / rows[:, 0])), 3)
    return {"figures": figures, "chromium": version}


def main():
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    options = parser.parse_args()
    options.quick = False
    payload = measure(options.rounds)
    for name, value in payload["figures"].items():
        print(f"{name:30} {value}")
    common.save("browser", payload, options)


if __name__ == "__main__":
    main()
