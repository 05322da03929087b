"""Scores of values: against SciPy, closed forms of the Gaussian, pairs summed one by one, and with holes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from adiabat.formats.value_scores import crps, r2, rank_histogram, rmse, tail_wasserstein, wasserstein


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_rmse_and_r2_of_known_noise(rng):
    truth = rng.normal(3, 2, (200, 300))
    noise = rng.normal(0, 0.5, truth.shape)
    assert rmse(truth, truth + noise) == pytest.approx(np.sqrt(np.mean(noise**2)), rel=1e-12)
    assert r2(truth, truth + noise) == pytest.approx(1 - 0.25 / 4, abs=2e-3)
    assert r2(truth, np.full(truth.shape, truth.mean())) == pytest.approx(0, abs=1e-12)
    # Not the square of the correlation: a wrong scale costs.
    assert r2(truth, 3 * truth) < 0


def test_r2_of_a_large_mean_in_float32_loses_nothing(rng):
    truth = (280 + 0.01 * rng.normal(size=(50, 50))).astype(np.float32)
    estimate = truth + np.float32(0.005)
    expected = 1 - np.mean((estimate.astype(float) - truth) ** 2) / np.var(truth.astype(float))
    assert r2(truth, estimate) == pytest.approx(expected, rel=1e-9)


def test_holes_are_left_out(rng):
    truth, other = rng.normal(size=(2, 30, 40))
    members = rng.normal(size=(5, 30, 40))
    holes = rng.random(truth.shape) < 0.3
    cut, inf = np.where(holes, np.nan, truth), np.where(holes, np.inf, other)
    assert rmse(cut, other) == rmse(truth, inf) == pytest.approx(rmse(truth[~holes], other[~holes]))
    assert r2(cut, other) == pytest.approx(r2(truth[~holes], other[~holes]))
    assert crps(cut, members) == pytest.approx(crps(truth[~holes], members[:, ~holes]))
    one = members.copy()
    one[2][holes] = np.nan
    assert crps(truth, one) == pytest.approx(crps(cut, members))
    assert np.allclose(rank_histogram(cut, members), rank_histogram(truth[~holes], members[:, ~holes]))
    assert wasserstein(cut, other) == pytest.approx(wasserstein(truth[~holes], other))


def test_crps_of_one_member_is_the_mean_absolute_error(rng):
    truth, other = rng.normal(size=(2, 30, 40))
    assert crps(truth, other[None]) == pytest.approx(np.abs(truth - other).mean(), rel=1e-12)


@pytest.mark.parametrize("many", [2, 5, 16])
def test_crps_is_the_sum_over_pairs(rng, many):
    truth, members = rng.normal(size=20), rng.normal(size=(many, 20))
    pairs = sum(np.abs(a - b) for a in members for b in members) / (2 * many * (many - 1))
    expected = np.mean(np.abs(members - truth).mean(0) - pairs)
    assert crps(truth, members) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("many", [2, 4, 16])
@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.7, 0.5), (0.0, 2.0)])
def test_crps_of_a_gaussian_ensemble_is_the_closed_form_for_any_number_of_members(rng, many, mean, spread):
    """Gneiting and Raftery (2007), equation 21, averaged over a truth of N(0, 1)."""
    truth, members = rng.normal(size=100_000), rng.normal(mean, spread, (many, 100_000))
    z = (truth - mean) / spread
    closed = spread * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))
    assert crps(truth, members) == pytest.approx(closed.mean(), abs=0.012)


def test_rank_histogram_is_flat_of_a_reliable_ensemble_and_u_shaped_of_a_narrow_one(rng):
    truth, members = rng.normal(size=50_000), rng.normal(size=(7, 50_000))
    flat = rank_histogram(truth, members)
    assert flat.shape == (8,)
    assert flat.sum() == pytest.approx(1)
    assert np.abs(flat * 8 - 1).max() < 0.06
    narrow = rank_histogram(truth, 0.5 * members)
    assert narrow[0] > 1.5 / 8
    assert narrow[7] > 1.5 / 8
    assert narrow[4] < 1 / 8
    assert rank_histogram(truth + 10, members).tolist() == [0] * 7 + [1]


def test_rank_histogram_shares_ties_evenly():
    assert np.allclose(rank_histogram(np.zeros(3), np.zeros((4, 3))), 0.2)
    assert np.allclose(rank_histogram([0.0], [[0.0], [1.0], [-1.0]]), [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("sizes", [(500, 500), (500, 333), (50, 1)])
def test_wasserstein_equals_scipys(rng, sizes):
    truth, other = rng.gamma(2, size=sizes[0]), rng.normal(size=sizes[1])
    expected = stats.wasserstein_distance(truth, other) / truth.std()
    assert wasserstein(truth, other) == pytest.approx(expected, rel=1e-12)


def test_wasserstein_has_no_unit_and_no_place(rng):
    truth, other = rng.normal(size=(20, 30)), rng.gamma(2, size=(20, 30))
    assert wasserstein(1e-9 * truth + 300, 1e-9 * other + 300) == pytest.approx(wasserstein(truth, other), rel=1e-3)
    assert wasserstein(truth, truth[::-1, ::-1]) == 0
    assert wasserstein(truth, np.stack([truth, truth])) == pytest.approx(0, abs=1e-12)


def test_tail_sees_what_the_whole_hardly_does(rng):
    truth = rng.normal(size=100_000)
    capped = np.minimum(truth, np.quantile(truth, 0.99))
    expected = truth[truth > np.quantile(truth, 0.99)].mean() - np.quantile(truth, 0.99)
    assert tail_wasserstein(truth, capped) * truth.std() == pytest.approx(expected, rel=0.01)
    assert wasserstein(truth, capped) == pytest.approx(tail_wasserstein(truth, capped) / 100, rel=0.01)
    assert tail_wasserstein(truth, capped, quantile=0) == pytest.approx(wasserstein(truth, capped))


def test_tail_of_other_sizes_is_scipys_of_both_tails(rng):
    truth, other = rng.gamma(2, size=3000), rng.gamma(3, size=20_000)
    tails = np.sort(truth)[2970:], np.sort(other)[19_800:]
    assert tail_wasserstein(truth, other) == pytest.approx(stats.wasserstein_distance(*tails) / truth.std(), rel=1e-12)


def test_nothing_to_compare_is_nan_without_a_warning():
    gone = np.full((3, 4), np.nan)
    assert math.isnan(rmse(gone, gone))
    assert math.isnan(r2(gone, gone))
    assert math.isnan(r2(np.ones(3), np.zeros(3)))
    assert math.isnan(crps(gone, gone[None]))
    assert math.isnan(wasserstein(gone, np.ones(3)))
    assert math.isnan(wasserstein(np.ones(3), gone))
    assert math.isnan(tail_wasserstein(gone, gone))
    assert np.isnan(rank_histogram(gone, gone[None])).all()


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"one shape, got \(3,\) and \(4,\)"):
        rmse(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="members of shape"):
        crps(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="members of shape"):
        rank_histogram(np.zeros(3), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="quantile"):
        tail_wasserstein(np.zeros(3), np.zeros(3), quantile=1.0)
