"""Targets behind a stream's checksum: each section, and each payload, by itself.

The first bytes of an input choose what the rest is read for: a shape, a dtype, a kind of numbers. Seeds are what the
encoder writes for small arrays, packed and as they are, so that changes reach what stands inside the packing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from unittest import mock

import numpy as np
from fuzz.target import Failure, Target
from numpy.typing import NDArray

from adiabat.codec import exceptions, mask, octets
from adiabat.codec.bound_profile import Profile
from adiabat.codec.classical import decode_classical, encode_classical
from adiabat.codec.entropy import CONTEXT_COUNT, SymbolReader, SymbolWriter, group
from adiabat.codec.errors import AdiabatError
from adiabat.codec.mask import Special, read_plane, write_plane
from adiabat.codec.models import find_model
from adiabat.codec.octets import Reader

SHAPES = ((1, 1, 1), (1, 1, 7), (1, 5, 1), (2, 3, 4), (3, 2, 2), (1, 9, 8), (1, 16, 24), (0, 2, 3), (4, 8, 8))
DTYPES = tuple(np.dtype(name) for name in ("f2", "f4", "f8"))


def stored(make: Callable[[], bytes]) -> list[bytes]:
    """What a writer writes, packed as it likes and not packed at all."""
    packed = make()
    plain = lambda data, thorough=True: b"\0" + data  # noqa: E731  # as octets.pack, of one method
    owners = [owner for owner in PACKERS if hasattr(owner, "pack")]
    with mock.patch.multiple(octets, pack=plain):
        patches = [mock.patch.object(owner, "pack", plain) for owner in owners]
        for patch in patches:
            patch.start()
        try:
            return [packed, make()]
        finally:
            for patch in patches:
                patch.stop()


def _packers() -> list[object]:
    from adiabat.codec import bound_profile, classical, entropy, paths, spectral_residual

    return [bound_profile, classical, entropy, exceptions, mask, paths, spectral_residual]


PACKERS = _packers()


def expect(array: NDArray[np.generic], shape: tuple[int, ...], dtype: object) -> int:
    """Bytes of an array that is of this shape and dtype; Failure of another."""
    if array.shape != shape or array.dtype != np.dtype(dtype):  # type: ignore[call-overload]
        raise Failure(f"expected {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")  # type: ignore[call-overload]
    return array.nbytes


def _choice(data: bytes) -> tuple[tuple[int, int, int], np.dtype[np.floating], bytes]:
    """A shape and a dtype from the first byte, and the rest."""
    first = data[0] if data else 0
    return SHAPES[first % len(SHAPES)], DTYPES[first // len(SHAPES) % 3], data[1:]


def _chosen(shape: tuple[int, int, int], dtype: object) -> bytes:
    return bytes([SHAPES.index(shape) + len(SHAPES) * DTYPES.index(np.dtype(dtype))])  # type: ignore[call-overload]


def field_of(shape: tuple[int, int, int], dtype: object = "f4", seed: int = 0) -> NDArray[np.floating]:
    """A random walk along x."""
    rng = np.random.default_rng(seed)
    field: NDArray[np.floating] = np.cumsum(rng.normal(size=shape), -1).astype(dtype)  # type: ignore[call-overload]
    return field


def _octets(data: bytes) -> int:
    """Numbers of all kinds, then bytes packed in any of the ways."""
    reader = Reader(data)
    try:
        while reader.left:
            kind = reader.u8() % 6
            if kind == 0:
                left, number = reader.left, reader.varint()
                start = len(data) - left
                if octets.write_varint(number) != data[start : len(data) - reader.left]:
                    raise Failure(f"expected the shortest form of {number}")
            elif kind == 1:
                reader.f32()
            elif kind == 2:
                reader.f64()
            elif kind == 3:
                reader.take(reader.varint(1 << 12))
            else:
                size = reader.varint(1 << 16)
                if len(octets.unpack(reader.take(reader.left), size)) != size:
                    raise Failure(f"expected {size} bytes")
                return size
        reader.end()
    except AdiabatError:
        pass
    return 0


def _octets_seeds() -> Iterator[bytes]:
    yield bytes([0, 0xAC, 2, 1, 0, 0, 128, 63, 2, *bytes(8), 3, 2, 7, 7])
    for body in (bytes(200), bytes(range(200)), b"\1\2" * 400):
        yield bytes([4]) + octets.write_varint(len(body)) + octets.pack(body)
        yield bytes([4]) + octets.write_varint(len(body)) + b"\0" + body
        yield bytes([4]) + octets.write_varint(len(body)) + b"\1" + octets.zlib.compress(body)
        packed = octets.lzma.compress(body, octets.lzma.FORMAT_RAW, filters=octets.LZMA_FILTER)
        yield bytes([4]) + octets.write_varint(len(body)) + b"\2" + packed


def _mask(data: bytes) -> int:
    shape, dtype, rest = _choice(data)
    try:
        special = Special.read(rest, shape, dtype)
    except AdiabatError:
        return 0
    expect(special.classes, shape, np.uint8)
    field = special.restore(np.zeros(shape, dtype))
    if len(np.unique(special.classes[special.classes > 0])) == len(special.patterns) + bool(len(special.listed)):
        again = Special.read(special.write(), shape, dtype)  # writers have no pattern that no pixel has
        if again.restore(np.zeros(shape, dtype)).tobytes() != field.tobytes():
            raise Failure("expected a mask that is written to be read again")
    return expect(field, shape, dtype)


def _mask_seeds() -> Iterator[bytes]:
    for shape in SHAPES:
        for dtype in DTYPES:
            field = field_of(shape, dtype)
            field[..., ::2] = np.nan
            field[..., 3:4] = np.inf
            special = mask.find_special(field)
            if special is not None:
                yield from (_chosen(shape, dtype) + each for each in stored(special.write))
    many = np.arange(384, dtype=np.uint32).reshape(1, 16, 24) + np.uint32(0x7FC00000)
    special = mask.find_special(many.view(np.float32))
    assert special is not None
    yield from (_chosen((1, 16, 24), "f4") + each for each in stored(special.write))


def _plane(data: bytes) -> int:
    shape, _, rest = _choice(data)
    try:
        plane = read_plane(rest, shape)
    except AdiabatError:
        return 0
    if not np.array_equal(read_plane(write_plane(plane), shape), plane):
        raise Failure("expected a plane that is written to be read again")
    return expect(plane, shape, bool)


def _plane_seeds() -> Iterator[bytes]:
    for shape in SHAPES:
        plane = field_of(shape) > 0
        yield from (_chosen(shape, "f4") + each for each in stored(lambda plane=plane: write_plane(plane)))
        yield from (_chosen(shape, "f4") + bytes([how, 0]) + np.packbits(plane).tobytes() for how in range(4))


def _exceptions(data: bytes) -> int:
    shape, dtype, rest = _choice(data)
    values = field_of(shape, dtype)
    try:
        return expect(exceptions.correct(values, rest), shape, dtype)
    except AdiabatError:
        return 0


def _exceptions_seeds() -> Iterator[bytes]:
    for shape in SHAPES:
        for dtype in DTYPES:
            values, field = field_of(shape, dtype), field_of(shape, dtype, 1)
            outside = values > field
            if outside.any():
                make = lambda o=outside, f=field, v=values: exceptions.write_exceptions(o, f, v)  # noqa: E731
                yield from (_chosen(shape, dtype) + each for each in stored(make))


def _classical(data: bytes) -> int:
    shape, _, rest = _choice(data)
    try:
        return expect(decode_classical(rest, shape, 256), shape, np.int64)
    except AdiabatError:
        return 0


def _classical_seeds() -> Iterator[bytes]:
    for shape in SHAPES:
        target = np.rint(1e4 * field_of(shape, "f8"))
        yield from (_chosen(shape, "f4") + each for each in stored(lambda t=target: encode_classical(t, None, 256)[0]))


def _bounds(data: bytes) -> int:
    shape, _, rest = _choice(data)
    axis = data[0] % 3 if data else 0
    try:
        profile = Profile.read(rest, shape, axis)
    except AdiabatError:
        return 0
    profile.config()
    return expect(profile.sizes, (shape[axis],), np.float64)


def _bounds_seeds() -> Iterator[bytes]:
    for shape in SHAPES:
        first = _chosen(shape, "f4")
        profile = Profile(np.linspace(0.1, 1, shape[first[0] % 3]))
        yield from (first + each for each in stored(profile.write))


@cache
def _passes(first: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Contexts of a few passes, as a walk would have found them: order and starts of each."""
    rng = np.random.default_rng(first)
    contexts = [rng.integers(0, (CONTEXT_COUNT, 200, 90)[first % 3], size).astype(np.uint16) for size in (1, 5, 40)]
    return [group(each, CONTEXT_COUNT) for each in contexts]


