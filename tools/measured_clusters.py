"""The measured parts of book/clusters.md, from data/results.

Each function takes a result of benchmarks/ and returns Markdown.
"""

SETTINGS = {"threads": "two threads", "contexts": "two parts of the CPU", "workers": "two workers"}
# A machine of the plan: GPUs, and bytes per second between them and its memory.
MACHINES, GPUS, MEMORY = 8, 8, 24e9
IMAGES = 8                                # on each GPU
# What their maker states for float32, in operations per second.
CARDS = {"T4": 8.1e12, "V100": 15.7e12, "A100": 19.5e12}
REACHED = 1 / 3
NETWORKS = {"10 gigabits": 10e9 / 8, "25 gigabits": 25e9 / 8, "100 gigabits": 100e9 / 8}


def spread(value, form="{:.2f}"):
    """Return median, least and most as text."""
    median, least, most = (form.format(value[name]) for name in ("median", "least", "most"))
    return f"{median} ({least} to {most})"


def size(count):
    """Return a number of bytes as text.

    >>> size(58928800), size(5095400)
    ('59 MB', '5.1 MB')
    """
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"


def seconds(milliseconds):
    """Return a time as text.

    >>> seconds(3270.4), seconds(36.76)
    ('3.3 s', '37 ms')
    """
    return f"{milliseconds / 1e3:.1f} s" if milliseconds >= 1e3 else f"{milliseconds:.0f} ms"


def scaling(found):
    """Return tables of what two of anything gain, and of what limits two workers."""
    machine, rounds = found["machine"], found["rounds"]
    lines = [f"On {machine['cores']} cores with {machine['cpu_level']}, for 20 classes; medians of {rounds} rounds, "
             "with the least and the most, in times of the work of one process with one thread:", "",
             f"| network | batch | {' | '.join(SETTINGS.values())} |", "| --- " * (2 + len(SETTINGS)) + "|"]
    for name, one in found["figures"].items():
        gains = " | ".join(spread(one["gain_over_one"][setting]) for setting in SETTINGS)
        lines.append(f"| `{name}` | {one['batch']} | {gains} |")
    lines += ["", "Two workers, by their parts. What they could gain at most is the time of one, over that of half "
              "the batch and the exchange:", "",
              "| network | bytes each way | one | half the batch | exchange | could gain | gain |",
              "| --- " * 7 + "|"]
    for name, one in found["figures"].items():
        times = [seconds(one["milliseconds"][part]["median"]) for part in ("one", "half")]
        times.append(seconds(one["exchange_milliseconds"]["workers"]["median"]))
        lines.append(f"| `{name}` | {size(one['bytes_each_way'])} | {' | '.join(times)} | "
                     f"{one['gain_expected_of_workers']['median']:.2f} | "
                     f"{one['gain_over_one']['workers']['median']:.2f} |")
    return "\n".join(lines)


def exchange(count, speed, machines=MACHINES):
    """Return the seconds of an exchange among machines with a server on each.

    Args:
        count: bytes of all gradients.
        speed: of a network card, bytes per second in each direction.

    >>> round(exchange(59e6, 1.25e9), 4)        # 10 gigabits, eight machines
    0.0826
    """
    return 2 * count * (machines - 1) / (machines * speed)


def compute(multiply_adds, card):
    """Return the seconds that a card needs for its images, forward and backward.

    A step takes three times the multiply-adds of the network alone; each is
    two operations.

    >>> round(compute(14e9, "V100"), 3)
    0.128
    """
    return 3 * 2 * multiply_adds * IMAGES / (CARDS[card] * REACHED)


def plan(found):
    """Return the table of what 64 GPUs would do, on paper."""
    one = found["figures"]["dsod300"]
    count, adds = one["bytes_each_way"], one["multiply_adds_of_an_image"]
    inside = 2 * GPUS * count / MEMORY
    lines = [f"`dsod300` for 20 classes has {size(count)} of gradients, and a picture takes {adds / 1e9:.1f} thousand "
             f"million multiply-adds forward and twice as many backward. The sum inside a machine moves "
             f"2 × {GPUS} × {size(count)} through its memory: {1e3 * inside:.0f} ms at {MEMORY / 1e9:.0f} GB per second.",
             "", "| GPU | computes for | " + " | ".join(
                 f"{name}, *x* = {1e3 * exchange(count, speed):.0f} ms" for name, speed in NETWORKS.items()) + " |",
             "| --- " * (2 + len(NETWORKS)) + "|"]
    for card in CARDS:
        busy = compute(adds, card)
        shares = [busy / (busy + inside + exchange(count, speed)) for speed in NETWORKS.values()]
        lines.append(f"| {card} | {1e3 * busy:.0f} ms | " + " | ".join(
            f"{share:.0%}, {share * MACHINES * GPUS:.0f} times one" for share in shares) + " |")
    return "\n".join(lines)


def precision(found):
    """Return the table of bfloat16 against float32."""
    machine = found["machine"]
    lines = [f"On one core with {machine['cpu_level']} and bfloat16, medians of {found['rounds']} rounds:", "",
             "| network, batch | what | float32 | bfloat16 | gain | largest difference |", "| --- " * 6 + "|"]
    for name, one in found["figures"].items():
        model, what = name.split(", ")
        times = [seconds(one["milliseconds"][kind]["median"]) for kind in ("float32", "bfloat16")]
        lines.append(f"| `{model}`, {found['config']['models'][model]} | {what} | {' | '.join(times)} | "
                     f"{spread(one['gain'])} | {one['largest_difference']:.2g} |")
    return "\n".join(lines)


BLOCKS = {"scaling": ("scaling", scaling), "plan": ("scaling", plan), "precision": ("precision", precision)}
