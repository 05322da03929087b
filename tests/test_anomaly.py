"""Anomalies: what is removed comes back, in the log model with its tangent too."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.training.anomaly import FLOOR, Anomaly


def cube(seed=0, shape=(40, 6, 7)):
    """Positive values with a season, a map and gaps (NaN): float32 (day, lat, lon)."""
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(size=shape[1:]) + 0.3 * rng.normal(size=shape) + rng.normal(size=(shape[0], 1, 1)))
    values[rng.random(shape) < 0.4] = np.nan
    return (1e-4 * values).astype(np.float32)


@pytest.mark.parametrize("transform", ["none", "log"])
@pytest.mark.parametrize("offset", [False, True])
def test_what_is_removed_comes_back(transform, offset):
    values = cube()
    values[3, 2, 2:5] = [0, -2e-4, -1e-9]
    values[5] = np.nan
    anomaly = Anomaly.of(values, transform=transform, offset=offset)
    left = anomaly.remove(values)
    assert left.dtype == np.float32
    seen = np.isfinite(values)
    assert (np.isnan(left) == ~seen).all()
    np.testing.assert_allclose(anomaly.restore(left)[seen], values[seen], rtol=2e-6, atol=1e-10)
    assert np.std(left[seen]) == pytest.approx(1, abs=0.1)


def test_base_is_the_mean_of_what_was_observed():
    values = cube()
    anomaly = Anomaly.of(values)
    np.testing.assert_allclose(anomaly.base, np.nanmean(values.astype(np.float64), 0), rtol=1e-6)
    assert np.nanmean(anomaly.remove(values)) == pytest.approx(0, abs=1e-6)
    assert anomaly.scale == pytest.approx(np.nanstd(values - np.nanmean(values, 0)), rel=1e-5)


def test_offsets_are_found_where_each_day_sees_other_cells():
    rng = np.random.default_rng(1)
    base, offset = rng.normal(size=(8, 9)), rng.normal(size=(60, 1, 1))
    values = np.where(rng.random((60, 8, 9)) < 0.5, base + offset, np.nan)
    anomaly = Anomaly.of(values, offset=True)
    total = anomaly.base + anomaly.offset[:, None, None]
    assert np.sqrt(np.nanmean((total - base - offset) ** 2)) < 0.1
    assert anomaly.scale < 0.15


def test_log_of_positive_values_is_the_logarithm():
    values = cube()
    anomaly = Anomaly.of(values, transform="log", floor=1e-9)
    np.testing.assert_allclose(anomaly.base, np.nanmean(np.log(values.astype(np.float64) / 1e-9), 0), rtol=1e-5)


def test_log_goes_on_as_its_tangent_below_the_floor():
    anomaly = Anomaly("log", np.zeros((1, 5), np.float32), 1.0, None, 2.0)
    left = anomaly.remove(np.array([[[-2.0, 0, 1.999998, 2, 2 * np.e]]]))[0, 0]
    np.testing.assert_allclose(left, [-2, -1, -1e-6, 0, 1], atol=1e-9)
    steps = np.diff(anomaly.remove(np.linspace(-5, 5, 1000)[:, None, None] * np.ones((1, 1, 5)))[:, 0, 0])
    assert (steps > 0).all()


def test_default_floor_is_a_part_of_the_median_of_positive_values():
    values = np.array([[-5.0, 0, 4], [4, 8, np.nan]])
    assert Anomaly.of(values, transform="log").floor == FLOOR * 4


def test_unobserved_values_do_not_count():
    values, observed = cube(), np.isfinite(cube())
    filled = np.where(observed, values, 1e30).astype(np.float32)
    plain, masked = Anomaly.of(values, transform="log"), Anomaly.of(filled, observed, transform="log")
    np.testing.assert_array_equal(plain.base, masked.base)
    assert plain.scale == masked.scale


def test_cells_never_observed_have_the_mean_of_all():
    values = cube()
    values[:, 2, 3] = np.nan
    anomaly = Anomaly.of(values)
    assert anomaly.base[2, 3] == pytest.approx(np.nanmean(values), rel=1e-5)


def test_part_of_a_cube_is_restored_by_its_index():
    values = cube()
    anomaly = Anomaly.of(values, offset=True, transform="log")
    left = np.nan_to_num(anomaly.remove(values))
    index = (np.array([7, 1, 30]), slice(1, 5, 2), np.array([6, 0]))
    part = anomaly.restore(left[index[0]][:, index[1]][:, :, index[2]], index)
    np.testing.assert_array_equal(part, anomaly.restore(left)[index[0]][:, index[1]][:, :, index[2]])


@pytest.mark.parametrize(
    "values", [np.full((5, 3, 4), 2.5), np.where(np.arange(60).reshape(5, 3, 4) == 7, 3.5, np.nan)]
)
def test_constant_cells_and_one_observation(values):
    for transform in ("none", "log"):
        anomaly = Anomaly.of(values, transform=transform, offset=True)
        assert np.isfinite(anomaly.base).all()
        assert np.isfinite(anomaly.scale)
        seen = np.isfinite(values)
        np.testing.assert_allclose(anomaly.restore(anomaly.remove(values))[seen], values[seen], rtol=1e-6)
        assert np.isfinite(anomaly.restore(np.zeros(values.shape))).all()


@pytest.mark.parametrize("shape", [(30, 8), (12, 3, 4, 5)])
def test_any_number_of_axes(shape):
    values = np.random.default_rng(0).normal(size=shape)
    anomaly = Anomaly.of(values, offset=True)
    np.testing.assert_allclose(anomaly.restore(anomaly.remove(values)), values, atol=1e-6)


def test_what_cannot_be_modelled_is_refused():
    with pytest.raises(ValueError, match="expected observed cells"):
        Anomaly.of(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="expected positive values"):
        Anomaly.of(-np.ones((3, 4)), transform="log")
    with pytest.raises(ValueError, match="at least 2 axes"):
        Anomaly.of(np.ones(4))
    with pytest.raises(ValueError, match="bool mask of shape"):
        Anomaly.of(np.ones((3, 4)), np.ones((3, 5), bool))
    with pytest.raises(ValueError, match="expected transform"):
        Anomaly.of(np.ones((3, 4)), transform="sqrt")
    with pytest.raises(ValueError, match="scale above 0"):
        Anomaly("none", np.zeros(3, np.float32), 0.0)
    with pytest.raises(ValueError, match="finite base"):
        Anomaly("none", np.full(3, np.nan, np.float32), 1.0)
