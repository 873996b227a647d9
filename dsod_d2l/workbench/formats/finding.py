"""Find a picture by the name that a file gives it: one way for all formats.

Programs write names as they had them: with the folders of another machine,
with ``\\``, ``%20`` or another suffix. Whatever is done to a name besides
taking it as it stands is counted. What is found never lies outside the
folder, and hidden files are never found.
"""

import functools
import itertools
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...datasets import pictures
from .text_files import known_table, listing, note

# What may be done to a name, and how that is said.
_STEPS = known_table("name_steps.json")
_RISKY = {"front", "away", "below", "suffix", "case"}


class PictureFinder:
    """Find the files of a folder by the names that are stated for them.

    Args:
        folder: names are relative to it; what lies deeper is found too.
        base: the folder of the file that states the names, which may be
            relative to it. Default: ``folder``.
        suffixes: of the files that may be found by another suffix.
        option: what names another folder, such as "images=FOLDER".
        remarks: {sentence: count}, which takes in what is done to names.

    Attributes:
        files: the names of all files that are there, a set.
    """

    def __init__(self, folder: str | Path, base: str | Path | None = None,
                 suffixes: Sequence[str] = pictures.SUFFIXES,
                 option: str = "", remarks: Any = None):
        self.folder, self.option = Path(folder), option
        self.files, self._suffixes = listing(folder), tuple(suffixes)
        self._root = os.path.abspath(folder)
        self._base = os.path.abspath(base or folder)
        self._index: dict[str, list[str]] = {}
        self._right = False     # whether any name was found in the folder
        self._known: dict[tuple, str | None] = {}
        self._reasons: dict[str, tuple[str, str]] = {}
        self._given: dict[str, str] = {}
        self._remarks = {} if remarks is None else remarks

    def find(self, name: str, stem: bool = False) -> str | None:
        """Return the name of a file, relative to the folder, or None.

        Args:
            name: as stated.
            stem: whether it has no suffix, by its nature.
        """
        if name in self.files and (not stem or self._is_picture(name)):
            self._right = True
            return name
        if (name, stem) not in self._known:
            found = self._known[name, stem] = self._search(name, stem)
            self._right = self._right or found is not None
        return self._known[name, stem]

    def missing(self, name: str) -> tuple[str, str]:
        """Return why a name was not found, and the kind of that fault."""
        if name in self._reasons:
            return self._reasons[name]
        lacking = f"there is no image {name[:120]!r} in {self.folder}"
        if self._right:
            return lacking, "image"
        return (f"{lacking}, with any suffix, among {self._there} pictures"
                + (self.option and f"; {self.option} names another folder")
                ), "image"

    @functools.cached_property
    def _there(self):
        """The number of files with one of the suffixes."""
        return sum(map(self._is_picture, self.files))

    def remarks(self) -> dict[str, int]:
        """Return {what was done to names, with the first: how many}."""
        return self._remarks

    def _is_picture(self, name):
        return name.lower().endswith(self._suffixes)

    def _search(self, stated, stem):
        """Return the file of a name that is not one as it stands."""
        for text, steps in _readings(stated):
            parts, away = _parts(text), _is_absolute(text)
            if parts is None:       # as a path of another machine
                self._reasons[stated] = (f"the name {stated[:80]!r} leaves "
                                         "the folder", "path")
                rest = _parts(text.rpartition("../")[2]) or ()
                parts, away = rest if len(rest) > 1 else (), True
            plain = "/".join(parts or ())
            near = os.path.relpath(os.path.join(self._base, text), self._root)
            for one in () if stem else (text, near.replace(os.sep, "/")):
                if one in self.files:
                    return self._take(stated, one, [*steps, "dots"] if one ==
                                      plain != text and not away else steps)
            if parts:
                steps = steps + ["dots"] * (not away and plain != text)
                there = away and os.path.isfile(os.path.expanduser(text))
                best = self._best(stated, parts, away, stem)
                if best:
                    return self._take(stated, best[0], [*steps, *(
                        "away" if there and one == "front" else one
                        for one in best[1])])
                if there:
                    option = self.option.replace("FOLDER",
                                                 posixpath.dirname(text))
                    self._reasons.setdefault(stated, (
                        f"the image {text[:120]!r} is there, but outside "
                        f"{self.folder}" + (option and f"; {option} names its "
                                            "folder"), "image"))
        return None

    def _take(self, stated, found, steps):
        """Count what was done for a name, and return what it is."""
        if _RISKY.intersection(steps):
            first = self._given.setdefault(found, stated)
            if first != stated:
                self._reasons[stated] = (
                    f"the image {found[:80]!r} is the nearest to both "
                    f"{first[:80]!r} and {stated[:80]!r}", "image")
                return None
        for step in dict.fromkeys(steps):
            note(self._remarks, _STEPS[step], f"{stated:.80} for {found:.80}")
        return found

    def _best(self, stated, parts, away, stem):
        """Return the file that fits best, and what was done, or None."""
        if not self._index:
            for name in sorted(self.files):
                self._index.setdefault(self._key(name), []).append(name)
            self._tops = {fold_name(name.partition("/")[0])
                          for name in self.files if "/" in name}
        keys = dict.fromkeys(map(fold_name, self._stems(parts[-1], stem)))
        found = [rank for key in keys for name in self._index.get(key, ())
                 if (rank := self._rank(parts, name, away, stem))]
        if not found:
            return None
        best, kind, name, steps = min(found)
        rivals = [one for one in found
                  if one[0][:2] == best[:2] and one[2] != name]
        apart = [other for _, _, other, _ in rivals
                 if posixpath.dirname(other) != posixpath.dirname(name)]
        if kind >= 2 and apart:
            self._reasons[stated] = (
                f"{len(apart) + 1} images of {self.folder} fit the name "
                f"{stated[:80]!r}, such as {name[:80]!r} and "
                f"{apart[0][:80]!r}", "image")
            return None
        if any(one[0][:4] == best[:4] for one in rivals):
            steps = [*steps, "several"]
        return name, steps

    def _key(self, name):
        """Return what a file is looked for by: its stem."""
        last = posixpath.basename(name)
        return fold_name(os.path.splitext(last)[0] if self._is_picture(last)
                         else last)

    def _stems(self, last, stem):
        """Yield what the stem of a stated name may be, the likeliest first."""
        yield last
        if self._is_picture(last) or not stem and re.search(
                r"[^.]\.[A-Za-z]\w{1,4}$", last):
            yield os.path.splitext(last)[0]

    def _rank(self, parts, name, away, stem):
        """Return how well a file fits, how, its name and what was done."""
        *folders, last = parts
        *above, own = name.split("/")
        fit = self._fit(last, own, stem)
        if fit is None:
            return None
        quality, steps = fit
        pairs = list(itertools.takewhile(
            lambda pair: fold_name(pair[0]) == fold_name(pair[1]),
            zip(folders[::-1], above[::-1])))
        same = len(pairs)
        dropped, added = len(folders) - same, len(above) - same
        # A folder that is there is meant; another is none of this name.
        if dropped and not away and (
                added or fold_name(folders[0]) in self._tops):
            return None
        kind = (dropped > 0) + 2 * (added > 0)
        for one, other in pairs:
            if one != other:
                steps = [*steps, "unicode" if _composed(one) == _composed(
                    other) else "case"]
        steps = steps + ["front"] * (dropped > 0) + ["below"] * (added > 0)
        shape = next((row for row, end in enumerate(self._suffixes)
                      if own.lower().endswith(end)), len(self._suffixes))
        first = (dropped, kind) if away else (kind, dropped)
        return (quality >= 4, *first, quality, shape), kind, name, steps

    def _fit(self, last, own, stem):
        """Return how far a last part is from a file's, and what was done."""
        head, tail = os.path.splitext(own)
        start, end = os.path.splitext(last)
        for quality, (step, form) in enumerate(_FORMS):
            if form(last) == form(own):
                return (0, 1, 3)[quality], [step] * bool(step)
            if (step == "unicode" and form(start) == form(head)
                    and end.lower() == tail.lower()):
                return 2, ["ending"]
        if not self._is_picture(own):
            return None
        for one in self._stems(last, stem):
            for quality, (step, form) in enumerate(_FORMS, 4):
                if form(one) == form(head):
                    return quality, (["suffix"] * (not stem)
                                     + [step] * bool(step))
        return None


def _composed(text):
    return unicodedata.normalize("NFC", text)


def fold_name(text: str) -> str:
    """Return a name as it is compared: whatever its capitals and Unicode."""
    return _composed(text).casefold()


_FORMS = (("", str), ("unicode", _composed), ("case", fold_name))


def _is_absolute(text):
    """Return whether a name is the path of a file on some machine."""
    return text.startswith(("/", "~")) or text[1:2] == ":"


def _readings(stated: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield what a name may mean, and what was done to read it so."""
    if not stated or "\0" in stated:
        return
    text = re.sub(r"^file:/*(?=/)", "", stated)
    plain = text.replace("\\", "/")
    steps = ["slash"] if plain != text else []
    yield plain, steps
    if "%" in plain and unquote(plain) != plain and "\0" not in unquote(plain):
        yield unquote(plain).replace("\\", "/"), [*steps, "percent"]


def _parts(text):
    """Return the parts of a name, None where it leaves its folder."""
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts
