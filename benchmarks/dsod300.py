"""Measure DSOD300 and its lite form on the CPU, against PyTorch.

The networks are ours, hybridized, and the same graphs carried out by
PyTorch, operator for operator and eagerly, with the same numbers: once in
its default layout, once with the channels last. Inference can join
convolution, normalisation and ReLU ("fused", ours only). Where PyTorch is
not installed, ours are measured alone. A training step is forward, a plain
quadratic loss, backward, and an update with momentum. The outputs and the
gradients of all settings are compared.

Multiply-adds over time give a speed; over the speed of the best of several
convolutions of MXNet, measured in the same rounds, the share of the roofline.
"""

from __future__ import annotations

import importlib.util
import json
import resource

import numpy as np

import common
from step import SHAPES, convolutions, multiply_adds

SEED = 0
MODELS = ("dsod300", "dsod300_lite")
TASKS = {"train": ("ours", "torch", "torch, channels last"),
         "inference": ("ours", "ours, fused", "torch",
                       "torch, channels last")}
# Normalising the few cells of the last maps magnifies rounding backwards.
TOLERANCE = {"output 0": 1e-3, "output 1": 1e-3, "gradient": 1e-2}
RATE, MOMENTUM = 1e-3, 0.9


def build(model, side):
    """Return our network, its numbers drawn from the seed alone."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    import mxnet as mx
    from dsod_d2l import models

    net = models.build(model, input_size=side)
    net.initialize()
    rng = np.random.default_rng(SEED)
    for parameter in net.collect_params().values():
        if len(parameter.shape) == 4 and min(parameter.shape[:2]) > 1:
            scale = np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.set_data(mx.nd.array(
                rng.normal(0, scale, parameter.shape)))
    return net


def pixels(job):
    """Return the images, the same for every setting."""
    rng = np.random.default_rng(SEED)
    return rng.normal(0, 1, (job["batch"], 3, job["side"], job["side"])
                      ).astype(np.float32)


def pair(text):
    """Return the numbers of an attribute such as "(3, 3)"."""
    return tuple(int(part) for part in text.strip("()[]").split(",") if part)


def graph_of(net):
    """Return the nodes, the heads and the arrays of a network."""
    import mxnet as mx

    outputs = mx.sym.Group(list(net(mx.sym.var("data"))))
    graph = json.loads(outputs.tojson())
    arrays = {parameter.name: parameter.data().asnumpy()
              for parameter in net.collect_params().values()}
    return graph["nodes"], graph["heads"], arrays


class Torch:
    """A network's graph, carried out by PyTorch one operator at a time."""

    def __init__(self, net, last):
        import torch
        self.torch, self.last = torch, last
        self.nodes, self.heads, arrays = graph_of(net)
        frozen = ("running_mean", "running_var")
        self.numbers = {}
        for name, array in arrays.items():
            tensor = torch.tensor(array)
            if last and tensor.ndim == 4:
                tensor = tensor.to(memory_format=torch.channels_last)
            tensor.requires_grad_(not name.endswith(frozen))
            self.numbers[name] = tensor
        self.training = False

    def parameters(self):
        """Return what is learned."""
        return [one for one in self.numbers.values() if one.requires_grad]

    def place(self, array):
        """Return images as the layout wants them."""
        tensor = self.torch.tensor(array)
        if self.last:
            tensor = tensor.to(memory_format=self.torch.channels_last)
        return tensor

    def __call__(self, images):
        values = []
        for node in self.nodes:
            given = [values[source] for source, *_ in node["inputs"]]
            if node["op"] == "null":
                values.append(images if node["name"] == "data"
                              else self.numbers[node["name"]])
            else:
                values.append(getattr(self, node["op"])(
                    node.get("attrs", {}), *given))
        return [values[head[0]] for head in self.heads]

    def Convolution(self, facts, x, weight, bias=None):
        """A convolution."""
        return self.torch.nn.functional.conv2d(
            x, weight, bias, pair(facts["stride"]), pair(facts["pad"]))

    def BatchNorm(self, facts, x, gamma, beta, mean, variance):
        """Batch normalisation; MXNet's momentum is one minus PyTorch's."""
        return self.torch.nn.functional.batch_norm(
            x, mean, variance, gamma, beta, self.training,
            1 - float(facts["momentum"]), float(facts["eps"]))

    def Activation(self, facts, x):
        """ReLU, the only activation."""
        return self.torch.relu(x)

    def Pooling(self, facts, x):
        """Largest of a window."""
        return self.torch.nn.functional.max_pool2d(
            x, pair(facts["kernel"]), pair(facts["stride"]),
            pair(facts["pad"]),
            ceil_mode=facts["pooling_convention"] == "full")

    def Concat(self, facts, *parts):
        """Joined along an axis."""
        return self.torch.cat(parts, int(facts["dim"]))

    def L2Normalization(self, facts, x):
        """Each cell's channels divided by their norm."""
        return x / self.torch.sqrt((x * x).sum(1, keepdim=True) + 1e-10)

    def broadcast_mul(self, facts, x, scale):
        """A factor for each channel."""
        return x * scale

    def transpose(self, facts, x):
        """Axes in another order."""
        return x.permute(pair(facts["axes"]))

    def Reshape(self, facts, x):
        """(B, anything) to (B, -1, columns)."""
        columns = pair(facts["shape"])[-1]
        return x.reshape(x.shape[0], -1, columns)


