"""Coefficients of principal spectra, moved to where coefficients and residual together take fewest bits.

Stage of `spectral`, encoder only. Rounding a coefficient to its nearest step makes the residual small, not short: one
step away, other residuals fall on zero, and among the many choices of a pixel's coefficients some take clearly fewer
bits. Pixel by pixel, coefficient by coefficient, the neighbouring integers are tried at the price of their own symbol
and of all symbols of the residual. Spec: `spec/spectral.md`, "How an encoder chooses".
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.spectral_basis import Basis
from adiabat.codec.spectral_fields import FRACTION, NEIGHBOURS, differences, fit_weights, neighbours_at, predicted
from adiabat.codec.spectral_steps import Steps

__all__ = ["improved"]

SWEEPS = 2  # over all pixels; prices and predictions are learned anew for each
BLOCK = 1 << 22  # values that are looked at together
EVERY = 1 << 18  # values from which the prices of residual symbols are learned
SHARED = 8  # prices of residual symbols, that channels of like spread share
LETTERS = 64  # magnitudes of residual symbols with a price of their own; beyond, the residual decides nothing
HALF = 256  # the same of a coefficient's symbols
WIDE = 32.0  # mean magnitude of a coefficient's symbols from which on one is as dear as the next
EXTREME = 1e15  # steps, and changes of predictions, beyond which nothing is gained; so all stay finite in float32
PRIOR = 20.0  # symbols that a Laplacian counts for, beside those that were seen

REORDER = {"reassoc", "nsz", "contract"}  # sums in any order: what they decide is which integers, not what they mean

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


def improved(
    x: NDArray[np.floating], n: Integers, basis: Basis, steps: Steps, *, valid: Mask | None, image: tuple[int, int]
) -> Integers:
    """Coefficients (component, pixel) near n that take fewer bits; x and valid as of `encode_spectra`."""
    first, n = n, n.copy()
    for _ in range(SWEEPS if len(n) else 0):
        fields = n.reshape(len(n), *image)
        off = np.zeros(n.shape, np.int64)
        weights = np.zeros((len(n), NEIGHBOURS + len(n)), np.int64)
        prices = np.zeros((len(n), 2 * HALF + 1))
        for i, field in enumerate(fields):
            own = fit_weights(field, off[:i])
            prices[i] = _prices_of_field(differences(field, own, off, i))
            weights[i, : own.size] = own
        kinds, dear = _prices_of_residual(x, n, basis, steps, valid)
        rows = np.ldexp(basis.rows[1:].astype(np.float64), basis.exponents[1:, None])
        w = np.ascontiguousarray(np.clip(rows, -EXTREME, EXTREME), np.float32)
        for block in _blocks(x.shape):
            off_by, inverse = _residual(x, n, basis, steps, valid, block)
            _move(off_by, inverse, w, fields, off, weights, prices, kinds, dear, block.start)
    return n if basis.fits(n) else first


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    run = max(1, BLOCK // max(1, shape[0]))
    return [slice(start, min(start + run, shape[1])) for start in range(0, shape[1], run)]


def _residual(
    x: NDArray[np.floating], n: Integers, basis: Basis, steps: Steps, valid: Mask | None, pixels: slice
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is left of some pixels, in steps, and the inverse of the steps: (pixel, channel); 0 where nothing counts."""
    every = slice(0, len(x))
    y = basis.predict(n[:, pixels], every)
    inverse = 1 / steps.lengths(y, every)
    left = (x[:, pixels] / steps.scale[:, None] - y) * inverse
    counts = (np.abs(left) < LETTERS) & (inverse > 1 / EXTREME) & (inverse < EXTREME)  # not so of NaN
    if valid is not None:
        counts &= valid[:, pixels]
    left[~counts], inverse[~counts] = 0.0, 0.0
    return np.ascontiguousarray(left.T, np.float32), np.ascontiguousarray(inverse.T, np.float32)


