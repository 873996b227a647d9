"""Detection: from class scores and offsets to labelled boxes.

All functions are NumPy. Only ``Detector``, which runs a network on images,
meets MXNet, and imports it when it runs.
"""

from .detector import Detector, detect, to_batch
from .outputs import (Detections, best_first, detections_from_outputs,
                      in_pixels, nms, softmax)

__all__ = ["Detections", "Detector", "best_first", "detect",
           "detections_from_outputs", "in_pixels", "nms", "softmax",
           "to_batch"]
