"""Download data sets: checked, resumed where cut, never half in place."""

import hashlib
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Callable, NamedTuple

from ..config.base import one_of, require
from ..datasets.records import RecordDataset
from ..files import inside, write_atomically

DOWNLOAD_CHUNK = 1 << 16


def fetch(url: str, path: str | Path, checksum: str, timeout: float = 20,
          progress: Callable | None = None) -> Path:
    """Download a file, unless it is there already with the right checksum.

    What arrives goes to ``<path>.part``. If the connection is cut, the next
    call goes on from there; where the server cannot, it begins again.

    Args:
        url: http or https address.
        path: where the file belongs; its folder is made.
        checksum: its SHA-256, SHA-1 or MD5, as hexadecimal digits.
        timeout: seconds without an answer before giving up.
        progress: called with (bytes so far, bytes in all or None).

    Returns:
        The path, a Path.

    Raises:
        ConnectionError: no answer, an answer that is an error, or a
            connection cut short; one sentence.
        ValueError: what came has another checksum. It is removed.
    """
    path = Path(path)
    if path.is_file():
        return check_sum(path, checksum)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    _receive(url, part, timeout, progress)
    try:
        check_sum(part, checksum)
    except ValueError:
        part.unlink()
        raise
    os.replace(part, path)
    return path


def check_sum(path: str | Path, expected: str) -> Path:
    """Return the path if a file has a checksum, else raise a ValueError.

    Args:
        path: the file.
        expected: its SHA-256, SHA-1 or MD5, as hexadecimal digits.
    """
    name = {64: "SHA-256", 40: "SHA-1", 32: "MD5"}[len(expected)]
    digest = hashlib.new(name.replace("-", "").lower())
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    require(digest.hexdigest() == expected.lower(), f"{path}: expected "
            f"{name} {expected}, found {digest.hexdigest()}.")
    return Path(path)


def _receive(url, part, timeout, progress):
    """Fill the part file from the address, going on from what it holds."""
    import requests

    done = part.stat().st_size if part.is_file() else 0
    # Without "identity" a server may compress, and lengths would not agree.
    headers = {"Accept-Encoding": "identity",
               **({"Range": f"bytes={done}-"} if done else {})}
    try:
        with requests.get(url, stream=True, timeout=timeout,
                          headers=headers) as answer:
            if answer.status_code == 416 and done:    # nothing is left to send
                return
            if not answer.ok:
                raise ConnectionError(f"{url} cannot be fetched: the server "
                                      f"answers {answer.status_code} "
                                      f"{answer.reason}.")
            done = _store(answer, part, done, progress)
    except requests.RequestException as error:
        raise ConnectionError(f"{url} cannot be fetched: {_why(error)}."
                              ) from error


