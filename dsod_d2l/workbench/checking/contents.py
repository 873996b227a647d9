"""The report over a data set: what is in it, what is wrong, as text too."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tabulate import tabulate

from ...boxes import area
from ...config import ModelConfig
from ...datasets.sample import FLAGS, Fault
from ...datasets.wrappers import complete
from ..formats import addresses
from .anchor_fit import fit_anchors, recall

QUANTILES = (0, .05, .25, .5, .75, .95, 1)
SMALL, LARGE = 32 ** 2, 96 ** 2        # COCO's bounds, in square pixels


class Report(NamedTuple):
    """What was found in a data set.

    title: how the data set calls itself.
    classes: names of the classes.
    images: number of sound images.
    boxes: float64 (M, 4) corner boxes in fractions, of all sound objects.
    pixels: float64 (M, 2) widths and heights in pixels.
    labels: int64 (M,); flags: bool (M, 4); image: int64 (M,), the image each
        object is in.
    faults: list of Fault; each cost its object or its image.
    duplicates: list of texts, boxes that are there twice with one class.
    empty: names of images without objects.
    clipped: number of boxes that were cut to their image.
    fit: ``AnchorFit``, or None where there is no object.
    model: name of the network that it speaks of.
    remarks: {sentence: count} of what was read otherwise than it stands in
        the files, or left out.
    """

    title: str
    classes: tuple
    images: int
    boxes: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray
    flags: np.ndarray
    image: np.ndarray
    faults: list
    duplicates: list
    empty: list
    clipped: int
    fit: object
    model: str
    remarks: Mapping[str, int] = {}

    @property
    def shares(self) -> np.ndarray:
        """The root of each object's area, as a share of its image's."""
        return np.sqrt(area(self.boxes))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; ``sound`` is False with faults."""
        classes = self._classes()
        return {"sound": not self.faults, "data": self.title,
                "images": self.images, "objects": len(self.labels),
                "classes": classes,
                "faults": [fault._asdict() for fault in self.faults],
                "kinds": dict(Counter(fault.kind for fault in self.faults)),
                "duplicates": self.duplicates, "empty": self.empty,
                "clipped": self.clipped, "remarks": dict(self.remarks),
                "unused": [name for name, row in classes.items()
                           if not row["objects"]],
                "side": _quantiles(np.sqrt(self.pixels.prod(axis=1))),
                "share": _quantiles(self.shares),
                "ratio": _quantiles(self.pixels[:, 0] / self.pixels[:, 1]),
                "sizes": self._sizes(), "anchors": self._anchors()}

    def _classes(self):
        """Return {name: counts}."""
        rows = {}
        for label, name in enumerate(self.classes):
            mine = self.labels == label
            rows[name] = {"objects": int(mine.sum()),
                          "images": len(np.unique(self.image[mine])),
                          **dict(zip(FLAGS, self.flags[mine].sum(0).tolist()))}
        return rows

    def _sizes(self):
        """Return how many objects COCO calls small, medium and large."""
        kinds = np.digitize(self.pixels.prod(axis=1), (SMALL, LARGE))
        return dict(zip(("small", "medium", "large"),
                        np.bincount(kinds, minlength=3).tolist()))

    def _anchors(self):
        """Return the recall of the anchors, and the suggestion."""
        if self.fit is None:
            return {"model": self.model}
        value = {"model": self.model, "objects": len(self.fit.rows),
                 **self._recalls(self.fit.overlaps)}
        if self.fit.specs is not None:
            value["suggested"] = {"anchors": [
                {"sizes": list(spec.sizes), "ratios": list(spec.ratios)}
                for spec in self.fit.specs],
                **self._recalls(self.fit.suggested)}
        return value

    def _recalls(self, overlaps):
        """Return the recall of all objects, and of each class."""
        labels = self.labels[self.fit.rows]
        return {"recall": recall(overlaps), "recall_by_class": {
            self.classes[label]: recall(overlaps[labels == label])
            for label in np.unique(labels)}}


def _quantiles(values):
    if not len(values):
        return {}
    return {f"{share:.0%}": round(float(value), 4) for share, value
            in zip(QUANTILES, np.quantile(values, QUANTILES))}


def inspect(spec: str, config: ModelConfig, model: str,
            rng: np.random.Generator, **options: Any) -> Report:
    """Open a data set, gather every fault instead of the first, and report.

    An address that cannot be one is an error, not a fault of a data set.

    Args:
        spec: as for ``open_dataset``.
        config: ``ModelConfig`` whose anchors are compared.
        model: its name, for the report.
        rng: numpy.random.Generator.
        options: of ``open_dataset``; with bad="object" a fault of an object
            costs the object alone.

    Returns:
        ``Report``; with no image where nothing could be opened at all.
    """
    for part in str(spec).split(" + "):
        addresses.parse_address(part.strip())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")          # the report says it all
        try:
            dataset = addresses.open_dataset(spec, **{"bad": "skip",
                                                      **options})
            classes, faults = dataset.classes, dataset.faults
        except (ValueError, OSError) as error:
            dataset = classes = ()
            faults = getattr(error, "faults", None) or [
                Fault(str(spec), str(error))]
    return examine(dataset, classes, faults, config, model, rng, str(spec))


