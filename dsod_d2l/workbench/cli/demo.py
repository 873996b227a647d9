"""The command demo: a camera or a video, live, with the frames per second."""

import contextlib
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2

from .. import live_page
from ..video import VideoReader, detect_frames, is_live
from .detect import Work, as_rows, open_video, video_target
from .options import add_detector, add_fields, make_detector, pairs

DEMO_THRESHOLD = 0.6       # the authors draw from here
RECENT = 30           # frames over which the speed is measured
PATIENCE = 20.0       # seconds that a film waits for a browser
TITLE = "dsod_d2l: q stops"
NO_WINDOW = ("OpenCV has no windows here: opencv-python-headless has none. "
             "`pip uninstall opencv-python-headless` first, then `pip "
             "install opencv-python`: both are the same folder")


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
                        help="number of a camera, a video file, or an "
                        "address (rtsp://, http://); default 0, the first "
                        "camera")
    add_fields(parser, DemoOptions)
    parser.add_argument("--serve", nargs="?", type=int, const=0,
                        metavar="PORT", help="show it on a page for a "
                        "browser on this machine, as is done where OpenCV "
                        "has no windows (default a port that is free)")
    add_detector(parser, DEMO_THRESHOLD)


def run(options: Namespace) -> tuple[Any, ...]:
    """Show detections live, from a camera or a video, with the speed."""
    from ..drawing import paint_detections
    from ..fonts import warn_of_letters
    out = video_target(options.out, options.source)
    speed, count, work = Speed(), 0, Work("frames")
    with (VideoReader(options.source) as reader,
          contextlib.suppress(KeyboardInterrupt)):      # as q in a window
        detector = make_detector(options)
        warn_of_letters(detector.classes)
        speed = Speed()
        with open_video(out, reader) as writer, _screen(options) as show:
            for found in detect_frames(detector, reader, batch_size=1):
                note = f"{speed.tick():.1f} FPS"
                count += len(found)
                painted = paint_detections(found, note)
                if writer:
                    writer.write(painted, reader.until(reader.time))
                if (not show(painted, note, as_rows(found))
                        or speed.count == options.frames):
                    break
            else:
                work.left_out = reader.shortfall()
    value = {"frames": speed.count, "detections": count,
             "frames_per_second": round(speed.overall(), 2), "out": out}
    return value, pairs(value), work.end


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
def _screen(options):
    """Give a function that shows a frame and says whether to go on.

    A window; or, without a screen or with an OpenCV that has no windows, a
    page, while the speed and what is found are printed once a second.
    """
    screen = options.serve is None and (
        sys.platform in ("win32", "darwin")
        or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))))
    with contextlib.ExitStack() as stack:
        if screen:
            try:
                cv2.namedWindow(TITLE)
            # opencv-python-headless has no windows, and says so by an error.
            except (cv2.error, AttributeError):
                _say(NO_WINDOW)
            else:
                stack.callback(cv2.destroyAllWindows)
                yield _show
                return
        yield _beside(stack.enter_context(_page(options)), options.json)


def _page(options):
    """Return a page that is served, and say where."""
    page = live_page.LivePage(options.serve or 0)
    _say(f"detections, live: {page.address} in a browser on this machine; "
         "Ctrl-C stops")
    # A film would be over before somebody has opened the page.
    if not is_live(options.source) and (options.serve is not None
                                        or sys.stdout.isatty()):
        page.wait(PATIENCE)
    return page


def _say(words):
    print(words, file=sys.stderr, flush=True)


def _show(image, note, rows):
    cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)


def _beside(page, quiet):
    last = 0.0

    def show(image, note, rows):
        nonlocal last
        page.show(image)
        if not quiet and time.perf_counter() - last >= 1:
            last = time.perf_counter()
            words = ", ".join(f"{row['label']} {row['score']:.0%}"
                              for row in rows)
            print(f"{note}: {words or 'nothing'}", flush=True)
        return True
    return show
