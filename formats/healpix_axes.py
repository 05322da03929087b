"""Dimensions and coordinates on either side of a change between latitude/longitude and HEALPix.

Stage: under `healpix`: which dimensions to give up, what to put in their place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.codec.faces import side_of
from adiabat.formats.grid import LATITUDE, LONGITUDE, Grid

__all__ = ["CELL", "check_cells", "horizontal", "located", "replace_dimensions", "target_axis"]

CELL = "cell"
Axis = tuple[str, NDArray[np.float64]]  # name of a dimension, degrees along it

_ATTRIBUTES = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}


def horizontal(array: xr.DataArray) -> dict[str, NDArray[np.float64]]:
    """Dimensions of latitude and longitude, in this order, as far as there are any, and the degrees along them.

    Examples
    --------
    >>> array = xr.DataArray(np.zeros((3, 2)), {"lon": [0, 120, 240], "time": [0, 1]}, ("lon", "time"))
    >>> horizontal(array)
    {'lon': array([  0., 120., 240.])}
    """
    grids = {str(dim): Grid.of(array[dim]) for dim in array.dims}
    return {
        dim: grid.degrees[kind] for kind in (LATITUDE, LONGITUDE) for dim, grid in grids.items() if kind in grid.kinds
    }


def located(array: xr.DataArray) -> tuple[Axis, Axis]:
    """Dimension and degrees of latitude, and of longitude.

    Raises
    ------
    ValueError
        Where one is not known by its name, `standard_name` or `units`.
    """
    found = list(horizontal(array).items())
    if len(found) != 2:
        raise ValueError(f"expected coordinates of latitude and longitude along two dimensions, got {array.dims}")
    return found[0], found[1]


def target_axis(name: str, degrees: NDArray[Any] | xr.DataArray) -> xr.DataArray:
    """A coordinate to be: as it is, or of a bare array with this name and CF attributes."""
    if isinstance(degrees, xr.DataArray) and degrees.ndim == 1:
        own = str(degrees.dims[0])
        return xr.DataArray(degrees.values, dims=own, name=own, attrs=degrees.attrs)
    if np.ndim(degrees) != 1:
        raise ValueError(f"expected a {name} along one dimension, got {np.ndim(degrees)}")
    return xr.DataArray(np.asarray(degrees), dims=name, name=name, attrs=_ATTRIBUTES[name])


def check_cells(source: xr.DataArray) -> None:
    """Raise a ValueError unless all cells of a sphere are there, in nested order."""
    if CELL not in source.dims:
        raise ValueError(f"expected a dimension {CELL!r}, got {source.dims}")
    side_of(source.sizes[CELL])
    for coordinate in source.coords.values():
        scheme = coordinate.attrs.get("indexing_scheme", "nested")
        if coordinate.attrs.get("grid_mapping_name") == "healpix" and scheme != "nested":
            raise ValueError(f"expected cells in nested order, got indexing_scheme {scheme!r}")
    if CELL in source.coords and not np.array_equal(source[CELL], np.arange(source.sizes[CELL])):
        raise ValueError("expected all cells of the sphere in order, got a selection or another order")


def replace_dimensions(
    source: xr.DataArray, spent: list[str], made: dict[str, int], transform: Callable[[NDArray[Any]], NDArray[Any]]
) -> xr.DataArray:
    """Replace some dimensions by others, which come last; in the source's precision, lazily if it is lazy.

    Parameters
    ----------
    source : xarray.DataArray
        Of numbers; integers become floating point.
    spent, made : dimensions to give up, and the sizes of the new ones
    transform : from an array whose last axes are the old ones to one whose last axes are the new ones
    """
    if source.dtype.kind not in "fiu":
        raise ValueError(f"expected numbers, got {source.dtype}")
    kind = np.result_type(source.dtype, np.float32)

    def turn(values: NDArray[Any]) -> NDArray[Any]:
        out: NDArray[Any] = transform(values).astype(kind)
        return out

    out: xr.DataArray = xr.apply_ufunc(
        turn,
        source if source.chunks is None else source.chunk(dict.fromkeys(spent, -1)),
        input_core_dims=[spent],
        output_core_dims=[list(made)],
        exclude_dims=set(spent),
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": made},
        output_dtypes=[kind],
        keep_attrs=True,
    )
    return out
