"""Fill the holes of a cube of days: climatology, DINEOF, local kriging, CP, CP and the kriging of its residuals.

After rasterise: cube with holes -> **gap_filling** -> cube without. Every method takes a `Cube`, the cells it may see
and the cells it is asked for, so that all can be compared on the same held-out cells (held_out, scores). Rank and
ridge of CP are chosen under clouds of other days (`choose`), on cells apart from any test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adiabat.training import cp_als, dineof
from adiabat.training.anomaly import Anomaly, Transform
from adiabat.training.held_out import HeldOut, Mask, cloud_patterns, random_cells
from adiabat.training.kriging import Variogram, krige, places
from adiabat.training.scores import Scores

__all__ = ["Choice", "Cube", "HeldOut", "Scores", "choose", "climatology", "cloud_patterns", "cp", "cp_kriged"]
__all__ += ["day_means", "dineof_fill", "local_kriging", "random_cells"]

Floats = NDArray[np.float32]

SHRINK = 2.0  # observations' worth of the general mean in a cell's, and of no difference in a day's
NEIGHBOURS = 16
RESIDUAL_NEIGHBOURS = 32  # residuals are mostly noise: more of them average it better
SAMPLE_DAYS = 100  # days whose pairs of cells give the variogram of the record
FEW = 20  # cells of a day; days with fewer tell little about a variogram
RANKS, RIDGES = (0, 5, 10, 20, 50), (1.0, 5.0, 10.0, 20.0, 40.0)  # small arrays want the least ridge
RISES = 2  # ranks in a row that are worse than a lower one, until no higher one is tried
ENOUGH = 20_000  # validation cells; of more, whole days are left out
MEMBERS = 4  # random starts averaged
SWEEPS = 40
VALIDATION = 7919  # added to the seed: the hold-out that chooses is another than the one that tests


@dataclass(frozen=True)
class Cube:
    """Values of (day, latitude, longitude); NaN where there are none.

    Parameters
    ----------
    values : NDArray[np.float32]
        (days, rows, columns), in any unit.
    latitude, longitude : NDArray[np.float64]
        Cell centres in degrees: (rows,) and (columns,).
    days : NDArray[np.float64]
        (days,) Day numbers.
    """

    values: Floats
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    days: NDArray[np.float64]

    def __post_init__(self) -> None:
        sides = (self.days.size, self.latitude.size, self.longitude.size)
        if self.values.shape != sides:
            raise ValueError(f"expected values of shape {sides} by their coordinates, got {self.values.shape}")

    @property
    def observed(self) -> Mask:
        """Where there is a value."""
        return np.isfinite(self.values)

    @property
    def places(self) -> NDArray[np.float64]:
        """Cell centres in km from the centre of the Earth: (rows * columns, 3)."""
        return places(self.latitude[:, None], self.longitude[None]).reshape(-1, 3)


class Choice(NamedTuple):
    """Rank and ridge of CP, with the RMSE on validation cells of every pair tried; 0 and 0: climatology alone."""

    rank: int
    ridge: float
    scores: Mapping[tuple[int, float], float]


def climatology(cube: Cube, train: Mask, wanted: Mask | None = None) -> Floats:
    """Each cell's mean over the days, drawn towards the mean of all where it was seldom seen."""
    return np.broadcast_to(_base(cube.values, train), cube.values.shape).copy()


def day_means(cube: Cube, train: Mask, wanted: Mask | None = None, *, tilted: bool = False) -> Floats:
    """Climatology and, each day, the mean difference from it, or (`tilted`) the plane through the differences."""
    base = _base(cube.values, train)
    across = [_unit(cube.latitude)[:, None], _unit(cube.longitude)[None]] if tilted else []
    design = np.stack([np.broadcast_to(x, base.shape).ravel() for x in (np.ones((1, 1)), *across)], 1)
    out = np.empty(cube.values.shape, np.float32)
    for day, seen in enumerate(train):
        known = design[seen.ravel()]
        normal = known.T @ known + SHRINK * np.eye(design.shape[1])
        weights = np.linalg.solve(normal, known.T @ (cube.values[day] - base)[seen])
        out[day] = base + (design @ weights).reshape(base.shape)
    return out


