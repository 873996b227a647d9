"""Fit: batches in, steps, the best model out; a signal ends it cleanly."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import NamedTuple

import mxnet as mx
from mxnet import gluon
from tqdm import tqdm

from ...datasets.loader import Loader
from ...training import History
from . import run_folder
from .run_folder import hold
from .run_state import Run

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


class Fitted(NamedTuple):
    """What a run leaves: the network, its history, its best evaluation.

    best: dictionary with "step" and "AP" of the model that was kept, or
        None where nothing was held back.
    """

    net: gluon.Block
    history: History
    best: dict | None


def fit(net, dataset, settings, folder=None, resume=False, ctx=None,
        progress=True, callbacks=(), validation=None, team=None):
    """Train a network from scratch, or go on where a run was stopped.

    Args:
        net: a ``models.Network``; it is initialised if it is not yet.
        dataset: the training set. A slice of it (``settings.held_back``) is
            not trained on: the best model is chosen there.
        settings: ``TrainConfig``.
        folder: where weights, checkpoints and history go; None: nowhere.
        resume: True to go on from the newest checkpoint in ``folder`` that
            is whole, or from the start if there is none yet.
        ctx: MXNet context, default the CPU; a list of them to divide each
            batch among.
        progress: whether to show a progress bar.
        callbacks: called after each step with its row of the history.
        validation: a data set on which the best model is chosen; nothing is
            held back then. Not the one a result is to be reported on.
        team: what ``distributed.joined`` yields, where several processes
            share each batch; the first one has the folder and judges.

    Returns:
        ``Fitted``; the network holds the best model, or the last one where
        nothing was held back.

    Raises:
        ValueError: data and network have different numbers of classes; or
            there is nothing to resume; or the folder holds another run.
        Stopped: a KeyboardInterrupt, after Ctrl-C or SIGTERM. The step was
            finished, and a checkpoint saved in ``folder``.
        FloatingPointError: a loss or gradient is not finite; the message
            names the images of that batch, and nothing is saved.
    """
    first = team is None or team.rank == 0
    home = (hold(folder, resume) if folder and first
            else contextlib.nullcontext())
    with home as folder:
        run = Run(net, dataset, settings, folder, ctx or mx.cpu(), validation,
                  team)
        run_folder.begin(run, resume and first)
        run.devices.team.align(run)
        signum = _train(run, progress and first, callbacks)
        if run.step == settings.steps:
            run.finish()
        if signum:
            raise _stopped(run, signum)
    return Fitted(run.net, run.history, run.best)


def _train(run, progress, callbacks):
    """Go on to the last step or a signal; return that, or None."""
    settings, signum = run.settings, None
    loader = Loader(run.maker, run.step * settings.accumulate,
                    settings.steps * settings.accumulate, run.workers)
    bar = tqdm(total=settings.steps, initial=run.step, unit="step",
               disable=not progress)
    with listening() as heard, bar, contextlib.closing(
            iter(loader)) as batches:
        while run.step < settings.steps and not (
                signum := run.devices.team.told(heard)):
            row = run.one_step(batches)
            run.after_step(row)
            bar.update()
            bar.set_postfix(loss=f"{row['loss']:.3f}", AP=run.best_text())
            for callback in callbacks:
                callback(row)
    signum = signum or next(iter(heard), None)
    if signum:
        run_folder.save(run)
    return signum


def _stopped(run, signum):
    done = f"stopped after step {run.step} of {run.settings.steps}"
    if run.step == run.settings.steps:
        return Stopped(signum, done + ": the run is complete")
    if run.folder is None:
        return Stopped(signum, done + "; without a folder nothing is saved")
    return Stopped(signum, f"{done}, saved in {run.folder}", resumable=True)
