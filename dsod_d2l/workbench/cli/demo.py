"""The command demo: a camera or a video, live, with the frames per second."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque

from .detect import as_rows
from .options import add_detector, make_detector, pairs

DEMO_THRESHOLD = 0.6       # the authors draw from here
RECENT = 30           # frames over which the speed is measured
TITLE = "dsod_d2l: q stops"


def add_options(parser):
    """Add the options."""
    parser.add_argument("source", nargs="?", default="0", metavar="SOURCE",
                        help="number of a camera, or a video file; "
                        "default 0, the first camera")
    parser.add_argument("--out", metavar="FILE", help="write what is shown "
                        "as a video")
    parser.add_argument("--frames", type=int, metavar="COUNT",
                        help="stop after so many")
    add_detector(parser, DEMO_THRESHOLD)


def run(options):
    """Show detections live, from a camera or a video, with the speed."""
    from ..video import (VideoReader, VideoWriter, detect_frames,
                         paint_detections)
    if options.frames is not None and options.frames < 1:
        raise ValueError(f"--frames must be at least 1, found "
                         f"{options.frames}")
    detector, speed, count = make_detector(options), Speed(), 0
    source = int(options.source) if options.source.isdigit() else (
        options.source)
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(VideoReader(source))
        writer = options.out and stack.enter_context(
            VideoWriter(options.out, reader.fps, reader.size))
        show = stack.enter_context(_window(options.json))
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

    def __init__(self, clock=time.perf_counter):
        self.clock, self.begin, self.count = clock, clock(), 0
        self.times = deque([self.begin], maxlen=RECENT + 1)

    def tick(self):
        """Count a frame; return the frames per second of late."""
        self.count += 1
        self.times.append(self.clock())
        return (len(self.times) - 1) / max(self.times[-1] - self.times[0],
                                           1e-9)

    def overall(self):
        """Return the frames per second since the beginning."""
        return self.count / max(self.times[-1] - self.begin, 1e-9)


@contextlib.contextmanager
def _window(quiet):
    """Give a function that shows a frame and says whether to go on.

    Without a screen, or with an OpenCV that has no windows, the speed and
    what is found are printed about once a second instead.
    """
    import cv2
    if not _has_window(cv2):
        yield _printer(quiet)
        return

    def show(image, note, rows):
        cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)
    try:
        yield show
    finally:
        cv2.destroyAllWindows()


def _has_window(cv2):
    """Say whether OpenCV can open a window here."""
    screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    try:
        if screen:
            cv2.namedWindow(TITLE)
        return screen
    except cv2.error:         # opencv-python-headless has no windows
        return False


def _printer(quiet):
    last = [0.0]

    def show(image, note, rows):
        now = time.perf_counter()
        if not quiet and now - last[0] >= 1:
            last[0] = now
            words = ", ".join(f"{row['label']} {row['score']:.0%}"
                              for row in rows)
            print(f"{note}: {words or 'nothing'}", flush=True)
        return True
    return show
