"""Let a chapter's picture be the first thing behind its question.

In a notebook the set-up has to run before anything is drawn, and code stands above what it
makes. On the page the first picture comes before the set-up, and before its own folded code.
"""
from docutils import nodes


def cells_of(doctree):
    """Return the cells of a notebook's page, in order."""
    return [one for one in doctree.findall(nodes.container) if "cell" in one["classes"]]


def put_first(app, doctree, docname):
    """Move the set-up behind the first picture, if only hidden cells lie between them."""
    cells = [one for one in cells_of(doctree) if one.children]
    picture = next((one for one in cells if next(one.findall(nodes.image), None)), None)
    if picture is None or picture is cells[0] or picture.parent is not cells[0].parent:
        return
    section, setup = picture.parent, cells[0]
    between = section.children[section.index(setup) + 1:section.index(picture)]
    if any(one in cells for one in between):
        return
    section.remove(setup)
    section.insert(section.index(picture) + 1, setup)
    picture.children.sort(key=lambda part: "cell_output" not in part.get("classes", ()))


def setup(app):
    app.connect("doctree-resolved", put_first)   # code is folded by then
    return {"parallel_read_safe": True, "parallel_write_safe": True}
