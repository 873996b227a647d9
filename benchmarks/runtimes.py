"""Time a detector's network in every runtime that is here, side by side.

Each runtime is measured in a process of its own, in rounds, and gets the same
weights and the same batch, already normalised: the bare network, as `export
--raw` writes it. "whole" is one file from the picture to the detections, with
decoding and suppression; it is asked for the same by `detect`. int8 is
calibrated on noise here, which changes no time; what it costs in AP,
export_accuracy.py says. Others than MXNet and onnxruntime are measured where
they are installed (requirements-runtimes.txt); the networks that PyTorch runs
are the same files, read by onnx2torch, and compiled is dsod_tiny alone, since
PyTorch compiles the large ones for minutes.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np

import common

SEED = 0
MODELS = ("dsod_tiny", "dsod_tiny_half", "dsod300", "ssd300_vgg16")
BATCHES = (1, 4)
SECONDS = 0.8               # of measuring, for each runtime, batch and round
# runtime: the package it needs, and the precision of the file that it reads.
RUNTIMES = {"ours": ("mxnet", None), "ours, fused": ("mxnet", None),
            "onnxruntime float32": ("onnxruntime", "float32"),
            "onnxruntime int8": ("onnxruntime", "int8"),
            "openvino float32": ("openvino", "float32"),
            "openvino bfloat16": ("openvino", "float32"),
            "openvino int8": ("openvino", "int8"),
            "pytorch channels last": ("onnx2torch", "float32"),
            "pytorch compiled": ("onnx2torch", "float32"),
            "whole, ours": ("mxnet", None),
            "whole, onnxruntime": ("onnxruntime", "whole"),
            "whole, onnxruntime int8": ("onnxruntime", "whole int8"),
            "whole, openvino": ("openvino", "whole"),
            "whole, openvino-bfloat16": ("openvino", "whole"),
            "whole, openvino int8": ("openvino", "whole int8")}


def built(model):
    """Return a network with weights: of the book, or random ones."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    import mxnet as mx
    from dsod_d2l import models
    from dsod_d2l.weights import load_model

    weights = {"dsod_tiny": "dsod_tiny_pikachu",
               "dsod_tiny_half": "dsod_tiny_pikachu_half"}
    if model in weights:
        return load_model(common.ROOT / "data/weights"
                          / f"{weights[model]}.safetensors")[0]
    mx.random.seed(SEED)
    np.random.seed(SEED)
    net = models.build(model, 20)
    models.initialise(net)
    return net


def images(size, batch):
    """Return a batch of normalised noise."""
    return np.random.default_rng(SEED).normal(0, 1, (batch, 3, *size)).astype(
        np.float32)


def export(job):
    """Write the files of a network; return their sizes in bytes."""
    from dsod_d2l.workbench.exporting.onnx_graph import export_onnx

    net, sizes = built(job["model"]), {}
    names = [f"class {k}" for k in range(net.config.num_classes)]
    for kind in ("float32", "int8", "whole", "whole int8"):
        path = Path(job["folder"], f"{job['model']} {kind}.onnx")
        export_onnx(path, net, names, raw="whole" not in kind,
                    precision="int8" if "int8" in kind else "float32",
                    calibration=(images(net.config.input_size, 1)
                                 for _ in range(4)))
        sizes[kind] = path.stat().st_size
    return {"size": net.config.input_size, "bytes": sizes}


def ours(job, batch):
    """Return a function that runs MXNet's network."""
    import mxnet as mx

    net, data = built(job["model"]), mx.nd.array(batch)
    fast = {"static_alloc": True, "static_shape": True}
    if "fused" in job["runtime"]:
        net.optimize_for(data, backend="MKLDNN", **fast)
    net.hybridize(**fast, active=True)
    return lambda: [one.asnumpy() for one in net(data)]


