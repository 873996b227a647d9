"""runtime: what it puts back, in fresh processes, and what it leaves alone."""

import itertools
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from dsod_d2l import runtime
from dsod_d2l.workbench import gpus, machine


def run(code, *arguments, **variables):
    """Run code in a fresh Python; return what it prints, read as JSON."""
    variables = {**os.environ, **variables}
    for name in [name for name, value in variables.items() if value is None]:
        del variables[name]
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c",
                           code, *arguments], env=variables,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_is_silent_and_leaves_mxnet_out():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, dsod_d2l, dsod_d2l.datasets\n"
         "assert 'mxnet' not in sys.modules"],
        capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


MXNET_WORKS = """
import json, sys, types
import numpy as np
import dsod_d2l
import mxnet as mx
from mxnet import autograd
from mxnet.gluon import nn

net = nn.Conv2D(np.int64(4), kernel_size=(np.int64(3), 3), in_channels=2)
net.initialize(mx.init.Constant(0.5))
x = mx.nd.ones((2, 2, 5, np.int64(7)))
x.attach_grad()
with autograd.record():
    y = net(x)
    y.sum().backward()
boxes = mx.nd.contrib.MultiBoxPrior(
    x, sizes=tuple(np.linspace(0.2, 0.272, 2)), ratios=(1, np.float64(2), 0.5))
json.dump({"y": y.asnumpy()[0, 0, 0, 0].item(), "shape": list(y.shape),
           "gradient": x.grad.asnumpy()[0, 0, 2, 3].item(),
           "boxes": list(boxes.shape), "np": mx.util.is_np_array(),
           "restored": dsod_d2l.runtime.RESTORED,
           "stub": not hasattr(sys.modules["distutils"], "__file__")},
          sys.stdout)
"""


def check_mxnet(found):
    assert found["shape"] == [2, 4, 3, 5]
    assert found["y"] == 9.0                # 3 x 3 x 2 ones, times a half
    assert found["gradient"] == 18.0        # 9 windows, 4 filters, a half
    assert found["boxes"] == [1, 5 * 7 * 4, 4]
    assert found["np"] is False


def test_mxnet_runs_with_numpy_scalars():
    check_mxnet(run(MXNET_WORKS))


def test_mxnet_runs_without_distutils():
    if sys.version_info < (3, 12):
        hidden = ("import importlib.util, sys\n"
                  "real = importlib.util.find_spec\n"
                  "importlib.util.find_spec = lambda name, *more: None "
                  "if name == 'distutils' else real(name, *more)\n")
        found = run(hidden + MXNET_WORKS)
    else:
        found = run(MXNET_WORKS, SETUPTOOLS_USE_DISTUTILS="stdlib")
    check_mxnet(found)
    assert found["stub"] and "distutils.version" in found["restored"]


def test_names_are_put_back_only_where_they_are_missing(monkeypatch):
    ours, fake = object(), types.SimpleNamespace(**vars(np))
    fake.round_ = ours
    for name in ("bool", "in1d", "npv"):
        vars(fake).pop(name, None)
    monkeypatch.setattr(runtime, "np", fake)
    monkeypatch.setattr(runtime, "RESTORED", [])
    runtime._restore_numpy()
    assert fake.round_ is ours and fake.bool is np.bool_
    assert fake.in1d([[1, 2], [3, 1]], [1]).tolist() == [True, False, False,
                                                         True]
    with pytest.raises(NotImplementedError, match="npv"):
        fake.npv(0.1, [1, 2])
    first = list(runtime.RESTORED)
    assert {"numpy.bool", "numpy.in1d", "numpy.npv"} <= set(first)
    runtime._restore_numpy()
    assert runtime.RESTORED == first


# Uses all that has to be put back: by the import, or by one of these calls.
EXERCISE = """
import ctypes, warnings
warnings.simplefilter("ignore")
import mxnet as mx
mx.nd.zeros((2, np.int64(3))).asnumpy()
with mx.util.np_shape(True), mx.util.np_array(True):
    wide = mx.np.pad(mx.np.ones((2, 3)), ((1, 1), (0, 0)), mode="constant")
    assert wide.shape == (4, 3)
header = mx.recordio.IRHeader(7, [1.5, 2.5], 9, 0)
packed = mx.recordio.pack(header, b"abc")
(count, label, number, _), rest = mx.recordio.unpack(packed)
assert (count, number, rest) == (2, 9, b"abc"), (count, number, rest)
assert label.tolist() == [1.5, 2.5]
grey = np.full((4, 6, 3), 128, np.uint8)
for kind in (".png", ".jpg"):
    packed = mx.recordio.pack_img((7, 2.0, 9, 0), grey, 9, kind)
    (count, label, _, _), image = mx.recordio.unpack_img(packed)
    assert (count, label) == (0, 2.0) and (image == 128).all()
one = mx.contrib.quantization.c_array(ctypes.c_float,
                                      [np.array([1.5], "f"), 2])
assert list(one) == [1.5, 2.0]
"""
# Runs the exercise in a copy of the process for each thing put back: without it.
NEEDED = """
import json, os, sys
import numpy as np
import dsod_d2l
from dsod_d2l import runtime

def without(name):
    replace = runtime._replace
    if name.startswith("numpy print"):
        np.set_printoptions(legacy=False)
    elif name.startswith("numpy."):
        delattr(np, name.removeprefix("numpy."))
    runtime._replace = lambda module, part, maker: (
        name == f"{module.__name__}.{part}" or replace(module, part, maker))

def works(name):
    child = os.fork()
    if not child:
        without(name)
        os.close(2)
        try:
            exec(EXERCISE)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0

names = [name for name in runtime.RESTORED if name != "distutils.version"]
names += json.loads(sys.argv[1])
json.dump({name: works(name) for name in ["nothing", *names]}, sys.stdout)
"""


