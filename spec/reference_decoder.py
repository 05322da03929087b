"""Decode an adiabat stream with NumPy and the standard library, in the order of the specification.

    python spec/reference_decoder.py STREAM OUT.npy --models DIR [DIR ...]

This program is part of the specification: it exercises every formula of it, favours the formula over speed, and
imports nothing of adiabat. Integers are int64 unless said otherwise; their arithmetic is modulo 2**64.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import lzma
import math
import struct
import sys
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


# ---- stream.md: errors ----------------------------------------------------------------------------------------------


class InvalidError(Exception):
    """The base of the errors below; a stream that raises one gives no array."""


class Truncated(InvalidError):
    """Fewer bytes than the length announces."""


class Corrupt(InvalidError):
    """Anything else that the specification forbids."""


class UnsupportedVersion(InvalidError):
    """Another version of the stream."""


class ModelNotFound(InvalidError):
    """No package with the hash that the stream names."""


class ModelMismatch(InvalidError):
    """A package with the right hash that breaks the rules of model.md or integer_net.md."""


class OtherCodec(Exception):
    """A stream of `adiabat.vq` or `adiabat.hvae`, decoded by networks of floating-point numbers: vq.md, hvae.md."""


def require(good: bool | np.bool_, message: str) -> None:
    """Raise Corrupt unless `good`."""
    if not good:
        raise Corrupt(message)


# ---- stream.md: primitives ------------------------------------------------------------------------------------------


class Cursor:
    """Reads bytes in order and never past their end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        require(count <= len(self.data) - self.at, f"expected {count} more bytes")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self.data) - self.at)

    def u8(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def f64(self) -> float:
        """One finite binary64."""
        number = float(struct.unpack("<d", self.take(8))[0])
        require(math.isfinite(number), "expected a finite number")
        return number

    def f32(self) -> float:
        """One finite binary32."""
        number = float(struct.unpack("<f", self.take(4))[0])
        require(math.isfinite(number), "expected a finite number")
        return number

    def varint(self, limit: int = 2**63 - 1) -> int:
        """One LEB128 integer in its shortest form."""
        number = 0
        for shift in range(0, 63, 7):
            byte = self.u8()
            number |= (byte & 127) << shift
            if byte < 128:
                require(not (shift and byte == 0) and number <= limit, f"varint {number}: too long or above {limit}")
                return number
        raise Corrupt("varint of more than 9 bytes")

    def end(self) -> None:
        """Refuse bytes left over."""
        require(self.at == len(self.data), "bytes left over")


def unpack(data: bytes, n: int) -> bytes:
    """packed(n): method byte and body -> n bytes."""
    cursor = Cursor(data)
    method, body, ended = cursor.u8(), cursor.rest(), True
    if method == 1:
        require(n <= 1040 * len(body), "zlib cannot have made so much of so little")
        inflate = zlib.decompressobj()
        try:
            body = inflate.decompress(body, n + 1)
        except zlib.error as problem:
            raise Corrupt(f"zlib: {problem}") from None
        ended = inflate.eof and not inflate.unused_data
    elif method == 2:
        require(n <= 1 << 16, "LZMA bodies hold at most 65536 bytes")
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 0}]
        expand = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
        try:
            body = expand.decompress(body, n + 1)
        except lzma.LZMAError as problem:
            raise Corrupt(f"lzma: {problem}") from None
        ended = expand.eof and not expand.unused_data
    require(method <= 2 and ended and len(body) == n, f"expected {n} bytes from method {method}, got {len(body)}")
    return body


def planes(data: bytes, width: int, count: int) -> NDArray[np.uint64]:
    """planes(width) of `count` integers."""
    out = np.zeros(count, np.uint64)
    for number, plane in enumerate(np.frombuffer(data, np.uint8).reshape(width, count)):
        out |= plane.astype(np.uint64) << np.uint64(8 * number)
    return out


def unfold(folded: NDArray[np.uint64]) -> Integers:
    """Undo fold: 0, -1, 1, -2, ... from 0, 1, 2, 3, ..."""
    half = (folded >> np.uint64(1)).astype(np.int64)
    return np.where(folded & np.uint64(1), ~half, half)


# ---- stream.md: layout ----------------------------------------------------------------------------------------------


@dataclass
class Stream:
    """Header and sections; of a bound along an axis (domain profile) that axis."""

    version: int
    codec: int
    path: str
    flags: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axis: int | None
    domain: str
    parameters: list[float]
    limits: list[float | None]
    model: str
    sections: dict[str, bytes]

    @property
    def frames(self) -> tuple[int, int, int]:
        """The shape as (frame, y, x)."""
        axes = [1, 1, *(length for length in self.shape if length != 1)]
        return math.prod(axes[:-2]), axes[-2], axes[-1]

    @property
    def leading(self) -> list[int]:
        """Lengths of the axes that count frames; one axis of length 1 if there are none."""
        return [length for length in self.shape if length != 1][:-2] or [1]


