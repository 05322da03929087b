"""Retrieve slant columns of trace gases from spectra: a linear fit of log radiance, as DOAS does it.

Stage: spectra, original or decompressed -> **doas** -> slant columns, to see what compression costs them. Windows,
cross sections and what the fit finds in simulated spectra: ``spec/guide/tempo_simulation.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from adiabat.training.tempo_spectroscopy import ABSORBERS, RowTables

__all__ = ["WINDOWS", "Window", "design", "slant_columns"]

Doubles = NDArray[np.float64]

# molecules cm-2 (O4: molecules2 cm-5), so that coefficients of a fit are of order 1
UNITS = MappingProxyType(
    {name: 1e18 if name.startswith("o3") else 1e43 if name == "o4" else 1e16 for name in ABSORBERS}
)


@dataclass(frozen=True)
class Window:
    """Wavelengths in which a gas is seen, and what else is fitted there.

    Attributes
    ----------
    first, last : float
        nm.
    absorbers : tuple of str
        Of `ABSORBERS`; a polynomial, the Ring spectrum and a shift of wavelengths are fitted with them.
    gas : tuple of str
        Those of them whose columns are summed.
    terms : int
        Of the polynomial.

    Raises
    ------
    ValueError
        If the window is empty or asks for what is not fitted.

    Examples
    --------
    >>> Window(405, 465, absorbers=("o3", "no2_warm"), gas=("no2_warm",)).terms
    6
    """

    first: float
    last: float
    absorbers: tuple[str, ...]
    gas: tuple[str, ...]
    terms: int = 6

    def __post_init__(self) -> None:
        if not self.first < self.last or self.terms < 1:
            raise ValueError(f"expected a window in nm and a polynomial, got {self.first} to {self.last}, {self.terms}")
        if not set(self.gas) <= set(self.absorbers) <= set(ABSORBERS) or not self.gas:
            raise ValueError(f"expected absorbers of {ABSORBERS}, the gas among them, got {self.absorbers}, {self.gas}")


WINDOWS = MappingProxyType({
    "no2": Window(405.0, 465.0, ("o3", "no2_cold", "no2_warm", "o4"), ("no2_cold", "no2_warm")),
    "o3": Window(325.0, 335.0, ("o3", "o3_slope", "no2_cold", "hcho"), ("o3",)),
    "hcho": Window(328.5, 356.5, ("o3", "o3_slope", "no2_cold", "hcho", "o4"), ("hcho",)),
})  # fmt: skip


def design(tables: RowTables, row: int, window: Window) -> tuple[NDArray[np.bool_], Doubles]:
    """Say which channels of a row lie in a window, and what log radiance over irradiance is made of there.

    Parameters
    ----------
    tables : RowTables
    row : int
        Index into the tables.
    window : Window

    Returns
    -------
    inside : NDArray[np.bool_], shape (channels,)
    matrix : NDArray[np.float64], shape (channels inside, terms + 2 + absorbers)
        Polynomial, Ring, slope of the sun (a shift), and minus each cross section times its unit.

    Raises
    ------
    ValueError
        If fewer channels lie inside than are needed.
    """
    wavelength = tables.wavelength[row]
    inside = (wavelength > window.first) & (wavelength < window.last)
    count = window.terms + 2 + len(window.absorbers)
    if int(inside.sum()) <= count:
        raise ValueError(
            f"expected more than {count} channels in {window.first:g} to {window.last:g} nm, got {int(inside.sum())}"
        )
    at = wavelength[inside]
    place = (at - at.mean()) / (window.last - window.first)
    sections = tables.sections[row][:, inside]
    parts = [place**power for power in range(window.terms)]
    parts += [tables.ring[row, inside].astype(np.float64), tables.slope[row, inside].astype(np.float64)]
    parts += [-sections[ABSORBERS.index(name)] * UNITS[name] for name in window.absorbers]
    return inside, np.stack(parts, 1)


def slant_columns(radiance: NDArray[np.floating], tables: RowTables, window: Window) -> Doubles:
    """Fit every spectrum by least squares, each channel counting the same.

    Parameters
    ----------
    radiance : NDArray[np.floating], shape (steps, rows, channels)
        photons s-1 cm-2 nm-1 sr-1; values that are NaN, or not above zero, are left out of the fit.
    tables : RowTables
        Of the same rows.
    window : Window
        Of `WINDOWS`, or another.

    Returns
    -------
    NDArray[np.float64], shape (steps, rows)
        molecules cm-2; NaN where fewer than half the window's channels are there.

    Raises
    ------
    ValueError
        If shapes do not fit, or a row has too few channels in the window.

    Source
    ------
    Platt and Stutz (2008), Differential Optical Absorption Spectroscopy, chapter 8.

    Examples
    --------
    >>> slant_columns(radiance, row_tables(fine, wavelength, rows), WINDOWS["no2"]).shape  # doctest: +SKIP
    (32, 256)
    """
    if radiance.ndim != 3 or radiance.shape[1:] != tables.wavelength.shape:
        raise ValueError(f"expected radiance (steps, *{tables.wavelength.shape}), got {radiance.shape}")
    out = np.full(radiance.shape[:2], np.nan)
    for row in range(radiance.shape[1]):
        inside, matrix = design(tables, row, window)
        light = radiance[:, row][:, inside].astype(np.float64)
        seen = np.isfinite(light) & (light > 0)
        log = np.log(np.where(seen, light, 1.0) / tables.irradiance[row, inside])
        patterns, which = np.unique(seen, axis=0, return_inverse=True)  # few: dead pixels are so at every step
        for number, pattern in enumerate(patterns):
            if pattern.sum() < max(pattern.size / 2, matrix.shape[1] + 1):
                continue
            steps = np.flatnonzero(which.ravel() == number)
            out[steps, row] = _gas(matrix[pattern], log[np.ix_(steps, pattern)], window)
    return out


def _gas(matrix: Doubles, log: Doubles, window: Window) -> Doubles:
    """Summed columns of a window's gas, (spectra,), from log radiance over irradiance (spectra, channels)."""
    found = np.linalg.lstsq(matrix, log.T, rcond=None)[0][-len(window.absorbers) :]
    total = np.zeros(len(log))
    for name, column in zip(window.absorbers, found, strict=True):
        if name in window.gas:
            total += column * UNITS[name]
    return total