def test_all_that_is_put_back_is_needed_and_nothing_more():
    numpy = np.lib.NumpyVersion(np.__version__)
    later = ["mxnet.recordio.pack", "mxnet.recordio.pack_img"]
    later = later * (not hasattr(np.ndarray, "tostring"))
    if not runtime._converts():
        later.append("mxnet.contrib.quantization.c_array")
    code = f"EXERCISE = {EXERCISE!r}\n{NEEDED}"
    found = run(code, json.dumps(later), OMP_NUM_THREADS="1")
    assert found.pop("nothing"), "it fails with all that is put back"
    assert not [name for name, works in found.items() if works]
    if numpy < "2.0.0":
        assert list(found) == ["numpy.bool"] * (numpy >= "1.24.0")
    else:
        assert {"numpy.PZERO", "numpy.compat", "numpy.rate",
                "numpy print option legacy=1.25"} <= set(found)


def test_the_patches_are_listed_once_mxnet_is_imported():
    found = run("import json, sys, dsod_d2l, mxnet\n"
                "dsod_d2l.runtime.prepare()\n"
                "json.dump(dsod_d2l.runtime.RESTORED, sys.stdout)")
    assert len(found) == len(set(found))
    assert ("mxnet.recordio.pack" in found) != hasattr(np.ndarray, "tostring")


def test_mxnet_that_was_imported_first_is_patched_too():
    early = ("import numpy as np\nfrom dsod_d2l import runtime\n"
             "import sys; del sys.modules['dsod_d2l']\n"
             "sys.meta_path[:] = [f for f in sys.meta_path if type(f).__module__"
             " != 'dsod_d2l.runtime']\n"
             "import mxnet\nimport dsod_d2l\n")
    assert run(early + EXERCISE + "print('true')") is True


def test_the_import_of_mxnet_leaves_its_own_loader():
    assert run("import dsod_d2l, mxnet, inspect, json, sys\n"
               "loader = type(mxnet.__spec__.loader).__name__\n"
               "same = mxnet.__loader__ is mxnet.__spec__.loader\n"
               "lines = len(inspect.getsource(mxnet))\n"
               "json.dump([loader, same, lines > 100], sys.stdout)") == [
                   "SourceFileLoader", True, True]


def test_prepare_twice_changes_nothing():
    before = dict(vars(np)), np.get_printoptions(), dict(os.environ)
    runtime.prepare()
    assert (dict(vars(np)), np.get_printoptions(), dict(os.environ)) == before


THREADS = ("import json, os, sys\n{}import dsod_d2l\n"
           "json.dump([os.environ.get('OMP_NUM_THREADS'),"
           " dsod_d2l.runtime.usable_cores()], sys.stdout)")


def test_threads_are_all_usable_cores_unless_set():
    threads, cores = run(THREADS.format(""), OMP_NUM_THREADS=None)
    assert int(threads) == cores >= 1
    assert run(THREADS.format(""), OMP_NUM_THREADS="3")[0] == "3"


@pytest.mark.parametrize("running, cores, usable, free", [
    ([1], 2, 2, 2), ([2], 2, 2, 1), ([3], 2, 2, 1), ([9], 2, 2, 1), ([3], 8, 8, 6),
    ([31], 64, 2, 2),                # a container with two cores of a machine that is half busy
    ([5, 1, 4], 2, 2, 2)])           # what runs for a moment does not count
