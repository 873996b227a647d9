"""Let a chapter's picture be the first thing behind its question.

In a notebook the set-up has to run before anything is drawn, and code stands above what it
makes. On the page the first picture comes before the set-up, and before its own folded code.
"""
from docutils import nodes


def cells_of(doctree):
    """Return the cells of a notebook's page, in order."""
    return [one for one in doctree.findall(nodes.container) if "cell" in one["classes"]]


def is_folded(cell):
    """Tell whether the page shows no more of a cell than its folded code."""
    shown = {name for part in cell.children for name in part.get("classes", ())}
    return "tag_hide-input" in cell["classes"] and "cell_output" not in shown


def put_first(app, doctree, docname):
    """Move the set-up, and the folded cells after it, behind the first picture."""
    cells = [one for one in cells_of(doctree) if one.children]
    picture = next((one for one in cells if next(one.findall(nodes.image), None)), None)
    if picture is None or picture is cells[0] or picture.parent is not cells[0].parent:
        return
    section, before = picture.parent, cells[:cells.index(picture)]
    if any(one.parent is not section or not is_folded(one) for one in before):
        return
    for one in before:
        section.remove(one)
    place = section.index(picture) + 1
    section[place:place] = before
    picture.children.sort(key=lambda part: "cell_output" not in part.get("classes", ()))


def setup(app):
    app.connect("doctree-resolved", put_first)   # code is folded by then
    return {"parallel_read_safe": True, "parallel_write_safe": True}
