"""Detection: from class scores and offsets to labelled boxes.

All functions are NumPy. Only ``Detector``, which runs a network on images,
meets MXNet, and imports it when it runs.
"""

from .detector import Detector, detect, to_batch
from .outputs import (Detections, best_first, detections_from_outputs,
                      in_pixels, nms, softmax)
from .video import (VIDEO_SUFFIXES, Frame, VideoReader, VideoWriter,
                    detect_frames)

__all__ = ["Detections", "Detector", "Frame", "VIDEO_SUFFIXES", "VideoReader",
           "VideoWriter", "best_first", "detect", "detect_frames",
           "detections_from_outputs", "in_pixels", "nms", "softmax",
           "to_batch"]
