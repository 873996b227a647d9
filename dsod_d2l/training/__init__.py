"""Training: the schedule, the step, the run, and what to say of a failure."""

from .classifier import adapt, start_from_classifier
from .classifier_files import read_classifier
from .graph import TrainingGraph
from .loop import Fitted, fit
from .plan import estimate_memory, make_plan, plan_text, rate_table
from .schedule import learning_rate
from .signals import Stopped
from .transfer import Transfer, start_from

__all__ = ["Fitted", "Stopped", "TrainingGraph", "Transfer", "adapt",
           "estimate_memory", "fit", "learning_rate", "make_plan",
           "plan_text", "rate_table", "read_classifier", "start_from",
           "start_from_classifier"]
