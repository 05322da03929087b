"""What fine fields of other times tell: grain of whole blocks, and gains that give samples this grain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from adiabat.formats import likeness as module
from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import roughness
from adiabat.formats.downscaling import Downscaling, Settings
from adiabat.formats.errors import RequestError
from adiabat.formats.grain import grain
from adiabat.formats.likeness import DRIFT, STRAY, gains_of, likeness


class White:
    """Stands for a model: m = 0, s = 1, white noise."""

    factors, multiple = (4, 8), 8
    features = staticmethod(lambda coarse: coarse)
    mean = staticmethod(lambda features, fine: 0 * fine[:, :2])
    velocity = staticmethod(lambda x, t, features, fine, mean: 0 * x)


def array(values):
    return xr.DataArray(values, dims=("time", "level", "lat", "lon")[-values.ndim :], name="t")


def fields(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).cumsum(-1).cumsum(-2)


def grain_of(fine, factor):
    return grain(fine, roughness(block_means(fine, factor)))


def test_grain_of_frames_cut_to_whole_blocks():
    fine = fields((3, 2, 41, 67))
    kept = fine[..., :40, :64].reshape(6, 40, 64)
    found = likeness(array(fine), 8)
    assert np.allclose(found.grain, grain_of(kept, 8))
    assert np.allclose(found.spread, np.std([grain_of(frame, 8) for frame in kept], axis=0))


def test_one_field_is_compared_with_itself():
    fine = fields((67, 70))
    found = likeness(array(fine), 4)
    whole = fine[:64, :68]
    assert np.allclose(found.grain, grain_of(whole, 4))
    parts = [whole[:32, :32], whole[:32, 32:], whole[32:, :32], whole[32:, 32:]]
    assert np.allclose(found.spread, np.std([grain_of(part, 4) for part in parts], axis=0))


def test_what_tells_no_grain():
    with pytest.raises(RequestError, match="at least 32 x 32 cells, got 24 x 64"):
        likeness(array(fields((31, 70))), 8)
    with pytest.raises(RequestError, match="parts that miss no values"):
        likeness(array(np.full((40, 40), np.nan)), 8)


def samples(coarse, settings):
    views = [Downscaling(each, model=White(), settings=replace(settings, seed=99)) for each in coarse]
    return np.stack([view.sample((slice(0, 64), slice(0, 80))) for view in views])


@pytest.mark.parametrize("told", [(-1.2, -2.5), (-0.6, -0.5)])
def test_samples_have_the_grain(told):
    coarse = fields((5, 16, 20))
    settings = Settings(4, roughness(coarse), seed=3, grain=told)
    settings = replace(settings, gains=gains_of(array(coarse), White(), settings, (0.0, 0.0)))
    made = samples(coarse, settings)
    assert np.allclose(grain(made, roughness(coarse)), told, atol=0.1)
    assert np.allclose(block_means(made, 4), coarse, atol=1e-5 * np.ptp(coarse))


def test_a_grain_that_varies_counts_for_less():
    """Half where it is as uncertain as networks stray, nothing where it says nothing."""
    coarse = fields((5, 16, 20))
    settings = Settings(4, roughness(coarse), seed=3, grain=(-1.2, -2.5))
    plain = np.array(grain(samples(coarse, settings), roughness(coarse)))
    for spread, share in ((np.array(STRAY) / DRIFT, 0.5), ((1e9, 1e9), 0.0)):
        gains = gains_of(array(coarse), White(), settings, spread)
        made = grain(samples(coarse, replace(settings, gains=gains)), roughness(coarse))
        assert np.allclose(made, plain + share * (np.array(settings.grain) - plain), atol=0.1)


def test_gains_are_found_on_windows_without_holes(monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 32)
    coarse = fields((2, 40, 40))
    settings = Settings(4, roughness(coarse), grain=(-1.0, -2.0))
    coarse[:, :20, :20] = np.nan
    assert gains_of(array(coarse), White(), settings, (0.1, 0.1)) is not None
    assert gains_of(array(np.full((2, 40, 40), np.nan)), White(), settings, (0.1, 0.1)) is None
    assert gains_of(array(coarse[0, 20:, 20:]), White(), replace(settings, grain=None), (0.1, 0.1)) is None
