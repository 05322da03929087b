"""Arrays whose values are formed when they are asked for, as xarray indexes them.

Stage: low_rank_store, generated_view -> **lazy_array** -> xarray_backend, factor_accessor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from xarray.backends.common import BackendArray
from xarray.core import indexing

from adiabat.formats.low_rank import outer_indices

__all__ = ["Formed", "FormedBackendArray"]


class Formed(Protocol):
    """An array that forms values at indices, such as `low_rank_store.StoredArray`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""

    def outer(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        """Values at independent indices along each axis."""

    def points(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        """Values at points: one flat array of indices for each axis."""


class FormedBackendArray(BackendArray):
    """Outer and pointwise indexing, neither forming more than is asked for."""

    def __init__(self, stored: Formed) -> None:
        self.stored = stored
        self.shape = stored.shape
        self.dtype = stored.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.VectorizedIndexer):
            return self._points(key.tuple)
        indices, dropped = outer_indices(key.tuple, self.shape)
        return self.stored.outer(indices).squeeze(axis=dropped)

    def _points(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Arrays are broadcast against each other; slices make axes after theirs, as NumPy has it."""
        arrays = [np.asarray(part) for part in key if not isinstance(part, slice)]
        shared = np.broadcast_shapes(*(array.shape for array in arrays))
        slices = sum(isinstance(part, slice) for part in key)
        indices, place = [], 0
        for part, length in zip(key, self.shape, strict=True):
            if isinstance(part, slice):
                place += 1
                index = np.arange(length)[part].reshape(-1, *(1,) * (slices - place))
            else:
                index = np.asarray(part) % max(1, length)
                index = index.reshape(index.shape + (1,) * slices)
            indices.append(index)
        full = np.broadcast_arrays(*indices) if indices else []
        shape = full[0].shape if full else shared
        return self.stored.points([index.reshape(-1) for index in full]).reshape(shape)