def _store(answer, part, done, progress):
    """Append the answer to the part file, or begin anew where it must."""
    resumed = (answer.status_code == 206 and answer.headers.get(
        "Content-Range", "").startswith(f"bytes {done}-"))
    done = done if resumed else 0
    length = answer.headers.get("Content-Length", "")
    total = done + int(length) if length.isdecimal() else None
    with open(part, "ab" if resumed else "wb") as file:
        for chunk in answer.iter_content(DOWNLOAD_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    if total is not None and done != total:
        raise ConnectionError(f"{answer.url} cannot be fetched: the "
                              f"connection was cut after {done} of {total} "
                              "bytes; the next try goes on from there.")
    return done


def _why(error):
    import requests
    from urllib3.exceptions import ReadTimeoutError

    # Silence after the head of the answer comes as a ConnectionError.
    if isinstance(error, requests.Timeout) or any(
            isinstance(part, ReadTimeoutError) for part in error.args):
        return "no answer came in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut; the next try goes on from there"
    if isinstance(error, requests.ConnectionError):
        return "the host does not answer"
    return type(error).__name__


DONE = ".unpacked"           # holds the names of the archives in a folder


class Archive(NamedTuple):
    """One file to download: address, SHA-256, bytes."""

    address: str
    sha256: str
    size: int


_TABLE = json.loads(Path(__file__).with_name("archives.json").read_text())
ARCHIVES = {name: Archive(**facts)
            for name, facts in _TABLE["archives"].items()}
ARCHIVE_GROUPS = _TABLE["groups"]


def download(name: str, folder: str | Path, keep: bool = False,
             timeout: float = 20, progress: Callable | None = None
             ) -> list[str]:
    """Download and unpack archives; what is unpacked already stays.

    VOC unpacks to ``VOCdevkit/VOC2007`` and so on, COCO to ``annotations``
    and one folder of images for each split: what the readers expect.

    Args:
        name: of one archive or of a group: a key of ``ARCHIVES`` or
            ``ARCHIVE_GROUPS``.
        folder: made if needed.
        keep: whether the archives stay once they are unpacked.
        timeout: seconds without an answer before giving up.
        progress: called with (archive name, bytes so far, bytes in all).

    Returns:
        List of the names of the archives that are now there.

    Raises:
        ValueError: there is no such name, a checksum differs, or an archive
            holds what must not be unpacked.
        ConnectionError: a host does not answer as it should; the next call
            goes on from where it was cut.
    """
    names = ARCHIVE_GROUPS.get(name, (name,))
    one_of("name", name, [*ARCHIVE_GROUPS, *ARCHIVES])
    folder = Path(folder)
    done = folder / DONE
    there = done.read_text().split() if done.is_file() else []
    for one in (name for name in names if name not in there):
        archive = ARCHIVES[one]
        path = folder / archive.address.rsplit("/", 1)[1]

        def tell(so_far, total, one=one):
            if progress is not None:
                progress(one, so_far, total or archive.size)
        fetch(archive.address, path, archive.sha256, timeout, tell)
        unpack_archive(path, folder)
        there.append(one)
        write_atomically(done, ("\n".join(there) + "\n").encode())
        if not keep:
            path.unlink()
    return list(names)


def unpack_archive(path: str | Path, folder: str | Path) -> None:
    """Unpack a .tar or .zip file; nothing leaves the folder.

    Args:
        path: the archive.
        folder: where its files go.

    Raises:
        ValueError: the archive cannot be read, or it holds a link, a device,
            or a name that leaves the folder. Then nothing is unpacked.
    """
    path, folder = Path(path), Path(folder)
    zipped = path.suffix == ".zip"
    try:
        with (zipfile.ZipFile if zipped else tarfile.open)(path) as archive:
            for name, plain in (_zipped if zipped else _tarred)(archive):
                _check_member(f"{path}: {name[:80]!r}", name, plain, folder)
            archive.extractall(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path}: expected a whole archive, found one that "
                         f"cannot be read ({error}).") from error


def _zipped(archive):
    """Yield (name, whether it is a file or a folder) of each member."""
    for one in archive.infolist():
        kind = stat.S_IFMT(one.external_attr >> 16)
        yield one.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _tarred(archive):
    # Newer Pythons take no owners and no rights from an archive.
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    for one in archive:
        yield one.name, one.isreg() or one.isdir()


def _check_member(start, name, plain, folder):
    """Raise a ValueError unless a member is plain and stays in the folder."""
    require(plain, f"{start} is a link or a device, which is not unpacked.")
    require(inside(folder, name), f"{start} leaves the folder.")
    # A link that lies in the folder already could lead out of it.
    root = os.path.realpath(folder)
    require(os.path.commonpath([root, os.path.realpath(folder / name)])
            == root, f"{start} leads out of the folder, through a link that "
            "is there already.")


ADDRESS, SHA1 = (_TABLE["pikachu"][fact] for fact in ("address", "sha1"))
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

    def __init__(self, folder: str | Path, split: str = "train",
                 verify: bool = False, **options: Any):
        one_of("split", split, ("train", "val"))
        path = Path(folder) / f"{split}.rec"
        if not path.is_file():
            raise FileNotFoundError(f"There is no {path}. {INSTEAD}")
        if verify:
            check_sum(path, SHA1[path.name])
        super().__init__(path, classes=("pikachu",), **options)


def download_pikachu(folder: str | Path, address: str = ADDRESS,
                     timeout: float = 20, progress: Callable | None = None
                     ) -> Path:
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
    for name, sha1 in SHA1.items():
        try:
            fetch(address + name, folder / name, sha1, timeout, progress)
        except ConnectionError as error:
            raise ConnectionError(f"{error} {INSTEAD}") from error
    return folder
