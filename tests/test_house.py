"""The house: two floors, layers, the face, silent imports, docstrings."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dsod_d2l
from tools import house

ROOT = Path(__file__).resolve().parents[1]
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


def run(code, *options):
    return subprocess.run([sys.executable, *options, "-c", code], cwd=ROOT,
                          capture_output=True, text=True, timeout=120)


# ---- two floors --------------------------------------------------------------

def test_no_arrow_from_the_module_to_the_workbench():
    assert house.climbing() == []


def test_no_circle_and_no_name_twice():
    assert house.circles() == [] and house.twice() == []


def test_the_counts_hold():
    module, whole = house.sums(house.measured())
    assert all(map(int.__le__, module, house.MODULE)), (module, house.MODULE)
    assert all(map(int.__le__, whole, house.WHOLE)), (whole, house.WHOLE)


def planted(tmp_path, **files):
    """Write a package; a file's name has two underscores for a slash."""
    package = tmp_path / "dsod_d2l"
    for name, text in files.items():
        path = package / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_a_fault_in_the_house_is_noticed(tmp_path):
    package = planted(
        tmp_path, boxes="def area():\n    from .workbench import video\n",
        a="from . import b\n", b="from .a import X\nY = 1\n",
        models__boxes="Y = 2\n", workbench__video='"""Say."""\nimport b\n',
        c="import os\n# why\n\n\nclass A:\n    \"\"\"Say.\"\"\"\n")
    assert house.climbing(package) == ["boxes.py: dsod_d2l.workbench.video"]
    assert house.circles(package) == ["dsod_d2l.a", "dsod_d2l.b"]
    assert house.twice(package) == ["boxes: 2 files or folders",
                                    "Y: b.py, models/boxes.py"]
    assert house.measured(package)[Path("c.py")] == 2
    assert house.sums(house.measured(package)) == ((5, 8), (6, 9))


# ---- the face ------------------------------------------------------------------

def face_for_editors():
    """Return {name: where an editor sees it come from}."""
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    return {alias.asname or alias.name: (node.module, alias.name) for node in tree.body
            if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_editors_see_the_names_that_the_face_has():
    assert face_for_editors() == dsod_d2l._HOMES
    assert set(dsod_d2l.__all__) == set(dsod_d2l._HOMES)


@pytest.mark.parametrize("name", sorted(dsod_d2l.__all__))
def test_every_name_of_the_face_is_there(name):
    thing = getattr(dsod_d2l, name)
    assert name in dir(dsod_d2l)
    if callable(thing):
        assert inspect.getdoc(thing)


def test_the_face_has_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dsod_d2l.nothing
    names = {}
    exec("from dsod_d2l import *", names)
    assert set(dsod_d2l.__all__) <= set(names)


def test_reading_pictures_imports_no_mxnet():
    """As ``python -X importtime`` has it, which lists every import."""
    done = run("import dsod_d2l as dd\n"
               "data = dd.open_dataset('voc:data/samples/voc:train')\n"
               "print(data[0].image.shape, data.classes)",
               "-X", "importtime")
    assert done.returncode == 0 and "('blue', 'yellow')" in done.stdout
    names = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.M)
    assert "dsod_d2l.datasets" in names and "numpy" in names
    assert not [name for name in names if name.split(".")[0] in (
        "mxnet", "matplotlib", "d2l", "scipy", "pandas")]


def test_the_lines_of_the_readme_run(tmp_path):
    """On the pictures of the sample, and for two steps."""
    code, = (block for block in re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
        if block.startswith("import dsod_d2l as dd\n"))
    samples = ROOT / "data" / "samples"
    for said, here in (("voc:my_pictures", f"voc:{samples / 'voc'}"),
                       ("street.jpg", str(samples / "street.jpg")),
                       ("steps=600", "steps=2, workers=0")):
        assert said in code
        code = code.replace(said, here)
    names = {}
    exec(code, names)
    assert len(code.splitlines()) <= 7 and len(names["data"]) == 24
    assert names["fitted"].net.config.num_classes == 2
    assert len(names["found"].scores) == len(names["found"].boxes)


def test_weights_know_their_classes_and_a_path_is_a_network(tmp_path):
    import dsod_d2l as dd
    data = dd.open_dataset(f"voc:{ROOT / 'data/samples/voc'}:val")
    net = dd.build("dsod_tiny", ["yellow", "blue"])      # another order
    net.initialize()
    path = tmp_path / "w.safetensors"
    dd.save_weights(path, net, ["yellow", "blue"])
    again = dd.load_weights(path)
    assert again.classes == ("yellow", "blue")
    assert again.config == net.config
    results = [dd.evaluate(one, data, most=10) for one in (
        path, again, dd.Detector(path), dd.Detector(net, again.classes))]
    assert len({repr(one) for one in results}) == 1
    assert results[0].objects and results[0].classes[0].detections
    assert repr(dd.evaluate(net, data, most=10)) == repr(results[0])
    net.classes = None                                     # the set's order
    assert repr(dd.evaluate(net, data, most=10)) != repr(results[0])
    with pytest.raises(ValueError, match="leave them out"):
        dd.Detector(path, ["a", "b"])
    with pytest.raises(ValueError, match="ends in .safetensors"):
        dd.Detector(tmp_path / "w.pt")


@pytest.mark.parametrize("classes, count", [
    (None, 1), (3, 3), (["cat", "dog"], 2), (("cat",), 1)])
def test_build_takes_a_number_of_classes_or_their_names(classes, count):
    assert dsod_d2l.build("dsod_tiny", classes).config.num_classes == count


def test_a_text_is_no_list_of_classes():
    with pytest.raises(ValueError, match="num_classes must be a whole"):
        dsod_d2l.build("dsod_tiny", "cat")


# ---- silence -------------------------------------------------------------------

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
