"""Run a detector over a data set and judge it."""

from __future__ import annotations

from .report import Truth, evaluate_detections


def evaluate_dataset(detector, dataset, most=100):
    """Detect in every image of a data set and compare with its objects.

    Args:
        detector: ``detection.Detector``.
        dataset: a data set of the detector's classes.
        most: see ``evaluate_detections``.

    Returns:
        ``Evaluation``.

    Raises:
        ValueError: detector and data set have other classes.
    """
    count = detector.config.num_classes
    if len(dataset.classes) != count:
        raise ValueError(f"the detector has {count} classes "
                         f"({', '.join(detector.classes)}), the data set "
                         f"{len(dataset.classes)} "
                         f"({', '.join(dataset.classes)})")
    detections, truths = [], []
    for start in range(0, len(dataset), detector.batch_size):
        stop = min(start + detector.batch_size, len(dataset))
        samples = [dataset[index] for index in range(start, stop)]
        detections += detector.detect([sample.image for sample in samples])
        truths += [Truth(sample.boxes, sample.labels, sample.difficult)
                   for sample in samples]
    return evaluate_detections(detections, truths, count, most)
