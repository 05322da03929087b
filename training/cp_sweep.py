"""One sweep of a masked CP fit: a step for each mode, then a longer one along the way of all modes.

Stage: **cp_sweep** -> cp_als. The array is seen as a matrix, the modes before `cut` by those from it on, so that a mode
costs two matrix products, and nothing is larger than the array or one side's Khatri-Rao product. The residual is kept
and corrected. Written once for NumPy and PyTorch, `xp`.

Source: EM-ALS (Kiers 1997), but each row's step is as long as is best for it, which makes it one preconditioned
conjugate-gradient step on the mode's normal equations; extrapolation after Bro, "Multi-way analysis in the food
industry" (1998), taken only where the objective falls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

REFRESH = 10  # sweeps until a residual that was only corrected is computed anew, against rounding
FARTHER, NEARER = 1.3, 0.4  # factors of an extrapolation's reach where the last one helped, and where not
LEAST_REACH = 0.1
BLOCK = 64  # rows of a block that BLAS multiplies in one thread
JITTER = 1e-6  # of the mean diagonal, for normal equations that the ridge does not make definite
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Problem:
    """Residual, buffers and one sweep. The array is seen as a matrix: modes before `cut` by those from it on."""

    def __init__(
        self, x: Floats, observed: Mask, factors: list[Floats], *, ridge: float, nonnegative: bool, device: str
    ):
        self.xp, self.put = _backend(device)
        self.shape, self.cut, self.ridge, self.nonnegative = x.shape, split(x.shape), ridge, nonnegative
        self.size = (math.prod(x.shape[: self.cut]), math.prod(x.shape[self.cut :]))
        self.count = int(observed.sum())
        self.density = self.count / observed.size
        self.x, self.observed = self.put(x.reshape(self.size)), self.put(observed.reshape(self.size))
        self.factors = [self.put(f) for f in factors]
        self.residual, self.change = self.xp.empty_like(self.x), self.xp.empty_like(self.x)
        self.buffers = [self.put(np.empty(n * factors[0].shape[1], np.float32)) for n in self.size]
        self.last: list[Any] | None = None
        self.reach, self.stale = 1.0, 0
        self.refresh()

    def refresh(self) -> None:
        """Compute the residual anew."""
        self.remainder(self.factors, self.residual)
        self.squares, self.stale = _total(self.xp, self.residual), 0

    def remainder(self, factors: list[Any], out: Any) -> None:
        """Array less model where observed, else 0."""
        self.xp.subtract(self.x, self.model(factors, out), out=out)
        out *= self.observed

    def model(self, factors: list[Any], out: Any) -> Any:
        """Evaluate the factors everywhere."""
        return self.xp.matmul(self.side(factors, 0), self.side(factors, 1).T, out=out)

    def side(self, factors: list[Any], side: int) -> Any:
        """Khatri-Rao product of the modes before the cut, or of those from it on: (cells, R)."""
        some = factors[self.cut :] if side else factors[: self.cut]
        return khatri_rao(self.xp, some, self.buffer(side))

    def sweep(self) -> None:
        """Update each mode once, share norms equally among modes, which lowers the ridge's part, then reach farther."""
        for mode in range(len(self.shape)):
            self.update(mode)
        before, self.last = self.last, _balanced(self.xp, self.factors)
        self.factors, self.squares = self.last, _total(self.xp, self.residual)
        if before is not None:
            self.extrapolate(before)
        if self.stale >= REFRESH:
            self.refresh()

    def extrapolate(self, before: list[Any]) -> None:
        """Go on along the way from the last sweep's factors to these, where that lowers the objective."""
        xp = self.xp
        far = [now + self.reach * (now - then) for now, then in zip(self.factors, before, strict=True)]
        far = _balanced(xp, [f.clip(0, None) for f in far] if self.nonnegative else far)
        self.remainder(far, self.change)
        squares = _total(xp, self.change)
        helps = squares + self.penalty(far) < self.objective
        if helps:
            self.factors, self.squares, self.stale = far, squares, 0
            self.residual, self.change = self.change, self.residual
        self.stale += 1
        self.reach = max(LEAST_REACH, self.reach * (FARTHER if helps else NEARER))

    def drop(self) -> None:
        """Leave out components so weak that the ridge gains more than the residual can lose."""
        xp, modes = self.xp, len(self.shape)
        norms = np.array([_kept(xp, xp.sqrt((f * f).sum(0))) for f in self.factors], np.float64)
        weights = norms.prod(0)
        order = np.argsort(weights, kind="stable")
        lost = np.cumsum(weights[order])
        gained = np.cumsum(self.ridge * modes * weights[order] ** (2 / modes))
        count = int(np.argmin(np.append(2 * math.sqrt(self.squares) * lost + lost**2 <= gained, False)))
        stay = np.sort(order[min(count, len(order) - 1) :])
        if len(stay) < len(order):
            self.factors = [f[:, stay] for f in self.factors]
            self.last = None if self.last is None else [f[:, stay] for f in self.last]
            self.refresh()

    def update(self, mode: int) -> None:
        """One preconditioned step of one mode, each row as long as is best for it."""
        xp, factor = self.xp, self.factors[mode]
        gradient = self.gradient(mode) - self.ridge * factor
        normal = self.normal(mode)
        step = _bounded(xp, factor, gradient, normal) if self.nonnegative else gradient @ _inverse(xp, normal)
        self.model([*self.factors[:mode], step, *self.factors[mode + 1 :]], self.change)
        self.change *= self.observed
        cube = self.change.reshape(self.shape)
        letters = LETTERS[: len(self.shape)]
        curvature = xp.einsum(f"{letters},{letters}->{letters[mode]}", cube, cube) + self.ridge * _squares(xp, step)
        length = xp.einsum("ar,ar->a", gradient, step) / (curvature + 1e-30)
        if self.nonnegative:
            length = xp.minimum(length, _room(xp, factor, step))
        cube *= length.reshape([-1 if axis == mode else 1 for axis in range(len(self.shape))])
        self.residual -= self.change
        self.factors[mode] = factor + length[:, None] * step
        if self.nonnegative:
            self.factors[mode] = self.factors[mode].clip(0, None)

    def buffer(self, side: int) -> Any:
        """Room for one side's cells by components."""
        rank = self.factors[0].shape[1]
        return self.buffers[side][: self.size[side] * rank].reshape(-1, rank)

    def gradient(self, mode: int) -> Any:
        """Residual times the Khatri-Rao product of all other factors: (n_mode, R)."""
        own = int(mode >= self.cut)
        other = self.side(self.factors, 1 - own)
        residual = self.residual.T if own else self.residual
        product = self.xp.matmul(residual, other, out=self.buffer(own))
        near = self.factors[self.cut :] if own else self.factors[: self.cut]
        return _contracted(self.xp, product, near, mode - own * self.cut)

    def normal(self, mode: int) -> Any:
        """Normal equations of a mask as dense everywhere as this one is on average: (R, R)."""
        gram: Any = self.density
        for axis, factor in enumerate(self.factors):
            if axis != mode:
                gram = gram * (factor.T @ factor)
        diagonal = gram.reshape(-1)[:: len(gram) + 1]
        diagonal += self.ridge + JITTER * float(diagonal.mean()) + 1e-30
        return gram

    def penalty(self, factors: list[Any]) -> float:
        """The ridge's part of the objective."""
        return self.ridge * sum(_total(self.xp, f) for f in factors)

    @property
    def objective(self) -> float:
        """What sweeps lower."""
        return self.squares + self.penalty(self.factors)

    def held_out(self, held: Any) -> float:
        """RMSE on cells that were not fitted."""
        error = self.model(self.factors, self.change)[held] - self.x[held]
        return math.sqrt(_total(self.xp, error[:, None]) / len(error))

    def kept(self) -> list[Floats]:
        """The factors as they are now."""
        return [np.array(_kept(self.xp, f)) for f in self.factors]


