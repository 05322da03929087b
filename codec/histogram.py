"""A frequency table that stands in the stream itself: for symbols whose spread no model foresees.

Used by `spectral_residual`. Spec: `spec/spectral.md`, "Histograms".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.words import PRECISION, categorical

__all__ = ["Histogram"]

REACH = 63  # a histogram has letters from -REACH to REACH at most
TOTAL = 1 << 14  # what weights come to, about: finer ones would take more bytes than they save

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Weights of the letters `low`, `low + 1`, ..., and last of the escape.

    Parameters
    ----------
    low : int
    weights : NDArray[np.int64]
        Not below zero; not all zero.

    Examples
    --------
    >>> histogram = Histogram.of(np.array([-1, 0, 0, 0, 1]))
    >>> histogram.low, histogram.weights.tolist(), int(histogram.frequencies.sum()) == 2**24
    (-1, [1, 3, 1, 0], True)
    """

    low: int
    weights: Integers

    @classmethod
    def of(cls, symbols: Integers) -> Histogram:
        """Count symbols; those beyond REACH escape."""
        inside = symbols[np.abs(symbols) <= REACH]
        counts = np.bincount(inside + REACH, minlength=2 * REACH + 1)
        used = np.flatnonzero(counts) if inside.size else np.array([REACH])
        counts = np.append(counts[used[0] : used[-1] + 1], symbols.size - inside.size)
        if symbols.size > TOTAL:  # a letter that occurs keeps a weight
            counts = np.where(counts > 0, np.maximum(1, np.rint(counts * (TOTAL / symbols.size))), 0).astype(np.int64)
        if not counts.any():
            counts[0] = 1
        return cls(int(used[0]) - REACH, counts)

    @cached_property
    def frequencies(self) -> Integers:
        """At least 1 each, together 2**PRECISION; what division leaves over goes to the first of the heaviest."""
        rest = (1 << PRECISION) - self.weights.size
        out = 1 + self.weights * rest // int(self.weights.sum())
        out[int(self.weights.argmax())] += (1 << PRECISION) - int(out.sum())
        return out

    @cached_property
    def model(self) -> Any:
        """The coder's table."""
        return categorical(self.frequencies.astype(np.uint32))

    def letters(self, symbols: Integers) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Letters of symbols, and which of them escape."""
        letters = symbols - self.low
        escape = self.weights.size - 1
        outside = (letters < 0) | (letters >= escape)
        return np.where(outside, escape, letters).astype(np.int32), outside

    def bits(self, symbols: Integers) -> float:
        """What it takes to code these symbols, and itself."""
        letters, outside = self.letters(symbols)
        counts = np.bincount(letters, minlength=self.weights.size)
        return (
            float(counts @ (PRECISION - np.log2(self.frequencies))) + 16.0 * int(outside.sum()) + 8 * len(self.write())
        )

    def write(self) -> bytes:
        """Lowest letter, letters without the escape less one, weights."""
        head = bytes([self.low + REACH]) + bytes([self.weights.size - 2])
        return head + b"".join(map(write_varint, self.weights.tolist()))

    @classmethod
    def read(cls, reader: Reader) -> Histogram:
        """Undo `write`; CorruptStreamError where it is none."""
        low, count = reader.u8() - REACH, reader.u8() + 1
        weights = np.array([reader.varint(1 << PRECISION) for _ in range(count + 1)], np.int64)
        if low + count - 1 > REACH or not weights.any():
            raise CorruptStreamError(f"expected letters up to {REACH} with weights, got {count} from {low}")
        return cls(low, weights)
