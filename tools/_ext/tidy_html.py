"""Mend the HTML that Sphinx 7.4 writes (see sphinx.local_extensions in _config.yml)."""
import re
from pathlib import Path

from PIL import Image

WIDE = 540     # pixels: shrunk to a telephone's page, the text of a wider figure is too small
IMAGE = re.compile(r'<img(?=[^>]*src="[^"]*_images/([^"/]+)")')


def keep_each_script_once(app, pagename, templatename, context, doctree):
    """Drop repeated scripts: sphinx-thebe's second copy is an error in the browser."""
    seen, kept = set(), []
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", {})
        key = (getattr(script, "filename", script) or "", tuple(sorted(attributes.items())))
        if key not in seen:
            seen.add(key)
            kept.append(script)
    context["script_files"] = kept


def mark_wide_figures(app, pagename, templatename, context, doctree):
    """Give wide pictures the attribute data-wide: on a telephone they scroll (book.css)."""
    places = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}

    def mark(match):
        place = places.get(match[1])
        if place is None or place.suffix not in (".png", ".jpg", ".jpeg"):
            return match[0]
        with Image.open(place) as picture:
            return "<img data-wide" if picture.width >= WIDE else match[0]

    if context.get("body"):
        context["body"] = IMAGE.sub(mark, context["body"])


def setup(app):
    app.connect("html-page-context", mark_wide_figures)
    app.connect("html-page-context", keep_each_script_once, priority=990)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
