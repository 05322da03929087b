"""Scores in the terms of ClimateBenchPress: against astropy's convolution, SciPy, xarray and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from adiabat.formats.benchmark_scores import LABELS, BenchmarkScores, dssim, score_benchmark


@pytest.fixture
def rng():
    return np.random.default_rng(9)


@pytest.fixture
def pair(rng):
    source = 280 + np.cumsum(rng.normal(size=(2, 3, 40, 50)), -1).astype(np.float32)
    return source, source + rng.normal(0, 0.3, source.shape).astype(np.float32)


def by_astropy(a, b):
    """The definition of Baker et al., with windows by astropy: NaN bridged inside a window, the border cut off."""
    convolution = pytest.importorskip("astropy.convolution")
    low, high = min(np.nanmin(a), np.nanmin(b)), max(np.nanmax(a), np.nanmax(b))
    p, q = (np.round((each - low) / (high - low) * 255) / 255 for each in (a, b))
    kernel = convolution.Gaussian2DKernel(x_stddev=1.5, x_size=11, y_size=11)

    def mean(field):
        return convolution.convolve(field, kernel, boundary="fill", preserve_nan=True)

    mp, mq = mean(p), mean(q)
    top = (2 * mp * mq + 1e-8) * (2 * (mean(p * q) - mp * mq) + 1e-8)
    bottom = (mp**2 + mq**2 + 1e-8) * (mean(p * p) - mp**2 + mean(q * q) - mq**2 + 1e-8)
    return np.nanmean((top / bottom)[5:-5, 5:-5])


@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_dssim_against_astropy(rng, holes):
    a = np.cumsum(np.cumsum(rng.normal(size=(60, 45)), 0), 1)
    b = a + rng.normal(0, 0.02 * a.std(), a.shape)
    a[rng.random(a.shape) < holes] = np.nan
    b[np.isnan(a)] = np.nan
    assert dssim(a, b) == pytest.approx(by_astropy(a, b), rel=1e-9)
    assert 0.2 < dssim(a, b) < 0.999


def test_dssim_of_constants_of_small_and_of_missing_fields():
    ones = np.ones((12, 12))
    assert dssim(3 * ones, 3 * ones) == dssim(0 * ones, 0 * ones) == 1
    # Range 0 to 1, no variance: (0 + C) / (1 + C).
    assert dssim(0 * ones, ones) == pytest.approx(1e-8, rel=1e-6)
    assert math.isnan(dssim(ones[:10], ones[:10]))
    assert math.isnan(dssim(np.nan * ones, ones))
    # A window counts where its middle is known, however little of the rest is.
    assert dssim(np.where(np.arange(12) < 5, np.nan, ones), ones) == 1
    assert math.isnan(dssim(np.where(np.arange(12) < 7, np.nan, ones), ones))
    with pytest.raises(ValueError, match="of one shape"):
        dssim(ones, ones[1:])


def test_dssim_takes_the_least_over_levels_and_the_mean_over_times(pair):
    each = np.array([[dssim(a, b) for a, b in zip(*frames, strict=True)] for frames in zip(*pair, strict=True)])
    assert score_benchmark(*pair).dssim == pytest.approx(each.min(1).mean(), rel=1e-12)
    assert score_benchmark(*pair, levels=False).dssim == pytest.approx(each.mean(), rel=1e-12)
    time, column = (score_benchmark(*(a[0] for a in pair), levels=levels) for levels in (None, True))
    assert (time.dssim, column.dssim) == pytest.approx((each[0].mean(), each[0].min()), rel=1e-12)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_the_rest_against_xarray_and_scipy(pair, rng, holes):
    a, b = (each.astype(np.float64) for each in pair)
    a[rng.random(a.shape) < holes] = np.nan
    x, y = xr.DataArray(a), xr.DataArray(b)
    found = score_benchmark(a, b)
    assert found.mae == pytest.approx(float(abs(x - y).mean()), rel=1e-12)
    assert found.max_abs_error == float(abs(x - y).max())
    assert found.max_rel_error == pytest.approx(float((abs(x - y) / abs(x)).max()), rel=1e-12)
    assert found.rmse == pytest.approx(float(((x - y) ** 2).mean() ** 0.5), rel=1e-12)
    psnr = 20 * np.log10(x.max()) - 10 * np.log10(((x - y) ** 2).mean(x.dims[-3:]))
    assert found.psnr == pytest.approx(float(psnr.mean()), rel=1e-12)
    known = ~np.isnan(a)
    assert found.r2 == pytest.approx(stats.linregress(a[known], b[known]).rvalue ** 2, rel=1e-10)
    assert found.spatial_relative_error == float((abs(x - y) / abs(x) > 1e-4).sum() / x.size)
    assert found.satisfies_bound is None
    assert set(found.as_dict()) == set(LABELS)


def test_r2_of_frames_far_apart_is_that_of_all_cells(rng):
    a = rng.normal(size=(5, 9, 8)) + 1e4 * np.arange(5)[:, None, None]
    b = a + 1e3 * rng.normal(size=a.shape)
    assert score_benchmark(a, b).r2 == pytest.approx(stats.linregress(a.ravel(), b.ravel()).rvalue ** 2, rel=1e-10)


def test_spectral_error_of_waves():
    x = np.arange(32) * 2 * np.pi / 32
    wave = np.cos(4 * x) * np.ones((32, 1))
    # Power of one cosine: both of its cells (32 * 32 / 2)^2 / 32^2 = 256; 28 cells round to 4.
    ring = np.rint(np.hypot(*np.mgrid[-16:16, -16:16])) == 4
    expected = (256 * 2 / ring.sum() * (4 - 1)) ** 2 / 16
    assert score_benchmark(2 * wave, wave).spectral_error == pytest.approx(expected, rel=1e-9)
    # A frame with a hole is left out; where each has one there is nothing to say.
    two = np.stack([wave, wave])
    two[1, 3, 3] = np.nan
    assert score_benchmark(2 * two, two).spectral_error == pytest.approx(expected, rel=1e-9)
    assert math.isnan(score_benchmark(two[1], two[1]).spectral_error)


@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (1, 5), (5, 1), (1, 1), (9, 9)])
def test_spectra_of_any_shape_by_ring_after_ring(rng, shape):
    a, b = rng.normal(size=(2, *shape))
    rings = (max(shape) + 1) // 2
    size = np.rint(np.hypot(*np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]))
    mean = [
        [np.fft.fftshift(np.abs(np.fft.fft2(each)) ** 2 / each.size)[size == ring].mean() for ring in range(rings)]
        for each in (a, b)
    ]
    assert score_benchmark(a, b).spectral_error == pytest.approx(np.mean(np.subtract(*mean) ** 2), rel=1e-9)


def test_relative_errors_at_zero():
    found = score_benchmark([[0.0, 2.0]], [[0.0, 3.0]])
    assert (found.max_rel_error, found.spatial_relative_error) == (0.5, 0.5)
    found = score_benchmark([[0.0, -2.0]], [[1e-9, -2.001]])  # the negative one counts too
    assert (found.max_rel_error, found.spatial_relative_error) == (math.inf, 1.0)


def test_bounds_are_kept_to_the_last_bit(pair):
    source, decoded = pair
    largest = float(np.abs(source.astype(np.float64) - decoded).max())
    assert score_benchmark(source, decoded, bound={"abs": largest}).satisfies_bound
    assert score_benchmark(source, decoded, bound={"abs": np.nextafter(largest, 0)}).satisfies_bound is False
    assert score_benchmark(source, decoded, bound="lossless").satisfies_bound is False
    assert score_benchmark(source, source, bound="lossless").satisfies_bound
    by_column = np.where(np.arange(50) == 0, 0.0, largest)
    assert score_benchmark(source, decoded, bound={"abs": by_column}).satisfies_bound is False
    assert score_benchmark([[0.0, -4.0]], [[0.0, -5.0]], bound={"rel": 0.25}).satisfies_bound
    assert score_benchmark([[1e-9, -4.0]], [[0.0, -4.0]], bound={"rel": 0.25}).satisfies_bound is False
    with pytest.raises(ValueError, match="expected a bound"):
        score_benchmark(source, decoded, bound={"noise": 1.0})
    with pytest.raises(ValueError, match="expected a bound"):
        score_benchmark(source, decoded, bound="none")


@pytest.mark.parametrize(
    ("left", "right", "kept"),
    [
        (np.nan, np.nan, True),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.inf, 1.0, False),
        (1.0, np.inf, False),
    ],
)
@pytest.mark.parametrize("bound", [{"abs": np.inf}, {"rel": 0.5}, {"abs": 1e3}])
def test_what_is_missing_must_stay_missing(left, right, kept, bound):
    assert score_benchmark([[1.0, left]], [[1.0, right]], bound=bound).satisfies_bound is kept


def test_fields_without_error_without_values_and_without_cells():
    lossless = score_benchmark(np.full((2, 12, 12), 5.0), np.full((2, 12, 12), 5.0))
    assert (lossless.mae, lossless.psnr, lossless.dssim, lossless.spectral_error) == (0, math.inf, 1, 0)
    assert math.isnan(lossless.r2)
    assert math.isnan(score_benchmark([[-1.0, -2.0]], [[-1.0, -3.0]]).psnr)
    for empty in (np.full((3, 4, 5), np.nan), np.zeros((0, 4, 5)), np.zeros((3, 0, 5)), np.zeros((2, 0, 4, 5))):
        found = score_benchmark(empty, empty, bound={"abs": 1.0})
        assert found.satisfies_bound
        values = [v for name, v in found.as_dict().items() if name not in ("satisfies_bound", "spatial_relative_error")]
        assert np.isnan(values).all()
    assert isinstance(score_benchmark(1.0, 2.0), BenchmarkScores)
    assert score_benchmark([[1e308, 1.0]], [[-1e308, 1.0]]).mae == math.inf
    with pytest.raises(ValueError, match="of one shape"):
        score_benchmark([[1.0]], [1.0, 2.0])
