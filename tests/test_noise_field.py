"""The noise of a generated field: normal, the same in any part of it, apart for all that should be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adiabat.formats.noise_field import BLOCK, noise


def whole(seed=7, member=0, time_index=0, shape=(200, 300), **options):
    return noise(seed, member, time_index, slice(0, shape[0]), slice(0, shape[1]), **options)


def philox(counter, key):
    """Philox 4x64-10 in Python's integers (Salmon et al. 2011), one counter."""
    low, mask = [*counter], 2**64 - 1
    first, second = key
    for _ in range(10):
        a, b = low[0] * 0xD2E7470EE14C6C93, low[2] * 0xCA5A826395121157
        low = [(b >> 64) ^ low[1] ^ first, b & mask, (a >> 64) ^ low[3] ^ second, a & mask]
        first, second = (first + 0x9E3779B97F4A7C15) & mask, (second + 0xBB67AE8584CAA73B) & mask
    return low


def test_cells_by_the_published_algorithm():
    """As the specification has it, without NumPy's generator: cell 66, 70 lies in block 1, 1."""
    cell = (66 - BLOCK) * BLOCK + 70 - BLOCK
    words = philox([cell // 4 + 1, 1 << 32 | 1, 5, 3 << 32 | 2], [11, 0])
    u, v = ((word >> 11) / 2**53 for word in words[cell % 4 // 2 * 2 :][:2])
    expected = np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v)
    found = noise(11, 2, 5, slice(66, 67), slice(70, 71), stack=3)
    np.testing.assert_allclose(found, [[expected]], rtol=1e-12)


def test_values_stay_what_they_are():
    expected = [[2.27884862, -1.00949123, 1.55811071, 1.00304965], [1.74583429, 0.48363822, -1.74991985, 0.10533257]]
    np.testing.assert_allclose(noise(7, 1, 2, slice(63, 65), slice(62, 66)), expected, rtol=1e-7)


def test_standard_normal():
    values = whole(shape=(512, 512))
    assert stats.kstest(values.ravel(), "norm").pvalue > 0.01
    spectrum = np.abs(np.fft.fft2(values)) ** 2 / values.size
    assert spectrum[:32].mean() == pytest.approx(1, abs=0.03)
    assert spectrum[:, 100:130].mean() == pytest.approx(1, abs=0.03)
    assert np.isfinite(values).all()


def test_any_part_is_the_crop():
    values = whole()
    for rows, columns in (
        (slice(0, 1), slice(299, 300)),
        (slice(63, 129), slice(1, 300)),
        (slice(5, 9), slice(64, 65)),
    ):
        np.testing.assert_array_equal(noise(7, 0, 0, rows, columns), values[rows, columns])


@pytest.mark.parametrize("width", [100, 128, 130, 10])
def test_columns_go_round(width):
    values = whole(shape=(70, width))
    found = noise(7, 0, 0, slice(0, 70), slice(-30, width + 40), wrap=width)
    np.testing.assert_array_equal(found, values[:, np.arange(-30, width + 40) % width])


def test_everything_that_differs_is_independent():
    first = whole()
    others = (
        whole(seed=8),
        whole(member=1),
        whole(time_index=1),
        whole(stack=1),
        whole(seed=2**63),
        np.roll(first, 64, 1),
    )
    for other in others:
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("persistence", [1, 3])
def test_persistent_noise_is_a_moving_average(persistence):
    frames = np.stack([whole(time_index=t, shape=(128, 128), persistence=persistence) for t in range(10)])
    assert frames.std() == pytest.approx(1, abs=0.02)
    for lag in range(6):
        found = (frames[lag:] * frames[: 10 - lag]).mean()
        assert found == pytest.approx(max(0, 1 - lag / (2 * persistence + 1)), abs=0.02)


def test_frozen_noise_is_that_of_the_first_frame():
    np.testing.assert_array_equal(whole(time_index=9, persistence=None), whole(time_index=0))
    assert not np.array_equal(whole(time_index=9, persistence=None), whole(time_index=9))


def test_cells_before_the_field_are_refused():
    with pytest.raises(ValueError, match="rows from -1"):
        noise(7, 0, 0, slice(-1, 3), slice(0, 3))
    with pytest.raises(ValueError, match="columns from -2"):
        noise(7, 0, 0, slice(0, 3), slice(-2, 3))
