"""The house in numbers: files and lines of code of the module and of the workbench.

    python tools/house.py            a line for each folder, the sums and the limits
    python tools/house.py --files    a line for each file as well

Counted are lines of code: without blank lines, comments and docstrings. Exit status: 0 all
well, 1 a limit is passed or the module imports the workbench.
"""
import argparse
import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dsod_d2l"
# (files, lines of code): limits of the module and of both floors together. The second is to be
# 14,000 lines: export, recipes and drawings have passed it, and from here on it only falls.
MODULE, WHOLE = (50, 4800), (130, 14953)
BOTH = {"__init__", "__main__"}      # the face and the command line know both floors
QUIET = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
         tokenize.ENDMARKER}
# Every command has these two; all else is called the same in one place only.
PROTOCOL = {"add_options", "run"}


def docstrings(tree):
    """Return the numbers of the lines that hold docstrings."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = (node.body[0] for node in ast.walk(tree)
             if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None)
    return {line for node in found for line in range(node.lineno, node.end_lineno + 1)}


def code_lines(source):
    """Return how many lines of code a source has.

    >>> code_lines('"Say."' + chr(10) * 2 + "x = 1  # one" + chr(10) + "# two" + chr(10))
    1
    """
    lines = {line for token in tokenize.generate_tokens(io.StringIO(source).readline)
             if token.type not in QUIET for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - docstrings(ast.parse(source)))


def measured(package=PACKAGE):
    """Return {file relative to the package: lines of code}."""
    return {path.relative_to(package): code_lines(path.read_text())
            for path in sorted(package.rglob("*.py"))}


def in_workbench(path):
    """Tell whether a file relative to the package stands in the workbench."""
    return path.parts[0] == "workbench"


def sums(counts):
    """Return (files, lines) of the module, and of module and workbench."""
    module = [lines for path, lines in counts.items() if not in_workbench(path)]
    return (len(module), sum(module)), (len(counts), sum(counts.values()))


def imports(path, package=PACKAGE):
    """Return the dotted names that a file imports from the package, anywhere in it."""
    names = set()
    inside = [package.name, *path.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[:len(inside) + 1 - node.level] if node.level else []
            head = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{head}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == package.name}


def climbing(package=PACKAGE):
    """Return "file: name" where the module imports the workbench."""
    found = []
    for path in measured(package):
        if in_workbench(path) or path.with_suffix("").as_posix() in BOTH:
            continue
        found += [f"{path}: {name}" for name in imports(package / path, package)
                  if name.startswith(f"{package.name}.workbench")]
    return sorted(found)


def circles(package=PACKAGE):
    """Return the files that import each other in a circle, at their tops or not."""
    files = {".".join([package.name, *path.with_suffix("").parts]).removesuffix(".__init__"): path
             for path in measured(package)}
    edges = {}
    for name, path in files.items():
        reached = imports(package / path, package)
        edges[name] = {one if one in files else one.rpartition(".")[0] for one in reached}
        edges[name] &= set(files) - {name, package.name}
    edges[package.name] = set()          # the face imports by name, when it is asked
    gone = True
    while gone:                          # what imports nothing that is left is in no circle
        gone = [name for name, others in edges.items() if not others & set(edges)]
        for name in gone:
            del edges[name]
    wanted = set().union(*edges.values()) if edges else set()
    return sorted(set(edges) & wanted)


def public_names(package=PACKAGE):
    """Return {public name: files that define it at their top}."""
    places = {}
    for path in measured(package):
        for node in ast.parse((package / path).read_text()).body:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            names = [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else [
                part.id for target in targets if target is not None
                for part in ast.walk(target) if isinstance(part, ast.Name)]
            for name in names:
                if not name.startswith("_"):
                    places.setdefault(name, []).append(path.as_posix())
    return places


def twice(package=PACKAGE):
    """Return what is called the same: names of files and folders, and public names."""
    stems = Counter(path.stem for path in measured(package) if path.stem not in BOTH)
    stems.update({path.name for path in package.rglob("*") if path.is_dir()
                  and path.name != "__pycache__"})
    found = [f"{stem}: {number} files or folders" for stem, number in stems.items() if number > 1]
    return found + [f"{name}: {', '.join(files)}" for name, files in public_names(package).items()
                    if len(files) > 1 and name not in PROTOCOL]


def problems(package=PACKAGE):
    """Return a sentence for each limit that is passed and each arrow that goes wrong."""
    found = [f"the module imports the workbench: {one}" for one in climbing(package)]
    found += [f"called the same: {one}" for one in twice(package)]
    if circle := circles(package):
        found.append(f"imports in a circle: {', '.join(circle)}")
    for name, (files, lines), (most, limit) in zip(
            ("the module", "the whole"), sums(measured(package)), (MODULE, WHOLE)):
        if files > most or lines > limit:
            found.append(f"{name} has {files} files and {lines} lines of code; at most {most} "
                         f"and {limit}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", action="store_true", help="a line for each file as well")
    options = parser.parse_args()
    counts, folders = measured(), Counter()
    number = Counter(path.parent for path in counts)
    for path, lines in counts.items():
        folders[path.parent] += lines
    for folder, lines in sorted(folders.items(), key=lambda one: one[0].as_posix()):
        print(f"{(PACKAGE.name / folder).as_posix():32} {number[folder]:4} files {lines:6} lines")
        if options.files:
            for path in (one for one in counts if one.parent == folder):
                print(f"    {path.name:28} {counts[path]:17}")
    for name, (files, lines), (most, limit) in zip(
            ("the module", "the whole"), sums(counts), (MODULE, WHOLE)):
        print(f"{name:32} {files:4} of {most} files, {lines} of {limit} lines of code")
    found = problems()
    print("\n".join(found) or "No arrow from the module to the workbench, no circle, no name "
          "twice.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
