"""Write the addresses that `_config.yml` alone holds where readers need them.

    python tools/stamp_repository.py             stamp the notebooks and the README
    python tools/stamp_repository.py --check     exit 1 if one differs from _config.yml
    python tools/stamp_repository.py --new-cell  print the set-up cell for a new chapter

A notebook gets it twice: in the "Open in Colab" line below its title (put in where it
is missing) and in its set-up cell, there with the tag of the release. The README gets it in its `git clone` line,
its badges and in the links that open each chapter in Colab, and it and CITATION.cff the address of the pages.
The links lead to the tag of the release, too, as soon as CHANGELOG.md has a date for it; until then
there is no such tag, and they lead to the branch.
"""
import argparse
import re
import sys
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
COLAB = "https://colab.research.google.com/github"
LINK = re.compile(r"^\[Open in Colab\]\([^)]*\)$", re.M)
CLONE = re.compile(r"^(\s*git clone |repository-code: )\S+", re.M)
SITE = re.compile(r"^(url: )\S+", re.M)
PAGES = re.compile(r"(\[(?:Read the book|Try the detector in your browser)\]\()\S*?(?=(?:book/\w+\.html)?\))")
BADGES = re.compile(r"^\[!\[(\w+)\]\(.*/workflows/([\w.]+)\)$", re.M)
CHAPTERS = re.compile(r"(?<=<!-- colab -->\n).*(?=\n<!-- /colab -->)", re.S)
IN_CODE = re.compile(r'^(\s*REPOSITORY = )".*"', re.M)
RELEASE = re.compile(r'^(\s*RELEASE = )".*"', re.M)
VERSION = re.compile(r'^__version__ = "(.+)"$', re.M)
SETUP = '''\
#@title Set-up: finds the module, or fetches it
import importlib.util
import os
import subprocess
import sys

REPOSITORY = ""
RELEASE = ""
FETCHED = "dsod-d2l/dsod_d2l/runtime.py"
if os.path.isfile("../dsod_d2l/runtime.py"):         # beside this notebook
    sys.path.insert(0, os.path.abspath(".."))
elif not importlib.util.find_spec("dsod_d2l"):       # nor installed
    for tag in (["-b", RELEASE], []):                # no such tag: the newest
        if os.path.isfile(FETCHED):
            break
        try:
            said = subprocess.run(
                ["git", "clone", "-q", "--depth", "1", *tag, REPOSITORY,
                 "dsod-d2l"], capture_output=True, text=True,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0"}).stderr
        except OSError as error:                     # there is no git
            said = str(error)
        if not tag and os.path.isfile(FETCHED):
            print("There is no release", RELEASE, "yet: this is the newest "
                  "state of the book.")
    if not os.path.isfile(FETCHED):
        sys.exit(f"The book could not be fetched ({said.strip()}). Check the "
                 "network and the free space on the disk, delete the folder "
                 "dsod-d2l if there is one; then run this cell again.")
    sys.path.insert(0, os.path.abspath("dsod-d2l"))

import matplotlib.pyplot as plt
import numpy as np

import dsod_d2l

if not RELEASE.endswith(dsod_d2l.__version__):
    print("This notebook is of", RELEASE, "and the module of",
          dsod_d2l.__version__, "in", dsod_d2l.__path__[0] + ": if a cell "
          "fails, take both of one release (in Colab, delete the folder "
          "dsod-d2l, restart the session, and run this cell again).")
if not importlib.util.find_spec("mxnet"):
    try:
        dsod_d2l.install_packages()
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))'''


def repository(root=ROOT):
    """Return (address, branch) from _config.yml."""
    block = yaml.safe_load((root / "_config.yml").read_text())["repository"]
    return block["url"].rstrip("/"), block["branch"]


def site(root=ROOT):
    """Return the address of the published pages from _config.yml, with a slash behind it."""
    block = yaml.safe_load((root / "_config.yml").read_text()).get("html", {})
    return block.get("baseurl", "").rstrip("/") + "/"


