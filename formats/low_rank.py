"""CP factors as an array: values are formed where they are asked for, means without forming any.

Stage: cp_als -> **low_rank** (factor_sums) -> low_rank_store, and back. An array of axes n0 ... nk stands as `rank`
components, each an outer product of one column from each factor:

    anomaly[i, j, k] = sum over r of weights[r] A[i, r] B[j, r] C[k, r]
    value = base[j, k] + offset[i] + scale * anomaly          (under "log" the inverse of that transform, applied to it)

Spec: `spec/low_rank.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adiabat.formats.factor_sums import combine, combine_points, factor_mean, normal_axes, restore, restore_points
from adiabat.training.anomaly import Anomaly

if TYPE_CHECKING:
    import xarray as xr

    from adiabat.formats.low_rank_write import Written

__all__ = ["CPArray", "combine", "write"]


@dataclass(frozen=True, eq=False)
class CPArray:
    """An array given by CP factors; NumPy indexing forms the values it asks for.

    Parameters
    ----------
    weights : (R,)
    factors : sequence of (n_k, R)
        Of any number dtype; kept as they are, not copied.
    anomaly : Anomaly, optional
        What was removed before the fit; nothing if not given.
    dtype : numpy dtype
        Of the values.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.

    Examples
    --------
    >>> cube = CPArray(np.ones(1), [np.arange(4.0)[:, None], np.ones((3, 1)), np.array([[1.0], [10.0]])])
    >>> cube.shape, cube[3, 0].tolist(), cube.mean((0, 1)).tolist()
    ((4, 3, 2), [3.0, 30.0], [1.5, 15.0])
    """

    weights: NDArray[Any]
    factors: Sequence[NDArray[Any]]
    anomaly: Anomaly | None = None
    dtype: np.dtype[np.floating[Any]] = np.dtype(np.float32)  # noqa: RUF009  # dtypes do not change

    def __post_init__(self) -> None:
        if np.ndim(self.weights) != 1 or not self.factors:
            raise ValueError(f"expected weights (R,) and factors, got weights of shape {np.shape(self.weights)}")
        rank = len(self.weights)
        if any(np.ndim(factor) != 2 or np.shape(factor)[1] != rank for factor in self.factors):
            raise ValueError(
                f"expected factors (n, {rank}), got shapes {[np.shape(factor) for factor in self.factors]}"
            )
        base = None if self.anomaly is None else self.anomaly.base.shape
        if base is not None and base != self.shape[1:]:
            raise ValueError(f"expected an anomaly with a base of shape {self.shape[1:]}, got {base}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(len(factor) for factor in self.factors)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.factors)

    @property
    def rank(self) -> int:
        """Number of components."""
        return len(self.weights)

    @classmethod
    def from_tensorly(cls, tensor: Any, anomaly: Anomaly | None = None) -> CPArray:
        """Take the weights and factors of a tensorly ``CPTensor``, or of a pair of them; nothing is copied."""
        weights, factors = tensor
        factors = [np.asarray(factor) for factor in factors]
        return cls(np.ones(factors[0].shape[1]) if weights is None else np.asarray(weights), factors, anomaly)

    def to_tensorly(self) -> Any:
        """A tensorly ``CPTensor`` on the same memory: of the anomalies, which base and scale are no part of."""
        from tensorly.cp_tensor import CPTensor

        return CPTensor((self.weights, list(self.factors)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("expected copy=None or True: the values of a CPArray are computed")
        values = self[(slice(None),) * self.ndim]
        return np.asarray(values, dtype)

    def __getitem__(self, key: Any) -> Any:
        """Index by integers, slices, one ``...`` and one-dimensional arrays, each axis by itself as in `numpy.ix_`."""
        indices, dropped = outer_indices(key, self.shape)
        z = combine(self.weights, [factor[index] for factor, index in zip(self.factors, indices, strict=True)])
        values = restore(z, self.anomaly, indices).astype(self.dtype)
        return values.squeeze(axis=dropped)[()]

    def points(self, *indices: ArrayLike) -> NDArray[Any]:
        """Values at points: one array of indices for each axis, broadcast against each other."""
        where = np.broadcast_arrays(*(np.asarray(index) for index in indices))
        flat = [index.reshape(-1) for index in where]
        z = combine_points(self.weights, self.factors, flat)
        return restore_points(z, self.anomaly, flat).astype(self.dtype).reshape(where[0].shape)

    def mean(self, axes: int | Sequence[int], weights: Mapping[int, ArrayLike] | None = None) -> Any:
        """Weighted mean over axes, in factor space: exact, and no value is formed that the result does not hold.

        Parameters
        ----------
        axes : int or sequence of int
        weights : mapping of axis to (n_axis,), optional
            For some of these axes, such as cosines of latitude; equal weights for the others.

        Returns
        -------
        NDArray[np.float64]

        Raises
        ------
        RequestError
            For a model of logarithms: the mean of an exponential is not the exponential of the mean.
        """
        return factor_mean(self.weights, self.factors, self.anomaly, axes, weights)

    def sum(self, axes: int | Sequence[int]) -> Any:
        """Sum over axes, in factor space; see `mean`."""
        return self.mean(axes) * math.prod(self.shape[axis] for axis in normal_axes(axes, self.ndim))

    def select(self, key: Any) -> CPArray:
        """The same array, cut by an index that keeps every axis: slices and one-dimensional arrays."""
        indices, _ = outer_indices(key, self.shape)
        if all(np.array_equal(index, np.arange(size)) for index, size in zip(indices, self.shape, strict=True)):
            return self
        anomaly = self.anomaly
        if anomaly is not None:
            offset = None if anomaly.offset is None else anomaly.offset[indices[0]]
            anomaly = replace(anomaly, base=anomaly.base[np.ix_(*indices[1:])], offset=offset)
        factors = [factor[index] for factor, index in zip(self.factors, indices, strict=True)]
        return replace(self, factors=factors, anomaly=anomaly)


def write(array: xr.DataArray, store: str | Path, **options: Any) -> Written:
    """Fit, quantise and write an array; see `adiabat.formats.low_rank_write.write` for the options."""
    from adiabat.formats import low_rank_write

    return low_rank_write.write(array, store, **options)


def outer_indices(key: Any, shape: tuple[int, ...]) -> tuple[list[NDArray[np.int64]], tuple[int, ...]]:
    """Indices along each axis, and the axes that an integer takes away."""
    key = key if isinstance(key, tuple) else (key,)
    if sum(part is Ellipsis for part in key) > 1 or len(key) - (Ellipsis in [*map(_known, key)]) > len(shape):
        raise IndexError(f"expected at most {len(shape)} indices and one ..., got {key!r}")
    for place, part in enumerate(key):
        if part is Ellipsis:
            key = key[:place] + (slice(None),) * (len(shape) - len(key) + 1) + key[place + 1 :]
            break
    key += (slice(None),) * (len(shape) - len(key))
    indices, dropped = [], []
    for axis, (part, length) in enumerate(zip(key, shape, strict=True)):
        index = np.arange(length)[part]
        if index.ndim == 0:
            dropped.append(axis)
        elif index.ndim > 1:
            raise IndexError(f"expected one-dimensional indices, got one of shape {index.shape}")
        indices.append(np.atleast_1d(index))
    return indices, tuple(dropped)


def _known(part: Any) -> Any:
    return part if part is Ellipsis else None
