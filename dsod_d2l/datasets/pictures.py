"""Encoded images to pixels: uint8 (H, W, 3), red, green, blue, upright.

OpenCV reads plain JPEG, which is fast; Pillow reads everything else. An image
whose EXIF tag says that it lies on its side is turned upright, and its boxes
are taken to refer to the upright picture, which is what viewers and labelling
programs show (MXNet's own decoder leaves it on its side). What is transparent
becomes white; more than 8 bits, and fractions, are scaled to 8 by the range
that they fill. A file is judged by its head before anything is decoded: its
format must be one of a few (Pillow knows others, and starts another program
for some), and a few bytes may not ask for gigabytes.
"""

import contextlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

# What is read, found in folders, drawn, written and converted: Pillow's name,
# and the suffixes, of which it is written with the first.
FORMATS = {"JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"), "PNG": (".png",),
           "BMP": (".bmp", ".dib"), "GIF": (".gif",),
           "TIFF": (".tif", ".tiff"), "WEBP": (".webp",)}
if find_spec("PIL._avif"):
    FORMATS["AVIF"] = (".avif",)
with contextlib.suppress(ImportError):     # what telephones write: a plug-in
    from pillow_heif import register_heif_opener
    register_heif_opener()
    FORMATS["HEIF"] = (".heic", ".heif")
LACKING = () if "HEIF" in FORMATS else (".heic", ".heif")
SUFFIXES = tuple(one for ends in FORMATS.values() for one in ends)
_TOPS = (1, 255, 1023, 4095, 16383, 65535)    # fractions, and 8 to 16 bits
MOST_PIXELS = 1 << 27        # 134 million: 402 MB, once decoded
_ORIENTATION = 0x0112
_KINDS = {1: "whole", 2: "signed", 3: "floating"}      # of a TIFF's values
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
        picture = _shallow(picture, data)
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
        kind = _opened(io.BytesIO(data)).format
    return FORMATS.get(kind, FORMATS["JPEG"])[0]       # MPO is several JPEGs


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
    if Path(path).suffix.lower() in LACKING:
        raise ValueError(f"{path}: pictures of this kind are read with "
                         "pillow-heif, which is not installed: pip install "
                         "pillow-heif.")
    return Path(path)


def _opened(file):
    """Return the Pillow image of a file, of which only the head is read."""
    try:
        picture = Image.open(file, formats=tuple(FORMATS))
    except UnidentifiedImageError as error:
        raise UnidentifiedImageError(_why_not(file)) from error
    if picture.width * picture.height > MOST_PIXELS:
        raise Image.DecompressionBombError
    return picture


def _why_not(file):
    """Return in words what a file is that Pillow takes for no image."""
    file.seek(0)
    head = file.read(12)
    with contextlib.suppress(Exception):        # most are no TIFF
        tags = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
        file.seek(tags.next)
        tags.load(file)
        bits, kinds = tags[258], tags.get(339, (1,))
        return (f"a TIFF of {len(bits)} values a pixel, of {max(bits)} bits, "
                f"{_KINDS.get(kinds[0], 'of another kind')}; colours are read "
                "of whole numbers of 8 or 16 bits")
    return f"UnidentifiedImageError, it begins with {head!r}"


@contextlib.contextmanager
def _naming(source, length):
    """Turn what Pillow raises, of a dozen kinds, into one sentence."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ValueError(f"{source}: expected an image of at most "
                         f"{MOST_PIXELS:,} pixels, found {length} bytes that "
                         "state more.") from error
    except FloatingPointError as error:
        raise ValueError(f"{source}: {error}.") from error
    except Exception as error:
        reason = (error if isinstance(error, UnidentifiedImageError) else
                  type(error).__name__)
        raise ValueError(f"{source}: expected a whole image, found {length} "
                         "bytes that cannot be read as one "
                         f"({reason}).") from error


def _size(picture, turn=True):
    width, height = picture.size
    return ((width, height) if turn and _orientation(picture) >= 5
            else (height, width))


def _orientation(picture):
    """Return the EXIF orientation, 1 to 8; 5 to 8 exchange the sides."""
    # Pillow would decode all of a PNG to look behind its pixels.
    if picture.format == "PNG" and picture.fp and not _tells_exif(picture.fp):
        return 1
    value = picture.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _tells_exif(file):
    """Return whether a chunk of a PNG, wherever it stands, holds EXIF."""
    place, at, head, found = file.tell(), 8, b"-", False
    while head and not found:
        file.seek(at)
        head = file.read(40)            # its length, its kind, its first words
        found = head[4:8] == b"eXIf" or b"Raw profile type exif" in head
        at += 12 + int.from_bytes(head[:4], "big")
    file.seek(place)
    return found


def _is_plain(picture, data, turn):
    # Some versions of OpenCV fill up a JPEG that was cut short without a
    # word; one that ends in the end marker was not cut.
    return (picture.format == "JPEG" and picture.mode in ("RGB", "L")
            and data.endswith(b"\xff\xd9")
            and (not turn or _orientation(picture) == 1))


def _shallow(picture, data):
    """Return an image of 8 bits a value; Pillow's own cuts values off."""
    values, stated = None, getattr(picture, "tag_v2", {})
    if picture.mode[0] in "IF":
        values = np.array(picture)
        if values.dtype == np.int32 and stated.get(339) in (1, (1,)):
            values = values.view(np.uint32)
    elif picture.mode == "RGB" and (16 in stated.get(258, ()) or (
            picture.format == "PNG" and data[24] == 16)):
        values = cv2.imdecode(np.frombuffer(data, np.uint8),
                              _FLAGS | cv2.IMREAD_ANYDEPTH)[..., ::-1]
    if values is None or values.ndim > 2 and values.max() > _TOPS[-2]:
        return picture                      # Pillow takes the upper 8 bits
    shallow = Image.fromarray(_eight_bits(values).astype(np.uint8))
    shallow.getexif()[_ORIENTATION] = _orientation(picture)
    return shallow


def _eight_bits(values):
    """Return numbers of any kind as 0 to 255, scaled by what they fill."""
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise FloatingPointError("expected pixels that are numbers, found "
                                 "nan or infinity")
    if 0 <= low and _TOPS[-2] < high <= _TOPS[-1] and values.dtype != "f4":
        return values // 257
    top = next((top for top in _TOPS if top / 16 <= high <= top), 0)
    first, last = (0, top) if top and low >= 0 else (low, high)
    return np.interp(values, (first, last if last > first else first + 1),
                     (0, 255)).round()


def _to_rgb(picture):
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")
