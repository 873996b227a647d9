"""Patches: random windows that must overlap an object well enough.

A patch is a box, in fractions of the picture. Seven samplers each offer at
most one, and one of those is taken.
"""

from __future__ import annotations

import numpy as np

from ..boxes import iou
from .cropping import crop

WHOLE = (0.0, 0.0, 1.0, 1.0)
# What the samplers after the whole picture ask for; 0 asks for nothing.
LEAST = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)


def draw_patches(rng, count, scale=(0.3, 1.0), aspect=(0.5, 2.0)):
    """Draw patches, each somewhere in the picture.

    Args:
        rng: numpy.random.Generator.
        count: how many.
        scale: range of the side of a square of the same area.
        aspect: range of width over height, both as fractions of the picture;
            held back where a side would be longer than the picture.

    Returns:
        (count, 4) corner boxes in fractions of the picture.
    """
    side = rng.uniform(*scale, count)
    ratio = np.clip(rng.uniform(*aspect, count), side**2, side**-2)
    sides = np.stack([side * ratio**0.5, side / ratio**0.5], axis=1)
    sides = np.minimum(sides, 1)                    # a rounding error above
    start = rng.uniform(size=(count, 2)) * (1 - sides)
    return np.concatenate([start, start + sides], axis=1)


def meets(patches, boxes, least, rule="any"):
    """Tell which patches overlap the objects by at least an IoU.

    Args:
        patches: (P, 4) corner boxes.
        boxes: (M, 4) corner boxes of the objects.
        least: the IoU that is asked for.
        rule: "any": with one object at least; "all": with each of them.

    Returns:
        bool (P,). Without objects no patch meets "any", and all meet "all".
    """
    if rule not in ("any", "all"):
        raise ValueError(f"rule must be any or all, found {rule!r}.")
    enough = iou(patches, boxes) >= least
    return enough.any(axis=1) if rule == "any" else enough.all(axis=1)


def collect_patches(boxes, rng, rule="any", trials=50, least=LEAST):
    """Collect the whole picture, and what each sampler finds.

    Args:
        boxes: (M, 4) corner boxes of the objects.
        rng: numpy.random.Generator.
        rule: see ``meets``.
        trials: patches that a sampler may try; it offers the first that fits.
        least: the IoU that each sampler asks for.

    Returns:
        (C, 4) patches, C from 1 to 1 + len(least).

    Paper: SSD, section 2.2 (arXiv:1512.02325); "any" is the authors' code.
    """
    drawn = draw_patches(rng, trials * len(least)).reshape(-1, trials, 4)
    found = [WHOLE]
    for asked, tried in zip(least, drawn):
        fits = np.flatnonzero(meets(tried, boxes, asked, rule))
        found.extend(tried[fits[:1]])
    return np.array(found)


def draw_patch(boxes, rng, **options):
    """Draw one of the patches of ``collect_patches``, all equally likely."""
    return rng.choice(collect_patches(boxes, rng, **options))


def patch_window(patch, shape):
    """Return a patch in whole pixels, as a window for ``crop``.

    >>> patch_window((0.25, 0.0, 0.5, 1.0), (100, 200)).tolist()
    [50, 0, 100, 100]
    """
    sides = np.array([shape[1], shape[0]])
    start = np.minimum(np.rint(patch[:2] * sides), sides - 1)
    stop = np.maximum(np.rint(patch[2:] * sides), start + 1)
    return np.concatenate([start, stop]).astype(int)


def random_patch(sample, rng, size=None, interpolation=None, **options):
    """Cut out a patch; objects stay whose centres lie in it.

    Args:
        sample: Sample.
        rng: numpy.random.Generator.
        size, interpolation: as in ``crop``.
        options: of ``collect_patches``.
    """
    patch = draw_patch(sample.boxes, rng, **options)
    return crop(sample, patch_window(patch, sample.image.shape), size,
                interpolation)
