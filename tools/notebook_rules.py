"""The mechanical rules that every chapter keeps; prints one line per broken rule.

    python tools/notebook_rules.py book/01_anchors.ipynb
    python tools/notebook_rules.py --all

Each rule is a function that takes a notebook and yields sentences. nbval compares
what is stored; these rules see to it that enough is stored, and only what is wanted.
"""
import argparse
import ast
import base64
import builtins
import copy
import io
import itertools
import re
import symtable
import sys
from pathlib import Path

import nbformat
from PIL import Image

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.fold_cells import TITLE, folded
from tools.run_notebooks import PACKAGE, ROOT, arguments, parse, without_magics
from tools.stamp_repository import setup_cell

MAX_LINES, MAX_COLUMNS, MAX_BYTES = 20, 79, 1_000_000
PAGE_TAGS = {"hide-input", "hide-output", "hide-cell", "remove-cell", "remove-input",
             "remove-output"}
TAGS = PAGE_TAGS | {"raises-exception", "nbval-ignore-output"}
IGNORED_SHARE, COMPARED_SHARE = 0.1, 0.6
# What these teach stands in the workbench.
TEACH_WORKBENCH = {"08b_full", "13_your_data", "17_pruning", "18_ship_it"}
IMPORTS = (ast.Import, ast.ImportFrom)
PHOTO_COLOURS = 0.05  # colours in each pixel of a picture: a drawing has one in a hundred
MIME_TYPES = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg"}
# A home, a temporary or a drive's folder; "/9" in a sum or a URL's path is none.
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|mnt|content|opt|usr|var)/|"
                      r"\b[A-Z]:\\")


def code_cells(nb):
    """Return (number, cell) of the code cells; numbers count all cells from 1."""
    return [(i, cell) for i, cell in enumerate(nb.cells, 1) if cell.cell_type == "code"]


def tags(cell):
    """Return the set of a cell's tags."""
    return set(cell.metadata.get("tags", []))


def text_of(out):
    """Return all the text of one output."""
    if out.output_type == "stream":
        return out.text
    if out.output_type == "error":
        return "\n".join(out.traceback)
    return "\n".join(str(value) for mime, value in out.data.items() if mime.startswith("text/"))


# ---- the rules -------------------------------------------------------------

def cells_are_short(nb):
    """A code cell has at most 20 lines of 79 columns, and holds something."""
    for number, cell in code_cells(nb):
        lines = cell.source.splitlines()
        lines = lines[bool(lines) and lines[0].startswith(TITLE):]   # Colab hides all but this
        if not cell.source.strip():
            yield f"cell {number} is empty"
        if len(lines) > MAX_LINES:
            yield f"cell {number} has {len(lines)} lines; {MAX_LINES} are allowed"
        wide = max((len(line) for line in lines), default=0)
        if wide > MAX_COLUMNS:
            yield f"cell {number} is {wide} columns wide; {MAX_COLUMNS} are allowed"


def tags_are_known(nb):
    """Tags are those of the page, of nbval, or library:<module>.<name>."""
    for number, cell in enumerate(nb.cells, 1):
        for tag in sorted(tags(cell) - TAGS):
            if not re.fullmatch(r"library:[a-z_0-9]+(\.\w+)+", tag):
                yield f"cell {number} has the unknown tag {tag!r}"


def what_is_hidden_is_hidden_everywhere(nb):
    """What the page folds or leaves out is folded in JupyterLab, VS Code and Colab too."""
    for number, (cell, wanted) in enumerate(zip(nb.cells, folded(copy.deepcopy(nb)).cells), 1):
        if cell != wanted:
            yield f"cell {number} is not folded as its tags say (tools/fold_cells.py --all does it)"


