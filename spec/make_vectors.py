"""Write the conformance vectors: streams, the arrays they decode to, and streams that must be refused.

    python spec/make_vectors.py [--into FOLDER]

Each case is a folder, `valid/<case>/{stream.bin, array.npy, about.json}` or `invalid/<case>/{stream.bin, about.json}`.
Vectors are append-only: a folder that is there already is never written to. Where it differs from what would be
written now, the command says so and ends with 1. A new vector is written only if the reference decoder agrees with it.
Then `walkthrough.md` is written from the vectors. The same package, models and libraries give the same bytes.

Names of version 2 begin with `v2-` (`hand-v2-` where our encoder would never write such a stream), those of version 3
with `v3-`, of version 4 with `v4-`. All others are of version 1, which is written here as adiabat 0.1.0 did, with the
model of then (`version_1`). Static fields that vectors use are kept in `models/` beside the cases. Vectors of version 3
go beside the others only with a shipped model, `codec/models/hyperprior.zip`; into another folder with any that is
found.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.util
import io
import json
import lzma
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import (
    Hyperprior,
    Pyramid,
    entropy,
    models,
    regression,
    smoothing,
    spectral_path,
    subband_coder,
    volume,
)
from adiabat.codec.atoms import without_atoms
from adiabat.codec.bound import Bound
from adiabat.codec.description import describe
from adiabat.codec.frames import Layout
from adiabat.codec.hyperprior_model import HyperpriorModel, find_hyperprior
from adiabat.codec.latent_choice import with_residual
from adiabat.codec.latent_codec import candidate
from adiabat.codec.latent_options import LatentOptions
from adiabat.codec.models import find_model
from adiabat.codec.noise import Noise
from adiabat.codec.octets import LZMA_FILTER, Reader, pack, write_varint
from adiabat.codec.paths import Chunk
from adiabat.codec.side import Side, Weights
from adiabat.codec.smoothing import Smoothing
from adiabat.codec.spectral_fields import write_fields
from adiabat.codec.spectral_residual import ResidualWriter
from adiabat.codec.statics import Static, static_file, write_statics
from adiabat.codec.stream import Stream

HERE = Path(__file__).parent
VECTORS = HERE / "vectors"
SHIPPED = HERE.parent / "codec" / "models"

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


# ---- versions and models --------------------------------------------------------------------------------------------


def model_of(case: str) -> str:
    """SHA-256 of the model with which a vector was written, or of the shipped one if there is no such vector yet."""
    about = VECTORS / "valid" / case / "about.json"
    return str(json.loads(about.read_text())["model"]) if about.exists() else find_model().sha256


@contextmanager
def default_model(name: str) -> Iterator[None]:
    """Encode with this model where none is named."""
    find_model(name)
    with mock.patch.object(models, "DEFAULT", name):
        yield


@contextmanager
def version_1() -> Iterator[None]:
    """Write what adiabat 0.1.0 wrote: neural payloads of one group without a plan, version 1, its own model."""
    encode, write = volume.encode_frames, Stream.write

    def encode_1(*target: Any, **options: Any) -> tuple[bytes, Any]:
        payload, decoded = encode(*target, **options)
        (group,) = groups_of(payload)[1]
        return group, decoded

    def write_1(stream: Stream) -> bytes:
        return write(dataclasses.replace(stream, version=1))

    with (
        default_model(model_of("tiny")),
        mock.patch.object(volume, "encode_frames", encode_1),
        mock.patch.object(Stream, "write", write_1),
    ):
        yield


def groups_of(payload: bytes) -> tuple[bytes, list[bytes]]:
    """Split a neural payload of version 2 into its plan and groups."""
    reader, groups = Reader(payload), []
    plan = reader.take(3)
    plan += reader.take(plan[2])
    while reader.left:
        groups.append(reader.take(reader.varint()))
    return plan, groups


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


def corners() -> Iterator[Valid]:
    """Give what streams of all kinds leave out: long axes, full bands, lists in masks, limits on one side."""
    many = bits([0x7FC00000 + i // 2 % 300 for i in range(600)], "<f4")
    many[::2] = 1 + np.arange(300) % 7
    yield "mask-list", "300 patterns of NaN: a table and a list", encoded(many.reshape(20, 30), {"abs": 0.5}, "neural")
    upper = (np.exp(smooth((9, 14), "<f8") - 275).view("<i8") & ~0xFFFFFFFF).view("<f8")
    upper = with_sections(encoded(upper, "lossless", "neural"), low_words=None)
    yield "hand-ordered-upper", "lossless float64 without low words", upper
    tiny = (smooth((11, 12), "<f8") - 280) * 2e-6
    yield "subnormal-f2", "results from 2^-24 to 2^-13", encoded(tiny.astype("<f2"), {"abs": 2e-7}, "neural")
    yield "subnormal-f4", "the same far below", encoded((tiny * 2.0**-122).astype("<f4"), {"abs": 1e-43}, "neural")
    off = smooth() - 280
    for name, limits in (("lowest", (-4.0, None)), ("highest", (None, 2.0))):
        clipped = np.clip(off, limits[0], limits[1])
        yield f"range-{name}", f"limits {limits}", encoded(clipped, {"abs": 0.3}, "neural", valid_range=limits)
    yield (
        "range-rel",
        "relative bound, signs and limits",
        encoded(np.clip(off, -4, 2), {"rel": 0.05}, "neural", valid_range=(-4.0, 2.0)),
    )
    exact = dataclasses.replace(Stream.read(encoded(off, "lossless", "neural")), valid_range=(-4.0, 2.0))
    yield "hand-range-lossless", "lossless values beyond the limits stay", exact.write()
    packed = np.random.default_rng(2).integers(-500, 500, (16, 24)).cumsum(1) * 0.1 + 273.15
    yield "lattice-f8", "products and sums that round", encoded(packed.astype("<f8"), "lossless", "neural")
    yield "long", "an axis of 1100", encoded(smooth((1100,), "<f2"), {"abs": 0.5}, "neural")


def long(length: int) -> Array:
    """Make a long axis of float16 on which little happens, with holes."""
    field = np.full(length, 280, "<f2")
    rng = np.random.default_rng(12)
    for place in rng.integers(0, length - 60, 24):
        field[place : place + 40] += rng.normal(size=40).cumsum().astype("<f2")
    field[rng.integers(0, length, 300)] = np.nan
    field[length // 3 : length // 3 + 500] = np.nan
    return field


def first(symbol: int) -> bytes:
    """Encode one value, and put this symbol of its only pixel, in steps of 2^8, into the stream."""
    one = encoded(np.array([3.5], "<f4"), {"abs": 0.1}, "neural")
    context, *parts = parts_of(Stream.read(one).sections["payload"])
    return with_sections(one, payload=joined([context[: _skip(context, 0)] + write_varint(2 * symbol), *parts]))


def hand_made_corners() -> Iterator[Valid]:
    """Give streams that sit on the edge of what a reader must take."""
    constant = Stream("constant", np.dtype("<f4"), (3, 2, 4), sections={"payload": struct.pack("<f", 1.5)})
    nan = struct.pack("<f", np.nan)

    def masked(mask: bytes) -> bytes:
        return dataclasses.replace(constant, sections={"mask": mask, **constant.sections}).write()

    for form in (1, 3):
        body = bytes([form, 0, 0b10110010, 0b00001111, 0b11000011])
        yield f"hand-plane-frames-{form}", f"frames, form {form}", masked(b"\1" + nan + bytes([0, 0, 5]) + body)
    yield "hand-mask-none", "a mask without special pixels", masked(bytes(3))
    yield "hand-mask-unused", "a pattern that no pixel has", masked(b"\1" + nan + bytes([0, 0, 3, 0x80, 0, 0]))
    one = bytes([5, 0x80, 2, 0, 5, 1])
    yield "hand-mask-list-of-one", "a list of one pixel, no table", masked(bytes([0, 1, 5, 0]) + nan + one * 8)
    two = bytes([1]) + nan + bytes([1, 5, 0]) + nan[::-1] + one * 8
    yield "hand-mask-table-unused", "a list of one pixel beside a table of one", masked(two)
    tiny = encoded(smooth((9, 9)), {"abs": 0.1}, "neural")
    yield "hand-escapes-none", "escapes of count 0", with_part(tiny, 4, lambda _: bytes(2))
    yield "hand-first-far", "a first pixel of 2^38", first(1 << 30)
    far = [0, 40000, -40000, 65535, 65536, 1 << 30, -(1 << 30) - 5, -1]
    steps = [0, 1, -1]
    for name, what, dtype, domain, numbers in (
        ("ordered", "k modulo 2^16", "<f2", ("ordered",), far),
        ("log", "the most steps", "<f4", ("log", 2**31 - 1), steps[:1]),
        ("lattice", "the most steps", "<f8", ("lattice", 0.1, 273.15, 2**31 - 1), steps),
    ):
        folded = np.array([2 * n if n >= 0 else -2 * n - 1 for n in numbers], "<u8")
        payload = bytes([0, 8, 0]) + folded.view(np.uint8).reshape(-1, 8).T.tobytes()
        bound = {"ordered": ("lossless", 0.0), "log": ("rel", 0.5), "lattice": ("abs", 0.5)}[name]
        stream = Stream(
            "classical", np.dtype(dtype), (len(numbers),), bound=bound, domain=domain, sections={"payload": payload}
        )
        yield f"hand-{name}-far", f"classical, {what}", stream.write()


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
    yield "version-3", "version 3", "UnsupportedVersion", sealed(body, version=3)
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


def refused_bodies() -> Iterator[Invalid]:
    """Give LZMA bodies and escapes that do not end where they should."""
    raw = Stream("raw", np.dtype("<f4"), (5, 20), sections={"payload": b""})
    body = lzma.compress(bytes(range(200)) * 2, lzma.FORMAT_RAW, filters=LZMA_FILTER)
    for name, what, changed in (
        ("cut", "LZMA's end marker without its last byte", body[:-1]),
        ("tail", "a byte after LZMA's end marker", body + b"\0"),
        ("more", "LZMA data give more", lzma.compress(bytes(401), lzma.FORMAT_RAW, filters=LZMA_FILTER)),
    ):
        data = dataclasses.replace(raw, sections={"payload": b"\2" + changed}).write()
        yield f"raw-lzma-{name}", what, "Corrupt", data
    yield "neural-first-far", "a first pixel one step beyond 2^38", "Corrupt", first((1 << 30) + 1)
    tiny = encoded(smooth((9, 9)), {"abs": 0.1}, "neural")
    yield "neural-escapes-cut", "escapes of count 0, and no bytes", "Corrupt", with_part(tiny, 4, lambda _: b"\0")


# ---- version 2: streams our encoder writes --------------------------------------------------------------------------


def static_field() -> bytes:
    """Make the file of a static field of 14 rows and 18 columns, some hills."""
    y, x = np.meshgrid(np.arange(14), np.arange(18), indexing="ij")
    hills = 900 * np.exp(-(((y - 5) / 3) ** 2) - ((x - 7) / 4) ** 2) + 300 * np.exp(-((y - 11) ** 2) - (x - 13) ** 2)
    return static_file(np.round(hills + 40 * np.sin(1.7 * x) * np.cos(2.1 * y)).astype("<f4"))


STATIC = hashlib.sha256(static_field()).hexdigest()


def hilly(shape: tuple[int, ...], row: int = 0, column: int = 0) -> Array:
    """Make a field that follows the static field from this row and column on."""
    hills = np.load(io.BytesIO(static_field()))[row : row + shape[-2], column : column + shape[-1]]
    return (smooth(shape, "<f8") - 0.0065 * hills).astype("<f4")


def coded(
    array: Array,
    bound: Any,
    axis: int | None = None,
    reach: int = 2,
    *,
    taper: tuple[int, ...] = (),
    weights: Callable[[int], Weights] | None = None,
    learned: bool = False,
    smoothed: Array | None = None,
    gains: Sequence[float] = (),
    model: str | None = None,
    **options: Any,
) -> bytes:
    """Encode by the neural path with this plan; with weights of so many references, this smoothing, these gains."""
    layout, found = Layout.of(array), find_model(model)
    chunk = Chunk(layout.frames(array), layout, Bound.parse(bound), tune="rmse" if taper else "bytes", **options)
    forced = {(volume, "choose"): lambda *_: (axis, 0 if axis is None else reach)}
    fixed = len(options.get("statics", ()))
    if not learned:
        forced[volume, "Learner"] = lambda side, mask: given(
            side, weights(side.columns) if weights else spread(side.columns - fixed, fixed)
        )
    if smoothed is not None:
        forced[Smoothing, "fit"] = lambda *_, **__: Smoothing(smoothed)
    if gains:
        forced[regression, "static_gains"] = lambda *_: np.array(gains)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(volume, "TAPER", taper or volume.TAPER))
        for (where, name), function in forced.items():
            stack.enter_context(mock.patch.object(where, name, function))
        return chunk.neural(found)[0].write()


def given(side: Side, weights: Weights) -> Side:
    """Make a side that does not learn."""
    side.weights = weights
    return side


def one_row(first: int, second: int, trust: int) -> Weights:
    """Give weights of two references that hold for all lattices."""
    return Weights(np.array([[first, second]], np.int8), np.array([trust], np.uint8))


def spread(references: int, statics: int) -> Weights:
    """Give two rows of weights that suit smooth fields, and trust them: what so small fields are not worth fitting."""
    near = [32, 32] if references == 2 else [36, 36, -4, -4, 1, -1, 2, -2][:references]
    rows = [[*near, *[20 if references else 64] * statics], [*near, *[10 if references else 60] * statics]]
    return Weights(np.array(rows, np.int8), np.array([100, 70], np.uint8))


def rough(shape: tuple[int, ...]) -> Array:
    """Make a field whose decoding errors are worth smoothing: noise of about the bound."""
    return (smooth(shape, "<f8") + 0.3 * np.random.default_rng(4).normal(size=shape)).astype("<f4")


def orders() -> Iterator[Valid]:
    """Give orders of frames, and references."""
    fine = {"abs": 0.05}
    yield "v2-still", "one frame", coded(smooth((16, 21)), fine)
    yield "v2-frames", "frames that are not ordered", coded(smooth((6, 10, 13)), fine)
    rows = iter(([0, 0, 0], [0, 0, 0], [27, 19, 46], [25, 26, 66]))  # as adiabat 0.2.0 weighted, stage by stage
    weighted = coded(smooth((9, 13, 16)), fine, 0, weights=lambda _: one_row(*next(rows)))
    yield "v2-hourly", "frames in dyadic order, two references", weighted
    yield "v2-learned", "weights of lattices that differ", coded(rough((9, 40, 48)), fine, 0, learned=True)
    yield "v2-hourly-4", "four references", coded(smooth((6, 12, 20)), fine, 0, 4)
    yield "v2-hourly-8", "eight references, some stood in for", coded(smooth((9, 10, 12)), fine, 0, 8)
    yield "v2-row", "one axis", coded(smooth((1, 31))[0], fine)
    yield "v2-value", "no axis", coded(smooth((1, 1))[0, 0], fine)
    yield "v2-hourly-chosen", "as the encoder chooses", encoded(smooth((5, 18, 22)), fine, "neural")
    yield "v2-hourly-6", "six references, which our encoder does not choose", coded(smooth((7, 10, 12)), fine, 0, 6)
    yield "v2-time", "ordered along the first of two leading axes", coded(smooth((5, 3, 9, 10)), fine, 0)
    yield "v2-level", "ordered along the second of two leading axes", coded(smooth((3, 5, 9, 10)), fine, 1, 4)
    yield "v2-middle", "ordered along the second of three axes", coded(smooth((2, 4, 3, 8, 9)), fine, 1)
    yield "v2-axes", "axes of length 1 do not count", coded(smooth((1, 5, 1, 12, 1, 14)), fine, 0)
    for shape in ((2, 9, 8), (5, 2, 2), (33, 2, 2), (33, 5, 4), (4, 3, 3), (7, 30, 2)):
        name = "x".join(map(str, shape))
        yield f"v2-shape-{name}", f"ordered frames, shape {shape}", coded(smooth(shape), fine, 0, 4)
    around = smooth((3, 10, 32), wrap=True)
    yield "v2-wrap", "ordered frames that wrap", coded(around, fine, 0, wrap=True)
    yield "v2-format-1", "a model of format 1", coded(smooth((4, 9, 12)), fine, model=model_of("tiny"))


def contents_2() -> Iterator[Valid]:
    """Give masks, domains and paths in version 2."""
    moving = smooth((4, 14, 18))
    for hour, frame in enumerate(moving):
        frame[2:8, 2 * hour : 2 * hour + 6] = np.nan
    moving[2, 0, 0], moving[3, -1, -1] = np.nan, np.inf
    yield "v2-mask", "a mask that moves, over a first pixel too", coded(moving, {"abs": 0.05}, 0)
    for dtype, bound in (("<f2", {"abs": 0.5}), (">f4", "lossless"), (">f8", "lossless"), ("<f8", {"rel": 1e-5})):
        name = f"{bound if isinstance(bound, str) else next(iter(bound))}-{'big' if dtype[0] == '>' else ''}{dtype[1:]}"
        yield f"v2-{name}", f"ordered frames, {dtype}, {bound}", coded(smooth((3, 9, 12), dtype), bound, 0)
    packed = (np.round(smooth((5, 12, 14), "<f8") / 0.01) * 0.01).astype("<f4")
    yield "v2-lattice", "packed data, ordered frames", coded(packed, {"abs": 0.021}, 0)
    fortran = np.asfortranarray(smooth((4, 3, 9, 10)))
    yield "v2-fortran", "Fortran order, ordered along the second axis", coded(fortran, {"abs": 0.05}, 0)
    yield "v2-escapes", "spikes in ordered frames", coded(spiky((3, 12, 14)), {"abs": 1e-3}, 0)
    bounds = {"abs": [0.02, 0.05, 0.1, 0.3, 1.0], "axis": 1}
    yield "v2-profile", "bounds along the ordered axis", coded(smooth((2, 5, 9, 12)), bounds, 1)
    yield "v2-profile-other", "bounds along another axis than the ordered one", coded(smooth((3, 5, 8, 9)), bounds, 0)
    rows = {"abs": np.geomspace(0.02, 1, 13).tolist(), "axis": -2}
    yield "v2-profile-rows", "bounds along y, one frame", coded(smooth((13, 12)), rows)
    yield "v2-profile-classical", "bounds along an axis, classical", encoded(smooth((13, 12)), rows, "classical")
    yield "v2-classical", "classical in version 2", encoded(smooth((6, 5)), {"abs": 0.05}, "classical")
    yield "v2-raw", "raw in version 2", encoded(smooth((3, 5)), "lossless", "raw")
    yield "v2-constant", "constant in version 2", encoded(np.full((3, 5), 2.5, "<f4"), "lossless")


def shared_values() -> Iterator[Valid]:
    """Give fields of which many pixels have one value, kept by the mask."""
    field = rough((26, 38)).astype(np.float64)
    clouds = np.clip((field - np.quantile(field, 0.3)) / np.ptp(field) / 0.4, 0, 1).astype("<f4")
    for name, dtype, limits in (
        ("", "<f4", (None, None)),
        ("-range", "<f4", (0.0, 1.0)),
        ("-big-f8", ">f8", (0.0, None)),
    ):
        layout = Layout.of(clouds.astype(dtype))
        chunk = Chunk(layout.frames(clouds.astype(dtype)), layout, Bound("abs", 1e-3), valid_range=limits)
        made = _some(without_atoms(chunk)).neural(find_model())
        yield f"v2-atoms{name}", f"0 and 1 stand in the mask, limits {limits}, {dtype}", _some(made)[0].write()


def _some(value: Any) -> Any:
    """Refuse None."""
    if value is None:
        raise ValueError("no such stream")
    return value


def tapers() -> Iterator[Valid]:
    """Give tapers, and smoothing."""
    taper, loose = volume.TAPER, {"abs": 0.5}
    yield "v2-taper", "a taper; a group too small to be smoothed", coded(smooth((20, 24)), loose, taper=taper)
    yield "v2-taper-2x2", "first pixels have the last share", coded(smooth((5, 2, 2)), loose, 0, taper=taper)
    yield "v2-taper-0d", "a taper and one value", coded(smooth((1, 1)), loose, taper=taper)
    yield "v2-smooth", "a group large enough to be smoothed", coded(rough((127, 130)).astype("<f2"), loose, taper=taper)
    with mock.patch.object(smoothing, "LEAST", 0):
        hours = coded(rough((5, 14, 18)), loose, 0, taper=taper)
        yield "v2-smooth-hourly", "smoothed frames as references", hours
        around = rough((16, 32)) + smooth((16, 32), wrap=True) - smooth((16, 32))
        yield "v2-smooth-wrap", "smoothing round the seam", coded(around, loose, taper=taper, wrap=True)
        holey = coded(holes(rough((3, 14, 21))), loose, 0, taper=taper)
        yield "v2-smooth-mask", "smoothing beside masked pixels", holey


def statics() -> Iterator[Valid]:
    """Give static fields."""
    fine, here = {"abs": 0.05}, (Static(STATIC, 1, 2),)
    still, hours = hilly((12, 14), 1, 2), hilly((5, 12, 14), 1, 2)
    yield "v2-static", "one frame with a static field", coded(still, fine, gains=(-0.6,), statics=here)
    yield "v2-static-frames", "frames that are not ordered", coded(hours, fine, gains=(-0.6,), statics=here)
    yield "v2-static-hourly", "a static field beside references", coded(hours, fine, 0, gains=(-0.6,), statics=here)
    taper = coded(hours, {"abs": 0.5}, 0, gains=(-0.06,), statics=here, taper=volume.TAPER)
    yield "v2-static-taper", "a static field, references and a taper", taper


# ---- version 2: valid streams our encoder never writes --------------------------------------------------------------


def hand_made_2() -> Iterator[Valid]:
    """Give streams of version 2 that a reader must take though our encoder never writes them."""
    fine, rng = {"abs": 0.05}, np.random.default_rng(11)

    def wild(rows: int, trust: Sequence[int]) -> Callable[[int], Weights]:
        return lambda n: Weights(rng.integers(-128, 128, (rows, n)).astype(np.int8), np.array(trust, np.uint8))

    field = smooth((4, 16, 18))
    rows = coded(field, fine, 0, weights=wild(6, [0, 127, 3, 0, 60, 1]))
    yield "hand-v2-rows", "six rows of any weights, some of trust 0", rows
    yield (
        "hand-v2-trust-0",
        "the last row's trust is 0: first pixels in a chain",
        coded(field, fine, 0, weights=wild(3, [90, 90, 0])),
    )
    yield "hand-v2-untrusted", "references that nothing uses", coded(field, fine, 0, weights=wild(1, [0]))
    one = coded(smooth((12, 14)), fine, 0, 8)
    yield "hand-v2-axis-of-one", "ordered along the one leading axis of length 1", one
    for name, taper in (("rises", (1, 64)), ("swings", (64, 1, 50, 2, 64)), ("long", tuple(range(64, 32, -1)))):
        data = coded(rough((2, 19, 18)), {"abs": 0.01}, 0, taper=taper)
        yield f"hand-v2-taper-{name}", f"shares {taper}: marks in other steps, clipped", data
    kinds = rng.integers(-128, 128, (smoothing.KINDS, smoothing.FEATURES)).astype(np.int8)
    strong = coded(rough((3, 18, 17)), {"abs": 0.5}, 0, taper=(20, 30, 64, 10), smoothed=kinds)
    yield "hand-v2-smooth-any", "any smoothing weights, clipped to what there is room for", strong
    packed = (np.round(smooth((3, 12, 14), "<f8") / 0.01) * 0.01).astype("<f4")
    with mock.patch.object(Chunk, "neural", _tapered(kinds)):
        yield "hand-v2-taper-snap", "a taper where predictions are rounded to 64", coded(packed, {"abs": 0.021}, 0)
    places = Static(STATIC, 0, 0), Static(STATIC, 2, 4), Static(STATIC, 0, 4), Static(STATIC, 2, 0)
    four = coded(
        hilly((3, 12, 14)), fine, 0, gains=(-0.6, 0.01, 1e12, -1e-300), statics=places, weights=wild(2, [9, 99])
    )
    yield "hand-v2-static-four", "four places in one file, gains from nothing to beyond every limit", four


def _tapered(weights: Array) -> Callable[[Chunk, Any], tuple[Stream, bool]]:
    """Chunk.neural, but with a taper in any domain."""

    def neural(chunk: Chunk, model: Any) -> tuple[Stream, bool]:
        frames, domain = chunk.target, chunk.domain
        with mock.patch.object(Smoothing, "fit", return_value=Smoothing(weights)):
            payload, decoded = volume.encode_frames(
                frames,
                valid=None,
                step=domain.step,
                snap=domain.snap,
                wrap=chunk.wraps,
                model=model,
                taper=(50, 33, 21),
            )
        return chunk._predicted("neural", {"payload": payload}, decoded, bytes.fromhex(model.sha256))

    return neural


def corners_2() -> Iterator[Valid]:
    """Give long ordered axes, and a seam of an odd width."""
    rng = np.random.default_rng(13)
    hours = (280 + rng.normal(size=(600, 1, 1)).cumsum(0) + 0.1 * rng.normal(size=(600, 2, 2))).astype("<f2")
    yield "v2-hours-600", "an ordered axis of 600 positions", coded(hours, {"abs": 0.5}, 0, 4)
    with mock.patch.object(smoothing, "LEAST", 0):
        around = rough((15, 31)) + smooth((15, 31), wrap=True) - smooth((15, 31))
        odd = coded(around, {"abs": 0.5}, taper=volume.TAPER, wrap=True)
    yield "v2-smooth-wrap-odd", "smoothing round the seam of an odd width", odd
    yield "v2-bands", "passes of more than one band", coded(long(131200), {"abs": 0.5})
    plane = bytes([1, 1, 0]) + bytes([0, 1, 2, 3, 4, 5])
    bounds = pack(np.array([0.3, 2.0]).view(np.uint8).reshape(2, 8).T.tobytes())
    table = bytes([2, 5, len(plane), 6, len(bounds)]) + plane + bounds
    yield "hand-v2-shave-52", "the largest shave", sealed(b"\2\0\3\2\2\3\3\0\5\x34" + table, version=2)


# ---- version 2: streams that must be refused ------------------------------------------------------------------------


def with_groups(data: bytes, change: Callable[[bytes, list[bytes]], bytes]) -> bytes:
    """Make another payload of a stream's plan and groups."""
    return with_sections(data, payload=change(*groups_of(Stream.read(data).sections["payload"])))


