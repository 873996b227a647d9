"""Transforms of an image and its boxes, for training.

Each takes a Sample and returns a new one; what is drawn comes from ``rng``.
Pixels are handled by OpenCV as uint8 throughout, boxes in NumPy. Cutting and
scaling are one step, whatever was drawn before: that is what makes a recipe
cheap.
"""

from .colours import colour_matrix, photometric
from .cropping import (_TWICE, FILL, _cut, _logs, _moved, crop, draw_window,
                       random_crop)
from .distortion import (change_brightness, change_contrast, change_hsv,
                         distort, shuffle_channels)
from .expansion import draw_expansion, expand
from .letterbox import letter_box, letter_box_frame, undo_letter_box
from .mirroring import mirror, random_mirror
from .patches import (collect_patches, draw_patch, draw_patches, meets,
                      patch_window, random_patch)
from .recipes import (RECIPES, Compose, boxed, light, plain, shifted, ssd,
                      ssd_window)
from .resizing import INTERPOLATIONS, _sides, _stretch, random_resize, resize

__all__ = [
    "FILL", "INTERPOLATIONS", "RECIPES", "Compose", "boxed",
    "change_brightness", "change_contrast", "change_hsv", "collect_patches",
    "colour_matrix", "crop", "distort", "draw_expansion", "draw_patch", "draw_patches",
    "draw_window", "expand", "letter_box", "letter_box_frame", "light",
    "meets", "mirror", "patch_window", "photometric", "plain", "random_crop",
    "random_mirror", "random_patch", "random_resize", "resize", "shifted",
    "shuffle_channels", "ssd", "ssd_window", "undo_letter_box"]
