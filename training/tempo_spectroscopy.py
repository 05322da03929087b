"""Solar reference and cross sections, seen through the slit of TEMPO: fine tables, then tables of detector rows.

Stage: files of reference spectra -> **tempo_spectroscopy** -> tempo_radiative. The files are read where they lie and
never copied. What each formula is from: ``spec/guide/tempo_simulation.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adiabat.training.tempo_instrument import EXPONENT, NARROW, WIDE, widths

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

ABSORBERS = ("o3", "o3_slope", "o3_curvature", "no2_cold", "no2_warm", "hcho", "o4")
NO2_COLD, NO2_WARM = 220.0, 290.0  # K, of the stratosphere and of the boundary layer
MIDDLE = 273.15  # K, about which cross sections of Bogumil et al. are polynomials
O3_COLD, O3_SPAN = 225.0, 10.0  # K: the column's temperature is O3_COLD + O3_SPAN x a field of order 1
FINE = 0.01  # nm
MARGIN = 4.0  # nm beside the band, for the slit
RING_AT = (385.0, 415.0)  # nm, where the Ring spectrum over the sun is 1 on average
FILES = {
    "sun": "sao2010.txt",
    "ring": "Ring_sao2010.txt",
    "o3": "crs_O3_UBremen_cf.dat",
    "no2": "crs_NO2_UBremen_cf.dat",
    "hcho": "crs_hcho_cantrell.dat",
    "o4": "O4_253K.txt",
}


@dataclass(frozen=True)
class Fine:
    """Spectra convolved with the slit, on a fine grid of wavelengths.

    Attributes
    ----------
    wavelength : NDArray[np.float64]
        (fine,) nm in vacuum.
    narrow, wide : NDArray[np.float64]
        (tables, fine) Irradiance [photons s-1 cm-2 nm-1], its logarithmic slope [nm-1], the Ring spectrum over it,
        and then ABSORBERS [cm2, or cm5 for O4], seen through the narrowest and the widest slit.
    """

    wavelength: Doubles
    narrow: Doubles
    wide: Doubles


@dataclass(frozen=True)
class RowTables:
    """What light is multiplied by in each row of the detector.

    Attributes
    ----------
    wavelength : NDArray[np.float64]
        (rows, channels) nm.
    irradiance, slope, ring : NDArray[np.float32]
        (rows, channels) Of the sun, its logarithmic slope, the Ring spectrum over it.
    sections : NDArray[np.float32]
        (rows, ABSORBERS, channels).
    """

    wavelength: Doubles
    irradiance: Floats
    slope: Floats
    ring: Floats
    sections: Doubles


def default_folder() -> Path:
    """Folder of reference spectra: ``spectroscopy`` below ``ADIABAT_DATA``, or below ../shared/data.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    root = Path(os.environ.get("ADIABAT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    folder = root / "spectroscopy"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"expected reference spectra in {folder}, got no such folder: set ADIABAT_DATA to the folder that has "
            "spectroscopy/ in it"
        )
    return folder


@lru_cache(maxsize=4)
def fine_tables(folder: Path, first: float, last: float) -> Fine:
    """Read the files of a folder and convolve them with the slit, from `first` to `last` nm.

    Raises
    ------
    FileNotFoundError
        If one of FILES is missing.
    """
    grid = np.arange(first - MARGIN, last + MARGIN + FINE / 2, FINE)
    sun = _read(folder, "sun")
    sunlight = np.interp(grid, sun[:, 0], sun[:, 1])
    ring = _read(folder, "ring")
    raman = np.interp(grid, ring[:, 0], ring[:, 1])
    sections = _sections(folder, grid)
    tables = [_seen(grid, sunlight, raman, sections, width) for width in (NARROW, WIDE)]
    inside = (grid >= first - FINE / 2) & (grid <= last + FINE / 2)
    return Fine(grid[inside], tables[0][:, inside], tables[1][:, inside])


def row_tables(fine: Fine, wavelength: Doubles, rows: NDArray[np.int64]) -> RowTables:
    """Tables of some rows of the detector, from their (rows, channels) wavelengths."""
    out = np.empty((len(rows), len(fine.narrow), wavelength.shape[1]))
    for place, (grid, part) in enumerate(zip(wavelength, widths(rows), strict=True)):
        at = (grid - fine.wavelength[0]) / FINE
        left = np.clip(at.astype(np.int64), 0, len(fine.wavelength) - 2)
        right = at - left
        out[place] = fine.narrow[:, left] * ((1 - part) * (1 - right)) + fine.narrow[:, left + 1] * ((1 - part) * right)
        out[place] += fine.wide[:, left] * (part * (1 - right)) + fine.wide[:, left + 1] * (part * right)
    first = [out[:, table].astype(np.float32) for table in range(3)]
    return RowTables(wavelength, first[0], first[1], first[2], out[:, 3:])


def to_vacuum(wavelength: Doubles) -> Doubles:
    """Vacuum wavelengths from those in air, nm; Edlen (1966) as in Ciddor's notation, good to 1e-5 nm here."""
    squared = (1e3 / wavelength) ** 2  # um-2
    index = 1 + 1e-8 * (8342.54 + 2406147 / (130 - squared) + 15998 / (38.9 - squared))
    return wavelength * index


def _read(folder: Path, name: str) -> Doubles:
    path = Path(folder) / FILES[name]
    if not path.is_file():
        raise FileNotFoundError(f"expected the reference spectrum {path}, got no such file: see ADIABAT_DATA")
    return np.loadtxt(path, comments="#", dtype=np.float64)


def _sections(folder: Path, grid: Doubles) -> Doubles:
    """(ABSORBERS, fine) at full resolution; O3's as a polynomial of its temperature in units of O3_SPAN."""
    o3, no2, hcho, o4 = (_read(folder, name) for name in ("o3", "no2", "hcho", "o4"))
    start, linear, square = (1e-20 * np.interp(grid, to_vacuum(o3[:, 0]), o3[:, k]) for k in (1, 2, 3))
    cold = O3_COLD - MIDDLE
    no2_at = [
        1e-20 * (no2[:, 1] + no2[:, 2] * (t - MIDDLE) + no2[:, 3] * (t - MIDDLE) ** 2) for t in (NO2_COLD, NO2_WARM)
    ]
    return np.stack([
        start + linear * cold + square * cold**2,
        (linear + 2 * square * cold) * O3_SPAN,
        square * O3_SPAN**2,
        *(np.interp(grid, to_vacuum(no2[:, 0]), table) for table in no2_at),
        np.interp(grid, hcho[:, 0], hcho[:, 1].clip(0)),
        np.interp(grid, o4[:, 0], o4[:, 1].clip(0), left=0.0, right=0.0),
    ])  # fmt: skip


def _seen(grid: Doubles, sunlight: Doubles, raman: Doubles, sections: Doubles, width: float) -> Doubles:
    """(tables, fine): through a slit of a full width at half maximum; sections weighted by the sun (I0 effect)."""
    kernel = slit(np.arange(-MARGIN, MARGIN + FINE / 2, FINE), width)
    kernel /= kernel.sum()

    def through(spectrum: Doubles) -> Doubles:
        return np.asarray(np.fft.irfft(np.fft.rfft(spectrum, size) * transfer, size)[reach : reach + len(grid)])

    reach = len(kernel) // 2
    size = len(grid) + len(kernel)
    transfer = np.fft.rfft(kernel, size)
    light = through(sunlight)
    edge = (grid < grid[0] + MARGIN / 2) | (grid > grid[-1] - MARGIN / 2)
    light[edge] = sunlight[edge]  # half a slit of nothing beyond the end is not the sun's; cut off afterwards
    ring = through(raman) / light
    around = (grid > RING_AT[0]) & (grid < RING_AT[1])
    ring /= ring[around].mean() if around.any() else ring.mean()
    return np.stack([light, np.gradient(np.log(light), grid), ring, *(through(s * sunlight) / light for s in sections)])


def slit(distance: Doubles, width: float) -> Doubles:
    """Super-Gaussian of Beirle et al. (2017), 1 in the middle.

    Parameters
    ----------
    distance : NDArray[np.float64]
        From the middle, nm.
    width : float
        Full width at half maximum, nm.

    Examples
    --------
    >>> slit(np.array([0.0, 0.3]), 0.6).round(6)
    array([1. , 0.5])
    """
    return np.asarray(0.5 ** (np.abs(2 * distance / width) ** EXPONENT))