def _symbols(data: bytes) -> int:
    """Symbols of three passes under the shipped tables, packed or dense."""
    first = data[0] % 16 if data else 0
    reader = Reader(data[1:])
    try:
        symbols = SymbolReader(find_model().tables, reader, dense=bool(first & 8))
        for order, starts in _passes(first & 7):
            out = np.full(len(order), np.iinfo(np.int64).min)
            largest = symbols.read(order, starts, 0, out)
            if largest != max(abs(each) for each in out.tolist()) or largest >= 1 << 60:
                raise Failure(f"expected symbols up to {largest} below 2**60, got {out.tolist()}")
        symbols.finish()
        reader.end()
    except AdiabatError:
        pass
    return 8 * 46


def _symbols_seeds() -> Iterator[bytes]:
    for first in range(16):
        rng = np.random.default_rng(first)

        def make(first: int = first, rng: np.random.Generator = rng) -> bytes:
            writer = SymbolWriter(find_model().tables, dense=bool(first & 8))
            for order, starts in _passes(first & 7):
                writer.write(rng.integers(-300, 300, len(order)), starts, 0)
            return bytes([first]) + writer.payload()

        yield from stored(make)


PARSERS = ("octets", "mask", "exceptions", "classical", "bound_profile", "entropy", "words", "raw_bits", "domain")
MODULES = tuple(f"adiabat.codec.{name}" for name in PARSERS)

SECTION_TARGETS = (
    Target("octets", _octets, _octets_seeds, MODULES, longest=1024),
    Target("mask", _mask, _mask_seeds, MODULES, longest=2048),
    Target("plane", _plane, _plane_seeds, MODULES, longest=512),
    Target("exceptions", _exceptions, _exceptions_seeds, MODULES, longest=1024),
    Target("classical", _classical, _classical_seeds, MODULES, longest=1024),
    Target("bounds", _bounds, _bounds_seeds, MODULES, longest=256),
    Target("symbols", _symbols, _symbols_seeds, MODULES, longest=1024),
)
