"""Run the command line: ``python -m dsod_d2l``."""

import sys

from .workbench.cli import main

sys.exit(main())
