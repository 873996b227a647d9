"""The learning rate at each step."""

from __future__ import annotations

import math


def learning_rate(step, settings):
    """Return the learning rate of one optimiser step.

    It rises in a straight line over the warm-up, then follows the schedule:
    constant, in jumps at the milestones, or along half a cosine to 0.

    Args:
        step: 0 for the first step, up to ``settings.steps - 1``.
        settings: ``TrainConfig``.

    >>> from dsod_d2l.config import TrainConfig
    >>> plan = TrainConfig(steps=100, warmup=4, learning_rate=1.0,
    ...                    schedule="multistep", milestones=(0.5,))
    >>> [learning_rate(step, plan) for step in (0, 1, 3, 49, 50)]
    [0.25, 0.5, 1.0, 1.0, 0.1]
    """
    rate = settings.learning_rate
    if step < settings.warmup:
        return rate * (step + 1) / settings.warmup
    if settings.schedule == "multistep":
        passed = sum(step >= round(share * settings.steps)
                     for share in settings.milestones)
        return rate * settings.decay ** passed
    if settings.schedule == "cosine":
        done = (step - settings.warmup) / (settings.steps - settings.warmup)
        return rate * (1 + math.cos(math.pi * done)) / 2
    return rate
