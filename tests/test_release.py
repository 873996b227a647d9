"""A release, the package, its archive and its containers: what they hold, and that they agree."""
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

import dsod_d2l
from dsod_d2l.datasets import sample
from dsod_d2l.workbench.cli import main
from tools import release, stamp_repository

ROOT = Path(__file__).resolve().parents[1]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
ERRATA = (ROOT / "book" / "errata.md").read_text(encoding="utf-8")


# ---- versions ----------------------------------------------------------------------------

def test_the_command_line_says_its_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"dsod_d2l {dsod_d2l.__version__}\n"


def test_the_tag_in_every_notebook_is_this_version():
    tags = {re.search(r'^RELEASE = "(.*)"$', cell.source, re.M)[1]
            for path in (ROOT / "book").glob("*.ipynb") for cell in nbformat.read(path, 4).cells
            if cell.cell_type == "code" and "install_packages" in cell.source}
    assert tags == {f"v{dsod_d2l.__version__}"}


def test_errata_and_changes_agree():
    """A mistake in print is one of a released version, and mended in a version with a heading."""
    heads = re.findall(r"^## (\d+\.\d+\.\d+) \((.*)\)$", CHANGES, re.M)
    assert len(heads) == len(re.findall("^## ", CHANGES, re.M)) and heads[0][0] == dsod_d2l.__version__
    released = [version for version, day in heads if re.fullmatch(r"\d{4}-\d\d-\d\d", day)]
    assert all(day == "not released" for version, day in heads if version not in released)
    assert ("No version has been released yet" in ERRATA) == (not released)
    rows = re.findall(r"^\| (?!page|---)(.*) \|$", ERRATA, re.M)
    mended = [row.split(" | ")[-1].strip(" |") for row in rows]
    assert mended and all(version in dict(heads) or version == "" for version in mended)
    assert released or all("none yet" in row for row in rows)


def test_the_names_that_must_be_claimed_stand_in_one_place():
    text = (ROOT / "RELEASING.md").read_text()
    assert "claim" in ERRATA and "RELEASING.md" in ERRATA
    for key, file in (("repository", "_config.yml"), ("html.baseurl", "_config.yml"), ("name", "pyproject.toml")):
        assert f"`{key}` in `{file}`" in text
        value = yaml.safe_load((ROOT / file).read_text()) if file.endswith("yml") else {
            "name": re.search('^name = "(.*)"$', (ROOT / file).read_text(), re.M)[1]}
        for part in key.split("."):
            value = value[part]
        assert value


def test_the_entry_for_a_bibliography_says_what_the_citation_says():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    text = (ROOT / "book" / "references.md").read_text()
    entry = dict(re.findall(r"^  (\w+) += \{+(.*?)\}+,?$", text, re.M))
    assert entry == {"title": cited["title"], "author": cited["authors"][0]["name"], "year": str(cited["year"])}
    assert re.search(r"^@book\{dsod_d2l,$", text, re.M)


# ---- make release ----------------------------------------------------------------------------

FILES = ("_config.yml", "README.md", "CITATION.cff", "CHANGELOG.md", "dsod_d2l/__init__.py", "book/errata.md", "book/references.md",
         "book/01_anchors.ipynb", "tools/__init__.py", "tools/release.py", "tools/stamp_repository.py")


@pytest.fixture
def copy(tmp_path):
    """Return run(*words): a program and its words, in a repository with what a release changes."""
    if not shutil.which("git"):
        pytest.skip("not a git repository: the program git is not here")
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    log = tmp_path / "CHANGELOG.md"
    log.write_text(log.read_text().replace("\n## ", "\n## 9.8.7 (not released)\n\n- x\n\n## ", 1))

    def run(*words):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return subprocess.run(words, cwd=tmp_path, text=True, capture_output=True, env={
            **clean, **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER")
                        for what in ("NAME", "EMAIL")}})
    run("git", "init", "-q", "-b", yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["branch"])
    run("git", "add", ".")
    run("git", "commit", "-qm", "begin")
    run.root = tmp_path
    return run


def test_a_release_is_dated_stamped_committed_and_tagged(copy):
    done = copy(sys.executable, "tools/release.py", "9.8.7")
    assert done.returncode == 0, done.stderr
    day = datetime.now(timezone.utc).date().isoformat()
    read = {name: (copy.root / name).read_text(encoding="utf-8") for name in FILES}
    assert '\n__version__ = "9.8.7"\n' in read["dsod_d2l/__init__.py"]
    assert f"\n## 9.8.7 ({day})\n" in read["CHANGELOG.md"]
    cited = yaml.safe_load(read["CITATION.cff"])
    assert cited["version"] == "9.8.7" and str(cited["date-released"]) == day
    assert cited["preferred-citation"]["year"] == int(day[:4])
    assert f"{{{day[:4]}}}" in read["book/references.md"]
    assert "No version has been released" not in read["book/errata.md"]
    assert 'RELEASE = \\"v9.8.7\\"' in read["book/01_anchors.ipynb"]
    assert copy("git", "status", "--porcelain").stdout == ""
    assert copy("git", "tag", "--points-at", "HEAD").stdout == "v9.8.7\n"
    assert copy("git", "remote").stdout == ""
    again = copy(sys.executable, "tools/release.py", "9.8.7")
    assert again.returncode == 1 and "v9.8.7 is released already" in again.stderr


