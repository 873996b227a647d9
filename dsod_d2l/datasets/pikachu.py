"""Pikachu: one creature pasted onto photographs, the set of MXNet's tutorials.

The published files are 256 x 256 images with one object each. Their hosts no
longer answer, so most readers use a copy they have, or the rendered stand-in.
"""

from __future__ import annotations

from pathlib import Path

from .fetch import fetch
from .files import check_sum
from .records import RecordDataset

ADDRESS = ("https://apache-mxnet.s3-accelerate.amazonaws.com/"
           "gluon/dataset/pikachu/")
SHA1 = {"train.rec": "e6bcb6ffba1ac04ff8a9b1115e650af56ee969c8",
        "train.idx": "dcf7318b2602c06428b9988470c731621716c393",
        "val.rec": "d6c33f799b4d058e82f2cb5bd9a976f69d72d520"}
CLASSES = ("pikachu",)
INSTEAD = ("Use the rendered stand-in (--data standin), or give a folder that "
           "holds train.rec and val.rec (--data pikachu:FOLDER).")


class Pikachu(RecordDataset):
    """The Pikachu set in a local folder.

    Args:
        folder: holds train.rec and val.rec; a missing .idx is rebuilt.
        split: "train" or "val".
        verify: compare the files with their published SHA-1 first. A copy
            that was encoded anew does not have it.
        options: ``bad`` and ``cache`` of RecordDataset.

    Raises:
        FileNotFoundError: the folder does not hold the file.
        ValueError: a file is not the published one, or is faulty.
    """

    def __init__(self, folder, split="train", verify=False, **options):
        if split not in ("train", "val"):
            raise ValueError("split must be train or val for Pikachu, found "
                             f"{split!r}.")
        path = Path(folder) / f"{split}.rec"
        if not path.is_file():
            raise FileNotFoundError(f"There is no {path}. {INSTEAD}")
        if verify:
            check_sum(path, SHA1[path.name])
        super().__init__(path, classes=CLASSES, **options)


def download(folder, address=ADDRESS, timeout=20, progress=None):
    """Fetch the published files into a folder; what is there already stays.

    Args:
        folder: made if needed.
        address: of the folder that holds the files.
        timeout: seconds without an answer before giving up.
        progress: see ``fetch``.

    Returns:
        The folder, a Path.

    Raises:
        ConnectionError: the host does not answer as it should; the message
            says what to do instead.
        ValueError: a file is not the published one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, sha1 in SHA1.items():
        try:
            fetch(address + name, folder / name, sha1, timeout, progress)
        except ConnectionError as error:
            raise ConnectionError(f"{error} {INSTEAD}") from error
    return folder