def sums(outputs, gradients=None):
    """Return a few numbers that tell one result from another."""
    found = {f"output {k}": float(np.square(output, dtype=np.float64).mean())
             for k, output in enumerate(outputs)}
    if gradients is not None:
        found["gradient"] = float(np.sqrt(sum(
            np.square(one, dtype=np.float64).sum() for one in gradients)))
    return found


def ours(job):
    """Time our network; return seconds and what it computed."""
    net = build(job["model"], job["side"])
    import mxnet as mx
    from mxnet import autograd, gluon

    images = mx.nd.array(pixels(job))
    fast = {"static_alloc": True, "static_shape": True}
    if job["setting"] == "ours, fused":
        net.optimize_for(images, backend="MKLDNN", **fast)
    else:
        net.hybridize(**fast)
    if job["task"] == "inference":
        return {"seconds": common.clock(lambda: [
            one.wait_to_read() for one in net(images)], job["times"], 3),
            **sums([one.asnumpy() for one in net(images)])}
    learned = [one for one in net.collect_params().values()
               if one.grad_req != "null"]
    trainer = gluon.Trainer(learned, "sgd", {
        "learning_rate": RATE, "momentum": MOMENTUM}, kvstore=None)

    def gradients():
        with autograd.record():
            outputs = net(images)
            loss = sum((one ** 2).mean() for one in outputs)
        loss.backward()
        return outputs

    def step():
        gradients()
        trainer.step(1)
        mx.nd.waitall()

    found = sums([one.asnumpy() for one in gradients()],
                 [one.grad().asnumpy() for one in learned])
    return {"seconds": common.clock(step, job["times"]), **found}


def torch(job):
    """Time the same in PyTorch."""
    net = Torch(build(job["model"], job["side"]),
                job["setting"].endswith("last"))
    import torch as library

    library.set_num_threads(common.cores())
    images = net.place(pixels(job))
    if job["task"] == "inference":
        with library.inference_mode():
            seconds = common.clock(lambda: net(images), job["times"], 3)
            return {"seconds": seconds,
                    **sums([one.numpy() for one in net(images)])}
    net.training = True
    optimiser = library.optim.SGD(net.parameters(), lr=RATE,
                                  momentum=MOMENTUM)

    def gradients():
        optimiser.zero_grad()
        outputs = net(images)
        sum((one ** 2).mean() for one in outputs).backward()
        return outputs

    def step():
        gradients()
        optimiser.step()

    found = sums([one.detach().numpy() for one in gradients()],
                 [one.grad.numpy() for one in net.parameters()])
    return {"seconds": common.clock(step, job["times"]), **found}


