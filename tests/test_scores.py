"""Scores by hand, at their limits, and what they do not depend on."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from adiabat.training import scores as scores_module
from adiabat.training.scores import Scores


def test_example():
    assert doctest.testmod(scores_module).failed == 0


def test_by_hand():
    """O = 1, 2, 3 about 2; P = 1, 2, 5: the only error is 2; |P - 2| + |O - 2| = 2, 0, 4."""
    scores = Scores.of([1.0, 2.0, 5.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    assert scores.ioa == pytest.approx(1 - 4 / 20)
    assert scores.refined == pytest.approx(1 - 2 / 4)
    assert scores.rmse == pytest.approx(math.sqrt(4 / 3))
    assert scores.bias == pytest.approx(2 / 3)
    assert scores.r == pytest.approx(scores.anomaly_r) == pytest.approx(np.corrcoef([1, 2, 5], [1, 2, 3])[0, 1])
    assert scores.count == 3


def test_perfect_and_useless():
    truth, base = np.arange(10.0), np.zeros(10)
    perfect = Scores.of(truth, truth, base)
    assert (perfect.ioa, perfect.refined, perfect.rmse, perfect.bias) == (1, 1, 0, 0)
    assert perfect.r == pytest.approx(1)
    mean = Scores.of(np.full(10, truth.mean()), truth, base)
    assert (mean.ioa, mean.refined) == (0, 0.5)
    assert math.isnan(mean.r)
    assert Scores.of(truth + 1000, truth, base).refined == pytest.approx(-1, abs=0.01)


def test_climatology_alone_correlates_but_not_its_anomalies():
    rng = np.random.default_rng(0)
    base = np.tile(10 * rng.standard_normal(50), 40)
    truth = base + rng.standard_normal(2000)
    scores = Scores.of(base + 0.1 * rng.standard_normal(2000), truth, base)
    assert scores.r > 0.98
    assert abs(scores.anomaly_r) < 0.1


def test_units_do_not_matter_even_small_ones():
    rng = np.random.default_rng(1)
    truth, base = rng.standard_normal(500), np.zeros(500)
    estimate = truth + 0.3 * rng.standard_normal(500)
    plain, small = Scores.of(estimate, truth, base), Scores.of(1e-5 * estimate, 1e-5 * truth, base)
    assert (plain.ioa, plain.r) == pytest.approx((small.ioa, small.r))
    assert small.rmse == pytest.approx(1e-5 * plain.rmse)


@pytest.mark.parametrize(
    ("estimate", "truth", "message"),
    [
        ([1.0], [1.0, 2.0], "as many cells"),
        ([], [], "one or more"),
        ([np.nan, 1.0], [1.0, 2.0], "1 estimates that are not"),
    ],
)
def test_refused(estimate, truth, message):
    with pytest.raises(ValueError, match=message):
        Scores.of(estimate, truth, truth)
