"""Build, train, judge and use DSOD, an object detector trained from scratch.

Importing the package prepares MXNet 1.9.1 for this Python and numpy (see
``runtime``) but does not import it, prints nothing and touches no device.
"""

from . import runtime

__version__ = "0.1.0"

runtime.prepare()
