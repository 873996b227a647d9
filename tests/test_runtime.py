"""runtime: what it puts back, in fresh processes, and what it leaves alone."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from dsod_d2l import runtime


def run(code, **variables):
    """Run code in a fresh Python; return what it prints, read as JSON."""
    variables = {**os.environ, **variables}
    for name in [name for name, value in variables.items() if value is None]:
        del variables[name]
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c",
                           code], env=variables, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_is_silent_and_leaves_mxnet_out():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, dsod_d2l, dsod_d2l.datasets\n"
         "assert 'mxnet' not in sys.modules and 'cv2' not in sys.modules"],
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
           "restored": dsod_d2l.runtime.describe()["restored"],
           "stub": not hasattr(sys.modules["distutils"], "__file__")},
          sys.stdout)
"""


def check_mxnet(found):
    assert found["shape"] == [2, 4, 3, 5]
    assert found["y"] == 9.0                # 3 x 3 x 2 ones, times a half
    assert found["gradient"] == 18.0        # 9 windows, 4 filters, a half
    assert found["boxes"] == [1, 5 * 7 * 4, 4]
    assert found["np"] is False
    if np.lib.NumpyVersion(np.__version__) < "1.24.0":
        assert not [name for name in found["restored"] if "numpy" in name]


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
    fake.__version__, fake.lib = "1.26.4", np.lib
    fake.round_ = ours
    for name in ("bool", "in1d", "npv"):
        vars(fake).pop(name, None)
    monkeypatch.setattr(runtime, "np", fake)
    monkeypatch.setattr(runtime, "_restored", [])
    runtime._restore_numpy()
    assert fake.round_ is ours and fake.bool is np.bool_
    assert fake.in1d([[1, 2], [3, 1]], [1]).tolist() == [True, False, False,
                                                         True]
    with pytest.raises(NotImplementedError, match="npv"):
        fake.npv(0.1, [1, 2])
    first = list(runtime._restored)
    assert {"numpy.bool", "numpy.in1d", "numpy.npv"} <= set(first)
    runtime._restore_numpy()
    assert runtime._restored == first


def test_old_numpy_is_left_alone(monkeypatch):
    fake = types.SimpleNamespace(__version__="1.23.5", lib=np.lib)
    monkeypatch.setattr(runtime, "np", fake)
    runtime._restore_numpy()
    assert set(vars(fake)) == {"__version__", "lib"}


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

    def __init__(self, gpus, cuda):
        super().__init__("mxnet")
        self.cpu, self.gpu = (lambda: "cpu"), (lambda k: f"gpu{k}")
        self.context = types.SimpleNamespace(num_gpus=lambda: gpus)
        features = types.SimpleNamespace(is_enabled=lambda name: cuda)
        self.runtime = types.SimpleNamespace(Features=lambda: features)


@pytest.mark.parametrize("gpus, cuda, prefer, context, words", [
    (0, False, None, "cpu", "without GPU support"),
    (0, True, "gpu", "cpu", "finds no GPU"),
    (1, True, None, "gpu0", "on the GPU."),
    (2, True, "gpu", "gpu0", "first of 2"),
    (2, True, "cpu", "cpu", "as asked")])
def test_device(monkeypatch, gpus, cuda, prefer, context, words):
    monkeypatch.setitem(sys.modules, "mxnet", FakeMXNet(gpus, cuda))
    found, sentence = runtime.device(prefer)
    assert found == context and words in sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_device_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="prefer must be cpu, gpu or None, "
                                         "found 'tpu'"):
        runtime.device("tpu")


def test_describe_is_json_and_says_what_is_here():
    found = json.loads(json.dumps(runtime.describe()))
    assert found["mxnet"] == "1.9.1" and found["numpy"] == np.__version__
    assert found["device"].startswith(("cpu", "gpu"))
    assert found["reason"].startswith("Running on the")
    assert found["cores"] >= 1


def test_describe_without_mxnet(monkeypatch):
    monkeypatch.setitem(sys.modules, "mxnet", None)
    found = runtime.describe()
    assert found["device"] is None and "cannot be imported" in found["reason"]


def test_versions_compare_by_number():
    assert runtime._Version("1.9.1") < "1.17"
    assert runtime._Version("2.5.5") >= runtime._Version("1.6.0")
    assert runtime._Version("1.17") == "1.17"
