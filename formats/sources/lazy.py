"""Variables made of others, read only when and where they are asked for.

Stage: below series and era5. xarray indexes them as it does any variable of a file. A region touches only the files
it lies in, nothing is kept, and no scheduler is needed: what reads many regions at once is the engine.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends.common import BackendArray
from xarray.core import indexing

from adiabat.formats.errors import first_line

__all__ = ["Computed", "Files", "Joined", "lazy_variable"]

MOST_OPEN = 16  # files of one series; xarray itself closes what it has not used for long


@dataclass
class Files:
    """Datasets of many files, of which the last few used stay open.

    Parameters
    ----------
    opener : callable
        Of a path, to the dataset.
    """

    opener: Callable[[str], xr.Dataset]
    _open: OrderedDict[str, xr.Dataset] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __getitem__(self, path: str) -> xr.Dataset:
        with self._lock:
            if path not in self._open:
                self._open[path] = self.opener(path)
            self._open.move_to_end(path)
            while len(self._open) > MOST_OPEN:
                # Not closed: another thread may be reading. It closes when nobody holds it.
                self._open.popitem(last=False)
            return self._open[path]

    def close(self) -> None:
        """Close those that are open."""
        with self._lock:
            for dataset in self._open.values():
                dataset.close()
            self._open.clear()

    def __getstate__(self) -> Mapping[str, Any]:
        return {"opener": self.opener, "_open": OrderedDict()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


class _Array(BackendArray):
    """What xarray asks by any index, answered for one key a dimension."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> NDArray[Any]:
        raise NotImplementedError


class Joined(_Array):
    """A variable of many files, one after another along one axis.

    Parameters
    ----------
    files : Files
    paths : sequence of str
    lengths : sequence of int
        Of each file, along the axis.
    name : str
    like : xarray.Variable
        Its dimensions, shape (of the whole) and dtype (which holds those of all files).
    dim : str
        The dimension to join along; a file without it is repeated.
    change : callable, optional
        Of a path and values of that file, to values.
    """

    def __init__(
        self,
        files: Files,
        paths: Sequence[str],
        lengths: Sequence[int],
        *,
        name: Hashable,
        like: tuple[tuple[Hashable, ...], tuple[int, ...], np.dtype[Any]],
        dim: Hashable,
        change: Callable[[str, NDArray[Any]], NDArray[Any]] | None = None,
    ) -> None:
        self.files, self.paths, self.name, self.dim, self.change = files, paths, name, dim, change
        self.dims, self.shape, self.dtype = like
        self.axis = self.dims.index(dim)
        self.starts = np.concatenate([[0], np.cumsum(lengths)])

    def _outer(self, key: tuple[Any, ...]) -> NDArray[Any]:
        wanted = np.arange(self.shape[self.axis])[key[self.axis]]
        if wanted.ndim == 0:
            part = int(np.searchsorted(self.starts, wanted, "right")) - 1
            return self._read(part, key, int(wanted - self.starts[part]))
        if not wanted.size:
            return self._read(0, key, slice(0, 0))
        parts = np.searchsorted(self.starts, wanted, "right") - 1
        # An axis that is indexed by a number is gone.
        axis = self.axis - sum(isinstance(each, int | np.integer) for each in key[: self.axis])
        out: NDArray[Any] | None = None
        for part in np.unique(parts):
            place = np.flatnonzero(parts == part)
            piece = self._read(int(part), key, _as_slice(wanted[place] - self.starts[part]))
            if place.size == wanted.size:
                return piece
            if out is None:
                out = np.empty((*piece.shape[:axis], wanted.size, *piece.shape[axis + 1 :]), self.dtype)
            out[(*(slice(None),) * axis, _as_slice(place))] = piece
        return np.empty(0) if out is None else out

    def _read(self, part: int, key: tuple[Any, ...], along: Any) -> NDArray[Any]:
        path = self.paths[part]
        try:
            variable = self.files[path].variables[self.name]
            at = {dim: each for dim, each in zip(self.dims, key, strict=True) if dim != self.dim}
            if self.dim in variable.dims:
                values = np.asarray(variable.isel({**at, self.dim: along}).values)
            else:
                values = _repeated(variable.isel(at), self.axis, key, along)
        except (OSError, RuntimeError, IndexError) as error:
            raise OSError(f"{path} cannot be read: {first_line(error)}") from error
        values = values if self.change is None else self.change(path, values)
        return values.astype(self.dtype, copy=False)


def _repeated(variable: xr.Variable, axis: int, key: tuple[Any, ...], along: Any) -> NDArray[Any]:
    """Values of a file that has one time and no axis for it."""
    values = np.asarray(variable.values)
    if isinstance(along, int):
        return values
    before = axis - sum(isinstance(each, int | np.integer) for each in key[:axis])
    return np.repeat(np.expand_dims(values, before), len(np.arange(1)[along]), axis=before)


def _as_slice(index: NDArray[np.integer]) -> Any:
    """Contiguous places as a slice, which files read faster."""
    if index.size and bool((np.diff(index) == 1).all()):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


class Computed(_Array):
    """Values of one or several variables of the same dimensions, through a function of arrays."""

    def __init__(
        self, function: Callable[..., NDArray[Any]], *variables: xr.Variable, dtype: np.dtype[Any] | None = None
    ) -> None:
        self.function, self.variables = function, variables
        self.shape = variables[0].shape
        self.dtype = dtype or variables[0].dtype

    def _outer(self, key: tuple[Any, ...]) -> NDArray[Any]:
        arrays = [each.isel(dict(zip(each.dims, key, strict=True))).values for each in self.variables]
        return np.asarray(self.function(*arrays), self.dtype)


def lazy_variable(
    array: _Array, dims: Sequence[Hashable], attrs: Mapping[Any, Any], encoding: Mapping[Any, Any]
) -> xr.Variable:
    """A variable that asks `array` when it is indexed."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), dict(attrs), dict(encoding))
