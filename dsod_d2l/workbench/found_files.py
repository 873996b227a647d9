"""What was found, as a data set to be corrected or trained on, and as crops.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.base import require
from ..datasets.sample import FLAGS, Dataset, Entry
from ..detection import Detections
from .formats.conversion import convert
from .outputs import check_ours, save_picture

# What --labels may say: where in the folder such a data set is written.
LABEL_TARGETS = {"yolo": "yolo:{}", "voc": "voc:{}", "coco": "coco:{}",
                 "csv": "csv:{}/labels.csv"}
_LEAST = 1.0          # pixels on a side: VOC's files hold no smaller box


class FoundDataset(Dataset):
    """Detections as a data set: each picture with its boxes as objects.

    Args:
        found: {name of a picture: its ``Detections``}; their picture is the
            path of the file.
        classes: names of the classes.

    Attributes: ``small``, the number of boxes that are left out because
        they have less than a pixel on a side.
    """

    def __init__(self, found: Mapping[str, Detections],
                 classes: Sequence[str]):
        self.names, self.classes, self.small = list(found), tuple(classes), 0
        self._found = []
        for one in found.values():
            boxes = one.pixels().boxes
            large = (boxes[:, 2:] - boxes[:, :2] > _LEAST).all(axis=1)
            self.small += int(np.count_nonzero(~large))
            self._found.append(one[large])

    def __len__(self):
        return len(self._found)

    def entry(self, index: int) -> Entry:
        """Return the Entry of one picture."""
        one = self._found[index]
        return Entry(self.names[index], one.boxes.astype(float), one.labels,
                     np.zeros((len(one), len(FLAGS)), bool), one.size,
                     str(one.picture))

    def encoded(self, index: int) -> bytes:
        """Return the bytes of one picture file."""
        return Path(self._found[index].picture).read_bytes()


def check_labels(folder: str | Path, classes: Sequence[str]) -> None:
    """Raise a ValueError unless a folder can take a new data set of them."""
    for name in classes:
        require(name.isprintable() and name == name.strip(), "--labels cannot "
                f"write the class name {name!r}: expected printable text "
                "without space around it")
    require(not Path(folder).is_dir() or not any(Path(folder).iterdir()),
            f"--labels writes a new data set, but {folder} holds something: "
            "expected as --out a folder that is empty or not there")


def save_labels(folder: str | Path, kind: str,
                found: Mapping[str, Detections],
                classes: Sequence[str]) -> str:
    """Write detections, with copies of their pictures, as a data set.

    Args:
        folder: where to, see ``check_labels``.
        kind: a key of ``LABEL_TARGETS``.
        found, classes: see ``FoundDataset``.

    Returns:
        A sentence that says what was written, and what was left out.
    """
    dataset = FoundDataset(found, classes)
    done = convert(dataset, LABEL_TARGETS[kind].format(folder), "skip")
    lines = [f"written: {done.path}, {done.images} pictures with "
             f"{done.objects} objects"]
    if dataset.small:
        lines.append(f"{dataset.small} boxes of less than a pixel on a side "
                     "are left out")
    lines += [fault.reason for fault in done.skipped]
    return "\n".join(lines)


def check_crops(folder: str | Path, classes: Sequence[str],
                sources: Iterable[Path]) -> None:
    """Raise a ValueError if crops would harm pictures, or files of others."""
    known = {one.resolve() for source in sources for one in source.parents}
    for label in range(len(classes)):
        path = Path(folder, class_folder(classes, label))
        require(path.resolve() not in known, f"--crops would cut out into "
                f"{path}, where the pictures are: give another folder")
        for one in path.rglob("*-[0-9]*.png"):
            check_ours(one, "--crops", "folder")


def save_crops(folder: str | Path, name: str, found: Detections,
               image: np.ndarray) -> list[Path]:
    """Cut out what was found, each into ``FOLDER/CLASS/NAME-1.png``.

    Args:
        folder: where to.
        name: of the picture, maybe with folders in front.
        found: ``Detections``.
        image: uint8 (H, W, 3) RGB, the picture.

    Returns:
        The paths.
    """
    paths = []
    for number, (label, _, box) in enumerate(found.pixels(), 1):
        left, top = np.maximum(np.floor(box[:2]), 0).astype(int)
        right, bottom = np.ceil(box[2:]).astype(int)
        path = Path(folder, class_folder(found.classes, label),
                    f"{name}-{number}.png")
        save_picture(path, Image.fromarray(image[
            top:max(bottom, top + 1), left:max(right, left + 1)]))
        paths.append(path)
    return paths


def class_folder(classes: Sequence[str], label: int) -> str:
    """Return a name for the folder of a class, another one for each.

    >>> class_folder(["cat", "a/b"], 0), class_folder(["cat", "a/b"], 1)
    ('cat', '1-a_b')
    """
    clean = re.sub(r'[\x00-\x1f/\\:*?"<>|]|^\.+|[ .]+$', "_", classes[label])
    return clean if clean == classes[label] else f"{label}-{clean}"
