"""Coefficients moved to where they take fewer bits: they do, the bound stays, and numbers of any size do no harm."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from adiabat.codec import spectral, spectral_search
from adiabat.codec.spectral import decode_spectra, encode_spectra
from adiabat.codec.spectral_basis import Basis
from adiabat.codec.spectral_fields import write_fields
from adiabat.codec.spectral_search import HALF, LETTERS, improved
from adiabat.codec.spectral_steps import NONE, Steps

IMAGE = (12, 20)


def case(channels=64, components=3, seed=0, noise=0.5):
    """Spectra in steps of one, with noise of half a step: x (channel, pixel), coefficients, basis, steps."""
    rng = np.random.default_rng(seed)
    rows = np.linalg.qr(rng.normal(size=(channels, components)))[0].T * 2
    light = np.cumsum(rng.normal(size=(components, IMAGE[0] * IMAGE[1])), 1) * 3
    x = rows.T @ light + noise * rng.normal(size=(channels, light.shape[1]))
    basis = Basis(
        np.concatenate([np.zeros((1, channels)), np.rint(rows * 1024)]).astype(np.int64),
        np.full(components + 1, -10),
    )
    steps = Steps(np.array([[0], [0], [NONE], [NONE]]) + np.zeros((4, channels), np.int64))
    return x, np.rint(light).astype(np.int64), basis, steps


def bits(x, n, basis, steps):
    """Of the residual under one histogram, and of the coefficients as they are written."""
    q = np.rint(x - basis.predict(n, slice(0, len(x))))
    share = np.unique(q, return_counts=True)[1] / q.size
    return -q.size * float((share * np.log2(share)).sum()) + 8 * len(write_fields(n.reshape(-1, *IMAGE)))


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_fewer_bits_than_rounding(noise):
    x, n, basis, steps = case(noise=noise)
    rounded = np.rint(np.linalg.lstsq(basis.rows[1:].T / 1024.0, x, rcond=None)[0]).astype(np.int64)
    moved = improved(x, rounded, basis, steps, valid=None, image=IMAGE)
    assert moved.shape == n.shape
    assert np.mean(moved != rounded) > 0.01
    assert np.abs(moved - rounded).max() <= spectral_search.SWEEPS
    assert bits(x, moved, basis, steps) < bits(x, rounded, basis, steps) - (0.005 * x.size if noise < 1 else 0)


def test_blocks_of_pixels_make_no_difference_beyond_sums():
    x, n, basis, steps = case()
    whole = improved(x, n, basis, steps, valid=None, image=IMAGE)
    with mock.patch.object(spectral_search, "BLOCK", 64 * 7):
        assert (improved(x, n, basis, steps, valid=None, image=IMAGE) == whole).mean() > 0.999


def test_what_is_missing_decides_nothing():
    x, n, basis, steps = case()
    valid = np.random.default_rng(1).random(x.shape) < 0.7
    valid[:, 5] = False
    wrong = np.where(valid, x, np.nan)
    moved = improved(wrong, n, basis, steps, valid=valid, image=IMAGE)
    assert (moved == improved(np.where(valid, x, 1e30), n, basis, steps, valid=valid, image=IMAGE)).all()


@pytest.mark.parametrize("scale", [-8000, 0, 8000])
def test_numbers_of_any_size(scale):
    x, n, basis, steps = case()
    far = x.copy()
    far[::3, ::4], far[1, 2] = np.inf, np.nan
    far[2], far[3] = 1e300, 1e-300
    strange = Steps(np.array([[scale], [256 * 500], [-256 * 600], [0]]) + np.zeros((4, len(x)), np.int64))
    with np.errstate(all="ignore"):
        far = np.ldexp(far, scale // 8)
        for some in (steps, strange):
            assert (np.abs(improved(far, n, basis, some, valid=None, image=IMAGE) - n) <= spectral_search.SWEEPS).all()


def test_coefficients_that_would_not_be_exact_stay():
    x, n, basis, steps = case()
    with mock.patch.object(Basis, "fits", return_value=False):
        assert improved(x, n, basis, steps, valid=None, image=IMAGE) is n


def test_without_components_there_is_nothing_to_move():
    x, _, basis, steps = case()
    mean = Basis(basis.rows[:1], basis.exponents[:1])
    assert improved(x, np.zeros((0, x.shape[1]), np.int64), mean, steps, valid=None, image=IMAGE).shape == (0, 240)


def test_a_stream_of_them_is_shorter_and_keeps_the_bound():
    x, *_ = case(channels=96, components=4, seed=3)
    limits = np.full((96, 1), 0.5)
    payload, x_hat = encode_spectra(x, limits, valid=None, image=IMAGE)
    assert np.mean(np.abs(x_hat - x) <= 0.5) > 0.999
    assert (decode_spectra(payload, 96, IMAGE, valid=None) == x_hat).all()
    with mock.patch.object(spectral, "improved", lambda x, n, *_, **__: n):
        plain, _ = encode_spectra(x, limits, valid=None, image=IMAGE)
    assert len(payload) < 0.99 * len(plain)


def test_prices():
    seen = np.array([0] * 90 + [1] * 10 + [HALF + 5])
    prices = spectral_search._prices_of_field(seen)
    assert prices.shape == (2 * HALF + 1,)
    assert prices[HALF] < prices[HALF + 1] < prices[HALF + 3] < prices[0]
    assert (spectral_search._prices_of_field(1000 * seen) == 0).all()
    x, n, basis, steps = case()
    kinds, dear = spectral_search._prices_of_residual(x, n, basis, steps, None)
    assert dear.size == spectral_search.SHARED * (LETTERS + 1)
    assert set((kinds % (LETTERS + 1)).tolist()) == {0}
    assert (np.diff(dear.reshape(-1, LETTERS + 1)[:, :3], axis=1) > 0).all()
