"""Rank and ridge for filling gaps, found under clouds of other days, with a journal of what was tried already.

Stage: gap_filling.choose -> **rank_selection** -> low_rank_candidates. A search takes minutes to hours; every finished
score is appended to the journal at once, so that a search that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError

__all__ = ["Selection", "select_rank"]

Pair = tuple[int, float]


@dataclass(frozen=True)
class Selection:
    """What was chosen, and why.

    Parameters
    ----------
    rank : int
        0: climatology alone, since no factors filled held-out cells better.
    ridge : float
    scores : mapping of (rank, ridge) to float
        Root mean square error on held-out cells, in the values' units.
    mask : str
        SHA-256 of the bit-packed mask that the cells were held out of.
    """

    rank: int
    ridge: float
    scores: Mapping[Pair, float]
    mask: str

    def about(self) -> dict[str, Any]:
        """For the store, as JSON."""
        rows = [[rank, ridge, float(f"{score:.6g}")] for (rank, ridge), score in sorted(self.scores.items())]
        return {"held_out": "cloud patterns of other days", "rank_ridge_rmse": rows, "mask_sha256": self.mask}


def select_rank(
    values: NDArray[Any],
    *,
    ranks: Sequence[int] | None = None,
    ridges: Sequence[float] | None = None,
    seed: int = 0,
    sweeps: int = 40,
    anomaly: Mapping[str, Any] | None = None,
    days: NDArray[Any] | None = None,
    journal: Path | None = None,
    note: Callable[[str], None] = lambda sentence: None,
    tick: Callable[..., None] | None = None,
) -> Selection:
    """Fit under clouds of other days and take the pair that fills the held-out cells best.

    Parameters
    ----------
    values : (days, rows, columns)
        NaN where nothing was observed.
    ranks, ridges : sequence, optional
        By default those of `gap_filling.choose`, which tries them.
    seed, sweeps : int
        Of the clouds and the fits.
    anomaly : mapping, optional
        ``transform`` and ``offset`` of the fit.
    days : (days,), optional
        Their numbers; by default they follow one another.
    journal : path, optional
        Read first, appended to after each fit. One of other data or options is begun anew.
    note : callable
        Told about each score.
    tick : callable, optional
        Called after each sweep; may raise to stop.

    Raises
    ------
    RequestError
        If the array is no cube of days, or no day has clouds that leave enough of another.
    """
    from adiabat.training import gap_filling

    if values.ndim != 3:
        raise RequestError(f"the rank is found on days x rows x columns, and this has {values.ndim} axes: give --rank")
    number = np.arange(len(values), dtype=np.float64) if days is None else np.asarray(days, np.float64)
    rows, columns = (np.arange(size, dtype=np.float64) for size in values.shape[1:])  # CP does not ask where cells are
    cube = gap_filling.Cube(np.asarray(values, np.float32), rows, columns, number)
    mask = hashlib.sha256(np.packbits(cube.observed).tobytes()).hexdigest()
    options = dict(anomaly or {})
    identity = {"mask": mask, "values": _digest(values), "seed": seed, "sweeps": sweeps, **options}
    known = _read(journal, identity)

    def scored(rank: int, ridge: float, rmse: float) -> None:
        _append(journal, identity, rank, ridge, rmse)
        note(_sentence(rank, ridge, rmse))

    for pair, rmse in known.items():
        note(_sentence(*pair, rmse))
    try:
        choice = gap_filling.choose(
            cube,
            cube.observed,
            ranks=gap_filling.RANKS if ranks is None else ranks,
            ridges=gap_filling.RIDGES if ridges is None else ridges,
            seed=seed,
            method=partial(gap_filling.cp, sweeps=sweeps, progress=tick, **options),
            known=known,
            scored=scored,
        )
    except ValueError as error:
        raise RequestError(f"no rank can be found by holding out clouds: {error}; give --rank") from error
    return Selection(choice.rank, choice.ridge, choice.scores, mask)


def _sentence(rank: int, ridge: float, rmse: float) -> str:
    what = f"rank {rank}, ridge {ridge:g}" if rank else "climatology alone"
    return f"{what}: RMSE {rmse:.5g} under clouds of other days"


def _digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _read(journal: Path | None, identity: Mapping[str, Any]) -> dict[Pair, float]:
    """Scores of a journal of the same data and options; a line that was cut short is left out."""
    if journal is None or not journal.is_file():
        return {}
    lines = journal.read_text().splitlines()
    scores: dict[Pair, float] = {}
    for number, line in enumerate(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if number == 0 and entry != identity:
            return {}
        if number:
            scores[int(entry["rank"]), float(entry["ridge"])] = float(entry["rmse"])
    return scores


def _append(journal: Path | None, identity: Mapping[str, Any], rank: int, ridge: float, rmse: float) -> None:
    """Add a line, after the first, which says what the journal is about."""
    if journal is None:
        return
    if not _read(journal, identity):
        journal.write_text(json.dumps(identity) + "\n")
    cut = not journal.read_text().endswith("\n")
    with journal.open("a") as file:
        file.write("\n" if cut else "")
        file.write(json.dumps({"rank": rank, "ridge": ridge, "rmse": rmse}) + "\n")
        file.flush()
        os.fsync(file.fileno())
