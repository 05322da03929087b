"""Arrays between a latitude/longitude grid and HEALPix cells, by spherical harmonics or bilinearly.

Stage: under `healpix`, which knows of names and attributes. Harmonics keep every scale that both grids resolve, but
overshoot at sharp edges; bilinear values never leave the range of those around them, but are smoothed. Bilinear needs
NumPy alone, harmonics ducc0 (GPL), which is imported only here and in `spectrum`, inside functions.

Source: Reinecke and Seljebotn, "Libsharp: spherical harmonic transforms revisited", A&A 554 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.faces import side_of
from adiabat.formats.healpix_rings import Stencil, cell_stencil, latlon_stencil, ring_index, rings_of
from adiabat.formats.spectrum import ring_geometry

__all__ = [
    "LatLonGrid",
    "bilinear_to_cells",
    "bilinear_to_latlon",
    "harmonic_to_cells",
    "harmonic_to_latlon",
    "highest_degree",
]

# Transforms run in one thread: what spreads frames over cores is dask.
TOLERANCE, ITERATIONS = 1e-7, 20  # of the residual's norm: 1e-6 K for temperatures, after 5 iterations

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LatLonGrid:
    """A global grid of equidistant latitudes, both poles among them, and equidistant longitudes.

    Parameters
    ----------
    latitude, longitude : 1-D arrays, degrees
        In either direction; longitudes from any start, once round, the first not repeated.

    Raises
    ------
    ValueError
        Any other grid.

    Examples
    --------
    >>> grid = LatLonGrid(np.linspace(-90, 90, 19), np.arange(-180, 180, 10))
    >>> grid.shape, grid.eastward(np.arange(19.0)[:, None] * np.ones(36))[0, 0]  # north comes first
    ((19, 36), np.float64(18.0))
    """

    latitude: NDArray[Any]
    longitude: NDArray[Any]

    def __post_init__(self) -> None:
        if ring_geometry(self.latitude, self.longitude) != "CC":
            sizes = [f"{np.size(each)} {name}s{_ends(each)}" for name, each in zip(_NAMES, self._axes, strict=True)]
            raise ValueError(
                f"expected equidistant latitudes from pole to pole and longitudes once round, got {' and '.join(sizes)}"
            )

    @property
    def _axes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.latitude, self.longitude

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.latitude), len(self.longitude)

    @cached_property
    def west(self) -> float:
        """Longitude of the first column of an eastward field, degrees, 0 to 360."""
        return float(self.longitude[-1 if self._turned[1] else 0]) % 360

    @cached_property
    def _turned(self) -> tuple[bool, bool]:
        """Whether rows run north, and columns west."""
        step = (float(self.longitude[1]) - float(self.longitude[0]) + 180) % 360 - 180
        return bool(self.latitude[0] < self.latitude[-1]), step < 0

    def eastward(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn (..., latitude, longitude) so that it runs south and east; doing so twice undoes it."""
        rows, columns = (slice(None, None, -1 if turned else 1) for turned in self._turned)
        return values[..., rows, columns]


_NAMES = ("latitude", "longitude")


