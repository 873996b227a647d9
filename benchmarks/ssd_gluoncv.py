"""Measure SSD300 on VGG16 against GluonCV's network of the same shape.

Both are given the same numbers, and must predict the same and have the same
loss before anything is timed; both are hybridized with static memory and
shapes, and have the same threads. Three tasks:

forward    class scores and offsets of a batch, not in training
step       forward, loss with mining, backward and update; targets are ready
targets    the same, with targets made from the boxes of the batch

GluonCV 0.10 is needed beside what the book needs; it takes any of its
packages that is found on the path.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import common

SEED = 0
MODEL, THEIRS = "ssd300_vgg16", "ssd_300_vgg16_atrous_voc"
SIDE, OBJECTS = 300, 4
TASKS = ("forward", "step", "targets")
TOLERANCE = 1e-4
FAST = {"static_alloc": True, "static_shape": True}


def batch_of(size):
    """Return pixels (B, 3, H, W), less the mean, boxes and labels."""
    rng = np.random.default_rng(SEED)
    pixels = rng.normal(0, 1, (size, 3, SIDE, SIDE)).astype("float32")
    boxes = rng.uniform(0, .4, (size, OBJECTS, 2))
    boxes = np.concatenate([boxes, boxes + rng.uniform(
        .1, .6, (size, OBJECTS, 2))], axis=2)
    return pixels, boxes, rng.integers(0, 20, (size, OBJECTS))


def their_network():
    """Return GluonCV's network with numbers that depend on the seed alone."""
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    import mxnet as mx
    try:
        from gluoncv import model_zoo
    except ImportError as error:
        raise SystemExit(f"GluonCV cannot be imported: {error}") from error
    net = model_zoo.get_model(THEIRS, pretrained=False,
                              pretrained_base=False)
    net.initialize()
    with mx.autograd.train_mode():
        net(mx.nd.zeros((1, 3, SIDE, SIDE)))
    rng = np.random.default_rng(SEED)
    for parameter in net.collect_params().values():
        if len(parameter.shape) == 4 and parameter.shape[0] > 1:
            scale = np.sqrt(2 / np.prod(parameter.shape[1:]))
            parameter.set_data(mx.nd.array(
                rng.normal(0, scale, parameter.shape)))
    return net


def our_network(theirs):
    """Return our network with the numbers of theirs: the same order."""
    from dsod_d2l import models
    net = models.build(MODEL)
    models.initialise(net)
    rooms = {"features": [], "class_predictors": [], "box_predictors": []}
    for name, one in theirs._collect_params_with_prefix().items():
        room = name.split(".")[0]
        if room in rooms and name.endswith(("weight", "bias")):
            rooms[room].append(one)
    own = net._collect_params_with_prefix()
    places = {"features": ("backbone.", "extras."),
              "class_predictors": ("class_heads.",),
              "box_predictors": ("box_heads.",)}
    for room, starts in places.items():
        mine = [one for name, one in own.items() if name.startswith(starts)]
        if [one.shape for one in mine] != [one.shape for one in rooms[room]]:
            raise ValueError(f"the shapes of {room} differ")
        for one, other in zip(mine, rooms[room]):
            one.set_data(other.data())
    return net


class Ours:
    """Our network behind the four tasks."""

    def __init__(self):
        import mxnet as mx
        from dsod_d2l import anchors
        from dsod_d2l.losses import DetectionLoss
        self.mx, self.net = mx, our_network(their_network())
        self.anchors = anchors.anchors_for(self.net.config)
        self.loss = DetectionLoss()
        for block in (self.net, self.loss):
            block.hybridize(**FAST)
        # GluonCV undoes the division by the deviation in its network.
        self.scale = 255 * np.array([.229, .224, .225])[:, None, None]

    def images(self, pixels):
        """Return a batch as this network takes it."""
        return self.mx.nd.array(pixels * self.scale)

    def forward(self, images):
        """Return class scores and offsets."""
        return self.net(images)

    def targets(self, boxes, labels):
        """Return classes and offsets."""
        from dsod_d2l.targets import label_anchors
        made = [label_anchors(self.anchors, *one)[:2]
                for one in zip(boxes, labels)]
        return [self.mx.nd.array(np.stack(part)) for part in zip(*made)]

    def losses(self, images, classes, offsets):
        """Return the classification and the localisation loss."""
        return self.loss(*self.net(images), classes, offsets)