def split(shape: Sequence[int]) -> int:
    """Where to split the modes into two sides, so that their Khatri-Rao products are small."""
    return min(range(1, len(shape)), key=lambda k: math.prod(shape[:k]) + math.prod(shape[k:]))


def _backend(device: str) -> tuple[Any, Callable[[Any], Any]]:
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


def _contracted(xp: Any, product: Any, factors: Sequence[Any], mode: int) -> Any:
    """Sum over the other modes of a side: (n_0 ... n_m, R) -> (n_mode, R)."""
    rank = product.shape[1]
    for factor in factors[:mode]:
        product = xp.einsum("abr,ar->br", product.reshape(len(factor), -1, rank), factor)
    for factor in reversed(factors[mode + 1 :]):
        product = xp.einsum("abr,br->ar", product.reshape(-1, len(factor), rank), factor)
    return product


def _kept(xp: Any, array: Any) -> NDArray[Any]:
    return np.asarray(array if xp is np else array.cpu())


def _squares(xp: Any, rows: Any) -> Any:
    return xp.einsum("ar,ar->a", rows, rows)


def _total(xp: Any, rows: Any) -> float:
    """Sum of squares: each row's in float32, the rows' in float64."""
    squares = _squares(xp, rows)
    return float(squares.astype(np.float64).sum() if xp is np else squares.double().sum())


def _inverse(xp: Any, normal: Any) -> Any:
    """Inverse of a symmetric positive definite matrix, in float64.

    By Gauss and Jordan in blocks too small for BLAS to share among threads: LAPACK shares out hundreds of small pieces,
    and where other work keeps a core busy each of them waits for it, which took up to a hundred times longer.
    """
    if xp is not np:
        return xp.linalg.inv(normal.double()).float()
    rank = len(normal)
    count = -(-rank // BLOCK)
    whole = np.eye(count * BLOCK)
    whole[:rank, :rank] = normal
    blocks = np.ascontiguousarray(whole.reshape(count, BLOCK, count, BLOCK).swapaxes(1, 2))
    for k in range(count):
        pivot = np.linalg.inv(blocks[k, k])
        row, column = pivot @ blocks[k], blocks[:, k].copy()
        column[k] = 0
        blocks -= column[:, None] @ row[None]
        blocks[:, k] = -(column @ pivot)
        blocks[k] = row
        blocks[k, k] = pivot
    return blocks.swapaxes(1, 2).reshape(whole.shape)[:rank, :rank].astype(np.float32)


def _bounded(xp: Any, factor: Any, gradient: Any, normal: Any) -> Any:
    """Step towards the least squares solution with no negative value, column by column: a descent direction."""
    step = 0 * factor
    for column in range(factor.shape[1]):
        move = (gradient[:, column] - xp.einsum("ar,r->a", step, normal[:, column])) / normal[column, column]
        step[:, column] = xp.maximum(step[:, column] + move, -factor[:, column])
    return step


def _room(xp: Any, factor: Any, step: Any) -> Any:
    """How long each row's step may be before a value turns negative."""
    shrinking = step < 0
    room = xp.where(shrinking, factor / xp.where(shrinking, -step, 1), 1e30)
    return room.min(1) if xp is np else room.min(1).values


def _balanced(xp: Any, factors: list[Any]) -> list[Any]:
    norms = [xp.sqrt((f * f).sum(0)) for f in factors]
    product = norms[0]
    for norm in norms[1:]:
        product = product * norm
    share = product ** (1 / len(factors))
    return [f * (share / xp.where(norm > 0, norm, 1)) for f, norm in zip(factors, norms, strict=True)]
