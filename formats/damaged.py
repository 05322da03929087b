"""What is left of a damaged store: NaN in place of chunks that cannot be decoded, each named in a warning.

Stage: xarray_backend, with ``damaged="nan"`` and never by default. What was found missing or in another's place by
`integrity` decodes, and is not seen here.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from adiabat.codec.errors import CorruptStreamError, TruncatedStreamError, UnsupportedVersionError
from adiabat.formats.errors import first_line
from adiabat.formats.lazy_array import FormedBackendArray

__all__ = ["DamageWarning", "with_nan"]

# Streams of ours, and what Zarr's own codecs raise; a model that is missing is no damage.
DAMAGE = (CorruptStreamError, TruncatedStreamError, UnsupportedVersionError, ValueError, RuntimeError)


class DamageWarning(UserWarning):
    """A chunk cannot be decoded: its values are NaN."""


def with_nan(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset whose float variables read as NaN where a chunk cannot be decoded; nothing is read yet.

    Parameters
    ----------
    dataset : xarray.Dataset
        Lazily opened from Zarr.
    """
    tolerant = {
        name: _tolerant(str(name), variable)
        for name, variable in dataset.variables.items()
        if variable.dtype.kind == "f" and variable.ndim and name not in dataset.dims
    }
    encoding, out = dataset.encoding, dataset.assign(tolerant)
    out.encoding = encoding
    return out


def _tolerant(name: str, variable: xr.Variable) -> xr.Variable:
    lazy = indexing.LazilyIndexedArray(FormedBackendArray(_WithNaN(name, variable)))
    return xr.Variable(variable.dims, lazy, variable.attrs, variable.encoding, fastpath=True)


@dataclass(frozen=True, eq=False)
class _WithNaN:
    """A variable that is read whole where that can be, else chunk by chunk."""

    name: str
    variable: xr.Variable

    @property
    def shape(self) -> tuple[int, ...]:
        return self.variable.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.variable.dtype
        return dtype

    def outer(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        """Values at independent indices along each axis."""
        try:
            return self._outer(indices)
        except DAMAGE:
            values = np.full([len(index) for index in indices], np.nan, self.dtype)
        numbers = [index // size for index, size in zip(indices, self._chunks, strict=True)]
        for chunk in itertools.product(*(np.unique(number) for number in numbers)):
            places = [np.flatnonzero(number == n) for number, n in zip(numbers, chunk, strict=True)]
            within = [index[place] for index, place in zip(indices, places, strict=True)]
            for part in self._read(chunk, lambda within=within: self._outer(within)):
                values[np.ix_(*places)] = part
        return values

    def points(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        """Values at points: one flat array of indices for each axis."""
        values = np.full(len(indices[0]), np.nan, self.dtype)
        numbers = np.stack([index // size for index, size in zip(indices, self._chunks, strict=True)])
        for chunk in np.unique(numbers, axis=1).T:
            place = np.flatnonzero((numbers == chunk[:, None]).all(0))
            key = tuple(xr.Variable("point", index[place]) for index in indices)
            for part in self._read(chunk, lambda key=key: self.variable[key].values):
                values[place] = part
        return values

    @property
    def _chunks(self) -> tuple[int, ...]:
        return tuple(self.variable.encoding.get("chunks") or map(max, self.shape, [1] * len(self.shape)))

    def _outer(self, indices: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        return np.asarray(self.variable[tuple(map(_as_slice, indices))].values)

    def _read(self, chunk: Sequence[int], read: Any) -> Iterator[NDArray[Any]]:
        """The values of one chunk, or nothing but a warning."""
        try:
            yield read()
        except DAMAGE as error:
            place = tuple(map(int, chunk))
            said = f"{self.name}: NaN in place of chunk {place}, which cannot be decoded: {first_line(error)}"
            warnings.warn(said, DamageWarning, stacklevel=2)


def _as_slice(index: NDArray[np.int64]) -> Any:
    """Neighbouring indices as a slice, which Zarr reads faster."""
    if len(index) and bool((np.diff(index) == 1).all()):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
