"""Write the measured figures of README.md and of two pages of the book from data/results.

    python tools/write_measured.py            write it
    python tools/write_measured.py --check    only say whether it is up to date

A figure whose result is not there yet is left out, and a part of a page left as it is.
"""
import argparse
import json
import re
import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import measured_clusters

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- measured{} -->", "<!-- /measured -->"


def result(name, root=ROOT):
    """Return the result that benchmarks/<name>.py wrote."""
    return json.loads((root / "data" / "results" / f"{name}.json").read_text())


def exists(name, root=ROOT):
    """Return whether that result is there."""
    return (root / "data" / "results" / f"{name}.json").exists()


def times(spread):
    """Return a ratio as text, with its range over the rounds."""
    return f"{spread['median']:.2f} × ({spread['least']:.2f} to {spread['most']:.2f})"


def plain(command):
    """Return a command without the places where its results were put.

    >>> plain("python benchmarks/step.py --rounds 2 --out elsewhere")
    'python benchmarks/step.py --rounds 2'
    """
    return re.sub(r" --(out|keep|weights) \S+", "", command)


def rows(root=ROOT):
    """Return (what, figure, command) of every line of the table."""
    quick, real, transfer = (result(f"pikachu_{run}", root)
                             for run in ("quick", "real", "transfer"))
    step, loader, geometry = (result(name, root) for name in ("step", "loader", "geometry"))
    fast, long, far = quick["figures"], real["figures"], transfer["figures"]
    train, infer, one = (step["figures"][task] for task in ("train", "inference", "inference_one"))
    yield ("`dsod_tiny` from scratch on 800 real Pikachu pictures: until AP50 passes 0.95 on 100 others "
           "(the number of steps was found on these)",
           f"{fast['seconds']} s, {fast['steps']} steps (AP50 {fast['on real validation']['AP50']:.3f})", quick)
    found = long["on real validation"]
    yield (f"the same after {long['seconds'] / 60:.1f} minutes, a tenth of the 800 held back to choose the model",
           f"AP {found['AP']:.3f}, AP50 {found['AP50']:.3f}, AP75 {found['AP75']:.3f}", real)
    found = far["on real validation"]
    yield ("trained on the rendered stand-in alone, judged on the real pictures",
           f"AP50 {found['AP50']:.3f}, AP {found['AP']:.3f}", transfer)
    for name in ("dsod_tiny", "dsod_small", "toy_ssd"):
        cells = result(f"bccd_{name}", root)
        found = cells["figures"]["on test"]
        each = ", ".join(f"{label} {one['AP50']:.3f}" for label, one in found["classes"].items())
        yield (f"`{name}` from scratch on {cells['figures']['trained on']} pictures of blood cells (BCCD), "
               f"{cells['figures']['seconds'] / 60:.1f} minutes on one core, on the {found['images']} of `test`",
               f"AP50 {found['AP50']:.3f} ({each}), AP {found['AP']:.3f}", cells)
    full = result("full_chapter", root)
    found = full["figures"]["judged"]
    yield (f"`dsod300` as chapter 08 trains it on a GPU, {full['figures']['steps']} steps on the stand-in, here on a CPU "
           f"beside other work, on the {found['images']} pictures of its validation set",
           f"AP {found['AP']:.3f}, AP50 {found['AP50']:.3f}, AP75 {found['AP75']:.3f}", full)
    ways = result("export_accuracy", root)
    found = dict(ways["figures"])
    yield (f"`dsod_tiny` of blood cells, exported, on the {ways['pictures']} pictures of `test`: AP of "
           f"{found.pop('ours')['AP']:.4f} here, and by file and runtime",
           ", ".join(f"{name} {one['AP']:.4f}" for name, one in found.items()), ways)
    parts = result("ablation", root)
    yield (f"`dsod_tiny` and three that lack one thing, {parts['minutes']:g} minutes each on one core on Pikachu, "
           f"AP of {parts['rounds']} runs each",
           ", ".join(f"{name} {one['AP mean']:.3f} ({one['AP least']:.3f} to {one['AP most']:.3f})"
                     for name, one in parts["figures"].items()), parts)
    large = result("dsod300", root)
    for name, tasks in large["figures"].items():
        for task, settings in tasks.items():
            ours, fused = settings["ours"], settings.get("ours, fused")
            others = [f"{setting} {one['times_ours']['median']:.2f} times" for setting, one in settings.items()
                      if "times_ours" in one and not setting.startswith("ours")]
            yield (f"`{name}` at {large['config']['side']} px, batch {large['config']['batch']}, {task}: images/s, "
                   "share of the best convolution, memory; time of PyTorch, eager, in times of ours, not fused",
                   f"{ours['images_per_second']['median']:.2f} images/s"
                   + (f", fused {fused['images_per_second']['median']:.2f}" if fused else "")
                   + f", {ours['share_of_best_convolution']['median']:.0%}, {ours['gibibytes']['median']:.1f} GiB"
                   + "".join(f"; {one}" for one in others), large)
    yield ("training step of `dsod_gluon`, 256 px, batch 4, against imperative MXNet with its defaults",
           times(train["total"]), step)
    yield ("of that: threads, and then hybridizing",
           f"{times(train['gains']['threads'])}, {times(train['gains']['graph'])}", step)
    yield ("inference of `dsod_gluon`, batch 4, against the same", times(infer["total"]), step)
    gains = infer["gains"]
    yield ("of that: threads, hybridizing, graph fusion",
           ", ".join(times(gains[name]) for name in ("threads", "graph", "fused")), step)
    yield ("inference, one image", times(one["total"]), step)
    yield ("share of the machine's best convolution: training step, inference",
           ", ".join(f"{task['share_of_best_convolution']['median']:.0%}" for task in (train, infer)), step)
    shares = loader["figures"]["of_training_in_memory"]
    name = "training, 1 worker, kept images"
    yield ("training with the loader (one worker, images kept decoded) against float batches in memory",
           times(shares[name]), loader)
    speeds = loader["figures"]["images_per_second"]
    yield ("the loader alone, one worker, light augmentation",
           f"{speeds['1 workers, light']['median']:.0f} images/s", loader)
    augmented = result("augmentation", root)
    speeds = augmented["figures"]["images_per_second"]
    yield ("pictures of 500 × 375 pixels, read, augmented by the whole pipeline of SSD to 300 × 300, and labelled: "
           "one worker, two workers",
           ", ".join(f"{speeds[f'{count} workers, ssd']['median']:.0f}" for count in (1, 2)) + " images/s",
           augmented)
    for task, words in (("targets, 1", "targets of 8744 anchors, one object"),
                        ("targets, 20", "targets of 8744 anchors, 20 objects"),
                        ("nms", "non-maximum suppression"),
                        ("detections", "outputs to detections, 20 classes"), ("ap", "average precision")):
        found = geometry["figures"][task]
        others = ", ".join(f"{other} {one['times_ours']['median']:.2g} times"
                           for other, one in found.items() if other != "ours" and "times_ours" in one)
        yield (f"{words}: time of others, in times of ours",
               f"{others} ({found['ours']['milliseconds']['median']:.3g} ms)", geometry)
    judged = result("evaluation", root)
    ours, other = (judged["figures"][name] for name in ("ours", "pycocotools"))
    yield ("COCO's figures on 5,000 images, 80 classes, 100 detections an image: time of pycocotools, in times of ours "
           "(one round)", f"{other['times_ours']['median']:.0f} times ({ours['seconds']['median']:.1f} s)", judged)
    killed = result("kill", root)
    yield ("training killed at random moments and resumed: kills, losses or weights that differ from the run that "
           "nobody stopped", f"{killed['figures']['kills']}, none", killed)
    hostile = result("hostile", root)
    found = hostile["figures"].values()
    yield (f"damaged and hostile files, given to {len(found)} readers: files; interpreters that crashed or hung, and "
           "errors that were not one clear sentence",
           f"{sum(one['files'] for one in found):,}; "
           f"{sum(one['crashes'] + one['hangs'] for one in found)}, {sum(one['failures'] for one in found)}", hostile)
    yield from shared_rows(root)