def _prices_of_field(symbols: Integers) -> Floats:
    """Bits of symbols from -HALF to HALF: as often as seen, and as a Laplacian has it; none where they spread wide."""
    letters = np.arange(-HALF, HALF + 1)
    spread = float(np.abs(symbols).mean()) + 0.02
    if spread > WIDE:
        return np.zeros(letters.size)
    counts = np.bincount(np.clip(symbols, -HALF, HALF) + HALF, minlength=letters.size)
    ratio = spread / (1 + spread)
    share = ratio ** np.abs(letters) * (1 - ratio) / (1 + ratio)
    bits: Floats = -np.log2(np.maximum((counts + PRIOR * share) / (symbols.size + PRIOR), 2.0**-40))
    return bits


def _prices_of_residual(
    x: NDArray[np.floating], n: Integers, basis: Basis, steps: Steps, valid: Mask | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Where prices of a channel's symbols begin, and bits of symbols by their magnitude; from some of the pixels."""
    every = slice(None, None, max(1, x.size // EVERY))
    there = None if valid is None else valid[:, every]
    left, inverse = _residual(x[:, every], n[:, every], basis, steps, there, slice(None))
    sizes, known = np.abs(np.rint(left)).astype(np.int64), inverse > 0
    spread = sizes.sum(0) / np.maximum(known.sum(0), 1)
    kinds = np.empty(len(x), np.int64)
    dear = np.empty((min(SHARED, len(x)), LETTERS + 1), np.float32)
    for kind, channels in enumerate(np.array_split(np.argsort(spread, kind="stable"), len(dear))):
        counts = np.bincount(sizes[:, channels][known[:, channels]], minlength=LETTERS + 1).astype(np.float64)
        ratio = (mean := float(spread[channels].mean()) + 0.02) / (1 + mean)
        share = ratio ** np.arange(LETTERS + 1.0) * (1 - ratio)
        bits = -np.log2(np.maximum((counts + PRIOR * share) / (counts.sum() + PRIOR), 2.0**-40))
        bits[1:] += 1  # the sign
        dear[kind], kinds[channels] = bits, kind * (LETTERS + 1)
    return kinds, dear.ravel()


@numba.njit(nogil=True, cache=True, fastmath=REORDER)
def _both(left, inverse, w, kinds, dear):  # type: ignore[no-untyped-def]
    """Bits of a pixel's residual with a coefficient one lower, and one higher."""
    lower, higher = np.float32(0), np.float32(0)
    half, top = np.float32(0.5), np.float32(LETTERS)
    for j in range(left.size):
        change = w[j] * inverse[j]
        lower += dear[kinds[j] + np.int64(min(abs(left[j] + change) + half, top))]
        higher += dear[kinds[j] + np.int64(min(abs(left[j] - change) + half, top))]
    return lower, higher


@numba.njit(nogil=True, cache=True, fastmath=REORDER)
def _bits(left, kinds, dear):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for j in range(left.size):
        total += dear[kinds[j] + np.int64(min(abs(left[j]) + np.float32(0.5), np.float32(LETTERS)))]
    return total


@numba.njit(nogil=True, cache=True)
def _move(left, inverse, w, fields, off, weights, prices, kinds, dear, first):  # type: ignore[no-untyped-def]
    """Move the coefficients of a run of pixels, from `first` on, each to the cheapest of itself and its neighbours."""
    near = np.zeros(NEIGHBOURS, np.int64)
    columns = fields.shape[2]
    for p in range(left.shape[0]):
        r, c = (first + p) // columns, (first + p) % columns
        now = _bits(left[p], kinds, dear)
        for i in range(fields.shape[0]):
            neighbours_at(fields[i], r, c, near)
            spatial, guess = predicted(near, weights[i], off, i, first + p)
            lower, higher = _both(left[p], inverse[p], w[i], kinds, dear)
            symbol = fields[i, r, c] - guess
            costs = (
                lower + prices[i, min(max(symbol - 1, -HALF), HALF) + HALF],
                now + prices[i, min(max(symbol, -HALF), HALF) + HALF],
                higher + prices[i, min(max(symbol + 1, -HALF), HALF) + HALF],
            )
            by = 0 if costs[1] <= min(costs[0], costs[2]) else -1 if costs[0] < costs[2] else 1
            if by:
                now = lower if by < 0 else higher
                fields[i, r, c] += by
                for j in range(left.shape[1]):
                    left[p, j] -= np.float32(by) * w[i, j] * inverse[p, j]
            off[i, first + p] = (fields[i, r, c] << FRACTION) - spatial
