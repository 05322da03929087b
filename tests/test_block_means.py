"""Block means, interpolation that nearly keeps them, and projections that keep them."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.block_means import approach, block_means, interpolate, project, repeat


def made(seed=0, shape=(2, 6, 9)):
    return np.random.default_rng(seed).standard_normal(shape).cumsum(-1).cumsum(-2)


def test_block_means_are_means():
    fine = made(shape=(3, 8, 12))
    assert np.allclose(block_means(fine, 4)[1, 1, 2], fine[1, 4:8, 8:12].mean())
    assert np.array_equal(block_means(repeat(fine, 4), 4), fine)


def test_sides_that_are_no_multiples():
    with pytest.raises(ValueError, match="multiples of 4, got 7 x 8"):
        block_means(np.zeros((7, 8)), 4)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_interpolation_of_planes(factor):
    """Exact away from borders, at the centres of cells; constants everywhere."""
    y, x = np.mgrid[:8, :10]
    fine_y, fine_x = ((np.arange(side * factor) + 0.5) / factor - 0.5 for side in (8, 10))
    found = interpolate(2.0 * y - 3.0 * x, factor)
    inner = (slice(4 * factor, -4 * factor), slice(4 * factor, -4 * factor))
    assert found.shape == (8 * factor, 10 * factor)
    assert np.allclose(found[:, inner[1]][inner[0]], (2 * fine_y[:, None] - 3 * fine_x)[inner[0], inner[1]])
    assert np.allclose(interpolate(np.full((4, 4), 7.0), factor), 7.0)


def test_interpolation_nearly_keeps_means():
    coarse = made()
    assert np.abs(block_means(interpolate(coarse, 4), 4) - coarse).std() < 0.15 * np.diff(coarse).std()


@pytest.mark.parametrize("offset", [0.0, 250.0, -3e4])
def test_projection(offset):
    coarse = made() + offset
    fine = interpolate(made(1), 4)
    found = project(fine, coarse, 4)
    assert found.dtype == np.float32
    assert np.abs(block_means(found, 4) - coarse).max() <= 1e-6 * np.abs(coarse).max()


def test_projection_without_negatives():
    """Zero and tiny blocks too, and those where the fine field has nothing."""
    coarse = np.maximum(made(), 0.0)
    coarse[0, 0, 0], coarse[0, 1, 1] = 1e-12, 5.0
    fine = interpolate(made(2), 4)
    fine[0, 4:8, 4:8] = -1.0
    found = project(fine, coarse, 4, non_negative=True)
    assert found.min() >= 0
    assert np.allclose(block_means(found, 4), coarse, rtol=1e-6, atol=1e-30)
    assert np.all(found[repeat(coarse, 4) == 0] == 0)


def test_smooth_passes_leave_little():
    coarse, fine = made(), interpolate(made(3), 4)
    before, after = (np.abs(block_means(each, 4) - coarse).std() for each in (fine, approach(fine, coarse, 4)))
    assert after < 0.15 * before
