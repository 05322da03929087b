"""Targets of the spectral path's payload: histograms, fields of integers, all of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from fuzz.framing import change_nested
from fuzz.section_targets import expect, field_of, stored
from fuzz.target import Failure, Target
from numpy.typing import NDArray

from adiabat.codec import spectral_fields
from adiabat.codec.errors import AdiabatError
from adiabat.codec.histogram import Histogram
from adiabat.codec.octets import Reader
from adiabat.codec.spectral import decode_spectra, encode_spectra
from adiabat.codec.spectral_residual import ResidualReader


def _histogram(data: bytes) -> int:
    """A histogram, then what is left of spectra: classes, words, raw bits, escapes."""
    first, reader = data[0] if data else 0, Reader(data[1:])
    try:
        if first & 1:
            histogram = Histogram.read(reader)
            frequencies = histogram.frequencies
            if int(frequencies.sum()) != 1 << 24 or int(frequencies.min()) < 1:
                raise Failure(f"expected frequencies that sum to 2**24, got {frequencies.tolist()}")
            if histogram.write() != data[1 : len(data) - reader.left]:
                raise Failure("expected a histogram that is written as it was read")
            return 0
        channels, pixels = 1 + (first >> 1) % 8, 1 + (first >> 4)
        residual = ResidualReader(reader.take(reader.left), channels)
        symbols = residual.give(slice(0, channels), pixels, None)
        residual.finish()
        if symbols.min() < -(2**31) or symbols.max() >= 2**31:
            raise Failure(f"expected symbols of 32 bits, got {symbols.min()}, {symbols.max()}")
        return expect(symbols, (channels, pixels), np.int64)
    except AdiabatError:
        return 0


def _histogram_seeds() -> Iterator[bytes]:
    from adiabat.codec.spectral_residual import ResidualWriter

    for scale in (0, 1, 9, 400, 10**6):
        symbols = np.rint(scale * field_of((1, 3, 4), "f8")[0]).astype(np.int32)
        yield b"\1" + Histogram.of(symbols.reshape(-1).astype(np.int64)).write()

        def make(symbols: NDArray[np.int32] = symbols) -> bytes:
            writer = ResidualWriter()
            writer.take(symbols, None)
            return bytes([2 * (3 - 1) | (4 - 1) << 4]) + writer.payload()

        yield from stored(make)


FIELDS = ((1, 1, 1), (2, 3, 4), (4, 1, 9), (3, 5, 2), (0, 2, 2))


def _fields(data: bytes) -> int:
    shape = FIELDS[data[0] % len(FIELDS)] if data else FIELDS[0]
    try:
        fields = spectral_fields.read_fields(data[1:], shape)
    except AdiabatError:
        return 0
    if fields.size and max(map(abs, fields.reshape(-1).tolist())) >= spectral_fields.LARGEST:
        raise Failure(f"expected fields below 2**40, got {fields.tolist()}")
    return expect(fields, shape, np.int64)


def _fields_seeds() -> Iterator[bytes]:
    for number, shape in enumerate(FIELDS):
        for scale in (1, 1000, 1e9):
            fields = np.rint(scale * field_of(shape, "f8")).astype(np.int64)
            yield from (
                bytes([number]) + (each or b"") for each in stored(lambda f=fields: spectral_fields.write_fields(f))
            )


IMAGES = ((40, (5, 8)), (3, (2, 2)), (64, (1, 33)), (1, (1, 1)))


def _spectra(data: bytes) -> int:
    first = data[0] if data else 0
    channels, image = IMAGES[first % len(IMAGES)]
    pixels = image[0] * image[1]
    valid = field_of((1, channels, pixels))[0] > 0 if first & 8 else None
    try:
        return expect(decode_spectra(data[1:], channels, image, valid=valid), (channels, pixels), np.float64)
    except AdiabatError:
        return 0


def _spectra_seeds() -> Iterator[bytes]:
    for number, (channels, image) in enumerate(IMAGES):
        pixels = image[0] * image[1]
        x = 100 + np.abs(field_of((1, channels, pixels), "f8")[0]) * np.arange(1, pixels + 1)
        for flag in (0, 8):
            valid = field_of((1, channels, pixels))[0] > 0 if flag else None
            make = lambda x=x, v=valid, i=image: encode_spectra(x, np.full(x.shape, 0.5), valid=v, image=i)[0]  # noqa: E731
            try:
                yield from (bytes([number | flag]) + each for each in stored(make))
            except TypeError:  # these cannot be coded so
                continue


PARSERS = ("octets", "entropy", "words", "histogram", "spectral", "spectral_residual", "spectral_fields")
PARSERS += ("spectral_basis", "spectral_steps")
MODULES = tuple(f"adiabat.codec.{name}" for name in PARSERS)

SPECTRAL_TARGETS = (
    Target("histogram", _histogram, _histogram_seeds, MODULES, longest=1024),
    Target("fields", _fields, _fields_seeds, MODULES, change_nested, longest=1024),
    Target("spectra", _spectra, _spectra_seeds, MODULES, change_nested, longest=4096),
)
