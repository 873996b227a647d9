"""Mark each page's first use of a term of the glossary: hovering over it shows what it means.

A mark is a link to the term's entry, with the entry's text as its title: that is all a page without scripts
needs. js/terms.js shows the text at once, by keyboard and by finger as well. Everyday words, such as *step*,
are terms only where a page sets them in italics. For the search of the pages each chapter says, in entries of an
index, which terms the glossary sends there.
"""
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

GLOSSARY = "book/glossary"
NOT_MARKED = (GLOSSARY, "book/interface", "book/references", "book/command_line")
# Not inside of these: what is linked, set as code or as a heading, or read as a name.
SKIPPED = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.math, nodes.math_block,
           nodes.raw, nodes.image, nodes.caption, nodes.term, nodes.thead)
EVERYDAY = set("""stand-in background bias body brightness coco compression contrast crowd duplicate edge envelope epoch
expansion head hue interpolation matching oracle padded patch precision projection ratio recall sample sampler
saturation score size spec ssd stem step stride symbol target transform transition voc warp worker
variances difficult""".split())
TEX = ((r"\theta", "θ"), (r"\gamma", "γ"), (r"\ln ", "ln "), ("{", ""), ("}", ""), ("_", ""), ("^", " to the power "))
log = logging.getLogger(__name__)


def as_text(node):
    """Return what a definition says, without its link to a chapter, formulas as plain text."""
    if isinstance(node, nodes.Text):
        return str(node)
    if isinstance(node, nodes.math):
        text = node.astext()
        for tex, plain in TEX:
            text = text.replace(tex, plain)
        if "\\" in text:
            log.warning("a formula of the glossary has no plain text: %r", text, location=node)
        return text
    if is_link(node):
        return ""
    return "".join(map(as_text, node.children))


def names(term):
    """Return the lower-case names of an entry, such as Non-maximum suppression (NMS): both."""
    whole = re.match(r"(.*?)(?: \((\w+)\))?$", term)
    found = [name for part in (whole[1], whole[2]) if part for name in part.split(", ")]
    return [name.lower() for name in found]


def entries(doctree):
    """Yield (anchor, names, meaning, node of the term, page to look it up in) of each entry of the glossary."""
    for item in doctree.findall(nodes.definition_list_item):
        term = item.next_node(nodes.term)
        words = term.astext()
        definition = item.next_node(nodes.definition)
        meaning = " ".join(as_text(definition).split())
        yield "term-" + nodes.make_id(words), names(words), meaning, term, page_of(definition)


def page_of(definition):
    """Return the name of the page that the last link of a definition leads to."""
    links = [one for one in definition.findall(nodes.Element) if is_link(one)]
    target = links[-1].get("reftarget") or links[-1].get("refuri", "") if links else ""
    return re.sub(r"(.*/)?([^/#]+?)(\.\w+)?(#.*)?$", r"\2", target)


def is_link(node):
    """Tell whether a node is a link, looked up already or not."""
    return isinstance(node, (nodes.reference, addnodes.pending_xref))


def pattern(words):
    """Return an expression that finds any of some names, longest first, and their plurals."""
    longest = sorted(words, key=len, reverse=True)
    inside = "|".join(re.escape(word).replace(r"\ ", r"\s+").replace(r"\-", "[- ]") for word in longest)
    return re.compile(rf"(?<![\w-])({inside})(e?s)?(?![\w-])", re.I)


class Marker:
    """Marks the first use of each term in one page; address: of the glossary, seen from there."""

    def __init__(self, terms, address):
        self.terms, self.address = dict(terms), address
        self.find = pattern(self.terms)

    def meaning(self, word):
        """Return (name, entry) of a word as the page writes it."""
        word = re.sub(r"\s+", " ", word.lower())
        name = next((one for one in self.terms if one.replace("-", " ") == word.replace("-", " ")), None)
        return name, self.terms.get(name)

    def marked(self, node, italic):
        """Return what a text becomes: texts, and links in between; a term is used up by its mark."""
        text, parts, last = str(node), [], 0
        for match in self.find.finditer(text):
            name, entry = self.meaning(match[1])
            if entry is None or not italic and name in EVERYDAY or name == "map" and match[1] != "mAP":
                continue
            anchor, meaning = entry
            for other in [one for one, (place, _) in self.terms.items() if place == anchor]:
                del self.terms[other]
            parts += [nodes.Text(text[last:match.start()]), nodes.reference(
                "", match[0], internal=True, refuri=f"{self.address}#{anchor}", reftitle=meaning,
                classes=["term"])]
            last = match.end()
        return [*parts, nodes.Text(text[last:])] if parts else None

    def go_through(self, node, italic=False):
        """Mark the terms in a node and in what it holds."""
        for child in list(node.children):
            if isinstance(child, nodes.Text):
                parts = self.marked(child, italic)
                if parts:
                    place = node.index(child)
                    node.children[place:place + 1] = parts
                    for part in parts:
                        part.parent = node
            elif not isinstance(child, SKIPPED):
                self.go_through(child, italic or isinstance(child, nodes.emphasis))


def mark_terms(app, doctree, docname):
    """Give the entries of the glossary their anchors, and the other pages their marks."""
    env = app.env
    if app.builder.format != "html" or GLOSSARY not in env.found_docs:
        return
    if docname == GLOSSARY:
        for anchor, _, _, term, _ in entries(doctree):
            term["ids"].append(anchor)
    if docname in NOT_MARKED:
        return
    found = list(entries(env.get_doctree(GLOSSARY)))
    here = [name for _, words, _, _, page in found if page == docname.rpartition("/")[2]
            for name in {*words, *(word.replace("-", " ") for word in words)}]
    doctree.append(addnodes.index(entries=[("single", name, "", "main", None) for name in sorted(here)]))
    terms = {name: (anchor, meaning) for anchor, words, meaning, *_ in found for name in words}
    marker = Marker(terms, app.builder.get_relative_uri(docname, GLOSSARY))
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if isinstance(paragraph.parent, (nodes.section, nodes.list_item, nodes.block_quote)) \
                and not in_solution(paragraph):
            marker.go_through(paragraph)


def in_solution(node):
    """Tell whether a node stands in what the page folds or leaves out: a cell, or HTML around a text."""
    before = node.parent.children[:node.parent.index(node)]
    html = "".join(one.astext() for one in before if isinstance(one, nodes.raw))
    if html.count("<details") > html.count("</details"):
        return True
    while node is not None:
        if {"tag_hide-cell", "tag_remove-cell", "cell_output"} & set(node.get("classes", ())):
            return True
        node = node.parent
    return False


def setup(app):
    app.connect("doctree-resolved", mark_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
