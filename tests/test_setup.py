"""The set-up: requirements, versions, licences, the Makefile and what the tree may not hold."""
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import check_skips, make_env, stamp_repository

ROOT = Path(__file__).resolve().parents[1]
BINARY = {".png", ".jpg", ".jpeg", ".woff", ".rec", ".idx", ".safetensors", ".onnx", ".gz"}
FOREIGN = ("_build", "build", "dist", ".packages", ".git", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis",
           "__pycache__", ".ipynb_checkpoints", "runs")
MADE = ("data/standin/", "data/pikachu/", ".ci/out/", ".venv")


def tree():
    """Return the project's files: what git tracks, or all that it would not ignore."""
    said = ""
    if shutil.which("git"):
        said = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                              capture_output=True, text=True).stdout
    files = [ROOT / name for name in said.splitlines()] or files_without_git(ROOT)
    return [file for file in files if file.is_file()]


def files_without_git(root):
    """Return what lies below a folder, but for what is made or fetched there: of an unpacked archive."""
    names = [path.relative_to(root) for path in root.rglob("*")]
    return [root / name for name in names if not set(FOREIGN) & set(name.parts)
            and not name.as_posix().startswith(MADE) and not name.parts[0].endswith((".egg-info", "PKG-INFO"))]


def test_an_unpacked_archive_is_known_without_git(tmp_path):
    for name in ("dsod_d2l/workbench/standin/a.py", "data/standin/v2/train.rec", "runs/a/b.txt", ".venv-3.13/lib/c.py",
                 "README.md", "PKG-INFO", "x.egg-info/PKG-INFO"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {file.relative_to(tmp_path).as_posix() for file in files_without_git(tmp_path) if file.is_file()}
    assert found == {"README.md", "dsod_d2l/workbench/standin/a.py"}


def texts():
    """Yield (path, text) of the project's text files, what is vendored aside."""
    for file in tree():
        if file.suffix not in BINARY and not {"katex", "axe", "ort"} & set(file.parts):
            yield file.relative_to(ROOT), file.read_text(encoding="utf-8")


def requirement_lines(name):
    """Return the lines of a requirements file that name a package."""
    lines = (ROOT / name).read_text().splitlines()
    return [line.partition(" #")[0].strip() for line in lines
            if line.strip() and not line.startswith("#")]


# ---- requirements ------------------------------------------------------------

@pytest.mark.parametrize("name", [*make_env.REQUIREMENTS, "requirements-runtimes.txt"])
def test_every_requirement_is_exact(name):
    exact = re.compile(r"[A-Za-z0-9._-]+==[\w.]+( ; python_version (<|>=) \"3\.\d+\")?")
    loose = [line for line in requirement_lines(name) if not exact.fullmatch(line)]
    assert not loose


def test_every_python_gets_each_package_once():
    from packaging.requirements import Requirement

    for version in ("3.10", "3.11", "3.12", "3.13"):
        names = [r.name.lower() for r in map(Requirement, requirement_lines("requirements.txt"))
                 if r.marker is None or r.marker.evaluate({"python_version": version})]
        assert len(names) == len(set(names))
        assert ("mxnet" in names) == (version in ("3.10", "3.11"))
        assert {"numpy", "matplotlib", "pandas", "jupyter-book", "nbval"} <= set(names)


def test_the_second_file_completes_the_first():
    first, second = map(requirement_lines, make_env.REQUIREMENTS)
    assert [line + ' ; python_version < "3.12"' for line in second] == first[:len(second)]


# What `pip install .` brings: (system, machine, Python), and numpy where MXNet comes, too.
@pytest.mark.parametrize("system, machine, version, numpy", [
    ("linux", "x86_64", "3.10", "1.23.5"), ("linux", "aarch64", "3.11", "1.23.5"),
    ("darwin", "x86_64", "3.12", "1.26.4"), ("linux", "x86_64", "3.13", None),
    ("darwin", "arm64", "3.12", None), ("win32", "AMD64", "3.10", None), ("linux", "riscv64", "3.11", None),
    ("linux", "x86_64", "3.14", None)])
def test_what_an_installation_brings(system, machine, version, numpy):
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    text = (ROOT / "pyproject.toml").read_text()
    rows = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S).group(1)
    place = {"sys_platform": system, "platform_machine": machine, "python_version": version}
    needs = [need for need in map(Requirement, re.findall(r'^    "(.*)",$', rows, re.M))
             if need.marker is None or need.marker.evaluate(place)]
    names = [need.name for need in needs]
    assert {"numpy", "onnx", "onnxruntime", "opencv-python-headless"} <= set(names)
    assert ("mxnet" in names) == bool(numpy)
    assert all(need.specifier.contains(numpy or "2.5.5") for need in needs if need.name == "numpy")
    assert names.count("opencv-python-headless") == 1
    assert version in SpecifierSet(re.search('requires-python = "(.*)"', text).group(1))


