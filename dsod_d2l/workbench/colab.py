"""Colab: MXNet in a folder of its own, beside all that Colab has installed.

Nothing there is replaced, so the session need not be restarted, and numpy and
PyTorch stay as they are.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import gpus

ROOT = Path(__file__).resolve().parents[2]
# Modules that the book imports, and the packages that have them.
_MODULES = {"cv2": "opencv-python-headless<5", "PIL": "Pillow",
            "graphviz": "graphviz", "matplotlib_inline": "matplotlib-inline",
            "pandas": "pandas", "pycocotools": "pycocotools",
            "requests": "requests", "safetensors": "safetensors",
            "tabulate": "tabulate", "tqdm": "tqdm"}


def install(root: str | Path | None = None) -> Path:
    """Install MXNet and d2l once, and let this session import them.

    The build for GPUs is taken only where there is a GPU that it can use.

    Args:
        root: the repository, whose requirement files are used; None: that of
            this module.

    Returns:
        Path of the folder of the packages.

    Raises:
        RuntimeError: pip failed; the sentence ends in its last line.
    """
    root, found = Path(root or ROOT), gpus.installed()
    good = [gpu for gpu in found if gpu.supported]
    file = f"requirements-{'gpu' if good else 'mxnet'}.txt"
    folder = root / ".packages" / ("gpu" if good else "cpu")
    if not (folder / "complete").exists():
        print(_announcement(found, good))
        _pip(folder, root / file, 2.1e9 if good else 0)
        (folder / "complete").touch()
    _put_first(folder, root)
    return folder


def _announcement(found, good):
    if good:
        return (f"Installing MXNet for the {gpus.names(good)}: 2.1 GB, a few "
                "minutes.")
    if found:
        return f"Installing MXNet for the CPU: {gpus.no_code_for(found)}."
    return "Installing MXNet for the CPU."


def _pip(folder, requirements, size=0):
    """Install a requirements file, and what is missing, into a new folder.

    size: bytes to fetch, for the bar; 0: no bar.
    """
    shutil.rmtree(folder, ignore_errors=True)
    missing = [package for module, package in _MODULES.items()
               if importlib.util.find_spec(module) is None]
    version = importlib.metadata.version("pip").split(".")[:2]
    raw = size and [*map(int, version)] >= [24, 1]       # tells how far it is
    with subprocess.Popen(
            [sys.executable, "-m", "pip", "install", "--no-deps",
             "--no-cache-dir", "--disable-pip-version-check",
             "--progress-bar", "raw" if raw else "off", "--target",
             str(folder), "-r", str(requirements), *missing], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pip:
        last = _follow(pip.stdout, size)
    if pip.returncode:
        raise RuntimeError(f"MXNet could not be installed into {folder}: check"
                           " the network and the free space on the disk, then "
                           f"run this cell again; pip said: {last}")


def _follow(lines, size):
    """Draw a bar of the bytes that pip fetches; return its last line."""
    fetched, last = {}, "nothing"
    for line in filter(None, map(str.strip, lines)):
        if line.startswith("Progress "):             # 512 of 2048
            done, total = map(int, line.split()[1::2])
            fetched[total] = done
            part = min(sum(fetched.values()) / size, 1)
            print(f"\r[{'#' * int(40 * part):40}] {part:4.0%}", end="",
                  flush=True)
        else:
            last = line
    print(end="\n" if fetched else "")
    return last


def _put_first(*folders):
    """Put folders first on the path, of this process and of its children."""
    paths = list(map(str, folders))
    sys.path[:] = paths + [path for path in sys.path if path not in paths]
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in others if path and path not in paths]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths + others)
    importlib.invalidate_caches()
