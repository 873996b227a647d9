"""Print what each built page weighs: bytes and requests, without its own pictures.

    python benchmarks/pages.py [PAGES]       default _build/html, which `make book` writes

Bytes are those of the files, uncompressed. A page's own pictures are those of its figures and of the cards
of chapters; all else counts: the page, styles, scripts, fonts, the logo. Exit status 1 if a page is
above MOST_BYTES or MOST_REQUESTS.
"""
import argparse
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path[:0] = [str(Path(__file__).resolve().parents[1]),
                str(Path(__file__).resolve().parents[1] / "tests")]

from browsing import CHROMIUM, ROOT, listed_names  # noqa: E402

MOST_BYTES, MOST_REQUESTS = 1_500_000, 25
OWN = ("/_images/", "/_static/thumbs/", "/_static/img/before.jpg", "/_static/img/after.jpg",
       "/_static/three.jpg")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *args):
        pass


def weigh(browser, folder, address, name):
    """Return (bytes, requests) of one page."""
    asked = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("request", lambda one: asked.append(unquote(urlsplit(one.url).path)))
    page.goto(f"{address}/{name}.html", wait_until="load")
    page.wait_for_timeout(100)
    page.close()
    files = [folder / path.lstrip("/") for path in asked
             if not path.startswith(OWN) and (folder / path.lstrip("/")).is_file()]
    return sum(file.stat().st_size for file in files), len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="?", type=Path, default=ROOT / "_build" / "html")
    folder = parser.parse_args().pages.resolve()
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    heavy = 0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in [*listed_names(), "search"]:
            size, requests = weigh(browser, folder, f"http://127.0.0.1:{server.server_port}", name)
            above = name != "search" and (size > MOST_BYTES or requests > MOST_REQUESTS)
            heavy += above
            print(f"{name:25} {size / 1e6:5.2f} MB {requests:3} requests{' TOO HEAVY' * above}")
        browser.close()
    server.shutdown()
    sys.exit(1 if heavy else 0)


if __name__ == "__main__":
    main()