def release():
    """Return the tag of this version of the book."""
    return "v" + VERSION.search((ROOT / "dsod_d2l/__init__.py").read_text()).group(1)


def linked(root=ROOT):
    """Return what links lead to: the tag of this version, or the branch while it is not released."""
    log = root / "CHANGELOG.md"
    heading = re.search(rf"^## {re.escape(release()[1:])} \((.*)\)$",
                        log.read_text(encoding="utf-8") if log.is_file() else "", re.M)
    dated = heading and re.fullmatch(r"\d{4}-\d\d-\d\d", heading[1])
    return release() if dated else repository(root)[1]


def setup_cell(root=ROOT):
    """Return the source of the set-up cell, with the address and the tag of the release."""
    cell = IN_CODE.sub(rf'\1"{repository(root)[0]}"', SETUP)
    return RELEASE.sub(rf'\1"{release()}"', cell)


def stamp_title(source, link):
    """Return the first cell's text with the link below its title."""
    if LINK.search(source):
        return LINK.sub(link, source, count=1)
    title, _, rest = source.partition("\n")
    return f"{title}\n\n{link}\n\n{rest.lstrip()}".rstrip()


def colab_link(name, root=ROOT):
    """Return the address that opens a notebook, given its path in the repository, in Colab."""
    address, _ = repository(root)
    return f"{COLAB}/{address.partition('github.com/')[2]}/blob/{linked(root)}/{name}"


def chapter_links(root=ROOT):
    """Return links that open each notebook of the book in Colab, in the order of their names."""
    links = []
    for path in sorted((root / "book").glob("*.ipynb")):
        title = nbformat.read(path, 4).cells[0].source.partition("\n")[0].lstrip("# ")
        links.append(f"[{title}]({colab_link(path.relative_to(root).as_posix(), root)})")
    return " ·\n".join(links)


def badge(name, workflow, root=ROOT):
    """Return the picture of a workflow's last result on the branch, with a link to its runs."""
    address, branch = repository(root)
    runs = f"{address}/actions/workflows/{workflow}"
    return f"[![{name}]({runs}/badge.svg?branch={branch})]({runs})"


def stamp_notebook(nb, name, root=ROOT):
    """Stamp one notebook, given its path in the repository."""
    link = f"[Open in Colab]({colab_link(name, root)})"
    nb.cells[0].source = stamp_title(nb.cells[0].source, link)
    for cell in nb.cells:
        if cell.cell_type == "code" and "install_packages" in cell.source:
            cell.source = setup_cell(root)
    return nb


def stamped(path, root=ROOT):
    """Return (the text that is there, the text that should be) of one file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        new = CLONE.sub(rf"\g<1>{repository(root)[0]}", text)
        new = CHAPTERS.sub(lambda _: chapter_links(root), new)
        new = BADGES.sub(lambda match: badge(*match.groups(), root), new)
        new = PAGES.sub(rf"\g<1>{site(root)}", new)
        return text, SITE.sub(rf"\g<1>{site(root)}", new) if path.suffix == ".cff" else new
    nb = nbformat.reads(text, 4)
    before = nbformat.writes(nb)
    after = nbformat.writes(stamp_notebook(nb, path.relative_to(root).as_posix(), root))
    return text, text if before == after else after + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing: say what differs")
    parser.add_argument("--new-cell", action="store_true", help="print the set-up cell")
    args = parser.parse_args()
    if args.new_cell:
        print(setup_cell())
        return
    if linked() != release():
        print(f"{release()} is not released (CHANGELOG.md): links lead to {linked()}.")
    differ = 0
    for path in [ROOT / "README.md", ROOT / "CITATION.cff", *sorted((ROOT / "book").glob("*.ipynb"))]:
        old, new = stamped(path)
        if old != new:
            differ += 1
            print(f"{path.relative_to(ROOT)}: {'differs' if args.check else 'stamped'}")
            if not args.check:
                path.write_text(new, encoding="utf-8")
    if args.check and differ:
        sys.exit("Run tools/stamp_repository.py: the address in _config.yml is another one.")


if __name__ == "__main__":
    main()