def test_free_cores(monkeypatch, running, cores, usable, free):
    looks = itertools.cycle(running)
    monkeypatch.setattr(runtime.Path, "read_text",
                        lambda path, **_: f"9.1 8.2 7.3 {next(looks)}/345 18025\n")
    monkeypatch.setattr(runtime.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(runtime, "usable_cores", lambda: usable)
    assert runtime.free_cores() == free


def test_where_nothing_tells_what_runs_all_cores_are_free(monkeypatch):
    monkeypatch.setattr(runtime.Path, "exists", lambda path: False)
    assert runtime.free_cores() == runtime.usable_cores()


@pytest.mark.skipif(not os.path.exists("/proc/loadavg"), reason="this system does not tell what runs")
def test_a_notebook_leaves_busy_cores_alone():
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    kernel = "import time, types; sys.modules['ipykernel'] = types.ModuleType('ipykernel')\ntime.sleep(1)\n"
    try:
        assert run(THREADS.format(kernel), OMP_NUM_THREADS=None)[0] == "1"
        threads, cores = run(THREADS.format(""), OMP_NUM_THREADS=None)
        assert int(threads) == cores           # a run on the command line, which may be resumed
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_threads_that_wait_sleep_unless_the_reader_says_otherwise():
    code = "import json, os, sys, dsod_d2l; json.dump([os.environ['OMP_WAIT_POLICY']], sys.stdout)"
    assert run(code, OMP_NUM_THREADS=None, OMP_WAIT_POLICY=None) == ["PASSIVE"]
    assert run(code, OMP_NUM_THREADS=None, OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE"]


def test_threads_stay_where_mxnet_is_loaded():
    loaded = "import types; sys.modules['mxnet'] = types.ModuleType('mxnet')\n"
    assert run(THREADS.format(loaded), OMP_NUM_THREADS=None)[0] is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"),
                    reason="this system cannot bind a process to a core")
def test_cores_follow_the_affinity():
    bind = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    assert run(THREADS.format(bind), OMP_NUM_THREADS=None) == ["1", 1]


def test_worker_has_one_thread():
    assert run("import json, os, sys, cv2\n"
               "from dsod_d2l.runtime import worker_init\nworker_init(0)\n"
               "json.dump([os.environ['OMP_NUM_THREADS'],"
               " cv2.getNumThreads()], sys.stdout)") == ["1", 1]


class FakeMXNet(types.ModuleType):
    """Says what a machine has."""

    def __init__(self, count, cuda):
        super().__init__("mxnet")
        self.cpu, self.gpu = (lambda: "cpu"), (lambda k: f"gpu{k}")
        self.context = types.SimpleNamespace(num_gpus=lambda: count)
        features = types.SimpleNamespace(is_enabled=lambda name: cuda)
        self.runtime = types.SimpleNamespace(Features=lambda: features)


@pytest.mark.parametrize("count, cuda, prefer, context, words", [
    (0, False, None, "cpu", "without GPU support."),
    (0, True, "gpu", "cpu", "finds no GPU."),
    (1, True, None, "gpu0", "on the GPU."),
    (2, True, "gpu", "gpu0", "first of 2."),
    (2, True, "cpu", "cpu", "as asked.")])
def test_device(monkeypatch, count, cuda, prefer, context, words):
    monkeypatch.setitem(sys.modules, "mxnet", FakeMXNet(count, cuda))
    monkeypatch.setattr(gpus, "installed", list)
    found, sentence = machine.device(prefer)
    assert found == context and sentence.endswith(words)


T4, H100 = gpus.Gpu("T4", "GPU-1", (7, 5)), gpus.Gpu("H100", "GPU-2", (9, 0))


@pytest.mark.parametrize("cuda, here, said", [
    (False, [H100, T4], "requirements-gpu.txt has the build for the T4 here."),
    (False, [H100], "without GPU support, and MXNet 1.9.1 has no machine code "
     "for the H100 (compute capability 9.0), only for 5.0 to 8.9, such as a "
     "T4, V100, A100 or L4."),
    (True, [T4], "CUDA_VISIBLE_DEVICES names no GPU of this machine.")])
def test_why_the_cpu(monkeypatch, cuda, here, said):
    monkeypatch.setitem(sys.modules, "mxnet", FakeMXNet(0, cuda))
    monkeypatch.setattr(gpus, "installed", lambda: here)
    monkeypatch.setenv(gpus.VISIBLE, "7")
    context, sentence = machine.device()
    assert context == "cpu" and sentence.endswith(said)


def test_device_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="prefer must be cpu, gpu or None, "
                                         "found 'tpu'"):
        machine.device("tpu")


def test_describe_is_json_and_says_what_is_here():
    found = json.loads(json.dumps(machine.describe_machine()))
    assert found["mxnet"] == "1.9.1" and found["numpy"] == np.__version__
    assert found["device"].startswith(("cpu", "gpu"))
    assert found["reason"].startswith("Running on the")
    assert found["cores"] >= 1 and found["build"] == "mxnet"
    assert found["dsod_d2l"] and found["gpus"] == list(
        map(str, gpus.installed()))


def test_describe_without_mxnet(monkeypatch):
    monkeypatch.setitem(sys.modules, "mxnet", None)
    found = machine.describe_machine()
    assert found["device"] is None and "cannot be imported" in found["reason"]
