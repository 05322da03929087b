"""Power of regional fields by size of structure: isotropic spectra in cycles a cell, and their octaves.

Stage: evaluation. A plane is taken off each field and a Hann window laid over it, since the ends of a crop do not meet.
Cells count as squares. Spectra of global fields, by degree, are in `spectrum`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["octave_bands", "octave_power", "octave_ratio", "radial_spectrum"]

Floats = NDArray[np.float64]
NYQUIST = 0.5  # cycles a cell
FEWEST = 8  # cells along the shorter axis


def octave_bands(shape: tuple[int, ...]) -> Floats:
    """Octaves of wavenumber from the coarsest that a field resolves to the finest, 1/4 to 1/2 cycle a cell.

    Parameters
    ----------
    shape : (..., y, x)

    Returns
    -------
    NDArray[np.float64], shape (octave, 2), in cycles a cell
        At the coarse end two wavelengths still fit the shorter axis: what is longer is leakage of the window.

    Raises
    ------
    ValueError
        Fewer than 8 cells along an axis.

    Examples
    --------
    >>> octave_bands((16, 20))
    array([[0.125, 0.25 ],
           [0.25 , 0.5  ]])
    """
    if len(shape) < 2 or min(shape[-2:]) < FEWEST:
        raise ValueError(f"expected fields of at least {FEWEST} x {FEWEST} cells, got shape {tuple(shape)}")
    octaves = int(np.log2(min(shape[-2:]) / 2)) - 1
    tops = NYQUIST * 0.5 ** np.arange(octaves)[::-1]
    return np.stack((tops / 2, tops), 1)


def octave_power(values: NDArray[Any]) -> Floats:
    """Variance of fields by octave of wavenumber, the finest last.

    Parameters
    ----------
    values : array, shape (..., y, x)
        What is missing counts as the plane through the rest.

    Returns
    -------
    NDArray[np.float64], shape (..., octave), in squared units
        Of `octave_bands`; wavenumbers beyond 1/2, of the corners, are in none.

    Raises
    ------
    ValueError
        Fewer than 8 cells along an axis.

    Examples
    --------
    >>> wave = np.sin(2 * np.pi * 0.3 * np.arange(64)) * np.ones((64, 1))  # variance 1/2, in the top octave
    >>> np.round(octave_power(wave), 2)
    array([0. , 0. , 0. , 0.5])
    """
    bands = octave_bands(np.shape(values))
    power, size = _power(values)
    inside = [(size >= low) & ((size < high) | (size == NYQUIST) & (high == NYQUIST)) for low, high in bands]
    out: Floats = np.stack([power[..., each].sum(-1) for each in inside], -1)
    return out


def octave_ratio(truth: NDArray[Any], generated: NDArray[Any]) -> Floats:
    """Power of generated fields over that of the truth, by octave; the last is the top octave, 2 to 4 cells long.

    Parameters
    ----------
    truth : array, shape (..., y, x)
    generated : array, shape (..., y, x)
        Leading axes need not be the same (members); power is averaged over them on either side. Cells missing in any
        of the fields are left out of all.

    Returns
    -------
    NDArray[np.float64], shape (octave,)
        1 where both have none, infinity where the truth alone has none.

    Raises
    ------
    ValueError
        Other sizes of y and x, or fewer than 8 cells along an axis.

    Examples
    --------
    >>> field = np.random.default_rng(0).normal(size=(32, 32))
    >>> np.round(octave_ratio(field, np.stack([field, field / 2])), 6)
    array([0.625, 0.625, 0.625])
    """
    x, y = np.array(truth, np.float64), np.array(generated, np.float64)
    if x.shape[-2:] != y.shape[-2:]:
        raise ValueError(f"expected fields of one size, got {x.shape} and {y.shape}")
    known = _known(x) & _known(y)
    x[..., ~known] = y[..., ~known] = np.nan
    above, below = (octave_power(each).reshape(-1, len(octave_bands(each.shape))).mean(0) for each in (y, x))
    out = np.where(above > 0, np.inf, 1.0)
    np.divide(above, below, out=out, where=below > 0)
    return out


def radial_spectrum(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Variance of fields by wavenumber, in rings one cycle of the shorter axis wide.

    Parameters
    ----------
    values : array, shape (..., y, x)

    Returns
    -------
    wavenumber : NDArray[np.float64], shape (ring,), in cycles a cell
        The middle of each ring, the last ring the last that lies below 1/2.
    power : NDArray[np.float64], shape (..., ring), in squared units
        Their sum is the variance but for the ends.

    Raises
    ------
    ValueError
        Fewer than 8 cells along an axis.

    Examples
    --------
    >>> wave = np.cos(2 * np.pi * np.arange(64) / 4) * np.ones((64, 1))
    >>> wavenumber, power = radial_spectrum(wave)
    >>> float(wavenumber[power.argmax()])
    0.25
    """
    octave_bands(np.shape(values))
    rings = min(np.shape(values)[-2:]) // 2
    width = 1 / min(np.shape(values)[-2:])
    power, size = _power(values)
    ring = np.rint(size / width).astype(np.int64).ravel()
    flat = power.reshape(-1, ring.size)
    sums = np.stack([np.bincount(ring, each, rings + 2)[1 : rings + 1] for each in flat])
    wavenumber: Floats = np.arange(1, rings + 1, dtype=np.float64) * width
    return wavenumber, np.asarray(sums.reshape(*power.shape[:-2], rings), np.float64)


def _power(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Power of each wave, (..., y, x), its sum about the variance; and its wavenumber, (y, x)."""
    x = np.asarray(values, np.float64)
    rows, columns = x.shape[-2:]
    # Half a cell from the ends: no cell has a weight of nought.
    windows = [0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n) for n in (rows, columns)]
    window = np.outer(*windows)
    flat = np.stack([_level(frame) for frame in x.reshape(-1, rows, columns)]) * window
    power = np.abs(np.fft.fft2(flat)) ** 2 / (np.sum(window**2) * rows * columns)
    size = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns))
    return np.asarray(power.reshape(x.shape), np.float64), np.asarray(size, np.float64)


def _level(frame: Floats) -> Floats:
    """A field less the plane nearest to it, 0 where it is missing."""
    rows, columns = (np.linspace(-1, 1, n) for n in frame.shape)
    known = np.isfinite(frame)
    design = np.stack([np.ones(frame.size), np.repeat(rows, columns.size), np.tile(columns, rows.size)], 1)
    if not known.any():
        return np.zeros(frame.shape)
    middle = float(frame[known].mean())
    weights = np.linalg.lstsq(design[known.ravel()], frame[known] - middle, rcond=None)[0]
    out: Floats = np.where(known, frame - middle - (design @ weights).reshape(frame.shape), 0.0)
    return out


def _known(values: Floats) -> NDArray[np.bool_]:
    """Cells finite in all fields, (y, x)."""
    return np.asarray(np.isfinite(values).reshape(-1, *values.shape[-2:]).all(0))
