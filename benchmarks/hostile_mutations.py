"""Accidents and malice: what is done to the bytes of a sound file."""

from __future__ import annotations

import copy
import json
import pickle
import struct
import zlib

import numpy as np

CANARY = "the_canary_sings"


class Payload:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        import os
        return os.mkdir, (CANARY,)


TOKENS = [b"<", b">", b"&", b"\"", b"'", b",", b"\n", b"\r", b"\t", b"\0",
          b"{", b"}", b"[", b"]", b":", b"-", b".", b"0", b"1", b"9" * 400,
          b"1e999", b"nan", b"NaN", b"null", b"true", b"\xff", b"\\u0000",
          b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"../", b"/",
          b"\\", b" ", b"<object>", b"</object>", b"]]>", b"<![CDATA[",
          b"<!DOCTYPE a>", b"&lt;", b"&e;", b"1_0", b"0x10", b"-0", b"*a",
          b"&a ", b"!!python/name:os.system ", b"=", b"\x1a\x00"]
# What whole files hold that are no file of the kind, or worse than none.
WHOLE = [
    b"", b"\0" * 64, b"\xff" * 64, b"{}", b"[]", b"null", b"0", b"[" * 20_000,
    b'{"a":' * 20_000, b'"' + b"a" * 10_000, b"9" * 100_000, b"\n" * 10_000,
    b"\t" * 1000, b"," * 10_000, pickle.dumps(Payload()),
    pickle.dumps(Payload(), 0),
    b"PK\x03\x04" + bytes(60), b"\x93NUMPY\x01\x00", b"%PDF-1.4",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n("
    + CANARY.encode() + b") (w) file closefile\nshowpage\n",
    struct.pack("<Q", 2 ** 63) + b"{}", struct.pack("<Q", 2) + b"{}",
    struct.pack("<QQQ", 0x112, 0, 2 ** 63) + bytes(40),
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "'
    + b"&a;" * 50 + b'"><!ENTITY c "' + b"&b;" * 50 + b'"><!ENTITY d "'
    + b"&c;" * 50 + b'"><!ENTITY e "' + b"&d;" * 50
    + b'">]><annotation>&e;</annotation>',
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "secret.txt">]>'
    b"<annotation><object><name>&e;</name></object></annotation>",
    b'<!DOCTYPE a SYSTEM "secret.txt"><annotation/>',
    b"<annotation>" * 20_000, b"<annotation " + b"a='1' " * 2000 + b"/>",
    b"names: !!python/object/apply:os.mkdir [" + CANARY.encode() + b"]",
    b"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\n"
    b"c: &c [*b, *b, *b, *b, *b, *b]\nnames: [*c, *c, *c, *c, *c, *c]\n",
]
VALUES = [None, True, False, -1, 0, 1, 0.5, -0.0, 1e308, 10 ** 30, 2 ** 31,
          2 ** 63, float("nan"), float("inf"), "", "x", "9" * 30, "../x",
          "/etc/hostname", "\0", "\ud800", "a" * 5000, [], {}, [[]], [{}],
          {"a": 1}, [None], [1, 2, 3], [0, 0, 0, 0], [1e9] * 4, "null"]
EXTREMES = [0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536,
            2 ** 24, 2 ** 29 - 1, 2 ** 29, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1,
            2 ** 32, 2 ** 48, 2 ** 62, 2 ** 63 - 1, 2 ** 63, 2 ** 64 - 1]


def mutated(seeds, rng, structured=None):
    """Return the bytes of a file to which something was done.

    Args:
        seeds: list of bytes: sound files of one kind.
        rng: numpy.random.Generator.
        structured: function (bytes, rng) -> bytes that keeps the file's own
            form, such as the checksums of its parts; or None.
    """
    data = seeds[rng.integers(len(seeds))]
    kind = rng.random()
    if kind < 0.03:
        return WHOLE[rng.integers(len(WHOLE))]
    if kind < 0.06:
        other = WHOLE[rng.integers(len(WHOLE))]
        return (other + data) if rng.random() < 0.5 else (data + other)
    if structured is not None and kind < 0.55:
        return structured(data, rng)
    for _ in range(rng.integers(1, 5)):
        data = ACCIDENTS[rng.integers(len(ACCIDENTS))](data, seeds, rng)
    return data


def _place(data, rng):
    """Return a position, half of them near the beginning."""
    most = len(data) if rng.random() < 0.5 else min(len(data), 200)
    return int(rng.integers(0, most + 1))


def _flip(data, seeds, rng):
    data = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        if data:
            data[min(_place(data, rng), len(data) - 1)] ^= 1 << int(
                rng.integers(0, 8))
    return bytes(data)


def _cut(data, seeds, rng):
    return data[:int(rng.integers(0, len(data) + 1))]


def _remove(data, seeds, rng):
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 60)):]


def _double(data, seeds, rng):
    at, length = _place(data, rng), int(rng.integers(1, 200))
    return data[:at] + data[at:at + length] * int(rng.integers(2, 4)) \
        + data[at + length:]