def network(job):
    """Answer for one setting of one task, with the most memory it took."""
    answer = (torch if job["setting"].startswith("torch") else ours)(job)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**answer, "gibibytes": most / 2 ** 20}


def count(job):
    """Return the multiply-adds of one image, forward."""
    shape = (1, 3, job["side"], job["side"])
    return {"multiply_adds": multiply_adds(build(job["model"], job["side"]),
                                           shape)}


def compare(name, answers):
    """Return the largest differences of a task's settings from ours."""
    first = answers[("ours",)][0]
    return {f"{name}, {value}: {setting}": common.agree(
        f"{name}, {value} of {setting}", [first[value]], [one[0][value]],
        TOLERANCE[value]) for (setting,), one in answers.items()
        if setting != "ours" for value in first if value in TOLERANCE}


def figures(answers, work, batch, best):
    """Return the figures of one task of one network, by setting."""
    passes = 3 if ("ours, fused",) not in answers else 1
    seconds = {setting: [float(np.median(one["seconds"])) for one in found]
               for (setting,), found in answers.items()}
    found = {}
    for setting, values in seconds.items():
        speed = 2e-9 * work * passes * batch / np.array(values)
        found[setting] = {
            "images_per_second": common.spread(batch / np.array(values)),
            "share_of_best_convolution": common.spread(speed / best),
            "gibibytes": common.spread([
                one["gibibytes"] for one in answers[(setting,)]])}
        if setting.startswith("torch"):
            found[setting]["times_ours"] = common.ratio(values,
                                                        seconds["ours"])
            if "ours, fused" in seconds:
                found[setting]["times_ours_fused"] = common.ratio(
                    values, seconds["ours, fused"])
    return found


def measure(options):
    """Measure all; return the payload and the text."""
    job = {"side": 160 if options.quick else 300,
           "batch": 2 if options.quick else 4,
           "times": 1 if options.quick else 6,
           "shapes": SHAPES[-1:] if options.quick else SHAPES}
    present = importlib.util.find_spec("torch") is not None
    settings = {("best",): lambda: common.child("convolutions", job,
                                                common.cores())}
    for model in MODELS[-1:] if options.quick else MODELS:
        for task, names in TASKS.items():
            for setting in names:
                if present or not setting.startswith("torch"):
                    settings[model, task, setting] = _asker(
                        {**job, "model": model, "task": task,
                         "setting": setting})
    answers = common.rounds(settings, options.rounds)
    best = np.max([list(one.values()) for one in answers.pop(("best",))],
                  axis=1)
    found, different, rows, works = {}, {}, [], {}
    for model, task in dict.fromkeys(key[:2] for key in answers):
        works.setdefault(model, common.child(
            "count", {**job, "model": model}, 1)["multiply_adds"])
        mine = {key[2:]: value for key, value in answers.items()
                if key[:2] == (model, task)}
        different.update(compare(f"{model}, {task}", mine))
        one = figures(mine, works[model], job["batch"], best)
        found.setdefault(model, {})[task] = one
        rows += [(model, task, name, *values.values())
                 for name, values in one.items()]
    payload = {"config": {"side": job["side"], "batch": job["batch"],
                          "threads": common.cores()}, "seed": SEED,
               "figures": found, "differences": different,
               "multiply_adds_per_image": works, "torch": _torch_version(),
               "best_convolution_gigaflops": common.spread(best)}
    rows = [row + ("",) * (8 - len(row)) for row in rows]
    return payload, common.table(rows, (
        "network", "task", "setting", "images/s", "of the best convolution",
        "GiB", "times ours", "times ours fused"))


def _asker(job):
    return lambda: common.child("network", job, common.cores())


def _torch_version():
    from importlib import metadata
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None


CHILDREN = {"network": network, "count": count, "convolutions": convolutions}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
