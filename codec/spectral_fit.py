"""What an encoder makes of spectra: scales, principal spectra, and how many of them at which step take fewest bytes.

Stage of `spectral`, encoder only. Noise sets the steps: a coefficient need not be finer than the noise that it was
measured with, and the spectra no finer than all pixels' noise together. Spec: `spec/spectral.md`, "How an encoder
chooses".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.spectral_basis import Basis
from adiabat.codec.spectral_steps import COARSE, FARTHEST, octaves, octaves_below

__all__ = ["Fitted", "fit_basis"]

COUNTS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)  # of components that are tried
COARSENESS = (0.5, 0.7, 1.0, 1.4, 2.0)  # of coefficients: multiples of where a step costs in residuals what it saves
SAMPLE_PIXELS, SAMPLE_CHANNELS = 8192, 64
COVARIANCE_PIXELS = 32768
SHARED = 16  # histograms that channels of like spread share, in a sample
SPARE, POWER_ROUNDS = 8, 4  # directions beyond those wanted, and how often they are turned towards the leading ones
FILLING_RANKS = (4, 8, 16)  # by how many components what is missing is filled, round by round
FAR = 8.0  # root mean squares of its channel: what lies farther off is no part of the spectra
FEW_GAPS, FIXED_POINTS = 0.05, 3  # share of a pixel's channels; rounds of guessing them
RIDGE = 1e-9
BEYOND = 2.0**50  # of its typical step: such values are no part of the spectra
CALM, NEAR_SCALE, FAR_SCALE = 31, 4, 12  # channels; parts of an octave that scales may be off, and jump in a line
ROUNDING = 1 / 12  # variance of rounding to integers

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Scales in eighths of octaves (channel,), the basis, and integer coefficients (component, pixel)."""

    scales: NDArray[np.int64]
    basis: Basis
    coefficients: NDArray[np.int64]


def fit_basis(x: NDArray[np.floating], limits: Floats, *, valid: Mask | None, image: tuple[int, int]) -> Fitted | None:
    """Fit what spectra are predicted from; arguments as of `encode_spectra`.

    None where numbers would leave the range in which predictions are exact.
    """
    scales = _scales(limits, valid)
    z = x / octaves(scales, COARSE)[:, None]
    z[~(np.abs(z) < BEYOND) if valid is None else ~(valid & (np.abs(z) < BEYOND))] = np.nan
    mean = np.nan_to_num(_mean(z))
    z -= mean[:, None]
    spectra, c, deviation = _principal(z, COUNTS[-1])
    count, coarseness, noise = _choose(z, spectra, c, image, 2 * limits / octaves(scales, COARSE)[:, None])
    step = coarseness * np.sqrt(12 * noise)
    stored = _calm(scales)
    ratio = octaves(scales, COARSE) / octaves(stored, COARSE)
    sizes = deviation[:count] / step * np.exp(-np.log(ratio).mean())
    basis = _quantised(mean * ratio, spectra[:count] * (step * ratio), sizes, noise / z.shape[1])
    if basis is None:
        return None
    exact = np.ldexp(basis.rows.astype(np.float64), basis.exponents[:, None]) / ratio
    z += (mean - exact[0])[:, None]
    n = np.rint(np.clip(_coefficients(z, exact[1:]), -BEYOND, BEYOND)).astype(np.int64)
    return Fitted(stored, basis, n) if basis.fits(n) else None


def _scales(limits: Floats, valid: Mask | None) -> NDArray[np.int64]:
    """A typical step of each channel: twice the root mean square of its limits."""
    known = np.isfinite(limits) & (limits > 0)
    if valid is not None and limits.shape == valid.shape:
        known &= valid
    counts = known.sum(1)
    squares = np.where(known, limits, 0.0) ** 2
    typical = 2 * np.sqrt(squares.sum(1) / np.maximum(counts, 1))
    some = typical[counts > 0]
    typical[counts == 0] = np.median(some) if some.size else 1.0
    tiny, huge = 2.0 ** -(FARTHEST - 1), 2.0 ** (FARTHEST - 1)
    return octaves_below(np.clip(typical, tiny, huge), COARSE)


