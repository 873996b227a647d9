"""The plan of a run, before it is run: steps, rates, images, memory."""

import os

import mxnet as mx
import numpy as np

from ...datasets.sample import CACHE_LIMIT
from ...models import count_parameters
from ...models.summary import graph_shapes
from ...training import learning_rate

FLOAT, GIB = 4, 2 ** 30        # bytes
SUITS = (0.05, 16)             # a learning rate of SGD, and images of a step
MOMENTUM = 0.5                 # of SGD, from which on this holds


def plan_run(net, images: int, settings, contexts=()) -> dict:
    """Say what a run will do.

    Args:
        net: a ``models.Network``; it need not be initialised.
        images: of the training set, before anything is held back.
        settings: ``TrainConfig``.
        contexts: the MXNet contexts it is to run on, if they are known.

    Returns:
        JSON-ready dictionary: "steps"; "batch_size", "accumulate" and
        "images_per_step"; "images" that are trained on and "held_back";
        "images_seen" and "epochs"; "rates", a list of [step, learning
        rate] where it changes, steps counted from 0; "memory", see
        ``estimate_memory``; "cache", the most bytes of decoded images that
        all processes keep together; "warnings", a list of sentences.
    """
    trained, held = split_sizes(images, settings)
    per_step = settings.batch_size * settings.accumulate
    seen = settings.steps * per_step
    return {"steps": settings.steps, "batch_size": settings.batch_size,
            "accumulate": settings.accumulate, "images_per_step": per_step,
            "images": trained, "held_back": held, "images_seen": seen,
            "epochs": round(seen / max(trained, 1), 2),
            "rates": rate_table(settings),
            "memory": estimate_memory(net, settings), "cache": CACHE_LIMIT,
            "warnings": warnings_of(settings) + check_memory(
                net, settings, contexts)}


def warnings_of(settings) -> list[str]:
    """Return sentences on what is likely to go wrong.

    >>> from dsod_d2l.config import TrainConfig
    >>> warnings_of(TrainConfig()), len(warnings_of(TrainConfig(batch_size=4)))
    ([], 1)
    """
    images = settings.batch_size * settings.accumulate
    suits = SUITS[0] * images / SUITS[1]
    if (settings.optimiser == "adam" or settings.momentum < MOMENTUM
            or images >= SUITS[1] or settings.learning_rate <= suits):
        return []
    return [f"a learning rate of {settings.learning_rate:g} is much for steps "
            f"of {images} images: --learning-rate {suits:.2g} suits them, or "
            f"--accumulate {-(-SUITS[1] // settings.batch_size)}"]


def split_sizes(images: int, settings) -> tuple[int, int]:
    """Return how many images are trained on, and how many held back.

    >>> from dsod_d2l.config import TrainConfig
    >>> split_sizes(25, TrainConfig(held_back=0.1))
    (23, 2)
    """
    held = 0
    if settings.held_back:                 # as ``datasets.split`` does
        held = min(max(round(images * settings.held_back), 1), images - 1)
    return images - held, held


def rate_table(settings) -> list[list]:
    """Return [step, learning rate] where the rate changes its course.

    The first step, the end of the warm-up, every drop or every quarter of a
    cosine, and the last step; the rates are those of ``learning_rate``.

    >>> from dsod_d2l.config import TrainConfig
    >>> rate_table(TrainConfig(steps=100, warmup=0, schedule="multistep",
    ...                        learning_rate=1.0, milestones=(0.5,)))
    [[0, 1.0], [50, 0.1], [99, 0.1]]
    """
    last, warmup = settings.steps - 1, settings.warmup
    steps = {0, min(max(warmup - 1, 0), last), min(warmup, last), last}
    if settings.schedule == "multistep":
        steps |= {round(share * settings.steps)
                  for share in settings.milestones}
    if settings.schedule == "cosine":
        steps |= {warmup + round((last - warmup) * quarter / 4)
                  for quarter in (1, 2, 3)}
    rows = [[step, float(f"{learning_rate(step, settings):.6g}")]
            for step in sorted(steps) if 0 <= step <= last]
    return [row for place, row in enumerate(rows)
            if place in (0, len(rows) - 1) or row[1] != rows[place - 1][1]]


