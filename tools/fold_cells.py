"""Fold in a notebook what the page folds or leaves out, so that both read alike.

    python tools/fold_cells.py --all       fold the notebooks of the book
    python tools/fold_cells.py --check     exit 1 if one is not folded

A check, a solution in code, a drawing and the set-up are hidden in JupyterLab and VS Code
(`jupyter.source_hidden`), and are a form with a title in Colab (`cellView`, `#@title`).
"""
import argparse
import sys
from pathlib import Path

import nbformat

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.stamp_repository import ROOT

TITLE = "#@title "
TITLES = {"remove-cell": "Checks of what is said above", "hide-cell": "The solution in code",
          "hide-input": "The drawing"}
PLAIN = "Settings for the pictures and checks that follow"


def title_of(cell):
    """Return the title of a cell that is folded, else None."""
    tag = next((tag for tag in TITLES if tag in cell.metadata.get("tags", ())), None)
    if tag == "remove-cell" and "assert" not in cell.source:
        return PLAIN
    return TITLES.get(tag)


def folded(nb):
    """Return a notebook with its cells folded, or not, as their tags say."""
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        title, titled = title_of(cell), cell.source.startswith(TITLE)
        if title and not titled:
            cell.source = f"{TITLE}{title}\n{cell.source}"
        if title:
            cell.metadata["cellView"] = "form"
            cell.metadata["jupyter"] = {"source_hidden": True}
        elif titled:
            cell.source = cell.source.partition("\n")[2]
            for name in ("cellView", "jupyter"):
                cell.metadata.pop(name, None)
    return nb


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--all", action="store_true", help="all notebooks of the book")
    parser.add_argument("--check", action="store_true", help="write nothing: say what differs")
    args = parser.parse_args()
    differ = 0
    for path in args.notebooks or sorted((ROOT / "book").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        new = nbformat.writes(folded(nbformat.reads(text, 4))) + "\n"
        if new != text:
            differ += 1
            print(f"{path.name}: {'is not folded' if args.check else 'folded'}")
            if not args.check:
                path.write_text(new, encoding="utf-8")
    if args.check and differ:
        sys.exit("Run tools/fold_cells.py --all.")


if __name__ == "__main__":
    main()
