"""Make a release on this machine: check, write its version and date, stamp, commit and tag.

    make release VERSION=0.2.0

Nothing is pushed or uploaded. RELEASING.md says what comes before and after.
"""
import argparse
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
NONE_YET = re.compile(r"No version has been released yet, so there is no mistake in print\. From the first "
                      r"release on,\s+each one is listed")
LISTED = "Each mistake in a released version is listed"


def unreleased(version):
    """Return the heading of a version that is being written."""
    return f"## {version} (not released)"


def numbers(version):
    """Return the three numbers of a version, or None if it is none."""
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    return found and tuple(map(int, found.groups()))


def git(*words):
    """Return what git says, without the line's end; leave with its own words if it fails."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        sys.exit("A release needs the program git, which is not here.")
    if done.returncode:
        sys.exit(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def obstacle(version):
    """Say in one sentence why this version cannot be released now, or return None."""
    if not numbers(version):
        return f"VERSION={version}: expected three numbers, such as VERSION=0.2.0."
    branch = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["branch"]
    here = git("rev-parse", "--abbrev-ref", "HEAD")
    if here != branch:
        return f"A release is made on the branch {branch} (_config.yml), and this is {here}."
    if git("status", "--porcelain"):
        return "There are changes that are not committed: commit them, or put them aside with git stash."
    tags = [tag for tag in git("tag", "--list", "v*").split() if numbers(tag[1:])]
    newest = max(tags, key=lambda tag: numbers(tag[1:]), default=None)
    if newest and numbers(version) <= numbers(newest[1:]):
        return f"{newest} is released already: take a VERSION above it."
    if unreleased(version) not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines():
        return (f'CHANGELOG.md has no heading "{unreleased(version)}": write there what a user will notice, '
                "then run the command again.")
    return None


def written(text, pattern, new):
    """Return a text with the one place that a pattern finds replaced."""
    text, count = re.subn(pattern, new, text, flags=re.M)
    if count != 1:
        raise ValueError(f"expected one {pattern!r}, found {count}")
    return text


def write(version, day):
    """Write version and date wherever they stand."""
    def change(name, *changes):
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        for pattern, new in changes:
            text = written(text, pattern, new)
        path.write_text(text, encoding="utf-8")
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    change("dsod_d2l/__init__.py", (r'^__version__ = ".*"$', f'__version__ = "{version}"'))
    change("CHANGELOG.md", (f"^{re.escape(unreleased(version))}$", f"## {version} ({day})"))
    dated = r"^version: .*$" + (r"\ndate-released: .*$" if "date-released:" in cited else "")
    change("CITATION.cff", (dated, f"version: {version}\ndate-released: {day}"),
           (r"^(preferred-citation:\n(?:  .*\n)*  year: )\d+$", rf"\g<1>{day[:4]}"))
    change("book/references.md", (r"^  year   = \{\d+\}$", f"  year   = {{{day[:4]}}}"))
    errata = ROOT / "book" / "errata.md"
    errata.write_text(NONE_YET.sub(LISTED, errata.read_text(encoding="utf-8")), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="?", default="", help="three numbers, such as 0.2.0")
    version = parser.parse_args().version
    if problem := obstacle(version):
        sys.exit(problem)
    write(version, datetime.now(timezone.utc).date().isoformat())
    subprocess.run([sys.executable, str(ROOT / "tools" / "stamp_repository.py")], check=True)
    git("commit", "-qam", f"release: {version}")
    git("tag", "-a", f"v{version}", "-m", f"Version {version}")
    print(f"v{version} is committed and tagged here, and nothing is pushed. Look at it with `git show v{version}`; "
          "RELEASING.md says how it is published, and how it is taken back.")


if __name__ == "__main__":
    main()
