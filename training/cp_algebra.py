"""Linear algebra of a CP fit, for NumPy and PyTorch, `xp`: Khatri-Rao products, their contraction, norms, equations.

Stage: **cp_algebra** -> cp_sweep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK = 64  # rows of a block that BLAS multiplies in one thread
NONE = 1e-6  # of the largest value of a factor
SHIFTS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)  # of the mean diagonal, tried in turn where rounding made a matrix indefinite


def split(shape: Sequence[int]) -> int:
    """Where to split the modes into two sides, so that their Khatri-Rao products are small."""
    return min(range(1, len(shape)), key=lambda k: math.prod(shape[:k]) + math.prod(shape[k:]))


def backend(device: str) -> tuple[Any, Callable[[Any], Any]]:
    """NumPy or PyTorch, and what brings an array to the device."""
    if device == "cpu":
        return np, np.asarray
    import torch

    place = "cpu" if device == "torch" else device
    return torch, lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(place)


def khatri_rao(xp: Any, factors: Sequence[Any], out: Any = None) -> Any:
    """Column-wise Kronecker product: (n_0, R), ..., (n_m, R) -> (n_0 ... n_m, R)."""
    product = factors[0]
    for left, factor in zip(range(len(factors) - 2, -1, -1), factors[1:], strict=True):
        size = (len(product), len(factor), factor.shape[1])
        whole = None if left or out is None else out.reshape(size)
        product = xp.multiply(product[:, None, :], factor[None, :, :], out=whole).reshape(-1, size[2])
    return product


def contracted(xp: Any, product: Any, factors: Sequence[Any], mode: int) -> Any:
    """Sum over the other modes of a side, each row by their factors: (n_0 ... n_m, R) -> (n_mode, R)."""
    rank = product.shape[1]
    for factor in factors[:mode]:
        product = xp.einsum("abr,ar->br", product.reshape(len(factor), -1, rank), factor)
    for factor in reversed(factors[mode + 1 :]):
        product = xp.einsum("abr,br->ar", product.reshape(-1, len(factor), rank), factor)
    return product


def balanced(xp: Any, factors: list[Any]) -> list[Any]:
    """Factors of the same model whose columns have the same norm in all modes; zero where one of them is."""
    norms = [xp.sqrt((f * f).sum(0)) for f in factors]
    product = norms[0]
    for norm in norms[1:]:
        product = product * norm
    share = product ** (1 / len(factors))
    return [f * (share / xp.where(norm > 0, norm, 1)) for f, norm in zip(factors, norms, strict=True)]


def products(xp: Any, left: Any, right: Any) -> Any:
    """Scalar product of each row of two matrices."""
    return xp.einsum("ar,ar->a", left, right)


def total(xp: Any, rows: Any) -> float:
    """Sum of squares: each row's in float32, the rows' in float64."""
    squares = products(xp, rows, rows)
    return float(squares.astype(np.float64).sum() if xp is np else squares.double().sum())


def bounded(xp: Any, factor: Any, gradient: Any, normal: Any) -> Any:
    """Step towards the least squares solution with no negative value, column by column: a descent direction."""
    step = 0 * factor
    for column in range(factor.shape[1]):
        move = (gradient[:, column] - xp.einsum("ar,r->a", step, normal[:, column])) / normal[column, column]
        step[:, column] = xp.maximum(step[:, column] + move, -factor[:, column])
    return step


def room(xp: Any, factor: Any, step: Any) -> Any:
    """How long each row's step may be before a value turns negative, those aside that rounding kept from 0."""
    shrinking = step < -NONE * factor.max()
    room = xp.where(shrinking, factor / xp.where(shrinking, -step, 1), 1e30)
    return room.min(1) if xp is np else room.min(1).values


def kept(xp: Any, array: Any) -> NDArray[Any]:
    """The array for NumPy."""
    return np.asarray(array if xp is np else array.cpu())


def strong(weights: NDArray[np.float64], ridge: float, modes: int, squares: float) -> NDArray[np.intp]:
    """Indices of components, but those so weak that the ridge gains more than squares can rise without them."""
    order = np.argsort(weights, kind="stable")
    lost = np.cumsum(weights[order])
    gained = np.cumsum(ridge * modes * weights[order] ** (2 / modes))
    count = int(np.argmin(np.append(2 * math.sqrt(squares) * lost + lost**2 <= gained, False)))
    return np.sort(order[min(count, len(order) - 1) :])


def solved(xp: Any, normal: Any, rows: Any) -> Any:
    """Rows times the inverse of a symmetric matrix that is positive definite but for rounding: float32 (n, R).

    Parameters
    ----------
    xp : module
        NumPy, or PyTorch.
    normal : float32 (R, R)
    rows : float32 (n, R)

    Raises
    ------
    ValueError
        If it is far from definite.

    Examples
    --------
    >>> solved(np, np.array([[4, 0], [0, 1]], np.float32), np.array([[8, 3]], np.float32)).tolist()
    [[2.0, 3.0]]
    """
    if xp is not np:
        return rows @ xp.linalg.inv(normal.double()).float()
    for shift in SHIFTS:
        try:
            half = _half_inverse(normal, shift * float(normal.diagonal().mean()))
        except np.linalg.LinAlgError:
            continue
        return (rows @ half.T) @ half if len(rows) < len(half) else rows @ (half.T @ half)
    raise ValueError("expected normal equations that are positive definite, got ones that are not")


def _half_inverse(normal: Floats, shift: float) -> Floats:
    """Inverse of the Cholesky factor, with `shift` added to the diagonal.

    In blocks too small for BLAS to share among threads: LAPACK shares out hundreds of small pieces, and where other
    work keeps a core busy each of them waits for it, which took up to a hundred times longer.
    """
    rank, count = len(normal), -(-len(normal) // BLOCK)
    whole = np.eye(count * BLOCK)
    whole[:rank, :rank] = normal
    whole.reshape(-1)[:: len(whole) + 1] += shift
    left = np.ascontiguousarray(whole.reshape(count, BLOCK, count, BLOCK).swapaxes(1, 2))
    half = np.zeros(left.shape, np.float32)
    for k in range(count):
        pivot = np.linalg.inv(np.linalg.cholesky(left[k, k]))
        column = left[k + 1 :, k] @ pivot.T
        single = column.astype(np.float32)
        half[k, k] = pivot
        half[k, :k] = half[k, k] @ half[k, :k]
        for j in range(k + 1, count):
            left[j:, j] -= column[j - k - 1 :] @ column[j - k - 1].T
            half[j, : k + 1] -= single[j - k - 1] @ half[k, : k + 1]
    return half.swapaxes(1, 2).reshape(whole.shape)[:rank, :rank]
