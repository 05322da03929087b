"""Derived series: against SciPy and polyfit, with holes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adiabat.formats.derived_series import ensemble_spread, linear_trend, wet_days


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def test_trend_against_scipy_with_holes(rng):
    years = np.arange(1890, 1930) + 0.5
    values = rng.normal(280, 1, (40, 3, 4)) + 0.03 * years[:, None, None]
    values[rng.random(values.shape) < 0.2] = np.nan
    expected = [
        stats.linregress(years[~np.isnan(series)], series[~np.isnan(series)]).slope
        for series in values.reshape(40, -1).T
    ]
    assert np.allclose(linear_trend(values, years).ravel(), expected, rtol=1e-9)
    straight = 5 - 0.25 * years
    assert float(linear_trend(straight, years)) == pytest.approx(-0.25, rel=1e-12)
    values[2:, 0, 0] = np.nan
    assert np.isnan(linear_trend(values, years)[0, 0])
    assert np.isnan(linear_trend(np.zeros((0, 2)), [])).all()
    with pytest.raises(ValueError, match="one year for each"):
        linear_trend(values, years[1:])


def test_wet_days_count_what_is_known(rng):
    daily = rng.gamma(0.5, 4, (30, 6))
    daily[3, 2] = np.nan
    daily[:, 5] = np.nan
    expected = [sum(1 for value in series if value > 1) for series in daily.T[:5]]
    assert wet_days(daily)[:5].tolist() == expected
    assert np.isnan(wet_days(daily)[5])
    assert (wet_days(daily, threshold=10)[:5] < wet_days(daily)[:5]).all()


def test_spread_is_that_of_the_gaussian_it_was_drawn_from(rng):
    members = rng.normal(0, 3, (2000, 5))
    assert np.allclose(ensemble_spread(members), 3, rtol=0.06)
    assert np.allclose(ensemble_spread(members[:2]), np.abs(members[0] - members[1]) / 2**0.5)
    with pytest.raises(ValueError, match="two members"):
        ensemble_spread(members[:1])