def estimate_memory(net, settings) -> dict[str, int]:
    """Estimate the bytes that training holds at once.

    Counted are 4 bytes for: each trainable number with its gradient and
    what the optimiser keeps of it (SGD with momentum one number, Adam two);
    the average of the weights; and every value that the network computes
    for the images of one pass, kept for the backward pass. Values that MXNet
    writes in place are counted too often, gradients under way not at all:
    four networks of the book took from a fifth less to a fourteenth more.
    Data workers, the loss and the library itself come on top.

    Args:
        net: a ``models.Network``.
        settings: ``TrainConfig``.

    Returns:
        {"parameters", "values", "total"}, in bytes.
    """
    learned = count_parameters(net)
    every = count_parameters(net, trainable=False)
    kept = {"sgd": int(settings.momentum > 0), "adam": 2}[settings.optimiser]
    numbers = every + learned * (1 + kept)
    if settings.average:
        numbers += every
    values = _values(net) * settings.batch_size
    return {"parameters": FLOAT * numbers, "values": FLOAT * values,
            "total": FLOAT * (numbers + values)}


def device_memory(context) -> int:
    """Return the bytes that are free on a GPU, or that this machine has."""
    if context.device_type == "gpu":
        return mx.context.gpu_memory_info(context.device_id)[0]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(net, settings, contexts) -> list[str]:
    """Return a sentence if a plan does not fit a device, and what would.

    Args:
        net: a ``models.Network``.
        settings: ``TrainConfig``.
        contexts: the MXNet contexts that share each batch; none: no sentence.
    """
    if not contexts:
        return []
    plan, batch = estimate_memory(net, settings), settings.batch_size
    most, share = min(map(device_memory, contexts)), len(contexts)
    if contexts[0].device_type == "cpu":     # parts of one memory
        share = 1

    def needed(size):
        return plan["parameters"] + plan["values"] // batch * size // share
    if needed(batch) <= most:
        return []
    images = batch * settings.accumulate
    fits = [size for size in range(len(contexts), batch, len(contexts))
            if images % size == 0 and needed(size) <= most]
    helps = (f"--batch-size {fits[-1]} --accumulate {images // fits[-1]} takes"
             f" {needed(fits[-1]) / GIB:.1f}, and as many images a step; batch"
             f" normalisation sees {fits[-1]} of them at a time then"
             if fits else "a smaller --input takes less")
    return [f"memory of about {needed(batch) / GIB:.1f} GiB is planned, where "
            f"{contexts[0]} has {most / GIB:.1f}: {helps}"]


def _values(net):
    """Return how many numbers the network computes for one image."""
    shapes, nodes = graph_shapes(list(net(mx.sym.var("data"))),
                                 (1, 3, *net.config.input_size))
    return sum(int(np.prod(shape)) for name, shape in shapes.items()
               if name not in nodes or name == "data")


def plan_text(plan: dict) -> str:
    """Return a plan as a text to read."""
    def size(number):
        return f"{number / 2 ** 20:,.0f} MiB"
    memory = plan["memory"]
    rates = ", ".join(f"{step:,}: {rate:g}" for step, rate in plan["rates"])
    return (
        f"{plan['steps']:,} steps of {plan['images_per_step']} images "
        f"({plan['accumulate']} passes of {plan['batch_size']})\n"
        f"{plan['images']:,} images to train on, {plan['held_back']:,} held "
        f"back; {plan['images_seen']:,} seen, {plan['epochs']:,.1f} epochs\n"
        f"learning rate from step (counted from 0): {rates}\n"
        f"memory about {size(memory['total'])}: {size(memory['values'])} for "
        "what the network computes on one pass, "
        f"{size(memory['parameters'])} for weights, gradients and the "
        "optimiser\n"
        f"decoded images are kept, {size(plan['cache'])} at most in all "
        "processes together" + "".join(
            f"\nwarning: {sentence}" for sentence in plan["warnings"]))
