"""The command detect: pictures, folders of them, videos, cameras."""

import contextlib
import json
import os
import time
from argparse import ArgumentParser, Namespace
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from ...config.base import require
from ...config.schedules import DRAWN
from ...datasets import pictures
from ...files import write_atomically
from .. import outputs, video
from ..formats.text_files import listing
from ..found_files import check_crops, check_labels, save_crops, save_labels
from ..outputs import DRAWN_SUFFIXES
from ..video import VIDEO_CODECS
from .options import Incomplete, add_detector, add_fields, make_detector, pairs

PICTURES = (*pictures.SUFFIXES, *pictures.LACKING)
LISTS = (".jsonl", ".json")     # endings of files that hold what is found


class FoundOptions:
    """Where what is found goes.

    out (PATH): write the picture with its boxes; into a folder, if one is
        there or the name ends in a slash, and always for a folder of
        pictures; for a video, a video; a name that ends in .jsonl: a line of
        JSON for each picture or frame, as it comes; in .json: one value
    labels: write to --out, instead, a data set of what is found, with
        copies of the pictures
    crops (FOLDER): also cut out each object
    bad: of a folder: leave out a picture that cannot be read, or stop at it
    frames (COUNT): of a video: stop after so many
    """

    out: str | None = None
    labels: Literal["yolo", "voc", "csv", "coco"] | None = None
    crops: str | None = None
    bad: Literal["skip", "error"] = "skip"
    frames: int | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("image", metavar="PATH", help="a picture, a folder "
                        "of them with the folders in it, a video, the number "
                        "of a camera, or an address (rtsp://, http://)")
    add_fields(parser, FoundOptions)
    add_detector(parser, DRAWN)


def run(options: Namespace) -> tuple[Any, ...]:
    """Find the objects in pictures, folders of them, videos, cameras."""
    if options.crops:
        outputs.check_folder(options.crops, "--crops")
        require(os.path.realpath(options.crops) != os.path.realpath(
            options.image), f"--crops {options.crops} is the folder of the "
            "pictures: give another one")
    return (_video if _is_video(options.image) else _pictures)(options)


def as_rows(found: Any) -> list[dict[str, Any]]:
    """Return detections as JSON-ready rows, boxes in pixels."""
    return [{"label": found.classes[label], "score": round(float(score), 4),
             "box": [round(float(side), 2) for side in box]}
            for label, score, box in found.pixels()]


def _is_video(source):
    """Return whether a source is one of frames; its file says it, if need be.
    """
    path, suffix = Path(source), Path(source).suffix.lower()
    if video.is_live(source) or path.is_dir() or suffix in PICTURES:
        return video.is_live(source)
    if suffix in video.VIDEO_SUFFIXES or not path.exists():
        return suffix in video.VIDEO_SUFFIXES
    with contextlib.suppress(ValueError):
        pictures.read_size(path)
        return False
    with open(path, "rb") as file:
        if b"\0" not in file.read(512):     # FFmpeg would film a text, too
            return False
    with contextlib.suppress(ValueError), video.VideoReader(path):
        return True
    return False


class Work:
    """What is done so far, and why it is not more."""

    def __init__(self, kind: str, total: int | None = None):
        self.kind, self.total, self.done = kind, total, 0
        self.left_out: list[str] = []
        self.stop: BaseException | None = None

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        """Keep what ends the work, once something is done, for the end."""
        try:
            yield
        except (KeyboardInterrupt, OSError, ValueError) as error:
            if not self.done:
                raise
            self.stop = error

    def end(self) -> None:
        """Say it, once all that was found is printed and written."""
        of = f" of {self.total}" if self.total else ""
        done = f"{self.done}{of} {self.kind} are done"
        said = "\n".join(self.left_out)
        if self.stop:
            said += "\n" * bool(said)
            if isinstance(self.stop, KeyboardInterrupt):
                raise KeyboardInterrupt(f"{said}stopped: {done}")
            raise ValueError(f"{said}{self.stop}; {done}") from self.stop
        if said:
            raise Incomplete(said)