def highest_degree(nside: int, shape: tuple[int, int] | None = None) -> int:
    """Highest spherical-harmonic degree that cells resolve, 2.5 nside - 1, and (given its shape) a grid.

    Examples
    --------
    >>> highest_degree(256), highest_degree(256, (721, 1440)), highest_degree(256, (361, 720))
    (639, 639, 359)
    """
    own = max(5 * nside // 2 - 1, 1)
    return own if shape is None else min(own, shape[0] - 2, (shape[1] - 1) // 2)


def harmonic_to_cells(values: NDArray[Any], grid: LatLonGrid, nside: int) -> Floats:
    """Analyse a grid's field and evaluate it at the centres of cells.

    Parameters
    ----------
    values : array, shape (..., latitude, longitude)
        Finite.
    grid : LatLonGrid
    nside : int
        A power of two.

    Returns
    -------
    NDArray[np.float64], shape (..., 12 nside^2)
        In nested order.

    Raises
    ------
    ValueError
        Values are missing.
    ImportError
        ducc0 is not installed.
    """
    ducc0, top, rings = _ducc0(), highest_degree(nside, grid.shape), rings_of(nside)
    frames = _finite(values, grid.shape)
    out = np.empty((len(frames), 12 * nside**2))
    for cells, frame in zip(out, frames, strict=True):
        mean = frame.mean()  # apart, so that no digits of the rest are lost
        anomaly = np.ascontiguousarray(grid.eastward(frame - mean))[None]
        start = np.radians(grid.west)
        alm = ducc0.sht.analysis_2d(map=anomaly, spin=0, lmax=top, geometry="CC", phi0=start, nthreads=1)
        cells[:] = ducc0.sht.synthesis(alm=alm, spin=0, lmax=top, nthreads=1, **rings)[0][ring_index(nside)] + mean
    return out.reshape(*values.shape[:-2], -1)


def harmonic_to_latlon(cells: NDArray[Any], grid: LatLonGrid) -> Floats:
    """Analyse cells, iterated to the least squares, and evaluate them on a grid.

    Parameters
    ----------
    cells : array, shape (..., 12 nside^2)
        In nested order, finite.
    grid : LatLonGrid

    Returns
    -------
    NDArray[np.float64], shape (..., latitude, longitude)

    Raises
    ------
    ValueError
        Values are missing.
    ImportError
        ducc0 is not installed.
    """
    ducc0, nside = _ducc0(), side_of(cells.shape[-1])
    top, rings = highest_degree(nside), rings_of(nside)
    frames = _finite(cells, cells.shape[-1:])
    out = np.empty((len(frames), *grid.shape))
    for values, frame in zip(out, frames, strict=True):
        mean, in_rings = frame.mean(), np.empty((1, frame.size))
        in_rings[0, ring_index(nside)] = frame - mean
        limits = {"maxiter": ITERATIONS, "epsilon": TOLERANCE}
        alm = ducc0.sht.pseudo_analysis(map=in_rings, spin=0, lmax=top, nthreads=1, **limits, **rings)[0]
        size = {"ntheta": grid.shape[0], "nphi": grid.shape[1], "phi0": np.radians(grid.west)}
        field = ducc0.sht.synthesis_2d(alm=alm, spin=0, lmax=top, geometry="CC", nthreads=1, **size)[0]
        values[:] = grid.eastward(field + mean)
    return out.reshape(*cells.shape[:-1], *grid.shape)


def bilinear_to_cells(values: NDArray[Any], grid: LatLonGrid, nside: int) -> Floats:
    """Interpolate bilinearly in latitude and longitude at the centres of cells.

    Parameters, result as of `harmonic_to_cells`; a missing value spreads to the cells beside it.

    Examples
    --------
    >>> grid = LatLonGrid(np.linspace(90, -90, 91), np.arange(0, 360, 2))
    >>> sine = np.outer(np.sin(np.radians(grid.latitude)), np.ones(180))
    >>> np.round(bilinear_to_cells(sine, grid, 1), 3)  # 2/3, 0 and -2/3 but for the interpolation
    array([ 0.667,  0.667,  0.667,  0.667,  0.   ,  0.   ,  0.   ,  0.   ,
           -0.667, -0.667, -0.667, -0.667])
    """
    frames = _frames(values, grid.shape)
    stencil = cell_stencil(nside, *grid.shape, grid.west)
    out = np.stack([_sum(grid.eastward(frame).ravel(), stencil) for frame in frames])
    return out.reshape(*values.shape[:-2], -1)


def bilinear_to_latlon(cells: NDArray[Any], grid: LatLonGrid) -> Floats:
    """Interpolate linearly along the two rings of cells around each point, then between these.

    Parameters, result as of `harmonic_to_latlon`; a missing value spreads to the points beside it. At the poles the
    four cells around them are averaged.

    Examples
    --------
    >>> grid = LatLonGrid(np.linspace(90, -90, 5), np.arange(0, 360, 90))
    >>> bilinear_to_latlon(np.arange(12.0), grid)[:, 0].tolist()  # 41.8 and -41.8 degrees are the outer rings
    [1.5, 1.5, 4.0, 9.5, 9.5]
    """
    nside = side_of(cells.shape[-1])
    frames, order = _frames(cells, cells.shape[-1:]), np.empty(cells.shape[-1], np.intp)
    order[ring_index(nside)] = np.arange(order.size)
    stencil = latlon_stencil(nside, *grid.shape, grid.west)
    out = np.stack([grid.eastward(_sum(frame[order], stencil).reshape(grid.shape)) for frame in frames])
    return out.reshape(*cells.shape[:-1], *grid.shape)


def _frames(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """View as (frame, *shape)."""
    if values.shape[-len(shape) :] != shape or values.dtype.kind not in "fiu":
        raise ValueError(f"expected numbers of shape (..., {shape}), got {values.dtype} of shape {values.shape}")
    return values.reshape(-1, *shape)


def _finite(values: NDArray[Any], shape: tuple[int, ...]) -> Floats:
    frames = np.asarray(_frames(values, shape), np.float64)
    lost = frames.size - int(np.isfinite(frames).sum())
    if lost:
        raise ValueError(f"expected no missing values for spherical harmonics, got {lost}: use method='bilinear'")
    return frames


def _sum(values: NDArray[Any], stencil: Stencil) -> Floats:
    """Weighted mean of the stencil's points, which alone decide whether it is missing, and within their range."""
    indices, weights = stencil
    out = np.zeros(indices.shape[1:])
    low, high = np.full(out.shape, np.inf), np.full(out.shape, -np.inf)
    for index, weight in zip(indices, weights, strict=True):
        some, has_say = values[index].astype(np.float64), weight > 0  # without a say: 0 times NaN is NaN
        with np.errstate(invalid="ignore"):  # of infinities of either sign there is no mean
            out += np.multiply(some, weight, where=has_say, out=np.zeros(out.shape))
        np.minimum(low, some, where=has_say, out=low)
        np.maximum(high, some, where=has_say, out=high)
    # The weights' rounding must not make 100 % more than 100 %.
    return np.clip(out, low, high)


def _ends(degrees: NDArray[Any]) -> str:
    return f" from {np.ravel(degrees)[0]:g} to {np.ravel(degrees)[-1]:g}" if np.size(degrees) else ""


def _ducc0() -> Any:
    try:
        import ducc0
    except ImportError as error:
        raise ImportError(
            "spherical harmonics need ducc0: pip install \"adiabat[healpix]\", or use method='bilinear'"
        ) from error
    return ducc0
