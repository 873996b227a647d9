"""What editors and type checkers read of the face."""

from .config import DetectConfig, TrainConfig
from .datasets import Sample, example, split
from .detection import Detections
from .evaluation import Evaluation, evaluate_dataset
from .models import build, summarise
from .weights import load_model, load_weights, save_weights
from .workbench.architecture import draw_architecture
from .workbench.colab import install as install_packages
from .workbench.detectors import evaluate, open_detector as Detector
from .workbench.formats.addresses import open_dataset
from .workbench.formats.conversion import convert
from .workbench.machine import describe_machine, device
from .workbench.pretrained.classifier_weights import (adapt, layer_pairs,
                                                      read_classifier,
                                                      start_from_classifier)
from .workbench.recipes import RECIPES, get_recipe
from .workbench.runs.long_run import run_training as fit
from .workbench.standin.picture import render_sample
from .workbench.standin.rendered import COUNTS, SEED

__version__: str
__all__ = ["COUNTS", "DetectConfig", "Detections", "Detector", "Evaluation",
           "RECIPES", "SEED", "Sample", "TrainConfig", "adapt", "build",
           "convert", "describe_machine", "device", "draw_architecture",
           "evaluate", "evaluate_dataset", "example", "fit", "get_recipe",
           "install_packages", "layer_pairs", "load_model",
           "load_weights", "open_dataset", "read_classifier",
           "render_sample", "save_weights", "split", "start_from_classifier",
           "summarise"]
