"""What each command does: (options) -> (JSON-ready value, table to read)."""

from __future__ import annotations

from pathlib import Path

from .. import runtime
from .shared import pairs


def info(options):
    """Describe a network, or this machine (what to paste in a question)."""
    if not options.model:
        found = runtime.describe()
        return found, pairs(found)
    from .network import describe
    return describe(options)


def data(options):
    """Make a data set: render the stand-in, or download Pikachu."""
    if options.set == "pikachu":
        from ..datasets.pikachu import download
        folder = Path(options.folder or "data/pikachu")
        paths = {Path(path).name: Path(path) for path in download(folder)}
    else:
        from ..datasets.standin import make_standin
        objects = options.objects
        paths = make_standin(
            options.folder, options.train, options.val, size=options.size,
            objects=objects[0] if len(objects) == 1 else tuple(objects),
            workers=options.workers)
    value = {name: str(path) for name, path in paths.items()}
    return value, pairs(value)
