"""DINEOF: finds few functions where there are few, stops on its own validation, and fits a constant."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.training import dineof


@pytest.fixture(scope="module")
def simulated():
    """Simulated: three functions, noise of a tenth, half of the cells missing."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((120, 3)) @ rng.standard_normal((3, 150)) / np.sqrt(3)
    x = (truth + 0.1 * rng.standard_normal(truth.shape)).astype(np.float32)
    return truth, x, rng.random(truth.shape) < 0.5


def test_finds_the_functions_there_are(simulated):
    truth, x, observed = simulated
    filled = dineof.fill(x, observed)
    assert filled.functions == 3
    error = (filled.values - truth)[~observed]
    assert np.sqrt(np.mean(error**2)) < 0.05
    assert filled.scores[3] < filled.scores[2] < filled.scores[1] < filled.scores[0]


def test_what_is_not_observed_is_ignored(simulated):
    _, x, observed = simulated
    other = np.where(observed, x, np.float32(np.nan))
    np.testing.assert_array_equal(dineof.fill(x, observed).values, dineof.fill(other, observed).values)


def test_given_validation_cells_decide_and_then_take_part(simulated):
    _, x, observed = simulated
    validation = observed & (np.random.default_rng(5).random(x.shape) < 0.1)
    filled = dineof.fill(x, observed, validation=validation)
    assert filled.functions == 3
    wrong = x + np.where(validation, 50, 0).astype(np.float32) * np.random.default_rng(1).standard_normal(x.shape)
    spoilt = dineof.fill(wrong.astype(np.float32), observed, validation=validation)
    assert not np.allclose(spoilt.values, filled.values, atol=0.1)


def test_noise_has_no_functions():
    rng = np.random.default_rng(0)
    x, observed = rng.standard_normal((80, 90)).astype(np.float32), rng.random((80, 90)) < 0.6
    filled = dineof.fill(x, observed)
    assert filled.functions == 0
    assert not filled.values.any()


def test_zeros_and_days_without_anything(simulated):
    _, x, observed = simulated
    assert not dineof.fill(np.zeros_like(x), observed).values.any()
    gone = observed.copy()
    gone[5], gone[:, 7] = False, False
    assert np.isfinite(dineof.fill(x, gone).values).all()


def test_refused(simulated):
    _, x, observed = simulated
    with pytest.raises(ValueError, match="as large a mask"):
        dineof.fill(x, observed[:-1])
    with pytest.raises(ValueError, match="to fit and to validate"):
        dineof.fill(x, np.zeros_like(observed))
