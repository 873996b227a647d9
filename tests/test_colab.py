"""The set-up cell: it finds the module, beside the notebook or installed, or else clones a release.

git is real, and clones a folder; pip installs a wheel of one line, so that nothing is fetched.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
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
    if not shutil.which("git"):
        pytest.skip("not a git repository: the program git is not here")
    folder = tmp_path / "remote"
    for file in ("__init__.py", "runtime.py", "workbench/__init__.py", "workbench/colab.py", "workbench/gpus.py",
                 "workbench/cuda_libraries.json"):
        file = ROOT / "dsod_d2l" / file
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
import json, os, sys
before = list(sys.path)
import importlib.util
real = importlib.util.find_spec
def without_own(name):             # MXNet of the environment that runs the tests is not here
    spec = real(name)
    return None if name == "mxnet" and spec and sys.prefix in spec.origin else spec
importlib.util.find_spec = without_own
for number in range(2):            # a cell is often run twice
    exec(CELL, globals())
import mxnet
json.dump({"build": mxnet.BUILD, "file": mxnet.__file__, "module": dsod_d2l.__file__,
           "path": sys.path[:2],        # setuptools adds its own folder when it stands in for distutils
           "changed": [one for one in sys.path if "setuptools" not in one] != before,
           "again": sys.path.count(sys.path[0]), "children": os.environ.get("PYTHONPATH")}, sys.stderr)
"""


def run_cell(folder, remote, **variables):
    """Run the set-up cell in a fresh Python; return the process when it has ended."""
    cell = setup_cell().replace(repository()[0], str(remote))
    return subprocess.run([sys.executable, "-c", f"CELL = {cell!r}\n{SESSION}"], cwd=folder,
                          env={**os.environ, "PYTHONPATH": "", **variables}, text=True,
                          capture_output=True, timeout=120)


def session(folder, remote, **variables):
    """Run the set-up cell in a fresh Python; return what there is then."""
    done = run_cell(folder, remote, **variables)
    assert done.returncode == 0 and "fatal" not in done.stderr, done.stdout + done.stderr
    return json.loads(done.stderr.splitlines()[-1]), done.stdout


def test_a_lone_notebook_fetches_the_release_once(tmp_path, remote):
    here = tmp_path / "content"
    here.mkdir()
    found, said = session(here, remote)
    packages = here / "dsod-d2l" / ".packages" / "cpu"
    assert found["build"] == "mxnet" and Path(found["file"]).parent == packages
    assert Path(found["module"]) == here / "dsod-d2l" / "dsod_d2l" / "__init__.py"
    assert found["path"] == [str(packages), str(here / "dsod-d2l")] and found["again"] == 1
    assert found["children"] == os.pathsep.join(found["path"])
    assert said == "Installing MXNet for the CPU.\n"
    assert session(here, remote)[1] == ""        # the next chapter


def test_on_your_own_machine_the_cell_only_imports(tmp_path, remote):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mxnet.py").write_text("BUILD = 'own'\n")
    before = sorted(os.listdir(tmp_path))
    path = os.pathsep.join(map(str, (tmp_path / "lib", ROOT)))
    found, said = session(tmp_path, remote, PYTHONPATH=path)
    assert (found["build"], found["changed"], said) == ("own", False, "")
    assert sorted(os.listdir(tmp_path)) == before


def test_the_module_beside_the_notebook_comes_first(tmp_path, remote):
    """As in VS Code, plain Jupyter, Binder and Kaggle, from the folder of the book."""
    here = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "-b", release(), str(remote), str(here)], check=True)
    (here / "book").mkdir()
    other = tmp_path / "lib" / "dsod_d2l"              # an older one is installed
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise ImportError('the wrong one')\n")
    found, _ = session(here / "book", remote, PYTHONPATH=str(other.parent))
    assert Path(found["module"]) == here / "dsod_d2l" / "__init__.py"
    assert found["build"] == "mxnet" and sorted(os.listdir(here / "book")) == []


def test_without_the_tag_the_newest_state_is_fetched(tmp_path, remote):
    subprocess.run(["git", "-C", str(remote), "checkout", "-q", release(), "--", "."], check=True)
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(remote),
                    "commit", "-qm", "back"], check=True)
    subprocess.run(["git", "-C", str(remote), "tag", "-d", release()], check=True,
                   stdout=subprocess.DEVNULL)
    init = remote / "dsod_d2l" / "__init__.py"
    here = tmp_path / "content"
    here.mkdir()
    found, said = session(here, remote)
    assert Path(found["module"]) == here / "dsod-d2l" / "dsod_d2l" / "__init__.py"
    assert said == (f"There is no release {release()} yet: this is the newest state of the book.\n"
                    "Installing MXNet for the CPU.\n") and init.is_file()
    assert session(here, remote)[1] == ""        # said once


def test_a_module_of_another_release_is_named(tmp_path, remote):
    here = tmp_path / "content"
    here.mkdir()
    session(here, remote)
    init = here / "dsod-d2l" / "dsod_d2l" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{release()[1:]}"', '"0.0.9"'))
    assert session(here, remote)[1].splitlines()[0] == (
        f"This notebook is of {release()} and the module of 0.0.9 in {init.parent}: if a cell fails, "
        "take both of one release (in Colab, delete the folder dsod-d2l, restart the session, and run "
        "this cell again).")


def test_a_failed_clone_is_one_sentence_and_can_be_tried_again(tmp_path, remote):
    here = tmp_path / "content"
    here.mkdir()
    failed = run_cell(here, tmp_path / "nothing")
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert "could not be fetched (fatal: " in failed.stderr and "run this cell again" in failed.stderr
    (here / "dsod-d2l").mkdir()
    (here / "dsod-d2l" / "mine.txt").write_text("in the way")
    assert "not an empty directory" in run_cell(here, remote).stderr
    (here / "dsod-d2l" / "mine.txt").unlink()          # an empty folder does not matter
    assert session(here, remote)[0]["build"] == "mxnet"


