"""A window on the built pages, that writes down what goes wrong in it."""
import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)
NO_CHROMIUM = "Chromium is not installed"

# Pictures further down load when they come into sight; a test wants them all.
EAGER = """Promise.all([...document.images].map((one) => {
  one.loading = "eager";
  return one.decode().catch(() => 0);
}))"""


def listed_names():
    """Return the names of the pages of the table of contents, such as book/index."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"]] + [entry["file"] for part in toc["parts"] for entry in part["chapters"]]


class Visit:
    """A window of some width and theme, and everything that went wrong in it.

    page: the Playwright page; problems: sentences.
    """

    def __init__(self, chromium, address, width=1280, theme="light", touch=False):
        self.address, self.problems = address, []
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, has_touch=touch,
            base_url=address, permissions=["clipboard-read", "clipboard-write"])
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("requestfailed", self.failed)
        self.page.on("response", self.answered)
        self.page.on("request", self.asked)

    def heard(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def failed(self, request):
        # Who leaves a page at once stops what it still asks for, its icon last.
        if not (request.url.endswith("favicon.png") and request.failure == "net::ERR_ABORTED"):
            self.problems.append(f"failed: {request.url} {request.failure}")

    def answered(self, response):
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")

    def asked(self, request):
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.problems.append(f"asks another host: {request.url}")

    def open(self, name):
        """Open a page; return when its scripts and pictures are done."""
        self.page.goto(f"/{name}.html", wait_until="load")
        self.page.evaluate(EAGER)
        return self.page
