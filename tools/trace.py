"""Which files and functions of the package one piece of work passes.

    python tools/trace.py step     a training step, from its call to the changed weights
    python tools/trace.py image    a picture, from its data set's address to its AP

Whoever changes either has to know all of these, so both have a limit. The batch of the step
is made in this process, and its graph has been compiled by a step before. Exit status: 0 all
well, 1 more files than the limit.
"""
import argparse
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]

PACKAGE = ROOT / "dsod_d2l"
LIMITS = {"step": 12, "image": 25}      # files
SAMPLE = f"voc:{ROOT}/data/samples/voc:train"


def passed(work, package=PACKAGE):
    """Call a function; return {(file, function): calls} of what it passes in the package.

    >>> passed(lambda: sum([1, 2]))
    Counter()
    """
    calls, head = Counter(), f"{package}/"

    def note(frame, event, _):
        # The body of a module and what is made up in passing are no functions of their own.
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(head) and code.co_name[0] != "<":
            name = getattr(code, "co_qualname", code.co_name)      # from 3.11 on
            calls[code.co_filename[len(head):], name] += 1
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def training_step():
    """Return what the second step of a run passes."""
    from dsod_d2l import config, models, open_dataset, training

    settings = config.TrainConfig(steps=2, batch_size=2, workers=0, warmup=0)
    run = training.Run(models.build("dsod_tiny", 2), open_dataset(SAMPLE), settings)
    run.begin()
    with run.batches() as batches:
        training.one_step(run, batches)
        return passed(lambda: training.one_step(run, batches))


def judged_image():
    """Return what a picture passes from its address to its AP."""
    from dsod_d2l import Detector, evaluate_dataset, models, open_dataset
    from dsod_d2l.datasets import Subset

    net = models.build("dsod_tiny", 2)
    models.initialise(net)

    def judge():
        dataset = open_dataset(SAMPLE)
        detector = Detector(net, dataset.classes)
        evaluate_dataset(detector, Subset(dataset, [0]))
    judge()                              # imports and first uses
    return passed(judge)


WORKS = {"step": training_step, "image": judged_image}


def report(calls):
    """Return a line for each file, with its functions."""
    files = {}
    for file, function in calls:
        files.setdefault(file, []).append(function)
    return "\n".join(f"{file}: {', '.join(functions)}" for file, functions in files.items())


def files_of(calls):
    """Return the files that are passed, each once, in order."""
    return list(dict.fromkeys(file for file, _ in calls))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=WORKS)
    work = parser.parse_args().work
    calls = WORKS[work]()
    files = files_of(calls)
    print(report(calls))
    print(f"{len(files)} of {LIMITS[work]} files, {len(calls)} functions")
    sys.exit(len(files) > LIMITS[work])


if __name__ == "__main__":
    main()