class Theirs:
    """GluonCV's network behind the four tasks, as its script uses it."""

    def __init__(self):
        import mxnet as mx
        self.mx, self.net = mx, their_network()
        from gluoncv.loss import SSDMultiBoxLoss
        from gluoncv.model_zoo.ssd.target import SSDTargetGenerator
        self.generate = SSDTargetGenerator(negative_mining_ratio=-1)
        self.loss = SSDMultiBoxLoss()
        self.net.hybridize(**FAST)
        with mx.autograd.train_mode():
            self.anchors = self.net(mx.nd.zeros((1, 3, SIDE, SIDE)))[2]
            outputs = self.net(mx.sym.var("data"))[:2]
        # Outside training, their network also looks for objects, among fewer
        # candidates than ours; here it shall end where ours does.
        self.bare = mx.gluon.SymbolBlock(list(outputs), mx.sym.var("data"),
                                         params=self.net.collect_params())
        self.bare.hybridize(**FAST)

    def images(self, pixels):
        """Return a batch as this network takes it."""
        return self.mx.nd.array(pixels)

    def forward(self, images):
        """Return class scores and offsets, and no detections."""
        return self.bare(images)

    def targets(self, boxes, labels):
        """Return classes and offsets, of one image after the other."""
        made = []
        for one, kinds in zip(boxes * SIDE, labels):
            made.append(self.generate(
                self.anchors, None, self.mx.nd.array(one[None]),
                self.mx.nd.array(kinds[None, :, None]))[:2])
        return [self.mx.nd.concat(*part, dim=0) for part in zip(*made)]

    def losses(self, images, classes, offsets):
        """Return the classification and the localisation loss."""
        scores, moves, _ = self.net(images)
        _, first, second = self.loss(scores, moves, classes, offsets)
        return first[0].sum(), second[0].sum()


def network(job):
    """Answer for one of the two: what it says, and the seconds of tasks."""
    one = {"ours": Ours, "gluoncv": Theirs}[job["setting"]]()
    mx = one.mx
    pixels, boxes, labels = batch_of(job["batch"])
    images, ready = one.images(pixels), one.targets(boxes, labels)
    trainer = mx.gluon.Trainer(one.net.collect_params(), "sgd",
                               {"learning_rate": 1e-9, "momentum": .9})

    def gradients(wanted):
        with mx.autograd.record():
            parts = one.losses(images, *wanted)
            loss = parts[0] + parts[1]
        loss.backward()
        return parts

    def step(wanted):
        gradients(wanted)
        trainer.step(1)
        mx.nd.waitall()

    scores, offsets = (part.asnumpy() for part in one.forward(images))
    losses = [float(part.asscalar()) for part in gradients(ready)]
    np.savez(Path(job["folder"]) / f"{job['setting']}.npz", scores=scores,
             offsets=offsets, losses=losses, classes=ready[0].asnumpy(),
             wanted=ready[1].asnumpy())

    def forward():
        for part in one.forward(images):
            part.wait_to_read()

    tasks = {"forward": forward, "step": lambda: step(ready),
             "targets": lambda: step(one.targets(boxes, labels))}
    return {task: common.clock(tasks[task], job["times"], warm=job["warm"])
            for task in TASKS}


def check(folder):
    """Return the differences of the two, all within bounds."""
    with np.load(Path(folder) / "ours.npz") as ours, \
            np.load(Path(folder) / "gluoncv.npz") as theirs:
        return {name: common.agree(name, theirs[name], ours[name], TOLERANCE)
                for name in ours}


def measure(options):
    """Measure both; return the payload and the text."""
    quick = options.quick
    job = {"batch": 1 if quick else 8, "times": 1 if quick else 8,
           "warm": 1 if quick else 4, "folder": options.folder}
    cores = common.cores()
    answers = common.rounds(
        {name: lambda name=name: common.child(
            "network", {**job, "setting": name}, cores)
         for name in ("ours", "gluoncv")}, options.rounds)
    seconds = {task: {name: [float(np.median(one[task])) for one in answer]
                      for name, answer in answers.items()} for task in TASKS}
    figures = {task: {
        "milliseconds": {name: common.spread(np.multiply(1e3, values))
                         for name, values in both.items()},
        "gain": common.ratio(both["gluoncv"], both["ours"])}
        for task, both in seconds.items()}
    payload = {"config": {"model": MODEL, "gluoncv": THEIRS,
                          "batch": job["batch"], "threads": cores},
               "seed": SEED, "figures": figures,
               "differences": check(options.folder)}
    rows = [(task, *one["milliseconds"].values(), one["gain"])
            for task, one in figures.items()]
    return payload, common.table(rows, ("task", "ours, ms", "gluoncv, ms",
                                        "gluoncv / ours"))


if __name__ == "__main__":
    common.start(__doc__, {"network": network}, measure)
