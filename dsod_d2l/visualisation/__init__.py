"""Visualisation: images, boxes, anchors, matches, curves and reports.

Each function draws on the Axes it is given and returns None. All pictures
share their colours, see ``colours``.
"""

from .boxes import (SAVED_WIDTH, draw_anchors, draw_boxes, draw_image,
                    draw_matches, save_detections)
from .colours import PALETTE, STYLES, TEXT_SIZE, class_colour, text_colour
from .curves import (plot_classes, plot_history, plot_mistakes,
                     plot_precision_recall, plot_sensitivity)
from .frames import paint_detections
from .report import write_report

__all__ = ["PALETTE", "SAVED_WIDTH", "STYLES", "TEXT_SIZE", "class_colour",
           "draw_anchors", "draw_boxes", "draw_image", "draw_matches",
           "paint_detections", "plot_classes", "plot_history", "plot_mistakes",
           "plot_precision_recall", "plot_sensitivity", "save_detections",
           "text_colour", "write_report"]