def headlines(root=ROOT):
    """Return (what, figure, command) of the few lines that the README shows."""
    quick, real = result("pikachu_quick", root), result("pikachu_real", root)
    cells, geometry, killed = (result(name, root) for name in ("bccd_dsod_small", "geometry", "kill"))
    fast, found = quick["figures"], real["figures"]["on real validation"]
    yield ("`dsod_tiny` from scratch on 800 real Pikachu pictures, two cores, until AP50 passes 0.95 on 100 others",
           f"{fast['seconds']} s", quick)
    yield (f"the same after {real['figures']['seconds'] / 60:.1f} minutes",
           f"AP {found['AP']:.3f}, AP50 {found['AP50']:.3f}", real)
    blood = cells["figures"]
    yield (f"`dsod_small` from scratch on {blood['trained on']} pictures of blood cells, "
           f"{blood['seconds'] / 60:.0f} minutes of one core", f"AP50 {blood['on test']['AP50']:.3f}", cells)
    if exists("pruning", root):
        pruned = result("pruning", root)
        whole, small = pruned["figures"]["whole"], pruned["figures"]["trained"]
        yield ("half of the multiply-adds of `dsod_tiny` pruned away: AP before and after",
               f"{whole['AP']:.3f}, {small['AP']:.3f}", pruned)
    other = geometry["figures"]["ap"]["pycocotools"]["times_ours"]["median"]
    yield ("average precision: time of pycocotools, in times of ours", f"{other:.1f}", geometry)
    yield ("training killed at random moments and resumed: kills, runs that ended otherwise",
           f"{killed['figures']['kills']}, none", killed)