def _pictures(options):
    """Go through pictures; return what is found in each."""
    from .. import drawing, fonts
    several, base = Path(options.image).is_dir(), Path(options.image)
    names = _names(options) if several else [base.name]
    if not several:
        pictures.read_size(base)         # wrong ones are said at once
    base = base if several else base.parent
    targets = _check_out(options, [base / name for name in names], base,
                         several)
    detector, work, found = make_detector(options), Work(
        "pictures", len(names)), {}
    if options.labels:
        check_labels(options.out, detector.classes)
    if options.crops:
        check_crops(options.crops, detector.classes,
                    [base / name for name in names])
    if targets:
        fonts.warn_of_letters(detector.classes)
    bad: list[str] = []
    with open_list(options.out if not options.labels else None) as add:
        with work.going():
            for name, one in _detections(detector, _read(
                    base, names,
                    bad if several and options.bad == "skip" else None)):
                add({"image": name, "detections": as_rows(one)})
                if base / name in targets:
                    drawing.save_detections(targets[base / name], one, least=0)
                if options.crops:
                    save_crops(options.crops, name, one, one.image())
                found[name] = replace(one, picture=base / name)
                work.done += 1
    if bad:
        work.left_out = [*bad, f"{len(bad)} of {len(names)} pictures could "
                         "not be read and are left out"]
    value = {file: as_rows(one) for file, one in found.items()}
    rows = [(file, row["label"], row["score"], *row["box"])
            for file, one in value.items() for row in one]
    table = tabulate(rows, ("image", "label", "score", "xmin", "ymin",
                            "xmax", "ymax")) if rows else (
        f"nothing found with a score of at least {options.score_threshold:g}")

    def label():
        if options.labels and found:
            return save_labels(options.out, options.labels, found,
                               detector.classes)
    return value if several else value[names[0]], table, label, work.end


def _names(options):
    """Return the pictures in a folder and below, but for those we write."""
    root = os.path.realpath(options.image)
    ours = tuple(folder for one in (options.out, options.crops) if one
                 if not f"{root}/".startswith(
                     folder := f"{os.path.realpath(one)}/"))
    names = sorted(name for name in listing(root)
                   if Path(name).suffix.lower() in PICTURES
                   and "/." not in f"/{name}"
                   and not os.path.join(root, name).startswith(ours))
    require(names, f"{options.image}: expected image files "
            f"({', '.join(pictures.SUFFIXES)}), found none; a video is given "
            "by its own name")
    return names


def _check_out(options, sources, base, several):
    """Check --out before the work; return {picture: where it is drawn}."""
    out = options.out
    require(options.frames is None, "--frames goes with a video")
    require(out or not options.labels, "--labels needs --out, the folder of "
            "the new data set")
    if not out:
        return {}
    suffix, folder = Path(out).suffix.lower(), outputs.is_folder(out)
    if options.labels:
        outputs.check_folder(out)
        check_labels(out, ())
        return {}
    if not folder and suffix in LISTS:
        outputs.check_target(out, sources)
        return {}
    if several or folder:
        require(folder or suffix not in (*DRAWN_SUFFIXES, *VIDEO_CODECS),
                f"--out {out}: a folder of pictures is written to a folder, "
                f"such as {Path(out).with_suffix('')}/")
        outputs.check_folder(out)
        targets = {source: Path(out, _drawn_name(source, base))
                   for source in sources}
        outputs.check_targets(targets.values(), sources)
        return targets
    require(suffix, f"--out {out}: expected the name of a picture, such as "
            f"{out}.png, or of a folder, such as {out}/")
    outputs.check_target(out, sources, (*DRAWN_SUFFIXES, *LISTS))
    return {sources[0]: Path(out)}


def _drawn_name(source, base):
    """Return the name of a drawing: the picture's own, if it can be."""
    name = source.relative_to(base)
    return name if name.suffix.lower() in DRAWN_SUFFIXES else Path(
        f"{name}.png")


