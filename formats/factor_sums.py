"""Sums of outer products, and what they stand for: the arithmetic of CP factors.

Stage: under low_rank and low_rank_store, which know where factors come from. All sums are in float64. Factors from a
store are small integers, and their weights are cut so that every partial sum is exact: whatever the order of summation,
the same bits come out. Spec: `spec/low_rank.md`, "Values".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adiabat.formats.errors import RequestError
from adiabat.training.anomaly import Anomaly

__all__ = ["combine", "combine_points", "factor_mean", "normal_axes", "restore", "restore_points"]

BLOCK = 1 << 22  # numbers in the largest temporary array: 32 MB
SMALL = 1 << 22  # products summed without BLAS, whose threads on a busy machine wait longer than this takes
Doubles = NDArray[np.float64]


def combine(weights: NDArray[Any], rows: Sequence[NDArray[Any]]) -> Doubles:
    """Sum of the outer products: rows (m_k, R) of each factor -> (m_0, ..., m_k), in float64.

    The first axis is worked off in blocks, so that what is formed beside the result stays small.
    """
    shape, rank = tuple(len(row) for row in rows), len(weights)
    if not rank or not math.prod(shape):
        return np.zeros(shape)
    shares = np.asarray(weights, np.float64)
    for row in rows:
        shares = shares * row[0] if len(row) == 1 else shares
    wide = [np.asarray(row, np.float64) for row in rows if len(row) > 1]
    if len(wide) < 2:
        return np.asarray(np.einsum("ir,r->i", wide[0], shares) if wide else shares.sum()).reshape(shape)
    first, last = wide[0] * shares, wide[-1]
    out = np.empty((len(first), math.prod(map(len, wide[1:-1])), len(last)))
    step = max(1, BLOCK // (out.shape[1] * rank))
    for begin in range(0, len(first), step):
        product = first[begin : begin + step]
        for row in wide[1:-1]:
            product = (product[:, None, :] * row[None, :, :]).reshape(-1, rank)
        part = out[begin : begin + step].reshape(-1, len(last))
        if part.size * rank <= SMALL:
            np.einsum("ir,jr->ij", product, last, out=part)
        else:
            np.matmul(product, last.T, out=part)
    return out.reshape(shape)


def combine_points(weights: NDArray[Any], factors: Sequence[NDArray[Any]], points: Sequence[NDArray[Any]]) -> Doubles:
    """The same at points: `points` holds one (p,) array of indices for each factor -> (p,)."""
    number, rank = len(points[0]), len(weights)
    out = np.zeros(number)
    step = max(1, BLOCK // max(1, rank))
    for begin in range(0, number, step):
        part = slice(begin, begin + step)
        product = np.broadcast_to(np.asarray(weights, np.float64), (len(out[part]), rank))
        for factor, index in zip(factors, points, strict=True):
            product = product * factor[index[part]]
        out[part] = product.sum(1)
    return out


def restore(z: Doubles, anomaly: Anomaly | None, indices: Sequence[NDArray[Any]]) -> Doubles:
    """Anomalies at outer indices -> values in float64."""
    if anomaly is None:
        return z
    base = anomaly.base[np.ix_(*indices[1:])] if len(indices) > 1 else anomaly.base
    offset = 0.0 if anomaly.offset is None else _tall(anomaly.offset[indices[0]], z.ndim)
    return _values(z, anomaly, base, offset)


def restore_points(z: Doubles, anomaly: Anomaly | None, points: Sequence[NDArray[Any]]) -> Doubles:
    """Anomalies at points -> values in float64."""
    if anomaly is None:
        return z
    base, offset = anomaly.base[tuple(points[1:])], anomaly.offset
    return _values(z, anomaly, base, 0.0 if offset is None else offset[points[0]].astype(np.float64))


def factor_mean(
    weights: NDArray[Any],
    factors: Sequence[NDArray[Any]],
    anomaly: Anomaly | None,
    axes: int | Sequence[int],
    shares: Mapping[int, ArrayLike] | None = None,
) -> Any:
    """Mean over axes from factors; see `CPArray.mean`."""
    if anomaly is not None and anomaly.transform != "none":
        raise RequestError(
            "means of factors are exact only for sums of them, and this model is of logarithms: decode, then average"
        )
    shape, over = tuple(len(factor) for factor in factors), normal_axes(axes, len(factors))
    unknown = set(shares or {}) - set(over)
    if unknown:
        raise RequestError(f"expected weights for the axes {sorted(over)} alone, got some for {sorted(unknown)}")
    share = {axis: _shares((shares or {}).get(axis), shape[axis]) for axis in over}
    rows = [
        share[axis] @ np.asarray(factor, np.float64) if axis in share else factor for axis, factor in enumerate(factors)
    ]
    z = combine(weights, [np.atleast_2d(row) for row in rows])
    if anomaly is not None:
        base, offset = anomaly.base.astype(np.float64), anomaly.offset
        for axis in sorted(set(over) - {0}):
            base = np.average(base, axis - 1, share[axis], keepdims=True)
        tall: Any = 0.0 if offset is None else offset.astype(np.float64)
        if offset is not None:
            tall = share[0] @ tall if 0 in share else _tall(tall, z.ndim)
        z = _values(z, anomaly, base, tall)
    return z.squeeze(axis=tuple(over))[()]


def normal_axes(axes: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, each once."""
    wanted = (axes,) if isinstance(axes, int | np.integer) else tuple(axes)
    if any(not -ndim <= axis < ndim for axis in wanted) or len({axis % ndim for axis in wanted}) < len(wanted):
        raise RequestError(f"expected different axes of an array with {ndim}, got {axes!r}")
    return tuple(sorted(axis % ndim for axis in wanted))


def _tall(offset: NDArray[Any], ndim: int) -> Doubles:
    return offset.astype(np.float64).reshape(-1, *(1,) * (ndim - 1))


def _shares(weights: ArrayLike | None, length: int) -> Doubles:
    if weights is None:
        return np.full(length, 1 / max(1, length))
    wide = np.asarray(weights, np.float64)
    if wide.shape != (length,) or not np.isfinite(wide).all() or not wide.sum():
        raise RequestError(f"expected {length} finite weights of a sum that is not 0, got shape {wide.shape}")
    return np.asarray(wide / wide.sum())


def _values(z: Doubles, anomaly: Anomaly, base: Any, offset: Any) -> Doubles:
    """One multiplication, two additions, in this order: the specification names them."""
    grown = z * np.float64(anomaly.scale)
    grown += offset
    grown = grown + base
    return anomaly.backward(np.asarray(grown))
