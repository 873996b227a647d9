"""Run notebooks in place and store their outputs in a form that is the same every time.

    python tools/run_notebooks.py book/01_anchors.ipynb      run these
    python tools/run_notebooks.py --all                      run every notebook
    python tools/run_notebooks.py --all --check              only say which outputs are stale

Outputs are stale when the notebook's code has changed since they were stored, or
the code of a module of `dsod_d2l` that it imports, straight or by way of another.
Exit status: 0 all well, 1 a notebook failed or is stale, 2 wrong use.
"""
import argparse
import ast
import copy
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import nbformat

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.marked_numbers import agreed_outputs

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "dsod_d2l"
SANITISE = ROOT / "tests" / "nbval_sanitize.cfg"
# Of what a cell says of itself: for the page, and for how editors and Colab fold it.
KEPT = ("cellView", "jupyter", "mystnb", "tags")
UNCOMPARED = {"nbval-ignore-output", "nbval-skip"}
OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.M)  # what a progress bar has overwritten
ADDRESS = re.compile(r'^(\s*(?:REPOSITORY|RELEASE) = ).*$', re.M)  # tools/stamp_repository.py writes it


# ---- which code an output depends on ---------------------------------------

def code_of(nb):
    """Return the sources of the code cells, without the stamped address and tag."""
    return [ADDRESS.sub(r'\1""', cell.source) for cell in nb.cells if cell.cell_type == "code"]


def without_magics(source):
    """Return a cell's source with lines for the shell and magics left blank."""
    return re.sub(r"^[ \t]*[%!].*$", "", source, flags=re.M)


def parse(source):
    """Parse a cell or a module; lines for the shell and magics count as blank."""
    return ast.parse(without_magics(source))


def module_file(name, root):
    """Return the file of a dotted module name, or None if there is none."""
    path = root.joinpath(*name.split("."))
    files = [path / "__init__.py", path.with_suffix(".py")]
    return next((file for file in files if file.is_file()), None)


def imported(tree, inside=""):
    """Return dotted names that may be modules of the package.

    `inside` is the package of the file the tree comes from, for relative imports.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = inside.split(".")[:len(inside.split(".")) - node.level + 1]
                base = ".".join(above + [base]).strip(".")
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):  # dsod_d2l.boxes.iou(...)
            dotted = ast.unparse(node)
            names.add(dotted if re.fullmatch(r"[\w.]+", dotted) else "")
        elif isinstance(node, ast.Constant) and node.value == PACKAGE:
            names.add(f"{PACKAGE}.__main__")  # python -m dsod_d2l, started from a cell
    return {name for name in names if name.split(".")[0] == PACKAGE}


def with_parents(name):
    """Return a.b.c with a.b and a: importing a module imports these too."""
    parts = name.split(".")
    return {".".join(parts[:i + 1]) for i in range(len(parts))}


def library_files(nb, root=ROOT):
    """Return the package's files that the notebook's code reaches, sorted."""
    waiting, files = set(), {}
    for source in code_of(nb):
        waiting |= imported(parse(source))
    while waiting:
        for name in with_parents(waiting.pop()):
            file = module_file(name, root)
            if file is None or name in files:
                continue
            files[name] = file
            inside = name if file.name == "__init__.py" else name.rpartition(".")[0]
            source = file.read_text()
            waiting |= imported(parse(source), inside)
            if file.name == "__init__.py" and "import_module(" in source:
                # It imports its modules by name, when asked: any may be meant.
                waiting |= {f"{name}.{module.stem}" for module in file.parent.glob("[a-z]*.py")}
    return sorted(files.values())


def prose_lines(tree):
    """Return the numbers of the lines that hold docstrings, and those inside other strings."""
    docs, strings = set(), set()
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and getattr(node.value, "value", None)
        if isinstance(text, str):
            docs.update(range(node.lineno, node.end_lineno + 1))
        elif isinstance(node, (ast.Constant, ast.JoinedStr)):
            strings.update(range(node.lineno + 1, node.end_lineno + 1))
    return docs, strings - docs


def bare_code(source):
    """Return a module's source without docstrings, comment lines and blank lines."""
    docs, strings = prose_lines(ast.parse(source))
    kept = []
    for number, line in enumerate(source.splitlines(), 1):
        idle = not line.strip() or line.lstrip().startswith("#")
        if number not in docs and (number in strings or not idle):
            kept.append(line)
    return "\n".join(kept)


