"""Put line drawings (SVG of notebooks) into the page itself, where they take its light or dark.

As a file of its own a drawing follows the reader's system, not the switch of the page.
"""
import re
from pathlib import Path

IMAGE = re.compile(r'<img(?=[^>]*src="[^"]*_images/([^"/]+\.svg)")(?:[^>]*?alt="([^"]*)")?[^>]*>')


def inline(source, words):
    """Return a drawing as an element of a page, with its alternative text."""
    source = re.sub(r"<style>.*?</style>", "", source, flags=re.S)    # would hold for the page
    start = source.index("<svg")
    return f'<svg role="img" aria-label="{words}"{source[start + 4:]}'


def put_drawings_in(app, pagename, templatename, context, doctree):
    """Replace each image of a line drawing by the drawing."""
    places = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}

    def drawing(match):
        place = places.get(match[1])
        source = place.read_text(encoding="utf-8") if place and place.is_file() else ""
        return inline(source, match[2] or "") if "currentColor" in source else match[0]

    if context.get("body"):
        context["body"] = IMAGE.sub(drawing, context["body"])


def setup(app):
    app.connect("html-page-context", put_drawings_in, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
