"""Make MXNet 1.9.1 run on this Python and numpy; choose the device.

MXNet was last released in 2022. Since then numpy has dropped names that it
uses and changed how numbers print, Python 3.12 has dropped ``distutils``, and
GPUs came for which MXNet has no machine code. ``prepare`` puts back what is
missing before MXNet is imported; the rest happens when it is. Importing the
package calls it: the one import here that changes something outside.
"""

from __future__ import annotations

import sys

from . import hook, patches, restoring
from .describing import describe
from .devices import (device, named_devices, set_threads, usable_cores,
                      worker_init)

__all__ = ["describe", "device", "named_devices", "prepare", "usable_cores",
           "worker_init"]


def prepare():
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
    hook.install()
    if "mxnet" in sys.modules:
        patches.apply(sys.modules["mxnet"])