def envelope(data: bytes) -> bytes:
    """Check magic, version, codec, length and checksum; return header, section table and sections."""
    require(b"ADBT".startswith(data[:4]), "expected the magic ADBT")
    if len(data) > 4 and data[4] not in (1, 2, 3, 4):
        raise UnsupportedVersion(f"version {data[4]}")
    require(len(data) < 6 or data[5] in (1, 2, 3, 4), "expected a codec from 1 to 4")
    if not any(byte < 128 for byte in data[6:15]):
        raise Corrupt("length of more than 9 bytes") if len(data) >= 15 else Truncated("no length")
    cursor = Cursor(data[6:])
    length = cursor.varint()
    body = cursor.rest()
    if len(body) < length:
        raise Truncated(f"expected {length} bytes after the length, got {len(body)}")
    require(len(body) == length >= 4, f"expected {length} bytes after the length, got {len(body)}")
    require(zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little"), "checksum")
    return body[:-4]


PATHS = {0: "raw", 1: "constant", 2: "classical", 3: "neural", 4: "latent", 5: "spectral"}
DTYPES = {1: "f2", 2: "f4", 3: "f8"}
DOMAINS = {0: ("none", ""), 1: ("abs", "d"), 2: ("lattice", "ddv"), 3: ("ordered", ""), 4: ("log", "v")}
SECTIONS = {1: "mask", 2: "signs", 3: "exceptions", 4: "low words", 5: "payload"}
DOMAINS_2 = {**DOMAINS, 5: ("profile", "v")}  # of version 2
SECTIONS_2 = {**SECTIONS, 6: "bounds", 7: "static"}
DOMAINS_3 = {6: ("latent", "ff")}  # of version 3, which has the latent path only
SECTIONS_3 = {1: "mask", 5: "payload", 7: "static", 8: "residual"}
DOMAINS_4 = {7: ("spectral", "")}  # of version 4 and codec 1, which has the spectral path only
SECTIONS_4 = {1: "mask", 3: "exceptions", 5: "payload"}
DOMAINS_OF = {1: DOMAINS, 2: DOMAINS_2, 3: DOMAINS_3, 4: DOMAINS_4}
SECTIONS_OF = {1: SECTIONS, 2: SECTIONS_2, 3: SECTIONS_3, 4: SECTIONS_4}
BOUNDS_OF = {1: (0, 1, 2), 2: (0, 1, 2, 3), 3: (1, 4), 4: (5,)}
PAIRS_OF = {1: {(path, 1) for path in range(4)}, 3: {(4, 2), (4, 3)}, 4: {(5, 1), (4, 4)}}  # path and codec by version
PAIRS_OF[2] = PAIRS_OF[1]


def parse(data: bytes) -> Stream:
    """Bytes -> header and sections."""
    cursor, version, codec = Cursor(envelope(data)), data[4], data[5]
    path, flags, code, dimensions = cursor.u8(), cursor.u8(), cursor.u8(), cursor.u8()
    require(path in PATHS and flags < 16 and code & 127 in DTYPES and dimensions <= 32, "header")
    require((path, codec) in PAIRS_OF[version], f"path {path} of codec {codec} in version {version}")
    like = 3 if path == 4 else version  # adiabat.hvae has the latent path of version 3
    shape = tuple(cursor.varint() for _ in range(dimensions))
    elements = math.prod(max(length, 1) for length in shape)
    predicted = path in (2, 3, 4, 5)
    require(elements <= 2**31, "more than 2**31 elements")
    require(not predicted or elements <= 65536 * len(data), "more than 65536 elements a byte")
    bound, axis = read_bound(cursor, like)
    domains, number = DOMAINS_OF[like], cursor.u8()
    require(number in domains and (number != 0) == predicted, "domain")
    domain, kinds = domains[number]
    read = {"d": cursor.f64, "f": cursor.f32, "v": lambda: cursor.varint(2**31 - 1)}
    parameters = [read[kind]() for kind in kinds]
    require("d" not in kinds or parameters[0] > 0, "unit or spacing")
    require(domain != "latent" or parameters[1] > 0, "scale")
    lowest = cursor.f64() if flags & 4 else None
    highest = cursor.f64() if flags & 8 else None
    require(lowest is None or highest is None or lowest <= highest, "range")
    model = cursor.take({3: 32, 4: 8}.get(path, 0)).hex()
    dtype = np.dtype("<>"[code >> 7] + DTYPES[code & 127])
    sections = section_table(cursor, SECTIONS_OF[like])
    require(like != 3 or (bound == 1) == ("residual" in sections), "a bound without a residual, or the reverse")
    limits = [lowest, highest]
    return Stream(version, codec, PATHS[path], flags, dtype, shape, axis, domain, parameters, limits, model, sections)


def read_bound(cursor: Cursor, version: int) -> tuple[int, int | None]:
    """Read the bound: its kind, and of a profile its axis. Sizes are informative."""
    bound = cursor.u8()
    require(bound in BOUNDS_OF[version], "bound")
    if bound == 3:
        return bound, cursor.u8()
    require(bound in (0, 4) or cursor.f64() > 0, "size of the bound")
    return bound, None


def section_table(cursor: Cursor, names: dict[int, str]) -> dict[str, bytes]:
    """Section table and bodies."""
    table: list[tuple[int, int]] = []
    for _ in range(cursor.u8()):
        number = cursor.u8()
        require(number in names and (not table or number > table[-1][0]), "section ids")
        table.append((number, cursor.varint()))
    sections = {names[number]: cursor.take(size) for number, size in table}
    cursor.end()
    require("payload" in sections, "no payload")
    return sections


# ---- mask.md --------------------------------------------------------------------------------------------------------


def read_plane(data: bytes, shape: tuple[int, int, int]) -> Bools:
    """Read a plane of bits over (frame, y, x)."""
    cursor, size = Cursor(data), math.prod(shape)
    form = cursor.u8()
    require(form & ~0x83 == 0, "form of a plane")
    if form & 0x80:
        flat = read_runs(unpack_runs(cursor, size), size)
    else:
        packed = np.frombuffer(unpack(cursor.rest(), (size + 7) // 8), np.uint8)
        unpacked = np.unpackbits(packed, bitorder="little")
        require(not unpacked[size:].any(), "bits after the last pixel")
        flat = unpacked[:size].astype(bool)
    plane = flat.reshape(shape)
    if form & 2:
        plane = np.logical_xor.accumulate(plane, axis=1)
    if form & 1:
        plane = np.logical_xor.accumulate(plane, axis=0)
    return plane


def unpack_runs(cursor: Cursor, size: int) -> bytes:
    """Bytes of the runs of a plane."""
    length = cursor.varint(10 * size + 10)
    return unpack(cursor.rest(), length)


def read_runs(data: bytes, size: int) -> Bools:
    """Turn runs of zeros and ones into a plane."""
    cursor, plane = Cursor(data), np.zeros(size, bool)
    at, value = 0, False
    while cursor.at < len(data):
        run = cursor.varint()
        require((run > 0 or (at == 0 and not value)) and at + run < size, "run of a plane")
        plane[at : at + run] = value
        at, value = at + run, not value
    plane[at:] = value
    return plane


@dataclass
class Mask:
    """Class of each pixel, and the bit patterns of the special ones."""

    classes: NDArray[np.uint8]
    patterns: NDArray[Any]
    listed: NDArray[Any]

    def restore(self, values: NDArray[Any]) -> None:
        """Put the special values in."""
        for number, pattern in enumerate(self.patterns, 1):
            values[self.classes == number] = pattern
        if len(self.listed):
            values[self.classes == 255] = self.listed


def read_mask(data: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Mask:
    """Section mask."""
    cursor, size = Cursor(data), dtype.itemsize
    count = cursor.u8()
    require(count <= 254, "patterns")
    patterns = np.frombuffer(cursor.take(count * size), dtype.newbyteorder("<")).astype(dtype)
    number = cursor.varint(math.prod(shape))
    packed = cursor.take(cursor.varint())
    require(bool(number) or not packed, "a list of nothing")
    bits = planes(unpack(packed, number * size), size, number) if number else np.zeros(0, np.uint64)
    classes = np.zeros(shape, np.uint8)
    for bit in range(8 if number else count.bit_length()):
        classes |= read_plane(cursor.take(cursor.varint()), shape).astype(np.uint8) << np.uint8(bit)
    cursor.end()
    listed = classes == 255 if number else np.zeros(shape, bool)
    require(int(listed.sum()) == number and (classes[~listed] <= count).all(), "classes")
    return Mask(classes, patterns, bits.astype(f"u{size}").view(dtype))


# ---- bounds.md ------------------------------------------------------------------------------------------------------

OCTAVE = np.array(
    [
        0, 372405, 733691, 1084505, 1425434, 1757022, 2079767, 2394127, 2700529, 2999364, 3290997, 3575768,
        3853992, 4125963, 4391956, 4652228, 4907021, 5156560, 5401057, 5640713, 5875714, 6106239, 6332455, 6554520,
        6772584, 6986788, 7197266, 7404147, 7607550, 7807591, 8004379, 8198018, 8388608,
    ],
    np.int64,
)  # fmt: skip


def step_and_snap(stream: Stream) -> tuple[int, int]:
    """Quantisation step, and what predictions are rounded to, in fine units."""
    if stream.domain in ("abs", "profile"):
        return 256, 1
    steps = 0 if stream.domain == "ordered" else int(stream.parameters[-1])
    return 64 * (2 * steps + 1), 64


def to_values(stream: Stream, fine: Integers, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Integers in fine units -> values of the dtype, by the domain."""
    k = fine >> 6
    if stream.domain == "ordered":
        return reorder(ordered_integers(stream, k, dtype), dtype)
    if stream.domain == "abs":
        wide = fine.astype(np.float64) * stream.parameters[0]
    elif stream.domain == "profile":
        wide = fine.astype(np.float64) * profile_units(stream)
    elif stream.domain == "lattice":
        wide = k.astype(np.float64) * stream.parameters[0]
        wide += stream.parameters[1]
    else:
        wide = exponential(k)
    values = wide.astype(dtype)
    if "signs" in stream.sections:
        negative = read_plane(stream.sections["signs"], stream.frames)
        values[negative] = -values[negative]
    keep_limits(values, stream.limits)
    return values


def keep_limits(values: NDArray[Any], limits: list[float | None]) -> None:
    """Put values beyond the lowest and the highest at these; -0.0 stays where the lowest is 0."""
    for limit, beyond in zip(limits, (np.less, np.greater), strict=True):
        if limit is not None:
            values[beyond(values, values.dtype.type(limit))] = values.dtype.type(limit)


def profile_units(stream: Stream) -> NDArray[np.float64]:
    """Domain profile: the unit of each pixel of (frame, y, x), by its index along the axis."""
    assert stream.axis is not None
    length, behind = stream.shape[stream.axis], stream.shape[stream.axis + 1 :]
    patterns = planes(unpack(stream.sections["bounds"], 8 * length), 8, length)
    bounds = patterns.view(np.float64)
    require(np.isfinite(bounds).all() and (bounds > 0).all(), "bounds")
    units = bounds * (1 - 2.0 ** -stream.parameters[0]) / 128
    return np.broadcast_to(units.reshape(-1, *(1 for _ in behind)), stream.shape).reshape(stream.frames)


def exponential(k: Integers) -> NDArray[np.float64]:
    """Domain log: the magnitude of k."""
    exponent, rest = np.clip(k >> 23, -1022, 1023), k & (2**23 - 1)
    i = np.searchsorted(OCTAVE, rest, side="right") - 1
    m = (rest - OCTAVE[i]) * 2**18 // (OCTAVE[i + 1] - OCTAVE[i])
    pattern: Integers = (exponent + 1023 << 52) + ((i << 18) + m << 29)
    return pattern.view(np.float64)


def ordered_integers(stream: Stream, k: Integers, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Domain ordered: k as an integer of the dtype's width, with the low words of float64."""
    if dtype.itemsize < 8:
        return k.astype(f"i{dtype.itemsize}")
    ordered = k << 32
    if "low words" in stream.sections:
        data = unpack(stream.sections["low words"], 4 * k.size)
        ordered |= planes(data, 4, k.size).astype(np.int64).reshape(k.shape)
    return ordered


def reorder(integers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Ordered integers -> values."""
    return np.where(integers < 0, integers ^ np.iinfo(integers.dtype).max, integers).view(dtype)


def correct(values: NDArray[Any], data: bytes) -> None:
    """Section exceptions."""
    cursor, size = Cursor(data), values.dtype.itemsize
    where = read_plane(cursor.take(cursor.varint()), values.shape)
    count, width = int(where.sum()), cursor.u8()
    require(1 <= width <= size, "width of exceptions")
    off = unfold(planes(unpack(cursor.rest(), width * count), width, count)).astype(f"i{size}")
    bits = values[where].view(f"i{size}")
    ordered = np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)
    values[where] = reorder(ordered + off, values.dtype)


# ---- stream.md: classical payload -----------------------------------------------------------------------------------


def classical(payload: bytes, shape: tuple[int, int, int], step: int) -> Integers:
    """Classical payload -> integers in fine units."""
    cursor, size = Cursor(payload), math.prod(shape)
    mode, width = cursor.u8(), cursor.u8()
    require(mode <= 2 and 1 <= width <= 8, "classical payload")
    index = unfold(planes(unpack(cursor.rest(), width * size), width, size)).reshape(shape)
    if mode >= 1:
        index = np.cumsum(index, axis=2)
    if mode == 2:
        index = np.cumsum(index, axis=1)
    return index * step


# ---- model.md -------------------------------------------------------------------------------------------------------


@dataclass
class Net:
    """Layers (weight, shift) of one network, and the weights of the linear path beside it."""

    layers: list[tuple[Integers, int]]
    linear: Integers


@dataclass
class Model:
    """Networks by name, and for each frequency table the 97 sums of its first 0, 1, ... 96 frequencies.

    Of the kind hyperprior also how far symbols are put back, in each context for magnitude 1, and 2 and more.
    """

    nets: dict[str, Net]
    cumulative: list[list[int]]
    shrink: Integers


def find_model(digest: str, folders: Iterable[str | Path], kind: str = "pyramid") -> Model:
    """Find the package whose SHA-256 begins so."""
    for folder in folders:
        for path in sorted(Path(folder).glob("*.zip")):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest().startswith(digest):
                try:
                    return read_package(data, kind)
                except (zipfile.BadZipFile, KeyError, ValueError) as problem:
                    raise ModelMismatch(f"{path}: {problem}") from problem
    raise ModelNotFound(digest)


def find_static(digest: str, folders: Iterable[str | Path]) -> NDArray[np.float32]:
    """Find the static field with this SHA-256: (y, x)."""
    for folder in folders:
        path = Path(folder) / f"{digest}.npy"
        if not path.is_file():
            continue
        data = path.read_bytes()
        if len(data) > 256 << 20 or hashlib.sha256(data).hexdigest() != digest:
            raise ModelMismatch(f"{path}: too large, or not what its name says")
        try:
            field = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError) as problem:
            raise ModelMismatch(f"{path}: {problem}") from problem
        if field.dtype != np.dtype("<f4") or field.ndim != 2 or not field.flags.c_contiguous:
            raise ModelMismatch(f"{path}: {field.dtype} of {field.ndim} axes")
        if not np.isfinite(field).all():
            raise ModelMismatch(f"{path}: not finite")
        return np.asarray(field)
    raise ModelNotFound(digest)


def read_package(data: bytes, kind: str) -> Model:
    """Bytes of a package -> model of this kind; ValueError where it breaks a rule."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        size = sum(entry.file_size for entry in package.infolist())
        if max(len(data), size) > 8 << 20:
            raise ValueError("more than 8 MiB")
        parts = {entry.filename: package.read(entry) for entry in package.infolist()}
    manifest = json.loads(parts["manifest.json"])
    if manifest.get("kind", "pyramid") != kind:
        raise ValueError(f"expected kind {kind}, got {manifest.get('kind', 'pyramid')}")
    if manifest["format"] not in ((1, 2) if kind == "pyramid" else (1,)):
        raise ValueError(f"format {manifest['format']}")
    if kind == "pyramid":
        names = NETS if manifest["format"] == 1 else NETS + SIDE_NETS
        nets = {name: read_net(name, parts, manifest["nets"][name]["shifts"]) for name in names}
    else:
        no_linear = np.zeros(0, np.int64)
        shifts = {name: manifest["nets"][name]["shifts"] for name in SUBBAND_NETS}
        nets = {name: Net(read_layers(name, parts, shifts[name], SUBBAND_INPUTS), no_linear) for name in SUBBAND_NETS}
    frequencies = array(parts, "frequencies.npy", np.uint32, 2)
    if frequencies.shape != (96, 96) or (frequencies < 1).any() or (frequencies.sum(1) != 1 << 24).any():
        raise ValueError("frequencies")
    sums = np.concatenate([np.zeros((96, 1), np.int64), np.cumsum(frequencies, axis=1)], axis=1)
    return Model(nets, sums.tolist(), read_shrink(parts) if kind == "hyperprior" else np.zeros((0, 2), np.int64))


def read_shrink(parts: dict[str, bytes]) -> Integers:
    """How far symbols are put back, for all 624 contexts: none in those that have no table of their own."""
    own = array(parts, "shrink.npy", np.int16, 2)
    if own.shape != (96, 2) or np.abs(own).max() > 128:
        raise ValueError(f"shrink.npy: {own.shape}, or beyond 128")
    return np.concatenate([own, np.zeros((624 - 96, 2), np.int64)])


def array(parts: dict[str, bytes], name: str, dtype: type[np.generic], axes: int) -> Integers:
    """One .npy file of a package, as int64."""
    values = np.load(io.BytesIO(parts[name]), allow_pickle=False)
    if values.dtype != np.dtype(dtype) or values.ndim != axes:
        raise ValueError(f"{name}: {values.dtype} of {values.ndim} axes")
    return np.asarray(values, np.int64)


def read_net(name: str, parts: dict[str, bytes], shifts: list[int]) -> Net:
    """One network, after the proof of integer_net.md."""
    linear = array(parts, f"{name}/linear.npy", np.int16, 1)
    if len(linear) != len(PASSES[name[0]][2]):
        raise ValueError(f"{name}: {len(linear)} linear weights")
    inputs = len(linear) + (20 if name.endswith("-side") else 12)
    return Net(read_layers(name, parts, shifts, (inputs + 7) // 8 * 8), linear)


def read_layers(name: str, parts: dict[str, bytes], shifts: list[int], width: int) -> list[tuple[Integers, int]]:
    """Layers of a network of so many inputs."""
    layers = []
    for number, shift in enumerate(shifts):
        weight = array(parts, f"{name}/weight{number}.npy", np.int8, 2)
        size = np.abs(weight)
        if len(weight) != width or not 0 <= shift <= 16:
            raise ValueError(f"{name}: layer {number}")
        if (size.sum(0) * 255 >= 1 << 24).any() or ((size[:-1] + size[1:]) * 255 >= 1 << 15).any():
            raise ValueError(f"{name}: layer {number} leaves its range")
        layers.append((weight, int(shift)))
        width = weight.shape[1]
    if not layers or layers[-1][1] != 0 or width != 3:
        raise ValueError(f"{name}: last layer")
    return layers


# ---- integer_net.md -------------------------------------------------------------------------------------------------


def run(net: Net, inputs: Integers) -> Integers:
    """Give outputs (targets, 3) of inputs (targets, width). The float32 products and sums are exact: below 2**24."""
    value = inputs - 128
    for weight, shift in net.layers[:-1]:
        total = multiply(value, weight)
        if shift:  # to the nearest multiple, ties to the even one
            total = total + (1 << shift - 1) - 1 + ((total >> shift) & 1) >> shift
        value = np.clip(total, 0, 255)
    return multiply(value, net.layers[-1][0])


def multiply(value: Integers, weight: Integers) -> Integers:
    """Matrix product of integers."""
    product = value.astype(np.float32) @ weight.astype(np.float32)
    return product.astype(np.int64)


# ---- entropy.md -----------------------------------------------------------------------------------------------------


class Ans:
    """The words of one group of frames, as a stack: the last word is decoded first."""

    def __init__(self, data: bytes) -> None:
        require(len(data) % 4 == 0 and data[-4:] != bytes(4), "words")
        self.words: list[int] = np.frombuffer(data, "<u4").tolist()
        self.state = 0
        self.refill()
        self.refill()

    def refill(self) -> None:
        """Keep the state at 2**32 or above while there are words."""
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def decode(self, cumulative: list[int], count: int) -> Integers:
        """Decode the next `count` letters under one table."""
        letters = np.empty(count, np.int64)
        for i in range(count):
            quantile = self.state & 0xFFFFFF
            letter = bisect_right(cumulative, quantile) - 1
            low, high = cumulative[letter], cumulative[letter + 1]
            self.state = (self.state >> 24) * (high - low) + quantile - low
            self.refill()
            letters[i] = letter
        return letters


class Symbols:
    """The four coded parts of one group of frames. dense: raw bits follow one another without a gap."""

    def __init__(self, cumulative: list[list[int]], cursor: Cursor, *, dense: bool = False) -> None:
        moved = cursor.take(cursor.varint())
        shifts = np.frombuffer(unpack(moved, 192) if moved else bytes(192), np.uint8)
        require(shifts.max() < 96, "substitutions")
        self.tables = (shifts.reshape(2, 96) + np.arange(96)) % 96
        self.cumulative = cumulative
        self.ans = Ans(cursor.take(cursor.varint()))
        self.dense, raw = dense, cursor.take(cursor.varint())
        self.raw = Cursor(np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little").tobytes() if dense else raw)
        self.escapes = read_escapes(cursor.take(cursor.varint()))

    def read(self, context: int, count: int, region: int) -> Integers:
        """Symbols of `count` targets of one context."""
        bits = max(0, (context // 3 - 28) // 4)
        table = int(self.tables[region, context - 12 * bits])
        high = self.ans.decode(self.cumulative[table], count) - 47
        escaped = high == 48
        number = int(escaped.sum())
        require(number <= len(self.escapes), "escaped symbols")
        high[escaped], self.escapes = self.escapes[:number], self.escapes[number:]
        low = np.frombuffer(self.raw.take(count * bits if self.dense else (count * bits + 7) // 8), np.uint8)
        low_bits = (low if self.dense else np.unpackbits(low, bitorder="little")[: count * bits]).reshape(count, bits)
        weights = np.int64(1) << np.arange(bits, dtype=np.int64)
        return (high << bits) + low_bits.astype(np.int64) @ weights - (1 << bits >> 1)

    def end(self) -> None:
        """Everything coded MUST have been used."""
        if self.dense:
            rest = self.raw.rest()
            require(len(rest) < 8 and not any(rest), "raw bits left over")
        else:
            self.raw.end()
        require(not len(self.escapes) and not self.ans.words and self.ans.state == 0, "symbols left over")


def read_escapes(data: bytes) -> Integers:
    """Escaped symbols."""
    if not data:
        return np.zeros(0, np.int64)
    cursor = Cursor(data)
    count = cursor.varint(2**31)
    folded = planes(unpack(cursor.rest(), 8 * count), 8, count)
    require(int(folded.max(initial=0)) < 2**41, "escaped symbol")
    return unfold(folded)


# ---- pyramid.md: plan, order and groups -----------------------------------------------------------------------------

NETS = ("D-coarse", "A-coarse", "B-coarse", "D-fine", "A-fine", "B-fine")
SIDE_NETS = tuple(f"{name}-side" for name in NETS)
LIMIT, BAND = 2**38, 2**16
GROUP = {1: 2**21, 2: 2**20}  # by version: pixels of a group
FIRST = 31  # first pixels count as of the spacing 2**31, coarser than any


@dataclass
class Rules:
    """What holds for the whole chunk: step and snap of the domain, wrap, the plan's taper."""

    step: int
    snap: int
    wrap: bool
    taper: tuple[int, ...] = ()

    def step_at(self, power: int) -> int:
        """Quantisation step at the spacing 2**power."""
        if not self.taper:
            return self.step
        return max(1, self.step * self.taper[min(power, len(self.taper) - 1)] >> 6)


@dataclass
class Plan:
    """The ordered axis, counted from 1, or 0; number of references; taper."""

    axis: int = 0
    reach: int = 0
    taper: tuple[int, ...] = ()


def read_plan(cursor: Cursor, leading: list[int]) -> Plan:
    """Plan of a payload of version 2."""
    axis, reach = cursor.u8(), cursor.u8()
    taper = tuple(cursor.take(cursor.u8()))
    require(axis <= len(leading), "ordered axis")
    require(reach in (2, 4, 6, 8) if axis else reach == 0, "number of references")
    require(len(taper) <= 32 and all(1 <= share <= 64 for share in taper), "taper")
    return Plan(axis, reach, taper)


@dataclass
class Order:
    """How frames lie along the ordered axis: its length, and frames from one position to the next."""

    length: int
    inner: int
    outer: int

    @classmethod
    def of(cls, leading: list[int], axis: int) -> Order:
        """Order of a plan; frames that are not ordered have an axis of one position."""
        length, inner = (leading[axis - 1], math.prod(leading[axis:])) if axis else (1, 1)
        return cls(length, inner, math.prod(leading) // (length * inner))

    def stages(self) -> Iterator[tuple[int, Integers]]:
        """Distance and frames of each stage."""
        for h in (0, *(1 << p for p in reversed(range((self.length - 1).bit_length())))):
            positions = range(h, self.length, 2 * h) if h else [0]
            o, t, i = np.meshgrid(np.arange(self.outer), positions, np.arange(self.inner), indexing="ij")
            yield h, ((o * self.length + t) * self.inner + i).reshape(-1)

    def references(self, frames: Integers, h: int, reach: int) -> list[Integers]:
        """References of frames of a stage of distance h: the first of each frame, the second of each, ..."""
        if h == 0:
            return []
        t, out = frames // self.inner % self.length, []
        for away in (-1, 1, -3, 3, -5, 5, -7, 7)[:reach]:
            there = t + away * h
            there = np.where((there >= 0) & (there < self.length), there, t - h)
            out.append(frames + (there - t) * self.inner)
        return out


# ---- pyramid.md: references -----------------------------------------------------------------------------------------


@dataclass
class Side:
    """What a spacing, or one lattice's neighbours on it, knows of references."""

    mean: Integers
    change: Integers
    pulse: Integers
    trust: int
    distance: int


@dataclass
class References:
    """Of one group: values of references and static fields, (frame, y, x) each, |marks|, rows (trust, weights)."""

    distance: int
    values: list[Integers]
    marks: list[Integers]
    rows: list[tuple[int, list[int]]]

    def at(self, power: int) -> Side | None:
        """Mean, change and pulse on the lattice of spacing 2**power; None if the spacing is coded without."""
        trust, weights = self.rows[min(power, len(self.rows) - 1)]
        if trust == 0:
            return None
        lattice = np.s_[:, :: 1 << power, :: 1 << power]
        values = [value[lattice] for value in self.values]
        total = np.sum([weight * value for weight, value in zip(weights, values, strict=True)], axis=0)
        mean = np.clip(total + 32 >> 6, -LIMIT, LIMIT)
        if not self.marks:
            return Side(mean, np.zeros_like(mean), np.zeros_like(mean), trust, self.distance)
        pulse = np.abs(self.marks[0][lattice]) + np.abs(self.marks[1][lattice])
        return Side(mean, values[1] - values[0], pulse, trust, self.distance)


def read_weights(cursor: Cursor, n: int) -> list[tuple[int, list[int]]]:
    """Rows of trust and n weights."""
    count = cursor.u8()
    require(1 <= count <= 6, "rows of weights")
    rows = []
    for _ in range(count):
        trust, weights = cursor.u8(), np.frombuffer(cursor.take(n), np.int8)
        require(trust <= 127, "trust")
        rows.append((trust, weights.tolist()))
    return rows


# ---- pyramid.md: lattices and passes --------------------------------------------------------------------------------

ODD, EVEN = (-3, -1, 1, 3), (-2, 0, 2)
CROSS = {(dy, dx) for dy in EVEN for dx in ODD} | {(dy, dx) for dy in ODD for dx in EVEN}
PASSES = {  # row and column of the targets' parity, and the stencil
    "D": (1, 1, {(dy, dx) for dy in ODD for dx in ODD}),
    "A": (0, 1, CROSS),
    "B": (1, 0, CROSS | {(-1, -1), (-1, 1), (1, -1), (1, 1)}),
}


def stencil(name: str) -> list[tuple[int, int]]:
    """Offsets of a pass, nearest first, then by row and column."""
    return sorted(PASSES[name][2], key=lambda o: (o[0] ** 2 + o[1] ** 2, o))


def powers(height: int, width: int) -> Iterator[int]:
    """Exponents of the spacings, coarsest first."""
    return reversed(range(max(height - 1, width - 1).bit_length()))


def origin(length: int, parity: int, rows: int, wrap: bool) -> Integers:
    """Where rows -2 .. rows + 1 of a padded part come from."""
    position = 2 * np.arange(-2, rows + 2) + parity
    if wrap:
        return (position % length - parity) // 2
    return np.maximum(mirrored(position, length) - parity, 0) // 2


def mirrored(position: Integers, length: int) -> Integers:
    """Positions mirrored about the first and last of `length`."""
    period = max(2 * (length - 1), 1)
    position = np.abs(position) % period
    return np.minimum(position, period - position) if length > 1 else position


def pad(lattice: Integers, parity: tuple[int, int], wrap: bool) -> Integers | None:
    """One part of a lattice (frame, row, column) with two rows and columns more on each side; None if it is empty."""
    _, height, width = lattice.shape
    part = lattice[:, parity[0] :: 2, parity[1] :: 2]
    if not part.size:
        return None
    rows = origin(height, parity[0], (height + 1) // 2, False)
    columns = origin(width, parity[1], (width + 1) // 2, wrap)
    return part[:, rows][:, :, columns]


def neighbours(lattice: Integers, name: str, wrap: bool) -> Integers:
    """Stencil values of all targets of a pass: (n, targets)."""
    row, column, _ = PASSES[name]
    _, height, width = lattice[:, row::2, column::2].shape
    parts = {parity: pad(lattice, parity, wrap) for parity in ((0, 0), (1, 1), (0, 1))}
    out = []
    for dy, dx in stencil(name):
        parity = (row + dy) % 2, (column + dx) % 2
        part = parts[parity]
        if part is None:
            part = parts[0, 0]
        assert part is not None
        top, left = (row + dy - parity[0]) // 2 + 2, (column + dx - parity[1]) // 2 + 2
        out.append(part[:, top : top + height, left : left + width].reshape(-1))
    return np.stack(out)


# ---- pyramid.md: inputs of the network ------------------------------------------------------------------------------


def bit_length(value: Integers) -> Integers:
    """Binary digits of integers from 0 to below 2**53."""
    return np.frexp(value.astype(np.float64))[1].astype(np.int64)


def log8(value: Integers) -> Integers:
    """Eight times the logarithm to base 2, linear between powers of two."""
    exponent = bit_length(value) - 1
    return 8 * exponent + ((value << 3 >> exponent) & 7)


def clip127(value: Integers) -> Integers:
    """Clip to the range of a network's input."""
    return np.clip(value, -127, 127)


@dataclass
class Gathered:
    """Inputs of the network (targets, m), and what settles its outputs: base, scale and octave of each target."""

    inputs: Integers
    base: Integers
    scale: Integers
    octave: Integers


Seen = tuple[Side, Side]  # at the stencil (n, targets), and at the targets themselves


def gather(v: Integers, u: Integers, seen: Seen | None, net: Net, name: str, step: int, power: int) -> Gathered:
    """Stencil values and marks (n, targets), and what is seen of references -> inputs."""
    dy, dx = np.array(stencil(name), np.int64).T[:, :, None]
    n = len(v)
    centre = v[:4].sum(0) >> 2
    e = v - centre
    slope_y = (e * dy).sum(0) * (65536 // int((dy * dy).sum())) >> 16
    slope_x = (e * dx).sum(0) * (65536 // int((dx * dx).sum())) >> 16
    d = e - slope_y * dy - slope_x * dx
    base = centre + ((d * net.linear[:, None]).sum(0) + 2**13 >> 14)
    scale = (np.abs(d).sum(0) * (65536 // n) >> 16) + (step >> 2) + 1
    z = np.maximum(bit_length(scale) - 16, 0)
    inverse = 2**32 // (scale >> z)
    octave = log8(scale) - log8(np.array([step]))
    slope = log8(np.abs(slope_y) + np.abs(slope_x) + 1) - log8(scale)
    near, wide, far = (log8(1 + np.abs(u[part]).sum(0)) for part in (slice(4), slice(4, 12), slice(12, n)))
    inputs = [
        *clip127((d >> z) * inverse + 2**26 >> 27),
        *clip127(np.stack([octave, 4 * octave, slope])),
        np.full_like(octave, 14 * min(power, 8)),
        *clip127(u[:4] * step * inverse >> 27 + z),
        *(near, wide, far),
        np.full_like(octave, 127),
    ]
    if seen:
        inputs += side_inputs(*seen, name, scale, z, inverse)
    inputs += [np.zeros_like(octave)] * (-len(inputs) % 8)
    return Gathered(np.stack(inputs, axis=1) + 128, base, scale, octave)


def side_inputs(near: Side, here: Side, name: str, scale: Integers, z: Integers, inverse: Integers) -> list[Integers]:
    """Eight inputs of the networks with references."""
    tap = np.array([taps(name, abs(dy), abs(dx)) for dy, dx in stencil(name)], np.int64)[:, None]

    def bend(at: Integers, values: Integers) -> Integers:
        return at - ((tap * values).sum(0) + 128 >> 8)

    def lively(values: Integers) -> Integers:
        return np.abs(values[:4] - (values[:4].sum(0) >> 2)).sum(0)

    def part(b: Integers) -> Integers:
        return clip127((np.clip(b, -8 * scale, 8 * scale) >> z) * inverse + 2**26 >> 27)

    change = bend(here.change, near.change)
    return [
        part(bend(here.mean, near.mean)),
        part(change),
        clip127(log8(lively(near.mean) + 1) - log8(scale)),
        clip127(log8(lively(near.change) + np.abs(change) + 1) - log8(scale)),
        log8(1 + here.pulse),
        log8(1 + near.pulse[:4].sum(0)),
        np.full_like(scale, here.trust),
        np.full_like(scale, 14 * min(here.distance.bit_length() - 1, 8)),
    ]


def taps(name: str, dy: int, dx: int) -> int:
    """Weight of the neighbour so far away, in 1/256, in an interpolation of the target."""
    if name == "D":
        return {1: 9, 3: -1}[dy] * {1: 9, 3: -1}[dx]
    return {(0, 1): 72, (0, 3): -8}.get((min(dy, dx), max(dy, dx)), 0)


# ---- pyramid.md: from the network to a prediction and a context -----------------------------------------------------


def settle(network: Integers, gathered: Gathered, seen: Seen | None, snap: int) -> tuple[Integers, Integers]:
    """Predicted value and context of each target."""
    offset, spread, tail = network.T >> 6
    value = gathered.base + (seen[1].mean if seen else 0) + (gathered.scale * np.clip(offset, -4095, 4095) >> 8)
    prediction = np.clip((value + snap // 2) // snap * snap, -LIMIT, LIMIT)
    index = np.clip((spread + 2 * gathered.octave >> 2) + 20, 0, 207)
    shape = np.clip(tail + 16 >> 5, 0, 2)
    return prediction, 3 * index + shape


# ---- pyramid.md: symbols --------------------------------------------------------------------------------------------


def read_pass(coded: Symbols, context: Integers, valid: Bools, region: int) -> Integers:
    """Symbols of a pass: by band, then by context, then in row-major order; 0 where a target is masked."""
    symbol = np.zeros(len(context), np.int64)
    for start in range(0, len(context), BAND):
        band = slice(start, start + BAND)
        for number in np.unique(context[band][valid[band]]):
            where = start + np.flatnonzero(valid[band] & (context[band] == number))
            symbol[where] = coded.read(int(number), len(where), region)
    return symbol


def see(side: Side, name: str, around: bool) -> Seen:
    """Side of a lattice -> sides of the stencils and of the targets of a pass."""
    row, column, _ = PASSES[name]
    parts = side.mean, side.change, side.pulse
    near = [neighbours(part, name, around) for part in parts]
    here = [part[:, row::2, column::2].reshape(-1) for part in parts]
    return Side(*near, side.trust, side.distance), Side(*here, side.trust, side.distance)


def walk(
    first: Integers, valid: Bools, coded: Symbols, model: Model, rules: Rules, references: References | None
) -> tuple[Integers, Integers]:
    """All pixels of a group of frames from their first ones, and their marks."""
    _, height, width = valid.shape
    known, marks, before = first, np.zeros_like(first), rules.step_at(FIRST)
    for power in powers(height, width):
        s, step = 1 << power, rules.step_at(power)
        if step != before:
            marks = clip127((2 * marks * before + step) // (2 * step))
        lattice = np.zeros(valid[:, ::s, ::s].shape, np.int64)
        symbols = np.zeros_like(lattice)
        lattice[:, ::2, ::2], symbols[:, ::2, ::2] = known, marks
        around = rules.wrap and width % (2 * s) == 0
        side = references.at(power) if references else None
        for name, (row, column, _) in PASSES.items():
            net = model.nets[name + ("-fine" if s == 1 else "-coarse") + ("-side" if side else "")]
            target = np.s_[:, row::2, column::2]
            seen = see(side, name, around) if side else None
            near = neighbours(lattice - side.mean if side else lattice, name, around)
            gathered = gather(near, neighbours(symbols, name, around), seen, net, name, step, power)
            prediction, context = settle(run(net, gathered.inputs), gathered, seen, rules.snap)
            symbol = read_pass(coded, context, valid[:, ::s, ::s][target].reshape(-1), int(s == 1))
            shape = lattice[target].shape
            lattice[target] = np.clip(prediction + symbol * step, -LIMIT, LIMIT).reshape(shape)
            symbols[target] = clip127(symbol).reshape(shape)
        known, marks, before = lattice, symbols, step
    return known, marks


# ---- pyramid.md: smoothing ------------------------------------------------------------------------------------------

KERNELS = (  # offsets of the neighbours that are added, as many as the pixel is taken away
    [(0, -1), (0, 1)],
    [(-1, 0), (1, 0)],
    [(-1, -1), (-1, 1), (1, -1), (1, 1)],
    [(0, -2), (0, 2)],
    [(-2, 0), (2, 0)],
    [(dy, dx) for dy in (-2, -1, 1, 2) for dx in (-2, -1, 1, 2) if abs(dy) != abs(dx)],
    [(-2, -2), (-2, 2), (2, -2), (2, 2)],
    [(0, -3), (0, 3), (-3, 0), (3, 0)],
)
KINDS, FEATURES = 42, len(KERNELS) + 1


def read_smoothing(cursor: Cursor) -> Integers | None:
    """Weights of each kind of pixel, or None."""
    packed = cursor.take(cursor.varint())
    if not packed:
        return None
    return np.frombuffer(unpack(packed, KINDS * FEATURES), np.int8).reshape(KINDS, FEATURES).astype(np.int64)


def smooth(values: Integers, marks: Integers, weights: Integers, rules: Rules) -> Integers:
    """Values of a group after smoothing."""
    _, height, width = values.shape
    fine, features = rules.step_at(0), []
    for kernel in KERNELS:
        total = -len(kernel) * values
        for dy, dx in kernel:
            rows, columns = np.arange(height) + dy, np.arange(width) + dx
            columns = columns % width if rules.wrap else mirrored(columns, width)
            total = total + values[:, mirrored(rows, height)][:, :, columns]
        features.append(total)
    features.append(np.clip(marks, -2, 2) * fine >> 2)
    place, own = places(height, width, rules)
    t = np.abs(features[0] + features[1]) + np.abs(features[2])
    activity = (t >= fine).astype(np.int64) + (t >= 4 * fine)
    kind = 3 * (2 * place + (marks != 0)) + activity
    change = np.sum([weights[kind, k] * feature for k, feature in enumerate(features)], axis=0)
    room = np.maximum(0, rules.step - own >> 1)
    return values + np.clip(change + 256 >> 9, -room, room)


def places(height: int, width: int, rules: Rules) -> tuple[Integers, Integers]:
    """Place of each pixel (y, x), and the step it was coded at."""
    place, own = np.full((height, width), 6), np.full((height, width), rules.step_at(FIRST))
    for power in powers(height, width):
        for number, (row, column, _) in enumerate(PASSES.values()):
            targets = np.s_[row << power :: 2 << power, column << power :: 2 << power]
            place[targets], own[targets] = min(3 * power + number, 6), rules.step_at(power)
    return place, own


# ---- pyramid.md: a group, all groups --------------------------------------------------------------------------------


def read_group(
    cursor: Cursor, valid: Bools, model: Model, rules: Rules, references: References | None
) -> tuple[Integers, Integers]:
    """Values and marks of one group of frames."""
    weights = read_smoothing(cursor) if rules.taper else None
    if references:
        references.rows = read_weights(cursor, len(references.values))
    context, symbol = cursor.varint(3 * 208 - 1), cursor.varint(2**41)
    coded = Symbols(model.cumulative, cursor)
    symbols = np.concatenate([unfold(np.array([symbol], np.uint64)), coded.read(context, len(valid) - 1, 0)])
    side, step = references.at(FIRST) if references else None, rules.step_at(FIRST)
    steps = symbols if side else np.cumsum(symbols)
    require(np.abs(steps).max() <= 2 * LIMIT // step, "first pixel")  # so that the product keeps to 64 bits
    first = steps * step + (side.mean[:, 0, 0] if side else 0)
    require(max(np.abs(symbols).max(), np.abs(first).max()) <= LIMIT, "first pixel")
    values, marks = walk(first.reshape(-1, 1, 1), valid, coded, model, rules, references)
    coded.end()
    return values if weights is None else smooth(values, marks, weights, rules), marks


def neural(stream: Stream, valid: Bools, model: Model, rules: Rules, statics: list[Integers]) -> Integers:
    """Neural payload -> integers in fine units."""
    cursor = Cursor(stream.sections["payload"])
    plan = read_plan(cursor, stream.leading) if stream.version == 2 else Plan()
    require(not (plan.axis or statics) or set(SIDE_NETS) <= set(model.nets), "references need a model of format 2")
    order, most = Order.of(stream.leading, plan.axis), max(1, GROUP[stream.version] // math.prod(valid.shape[1:]))
    rules = replace(rules, taper=plan.taper)
    values, marks = np.zeros(valid.shape, np.int64), np.zeros(valid.shape, np.int64)
    for h, stage in order.stages():
        for start in range(0, len(stage), most):
            group = stage[start : start + most]
            body = Cursor(cursor.take(cursor.varint())) if stream.version == 2 else cursor
            sources = order.references(group, h, plan.reach)
            known = [values[source] for source in sources] + [np.stack([static] * len(group)) for static in statics]
            references = References(h, known, [marks[source] for source in sources], []) if known else None
            values[group], marks[group] = read_group(body, valid[group], model, rules, references)
            if stream.version == 2:
                body.end()
    cursor.end()
    return values


# ---- hyperprior.md: the wavelet -------------------------------------------------------------------------------------

BANDS = {"HL": (0, 1), "LH": (1, 0), "HH": (1, 1)}  # whether a band's rows and columns are the odd ones of the level
SMOOTH = (65536, 46741, 32278, 22590, 15925, 11252, 7955, 5625, 3977, 2812, 1989, 1406, 994, 703, 497, 352, 249)
DETAIL = (65536, 73862, 54169, 36945, 25690, 18076, 12765, 9023, 6380, 4511, 3190, 2255, 1595, 1128, 796, 564, 399)
GAIN, LIFTS = 80621, ((0, 29066), (1, 57862), (0, -3472), (1, -103949))  # parity that changes, and its multiplier


@dataclass
class Scale:
    """One scale level: rows and columns of the finer field, what is halved, and how often by now (y, x); its depth."""

    size: tuple[int, int]
    halved: tuple[bool, bool]
    times: tuple[int, int]
    depth: int

    def band_size(self, odd: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of a band, or of LL, which has the even ones; an axis that is not halved has no odd ones."""
        lengths = zip(self.size, self.halved, odd, strict=True)
        rows, columns = ((n + 1 - o) // 2 if halved else n * (1 - o) for n, halved, o in lengths)
        return rows, columns

    def step(self, odd: tuple[int, int]) -> int:
        """Quantisation step of a band, or of LL."""
        y, x = ((SMOOTH, DETAIL)[o][min(n, 16)] for o, n in zip(odd, self.times, strict=True))
        return max(1, y * x >> 16)


def scales(height: int, width: int, x_first: bool) -> list[Scale]:
    """Scale levels, finest first."""
    out: list[Scale] = []
    size, times, depth = (height, width), (0, 0), 0
    while size != (1, 1):
        along_x_alone = x_first and not out and width > 1
        halved = size[0] > 1 and not along_x_alone, size[1] > 1
        times, depth = (times[0] + halved[0], times[1] + halved[1]), depth + (not along_x_alone)
        out.append(Scale(size, halved, times, depth))
        size = out[-1].band_size((0, 0))
    return out


def synthesise(smooth: Integers, bands: dict[str, Integers], scale: Scale, wrap: bool) -> Integers:
    """LL and bands of a level -> the finer field."""
    x = np.empty((len(smooth), *scale.size), np.int64)
    y_step, x_step = 1 + scale.halved[0], 1 + scale.halved[1]
    for odd, values in [((0, 0), smooth), *((BANDS[name], band) for name, band in bands.items() if band.size)]:
        x[:, odd[0] :: y_step, odd[1] :: x_step] = values
    if scale.halved[1]:
        unlift(x, wrap and scale.size[1] % 2 == 0)
    if scale.halved[0]:
        unlift(x.swapaxes(1, 2), False)
    return x


def unlift(x: Integers, wrap: bool) -> None:
    """Undo the lifting along the last axis, in place."""
    length = x.shape[2]
    x[:, :, ::2] = times(x[:, :, ::2], GAIN)
    for parity, by in LIFTS:
        here = np.arange(parity, length, 2)
        before, after = here - 1, here + 1
        if wrap:
            before, after = before % length, after % length
        else:
            before, after = mirrored(before, length), mirrored(after, length)
        x[:, :, parity::2] -= times(x[:, :, before] + x[:, :, after], by)


def times(value: Integers, by: int) -> Integers:
    """Product with a multiplier of 16 fraction bits, to the nearest integer."""
    return value * by + 2**15 >> 16


# ---- hyperprior.md: inputs of the networks --------------------------------------------------------------------------

SUBBAND_NETS = [
    f"{band}-{turn}-{depth}" for band in BANDS for turn in ("first", "later") for depth in ("coarse", "fine")
]
SUBBAND_INPUTS = 64
SAME = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1), (0, -2), (0, 2), (-2, 0), (2, 0))
OTHERS = {  # band, row, column
    "HL": (("LH", 0, 0), ("LH", 0, 1), ("LH", -1, 0), ("LH", -1, 1), ("HH", 0, 0), ("HH", -1, 0)),
    "LH": (("HL", 0, 0), ("HL", 1, 0), ("HL", 0, -1), ("HL", 1, -1), ("HH", 0, 0), ("HH", 0, -1)),
    "HH": (("HL", 0, 0), ("HL", 1, 0), ("LH", 0, 0), ("LH", 0, 1), ("HL", 0, 1), ("LH", 1, 0)),
}
AFTER = {"HL": ("HL", "LH", "HH"), "LH": ("LH", "HH", "HL"), "HH": ("HH", "HL", "LH")}  # a band and the others
BENDS = (  # second differences of LL: their direction, and where they are taken
    *(("x", 0, k) for k in (-1, 0, 1, 2)), *(("y", k, 0) for k in (-1, 0, 1, 2)),
    ("x", -1, 0), ("x", -1, 1), ("x", 1, 0), ("x", 1, 1), ("y", 0, -1), ("y", 1, -1), ("y", 0, 1), ("y", 1, 1),
    *(("xy", a, b) for a in (-1, 0) for b in (-1, 0)),
)  # fmt: skip
SECOND = {
    "x": {(0, -1): 1, (0, 0): -2, (0, 1): 1},
    "y": {(-1, 0): 1, (0, 0): -2, (1, 0): 1},
    "xy": {(0, 0): 1, (0, 1): -1, (1, 0): -1, (1, 1): 1},
}


@dataclass
class Level:
    """A scale level while it is decoded: LL, and of each band values and marks (frame, row, column); 0 if unknown."""

    smooth: Integers
    values: dict[str, Integers]
    marks: dict[str, Integers]
    wrap: bool

    @classmethod
    def empty(cls, smooth: Integers, scale: Scale | None, wrap: bool) -> Level:
        """Make a level of which only LL is known; without a scale there is nothing: the one above the top."""
        sizes = {name: scale.band_size(odd) if scale else (0, 0) for name, odd in BANDS.items()}
        values, marks = ({name: np.zeros((len(smooth), *size), np.int64) for name, size in sizes.items()} for _ in "vm")
        return cls(smooth, values, marks, wrap)

    def look(self, plane: Integers, rows: Integers, columns: Integers) -> Integers:
        """Give what stands at rows x columns, flat; outside as at the edge, or round the circle; 0 of an empty band."""
        frames, height, width = plane.shape
        if not plane.size:
            return np.zeros(frames * len(rows) * len(columns), np.int64)
        columns = columns % width if self.wrap else np.clip(columns, 0, width - 1)
        return plane[:, np.clip(rows, 0, height - 1)][:, :, columns].reshape(-1)


@dataclass
class View:
    """What the targets of a pass see: rows and columns of the targets, this level, and the one above."""

    band: str
    rows: Integers
    columns: Integers
    level: Level
    above: Level

    def at(self, plane: Integers, dy: int, dx: int) -> Integers:
        """A plane of this level, off the target by so much."""
        return self.level.look(plane, self.rows + dy, self.columns + dx)

    def parent(self, plane: Integers, dy: int, dx: int) -> Integers:
        """A plane of the level above, off the target's place there."""
        return self.above.look(plane, (self.rows >> 1) + dy, (self.columns >> 1) + dx)

    def bend(self, kind: str, dy: int, dx: int) -> Integers:
        """A second difference of LL."""
        parts = [by * self.at(self.level.smooth, dy + a, dx + b) for (a, b), by in SECOND[kind].items()]
        return np.sum(parts, axis=0)


def around(look: Callable[[Integers, int, int], Integers], marks: Integers, reach: int) -> Integers:
    """Sum of |marks| in a square."""
    offsets = range(-reach, reach + 1)
    return np.sum([np.abs(look(marks, dy, dx)) for dy in offsets for dx in offsets], axis=0)


def subband_values(view: View) -> tuple[Integers, Integers, Integers]:
    """Values of inputs 0 to 43 (44, targets), the sum of which spread is a share, and how LL bends."""
    level, above, (own, second, third) = view.level, view.above, AFTER[view.band]
    near = [view.at(level.values[own], dy, dx) for dy, dx in SAME]
    near += [view.at(level.values[name], dy, dx) for name, dy, dx in OTHERS[view.band]]
    dy, dx = 2 * int(view.rows[0] & 1) - 1, 2 * int(view.columns[0] & 1) - 1
    kin = [view.parent(above.values[own], a, b) for a, b in ((0, 0), (dy, 0), (0, dx), (dy, dx))]
    kin += [view.parent(above.values[name], 0, 0) for name in (second, third)]
    bends = [view.bend(*bend) for bend in BENDS]
    bend = np.abs(bends).sum(0)
    total = 2 * np.abs(near).sum(0) + np.abs(kin).sum(0) + (bend >> 1)
    return np.stack([*near, *kin, *(value >> 1 for value in bends)]), total, bend


def subband_inputs(view: View, step: int, depth: int, x_first: bool) -> Gathered:
    """Inputs of the networks of a pass, and what settles their outputs."""
    values, total, bend = subband_values(view)
    spread = (total >> 4) + (step >> 2) + 1
    z = np.maximum(bit_length(spread) - 16, 0)
    inverse = 2**32 // (spread >> z)
    log_step = log8(np.array([step]))
    octave = log8(spread) - log_step
    level, above, (own, second, third) = view.level, view.above, AFTER[view.band]
    crowds = [4 * around(view.at, level.marks[own], 1), 2 * around(view.at, level.marks[own], 2)]
    crowds += [4 * around(view.at, level.marks[name], 1) for name in (second, third)]
    crowds += [4 * around(view.parent, above.marks[name], 1) for name in (own, second, third)]
    crowds += [2 * around(view.parent, above.marks[own], 2)]
    slopes = [np.abs(view.at(level.smooth, *to) - view.at(level.smooth, 0, 0)) for to in ((0, 1), (1, 0))]
    lively = [log8(change + (step >> 3) + 1) - log_step for change in (bend >> 3, *slopes)]
    numbers = 127 * int(view.rows[0] & 1), 127 * int(view.columns[0] & 1), 12 * min(depth, 10)
    inputs = [
        *((values >> z) * inverse + 2**26 >> 27),
        *(octave, 4 * octave),
        *(2 * log8(crowd + 1) for crowd in crowds),
        *lively,
        2 * log8(4 * np.abs(view.parent(above.marks[own], 0, 0)) + 1),
        *(np.full_like(octave, number) for number in (*numbers, 127 * (depth < 2), 127 * x_first, 127)),
    ]
    return Gathered(clip127(np.stack(inputs, axis=1)) + 128, np.zeros_like(spread), spread, octave)


# ---- hyperprior.md: the walk ----------------------------------------------------------------------------------------

TOP_CONTEXT = 108


def decode_pass(view: View, scale: Scale, coded: Symbols, model: Model, first: bool, x_first: bool) -> None:
    """Coefficients and marks of one pass, into their band."""
    step = scale.step(BANDS[view.band])
    gathered = subband_inputs(view, step, scale.depth, x_first)
    net = model.nets[view.band + ("-first" if first else "-later") + ("-fine" if scale.depth <= 1 else "-coarse")]
    mean, context = settle(run(net, gathered.inputs), gathered, None, 1)
    symbol = np.zeros(len(context), np.int64)
    for number in np.unique(context):
        where = np.flatnonzero(context == number)
        symbol[where] = coded.read(int(number), len(where), 0)
    back = model.shrink[context, np.clip(np.abs(symbol), 1, 2) - 1] * step >> 8
    value = np.clip(mean + symbol * step - np.sign(symbol) * back, -LIMIT, LIMIT)
    targets = np.s_[:, view.rows[0] :: 2, view.columns[0] :: 2]
    shape = view.level.values[view.band][targets].shape
    view.level.values[view.band][targets] = value.reshape(shape)
    view.level.marks[view.band][targets] = clip127(symbol).reshape(shape)


def hyperprior(payload: bytes, shape: tuple[int, int, int], wrap: bool, model: Model) -> Integers:
    """Hyperprior payload -> the field in integers (frame, y, x)."""
    cursor = Cursor(payload)
    x_first = cursor.u8()
    require(x_first <= 1, "first level along x alone")
    coded = Symbols(model.cumulative, cursor, dense=True)
    levels = scales(shape[1], shape[2], bool(x_first))
    step, top = levels[-1].step((0, 0)) if levels else 65536, coded.read(TOP_CONTEXT, shape[0], 0)
    require(np.abs(top).max() <= LIMIT // step, "value of the top level")
    smooth = (top * step).reshape(-1, 1, 1)
    above = Level.empty(smooth, None, False)
    for scale in reversed(levels):
        smooth = np.clip(smooth, -LIMIT, LIMIT)
        level = Level.empty(smooth, scale, wrap and scale.size[1] % 2 == 0)
        for row, column in ((0, 0), (1, 1), (0, 1), (1, 0)):
            for band, plane in level.values.items():
                rows, columns = (np.arange(odd, n, 2) for odd, n in zip((row, column), plane.shape[1:], strict=True))
                if len(rows) and len(columns):
                    view = View(band, rows, columns, level, above)
                    decode_pass(view, scale, coded, model, (row, column) == (0, 0), bool(x_first))
        smooth, above = synthesise(smooth, level.values, scale, wrap), level
    coded.end()
    cursor.end()
    return smooth


# ---- spectral.md: symbols -------------------------------------------------------------------------------------------


def read_histogram(cursor: Cursor) -> tuple[int, list[int]]:
    """Lowest letter, and the cumulative frequencies of the letters and the escape."""
    low, letters = cursor.u8() - 63, cursor.u8() + 1
    weights = [cursor.varint(2**24) for _ in range(letters + 1)]
    require(low + letters - 1 <= 63 and any(weights), "histogram")
    frequencies = [1 + weight * (2**24 - letters - 1) // sum(weights) for weight in weights]
    frequencies[weights.index(max(weights))] += 2**24 - sum(frequencies)
    return low, [0, *itertools.accumulate(frequencies)]


@dataclass
class Kind:
    """A class of channels: raw bits, edges, and a histogram between each two of them."""

    shift: int
    edges: list[int]
    histograms: list[tuple[int, list[int]]]

    @classmethod
    def read(cls, cursor: Cursor) -> Kind:
        """Read it."""
        shift, number = cursor.u8(), cursor.u8()
        require(shift <= 30 and number in (0, 2), "class")
        edges = [cursor.varint(2**40) for _ in range(number)]
        require(not edges or edges[0] < edges[1], "edges")
        return cls(shift, edges, [read_histogram(cursor) for _ in range(number + 1)])


def read_residual(data: bytes, channels: int, valid: Bools) -> Integers:
    """Symbols (channel, pixel); valid: of the same shape."""
    cursor = Cursor(data)
    head, of, words, packed, escaped = (cursor.take(cursor.varint()) for _ in range(5))
    cursor.end()
    cursor = Cursor(head)
    kinds = [Kind.read(cursor) for _ in range(cursor.u8())]
    cursor.end()
    chosen = unpack(of, channels)
    require(max(chosen) < len(kinds), "class of a channel")
    ans, escapes = Ans(words), read_escapes(escaped)
    bits, out = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little"), np.zeros(valid.shape, np.int64)
    for j in range(channels):
        kind = kinds[chosen[j]]
        before = np.abs(out[max(0, j - 2) : j]).sum(0, dtype=np.int64)
        group = sum((before > edge).astype(np.int64) for edge in kind.edges) + np.zeros_like(before)
        for k, (low, cumulative) in enumerate(kind.histograms):
            where = np.flatnonzero(valid[j] & (group == k))
            high = ans.decode(cumulative, len(where)) + low
            away = high == low + len(cumulative) - 2
            count, size = int(away.sum()), len(where) * kind.shift
            require(count <= len(escapes) and size <= len(bits), "escaped symbols or raw bits")
            high[away], escapes = escapes[:count], escapes[count:]
            require(not ((high >> 31 - kind.shift) + 1 & ~1).any(), "symbol")  # it was 0 or -1
            out[j, where] = high << kind.shift
            for bit, plane in enumerate(bits[:size].reshape(kind.shift, len(where))):
                out[j, where] |= plane.astype(np.int64) << bit
            bits = bits[size:]
    require(len(bits) < 8 and not bits.any() and not len(escapes), "raw bits or escapes left over")
    require(not ans.words and ans.state == 0, "symbols left over")
    return out


# ---- spectral.md: fields --------------------------------------------------------------------------------------------


def read_fields(data: bytes, number: int, rows: int, columns: int) -> Integers:
    """Fields (field, row, column)."""
    cursor, fields = Cursor(data), np.zeros((number, rows, columns), np.int64)
    off = np.zeros((number, rows, columns), np.int64)
    if number == 0:
        cursor.end()
        return fields
    folded = [[cursor.varint(2**17) for _ in range(6 + i)] for i in range(number)]
    symbols = read_residual(cursor.rest(), number, np.ones((number, rows * columns), bool)).reshape(fields.shape)
    for i, field in enumerate(fields):
        weights = unfold(np.array(folded[i], np.uint64))
        around = weights[:6].tolist()
        earlier = (weights[6:, None, None] * off[:i] >> 12).sum(0)  # products modulo 2**64
        for r, c in np.ndindex(rows, columns):
            spatial = sum(w * near for w, near in zip(around, neighbours_of(field, r, c), strict=True))
            guess = (spatial + int(earlier[r, c]) + 2048) >> 12
            value = guess + int(symbols[i, r, c])
            require(abs(value) < 2**40, "value of a field")
            field[r, c] = value
            off[i, r, c] = (value << 12) - spatial
    return fields


def neighbours_of(field: Integers, r: int, c: int) -> list[int]:
    """West, north, north-west, north-east, two west, two north; or what stands for them."""
    if r == c == 0:
        return [0] * 6
    west = field[r, c - 1] if c > 0 else field[r - 1, c]
    north = field[r - 1, c] if r > 0 else west
    inside = r > 0 and c + 1 < field.shape[1]
    around = [
        west,
        north,
        field[r - 1, c - 1] if r > 0 and c > 0 else north,
        field[r - 1, c + 1] if inside else north,
        field[r, c - 2] if c > 1 else west,
        field[r - 2, c] if r > 1 else north,
    ]
    return [int(each) for each in around]


# ---- spectral.md: steps, prediction, values -------------------------------------------------------------------------


def octaves(index: Integers, parts: int) -> NDArray[np.float64]:
    """2**(index / parts), linear between powers of two."""
    return np.ldexp(1 + index % parts / parts, index // parts)


def step_lengths(indices: Integers) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """d(y), for y (channel, pixel), from the indices of a, b and c (3, channel)."""
    none = indices == -524288
    require((np.abs(np.where(none, 0, indices)) <= 153600).all() and not none[0].any(), "steps")
    a, b, c = np.where(none, 0.0, octaves(np.where(none, 0, indices), 256))[:, :, None]

    def lengths(y: NDArray[np.float64]) -> NDArray[np.float64]:
        u = np.maximum(y, 0.0)
        d = u * c
        d = b + d
        d = u * d
        d = a + d
        return np.sqrt(d)

    return lengths


def predicted(spectra: Integers, n: Integers, exponents: Integers) -> NDArray[np.float64]:
    """Predictions y (channel, pixel), exactly."""
    least = int(exponents.min())
    require(int(exponents.max()) - least <= 52, "exponents")
    counts = [1, *(max(map(abs, row)) for row in n.tolist())]
    largest = [max(map(abs, row)) for row in spectra.tolist()]
    sizes = zip(largest, counts, exponents.tolist(), strict=True)
    require(sum((size << e - least) * count for size, count, e in sizes) < 2**53, "predictions")
    aligned = spectra << (exponents - least)[:, None]
    sums = aligned[:1].T + (aligned[1:].T @ n if len(n) else 0)
    return np.ldexp(np.broadcast_to(sums, (spectra.shape[1], n.shape[1])).astype(np.float64), least)


def spectral(stream: Stream, valid: Bools) -> NDArray[np.float64]:
    """Spectral payload -> x_hat of each pixel of (frame, y, x)."""
    cursor, shape = Cursor(stream.sections["payload"]), stream.shape
    axis = cursor.u8()
    require(axis < len(shape), "axis of channels")
    channels, others = shape[axis], shape[:axis] + shape[axis + 1 :]
    pixels, columns = math.prod(others), others[-1] if others else 1
    require(channels <= 65536, "channels")
    count = cursor.varint(min(255, channels, pixels))
    exponents = np.frombuffer(cursor.take(count + 1), np.uint8).astype(np.int64) - 128
    parts = [cursor.take(cursor.varint()) for _ in range(4)]
    cursor.end()
    steps = read_fields(parts[0], 4, 1, channels)[:, 0]
    require((np.abs(steps[0]) <= 8000).all(), "scale")
    lengths, scale = step_lengths(steps[1:]), octaves(steps[0], 8)[:, None]
    n = read_fields(parts[1], count, pixels // columns, columns).reshape(count, pixels)
    y = predicted(read_fields(parts[2], count + 1, 1, channels)[:, 0], n, exponents)
    there = np.moveaxis(valid.reshape(shape), axis, 0).reshape(channels, pixels)
    q = read_residual(parts[3], channels, there)
    off = q.astype(np.float64) * lengths(y)
    x_hat = scale * (y + off)
    return np.ascontiguousarray(np.moveaxis(x_hat.reshape(channels, *others), 0, axis)).reshape(stream.frames)


# ---- stream.md: static fields ---------------------------------------------------------------------------------------


def static_fields(stream: Stream, folders: Iterable[str | Path]) -> list[NDArray[np.float64]]:
    """Values (y, x) of each static field of the chunk, times their gains."""
    if "static" not in stream.sections:
        return []
    cursor, (_, height, width), out = Cursor(stream.sections["static"]), stream.frames, []
    count = cursor.u8()
    require(1 <= count <= 4, "static fields")
    for _ in range(count):
        digest, y, x, gain = cursor.take(32).hex(), cursor.varint(2**31), cursor.varint(2**31), cursor.f64()
        field = find_static(digest, folders)
        require(y + height <= field.shape[0] and x + width <= field.shape[1], "beyond the static field")
        out.append(gain * field[y : y + height, x : x + width].astype(np.float64))
    cursor.end()
    return out


# ---- stream.md: paths -----------------------------------------------------------------------------------------------


def check_header(stream: Stream) -> None:
    """Refuse a range outside the dtype, and sections that a path or domain has no use for."""
    native = stream.dtype.newbyteorder("=").type
    with np.errstate(over="ignore"):
        require(all(limit is None or float(native(limit)) == limit for limit in stream.limits), "range of the dtype")
    allowed = {"payload"}
    if stream.path != "raw":
        allowed |= {"mask"}
    if stream.path in ("classical", "neural", "latent", "spectral"):
        require(math.prod(stream.shape) > 0, "an array without elements is constant")
        allowed |= {"residual"} if stream.path == "latent" else {"exceptions"}
    if stream.path in ("neural", "latent"):
        allowed |= {"static"}
    if stream.domain == "log":
        allowed |= {"signs"}
    if stream.domain == "profile":
        allowed |= {"bounds"}
        require(1 <= stream.parameters[0] <= 52, "shave")
    profile = stream.axis is not None
    require(not profile or stream.axis in range(len(stream.shape)), "axis of a profile")
    require(profile == (stream.domain == "profile") == ("bounds" in stream.sections), "half a profile")
    if stream.domain == "ordered" and stream.dtype.itemsize == 8:
        allowed |= {"low words"}
    require(set(stream.sections) <= allowed, "section without a use")


def decode_frames(stream: Stream, dtype: np.dtype[Any], models: Iterable[str | Path]) -> NDArray[Any]:
    """One value for each pixel of (frame, y, x)."""
    shape, payload = stream.frames, stream.sections["payload"]
    size, itemsize = math.prod(shape), dtype.itemsize
    if stream.path == "raw":
        bits = planes(unpack(payload, size * itemsize), itemsize, size)
        return bits.astype(f"u{itemsize}").view(dtype).reshape(shape)
    mask = read_mask(stream.sections["mask"], shape, dtype) if "mask" in stream.sections else None
    if stream.path == "constant":
        require(len(payload) == itemsize, "constant")
        values = np.full(shape, np.frombuffer(payload, dtype.newbyteorder("<")).astype(dtype)[0])
    elif stream.path == "latent":
        values = latent(stream, dtype, list(models))
    elif stream.path == "spectral":
        values = spectral(stream, mask.classes == 0 if mask else np.ones(shape, bool)).astype(dtype)
        keep_limits(values, stream.limits)
    else:
        step, snap = step_and_snap(stream)
        if stream.path == "classical":
            fine = classical(payload, shape, step)
        else:
            valid = mask.classes == 0 if mask else np.ones(shape, bool)
            folders, rules = list(models), Rules(step, snap, bool(stream.flags & 2))
            wide = static_fields(stream, folders)
            statics = [np.clip(np.rint(part), -LIMIT, LIMIT).astype(np.int64) for part in wide]
            fine = neural(stream, valid, find_model(stream.model, folders), rules, statics)
        values = to_values(stream, fine, dtype)
    if "exceptions" in stream.sections:
        correct(values, stream.sections["exceptions"])
    if mask:
        mask.restore(values)
    return values


def latent(stream: Stream, dtype: np.dtype[Any], folders: list[str | Path]) -> NDArray[Any]:
    """Latent path: a field in integers, what static fields explain, residual, dtype and limits."""
    if stream.codec != 2:
        raise OtherCodec({3: "adiabat.vq", 4: "adiabat.hvae"}[stream.codec])
    centre, scale = stream.parameters
    model = find_model(stream.model, folders, "hyperprior")
    integers = hyperprior(stream.sections["payload"], stream.frames, bool(stream.flags & 2), model)
    wide = centre + integers.astype(np.float64) * (scale / 65536)
    statics = static_fields(stream, folders)
    if statics:
        explained = np.zeros(wide.shape[1:])
        for part in statics:
            explained += part
        wide = wide + explained
    if "residual" in stream.sections:
        nested = parse(stream.sections["residual"])
        check_header(nested)
        require(nested.path != "latent" and nested.frames == stream.frames, "residual")
        wide = wide + decode_frames(nested, nested.dtype.newbyteorder("="), folders).astype(np.float64)
    values = wide.astype(dtype)
    keep_limits(values, stream.limits)
    return values


def decode(data: bytes, models: Iterable[str | Path] = ()) -> NDArray[Any]:
    """Decode a stream.

    Parameters
    ----------
    data : bytes
        The stream.
    models : iterable of str or path
        Folders that hold model packages.

    Returns
    -------
    NDArray
        Shape, dtype with byte order, and memory order as encoded.

    Raises
    ------
    Truncated, Corrupt, UnsupportedVersion, ModelNotFound, ModelMismatch
    OtherCodec
        For a stream of adiabat.vq or adiabat.hvae.
    """
    stream = parse(data)
    check_header(stream)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        frames = decode_frames(stream, stream.dtype.newbyteorder("="), models)
    values = frames.reshape(stream.shape).astype(stream.dtype)
    return np.asfortranarray(values) if stream.flags & 1 else values


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Decode an adiabat stream to a .npy file.")
    parser.add_argument("stream", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=Path, nargs="+", default=[])
    options = parser.parse_args()
    try:
        values = decode(options.stream.read_bytes(), options.models)
    except (InvalidError, OtherCodec) as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    np.save(options.out, values)
    return 0


if __name__ == "__main__":
    sys.exit(main())
