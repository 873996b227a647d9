"""The command detect: images, folders of images, videos."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from ...config.schedules import DRAWN
from .options import add_detector, make_detector, pairs


def add_options(parser):
    """Add the options."""
    parser.add_argument("image", metavar="PATH", help="an image file, a "
                        "folder of them, or a video file")
    parser.add_argument("--out", metavar="PATH", help="write the image with "
                        "its boxes; for a folder of images, a folder; for a "
                        "video, a video, or with .jsonl a line of JSON per "
                        "frame")
    add_detector(parser, DRAWN)


def run(options):
    """Find the objects in an image, a folder of images, or a video."""
    from ...visualisation import save_detections
    from ..video import VIDEO_SUFFIXES
    detector = make_detector(options)
    if Path(options.image).suffix.lower() in VIDEO_SUFFIXES:
        return _video(options, detector)
    found = detector.detect(options.image)
    several = isinstance(found, dict)
    by_file = found if several else {Path(options.image).name: found}
    if options.out:
        for name, one in by_file.items():
            target = Path(options.out) / name if several else Path(options.out)
            target.parent.mkdir(parents=True, exist_ok=True)
            save_detections(target, one)
    value = {name: as_rows(one) for name, one in by_file.items()}
    rows = [(name, row["label"], row["score"], *row["box"])
            for name, one in value.items() for row in one]
    table = tabulate(rows, ("image", "label", "score", "xmin", "ymin",
                            "xmax", "ymax"))
    if not rows:
        table = (f"nothing found with a score of at least "
                 f"{options.score_threshold:g}")
    return (value if several else value[Path(options.image).name]), table


def as_rows(found):
    """Return detections as JSON-ready rows, boxes in pixels."""
    return [{"label": found.classes[label], "score": round(float(score), 4),
             "box": [round(float(side), 2) for side in box]}
            for label, score, box in found.pixels()]


def _video(options, detector):
    """Go through a video; return its summary, and each frame's rows."""
    from ..video import VideoReader, detect_frames
    counts, frames, begin = Counter(), [], time.perf_counter()
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(VideoReader(options.image))
        write = stack.enter_context(open_output(
            options.out, reader.fps, reader.size))
        for found in detect_frames(detector, reader):
            rows = as_rows(found)
            counts.update(row["label"] for row in rows)
            write(len(frames), found, rows)
            frames.append(rows)
    seconds = time.perf_counter() - begin
    value = {"frames": len(frames), "fps": round(reader.fps, 3),
             "seconds": round(seconds, 3),
             "frames_per_second": round(len(frames) / seconds, 2),
             "found": dict(counts), "out": options.out}
    table = pairs({**value, "found": [f"{count} {name}" for name, count
                                      in counts.most_common()]})
    return ({**value, "detections": frames} if not options.out
            else value), table


@contextlib.contextmanager
def open_output(path, fps, size):
    """Give a function that writes a frame: number, ``Detections``, rows.

    Args:
        path: .jsonl for a line of JSON per frame, else a video; None: the
            function does nothing.
        fps, size: of the video.
    """
    from ..video import VideoWriter, paint_detections
    if path is None:
        yield lambda number, found, rows: None
    elif Path(path).suffix == ".jsonl":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            yield lambda number, found, rows: file.write(json.dumps(
                {"frame": number, "time": round(number / fps, 4),
                 "detections": rows}) + "\n")
    else:
        with VideoWriter(path, fps, size) as writer:
            yield lambda number, found, rows: writer.write(
                paint_detections(found))
