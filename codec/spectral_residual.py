"""What prediction leaves of spectra: symbols under histograms of their own, channel by channel.

Stage of `spectral`, its last. Channels of like spread share a class. A class may tell pixels apart by how large the
symbols of the two channels before were there. Spec: `spec/spectral.md`, "Residual".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.entropy import read_escapes, write_escapes
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.histogram import Histogram
from adiabat.codec.octets import Reader, pack, unpack, write_varint
from adiabat.codec.words import Words, write_words

__all__ = ["ResidualReader", "ResidualWriter"]

CLASSES = (1, 2, 4, 8, 16)  # how many are tried
LETTER_BITS = 3  # of a typical magnitude stay in the letter; lower bits are written raw
MAX_SHIFT = 30
SAMPLE = 1 << 20  # symbols that the choice of classes looks at

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Class:
    """How the symbols of some channels are coded.

    Parameters
    ----------
    shift : int
        Low bits that are written raw.
    edges : tuple of int
        Of the magnitudes before, between which histograms change: none or two.
    histograms : tuple of Histogram
        One more than edges.
    """

    shift: int
    edges: tuple[int, ...]
    histograms: tuple[Histogram, ...]

    @classmethod
    def of(cls, symbols: Integers, before: Integers) -> Class:
        """Choose shift and edges for symbols, with the magnitudes before each: what takes fewest bits."""
        size = np.abs(symbols.astype(np.float64)) if symbols.size else np.zeros(1)
        typical = float(np.sqrt(np.mean(size**2))), float(np.median(size))  # few symbols may be far out
        shifts = {min(MAX_SHIFT, max(0, int(np.log2(each + 1)) - LETTER_BITS)) for each in typical}
        plain, most = min((cls._plain(symbols, shift) for shift in sorted(shifts)), key=lambda each: each[1])
        ends = np.quantile(before, (1 / 3, 2 / 3)).astype(np.int64) if before.size else np.zeros(2, np.int64)
        edges = (int(ends[0]), int(max(ends[1], ends[0] + 1)))
        of, high = np.digitize(before, edges, right=True), symbols >> plain.shift
        split = cls(plain.shift, edges, tuple(Histogram.of(high[of == each]) for each in range(3)))
        cost = sum(histogram.bits(high[of == each]) for each, histogram in enumerate(split.histograms))
        return split if cost < 0.998 * (most - plain.shift * symbols.size) else plain

    @classmethod
    def _plain(cls, symbols: Integers, shift: int) -> tuple[Class, float]:
        """One histogram at a shift, and the bits that symbols take."""
        histogram = Histogram.of(symbols >> shift)
        return cls(shift, (), (histogram,)), histogram.bits(symbols >> shift) + shift * symbols.size

    def groups(self, before: Integers, valid: Mask | None) -> Iterator[tuple[Histogram, Integers]]:
        """Each histogram with the pixels (indices) that are coded under it."""
        if not self.edges:
            yield self.histograms[0], np.arange(before.size) if valid is None else np.flatnonzero(valid)
            return
        of = np.digitize(before, self.edges, right=True)
        if valid is not None:
            of[~valid] = -1
        for each, histogram in enumerate(self.histograms):
            yield histogram, np.flatnonzero(of == each)

    def write(self) -> bytes:
        """Shift, number of edges, edges, histograms."""
        edges = b"".join(map(write_varint, self.edges))
        return bytes([self.shift, len(self.edges)]) + edges + b"".join(each.write() for each in self.histograms)

    @classmethod
    def read(cls, reader: Reader) -> Class:
        """Undo `write`; CorruptStreamError where it is none."""
        shift, count = reader.u8(), reader.u8()
        if shift > MAX_SHIFT or count not in (0, 2):
            raise CorruptStreamError(f"expected a shift up to {MAX_SHIFT} and 0 or 2 edges, got {shift} and {count}")
        edges = tuple(reader.varint(1 << 40) for _ in range(count))
        if sorted(set(edges)) != list(edges):
            raise CorruptStreamError(f"expected edges that grow, got {edges}")
        return cls(shift, edges, tuple(Histogram.read(reader) for _ in range(count + 1)))


class ResidualWriter:
    """Collects the symbols of a chunk's channels in order; `payload` codes them all."""

    def __init__(self) -> None:
        self._symbols: list[NDArray[np.int32]] = []
        self._valid: list[Mask] = []

    def take(self, symbols: NDArray[np.int32], valid: Mask | None) -> None:
        """Take further channels (channel, pixel); symbols are 0 where they are not valid."""
        self._symbols.append(symbols)
        if valid is not None:
            self._valid.append(valid)

    def payload(self) -> bytes:
        """Classes, the class of each channel, words, raw bits, escapes."""
        q = np.concatenate(self._symbols)
        valid = np.concatenate(self._valid) if self._valid else None
        of, classes = _classify(q, valid)
        groups: list[tuple[NDArray[np.int32], Any]] = []
        raw: list[NDArray[np.uint8]] = []
        escapes: list[Integers] = []
        before = _Before(q.shape[1])
        for j, row in enumerate(q):
            symbols, own = row.astype(np.int64), classes[of[j]]
            for histogram, where in own.groups(before.magnitudes, None if valid is None else valid[j]):
                high = symbols[where] >> own.shift
                letters, outside = histogram.letters(high)
                groups.append((letters, histogram.model))
                escapes.append(high[outside])
                raw += [(symbols[where] >> bit & 1).astype(np.uint8) for bit in range(own.shift)]
            before.add(symbols)
        words = write_words(groups)
        bits = np.packbits(np.concatenate([np.empty(0, np.uint8), *raw]), bitorder="little").tobytes()
        head = bytes([len(classes)]) + b"".join(each.write() for each in classes)
        kinds = pack(of.astype(np.uint8).tobytes())
        some = [each for each in escapes if each.size]
        parts = [head, kinds, words, bits, write_escapes(some)]
        return b"".join(write_varint(len(part)) + part for part in parts)


