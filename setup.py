"""What pyproject.toml cannot say: the examples go into the package, and links become whole.

Addresses stand in _config.yml alone; the README's links between files are followed from the
page of a package index, too, once they begin with the address of the repository.
"""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
SETTINGS = (ROOT / "_config.yml").read_text(encoding="utf-8")
REPOSITORY = re.search(r"^repository:\n  url: (\S+)$", SETTINGS, re.M)[1].rstrip("/")
AUTHOR = re.search(r"^author: (.+)$", SETTINGS, re.M)[1]
PAGES = re.search(r"^html:\n  baseurl: (\S+)$", SETTINGS, re.M)[1]
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "dsod_d2l" / "__init__.py").read_text(), re.M)[1]
RELATIVE = re.compile(r"(!?)(\[[^][]*\]\()(?![a-z]+:|#)([^)\s]+\))")


def whole_links(text):
    """Return Markdown whose links and pictures are those of this version in the repository."""
    def whole(link):
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}{link[2]}{REPOSITORY}/{kind}/v{VERSION}/{link[3]}"
    return RELATIVE.sub(whole, text)


setup(
    author=AUTHOR,
    # GitHub's address of the account that holds the repository; it takes no mail.
    author_email=f"{REPOSITORY.split('/')[-2]}@users.noreply.github.com",
    long_description=whole_links((ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    project_urls={"Homepage": PAGES, "Documentation": PAGES, "Repository": REPOSITORY,
                  "Issues": f"{REPOSITORY}/issues",
                  "Changelog": f"{REPOSITORY}/blob/v{VERSION}/CHANGELOG.md"},
    packages=[*find_packages(include=["dsod_d2l*"]), "dsod_d2l.samples"],
    package_dir={"dsod_d2l.samples": "data/samples"},
)
