"""The report over a data set, as text to read."""

from __future__ import annotations

from collections import Counter

from tabulate import tabulate

SHOWN = 20         # faults, duplicates and empty images of a kind


def describe(report):
    """Return a Report as text."""
    value = report.to_dict()
    parts = [f"{report.title}: {value['images']} sound images, "
             f"{value['objects']} objects, {len(value['faults'])} faults",
             _classes(value), _shapes(value)]
    parts += [_faults(report), _listed("boxes that are there twice",
                                       report.duplicates),
              _listed("images without objects", report.empty)]
    if report.clipped:
        parts.append(f"{report.clipped} boxes were cut to their image")
    if value["unused"]:
        parts.append("classes without objects: " + ", ".join(value["unused"]))
    parts.append(_anchors(value["anchors"]))
    return "\n\n".join(part for part in parts if part)


def _classes(value):
    rows = [(name, *row.values()) for name, row in value["classes"].items()]
    return rows and tabulate(rows, ("class", "objects", "images", "difficult",
                                    "truncated", "occluded", "crowd"))


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


def _faults(report):
    """Return the faults, counted by kind and listed."""
    if not report.faults:
        return "no faults"
    kinds = Counter(fault.kind for fault in report.faults)
    head = "faults: " + ", ".join(f"{count} {kind}" for kind, count
                                  in kinds.most_common())
    return _listed(head, [fault.reason for fault in report.faults], False)


def _listed(title, rows, counted=True):
    """Return a title and the first rows."""
    if not rows:
        return ""
    head = f"{title}: {len(rows)}" if counted else title
    more = [f"... and {len(rows) - SHOWN} more; --json lists all"] if len(
        rows) > SHOWN else []
    return "\n".join([head, *(f"  {row}" for row in [*rows[:SHOWN], *more])])


def _anchors(value):
    """Return the recall and the suggestion, as lines to paste."""
    if "recall" not in value:
        return ""
    lines = [f"{value['recall']:.1%} of {value['objects']} objects overlap an "
             f"anchor of {value['model']} by half or more:",
             _shares(value)]
    better = value.get("suggested")
    if better is None:
        return "\n".join([*lines, "no anchors were found that fit clearly "
                          "better"])
    lines += [f"these would reach {better['recall']:.1%} (sizes: k-means over "
              "IoU; ratios: the network's or quantiles):", _shares(better)]
    lines += [f"  AnchorSpec(sizes={tuple(row['sizes'])}, "
              f"ratios={tuple(round(one, 3) for one in row['ratios'])})"
              for row in better["anchors"]]
    return "\n".join(lines)


def _shares(value):
    return "  " + ", ".join(f"{name} {share:.1%}" for name, share
                            in value["recall_by_class"].items())
