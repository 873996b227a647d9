"""The command launch: several processes of training on one machine."""

import argparse
import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from ... import runtime
from ...config.base import require
from .options import add_fields, check_device, check_numbers

GRACE = 3                 # seconds for the others to end by themselves
END = 15                  # seconds for the last words, then they are killed
HOST = "127.0.0.1"


class LaunchOptions:
    """How many processes.

    workers: processes that train; each batch is divided among them
    servers: processes that add up gradients
    """

    workers: int
    servers: int = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options, and the command to be launched."""
    add_fields(parser, LaunchOptions)
    parser.add_argument("words", nargs=argparse.REMAINDER,
                        metavar="-- train ...", help="what each worker does")


def run(options: argparse.Namespace) -> tuple[None, None]:
    """Train in several processes on this machine, with MXNet's servers."""
    words = options.words[options.words[:1] == ["--"]:]
    require(options.workers >= 1, "--workers must be at least 1, found "
            f"{options.workers}")
    require(words[:1] == ["train"], "what is launched must be train and its "
            f"options, behind two hyphens, found {shlex.join(words)!r}")
    wanted = options.parse(words)            # wrong use is said once
    check_numbers(wanted)
    check_device(wanted)
    command = [sys.executable, "-m", "dsod_d2l", *words]
    with _hearing() as heard, contextlib.closing(
            Crew(command, options.workers, options.servers)) as crew:
        crew.watch(heard)
    if heard:
        stop = KeyboardInterrupt(f"stopped. {_how_to_go_on()}")
        stop.signum = heard[0]
        raise stop
    return None, None


class Crew:
    """A scheduler, the servers and the workers, as processes.

    Args:
        command: of each process; its role is in its environment.
        workers, servers: how many.
        threads: of each worker; None: the cores are divided among them.
    """

    def __init__(self, command: Sequence[str], workers: int, servers: int,
                 threads: int | None = None):
        common = {**os.environ, "DMLC_PS_ROOT_URI": HOST,
                  "DMLC_NODE_HOST": HOST,
                  "DMLC_PS_ROOT_PORT": str(free_port()),
                  "DMLC_NUM_WORKER": str(workers),
                  "DMLC_NUM_SERVER": str(servers)}
        threads = threads or min(max(runtime.usable_cores() // workers, 1),
                                 int(os.environ["OMP_NUM_THREADS"]))
        self.others = [_start(command, {
            **common, "DMLC_ROLE": role, "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": ""})
            for role in ["scheduler"] + ["server"] * servers]
        self.workers = [_start(command, {
            **common, "DMLC_ROLE": "worker", "OMP_NUM_THREADS": str(threads)})
            for _ in range(workers)]

    def watch(self, heard: list[int]) -> None:
        """Wait for the workers.

        Args:
            heard: list that signals are put into. The first one is handed on
                to a worker, who tells the others; the next ends all at once.

        Raises:
            ChildProcessError: a process has died.
        """
        while not heard and any(worker.poll() is None
                                for worker in self.workers):
            self._check()
            time.sleep(0.05)
        if not heard:
            self._check()
            return
        self.workers[0].send_signal(signal.SIGTERM)
        while len(heard) == 1 and self.workers[0].poll() is None:
            time.sleep(0.05)
        if len(heard) == 1:
            self._wait(self.workers, GRACE)

    def _check(self):
        """Raise an error if a process has died."""
        names = [*(f"worker {k} of {len(self.workers)}" for k in
                   range(1, len(self.workers) + 1)), "the scheduler",
                 *(f"server {k}" for k in range(1, len(self.others)))]
        for name, process in zip(names, [*self.workers, *self.others]):
            code = process.poll()
            if not code:
                continue
            if code > 0:
                self._wait(self.workers, GRACE)
            end = (f"ended with code {code}" if code > 0 else
                   f"was killed by {signal.Signals(-code).name}")
            raise ChildProcessError(f"{name} (process {process.pid}) {end}; "
                                    "the other processes are stopped. "
                                    + _how_to_go_on())

    def close(self) -> None:
        """End all processes, and wait until they have."""
        if any(worker.poll() != 0 for worker in self.workers):
            self._kill()
        self._wait(self.others, END)
        self._kill()

    def _kill(self):
        for process in [*self.workers, *self.others]:
            # Their data workers, too: each process leads its own group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @staticmethod
    def _wait(processes, seconds):
        end = time.monotonic() + seconds
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(end - time.monotonic(), 0.01))


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server((HOST, 0)) as found:
        return found.getsockname()[1]


def _start(command, environment):
    """Start a process that ends when this one does, however that ends."""
    system = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

    def tie():
        if system:
            system.prctl(1, signal.SIGKILL)       # PR_SET_PDEATHSIG
    return subprocess.Popen(command, env=environment, preexec_fn=tie,
                            start_new_session=True)


@contextlib.contextmanager
def _hearing():
    """Collect SIGINT and SIGTERM in a list."""
    heard: list[int] = []
    before = {kind: signal.signal(kind, lambda number, _: heard.append(number))
              for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def resuming(words: Sequence[str]) -> str:
    """Return the line that goes on with a command, for a shell."""
    more = [] if "--resume" in words else ["--resume"]
    return shlex.join([*words, *more])


def _how_to_go_on():
    return f"If it has saved something, go on with: {resuming(sys.orig_argv)}"
