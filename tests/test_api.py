"""The house: layers, file lengths, silent imports, docstrings."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import dsod_d2l

PACKAGE = Path(dsod_d2l.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Each layer imports from itself and from those above it.
LAYERS = [{"runtime", "files"}, {"config", "boxes"}, {"anchors"},
          {"targets"}, {"refinement"}, {"blocks", "losses"}, {"models"},
          {"transforms", "datasets"},
          {"detection", "evaluation", "visualisation"},
          {"weights", "training"}, {"workbench", "__main__"}]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MXNET = {"blocks", "losses", "models", "training", "workbench"}


def room(path):
    """Return the top-level module or package a file belongs to."""
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def imported(path):
    """Yield the dotted names a file imports, and whether at its top."""
    tree = ast.parse(path.read_text())
    package = ["dsod_d2l", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) + 1 - node.level] if node.level \
                else []
            head = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{head}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, node in tree.body) for name in names)


def test_every_file_belongs_to_a_layer():
    assert {room(path) for path in FILES} - {"__init__"} == set(RANK)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(
    p.relative_to(PACKAGE)))
def test_a_file_imports_only_from_its_layer_or_above(path):
    mine = RANK.get(room(path), len(LAYERS))
    for name, at_top in imported(path):
        parts = name.split(".")
        if parts[0] == "dsod_d2l" and len(parts) > 1 and parts[1] in RANK:
            lazy = 0 if at_top else 1        # from_weights looks one down
            assert RANK[parts[1]] <= mine + lazy, name
        if parts[0] == "mxnet" and at_top:
            assert room(path) in MXNET, f"{path.name} imports mxnet"


def run(code):
    return subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent,
                          capture_output=True, text=True, timeout=120)


def test_importing_is_silent_and_leaves_mxnet_out():
    done = run("import sys, dsod_d2l, dsod_d2l.datasets, dsod_d2l.config\n"
               "import dsod_d2l.transforms, dsod_d2l.targets\n"
               "import dsod_d2l.detection, dsod_d2l.evaluation\n"
               "assert 'mxnet' not in sys.modules\n"
               "assert 'matplotlib' not in sys.modules")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_importing_everything_is_silent_and_changes_no_mode():
    done = run("import dsod_d2l.training, dsod_d2l.workbench.cli, mxnet, "
               "dsod_d2l.visualisation\n"
               "assert not mxnet.util.is_np_array()\n"
               "assert not mxnet.util.is_np_shape()")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def public_objects():
    for info in pkgutil.walk_packages([str(PACKAGE)], "dsod_d2l."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            if (name[0] != "_" and getattr(thing, "__module__", "")
                    == info.name and (inspect.isclass(thing)
                                      or inspect.isfunction(thing))):
                yield pytest.param(thing, id=f"{info.name}.{name}")


@pytest.mark.parametrize("thing", list(public_objects()))
def test_public_things_say_what_they_do(thing):
    text = inspect.getdoc(thing)
    assert text, "no docstring"
    first = text.splitlines()[0]
    assert first.endswith((".", ":")) or not text.splitlines()[1], first
