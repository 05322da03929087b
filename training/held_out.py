"""Cells held out of a cube to see how well gaps are filled: under the clouds of other days, or at random.

Beside gap_filling. Clouds leave whole regions empty, and random holes always have neighbours: a method, its rank and
its ridge are to be chosen under clouds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]

APART = 30.0  # days between a day and the one whose clouds it is given
LEAST = 0.05  # of a day's cells must stay in training


class HeldOut(NamedTuple):
    """Observed cells in two parts, (day, latitude, longitude)."""

    train: Mask
    test: Mask


def cloud_patterns(
    observed: Mask, days: ArrayLike | None = None, *, seed: int, apart: float = APART, least: float = LEAST
) -> HeldOut:
    """Hide from each day what another day's clouds hid.

    Parameters
    ----------
    observed : (day, latitude, longitude)
    days : (day,), optional
        Day numbers; by default the days follow one another.
    seed : int
        Of the donor days, drawn for each day among those at least `apart` days away.
    apart : float
    least : float
        Share of all cells that must stay: donors that leave less are passed over. A day without any donor, or with
        less to begin with, keeps all it has and is not tested.

    Raises
    ------
    ValueError
        If the record is too short for donors, or no cell could be held out.
    """
    number = np.arange(len(observed), dtype=np.float64) if days is None else np.asarray(days, np.float64)
    if number.shape != observed.shape[:1]:
        raise ValueError(f"expected a number for each of {len(observed)} days, got {number.shape}")
    if not number.size or np.ptp(number) < apart:
        raise ValueError(f"expected a record of at least {apart:g} days, got {np.ptp(number) if number.size else 0:g}")
    rng, train = np.random.default_rng(seed), observed.copy()
    for day, seen in enumerate(observed):
        if seen.mean() < least:
            continue
        for donor in rng.permutation(np.flatnonzero(np.abs(number - number[day]) >= apart)):
            left = seen & observed[donor]
            if left.mean() >= least:
                train[day] = left
                break
    return _parted(observed, train)


def random_cells(observed: Mask, share: float = 0.5, *, seed: int) -> HeldOut:
    """Hold out a share of the observed cells, drawn one by one."""
    if not 0 < share < 1:
        raise ValueError(f"expected a share between 0 and 1, got {share}")
    return _parted(observed, observed & (np.random.default_rng(seed).random(observed.shape) >= share))


def _parted(observed: Mask, train: Mask) -> HeldOut:
    test = observed & ~train
    if not test.any() or not train.any():
        raise ValueError(f"expected cells on both sides, got {train.sum()} to train on and {test.sum()} to test")
    return HeldOut(train, test)
