"""Make the written pages light: what the theme brings and the book does not use is left out.

The theme's icons come as a script of 1.5 MB; the few that are used are drawn into the pages. Its styles
become one file, without the rules whose classes no page and no script has. Scripts of features that the book
does not use go. Pictures further down load when they come into sight.
"""
import re
from pathlib import Path

import tinycss2

ICONS = ("fontawesome.js", "all.min.js")     # in the theme for Python 3.11 and later, and in the older one
UNUSED = (*ICONS, "all.min.css", "togglebutton.js", "design-tabs.js", "sphinx-thebe.js", "sphinx-thebe.css",
          "togglebutton.css", "sphinx-design.min.css")
SEARCHING = ("searchindex.js", "searchtools.js", "language_data.js")     # on the page of the search alone
STYLES = "book.min.css"
STYLE = re.compile(r'\s*<link\b[^>]*href="([^"?]*_static/[^"?]+\.css)[^"]*"[^>]*/>')
SCRIPT = re.compile(r'\s*<script\b[^>]*src="[^"]*/([\w.-]+\.js)[^"]*"[^>]*></script>')
INLINE = re.compile(r"\s*<script>(?:let toggle|var toggle|const THEBE)[^\n]*</script>")
PRELOAD = re.compile(r'\s*<link rel="preload"[^>]*/>')
ICON = re.compile(r'<(i|span) class="((?:[\w-]+ )*?fa[a-z]? ?(?:[\w-]+ )*fa-[\w -]+|fa-[\w -]+)"([^>]*)></\1>')
IMAGE = re.compile(r"<img\b(?![^>]*\bloading=)")
AUTHOR = re.compile(r'<p class="component-author">.*?</p>', re.S)
TITLE = re.compile(r"<title>(.*?) &#8212; \1</title>", re.S)
# Names for listeners that hide the words which are there, and a list that holds no items.
MISNAMED = (' aria-label="Toggle hidden content"', ' role="list"')
SEARCH = re.compile(r'(<button class="[^"]*search-button-field[^>]*?)\s+aria-label="Search"')
WIDE = re.compile(r"<figure (?=[^>]*>\s*(?:<a[^>]*>\s*)?<img data-wide)")
EAGER = 1          # pictures of the article that load at once: the first
NAMES = re.compile(r"[A-Za-z_][\w-]*")
IMPORT = re.compile(r'@import "([\w./-]+)";')
ADDRESS = re.compile(r"""url\((?!["']?(?:[a-z]+:|/|#))(["']?)""")    # a relative one
CONDITIONS = ("media", "supports", "layer", "container")


# ---- icons -----------------------------------------------------------------------------------

def read_icons(script):
    """Return {name: (width, height, path)} of the theme's script of icons; brands come first."""
    found = {}
    shape = re.compile(r'(?:"([\w-]+)"|\b(\w+)):\[(\d+),(\d+),\[[^\]]*\],"\w+","([^"]+)"\]')
    for quoted, bare, width, height, path in shape.findall(script):
        found[quoted or bare] = width, height, path       # of a name's styles the last, solid, stays
    return found


def draw_icon(match, icons):
    """Return an icon as a drawing that follows the colour and the size of the text."""
    classes, rest = match[2], match[3]
    names = [one[3:] for one in classes.split() if one.startswith("fa-")]
    names = [OTHER_NAMES.get(name, name) for name in names]
    name = next((one for one in names if one in icons), None)
    if name is None:
        return match[0]
    width, height, path = icons[name]
    hidden = "" if "aria-hidden" in rest else ' aria-hidden="true"'
    return (f'<svg class="{classes} icon"{rest}{hidden} viewBox="0 0 {width} {height}">'
            f'<path fill="currentColor" d="{path}"></path></svg>')


OTHER_NAMES = {"pencil-alt": "pencil", "search": "magnifying-glass"}


# ---- styles ----------------------------------------------------------------------------------

def without_brackets(selector):
    """Return a selector without what stands in brackets: conditions that need not hold."""
    before = None
    while before != selector:
        before, selector = selector, re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", selector)
    return selector


def is_used(selector, names):
    """Tell whether every class and id of a selector is on some page, or in some script."""
    return all(one[1:] in names for one in re.findall(r"[.#][A-Za-z_-][\w-]*",
                                                      without_brackets(selector).replace("\\", "")))


