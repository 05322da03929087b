"""One row of scores of generated fields against the truth: errors, ensemble, spectrum, semivariogram, distribution.

Stage: evaluation. No one score tells a good sample: RMSE and R2 punish honest texture that stands elsewhere, a spectrum
does not see where anything stands, equal distributions prove neither. What is scored one by one can be imported from
here too.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.autocorrelation import WalkScores, autocorrelation, score_walk
from adiabat.formats.isotropic_spectrum import octave_bands, octave_power, octave_ratio, radial_spectrum
from adiabat.formats.semivariogram import Semivariogram, SemivariogramModel, semivariogram
from adiabat.formats.value_scores import crps, r2, rank_histogram, rmse, tail_wasserstein, wasserstein

__all__ = [
    "Semivariogram",
    "SemivariogramModel",
    "TextureScores",
    "WalkScores",
    "autocorrelation",
    "crps",
    "octave_bands",
    "octave_power",
    "octave_ratio",
    "r2",
    "radial_spectrum",
    "rank_histogram",
    "rmse",
    "score_texture",
    "score_walk",
    "semivariogram",
    "tail_wasserstein",
    "wasserstein",
]


@dataclass(frozen=True)
class TextureScores:
    """Scores of generated fields: `score_texture` makes it.

    Attributes
    ----------
    rmse, crps : float
        In the unit of the values; CRPS of the ensemble, of one field its mean absolute error.
    r2 : float
        Coefficient of determination.
    top_octave : float
        Power of waves 2 to 4 cells long, over that of the truth.
    nugget : float
        Nugget of the generated less that of the truth, over the truth's sill: a smooth truth has a nugget of 0.
    sill, range : float
        Over those of the truth.
    neighbours : float
        Semivariance at a lag of one cell, over that of the truth: roughness seen without a model.
    wasserstein, tail_wasserstein : float
        Distance of the distributions, and of their largest hundredths, over the standard deviation of the truth.
    """

    rmse: float
    crps: float
    r2: float
    top_octave: float
    nugget: float
    sill: float
    range: float
    neighbours: float
    wasserstein: float
    tail_wasserstein: float

    def as_dict(self) -> dict[str, float]:
        """Plain numbers, for JSON."""
        return asdict(self)


def score_texture(
    truth: NDArray[Any], generated: NDArray[Any], *, members: NDArray[Any] | None = None
) -> TextureScores:
    """Score generated fields, or one of each ensemble, against the truth.

    Parameters
    ----------
    truth, generated : arrays of one shape (..., y, x)
        At least 8 x 8 cells. What is missing in either is left out of both.
    members : array, shape (member, ..., y, x), optional
        The ensemble for CRPS; without it `generated` alone is scored.

    Returns
    -------
    TextureScores

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Examples
    --------
    >>> truth = np.random.default_rng(0).normal(size=(40, 40))
    >>> found = score_texture(truth, truth / 2)
    >>> round(found.top_octave, 6), round(found.neighbours, 6), round(found.r2, 3)
    (0.25, 0.25, 0.75)
    """
    x, y = np.array(truth, np.float64), np.array(generated, np.float64)
    if x.shape != y.shape or x.ndim < 2:
        raise ValueError(f"expected two arrays (..., y, x) of one shape, got {x.shape} and {y.shape}")
    lost = ~(np.isfinite(x) & np.isfinite(y))
    x[lost] = y[lost] = np.nan
    true, ours = semivariogram(x), semivariogram(y)
    model, fitted = true.fit(), ours.fit()
    return TextureScores(
        rmse=rmse(x, y),
        crps=crps(x, y[None] if members is None else members),
        r2=r2(x, y),
        top_octave=float(octave_ratio(x, y)[-1]),
        nugget=_over(fitted.nugget - model.nugget, model.sill),
        sill=_over(fitted.sill, model.sill),
        range=fitted.range / model.range,
        neighbours=_over(float(ours.semivariance[0]), float(true.semivariance[0])),
        wasserstein=wasserstein(x, y),
        tail_wasserstein=tail_wasserstein(x, y),
    )


def _over(value: float, unit: float) -> float:
    return value / unit if unit > 0 else math.nan
