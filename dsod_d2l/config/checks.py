"""What every field of a configuration goes through before it is believed."""

from __future__ import annotations

from math import inf
from numbers import Integral, Real


def require(good, message):
    """Raise a ValueError unless something holds."""
    if not good:
        raise ValueError(message)


def whole(config, least, *names):
    """Require fields that are whole numbers of at least ``least``."""
    for name in names:
        for value in _items(getattr(config, name)):
            require(isinstance(value, Integral) and value >= least,
                    f"{name} must be a whole number of at least {least}, "
                    f"found {value!r}")


def between(config, least, most, *names):
    """Require fields that are numbers from ``least`` to ``most``."""
    words = (f"of at least {least}" if most == inf
             else f"from {least} to {most}")
    for name in names:
        for value in _items(getattr(config, name)):
            require(isinstance(value, Real) and least <= value <= most
                    and abs(value) < inf,
                    f"{name} must be a number {words}, found {value!r}")


def positive(config, *names):
    """Require fields that are finite numbers above 0."""
    for name in names:
        for value in _items(getattr(config, name)):
            require(isinstance(value, Real) and 0 < value < inf,
                    f"{name} must be positive, found {value!r}")


def _items(value):
    return value if isinstance(value, tuple) else (value,)
