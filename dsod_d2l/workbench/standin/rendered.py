"""The built-in data set: a rendered stand-in for the Pikachu pictures.

One class, "pikachu": a small yellow creature in a random pose and light,
somewhere in a painted scene. Every picture follows from (seed, split, index)
alone; the set is rendered once, in parallel, and kept as RecordIO.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import sys
import types
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ...config.base import require
from ...datasets.records import NAMES_FILE, RecordDataset, write_records
from ...datasets.sample import EXAMPLES
from ...files import write_atomically
from ...runtime import usable_cores
from .picture import check_objects, check_size, is_whole, render_sample

VERSION = 2         # in the cache's name: raise it when any pixel changes
SEED = 2024
STANDIN_CLASSES = ("pikachu",)
COUNTS = {"train": 1000, "val": 200}
QUALITY = 90        # of the JPEG files


class StandIn(RecordDataset):
    """Rendered pictures of small yellow creatures; rendered on first use.

    Args:
        split: "train" or "val"; the two share no picture.
        count: number of pictures, default 1000 and 200. Picture i is the
            same for any count.
        root: folder of all data, default `default_root()`. The set lies in
            `root/standin/<key>/`, whose key names version, seed, size,
            objects and count. A damaged set is rendered anew.
        size: side in pixels, or (height, width); at least 32.
        seed: whole number, at least 0.
        objects: creatures in each picture, or (fewest, most).
        workers: processes that render, default one for each core.
        cache: keep decoded images in memory.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, split="train", count=None, root=None, size=256,
                 seed=SEED, objects=1, workers=None, cache=False):
        require(split in COUNTS,
                f"split must be 'train' or 'val', got {split!r}.")
        count = COUNTS[split] if count is None else _whole("count", count, 1)
        self.split, self.seed = split, _whole("seed", seed, 0)
        self.sides, self.number = check_size(size), check_objects(objects)
        if workers is not None:
            workers = _whole("workers", workers, 1)
        path = self._folder(root, count) / f"{split}.rec"
        if not _intact(path, count):
            self._render(path, count, workers or usable_cores())
        names = path.parent / NAMES_FILE    # for rec: of that folder
        if not names.is_file():
            with contextlib.suppress(OSError):
                write_atomically(names, json.dumps(STANDIN_CLASSES).encode())
        super().__init__(path, classes=STANDIN_CLASSES, cache=cache)

    def __repr__(self):
        return (f"StandIn({self.split!r}, {len(self)} pictures, "
                f"size={self.sides}, seed={self.seed}, objects={self.number})")

    def _folder(self, root, count):
        root = default_root() if root is None else Path(root)
        (height, width), (fewest, most) = self.sides, self.number
        return root / "standin" / (f"v{VERSION}-s{self.seed}-{height}x{width}"
                                   f"-o{fewest}-{most}-n{count}")

    def _render(self, path, count, workers):
        path.parent.mkdir(parents=True, exist_ok=True)
        job = functools.partial(_picture, self.seed, self.split, self.sides,
                                self.number)
        with (tqdm(total=count, desc=f"rendering {self.split}",
                   unit="picture", leave=False, disable=None) as bar,
              _results(job, count, workers) as items):
            write_records(path, items, progress=lambda done: bar.update())
        # The seal comes last: a set without it counts as half-written.
        write_atomically(path.with_suffix(".json"),
                         json.dumps(_seal(path, count)).encode())


def make_standin(root=None, train=COUNTS["train"], val=COUNTS["val"],
                 seed=SEED, objects=1, size=256, workers=None) -> dict:
    """Render both splits, where they are not there yet.

    Args: as those of `StandIn`; train and val are numbers of pictures.

    Returns: {"train": Path, "val": Path} of the `.rec` files.
    """
    return {split: StandIn(split, count, root, size, seed, objects,
                           workers).path
            for split, count in (("train", train), ("val", val))}


def default_root() -> Path:
    """Return the data folder: $DSOD_DATA, the checkout's, or the user's."""
    if said := os.environ.get("DSOD_DATA"):
        return Path(said)
    return (EXAMPLES.parent if EXAMPLES.parent.name == "data" else
            Path.home() / ".cache" / "dsod_d2l")


def _whole(name, value, least):
    require(is_whole(value) and value >= least, f"{name} must be a whole "
            f"number of at least {least}, got {value!r}.")
    return int(value)


def _picture(seed, split, size, objects, index):
    """Return (boxes, labels, JPEG bytes) of one picture."""
    rng = np.random.default_rng([seed, list(COUNTS).index(split), index])
    sample = render_sample(rng, size, objects)
    _, data = cv2.imencode(".jpg", sample.image[..., ::-1],
                           [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return sample.boxes, sample.labels, data.tobytes()


@contextlib.contextmanager
def _results(job, count, workers):
    """Yield an iterator over job(0), job(1), ..., worked on in parallel."""
    workers = min(workers, count // 8)
    if workers < 2:
        yield map(job, range(count))
        return
    # Spawned, not forked: a fork would copy the threads' locks of MXNet and
    # of a notebook's kernel in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
            workers, context, cv2.setNumThreads, (1,)) as pool:
        with _hidden_main():
            results = pool.map(job, range(count), chunksize=8)
        yield results


@contextlib.contextmanager
def _hidden_main():
    """Keep spawned processes from running the user's script once more.

    They would import it as their main module; the job does not need it, and
    a script without a main guard would start rendering in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _seal(path, count):
    """Return what identifies a complete set: its count and checksums."""
    sums = {part.suffix: hashlib.sha256(part.read_bytes()).hexdigest()
            for part in (path, path.with_suffix(".idx"))}
    return {"count": count, "sha256": sums}


def _intact(path, count):
    """Say whether a set was written to its end and is unchanged since."""
    try:
        seal = json.loads(path.with_suffix(".json").read_text())
        return bool(seal == _seal(path, count))
    except (OSError, ValueError):
        return False
