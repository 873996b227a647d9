"""The text that readers read, without code, mathematics and addresses: what the checks of it share."""
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]

FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n.*?^[ \t]*\1[ \t]*$", re.M | re.S)
COMMENT = re.compile(r"<!--.*?-->", re.S)
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$", re.S)
CODE = re.compile(r"(`+)(?:(?!\1).)+?\1", re.S)
ROLE = re.compile(r"\{[\w:-]+\}(?=`)")
TARGET = re.compile(r"(?<=\])\([^)\s]*(?:\s\"[^\"]*\")?\)")
ADDRESS = re.compile(r"https?://\S+|arXiv:[\w./]+|\b10\.\d{4,}/\S+")
TAG = re.compile(r"</?\w[^>]*>")


def blank(text, *patterns):
    """Put a space in the place of what the patterns match, and keep the lines as they are."""
    for pattern in patterns:
        text = pattern.sub(lambda found: " " + "\n" * found.group().count("\n"), text)
    return text


def words_only(text):
    """Return Markdown without fenced and inline code, mathematics, targets of links and tags."""
    return blank(text, FENCE, COMMENT, MATHS, ROLE, CODE, TARGET, ADDRESS, TAG)


def cell_texts(cell):
    """Return the Markdown of a cell: its source, or the caption and alternative text of its figure."""
    if cell.cell_type == "markdown":
        return [cell.source]
    shown = cell.metadata.get("mystnb", {})
    told = shown.get("figure", {}).get("caption"), shown.get("image", {}).get("alt")
    return [text for text in told if text]


def cells(path):
    """Yield (place, Markdown) of a notebook's Markdown cells, captions and alternative texts."""
    for number, cell in enumerate(nbformat.read(path, 4).cells, 1):
        kind = "" if cell.cell_type == "markdown" else ", figure"
        for text in cell_texts(cell):
            yield f"{path.name}, cell {number}{kind}", text


def texts(root=ROOT):
    """Yield (place, file, Markdown) of all that the project says to its readers."""
    files = [root / "README.md", root / "CHANGELOG.md", root / "CONTRIBUTING.md",
             root / "data" / "README.md",
             *sorted((root / "book").glob("*.md"))]
    for path in files:
        yield path.relative_to(root).as_posix(), path, path.read_text(encoding="utf-8")
    for path in sorted((root / "book").glob("*.ipynb")):
        for place, text in cells(path):
            yield place, path, text
