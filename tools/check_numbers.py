"""Check that every number in a chapter's prose is asserted somewhere in that chapter.

    python tools/check_numbers.py book/06_targets.ipynb
    python tools/check_numbers.py --all

A number counts as asserted when it occurs, as a value, in an assert of the chapter or
in a cell that is removed from the page and asserts something. A program cannot tell
whether the assert speaks of the same thing; it does see an assert that speaks of no
thing at all, such as `assert 6 * 7 == 42`. Not asked for are whole numbers up to
twelve, the forms below, the figures of a paper beside its arXiv number, and what an
exercise gives, if it stands in the solution.
"""
import argparse
import ast
import builtins
import re
import sys
from pathlib import Path

import nbformat

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.notebook_rules import code_cells, tags
from tools.prose import ADDRESS, CODE, FENCE, TAG, TARGET, blank, cell_texts
from tools.run_notebooks import arguments, parse

SMALL = 12
NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:(?:,|\\,|\{,\}|[ \u202f](?=\d{3}\b))\d{3})+|\d+)(?:\.\d+)?"
                    r"(?![\w])|(?<![\w.])\.\d+\b")
ALLOWED = re.compile("|".join((
    r"\b(?:19|20)\d\d\b",                                       # years
    r"\b(?:[Ss]ections?|[Cc]hapters?|[Tt]ables?|[Ff]igures?|equation)\s+[\d.]+(?:\s+(?:and|to)\s+[\d.]+)?",
    r"\b(?:Python|MXNet|NumPy|numpy|IPython|matplotlib|d2l|CUDA)\s+\d[\d.]*",  # versions
    r"\b(?:about |some )?\d+\s+(?:minutes|seconds)\b",          # times, which are measured elsewhere
    r"\bfloat(?:16|32|64)\b", r"\bDS/[\d-]+\b", r"\bAP\d\d\b",  # names
)))


# ---- what the asserts say ----------------------------------------------------------------

def constants(tree):
    """Yield the numbers in a syntax tree, and those in its strings."""
    for node in ast.walk(tree):
        value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield float(value)
        elif isinstance(value, str):
            yield from (number for _, number in numbers(value))


def asserted(nb):
    """Return the numbers that the asserts of a notebook speak of."""
    found = set()
    for _, cell in code_cells(nb):
        tree = parse(cell.source)
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        whole = asserts and "remove-cell" in tags(cell)
        for node in [tree] if whole else asserts:
            found.update(constants(node))
    return found


def speaks_of_nothing(test):
    """Tell whether a comparison holds literals and built-in functions alone."""
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    return not {name for name in names if not hasattr(builtins, name)}


def empty_asserts(nb):
    """Return (cell, source) of the asserts, or parts of them, that compare literals only."""
    found = []
    for number, cell in code_cells(nb):
        for node in ast.walk(parse(cell.source)):
            if isinstance(node, ast.Assert):
                both = isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And)
                parts = node.test.values if both else [node.test]
                found += [(number, ast.unparse(part)) for part in parts if speaks_of_nothing(part)]
    return found


# ---- what the prose says -------------------------------------------------------------------

def numbers(text):
    """Yield (as it is written, value) of the numbers in a text."""
    for match in NUMBER.finditer(text):
        yield match.group(), float(re.sub(r"[,\s\\{}\u202f]", "", match.group()))


def prose_numbers(text):
    """Yield the numbers of a Markdown text that ask for an assert."""
    text = blank(text, FENCE, TARGET, ADDRESS, CODE, TAG, ALLOWED)
    for written, value in numbers(text):
        if value != int(value) or value > SMALL:
            yield written, value


def is_said(value, said):
    """Tell whether a value is among those said, or is one of them in per cent."""
    return any(abs(value - x) < 1e-9 * max(1, value) or abs(value - 100 * x) < 1e-6 for x in said)


def own_statements(text):
    """Return a text without the paragraphs and items that quote a paper and name it."""
    parts = re.split(r"(?m)^(?=\s*$|\s*[-*|] )", text)
    return "".join(part for part in parts if not re.search(r"arxiv", part, re.I))


def solution(nb, number):
    """Return the numbers in the code below a cell, up to the next cell of text."""
    found = set()
    for cell in nb.cells[number:]:
        if cell.cell_type != "code":
            break
        found.update(constants(parse(cell.source)))
    return found


def unguarded(nb):
    """Return (place, number as written) of the prose's numbers that no assert speaks of."""
    said, exercises, found = asserted(nb), False, []
    for number, cell in enumerate(nb.cells, 1):
        exercises |= cell.cell_type == "markdown" and "\n## Exercises" in "\n" + cell.source
        given = solution(nb, number) if exercises else set()
        found += [(f"cell {number}", written) for text in cell_texts(cell)
                  for written, value in prose_numbers(own_statements(text))
                  if not is_said(value, said | given)]
    return found


def numbers_are_asserted(nb):
    """Every number in the prose is asserted, and of the object that it speaks of."""
    for place, written in unguarded(nb):
        yield f"{place} says {written}, and no assert speaks of it"
    for number, source in empty_asserts(nb):
        yield f"cell {number} asserts literals alone: {source}"


def main():
    args = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    found = [f"{path.name}: {sentence}" for path in args.files
             for sentence in numbers_are_asserted(nbformat.read(path, 4))]
    print("\n".join(found) or f"The numbers of {len(args.files)} chapters are asserted.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
