"""Tiles and patches: their weights are a partition of unity, and fusing keeps what was predicted."""

from __future__ import annotations

import numpy as np
import pytest
from stand_in_downscaler import StandIn

from adiabat.formats import tile_inputs
from adiabat.formats.sampler import sample
from adiabat.formats.stitching import GRID, HALO, TILE, fuse, patches, tiles


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("size", [16, 20, 64, 160, 240, 383, 384, 721, 1440, 5760])
def test_weights_of_tiles_sum_to_one(size, wrap):
    total = np.zeros(size)
    for tile in tiles(size, wrap=wrap):
        np.add.at(total, np.arange(tile.start, tile.stop) % size, tile.weights)
        assert tile.weights.min() >= 0
    np.testing.assert_allclose(total, 1, atol=1e-12)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("size", [16, 160, 400, 5768])
def test_tiles_lie_on_the_grid_with_their_halos(size, wrap):
    found = tiles(size, wrap=wrap)
    for tile in found:
        assert tile.first % 8 == 0
        assert tile.stop - tile.start <= 1.5 * TILE + 32
        assert tile.first <= tile.start
        assert tile.last >= tile.stop
    assert (found[0].first, found[-1].last) == ((-HALO, size + HALO) if wrap else (0, size))


def test_what_networks_are_given_begins_on_the_grid():
    """Features are pooled by 4 coarse cells of up to 8, m and the velocity by 8 fine ones."""
    assert (HALO + tile_inputs.SURROUND) % GRID == 0
    assert HALO % 8 == (HALO + tile_inputs.NEAR) % 8 == 0


def test_a_small_field_is_one_tile():
    assert len(tiles(240)) == len(tiles(383)) == 1
    assert len(tiles(2884)) == 11


@pytest.mark.parametrize(
    ("size", "patch", "stride"), [(64, 16, 8), (64, 16, 2), (70, 16, 6), (50, 64, 32), (33, 32, 32)]
)
def test_weights_of_patches_sum_to_one(size, patch, stride):
    total = np.zeros(size)
    for first, weights in patches(size, patch, stride):
        total[first : first + len(weights)] += weights
        assert weights.min() > 0
    np.testing.assert_allclose(total, 1, atol=1e-12)


def test_windows_are_hann_within():
    """Half-overlapping Hann windows already sum to one."""
    (_, inner) = patches(64, 16, 8)[3]
    np.testing.assert_allclose(inner, np.sin(np.pi * (np.arange(16) + 0.5) / 16) ** 2)


@pytest.mark.parametrize("stride", [0, 17])
def test_gaps_are_refused(stride):
    with pytest.raises(ValueError, match="stride from 1"):
        patches(64, 16, stride)


def test_fusing_crops_gives_the_canvas():
    canvas = np.random.default_rng(0).standard_normal((2, 70, 90)).astype(np.float32)
    fused = fuse(lambda rows, columns: canvas[:, rows, columns], (70, 90), 24, 10)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, canvas, atol=1e-6)


def test_variance_after_stitching():
    """Fused at every step from one noise field, patches keep the variance of one canvas; averaged samples lose it."""
    model = StandIn()
    white = np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32)

    def velocity(x, t):
        none = np.zeros((1, 1, *x.shape), np.float32)
        return model.velocity(x[None, None], np.full(1, t, np.float32), none, none, none)[0, 0]

    def fused(x, t):
        return fuse(lambda rows, columns: velocity(x[rows, columns], t), x.shape, 32, 16)

    whole, stitched = sample(velocity, white, 10), sample(fused, white, 10)
    assert stitched.var() == pytest.approx(whole.var(), rel=0.05)
    np.testing.assert_allclose(stitched, whole, atol=0.3)  # periodic patches differ at their edges, which weigh little
    assert np.abs(stitched - whole).mean() < 0.02

    rng = np.random.default_rng(1)

    def apart(rows, columns):
        return sample(velocity, rng.standard_normal((32, 32)).astype(np.float32), 5)

    independent = fuse(apart, (64, 64), 32, 8)
    assert independent.var() < 0.5 * whole.var()  # still less at smaller strides
