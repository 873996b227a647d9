"""Data sets by name: the short texts that commands and functions take."""

import functools
import os
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...config.base import one_of, require
from ...datasets.sample import FLAGS, share_cache
from ...datasets.wrappers import Combined
from . import choices, coco, csv_table, record_files, voc, yolo
from .image_folder import OUTSIDE
from .text_files import known_table, listing

SPLITS = ("train", "val")
# What `data --help` says: the forms, the options, and how to join several.
_HELP = Path(__file__).with_name("address_help.txt").read_text("utf-8")
# Form, and what it means, in lines as they stand there.
ADDRESS_FORMS = dict(re.findall(r"^  (\S.*)\n((?: {6}.*\n?)+)",
                                _HELP.partition("\n\n")[0], re.M))
_LISTS = ("classes", "only", "columns")
_PATHS = ("images", "annotations", "labels", "labelmap", "root")
_CHOICES = ("only", "rename", *FLAGS)
_COMMON = ("bad", "exif")       # of all that lies in files
# The options of each kind; the kinds that the suffix of a file speaks for (of
# a folder: one of its files); what is not read, and what to do with it.
_OWN, _LIKELY, FOREIGN = (known_table("kinds.json")[part] for part in (
    "options", "suffixes", "not_read"))


def describe_addresses() -> str:
    """Return the help about all forms and options, as lines of text."""
    first, rest = _HELP[:_HELP.index("\n") + 1], _HELP.partition("\n\n")[2]
    rows = "\n".join(f"  {form}\n{text.rstrip()}"
                     for form, text in ADDRESS_FORMS.items())
    return f"{first}{rows}\n\n{rest.rstrip()}"


def parse_address(text: str) -> tuple[str, str, dict[str, Any]]:
    """Cut one spec into its kind, its rest and its options.

    Returns:
        kind, rest, {option: value}.

    Raises:
        ValueError: the kind or an option is not known, or an option stands
            there twice.

    >>> parse_address("voc:a/b:val?only=dog,cat&origin=0")
    ('voc', 'a/b:val', {'only': ['dog', 'cat'], 'origin': 0})
    """
    head, _, tail = str(text).partition("?")
    kind, _, rest = head.partition(":")
    if not (kind in _OWN and (rest in ("", *SPLITS) if kind == "standin"
                              else rest)):
        fitting = " or ".join(f"{one}:{head}" for one in _likely(head))
        raise ValueError(
            f"{head} has no kind in front: expected {fitting}; `data --help` "
            "lists all forms." if fitting else "data must have one of the "
            f"forms {', '.join(ADDRESS_FORMS)}; found {str(text)!r}.")
    found = {}
    for part in tail.split("&") if tail else ():
        name, sign, value = part.partition("=")
        allowed = {*_OWN[kind], *_CHOICES, *_COMMON}
        require(name in allowed and sign and value and name not in found,
                f"the option {part!r} of {text!r} is not one of "
                f"{', '.join(sorted(allowed))} with a value, or it is there "
                "twice; in a path %3F is a question mark and %2B a +.")
        found[name] = _value(name, value)
    return kind, _path(rest), found


def _likely(text):
    """Return the kinds of address that fit what lies there."""
    path = Path(os.path.expanduser(text))
    files = {path.name} if path.is_file() else listing(path) if text else ()
    return dict.fromkeys(kind for end, kinds in _LIKELY.items()
                         if any(file.lower().endswith(end) for file in files)
                         for kind in kinds if kind != "list" or path.is_file())


def _other_kind(kind, rest):
    """Return the sentence that says what else lies there, where it does."""
    path = split_path(rest)[0]
    likely = _likely(path)
    if kind in likely or not any(kind in one for one in _LIKELY.values()):
        return ""
    names = [path] if Path(path).is_file() else sorted(listing(path))
    told = next((f" {name}: {text}." for name in names for end, text
                 in FOREIGN.items() if name.lower().endswith(end)), "")
    fitting = " or ".join(f"{one}:{path}" for one in likely)
    return f" What lies there looks like {fitting}." if fitting else told


def _path(text):
    """Return a path as meant, with its home folder and signs such as %2B."""
    if "%" in text and not Path(split_path(text)[0]).exists():
        text = unquote(text)
    return text if Path(text).exists() else os.path.expanduser(text)


def _value(name, text):
    """Return the value of an option."""
    parts = [unquote(part) for part in text.split(",")]
    if name in _LISTS:
        return parts
    if name == "outside":
        one_of(name, text, OUTSIDE)
    if name == "rename":
        pairs = [part.partition(":") for part in parts]
        require(all(old and new for old, _, new in pairs), "rename must have "
                f"the form OLD:NEW,OLD:NEW, found {text!r}.")
        return {old: new for old, _, new in pairs}
    if name in _PATHS:
        return _path(text)
    return int(text) if name == "origin" and text in "01" else unquote(text)


