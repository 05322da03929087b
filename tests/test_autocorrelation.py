"""Autocorrelation by lag and scores along a walk: autoregressive series of known memory, holes, drift."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.autocorrelation import autocorrelation, score_walk


def remembering(memory, times, shape, seed=0):
    """An autoregressive series of the first order, variance 1."""
    rng = np.random.default_rng(seed)
    series = rng.normal(size=(times, *shape))
    for time in range(1, times):
        series[time] = memory * series[time - 1] + np.sqrt(1 - memory**2) * series[time]
    return series


@pytest.mark.parametrize("memory", [0.0, 0.6, 0.9])
def test_a_series_of_known_memory(memory):
    found = autocorrelation(remembering(memory, 2000, (8, 8)), 6)
    assert found == pytest.approx(memory ** np.arange(7), abs=0.02)


def test_one_cell_is_numpys_correlation_of_the_whole_series():
    series = remembering(0.5, 400, (1,))
    about = series[:, 0] - series.mean()
    expected = [np.sum(about[k:] * about[: 400 - k]) for k in range(4)]
    expected = [e / np.sqrt(np.sum(about[k:] ** 2) * np.sum(about[: 400 - k] ** 2)) for k, e in enumerate(expected)]
    assert autocorrelation(series, 3) == pytest.approx(expected, rel=1e-12)


def test_means_of_cells_do_not_count():
    series = remembering(0.7, 300, (10, 10))
    climate = 1e3 * np.random.default_rng(1).normal(size=(10, 10))
    assert autocorrelation(series + climate, 5) == pytest.approx(autocorrelation(series, 5), abs=1e-9)


def test_holes_are_left_out_with_their_pairs():
    series = remembering(0.8, 1000, (8, 8))
    gappy = np.where(np.random.default_rng(2).random(series.shape) < 0.4, np.nan, series)
    assert autocorrelation(gappy, 4) == pytest.approx(0.8 ** np.arange(5), abs=0.03)


def test_without_change_there_is_none():
    assert np.isnan(autocorrelation(np.ones((5, 3, 3)), 2)).all()
    with pytest.raises(ValueError, match="lags of 1 to 4 for 5 times, got 5"):
        autocorrelation(np.ones((5, 3, 3)), 5)


def test_a_walk_that_drifts_and_forgets():
    truth = remembering(0.9, 30, (16, 20))
    drift = np.linspace(0, 1, 30)[:, None, None]
    found = score_walk(truth, truth + drift)
    assert found.rmse == pytest.approx(np.linspace(0, 1, 30), abs=1e-9)
    assert found.top_octave == pytest.approx(np.ones(30))
    assert found.r2[0] == 1 > found.r2[-1]
    forgetful = score_walk(truth, remembering(0.0, 30, (16, 20), seed=1), lags=8)
    assert forgetful.truth.shape == (9,)
    assert forgetful.autocorrelation_error > 0.3
    assert score_walk(truth, truth).autocorrelation_error == 0
    assert set(found.as_dict()) == {"rmse", "r2", "top_octave", "truth", "generated", "autocorrelation_error"}


def test_a_walk_of_other_shapes():
    with pytest.raises(ValueError, match=r"two series \(step, y, x\) of one shape"):
        score_walk(np.zeros((3, 8, 8)), np.zeros((4, 8, 8)))
