"""What each command does: (options) -> (JSON-ready value, table to read)."""

from __future__ import annotations

from .. import runtime
from .shared import pairs


def info(options):
    """Describe a network, or this machine (what to paste in a question)."""
    if not options.model:
        found = runtime.describe()
        return found, pairs(found)
    from .network import describe
    return describe(options)
