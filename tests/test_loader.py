"""Batches: the same from any number of workers, and errors that arrive."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from dsod_d2l import config, targets, transforms
from dsod_d2l.anchors import anchors_for
from dsod_d2l.datasets import make_sample, sample as sample_module
from dsod_d2l.datasets.loader import Batch, BatchMaker, Loader, order
from dsod_d2l.workbench.formats import addresses
from dsod_d2l.workbench.formats.conversion import convert
from small_sets import Small

MODEL = config.get("dsod_tiny", input_size=(65, 97))


class Blocks:
    """Ten images of 40 x 60 with zero, one or two objects."""

    classes = ("block",)

    def __init__(self, fault=None):
        self.fault = fault

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == self.fault:
            raise ValueError(f"image {index} is broken")
        rng = np.random.default_rng(index)
        image = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
        boxes = [[.1, .2, .4, .9], [.5, .3, .9, .8]][:index % 3]
        return make_sample(image, boxes, [0] * len(boxes),
                           source=f"image {index}")


def batches(workers, dataset=None, start=0, stop=6, rows=None, **changes):
    settings = config.TrainConfig(batch_size=4, seed=3, **changes)
    maker = BatchMaker(dataset or Blocks(), MODEL, settings, rows)
    return [(batch.images.copy(), batch.classes.copy(), batch.offsets.copy(),
             list(batch.sources))
            for batch in Loader(maker, start, stop, workers)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(workers):
    for mine, theirs in zip(batches(0), batches(workers), strict=True):
        for one, other in zip(mine, theirs):
            np.testing.assert_array_equal(one, other)


def test_workers_start_beside_threads_of_opencv():
    # In a process of its own: a worker that hangs would hang the test.
    code = ("import cv2, numpy as np, test_loader\n"
            "large = np.zeros((2000, 2000, 3), np.uint8)\n"
            "cv2.setNumThreads(2)\n"
            "for _ in range(8):\n"
            "    cv2.GaussianBlur(large, (9, 9), 3)\n"
            "    assert len(test_loader.batches(1, stop=2)) == 2\n"
            "assert cv2.getNumThreads() == 2")
    path = os.pathsep.join([os.path.dirname(__file__), os.getcwd()])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60,
                   env={**os.environ, "PYTHONPATH": path})


def test_starting_later_gives_the_same_batches():
    for one, other in zip(batches(0)[4:], batches(1, start=4), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[3] == other[3]


@pytest.mark.parametrize("workers", [0, 1])
def test_parts_of_a_batch_make_the_whole(workers):
    parts = [batches(workers, rows=range(*ends)) for ends in ((0, 1), (1, 4))]
    for whole, *shares in zip(batches(0), *parts, strict=True):
        for one, *others in zip(whole, *shares):
            np.testing.assert_array_equal(one, np.concatenate(others))


def test_a_batch_holds_what_its_parts_make():
    images, classes, offsets, sources = batches(0, augment="none")[0]
    assert images.shape == (4, 65, 97, 3) and images.dtype == np.uint8
    for row, source in enumerate(sources):
        sample = transforms.resize(Blocks()[int(source.split()[1])],
                                   MODEL.input_size)
        wanted = targets.label_anchors(anchors_for(MODEL), sample.boxes,
                                       sample.labels)
        np.testing.assert_array_equal(images[row], sample.image)
        np.testing.assert_array_equal(classes[row], wanted.classes)
        np.testing.assert_array_equal(offsets[row], wanted.offsets)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_brings_the_objects_of_its_images(workers):
    settings = config.TrainConfig(batch_size=4, seed=3, augment="none")
    maker = BatchMaker(Blocks(), MODEL, settings, truths=True)
    for batch in Loader(maker, 0, 3, workers):
        for source, (boxes, labels) in zip(batch.sources, batch.truths,
                                           strict=True):
            sample = Blocks()[int(source.split()[1])]
            np.testing.assert_array_equal(boxes, sample.boxes)
            np.testing.assert_array_equal(labels, sample.labels)


def test_objects_travel_only_where_they_are_asked_for():
    settings = config.TrainConfig(batch_size=4)
    for batch in Loader(BatchMaker(Blocks(), MODEL, settings), 0, 2, 1):
        assert batch.truths == [] and len(batch.sources) == 4


def test_every_epoch_sees_every_image_once_in_another_order():
    drawn = order(10, seed=0, start=0, count=30).reshape(3, 10)
    assert (np.sort(drawn, axis=1) == np.arange(10)).all()
    assert (drawn[0] != drawn[1]).any()
    np.testing.assert_array_equal(order(10, 0, 7, 9), drawn.ravel()[7:16])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_arrives_with_its_sentence(workers):
    with pytest.raises(ValueError, match="image 7 is broken"):
        batches(workers, Blocks(fault=7))


def test_a_worker_that_dies_is_an_error_and_not_a_wait():
    class Deadly(Blocks):
        def __getitem__(self, index):
            os._exit(3)
    with pytest.raises(ChildProcessError, match="ended with exit code 3"):
        batches(1, Deadly())


def test_a_worker_that_is_killed_says_by_what():
    class Doomed(Blocks):
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="data worker was killed by "
                                                "SIGKILL, .*memory"):
        batches(1, Doomed())


def test_leaving_early_leaves_no_process():
    import multiprocessing
    settings = config.TrainConfig(batch_size=4)
    loop = iter(Loader(BatchMaker(Blocks(), MODEL, settings), 0, 100, 2))
    next(loop)
    assert len(multiprocessing.active_children()) == 2
    loop.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("kind", ["rec", "yolo", "csv"])
@pytest.mark.parametrize("workers", [1, 3])
def test_all_processes_together_keep_to_one_limit(tmp_path, monkeypatch, kind,
                                                  workers):
    """Every worker, and who asks them, decode all images of both parts."""
    target = {"rec": "a.rec", "csv": "a.csv"}.get(kind, "")
    convert(Small(), f"{kind}:{tmp_path}/{target}")
    size = 64 * 48 * 3
    monkeypatch.setattr(sample_module, "CACHE_LIMIT", 9 * size)
    found = addresses.open_dataset(
        " + ".join([f"{kind}:{tmp_path}/{target}"] * 2), cache=True)

    class Maker:
        dataset = found

        def empty(self, buffer=None):
            none = np.zeros(0)
            return Batch(none, none, none, [], []), 64

        def fill(self, number, batch):
            for row in range(len(found)):
                found[row]
            kept = [image.nbytes for part in found.parts
                    for image in part._images.values()]
            return batch._replace(sources=[sum(kept), os.getpid()])
    everywhere = {}
    for batch in Loader(Maker(), 0, 2 * workers, workers):
        everywhere[batch.sources[1]] = batch.sources[0]
        here = Maker().fill(0, batch).sources
        everywhere[here[1]] = here[0]
    assert len(everywhere) == workers + 1
    assert 2 * size < sum(everywhere.values()) <= 9 * size