def shared_rows(root):
    """Return the lines on several devices, on bfloat16, on GluonCV and on pruning."""
    if exists("scaling", root):
        found = result("scaling", root)
        gains = found["figures"]["dsod300"]["gain_over_one"]
        yield ("training step of `dsod300`, two threads, two workers (`launch`), against one thread; the rest is in "
               "[On many machines](clusters.md)", f"{times(gains['threads'])}, {times(gains['workers'])}", found)
    if exists("precision", root):
        found = result("precision", root)
        gains = [found["figures"][f"dsod300, {task}"]["gain"] for task in ("training", "inference")]
        yield ("`dsod300` in bfloat16 against float32, one core: training step, inference",
               ", ".join(map(times, gains)), found)
    if exists("ssd_gluoncv", root):
        found = result("ssd_gluoncv", root)
        yield (f"`{found['config']['model']}` against GluonCV's network of the same numbers, batch "
               f"{found['config']['batch']}, both hybridized, {found['config']['threads']} threads: its time in times "
               "of ours for a forward pass, a training step, a step with its targets",
               ", ".join(times(found["figures"][task]["gain"]) for task in ("forward", "step", "targets")),
               found)
    if exists("pruning", root):
        found = result("pruning", root)
        whole, small = found["figures"]["whole"], found["figures"]["trained"]
        faster = found["figures"]["forward"]["batch 1"]["faster"]
        yield (f"`dsod_tiny` without {found['figures']['ratio']:.0%} of its filters, trained on: multiply-adds, AP on "
               "the real Pikachu pictures before and after, speed of one image rounded to widths of 16, and not rounded",
               f"{small['multiply_adds'] / whole['multiply_adds'] - 1:.0%}, {whole['AP']:.3f}, {small['AP']:.3f}, "
               f"{times(faster['pruned'])}, {times(faster['not rounded'])}", found)


