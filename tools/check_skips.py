"""List the skipped tests of a pytest run; fail where one could have run on this machine.

    python tools/check_skips.py report.xml       (written by pytest --junitxml=report.xml)

A skip is excused when its reason names something that is absent here.
"""
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

# What a reason speaks of, and what excuses it: the name of something that may be here.
EXCUSES = (
    (re.compile(r"DSOD_REAL_DATA|real data", re.I), "data"),
    (re.compile(r"chromium", re.I), "chromium"),
    (re.compile(r"\bGPU\b"), "gpu"),
    (re.compile(r"gluoncv"), "gluoncv"),
    (re.compile(r"openvino", re.I), "openvino"),
    (re.compile(r"torchvision"), "torchvision"),
    (re.compile(r"no bfloat16"), "bfloat16"),
    (re.compile(r"setuptools is older"), "setuptools"),
    (re.compile(r"not a (git )?repository|git history", re.I), "git"),
)


def what_is_here():
    """Return which of the things that tests may ask for this machine has."""
    folder = os.environ.get("DSOD_REAL_DATA", "")
    return {"data": bool(folder) and Path(folder).is_dir(),
            "chromium": any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
            "gluoncv": importlib.util.find_spec("gluoncv") is not None,
            "openvino": importlib.util.find_spec("openvino") is not None,
            "torchvision": importlib.util.find_spec("torchvision") is not None,
            "bfloat16": _says("/proc/cpuinfo", r"\b(avx512_bf16|amx_bf16|bf16)\b"),
            "gpu": False,  # the pinned MXNet is the one for the CPU
            "setuptools": importlib.util.find_spec("setuptools") is not None and int(
                importlib.metadata.version("setuptools").partition(".")[0]) >= 77,
            "git": Path(".git").exists() and bool(shutil.which("git"))}


def _says(path, pattern):
    return Path(path).is_file() and bool(re.search(pattern, Path(path).read_text()))


def skipped(report, here):
    """Return (test, reason, excused) for each skipped test of a JUnit report."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        skip = case.find("skipped")
        if skip is None or skip.get("type") == "pytest.xfail":
            continue
        reason = skip.get("message", "")
        excused = any(pattern.search(reason) and not here.get(thing, False)
                      for pattern, thing in EXCUSES)
        found.append((f"{case.get('classname')}::{case.get('name')}", reason, excused))
    return found


def main():
    found = skipped(sys.argv[1], what_is_here())
    print(f"{len(found)} tests were skipped.")
    for name, reason, excused in found:
        print(f"  {'skipped' if excused else 'COULD HAVE RUN'}: {name}: {reason}")
    sys.exit(any(not excused for _, _, excused in found))


if __name__ == "__main__":
    main()
