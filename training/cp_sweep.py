"""One sweep of a masked CP fit: a step for each mode, the last by a leap of all modes where that helps.

Stage: **cp_sweep** -> cp_als. The array is seen as a matrix, the modes before `cut` by those from it on, so that a
sweep costs one matrix product for each side and each mode, and nothing is larger than the array or one side's
Khatri-Rao product. The residual is kept and corrected. Written once for NumPy and PyTorch, `xp`.

Source: EM-ALS (Kiers 1997), but each row's step is as long as is best for it, which makes it one preconditioned
conjugate-gradient step on the mode's normal equations; leaps after Bro, "Multi-way analysis in the food industry"
(1998), and Mitchell, Ye and De Sterck, "Nesterov acceleration of alternating least squares" (2020), taken only where
the objective falls.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.training.cp_algebra import (  # isort: skip
    backend, balanced, bounded, contracted, kept, khatri_rao, products, room, solved, split, strong, total,
)  # fmt: skip

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

REFRESH = 10  # sweeps until a residual that was only corrected is computed anew, against rounding
FARTHER, NEARER = 1.1, 0.7  # factors of a leap's reach where the last one helped, and where not
LEAST_REACH = 0.1
ENOUGH_GAIN = 0.5  # share of the fall expected of updates that a leap to their end must bring
EARLY = 3  # sweeps that leap no farther than to their end: from a random start, going on does not help later
SAMPLE, FEWEST = 16, 32  # every so many rows, if so many are left, tell most leaps that would not help
SURE = 2.0  # standard deviations of what they tell
PART = 2**22  # cells of a part of a large array, the parts of which NumPy goes through in threads
JITTER = 1e-6  # of the mean diagonal, for normal equations that the ridge does not make definite
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Problem:
    """Residual, buffers and one sweep. The array is seen as a matrix: modes before `cut` by those from it on."""

    def __init__(
        self, x: Floats, observed: Mask, factors: list[Floats], *, ridge: float, nonnegative: bool, device: str
    ):
        self.xp, self.put = backend(device)
        self.shape, self.cut, self.ridge, self.nonnegative = x.shape, split(x.shape), ridge, nonnegative
        self.sides = (range(self.cut), range(self.cut, x.ndim))
        self.size = (math.prod(x.shape[: self.cut]), math.prod(x.shape[self.cut :]))
        self.count = int(observed.sum())
        self.density = self.count / observed.size
        counts = [observed.sum(tuple(k for k in range(x.ndim) if k != mode)) for mode in self.sides[1]]
        shares = [count * len(count) / self.count for count in counts]  # of cells observed in a row, over that of all
        self.shares = dict(zip(self.sides[1], [self.put(s.astype(np.float32)) for s in shares], strict=True))
        self.x, self.observed = self.put(x.reshape(self.size)), self.put(observed.reshape(self.size))
        self.factors = [self.put(f) for f in factors]
        self.residual, self.change = self.xp.empty_like(self.x), self.xp.empty_like(self.x)
        shared = max((n for n, modes in zip(self.size, self.sides, strict=True) if len(modes) > 1), default=0)
        self.buffers = [self.put(np.empty(n * factors[0].shape[1], np.float32)) for n in (*self.size, shared)]
        count = min(max(1, round(x.size / PART)), len(x)) if self.xp is np else 1
        self.parts = [slice(len(x) * k // count, len(x) * (k + 1) // count) for k in range(count)]
        self.threads = ThreadPoolExecutor(min(len(self.parts), os.cpu_count() or 1)) if len(self.parts) > 1 else None
        self.grams: dict[int, Any] = {}
        self.last: list[Any] | None = None
        self.reach, self.stale, self.sweeps = 0.5, 0, 0
        self.refresh()

    def refresh(self) -> None:
        """Compute the residual anew."""
        self.remainder(self.factors, self.residual)
        self.squares, self.stale = total(self.xp, self.residual), 0

    def remainder(self, factors: list[Any], out: Any) -> None:
        """Array less model where observed, else 0."""
        self.model(factors, out)
        whole, x, observed = (array.reshape(self.shape) for array in (out, self.x, self.observed))

        def subtract(part: slice) -> None:
            self.xp.subtract(x[part], whole[part], out=whole[part])
            whole[part] *= observed[part]

        self.over(subtract)

    def over(self, function: Callable[[slice], Any]) -> list[Any]:
        """Results of a function for all parts of the first axis."""
        return list((self.threads.map if self.threads else map)(function, self.parts))

    def model(self, factors: list[Any], out: Any) -> Any:
        """Evaluate the factors everywhere."""
        return self.xp.matmul(self.side(factors, 0), self.side(factors, 1).T, out=out)

    def side(self, factors: list[Any], side: int) -> Any:
        """Khatri-Rao product of the modes before the cut, or of those from it on: (cells, R)."""
        some = factors[self.cut :] if side else factors[: self.cut]
        return khatri_rao(self.xp, some, self.buffer(side))

    def sweep(self) -> None:
        """Update each mode once, one side's by a leap if that helps, and share norms equally among modes."""
        self.update_side(0)
        leapt = self.update_side(1)
        self.sweeps += 1
        if not leapt:
            self.last = balanced(self.xp, self.factors)
            self.replace(list(self.last))
            self.squares = total(self.xp, self.residual)
        self.stale += 1
        if self.stale >= REFRESH:
            self.refresh()

    def update_side(self, side: int) -> bool:
        """Update each mode of a side, and say whether by a leap."""
        product, begun = self.product(side), list(self.factors)
        first = self.step(self.sides[side][0], product, begun)
        if side and self.leap(first, product, begun):
            return True
        for mode in self.sides[side]:
            self.update(mode, *(self.step(mode, product, begun) if mode > self.sides[side][0] else first)[:2])
        return False

    def replace(self, factors: list[Any]) -> None:
        """Go on with other factors."""
        self.factors = factors
        self.grams.clear()

    def leap(self, first: tuple[Any, Any, Any], product: Any, begun: list[Any]) -> bool:
        """Update a side's modes by estimated lengths, and go on along the way of all modes since the last sweep.

        Done where that lowers the objective farther than the updates alone are expected to, which spares the products
        that exact lengths take; where a sample says that it does not, only to the updates' end.
        """
        xp, now, gain = self.xp, self.penalty(self.factors), 0.0
        for mode in self.sides[1]:
            gain += self.estimate(mode, *(self.step(mode, product, begun) if mode > self.cut else first))
        ends = balanced(xp, self.factors)
        self.factors = list(begun)
        for mode in self.sides[1]:
            self.grams.pop(mode, None)
        for reach in (self.reach, 0.0) if self.last is not None and self.sweeps >= EARLY else (0.0,):
            far = [end + reach * (end - start) for end, start in zip(ends, self.last or ends, strict=True)]
            far = balanced(xp, [f.clip(0, None) for f in far] if self.nonnegative else far)
            fall = now - (gain if reach else ENOUGH_GAIN * gain) - self.penalty(far)
            hopeless = reach > 0 and self.hopeless(far, fall)
            helps = not hopeless and self.try_out(far, total(xp, self.residual) + fall)
            if reach:
                self.reach = max(LEAST_REACH, reach * (FARTHER if helps else NEARER))
            if helps:
                self.last = ends
            if not hopeless:
                break
        return helps

    def estimate(self, mode: int, gradient: Any, step: Any, normal: Any) -> float:
        """Update a mode, but for the residual, by estimated lengths, and estimate by how much the objective falls."""
        xp, factor = self.xp, self.factors[mode]
        slope, ridge = products(xp, gradient, step), self.ridge * products(xp, step, step)
        curvature = self.shares[mode] * (products(xp, step @ normal, step) - ridge) + ridge
        length = slope / (curvature + 1e-30)
        if self.nonnegative:
            length = xp.minimum(length.clip(0, None), room(xp, factor, step))
        self.factors[mode] = factor + length[:, None] * step
        self.grams.pop(mode, None)
        return max(0.0, float((length * (2 * slope - length * curvature)).sum()))

    def hopeless(self, far: list[Any], lower: float) -> bool:
        """Whether a sample of the rows says that squares would rise by more than `lower`."""
        some = self.change[: -(-self.size[0] // SAMPLE)]
        if len(some) < FEWEST:
            return False
        left = self.side(far, 0)[::SAMPLE]
        self.xp.matmul(left, self.side(far, 1).T, out=some)
        self.xp.subtract(self.x[::SAMPLE], some, out=some)
        some *= self.observed[::SAMPLE]
        now = self.residual[::SAMPLE]
        rise = products(self.xp, some, some) - products(self.xp, now, now)
        return float(rise.sum()) - SURE * math.sqrt(float((rise * rise).sum())) > lower / SAMPLE

    def try_out(self, far: list[Any], squares: float) -> bool:
        """Go on with other factors if they leave less than so many squares."""
        self.remainder(far, self.change)
        left = total(self.xp, self.change)
        if left >= squares:
            return False
        self.replace(far)
        self.squares, self.stale = left, 0
        self.residual, self.change = self.change, self.residual
        return True

    def drop(self) -> None:
        """Leave out components so weak that the ridge gains more than the residual can lose."""
        norms = np.array([kept(self.xp, self.xp.sqrt((f * f).sum(0))) for f in self.factors], np.float64)
        stay = strong(norms.prod(0), self.ridge, len(self.shape), self.squares)
        if len(stay) < norms.shape[1]:
            self.replace([f[:, stay] for f in self.factors])
            self.last = None if self.last is None else [f[:, stay] for f in self.last]
            self.refresh()

    def step(self, mode: int, product: Any, begun: list[Any]) -> tuple[Any, Any, Any]:
        """Gradient of a mode, way to go from its factor, and the normal equations that it is from."""
        gradient, normal = self.gradient(mode, product, begun), self.normal(mode)
        if self.nonnegative:
            return gradient, bounded(self.xp, self.factors[mode], gradient, normal), normal
        return gradient, solved(self.xp, normal, gradient), normal

    def update(self, mode: int, gradient: Any, step: Any) -> None:
        """Go along one mode's step, in each row as far as is best for it."""
        xp, factor = self.xp, self.factors[mode]
        self.model([*self.factors[:mode], step, *self.factors[mode + 1 :]], self.change)
        change, residual, observed = (a.reshape(self.shape) for a in (self.change, self.residual, self.observed))
        exact = mode in (0, self.cut)  # of other modes the gradient is an estimate, but not the slope here
        letters = LETTERS[: len(self.shape)]
        rows = f"{letters},{letters}->{letters[mode]}"

        def seen(part: slice) -> Any:
            change[part] *= observed[part]
            return [xp.einsum(rows, other[part], change[part]) for other in ([change] if exact else [change, residual])]

        join = np.concatenate if mode == 0 else sum
        found = [some[0] if len(some) == 1 else join(some) for some in zip(*self.over(seen), strict=True)]
        curvature = found[0] + self.ridge * products(xp, step, step)
        slope = products(xp, gradient, step) if exact else found[1] - self.ridge * products(xp, factor, step)
        length = slope / (curvature + 1e-30)
        if self.nonnegative:
            length = xp.minimum(length.clip(0, None), room(xp, factor, step))
        lengths = length.reshape([-1 if axis == mode else 1 for axis in range(len(self.shape))])

        def move(part: slice) -> None:
            change[part] *= lengths[part] if mode == 0 else lengths
            residual[part] -= change[part]

        self.over(move)
        self.factors[mode] = factor + length[:, None] * step
        if self.nonnegative:
            self.factors[mode] = self.factors[mode].clip(0, None)
        self.grams.pop(mode, None)

    def buffer(self, side: int, of: int | None = None) -> Any:
        """Room for one side's cells by components; the last buffer keeps them while the others are in use."""
        rank = self.factors[0].shape[1]
        return self.buffers[side if of is None else of][: self.size[side] * rank].reshape(-1, rank)

    def product(self, side: int) -> Any:
        """Residual times the Khatri-Rao product of the other side: (cells, R). All modes of a side use the same one."""
        other = self.side(self.factors, 1 - side)
        out = self.buffer(side, 2 if len(self.sides[side]) > 1 else side)
        return self.xp.matmul(self.residual.T if side else self.residual, other, out=out)

    def gradient(self, mode: int, product: Any, begun: list[Any]) -> Any:
        """Residual times the Khatri-Rao product of all other factors, less the ridge's part: (n_mode, R).

        The residual is that of `product`, when the factors were those of `begun`. What changed since in other modes of
        the side is taken into account as under a mask as dense everywhere as this one is on average.
        """
        own = self.sides[int(mode >= self.cut)]
        gradient = contracted(self.xp, product, [self.factors[k] for k in own], mode - own[0])
        gradient = gradient - self.ridge * self.factors[mode]
        if mode == own[0]:
            return gradient
        now = then = self.density
        for k in range(len(self.shape)):
            if k != mode:
                now = now * self.gram(k)
                then = then * (begun[k].T @ self.factors[k] if k in own else self.gram(k))
        return gradient - self.factors[mode] @ (now - then)

    def gram(self, mode: int) -> Any:
        """Products of a factor's columns: (R, R)."""
        if mode not in self.grams:
            self.grams[mode] = self.factors[mode].T @ self.factors[mode]
        return self.grams[mode]

    def normal(self, mode: int) -> Any:
        """Normal equations of a mask as dense everywhere as this one is on average: (R, R)."""
        gram: Any = self.density
        for other in range(len(self.shape)):
            if other != mode:
                gram = gram * self.gram(other)
        diagonal = gram.reshape(-1)[:: len(gram) + 1]
        diagonal += self.ridge + JITTER * float(diagonal.mean()) + 1e-30
        return gram

    def penalty(self, factors: list[Any]) -> float:
        """The ridge's part of the objective."""
        return self.ridge * sum(total(self.xp, f) for f in factors)

    @property
    def objective(self) -> float:
        """What sweeps lower."""
        return self.squares + self.penalty(self.factors)

    def held_out(self, held: Any) -> float:
        """RMSE on cells that were not fitted."""
        error = self.model(self.factors, self.change)[held] - self.x[held]
        return math.sqrt(total(self.xp, error[:, None]) / len(error))

    def kept(self) -> list[Floats]:
        """The factors as they are now."""
        return [np.array(kept(self.xp, f)) for f in self.factors]
