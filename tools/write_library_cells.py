"""Write the `library:` cells of notebooks from the module, so that both are the same.

    python tools/write_library_cells.py book/01_anchors.ipynb     write these
    python tools/write_library_cells.py --all                     write every notebook
    python tools/write_library_cells.py --all --check             only say which cells differ

In a cell tagged `library:<module>.<name>` the definition of that name is written as it
stands in the module, with its comments and without annotations of arguments. All else in
the cell stays: imports, other definitions, blank lines where nothing else differs. A
docstring stays too, for it may be shorter than the module's, as long as the code below it
is the same; where that has changed, the first line of the module's is taken.
Exit status: 0 all well, 1 a cell differs (--check) or does not hold its definition.
"""
import argparse
import ast
import sys
import textwrap
from pathlib import Path

import nbformat

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.notebook_rules import (MAX_COLUMNS, bare, code_cells, library_names, library_source,
                                  named)
from tools.run_notebooks import ROOT, arguments

KINDS = (ast.FunctionDef, ast.ClassDef)


def definitions(node, path=""):
    """Return {dotted path: node} of a function or class and of those inside it."""
    if not isinstance(node, KINDS):
        return {}
    found = {path: node}
    for child in node.body:
        found.update(definitions(child, f"{path}.{getattr(child, 'name', '')}"))
    return found


def documented(node):
    """Tell whether a definition has a docstring."""
    return isinstance(node, KINDS) and ast.get_docstring(node, clean=False) is not None


def span(node):
    """Return (first, behind last) of a node's lines, counted from 0, decorators included."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return first - 1, node.end_lineno


def words(source, options):
    """Return the arguments of a function as they are written, without annotations."""
    def word(one, default):
        written = ast.get_source_segment(source, default) if default else None
        return one.arg + (f"={written}" if written else "")

    plain = options.posonlyargs + options.args
    found = list(map(word, plain, [None] * (len(plain) - len(options.defaults)) + options.defaults))
    if options.posonlyargs:
        found.insert(len(options.posonlyargs), "/")
    if options.vararg or options.kwonlyargs:
        found.append("*" + (options.vararg.arg if options.vararg else ""))
    found += map(word, options.kwonlyargs, options.kw_defaults)
    return found + (["**" + options.kwarg.arg] if options.kwarg else [])


def signature(source, node):
    """Return (first, behind last, lines) that leave out a function's annotations, or None."""
    every = [one for one in ast.walk(node.args) if isinstance(one, ast.arg)]
    notes = [note for note in (node.returns, *(one.annotation for one in every)) if note]
    if not notes or node.body[0].lineno == node.lineno:
        return None
    lines = source.splitlines()
    behind = max(one.end_lineno for one in [*every, *notes, *node.args.defaults])
    while not lines[behind - 1].partition("#")[0].rstrip().endswith(":"):
        behind += 1
    head = " " * node.col_offset + f"def {node.name}("
    text = ", ".join(word.replace(" ", "\0") for word in words(source, node.args)) + "):"
    new = textwrap.wrap(head + text, MAX_COLUMNS, subsequent_indent=" " * len(head),
                        break_long_words=False, break_on_hyphens=False)
    return node.lineno - 1, behind, [line.replace("\0", " ") for line in new]


def opening(source, node, cell, there):
    """Return (first, behind last, lines) that put the cell's docstring for the module's, or None.

    `there` is the same definition in the cell; where it is another one or none, the
    module's first line is taken, if the cell had a docstring at all.
    """
    if not documented(node) or len(node.body) == 1:
        return None
    first, behind = span(node.body[0])
    while not source.splitlines()[behind].strip():     # the gap below a long docstring
        behind += 1
    if there is not None and not documented(there):
        return first, behind, []
    if there is not None and bare(there) == bare(node):
        return first, behind, cell.splitlines()[slice(*span(there.body[0]))]
    left = " " * node.body[0].col_offset
    line = f'{left}"""{ast.get_docstring(node).splitlines()[0]}'
    fits = len(line) + 3 <= MAX_COLUMNS
    return first, behind, [f'{line}"""'] if fits else [line, f'{left}"""']


def as_shown(source, node, cell, there):
    """Return the lines of a definition of the module, as the cell that has it now shows it."""
    lines, others = source.splitlines(), definitions(there)
    start, behind = span(node)
    rest, changes = len(lines) - behind, []
    for path, one in definitions(node).items():
        changes.append(opening(source, one, cell, others.get(path)))
        if isinstance(one, ast.FunctionDef):
            changes.append(signature(source, one))
    for first, last, new in sorted(filter(None, changes), reverse=True):
        lines[first:last] = new
    return lines[start:len(lines) - rest]


def written(cell, names, root=ROOT):
    """Return a cell's source with these definitions as they stand in the module.

    Raises:
        LookupError: the module or the cell does not define a name.
    """
    for name in names:
        source, last = library_source(name, root), name.rpartition(".")[2]
        there = named(cell, last)
        if source is None or there is None:
            place = "library" if source is None else "cell"
            raise LookupError(f"the {place} does not define {name}")
        lines, (first, behind) = cell.splitlines(), span(there)
        new = as_shown(source, named(source, last), cell, there)
        if list(filter(None, new)) != list(filter(None, lines[first:behind])):
            cell = "\n".join([*lines[:first], *new, *lines[behind:]])
    return cell


def write(path, check):
    """Write the cells of one notebook; return a sentence for each that differs or cannot be."""
    nb, new, faults = nbformat.read(path, 4), [], []
    for number, cell in code_cells(nb):
        try:
            source = written(cell.source, library_names(cell))
        except LookupError as error:
            faults.append(f"{path.name}: cell {number}: {error}")
            continue
        if source != cell.source:
            new.append(f"{path.name}: cell {number} {'differs' if check else 'is written'}")
            cell.source = source
    if new and not check:
        nbformat.write(nb, path)
    for sentence in new + faults:
        print(sentence)
    return faults + (new if check else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing: say which cells differ")
    args = arguments(parser)
    bad = [sentence for path in args.files for sentence in write(path, args.check)]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
