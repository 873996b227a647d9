"""Download a file: checked, resumed where it was cut, never half in place."""

from __future__ import annotations

import os
from pathlib import Path

from .files import check_sum

CHUNK = 1 << 16


def fetch(url, path, checksum, timeout=20, progress=None):
    """Download a file, unless it is there already with the right checksum.

    What arrives goes to ``<path>.part``. If the connection is cut, the next
    call goes on from there; where the server cannot, it begins again.

    Args:
        url: http or https address.
        path: where the file belongs.
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
    part = path.with_name(path.name + ".part")
    _receive(url, part, timeout, progress)
    try:
        check_sum(part, checksum)
    except ValueError:
        part.unlink()
        raise
    os.replace(part, path)
    return path


def _receive(url, part, timeout, progress):
    """Fill the part file from the address, going on from what it holds."""
    import requests

    done = part.stat().st_size if part.is_file() else 0
    try:
        with requests.get(url, stream=True, timeout=timeout,
                          headers=_headers(done)) as answer:
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


def _headers(done):
    # Without "identity" a server may compress, and lengths would not agree.
    headers = {"Accept-Encoding": "identity"}
    return {**headers, "Range": f"bytes={done}-"} if done else headers


def _store(answer, part, done, progress):
    """Append the answer to the part file, or begin anew where it must."""
    resumed = (answer.status_code == 206 and answer.headers.get(
        "Content-Range", "").startswith(f"bytes {done}-"))
    done = done if resumed else 0
    length = answer.headers.get("Content-Length", "")
    total = done + int(length) if length.isdecimal() else None
    with open(part, "ab" if resumed else "wb") as file:
        for chunk in answer.iter_content(CHUNK):
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
