"""What users derive from decoded fields: geostrophic wind, vorticity, divergence, depressions.

Stage: evaluation, under `downstream`. Regular latitudes and longitudes on a sphere of the earth's mean radius, central
differences, float64. A derivative takes the difference of neighbours, so that it magnifies errors between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adiabat.formats.extremes import EARTH_RADIUS_KM, Place

__all__ = ["EARTH_TURN", "GRAVITY", "Minimum", "divergence", "geostrophic_wind", "minima", "vorticity"]

Floats = NDArray[np.float64]
EARTH_TURN: Final = 7.292115e-5  # rad s-1, Groten (2004)
GRAVITY: Final = 9.80665  # m s-2, of geopotential heights
RADIUS: Final = 1e3 * EARTH_RADIUS_KM
POLE: Final = 89.99  # degrees: nearer to a pole nothing can be derived


@dataclass(frozen=True)
class Minimum:
    """One depression: `minima` makes it.

    Attributes
    ----------
    index : tuple of int
        Of the leading axes (time, level).
    place : (latitude, longitude), degrees
    value, depth : float
        In the field's units; depth is the mean around less the value.
    """

    index: tuple[int, ...]
    place: Place
    value: float
    depth: float


def geostrophic_wind(
    geopotential: ArrayLike, latitude: ArrayLike, longitude: ArrayLike, *, equator: float = 10.0
) -> tuple[Floats, Floats]:
    """Wind of the balance between the gradient of geopotential and the Coriolis force.

    Parameters
    ----------
    geopotential : array, shape (..., latitude, longitude), m2 s-2
        On a surface of constant pressure.
    latitude, longitude : 1-D arrays, degrees
        At least three each, in either direction; the circle is closed where the longitudes go all the way round.
    equator : float, degrees
        Nearer to the equator the balance does not hold.

    Returns
    -------
    u, v : NDArray[np.float64], m s-1
        Eastward and northward; NaN nearer to the equator, at the poles, and beside what is missing.

    Raises
    ------
    ValueError
        Shapes that do not fit, or fewer than three points along an axis.

    Source
    ------
    Holton, J. R. and Hakim, G. J., An Introduction to Dynamic Meteorology, 5th edition (2013), equation 2.23, with the
    gradient in spherical coordinates.

    Examples
    --------
    >>> latitude, longitude = np.arange(-60.0, 61.0, 1.0), np.arange(0.0, 360.0, 2.0)
    >>> field = 1e4 * np.cos(np.radians(latitude))[:, None] ** 2 * np.ones(180)
    >>> u, v = geostrophic_wind(field, latitude, longitude)  # u is 1e4 cos(latitude) / (turn radius)
    >>> round(float(u[105, 0]), 2), float(v[105, 0]), float(u[60, 0])
    (15.22, 0.0, nan)
    """
    field, phi, lam = _on_grid(geopotential, latitude, longitude)
    coriolis = 2 * EARTH_TURN * np.sin(phi)
    coriolis[np.abs(phi) < np.radians(equator)] = np.nan
    u = -_by_latitude(field, phi) / (coriolis * RADIUS)
    v = _by_longitude(field, lam) / (coriolis * RADIUS * _parallel(phi))
    return np.where(np.isnan(_parallel(phi)), np.nan, u), v


def vorticity(u: ArrayLike, v: ArrayLike, latitude: ArrayLike, longitude: ArrayLike) -> Floats:
    """Relative vorticity of a horizontal wind, its vertical component.

    Parameters
    ----------
    u, v : arrays of one shape (..., latitude, longitude), m s-1
    latitude, longitude : 1-D arrays, degrees
        As of `geostrophic_wind`.

    Returns
    -------
    NDArray[np.float64], s-1
        NaN at the poles and beside what is missing.

    Raises
    ------
    ValueError
        Shapes that do not fit, or fewer than three points along an axis.

    Source
    ------
    Holton and Hakim (2013), chapter 4, in spherical coordinates: (dv/dlambda - d(u cos phi)/dphi) / (a cos phi).

    Examples
    --------
    >>> latitude, longitude = np.arange(-80.0, 81.0, 1.0), np.arange(0.0, 360.0, 2.0)
    >>> u = 20 * np.cos(np.radians(latitude))[:, None] * np.ones(180)  # air that turns like a solid body
    >>> round(float(vorticity(u, 0 * u, latitude, longitude)[110, 0]) * 1e6, 2)  # 2 * 20 sin(30 degrees) / a
    3.14
    """
    return _turned(u, v, latitude, longitude, -1.0)


def divergence(u: ArrayLike, v: ArrayLike, latitude: ArrayLike, longitude: ArrayLike) -> Floats:
    """Divergence of a horizontal wind.

    Parameters
    ----------
    u, v : arrays of one shape (..., latitude, longitude), m s-1
    latitude, longitude : 1-D arrays, degrees
        As of `geostrophic_wind`.

    Returns
    -------
    NDArray[np.float64], s-1
        NaN at the poles and beside what is missing.

    Raises
    ------
    ValueError
        Shapes that do not fit, or fewer than three points along an axis.

    Source
    ------
    Holton and Hakim (2013), in spherical coordinates: (du/dlambda + d(v cos phi)/dphi) / (a cos phi).

    Examples
    --------
    >>> latitude, longitude = np.arange(-80.0, 81.0, 1.0), np.arange(0.0, 360.0, 2.0)
    >>> v = 20 * np.cos(np.radians(latitude))[:, None] * np.ones(180)  # from one pole to the other
    >>> round(float(divergence(0 * v, v, latitude, longitude)[110, 0]) * 1e6, 2)
    -3.14
    """
    return _turned(v, u, latitude, longitude, 1.0)


def minima(
    field: ArrayLike, latitude: ArrayLike, longitude: ArrayLike, *, depth: float, apart_km: float = 500.0
) -> list[Minimum]:
    """Find depressions: points lower than all within a distance, and by so much than the mean there.

    Parameters
    ----------
    field : array, shape (..., latitude, longitude)
        Such as sea level pressure; what is missing is left out.
    latitude, longitude : 1-D arrays, degrees
    depth : float
        Least depth below the mean (by area) of what lies within `apart_km`, in the field's units.
    apart_km : float

    Returns
    -------
    list of Minimum
        Field after field in C order of the leading axes, lowest first.

    Raises
    ------
    ValueError
        Shapes or arguments that do not fit.

    Examples
    --------
    >>> latitude, longitude = np.linspace(90, -90, 91), np.arange(0, 360, 2.0)
    >>> field = 1013 - 40 * np.exp(-((latitude[:, None] - 20) ** 2 + (longitude - 180) ** 2) / 8)
    >>> (found,) = minima(field, latitude, longitude, depth=5)
    >>> found.place, round(found.value), round(found.depth)
    ((20.0, 180.0), 973, 28)
    """
    x, lat, lon = np.asarray(field, np.float64), np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
    if x.ndim < 2 or x.shape[-2:] != (*lat.shape, *lon.shape) or not apart_km > 0:
        raise ValueError(f"expected a field (..., {lat.size}, {lon.size}) and apart_km > 0, got {x.shape}, {apart_km}")
    out: list[Minimum] = []
    for index in np.ndindex(x.shape[:-2]):
        frame = np.where(np.isfinite(x[index]), x[index], np.inf)
        taken = np.zeros(frame.shape, bool)
        for row, column in _lowest(frame, lat, lon, apart_km):
            if taken[row, column]:
                continue
            near, weights = _disc(lat, lon, row, column, apart_km)
            around, low = frame[near], float(frame[row, column])
            if (around[weights > 0] < low).any():
                continue
            taken[near] |= weights > 0
            weights[np.isinf(around)] = 0
            below = float(np.sum(weights * np.where(weights > 0, around - low, 0.0)) / weights.sum())
            if below >= depth:
                out.append(Minimum(index, (float(lat[row]), float(lon[column])), low, below))
    return out


def _lowest(frame: Floats, latitude: Floats, longitude: Floats, km: float) -> list[tuple[int, int]]:
    """Points that nothing in a box inside the disc is lower than, but a neighbour is higher; lowest first."""
    side, box = np.degrees(km / EARTH_RADIUS_KM) / 2**0.5, frame
    flat = np.isfinite(frame)
    for axis, degrees in enumerate((latitude, longitude)):
        steps = np.abs((np.diff(degrees) + 180) % 360 - 180)
        cells = int(min(side / steps.max(initial=1e-9), degrees.size - 1))
        around = np.pad(box, [(cells, cells) if k == axis else (0, 0) for k in (0, 1)], constant_values=np.inf)
        box = np.lib.stride_tricks.sliding_window_view(around, 2 * cells + 1, axis).min(-1)
        # Nothing is a depression in the midst of a plateau.
        same = frame == np.roll(frame, 1, axis)
        flat &= same & np.roll(same, -1, axis)
    places = np.flatnonzero((frame == box) & np.isfinite(frame) & ~flat)
    order = places[np.argsort(frame.flat[places], kind="stable")]
    return [divmod(int(at), longitude.size) for at in order]


def _disc(
    latitude: Floats, longitude: Floats, row: int, column: int, km: float
) -> tuple[tuple[NDArray[np.intp], ...], Floats]:
    """Rows and columns of a box about a point, and the areas of its cells within a distance, 0 beyond."""
    radius, phi0 = km / EARTH_RADIUS_KM, np.radians(latitude[row])
    off = np.radians((longitude - longitude[column] + 180) % 360 - 180)
    wide = np.sin(radius) / max(np.cos(phi0), 1e-9) if np.abs(phi0) + radius < np.pi / 2 else 1.0
    rows = np.flatnonzero(np.abs(np.radians(latitude) - phi0) <= radius + 1e-9)
    columns = np.flatnonzero(np.abs(off) <= (np.arcsin(wide) + 1e-9 if wide < 1 else np.pi))
    phi = np.radians(latitude[rows])[:, None]
    chord = np.sin((phi - phi0) / 2) ** 2 + np.cos(phi) * np.cos(phi0) * np.sin(off[columns] / 2) ** 2  # haversine
    inside = chord <= np.sin(radius / 2) ** 2 + 1e-15
    return np.ix_(rows, columns), np.where(inside, np.maximum(np.cos(phi), 1e-6), 0.0)


def _turned(along: ArrayLike, across: ArrayLike, latitude: ArrayLike, longitude: ArrayLike, sign: float) -> Floats:
    """Return (d across / dlambda + sign d(along cos phi)/dphi) / (a cos phi)."""
    first, phi, lam = _on_grid(along, latitude, longitude)
    second, _, _ = _on_grid(across, latitude, longitude)
    if first.shape != second.shape:
        raise ValueError(f"expected both components in one shape, got {first.shape} and {second.shape}")
    slope = _by_longitude(second, lam) + sign * _by_latitude(first * np.cos(phi), phi)
    return np.asarray(slope / (RADIUS * _parallel(phi)), np.float64)


def _on_grid(values: ArrayLike, latitude: ArrayLike, longitude: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Field in float64, its latitudes (y, 1) and longitudes (x,) in radians."""
    field = np.asarray(values, np.float64)
    phi, lam = np.radians(np.asarray(latitude, np.float64)), np.radians(np.asarray(longitude, np.float64))
    if field.ndim < 2 or field.shape[-2:] != (*phi.shape, *lam.shape) or min(field.shape[-2:]) < 3:
        raise ValueError(
            f"expected a field (..., latitude, longitude) with three points or more along both, got {field.shape} "
            f"with {phi.size} latitudes and {lam.size} longitudes"
        )
    return field, phi[:, None], np.unwrap(lam)


def _by_latitude(field: Floats, phi: Floats) -> Floats:
    return np.asarray(np.gradient(field, phi[:, 0], axis=-2, edge_order=2), np.float64)


def _by_longitude(field: Floats, lam: Floats) -> Floats:
    """Derivative along parallels, across the seam where the circle is closed."""
    turn = 2 * np.pi * np.sign(lam[-1] - lam[0])
    steps = np.diff(lam, append=lam[0] + turn)
    if not np.allclose(steps, turn / lam.size, rtol=1e-3):
        return np.asarray(np.gradient(field, lam, axis=-1, edge_order=2), np.float64)
    lam = np.concatenate((lam[-1:] - turn, lam, lam[:1] + turn))
    field = np.concatenate((field[..., -1:], field, field[..., :1]), -1)
    return np.asarray(np.gradient(field, lam, axis=-1)[..., 1:-1], np.float64)


def _parallel(phi: Floats) -> Floats:
    """Cosine of latitude, NaN at the poles."""
    return np.where(np.abs(phi) > np.radians(POLE), np.nan, np.cos(phi))