@pytest.mark.skipif(Path(sys.prefix).parent != ROOT, reason="not the .venv that make makes")
def test_the_environment_has_the_pinned_versions():
    from importlib.metadata import version
    from packaging.requirements import Requirement

    pins = [r for r in map(Requirement, requirement_lines("requirements.txt"))
            if r.marker is None or r.marker.evaluate()]
    assert not [f"{r}, but {version(r.name)} is installed" for r in pins
                if version(r.name) not in r.specifier]


# ---- the environment -----------------------------------------------------------

@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12), (3, 13)])
@pytest.mark.parametrize("place", [("Linux", "x86_64", "glibc"), ("Linux", "aarch64", "glibc"),
                                   ("Darwin", "x86_64", "")])
def test_fit_pythons_and_platforms(version, place):
    assert make_env.unfit(version, *place) is None


@pytest.mark.parametrize("version, place, said", [
    ((2, 7), ("Linux", "x86_64", "glibc"), "Python 2.7"),
    ((3, 9), ("Linux", "x86_64", "glibc"), "Python 3.9"),
    ((3, 14), ("Linux", "x86_64", "glibc"), "Python 3.14"),
    ((3, 11), ("Windows", "AMD64", ""), "Windows AMD64"),
    ((3, 11), ("Darwin", "arm64", ""), "Darwin arm64"),
    ((3, 11), ("Linux", "riscv64", "glibc"), "Linux riscv64"),
    ((3, 11), ("Linux", "x86_64", "musl"), "without glibc"),
])
def test_unfit_ones_get_one_sentence(version, place, said):
    sentence = make_env.unfit(version, *place)
    assert said in sentence and sentence.endswith(".") and "\n" not in sentence


def test_another_place_or_requirement_makes_the_stamp_differ(monkeypatch, tmp_path):
    before = make_env.requirements_digest()
    assert before == make_env.requirements_digest()
    monkeypatch.setattr(make_env, "VENV", str(tmp_path))
    moved = make_env.requirements_digest()
    monkeypatch.setattr(make_env, "ROOT", str(tmp_path))
    for name in make_env.REQUIREMENTS:
        (tmp_path / name).write_text("numpy==0\n")
    assert len({before, moved, make_env.requirements_digest()}) == 3


def test_a_broken_python_is_noticed(tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert make_env.python_id(str(broken)) == ""
    assert make_env.python_id(str(tmp_path / "none")) == ""
    assert make_env.python_id(sys.executable).startswith("3.")


def test_make_alone_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.M).group(1)
    phony = phony.replace("\\\n", " ").split()
    assert [line.split()[0] for line in shown.splitlines()[1:]] == phony
    assert {"book", "test", "serve"} <= set(phony)


def test_an_unknown_python_gets_one_sentence():
    made = subprocess.run(["make", "-s", "env", "PYTHON=no-such-python"], cwd=ROOT,
                          capture_output=True, text=True)
    assert made.returncode and 'no command "no-such-python"' in made.stderr


# ---- what is said in two places --------------------------------------------------

