"""What a page says about itself: a description, a card for links to it, a way to report a mistake.

All addresses are built from `repository` and `html.baseurl` in _config.yml.
"""
import re
from html import escape, unescape
from urllib.parse import quote

from docutils import nodes

CARD = "_static/img/card.jpg"
CARD_ALT = "Three creatures on a street, each in a box, and the title of the book."
LONGEST = 200  # letters of a description


def description(doctree):
    """Return the first sentences of a page: of a chapter, the question that it answers."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if isinstance(paragraph.parent, nodes.section) and text != "Open in Colab":
            return shorten(text)
    return ""


def shorten(text):
    """Return a text cut behind a sentence or a word, if it is long."""
    if len(text) <= LONGEST:
        return text
    cut = text[:LONGEST]
    end = max(cut.rfind(". "), cut.rfind("? "))
    return cut[:end + 1] if end > LONGEST // 3 else cut[:cut.rfind(" ")] + " ..."


def plain(title):
    """Return a title as text: Sphinx hands it over as HTML."""
    return unescape(re.sub(r"<[^>]*>", "", title))


def tags(title, about, site, page):
    """Return the <meta> tags of one page."""
    values = {"og:type": "article", "og:site_name": title[1], "og:title": title[0],
              "og:description": about, "og:url": f"{site}{page}.html", "og:image": site + CARD,
              "og:image:width": "1200", "og:image:height": "630", "og:image:alt": CARD_ALT}
    rows = [f'<meta property="{name}" content="{escape(value)}" />'
            for name, value in values.items()]
    rows += [f'<meta name="description" content="{escape(about)}" />',
             '<meta name="twitter:card" content="summary_large_image" />']
    return "\n".join(["", *rows, ""])


def report_link(repository, title, page):
    """Return the line at the foot of a page that opens a new issue about it."""
    words = f"title={quote('Mistake in: ' + title)}&body={quote(f'Page: {page}' + chr(10) * 2)}"
    return (f'<p class="report"><a href="{escape(f"{repository}/issues/new?{words}")}">'
            f"Report a mistake on this page</a></p>")


def describe(app, page, template, context, doctree):
    """Give a page its tags and its line at the foot."""
    if doctree is None:  # the search page and the like
        return
    title = (plain(context.get("title") or ""), app.config.html_title)
    about = description(doctree) or title[1]
    site = app.config.html_baseurl.rstrip("/") + "/"
    context["metatags"] = context.get("metatags", "") + tags(title, about, site, page)
    options = app.config.html_theme_options
    context["theme_extra_footer"] = report_link(options["repository_url"], title[0], page)


def setup(app):
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
