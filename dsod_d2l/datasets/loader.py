"""Batches, made by worker processes while the network computes.

A worker decodes, augments and labels whole batches and leaves them in
memory that both sides share, so the training process only copies. What a
batch holds depends on the seed and its number alone, not on the workers.
"""

import contextlib
import mmap
import multiprocessing
import pickle
import signal
import sys
import warnings
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from .. import anchors, runtime, targets, transforms
from ..boxes import require_fractions
from ..config import ModelConfig, TrainConfig
from .sample import Sample, share_cache

SLOTS = 3                # batches a worker may be ahead


class Batch(NamedTuple):
    """One batch, before it meets the framework.

    images: uint8 (B, H, W, 3) RGB.
    classes: int32 (B, N), offsets: float32 (B, N, 4), see ``Targets``.
    sources: names of the B images, for messages.
    truths: (boxes (M, 4), labels (M,)) of the B images, for a network of
        several steps, which matches again, on what it has made of the
        anchors; empty for any other.
    """

    images: np.ndarray
    classes: np.ndarray
    offsets: np.ndarray
    sources: list
    truths: list


def order(length: int, seed: int, start: int, count: int) -> np.ndarray:
    """Return ``count`` sample indices from position ``start`` on.

    Every epoch is a permutation of the whole set, drawn from the seed and
    the epoch's number, so a run can be resumed at any position.

    >>> sorted(order(4, seed=0, start=4, count=4).tolist())
    [0, 1, 2, 3]
    """
    positions = np.arange(start, start + count)
    epochs = {epoch: np.random.default_rng([seed, epoch]).permutation(length)
              for epoch in np.unique(positions // length)}
    return np.array([epochs[position // length][position % length]
                     for position in positions])


def without_crowds(sample: Sample) -> Sample:
    """Return the sample with the objects that can be learnt, no crowds.

    >>> from dsod_d2l.datasets import make_sample
    >>> crowd = np.array([True, False])
    >>> image = np.zeros((2, 3, 3), np.uint8)
    >>> sample = make_sample(image, [[0, 0, 1, 1], [0, 0, .5, 1]], [4, 5])
    >>> without_crowds(sample._replace(crowd=crowd)).labels.tolist()
    [5]
    """
    kept = slice(None) if sample.crowd is None else ~sample.crowd
    return sample.keep(kept)._replace(areas=None, crowd=None)


class BatchMaker:
    """Make batch number ``k`` of a run: read, augment, label.

    Args:
        dataset: any data set.
        model: ``ModelConfig``; gives size, anchors and variances.
        settings: ``TrainConfig``; gives batch size, augmentation, seed.
        rows: which rows of every batch are made; None: all of them.
        truths: whether the objects travel too, see ``Batch``.
    """

    def __init__(self, dataset: Any, model: ModelConfig,
                 settings: TrainConfig, rows: Sequence[int] | None = None,
                 truths: bool = False):
        settings.check_resize(model)
        self.rows = rows or range(settings.batch_size)
        self.truths = truths
        self.dataset, self.model, self.settings = dataset, model, settings
        self.anchors = anchors.anchors_for(model)
        self.encode = targets.codec_for(model).encode
        self.augment = transforms.AUGMENTATIONS[settings.augment]

    def empty(self, buffer: Any = None) -> tuple[Batch, int]:
        """Return a batch to be filled, in the given memory or its own."""
        size, count = len(self.rows), len(self.anchors)
        layout = np.dtype([
            ("images", np.uint8, (size, *self.model.input_size, 3)),
            ("classes", np.int32, (size, count)),
            ("offsets", np.float32, (size, count, 4))], align=True)
        whole = (np.empty(1, layout) if buffer is None else
                 np.frombuffer(buffer, layout, 1))
        batch = Batch(whole["images"][0], whole["classes"][0],
                      whole["offsets"][0], [], [])
        return batch, layout.itemsize

    def fill(self, number: int, batch: Batch) -> Batch:
        """Fill a batch with the samples of that number."""
        size, seed = self.settings.batch_size, self.settings.seed
        batch.sources.clear()
        batch.truths.clear()
        chosen = order(len(self.dataset), seed,
                       number * size + self.rows[0], len(self.rows))
        for row, index in enumerate(chosen):
            rng = np.random.default_rng([seed, number, self.rows[row]])
            sample = without_crowds(self.dataset[int(index)])
            require_fractions(sample.boxes, sample.source or "the boxes")
            sample = self.augment(sample, self.model.input_size, rng)
            wanted = targets.label_anchors(
                self.anchors, sample.boxes, sample.labels,
                self.settings.match_threshold, encode=self.encode)
            batch.images[row] = sample.image
            batch.classes[row] = wanted.classes
            batch.offsets[row] = wanted.offsets
            batch.sources.append(sample.source)
            if self.truths:
                batch.truths.append((sample.boxes, sample.labels))
        return batch


def _work(maker, buffers, jobs, done, others):
    """Fill batches in a worker process for as long as there are jobs.

    The far ends of all pipes are copied by the fork. Closed here, they tell
    by their silence when the process that asks has gone.
    """
    for end in others:
        end.close()
    runtime.worker_init()
    batches = [maker.empty(buffer)[0] for buffer in buffers]
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            number, slot = jobs.recv()
            try:
                done.send((slot, maker.fill(number, batches[slot])[3:], None))
            except Exception as error:
                done.send((slot, [], _portable(error)))
                return


@contextlib.contextmanager
def _without_signals():
    """Hold Ctrl-C and SIGTERM back, for good in a process forked meanwhile.

    They often go to all processes of a group. Workers have to stay until
    the step is finished; who asks for batches ends them.
    """
    both = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, both)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_threads():
    """Let OpenCV's threads rest: a process forked beside them would hang.

    Only the thread that forks lives on in the child; a lock that another
    one held stays locked there for ever.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)        # ends the others at once
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _portable(error):
    """Return an error that can be sent: itself, or its text."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


class Loader:
    """Iterate over the batches ``start`` to ``stop - 1`` of a run.

    Args:
        maker: ``BatchMaker``.
        start, stop: numbers of batches.
        workers: processes; 0 makes the batches in this process.

    The arrays of a batch are good until the next one is asked for.

    Raises:
        Whatever a data set raises in a worker, with the same sentence.
    """

    def __init__(self, maker: BatchMaker, start: int, stop: int,
                 workers: int = 1):
        self.maker, self.start, self.stop = maker, start, stop
        forks = sys.platform.startswith("linux")
        self.workers = min(workers, stop - start) if forks else 0

    def __iter__(self) -> Generator[Batch, None, None]:
        """Yield the batches in order."""
        if self.workers < 1:
            batch = self.maker.empty()[0]
            for number in range(self.start, self.stop):
                yield self.maker.fill(number, batch)
            return
        crew: list[_Worker] = []
        dataset, sharers = self.maker.dataset, self.workers + 1
        share_cache(dataset, sharers)
        try:
            with _without_threads(), _without_signals():
                for _ in range(self.workers):
                    crew.append(_Worker(self.maker, crew))
            yield from self._collect(crew)
        finally:
            for worker in crew:
                worker.close()
            share_cache(dataset, 1 / sharers)

    def _collect(self, crew):
        ahead = self.start
        for number in range(self.start, self.stop):
            limit = min(self.stop, number + (SLOTS - 1) * len(crew))
            while ahead < limit:
                crew[ahead % len(crew)].ask(ahead)
                ahead += 1
            yield crew[number % len(crew)].take()


class _Worker:
    """One process, its shared slots, and the two ends of its pipes."""

    def __init__(self, maker, earlier):
        size = maker.empty()[1]
        self.buffers = [mmap.mmap(-1, size) for _ in range(SLOTS)]
        self.batches = [maker.empty(buffer)[0] for buffer in self.buffers]
        context = multiprocessing.get_context("fork")
        take, self.jobs = context.Pipe(False)
        self.done, give = context.Pipe(False)
        others = [end for worker in (*earlier, self)
                  for end in (worker.jobs, worker.done)]
        self.process = context.Process(
            target=_work, args=(maker, self.buffers, take, give, others),
            daemon=True)
        with warnings.catch_warnings():
            # The child never touches the framework's threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        take.close()
        give.close()
        self.asked = 0

    def ask(self, number):
        with contextlib.suppress(BrokenPipeError):    # `take` says why
            self.jobs.send((number, self.asked % SLOTS))
        self.asked += 1

    def take(self):
        try:
            slot, lists, error = self.done.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            how = (f"ended with exit code {code}" if code >= 0 else
                   f"was killed by {signal.Signals(-code).name}")
            raise ChildProcessError(
                f"a data worker {how}, mostly because memory had run out; "
                "fewer workers need less") from None
        if error:
            raise error
        return Batch(*self.batches[slot][:3], *lists)

    def close(self):
        self.jobs.close()
        self.process.kill()
        self.process.join()
