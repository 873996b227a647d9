"""Check every link of the Markdown sources: files and headings exist, addresses are well formed.

    python tools/check_links.py             print the links that lead nowhere; exit 1 if any

It asks no other host. The pages that Sphinx builds are checked by tests/test_book.py.
"""
import re
import sys
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.prose import CODE, COMMENT, FENCE, MATHS, blank, texts

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)>\s]*)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s*<?([^>\s]+)", re.M)
IN_HTML = re.compile(r"<(?:a|img)\s[^>]*?(?:href|src)=[\"']([^\"']*)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.M)
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")


def slug(heading):
    """Return the name that a heading has in an address, as GitHub and MyST make it."""
    text = re.sub(r"[`*$]|\]\([^)]*\)|\[", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")


@lru_cache
def places(path):
    """Return the names of the headings of a Markdown file or a notebook."""
    if path.suffix == ".ipynb":
        parts = [cell.source for cell in nbformat.read(path, 4).cells
                 if cell.cell_type == "markdown"]
    else:
        parts = [path.read_text(encoding="utf-8")]
    return {slug(heading) for part in parts for heading in HEADING.findall(blank(part, FENCE))}


def targets(text):
    """Return the targets of all links and pictures of a Markdown text."""
    text = blank(text, FENCE, COMMENT, MATHS, CODE)
    return [found for pattern in (LINK, REFERENCE, IN_HTML) for found in pattern.findall(text)]


def foreign_fault(target):
    """Say what is wrong with the form of an address of another host, or return None."""
    parts = urlsplit(target)
    if parts.scheme not in ("https", "mailto"):
        return "is not https"
    if parts.scheme == "https" and not HOST.fullmatch(parts.hostname or ""):
        return "names no host"
    if re.search(r"[\s\"'<>{}|\\^`]", target) or target[-1] in ".,;:":
        return "holds a character that no address holds, or ends in a full stop"
    return None


def fault(target, path):
    """Say what is wrong with one link in a file, or return None."""
    if re.match(r"\w+:", target):
        return foreign_fault(target)
    if not target:
        return "is empty"
    name, _, place = target.partition("#")
    name = name.replace("../_static/", "assets/")     # where the pages keep what book/assets holds
    there = (path.parent / unquote(name)).resolve() if name else path
    if not there.exists():
        return "leads to no file"
    if place and there.suffix in (".md", ".ipynb") and unquote(place) not in places(there):
        return "leads to no heading of that file"
    return None


def main():
    links = [(place, path, target) for place, path, text in texts() for target in targets(text)]
    found = [f"{place}: the link {target!r} {fault(target, path)}" for place, path, target in links
             if fault(target, path)]
    print("\n".join(found) or f"All {len(links)} links of the sources lead somewhere.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
