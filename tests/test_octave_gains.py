"""Gains of octaves: what they leave, what they take, and that samples get the grain that is told."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.block_means import approach, block_means, interpolate
from adiabat.formats.conditions import roughness
from adiabat.formats.grain import grain
from adiabat.formats.octave_gains import LEAST, MOST, fit_gains, shaped


def smoothed(values, reach):
    """Periodic running means."""
    for axis in (-2, -1):
        values = np.mean([np.roll(values, shift, axis) for shift in range(-reach, reach + 1)], axis=0)
    return values


def test_gains_of_one_change_nothing():
    detail = np.random.default_rng(0).standard_normal((2, 40, 48))
    assert np.allclose(shaped(detail, (1.0, 1.0)), detail, atol=1e-12)
    assert shaped(detail, None) is detail


@pytest.mark.parametrize(("length", "gains", "kept"), [(2, (1, 0.25), 0.25), (3, (1, 0), 0.0625), (24, (0, 0), 0.841)])
def test_octaves_are_apart(length, gains, kept):
    """Binomial taps let cos^4 of half the phase pass: the shortest wave not at all, long ones nearly whole."""
    wave = np.cos(2 * np.pi * np.arange(96) / length) * np.ones((96, 1))
    inner = np.s_[24:72, 24:72]
    assert np.allclose(shaped(wave, gains)[inner], kept * wave[inner], atol=0.01)


@pytest.mark.parametrize("told", [(-1.0, -2.5), (-0.8, -1.6)])
def test_samples_get_the_grain_that_is_told(told):
    rng = np.random.default_rng(1)
    coarse = smoothed(rng.standard_normal((6, 24, 24)), 1)
    mean = interpolate(coarse, 4)
    scale = roughness(coarse)
    made = approach(mean + scale * smoothed(rng.standard_normal((6, 96, 96)), 1), coarse, 4)
    gains = fit_gains(told, made, mean, coarse, scale)
    fresh = approach(mean + scale * smoothed(rng.standard_normal((6, 96, 96)), 1), coarse, 4)
    with_gains = approach(mean + shaped(fresh - mean, gains), coarse, 4)
    assert np.allclose(grain(with_gains, scale), told, atol=0.05)
    assert np.allclose(block_means(with_gains, 4), coarse, atol=0.05 * scale)


def test_gains_have_limits():
    rng = np.random.default_rng(2)
    coarse = rng.standard_normal((2, 8, 8))
    mean, scale = interpolate(coarse, 4), roughness(coarse)
    made = mean + rng.standard_normal((2, 32, 32))
    assert fit_gains((-20.0, -20.0), made, mean, coarse, scale) == (LEAST, LEAST)
    assert fit_gains((20.0, 20.0), made, mean, coarse, scale) == (MOST, MOST)
    with pytest.raises(ValueError, match="at least 16 x 16"):
        fit_gains((0.0, 0.0), made[:, :12, :12], mean[:, :12, :12], coarse[:, :3, :3], scale)
