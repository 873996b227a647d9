"""Make MXNet 1.9.1 run on this Python and numpy; choose the device.

MXNet was last released in 2022. Since then numpy has dropped names that it
uses and changed how numbers print, Python 3.12 has dropped ``distutils``, and
GPUs came for which MXNet has no machine code. ``prepare`` puts back what is
missing before MXNet is imported; the rest happens when it is. Importing the
package calls it: the one import here that changes something outside.
"""

from __future__ import annotations

import importlib.abc
import sys
import warnings
from pathlib import Path
from typing import Any

from . import gpus, restoring
from .devices import device, set_threads, usable_cores, worker_init

__all__ = ["device", "prepare", "usable_cores", "worker_init"]


def wait_for_mxnet() -> None:
    """Wait for the import of MXNet; a second call does nothing."""
    if not any(isinstance(finder, MXNetFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MXNetFinder())


class MXNetFinder(importlib.abc.MetaPathFinder):
    """Finds MXNet where the others find it, and wraps its loader."""

    def find_spec(self, name: str, path: Any = None, target: Any = None
                  ) -> Any:
        """Return the specification of MXNet with our loader, else None."""
        if name != "mxnet":
            return None
        for finder in sys.meta_path:
            spec = finder is not self and finder.find_spec(name, path, target)
            if spec:
                if spec.origin and spec.loader:
                    spec.loader = MXNetLoader(spec.loader)
                return spec
        return None


class MXNetLoader(importlib.abc.Loader):
    """Loads MXNet as its own loader does, with a word before and after."""

    def __init__(self, own: Any):
        self.own = own

    def create_module(self, spec: Any) -> Any:
        """Leave this to the loader of MXNet."""
        return self.own.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Look after GPUs, import MXNet, patch it."""
        module.__spec__.loader = module.__loader__ = self.own
        folder = Path(module.__spec__.origin).parent
        if gpus.is_gpu_build(folder):
            if sentence := gpus.hide_unsupported():
                warnings.warn(sentence, RuntimeWarning, stacklevel=2)
            gpus.preload()
        self.own.exec_module(module)
        restoring.apply(module)


def prepare() -> None:
    """Put back what MXNet misses here, and set its number of threads.

    To be called before MXNet is imported; a second call does nothing. It
    imports neither MXNet nor anything heavy. What it changes:

    - numpy: the removed names that MXNet looks up, and on numpy 2 the way
      in which numbers print (MXNet reads them as text);
    - a small ``distutils.version`` where there is none;
    - the variable OMP_NUM_THREADS, unless it is set or MXNet is loaded:
      MXNet itself would leave half of the cores idle;
    - the coming import of MXNet: see ``hook``.
    """
    restoring.restore()
    set_threads()
    wait_for_mxnet()
    if "mxnet" in sys.modules:
        restoring.apply(sys.modules["mxnet"])