def test_the_address_of_the_repository_is_stamped():
    done = subprocess.run([sys.executable, "tools/stamp_repository.py", "--check"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_address_stands_in_the_configuration_alone():
    address, _ = stamp_repository.repository()
    place = address.partition("://")[2]
    holders = {path.as_posix() for path, text in texts() if place in text}
    stamped = {path for path in holders if
               re.fullmatch(r"README\.md|CITATION\.cff|book/(\d\d_)?\w+\.ipynb", path)}
    assert holders - stamped == {"_config.yml"}
    pages = stamp_repository.site().partition("://")[2].rstrip("/")
    assert {path.as_posix() for path, text in texts() if pages in text} == {
        "_config.yml", "CITATION.cff", "README.md"}


def test_stamping_follows_the_configuration(tmp_path):
    (tmp_path / "_config.yml").write_text(
        "repository: {url: 'https://github.com/a/b/', branch: trunk}\n"
        "html: {baseurl: 'https://c.org'}\n")
    readme, chapter = tmp_path / "README.md", tmp_path / "01_x.ipynb"
    readme.write_text("    git clone https://example.org/old\n[Read the book](https://example.org/x/)\n"
                      "[Try the detector in your browser](https://example.org/x/book/try_it.html)\n")
    nb = new_notebook(cells=[new_markdown_cell("# Title\n\nText."),
                             new_code_cell(stamp_repository.SETUP)])
    nbformat.write(nb, chapter)
    _, new = stamp_repository.stamped(chapter, tmp_path)
    title, setup = nbformat.reads(new, 4).cells
    assert title.source == ("# Title\n\n[Open in Colab](https://colab.research.google.com/github/"
                            "a/b/blob/trunk/01_x.ipynb)\n\nText.")
    assert 'REPOSITORY = "https://github.com/a/b"' in setup.source
    chapter.write_text(new)
    assert stamp_repository.stamped(chapter, tmp_path) == (new, new)
    assert stamp_repository.stamped(readme, tmp_path)[1] == (
        "    git clone https://github.com/a/b\n[Read the book](https://c.org/)\n"
        "[Try the detector in your browser](https://c.org/book/try_it.html)\n")


def test_every_chapter_opens_in_colab():
    """From its own title and from the README, and each link is that of a file in the tree."""
    address, _ = stamp_repository.repository()
    start = address.replace("https://github.com", stamp_repository.COLAB) + f"/blob/{stamp_repository.linked()}/"
    found = re.findall(re.escape(start) + r"([^)]*)\)", (ROOT / "README.md").read_text())
    notebooks = sorted(file.relative_to(ROOT).as_posix() for file in tree() if file.suffix == ".ipynb")
    assert found == notebooks and len(found) > 15
    for name in notebooks:
        title = nbformat.read(ROOT / name, 4).cells[0].source
        assert title.count(start + name) == 1 and title.count(stamp_repository.COLAB) == 1


@pytest.mark.parametrize("heading, wanted", [
    ("(2026-12-01)", "v{version}"), ("(not released)", "trunk"), ("", "trunk")])
def test_links_lead_to_the_release_once_it_has_a_date(tmp_path, heading, wanted):
    import dsod_d2l

    (tmp_path / "_config.yml").write_text(
        "repository: {url: 'https://github.com/a/b/', branch: trunk}\n")
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Changes\n\n## {dsod_d2l.__version__} {heading}\n\n## 0.0.1 (2025-01-01)\n")
    wanted = wanted.format(version=dsod_d2l.__version__)
    assert stamp_repository.linked(tmp_path) == wanted
    assert stamp_repository.colab_link("book/x.ipynb", tmp_path).endswith(f"/a/b/blob/{wanted}/book/x.ipynb")


def test_one_version():
    import dsod_d2l

    assert f"## {dsod_d2l.__version__} " in (ROOT / "CHANGELOG.md").read_text()
    assert 'version = { attr = "dsod_d2l.__version__" }' in (ROOT / "pyproject.toml").read_text()


def test_the_licences_are_here():
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
    assert "Attribution 4.0 International" in (ROOT / "LICENSE-CC-BY-4.0").read_text()[:200]
    for folder in ("book/assets/katex", "tools/_ext/katex"):
        assert "MIT License" in (ROOT / folder / "LICENSE").read_text()[:200]
    assert "Mozilla Public License" in (ROOT / "tests/axe/LICENSE").read_text()[:200]


# ---- what the tree may not hold -----------------------------------------------------

def test_no_absolute_path_and_no_package_index():
    # The pattern is put together so that it does not find itself.
    folder = re.compile(r"(?<![\w.:/<*-])/(?:" + "home|Users|root|tmp|work|mnt|opt" + r")/\w")
    index = re.compile("pypi" + r"\.\w|--(?:extra-)?index-" + "url|files" + r"\.pythonhosted", re.I)
    found = [f"{path}: {match.group()}" for path, text in texts()
             for match in (*folder.finditer(text), *index.finditer(text))]
    assert not found


def test_no_file_is_large_or_local():
    large = [f"{file.relative_to(ROOT)}: {file.stat().st_size}" for file in tree()
             if file.stat().st_size > 8 * 2**20]
    local = [file for file in tree() if file.suffix in {".pyc", ".log"}]
    assert not large and not local


def test_the_pictures_are_whole():
    for file in tree():
        if file.suffix == ".png":
            raw = file.read_bytes()
            size = int.from_bytes(raw[-12:-8], "big")
            assert raw[:4] == b"\x89PNG" and size == 0 and raw[-8:-4] == b"IEND"
            assert int.from_bytes(raw[-4:], "big") == zlib.crc32(b"IEND")


# ---- the check of skipped tests --------------------------------------------------------

REPORT = """<testsuites><testsuite><testcase classname="tests.test_x" name="a"/>
<testcase classname="tests.test_x" name="b"><skipped message="{}"/></testcase></testsuite></testsuites>"""


@pytest.mark.parametrize("reason, here, fine", [
    ("needs DSOD_REAL_DATA", {"data": False, "chromium": False}, True),
    ("needs DSOD_REAL_DATA", {"data": True, "chromium": False}, False),
    ("Chromium is not installed", {"data": True, "chromium": False}, True),
    ("Chromium is not installed", {"data": True, "chromium": True}, False),
    ("no GPU here", {"data": True, "chromium": True}, True),
    ("the author was tired", {"data": False, "chromium": False}, False),
])
def test_a_skip_that_could_have_run_is_an_error(tmp_path, reason, here, fine):
    report = tmp_path / "report.xml"
    report.write_text(REPORT.format(reason))
    (name, why, excused), = check_skips.skipped(report, here)
    assert (name, why, excused) == ("tests.test_x::b", reason, fine)


def test_the_settings_are_yaml():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["execute"]["execute_notebooks"] == "off" and not config["launch_buttons"]["thebe"]


def test_the_readme_states_what_was_measured():
    done = subprocess.run([sys.executable, "tools/write_measured.py", "--check"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_table_of_what_was_tried_is_that_of_the_requirements_and_of_ci():
    """The first rows: a Python, the numpy pinned for it, and what `.ci/run` runs there."""
    page = (ROOT / "book" / "running.md").read_text()
    rows = re.findall(r"^\| (3\.\d+) \| ([\d.]+) \| (.*) \|$", page, re.M)
    pins = re.findall(r'^numpy==([\d.]+) ; python_version (<|>=) "3.12"$',
                      (ROOT / "requirements.txt").read_text(), re.M)
    pinned = {sign: version for version, sign in pins}
    ci = (ROOT / ".ci" / "run").read_text()
    extra = re.search(r"numpy==([\d.]+)", ci)[1]
    minors = re.search(r"for minor in ([\d ]+);", ci)[1].split()
    assert [row[:2] for row in rows[:4]] == [
        ("3.11", pinned["<"]), (f"3.{minors[0]}", pinned["<"]),
        (f"3.{minors[-1]}", pinned[">="]), ("3.11", extra)]
    assert "== 11" in ci and rows[0][2].startswith("all tests, all chapters")
    assert "01_anchors" in re.search(r"^test-quick:.*?\n\n", (ROOT / "Makefile").read_text(),
                                     re.M | re.S)[0]


@pytest.mark.parametrize("run, broken, said", [
    ("10 11 12 13", "", "10 11 12 13; all: 3.11; quick: 3.10 3.13"),
    ("11 12", "10 13", "11 12; all: 3.11; quick: 3.12"),      # a shim is there, and nothing behind it
    ("10 12 13", "11", "10 12 13; all: 3.10; quick: 3.13"),
    ("12", "", "12; all: 3.12; quick: "), ("", "10 11", "; all: ; quick: ")])
def test_ci_takes_the_pythons_that_truly_run(tmp_path, run, broken, said):
    for minor in f"{run} {broken}".split():
        python = tmp_path / f"python3.{minor}"
        python.write_text("#!/bin/sh\nexit 127\n" if minor in broken.split() else
                          f"#!/bin/sh\ncase \"$2\" in *\"(3, {minor})\"*) exit 0;; esac\nexit 1\n")
        python.chmod(0o755)
    (tmp_path / "sort").symlink_to(shutil.which("sort"))
    choice = re.search(r"^pythons=\(\) .*?(?=^PYTHON=)", (ROOT / ".ci" / "run").read_text(), re.M | re.S)[0]
    report = 'echo "${minors[*]}; all: ${PYTHON#python}; quick: "; ' 'for k in "${others[@]}"; do echo "3.${minors[k]}"; done'
    done = subprocess.run([shutil.which("bash"), "-c", f"{choice}\nPYTHON=${{PYTHON:-}}\n{report}"], text=True,
                          capture_output=True, env={"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path), "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.split()) == said.strip()
