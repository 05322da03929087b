"""CP factors as small integers whose sums are exact.

Stage: cp_als -> **quantised_factors** -> low_rank_store. An error in one number of a column matters in proportion to
the norm of the component, so every column of every factor has the step that makes all of them matter alike; strong
components come out with more bits than weak ones. One number, the step, then decides size and error together.
Spec: `spec/low_rank.md`, "Integers".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Quantised", "quantise"]

WIDTHS = (8, 12)  # bits of an integer, its sign included, at most: the first that can keep to the budget
NARROW = 127  # what int8 holds
GROWTH = 1.04  # of the root mean square error, by quantising
FINEST = 1e-3  # of the standard deviation of anomalies: no finer error is asked for
HALVINGS = 12  # in the search for a step
EXACT, MANTISSA = 52, 24  # bits in which every partial sum, and every weight, must fit


@dataclass(frozen=True, eq=False)
class Quantised:
    """Factors of integers.

    Parameters
    ----------
    weights : NDArray[np.float32], shape (R,)
        Times the product of a component's integers: its part of the anomaly. Multiples of a power of two such that all
        partial sums are exact in float64.
    factors : list of NDArray of int8 or int16, shape (n_k, R)
        One dtype for all.
    error : float
        Root mean square difference to the factors that were quantised, over all cells.
    """

    weights: NDArray[np.float32]
    factors: list[NDArray[Any]]
    error: float

    @property
    def rank(self) -> int:
        """Number of components left; those too weak for a step are gone."""
        return len(self.weights)


def quantise(
    weights: NDArray[Any],
    factors: Sequence[NDArray[Any]],
    *,
    rmse: float,
    growth: float = GROWTH,
    widths: Sequence[int] = WIDTHS,
) -> Quantised:
    """Choose the coarsest step that keeps the error within its budget.

    Parameters
    ----------
    weights : (R,)
    factors : sequence of (n_k, R)
    rmse : float
        Of the factors as they are, in units of their anomalies.
    growth : float
        How much larger the error may get: 1.04 is 4 %.
    widths : sequence of int
        Most bits of an integer, tried in turn: up to 8 for int8, above for int16.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> factors = [rng.standard_normal((n, 3)) for n in (20, 9, 8)]
    >>> small = quantise(np.ones(3), factors, rmse=0.1)
    >>> small.factors[0].dtype, bool(small.error < 0.1 * (1.04**2 - 1) ** 0.5)
    (dtype('int8'), True)
    """
    strengths, unit = _units(weights, factors)
    cells = math.prod(len(factor) for factor in unit)
    if not len(strengths):
        return Quantised(np.zeros(0, np.float32), [np.zeros((len(factor), 0), np.int8) for factor in unit], 0.0)
    budget = max(rmse * math.sqrt(max(growth**2 - 1, 0.0)), FINEST) * math.sqrt(cells)
    for width in widths:
        worth, integers, error = _coarsest(strengths, unit, budget, 2 ** (width - 1) - 1)
        if error <= budget:
            break
    alive = np.all([np.any(factor, axis=0) for factor in integers], axis=0)
    integers = [factor[:, alive] for factor in integers]
    dtype = np.int8 if all(np.abs(factor).max(initial=0) <= NARROW for factor in integers) else np.int16
    stored = [factor.astype(dtype) for factor in integers]
    return Quantised(_exact(worth[alive], integers), stored, error / math.sqrt(cells))


def _coarsest(
    strengths: NDArray[np.float64], unit: list[NDArray[np.float64]], budget: float, most: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]], float]:
    """Weights, integers up to `most` and error at the coarsest step within the budget, or at the finest one tried."""
    grams = [factor.T @ factor for factor in unit]
    # Errors of all numbers add up as step**2 / 12 each.
    start = math.log(budget * math.sqrt(12 / sum(factor.size for factor in unit)))
    low, high, best = start - 6.0, start + 1.5, None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        worth, integers = _rounded(strengths, unit, math.exp(middle), most)
        error = _distance(strengths, unit, grams, worth, integers)
        if error <= budget:
            best, low = (worth, integers, error), middle
        else:
            high = middle
        if best is None:
            tried = worth, integers, error
    return tried if best is None else best


def _units(weights: NDArray[Any], factors: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float64], list[Any]]:
    """Columns of norm 1 and the norms of the components, strongest first; those of nothing are left out."""
    wide = [np.asarray(factor, np.float64) for factor in factors]
    norms = [np.linalg.norm(factor, axis=0) for factor in wide]
    strengths = np.abs(np.asarray(weights, np.float64)) * np.prod(norms, axis=0)
    order = np.argsort(-strengths, kind="stable")
    order = order[strengths[order] > 1e-7 * strengths.max(initial=0)]
    unit = [factor[:, order] / norm[order] for factor, norm in zip(wide, norms, strict=True)]
    unit[0] *= np.sign(np.asarray(weights, np.float64))[order]
    return strengths[order], unit


def _rounded(
    strengths: NDArray[np.float64], unit: list[NDArray[np.float64]], step: float, most: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Integers of every column, and what a product of one of each is worth."""
    worth = strengths.copy()
    integers = []
    for factor in unit:
        steps = np.maximum(step / strengths, np.abs(factor).max(0) / (most + 0.49))
        integers.append(np.rint(factor / steps))
        worth = worth * steps
    return worth, integers


def _distance(
    strengths: NDArray[np.float64],
    unit: list[NDArray[np.float64]],
    grams: list[NDArray[np.float64]],
    worth: NDArray[np.float64],
    integers: list[NDArray[np.float64]],
) -> float:
    """Euclidean distance of two sums of components, from products of their factors alone."""
    own, cross, other = np.outer(strengths, strengths), np.outer(strengths, worth), np.outer(worth, worth)
    for factor, gram, whole in zip(unit, grams, integers, strict=True):
        own, cross, other = own * gram, cross * (factor.T @ whole), other * (whole.T @ whole)
    return math.sqrt(max(0.0, float(own.sum() - 2 * cross.sum() + other.sum())))


def _exact(worth: NDArray[np.float64], integers: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Round weights to multiples of the smallest power of two that leaves every partial sum exact."""
    if not len(worth):
        return np.zeros(0, np.float32)
    largest = np.prod([np.abs(factor).max(0) for factor in integers], axis=0)
    unit = max(
        math.ceil(math.log2(float((worth * largest).sum()))) - EXACT, math.ceil(math.log2(worth.max())) - MANTISSA
    )
    return np.asarray(np.ldexp(np.rint(np.ldexp(worth, -unit)), unit), np.float32)
