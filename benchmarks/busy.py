"""Measure how much longer training steps take beside other busy processes.

Thirty steps of ``dsod_tiny``, as chapter 08 does them, in a process of its
own: alone, and beside as many processes that compute as there are cores.

all        a thread for each core, which spins while it waits (the default of
           the library behind OpenMP)
passive    the same threads, which sleep while they wait
notebook   what the module sets in a notebook: a thread for each free core

A ratio compares with the time that ``passive`` takes alone, in one round.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

import common

SETTINGS = {"all": ("ACTIVE", False), "passive": ("PASSIVE", False),
            "notebook": ("PASSIVE", True)}


def steps(job):
    """Do training steps; return seconds of all, and the threads."""
    if job["notebook"]:
        import ipykernel  # noqa: F401  (what a notebook has loaded)
    import dsod_d2l  # noqa: F401  (prepares MXNet)
    from dsod_d2l import config, models, open_dataset, runtime
    from dsod_d2l.training import fit

    data = open_dataset("standin:train", cache=True)
    net = models.build("dsod_tiny", num_classes=1)
    settings = config.TrainConfig(
        steps=job["steps"], batch_size=16, optimiser="adam", workers=0,
        learning_rate=2e-3, held_back=0.0)
    fitted = fit(net, data, settings)
    return {"seconds": fitted.history[-1]["seconds"],
            "threads": runtime.threads()}


@contextlib.contextmanager
def company(count):
    """Keep some processes busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
              for _ in range(count)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def measure(options):
    """Return the payload and a table: each setting, alone and in company."""
    def one(name, others):
        policy, notebook = SETTINGS[name]
        job = {"steps": 2 if options.quick else 30, "notebook": notebook}
        with company(others):
            return common.child("steps", job,
                                environment={"OMP_WAIT_POLICY": policy})
    places = {"alone": 0, "beside": common.cores()}
    kept = common.rounds(
        {f"{name} {place}": lambda name=name, others=others: one(name, others)
         for name in SETTINGS for place, others in places.items()},
        options.rounds)
    alone = [answer["seconds"] for answer in kept["passive alone"]]
    figures = {name: {"seconds": common.spread([a["seconds"] for a in found]),
                      "threads": found[-1]["threads"],
                      "ratio": common.ratio([a["seconds"] for a in found],
                                            alone)}
               for name, found in kept.items()}
    rows = [(name, row["threads"], row["seconds"], row["ratio"])
            for name, row in figures.items()]
    return ({"others": places["beside"], "figures": figures},
            common.table(rows, ("setting", "threads", "seconds", "ratio")))


if __name__ == "__main__":
    common.start(__doc__, {"steps": steps}, measure)
