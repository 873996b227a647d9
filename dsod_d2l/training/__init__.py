"""Training: the schedule, the step, the run, and what to say of a failure."""

from .graph import TrainingGraph
from .loop import Fitted, fit
from .schedule import learning_rate

__all__ = ["Fitted", "TrainingGraph", "fit", "learning_rate"]
