"""CP factors of a gappy array: x[i, j, k] is about the sum over r of weights[r] a[i, r] b[j, r] c[k, r] where observed.

Stage: anomaly -> **cp_als** (cp_sweep) -> formats.low_rank. Minimises, over the observed cells,

    sum (x - model)^2 + ridge * sum over modes of |factor|^2

mode by mode. Each mode takes one conjugate-gradient step on its masked normal equations, preconditioned by those of a
mask that is equally dense everywhere, with the exact step length for every row: rows are independent, so the objective
never increases. Where that lowers the objective, sweeps go farther along the fit's way; between them it leaves out
components that the ridge has all but removed: the rank that remains is what the data carry at that ridge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adiabat.training.cp_algebra import khatri_rao, split
from adiabat.training.cp_sweep import Problem

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Index = Sequence[Any]

BEGIN = 0.3  # RMS of the random model that a fit begins with, over that of the data
WEED = 5  # sweeps between looks for components that the ridge has all but removed
STILL = 1e-6  # share of the objective; a fit ends where it falls by less for as many sweeps as its patience


class Sweep(NamedTuple):
    """State after one sweep."""

    objective: float
    rmse: float  # on the cells fitted
    held_out: float  # RMSE on the validation cells; NaN without


@dataclass(frozen=True)
class Fit:
    """CP factors, strongest component first.

    Parameters
    ----------
    weights : float64 (R,)
        Norms of the components, above or equal to 0.
    factors : list of float32 (n_k, R)
        Columns of norm 1, or 0 where the weight is 0.
    history : list of Sweep
        One for each sweep run, also those after the best.
    sweeps : int
        How many led to these factors.
    """

    weights: NDArray[np.float64]
    factors: list[Floats]
    history: list[Sweep]
    sweeps: int

    @property
    def rank(self) -> int:
        """Number of components."""
        return len(self.weights)


def fit(
    x: NDArray[Any],
    observed: Mask | None = None,
    *,
    rank: int,
    ridge: float = 30.0,
    sweeps: int = 40,
    seed: int = 0,
    nonnegative: bool = False,
    validation: Mask | None = None,
    start: Fit | None = None,
    patience: int = 3,
    progress: Callable[[int, Sweep], None] | None = None,
    device: str = "cpu",
) -> Fit:
    """Fit CP factors to the observed cells.

    Parameters
    ----------
    x : (n0, n1, ..., nk), two axes or more
        Anomalies of standard deviation about 1, which is what `ridge` is in units of.
    observed : bool, same shape, optional
        By default the finite cells.
    rank : int
        At most so many components; those that the data do not carry are weakened by the ridge, then left out.
    ridge : float
        Weight of the squared factors; 0 for plain least squares. It acts against all the cells that a row of a factor
        sees: 5 to 30 suit cubes of a thousand days by thousands of cells, small arrays want less.
    sweeps : int
        At most so many updates of all modes; the fit also ends where the objective stands still.
    seed : int
        Of the random start; the same seed gives the same factors.
    nonnegative : bool
        Whether all factors are kept at or above 0.
    validation : bool, same shape, optional
        Cells held out of the fit. The fit returns the factors best on them, and stops `patience` sweeps after the best.
    start : Fit, optional
        Begin there: its strongest components, or all of them and random ones beside, up to `rank`.
    progress : function of (sweeps done, Sweep), optional
    device : str
        "cpu" for NumPy; any other is a device of PyTorch, such as "cuda", or "torch" for PyTorch on the CPU.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If an argument does not fit the others or no cell is left to fit.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = np.einsum("ir,jr,kr->ijk", *(rng.standard_normal((n, 2)) for n in (30, 8, 9)))
    >>> found = fit(x, rng.random(x.shape) < 0.5, rank=2, ridge=1e-3, sweeps=100)
    >>> bool(np.abs(dense(found.weights, found.factors) - x).max() < 0.01)
    True
    """
    x, observed = _checked(x, observed)
    if rank < 1 or sweeps < 1 or ridge < 0:
        raise ValueError(f"expected rank and sweeps of at least 1, ridge of at least 0, got {rank}, {sweeps}, {ridge}")
    held = None
    if validation is not None:
        held = _same(validation, x.shape, "validation") & observed
        observed = observed & ~held
        held = held if held.any() else None
    if not observed.any():
        raise ValueError("expected observed cells to fit, got none")
    factors = _begin(x, observed, rank, seed, nonnegative, start)
    problem = Problem(x, observed, factors, ridge=float(ridge), nonnegative=nonnegative, device=device)
    held = None if held is None else problem.put(held.reshape(problem.size))
    best, factors, history, done, still, objective = math.inf, problem.kept(), [], 0, 0, problem.objective
    for number in range(1, sweeps + 1):
        problem.sweep()
        last, objective = objective, problem.objective
        error = problem.held_out(held) if held is not None else math.nan
        history.append(Sweep(objective, math.sqrt(problem.squares / problem.count), error))
        if progress is not None:
            progress(number, history[-1])
        if held is None or error < best:
            best, done = error, number
            factors = problem.kept() if held is not None else factors
        still = still + 1 if last - objective <= STILL * last else 0
        if number - done >= patience or still >= patience:
            break
        if number % WEED == 0:
            problem.drop()
    return _finished(factors if held is not None else problem.kept(), history, done)


def dense(weights: NDArray[np.float64], factors: Sequence[Floats], index: Index | None = None) -> Floats:
    """Evaluate the model.

    Parameters
    ----------
    weights, factors
        As of a `Fit`.
    index : a slice or integer array for each axis, optional
        Selected independently along each axis, as in ``numpy.ix_``; by default everything.
    """
    rows = [f if index is None else f[index[axis]] for axis, f in enumerate(factors)]
    cut = split([len(f) for f in rows])
    left = khatri_rao(np, rows[:cut]) * weights.astype(np.float32)
    whole: Floats = (left @ khatri_rao(np, rows[cut:]).T).reshape([len(f) for f in rows])
    return whole


def _checked(x: NDArray[Any], observed: Mask | None) -> tuple[Floats, Mask]:
    x = np.asarray(x)
    if x.ndim < 2 or not x.size:
        raise ValueError(f"expected an array of 2 axes or more with cells in it, got shape {x.shape}")
    finite = np.isfinite(x)
    observed = finite if observed is None else _same(observed, x.shape, "observed") & finite
    x = np.ascontiguousarray(x, np.float32)
    return x if finite.all() else np.where(finite, x, np.float32(0)), observed


def _same(mask: Mask, shape: tuple[int, ...], name: str) -> Mask:
    mask = np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(f"expected {name} as a bool mask of shape {shape}, got {mask.dtype} of {mask.shape}")
    return mask


def _begin(x: Floats, observed: Mask, rank: int, seed: int, nonnegative: bool, start: Fit | None) -> list[Floats]:
    """Small random factors, or those of `start` and random ones beside; zero in rows where nothing was observed."""
    rng = np.random.default_rng(seed)
    spread = math.sqrt(float(np.mean(np.square(x), where=observed)))
    size = (BEGIN * spread / math.sqrt(rank)) ** (1 / x.ndim)
    factors = [(size * rng.standard_normal((n, rank))).astype(np.float32) for n in x.shape]
    if start is not None:
        if [len(f) for f in start.factors] != list(x.shape):
            raise ValueError(f"expected a start of shape {x.shape}, got {tuple(len(f) for f in start.factors)}")
        taken = min(rank, start.rank)
        share = start.weights[:taken] ** (1 / x.ndim)
        for factor, begun in zip(factors, start.factors, strict=True):
            factor[:, :taken] = begun[:, :taken] * share
    for axis, factor in enumerate(factors):
        factor[~observed.any(tuple(k for k in range(x.ndim) if k != axis))] = 0
        if nonnegative:
            np.abs(factor, out=factor)
    return factors


def _finished(factors: list[Floats], history: list[Sweep], sweeps: int) -> Fit:
    """Unit columns and their weights, strongest first."""
    norms = np.stack([np.linalg.norm(f.astype(np.float64), axis=0) for f in factors])
    weights = norms.prod(0)
    order = np.argsort(-weights, kind="stable")
    unit = [np.ascontiguousarray((f / np.where(n > 0, n, 1))[:, order], np.float32)
            for f, n in zip(factors, norms, strict=True)]  # fmt: skip
    return Fit(weights[order], unit, history, sweeps)
