"""Signals: who is asked to stop ends the step and saves first."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

# Only these ways of stopping are replaced: a program that has its own
# handler, or ignores the signal, knows why.
USUAL = {signal.SIGINT: signal.default_int_handler,
         signal.SIGTERM: signal.SIG_DFL}


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop, and did so between two steps.

    Args:
        signum: the signal's number.
        done: what was done, in one sentence.
        resumable: whether a checkpoint is there to go on from.
    """

    def __init__(self, signum, done, resumable=False):
        super().__init__(done + "; resume=True goes on from there"
                         if resumable else done)
        self.signum, self.done = int(signum), done
        self.resumable = resumable


@contextlib.contextmanager
def listening():
    """Note the first SIGINT or SIGTERM, rather than stop at once.

    The next one does what it always does. Outside the main thread, where
    Python hears no signals, nothing changes.

    Yields:
        List that the number of the signal is put into.
    """
    heard, before = [], {}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number, _):
        heard.append(number)
        restore()
        # Nothing of Python's own output may be entered twice: hence the
        # plain system call.
        os.write(2, b"\nThis step is still finished, and saved; a second "
                    b"signal stops at once.\n")

    if threading.current_thread() is threading.main_thread():
        before = {number: usual for number, usual in USUAL.items()
                  if signal.getsignal(number) is usual}
    for number in before:
        signal.signal(number, note)
    try:
        yield heard
    finally:
        restore()
