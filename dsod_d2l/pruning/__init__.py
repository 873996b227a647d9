"""Pruning: choose filters, take them out, and train on what is left.

A pruned network is an ordinary one whose configuration holds its widths. It
computes what the whole network computes with the same filters at zero.
"""

from .choosing import Group, Plan, filter_groups, make_plan
from .cutting import cut, masked
from .cycle import Row, measure, prune_and_train
from .sensitivity import RATIOS, Sensitivity, scan

__all__ = ["Group", "Plan", "RATIOS", "Row", "Sensitivity", "cut", "filter_groups",
           "make_plan", "masked", "measure", "prune_and_train", "scan"]