class ResidualReader:
    """Gives back, channel by channel, what a ResidualWriter took; CorruptStreamError where the payload is none."""

    def __init__(self, payload: bytes, channels: int) -> None:
        sections = Reader(payload)
        head, kinds, words, bits, escapes = (sections.take(sections.varint()) for _ in range(5))
        sections.end()
        reader = Reader(head)
        self._classes = [Class.read(reader) for _ in range(reader.u8())]
        reader.end()
        self._of = np.frombuffer(unpack(kinds, channels), np.uint8)
        if channels and int(self._of.max()) >= len(self._classes):
            raise CorruptStreamError(f"expected classes below {len(self._classes)}, got {self._of.max()}")
        self._words = Words(words)
        self._bits, self._bit = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little"), 0
        self._escapes, self._escaped = read_escapes(escapes), 0
        self._before: _Before | None = None

    def give(self, part: slice, pixels: int, valid: Mask | None) -> Integers:
        """Symbols (channel, pixel) of further channels; 0 where they are not valid."""
        before = self._before = self._before or _Before(pixels)
        out = np.zeros((part.stop - part.start, pixels), np.int64)
        for row, of in enumerate(self._of[part]):
            own = self._classes[of]
            for histogram, where in own.groups(before.magnitudes, None if valid is None else valid[row]):
                if where.size:
                    out[row, where] = self._symbols(own.shift, histogram, where.size)
            before.add(out[row])
        return out

    def _symbols(self, shift: int, histogram: Histogram, count: int) -> Integers:
        letters: Integers = self._words.decode(histogram.model, count).astype(np.int64)
        symbols = letters + histogram.low
        outside = np.flatnonzero(letters == histogram.weights.size - 1)
        if outside.size:
            values = self._escapes[self._escaped : self._escaped + outside.size]
            if values.size < outside.size:
                raise CorruptStreamError(f"expected {outside.size} more escaped symbols, got {values.size}")
            symbols[outside] = values
            self._escaped += outside.size
        top = 1 << (31 - shift)
        if int(symbols.min()) < -top or int(symbols.max()) >= top:
            raise CorruptStreamError("expected symbols from -2**31 to 2**31 - 1, got others")
        symbols <<= shift
        bits = self._bits[self._bit : self._bit + shift * count]
        if bits.size < shift * count:
            raise CorruptStreamError(f"expected {shift * count} more raw bits, got {bits.size}")
        for bit, plane in enumerate(bits.reshape(shift, count)):
            symbols |= plane.astype(np.int64) << bit
        self._bit += shift * count
        return symbols

    def finish(self) -> None:
        """Refuse a payload that holds more than was given."""
        left = self._bits[self._bit :]
        if self._escaped != len(self._escapes) or not self._words.is_empty() or left.size > 7 or left.any():
            raise CorruptStreamError("expected every coded symbol to be used, got some left over")


class _Before:
    """Magnitudes of the symbols of the two channels before, added up, for each pixel."""

    def __init__(self, pixels: int) -> None:
        self._last = [np.zeros(pixels, np.int64), np.zeros(pixels, np.int64)]
        self.magnitudes = np.zeros(pixels, np.int64)

    def add(self, symbols: Integers) -> None:
        """Note a channel."""
        self._last = [self._last[1], np.abs(symbols)]
        self.magnitudes = self._last[0] + self._last[1]


def _classify(q: NDArray[np.int32], valid: Mask | None) -> tuple[Integers, list[Class]]:
    """Class of each channel, and classes: as many as take fewest bits, of a sample of pixels."""
    every = -(-q.size // SAMPLE) or 1
    some = q[:, ::every].astype(np.int64)
    there = np.ones(some.shape, np.bool_) if valid is None else valid[:, ::every]
    size = np.abs(some)
    before = np.zeros_like(some)
    before[1:] += size[:-1]
    before[2:] += size[:-2]
    spread = (size.sum(1) + 0.5) / (there.sum(1) + 1)
    order = np.argsort(spread, kind="stable")
    best: tuple[float, Integers, list[Class]] = np.inf, np.empty(0, np.int64), []
    for count in (count for count in CLASSES if count <= len(q)):
        of = np.empty(len(q), np.int64)
        of[order] = np.arange(len(q)) * count // len(q)
        classes, cost = [], 0.0
        for each in range(count):
            rows = of == each
            symbols, behind = some[rows][there[rows]], before[rows][there[rows]]
            own = Class.of(symbols, behind)
            place = np.digitize(behind, own.edges, right=True) if own.edges else np.zeros(symbols.size, np.int64)
            coded = sum(
                h.bits(symbols[place == k] >> own.shift) - 8 * len(h.write()) for k, h in enumerate(own.histograms)
            )
            cost += every * (coded + own.shift * symbols.size) + 8 * len(own.write())
            classes.append(own)
        if cost < best[0]:
            best = cost, of, classes
    return best[1], best[2]
