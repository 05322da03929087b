"""Write the conformance vectors: streams, the arrays they decode to, and streams that must be refused.

    python spec/make_vectors.py [--into FOLDER]

Each case is a folder, `valid/<case>/{stream.bin, array.npy, about.json}` or `invalid/<case>/{stream.bin, about.json}`.
Vectors are append-only: a folder that is there already is never written to. Where it differs from what would be
written now, the command says so and ends with 1. Then `walkthrough.md` is written from the vectors. The same package,
model and libraries give the same bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import Pyramid, entropy
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.models import find_model
from adiabat.codec.octets import pack, write_varint
from adiabat.codec.paths import Chunk
from adiabat.codec.stream import Stream, describe

HERE = Path(__file__).parent
VECTORS = HERE / "vectors"

Array = NDArray[Any]
Files = dict[str, bytes]
Valid = tuple[str, str, bytes]  # name, what it shows, stream
Invalid = tuple[str, str, str, bytes]  # name, what is wrong, error, stream

# ---- fields ---------------------------------------------------------------------------------------------------------


def smooth(shape: tuple[int, ...] = (24, 32), dtype: str = "<f4", *, seed: int = 1, wrap: bool = False) -> Array:
    """Make a field of a few waves with some noise, near 280."""
    rng = np.random.default_rng(seed)
    *lead, height, width = (1, 1, *shape)[-max(2, len(shape)) :]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.arange(width) * (2 * np.pi / width), indexing="ij")
    turns = np.array([1, 2, 3]) if wrap else np.array([0.6, 1.3, 2.2])
    frames = []
    for frame in range(int(np.prod(lead, dtype=np.int64))):
        waves = [
            4 / k * np.sin(k * x + a + 0.2 * frame) * np.cos(k * y + a) for k, a in zip(turns, (1, 2, 4), strict=True)
        ]
        frames.append(280 - 30 * y**2 + np.sum(waves, axis=0))
    field = np.array(frames) + 0.05 * rng.normal(size=(len(frames), height, width))
    return field.reshape(shape).astype(dtype)


def holes(field: Array) -> Array:
    """Put a land mask of NaN in, and single infinities."""
    field = field.copy()
    field[..., 5:11, 8:20] = np.nan
    field[..., 0, 0] = np.inf
    field[..., -1, 3] = -np.inf
    return field


def bits(patterns: list[int], dtype: str) -> Array:
    """Make an array of bit patterns."""
    return np.array(patterns, f"u{np.dtype(dtype).itemsize}").view(dtype)


def spiky(shape: tuple[int, ...] = (24, 32), decades: float = 5) -> Array:
    """Make a smooth field with spikes of so many decades: escapes and raw bits."""
    field, rng = smooth(shape, "<f8"), np.random.default_rng(3)
    where = rng.random(shape) < 0.04
    field[where] += rng.choice([-1, 1], int(where.sum())) * 10 ** rng.uniform(1, decades, int(where.sum()))
    return field


# ---- streams our encoder writes -------------------------------------------------------------------------------------


def encoded(array: Array, bound: Any, path: str | None = None, **options: Any) -> bytes:
    """Encode, by one path if named, else as the codec chooses."""
    if path is None:
        return bytes(Pyramid(bound=bound, **options).encode(array))
    layout = Layout.of(array)
    chunk = Chunk(layout.frames(array), layout, Bound.parse(bound), **options)
    if path == "neural":
        return chunk.neural(find_model())[0].write()
    made = chunk.classical() if path == "classical" else chunk.raw()
    if made is None:
        raise ValueError(f"no {path} stream")
    return (made[0] if isinstance(made, tuple) else made).write()


def layouts() -> Iterator[Valid]:
    """Give dtypes, byte orders, memory orders, shapes."""
    for dtype in ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8"):
        name, size = ("little" if dtype[0] == "<" else "big") + dtype[1:], 0.5 if "f2" in dtype else 0.02
        yield (
            f"abs-{name}",
            f"neural, absolute bound, {dtype}",
            encoded(smooth((15, 21), dtype), {"abs": size}, "neural"),
        )
        yield f"lossless-{name}", f"neural, lossless, {dtype}", encoded(smooth((9, 14), dtype), "lossless", "neural")
        yield (
            f"rel-{name}",
            f"neural, relative, {dtype}",
            encoded(smooth((11, 10), dtype) - 275, {"rel": 0.02}, "neural"),
        )
        yield f"raw-{name}", f"raw, {dtype}", encoded(smooth((3, 5), dtype), "lossless", "raw")
        yield f"classical-{name}", f"classical, {dtype}", encoded(smooth((6, 5), dtype), {"abs": size}, "classical")
    yield "fortran", "Fortran order, three axes", encoded(np.asfortranarray(smooth((3, 9, 8))), {"abs": 0.1}, "neural")
    yield "fortran-big", "Fortran order, big-endian", encoded(np.asfortranarray(smooth((6, 7), ">f8")), "lossless")
    shapes = [
        (),
        (1,),
        (1, 1, 1),
        (0,),
        (3, 0, 2),
        (2,),
        (7,),
        (1, 9),
        (9, 1),
        (2, 2),
        (3, 2),
        (2, 3),
        (5, 1, 4, 1),
        (2, 3, 4, 5),
    ]
    for shape in shapes:
        name = "x".join(map(str, shape)) or "0d"
        array = np.arange(1, 1 + np.prod(shape, dtype=np.int64), dtype="<f4").reshape(shape) ** 1.5
        yield f"shape-{name}", f"shape {shape}, as the encoder chooses", encoded(array, {"abs": 0.01})
        if array.size:
            yield f"shape-{name}-neural", f"shape {shape}, neural", encoded(array, {"abs": 0.01}, "neural")


def contents() -> Iterator[Valid]:
    """Give special values, domains, paths."""
    f4 = [
        0x7FC00000,
        0x7FC00005,
        0xFFC12345,
        0x7F800001,
        0x7F800000,
        0xFF800000,
        0x80000000,
        0,
        1,
        0x807FFFFF,
        0x3F800000,
    ]
    f8 = [
        0x7FF8000000000000,
        0x7FF0000000000001,
        0xFFF8DEADBEEF0001,
        0x7FF << 52,
        0xFFF << 52,
        1 << 63,
        0,
        1,
        0x3FF << 52,
    ]
    for dtype, patterns in (("<f4", f4), ("<f8", f8)):
        for bound in ("lossless", {"abs": 0.1}, {"rel": 0.1}):
            kind = bound if isinstance(bound, str) else next(iter(bound))
            what = f"NaN with payloads, infinities, zeros, subnormals, {dtype}, {kind}"
            edge = np.tile(bits(patterns, dtype), 3)
            yield f"edge-{kind}-{dtype[1:]}", what, encoded(edge, bound)
            yield f"edge-{kind}-{dtype[1:]}-neural", what + ", neural", encoded(edge, bound, "neural")
    many = bits([0x7FC00000 + i % 300 for i in range(600)], "<f4")
    many[::2] = 1.0
    yield "mask-listed", "more special patterns than the table holds", encoded(many.reshape(20, 30), {"abs": 0.5})
    yield "mask-neural", "NaN and infinities under the neural path", encoded(holes(smooth()), {"abs": 0.05}, "neural")
    yield "mask-frames", "the same mask in every frame", encoded(holes(smooth((4, 20, 24))), {"abs": 0.05}, "neural")
    yield "mask-all", "every pixel special", encoded(np.full((4, 5), np.nan, "<f4"), {"abs": 1.0}, "neural")
    filled = smooth()
    filled[3:9, 4:30] = -9999
    yield "fill-value", "a fill value, exact", encoded(filled, {"abs": 0.05}, fill_value=-9999.0)
    anomaly = smooth() - 280
    anomaly[::5, ::3] = 0
    anomaly[::7] = -0.0
    yield "rel-signs", "relative bound, signs and zeros", encoded(anomaly, {"rel": 0.01}, "neural")
    yield "rel-classical", "relative bound, classical", encoded(anomaly, {"rel": 0.01}, "classical")
    wide = np.exp(np.linspace(-600, 600, 300)).reshape(15, 20)
    yield "rel-range", "relative bound over 1700 octaves: exceptions", encoded(wide, {"rel": 0.1}, "neural")
    lattice = np.round(smooth().astype("f8") / 0.01) * 0.01 + 0.003
    yield "lattice-lossless", "packed data, lossless", encoded(lattice.astype("<f8"), "lossless", "neural")
    steps = encoded(lattice.astype("<f4"), {"abs": 0.021}, "neural")
    yield "lattice-steps", "packed data, bound of some spacings", steps
    yield "lattice-classical", "packed data, classical", encoded(lattice.astype("<f4"), "lossless", "classical")
    yield "float64-split", "lossless float64 with low words", encoded(smooth((12, 10), "<f8"), "lossless", "neural")
    yield (
        "valid-range",
        "decoded values clipped",
        encoded(np.maximum(anomaly, -0.0), {"abs": 0.3}, "neural", valid_range=(0.0, 12.0)),
    )
    yield "constant", "one value", encoded(np.full((5, 6), 3.5, ">f4"), "lossless")
    yield "constant-bound", "within the bound of one value", encoded(smooth((4, 5)), {"abs": 100.0})
    yield "constant-mask", "one value and holes", encoded(holes(np.full((12, 20), 2.0, "<f2")), {"abs": 0.1})
    noise = np.frombuffer(np.random.default_rng(5).bytes(400), "<f4").reshape(10, 10)
    yield "raw-noise", "bytes without any order", encoded(noise, "lossless")


def networks() -> Iterator[Valid]:
    """Give what only the neural path has."""
    round_field = smooth((13, 32), wrap=True)
    yield "wrap", "x closes on itself", encoded(round_field, {"abs": 0.02}, "neural", wrap=True)
    yield "wrap-not", "the same field, not wrapped", encoded(round_field, {"abs": 0.02}, "neural", wrap=False)
    yield (
        "wrap-24",
        "a width that wraps on three lattices only",
        encoded(smooth((9, 24), wrap=True), {"abs": 0.02}, "neural", wrap=True),
    )
    yield "wrap-odd", "an odd width never wraps", encoded(smooth((9, 15)), {"abs": 0.02}, "neural", wrap=True)
    yield "frames", "several frames", encoded(smooth((6, 10, 13)), {"abs": 0.05}, "neural")
    yield "frames-small", "very many small frames", encoded(smooth((90, 2, 2)), {"abs": 0.05}, "neural")
    yield "escapes", "spikes: raw bits and escaped symbols", encoded(spiky(), {"abs": 1e-3}, "neural")
    yield "escapes-frames", "spikes in frames", encoded(spiky((5, 12, 9)), {"abs": 1e-4}, "neural")
    far = encoded(spiky(decades=300), "lossless", "neural")
    yield "escapes-lossless", "spikes over 300 decades, lossless", far
    steps = np.where(np.random.default_rng(8).random((72, 72)) < 0.5, 0.0, 1.0).astype("<f4")
    yield "substitution", "a field that suits other tables: substitutions", encoded(steps, {"abs": 0.05}, "neural")
    yield "tight", "six digits", encoded(smooth((30, 40), "<f8"), {"abs": 1e-6}, "neural")
    yield "loose", "hardly any symbols", encoded(smooth((64, 64)), {"abs": 8.0}, "neural")
    yield "large-values", "values near the limit of fine units", encoded(spiky(decades=9.9), {"abs": 10.0}, "neural")
    yield "tiny", "4 x 5: the walkthrough", encoded(walkthrough(), {"abs": 0.5}, "neural")


def walkthrough() -> Array:
    """Make the field of walkthrough.md."""
    field: Array = np.array([10, 20, 40, 70])[:, None] + np.array([0, 1, 3, 6, 2])
    return field.astype("<f4")


# ---- valid streams our encoder never writes -------------------------------------------------------------------------


def parts_of(payload: bytes) -> list[bytes]:
    """Split a neural payload of one group: first two numbers, then the four parts."""
    at, out = _skip(payload, _skip(payload, 0)), []
    out.append(payload[:at])
    for _ in range(4):
        end = _skip(payload, at)
        size = sum((byte & 127) << 7 * i for i, byte in enumerate(payload[at:end]))
        out.append(payload[end : end + size])
        at = end + size
    return out


def _skip(data: bytes, at: int) -> int:
    """Return where the varint at `at` ends."""
    while data[at] > 127:
        at += 1
    return at + 1


def joined(parts: list[bytes]) -> bytes:
    """Undo parts_of."""
    return parts[0] + b"".join(write_varint(len(part)) + part for part in parts[1:])


def with_sections(data: bytes, **sections: bytes | None) -> bytes:
    """Replace sections of a stream; None takes one away."""
    stream = Stream.read(data)
    kept = {name: part for name, part in {**stream.sections, **sections}.items() if part is not None}
    return dataclasses.replace(stream, sections=kept).write()


def with_part(data: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Change one part of a neural payload."""
    parts = parts_of(Stream.read(data).sections["payload"])
    parts[number] = change(parts[number])
    return with_sections(data, payload=joined(parts))


