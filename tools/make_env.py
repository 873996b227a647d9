"""Make `.venv` with the pinned requirements, or see that it is there already.

Run by `make`, with the Python that PYTHON names. It uses nothing but the
standard library, and no syntax newer than Python 2.7, so that an unfit Python
gets a plain sentence instead of a traceback.
"""
import hashlib
import os
import platform
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, os.environ.get("DSOD_VENV", ".venv"))  # `make VENV=...` sets it
VENV_PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "dsod-stamp.txt")
REQUIREMENTS = ("requirements.txt", "requirements-mxnet.txt")
OLDEST, NEWEST = (3, 10), (3, 13)
WHEELS = (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "x86_64"))


def unfit(version, system, machine, libc):
    """Say in one sentence why the book cannot be built here, or return None."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        return ("This is Python %d.%d; the book needs 3.10, 3.11, 3.12 or 3.13: choose one, "
                "for example `make PYTHON=python3.11`." % tuple(version[:2]))
    if (system, machine) not in WHEELS or (system == "Linux" and libc not in ("glibc", "")):
        return ("MXNet 1.9.1 has wheels for Linux (glibc) on x86-64 or aarch64 and for macOS on "
                "x86-64 only, and this Python runs on %s %s%s." % (
                    system, machine, " without glibc" if (system, machine) in WHEELS else ""))
    return None


def lacks_venv():
    """Say in one sentence that the venv module is missing, or return None."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return ("This Python cannot make virtual environments: install its venv module (on Debian "
                "and Ubuntu the package python%d.%d-venv) or choose another with "
                "`make PYTHON=...`." % sys.version_info[:2])
    return None


def requirements_digest():
    """Return a digest of the requirement files and of the place of `.venv`."""
    digest = hashlib.sha256(VENV.encode())
    for name in REQUIREMENTS:
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def python_id(python):
    """Return what tells one Python installation from another; "" if it does not run."""
    code = "import sys, pip; print(sys.version.split()[0], sys.base_prefix)"
    if python == sys.executable:
        code = "import sys; print(sys.version.split()[0], sys.base_prefix)"
    try:
        answer = subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.decode().strip()


def stored_stamp():
    """Return the digest `.venv` was completed with, or "" if it never was."""
    if not os.path.exists(STAMP):
        return ""
    with open(STAMP) as file:
        return file.read().strip()


def create():
    """Make an empty `.venv` in the place of whatever is there."""
    problem = (unfit(sys.version_info, platform.system(), platform.machine(), platform.libc_ver()[0])
               or lacks_venv())
    if problem:
        sys.exit(problem)
    if os.path.exists(STAMP):
        os.remove(STAMP)  # first, so that a half-removed .venv does not look complete
    shutil.rmtree(VENV, ignore_errors=True)
    print("Making %s with Python %s." % (os.path.basename(VENV), platform.python_version()))
    subprocess.check_call([sys.executable, "-m", "venv", VENV])


def install():
    """Install both requirement files and write the stamp."""
    print("Installing the pinned requirements: a minute or two, 1.5 GB on disk.")
    sys.stdout.flush()
    pip = [VENV_PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for more in (["-r", REQUIREMENTS[0]], ["--no-deps", "-r", REQUIREMENTS[1]]):
        if subprocess.call(pip + more, cwd=ROOT):
            sys.exit("The requirements could not be installed: pip's last lines above say why; "
                     "run the command again when that is mended.")
    with open(STAMP, "w") as file:
        file.write(requirements_digest())


def main():
    # Only a Python that was chosen in so many words replaces a working .venv.
    chosen = "--chosen" in sys.argv[1:]
    if sys.version_info < (3, 3):
        sys.exit(unfit(sys.version_info, "", "", ""))
    have = python_id(VENV_PYTHON)
    if not have or chosen and have != python_id(sys.executable):
        if os.path.exists(VENV):
            print("The %s that is here %s: it is made anew." % (
                os.path.basename(VENV), "was made by another Python" if have else "does not run"))
        create()
    if stored_stamp() != requirements_digest():
        install()


if __name__ == "__main__":
    main()
