"""Write what stands at the root of the site: its first page, a page for what is not found, the map.

The first page leads to the book at once; it has a title, a card and a link for whoever is not led.
"""
from html import escape
from pathlib import Path

from page_head import tags

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>{title}</title>
{head}
<style>body {{ font: 1.1rem/1.6 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem;
padding: 0 1rem; color-scheme: light dark }}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
ABOUT = "Build, train, judge and use DSOD, an object detector trained from scratch: a book with code."


def first_page(title, site, root):
    """Return the page at the root, which leads to the page `root` of the book."""
    head = "\n".join([f'<meta http-equiv="refresh" content="0; url={root}.html" />',
                      f'<link rel="canonical" href="{site}{root}.html" />',
                      tags((title, title), ABOUT, site, root).strip()])
    body = f'<p>{escape(ABOUT)}</p>\n<p><a href="{root}.html">Read the book</a></p>'
    return PAGE.format(title=escape(title), head=head, body=body)


def missing_page(title, site, root):
    """Return the page for an address that leads nowhere; it is shown at any depth."""
    body = (f'<p>There is no such page in <em>{escape(title)}</em>: it may have been renamed.</p>\n'
            f'<p><a href="{site}{root}.html">The chapters</a> · '
            f'<a href="{site}search.html">Search</a></p>')
    return PAGE.format(title="Not found", head='<meta name="robots" content="noindex" />', body=body)


def site_map(site, pages):
    """Return the list of pages that search engines read."""
    rows = "".join(f"<url><loc>{escape(site + page)}.html</loc></url>\n" for page in sorted(pages))
    return ('<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}</urlset>\n')


def write(app, error):
    """Write the files beside the pages of a finished build."""
    if error is not None or app.builder.format != "html":
        return
    site, root = app.config.html_baseurl.rstrip("/") + "/", app.config.root_doc
    title, folder = app.config.html_title, Path(app.outdir)
    files = {"index.html": first_page(title, site, root), "404.html": missing_page(title, site, root),
             "sitemap.xml": site_map(site, app.env.found_docs),
             "robots.txt": f"User-agent: *\nAllow: /\nSitemap: {site}sitemap.xml\n"}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def setup(app):
    app.connect("build-finished", write, priority=950)      # behind the redirection of the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
