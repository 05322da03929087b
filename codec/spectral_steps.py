"""How long the steps are: d(y), from the prediction y, since a detector's noise goes with the light it sees.

Stage of `spectral`. In units of a channel's scale, d^2 = a + b y + c y^2 (y not below zero): read noise, shot noise,
and what is a fixed share of the signal. Only IEEE float64 +, *, sqrt, so that all machines agree. Spec:
`spec/spectral.md`, "Steps".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.errors import CorruptStreamError

__all__ = ["Steps", "octaves", "octaves_below"]

FINE, COARSE = 256, 8  # parts of an octave: of a, b, c, and of scales
NONE = -(2**19)  # stands for a coefficient that is 0
FARTHEST, FARTHEST_TERM = 1000, 600  # octaves of scales, and of a, b, c: so that lengths are finite
SHAVE = 1 - 2.0**-12  # room for rounding to the dtype
MOST = 1 << 12  # pixels that a fit looks at
SHARES = (0.0, 1e-4, 1e-3, 1e-2)  # of pixels whose steps may come out too long
EXTREME = 2.0**200  # squares of steps beyond it, or below its inverse, in a channel's scale, are nobody's noise
EXCEPTION_BITS = 40.0  # what one value costs that must be stored exactly

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def octaves(index: Integers, parts: int) -> Floats:
    """2**(index / parts), linear between powers of two; exact.

    Examples
    --------
    >>> octaves(np.array([0, 4, 8, -8]), 8).tolist()
    [1.0, 1.5, 2.0, 0.5]
    """
    octave, rest = np.divmod(index, parts)
    return np.ldexp(1.0 + rest / parts, octave)


def octaves_below(values: Floats, parts: int) -> Integers:
    """The largest index whose `octaves` is not above; values above zero."""
    mantissa, exponent = np.frexp(values)
    index: Integers = (exponent.astype(np.int64) - 1) * parts + np.floor((2 * mantissa - 1) * parts).astype(np.int64)
    return index


@dataclass(frozen=True, eq=False)
class Steps:
    """Scales and lengths of a chunk's channels.

    Parameters
    ----------
    integers : NDArray[np.int64], shape (4, channels)
        Scale in eighths of an octave; a, b and c in 256ths, or NONE.

    Examples
    --------
    >>> steps = Steps(np.array([[8], [0], [NONE], [NONE]]))
    >>> steps.scale.tolist(), steps.lengths(np.array([[5.0]]), slice(0, 1)).tolist()
    ([2.0], [[1.0]])
    """

    integers: Integers

    @cached_property
    def scale(self) -> Floats:
        """Units of x in which a channel is predicted."""
        return octaves(self.integers[0], COARSE)

    @cached_property
    def _terms(self) -> Floats:
        terms = self.integers[1:]
        return np.where(terms == NONE, 0.0, octaves(np.where(terms == NONE, 0, terms), FINE))

    def lengths(self, y: Floats, part: slice) -> Floats:
        """D where the prediction is y (channel, pixel), of some channels, in the channel's scale."""
        a, b, c = self._terms[:, part, None]
        light = np.maximum(y, 0.0)
        lengths: Floats = np.sqrt(a + light * (b + light * c))
        return lengths

    @classmethod
    def read(cls, integers: Integers) -> Steps:
        """Check what a stream says; CorruptStreamError for what is out of range."""
        terms = integers[1:]
        given = np.where(terms == NONE, 0, terms)
        far = np.abs(integers[0]).max() > FARTHEST * COARSE or np.abs(given).max() > FARTHEST_TERM * FINE
        if far or (terms[0] == NONE).any():
            raise CorruptStreamError("expected scales within 2**1000, terms within 2**600, a constant one, got others")
        return cls(integers)

    @classmethod
    def fit(
        cls,
        scales: Integers,
        limits: Floats,
        valid: NDArray[np.bool_] | None,
        predict: Callable[[slice], Floats],
    ) -> Steps:
        """Choose lengths just within twice the limits, whatever the brightness.

        Parameters
        ----------
        scales : NDArray[np.int64], shape (channels,)
        limits : NDArray[np.float64], shape (channel, pixel) or (channel, 1)
            In units of x; zero, and what is beyond all reason, is left out.
        valid : NDArray[np.bool_] or None, shape (channel, pixel)
        predict : callable
            Gives y (channel, pixel) of some channels.
        """
        out = np.full((4, len(scales)), NONE, np.int64)
        out[0] = scales
        s = octaves(scales, COARSE)
        for j in range(len(scales)):
            wanted = (2 * SHAVE / s[j] * limits[j]) ** 2
            good = (wanted > 1 / EXTREME) & (wanted < EXTREME)
            if wanted.size == 1:
                terms = np.array([wanted[0] if good[0] else 1.0, 0.0, 0.0])
            else:
                good &= True if valid is None else valid[j]
                chosen = np.flatnonzero(good)
                chosen = chosen[:: -(-chosen.size // MOST) or 1]
                light = np.maximum(predict(slice(j, j + 1))[0, chosen], 0.0)
                terms = _envelope(light, wanted[chosen]) if chosen.size else np.array([1.0, 0.0, 0.0])
            kept = terms > 0
            if not kept[0]:  # steps are never zero
                terms, kept = np.array([np.sum(terms) * 2.0**-40 + 1 / EXTREME, *terms[1:]]), terms > 0
                kept[0] = True
            indices = octaves_below(terms[kept], FINE)
            out[1:, j][kept] = np.clip(indices, -FARTHEST_TERM * FINE, FARTHEST_TERM * FINE)
        return cls(out)


def _envelope(light: Floats, wanted: Floats) -> Floats:
    """a, b, c not below zero with a + b y + c y^2 close to what is wanted and hardly ever above it."""
    powers = np.stack([np.ones_like(light), light, light * light]) / wanted
    sizes = np.sqrt((powers**2).mean(1)) + 1e-300
    powers /= sizes[:, None]
    products, sums = powers @ powers.T / light.size, powers.mean(1)
    best, terms = np.inf, np.zeros(3)
    for some in chain.from_iterable(combinations(range(3), size) for size in (1, 2, 3)):
        found = np.linalg.lstsq(products[np.ix_(some, some)], sums[list(some)], rcond=1e-12)[0]
        error = float(np.mean((found @ powers[list(some)] - 1) ** 2))
        if (found >= 0).all() and error < 0.98 * best - 1e-6:  # a further term must earn its place
            best, terms = error, np.zeros(3)
            terms[list(some)] = found
    room = 1 / np.maximum(terms @ powers, 1e-300)
    factor: float = min(np.quantile(room, SHARES).tolist(), key=lambda f: _cost(room, f))
    out: Floats = terms / sizes * factor
    return out


def _cost(room: Floats, factor: float) -> float:
    """Bits that shorter steps take, and values outside."""
    outside = np.maximum(0.0, 1 - np.sqrt(room / factor)).sum()
    return float(-0.5 * np.log2(factor) * room.size + EXCEPTION_BITS * outside)