def hand_made() -> Iterator[Valid]:
    """Give streams that a reader must take though our encoder never writes them."""
    flat = np.full((6, 7), 4.25, "<f4")
    yield "hand-neural-constant", "neural path on constant data", encoded(flat, {"abs": 0.1}, "neural")
    yield "hand-raw-constant", "raw path on constant data", encoded(flat, "lossless", "raw")
    yield "hand-classical-smooth", "classical where neural is smaller", encoded(smooth(), {"abs": 0.1}, "classical")
    tiny = encoded(smooth((9, 9)), {"abs": 0.1}, "neural")
    yield "hand-identity", "substitutions that change nothing", with_part(tiny, 1, lambda _: pack(bytes(192)))
    with mock.patch.object(entropy, "SUBSTITUTION_LETTERS", 0):
        small = encoded(smooth((6, 12, 15)), {"abs": 0.01}, "neural")
    yield "hand-substitution", "substitutions where our encoder does not try any", small
    ring = Stream("raw", np.dtype("<f4"), (2, 3), sections={"payload": b"\0" + bytes(range(24))})
    yield "hand-raw-stored", "raw, stored", ring.write()
    deflated = b"\1" + zlib.compress(bytes(24), 9)
    yield "hand-raw-zlib", "raw, zlib", dataclasses.replace(ring, sections={"payload": deflated}).write()
    index = np.arange(12, dtype="<u8")  # folded 0, -1, 1, -2, ...
    wide = index.view(np.uint8).reshape(12, 8).T.tobytes()
    for mode in range(3):
        stream = Stream(
            "classical",
            np.dtype("<f8"),
            (2, 2, 3),
            bound=("abs", 0.5),
            domain=("abs", 1 / 256),
            sections={"payload": bytes([mode, 8, 0]) + wide},
        )
        yield f"hand-classical-{mode}", f"classical, mode {mode}, eight planes", stream.write()
    constant = Stream("constant", np.dtype("<f4"), (3, 8), sections={"payload": struct.pack("<f", 1.5)})
    nan, inf = struct.pack("<f", np.nan), struct.pack("<f", np.inf)
    for form in range(4):
        body = bytes([form, 0]) + bytes([0b10110010, 0b00001111, 0b11000011])
        mask = bytes([1]) + nan + b"\0\0" + write_varint(len(body)) + body
        yield (
            f"hand-plane-{form}",
            f"plane of form {form} as bits",
            dataclasses.replace(constant, sections={"mask": mask, **constant.sections}).write(),
        )
    runs = bytes([0x80, 4, 0, 0, 3, 5, 2])
    mask = bytes([2]) + nan + inf + b"\0\0" + write_varint(len(runs)) + runs + bytes([3, 0x80, 0, 0])
    yield (
        "hand-plane-runs",
        "runs that begin with ones; an empty plane",
        dataclasses.replace(constant, sections={"mask": mask, **constant.sections}).write(),
    )
    ends = dataclasses.replace(Stream.read(tiny), valid_range=(279.0, 279.0)).write()
    yield "hand-range-point", "a range of one value", ends


