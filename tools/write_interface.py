"""Write the page of the book that lists every public name, from the docstrings.

    python tools/write_interface.py            write book/interface.md
    python tools/write_interface.py --check    only say whether it is up to date

What the face has is told in full; of the module's packages the page has signatures and
first lines.
"""
import argparse
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from pathlib import Path

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dsod_d2l
from dsod_d2l.detection import Detector

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "interface.md"
HEAD = """\
# The interface

Every name that you may use, with what it takes. The page is written from the docstrings, and
`help(dd.fit)` shows the same where you work. [The command line](command_line.md) does most of it
without Python, and [Training](08_training.ipynb) shows what happens inside.

```python
import dsod_d2l as dd
```

imports nothing else until you use a name. Boxes are `(xmin, ymin, xmax, ymax)`, as fractions of
their picture; labels are numbers from 0, in the order of the data set's `classes`.
"""
GROUPS = {
    "Read pictures": ["open_dataset", "Sample", "example", "split", "convert"],
    "Build and train": ["build", "summarise", "draw_architecture", "TrainConfig", "fit",
                        "RECIPES", "get_recipe"],
    "Detect": ["Detector", "Detections", "DetectConfig"],
    "Judge": ["evaluate", "evaluate_dataset", "Evaluation"],
    "Keep what was trained": ["save_weights", "load_weights", "load_model"],
    "Start from a classifier": ["read_classifier", "start_from_classifier", "adapt",
                                "layer_pairs"],
    "The stand-in, and this machine": ["render_sample", "COUNTS", "SEED", "device",
                                       "describe_machine", "install_packages"],
}
VALUES = {"RECIPES": "The recipes by name: how the authors, and we, have trained which network.",
          "COUNTS": "How many pictures the rendered stand-in has, by the name of the part.",
          "SEED": "The seed that the stand-in is rendered with."}
INSIDE = {"Detector": Detector}      # the face has a function, which makes one of these
MODULE = """\
## What the chapters build

The packages of the module, in the words of the chapters: `from dsod_d2l import boxes`. The
[workbench](command_line.md) around it, `dsod_d2l.workbench`, has the formats, the runs, the
reports and the commands.
"""


def told(value):
    """Return a default as it is written, or three dots for a long one."""
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 40 else "..."


def parameters(thing):
    """Return the parameters of a function or class as they are written, one a text."""
    found, bare = [], False
    for one in inspect.signature(thing).parameters.values():
        if one.kind is one.KEYWORD_ONLY and not bare:
            found.append("*")
        bare = bare or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        default = "" if one.default is one.empty else f"={told(one.default)}"
        found.append(f"{stars}{one.name}{default}")
    return found


def signature(name, thing):
    """Return a call, in lines of at most 88 columns.

    >>> print(signature("dd.f", lambda a, *, b=1: 0))
    dd.f(a, *, b=1)
    """
    line = f"{name}({', '.join(parameters(thing))})"
    return "\n".join(textwrap.wrap(line, 88, subsequent_indent=" " * (len(name) + 1)))


def prose(text):
    """Return a docstring's text as Markdown in one line."""
    code = re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split()))
    parts = re.split(r"(`[^`]*`)", code)       # what is code already stays
    return "".join(part if part[:1] == "`" else re.sub(r"([*_<|])", r"\\\1", part)
                   for part in parts)


def first(thing):
    """Return the first sentence of a docstring."""
    return prose((inspect.getdoc(thing) or "").partition("\n\n")[0])


def entries(thing):
    """Return (name, what it is) of the arguments or fields that a docstring explains."""
    text = inspect.getdoc(thing) or ""
    block = re.search(r"^Args:\n((?: .*\n?|\n(?= ))+)", text, re.M)
    text = textwrap.dedent(block[1]) if block else text.partition("\n\n")[2] if inspect.isclass(
        thing) else ""
    return re.findall(r"^([\w*]+(?:, [\w*]+)*): (.+(?:\n +.+)*)", text, re.M)


def methods(kind):
    """Return the public methods and properties that a class defines itself."""
    found = [(name, getattr(part, "__func__", part)) for name, part in vars(kind).items()
             if name[0] != "_" or name == "__call__"]
    return [(name, part) for name, part in found if inspect.getdoc(part) and (
        inspect.isfunction(part) or isinstance(part, property))]


def entry(name):
    """Return the lines about one name of the face."""
    thing = getattr(dsod_d2l, name)
    if name in VALUES:
        return [f"### `{name}`", "", VALUES[name], ""]
    lines = [f"### `{name}`", "", "```python", signature(f"dd.{name}", thing), "```", "",
             first(thing), ""]
    lines += [f"- `{part}`: {prose(text)}" for part, text in entries(thing)]
    kind = INSIDE.get(name, thing)
    for part, of in methods(kind) if inspect.isclass(kind) else ():
        call = part if isinstance(of, property) else " ".join(signature(part, of).split())
        call = re.sub(r"^(__call__)?(\w*)\((self|cls)(, )?", r"\2(", call)
        lines.append(f"- `{call if call[0] == '(' else '.' + call}`: {first(of)}")
    if returned := re.search(r"^Returns:\n((?: .*\n?)+)", inspect.getdoc(thing) or "", re.M):
        lines += ["", f"Returns: {prose(returned[1])}"]
    return [*lines, ""]


def rooms():
    """Return the modules and packages of the module, not of the workbench, by name."""
    names = [info.name for info in pkgutil.iter_modules(dsod_d2l.__path__)]
    return {name: importlib.import_module(f"dsod_d2l.{name}") for name in names
            if name not in ("workbench", "__main__")}


def public(room):
    """Return {name: function or class} that a module or package offers."""
    names = getattr(room, "__all__", None) or [
        name for name, thing in vars(room).items()
        if getattr(thing, "__module__", "") == room.__name__]
    found = {name: getattr(room, name) for name in sorted(names) if name[0] != "_"}
    return {name: thing for name, thing in found.items()
            if inspect.isclass(thing) or inspect.isfunction(thing)}


def page():
    """Return the page as it should be."""
    lines = [HEAD]
    for title, names in GROUPS.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += entry(name)
    lines.append(MODULE)
    for name, room in rooms().items():
        lines += [f"### `dsod_d2l.{name}`", "", first(room), ""]
        lines += [f"- `{' '.join(signature(own, thing).split())}`: {first(thing)}"
                  for own, thing in public(room).items()]
        lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true",
                        help="only say whether the page is up to date")
    options = parser.parse_args()
    left_out = set(dsod_d2l.__all__) - set(sum(GROUPS.values(), []))
    if left_out:
        sys.exit(f"GROUPS of tools/write_interface.py lacks {', '.join(sorted(left_out))}")
    text = page()
    if options.check:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            sys.exit("book/interface.md is not what the docstrings say: run "
                     "python tools/write_interface.py")
        return
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
