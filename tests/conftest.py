"""What several files of tests share: the built pages."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Build the book away from the tree; return the folder of its pages."""
    out = tmp_path_factory.mktemp("book")
    built = subprocess.run(
        [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", ".",
         "-n", "-W", "--keep-going", "-q", "--path-output", str(out)],
        cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]
    return out / "_build" / "html"
