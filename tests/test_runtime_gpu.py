"""runtime on machines with GPUs: drivers, libraries and an MXNet that are compiled here.

The stubs are real shared libraries, so what finds and loads them is the real thing.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsod_d2l.workbench import gpus

ROOT = Path(__file__).resolve().parents[1]
COMPILER = shutil.which("gcc") or shutil.which("cc")
pytestmark = pytest.mark.skipif(
    not (COMPILER and sys.platform.startswith("linux")),
    reason="no C compiler on Linux for the stubs of GPU libraries")

# The driver: GPUs come from STUB_GPUS, "name|uuid|major|minor;...".
NVML = r"""
#include <stdlib.h>
#include <string.h>
static char text[4096], *field[64][4];
static unsigned count;
int nvmlInit_v2(void) {
  const char *given = getenv("STUB_GPUS");
  if (!given) return 9;
  strncpy(text, given, sizeof text - 1);
  count = 0;
  char *row, *rows = text, *part;
  while ((row = strsep(&rows, ";")) && *row)
    for (int k = 0, last = count++; k < 4 && (part = strsep(&row, "|")); k++)
      field[last][k] = part;
  return 0;
}
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *to, unsigned n) { strncpy(to, "535.1", n); return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = count; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned k, void **handle) {
  *handle = field[k];
  return !strcmp(field[k][0], "lost") ? 15 : 0;
}
int nvmlDeviceGetName(char **gpu, char *to, unsigned n) { strncpy(to, gpu[0], n); return 0; }
int nvmlDeviceGetUUID(char **gpu, char *to, unsigned n) { strncpy(to, gpu[1], n); return 0; }
int nvmlDeviceGetCudaComputeCapability(char **gpu, int *major, int *minor) {
  *major = atoi(gpu[2]); *minor = atoi(gpu[3]); return 0;
}
"""
# An MXNet that needs all its libraries, and sees the GPUs that CUDA would show.
MXNET = '''
import ctypes, os, types
ctypes.CDLL(os.path.join(os.path.dirname(__file__), "libmxnet.so"))
def num_gpus():
    every = ",".join(row.split("|")[1] for row in
                     os.environ.get("STUB_GPUS", "").split(";") if row)
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", every)
    return len([name for name in shown.split(",") if name])
context = types.SimpleNamespace(num_gpus=num_gpus)
runtime = types.SimpleNamespace(Features=lambda: types.SimpleNamespace(
    is_enabled=lambda name: True))
cpu, gpu = lambda: "cpu", lambda k: f"gpu{k}"
'''
T4, L4 = "Tesla T4|GPU-4444-a|7|5", "NVIDIA L4|GPU-1414-b|8|9"
H100, B200 = "NVIDIA H100|GPU-9000-c|9|0", "NVIDIA B200|GPU-1000-d|10|0"
K80 = "Tesla K80|GPU-8080-e|3|7"


def compile_library(path, source="", needs=()):
    """Compile a shared library whose soname is its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folders = {f"-L{file.parent}" for file in needs}
    subprocess.run([COMPILER, "-shared", "-fPIC", "-w", "-x", "c", "-", f"-Wl,-soname,{path.name}",
                    "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *folders,
                    *(f"-l:{file.name}" for file in needs), "-o", str(path)],
                   input=source, text=True, check=True)
    return path


def record(root, package, version, *files):
    """Write what pip leaves behind of a package: its name, and the sizes of its files."""
    info = root / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(
        f"{file.relative_to(root)},sha256=x,{file.stat().st_size}\n" for file in files))


def install_libraries(root):
    """Put stubs of the CUDA 11 packages into a folder; return their files."""
    files = []
    for package in dict.fromkeys(library.package for library in gpus.LIBRARIES):
        mine = [compile_library(root / "nvidia" / package.split("-")[1] / "lib" / library.soname)
                for library in gpus.LIBRARIES if library.package == package]
        record(root, package, "11.0", *mine)
        files += mine
    return files


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build a driver and a folder of packages, once."""
    folder = tmp_path_factory.mktemp("gpu")
    driver = compile_library(folder / "driver" / "libcuda.so.1")
    compile_library(folder / "driver" / "libnvidia-ml.so.1", NVML)
    files = install_libraries(folder / "packages")
    mxnet = folder / "packages" / "mxnet"
    mxnet.mkdir()
    (mxnet / "__init__.py").write_text(MXNET)
    record(folder / "packages", "mxnet-cu112", "1.9.1",
           compile_library(mxnet / "libmxnet.so", needs=[driver, *files]))
    return folder


@pytest.fixture
def machine(built, tmp_path):
    """Return a copy of the folder, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "machine"))


