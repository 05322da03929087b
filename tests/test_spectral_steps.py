"""Lengths of steps and predictions: exact numbers, fits below twice the limits, ranges in which nothing overflows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import CorruptStreamError
from adiabat.codec.spectral_basis import Basis
from adiabat.codec.spectral_steps import COARSE, FARTHEST, FARTHEST_TERM, FINE, NONE, Steps, octaves, octaves_below


@quick
@given(st.integers(-8000, 8000), st.sampled_from([COARSE, FINE]))
def test_octaves(index, parts):
    value = float(octaves(np.array([index]), parts)[0])
    octave, rest = divmod(index, parts)
    assert value == 2.0**octave * (1 + rest / parts)
    if abs(index // parts) < 1000:
        assert abs(np.log2(value) - index / parts) < 0.09
        assert octaves_below(np.array([value]), parts)[0] == index
        assert octaves_below(np.array([np.nextafter(value, 0)]), parts)[0] == index - 1


@pytest.mark.parametrize(("read", "shot", "share"), [(1, 0, 0), (0.3, 0.2, 0), (0.1, 0, 0.02), (0.2, 0.1, 0.001)])
def test_fitted_lengths_are_just_below_twice_the_limits(read, shot, share):
    rng = np.random.default_rng(0)
    y = rng.uniform(0, 50, (3, 500))
    limits = np.sqrt(read + shot * y + share * y * y) * np.array([[1.0], [8.0], [0.25]])
    scales = octaves_below(2 * np.array([1.0, 8.0, 0.25]), COARSE)
    steps = Steps.fit(scales, limits, None, lambda part: y[part])
    lengths = steps.scale[:, None] * steps.lengths(y, slice(0, 3))
    assert (lengths <= 2 * limits).all()
    assert np.mean(lengths / limits) > 1.97
    assert (Steps.read(steps.integers).integers == steps.integers).all()


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf, 1e-300, 1e300])
def test_limits_that_are_none_are_left_out(wrong):
    limits = np.full((2, 100), 0.5)
    limits[:, ::2], limits[1] = wrong, wrong
    with np.errstate(over="ignore"):
        steps = Steps.fit(np.zeros(2, np.int64), limits, None, lambda _: np.ones((1, 100)))
    Steps.read(steps.integers)
    assert 0.99 < steps.lengths(np.ones((2, 1)), slice(0, 2))[0, 0] <= 1.0


def test_nothing_overflows_within_the_ranges():
    ends = [[-FARTHEST * COARSE, FARTHEST * COARSE], *[[-FARTHEST_TERM * FINE, FARTHEST_TERM * FINE]] * 3]
    steps = Steps.read(np.array(ends, np.int64))
    lengths = steps.lengths(np.array([[-(2.0**180), 0.0, 2.0**180]] * 2), slice(0, 2))
    assert np.isfinite(lengths).all()
    assert (lengths > 0).all()
    assert np.isfinite(2.0**31 * lengths + 2.0**180).all()


@pytest.mark.parametrize("place", range(4))
def test_steps_out_of_range_are_refused(place):
    for beyond in (FARTHEST * COARSE + 1 if place == 0 else FARTHEST_TERM * FINE + 1, NONE - 1):
        integers = np.zeros((4, 3), np.int64)
        integers[place, 1] = beyond
        with pytest.raises(CorruptStreamError, match="expected scales"):
            Steps.read(integers)


def test_a_constant_term_is_needed():
    with pytest.raises(CorruptStreamError, match="expected scales"):
        Steps.read(np.array([[0], [NONE], [0], [0]]))
    Steps.read(np.array([[0], [0], [NONE], [NONE]]))


@quick
@given(st.integers(0, 9), st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_predictions_are_exact(count, channels, pixels, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-(2**12), 2**12, (count + 1, channels))
    exponents, n = rng.integers(-20, 0, count + 1), rng.integers(-(2**15), 2**15, (count, pixels))
    basis = Basis(rows, exponents)
    basis.check(n)
    unit = int(exponents.min())
    for j in range(channels):
        for p in range(pixels):
            exact = sum(int(w) << int(e) - unit for w, e in [(rows[0, j], exponents[0])])
            exact += sum((int(rows[i + 1, j]) << int(exponents[i + 1]) - unit) * int(n[i, p]) for i in range(count))
            assert basis.predict(n, slice(j, j + 1))[0, p] == exact * 2.0**unit


def test_predictions_that_would_not_be_exact_are_refused():
    basis = Basis(np.array([[1], [1 << 20]]), np.zeros(2, np.int64))
    basis.check(np.array([[(1 << 33) - 1]]))
    with pytest.raises(CorruptStreamError, match="below 2"):
        basis.check(np.array([[1 << 33]]))
    with pytest.raises(CorruptStreamError, match="within 52"):
        Basis(np.zeros((2, 1), np.int64), np.array([0, 53]))
