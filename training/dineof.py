"""DINEOF: gaps filled by the leading empirical orthogonal functions, found with the gaps filled by themselves.

A baseline of gap_filling. The cube is a matrix of days by cells; its truncated singular value decomposition fills the
gaps, and is computed anew until they stay as they are. Functions are added while cells held out for this purpose are
met better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

SETTLED = 1e-3  # of the standard deviation: smaller changes end the turns at one number of functions
TURNS = 60  # at most, for each number of functions
EMPTY = 1e-10  # of the largest eigenvalue of a Gram matrix: smaller ones are rounding
SHARE, FEWEST = 0.03, 50  # of the cells, held out at random where the caller holds out none
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 65, 80, 100)  # numbers of functions tried
PATIENCE = 3  # numbers of functions without a gain, after which none is tried any more


@dataclass(frozen=True)
class Filled:
    """The reconstruction and how it was chosen.

    Attributes
    ----------
    values : NDArray[np.float32]
        (days, cells), everywhere.
    functions : int
        How many were taken.
    scores : dict of int to float
        RMSE on the held-out cells for each number tried.
    """

    values: Floats
    functions: int
    scores: dict[int, float]


def fill(x: Floats, observed: Mask, *, validation: Mask | None = None, seed: int = 0, most: int = 100) -> Filled:
    """Reconstruct anomalies.

    Parameters
    ----------
    x : (days, cells)
        Anomalies from the mean of each cell; ignored where not observed.
    observed : bool, same shape
    validation : bool, same shape, optional
        Cells that decide on the number of functions; by default 3 % of those observed, drawn at random. They take part
        in the final reconstruction.
    seed : int
    most : int
        Number of functions not to be passed.

    Source
    ------
    Beckers and Rixen (2003), doi 10.1175/1520-0426(2003)020<1839:ECADFF>2.0.CO;2.
    """
    rng = np.random.default_rng(seed)
    if x.shape != observed.shape or x.ndim != 2:
        raise ValueError(f"expected days by cells and as large a mask, got {x.shape} and {observed.shape}")
    if validation is None:
        share = max(SHARE, min(0.5, FEWEST / max(1, int(observed.sum()))))
        validation = observed & (rng.random(x.shape) < share)
    validation = validation & observed
    left = observed & ~validation
    if not left.any() or not validation.any():
        raise ValueError(f"expected cells to fit and to validate, got {int(left.sum())} and {int(validation.sum())}")
    chosen, scores, since = 0, {0: _rms(x[validation])}, 0
    work = _Decomposition(x, left, rng)
    for number in [step for step in STEPS if step <= min(most, *x.shape)]:
        scores[number] = _rms(work.settle(number)[validation] - x[validation])
        since = 0 if scores[number] < scores[chosen] else since + 1
        chosen = number if not since else chosen
        if since == PATIENCE:
            break
    if not chosen:
        return Filled(np.zeros(x.shape, np.float32), 0, scores)
    final = _Decomposition(x, observed, rng)
    for number in [step for step in STEPS if step <= chosen]:
        values = final.settle(number)
    return Filled(values, chosen, scores)


class _Decomposition:
    """The matrix with its gaps filled, and a basis of its leading functions that each turn improves."""

    def __init__(self, x: Floats, observed: Mask, rng: np.random.Generator):
        self.x, self.observed, self.rng = x, observed, rng
        self.filled = np.where(observed, x, np.float32(0))
        self.basis = np.empty((x.shape[1], 0), np.float32)
        self.scale = _rms(x[observed]) or 1.0

    def settle(self, number: int) -> Floats:
        """Turns at one number of functions, until the gaps change little."""
        new = self.rng.standard_normal((self.x.shape[1], number - self.basis.shape[1])).astype(np.float32)
        self.basis = _orthonormal(np.concatenate((self.basis, new), 1))[0]
        model = self.filled
        for _ in range(TURNS):
            # One step of subspace iteration with the basis of the turn before, then the exact decomposition inside it.
            days, _ = _orthonormal(self.filled @ self.basis)
            self.basis, back = _orthonormal(self.filled.T @ days)
            before, model = model, (days @ back.T) @ self.basis.T
            self.filled = np.where(self.observed, self.x, model)
            if _rms(model - before) < SETTLED * self.scale:
                break
        return model


def _orthonormal(columns: Floats) -> tuple[Floats, Floats]:
    """Factor columns (n, r) into orthonormal ones and the (r, r) that leads back, most important first.

    By the eigenvectors of the small Gram matrix: LAPACK's factorisations of tall matrices share out many small pieces
    among threads, and crawl where other work keeps a core busy. Columns that are none (of rounding size) become zero.
    """
    gram = columns.T.astype(np.float64) @ columns.astype(np.float64)
    squares, mixing = np.linalg.eigh(gram)
    squares, mixing = np.maximum(squares[::-1], 0), mixing[:, ::-1]
    kept = squares > EMPTY * squares[0]
    size = np.sqrt(np.where(kept, squares, 1))
    unit = columns @ (mixing * (kept / size)).astype(np.float32)
    return unit, (mixing * size * kept).T.astype(np.float32)


def _rms(errors: NDArray[np.floating[Any]]) -> float:
    return math.sqrt(float(np.mean(np.square(errors, dtype=np.float64)))) if errors.size else 0.0
