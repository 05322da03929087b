"""The grid of generated values: fine coordinates from coarse ones, and a clear refusal of grids that have none.

Stage: cli_generate -> **fine_grid** -> generated_write, generated_view. A coarse cell is divided into `factor` x
`factor` fine ones, so its coordinates have to be centres of cells that all are of one size, or nearly so.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError
from adiabat.formats.grid import LATITUDE, LONGITUDE, kind_of

__all__ = ["LEAST", "check_grid", "fine_axis", "fine_axes", "goes_round"]

LEAST = 4  # coarse cells along a side
REGULAR = 0.02  # by which steps may differ from their mean: those of Gaussian latitudes do by 0.01


def check_grid(array: xr.DataArray) -> None:
    """Refuse an array whose last two axes are no regular grid.

    Parameters
    ----------
    array : xarray.DataArray
        With its coordinates.

    Raises
    ------
    RequestError
        Saying what is expected.
    """
    name, dims = array.name, array.dims
    if "cell" in dims or any("healpix" in str(each).lower() for each in array.attrs.values()):
        raise RequestError(f"{name} lies on HEALPix cells, which are not refined: regrid it to latitude and longitude")
    if array.ndim < 2:
        raise RequestError(f"expected {name} to have rows and columns, got dimensions {dims}")
    if min(array.shape[-2:]) < LEAST:
        raise RequestError(
            f"expected at least {LEAST} x {LEAST} coarse cells, got {_times(array.shape[-2:])} of {name}"
        )
    located = [each.dims for each in array.coords.values() if kind_of(str(each.name), each) and each.ndim == 1]
    if len(set(located)) < len(located):
        raise RequestError(f"{name} lies on points along {located[0][0]}, not on rows and columns: regrid it first")
    for coordinate in array.coords.values():
        kind = kind_of(str(coordinate.name), coordinate)
        if kind is not None and set(dims[-2:]) <= set(coordinate.dims):
            raise RequestError(
                f"{name} has a {kind} for each cell ({coordinate.name}): expected a regular grid with one-dimensional "
                "coordinates, so regrid it first"
            )
        if kind is not None and coordinate.ndim == 1 and coordinate.dims[0] not in dims[-2:]:
            raise RequestError(
                f"expected rows and columns as the last two dimensions of {name}, got {dims}: transpose it"
            )


def fine_axes(array: xr.DataArray | xr.Dataset, dims: tuple[Hashable, Hashable], factor: int) -> dict[str, xr.Variable]:
    """Fine coordinates of two dimensions, as far as these have any."""
    return {str(dim): fine_axis(array.coords[dim], factor) for dim in dims if dim in array.coords}


def fine_axis(coarse: xr.DataArray, factor: int) -> xr.Variable:
    """Divide every cell along an axis; fine centres lie on lines between coarse ones.

    Parameters
    ----------
    coarse : xarray.DataArray, shape (n,)
        Centres of cells.
    factor : int

    Returns
    -------
    xarray.Variable, shape (n factor,)
        Centres of fine cells, float64.

    Raises
    ------
    RequestError
        If cells are not of one size, or reach beyond a pole.

    Examples
    --------
    >>> fine_axis(xr.DataArray([0.0, 2.0, 4.0], dims="x"), 2).values
    array([-0.5,  0.5,  1.5,  2.5,  3.5,  4.5])
    """
    centres = _regular(coarse)
    place = (np.arange(len(centres) * factor) + 0.5) / factor - 0.5
    before = np.clip(np.floor(place).astype(int), 0, len(centres) - 2)
    values = centres[before] + (place - before) * np.diff(centres)[before]
    if kind_of(str(coarse.name), coarse) == LATITUDE and np.abs(values).max() > 90 + REGULAR:
        raise RequestError(
            f"expected centres of cells, got {coarse.name} from {centres[0]:g} to {centres[-1]:g}: its outermost cells "
            "reach beyond a pole; leave those rows out"
        )
    attributes = {key: value for key, value in coarse.attrs.items() if key not in ("bounds", "actual_range")}
    return xr.Variable(coarse.dims, values, attributes)


def goes_round(array: xr.DataArray) -> bool:
    """Whether columns are longitudes all the way round.

    Examples
    --------
    >>> goes_round(xr.DataArray(np.zeros((4, 36)), {"lon": np.arange(0, 360, 10.0)}, ("lat", "lon")))
    True
    """
    dim = array.dims[-1]
    if dim not in array.coords or kind_of(str(dim), array.coords[dim]) != LONGITUDE:
        return False
    centres = _regular(array.coords[dim])
    spacing = abs(centres[-1] - centres[0]) / (len(centres) - 1)
    return bool(abs(spacing * len(centres) - 360) <= REGULAR * spacing)


def _regular(coarse: xr.DataArray) -> NDArray[np.float64]:
    """Values of a coordinate, once it is sure that its steps are nearly equal."""
    if coarse.ndim != 1 or coarse.dtype.kind not in "fiu" or coarse.size < 2:
        raise RequestError(f"expected numbers along {coarse.name}, got {coarse.dtype} of shape {coarse.shape}")
    centres = np.asarray(coarse.values, np.float64)
    steps = np.diff(centres)
    mean = steps.mean()
    if not np.isfinite(mean) or mean == 0 or np.abs(steps / mean - 1).max() > REGULAR:
        low, high = np.sort(np.abs(steps))[[0, -1]]
        raise RequestError(
            f"expected a regular grid, got steps of {low:g} to {high:g} along {coarse.name}: regrid it first"
        )
    return centres


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