def split_path(rest: str) -> tuple[str, str | None]:
    """Cut a path from what follows its last colon, if it does not exist.

    Returns:
        path, part or None.
    """
    head, sign, last = rest.rpartition(":")
    if not sign or not head or Path(rest).exists() or "/" in last and not \
            Path(head).exists() or len(head) == 1:
        return rest, None
    return head, last or None


def open_one(text: str, split: str | None, options: dict[str, Any]) -> Any:
    """Open the data set that one spec names; see ``open_dataset``."""
    kind, rest, own = parse_address(text)
    chosen = {name: own.pop(name) for name in _CHOICES if name in own}
    nearer = {name: own[name] for name in _COMMON if name in own}
    try:
        dataset = _FILES[kind](rest, split, {**own, **options, **nearer})
    except (ValueError, OSError) as error:
        error.args = f"{error}{_other_kind(kind, rest)}",
        raise
    return choices.Selected(dataset, **chosen) if chosen else dataset


def _standin(rest, split, options):
    from ..standin.rendered import StandIn
    for name in _COMMON:    # what is rendered holds no bad sample
        options.pop(name, None)
    return StandIn(split=rest or split or SPLITS[0], **options)


def _pikachu(rest, split, options):
    from ..downloads import Pikachu
    folder, _, last = rest.rpartition(":")
    if folder and last in SPLITS:
        return Pikachu(folder, last, **options)
    return Pikachu(rest, split or SPLITS[0], **options)


def _voc(rest, split, options):
    folder, image_set = split_path(rest)
    return voc.open_voc(folder, image_set or split, **options)


def _single(make, rest, split, options):
    """Open a format that has one file, or a folder with one of each split."""
    path, part = split_path(rest)
    if Path(path).is_dir():
        options = {**options, "split": part or split}
    elif part:
        options = {**options, "images": part}
    return make(path, **options)


def _yolo(rest, split, options):
    path, part = split_path(rest)
    if csv_table.lists_boxes(Path(path)):
        return _single(csv_table.CsvTable, rest, split, options)
    return yolo.open_yolo(path, part, split, **options)


def _lmdb(rest, split, options):
    from .caffe_lmdb import CaffeLmdb
    return CaffeLmdb(rest, **options)


_FILES = {"standin": _standin, "pikachu": _pikachu, "voc": _voc, "yolo": _yolo,
          "coco": functools.partial(_single, coco.Coco),
          "csv": functools.partial(_single, csv_table.CsvTable),
          "lmdb": _lmdb,
          "list": lambda rest, split, options: voc.PairList(rest, **options),
          "rec": lambda rest, split, options: record_files.FittedRecords(
              rest, **options)}


def open_dataset(spec: str, split: str | None = None, **options: Any) -> Any:
    """Open the data set that a short text names.

    Args:
        spec: ``KIND:PATH`` with options after a ``?``; on the command line
            ``data --help`` lists all forms. Several, joined by ``" + "``,
            are one data set; their classes must agree.
        split: "train" or "val", for a spec that does not say; default
            "train" where there are splits of that name.
        options: passed on, such as ``bad`` and ``cache``.

    Raises:
        ValueError: the spec has none of the forms, or a file is faulty.
        FileNotFoundError: what it names is not there.
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"split must be train or val, found {split!r}.")
    parts = [open_one(text.strip(), split, options)
             for text in str(spec).split(" + ")]
    for part in parts:
        share_cache(part, len(parts))
    return parts[0] if len(parts) == 1 else Combined(parts)


def take_dataset(dataset: Any) -> Any:
    """Return a data set, opened where its address is given.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(dataset, (str, os.PathLike)):
        return open_dataset(str(dataset))
    require(hasattr(dataset, "classes") and hasattr(dataset, "__len__"),
            "expected a data set, or its address such as voc:FOLDER, found "
            f"{type(dataset).__name__}")
    return dataset


def add_format(kind: str, opener: Callable, form: str, meaning: str,
               options: Iterable[str] = (), replace: bool = False) -> None:
    """Make a format known to ``open_dataset``, and to the help.

    Args:
        kind: what stands before the colon.
        opener: called with what stands behind it, the split ("train", "val"
            or None) and a dictionary of options; returns the data set.
        form, meaning: its row of the help.
        options: names of its own options, behind a ``?``.
        replace: whether a reader of that kind may be there already.

    Raises:
        ValueError: there is one, and it is not to be replaced.
    """
    require(replace or kind not in _FILES, f"the format {kind!r} has a "
            "reader already; replace=True puts this one in its place.")
    _FILES[kind] = opener
    ADDRESS_FORMS[form] = textwrap.indent(textwrap.fill(meaning, 66), " " * 6)
    _OWN[kind] = set(options)