def examine(dataset: Any, classes: Sequence, faults: Sequence,
            config: ModelConfig, model: str, rng: np.random.Generator,
            title: str) -> Report:
    """Return the Report of an open data set; see ``inspect``."""
    dataset = complete(dataset)
    entries = [dataset.entry(index) for index in range(len(dataset))]
    sizes = np.array([entry.size or dataset.size(index) for index, entry
                      in enumerate(entries)], float).reshape(-1, 2)
    boxes = _joined([one.boxes for one in entries], (0, 4), float)
    labels = _joined([one.labels for one in entries], 0, np.int64)
    flags = _joined([one.flags for one in entries], (0, len(FLAGS)), bool)
    image = np.repeat(np.arange(len(entries)), np.array(
        [len(one.labels) for one in entries], np.int64))
    pixels = (boxes[:, 2:] - boxes[:, :2]) * sizes[image, ::-1]
    fit = fit_anchors(config, boxes, labels, rng) if len(boxes) else None
    return Report(title, tuple(classes), len(entries), boxes, pixels, labels,
                  flags, image, list(faults),
                  [text for one in entries for text in _twice(one)],
                  [one.source for one in entries if not len(one.labels)],
                  sum(one.clipped for one in entries), fit, model,
                  dataset.remarks)


def _joined(parts, shape, kind):
    """Return arrays one after the other, of the given kind even if none."""
    return np.concatenate([np.zeros(shape, kind), *parts])


def _twice(entry):
    """Return a text for each object that is there before in the image."""
    if len(entry.labels) < 2:
        return []
    rows = np.column_stack([entry.labels, entry.boxes.round(7)])
    _, first = np.unique(rows, axis=0, return_index=True)
    return [f"{entry.source}: object {row} is there before, with the same "
            "box and class" for row
            in sorted(set(range(len(rows))) - set(first.tolist()))]


_SHOWN = 20         # faults, duplicates and empty images of a kind


def describe_contents(report: Report) -> str:
    """Return a Report as text."""
    value = report.to_dict()
    parts = [f"{report.title}: {count_parts(report)}", _classes(value),
             _shapes(value), _fault_lines(value),
             _listed("boxes that are there twice", report.duplicates),
             _listed("images without objects", report.empty)]
    if report.clipped:
        parts.append(f"{report.clipped} boxes were cut to their image")
    parts.append("\n".join(f"{count} {text}" for text, count
                           in report.remarks.items()))
    if value["unused"]:
        parts.append("classes without objects: " + ", ".join(value["unused"]))
    parts.append(_anchors(value["anchors"]))
    return "\n\n".join(part for part in parts if part)


def count_parts(report: Report) -> str:
    """Return how many images, objects and faults there are, in words."""
    counts = {"sound image": report.images, "object": len(report.labels),
              "fault": len(report.faults)}
    return ", ".join(f"{count} {word}{'s' * (count != 1)}"
                     for word, count in counts.items())


def _classes(value):
    rows = [(name, *row.values()) for name, row in value["classes"].items()]
    return rows and tabulate(rows, ("class", "objects", "images", *FLAGS))


def _shapes(value):
    """Return the table of sizes and ratios."""
    if not value["objects"]:
        return ""
    names = {"side": "side in pixels", "share": "side / image",
             "ratio": "width / height"}
    rows = [(text, *value[key].values()) for key, text in names.items()]
    table = tabulate(rows, ("", *value["side"]), floatfmt=".4g")
    sizes = ", ".join(f"{count} {name}" for name, count
                      in value["sizes"].items())
    return f"{table}\n(side: root of the area; COCO would call {sizes})"


def _fault_lines(value):
    """Return the faults, counted by kind and listed."""
    counts = ", ".join(f"{count} {kind}" for kind, count
                       in Counter(value["kinds"]).most_common())
    return _listed("faults", [one["reason"] for one in value["faults"]],
                   counts) or "no faults"


def _listed(title, rows, counts=None):
    """Return a title, how many there are, and the first rows."""
    if not rows:
        return ""
    lines = [f"{title}: {counts or len(rows)}",
             *(f"  {row}" for row in rows[:_SHOWN])]
    if len(rows) > _SHOWN:
        lines.append(f"  ... and {len(rows) - _SHOWN} more; --json lists all")
    return "\n".join(lines)


def _anchors(value):
    """Return the recall and the suggestion, as lines to paste."""
    if "recall" not in value:
        return ""
    lines = [f"{value['recall']:.1%} of {value['objects']} objects overlap an "
             f"anchor of {value['model']} by half or more:", _shares(value)]
    better = value.get("suggested")
    if better is None:
        return "\n".join([*lines, "no anchors were found that fit clearly "
                          "better"])
    lines += [f"these would reach {better['recall']:.1%} (sizes: k-means over "
              "IoU; ratios: the network's or quantiles); --anchors fit of "
              "`train` takes them:", _shares(better)]
    lines += [f"  AnchorSpec(sizes={tuple(row['sizes'])}, "
              f"ratios={tuple(round(one, 3) for one in row['ratios'])})"
              for row in better["anchors"]]
    return "\n".join(lines)


def _shares(value):
    return "  " + ", ".join(f"{name} {share:.1%}" for name, share
                            in value["recall_by_class"].items())
