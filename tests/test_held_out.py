"""Cells held out: only observed ones, none twice, seeded; clouds come from days far enough away."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.training.held_out import cloud_patterns, random_cells


@pytest.fixture(scope="module")
def observed():
    """Simulated: each day a rectangle of clouds of its own, days 7 and 8 without anything or nearly so."""
    rng, seen = np.random.default_rng(0), np.ones((90, 10, 12), bool)
    for day in seen:
        top, left = rng.integers(0, 8), rng.integers(0, 9)
        day[top : top + rng.integers(1, 6), left : left + rng.integers(1, 7)] = False
    seen[7], seen[8] = False, False
    seen[8, 0, :3] = True
    return seen


def parts(observed, held):
    assert not (held.train & held.test).any()
    np.testing.assert_array_equal(held.train | held.test, observed)


def test_clouds_are_those_of_a_day_far_enough_away(observed):
    days = np.cumsum(np.random.default_rng(1).integers(1, 3, 90)).astype(float)
    held = cloud_patterns(observed, days, seed=0)
    parts(observed, held)
    for day in range(90):
        if not held.test[day].any():
            continue
        donors = [d for d in range(90) if (held.train[day] == observed[day] & observed[d]).all()]
        assert any(abs(days[d] - days[day]) >= 30 for d in donors)


def test_near_days_give_no_clouds(observed):
    """Where only neighbours within 30 days have clouds, nothing is hidden."""
    seen = np.ones((70, 4, 4), bool)
    seen[30:40, :2] = False
    held = cloud_patterns(seen, seed=0)
    assert not held.test[20:50].any()
    assert held.test[[0, 69]].sum() in (0, 8, 16)


def test_enough_stays_or_the_day_is_not_tested(observed):
    held = cloud_patterns(observed, seed=0)
    left = held.train.mean((1, 2))
    assert not held.test[[7, 8]].any()
    assert (left[held.test.any((1, 2))] >= 0.05).all()
    strict = cloud_patterns(observed, seed=0, least=0.6)
    assert (strict.train.mean((1, 2))[strict.test.any((1, 2))] >= 0.6).all()


def test_seeds(observed):
    same, again, other = (cloud_patterns(observed, seed=s).test for s in (0, 0, 1))
    assert (same == again).all()
    assert (same != other).any()
    same, again, other = (random_cells(observed, seed=s).test for s in (0, 0, 1))
    assert (same == again).all()
    assert (same != other).any()


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_random_share(observed, share):
    held = random_cells(observed, share, seed=3)
    parts(observed, held)
    assert held.test.sum() / observed.sum() == pytest.approx(share, abs=0.02)


def test_refused(observed):
    with pytest.raises(ValueError, match="at least 30 days, got 19"):
        cloud_patterns(observed[:20], seed=0)
    with pytest.raises(ValueError, match="each of 90 days"):
        cloud_patterns(observed, np.arange(3), seed=0)
    with pytest.raises(ValueError, match="both sides"):
        cloud_patterns(np.ones((90, 3, 3), bool), seed=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_cells(observed, 1.0, seed=0)