def _insert(data, seeds, rng):
    at = _place(data, rng)
    return data[:at] + TOKENS[rng.integers(len(TOKENS))] + data[
        at + int(rng.integers(0, 3)):]


def _extreme(data, seeds, rng):
    """Write a number at the end of some range over some bytes."""
    width = int(rng.choice([1, 2, 4, 8]))
    value = EXTREMES[rng.integers(len(EXTREMES))] % (1 << 8 * width)
    at = _place(data, rng)
    at -= at % width if rng.random() < 0.7 else 0
    order = "little" if rng.random() < 0.7 else "big"
    return data[:at] + value.to_bytes(width, order) + data[at + width:]


def _splice(data, seeds, rng):
    """Put a piece of another sound file in."""
    other = seeds[rng.integers(len(seeds))]
    start, at = _place(other, rng), _place(data, rng)
    piece = other[start:start + int(rng.integers(1, 400))]
    over = len(piece) if rng.random() < 0.5 else 0
    return data[:at] + piece + data[at + over:]


ACCIDENTS = [_flip, _cut, _remove, _double, _insert, _extreme, _splice]


def swapped(value, rng, swaps=3):
    """Return a JSON value some of whose parts are of another kind."""
    value = copy.deepcopy(value)
    for _ in range(rng.integers(1, swaps + 1)):
        value = _swap(value, rng)
    return value


def _swap(value, rng):
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = list(keys)[rng.integers(len(keys))]
        what = rng.random()
        if what < 0.08:
            del value[key]
        elif what < 0.16 and isinstance(value, list):
            value.extend(copy.deepcopy(value[:5]))
        elif what < 0.16:
            value[f"{key} "] = value.pop(key)
        else:
            value[key] = _swap(value[key], rng)
        return value
    if isinstance(value, (int, float)) and rng.random() < 0.4:
        return type(value)(value * int(rng.choice([-1, 0, 2, 1000]))) + int(
            rng.integers(-1, 2))
    return copy.deepcopy(VALUES[rng.integers(len(VALUES))])


def as_json(value):
    """Return the bytes of a JSON value; what Python alone allows included."""
    return json.dumps(value).encode()


def swapped_json(data, rng):
    """Swap parts of a JSON file."""
    return as_json(swapped(json.loads(data), rng))


def resealed_png(data, rng):
    """Change the chunks of a PNG, whose checksums then hold again."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        [length] = struct.unpack(">I", data[at:at + 4])
        chunks.append(data[at + 4:at + 8 + length])
        at += 12 + length
    for _ in range(rng.integers(1, 4)):
        row = int(rng.integers(0, len(chunks)))
        what = rng.random()
        if what < 0.15:
            chunks.insert(row, chunks[rng.integers(len(chunks))])
        elif what < 0.25 and len(chunks) > 1:
            chunks.pop(row)
        else:
            accident = ACCIDENTS[rng.integers(len(ACCIDENTS))]
            chunks[row] = accident(chunks[row], chunks, rng)
    return data[:8] + b"".join(
        struct.pack(">I", max(len(chunk) - 4, 0)) + chunk
        + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)


def resealed_tensors(data, rng):
    """Change the header of a safetensors file; its checksum holds again."""
    from dsod_d2l import weights
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    facts = {key: json.loads(text) if key not in ("format", "checksum")
             else text for key, text in header["__metadata__"].items()}
    what = rng.random()
    if what < 0.6:
        facts = swapped(facts, rng)
    elif what < 0.8:
        header = swapped(header, rng)
    else:
        body = _flip(body, [body], rng) if what < 0.9 else _cut(
            body, [body], rng)
    if isinstance(facts, dict) and isinstance(header, dict) and what < 0.6:
        header["__metadata__"] = {
            key: value if key in ("format", "checksum")
            and isinstance(value, str) else json.dumps(value)
            for key, value in facts.items()}
    text = json.dumps(header, separators=(",", ":")).encode()
    data = bytearray(struct.pack("<Q", len(text)) + text + body)
    place = weights._checksum_place(data)
    data[place] = weights._checksum(data).encode()[
        :len(data[place])].ljust(len(data[place]), b"0")
    return bytes(data)


def resealed_facts(data, rng):
    """Change a checkpoint: the facts in it, its header, or its numbers."""
    from safetensors.numpy import load, save

    from dsod_d2l import weights
    if rng.random() < 0.5:
        return resealed_tensors(data, rng)
    size = int.from_bytes(data[:8], "little")
    facts = json.loads(data[8:8 + size])["__metadata__"]
    tensors = load(data)
    text = as_json(swapped(json.loads(tensors["facts"].tobytes()), rng))
    if rng.random() < 0.2:
        name = list(tensors)[rng.integers(len(tensors))]
        tensors[name] = tensors[name].reshape(-1)[:5]
    tensors["facts"] = np.frombuffer(text, np.uint8)
    data = bytearray(save(tensors, {**facts, "checksum": weights.BLANK}))
    place = weights._checksum_place(data)
    data[place] = weights._checksum(data).encode()
    return bytes(data)