def with_plan(data: bytes, plan: bytes) -> bytes:
    """Replace the plan of a neural payload."""
    return with_groups(data, lambda _, groups: joined_groups(plan, groups))


def with_group(data: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Change one group of a neural payload; its length follows."""

    def changed(plan: bytes, groups: list[bytes]) -> bytes:
        groups[number] = change(groups[number])
        return joined_groups(plan, groups)

    return with_groups(data, changed)


def joined_groups(plan: bytes, groups: list[bytes], off: int = 0) -> bytes:
    """Undo groups_of; the length before the last group is off by so much."""
    heads = [write_varint(len(group) + off * (group is groups[-1])) for group in groups]
    return plan + b"".join(head + group for head, group in zip(heads, groups, strict=True))


def refused_plans() -> Iterator[Invalid]:
    """Give broken plans, groups, weights and smoothing sections."""
    fine = {"abs": 0.05}
    good = coded(smooth((3, 2, 7, 8)), fine, 0)
    plans = {
        "plan-axis": ("the third of two leading axes is ordered", bytes([3, 2, 0])),
        "plan-axis-255": ("axis 255", bytes([255, 2, 0])),
        "plan-reach-odd": ("three references", bytes([1, 3, 0])),
        "plan-reach-10": ("ten references", bytes([1, 10, 0])),
        "plan-reach-0": ("an ordered axis without references", bytes([1, 0, 0])),
        "plan-reach-alone": ("references without an ordered axis", bytes([0, 2, 0])),
        "plan-share-0": ("a share of 0", bytes([1, 2, 2, 64, 0])),
        "plan-share-65": ("a share of 65", bytes([1, 2, 2, 65, 64])),
        "plan-shares-33": ("33 shares", bytes([1, 2, 33]) + bytes([64]) * 33),
        "plan-cut": ("a taper cut off", bytes([1, 2, 32, 64])),
    }
    for name, (what, plan) in plans.items():
        payload = plan if name == "plan-cut" else None
        data = with_plan(good, plan) if payload is None else with_sections(good, payload=payload)
        yield f"v2-{name}", what, "Corrupt", data
    still = coded(smooth((8, 9)), fine)
    cases = {
        "payload-empty": ("no plan", with_sections(good, payload=b"")),
        "payload-plan": ("a plan and no group", with_sections(good, payload=bytes([1, 2, 0]))),
        "axis-of-one": ("the second of no leading axes is ordered", with_plan(still, bytes([2, 2, 0]))),
        "group-long": ("a group's length too long", with_groups(good, lambda p, g: joined_groups(p, g, 1))),
        "group-short": ("a group's length too short", with_groups(good, lambda p, g: joined_groups(p, g, -1))),
        "group-padded": ("a group that does not fill its length", with_group(good, 1, lambda g: g + b"\0")),
        "group-missing": ("the last group is missing", with_groups(good, lambda p, g: joined_groups(p, g[:-1]))),
        "group-more": ("a group too many", with_groups(good, lambda p, g: joined_groups(p, [*g, g[-1]]))),
        "rows-0": ("no rows of weights", with_group(good, 1, lambda g: b"\0" + g[1:])),
        "rows-7": ("seven rows of weights", with_group(good, 1, lambda g: b"\7" + g[1:4] * 7 + g[4:])),
        "trust-128": ("a trust of 128", with_group(good, 1, lambda g: g[:1] + b"\x80" + g[2:])),
        "weights-cut": ("a group that ends in its weights", with_group(good, -1, lambda g: g[:3])),
        "first-far": ("a first pixel beyond 2**38", with_group(still, 0, _far)),
        "format-1-axis": ("references with a model of format 1", with_model_1(good)),
    }
    for name, (what, data) in cases.items():
        yield f"v2-{name}", what, "Corrupt", data
    loose, size = {"abs": 0.5}, smoothing.KINDS * smoothing.FEATURES
    kinds = np.resize(np.arange(-128, 128), (smoothing.KINDS, smoothing.FEATURES)).astype(np.int8)
    rounded = coded(smooth((8, 9)), loose, taper=volume.TAPER, smoothed=kinds)

    def section(weights: bytes) -> Callable[[bytes], bytes]:
        return lambda group: write_varint(len(weights)) + weights + group[1 + group[0] + (group[0] > 127) :]

    for name, what, change in (
        ("smooth-cut", "a group that ends in its smoothing section", lambda group: group[:20]),
        ("smooth-fewer", "a smoothing weight is missing", section(b"\0" + bytes(size - 1))),
        ("smooth-more", "a smoothing weight too many", section(b"\0" + bytes(size + 1))),
        ("smooth-method", "smoothing weights packed by method 3", section(b"\3" + bytes(size))),
        ("smooth-long", "a smoothing section longer than its group", lambda group: b"\xff\x7f" + group),
    ):
        yield f"v2-{name}", what, "Corrupt", with_group(rounded, 0, change)


def _far(group: bytes) -> bytes:
    """Put a first symbol of 2**40 into a group without weights or smoothing."""
    start = _skip(group, 0)
    return group[:start] + write_varint(2**41) + group[_skip(group, start) :]


def with_model_1(data: bytes) -> bytes:
    """Name the model of version 1, which sees no references."""
    return dataclasses.replace(Stream.read(data), model=bytes.fromhex(model_of("tiny"))).write()


def refused_statics() -> Iterator[Invalid]:
    """Give broken sections `static`."""
    here = Static(STATIC, 1, 2, -0.6)
    good = coded(hilly((12, 14), 1, 2), {"abs": 0.05}, gains=(-0.6,), statics=(here,))
    moved = dataclasses.replace
    one = write_statics((here,))[1:]
    lists = {
        "0": ("no static field", b"\0"),
        "5": ("five static fields", b"\5" + one * 5),
        "fewer": ("fewer static fields than announced", b"\2" + one),
        "more": ("more static fields than announced", b"\1" + one * 2),
        "cut": ("a gain cut off", b"\1" + one[:-1]),
        "empty": ("an empty section", b""),
        "gain-nan": ("a gain of NaN", write_statics((moved(here, gain=np.nan),))),
        "gain-inf": ("an infinite gain", write_statics((moved(here, gain=np.inf),))),
        "row": ("a row beyond the field", write_statics((moved(here, y=3),))),
        "column": ("a column beyond the field", write_statics((moved(here, x=5),))),
        "row-far": ("row 2**31 + 1", write_statics((moved(here, y=2**31 + 1),))),
    }
    for name, (what, section) in lists.items():
        yield f"v2-static-{name}", what, "Corrupt", with_sections(good, static=section)
    nobody = write_statics((moved(here, sha256=bytes(range(32)).hex()),))
    yield "v2-static-unknown", "a static field that nobody has", "ModelNotFound", with_sections(good, static=nobody)
    yield "v2-static-none", "weights of a static field, and no section", "Corrupt", with_sections(good, static=None)
    plain = coded(smooth((8, 9)), {"abs": 0.05})
    yield "v2-static-unused", "a section, and no weights", "Corrupt", with_sections(plain, static=b"\1" + one)
    yield "v2-format-1-static", "a static field with a model of format 1", "Corrupt", with_model_1(good)
    yield "v2-static-in-1", "section static in version 1", "Corrupt", sealed(body_of(good), version=1)
    flat = encoded(smooth((8, 9)), {"abs": 0.05}, "classical")
    yield "v2-static-classical", "section static on the classical path", "Corrupt", raw_sections(flat, {7: b"\1" + one})


def body_of(data: bytes) -> bytes:
    """Give what lies between length and checksum."""
    return data[_skip(data, 6) : -4]


def raw_sections(data: bytes, added: dict[int, bytes]) -> bytes:
    """Add sections, by their ids, that the stream has no use for."""
    stream = Stream.read(data)
    size = sum(map(len, stream.sections.values())) + sum(
        1 + len(write_varint(len(s))) for s in stream.sections.values()
    )
    header = body_of(data)[: -size - 1]
    table = {5: stream.sections["payload"], **added}
    heads = b"".join(bytes([number]) + write_varint(len(part)) for number, part in sorted(table.items()))
    bodies = b"".join(part for _, part in sorted(table.items()))
    return sealed(header + bytes([len(table)]) + heads + bodies, version=2)


def refused_profiles() -> Iterator[Invalid]:
    """Give broken bounds along an axis."""
    f64 = struct.Struct("<d").pack
    part = bytes([1, 1, 0]) + bytes(6)
    bounds = pack(np.array([0.5, 2.0]).view(np.uint8).reshape(2, 8).T.tobytes())

    def changed(
        bound: bytes = b"\3\0", domain: bytes = b"\5\3", bounds: bytes | None = bounds, version: int = 2
    ) -> bytes:
        table = bytes([1, 5, len(part)]) if bounds is None else bytes([2, 5, len(part), 6, len(bounds)])
        return sealed(b"\2\0\2\2\2\3" + bound + domain + table + part + (bounds or b""), version=version)

    def planes_of(*sizes: float) -> bytes:
        return b"\0" + np.array(sizes).view(np.uint8).reshape(-1, 8).T.tobytes()

    cases = {
        "axis": ("bounds along the third of two axes", changed(bound=b"\3\2")),
        "shave-0": ("a shave of 0", changed(domain=b"\5\0")),
        "shave-53": ("a shave of 53", changed(domain=b"\5\x35")),
        "bound": ("bound profile, domain abs", changed(domain=b"\1" + f64(0.01), bounds=None)),
        "domain": ("domain profile, bound abs", changed(bound=b"\1" + f64(0.5))),
        "section": ("domain profile without section bounds", changed(bounds=None)),
        "section-alone": (
            "section bounds in domain abs",
            changed(bound=b"\1" + f64(0.5), domain=b"\1" + f64(0.01)),
        ),
        "zero": ("a bound of 0 in the list", changed(bounds=planes_of(0.5, 0.0))),
        "nan": ("a bound of NaN in the list", changed(bounds=planes_of(np.nan, 0.5))),
        "inf": ("an infinite bound in the list", changed(bounds=planes_of(0.5, np.inf))),
        "fewer": ("one bound for two rows", changed(bounds=planes_of(0.5))),
        "more": ("three bounds for two rows", changed(bounds=planes_of(0.5, 0.5, 0.5))),
        "in-1": ("a profile in version 1", changed(version=1)),
    }
    for name, (what, data) in cases.items():
        yield f"v2-profile-{name}", what, "Corrupt", data


# ---- version 3: the latent path -------------------------------------------------------------------------------------


def latent_model() -> HyperpriorModel:
    """Find the model with which vectors were written, or the shipped one if there are none yet."""
    about = VECTORS / "valid" / "v3-latent" / "about.json"
    return find_hyperprior(str(json.loads(about.read_text())["model"]) if about.exists() else None)


def latent_model_is_shipped() -> bool:
    """Whether the model of vectors of version 3 is one that the package brings, and not one of ADIABAT_MODELS."""
    files = sorted(SHIPPED.glob("hyperprior*.zip"))
    return bool(files) and latent_model().sha256 in {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def latent_coded(
    array: Array,
    step: float,
    *,
    x_first: bool = False,
    wrap: bool = False,
    bound: float | None = None,
    model: HyperpriorModel | None = None,
    statics: tuple[Static, ...] = (),
    **options: Any,
) -> bytes:
    """Encode by the latent path with this step; with a residual under a bound."""
    shared = (options.get("valid_range"), options.get("fill_value"), wrap, None, 1, None)
    asked = LatentOptions.parse(None, "lossless" if bound is None else {"abs": bound}, *shared)
    field = dataclasses.replace(asked.field(array, None), statics=statics)
    model, scale = model or latent_model(), float(np.float32(step))
    analysis = subband_coder.Analysis(field.anomaly, wrap, x_first)
    payload, integers = subband_coder.encode(analysis, scale, model)
    x_hat = field.centre + integers * (scale / 65536)
    made = candidate(field, Hyperprior.codec_id, model.sha256, payload, scale, x_hat, centre=field.centre)
    if bound is None:
        return made.stream.write()
    data = with_residual(made, field, Bound("abs", bound), asked)
    if data is None:
        raise ValueError("no residual keeps the bound")
    return data


def wild(
    shape: tuple[int, int, int],
    most: int,
    *,
    top: float = 0.0,
    x_first: bool = False,
    wrap: bool = False,
    model: HyperpriorModel | None = None,
    scale: float = 0.5,
) -> bytes:
    """Encode symbols of any size up to `most`, whatever the model makes of them; top: value of the top, in steps."""
    rng, model = np.random.default_rng(6), model or latent_model()

    def any_symbols(*arguments: Any) -> None:
        symbols = arguments[-1]
        size = np.exp(rng.uniform(-1, np.log(most + 1), symbols.size))
        symbols[:] = np.minimum(size, most).astype(np.int64) * rng.choice([-1, 1], symbols.size)

    analysis = subband_coder.Analysis(np.full(shape, top), wrap, x_first)
    with mock.patch.object(subband_coder, "quantise", any_symbols):
        payload, _ = subband_coder.encode(analysis, 1.0, model)
    return latent_stream(payload, model, shape, scale=scale, wrap=wrap).write()


def latent_stream(
    payload: bytes, model: HyperpriorModel, shape: tuple[int, ...], *, scale: float = 0.5, wrap: bool = False
) -> Stream:
    """Make a stream of float32 around a payload."""
    domain = ("latent", 280.0, scale)
    return Stream(
        "latent",
        np.dtype("<f4"),
        shape,
        bound=("unbounded", 0.0),
        domain=domain,
        wrap=wrap,
        model=bytes.fromhex(model.sha256),
        sections={"payload": payload},
        codec=Hyperprior.codec_id,
    )


def latents() -> Iterator[Valid]:
    """Give what the latent path has."""
    around = smooth((16, 32), wrap=True)
    yield "v3-latent", "one frame", latent_coded(smooth(), 0.3)
    yield "v3-x-first", "a first level along x alone", latent_coded(smooth(), 0.3, x_first=True)
    yield "v3-wrap", "x closes on itself", latent_coded(around, 0.2, wrap=True)
    yield (
        "v3-wrap-x-first",
        "the same with a first level along x alone",
        latent_coded(around, 0.2, wrap=True, x_first=True),
    )
    yield "v3-wrap-12", "a width that wraps on two levels only", latent_coded(smooth((9, 12)), 0.2, wrap=True)
    yield "v3-odd", "odd numbers of rows and columns", latent_coded(smooth((13, 21)), 0.1)
    yield (
        "v3-odd-x-first",
        "the same with a first level along x alone",
        latent_coded(smooth((13, 21)), 0.1, x_first=True),
    )
    yield "v3-frames", "frames, coded together", latent_coded(smooth((2, 3, 10, 14)), 0.2, wrap=True)
    for shape in ((1, 31), (29, 1), (2, 2), (3, 2), (2, 40)):
        name = "x".join(map(str, shape))
        yield f"v3-shape-{name}", f"shape {shape}", latent_coded(smooth(shape), 0.05, x_first=shape[0] == 2)
    for dtype in ("<f2", ">f4", "<f8", ">f8"):
        name = f"{'big' if dtype[0] == '>' else 'little'}{dtype[1:]}"
        yield f"v3-{name}", f"{dtype}", latent_coded(smooth((11, 12), dtype), 0.4)
    fortran = np.asfortranarray(smooth((3, 9, 8)))
    yield "v3-fortran", "Fortran order, three axes", latent_coded(fortran, 0.4)
    yield "v3-mask", "NaN and infinities", latent_coded(holes(smooth()), 0.4)
    filled = smooth()
    filled[3:9, 4:30] = -9999
    yield "v3-fill-value", "a fill value, exact", latent_coded(filled, 0.4, fill_value=-9999.0)
    yield "v3-range", "decoded values clipped", latent_coded(smooth(), 2.0, valid_range=(270.0, 280.0))
    yield "v3-bound", "a residual under a bound", latent_coded(smooth(), 1.0, bound=0.1)
    yield "v3-bound-mask", "a residual and a mask, frames", latent_coded(holes(smooth((2, 20, 24))), 0.5, bound=0.1)
    here, other = Static(STATIC, 1, 2, -0.0065), Static(STATIC, 0, 4, 1e-3)
    hills = latent_coded(hilly((2, 12, 14), 1, 2), 0.3, statics=(here,))
    yield "v3-static", "frames less what a static field explains", hills
    three = latent_coded(hilly((12, 14), 1, 2), 0.3, bound=0.1, x_first=True, statics=(here, other, other))
    yield "v3-static-bound", "static fields, and a residual", three
    yield "v3-fine", "symbols with raw bits, and escaped ones", latent_coded(spiky((17, 18), 4), 0.03)
    yield "v3-coarse", "hardly any symbols", latent_coded(smooth((40, 48)), 8.0)
    with mock.patch.object(entropy, "SUBSTITUTION_LETTERS", 0):
        steps = np.where(np.random.default_rng(8).random((40, 40)) < 0.5, 0.0, 1.0).astype("<f4")
        yield "v3-substitution", "a field that suits other tables", latent_coded(steps, 0.02)
    chosen = Hyperprior(target={"ratio": 60.0}, model=latent_model().sha256).encode(smooth((64, 96)))
    yield "v3-chosen", "as the encoder chooses", bytes(chosen)


def hand_made_3() -> Iterator[Valid]:
    """Give streams of version 3 that a reader must take though our encoder never writes them."""
    yield "hand-v3-wild", "any symbols", wild((2, 13, 18), 200, wrap=True, x_first=True)
    far = wild((1, 24, 20), 2**38, top=2.0**20, x_first=True)
    yield "hand-v3-far", "coefficients and LL clipped to 2**38", far
    stream = Stream.read(wild((1, 1, 1), 0, top=3.0))
    one = dataclasses.replace(stream, sections={"payload": b"\1" + stream.sections["payload"][1:]}).write()
    yield "hand-v3-value", "one value: no levels, whatever the first byte says", one
    base = Stream.read(latent_coded(smooth((9, 11)), 0.5))

    def with_nested(data: bytes) -> bytes:
        sections = {**base.sections, "residual": data}
        return dataclasses.replace(base, bound=("abs", 0.5), sections=sections).write()

    off = smooth((9, 11)) - 280
    classical = encoded(off.astype(">f8").reshape(9, 1, 11), {"abs": 0.1}, "classical")
    yield "hand-v3-residual-classical", "a residual of another dtype and shape, classical", with_nested(classical)
    yield "hand-v3-residual-raw", "a raw residual", with_nested(encoded(off, "lossless", "raw"))
    constant = encoded(np.full((9, 11), 0.25, "<f2"), "lossless")
    yield "hand-v3-residual-constant", "a constant residual", with_nested(constant)
    with version_1():
        old = encoded(smooth((9, 11)), {"abs": 0.1}, "neural")
    yield "hand-v3-residual-1", "a residual of version 1", with_nested(old)
    large = dataclasses.replace(base, dtype=np.dtype("<f2"), domain=("latent", 65000.0, 1e4)).write()
    yield "hand-v3-infinite", "values beyond float16", large


def corners_3() -> Iterator[Valid]:
    """Give long latent fields, static fields in float64, residuals of version 4."""
    yield "v3-long", "an axis of 3000", latent_coded(smooth((3000,), "<f2"), 4.0)
    yield "v3-longer", "more than 65536 columns", latent_coded(long(70000), 1.0)
    yield "v3-row-x-first", "one row, whose first level has depth 0", latent_coded(smooth((1, 31)), 0.05, x_first=True)
    yield "v3-fine-f8", "float64, products that round", latent_coded(smooth((13, 21), "<f8"), 2e-4)
    places = Static(STATIC, 1, 2, -0.7), Static(STATIC, 0, 4, 0.9)
    hills = hilly((12, 14), 1, 2).astype("<f8")
    yield "v3-static-f8", "two static fields, float64", latent_coded(hills, 0.3, statics=places)
    base = Stream.read(latent_coded(smooth((9, 11)), 0.5))
    nested = spectral(smooth((9, 11)) - 280)
    both = dataclasses.replace(base, bound=("abs", 0.5), sections={**base.sections, "residual": nested})
    yield "hand-v3-residual-4", "a residual of version 4", both.write()


# ---- version 3: streams that must be refused ------------------------------------------------------------------------


def with_coded(data: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Change one of the four coded parts of a latent payload."""
    payload = Stream.read(data).sections["payload"]
    parts = parts_of(b"\0\0" + payload[1:])
    parts[number] = change(parts[number])
    return with_sections(data, payload=payload[:1] + joined(parts)[2:])


def refused_latents() -> Iterator[Invalid]:
    """Give broken latent payloads and residuals."""
    good = latent_coded(smooth((9, 11)), 0.3)
    spikes, both = latent_coded(spiky((17, 18), 4), 0.03), latent_coded(smooth((9, 11)), 1.0, bound=0.1)
    payload = Stream.read(good).sections["payload"]
    nested = Stream.read(both).sections["residual"]
    other = encoded(smooth((9, 12)), {"abs": 0.1})
    cases = {
        "flag": ("a first byte of 2", with_sections(good, payload=b"\2" + payload[1:])),
        "payload-empty": ("an empty payload", with_sections(good, payload=b"")),
        "payload-tail": ("bytes after the escapes", with_sections(good, payload=payload + b"\0")),
        "payload-cut": ("a payload cut off", with_sections(good, payload=payload[:-4])),
        "words-bytes": ("words of 3 bytes", with_coded(good, 2, lambda part: part[:-1])),
        "words-zero": ("a last word of 0", with_coded(good, 2, lambda part: part + bytes(4))),
        "words-more": ("words left over", with_coded(good, 2, lambda part: b"\1\2\3\4" + part)),
        "substitution-96": ("table 96", with_coded(good, 1, lambda part: pack(b"\x60" + bytes(191)))),
        "raw-bits-more": ("raw bits left over", with_coded(good, 3, lambda part: part + b"\0")),
        "raw-bits-less": ("raw bits missing", with_coded(spikes, 3, lambda part: part[:-1])),
        "escapes-less": ("escaped symbols missing", with_coded(spikes, 4, lambda part: b"")),
        "top-far": ("a top value beyond 2**38", wild((1, 5, 6), 3, top=2.0**24)),
        "residual-shape": ("a residual of another shape", with_sections(both, residual=other)),
        "residual-latent": ("a residual of the latent path", with_sections(both, residual=good)),
        "residual-empty": ("no bytes in the residual", with_sections(both, residual=b"")),
        "residual-crc": ("another checksum of the residual", with_sections(both, residual=nested[:-4] + b"\1\2\3\4")),
    }  # fmt: skip
    for name, (what, data) in cases.items():
        yield f"v3-{name}", what, "Truncated" if name == "residual-empty" else "Corrupt", data
    here = Static(STATIC, 1, 2, -0.0065)
    hills = latent_coded(hilly((12, 14), 1, 2), 0.3, statics=(here,))
    for name, what, error, static in (
        ("none", "no static field in section static", "Corrupt", b"\0"),
        ("row", "a row beyond the static field", "Corrupt", write_statics((dataclasses.replace(here, y=3),))),
        ("gain-inf", "an infinite gain", "Corrupt", write_statics((dataclasses.replace(here, gain=np.inf),))),
        ("unknown", "a static field that nobody has", "ModelNotFound", write_statics((Static(bytes(32).hex()),))),
    ):
        yield f"v3-static-{name}", what, error, with_sections(hills, static=static)
    nobody = dataclasses.replace(Stream.read(good), model=bytes(range(8))).write()
    yield "v3-model", "a model that nobody has", "ModelNotFound", nobody
    of_pyramid = dataclasses.replace(Stream.read(good), model=bytes.fromhex(find_model().sha256)).write()
    yield "v3-model-kind", "a model of adiabat.pyramid", "ModelMismatch", of_pyramid


def refused_fillings() -> Iterator[Invalid]:
    """Give latent payloads with bits where none may be, and a residual whose frames alone differ."""
    good, fine = latent_coded(smooth((9, 11)), 0.3), latent_coded(spiky((17, 18), 4), 0.03)
    both = latent_coded(smooth((9, 11)), 1.0, bound=0.1)
    other = encoded(np.full((11, 9), 0.25, "<f4"), "lossless")
    moved = pack(bytes(96) + b"\x60" + bytes(95))
    cases = {
        "raw-bits-one": ("a one after the last raw bit", with_coded(fine, 3, lambda part: part[:-1] + b"\xff")),
        "substitution-96-1": ("table 96 in region 1", with_coded(good, 1, lambda _: moved)),
        "residual-frames": ("a residual of other rows and columns", with_sections(both, residual=other)),
    }
    for name, (what, data) in cases.items():
        yield f"v3-{name}", what, "Corrupt", data


def refused_latent_headers() -> Iterator[Invalid]:
    """Give broken headers of version 3."""
    good = Stream.read(latent_coded(smooth((5, 6)), 0.3))
    payload, model = good.sections["payload"], good.model or b""
    f32, f64 = struct.Struct("<f").pack, struct.Struct("<d").pack
    names = ("path", "flags", "dtype", "shape", "bound", "domain", "model", "rest")
    alone = bytes([1, 5, len(payload)]) + payload
    parts = (b"\4", b"\0", b"\2", b"\2\5\6", b"\4", b"\6" + f32(280.0) + f32(0.3), model, alone)

    def changed(version: int = 3, codec: int = 2, **fields: bytes) -> bytes:
        body = b"".join(fields.get(name, part) for name, part in zip(names, parts, strict=True))
        return sealed(body, version=version, codec=codec)

    nested = encoded(np.full((5, 6), 0.25, "<f4"), "lossless")
    heads, ordered = bytes([2, 5, len(payload), 8, len(nested)]), b"\3"
    both, abs_bound = heads + payload + nested, b"\1" + f64(0.5)
    fitting = bytes([1, 5, 9, 1, 1, 0]) + bytes(6)
    cases = {
        "scale-0": ("a scale of 0", changed(domain=b"\6" + f32(280.0) + f32(0.0))),
        "scale-negative": ("a negative scale", changed(domain=b"\6" + f32(280.0) + f32(-0.3))),
        "scale-nan": ("a scale of NaN", changed(domain=b"\6" + f32(280.0) + f32(np.nan))),
        "centre-inf": ("an infinite centre", changed(domain=b"\6" + f32(np.inf) + f32(0.3))),
        "codec-4": ("codec 4", changed(codec=4)),
        "codec-1": ("the latent path of codec 1", changed(codec=1)),
        "in-2": ("the latent path in version 2", changed(version=2)),
        "in-2-codec-1": ("the latent path of codec 1 in version 2", changed(version=2, codec=1)),
        "neural": ("the neural path in version 3", changed(path=b"\3", codec=1, model=bytes(32))),
        "neural-codec-2": ("the neural path of codec 2", changed(path=b"\3", model=bytes(32))),
        "constant": (
            "the constant path in version 3",
            changed(path=b"\1", codec=1, bound=b"\0", domain=b"\0", model=b"", rest=bytes([1, 5, 4]) + bytes(4)),
        ),
        "classical-codec-2": (
            "the classical path of codec 2 in version 2",
            changed(version=2, path=b"\2", bound=b"\0", domain=ordered, shape=b"\2\2\3", model=b"", rest=fitting),
        ),
        "path-5": ("path 5", changed(path=b"\5")),
        "domain": ("domain abs on the latent path", changed(domain=b"\1" + f64(0.01))),
        "domain-7": ("domain 7", changed(domain=b"\7" + f32(280.0) + f32(0.3))),
        "bound-5": ("bound 5", changed(bound=b"\5")),
        "bound-lossless": ("a lossless bound", changed(bound=b"\0")),
        "bound-rel": ("a relative bound and a residual", changed(bound=b"\2" + f64(0.5), rest=both)),
        "bound-alone": ("a bound without a residual", changed(bound=abs_bound)),
        "residual-alone": ("a residual without a bound", changed(rest=both)),
        "section-3": ("section exceptions", changed(rest=bytes([2, 3, 0, 5, len(payload)]) + payload)),
        "section-9": ("section 9", changed(rest=bytes([2, 5, len(payload), 9, 0]) + payload)),
        "elements-none": ("nothing to predict", changed(shape=b"\2\0\6")),
        "elements-per-byte": ("too many elements for so few bytes", changed(shape=b"\1" + write_varint(1 << 28))),
        "model-32": ("all of the model's hash", changed(model=bytes.fromhex(latent_model().sha256))),
    }  # fmt: skip
    for name, (what, data) in cases.items():
        yield f"v3-{name}", what, "Corrupt", data
    yield "version-4", "version 4", "UnsupportedVersion", changed(version=4)


# ---- version 4: spectra ---------------------------------------------------------------------------------------------


def spectra(shape: tuple[int, ...] = (6, 7, 40), dtype: str = "<f4", *, axis: int = -1, parts: int = 3) -> Array:
    """Make spectra of so many components, brighter and darker pixels, with shot noise."""
    rng, channels = np.random.default_rng(6), shape[axis]
    others = [length for place, length in enumerate(shape) if place != axis % len(shape)]
    lines = 2 + np.sin(np.arange(1, parts + 1)[:, None] * np.linspace(0, 5, channels) + np.arange(parts)[:, None])
    light = 1 + 0.3 * np.cumsum(rng.normal(size=(int(np.prod(others)), parts)), 0) / np.sqrt(1 + np.arange(parts))
    clean = np.abs(light) @ lines + 0.5
    field = clean + 0.02 * np.sqrt(clean) * rng.normal(size=clean.shape)
    return np.moveaxis(field.reshape(*others, channels), -1, axis).astype(dtype)


def shot(field: Array) -> Array:
    """Make the noise of such spectra."""
    sigma: Array = 0.02 * np.sqrt(np.abs(np.nan_to_num(field.astype(np.float64))) + 0.01)
    return sigma


def spectral(
    array: Array, times: float = 1.0, sigma: Any = None, *, axis: int = -1, bound: Any = None, **options: Any
) -> bytes:
    """Encode by the spectral path, with this noise (one for each channel if none) or this bound, however few values."""
    layout, place = Layout.of(array), axis % array.ndim
    if bound is None:
        noise = Noise.of(times, np.full(array.shape, 0.03) if sigma is None else sigma, array, axis=axis)
        profile = noise.profile(array.shape, axis)
        told, options["noise"] = Bound("lossless") if profile is None else Bound.along(profile), noise
    else:
        told = Bound.parse(bound)
    chunk = Chunk(layout.frames(array), layout, told, channels=place, **options)
    with mock.patch.object(spectral_path, "FEWEST", 1):
        made = chunk.spectral()
    if made is None:
        raise ValueError("no spectral stream")
    return made[0].write()


@dataclasses.dataclass
class Spectral:
    """A spectral payload in its parts: the residual's five beside the others."""

    head: bytes  # axis, count, exponents
    steps: bytes
    coefficients: bytes
    spectra: bytes
    residual: list[bytes]

    @classmethod
    def of(cls, data: bytes) -> Spectral:
        """Take a stream's."""
        reader = Reader(Stream.read(data).sections["payload"])
        head = reader.take(2)
        head += reader.take(head[1] + 1)
        parts = [reader.take(reader.varint()) for _ in range(4)]
        return cls(head, *parts[:3], _five(parts[3]))

    def into(self, data: bytes, **changed: Any) -> bytes:
        """Put them into a stream, some of them changed."""
        new = dataclasses.replace(self, **changed)
        parts = [new.steps, new.coefficients, new.spectra, _together(new.residual)]
        return with_sections(data, payload=new.head + _together(parts))


def _five(residual: bytes) -> list[bytes]:
    """Split coded symbols into their five parts."""
    reader = Reader(residual)
    return [reader.take(reader.varint()) for _ in range(5)]


def _together(parts: list[bytes]) -> bytes:
    return b"".join(write_varint(len(part)) + part for part in parts)


def fields_of(*rows: Sequence[int]) -> bytes:
    """Code small fields of one row."""
    made = write_fields(np.array(rows, np.int64)[:, None])
    if made is None:
        raise ValueError("no fields")
    return made


def spiked() -> Array:
    """Make spectra with spikes here and there, more of them than components can follow."""
    field, rng = spectra((20, 12, 40)), np.random.default_rng(10)
    where = rng.random(field.shape) < 0.01
    field[where] += rng.choice([-1, 1], int(where.sum())) * 10 ** rng.uniform(1, 5, int(where.sum()))
    field[1, 1, 5] = 3e30
    return field


def uneven(shape: tuple[int, ...] = (20, 12, 40)) -> Array:
    """Make spectra of which some are noisier than their noise says: edges."""
    rng = np.random.default_rng(7)
    return (spectra(shape) + rng.normal(size=shape) * rng.choice([0.0, 0.6], (*shape[:-1], 1))).astype("<f4")


def spectral_paths() -> Iterator[Valid]:
    """Give spectra of all layouts and contents."""
    plain = spectra()
    yield "v4-spectra", "channels along the last axis, noise of each value", spectral(plain, sigma=shot(plain))
    yield "v4-first", "channels along the first axis", spectral(spectra((40, 5, 6), axis=0), axis=0)
    middle = spectra((2, 1, 40, 5), axis=2)
    yield "v4-middle", "channels between other axes, one of length 1", spectral(middle, axis=2)
    for dtype in ("<f2", ">f4", "<f8", ">f8"):
        name = ("little" if dtype[0] == "<" else "big") + dtype[1:]
        yield f"v4-{name}", f"spectra, {dtype}", spectral(spectra(dtype=dtype))
    yield "v4-fortran", "Fortran order", spectral(np.asfortranarray(plain), sigma=shot(plain))
    yield "v4-column", "one column of pixels", spectral(spectra((33, 1, 40)))
    yield "v4-row", "one row of pixels", spectral(spectra((33, 40)))
    yield "v4-pixel", "one pixel", spectral(spectra((40,)), axis=0)
    missing = plain.copy()
    missing[np.random.default_rng(8).random(plain.shape) < 0.2] = np.nan
    missing[2, 3], missing[0, 0, :9] = np.nan, np.inf
    yield "v4-mask", "missing values, and a pixel without any", spectral(missing, sigma=shot(missing))
    yield "v4-fill-value", "a fill value", spectral(np.nan_to_num(missing, nan=-1e30, posinf=0), fill_value=-1e30)
    unknown = shot(plain)
    unknown[1, 2], unknown[3, 3, 7], unknown[4, :, 9], unknown[5, 5, :4] = 0, np.nan, np.inf, -1
    yield "v4-exceptions", "noise that nobody knows", spectral(plain, sigma=unknown)
    yield "v4-escapes", "spikes: escapes, and one value that is too far off for them", spectral(spiked())
    yield "v4-fine", "steps far below the noise: raw bits", spectral(plain.astype("<f8"), 1e-4)
    yield "v4-coarse", "steps far above all differences", spectral(plain, 1e4)
    yield "v4-edges", "spectra of different spread: edges", spectral(uneven())
    noise = np.random.default_rng(9).normal(size=(8, 9, 40)).astype("<f4")
    yield "v4-none", "no component", spectral(noise, 0.5, np.ones(40))
    yield "v4-range", "decoded values clipped", spectral(plain - 2, 0.9, valid_range=(0.0, 6.0))
    yield "v4-abs", "an absolute bound", spectral(plain, bound={"abs": 0.04})
    yield "v4-profile", "bounds along the channels", spectral(plain, bound={"abs": [0.03 + k / 999 for k in range(40)]})
    yield "v4-rel", "a relative bound", spectral(plain, bound={"rel": 0.02})


def hand_made_4() -> Iterator[Valid]:
    """Give spectral streams that a reader must take though our encoder never writes them."""
    good = spectral(spectra())
    parts, none = Spectral.of(good), [-(2**19)] * 40
    far = fields_of([8000] * 40, [153600] * 40, [153600] * 20 + none[20:], [153600] * 40)
    yield "hand-v4-infinite", "the longest steps: infinities", parts.into(good, steps=far)
    near = fields_of([-8000] * 40, [-153600] * 40, none, none)
    yield "hand-v4-zero", "the shortest steps and the smallest scale: nothing but zeros", parts.into(good, steps=near)
    wide = bytes([parts.head[0], parts.head[1], 204, *[152] * parts.head[1]])
    yield "hand-v4-exponents", "exponents 52 apart", parts.into(good, head=wide, spectra=_lines(parts.head[1]))


def _lines(count: int, mean: int = 1) -> bytes:
    """Code spectra of 1, -1, 0 and 1 in turn, below a flat mean."""
    return fields_of([mean] * 40, *([[1, -1, 0, 1] * 10] * count))


def corners_4() -> Iterator[Valid]:
    """Give spectra of float64 whose steps follow their brightness."""
    plain, rng = spectra((8, 7, 40), "<f8"), np.random.default_rng(14)
    sigma = shot(plain)
    plain[rng.random(plain.shape) < 0.1] += 30
    yield "v4-noise-f8", "noise of each value, spikes, float64", spectral(plain, sigma=sigma)


def refused_spectra() -> Iterator[Invalid]:
    """Give broken spectral payloads."""
    good = spectral(spectra((6, 7, 40)))
    parts, payload = Spectral.of(good), Stream.read(good).sections["payload"]
    head, count, none = parts.head, parts.head[1], -(2**19)
    flat = [[0] * 40] * 4

    def part(number: int, change: Callable[[bytes], bytes], data: bytes = good) -> bytes:
        pieces = Spectral.of(data)
        residual = [change(each) if place == number else each for place, each in enumerate(pieces.residual)]
        return pieces.into(data, residual=residual)

    def classes(body: bytes) -> bytes:
        return part(0, lambda _: b"\1" + body, with_part_kinds(good))

    fine, escaped = spectral(spectra((6, 7, 39), "<f8"), 1e-4), spectral(spiked())
    double = np.array([2**33], "<u8").view(np.uint8).tobytes()
    no_edges = bytes([0, 0, 63, 0, 1, 1])
    more = [b"\1\2\3\4" + parts.residual[2]]
    cases = {
        "axis": ("an axis that the array has not", parts.into(good, head=b"\3" + head[1:])),
        "axis-other": ("another axis", parts.into(good, head=b"\0" + head[1:])),
        "count": ("more components than channels", parts.into(good, head=bytes([2, 41]) + bytes(42))),
        "count-less": ("fewer components than exponents", parts.into(good, head=head[:-1])),
        "exponents": ("exponents 53 apart", parts.into(good, head=head[:-1] + bytes([(head[-2] + 53) & 255]))),
        "predictions": (
            "predictions beyond 2**53",
            parts.into(good, head=head[:2] + bytes([180, *[128] * count]), spectra=_lines(count, 2)),
        ),
        "scale": ("a scale beyond 2**1000", parts.into(good, steps=fields_of([8001] * 40, *flat[1:]))),
        "term": ("a term beyond 2**600", parts.into(good, steps=fields_of(*flat[:2], [153601] * 40, flat[3]))),
        "term-none": ("no constant term", parts.into(good, steps=fields_of(flat[0], [none] * 40, *flat[2:]))),
        "steps-three": ("three fields of steps", parts.into(good, steps=fields_of(*flat[:3]))),
        "coefficients-none": ("no coefficients", parts.into(good, coefficients=b"")),
        "weight": ("a weight beyond 2**16", parts.into(good, spectra=write_varint(2**17 + 1) + parts.spectra[1:])),
        "field": ("a field that grows beyond 2**40", parts.into(good, steps=_growing())),
        "shift": ("31 raw bits", classes(bytes([31, 0]) + no_edges[2:])),
        "edges-one": ("one edge", classes(bytes([0, 1, 5]) + 2 * no_edges[2:])),
        "edges-order": ("edges that do not grow", classes(bytes([0, 2, 5, 5]) + 3 * no_edges[2:])),
        "histogram-none": ("weights of 0", classes(bytes([0, 0, 63, 0, 0, 0]))),
        "histogram-high": ("a letter of 64", classes(bytes([0, 0, 126, 1, 1, 1, 1]))),
        "histogram-weight": ("a weight beyond 2**24", classes(bytes([0, 0, 63, 0, 1]) + write_varint(2**24 + 1))),
        "classes-none": ("no class", part(0, lambda _: b"\0")),
        "classes-more": ("bytes after the last class", part(0, lambda each: each + b"\0")),
        "kinds": ("a class that is none", part(1, lambda _: b"\0" + bytes([200] * 40))),
        "kinds-short": ("classes of 39 channels", part(1, lambda _: b"\0" + bytes(39))),
        "words-more": ("words left over", part(2, lambda _: more[0])),
        "words-none": ("no words where they are needed", part(2, lambda each: each[4:])),
        "words-zero": ("a last word of 0", part(2, lambda each: each + bytes(4))),
        "words-bytes": ("words of 3 bytes", part(2, lambda each: each[:-1])),
        "raw-bits-more": ("raw bits left over", part(3, lambda each: each + b"\0")),
        "raw-bits-less": ("raw bits missing", part(3, lambda each: each[:-1], fine)),
        "raw-bits-one": ("a one after the last raw bit", part(3, lambda each: each[:-1] + b"\xff", fine)),
        "escapes-less": ("escaped symbols missing", part(4, lambda _: b"", escaped)),
        "escapes-more": ("an escaped symbol left over", part(4, lambda _: b"\1" + pack(bytes(8)))),
        "escapes-large": ("an escaped symbol of 2**32", part(4, lambda _: b"\1" + pack(double), escaped)),
        "payload-empty": ("an empty payload", with_sections(good, payload=b"")),
        "payload-cut": ("a payload cut off", with_sections(good, payload=payload[:-3])),
        "payload-tail": ("bytes after the residual", with_sections(good, payload=payload + b"\0")),
        "elements-per-byte": ("too many elements", dataclasses.replace(Stream.read(good), shape=(1 << 28,)).write()),
        "channels": ("65537 channels", dataclasses.replace(Stream.read(good), shape=(1, 2, 65537)).write()),
    }  # fmt: skip
    for name, (what, data) in cases.items():
        yield f"v4-{name}", what, "Corrupt", data


def with_part_kinds(data: bytes) -> bytes:
    """Put all channels into the first class."""
    parts = Spectral.of(data)
    return parts.into(data, residual=[parts.residual[0], b"\0" + bytes(40), *parts.residual[2:]])


def _growing() -> bytes:
    """Code a field of 40 places in which each is 16 times the one to its west."""
    weights = np.zeros((4, 9), np.int64)
    weights[:, 0] = 1 << 17  # folded
    symbols = np.zeros((4, 40), np.int32)
    symbols[:, 0] = 1 << 20
    writer = ResidualWriter()
    writer.take(symbols, None)
    folded = np.concatenate([row[: 6 + i] for i, row in enumerate(weights)])
    return b"".join(map(write_varint, folded.tolist())) + writer.payload()


def refused_spectral_headers() -> Iterator[Invalid]:
    """Give broken headers of version 4."""
    good = Stream.read(spectral(spectra((6, 7, 40))))
    payload, f64 = good.sections["payload"], struct.Struct("<d").pack
    rest = b"\1\5" + write_varint(len(payload)) + payload
    names = ("path", "flags", "dtype", "shape", "bound", "domain", "rest")
    parts = (b"\5", b"\0", b"\2", b"\3\6\7\x28", b"\5" + f64(1.0), b"\7", rest)

    def changed(version: int = 4, codec: int = 1, **fields: bytes) -> bytes:
        body = b"".join(fields.get(name, part) for name, part in zip(names, parts, strict=True))
        return sealed(body, version=version, codec=codec)

    latent = {"path": b"\4", "bound": b"\4", "domain": b"\6" + struct.pack("<ff", 0, 1), "rest": bytes(8) + rest}
    constant = {"path": b"\1", "bound": b"\0", "domain": b"\0", "rest": bytes([1, 5, 4]) + bytes(4)}
    cases = {
        "in-2": ("the spectral path in version 2", changed(version=2)),
        "in-3": ("the spectral path in version 3", changed(version=3)),
        "codec-2": ("the spectral path of codec 2", changed(codec=2)),
        "codec-4": ("the spectral path of codec 4", changed(codec=4)),
        "codec-5": ("codec 5", changed(codec=5)),
        "latent-codec-1": ("the latent path of codec 1", changed(**latent)),
        "latent-codec-2": ("the latent path of codec 2 in version 4", changed(codec=2, **latent)),
        "latent-codec-4": ("the latent path of codec 4 in version 3", changed(version=3, codec=4, **latent)),
        "constant": ("the constant path in version 4", changed(**constant)),
        "path-6": ("path 6", changed(path=b"\6")),
        "bound-abs": ("an absolute bound", changed(bound=b"\1" + f64(1.0))),
        "bound-6": ("bound 6", changed(bound=b"\6" + f64(1.0))),
        "bound-0": ("a bound of 0", changed(bound=b"\5" + f64(0.0))),
        "bound-nan": ("a bound of NaN", changed(bound=b"\5" + f64(np.nan))),
        "domain-abs": ("domain abs", changed(domain=b"\1" + f64(1.0))),
        "domain-8": ("domain 8", changed(domain=b"\x08")),
        "signs": ("section signs", changed(rest=b"\2\2\0\5" + rest[2:])),
        "static": ("section static", changed(rest=b"\2" + rest[1:-len(payload)] + b"\7\0" + payload)),
        "elements-none": ("nothing to predict", changed(shape=b"\3\0\7\x28")),
    }  # fmt: skip
    for name, (what, data) in cases.items():
        yield f"v4-{name}", what, "Corrupt", data
    yield "version-5", "version 5", "UnsupportedVersion", changed(version=5)


# ---- writing --------------------------------------------------------------------------------------------------------


def files_of(what: str, data: bytes) -> Files:
    """Return the files of a valid vector."""
    buffer, array = io.BytesIO(), Pyramid(bound="lossless").decode(data)
    np.save(buffer, array)
    return {"stream.bin": data, "array.npy": buffer.getvalue(), "about.json": _json({"what": what, **describe(data)})}


def _json(about: dict[str, Any]) -> bytes:
    return (json.dumps(about, indent=1, sort_keys=True) + "\n").encode()


Sources = tuple[tuple[Callable[[], Iterator[Valid]], ...], tuple[Callable[[], Iterator[Invalid]], ...]]
VERSION_1: Sources = (
    (layouts, contents, networks, hand_made, corners, hand_made_corners),
    (refused_envelopes, refused_headers, refused_payloads, refused_networks, refused_bodies),
)
VERSION_2: Sources = (
    (orders, contents_2, shared_values, tapers, statics, hand_made_2, corners_2),
    (refused_plans, refused_statics, refused_profiles),
)


VERSION_3: Sources = ((latents, hand_made_3, corners_3), (refused_latents, refused_latent_headers, refused_fillings))
VERSION_4: Sources = ((spectral_paths, hand_made_4, corners_4), (refused_spectra, refused_spectral_headers))


def vectors_of(sources: Sources) -> Iterator[tuple[str, Files]]:
    """Give the folder and files of each vector of some sources."""
    for source in sources[0]:
        for name, what, data in source():
            yield f"valid/{name}", files_of(what, data)
    for refused in sources[1]:
        for name, what, error, data in refused():
            yield f"invalid/{name}", {"stream.bin": data, "about.json": _json({"what": what, "error": error})}


def all_vectors(*, latent: bool = True) -> Iterator[tuple[str, Files]]:
    """Give every vector's folder and files; those of version 3 only if `latent`."""
    with version_1():
        yield from vectors_of(VERSION_1)
    with default_model(model_of("v2-still")):
        if not find_model().sees_references:
            raise SystemExit("vectors of version 2 need a shipped model of format 2")
        yield from vectors_of(VERSION_2)
        yield from vectors_of(VERSION_3) if latent else ()
    yield from vectors_of(VERSION_4)


def agrees(files: Files, decoder: Any, folders: list[Path]) -> bool:
    """Whether the reference decoder gives the array, or the error, that a vector says."""
    try:
        array = decoder.decode(files["stream.bin"], folders)
    except decoder.InvalidError as problem:
        return bool(type(problem).__name__ == json.loads(files["about.json"]).get("error"))
    if "array.npy" not in files:
        return False
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue() == files["array.npy"]


def load_decoder() -> Any:
    """Import reference_decoder.py from beside this file."""
    spec = importlib.util.spec_from_file_location("adiabat_reference_decoder", HERE / "reference_decoder.py")
    if spec is None or spec.loader is None:
        raise ImportError("reference_decoder.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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
    folders = [into / "models", SHIPPED]
    named = [part for part in os.environ.get("ADIABAT_MODELS", "").split(os.pathsep) if part]
    os.environ["ADIABAT_MODELS"] = os.pathsep.join([*named, str(into / "models")])
    folders += map(Path, named)
    decoder = load_decoder()
    done: dict[str, list[str]] = {"new": [], "same": [], "differs": [], "wrong": []}
    static = into / "models" / f"{STATIC}.npy"
    if not static.exists():
        static.parent.mkdir(parents=True, exist_ok=True)
        static.write_bytes(static_field())
    latent = into != VECTORS or latent_model_is_shipped()
    if not latent:
        print("without vectors of version 3: codec/models/hyperprior.zip is not the model found", file=sys.stderr)
    for name, files in all_vectors(latent=latent):
        good = (into / name).exists() or agrees(files, decoder, folders)
        done[write(into / name, files) if good else "wrong"].append(name)
    print(f"{len(done['new'])} written, {len(done['same'])} there already and the same")
    for name in done["differs"]:
        print(f"not overwritten, though now different: {name}", file=sys.stderr)
    for name in done["wrong"]:
        print(f"not written, since the reference decoder disagrees: {name}", file=sys.stderr)
    if into == VECTORS:
        chapter = subprocess.run([sys.executable, HERE / "make_walkthrough.py"], check=True, capture_output=True).stdout
        (HERE / "walkthrough.md").write_bytes(chapter)
    return int(bool(done["differs"] or done["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
