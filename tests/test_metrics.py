"""Errors against bounds: bad codecs are caught, each value is held against its own bound."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adiabat.formats.metrics import ErrorSummary


def wave(*shape):
    index = np.indices(shape).sum(axis=0)
    return (280 + 9 * np.sin(index / 7) + 0.3 * np.random.default_rng(1).normal(size=shape)).astype("f4")


def zero(x):
    return np.zeros_like(x)


def off_by_a_hair(x):
    return x + np.float64(0.1000001)


def lose_nan(x):
    return np.nan_to_num(x, nan=0.0)


def add_nan(x):
    y = x.copy()
    y.flat[5] = np.nan
    return y


def move_infinity(x):
    y = x.copy()
    y[0, 0] = np.inf
    return y


@pytest.mark.parametrize("bad", [zero, off_by_a_hair, lose_nan, add_nan, move_infinity])
@pytest.mark.parametrize("bound", [{"abs": 0.1}, {"rel": 1e-4}, "lossless"])
def test_metrics_catch_bad_codecs(bad, bound):
    x = wave(6, 9).astype("f8")
    x[3, 3] = np.nan
    errors = ErrorSummary(bound)
    errors.add(x, x.copy())
    assert errors.violations == 0
    errors.add(x, bad(x), offset=(100, 0))
    assert errors.violations > 0
    assert errors.worst_index[0] >= 100


def test_metrics_hold_a_signed_zero_and_a_relative_zero_apart():
    errors = ErrorSummary("lossless")
    errors.add(np.array([0.0]), np.array([-0.0]))
    assert errors.violations == 1
    errors = ErrorSummary({"rel": 0.5})
    errors.add(np.array([0.0, 1.0]), np.array([1e-30, 1.5]))
    assert (errors.violations, errors.worst_index) == (1, (0,))


def test_metrics_hold_each_value_against_its_own_bound():
    sizes = [1.0, 10.0, 100.0]
    errors = ErrorSummary({"abs": sizes, "axis": -2})
    x = np.zeros((4, 3, 5))
    error = np.broadcast_to(np.array(sizes)[:, None], x.shape).copy()
    for start in range(0, 3, 2):  # blocks of the bounded axis too
        errors.add(x[:, start : start + 2], error[:, start : start + 2], (0, start, 0))
    assert (errors.violations, errors.used, errors.max_error, errors.limit) == (0, 1.0, 100.0, 100.0)
    error[3, 1, 2] = 11
    errors.add(x[:, 1:], error[:, 1:], (0, 1, 0))
    assert (errors.violations, errors.used, errors.worst_index) == (1, 1.1, (3, 1, 2))
    assert errors.worst_values == (0, 11)


def test_metrics_against_a_closed_form():
    errors = ErrorSummary({"abs": 1.0})
    for start in range(0, 100, 10):
        x = np.arange(start, start + 10.0)
        errors.add(x, x + np.where(x % 2, 0.5, -0.25), (start,))
    assert errors.rmse == pytest.approx(math.sqrt((0.25 + 0.0625) / 2))
    assert (errors.max_error, errors.used, errors.values) == (0.5, 0.5, 100)


def test_metrics_mean_error_is_absolute_or_a_share_of_the_magnitude():
    source, stored = np.array([1.0, -3.0, np.nan, 4.0]), np.array([1.5, -3.5, np.nan, 4.0])
    for bound, mean in (({"abs": 1.0}, 1 / 3), ({"rel": 0.5}, 1 / 8)):
        errors = ErrorSummary(bound, mean=0.2)
        errors.add(source[:2], stored[:2])
        errors.add(source[2:], stored[2:], offset=(2,))
        assert errors.mean_error == pytest.approx(mean)
        assert errors.sum_of_magnitudes == 8
    assert ErrorSummary({"abs": 1.0}).mean_error == 0


def test_metrics_count_what_left_the_valid_range_not_what_was_never_in_it():
    source = np.array([0.0, 1.0, -0.1, 1.2, 0.5, np.nan])
    stored = np.array([-0.01, 1.01, -0.2, 1.3, 0.5, np.nan])
    for limits, count in (((0, 1), 2), ((0, None), 1), ((None, 1), 1), (None, 0)):
        errors = ErrorSummary({"abs": 1.0}, valid_range=limits)
        errors.add(source, stored)
        assert errors.outside == count
