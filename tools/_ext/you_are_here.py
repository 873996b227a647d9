"""A small map at the head of each chapter: where it stands between a picture and its boxes."""
from html import escape

# Name, chapters that are about it (the first is linked to), column, row.
STATIONS = (("pictures", "05 12 13", 0, 0), ("network", "04 02 03 11 14 15 16 17", 1, 0),
            ("detection", "09 18", 2, 0), ("evaluation", "10", 3, 0),
            ("anchors", "01", 0, 1), ("training", "08 08b", 1, 1), ("losses", "07", 2, 1),
            ("targets", "06", 3, 1))
# From station to station: what a picture goes through, and what teaches the network.
WAYS = ("M84 20H94", "M174 20H184", "M264 20H274", "M276 64H266", "M186 64H176", "M135 50V36")
COLOUR = "#e69f00"


def chart(number, pages):
    """Return the map with the station of a chapter marked, or nothing if it has none."""
    here = [name for name, chapters, *_ in STATIONS if number in chapters.split()]
    if not here:
        return ""
    parts = [f'<path d="{way}" stroke="currentColor" stroke-width="2" fill="none"/>'
             for way in WAYS]
    for name, chapters, column, row in STATIONS:
        x, y, marked = 4 + 90 * column, 5 + 44 * row, name in here
        box = (f'<rect x="{x}" y="{y}" width="80" height="30" rx="4" stroke="currentColor" '
               f'fill="{COLOUR if marked else "none"}"/>'
               f'<text x="{x + 40}" y="{y + 19}" text-anchor="middle" '
               f'fill="{"#000" if marked else "currentColor"}">{name}</text>')
        target = next((page for page in pages if page.startswith(chapters[:2] + "_")), None)
        current = ' aria-current="true"' if marked else ""
        parts.append(f'<a href="{escape(target)}.html"{current}>{box}</a>' if target else box)
    return ('<nav class="you-are-here" aria-label="Where this chapter stands">'
            '<svg viewBox="0 0 360 84" width="100%" style="max-width:26rem" font-size="13" '
            f'font-family="system-ui, sans-serif">{"".join(parts)}</svg></nav>')


def add_chart(app, pagename, templatename, context, doctree):
    """Put the map behind the title of a chapter."""
    folder, _, page = pagename.rpartition("/")
    pages = sorted(name.rpartition("/")[2] for name in app.env.found_docs
                   if name.rpartition("/")[0] == folder)
    drawn = chart(page.partition("_")[0], pages) if context.get("body") else ""
    if drawn:
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{drawn}", 1)


def setup(app):
    app.connect("html-page-context", add_chart)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
