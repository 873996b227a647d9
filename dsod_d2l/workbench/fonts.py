"""Fonts that have the letters of class names, in whatever script.

Matplotlib brings DejaVu, which has Latin, Greek, Cyrillic, Arabic and more;
the fonts of the machine are looked through for what it lacks.
"""

import contextlib
import functools
import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

_log = logging.getLogger(__name__)


class Fonts(NamedTuple):
    """Files of fonts, the first one DejaVu, and the letters none has."""

    paths: tuple[str, ...]
    lacking: str


@functools.lru_cache(maxsize=256)
def find_fonts(text: str) -> Fonts:
    """Return fonts that have the letters of a text together.

    >>> find_fonts("naïve кот").lacking
    ''
    """
    first = font_manager.findfont("DejaVu Sans")
    wanted = {one for one in text if one.isprintable() and one != " "}
    paths, lacking = [first], wanted - letters(first)
    for path in _others(first):
        if lacking and (has := lacking & letters(path)):
            paths.append(path)
            lacking -= has
    return Fonts(tuple(paths), "".join(sorted(lacking)))


@functools.lru_cache(maxsize=None)
def letters(path: str) -> frozenset[str]:
    """Return the characters that a font has; none, where it is unreadable."""
    with contextlib.suppress(RuntimeError, OSError, ValueError):
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    return frozenset()


def _others(first):
    """Return the other fonts; those of Last Resort only draw boxes."""
    return sorted({font.fname for font in font_manager.fontManager.ttflist
                   if "resort" not in font.fname.lower()} - {first})


def warn_of_letters(names: Iterable[str]) -> None:
    """Say it, once, where no font has the letters of names."""
    if lacking := find_fonts("".join(names)).lacking:
        scripts = sorted({unicodedata.name(one, "unknown").split()[0]
                          for one in lacking})
        _log.warning("no font of this machine has %s letters such as %s: "
                     "names are drawn with boxes in their place; install a "
                     "font that has them, such as Noto Sans",
                     " and ".join(scripts), lacking[:4])


def is_shaped(names: Iterable[str]) -> bool:
    """Return whether letters of names join, turn or go from right to left.

    Matplotlib puts one beside the other; Pillow knows how they go together.

    >>> is_shaped(["café", "кот"]), is_shaped(["ب"])
    (False, True)
    """
    return any(unicodedata.bidirectional(one) in ("R", "AL")
               or unicodedata.category(one) in ("Mn", "Mc")
               for one in "".join(names))


@contextlib.contextmanager
def fonts_of(names: Iterable[str]) -> Iterator[None]:
    """Let Matplotlib draw names with the fonts that have their letters."""
    families = [font_manager.get_font(path).family_name
                for path in find_fonts("".join(names)).paths]
    with (matplotlib.rc_context({"font.family": families,
                                 "text.parse_math": False}),
          warnings.catch_warnings()):
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def runs(text: str, height: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """Return a text in parts, each with a font of Pillow that has it.

    Args:
        text: to be drawn.
        height: of the letters, in pixels.
    """
    paths = find_fonts(text).paths

    def path_of(one):
        return next((path for path in paths if one in letters(path)), paths[0])
    return [("".join(part), ImageFont.truetype(path, height))
            for path, part in groupby(text, path_of)]
