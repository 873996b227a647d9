"""Several processes that train one network, on MXNet's parameter servers.

Every worker holds the whole network and takes its rows of each batch. The
servers add up the gradients; each worker then does the same step with the
same sum. So every worker has the whole state of the optimiser, the first one
can save it as a single process does, and a run may go on with another number
of workers. (Servers that did the step would hold that state themselves.)

The environment says who is who: MXNet reads DMLC_ROLE and its companions.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import mxnet as mx
import numpy as np
from mxnet.base import _LIB, check_call

from .checkpoints import optimiser_states, set_counts
from .long_run import Stopped

ROLE = "DMLC_ROLE"
KEYS = 1_000_000         # of the sums; the gradients have 0, 1, 2 ...
GAVE_UP = 3              # exit code of a worker that waited too long


class Team:
    """This process as one of several workers.

    Args:
        store: a distributed key-value store; None makes one, and waits for
            all other processes to come.

    Attributes: ``rank``, from 0; the first worker judges and writes.
    ``workers``, how many there are. ``store``.
    """

    def __init__(self, store=None):
        self.store = store or mx.kv.create("dist_sync")
        self.rank, self.workers = self.store.rank, self.store.num_workers
        self.heard_at, self._keys = time.monotonic(), set()

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of an array of float32 over all workers."""
        values = np.asarray(values, np.float32)
        array = mx.nd.array(values.ravel())
        key = KEYS + array.size
        if key not in self._keys:
            self._keys.add(key)
            self.store.init(key, mx.nd.zeros(array.shape))
        self.store.pushpull(key, array)
        found = array.asnumpy().reshape(values.shape)
        self.heard_at = time.monotonic()
        return found

    def told(self, heard: list[int]) -> int | None:
        """Return the signal to stop at, if any worker has heard one."""
        if not self.total([len(heard)])[0]:
            return None
        return heard[0] if heard else signal.SIGTERM

    def align(self, run) -> None:
        """Bring all workers to where the first one is."""
        # The store starts with the weights of the first and hands them out.
        # Left to the first step, that could still be under way when the
        # gradients arrive, which the store keeps under the same keys: a
        # worker would take a gradient for its weights.
        run.trainer._init_kvstore()
        run.trainer._init_params()
        mx.nd.waitall()
        run.step = int(self._of_first([run.step])[0])
        if not run.step:
            return
        numbers = range(len(run.trainer._params))
        for index in numbers:
            for states in zip(*optimiser_states(run.trainer, index)):
                value = mx.nd.array(self._of_first(states[0].asnumpy()))
                for state in states:
                    state[:] = value
        set_counts(run.trainer, dict.fromkeys(numbers, run.step))

    def _of_first(self, values):
        """Return what the first worker has for these values."""
        return self.total(np.asarray(values, np.float32) * (self.rank == 0))


def is_worker() -> bool:
    """Say whether this process was started as one of several workers."""
    return os.environ.get(ROLE) == "worker"


@contextlib.contextmanager
def joined(patience: float) -> Iterator[Team]:
    """Be one of the workers.

    A worker that fails leaves at once: the others, who wait for its
    gradients, are ended by who started them, or by their patience.

    Args:
        patience: seconds without a word of the others, after which this
            process ends. The others are silent while the first evaluates.

    Yields:
        ``Team``.
    """
    team = []
    _watch(team, time.monotonic(), patience)
    team.append(Team())
    try:
        yield team[0]
    except Stopped as stop:
        if team[0].rank:
            raise SystemExit(128 + stop.signum) from None
        raise
    except BaseException:
        check_call(_LIB.MXKVStoreSetBarrierBeforeExit(
            team[0].store.handle, ctypes.c_int(0)))
        raise
    finally:
        # Freed now, as its threads must not outlive the interpreter. MXNet
        # waits for the other workers there, unless it was told not to.
        check_call(_LIB.MXKVStoreFree(team[0].store.handle))
        team[0].store.handle = ctypes.c_void_p()    # Python frees it again
        team[0].heard_at = float("inf")


def _watch(team, start, patience):
    """End this process when the others have been silent for too long."""
    def look():
        while True:
            heard = team[0].heard_at if team else start
            silent = time.monotonic() - heard
            if silent > patience:
                print(f"The other workers have been silent for {silent:.0f} "
                      "seconds: this one ends. Go on with --resume when all "
                      "are there again.", file=sys.stderr, flush=True)
                os._exit(GAVE_UP)
            time.sleep(min(1, patience / 4))
    threading.Thread(target=look, daemon=True).start()
