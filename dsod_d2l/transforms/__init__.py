"""Transforms of an image and its boxes, for training."""

from .colours import (change_brightness, change_contrast, change_hsv,
                      colour_matrix, distort, photometric, shuffle_channels)
from .cropping import (FILL, collect_patches, crop, draw_expansion, draw_patch,
                       draw_patches, draw_window, expand, letter_box,
                       letter_box_frame, meets, patch_window, random_crop,
                       random_patch, undo_letter_box)
from .pipelines import (AUGMENTATIONS, RESIZINGS, Compose, boxed, light,
                        mirror, plain, random_mirror, shifted, ssd, ssd_window)
from .resizing import INTERPOLATIONS, random_resize, resize

__all__ = ["AUGMENTATIONS", "Compose", "FILL", "INTERPOLATIONS",
           "RESIZINGS", "boxed", "change_brightness", "change_contrast",
           "change_hsv", "collect_patches", "colour_matrix", "crop",
           "distort", "draw_expansion", "draw_patch", "draw_patches",
           "draw_window", "expand", "letter_box", "letter_box_frame",
           "light", "meets", "mirror", "patch_window", "photometric",
           "plain", "random_crop", "random_mirror", "random_patch",
           "random_resize", "resize", "shifted", "shuffle_channels", "ssd",
           "ssd_window", "undo_letter_box"]