def dineof_fill(
    cube: Cube, train: Mask, wanted: Mask | None = None, *, validation: Mask | None = None, seed: int = 0
) -> Floats:
    """Climatology and DINEOF of the anomalies; `validation` decides on the number of functions."""
    anomaly = Anomaly.of(cube.values, train)
    size = (len(train), -1)
    left = anomaly.remove(cube.values).reshape(size)
    held = None if validation is None else validation.reshape(size)
    filled = dineof.fill(left, train.reshape(size), validation=held, seed=seed).values
    return anomaly.restore(filled.reshape(cube.values.shape))


def local_kriging(
    cube: Cube, train: Mask, wanted: Mask | None = None, *, neighbours: int = NEIGHBOURS, seed: int = 0
) -> Floats:
    """Ordinary kriging of each day by itself, with its own variogram; the climatology where a day has nothing."""
    base, out = _base(cube.values, train), np.full(cube.values.shape, np.nan, np.float32)
    for day, here, known, asked in _days(cube, train, wanted):
        values = cube.values[day][train[day]].astype(np.float64)
        if values.size:
            variogram = Variogram.of([(here[known], values)], seed=seed)
            out[day].ravel()[asked] = krige(here[known], values, here[asked], variogram, neighbours=neighbours)
        else:
            out[day].ravel()[asked] = base.ravel()[asked]
    return out


def cp(
    cube: Cube,
    train: Mask,
    wanted: Mask | None = None,
    *,
    rank: int,
    ridge: float,
    members: int = 1,
    seed: int = 0,
    sweeps: int = SWEEPS,
    transform: Transform = "none",
    offset: bool = False,
    progress: Callable[[int, cp_als.Sweep], None] | None = None,
) -> Floats:
    """Climatology and CP of the anomalies, the mean of `members` random starts (itself a CP, of the sum of ranks).

    Of rank 0 the climatology alone. `progress` is called after each sweep.
    """
    anomaly = Anomaly.of(cube.values, train, transform=transform, offset=offset)
    left = np.where(train, anomaly.remove(cube.values), np.float32(0))
    model = np.zeros(left.shape, np.float32)
    for member in range(members if rank else 0):
        start = seed * members + member
        fit = cp_als.fit(left, train, rank=rank, ridge=ridge, sweeps=sweeps, seed=start, progress=progress)
        model += cp_als.dense(fit.weights, fit.factors) / members
    return anomaly.restore(model)


def cp_kriged(
    cube: Cube,
    train: Mask,
    wanted: Mask | None = None,
    *,
    rank: int,
    ridge: float,
    members: int = MEMBERS,
    seed: int = 0,
    neighbours: int = RESIDUAL_NEIGHBOURS,
    transform: Transform = "none",
) -> Floats:
    """CP, and what it leaves of each day's cells kriged to the others.

    The residuals' variogram is seen on cells held out under clouds from a fit of their own: on cells that were fitted,
    residuals are smaller and less alike than the errors in a gap.
    """
    model = cp(cube, train, rank=rank, ridge=ridge, members=members, seed=seed, transform=transform)
    held = cloud_patterns(train, cube.days, seed=seed + 2 * VALIDATION)
    apart = cp(cube, held.train, rank=rank, ridge=ridge, seed=seed, transform=transform)
    variogram = residual_variogram(cube, held.test, apart, seed=seed)
    return add_residuals(cube, train, model, wanted, variogram=variogram, neighbours=neighbours)


def residual_variogram(cube: Cube, cells: Mask, model: Floats, *, seed: int = 0) -> Variogram:
    """The variogram of an estimate's errors on some cells, from SAMPLE_DAYS days that have many of them."""
    full = np.flatnonzero(cells.sum((1, 2)) >= FEW)
    full = full if full.size else np.flatnonzero(cells.any((1, 2)))
    some = np.random.default_rng(seed).permutation(full)[:SAMPLE_DAYS]
    error = cube.values - model
    return Variogram.of([(cube.places[cells[day].ravel()], error[day][cells[day]]) for day in some], seed=seed)


