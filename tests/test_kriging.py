"""Local kriging: against the full system, at observations, far away, and its variogram on a simulated field."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.training import kriging
from adiabat.training.kriging import Variogram, krige, places

TRUE = Variogram(0.2, 1.0, 80.0)


@pytest.fixture(scope="module")
def field():
    """Simulated: a Gaussian field with an exponential covariance and noise, at 900 places of some 400 km."""
    rng = np.random.default_rng(0)
    where = np.c_[rng.uniform(0, 400, (900, 2)), np.zeros(900)]
    distance = np.linalg.norm(where[:, None] - where[None], axis=-1)
    signal = np.linalg.cholesky(TRUE.covariance(distance) + 1e-9 * np.eye(900)) @ rng.standard_normal(900)
    return where, signal, signal + np.sqrt(TRUE.nugget) * rng.standard_normal(900)


def full(known, values, targets, variogram, mean=None):
    """All observations in one system, written down from the definition."""
    between = np.linalg.norm(known[:, None] - known[None], axis=-1)
    across = np.linalg.norm(known[:, None] - targets[None], axis=-1)
    system = variogram.covariance(between) + variogram.nugget * np.eye(len(known))
    if mean is not None:
        return mean + variogram.covariance(across).T @ np.linalg.solve(system, values - mean)
    ones = np.ones(len(known))
    system = np.block([[system, ones[:, None]], [ones[None], np.zeros((1, 1))]])
    weights = np.linalg.solve(system, np.vstack((variogram.covariance(across), np.ones(len(targets)))))
    return weights[:-1].T @ values


@pytest.mark.parametrize("mean", [None, 0.0, 3.0])
def test_with_all_neighbours_equals_the_full_system(field, mean):
    where, _, noisy = field
    local = krige(where[:60], noisy[:60], where[60:90], TRUE, neighbours=60, mean=mean)
    np.testing.assert_allclose(local, full(where[:60], noisy[:60], where[60:90], TRUE, mean), atol=1e-4)


def test_sixteen_neighbours_are_nearly_as_good_as_all(field):
    where, signal, noisy = field
    known, asked = np.arange(900) < 600, np.arange(900) >= 600
    near = krige(where[known], noisy[known], where[asked], TRUE)
    every = full(where[known], noisy[known], where[asked], TRUE)
    r_near, r_every = (np.corrcoef(estimate, signal[asked])[0, 1] for estimate in (near, every))
    assert r_every > 0.8
    assert r_near > r_every - 0.01


def test_without_a_nugget_observations_are_met(field):
    where, signal, _ = field
    estimate = krige(where, signal, where[:50], Variogram(0.0, 1.0, 80.0))
    np.testing.assert_allclose(estimate, signal[:50], atol=1e-3)


def test_known_mean_is_met_far_away_and_a_constant_is_kept(field):
    where, _, noisy = field
    far = where[:5] + 1e5
    np.testing.assert_allclose(krige(where, noisy, far, TRUE, mean=2.5), 2.5, atol=1e-6)
    np.testing.assert_allclose(krige(where, np.full(900, 7.0), far, TRUE), 7.0, atol=1e-6)


def test_batches_change_nothing(field, monkeypatch):
    where, _, noisy = field
    whole = krige(where, noisy, where, TRUE)
    monkeypatch.setattr(kriging, "BATCH", 1000)
    np.testing.assert_allclose(krige(where, noisy, where, TRUE), whole)


def test_few_or_coinciding_observations(field):
    where, _, noisy = field
    assert krige(where[:1], noisy[:1], where[5:6], TRUE)[0] == pytest.approx(noisy[0])
    assert np.isnan(krige(where[:0], noisy[:0], where[:2], TRUE)).all()
    assert krige(where[:0], noisy[:0], where[:2], TRUE, mean=1.0).tolist() == [1.0, 1.0]
    twice = krige(np.repeat(where[:1], 3, 0), np.array([1.0, 2.0, 3.0]), where[1:2], Variogram(0.0, 1.0, 80.0))
    assert twice[0] == pytest.approx(2.0, abs=1e-3)


def test_variogram_of_the_simulated_field(field):
    where, _, noisy = field
    seen = Variogram.of([(where, noisy)])
    assert seen.nugget == pytest.approx(TRUE.nugget, abs=0.15)
    assert seen.nugget + seen.sill == pytest.approx(np.var(noisy), rel=0.3)
    assert 30 < seen.range < 250


def test_variogram_of_noise_and_of_a_constant(field):
    where, _, _ = field
    noise = np.random.default_rng(1).standard_normal(900)
    of_noise = Variogram.of([(where, noise)])
    assert of_noise.nugget + of_noise.sill == pytest.approx(1, rel=0.2)
    np.testing.assert_allclose(krige(where, noise, where[:20], of_noise, mean=0.0), 0, atol=0.6)
    of_nothing = Variogram.of([(where, np.full(900, 4.0))])
    assert of_nothing.nugget + of_nothing.sill == pytest.approx(0)
    np.testing.assert_allclose(krige(where, np.full(900, 4.0), where[:5], of_nothing), 4.0)
    assert Variogram.of([]).sill == 0


def test_places_are_chords_of_the_earth():
    pole, equator = places(90.0, 0.0), places(0.0, 180.0)
    assert np.linalg.norm(pole - equator) == pytest.approx(6371 * np.sqrt(2))
    assert np.linalg.norm(places(0.0, 180.0) - places(0.0, -180.0)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Variogram(-1.0, 1.0, 1.0), "at least 0"),
        (lambda: Variogram(1.0, 1.0, 0.0), "above 0"),
        (lambda: krige(np.zeros((2, 3)), np.zeros(3), np.zeros((1, 3)), TRUE), "for each of 2"),
        (lambda: krige(np.zeros((2, 3)), np.zeros(2), np.zeros((1, 3)), TRUE, neighbours=0), "at least 1"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
