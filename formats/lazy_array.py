"""A low-rank variable as xarray indexes it.

Stage: low_rank_store -> **lazy_array** -> xarray_backend, factor_accessor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends.common import BackendArray
from xarray.core import indexing

from adiabat.formats.low_rank import outer_indices
from adiabat.formats.low_rank_store import StoredArray

__all__ = ["LowRankBackendArray"]


class LowRankBackendArray(BackendArray):
    """A `StoredArray` as xarray indexes it: outer and pointwise indexing, neither forming more than is asked for."""

    def __init__(self, stored: StoredArray) -> None:
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