ASK = """
import json, os, sys, warnings
import dsod_d2l
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    try:
        import mxnet
        context, why = dsod_d2l.device()
    except ImportError as error:
        context, why = None, str(error)
from dsod_d2l.workbench.machine import describe_machine
json.dump({"context": context, "why": why, "said": [str(w.message) for w in said],
           "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
           "gpus": describe_machine()["gpus"],
           "driver": describe_machine()["driver"],
           "quiet": os.environ.get("MXNET_CUDA_LIB_CHECKING"),
           "mapped": sorted({line.split()[-1] for line in open("/proc/self/maps")
                             if "nvidia/" in line})}, sys.stdout)
"""


def ask(machine, here, visible=None, more=(), system=""):
    """Import MXNet on a machine with the GPUs given; None is a machine without a driver."""
    packages = [*more, machine / "packages", ROOT]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, packages)),
                 "STUB_GPUS": ";".join(here or ()), "CUDA_VISIBLE_DEVICES": visible,
                 "LD_LIBRARY_PATH": None if here is None else f"{machine / 'driver'}:{system}"}
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=60,
                          env={name: value for name, value in variables.items()
                               if value is not None})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- which GPUs are used ---------------------------------------------------------

@pytest.mark.parametrize("here, visible, context, now, shown", [
    ([], None, "cpu", "because MXNet finds no GPU.", []),
    ([T4], None, "gpu0", "Running on the GPU.", []),
    ([L4], None, "gpu0", "Running on the GPU.", []),
    ([T4, L4], "1", "gpu0", "Running on the GPU.", []),
    ([T4], "", "cpu", "because CUDA_VISIBLE_DEVICES names no GPU of this machine.", []),
])
def test_supported_gpus_are_left_alone(built, here, visible, context, now, shown):
    found = ask(built, here, visible)
    assert (found["context"], found["visible"], found["said"]) == (context, visible, shown)
    assert found["why"].endswith(now)
    assert found["driver"] == "535.1" and len(found["gpus"]) == len(here)


H100_SAID = ("MXNet 1.9.1 has no machine code for the NVIDIA H100 (compute capability 9.0), only "
             "for 5.0 to 8.9, such as a T4, V100, A100 or L4")


@pytest.mark.parametrize("here, visible, left, now", [
    ([H100], None, "", "it runs on the CPU."),
    ([H100, H100], "0,1", "", "it runs on the CPU."),
    ([H100, T4], None, "GPU-4444-a", "it runs on the Tesla T4."),
    ([L4, H100, T4], "2,1", "GPU-4444-a", "it runs on the Tesla T4."),
    ([L4, H100], "GPU-9000", "", "it runs on the CPU."),
    ([L4, H100], "1,MIG-7,0", "", "it runs on the CPU."),
])
def test_an_unsupported_gpu_is_hidden_in_one_sentence(built, here, visible, left, now):
    found = ask(built, here, visible)
    assert found["visible"] == left and found["said"] == [f"{H100_SAID}; {now}"]
    assert found["context"] == ("gpu0" if left else "cpu")
    if not left:
        assert found["why"] == f"Running on the CPU, because {H100_SAID}."


def test_a_choice_of_good_ones_is_kept_without_a_word(built):
    found = ask(built, [H100, T4, L4], "1,2")
    assert (found["said"], found["visible"]) == ([], "GPU-4444-a,GPU-1414-b")


@pytest.mark.parametrize("row, said", [
    (K80, "Tesla K80 (compute capability 3.7)"), (B200, "NVIDIA B200 (compute capability 10.0)"),
    ("lost|x|7|5", "lost GPU 0 (compute capability 0.0)")])
def test_too_old_too_new_and_lost(built, row, said):
    found = ask(built, [row])
    assert found["context"] == "cpu" and said in found["said"][0]


def test_the_range_of_capabilities():
    def supported(*capability):
        return gpus.Gpu("x", "y", capability).supported

    assert [supported(*c) for c in ((3, 7), (5, 0), (7, 5), (8, 9), (9, 0), (10, 0), (12, 0))] == [
        False, True, True, True, False, False, False]


def test_no_driver_names_the_build_for_the_cpu(built):
    found = ask(built, None)
    assert found["context"] is None and "no NVIDIA driver" in found["why"]
    assert "pip install --no-deps mxnet==1.9.1" in found["why"]
    assert found["gpus"] == [] and found["driver"] is None


# ---- libraries -------------------------------------------------------------------------

def test_all_libraries_come_from_the_packages(built):
    found = ask(built, [T4])
    assert {Path(path).name for path in found["mapped"]} == {
        library.soname for library in gpus.LIBRARIES}
    assert found["quiet"] == "0"


@pytest.mark.parametrize("library", gpus.LIBRARIES, ids=lambda library: library.soname)
def test_a_missing_library_is_named_with_its_package(machine, library):
    next(machine.rglob(library.soname)).unlink()
    found = ask(machine, [T4])
    assert found["context"] is None and f"lacks {library.soname}," in found["why"]
    assert f"pip install --no-deps {library.package}=={library.version}," in found["why"]


