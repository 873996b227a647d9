"""The first page: two buttons (`start-buttons`) and `chapter-cards`, a card for each chapter, with its first picture and its question.

Titles, questions and pictures are read from the notebooks of _toc.yml, so that no card goes stale.
The pictures are made small while the pages are written.
"""
import base64
import io
from html import escape
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from PIL import Image

COLAB = "https://colab.research.google.com/github"
START = "00_tour"
FOLDER = "_static/thumbs"
WIDTH = 400                 # pixels: twice the width at which a card shows it
HIDDEN = {"remove-cell", "remove-output"}
KINDS = {"image/jpeg": "jpg", "image/png": "jpg", "image/svg+xml": "svg"}


def first_words(nb):
    """Return (title, question) of a chapter: its heading, and the paragraph below it."""
    parts = [part.strip() for part in nb.cells[0].source.split("\n\n")]
    words = [part for part in parts[1:] if part and not part.startswith("[Open in Colab]")]
    return parts[0].lstrip("# "), " ".join(words[0].split()) if words else ""


def first_picture(nb):
    """Return (kind of file, its bytes, what is seen) of a chapter's first picture, or None."""
    for cell in nb.cells:
        if HIDDEN & set(cell.metadata.get("tags", ())):
            continue
        for out in cell.get("outputs", ()):
            for mime, kind in KINDS.items():
                if mime in out.get("data", {}):
                    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
                    return kind, as_bytes(mime, out["data"][mime]), alt
    return None


def as_bytes(mime, data):
    """Return a picture as bytes, made small where it has pixels."""
    text = "".join(data)
    if mime == "image/svg+xml":
        return text.encode()
    picture = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
    picture.thumbnail((WIDTH, 4 * WIDTH), Image.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80, optimize=True)
    return file.getvalue()


def parts(folder):
    """Yield (caption, [(number or "", name, path of the notebook)]) of the parts with chapters."""
    number = 0
    for part in yaml.safe_load((folder / "_toc.yml").read_text())["parts"]:
        rows = []
        for entry in part["chapters"]:
            number += bool(part.get("numbered"))
            path = folder / f"{entry['file']}.ipynb"
            if path.exists() and path.stem[0].isdigit() | ("primer" in path.stem):
                rows.append((f"{number}. " if part.get("numbered") else "", path))
        if rows:
            yield part["caption"], rows


def card(number, path, thumbs):
    """Return the HTML of one card; note its picture, to be written later."""
    nb = nbformat.read(path, 4)
    title, question = first_words(nb)
    found, picture = first_picture(nb), '<span class="none"></span>'
    if found:
        kind, raw, alt = found
        thumbs[f"{path.stem}.{kind}"] = raw
        picture = (f'<img src="../{FOLDER}/{path.stem}.{kind}" alt="{escape(alt)}" '
                   'loading="lazy" decoding="async" />')
    return (f'<a class="chapter-card" href="{path.stem}.html">{picture}'
            f'<strong>{number}{escape(title)}</strong><span>{escape(question)}</span></a>')


class ChapterCards(Directive):
    """Shows the cards of all chapters, part by part."""

    def run(self):
        app = self.state.document.settings.env.app
        html = ""
        for caption, rows in parts(Path(app.srcdir)):
            cards = "\n".join(card(*row, app.chapter_thumbs) for row in rows)
            html += f'<h3>{escape(caption)}</h3>\n<div class="chapter-cards">\n{cards}\n</div>\n'
        return [nodes.raw("", html, format="html")]


class StartButtons(Directive):
    """Shows two buttons: to the tour, and to the tour in Colab."""

    def run(self):
        options = self.state.document.settings.env.config.html_theme_options
        github = options["repository_url"].rstrip("/").partition("github.com/")[2]
        colab = (f"{COLAB}/{github}/blob/{options.get('repository_branch') or 'main'}"
                 f"/book/{START}.ipynb")
        html = (f'<p class="start"><a class="chapter-button first" href="{START}.html">'
                f'Start reading</a> <a class="chapter-button" href="{escape(colab)}">'
                'Open in Colab</a></p>')
        return [nodes.raw("", html, format="html")]


def write_thumbs(app, error):
    """Write the small pictures beside the pages."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir, FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in app.chapter_thumbs.items():
            (folder / name).write_bytes(raw)


def always_read(app, env, added, changed, removed):
    """Read the page of the cards each time: the notebooks may have changed."""
    return [app.config.root_doc] if app.config.root_doc in env.found_docs else []


def setup(app):
    app.chapter_thumbs = {}
    app.add_directive("chapter-cards", ChapterCards)
    app.add_directive("start-buttons", StartButtons)
    app.connect("env-get-outdated", always_read)
    app.connect("build-finished", write_thumbs)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
