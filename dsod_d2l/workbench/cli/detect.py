"""The command detect: images, folders of images, videos."""

from __future__ import annotations

import contextlib
import json
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ...config.schedules import DRAWN
from .options import add_detector, add_fields, make_detector, pairs


class FoundOptions:
    """Where what is found goes.

    out (PATH): write the image with its boxes; for a folder of images, a
        folder; for a video, a video, or with .jsonl a line of JSON per frame
    """

    out: str | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("image", metavar="PATH", help="an image file, a "
                        "folder of them, or a video file")
    add_fields(parser, FoundOptions)
    add_detector(parser, DRAWN)


def run(options: Namespace) -> tuple[Any, str]:
    """Find the objects in an image, a folder of images, or a video."""
    from ..drawing import save_detections
    from ..video import VIDEO_SUFFIXES
    detector = make_detector(options)
    if Path(options.image).suffix.lower() in VIDEO_SUFFIXES:
        return _video(options, detector)
    found = detector.detect(options.image)
    name, several = Path(options.image).name, isinstance(found, dict)
    by_file = found if several else {name: found}
    if options.out:
        for file, one in by_file.items():
            target = Path(options.out, file if several else "")
            target.parent.mkdir(parents=True, exist_ok=True)
            save_detections(target, one, least=0)
    value = {file: as_rows(one) for file, one in by_file.items()}
    rows = [(file, row["label"], row["score"], *row["box"])
            for file, one in value.items() for row in one]
    table = tabulate(rows, ("image", "label", "score", "xmin", "ymin",
                            "xmax", "ymax")) if rows else (
        f"nothing found with a score of at least {options.score_threshold:g}")
    return value if several else value[name], table


def as_rows(found: Any) -> list[dict[str, Any]]:
    """Return detections as JSON-ready rows, boxes in pixels."""
    return [{"label": found.classes[label], "score": round(float(score), 4),
             "box": [round(float(side), 2) for side in box]}
            for label, score, box in found.pixels()]


def _video(options, detector):
    """Go through a video; return its summary, and each frame's rows."""
    from ..video import VideoReader, detect_frames
    counts, frames, begin = Counter(), [], time.perf_counter()
    with (VideoReader(options.image) as reader,
          open_output(options.out, reader.fps, reader.size) as write):
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
    return value if options.out else {**value, "detections": frames}, table


@contextlib.contextmanager
def open_output(path: str | None, fps: float, size: tuple[int, int],
                ) -> Iterator[Callable[..., Any]]:
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
