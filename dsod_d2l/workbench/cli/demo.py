"""The command demo: a camera or a video, live, with the frames per second."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2

from .detect import as_rows
from .options import add_detector, add_fields, make_detector, pairs

DEMO_THRESHOLD = 0.6       # the authors draw from here
RECENT = 30           # frames over which the speed is measured
TITLE = "dsod_d2l: q stops"


class DemoOptions:
    """How long is looked, and where to it is written.

    out (FILE): write what is shown as a video
    frames (COUNT): stop after so many
    """

    out: str | None = None
    frames: int | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("source", nargs="?", default="0", metavar="SOURCE",
                        help="number of a camera, or a video file; "
                        "default 0, the first camera")
    add_fields(parser, DemoOptions)
    add_detector(parser, DEMO_THRESHOLD)


def run(options: Namespace) -> tuple[Any, str]:
    """Show detections live, from a camera or a video, with the speed."""
    from ..video import (VideoReader, VideoWriter, detect_frames,
                         paint_detections)
    detector, speed, count = make_detector(options), Speed(), 0
    source = options.source
    with (VideoReader(int(source) if source.isdigit() else source) as reader,
          VideoWriter(options.out, reader.fps, reader.size) if options.out
          else contextlib.nullcontext() as writer,
          _window(options.json) as show):
        for found in detect_frames(detector, reader, batch_size=1):
            note = f"{speed.tick():.1f} FPS"
            count += len(found)
            painted = paint_detections(found, note)
            if writer:
                writer.write(painted)
            if (not show(painted, note, as_rows(found))
                    or speed.count == options.frames):
                break
    value = {"frames": speed.count, "detections": count,
             "frames_per_second": round(speed.overall(), 2),
             "out": options.out}
    return value, pairs(value)


class Speed:
    """Frames per second over the latest frames, and over all."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock, self.begin, self.count = clock, clock(), 0
        self.times = deque([self.begin], maxlen=RECENT + 1)

    def tick(self) -> float:
        """Count a frame; return the frames per second of late."""
        self.count += 1
        self.times.append(self.clock())
        return (len(self.times) - 1) / max(self.times[-1] - self.times[0],
                                           1e-9)

    def overall(self) -> float:
        """Return the frames per second since the beginning."""
        return self.count / max(self.times[-1] - self.begin, 1e-9)


@contextlib.contextmanager
def _window(quiet):
    """Give a function that shows a frame and says whether to go on.

    Without a screen, or with an OpenCV that has no windows, the speed and
    what is found are printed about once a second instead.
    """
    show, screen = _printer(quiet), (
        sys.platform in ("win32", "darwin")
        or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))))
    with contextlib.ExitStack() as stack:
        # opencv-python-headless has no windows, and says so by an error.
        with contextlib.suppress(cv2.error):
            if screen:
                cv2.namedWindow(TITLE)
                stack.callback(cv2.destroyAllWindows)
                show = _show
        yield show


def _show(image, note, rows):
    cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)


def _printer(quiet):
    last = 0.0

    def show(image, note, rows):
        nonlocal last
        if not quiet and time.perf_counter() - last >= 1:
            last = time.perf_counter()
            words = ", ".join(f"{row['label']} {row['score']:.0%}"
                              for row in rows)
            print(f"{note}: {words or 'nothing'}", flush=True)
        return True
    return show
