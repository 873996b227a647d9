"""Look a data set over before it is trained on: counts, faults, anchors."""

from .anchor_fit import AnchorFit, fit_anchors
from .contents import Report, examine, inspect

__all__ = ["AnchorFit", "Report", "examine", "fit_anchors", "inspect"]
