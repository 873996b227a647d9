"""Mirror a picture and its boxes, left to right."""

from __future__ import annotations

import cv2

from .. import boxes as box_tools


def mirror(sample):
    """Mirror the image and its boxes, left to right."""
    return sample._replace(image=cv2.flip(sample.image, 1),
                           boxes=box_tools.mirror(sample.boxes))


def random_mirror(sample, rng, probability=0.5):
    """Mirror with a probability."""
    return mirror(sample) if rng.uniform() < probability else sample
