"""What to say of a run that found nothing."""

from __future__ import annotations

import numpy as np

from .. import anchors as anchor_maths
from .. import boxes

SAMPLES = 64      # images that are looked at


def diagnose(detector, dataset, settings):
    """Return sentences on why a detector may have an AP of 0.

    Args:
        detector: ``detection.Detector``.
        dataset: the data set it was judged on.
        settings: ``TrainConfig``.

    Returns:
        List of sentences, the likeliest cause first; never empty.
    """
    found = []
    samples = [dataset[k] for k in range(min(SAMPLES, len(dataset)))]
    objects = [box for sample in samples for box in sample.boxes]
    if not objects:
        return ["the images judged hold no object"]
    if len(dataset.classes) != detector.config.num_classes:
        found.append(f"the network has {detector.config.num_classes} classes,"
                     f" the data set {len(dataset.classes)}")
    overlaps = boxes.iou(np.array(objects),
                         anchor_maths.anchors_for(detector.config))
    best = overlaps.max(axis=1)
    missed = (best < settings.match_threshold).mean()
    if missed > 0.5:
        found.append(
            f"no anchor reaches {missed:.0%} of the objects at IoU "
            f"{settings.match_threshold:g} (their best IoU is "
            f"{np.median(best):.2f} in the middle): change the anchor sizes")
    found += _on_scores(detector, samples)
    return found or ["the boxes found do not overlap the objects by half: "
                     "train longer, or check that boxes are fractions of "
                     "the image"]


def _on_scores(detector, samples):
    """Return sentences on scores and classes of what was detected."""
    detections = detector.detect([sample.image for sample in samples])
    scores = np.concatenate([one.scores for one in detections])
    threshold = detector.detect_config.score_threshold
    if not len(scores):
        return [f"every score is below the threshold {threshold:g}: train "
                "longer or with another learning rate"]
    seen = set(np.concatenate([one.labels for one in detections]).tolist())
    there = set(np.concatenate([one.labels for one in samples]).tolist())
    if not seen & there:
        return [f"only classes {sorted(seen)} were detected where the "
                f"objects are of classes {sorted(there)}"]
    return []