def everything_is_run(nb):
    """All code cells are executed, in their order, from a fresh kernel."""
    counts = [cell.execution_count for _, cell in code_cells(nb)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the code cells are not executed in one go: their counts are {counts}"


def outputs_can_be_compared(nb):
    """No stderr, SVG, widget or unexpected error is stored."""
    for number, cell in code_cells(nb):
        for out in cell.outputs:
            if out.output_type == "stream" and out.name != "stdout":
                yield f"cell {number} writes to {out.name}: {out.text[:60]!r}"
            if out.output_type == "error" and "raises-exception" not in tags(cell):
                yield f"cell {number} ends in an error"
            for mime in sorted(set(out.get("data", {})) - MIME_TYPES):
                yield f"cell {number} shows {mime}, which is not compared or not the same each time"


def cells_end_well(nb):
    """No cell ends in a semicolon, which nbval does not honour; only the set-up uses IPython."""
    for number, cell in code_cells(nb):
        if cell.source.rstrip().endswith(";"):
            yield f"cell {number} ends in a semicolon"
        magic = re.search(r"^[ \t]*[%!]|get_ipython|clear_output", cell.source, re.M)
        if magic and not is_setup(cell):
            yield f"cell {number} uses {magic.group().strip()!r}"


def pictures_are_described(nb):
    """A picture has a caption, and says in words what is seen (mystnb: image.alt, figure.caption)."""
    for number, cell in code_cells(nb):
        shown = cell.metadata.get("mystnb", {})
        if not images(cell) or {"remove-cell", "remove-output"} & tags(cell):
            continue
        if len(shown.get("image", {}).get("alt", "")) < 10:
            yield f"cell {number} shows a picture without an alternative text"
        if len(shown.get("figure", {}).get("caption", "")) < 10:
            yield f"cell {number} shows a picture without a caption"


def pictures_are_whole(nb):
    """A picture can be read to its end and shows something; a photograph is a JPEG."""
    for number, cell in code_cells(nb):
        for mime, raw in images(cell):
            try:
                picture = Image.open(io.BytesIO(raw)).convert("RGB")
            except (OSError, SyntaxError, ValueError) as error:
                yield f"cell {number} shows a broken picture: {str(error)[:60]}"
                continue
            colours = len(picture.getcolors(picture.width * picture.height))
            if colours < 2:
                yield f"cell {number} shows an empty picture"
            if mime == "image/png" and colours > PHOTO_COLOURS * picture.width * picture.height:
                yield (f"cell {number} shows a photograph as PNG; "
                       'set_matplotlib_formats("jpeg") makes it a third as large')


def little_is_ignored(nb):
    """One code cell in ten may be ignored by nbval; an assert then says what must hold."""
    cells = code_cells(nb)
    ignored = [i for i, (_, cell) in enumerate(cells)
               if {"nbval-ignore-output", "nbval-skip"} & tags(cell)]
    if len(ignored) > IGNORED_SHARE * len(cells):
        yield f"{len(ignored)} of {len(cells)} code cells are ignored; one in ten may be"
    for i in ignored:
        near = [cell.source for _, cell in cells[i:i + 3]]
        if not any(has_assert(source) for source in near):
            yield f"cell {cells[i][0]} is ignored, and no assert follows it"
    for number, cell in cells:
        if "NBVAL_" in cell.source or "PYTEST_" in cell.source:
            yield f"cell {number} steers nbval by a comment; use a tag"


def enough_is_compared(nb):
    """Of the visible cells, the set-up aside, six in ten show a text that nbval compares."""
    visible = [cell for _, cell in code_cells(nb)
               if not {"remove-cell", "remove-output"} & tags(cell) and not is_setup(cell)]
    compared = [cell for cell in visible if shows_text(cell)]
    if len(compared) < COMPARED_SHARE * len(visible):
        yield (f"{len(compared)} of the {len(visible)} visible cells show a compared text; "
               f"six in ten should")


def visible_cells_are_no_tests(nb):
    """A visible cell is not only an assert: asserts for the author are removed from the page."""
    for number, cell in code_cells(nb):
        body = parse(cell.source).body
        seen = not {"remove-cell", "remove-input"} & tags(cell)
        if seen and body and all(isinstance(node, ast.Assert) for node in body):
            yield f"cell {number} is visible, and only an assert"


def paths_are_relative(nb):
    """Neither sources nor outputs hold an absolute path."""
    for number, cell in enumerate(nb.cells, 1):
        texts = [cell.source] + [text_of(out) for out in cell.get("outputs", [])]
        for found in filter(None, map(ABSOLUTE.search, texts)):
            yield f"cell {number} holds the absolute path {found.group()!r}..."


def markdown_is_plain(nb):
    """The first cell starts with the one title; no directives, no roles: Colab shows them raw.

    Of a <div data-interactive="..."> it shows the sentence inside, as it should.
    """
    first = nb.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell does not start with the title"
    titles = 0
    for number, cell in enumerate(nb.cells, 1):
        if cell.cell_type != "markdown":
            continue
        prose = re.sub(r"^(```+)[^\n{]*\n.*?^\1\s*$", "", cell.source, flags=re.M | re.S)
        titles += len(re.findall(r"^# ", prose, re.M))
        found = re.search(r"^(?:```+|:::+)\s*\{|\{[a-z:-]+\}`|^\(\w[\w-]*\)=|"
                          r"^<(?:div(?! data-interactive=\"[a-z]+\")|script)", prose, re.M)
        if found:
            yield f"cell {number} uses {found.group()!r}, which Colab shows raw"
    if titles != 1:
        yield f"there are {titles} titles (lines that start with '# '); one is expected"


def links_lead_somewhere(nb, folder=ROOT / "book"):
    """Local links and pictures exist, and pictures have an alternative text."""
    for number, cell in enumerate(nb.cells, 1):
        if cell.cell_type != "markdown":
            continue
        for mark, text, target in re.findall(r"(!?)\[([^\]]*)\]\(([^)\s]+)[^)]*\)", cell.source):
            if mark and len(text) < 10:
                yield f"cell {number} shows the picture {target} without an alternative text"
            if mark and not target.startswith("attachment:"):
                yield (f"cell {number} shows the picture {target} from outside the notebook: "
                       "Colab does not find it, so let a cell of code draw it")
            local = target.partition("#")[0]
            if local and not re.match(r"\w+:", local) and not (folder / local).exists():
                yield f"cell {number} links to {local}, which is not there"


def setup_is_the_same(nb):
    """The first code cell is the set-up cell of all chapters, with its input folded."""
    cells = code_cells(nb)
    if not cells or cells[0][1].source != setup_cell() or tags(cells[0][1]) != {"hide-input"}:
        yield ("the first code cell is not the set-up cell with the tag hide-input "
               "(tools/stamp_repository.py --new-cell prints it)")
    for number, cell in cells[1:]:
        if is_setup(cell):
            yield f"cell {number} repeats the set-up"


def notebook_is_small(nb):
    """A notebook stays below a megabyte."""
    size = len(nbformat.writes(nb).encode())
    if size > MAX_BYTES:
        yield f"the notebook has {size} bytes; {MAX_BYTES} are allowed"


def library_cells_are_the_library(nb, root=ROOT):
    """A library: cell holds its definition just as the module does, as a syntax tree."""
    for number, cell in code_cells(nb):
        for name in library_names(cell):
            here, there = definition(cell.source, name.rpartition(".")[2]), library_tree(name, root)
            if here is None:
                yield f"cell {number} does not define {name}"
            elif there is None:
                yield f"cell {number} is tagged {name}, which the library does not define"
            elif here != there:
                yield f"cell {number} and the library define {name} differently"


def library_cells_run_where_they_stand(nb):
    """What the code of a library: cell uses is there by then, and is no value of the chapter's own."""
    places = dict.fromkeys(dir(builtins))      # where a name's value was made; None: as the library's
    for number, cell in code_cells(nb):
        names = library_names(cell)
        top = symtable.symtable(without_magics(cell.source), f"cell {number}", "exec")
        for symbol in top.get_symbols():
            if symbol.is_imported() or symbol.is_assigned():
                own = symbol.is_assigned() and not names
                places[symbol.get_name()] = number if own else None
        for name in sorted(global_names(top) if names else ()):
            if name not in places:
                yield f"cell {number} uses {name} in {names[0]}, and no cell up to it has that name"
            elif places[name]:
                yield (f"cell {number} uses {name} in {names[0]}, "
                       f"which cell {places[name]} has made something else")


def nothing_private_is_used(nb):
    """No chapter imports or teaches a name that starts with an underscore."""
    for number, cell in code_cells(nb):
        names = [alias.name for node in imports(cell) for alias in node.names] + library_names(cell)
        for name in names:
            if re.search(r"(^|\.)_", name):
                yield f"cell {number} uses {name}, which is private: give it a public name"


def imports_are_tidy(nb):
    """Imports are sorted, by kind and by letter; none is made twice, no package named twice."""
    seen = {}
    for number, cell in code_cells(nb):
        for block in import_blocks(cell):
            if block != sorted(block, key=import_key):
                yield (f"cell {number}: sort the imports: standard library, others, dsod_d2l, "
                       "and `import` before `from`")
        modules = [node.module for node in imports(cell) if isinstance(node, ast.ImportFrom)]
        for module in sorted({one for one in modules if modules.count(one) > 1}):
            yield f"cell {number} imports from {module} in two lines"
        for node in imports(cell):
            names = [alias.name for alias in node.names]
            if names != sorted(names, key=str.lower):
                yield f"cell {number}: sort the names: {', '.join(sorted(names, key=str.lower))}"
            for one in node.names:
                key = getattr(node, "module", None), one.name, one.asname
                if seen.setdefault(key, number) != number:
                    yield f"cell {number} imports {one.name} again, as cell {seen[key]} does"


def workbench_stays_outside(nb, stem=""):
    """Only the chapters that teach the workbench import from it; others see what the face shows."""
    for number, cell in code_cells(nb):
        if stem not in TEACH_WORKBENCH and f"{PACKAGE}.workbench" in cell.source:
            yield f"cell {number} uses the workbench; {PACKAGE} itself gives what a chapter needs"


# ---- what the rules ask -----------------------------------------------------

def is_setup(cell):
    """Tell whether a code cell is the set-up cell."""
    return "google.colab" in cell.source


def imports(cell):
    """Return the import statements of a cell, inside functions too."""
    return [node for node in ast.walk(parse(cell.source)) if isinstance(node, IMPORTS)]


def import_blocks(cell):
    """Return the runs of imports at the top of a cell's code, as lists of statements."""
    runs = itertools.groupby(parse(cell.source).body, lambda node: isinstance(node, IMPORTS))
    return [list(run) for imported, run in runs if imported]


def import_key(node):
    """Return what imports are sorted by: kind of package, kind of statement, name."""
    module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
    first = module.partition(".")[0]
    kind = 0 if first in sys.stdlib_module_names else 2 if first == PACKAGE else 1
    return kind, isinstance(node, ast.ImportFrom), module.lower()


def global_names(table):
    """Return the global names that the functions and classes of a cell use."""
    found = set()
    for inner in table.get_children():
        found |= {symbol.get_name() for symbol in inner.get_symbols()
                  if symbol.is_global() and symbol.is_referenced()} | global_names(inner)
    return found


def images(cell):
    """Return the (MIME type, bytes) of a cell's pictures; what is no base64 gives no bytes."""
    found = []
    for out in cell.outputs:
        for mime in sorted({"image/png", "image/jpeg"} & set(out.get("data", {}))):
            try:
                found.append((mime, base64.b64decode(out.data[mime])))
            except ValueError:
                found.append((mime, b""))
    return found


def has_assert(source):
    """Tell whether the code asserts something."""
    return any(isinstance(node, ast.Assert) for node in ast.walk(parse(source)))


def shows_text(cell):
    """Tell whether a cell has a text output that nbval compares (a figure's name is none)."""
    if "nbval-ignore-output" in tags(cell):
        return False
    return any(text_of(out).strip() and not text_of(out).startswith("<Figure")
               for out in cell.outputs)


def library_names(cell):
    """Return the dotted names that a cell's library: tags give."""
    return [tag.partition(":")[2] for tag in sorted(tags(cell)) if tag.startswith("library:")]


class Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out of a syntax tree."""

    def strip_body(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        node.returns = None
        return node

    visit_FunctionDef = visit_ClassDef = strip_body

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        node.annotation = ast.Constant(None)
        if node.value is None:
            return node
        return ast.Assign(targets=[node.target], value=node.value)


def named(source, name):
    """Return the node that defines a function, a class or a constant of that name, or None."""
    for node in parse(source).body:
        target = getattr(node, "targets", [getattr(node, "target", None)])[0]
        if name in (getattr(node, "name", None), getattr(target, "id", None)):
            return node
    return None


def bare(node):
    """Return a definition's syntax tree as text, without docstrings and annotations."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return ast.dump(node.value)
    return ast.dump(Bare().visit(copy.deepcopy(node)))


def definition(source, name):
    """Return the bare syntax tree, as text, of what defines that name, or None."""
    node = named(source, name)
    return None if node is None else bare(node)


def library_source(name, root=ROOT):
    """Return the source of the file that defines `module.name` in the library, or None."""
    module, _, name = name.rpartition(".")
    path = root / "dsod_d2l" / Path(*module.split("."))
    files = [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else path.glob("*.py")
    sources = (file.read_text() for file in files)
    return next((source for source in sources if named(source, name) is not None), None)


def library_tree(name, root=ROOT):
    """Return the bare syntax tree of `module.name` in the library, or None."""
    source = library_source(name, root)
    return None if source is None else definition(source, name.rpartition(".")[2])


RULES = (cells_are_short, tags_are_known, what_is_hidden_is_hidden_everywhere,
         everything_is_run, outputs_can_be_compared,
         cells_end_well, pictures_are_described, pictures_are_whole, little_is_ignored,
         enough_is_compared, visible_cells_are_no_tests, paths_are_relative,
         markdown_is_plain, links_lead_somewhere, setup_is_the_same, notebook_is_small,
         library_cells_are_the_library, library_cells_run_where_they_stand,
         nothing_private_is_used, imports_are_tidy, workbench_stays_outside)


def problems(nb, stem=""):
    """Return a sentence for each place where a notebook, a file of that stem, breaks a rule."""
    given = {workbench_stays_outside: (stem,)}
    return [sentence for rule in RULES for sentence in rule(nb, *given.get(rule, ()))]


def main():
    args = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    found = [f"{path.name}: {sentence}" for path in args.files
             for sentence in problems(nbformat.read(path, 4), path.stem)]
    print("\n".join(found) or f"{len(args.files)} notebooks keep all {len(RULES)} rules.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
