"""The accessor ``.adiabat`` of arrays: means and sums in factor space, exact or refused.

Stage: lazy_array -> **factor_accessor**, beside xarray_backend, whose loading registers it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from xarray.core import indexing

from adiabat.formats.errors import RequestError
from adiabat.formats.grid import LATITUDE, Grid
from adiabat.formats.lazy_array import FormedBackendArray
from adiabat.formats.low_rank import CPArray
from adiabat.formats.low_rank_store import StoredArray

__all__ = ["Factors"]


@xr.register_dataarray_accessor("adiabat")  # type: ignore[no-untyped-call]
class Factors:
    """What factors can do for an array that was opened with the engine ``adiabat`` and is not loaded yet.

    Examples
    --------
    >>> from adiabat.formats import low_rank
    >>> cube = xr.DataArray(np.outer(np.arange(6), np.ones(4)).reshape(6, 2, 2), dims=("time", "y", "x"), name="t")
    >>> low_rank.write(cube, "cube.cp.zarr", rank=1).rank
    1
    >>> opened = xr.open_dataset("cube.cp.zarr", engine="adiabat").t
    >>> opened.isel(time=slice(2, 5)).adiabat.mean("time").values.round(1).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    @property
    def factors(self) -> CPArray:
        """The CP factors of the array, cut as it is; axes that an integer index took away are of length 1.

        Raises
        ------
        RequestError
            If the array holds no factors any more, or values that factors alone do not give.
        """
        stored, key = _lazy(self._array)
        if stored.view == "observed":
            raise RequestError(f"{self._array.name} is a mask, which has no factors")
        if stored.view != "filled":
            raise RequestError(
                f"{self._array.name} is corrected by a residual, which factors do not know: open it with "
                "view='filled', or decode, then average"
            )
        whole = tuple(slice(part, part + 1) if isinstance(part, int | np.integer) else part for part in key)
        return stored.factors.select(whole)

    def mean(
        self, dim: Hashable | Iterable[Hashable], weights: str | Mapping[Any, ArrayLike] | None = None
    ) -> xr.DataArray:
        """Mean over dimensions, computed from factors without forming a value: exact.

        Parameters
        ----------
        dim : name or names
        weights : "cos_lat" or mapping of dim to weights, optional
            ``cos_lat``: the cosine of latitude along that dimension, which must be among `dim`.

        Raises
        ------
        RequestError
            Where the mean cannot be had so: a model of logarithms, the mask, a residual, loaded or masked values.
        """
        over = [dim] if isinstance(dim, str) or not isinstance(dim, Iterable) else list(dim)
        strange = [name for name in over if name not in self._array.dims]
        if strange:
            raise RequestError(f"expected dimensions out of {self._array.dims}, got {strange}")
        cp, axis = self.factors, self._axes()
        shares = self._weights(over, weights)
        values = cp.mean([axis[name] for name in over], {axis[name]: share for name, share in shares.items()})
        kept = [name for name in self._array.dims if name not in over]
        coordinates = {name: each for name, each in self._array.coords.items() if set(each.dims) <= set(kept)}
        left = tuple(self._array.sizes[name] for name in kept)
        return xr.DataArray(np.reshape(values, left), coordinates, kept, self._array.name, self._array.attrs)

    def sum(self, dim: Hashable | Iterable[Hashable]) -> xr.DataArray:
        """Sum over dimensions, computed from factors; see `mean`."""
        over = [dim] if isinstance(dim, str) or not isinstance(dim, Iterable) else list(dim)
        mean = self.mean(over)
        return mean * float(np.prod([self._array.sizes[name] for name in over]))

    def _axes(self) -> dict[Hashable, int]:
        """The axis of the factors that each dimension is."""
        _, key = _lazy(self._array)
        kept = [axis for axis, part in enumerate(key) if not isinstance(part, int | np.integer)]
        return dict(zip(self._array.dims, kept, strict=True))

    def _weights(
        self, over: list[Hashable], weights: str | Mapping[Any, ArrayLike] | None
    ) -> dict[Hashable, NDArray[Any]]:
        if weights is None:
            return {}
        if isinstance(weights, Mapping):
            return {name: np.asarray(each, np.float64) for name, each in weights.items()}
        if weights != "cos_lat":
            raise RequestError(
                f"expected weights=None, 'cos_lat' or a mapping of dimension to weights, got {weights!r}"
            )
        for name in over:
            line = xr.DataArray(np.zeros((1, self._array.sizes[name])), dims=("", name))
            line = line.assign_coords({key: each for key, each in self._array.coords.items() if each.dims == (name,)})
            degrees = Grid.of(line).degrees
            if LATITUDE in degrees:
                return {name: np.cos(np.deg2rad(degrees[LATITUDE]))}
        raise RequestError(f"expected a dimension of latitudes among {over} for weights='cos_lat', got none")


def _lazy(array: xr.DataArray) -> tuple[StoredArray, tuple[Any, ...]]:
    """The stored array behind one that was indexed, at most, and how it was indexed."""
    data: Any = array.variable._data
    key: tuple[Any, ...] | None = None
    while not (isinstance(data, FormedBackendArray) and isinstance(data.stored, StoredArray)):
        if type(data) is indexing.LazilyIndexedArray and key is None:
            key = data.key.tuple
        elif not isinstance(data, indexing.MemoryCachedArray | indexing.CopyOnWriteArray):
            raise RequestError(
                f"{array.name} is no longer an array of factors (loaded, computed with, chunked by dask or indexed by "
                "points): take .adiabat from the array as it was opened, or use xarray's own mean"
            )
        data = data.array
    return data.stored, (slice(None),) * len(data.shape) if key is None else key