def test_a_clone_that_was_cut_off_is_named(tmp_path, remote):
    here = tmp_path / "content"
    here.mkdir()
    subprocess.run(["git", "clone", "-q", "--no-checkout", str(remote), "dsod-d2l"], cwd=here, check=True)
    failed = run_cell(here, remote)
    assert failed.returncode == 1 and "delete the folder dsod-d2l if there is one" in failed.stderr
    shutil.rmtree(here / "dsod-d2l")
    assert session(here, remote)[0]["build"] == "mxnet"


GIT = "#!/bin/sh\necho 'fatal: write error: No space left on device' >&2\nexit 128\n"


@pytest.mark.parametrize("git, said", [(None, "No such file or directory: 'git'"),
                                       (GIT, "No space left on device"),
                                       ("", "Failed to connect|Could not connect|Connection refused")])
def test_without_git_room_or_network_it_is_one_sentence(tmp_path, git, said):
    here = tmp_path / "content"
    here.mkdir()
    if git:
        (here / "git").write_text(git)
        (here / "git").chmod(0o755)
    path = os.environ["PATH"] if git == "" else str(here)
    failed = run_cell(here, "http://127.0.0.1:9/none", PATH=path)      # nothing answers there
    assert failed.returncode == 1 and len(failed.stderr.strip().splitlines()) < 4
    assert failed.stderr.startswith("The book could not be fetched (") and re.search(said, failed.stderr)
    assert failed.stderr.rstrip().endswith("then run this cell again.")


def test_what_pip_says_is_one_sentence_and_can_be_tried_again(tmp_path, remote):
    here = tmp_path / "content"
    here.mkdir()
    wheels = sorted(tmp_path.glob("*.whl"))
    for path in wheels:
        path.rename(path.with_suffix(".away"))
    failed = run_cell(here, remote)
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert re.match(r"MXNet could not be installed into .*, then run this cell again; pip said: ERROR: ",
                    failed.stderr)
    for path in wheels:
        path.with_suffix(".away").rename(path)
    assert session(here, remote)[0]["build"] == "mxnet"


def pip(monkeypatch, lines, code=0, version="24.0"):
    """Put a program that says some lines in the place of pip; return the commands it is given."""
    commands = []

    class Pip:
        stdout, returncode = lines, code

        def __init__(self, command, **_options):
            commands.append(command)
            Path(command[command.index("--target") + 1]).mkdir(parents=True)

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            pass
    monkeypatch.setattr(subprocess, "Popen", Pip)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    return commands


def test_a_bar_shows_what_pip_fetches(monkeypatch, capsys, tmp_path):
    lines = ["Collecting x", "Progress 0 of 1200000000", "Progress 1200000000 of 1200000000",
             "Progress 450000000 of 900000000", "Progress 900000000 of 900000000", "Installed"]
    commands = pip(monkeypatch, lines, version="24.1.2")
    colab._pip(tmp_path / "x", "requirements-gpu.txt", 2.1e9)
    assert commands[0][commands[0].index("--progress-bar") + 1] == "raw"
    assert "--no-cache-dir" in commands[0]
    bars = capsys.readouterr().out.split("\r")[1:]
    assert [bar.count("#") for bar in bars] == [0, 22, 31, 40]
    assert bars[2].endswith("]  79%") and bars[3].endswith("] 100%\n")
    for size, version in ((0, "25.0"), (2.1e9, "24.0")):      # for the CPU; and by an older pip
        commands = pip(monkeypatch, ["Collecting x"], version=version)
        colab._pip(tmp_path / f"{size}", "requirements-gpu.txt", size)
        assert commands[0][commands[0].index("--progress-bar") + 1] == "off"
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize("here, kind, said", [
    ([], "mxnet", "Installing MXNet for the CPU.\n"),
    ([T4], "gpu", "Installing MXNet for the Tesla T4: 2.1 GB, a few minutes.\n"),
    ([H100, T4], "gpu", "Installing MXNet for the Tesla T4: 2.1 GB, a few minutes.\n"),
    ([H100], "mxnet", "Installing MXNet for the CPU: MXNet 1.9.1 has no machine code for the H100 "
     "(compute capability 9.0), only for 5.0 to 8.9, such as a T4, V100, A100 or L4.\n")])
def test_the_gpu_build_only_where_it_can_be_used(monkeypatch, capsys, tmp_path, here, kind, said):
    commands = pip(monkeypatch, [])
    monkeypatch.setattr(gpus, "installed", lambda: here)
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
    pip(monkeypatch, ["warning\n", "ERROR: no disk space\n", "\n"], 1)
    before = list(sys.path)
    with pytest.raises(RuntimeError, match="could not be installed .*: ERROR: no disk space$"):
        colab.install(tmp_path)
    assert not half.exists() and sys.path == before


def test_what_is_missing_is_installed_too(monkeypatch, tmp_path):
    real, commands = importlib.util.find_spec, pip(monkeypatch, [])
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name: None if name in ("cv2", "tqdm") else real(name))
    colab._pip(tmp_path / "x", "requirements.txt")
    assert commands[0][-2:] == ["opencv-python-headless<5", "tqdm"]


def test_the_module_needs_nothing_that_is_not_checked():
    """Whatever requirements.txt lists for the module is in Colab, or installed by the cell."""
    listed = (ROOT / "requirements.txt").read_text()
    packages = {package.partition("<")[0] for package in colab._MODULES.values()}
    assert all(f"\n{package}==" in listed for package in packages)