def lines_of(rows):
    """Return the lines of a table in Markdown."""
    return ["| what | figure | command |", "| --- | --- | --- |",
            *(f"| {what} | {figure} | `{plain(found['command'])}` |" for what, figure, found in rows)]


def table(root=ROOT):
    """Return the table of all figures."""
    lines = lines_of(rows(root))
    found = result("step", root)["machine"]
    lines += ["", f"On {found['cores']} cores of an {found['architecture']} CPU with {found['cpu_level']}, "
              "no GPU. Ratios are medians over rounds within one run, with the least and the most; "
              "each setting ran in a process of its own. The model of a run is chosen on held-back training "
              "pictures; the network's widths and the augmentation were settled in earlier runs with the 100 "
              "validation pictures in view. `data/results` has the configuration, seed, "
              "commit and versions of each line."]
    return "\n".join(lines)


def family(found):
    """Return the table of the networks that had the same time to learn."""
    figures, minutes = found["figures"], found["minutes"]
    lines = [f"Compact networks from scratch, with one recipe: {minutes['pikachu']:g} minutes of one core each on 800 real "
             f"Pikachu pictures, judged on 100 others; the best {len(figures['bccd'])}, {minutes['bccd']:g} minutes each on "
             "blood cells (BCCD), judged on `test`. One seed. Seconds are the processor's, by the pace of the run itself; "
             "its steps came from a pace that was measured before. The end of [RefineDet](16_refinedet.ipynb) draws accuracy "
             f"against time. `{plain(found['command'])}`", "",
             "| network | parameters | million multiply-adds | ms for an image, one core | Pikachu: steps | seconds | AP | AP50 "
             "| BCCD: seconds | AP | AP50 |", "|" + " --- |" * 11]
    for name, one in figures["pikachu"].items():
        cost, cells = figures["costs"][name], figures["bccd"].get(name)
        last = ([f"{cells['steps'] * cells['pace']:.0f}", f"{cells['AP']:.3f}", f"{cells['AP50']:.3f}"] if cells
                else ["", "", ""])
        lines.append("| " + " | ".join([
            f"`{name}`", f"{cost['parameters']:,}", f"{cost['multiply-adds'] / 1e6:.0f}",
            f"{cost['milliseconds']['median']:.1f} ({cost['milliseconds']['least']:.1f} to "
            f"{cost['milliseconds']['most']:.1f})", f"{one['steps']:,}", f"{one['steps'] * one['pace']:.0f}",
            f"{one['AP']:.3f}", f"{one['AP50']:.3f}", *last]) + " |")
    return "\n".join(lines)


def filled(text, name, content):
    """Return a page with its part of that name replaced."""
    start = START.format(name and f" {name}")
    before, found, rest = text.partition(start + "\n")
    _, ended, after = rest.partition(f"\n{END}")
    if not (found and ended):
        raise ValueError(f"the page lacks {start} ... {END}")
    return f"{before}{start}\n{content}\n{END}{after}"


def pages(root=ROOT):
    """Yield (path, text as it is, text as it should be)."""
    path = root / "README.md"
    text = path.read_text(encoding="utf-8")
    yield path, text, filled(text, "", "\n".join(lines_of(headlines(root))))
    path = root / "book" / "measured.md"
    text = path.read_text(encoding="utf-8")
    wanted = filled(text, "", table(root))
    if exists("relatives", root):
        wanted = filled(wanted, "relatives", family(result("relatives", root)))
    yield path, text, wanted
    path = root / "book" / "clusters.md"
    text = wanted = path.read_text(encoding="utf-8")
    for name, (source, write) in measured_clusters.BLOCKS.items():
        if exists(source, root):
            wanted = filled(wanted, name, write(result(source, root)))
    yield path, text, wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    for path, text, wanted in pages():
        if args.check and text != wanted:
            sys.exit(f"{path.name} does not state what data/results holds: run tools/write_measured.py")
        if text != wanted:
            path.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