def digest(nb, root=ROOT):
    """Return a digest of the notebook's code and of the library code that it reaches."""
    parts = code_of(nb)
    parts += [f"{file.relative_to(root).as_posix()}\n{bare_code(file.read_text())}"
              for file in library_files(nb, root)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


# ---- one form for equal outputs ----------------------------------------------

def joined(outputs):
    """Return outputs with one stream per name and without what was overwritten."""
    kept, streams = [], {}
    for out in outputs:
        out.pop("transient", None)
        if out.output_type != "stream":
            kept.append(out)
        elif out.name in streams:
            streams[out.name].text += out.text
        else:
            streams[out.name] = out
            kept.append(out)
    for out in streams.values():
        out.text = OVERWRITTEN.sub("", out.text)
    return [out for out in kept if out.get("text") != ""]


def normalise(nb):
    """Drop from a notebook all that differs from run to run or from editor to editor."""
    stored = nb.metadata.get("source_digest")
    nb.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}})
    if stored:
        nb.metadata["source_digest"] = stored
    nb.nbformat, nb.nbformat_minor = 4, 5
    taken = {cell.get("id") for cell in nb.cells}
    for number, cell in enumerate(nb.cells):
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)})
        if not cell.get("id"):
            cell["id"] = next(name for name in (f"cell-{i:03d}" for i in range(number, 1000))
                              if name not in taken)
            taken.add(cell["id"])
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    return nb


def sanitise_patterns():
    """Return the (regex, replacement) pairs that nbval applies before it compares."""
    return re.findall(r"^regex: (.*)\n^replace: (.*)$", SANITISE.read_text(), re.M)


def comparable(cell, patterns):
    """Return a cell's outputs: the text that nbval would compare, and the pictures."""
    outputs, pictures = json.loads(json.dumps(cell.outputs)), []
    for out in outputs:
        out.pop("execution_count", None)
        # Apart: a pattern would search a picture's base64 for minutes.
        pictures += [out["data"].pop(kind) for kind in sorted(out.get("data", {}))
                     if kind.startswith("image/")]
    text = json.dumps(outputs, sort_keys=True, ensure_ascii=False)
    for regex, replacement in patterns:
        text = re.sub(regex, replacement, text)
    return text, pictures


def keep_equal(new, old):
    """Keep a cell's stored outputs where the new ones say the same, so that diffs stay small."""
    patterns = sanitise_patterns()
    before = {cell["id"]: cell for cell in old.cells if cell.cell_type == "code"}
    for cell in new.cells:
        was = before.get(cell["id"]) if cell.cell_type == "code" else None
        if was is not None and was.outputs and was.source == cell.source:
            ignored = UNCOMPARED & set(cell.metadata.get("tags", []))
            again = {**cell, "outputs": agreed_outputs(copy.deepcopy(cell.outputs), was.outputs)}
            again = nbformat.from_dict(again)
            if ignored or comparable(was, patterns) == comparable(again, patterns):
                cell.outputs = was.outputs
                for out in cell.outputs:
                    if out.output_type == "execute_result":
                        out.execution_count = cell.execution_count
    return new


# ---- the program ---------------------------------------------------------------

def run(path, timeout):
    """Execute one notebook and write it back."""
    from nbclient import NotebookClient

    old = normalise(nbformat.read(path, 4))
    nb = normalise(nbformat.read(path, 4))
    NotebookClient(nb, timeout=timeout, kernel_name="python3", record_timing=False,
                   extra_arguments=["--log-level=ERROR"],
                   resources={"metadata": {"path": str(path.parent)}}).execute()
    nb.metadata["source_digest"] = digest(nb)
    nbformat.write(keep_equal(normalise(nb), old), path)


def run_all(paths, timeout):
    """Execute notebooks one after the other; return how many failed."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    # The kernel then captures streams just as it does under nbval.
    os.environ["PYTEST_CURRENT_TEST"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    failed = 0
    for path in paths:
        start = time.perf_counter()
        try:
            run(path, timeout)
        except (CellExecutionError, CellTimeoutError) as error:
            print(f"{path}: failed, and was not written\n{error}", file=sys.stderr)
            failed += 1
        else:
            size = path.stat().st_size // 1024
            print(f"{path}: {time.perf_counter() - start:.1f} s, {size} KB", flush=True)
    return failed


def check_all(paths):
    """Print the notebooks whose outputs are stale; return how many there are."""
    stale = [path for path in paths
             if nbformat.read(path, 4).metadata.get("source_digest") != digest(nbformat.read(path, 4))]
    for path in stale:
        print(f"{path}: the outputs are stale: run it with tools/run_notebooks.py")
    return len(stale)


def chapters():
    """Return the book's notebooks in their order."""
    return sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))


def notebooks():
    """Return all the book's notebooks: the chapters, then the appendices."""
    return chapters() + sorted((ROOT / "book").glob("[a-z]*.ipynb"))


def arguments(parser):
    """Return the notebooks that the command line asks for, each of them a file."""
    parser.add_argument("files", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--all", action="store_true", help="every notebook of the book")
    args = parser.parse_args()
    args.files = notebooks() if args.all else [file.resolve() for file in args.files]
    if not args.files and not args.all:
        parser.error("name the notebooks, or say --all")
    for file in args.files:
        if not file.is_file():
            parser.error(f"there is no file {file}")
    return args


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="run nothing: say what is stale")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one cell")
    args = arguments(parser)
    bad = check_all(args.files) if args.check else run_all(args.files, args.timeout)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