def with_onnxruntime(job, batch):
    """Return a function that runs a file by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(job["path"], options)
    return lambda: session.run(None, {"data": batch})


def with_openvino(job, batch):
    """Return a function that runs a file by OpenVINO."""
    import openvino

    kind = "bf16" if "bfloat16" in job["runtime"] else "f32"
    core = openvino.Core()
    model = core.read_model(job["path"])
    if "int8" not in job["runtime"]:    # OpenVINO 2026.4 would end without a word
        model.reshape({"data": batch.shape})
    run = core.compile_model(model, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": kind,
        "INFERENCE_NUM_THREADS": job["threads"]})
    return lambda: [np.array(one) for one in run({"data": batch}).values()]


def with_pytorch(job, batch):
    """Return a function that runs a file by PyTorch."""
    import onnx2torch
    import torch

    torch.set_num_threads(job["threads"])
    net = onnx2torch.convert(job["path"]).eval().to(
        memory_format=torch.channels_last)
    data = torch.from_numpy(batch).to(memory_format=torch.channels_last)
    net = torch.compile(net) if "compiled" in job["runtime"] else net

    def run():
        with torch.inference_mode():
            return [one.numpy() for one in net(data)]
    return run


def whole(job, batch):
    """Return a function that goes from pictures to detections."""
    if RUNTIMES[job["runtime"]][0] == "mxnet":
        from dsod_d2l.detection import Detector

        net = built(job["model"])
        names = [f"class {k}" for k in range(net.config.num_classes)]
        detector = Detector(net, names)
    else:
        from dsod_d2l.workbench.exporting.onnx_detector import OnnxDetector

        words = job["runtime"].removeprefix("whole, ").removesuffix(" int8")
        detector = OnnxDetector(job["path"], device="cpu", runtime=words)
        batch = np.clip(batch * 60 + 120, 0, 255)
    return lambda: detector.detect_batch(batch)


def timed(job):
    """Time one runtime; return, by batch, seconds and what it has answered."""
    start = (whole if job["runtime"].startswith("whole") else
             {"mxnet": ours, "onnxruntime": with_onnxruntime,
              "openvino": with_openvino, "onnx2torch": with_pytorch}
             [RUNTIMES[job["runtime"]][0]])
    told = {}
    for count in job["batches"]:
        run = start(job, images(job["size"], count))
        answer = run()
        begin = time.perf_counter()
        run()
        times = SECONDS / (time.perf_counter() - begin)
        told[count] = {
            "seconds": common.clock(run, job["times"] or int(np.clip(
                times, 4, 40)), warm=2),
            "mean": None if start is whole else [
                float(np.abs(one).mean()) for one in answer]}
    return told


def here(model):
    """Return the runtimes that are measured on a model."""
    return [name for name, (package, _) in RUNTIMES.items()
            if importlib.util.find_spec(package)
            and (name != "pytorch compiled" or model == MODELS[0])]


def measure(options):
    """Measure all; return payload and text."""
    found, rows = {}, []
    threads = 1 if options.quick else common.cores()
    for model in MODELS[:1] if options.quick else MODELS:
        files = common.child("export", {"model": model,
                                        "folder": options.folder})

        def one(name):
            kind = RUNTIMES[name][1]
            return common.child("timed", {
                "runtime": name, "model": model, "size": files["size"],
                "batches": BATCHES[:1] if options.quick else BATCHES,
                "threads": threads, "times": 3 if options.quick else None,
                "path": str(Path(options.folder, f"{model} {kind}.onnx"))
            }, threads=threads)
        answers = common.rounds({name: lambda name=name: one(name)
                                 for name in here(model)}, options.rounds)
        for batch in answers["ours"][0]:
            middle = {name: [float(np.median(each[batch]["seconds"]))
                             for each in row]
                      for name, row in answers.items()}
            for name, seconds in middle.items():
                told = {"milliseconds": common.spread(1e3 * np.array(seconds)),
                        "gain": common.ratio(middle["ours"], seconds)}
                mean = answers[name][0][batch]["mean"]
                if mean:
                    told["difference"] = common.agree(
                        f"{model}, {name}", answers["ours"][0][batch]["mean"],
                        mean, 0.3 if "int8" in name or "bfloat16" in name else 1e-3)
                kind = RUNTIMES[name][1]
                told["bytes"] = files["bytes"].get(kind) if kind else None
                found[f"{model}, batch {batch}, {name}"] = told
                rows.append((model, batch, name, told["milliseconds"],
                             told["gain"], told.get("difference", "-"),
                             told["bytes"] or "-"))
    return {"threads": threads, "runtimes": found}, common.table(
        rows, ("network", "batch", "runtime", "ms", "times faster than ours",
               "difference", "bytes"))


if __name__ == "__main__":
    common.start(__doc__, {"export": export, "timed": timed}, measure)