def _calm(scales: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scales that hardly change from channel to channel, so that lengths of steps do not jump; near enough to these."""
    window = np.lib.stride_tricks.sliding_window_view(np.pad(scales, CALM // 2, mode="edge"), CALM)
    smooth = np.median(window, axis=1).astype(np.int64)
    wanted = np.where(np.abs(scales - smooth) > FAR_SCALE, scales, smooth)
    out, now = np.empty_like(scales), int(wanted[0])
    for j, each in enumerate(wanted.tolist()):
        now = each if abs(each - now) > NEAR_SCALE else now
        out[j] = now
    return out


def _mean(z: Floats) -> Floats:
    there = np.isfinite(z)
    mean: Floats = np.where(there, z, 0.0).sum(1) / np.maximum(there.sum(1), 1)
    return mean


def _principal(z: Floats, most: int) -> tuple[Floats, Floats, Floats]:
    """Orthonormal spectra (component, channel), coefficients (component, pixel), their root mean squares.

    What is missing, or far off what few components say (a particle's hit), is filled from more and more of them.
    """
    some = z[:, :: -(-z.shape[1] // COVARIANCE_PIXELS)]
    there = np.isfinite(some)
    filled = np.where(there, some, _between(some)) if not there.all() else some.copy()
    for rank in FILLING_RANKS[-1:] if there.all() else FILLING_RANKS:
        spectra = _leading(filled, rank)
        guess = spectra.T @ (spectra @ filled)
        off = np.abs(np.where(there, some, guess) - guess)
        filled = np.where(there & (off <= FAR * np.sqrt(np.mean(off**2, axis=1, keepdims=True))), some, guess)
    spectra = _leading(filled, most)
    c = _coefficients(z, spectra)
    return spectra, c, np.sqrt(np.mean(c**2, axis=1)) + 1e-12


def _between(z: Floats) -> Floats:
    """Each pixel's spectrum with what is missing drawn straight between its neighbours; 0 where there are none."""
    out, place = np.zeros_like(z), np.arange(len(z))
    for pixel in np.flatnonzero(~np.isfinite(z).all(0)):
        known = np.flatnonzero(np.isfinite(z[:, pixel]))
        if known.size:
            out[:, pixel] = np.interp(place, known, z[known, pixel])
    return out


def _leading(z: Floats, most: int) -> Floats:
    """Leading principal spectra (component, channel), by power iterations of a random subspace.

    Source: Halko, Martinsson and Tropp, SIAM Review 53 (2011), algorithm 4.4.
    """
    channels, pixels = z.shape
    size = min(most + SPARE, channels, pixels)
    space = np.linalg.qr(z @ np.random.default_rng(0).standard_normal((pixels, size)))[0]
    for _ in range(POWER_ROUNDS):
        space = np.linalg.qr(z @ (z.T @ space))[0]
    inside = space.T @ z
    vectors = np.linalg.eigh(inside @ inside.T)[1][:, ::-1]
    return np.ascontiguousarray((space @ vectors[:, :most]).T)


def _coefficients(z: Floats, spectra: Floats) -> Floats:
    """Least squares over the channels that a pixel has; 0 of a pixel without any."""
    missing = ~np.isfinite(z)
    normal = spectra @ spectra.T
    normal += (1e-30 + RIDGE * np.trace(normal)) / max(1, len(normal)) * np.eye(len(normal))
    right = spectra @ np.where(missing, 0.0, z)
    c = np.linalg.solve(normal, right)
    shares = missing.mean(0)
    for _ in range(FIXED_POINTS if shares.any() else 0):  # few gaps: what is guessed for them hardly matters
        there = np.where(missing, spectra.T @ c, 0.0)
        c = np.linalg.solve(normal, right + spectra @ there)
    holed = np.flatnonzero(shares > FEW_GAPS)
    for block in np.array_split(holed, -(-holed.size // 256) or 1):
        weight = (~missing[:, block]).astype(np.float64)
        products = np.einsum("ic,cp,jc->pij", spectra, weight, spectra, optimize=True)
        products += RIDGE * (1e-300 + np.trace(products, axis1=1, axis2=2))[:, None, None] * np.eye(len(spectra))
        c[:, block] = np.linalg.solve(products, right[:, block].T[..., None])[..., 0].T
    finite: Floats = np.nan_to_num(c)
    return finite


def _choose(z: Floats, spectra: Floats, c: Floats, image: tuple[int, int], lengths: Floats) -> tuple[int, float, float]:
    """How many components, how coarse, and the variance that is left with rounding: fewest bits by a sample.

    lengths: of steps, (channel, pixel) or (channel, 1), in units of z; anything where nobody knows.
    """
    channels, pixels = z.shape
    rows = max(1, min(image[0], SAMPLE_PIXELS // max(1, image[1])))
    some = np.arange(min(rows * image[1], 2 * SAMPLE_PIXELS))
    chosen = np.unique(np.linspace(0, channels - 1, min(SAMPLE_CHANNELS, channels)).astype(int))
    part = z[np.ix_(chosen, some)]
    steps = np.broadcast_to(lengths, z.shape)[np.ix_(chosen, some)]
    steps = np.where(np.isfinite(steps) & (steps > 0), steps, 1.0)
    left = np.nan_to_num(part - spectra[:, chosen].T @ c[:, some])
    degrees = max(0.05, 1 - len(c) * (1 / channels + 1 / pixels))  # those that the components took are no noise
    noise = float(np.mean(left**2)) / degrees + ROUNDING
    values, known = channels * pixels * float(np.isfinite(z).mean()), int(np.isfinite(part).sum())
    best = (np.inf, 0, 1.0)
    for coarseness in COARSENESS:
        step = coarseness * np.sqrt(12 * noise)
        n = np.rint(c[:, some] / step)
        own = [_field_bits(each, image[1]) * pixels for each in n]
        spectrum = np.log2(1 + np.sqrt(np.mean(c**2, 1) * pixels / noise / 12 / channels)) + 2
        left = part.copy()
        before = 0
        for count in (count for count in COUNTS if count <= len(c)):
            left -= spectra[before:count, chosen].T @ (n[before:count] * step)
            before = count
            variance = float(np.nansum(left**2)) / max(1, known) + ROUNDING
            rounded = np.log2(1 + count / pixels * noise / variance) / 2  # what rounding the spectra adds to each value
            bits = (_symbol_bits(left / steps) + rounded) * values
            bits += sum(own[:count]) + float(spectrum[:count].sum()) * channels + 8 * count * (12 + count)  # weights
            best = min(best, (bits, count, coarseness))
    return best[1], best[2], noise


def _field_bits(n: Floats, columns: int) -> float:
    """Bits a pixel of an integer field that is predicted from the left and from above."""
    field = n[: n.size // columns * columns].reshape(-1, columns)
    if min(field.shape) < 2:
        return _entropy(np.diff(n)) if n.size > 1 else 8.0
    return _entropy((field[1:, 1:] - np.floor((field[1:, :-1] + field[:-1, 1:]) / 2)).ravel())


def _symbol_bits(left: Floats) -> float:
    """Bits a value of residuals in steps of one, under histograms that channels of like spread share."""
    symbols = np.rint(left)
    there = np.isfinite(symbols)
    spread = np.where(there, np.abs(symbols), 0.0).sum(1) / np.maximum(there.sum(1), 1)
    classes = np.array_split(np.argsort(spread, kind="stable"), min(SHARED, len(left)))
    bits = sum(_entropy(symbols[rows][there[rows]]) * int(there[rows].sum()) for rows in classes)
    return bits / max(1, int(there.sum()))


def _entropy(symbols: Floats) -> float:
    """Bits a symbol under its own histogram, and what the histogram takes."""
    if not symbols.size:
        return 0.0
    low = symbols.min()
    if symbols.max() - low > 8 * symbols.size:  # hardly any value twice
        return float(np.log2(1 + np.ptp(symbols)))
    counts = np.bincount((symbols - low).astype(np.int64))
    counts = counts[counts > 0]
    share = counts / symbols.size
    return float(-(share * np.log2(share)).sum()) + 0.72 * (len(counts) - 1) / symbols.size


def _quantised(mean: Floats, spectra: Floats, sizes: Floats, variance: float) -> Basis | None:
    """Spectra as integers, each so fine that rounding it adds hardly anything; sizes: of its coefficients."""
    wanted = np.sqrt(12 * variance) / np.concatenate([[1.0], np.maximum(sizes, 1e-6)])
    exponents = np.floor(np.log2(wanted)).astype(np.int64)
    exponents = np.maximum(exponents, exponents.max() - 50)
    rows = np.rint(np.ldexp(np.concatenate([mean[None], spectra]), -exponents[:, None]))
    if not (np.abs(rows) < 2.0**50).all() or exponents.min() < -128 or exponents.max() > 127:
        return None
    return Basis(rows.astype(np.int64), exponents)