def _read(base, names, bad):
    """Yield (name, picture).

    bad: list that the faults of pictures go to; None: the first one stops.
    """
    for name in names:
        try:
            yield name, pictures.read_image(base / name)
        except (ValueError, OSError) as error:
            if bad is None:
                raise
            bad.append(str(error))


def _detections(detector, images, batch_size=None):
    """Yield (key, ``Detections``) of (key, image), a name or a time."""
    keys = deque()

    def noted():
        for key, image in images:
            keys.append(key)
            yield image
    for found in video.detect_frames(detector, noted(), batch_size):
        yield keys.popleft(), found


@contextlib.contextmanager
def open_list(path: str | None) -> Iterator[Callable[[dict], Any]]:
    """Give a function that adds a row to a list in a file.

    Args:
        path: .jsonl: rows are there as they come; .json: the list is there
            in the end, after an error, too; else there is no list.
    """
    suffix = Path(path).suffix.lower() if path and not Path(
        path).is_dir() else ""
    if path and suffix == ".jsonl":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8", buffering=1) as file:
            yield lambda row: file.write(json.dumps(row) + "\n")
    elif path and suffix == ".json":
        rows: list[dict] = []
        try:
            yield rows.append
        finally:
            write_atomically(path, json.dumps(rows).encode())
    else:
        yield lambda row: None


def _video(options):
    """Go through a video; return its summary, and each frame's rows."""
    from .. import drawing, fonts
    require(not options.labels, "--labels takes pictures, not a video")
    out = video_target(options.out, options.image, LISTS)
    counts, frames, work = Counter(), [], Work("frames")
    with video.VideoReader(options.image) as reader:
        detector = make_detector(options)
        images = ((reader.time, image)
                  for image in islice(reader, options.frames))
        begin = time.perf_counter()
        with (open_list(out) as add, open_video(out, reader) as writer,
              work.going()):
            if writer:
                fonts.warn_of_letters(detector.classes)
            for at, found in _detections(
                    detector, images,
                    1 if video.is_live(options.image) else None):
                rows = as_rows(found)
                counts.update(row["label"] for row in rows)
                add({"frame": work.done, "time": round(at, 4),
                     "detections": rows})
                if writer:
                    writer.write(drawing.paint_detections(found),
                                 reader.until(at))
                if options.crops:
                    save_crops(options.crops, f"{Path(options.image).stem}-"
                               f"{work.done:06d}", found, found.image())
                if not out:
                    frames.append(rows)
                work.done += 1
        seconds = time.perf_counter() - begin
    missing = 0
    if not work.stop and options.frames != work.done:
        missing, work.left_out = reader.missing(), reader.shortfall()
    value = {"frames": work.done, "missing": missing,
             "fps": round(reader.fps, 3), "seconds": round(seconds, 3),
             "frames_per_second": round(work.done / seconds, 2),
             "found": dict(counts), "out": out}
    table = pairs({**value, "found": [f"{count} {name}" for name, count
                                      in counts.most_common()]})
    return (value if out else {**value, "detections": frames}, table, work.end)


def video_target(out: str | None, source: str, lists: tuple = ()
                 ) -> str | None:
    """Return the file that --out means for a video, checked.

    Args:
        out: a name, or a folder, or None for nothing.
        source: the video, the number of a camera, or an address.
        lists: endings that are taken besides those of videos.
    """
    if not out:
        return None
    live = video.is_live(source)
    if outputs.is_folder(out):
        name = Path("live.mp4" if live else source)
        out = str(Path(out, name.name if name.suffix.lower() in VIDEO_CODECS
                       else f"{name.name}.mp4"))
    outputs.check_target(out, [] if live else [source],
                         (*VIDEO_CODECS, *lists))
    return out


def open_video(out: str | None, reader: video.VideoReader
               ) -> contextlib.AbstractContextManager[Any]:
    """Give a ``VideoWriter``, if a video is to be written, or None."""
    if out and Path(out).suffix.lower() in VIDEO_CODECS:
        return video.VideoWriter(out, reader.fps, reader.size)
    return contextlib.nullcontext()
