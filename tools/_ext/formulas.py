"""Set the formulas while the pages are written: a page needs no script for them.

KaTeX (tools/_ext/katex, MIT License) runs in the small JavaScript engine of dukpy. A formula that it does not
understand is a warning, which stops the build.
"""
import re
from pathlib import Path

import dukpy
from docutils import nodes
from sphinx.util import logging

SCRIPT = Path(__file__).parent / "katex" / "katex.min.js"
ANNOTATION = re.compile(r"<annotation[^>]*>.*?</annotation>", re.S)   # TeX, which a search would find
log = logging.getLogger(__name__)


class Setter:
    """Turns TeX into HTML, with MathML for those who listen; each formula once."""

    def __init__(self):
        self.engine, self.done = None, {}

    def __call__(self, tex, display):
        if self.engine is None:
            self.engine = dukpy.JSInterpreter()
            self.engine.evaljs(SCRIPT.read_text(encoding="utf-8") + "; 0")
        if (tex, display) not in self.done:
            html = self.engine.evaljs(
                "katex.renderToString(dukpy.tex, {displayMode: dukpy.display, strict: 'ignore'})",
                tex=tex, display=display)
            self.done[tex, display] = ANNOTATION.sub("", html)
        return self.done[tex, display]


set_formula = Setter()


def write(translator, node, display):
    """Write one formula into a page."""
    try:
        html = set_formula(node.astext(), display)
    except dukpy.JSRuntimeError as error:
        log.warning("KaTeX cannot set %r: %s", node.astext(), str(error).strip().splitlines()[0],
                    location=node)
        html = node.astext()
    tag = "div" if display else "span"
    focus = ' tabindex="0"' if display else ""      # a wide one scrolls, by keyboard as well
    translator.body.append(f'<{tag} class="math"{focus}>{html}</{tag}>\n' if display else
                           f'<{tag} class="math">{html}</{tag}>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer(
        "katex", inline_renderers=(lambda self, node: write(self, node, False), None),
        block_renderers=(lambda self, node: write(self, node, True), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