def test_several_missing_libraries(machine):
    for name in ("libcublas.so.11", "libcublasLt.so.11", "libcudnn.so.8"):
        next(machine.rglob(name)).unlink()
    why = ask(machine, [T4])["why"]
    assert "lacks libcublasLt.so.11, libcublas.so.11, libcudnn.so.8," in why
    assert why.count("nvidia-cublas-cu11==") == 1 and "nvidia-cudnn-cu11==8.9.6.50" in why


def test_no_library_at_all(machine):
    shutil.rmtree(machine / "packages" / "nvidia")
    why = ask(machine, [T4])["why"]
    assert all(library.package in why for library in gpus.LIBRARIES)


def test_a_cuda_11_of_the_system_will_do(machine):
    system = machine / "system"
    system.mkdir()
    for file in (machine / "packages" / "nvidia").rglob("lib*"):
        if file.is_file():
            shutil.move(file, system)
    assert ask(machine, [T4], system=system)["context"] == "gpu0"
    (system / "libnccl.so.2").unlink()
    assert "lacks libnccl.so.2, " in ask(machine, [T4], system=system)["why"]


def test_a_folder_for_cuda_12_is_not_mistaken(built, machine):
    """The packages for CUDA 12 have libcusolver.so.11 too: in front, and written over ours."""
    other = machine / "other"
    theirs = compile_library(other / "nvidia" / "cusolver" / "lib" / "libcusolver.so.11",
                             "int of_cuda_12[4096] = {1};")
    record(other, "nvidia-cusolver-cu12", "11.7", theirs)
    found = ask(machine, [T4], more=[other])
    assert found["context"] == "gpu0" and not [p for p in found["mapped"] if "/other/" in p]
    shutil.copy(theirs, next((machine / "packages").rglob("libcusolver.so.11")))
    why = ask(machine, [T4], more=[other])["why"]
    assert "lacks libcusolver.so.11, missing or overwritten by a package for CUDA 12" in why


def test_the_build_for_the_cpu_is_told_apart(machine):
    packages = machine / "packages"
    assert gpus.is_gpu_build(packages / "mxnet")
    (packages / "mxnet" / "libmxnet.so").write_bytes(b"of the CPU wheel, installed later")
    assert not gpus.is_gpu_build(packages / "mxnet")
    shutil.rmtree(packages / "mxnet_cu112-1.9.1.dist-info")
    assert not gpus.is_gpu_build(packages / "mxnet")


def test_the_requirements_are_those_of_the_table():
    lines = {line for line in (ROOT / "requirements-gpu.txt").read_text().splitlines()
             if line.startswith("nvidia-")}
    assert lines == {f"{library.package}=={library.version}" for library in gpus.LIBRARIES}
    assert len(lines) == 9


# ---- the real GPU build, on a driver without a GPU --------------------------------------

# What MXNet asks of the driver; 100 means that there is no device.
DRIVER = "".join(f"int cu{name}(void) {{ return 100; }}\n" for name in (
    "Init", "DriverGetVersion", "GetProcAddress", "DeviceGetCount", "DeviceGet",
    "DevicePrimaryCtxRetain", "GetErrorString", "GraphKernelNodeGetParams", "GraphNodeGetType",
    "LaunchKernel", "ModuleGetFunction", "ModuleLoadData", "ModuleLoadDataEx", "ModuleUnload"))
REAL = """
import json, sys
from dsod_d2l import device, install_packages
folder = str(install_packages())
import mxnet as mx
from mxnet import autograd, gluon
net = gluon.nn.Conv2D(4, (3, 3), in_channels=2)
net.initialize(mx.init.Constant(0.5))
x = mx.nd.ones((2, 2, 5, 7))
x.attach_grad()
with autograd.record():
    y = net(x)
y.backward()
json.dump({"mxnet": mx.__file__.startswith(folder), "why": device()[1],
           "cuda": mx.runtime.Features().is_enabled("CUDA"), "y": y.asnumpy().max().item(),
           "gradient": x.grad.asnumpy().max().item(),
           "mapped": sorted({line.split()[-1].rpartition("/")[2] for line in
                             open("/proc/self/maps") if f"{folder}/nvidia/" in line})}, sys.stderr)
"""


@pytest.mark.skipif(not os.environ.get("DSOD_GPU_BUILD"),
                    reason="the real GPU build is 2.1 GB: make test-cuda-build")
def test_the_real_build_computes_on_the_cpu(built, tmp_path):
    driver = compile_library(tmp_path / "libcuda.so.1", DRIVER)
    shutil.copy(built / "driver" / "libnvidia-ml.so.1", tmp_path)
    done = subprocess.run([sys.executable, "-c", REAL], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "STUB_GPUS": T4, "PYTHONPATH": str(ROOT),
                               "LD_LIBRARY_PATH": str(driver.parent)})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stderr.splitlines()[-1])
    assert found["mxnet"] and found["cuda"] and (found["y"], found["gradient"]) == (9, 18)
    assert found["why"] == "Running on the CPU, because MXNet finds no GPU."
    assert {library.soname for library in gpus.LIBRARIES} <= set(found["mapped"])
