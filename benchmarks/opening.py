"""Measure how long a large data set takes to open, against pycocotools.

As many images and boxes as COCO's training set has, in a JSON file of its
layout that is made up here, beside a folder of images. Both read it in a
process of their own, imports apart; ours also looks every image up in its
folder and checks every box. Before any time is believed, the boxes of some
images are compared.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from pathlib import Path

import numpy as np

import common
from evaluation import memory

SEED = 0
AIM = 1.5
IMAGES, BOXES, CLASSES = 118_000, 825_000, 80
LOOKED_AT = 200          # images whose boxes are compared
LINKS = 10_000           # to one file, at most: file systems have limits


def make_up(job):
    """Write a COCO file, and its folder of images, which are links."""
    from PIL import Image

    rng, root = np.random.default_rng(SEED), Path(job["folder"])
    folder = root / "train2017"
    folder.mkdir()
    (root / "annotations").mkdir()
    sides = rng.integers(200, 640, (job["images"], 2)).tolist()
    names = [f"{row:012d}.jpg" for row in range(job["images"])]
    for row, name in enumerate(names):
        if row % LINKS == 0:
            Image.new("RGB", (8, 8)).save(folder / name)
            source = folder / name
        else:
            os.link(source, folder / name)
    image = rng.integers(0, job["images"], job["boxes"])
    size = np.array(sides, float)[image]
    low = (rng.random((job["boxes"], 2)) * .7 * size).round(2)
    box = np.hstack([low, (rng.uniform(.02, .29, low.shape) * size).round(2)])
    rows = [{"id": row + 1, "image_id": one + 1, "category_id": kind,
             "bbox": corner, "area": area, "iscrowd": int(crowd)}
            for row, (one, kind, corner, area, crowd) in enumerate(zip(
                image.tolist(),
                rng.integers(1, job["classes"] + 1, len(image)).tolist(),
                box.tolist(), box[:, 2:].prod(axis=1).round(4).tolist(),
                rng.random(len(image)) < .01))]
    table = {"info": {}, "licenses": [], "images": [
        {"id": row + 1, "file_name": name, "width": width, "height": height}
        for row, (name, (width, height)) in enumerate(zip(names, sides))],
        "annotations": rows, "categories": [
            {"id": key, "name": f"class {key}"}
            for key in range(1, job["classes"] + 1)]}
    path = root / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    return {"bytes": path.stat().st_size}


def ours(job):
    """Open the set with the library; return seconds, MiB and some boxes."""
    from dsod_d2l.workbench.formats import addresses

    before, begin = memory(), time.perf_counter()
    data = addresses.open_dataset(f"coco:{job['path']}")
    seconds, used = time.perf_counter() - begin, memory() - before
    boxes = []
    for row in range(min(LOOKED_AT, len(data))):
        entry = data.entry(row)
        height, width = entry.size
        boxes.append(entry.boxes * [width, height, width, height])
    return answer(seconds, used, boxes, len(data))


def pycocotools(job):
    """Open the set with COCO's own program; return the same."""
    from pycocotools.coco import COCO

    before, begin = memory(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):      # it is talkative
        data = COCO(job["path"])
    seconds, used = time.perf_counter() - begin, memory() - before
    boxes = []
    for key in list(data.imgs)[:LOOKED_AT]:
        mine = np.array([one["bbox"] for one in data.imgToAnns[key]])
        mine = mine.reshape(-1, 4)
        mine[:, 2:] += mine[:, :2]
        boxes.append(mine)
    return answer(seconds, used, boxes, len(data.imgs))


def answer(seconds, used, boxes, images):
    """Return what one opening took, and the edges of its first boxes."""
    return {"seconds": seconds, "MiB": max(used, .1), "images": images,
            "edges": np.concatenate(boxes).T.tolist()}


def measure(options):
    """Measure both; return the payload and the text."""
    job = {"images": 60 if options.quick else IMAGES,
           "boxes": 400 if options.quick else BOXES, "classes": CLASSES}
    folder = Path(options.folder)
    made = common.child("make_up", {**job, "folder": str(folder)}, threads=1)
    path = str(folder / "annotations" / "instances_train2017.json")
    answers = common.rounds({name: lambda name=name: common.child(
        name, {"path": path}, threads=1) for name in ("ours", "pycocotools")},
        options.rounds)
    first = {name: rows[0] for name, rows in answers.items()}
    differences = {name: common.agree(name, *edges, 1e-9) for name, *edges
                   in zip(("xmin", "ymin", "xmax", "ymax"),
                          *(one["edges"] for one in first.values()))}
    differences["images"] = common.agree(
        "images", *([one["images"]] for one in first.values()), 0)
    figures = {part: {
        **{name: common.spread([row[part] for row in rows])
           for name, rows in answers.items()},
        "of_pycocotools": common.ratio(*([row[part] for row in rows]
                                         for rows in answers.values()))}
        for part in ("seconds", "MiB")}
    config = {**job, **made}
    rows = [(name, *row.values()) for name, row in figures.items()]
    rows += [(name, value, "", "") for name, value in config.items()]
    return ({"config": config, "seed": SEED, "aim": AIM, "figures": figures,
             "differences": differences},
            common.table(rows, ("", "ours", "pycocotools", "ratio")))


CHILDREN = {"make_up": make_up, "ours": ours, "pycocotools": pycocotools}

if __name__ == "__main__":
    common.start(__doc__, CHILDREN, measure)
