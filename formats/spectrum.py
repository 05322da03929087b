"""Power spectra of global fields, and how much power a decoded field keeps at each scale.

Stage: evaluation. By spherical-harmonic degree where the grid is global and regular and ducc0 is installed, otherwise
by zonal wavenumber with NumPy alone; the result says which. Orientation of the grid does not matter: power by degree
does not change under a rotation about the axis or a mirror image.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.field_scores import area_weights

__all__ = ["SpectrumRatio", "compare_spectra", "ring_geometry", "spherical_spectrum", "zonal_spectrum"]

Floats = NDArray[np.float64]
TOLERANCE = 1e-3  # of a grid step: coordinates are often float32


def ring_geometry(latitude: NDArray[Any], longitude: NDArray[Any]) -> Literal["CC", "F1", "GL"] | None:
    """Name a global grid's quadrature, as ducc0 does.

    Parameters
    ----------
    latitude, longitude : 1-D arrays, degrees
        In either direction, longitudes from any start.

    Returns
    -------
    "CC" (equidistant with both poles), "F1" (equidistant, half a step from the poles), "GL" (Gaussian), or None

    Examples
    --------
    >>> ring_geometry(np.linspace(90, -90, 19), np.arange(0, 360, 10))
    'CC'
    >>> ring_geometry(np.linspace(30, 60, 4), np.arange(0, 360, 10)) is None
    True
    """
    rows, columns = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
    if rows.ndim != 1 or columns.ndim != 1 or rows.size < 3 or columns.size < 3:
        return None
    turn = 360 / columns.size
    steps = (np.diff(columns) + 180) % 360 - 180  # the same way round the circle, past 0 or the date line too
    if np.abs(steps - np.sign(steps[0]) * turn).max() > TOLERANCE * turn:
        return None
    south_first = np.sort(rows)
    if not (np.array_equal(south_first, rows) or np.array_equal(south_first, rows[::-1])):
        return None
    n = rows.size
    centres: dict[Literal["CC", "F1", "GL"], Floats] = {
        "CC": np.linspace(-90, 90, n),
        "F1": (np.arange(n) + 0.5) * 180 / n - 90,
        "GL": np.degrees(np.arcsin(np.polynomial.legendre.leggauss(n)[0])) if n <= 4000 else np.full(n, np.inf),
    }
    for name, expected in centres.items():
        if np.abs(south_first - expected).max() <= TOLERANCE * 180 / n:
            return name
    return None


def spherical_spectrum(values: NDArray[Any], latitude: NDArray[Any], longitude: NDArray[Any]) -> Floats:
    """Power by spherical-harmonic degree; its sum is the mean square over the sphere.

    Parameters
    ----------
    values : array, shape (..., latitude, longitude)
        Missing values count as the mean of the others.
    latitude, longitude : 1-D arrays, degrees
        Of a global regular grid (`ring_geometry`).

    Returns
    -------
    NDArray[np.float64], shape (..., degree), in squared units
        Degrees 0 to the highest that the grid resolves.

    Raises
    ------
    ValueError
        The grid is not global and regular.
    ImportError
        ducc0 is not installed.

    Source
    ------
    `ducc0.sht.analysis_2d`; (2 l + 1) C_l / 4 pi in the notation of the cosmic microwave background.

    Examples
    --------
    >>> latitude, longitude = np.linspace(90, -90, 19), np.arange(0, 360, 10)
    >>> field = np.outer(np.sin(np.radians(latitude)), np.ones(36))  # degree 1, mean square 1/3
    >>> np.round(spherical_spectrum(field, latitude, longitude)[:3], 6)
    array([0.      , 0.333333, 0.      ])
    """
    geometry = ring_geometry(latitude, longitude)
    if geometry is None:
        raise ValueError("expected a global regular latitude/longitude grid, got one that is not")
    sht = _ducc0().sht
    x = _filled(values, latitude, len(longitude))
    rows, columns = x.shape[-2:]
    top = min(rows - (2 if geometry == "CC" else 1), (columns - 1) // 2)
    frames = x.reshape(-1, rows, columns)
    out = np.empty((len(frames), top + 1))
    for power, frame in zip(out, frames, strict=True):
        # The mean apart: the field's variance is often 1e-4 of its mean square.
        mean = frame.mean()
        alm = sht.analysis_2d(map=(frame - mean)[None], spin=0, lmax=top, geometry=geometry)[0]
        alm[0] += mean * math.sqrt(4 * math.pi)
        power[:] = _power_by_degree(alm, top)
    return out.reshape(*x.shape[:-2], top + 1)


def zonal_spectrum(values: NDArray[Any], latitude: NDArray[Any]) -> Floats:
    """Power by wavenumber along latitude circles, cos-latitude weighted; its sum is the weighted mean square.

    Parameters
    ----------
    values : array, shape (..., latitude, longitude)
        Missing values count as the mean of the others. Longitudes equidistant; whole circles, or the ends do not meet.
    latitude : 1-D array, degrees

    Returns
    -------
    NDArray[np.float64], shape (..., longitudes // 2 + 1), in squared units

    Examples
    --------
    >>> wave = np.tile(np.cos(3 * np.radians(np.arange(0, 360, 10))), (19, 1))  # mean square 1/2
    >>> np.round(zonal_spectrum(wave, np.linspace(90, -90, 19))[2:5], 6)
    array([0. , 0.5, 0. ])
    """
    x = _filled(values, latitude, np.shape(values)[-1])
    columns = x.shape[-1]
    power = np.abs(np.fft.rfft(x) / columns) ** 2
    power[..., 1 : (columns + 1) // 2] *= 2  # negative wavenumbers
    weights = area_weights(latitude)
    out: Floats = np.einsum("...yk,y->...k", power, weights / weights.sum())
    return out


@dataclass(frozen=True)
class SpectrumRatio:
    """Power of a source and of its decoded field by degree or wavenumber: `compare_spectra` makes it.

    Attributes
    ----------
    kind : "degree" or "zonal wavenumber"
    source, decoded : NDArray[np.float64], shape (..., degree), in squared units
    """

    kind: str
    source: Floats
    decoded: Floats

    @property
    def ratio(self) -> Floats:
        """Decoded over source power by degree, 1 where both are nothing: shape (..., degree)."""
        return _ratio(self.decoded, self.source)

    @property
    def bands(self) -> list[tuple[int, int]]:
        """First and last degree of each octave: 1, 2 to 3, 4 to 7, ..., the last cut at the highest degree."""
        top = self.source.shape[-1] - 1
        return [(1 << k, min(2 << k, top + 1) - 1) for k in range(top.bit_length())]

    @property
    def octaves(self) -> Floats:
        """Decoded over source power, each summed over an octave of degrees: shape (..., octave)."""
        sums = [[p[..., low : high + 1].sum(-1) for low, high in self.bands] for p in (self.decoded, self.source)]
        decoded, source = (np.stack(parts, -1) for parts in sums)
        return _ratio(decoded, source)

    def table(self) -> str:
        """One line an octave: degrees, and the ratio of each leading index."""
        lines = [f"{self.kind + ' (first to last)':32s} decoded / source power"]
        for (low, high), ratios in zip(self.bands, np.moveaxis(self.octaves, -1, 0), strict=True):
            lines.append(f"{f'{low} to {high}':32s} " + " ".join(f"{r:8.4f}" for r in np.ravel(ratios)))
        return "\n".join(lines)


def compare_spectra(
    source: NDArray[Any],
    decoded: NDArray[Any],
    latitude: NDArray[Any],
    longitude: NDArray[Any],
    *,
    kind: Literal["degree", "zonal wavenumber"] | None = None,
) -> SpectrumRatio:
    """Power spectra of a source and of its decoded field.

    Parameters
    ----------
    source, decoded : arrays of one shape (..., latitude, longitude)
        What is missing in either is left out of both.
    latitude, longitude : 1-D arrays, degrees
    kind : "degree" or "zonal wavenumber", optional
        Without it, degree where the grid is global and ducc0 installed, otherwise zonal wavenumber.

    Returns
    -------
    SpectrumRatio

    Raises
    ------
    ValueError
        Shapes differ, or degrees are wanted of a grid that is not global.

    Examples
    --------
    >>> latitude, longitude = np.linspace(90, -90, 19), np.arange(0, 360, 10)
    >>> wave = np.tile(np.cos(3 * np.radians(longitude)), (19, 1))
    >>> found = compare_spectra(wave, wave / 2, latitude, longitude, kind="zonal wavenumber")
    >>> found.bands[:3], round(float(found.octaves[1]), 6)
    ([(1, 1), (2, 3), (4, 7)], 0.25)
    """
    if np.shape(source) != np.shape(decoded):
        raise ValueError(f"expected arrays of one shape, got {np.shape(source)} and {np.shape(decoded)}")
    if kind is None:
        possible = importlib.util.find_spec("ducc0") is not None and ring_geometry(latitude, longitude) is not None
        kind = "degree" if possible else "zonal wavenumber"
    x, x_hat = np.array(source, np.float64), np.array(decoded, np.float64)
    lost = ~(np.isfinite(x) & np.isfinite(x_hat))
    x[lost] = x_hat[lost] = np.nan
    if kind == "degree":
        return SpectrumRatio(kind, *(spherical_spectrum(each, latitude, longitude) for each in (x, x_hat)))
    if kind == "zonal wavenumber":
        return SpectrumRatio(kind, *(zonal_spectrum(each, latitude) for each in (x, x_hat)))
    raise ValueError(f"expected kind 'degree' or 'zonal wavenumber', got {kind!r}")


def _power_by_degree(alm: NDArray[np.complex128], top: int) -> Floats:
    """Sum |a_lm|^2 over m of both signs, over 4 pi; alm in m-major order (l = m, ..., top for m = 0, 1, ...)."""
    squares = np.abs(alm) ** 2
    squares[top + 1 :] *= 2
    degree = np.concatenate([np.arange(m, top + 1) for m in range(top + 1)])
    out: Floats = np.bincount(degree, squares, top + 1) / (4 * math.pi)
    return out


def _filled(values: NDArray[Any], latitude: NDArray[Any], columns: int) -> Floats:
    """Float64, what is not finite replaced by the weighted mean of the rest of its field; 0 where all is missing."""
    x = np.array(values, np.float64)
    if x.ndim < 2 or x.shape[-2:] != (len(latitude), columns):
        raise ValueError(f"expected (..., latitude, longitude) of {(len(latitude), columns)}, got shape {x.shape}")
    finite = np.isfinite(x)
    if not finite.all():
        weights = area_weights(latitude)[:, None] * finite
        total = weights.sum((-2, -1), keepdims=True)
        mean = np.sum(np.where(finite, x, 0) * weights, (-2, -1), keepdims=True) / np.where(total > 0, total, 1)
        x = np.where(finite, x, mean)
    return x


def _ratio(decoded: Floats, source: Floats) -> Floats:
    out = np.where(decoded > 0, np.inf, 1.0)
    np.divide(decoded, source, out=out, where=source > 0)
    return out


def _ducc0() -> Any:
    try:
        import ducc0
    except ImportError as error:
        raise ImportError(
            'power by spherical-harmonic degree needs ducc0: pip install "adiabat[healpix]", or ask for kind='
            '"zonal wavenumber"'
        ) from error
    return ducc0
