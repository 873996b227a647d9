"""Measure augmentation: images/s of each recipe, alone and in the loader.

The pictures are rendered at the size of PASCAL VOC's, 500 x 375 pixels, with
one to five objects, and kept as JPEG files in records. Alone, a recipe is given
decoded pictures, on one core; the steps of the recipe "ssd" are timed one by
one, too. The loader reads, decodes, augments to 300 x 300 and labels the
anchors of DSOD300, as training does.
"""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import numpy as np

import common

SEED = 0
SHAPE = (375, 500)
ALONE = ("none", "light", "letter-box", "ssd")
LOADED = [(workers, augment) for workers in (0, 1, 2)
          for augment in ("none", "ssd")]
AIM = 250


def render(job):
    """Write the pictures that everything is measured on."""
    import cv2
    from dsod_d2l.datasets.records import write_records
    from dsod_d2l.workbench.standin.picture import render_sample

    items = []
    for index in range(job["pictures"]):
        sample = render_sample(np.random.default_rng([SEED, index]), SHAPE,
                               (1, 5))
        jpeg = cv2.imencode(".jpg", sample.image[:, :, ::-1],
                            [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        items.append((sample.boxes, sample.labels, jpeg))
    write_records(Path(job["root"]) / "pictures.rec", items)
    size = sum(len(item[2]) for item in items) / len(items)
    return {"mean_bytes": round(size)}


def open_data(job):
    """Return the rendered pictures as a data set."""
    from dsod_d2l.datasets import RecordDataset

    return RecordDataset(Path(job["root"]) / "pictures.rec",
                         classes=("pikachu",))


def alone(job):
    """Time each recipe, and each step of "ssd", on decoded pictures."""
    from dsod_d2l import transforms
    from dsod_d2l import runtime

    runtime.worker_init()
    data = open_data(job)
    samples = [data[index] for index in range(len(data))]
    size = job["side"]

    def cut(sample, rng):
        how = rng.choice(list(transforms.INTERPOLATIONS))
        height, width = sample.image.shape[:2]
        return transforms.crop(sample, (0, 0, width, height), size, how)

    named = {f"recipe {name}": lambda one, rng, name=name:
             transforms.AUGMENTATIONS[name](one, size, rng) for name in ALONE}
    named |= {"step distort": transforms.distort,
              "step draw a window": transforms.ssd_window,
              "step stretch, any way": cut,
              "step mirror": transforms.random_mirror}
    return {name: per_second(function, samples, job["passes"])
            for name, function in named.items()}


def per_second(function, samples, passes):
    """Return images per second of function(sample, rng) over all samples."""
    rng = np.random.default_rng(SEED)

    def once():
        for sample in samples:
            function(sample, rng)

    return passes * len(samples) / sum(common.clock(once, passes, warm=1))


def loaded(job):
    """Time the loader by itself; sum up what it delivered."""
    from dsod_d2l import config
    from dsod_d2l.datasets.loader import BatchMaker, Loader

    count, warm = job["batches"], job["warm"]
    model = config.get("dsod300", num_classes=1,
                       input_size=(job["side"], job["side"]))
    settings = config.TrainConfig(batch_size=job["batch"], seed=SEED,
                                  augment=job["augment"])
    loader = Loader(BatchMaker(open_data(job), model, settings), 0,
                    count + warm, job["workers"])
    digest = 0
    for number, batch in enumerate(loader):
        if number == warm:
            begin = time.perf_counter()
        if number < warm:
            for array in batch[:3]:
                digest = zlib.crc32(np.ascontiguousarray(array), digest)
    seconds = time.perf_counter() - begin
    return {"images_per_second": (count - 1) * job["batch"] / seconds,
            "digest": digest}


def compared(job):
    """Return how far the fast ways are from the plain ones."""
    import cv2
    from dsod_d2l import transforms as ours

    sample = open_data(job)[0]
    image, rng = sample.image, np.random.default_rng(SEED)
    pairs = {"brightness": (ours.change_brightness(image, -12.6),
                            cv2.addWeighted(image, 1, image, 0, -12.6)),
             "contrast": (ours.change_contrast(image, 1.25),
                          cv2.convertScaleAbs(image, alpha=1.25)),
             "saturation": (ours.change_hsv(image, 0.7),
                            plain_saturation(image, 0.7))}
    windows = boxes = 0.0
    for seed in range(job["seeds"]):
        canvas = ours.expand(sample, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rng.uniform()                  # expand draws first whether to
        once = ours.crop(sample, ours.draw_expansion(image.shape, rng))
        windows += common.difference(once.image, canvas.image)
        boxes += common.difference(once.boxes, canvas.boxes)
    boxed = ours.letter_box(sample, job["side"])
    back = ours.undo_letter_box(boxed.boxes, image.shape, job["side"])
    pairs["letter-box and back"] = back, sample.boxes
    found = {name: common.agree(name, *pair, 1e-4)
             for name, pair in pairs.items()}
    return {**found, "expansion, pixels": windows, "expansion, boxes": boxes}


def plain_saturation(image, factor):
    """Change the saturation channel by channel, as the authors' code does."""
    import cv2

    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.rint(hsv[..., 1] * factor).clip(0, 255)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def measure(options):
    """Measure all settings; return the payload and the text."""
    quick = options.quick
    job = {"root": str(options.folder), "side": 160 if quick else 300,
           "pictures": 4 if quick else 64, "passes": 1 if quick else 4,
           "batch": 4 if quick else 32, "batches": 3 if quick else 24,
           "warm": 1 if quick else 4, "seeds": 2 if quick else 20}
    written = common.child("render", job, 1)
    settings = {f"{workers} workers, {augment}": lambda w=workers, a=augment:
                common.child("loaded", {**job, "workers": w, "augment": a}, 1)
                for workers, augment in LOADED}
    settings["alone"] = lambda: common.child("alone", job, 1)
    answers = common.rounds(settings, options.rounds)
    lone = answers.pop("alone")
    speeds = {name: common.spread([one[name] for one in lone])
              for name in lone[0]}
    speeds |= {name: common.spread([one["images_per_second"] for one in many])
               for name, many in answers.items()}
    payload = {"config": {"picture": list(SHAPE), **written,
                          **{key: job[key] for key in
                             ("pictures", "side", "batch")},
                          "threads": 1, "model": "dsod300"},
               "seed": SEED, "differences": {"batches_equal": check(answers),
                                             **common.child("compared", job,
                                                            1)},
               "figures": {"images_per_second": speeds, "aim": AIM}}
    return payload, common.table(speeds.items(), ("setting", "images/s"))


def check(answers):
    """Return True; raise if batches depend on the number of workers."""
    for augment in ("none", "ssd"):
        digests = {many[0]["digest"] for name, many in answers.items()
                   if name.endswith(augment)}
        if len(digests) > 1:
            raise ValueError(f"augment {augment}: the batches depend on the "
                             "number of workers")
    return True


CHILDREN = {"alone": alone, "loaded": loaded, "render": render,
            "compared": compared}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
