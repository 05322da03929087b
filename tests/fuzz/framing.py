"""Inputs that get past lengths and checksums: streams from their bodies, archives from their parts.

A fuzzer that has to guess a CRC sees nothing behind it. Inputs are therefore what stands inside, and the frame is made
here: a stream's magic, length and checksum; an archive's directory and checksums.
"""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

from adiabat.codec.errors import AdiabatError
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.stream import MAGIC, SECTIONS, Stream

Change = Callable[[bytes, int], bytes]
DEEP = 48  # bytes that may stand before parts behind their lengths


def stream_of(body: bytes) -> bytes:
    """A stream of version, codec and what follows its length, with the length and the checksum that belong to it."""
    inside = body[2:]
    whole = MAGIC + body[:2].ljust(2, b"\1") + write_varint(len(inside) + 4) + inside
    return whole + struct.pack("<I", zlib.crc32(whole))


def body_of(stream: bytes) -> bytes:
    """Undo `stream_of`."""
    end = next(at for at in range(6, 15) if stream[at] < 128)
    return stream[4:6] + stream[end + 1 : -4]


def change_stream(data: bytes, size: int, seed: int, change: Change) -> bytes:
    """Change the header or one section of a stream, and the table of sections with it; a body that is none as it is."""
    rng = random.Random(seed)
    try:
        stream = Stream.read(stream_of(data))
    except (AdiabatError, ValueError):
        return change(data, size)
    if rng.random() < 0.25:
        return change(data, size)
    name = rng.choice(sorted(stream.sections))
    part = stream.sections[name]
    room = max(16, size - len(data) + len(part))
    if name == "residual" and len(part) > 15 and rng.random() < 0.8:
        changed = stream_of(change_stream(body_of(part), room, seed + 1, change))
    else:
        changed = change_nested(part, room, seed + 1, change)
    return _with_section(data, stream, name, changed)[:size]


def change_nested(data: bytes, size: int, seed: int, change: Change) -> bytes:
    """Change one of the parts that stand behind their lengths at the end of the data, at any depth; or all of it."""
    rng = random.Random(seed)
    found = [each for each in (_behind_lengths(data, start) for start in range(min(DEEP, len(data)))) if each]
    if not found or rng.random() < 0.2:
        return change(data, size)
    head, parts = found[rng.randrange(min(3, len(found)))]
    at = rng.randrange(len(parts))
    room = max(16, size - len(data) + len(parts[at]))
    parts[at] = change_nested(parts[at], room, seed + 1, change)
    return head + b"".join(write_varint(len(part)) + part for part in parts)


def _behind_lengths(data: bytes, start: int) -> tuple[bytes, list[bytes]] | None:
    """Parts behind their lengths from `start` to the end of the data; None where it is not made so."""
    at, parts = start, []
    while at < len(data):
        size = shift = 0
        while True:
            byte = data[at]
            at, size, shift = at + 1, size | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
            if at == len(data):
                return None
        if at + size > len(data):
            return None
        parts.append(data[at : at + size])
        at += size
    return (data[:start], parts) if max(map(len, parts)) > 1 else None


def _with_section(data: bytes, stream: Stream, name: str, changed: bytes) -> bytes:
    """A body with one section replaced; its header stays byte for byte as it is."""
    codes = {each: code for code, each in SECTIONS.items()}
    old = b"".join(bytes([codes[each]]) + write_varint(len(part)) for each, part in stream.sections.items())
    sections = {**stream.sections, name: changed}
    table = b"".join(bytes([codes[each]]) + write_varint(len(part)) for each, part in sections.items())
    header = data[: len(data) - len(old) - sum(map(len, stream.sections.values()))]
    return header + table + b"".join(sections.values())


def parts_of(data: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of an archive: each a length and a name, a length and bytes; as many as are whole."""
    reader, parts = Reader(data), []
    try:
        while reader.left:
            name = reader.take(reader.varint(255)).decode("utf-8", "replace")
            parts.append((name, reader.take(min(reader.varint(1 << 20), reader.left))))
    except AdiabatError:
        pass
    return parts


def from_parts(parts: list[tuple[str, bytes]]) -> bytes:
    """Undo `parts_of`."""
    named = [(name.encode()[:255], part) for name, part in parts]
    return b"".join(write_varint(len(name)) + name + write_varint(len(part)) + part for name, part in named)


def archive_of(parts: list[tuple[str, bytes]]) -> bytes:
    """A zip archive of parts, stored as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two parts of one name
        for name, part in parts:
            archive.writestr(zipfile.ZipInfo(name or "x", (1980, 1, 1, 0, 0, 0)), part)
    return buffer.getvalue()


def change_parts(data: bytes, size: int, seed: int, change: Change) -> bytes:
    """Change one part of an archive, or its name; now and then all of it at once."""
    parts, rng = parts_of(data), random.Random(seed)
    if not parts or rng.random() < 0.1:
        return change(data, size)
    at = rng.randrange(len(parts))
    name, part = parts[at]
    if rng.random() < 0.05:
        parts[at] = change(name.encode(), 64).decode("utf-8", "replace"), part
    elif rng.random() < 0.05:
        del parts[at]
    else:
        parts[at] = name, change(part, max(64, size - len(data) + len(part)))
    return from_parts(parts)[:size]
