"""Around the import of MXNet: GPUs and libraries before, patches after."""

from __future__ import annotations

import importlib.abc
import sys
import warnings
from pathlib import Path

from . import gpus, libraries, patches


def install():
    """Wait for the import of MXNet; a second call does nothing."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


class Finder(importlib.abc.MetaPathFinder):
    """Finds MXNet where the others find it, and wraps its loader."""

    def find_spec(self, name, path=None, target=None):
        """Return the specification of MXNet with our loader, else None."""
        if name != "mxnet":
            return None
        for finder in sys.meta_path:
            spec = finder is not self and finder.find_spec(name, path, target)
            if spec:
                if spec.origin and spec.loader:
                    spec.loader = Loader(spec.loader)
                return spec
        return None


class Loader(importlib.abc.Loader):
    """Loads MXNet as its own loader does, with a word before and after."""

    def __init__(self, own):
        self.own = own

    def create_module(self, spec):
        """Leave this to the loader of MXNet."""
        return self.own.create_module(spec)

    def exec_module(self, module):
        """Look after GPUs, import MXNet, patch it."""
        module.__spec__.loader = module.__loader__ = self.own
        folder = Path(module.__spec__.origin).parent
        if libraries.is_gpu_build(folder):
            if sentence := gpus.hide_unsupported():
                warnings.warn(sentence, RuntimeWarning, stacklevel=2)
            libraries.preload()
        self.own.exec_module(module)
        patches.apply(module)