def add_residuals(
    cube: Cube,
    train: Mask,
    model: Floats,
    wanted: Mask | None = None,
    *,
    variogram: Variogram,
    neighbours: int = RESIDUAL_NEIGHBOURS,
) -> Floats:
    """Correct an estimate by simple kriging of its residuals, day by day.

    Parameters
    ----------
    cube, train
    model : (days, rows, columns)
    wanted : bool, same shape, optional
        Cells to correct; by default all. Far from observations the correction fades to nothing.
    variogram : Variogram
        Of the residuals, for the whole record.
    neighbours : int
    """
    out = model.copy()
    for day, here, known, asked in _days(cube, train, wanted):
        left = (cube.values[day] - model[day])[train[day]].astype(np.float64)
        out[day].ravel()[asked] += krige(here[known], left, here[asked], variogram, neighbours=neighbours, mean=0.0)
    return out


def choose(
    cube: Cube,
    train: Mask,
    *,
    ranks: Sequence[int] = RANKS,
    ridges: Sequence[float] = RIDGES,
    seed: int = 0,
    method: Callable[..., Floats] = cp,
    known: Mapping[tuple[int, float], float] | None = None,
    scored: Callable[[int, float, float], None] | None = None,
) -> Choice:
    """Choose rank and ridge under clouds of other days, on validation cells taken from `train`.

    Parameters
    ----------
    cube : Cube
    train : bool (days, rows, columns)
        Cells that may be used. Test cells are not among them, so that the choice knows nothing of them.
    ranks, ridges : sequences
        For each ridge, ranks are tried from the lowest on until they only get worse. Rank 0 has no ridge: it is tried
        once, as ``(0, 0.0)``, and chosen where no factors fill better than the climatology does.
    seed : int
        Of the clouds and of the fits.
    method : function, optional
        ``cp`` or ``cp_kriged``.
    known : mapping of (rank, ridge) to RMSE, optional
        Pairs that need not be fitted again.
    scored : function of (rank, ridge, RMSE), optional
        Called after each pair fitted.
    """
    held = cloud_patterns(train, cube.days, seed=seed + VALIDATION)
    asked = held.test.copy()
    asked[np.arange(len(asked)) % max(1, int(held.test.sum()) // ENOUGH) > 0] = False
    asked = asked if asked.any() else held.test
    truth, known, scores = cube.values[asked].astype(np.float64), dict(known or {}), {}
    for ridge in map(float, ridges):
        row: list[float] = []
        for rank in sorted(ranks):
            pair = (rank, ridge if rank else 0.0)
            if pair not in known:
                estimate = method(cube, held.train, asked, rank=rank, ridge=pair[1], seed=seed)[asked]
                known[pair] = float(np.sqrt(np.mean((estimate - truth) ** 2)))
                if scored is not None:
                    scored(*pair, known[pair])
            scores[pair] = known[pair]
            row.append(scores[pair])
            if len(row) > RISES and min(row[-RISES:]) > min(row[:-RISES]):
                break
    return Choice(*min(scores, key=lambda pair: (scores[pair], pair)), scores)


def _base(values: Floats, train: Mask) -> Floats:
    if not train.any():
        raise ValueError("expected cells to learn from, got none")
    total = np.where(train, values, 0).sum(0, dtype=np.float64)
    mean = total.sum() / train.sum()
    return np.asarray((total + SHRINK * mean) / (train.sum(0) + SHRINK), np.float32)


def _unit(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """A coordinate as -1 to 1."""
    return np.asarray((degrees - degrees.mean()) / (np.ptp(degrees) / 2 or 1.0))


def _days(
    cube: Cube, train: Mask, wanted: Mask | None
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Day, all cells' places, which of them are known and which asked for."""
    here = cube.places
    everywhere = np.ones(len(here), bool)
    for day, seen in enumerate(train):
        asked = everywhere if wanted is None else wanted[day].ravel()
        if asked.any():
            yield day, here, seen.ravel(), asked
