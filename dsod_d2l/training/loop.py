"""The loop: batches in, steps, the best model out."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import mxnet as mx
from mxnet import gluon
from tqdm import tqdm

from ..datasets.loader import Loader
from .history import History
from .run import Run


class Fitted(NamedTuple):
    """What a run leaves: the network, its history, its best evaluation.

    best: dictionary with "step" and "AP" of the model that was kept, or
        None where nothing was held back.
    """

    net: gluon.Block
    history: History
    best: dict | None


def fit(net, dataset, settings, folder=None, resume=False, ctx=None,
        progress=True, callbacks=(), validation=None):
    """Train a network from scratch, or go on where a run was stopped.

    Args:
        net: a ``models.Network``; it is initialised if it is not yet.
        dataset: the training set. A slice of it (``settings.held_back``) is
            not trained on: the best model is chosen there.
        settings: ``TrainConfig``.
        folder: where weights, checkpoints and history go; None: nowhere.
        resume: True to go on from the newest checkpoint in ``folder``.
        ctx: MXNet context, default the CPU.
        progress: whether to show a progress bar.
        callbacks: called after each step with its row of the history.
        validation: a data set on which the best model is chosen; nothing is
            held back then. Not the one a result is to be reported on.

    Returns:
        ``Fitted``; the network holds the best model, or the last one where
        nothing was held back.

    Raises:
        ValueError: data and network have different numbers of classes, or
            there is nothing to resume.
        FloatingPointError: a loss or gradient is not finite; the message
            names the images of that batch, and nothing is saved.
    """
    run = Run(net, dataset, settings, folder, ctx or mx.cpu(), validation)
    if resume:
        run.resume()
    loader = Loader(run.maker, run.step * settings.accumulate,
                    settings.steps * settings.accumulate, run.workers)
    bar = tqdm(total=settings.steps, initial=run.step, unit="step",
               disable=not progress)
    with bar, contextlib.closing(iter(loader)) as batches:
        while run.step < settings.steps:
            row = run.one_step(batches)
            run.after_step(row)
            bar.update()
            bar.set_postfix(loss=f"{row['loss']:.3f}", AP=run.best_text())
            for callback in callbacks:
                callback(row)
    run.finish()
    return Fitted(run.net, run.history, run.best)
