"""Encoded images to pixels: uint8 (H, W, 3), red, green, blue, upright.

OpenCV reads plain JPEG, which is fast; Pillow reads everything else. An image
whose EXIF tag says that it lies on its side is turned upright, and its boxes
are taken to refer to the upright picture, which is what viewers and labelling
programs show (MXNet's own decoder leaves it on its side). What is transparent
becomes white; 16 bits become 8. A file is judged by its head before anything
is decoded: its format must be one of a few (Pillow knows others, and starts
another program for some), and a few bytes may not ask for gigabytes.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
MOST_PIXELS = 1 << 27        # 134 million: 402 MB, once decoded
_ORIENTATION = 0x0112
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def read_image(path: str | Path, turn: bool = True) -> np.ndarray:
    """Return the pixels of an image file.

    Args:
        path: an image, in one of ``FORMATS``.
        turn: whether to turn it upright as its EXIF tag says.

    Returns:
        uint8 (H, W, 3) array, red, green, blue, upright.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image, or only a part of one.
    """
    return decode_image(_there(path).read_bytes(), str(path), turn)


def decode_image(data: bytes, source: str = "an image", turn: bool = True
                 ) -> np.ndarray:
    """Return the pixels of an encoded image.

    Args:
        data: bytes, the contents of an image file.
        source: name for messages.
        turn: as of ``read_image``.

    Returns:
        uint8 (H, W, 3) array, red, green, blue, upright.

    Raises:
        ValueError: the bytes are no image, or only a part of one.
    """
    with _naming(source, len(data)):
        picture = _opened(io.BytesIO(data))
        if _is_plain(picture, data, turn):
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
            if pixels is not None:
                return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
        picture.load()
        picture = ImageOps.exif_transpose(picture) if turn else picture
        return np.array(_to_rgb(picture))


def encode_image(pixels: np.ndarray) -> bytes:
    """Return the bytes of a PNG file of the pixels, RGB; nothing is lost."""
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def encoded_size(data: bytes, source: str = "an image") -> tuple[int, int]:
    """Return (height, width) of an encoded image, upright, without decoding.

    Args:
        data: bytes, the contents of an image file.
        source: name for messages.

    Raises:
        ValueError: the bytes are no image.
    """
    with _naming(source, len(data)):
        return _size(_opened(io.BytesIO(data)))


def orientation(data: bytes, source: str = "an image") -> int:
    """Return the EXIF orientation, 1 to 8; 5 to 8 exchange the sides."""
    with _naming(source, len(data)):
        return _orientation(_opened(io.BytesIO(data)))


def suffix(data: bytes) -> str:
    """Return the suffix of the file format of an encoded image.

    Args:
        data: bytes, the contents of an image file.

    Raises:
        ValueError: the bytes are no image.
    """
    with _naming("an image", len(data)):
        kind = _opened(io.BytesIO(data)).format.lower()
    return {"jpeg": ".jpg", "mpo": ".jpg", "tiff": ".tif"}.get(kind,
                                                               f".{kind}")


def read_size(path: str | Path, turn: bool = True) -> tuple[int, int]:
    """Return (height, width) of an image file, upright, from its head.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image.
    """
    with _naming(path, _there(path).stat().st_size), open(path, "rb") as file:
        return _size(_opened(file), turn)


def size_lies(entry: Any, shape: tuple[int, ...]) -> str:
    """Return the sentence that says that a stated size is not the image's."""
    hint = ("; it may be turned by its EXIF tag, and exif=stored takes the "
            "pixels as stored" if tuple(entry.size) == tuple(shape[1::-1])
            else "")
    return (f"{entry.source}: the file states {entry.size[1]} x "
            f"{entry.size[0]} pixels, the image has {shape[1]} x {shape[0]}"
            f"{hint}.")


def _there(path):
    """Return the path of an image file, or raise FileNotFoundError."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no image file {path}.")
    return Path(path)


def _opened(file):
    """Return the Pillow image of a file, of which only the head is read."""
    picture = Image.open(file, formats=FORMATS)
    if picture.width * picture.height > MOST_PIXELS:
        raise Image.DecompressionBombError
    return picture


@contextlib.contextmanager
def _naming(source, length):
    """Turn what Pillow raises, of a dozen kinds, into one sentence."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ValueError(f"{source}: expected an image of at most "
                         f"{MOST_PIXELS:,} pixels, found {length} bytes that "
                         "state more.") from error
    except Exception as error:
        raise ValueError(f"{source}: expected a whole image, found {length} "
                         "bytes that cannot be read as one "
                         f"({type(error).__name__}).") from error


def _size(picture, turn=True):
    width, height = picture.size
    return ((width, height) if turn and _orientation(picture) >= 5
            else (height, width))


def _orientation(picture):
    """Return the EXIF orientation, 1 to 8; 5 to 8 exchange the sides."""
    value = picture.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _is_plain(picture, data, turn):
    # Some versions of OpenCV fill up a JPEG that was cut short without a
    # word; one that ends in the end marker was not cut.
    return (picture.format == "JPEG" and picture.mode in ("RGB", "L")
            and data.endswith(b"\xff\xd9")
            and (not turn or _orientation(picture) == 1))


def _to_rgb(picture):
    if picture.mode.startswith("I"):
        # 16-bit grey: Pillow would cut values above 255 off, not scale them.
        grey = np.clip(np.array(picture) // 257, 0, 255).astype(np.uint8)
        picture = Image.fromarray(grey)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")