def split_selectors(text):
    """Return the selectors of a list, split at commas outside of brackets."""
    parts, depth, last = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append(text[last:place])
            last = place + 1
    return [*parts, text[last:]]


def reduced(rules, names):
    """Return a style sheet as text, without the rules that fit nothing."""
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            fit = [one.strip() for one in split_selectors(tinycss2.serialize(rule.prelude))
                   if is_used(one, names)]
            if fit:
                kept.append(f"{','.join(fit)}{{{tinycss2.serialize(rule.content).strip()}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in CONDITIONS and rule.content:
            inside = reduced(tinycss2.parse_rule_list(rule.content, True, True), names)
            if inside:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inside}}}")
        elif rule.type == "at-rule" and not unused_font(rule) and rule.lower_at_keyword != "charset":
            kept.append(tinycss2.serialize([rule]))
    return "\n".join(kept)


def unused_font(rule):
    """Tell whether an at-rule brings a font of icons, which are drawings here."""
    return rule.lower_at_keyword == "font-face" and "Awesome" in tinycss2.serialize(rule.content)


def gather_styles(static, files, names):
    """Return the styles of all files as one text, addresses as seen from the folder `_static`."""
    texts = []
    for file in files:
        folder = Path(file).parent.as_posix()
        text = IMPORT.sub(lambda match: (static / folder / match[1]).read_text(encoding="utf-8"),
                          (static / file).read_text(encoding="utf-8"))
        if folder != ".":
            text = ADDRESS.sub(rf"url(\1{folder}/", text)
        texts.append(reduced(tinycss2.parse_stylesheet(text, True, True), names))
    return "\n".join(texts)


# ---- pages -----------------------------------------------------------------------------------

def lazy_images(html):
    """Let the pictures of the article load when they come into sight, but the first."""
    head, mark, body = html.partition("<article")
    seen = 0

    def one(match):
        nonlocal seen
        seen += 1
        return match[0] if seen <= EAGER else '<img loading="lazy" decoding="async"'
    return head + mark + IMAGE.sub(one, body)


def lightened(html, icons):
    """Return a page without what it does not need; its styles in one file."""
    left_out = UNUSED if 'id="search-results"' in html else (*UNUSED, *SEARCHING)
    html = SCRIPT.sub(lambda match: "" if match[1] in left_out else match[0], html)
    html = INLINE.sub("", PRELOAD.sub("", html))
    html = ICON.sub(lambda match: draw_icon(match, icons), html)
    html = AUTHOR.sub("", TITLE.sub(r"<title>\1</title>", html))
    html = html.replace('data-theme="auto"', 'data-theme="light"', 1)    # where no script chooses
    for words in MISNAMED:
        html = html.replace(words, "")
    # What scrolls where it is too wide does so by keyboard too.
    html = WIDE.sub('<figure tabindex="0" ', SEARCH.sub(r"\1", html))
    html = html.replace('<table class="table">', '<table class="table" tabindex="0">')
    sheets = STYLE.findall(html)
    if sheets:
        to_static = sheets[0].partition("_static/")[0] + "_static/"
        html = STYLE.sub("", html)
        html = html.replace("</title>", f'</title>\n    <link rel="stylesheet" href="{to_static}{STYLES}" />', 1)
    return lazy_images(html), sheets


def lighten(app, error):
    """Rewrite the pages of a finished build."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    static = folder / "_static"
    scripts = [path for name in ICONS for path in static.rglob(name)]
    icons = read_icons("".join(path.read_text(encoding="utf-8") for path in scripts))
    names, files = set(), []
    for page in sorted(folder.rglob("*.html")):
        if static in page.parents:
            continue
        html, sheets = lightened(page.read_text(encoding="utf-8"), icons)
        page.write_text(html, encoding="utf-8")
        files += [name for sheet in sheets if (name := sheet.partition("_static/")[2]) not in files]
        names.update(*map(NAMES.findall, re.findall(r'\b(?:class|id)="([^"]*)"', html)))
    for script in static.rglob("*.js"):
        if script.name not in UNUSED:
            names.update(NAMES.findall(script.read_text(encoding="utf-8")))
    if files:                         # none: the pages are those of an earlier build
        files = [name for name in files if Path(name).name not in UNUSED]
        (static / STYLES).write_text(gather_styles(static, files, names), encoding="utf-8")


def setup(app):
    app.connect("build-finished", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
