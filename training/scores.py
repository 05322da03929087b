"""How good estimates are on cells held out, in the measures of the satellite literature.

Beside gap_filling. A climatology alone can score high in agreement and correlation where cells differ more than days
do: the correlation of anomalies from climatology tells what is known beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Scores:
    """Estimates P against observations O, over all held-out cells at once, in float64.

    Attributes
    ----------
    ioa : float
        Index of agreement d of Willmott (1981): ``1 - sum (P - O)^2 / sum (|P - mean O| + |O - mean O|)^2``.
    refined : float
        Refined index d_r of Willmott et al. (2012), -1 to 1.
    r, anomaly_r : float
        Pearson's correlation, of values and of anomalies from the climatology; NaN where one of the two is constant.
    rmse, bias : float
        In the unit of the values; bias is mean P - mean O.
    count : int
        Cells compared.
    """

    ioa: float
    refined: float
    r: float
    rmse: float
    bias: float
    anomaly_r: float
    count: int

    @classmethod
    def of(cls, estimate: ArrayLike, truth: ArrayLike, climatology: ArrayLike) -> Scores:
        """Compare (cells,) with (cells,), anomalies being differences from `climatology` (cells,).

        Examples
        --------
        >>> scores = Scores.of([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
        >>> round(scores.ioa, 3), round(scores.refined, 3), round(scores.bias, 3)
        (0.923, 0.75, 0.333)
        """
        p, o, base = (np.asarray(x, np.float64).ravel() for x in (estimate, truth, climatology))
        if not p.size or not p.shape == o.shape == base.shape:
            raise ValueError(f"expected three lists of as many cells, one or more, got {p.size}, {o.size}, {base.size}")
        if not (np.isfinite(p).all() and np.isfinite(o).all()):
            raise ValueError(f"expected finite values, got {int((~np.isfinite(p)).sum())} estimates that are not")
        error, about = p - o, o - o.mean()
        potential = float(((np.abs(p - o.mean()) + np.abs(about)) ** 2).sum())
        return cls(
            1 - float(error @ error) / potential if potential else float("nan"),
            _refined(float(np.abs(error).sum()), 2 * float(np.abs(about).sum())),
            _correlation(p, o),
            float(np.sqrt(np.mean(error**2))),
            float(error.mean()),
            _correlation(p - base, o - base),
            p.size,
        )


def _refined(error: float, spread: float) -> float:
    if error <= spread:
        return 1 - error / spread if spread else float("nan")
    return spread / error - 1


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")
