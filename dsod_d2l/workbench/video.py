"""Videos and cameras: frames in, detections out, frames written."""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..config.base import require
from ..detection import Detections
from .outputs import MARK, check_ending

VIDEO_CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".m4v": "mp4v",
                ".mov": "mp4v", ".mkv": "mp4v", ".webm": "VP80"}
# That are read; a file of another ending is tried, too.
VIDEO_SUFFIXES = (*VIDEO_CODECS, *(f".{name}" for name in (
    "3g2 3gp asf divx dv f4v flv h264 hevc m2ts m2v mjpeg mjpg mpeg mpg mts "
    "mxf ogv ts vob wmv y4m").split()))
# Files that state how many frames they have; others only how long they are.
COUNTING = (".avi", ".mp4", ".m4v", ".mov", ".3gp", ".3g2")
# Behind a video, what its format has for bytes that mean nothing.
_ATOM = b"\0\0\0\x10free" + MARK
_MARKS = {".avi": b"JUNK\x08\0\0\0" + MARK,
          **dict.fromkeys((".mkv", ".webm"), b"\xec\x88" + MARK)}
ANY_FPS = 25.0            # of a source that does not tell its own
LONGEST = 1e6             # seconds between two frames that are believed


@contextlib.contextmanager
def _quiet():
    """Keep OpenCV from printing what an error of ours says better."""
    logging = getattr(cv2.utils, "logging", cv2)      # older ones: cv2 itself
    level = logging.getLogLevel()
    logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(level)


class _Video(contextlib.AbstractContextManager):
    """What OpenCV holds open, a file or a camera, until it is left."""

    _video: Any

    def __exit__(self, *_: Any) -> None:
        self._video.release()


def is_live(source: str | Path | int) -> bool:
    """Return whether a source is a camera or an address, not a file.

    >>> is_live("0"), is_live("rtsp://camera/1"), is_live("film.avi")
    (True, True, False)
    """
    text = str(source)
    return ("://" in text or Path(text).is_char_device()
            or text.isdecimal() and not os.path.exists(text))


class VideoReader(_Video):
    """The frames of a video file, a camera or an address, as an iterable.

    Frames are upright: a telephone's video is turned as players turn it.

    Args:
        source: path of a video; number of a camera, as a text, too; or an
            address such as rtsp://... or http://...

    Attributes: ``fps``, the mean rate; ``size`` (height, width); ``time`` of
        the latest frame, in seconds from the beginning, as the file says it;
        ``count`` of the frames given; ``stated``, what the file says, or 0.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video that OpenCV can read, or the camera does
            not answer.
    """

    def __init__(self, source: str | Path | int):
        text, live = str(source), is_live(source)
        self.name = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", text)
        if not live and not os.path.exists(text):
            raise FileNotFoundError(f"There is no video file {text}.")
        self._camera = live and "://" not in text
        self.count, self.time = 0, 0.0
        with _quiet():
            self._video = cv2.VideoCapture(
                int(text) if live and text.isdecimal() else text)
            # Some versions of OpenCV turn frames by themselves, some not.
            self._video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
            self._first = self._read()
        if self._first is None:
            self._video.release()
            raise ValueError(self._silence(live))
        self._begin = time.monotonic()
        fps = self._video.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else ANY_FPS
        self.size = self._first[0].shape[:2]
        stated = self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.stated = int(stated) if not live and 0 < stated < 1e9 else 0

    def _silence(self, live):
        """Return what to say where no frame came."""
        if self._camera:
            return (f"camera {self.name} does not answer; cameras are "
                    "numbered from 0")
        if live:
            return (f"{self.name} sends no video: expected an address that a "
                    "player such as VLC shows, such as "
                    "rtsp://user:password@host/path")
        return (f"{self.name}: expected a video that OpenCV can read, found "
                "none: it is damaged, or of a format whose codec is missing")

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames, uint8 (H, W, 3) RGB."""
        read, self._first = self._first, None
        while read is not None:
            image, told = read
            self.time = self._later(told) if self.count else max(
                0.0, told if told < LONGEST else 0.0)
            self.count += 1
            yield image
            read = self._read()

    def _later(self, told):
        """Return the time of a frame; no file's own goes back or stands."""
        if self._camera:
            return time.monotonic() - self._begin
        good = self.time < told < self.time + LONGEST
        return told if good else self.time + 1 / self.fps

    def _read(self):
        """Return a frame and its time, or None."""
        good, image = self._video.read()
        if not good:
            return None
        told = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), told

    def until(self, seconds: float) -> float:
        """Return a time of a frame, at most the length that is stated."""
        return min(seconds, self.stated / self.fps or seconds)

    def shortfall(self) -> list[str]:
        """Return what to say of a file with fewer frames than it states."""
        lost = self.missing()
        return [f"{self.name} states {self.stated} frames, and {lost} of them "
                "are not there: it was cut, or is damaged"] if lost else []

    def missing(self) -> int:
        """Return how many frames of a file that was read are not there.

        A few may always be: what was cut away at the beginning is stated,
        too, and where only the length is known, the number is rounded.
        """
        exact = Path(self.name).suffix.lower() in COUNTING
        # Where the rate varies, the length in frames is made up from it.
        lost = self.stated - max(self.count, round(self.time * self.fps) + 1)
        return lost if lost > max(2, self.stated * (.02 if exact else .1)
                                  ) else 0