# ---- streams that must be refused -----------------------------------------------------------------------------------


def sealed(body: bytes, version: int = 1, codec: int = 1) -> bytes:
    """Put magic, version, codec, length and checksum around a body."""
    head = b"ADBT" + bytes([version, codec]) + write_varint(len(body) + 4) + body
    return head + struct.pack("<I", zlib.crc32(head))


def refused_envelopes() -> Iterator[Invalid]:
    """Give broken envelopes."""
    good = encoded(np.zeros((2, 3), "<f4"), "lossless")
    body = good[7:-4]
    yield "empty", "no bytes at all", "Truncated", b""
    yield "magic-short", "two bytes of the magic", "Truncated", good[:2]
    yield "no-length", "ends before the length", "Truncated", good[:6]
    yield "half", "half of the bytes", "Truncated", good[: len(good) // 2]
    yield "last-byte", "the last byte is missing", "Truncated", good[:-1]
    yield "byte-more", "one byte too many", "Corrupt", good + b"\0"
    yield "magic", "another magic", "Corrupt", b"ADBX" + good[4:]
    yield "version", "version 2", "UnsupportedVersion", sealed(body, version=2)
    yield "codec", "codec 2", "Corrupt", sealed(body, codec=2)
    yield "checksum", "a wrong checksum", "Corrupt", good[:-1] + bytes([good[-1] ^ 1])
    yield "bit", "one flipped bit in the payload", "Corrupt", good[:-6] + bytes([good[-6] ^ 4]) + good[-5:]
    yield (
        "length-long",
        "the length is not in its shortest form",
        "Corrupt",
        good[:6] + bytes([good[6] | 128, 0]) + good[7:],
    )
    yield "length-endless", "a length of more than nine bytes", "Corrupt", good[:6] + b"\xff" * 10 + good[7:]
    yield "length-3", "a length below that of the checksum", "Corrupt", good[:6] + b"\3abc"


def refused_headers() -> Iterator[Invalid]:
    """Give broken headers."""
    payload = bytes([1, 5, 4]) + bytes(4)
    constant = [b"\1", b"\0", b"\2", b"\1\3", b"\0", b"\0", payload]  # path, flags, dtype, shape, bound, domain, rest
    f64 = struct.Struct("<d").pack

    def changed(**fields: bytes) -> bytes:
        names = ("path", "flags", "dtype", "shape", "bound", "domain", "rest")
        return sealed(b"".join(fields.get(name, part) for name, part in zip(names, constant, strict=True)))

    cases = {
        "path": ("path 4", changed(path=b"\4")),
        "flags": ("a reserved flag", changed(flags=b"\x10")),
        "dtype-0": ("dtype 0", changed(dtype=b"\0")),
        "dtype-4": ("dtype 4", changed(dtype=b"\x84")),
        "dimensions": ("33 axes", changed(shape=b"\x21" + b"\1" * 33)),
        "elements": ("2**31 + 1 elements", changed(shape=b"\1" + write_varint(2**31 + 1))),
        "elements-huge": ("10**15 elements", changed(shape=b"\2" + write_varint(10**8) + write_varint(10**7))),
        "elements-zero": (
            "10**15 elements and an axis of length 0",
            changed(shape=b"\3\0" + write_varint(10**8) + write_varint(10**7)),
        ),
        "shape-long": ("an axis length not in its shortest form", changed(shape=b"\1\x83\0")),
        "bound-3": ("bound 3", changed(bound=b"\3")),
        "bound-0": ("a bound of 0", changed(bound=b"\1" + f64(0.0))),
        "bound-nan": ("a bound of NaN", changed(bound=b"\1" + f64(np.nan))),
        "domain-5": ("domain 5", changed(domain=b"\5")),
        "domain-constant": ("a domain on the constant path", changed(domain=b"\3")),
        "domain-classical": ("no domain on the classical path", changed(path=b"\2")),
        "unit-0": ("a unit of 0", changed(path=b"\2", domain=b"\1" + f64(0.0))),
        "unit-inf": ("an infinite unit", changed(path=b"\2", domain=b"\1" + f64(np.inf))),
        "spacing": ("a negative spacing", changed(path=b"\2", domain=b"\2" + f64(-1.0) + f64(0.0) + b"\0")),
        "phase": ("a phase of NaN", changed(path=b"\2", domain=b"\2" + f64(1.0) + f64(np.nan) + b"\0")),
        "steps": ("2**31 steps", changed(path=b"\2", domain=b"\4" + write_varint(2**31))),
        "range-nan": ("lowest is NaN", changed(flags=b"\4", domain=b"\0" + f64(np.nan))),
        "range": ("lowest above highest", changed(flags=b"\x0c", domain=b"\0" + f64(1.0) + f64(0.0))),
        "range-dtype": ("lowest no float32", changed(flags=b"\4", domain=b"\0" + f64(1e300))),
        "elements-none": (
            "nothing to predict on the classical path",
            changed(path=b"\2", domain=b"\3", shape=b"\2\0\5", rest=bytes([1, 5, 3, 1, 1, 0])),
        ),
        "elements-per-byte": (
            "too many elements for so few bytes",
            changed(path=b"\2", domain=b"\3", shape=b"\1" + write_varint(1 << 28)),
        ),
        "header-end": ("ends inside the header", sealed(b"\1\0\2")),
        "section-id": ("section 6", changed(rest=bytes([1, 6, 4]) + bytes(4))),
        "section-order": ("sections out of order", changed(rest=bytes([2, 5, 4, 1, 0]) + bytes(4))),
        "section-twice": ("a section twice", changed(rest=bytes([2, 5, 2, 5, 2]) + bytes(4))),
        "section-none": ("no payload", changed(rest=b"\0")),
        "section-long": ("a section longer than what is left", changed(rest=bytes([1, 5, 9]) + bytes(4))),
        "section-short": ("bytes after the last section", changed(rest=bytes([1, 5, 4]) + bytes(5))),
        "constant-size": ("a constant of the wrong size", changed(rest=bytes([1, 5, 3]) + bytes(3))),
    }
    for name, (what, data) in cases.items():
        yield name, what, "Corrupt", data


def refused_payloads() -> Iterator[Invalid]:
    """Give broken raw, classical and mask sections."""
    raw = Stream("raw", np.dtype("<f4"), (2, 3), sections={"payload": b""})
    ordered = Stream("classical", np.dtype("<f4"), (2, 3), domain=("ordered",), sections={"payload": b""})
    constant = Stream("constant", np.dtype("<f4"), (2, 3), sections={"payload": bytes(4)})

    def case(stream: Stream, **sections: bytes) -> bytes:
        return dataclasses.replace(stream, sections={**stream.sections, **sections}).write()

    fit, plane = bytes([1, 1, 0]) + bytes(6), bytes([0, 0, 0b000101])
    nan = struct.pack("<f", np.nan)
    bomb = dataclasses.replace(raw, shape=(1000, 1000))
    yield "raw-short", "stored bytes missing", "Corrupt", case(raw, payload=bytes(24))
    yield "raw-long", "stored bytes left over", "Corrupt", case(raw, payload=bytes(26))
    yield "raw-empty", "no method byte", "Corrupt", case(raw, payload=b"")
    yield "raw-method", "method 3", "Corrupt", case(raw, payload=b"\3" + bytes(24))
    yield "raw-zlib", "no zlib data", "Corrupt", case(raw, payload=b"\1" + bytes(24))
    yield (
        "raw-zlib-tail",
        "bytes after the zlib data",
        "Corrupt",
        case(raw, payload=b"\1" + zlib.compress(bytes(24)) + b"\0"),
    )
    yield "raw-zlib-cut", "zlib data cut off", "Corrupt", case(raw, payload=b"\1" + zlib.compress(bytes(24))[:-2])
    yield "raw-zlib-more", "zlib data give more", "Corrupt", case(raw, payload=b"\1" + zlib.compress(bytes(25)))
    yield "raw-bomb", "4 MB from 9 bytes", "Corrupt", case(bomb, payload=b"\1" + zlib.compress(b""))
    yield "raw-lzma-large", "LZMA above 65536 bytes", "Corrupt", case(bomb, payload=b"\2" + bytes(100))
    yield "classical-mode", "mode 3", "Corrupt", case(ordered, payload=bytes([3, 1, 0]) + bytes(6))
    yield "classical-width-0", "no planes", "Corrupt", case(ordered, payload=bytes([0, 0, 0]))
    yield "classical-width-9", "nine planes", "Corrupt", case(ordered, payload=bytes([0, 9, 0]) + bytes(54))
    yield "classical-short", "a plane is missing", "Corrupt", case(ordered, payload=bytes([0, 2, 0]) + bytes(6))
    yield (
        "exceptions-width",
        "exceptions of 5 bytes in float32",
        "Corrupt",
        case(ordered, payload=fit, exceptions=bytes([3]) + plane + bytes([5, 0]) + bytes(10)),
    )
    yield (
        "exceptions-0",
        "exceptions of 0 bytes",
        "Corrupt",
        case(ordered, payload=fit, exceptions=bytes([3]) + plane + bytes([0, 0])),
    )
    yield (
        "exceptions-long",
        "more differences than exceptions",
        "Corrupt",
        case(ordered, payload=fit, exceptions=bytes([3]) + plane + bytes([1, 0]) + bytes(3)),
    )
    one = bytes([1]) + nan + b"\0\0"
    masks = {
        "mask-patterns": ("255 patterns", bytes([255]) + nan * 255 + b"\0\0"),
        "mask-short": ("patterns missing", bytes([2]) + nan),
        "mask-class": ("a class above the table", bytes([2]) + nan * 2 + b"\0\0" + (bytes([3]) + plane) * 2),
        "mask-listed": ("fewer pixels listed than announced", bytes([0, 1, 5, 0]) + nan + (bytes([3]) + bytes(3)) * 8),
        "mask-listed-many": ("more listed than pixels", bytes([0, 7, 29, 0]) + nan * 7 + (bytes([3]) + bytes(3)) * 8),
        "mask-listed-none": ("none listed, and a list", bytes([1]) + nan + bytes([0, 2, 0, 0, 3]) + plane),
        "mask-tail": ("bytes after the last plane", one + bytes([3]) + plane + b"\0"),
        "mask-missing": ("a plane is missing", one),
        "plane-form": ("a reserved bit of the form", one + bytes([3, 4, 0, 5])),
        "plane-padding": ("a bit after the last pixel", one + bytes([3, 0, 0, 0x45])),
        "plane-size": ("a plane of two bytes for six pixels", one + bytes([4, 0, 0, 5, 0])),
        "runs-end": ("a run up to the last pixel's end", one + bytes([5, 0x80, 2, 0, 1, 5])),
        "runs-over": ("a run beyond the last pixel", one + bytes([5, 0x80, 2, 0, 1, 9])),
        "runs-zero": ("a run of no pixels that is not the first", one + bytes([6, 0x80, 3, 0, 1, 0, 1])),
        "runs-long": ("runs longer than any plane's", one + bytes([4, 0x80]) + write_varint(71) + b"\0"),
    }  # fmt: skip
    for name, (what, mask) in masks.items():
        yield name, what, "Corrupt", case(constant, mask=mask)


def refused_networks() -> Iterator[Invalid]:
    """Give broken neural payloads."""
    good = encoded(smooth((9, 11)), {"abs": 0.05}, "neural")
    spikes = encoded(spiky(), {"abs": 1e-3}, "neural")
    stream = Stream.read(good)
    yield (
        "model",
        "a model that nobody has",
        "ModelNotFound",
        dataclasses.replace(stream, model=bytes(range(32))).write(),
    )
    context = joined([write_varint(624) + b"\0", *parts_of(stream.sections["payload"])[1:]])
    far = joined([write_varint(1) + write_varint(2**40), *parts_of(stream.sections["payload"])[1:]])
    double = np.array([2**41], "<u8").view(np.uint8).tobytes()
    cases = {
        "base-context": ("context 624", with_sections(good, payload=context)),
        "base-far": ("a first pixel beyond 2**38", with_sections(good, payload=far)),
        "payload-empty": ("an empty payload", with_sections(good, payload=b"")),
        "payload-tail": ("bytes after the last group", with_sections(good, payload=stream.sections["payload"] + b"\0")),
        "payload-cut": ("a payload cut off", with_sections(good, payload=stream.sections["payload"][:-4])),
        "words-bytes": ("words of 3 bytes", with_part(good, 2, lambda part: part[:-1])),
        "words-zero": ("a last word of 0", with_part(good, 2, lambda part: part + bytes(4))),
        "words-more": ("words left over", with_part(good, 2, lambda part: b"\1\2\3\4" + part)),
        "words-none": ("no words where they are needed", with_part(good, 2, lambda part: part[4:])),
        "substitution-96": ("table 96", with_part(good, 1, lambda part: pack(b"\x60" + bytes(191)))),
        "substitution-size": ("191 substitutions", with_part(good, 1, lambda part: pack(bytes(191)))),
        "raw-bits-more": ("raw bits left over", with_part(good, 3, lambda part: part + b"\0")),
        "raw-bits-less": ("raw bits missing", with_part(spikes, 3, lambda part: part[:-1])),
        "escapes-more": ("an escaped symbol left over", with_part(good, 4, lambda part: b"\1" + pack(bytes(8)))),
        "escapes-less": ("escaped symbols missing", with_part(spikes, 4, lambda part: b"")),
        "escapes-large": ("an escaped symbol of 2**40", with_part(good, 4, lambda part: b"\1" + pack(double))),
    }
    for name, (what, data) in cases.items():
        yield f"neural-{name}", what, "Corrupt", data


# ---- writing --------------------------------------------------------------------------------------------------------


def files_of(what: str, data: bytes) -> Files:
    """Return the files of a valid vector."""
    buffer, array = io.BytesIO(), Pyramid(bound="lossless").decode(data)
    np.save(buffer, array)
    return {"stream.bin": data, "array.npy": buffer.getvalue(), "about.json": _json({"what": what, **describe(data)})}


def _json(about: dict[str, Any]) -> bytes:
    return (json.dumps(about, indent=1, sort_keys=True) + "\n").encode()


def all_vectors() -> Iterator[tuple[str, Files]]:
    """Give every vector's folder and files."""
    for source in (layouts, contents, networks, hand_made):
        for name, what, data in source():
            yield f"valid/{name}", files_of(what, data)
    for refused in (refused_envelopes, refused_headers, refused_payloads, refused_networks):
        for name, what, error, data in refused():
            yield f"invalid/{name}", {"stream.bin": data, "about.json": _json({"what": what, "error": error})}


def write(folder: Path, files: Files) -> str:
    """Write one vector if it is new; tell what was done."""
    if folder.exists():
        same = all((folder / name).is_file() and (folder / name).read_bytes() == data for name, data in files.items())
        return "same" if same else "differs"
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return "new"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--into", type=Path, default=VECTORS)
    into = parser.parse_args().into
    done: dict[str, list[str]] = {"new": [], "same": [], "differs": []}
    for name, files in all_vectors():
        done[write(into / name, files)].append(name)
    print(f"{len(done['new'])} written, {len(done['same'])} there already and the same")
    for name in done["differs"]:
        print(f"not overwritten, though now different: {name}", file=sys.stderr)
    if into == VECTORS:
        chapter = subprocess.run([sys.executable, HERE / "make_walkthrough.py"], check=True, capture_output=True).stdout
        (HERE / "walkthrough.md").write_bytes(chapter)
    return int(bool(done["differs"]))


if __name__ == "__main__":
    sys.exit(main())
