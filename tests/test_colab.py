"""The set-up cell: nothing on one's own machine, and in Colab a release in a folder of its own.

Colab is a fake module and git is real; pip is a small script, so that nothing is fetched.
"""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dsod_d2l.workbench import colab, gpus
from tools.stamp_repository import release, repository, setup_cell

ROOT = Path(__file__).resolve().parents[1]
T4, H100 = gpus.Gpu("Tesla T4", "GPU-1", (7, 5)), gpus.Gpu("H100", "GPU-2", (9, 0))


def wheel(folder, name, module, text):
    """Write a wheel of one module; return its path as a requirement."""
    path = folder / f"{name.replace('-', '_')}-1.9.1-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-1.9.1.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{module}.py", text)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.9.1\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
                                       "Tag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return str(path)


@pytest.fixture
def remote(tmp_path):
    """Return a repository with this module, a stand-in for MXNet, and a tag."""
    folder = tmp_path / "remote"
    for file in ("__init__", "runtime", "workbench/__init__", "workbench/colab", "workbench/gpus"):
        file = ROOT / "dsod_d2l" / f"{file}.py"
        copy = folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    for kind in ("mxnet", "gpu"):
        name = "mxnet" if kind == "mxnet" else "mxnet-cu112"
        path = wheel(tmp_path, name, "mxnet", f"BUILD = {kind!r}\n")
        (folder / f"requirements-{kind}.txt").write_text(path + "\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(folder)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", release()],
                    ["rm", "-qr", "dsod_d2l"], ["commit", "-qm", "after the release"]):
        subprocess.run(git + command, check=True)
    return folder


SESSION = """
import json, os, sys, types
before = list(sys.path)
if os.environ.get("FAKE_COLAB"):
    sys.modules["google.colab"] = types.ModuleType("google.colab")
    get_ipython = lambda: types.SimpleNamespace(system=os.system)
for number in range(2):            # a cell is often run twice
    exec(CELL, globals())
import mxnet
json.dump({"build": mxnet.BUILD, "file": mxnet.__file__, "module": dsod_d2l.__file__,
           "path": sys.path[:2],        # setuptools adds its own folder when it stands in for distutils
           "changed": [one for one in sys.path if "setuptools" not in one] != before,
           "again": sys.path.count(sys.path[0]), "children": os.environ.get("PYTHONPATH")}, sys.stderr)
"""


def session(folder, remote, **variables):
    """Run the set-up cell in a fresh Python; return what there is then."""
    cell = setup_cell().replace(repository()[0], str(remote))
    done = subprocess.run([sys.executable, "-c", f"CELL = {cell!r}\n{SESSION}"], cwd=folder,
                          env={**os.environ, "PYTHONPATH": "", **variables}, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0 and "fatal" not in done.stderr, done.stdout + done.stderr
    return json.loads(done.stderr.splitlines()[-1]), done.stdout


def test_in_colab_the_release_is_installed_once(tmp_path, remote):
    here = tmp_path / "content"
    here.mkdir()
    found, said = session(here, remote, FAKE_COLAB="1")
    packages = here / "dsod-d2l" / ".packages" / "cpu"
    assert found["build"] == "mxnet" and Path(found["file"]).parent == packages
    assert Path(found["module"]) == here / "dsod-d2l" / "dsod_d2l" / "__init__.py"
    assert found["path"] == [str(packages), str(here / "dsod-d2l")] and found["again"] == 1
    assert found["children"] == os.pathsep.join(found["path"])
    assert said == "Installing MXNet for the CPU.\n"
    assert session(here, remote, FAKE_COLAB="1")[1] == ""        # the next chapter


def test_on_your_own_machine_the_cell_only_imports(tmp_path, remote):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mxnet.py").write_text("BUILD = 'own'\n")
    before = sorted(os.listdir(tmp_path))
    path = os.pathsep.join(map(str, (tmp_path / "lib", ROOT)))
    found, said = session(tmp_path, remote, PYTHONPATH=path)
    assert (found["build"], found["changed"], said) == ("own", False, "")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("here, kind, said", [
    ([], "mxnet", "Installing MXNet for the CPU.\n"),
    ([T4], "gpu", "Installing MXNet for the Tesla T4: 2.1 GB, a few minutes.\n"),
    ([H100, T4], "gpu", "Installing MXNet for the Tesla T4: 2.1 GB, a few minutes.\n"),
    ([H100], "mxnet", "Installing MXNet for the CPU: MXNet 1.9.1 has no machine code for the H100 "
     "(compute capability 9.0), only for 5.0 to 8.9, such as a T4, V100, A100 or L4.\n")])
def test_the_gpu_build_only_where_it_can_be_used(monkeypatch, capsys, tmp_path, here, kind, said):
    commands = []

    def pip(command, **_options):
        commands.append(command)
        Path(command[command.index("--target") + 1]).mkdir(parents=True)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(gpus, "installed", lambda: here)
    monkeypatch.setattr(subprocess, "run", pip)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    folder = colab.install(tmp_path)
    assert colab.install(tmp_path) == folder and len(commands) == 1
    assert commands[0][-2:] == ["-r", str(tmp_path / f"requirements-{kind}.txt")]
    assert {"--no-deps", "--target", str(folder)} < set(commands[0])
    assert capsys.readouterr().out == said
    assert sys.path[:2] == [str(folder), str(tmp_path)]
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [*sys.path[:2], "elsewhere"]


def test_an_installation_that_broke_off_is_made_anew(monkeypatch, tmp_path):
    half = tmp_path / ".packages" / "cpu" / "mxnet"
    half.mkdir(parents=True)
    monkeypatch.setattr(gpus, "installed", list)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    failed = subprocess.CompletedProcess([], 1, "", "warning\nERROR: no disk space\n")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: failed)
    before = list(sys.path)
    with pytest.raises(RuntimeError, match="could not be installed .*: ERROR: no disk space$"):
        colab.install(tmp_path)
    assert not half.exists() and sys.path == before


def test_what_is_missing_is_installed_too(monkeypatch, tmp_path):
    real, commands = importlib.util.find_spec, []
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name: None if name in ("cv2", "tqdm") else real(name))
    monkeypatch.setattr(subprocess, "run", lambda command, **_options: commands.append(command)
                        or subprocess.CompletedProcess(command, 0, "", ""))
    colab._pip(tmp_path / "x", "requirements.txt")
    assert commands[0][-2:] == ["opencv-python-headless<5", "tqdm"]


def test_the_module_needs_nothing_that_is_not_checked():
    """Whatever requirements.txt lists for the module is in Colab, or installed by the cell."""
    listed = (ROOT / "requirements.txt").read_text()
    packages = {package.partition("<")[0] for package in colab._MODULES.values()}
    assert all(f"\n{package}==" in listed for package in packages)
