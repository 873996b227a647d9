"""Pruning: choose filters, take them out, and train on what is left."""

from .choosing import Group, PruningPlan, filter_groups, plan_pruning
from .cycle import (RATIOS, Row, Sensitivity, cut, masked, measure,
                    prune_and_train, scan)

__all__ = ["Group", "PruningPlan", "RATIOS", "Row", "Sensitivity", "cut",
           "filter_groups", "masked", "measure", "plan_pruning",
           "prune_and_train", "scan"]
