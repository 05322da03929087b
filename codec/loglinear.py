"""The domain of a pointwise relative bound: a piecewise-linear logarithm of the magnitude, in integers.

Thirty-two straight pieces an octave, 2**23 integers an octave, read off the bit pattern of the magnitude as float64:
no exp, log or pow, which differ between libraries. Spec: `spec/bounds.md`, "log".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LogDomain", "log_integer", "magnitude"]

SNAP = 1 << 6
OCTAVE = 23  # bits: integers an octave, and bits of the mantissa that are read
PIECE = 18  # bits of the mantissa inside one of 32 pieces
BIAS = 1023
EXPONENTS = range(-200, 200)  # magnitudes outside 2**these are left to the lossless domain

# round(2**23 * log2(1 + i / 32)); derived again with exact integers in tests/test_bound.py
TABLE = np.array(
    [
        0, 372405, 733691, 1084505, 1425434, 1757022, 2079767, 2394127, 2700529,
        2999364, 3290997, 3575768, 3853992, 4125963, 4391956, 4652228, 4907021,
        5156560, 5401057, 5640713, 5875714, 6106239, 6332455, 6554520, 6772584,
        6986788, 7197266, 7404147, 7607550, 7807591, 8004379, 8198018, 8388608,
    ],
    np.int64,
)  # fmt: skip
SLOPES = np.diff(TABLE)
GUESS = np.searchsorted(TABLE, np.arange(1 << (OCTAVE - 15)) << 15, side="right") - 1


def log_integer(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the piecewise-linear logarithm of |values|, 2**23 to an octave, 0 at 1.0.

    Parameters
    ----------
    values : NDArray[np.float64]
        Finite; zeros and subnormals give some very negative integer.

    Examples
    --------
    >>> log_integer(np.array([1.0, 2.0, -0.5])).tolist()
    [0, 8388608, -8388608]
    """
    bits = values.view(np.int64) & np.int64(2**63 - 1)
    rest = bits >> (52 - PIECE - 5)
    exponent = (rest >> OCTAVE) - BIAS
    mantissa = rest & ((1 << OCTAVE) - 1)
    piece = mantissa >> PIECE
    inside = mantissa & ((1 << PIECE) - 1)
    logs: NDArray[np.int64] = (exponent << OCTAVE) + TABLE[piece] + (SLOPES[piece] * inside >> PIECE)
    return logs


def magnitude(logs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Undo `log_integer` to about 2**-22 of the value; beyond 2**-1022 .. 2**1023 the ends are given.

    Examples
    --------
    >>> magnitude(np.array([0, 8388608, -8388608])).tolist()
    [1.0, 2.0, 0.5]
    """
    exponent = np.clip(logs >> OCTAVE, 1 - BIAS, BIAS)
    rest = logs & ((1 << OCTAVE) - 1)
    piece = GUESS[rest >> 15]  # no piece is shorter than 2**15: at most one short
    piece += rest >= TABLE[piece + 1]
    inside = ((rest - TABLE[piece]) << PIECE) // SLOPES[piece]
    mantissa = (piece << PIECE) + inside
    bits: NDArray[np.int64] = (exponent + BIAS << OCTAVE | mantissa) << (52 - OCTAVE)
    return bits.view(np.float64)


@dataclass(frozen=True)
class LogDomain:
    """Integers of the logarithm, with an integer bound. Signs and zeros are coded apart.

    Parameters
    ----------
    steps : int
        |k - k_hat| is at most this.

    Examples
    --------
    >>> domain = LogDomain.fit(0.01, np.dtype("f4"))
    >>> fine = domain.to_fine(np.array([3.0], np.float32)).astype(np.int64)
    >>> off = domain.from_fine(fine + domain.step // 2, np.dtype("f4"))
    >>> bool(abs(off[0] - 3) <= 0.03)
    True
    """

    steps: int
    snap = SNAP

    @property
    def step(self) -> int:
        """(2 * steps + 1) integers."""
        return (2 * self.steps + 1) * SNAP

    def to_fine(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logarithm of the magnitude, times 64; magnitudes out of range give an end of it."""
        logs = log_integer(field.astype(np.float64))
        low, high = EXPONENTS[0] << OCTAVE, EXPONENTS[-1] << OCTAVE
        return np.clip(logs, low, high) * np.float64(SNAP)

    def from_fine(self, fine: NDArray[np.int64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Magnitudes, all positive."""
        with np.errstate(over="ignore", under="ignore"):
            return magnitude(fine >> 6).astype(dtype, copy=False)

    def parameters(self) -> tuple[str | float | int, ...]:
        """("log", steps)."""
        return "log", self.steps

    @classmethod
    def fit(cls, bound: float, dtype: np.dtype[np.floating]) -> LogDomain | None:
        """Choose the steps, on the safe side; None where rounding could move a value encoded again.

        The steepest piece is the first: one integer is at most 1 / (32 * SLOPES[0]) of the value, to first order in the
        logarithm; ln(1 + r) >= 2 r / (2 + r). Four units of a 23-bit mantissa, and half an ulp of
        the dtype where that is coarser, go to rounding.
        """
        rounding = 4 * 2.0**-OCTAVE + max(float(np.finfo(dtype).eps) / 2, 2.0**-OCTAVE)
        steepest = 32 * int(SLOPES[0])
        steps = math.floor((2 * bound / (2 + bound) - rounding) * steepest)
        return cls(steps) if steps > rounding * steepest else None