@pytest.mark.parametrize("version, before, said", [
    ("9.8", (), "expected three numbers"), ("", (), "expected three numbers"),
    ("9.9.9", (), 'no heading "## 9.9.9 (not released)"'),
    ("9.8.7", ("git", "checkout", "-qb", "other"), "made on the branch"),
    ("9.8.7", ("git", "tag", "v10.0.0"), "v10.0.0 is released already"),
    ("9.8.7", ("git", "rm", "-q", "--cached", "README.md"), "not committed")])
def test_what_stands_in_the_way_is_one_sentence_and_changes_nothing(copy, version, before, said):
    if before:
        copy(*before)
    head, tags = copy("git", "rev-parse", "HEAD").stdout, copy("git", "tag").stdout
    done = copy(sys.executable, "tools/release.py", version)
    assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1
    assert copy("git", "rev-parse", "HEAD").stdout == head and copy("git", "tag").stdout == tags
    assert "## 9.8.7 (not released)" in (copy.root / "CHANGELOG.md").read_text()


def test_make_release_checks_first_and_pushes_nothing():
    rule = re.search(r"^release: (.*?)  ##.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert rule[1] == "check" and "tools/release.py $(VERSION)" in rule[2]
    assert not re.search(r'"push"|twine', (ROOT / "tools" / "release.py").read_text())
    assert release.numbers("10.0.1") == (10, 0, 1) and not release.numbers("1.0.0rc1")


# ---- the package -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Build the source archive of what is tracked, and the wheel of it; return both."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools is older than the package asks for")
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip("setuptools is older than the package asks for")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    code = ("import sys; from setuptools import build_meta as b; "
            "out = sys.argv[1]; b.build_sdist(out); b.build_wheel(out)")
    built = subprocess.run([sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    assert "would be ignored" not in built.stderr
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def tracked():
    """Return the names of the files of the repository."""
    try:
        said = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    except OSError:
        said = []
    names = [name for name in said if name and (ROOT / name).is_file()]
    if not names:
        pytest.skip("not a git repository")
    return names


def test_the_source_archive_has_what_the_repository_has(archives):
    with tarfile.open(archives[0]) as archive:
        inside = {file.name.partition("/")[2] for file in archive.getmembers() if file.isfile()}
    assert set(tracked()) <= inside
    assert {"PKG-INFO", "setup.cfg"} == {name for name in inside - set(tracked()) if "egg-info" not in name}


def test_the_wheel_brings_examples_a_detector_and_whole_metadata(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        inside, base = wheel.namelist(), f"dsod_d2l-{dsod_d2l.__version__}.dist-info"
        facts = wheel.read(f"{base}/METADATA").decode()
    examples = {f"dsod_d2l/samples/{path.relative_to(sample.EXAMPLES).as_posix()}"
                for path in sample.EXAMPLES.rglob("*") if path.is_file()}
    assert examples <= set(inside) and "dsod_d2l/samples/detector.onnx" in examples
    ours = {name for name in tracked() if name.startswith("dsod_d2l/")}
    assert ours | {f"{base}/licenses/LICENSE"} <= set(inside) and "dsod_d2l/py.typed" in ours
    assert not [name for name in inside if not name.startswith(("dsod_d2l/", base))]
    head, _, text = facts.partition("\n\n")
    assert {"Author", "Author-email", "License-Expression", "Keywords", "Project-URL", "Requires-Python"} <= {
        line.partition(":")[0] for line in head.splitlines()}
    address, _ = stamp_repository.repository()
    assert f"Project-URL: Repository, {address}" in head and f"Homepage, {stamp_repository.site()}" in head
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) > 20 and all(re.match("https://|#", link) for link in links)
    assert f"{address}/blob/v{dsod_d2l.__version__}/book/running.md" in text
    minors = re.findall(r"Python :: (3\.\d+)$", head, re.M)
    from tools import make_env
    assert minors == [f"3.{minor}" for minor in range(make_env.OLDEST[1], make_env.NEWEST[1] + 1)]


def test_uv_is_told_of_an_mxnet_that_the_newest_python_can_have():
    """Its own metadata ask for numpy below 2, which has no wheel there."""
    text = (ROOT / "pyproject.toml").read_text()
    told = re.search(r'^\[\[tool\.uv\.dependency-metadata\]\]\nname = "mxnet"\nversion = "(.*)"\n'
                     r"requires-dist = \[(.*)\]$", text, re.M)
    needs = {need.name: need.specifier for need in map(Requirement, re.findall('"(.*?)"', told[2]))}
    pinned = re.search('^numpy==(.*) ; python_version >= "3.12"$', (ROOT / "requirements.txt").read_text(), re.M)[1]
    assert told[1] == "1.9.1" and needs["numpy"].contains(pinned) and "graphviz" in needs


def test_data_samples_copies_what_leads_to_a_first_detection(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "samples"]) == 0
    words = capsys.readouterr().out.partition("python -m dsod_d2l ")[2].split()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    truth = {row["file"]: row for row in json.loads(Path("samples/labels.json").read_text())["images"]}
    assert len(found) == len(truth["three.jpg"]["boxes"]) == 3 and min(row["score"] for row in found) > 0.9
    assert Path("found.png").is_file()
    assert len(dsod_d2l.open_dataset("voc:samples/voc:train")) == 24
    Path("file").touch()
    assert main(["data", "samples", "--folder", "file"]) == 2
    assert "is a file, expected a folder" in capsys.readouterr().err


def test_the_detector_of_the_examples_says_what_it_is_and_where_it_comes_from():
    path = sample.EXAMPLES / "detector.onnx"
    detector = dsod_d2l.Detector(path)
    assert detector.classes == ("pikachu",) and path.stat().st_size < 2**20
    assert f"--out data/samples/{path.name} " in (ROOT / "data" / "README.md").read_text()


# ---- containers ------------------------------------------------------------------------------

def pins(name):
    """Return {package: requirement} of a requirements file."""
    lines = (line.partition(" #")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {Requirement(line).name: line for line in lines if line and line[0] not in "#-"}


def test_containers_and_environments_take_the_same_python_and_the_same_pins():
    """The Python that builds the published pages; each takes the file that pins, and pins nothing itself."""
    book = (ROOT / "docker" / "book.Dockerfile").read_text()
    python = re.search(r"^FROM python:(3\.\d+)-slim$", book, re.M)[1]
    assert "RUN make env data" in book
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["dependencies"] == [f"python={python}", "pip", {"pip": ["-r requirements.txt"]}]
    assert (ROOT / "binder" / "runtime.txt").read_text() == f"python-{python}\n"
    assert (ROOT / "binder" / "requirements.txt").read_text() == "-r ../requirements.txt\n"
    assert os.access(ROOT / "binder" / "postBuild", os.X_OK)
    dev = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / dev["build"]["dockerfile"]).resolve() == ROOT / "docker" / "book.Dockerfile"
    assert dev["postCreateCommand"] == "make env data" and f"useradd --create-home {dev['remoteUser']}" in book
    libraries = set((ROOT / "binder" / "apt.txt").read_text().split())
    assert libraries == set(re.findall(r"\blib\w+(?:\+\+)?\d*\b", re.search("install -y .*", book)[0])) | {"libstdc++6"}
    workflow = (ROOT / ".github" / "workflows" / "pages.yml").read_text()
    assert f'python-version: "{python}"' in workflow


def test_the_container_of_a_detector_has_the_pins_of_what_the_package_needs():
    text = (ROOT / "docker" / "detector.Dockerfile").read_text()
    taken = re.search(r"grep -E '\^\((.*)\)=='", text)[1].split("|")
    rows = re.findall(r'^    "(.*)",$', re.search(r"^dependencies = \[\n(.*?)^\]", (
        ROOT / "pyproject.toml").read_text(), re.M | re.S)[1], re.M)
    needs = {Requirement(row).name for row in rows} - {"mxnet"}
    assert needs <= set(taken) <= set(pins("requirements.txt"))
    copied = re.search(r"^COPY (requirements.txt .*) \./$", text, re.M)[1].split()
    assert {"pyproject.toml", "setup.py", "_config.yml", "README.md"} <= set(copied)
    assert "COPY data/samples data/samples" in text


def test_make_lab_starts_for_root_too():
    """Jupyter refuses root without a word of permission; a container often has nobody else."""
    rule = subprocess.run(["make", "-n", "-o", "data", "lab"], cwd=ROOT, capture_output=True, text=True).stdout
    option = re.search(r"\$\(.*--allow-root\)", rule)[0]
    for user, said in (("0", "--allow-root"), ("1000", "")):
        done = subprocess.run(["sh", "-c", f"id() {{ echo {user}; }}; echo {option}"], capture_output=True, text=True)
        assert done.stdout.strip() == said


def test_the_forms_for_reports_are_yaml_with_what_github_asks_for():
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    for path in forms:
        form = yaml.safe_load(path.read_text())
        if path.name == "config.yml":
            assert set(form) <= {"blank_issues_enabled", "contact_links"}
            continue
        assert {"name", "description", "body"} <= set(form)
        assert all(part["type"] in ("input", "textarea") and part["attributes"]["label"] for part in form["body"])
        assert len({part["id"] for part in form["body"]}) == len(form["body"])
    assert len(forms) == 3
