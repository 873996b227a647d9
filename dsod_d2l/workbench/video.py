"""Videos and cameras: frames in, detections out, painted and written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from ..config.base import require
from ..detection import Detections
from ..visualisation import class_colour, text_colour

VIDEO_CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".m4v": "mp4v",
                ".mov": "mp4v", ".mkv": "mp4v", ".webm": "VP80"}
VIDEO_SUFFIXES = (*VIDEO_CODECS, ".mpg", ".mpeg")     # that are read
ANY_FPS = 25.0            # of a source that does not tell its own


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


class VideoReader(_Video):
    """The frames of a video file or a camera, as an iterable.

    Args:
        source: path of a video, or the number of a camera.

    Attributes: ``fps``; ``size`` (height, width).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video that OpenCV can read, or the camera does
            not answer.
    """

    def __init__(self, source: str | Path | int):
        camera = isinstance(source, int)
        if not camera and not Path(source).is_file():
            raise FileNotFoundError(f"There is no video file {source}.")
        with _quiet():
            self._video = cv2.VideoCapture(source if camera else str(source))
            self._first = self._read()
        if self._first is None:
            self._video.release()
            raise ValueError(
                f"camera {source} does not answer" if camera else
                f"{source}: expected a video that OpenCV can read, found "
                "none: it is damaged, or of a format whose codec is missing")
        fps = self._video.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else ANY_FPS
        self.size = self._first.shape[:2]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames, uint8 (H, W, 3) RGB."""
        image, self._first = self._first, None
        while image is not None:
            yield image
            image = self._read()

    def _read(self):
        good, image = self._video.read()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if good else None


class VideoWriter(_Video):
    """A video file that frames are added to.

    Args:
        path: its suffix, a key of ``VIDEO_CODECS``, chooses the codec; the
            folder is made.
        fps: frames per second.
        size: (height, width) of the frames.

    Raises:
        ValueError: the suffix is not known, or its codec is missing here.
    """

    def __init__(self, path: str | Path, fps: float, size: tuple[int, int]):
        path, self.size = Path(path), tuple(size)
        require(path.suffix.lower() in VIDEO_CODECS,
                f"{path}: expected a video name that ends in "
                f"{', '.join(VIDEO_CODECS)}, found "
                f"{path.suffix or 'no ending'}")
        codec = VIDEO_CODECS[path.suffix.lower()]
        path.parent.mkdir(parents=True, exist_ok=True)
        with _quiet():
            self._video = cv2.VideoWriter(
                str(path), cv2.VideoWriter_fourcc(*codec), fps,
                self.size[::-1])
        require(self._video.isOpened(),
                f"{path} cannot be written: OpenCV has no codec {codec} here, "
                "or the folder is not writable; a name that ends in .avi "
                "always has its codec")

    def write(self, image: np.ndarray) -> None:
        """Add a uint8 (H, W, 3) RGB frame."""
        require(image.shape[:2] == self.size, "expected frames of "
                f"{self.size}, found {image.shape[:2]}")
        self._video.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


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


FONT = cv2.FONT_HERSHEY_SIMPLEX


def paint_detections(found: Detections, note: str = "") -> np.ndarray:
    """Return a picture with its detections painted in.

    Args:
        found: ``Detections`` that know their picture and its classes.
        note: text for the upper left corner.

    Returns:
        uint8 (H, W, 3) array.
    """
    painted = np.ascontiguousarray(found.image()).copy()
    scale = max(min(painted.shape[:2]) / 600, 0.35)
    width = max(round(2 * scale), 1)
    for label, score, box in list(found.pixels())[::-1]:     # best on top
        colour = class_colour(label)
        low, high = np.round(box).astype(int).reshape(2, 2).tolist()
        cv2.rectangle(painted, low, high, _bytes(colour), width)
        _write(painted, f"{found.classes[label]} {score:.0%}", low, colour,
               scale)
    if note:
        _write(painted, note, (0, 0), "#222222", scale)
    return painted


def _write(image, words, corner, back, scale):
    """Write on a ground of a colour, above a corner but in the image."""
    (width, height), under = cv2.getTextSize(words, FONT, scale, 1)
    x = max(min(corner[0], image.shape[1] - width - 2), 0)
    y = max(corner[1] - under, height + 2)
    cv2.rectangle(image, (x, y - height - 2), (x + width + 2, y + under),
                  _bytes(back), cv2.FILLED)
    cv2.putText(image, words, (x + 1, y), FONT, scale,
                _bytes(text_colour(back)), 1, cv2.LINE_AA)


def _bytes(colour):
    return tuple(round(255 * part) for part in to_rgb(colour))
