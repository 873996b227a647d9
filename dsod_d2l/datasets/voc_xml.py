"""PASCAL VOC's XML, read with its line numbers and without its dangers.

A document type is refused, so that no entity is expanded and no other file
is read.
"""

from __future__ import annotations

from typing import NamedTuple
from xml.parsers import expat

from .entries import FLAGS
from .files import number

SIDES = ("xmin", "ymin", "xmax", "ymax")
DEEPEST = 30                 # levels; a VOC file has five
_ONCE = {"name", *FLAGS, *(f"bndbox/{side}" for side in SIDES)}
_TRUTH = {"": 0, "0": 0, "false": 0, "1": 1, "true": 1}


class Object(NamedTuple):
    """One object as written: name, four numbers, flags, where, faults."""

    name: str
    box: tuple
    flags: tuple
    where: str
    faults: tuple


class Annotation(NamedTuple):
    """One file as written; ``size`` is (height, width) or None."""

    filename: str
    size: tuple | None
    objects: list


class _Handler:
    """Collect texts by their place below ``annotation``."""

    def __init__(self, parser):
        self.parser, self.path, self.text = parser, [], []
        self.top, self.objects = {}, []
        parser.StartElementHandler, parser.EndElementHandler = (self.start,
                                                                self.end)
        parser.CharacterDataHandler = self.text.append
        parser.StartDoctypeDeclHandler = self.refuse

    def refuse(self, *_):
        raise ValueError("it declares a document type, which may hide "
                         "entities and is not read")

    def start(self, name, _):
        self.path.append(name)
        self.text.clear()
        if self.path[0] != "annotation":
            raise ValueError("expected <annotation> as its root, found "
                             f"<{self.path[0][:40]}>")
        if len(self.path) > DEEPEST:
            raise ValueError(f"its elements are nested deeper than {DEEPEST}")
        if len(self.path) == 2 and name == "object":
            self.objects.append({"line": self.parser.CurrentLineNumber,
                                 "twice": []})

    def end(self, _):
        text = "".join(self.text).strip()
        self.text.clear()
        if len(self.path) > 2 and self.path[1] == "object":
            place, found = "/".join(self.path[2:]), self.objects[-1]
            if place in found and place in _ONCE:
                found["twice"].append(place)
            found[place] = text
        else:
            self.top.setdefault("/".join(self.path[1:]), text)
        self.path.pop()


def parse(data, source):
    """Return the Annotation that the bytes of a file hold.

    Args:
        data: bytes of an XML file.
        source: its name, for messages.

    Raises:
        ValueError: it is not the XML of an annotation; names the line.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    handler = _Handler(parser)
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        words = str(error).split(":")[0] if isinstance(
            error, expat.ExpatError) else str(error)
        raise ValueError(f"{source}, line {parser.CurrentLineNumber}: "
                         f"expected the XML of an annotation, but {words}."
                         ) from error
    return Annotation(handler.top.get("filename", ""),
                      _size(handler.top, source),
                      [_object(row, found) for row, found
                       in enumerate(handler.objects)])


def _size(top, source):
    """Return (height, width), or None where the file does not say."""
    texts = [top.get(f"size/{name}", "") for name in ("height", "width")]
    if all(text in ("", "0") for text in texts):
        return None
    sides = [number(text) for text in texts]
    if not all(side > 0 and side % 1 == 0 for side in sides):
        raise ValueError(f"{source}: expected a size of whole pixels, found "
                         f"height {texts[0]!r} and width {texts[1]!r}.")
    return int(sides[0]), int(sides[1])


def _object(row, found):
    """Return an Object of the texts that were found in it."""
    faults = [f"it has more than one <{place.split('/')[-1]}>"
              for place in found["twice"]]
    for place in ("name", *(f"bndbox/{side}" for side in SIDES)):
        text = found.get(place, "")
        if not text:
            faults.append(f"it has no {place.replace('/', ' with ')}")
        elif place != "name" and number(text) != number(text):
            faults.append(f"{place[7:]} is not a number: {text[:40]!r}")
    flags = [_TRUTH.get(found.get(flag, "").lower()) for flag in FLAGS]
    faults += [f"{flag} must be 0 or 1, found {found[flag][:40]!r}"
               for flag, value in zip(FLAGS, flags) if value is None]
    box = tuple(number(found.get(f"bndbox/{side}")) for side in SIDES)
    return Object(found.get("name", ""), box, tuple(flags),
                  f"object {row} (line {found['line']})", tuple(faults))


def entry_objects(maker, annotation, origin):
    """Add the objects of an Annotation to an ``EntryMaker``."""
    for one in annotation.objects:
        if one.faults:
            for words in one.faults:
                maker.blame(words, "file", one.where)
        else:
            maker.add(one.name, one.box, one.flags, one.where, origin)