class VideoWriter(_Video):
    """A video file that frames are added to; it is there in the end.

    Args:
        path: its suffix, a key of ``VIDEO_CODECS``, chooses the codec; the
            folder is made.
        fps: frames per second.
        size: (height, width) of the frames.

    Raises:
        ValueError: the suffix is not known, or its codec is missing here.
    """

    def __init__(self, path: str | Path, fps: float, size: tuple[int, int]):
        self.path, self.size = Path(path), tuple(size)
        self.fps, self.count, path = fps, 0, self.path
        codec = VIDEO_CODECS[check_ending(
            path, VIDEO_CODECS, f"{path}: expected a video name")]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name(
            f".{path.stem}.{os.getpid()}.part{path.suffix}")
        with _quiet():
            self._video = cv2.VideoWriter(
                str(self._partial), cv2.VideoWriter_fourcc(*codec), fps,
                self.size[::-1])
        if not self._video.isOpened():
            self._partial.unlink(missing_ok=True)
            raise ValueError(
                f"{path} cannot be written: OpenCV has no codec {codec} here, "
                "or the folder is not writable; a name that ends in .avi "
                "always has its codec")

    def write(self, image: np.ndarray, at: float = 0.0) -> None:
        """Add a uint8 (H, W, 3) RGB frame.

        Args:
            image: the frame.
            at: seconds from the beginning, when it is to be shown; the frame
                before is repeated until then.
        """
        require(image.shape[:2] == self.size, "expected frames of "
                f"{self.size}, found {image.shape[:2]}")
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        while 0 < self.count < round(at * self.fps):
            self._video.write(self._last)
            self.count += 1
        self._video.write(image)
        self.count, self._last = self.count + 1, image

    def __exit__(self, *_: Any) -> None:
        """Put the video in its place: what was done before an error, too."""
        super().__exit__()
        if self.count:
            with open(self._partial, "ab") as file:
                file.write(_MARKS.get(self.path.suffix.lower(), _ATOM))
            os.replace(self._partial, self.path)
        self._partial.unlink(missing_ok=True)


def detect_frames(detector: Any, frames: Iterable[np.ndarray],
                  batch_size: int | None = None) -> Iterator[Detections]:
    """Find the objects in every frame.

    Args:
        detector: ``Detector``.
        frames: iterable of uint8 (H, W, 3) RGB images.
        batch_size: frames that go through the network together, default
            that of the detector; 1 for the least delay.

    Yields:
        ``Detections``, in order; their picture is the frame.
    """
    frames = iter(frames)
    while batch := list(islice(frames, batch_size or detector.batch_size)):
        yield from detector.detect(batch)
