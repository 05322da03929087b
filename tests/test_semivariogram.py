"""Semivariograms and their fits: against gstools, closed forms, with holes, and of fields without a sill."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.semivariogram import Semivariogram, SemivariogramModel, semivariogram


@pytest.fixture(scope="module")
def gstools():
    return pytest.importorskip("gstools")


@pytest.fixture(scope="module")
def field():
    """Exponential covariance, e-folding 4 cells, variance 2, and noise of variance 0.5, by circulant embedding."""
    rng, size = np.random.default_rng(7), 512
    away = np.minimum(np.arange(size), size - np.arange(size))
    covariance = 2 * np.exp(-np.hypot(away[:, None], away) / 4)
    spectrum = np.maximum(np.fft.fft2(covariance).real, 0)
    drawn = np.fft.ifft2(np.sqrt(spectrum) * np.fft.fft2(rng.normal(size=(size, size)))).real
    return drawn[:300, :400] + np.sqrt(0.5) * rng.normal(size=(300, 400))


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("holes", [0.0, 0.4])
def test_values_equal_gstools(gstools, field, axis, holes):
    values = np.where(np.random.default_rng(0).random(field.shape) < holes, np.nan, field)[:120, :90]
    masked = np.ma.masked_invalid(values)
    expected = gstools.vario_estimate_axis(masked, direction=0 if axis == "y" else 1)
    lags = [1, 2, 5, 20, 60]
    found = semivariogram(values, lags=lags, axis=axis)
    assert found.semivariance == pytest.approx(expected[lags], rel=1e-12)


def test_both_axes_and_all_fields_are_pooled_by_pairs(field):
    stack = np.stack([field[:50, :70], field[100:150, 100:170]])
    both = semivariogram(stack, lags=[3])
    parts = [semivariogram(each, lags=[3], axis=axis) for each in stack for axis in ("y", "x")]
    pairs = np.array([part.pairs[0] for part in parts])
    assert pairs.tolist() == [47 * 70, 50 * 67] * 2
    assert both.pairs[0] == pairs.sum()
    assert both.semivariance[0] == pytest.approx(pairs @ [part.semivariance[0] for part in parts] / pairs.sum())


def test_white_noise_is_nugget(field):
    noise = np.random.default_rng(1).normal(size=(200, 200))
    found = semivariogram(noise).fit()
    assert found.sill == pytest.approx(1, rel=0.02)
    assert found(np.array([1.0]))[0] == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("kind", ["exponential", "spherical"])
@pytest.mark.parametrize("nugget", [0.0, 0.3])
@pytest.mark.parametrize("reach", [4.0, 30.0])
def test_exact_points_give_the_model_back(kind, nugget, reach):
    model = SemivariogramModel(kind, 1e-12 * nugget, 1.5e-12, reach)
    lag = np.unique(np.rint(np.geomspace(1, 80, 24)))
    found = Semivariogram(lag, model(lag), np.full(lag.size, 1000)).fit(kind)
    assert found.nugget == pytest.approx(model.nugget, abs=1e-16)
    assert found.sill == pytest.approx(model.sill, rel=1e-4)
    assert found.range == pytest.approx(model.range, rel=1e-3)


@pytest.mark.parametrize("kind", ["exponential", "spherical"])
def test_fit_equals_gstools(gstools, field, kind):
    found = semivariogram(field, lags=range(1, 60))
    ours = found.fit(kind)
    theirs = (gstools.Exponential if kind == "exponential" else gstools.Spherical)(dim=2)
    theirs.fit_variogram(found.lag, found.semivariance, nugget=True, weights=np.sqrt(found.pairs / found.pairs.max()))
    assert ours.nugget == pytest.approx(theirs.nugget, abs=0.01)
    assert ours.sill == pytest.approx(theirs.sill, rel=0.01)
    length = theirs.len_scale * (3 if kind == "exponential" else 1)
    assert ours.range == pytest.approx(length, rel=0.02)


def test_fit_of_a_drawn_field_finds_what_it_was_drawn_with(field):
    found = semivariogram(field).fit()
    assert found.nugget == pytest.approx(0.5, abs=0.15)
    assert found.sill == pytest.approx(2.5, rel=0.08)
    assert found.range == pytest.approx(12, rel=0.2)


def test_a_trend_has_no_sill_and_a_constant_neither_nugget_nor_sill():
    y, x = np.mgrid[:40, :60]
    steep = semivariogram(x + y)
    assert steep.semivariance == pytest.approx(steep.lag**2 / 2)
    fitted = steep.fit()
    assert fitted.range == pytest.approx(4 * steep.lag[-1])
    flat = semivariogram(np.full((20, 30), 280.0)).fit()
    assert (flat.nugget, flat.sill) == (0, 0)


def test_lags_without_pairs_are_nan_and_left_out_of_the_fit():
    values = np.random.default_rng(2).normal(size=(12, 12))
    values[:, 1::2] = np.nan
    found = semivariogram(values, lags=[1, 2, 3, 4, 6], axis="x")
    assert np.isnan(found.semivariance[[0, 2]]).all()
    assert found.pairs[[0, 2]].tolist() == [0, 0]
    assert found.fit().sill > 0


def test_what_cannot_be():
    with pytest.raises(ValueError, match="at least 3 lags"):
        semivariogram(np.full((20, 20), np.nan)).fit()
    with pytest.raises(ValueError, match="lags of at least 1"):
        semivariogram(np.zeros((20, 20)), lags=[0, 1])
    with pytest.raises(ValueError, match="fields"):
        semivariogram(np.zeros(20))
    with pytest.raises(ValueError, match="'exponential' or 'spherical'"):
        SemivariogramModel("gaussian", 0, 1, 1)
    with pytest.raises(ValueError, match="nugget of 0 to the sill"):
        SemivariogramModel("spherical", 2, 1, 1)
