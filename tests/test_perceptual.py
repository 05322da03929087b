"""Texture of a reconstruction: within the bound whatever the networks say, the same in any region."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stand_in_downscaler import StandIn

from adiabat.codec import Hyperprior, Pyramid
from adiabat.formats import stitching
from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import roughness
from adiabat.formats.downscaling import Settings
from adiabat.formats.perceptual import Texture, starting_time


def field(height=90, width=120, seed=0):
    """Of many scales, about 280."""
    rng = np.random.default_rng(seed)
    waves = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    rough = np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) / (waves + 0.02) ** 1.5).real
    return (280 + 5 * rough / rough.std()).astype(np.float32)


def texture(x_hat, bound, *, model=None, start=None, factor=4, **settings):
    inner = x_hat[tuple(slice(0, size // factor * factor) for size in x_hat.shape)]
    settings = Settings(factor, roughness(block_means(inner, factor)), seed=7, **{"steps": 4, **settings})
    return Texture(x_hat, model=model or StandIn(), settings=settings, bound=bound, start=start)


def whole(view):
    return view.sample(tuple(slice(0, size) for size in view.shape))


class Wild(StandIn):
    """Networks that say nonsense, large or not a number."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def velocity(self, x, t, features, fine_inputs, mean):
        return np.full_like(x, self.value)


@pytest.mark.parametrize("codec", [Pyramid, Hyperprior])
@pytest.mark.parametrize("bound", [0.02, 0.4, 3.0])
def test_coded_at_half_a_bound_the_result_keeps_the_whole(codec, bound):
    x = field()
    coder = codec(bound={"abs": bound / 2})
    x_hat = np.asarray(coder.decode(coder.encode(x))).reshape(x.shape)
    y = whole(texture(x_hat, bound / 2))
    assert y.dtype == np.float32
    assert np.abs(y.astype(np.float64) - x.astype(np.float64)).max() <= bound
    assert np.abs(y - x_hat).max() > 0.2 * bound


@pytest.mark.parametrize("value", [1e30, -1e30, np.nan, np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_that_networks_say_breaks_the_bound(value):
    x_hat = field()
    y = whole(texture(x_hat, 0.5, model=Wild(value)))
    assert np.abs(y.astype(np.float64) - x_hat.astype(np.float64)).max() <= 0.5


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2"])
@pytest.mark.parametrize("bound", [1e-9, 1e-5, 0.1])
def test_bound_holds_after_rounding(dtype, bound):
    x_hat = field(32, 40).astype(dtype)
    y = whole(texture(x_hat, bound))
    assert y.dtype == x_hat.dtype.newbyteorder("=")
    exact = y.astype(np.longdouble) - x_hat.astype(np.longdouble)
    assert np.abs(exact).max() <= bound


def test_texture_comes_back():
    """Where a codec smoothed, the spectrum's end rises towards the truth; the error grows, as it must."""
    x = field(128, 128)
    blurred = block_means(x, 2).repeat(2, 0).repeat(2, 1).astype(np.float32)
    e = float(np.abs(blurred - x).max())
    y = whole(texture(blurred, e, steps=20))

    def power(values):
        return (np.abs(np.fft.fft2(values)) ** 2)[44:84, 44:84].sum()

    assert power(blurred) < 0.5 * power(x)
    assert power(y) > 1.5 * power(blurred)
    assert np.abs(y - x).mean() > np.abs(blurred - x).mean()


def test_any_region_is_the_crop(monkeypatch):
    monkeypatch.setattr(stitching, "TILE", 64)
    x_hat = field(150, 200)
    for wrap in (False, True):
        expected = whole(texture(x_hat, 0.3, wrap=wrap))
        rows, columns = slice(61, 99), slice(3, 140)
        found = texture(x_hat, 0.3, wrap=wrap).sample((rows, columns))
        np.testing.assert_array_equal(found, expected[rows, columns])


def test_sides_that_are_no_multiple_of_the_factor():
    x_hat = field(91, 122)
    for wrap in (False, True):
        y = whole(texture(x_hat, 0.3, wrap=wrap))
        assert y.shape == (91, 122)
        assert 0.1 < np.abs(y - x_hat).max() <= 0.3
    np.testing.assert_array_equal(texture(x_hat, 0.3).mean((slice(3, 91), slice(0, 122))), x_hat[3:])


def test_holes_stay():
    x_hat = field()
    x_hat[10:30, 20:50], x_hat[0, 0], x_hat[5, 5] = np.nan, np.inf, -np.inf
    y = whole(texture(x_hat, 0.3))
    bad = ~np.isfinite(x_hat)
    np.testing.assert_array_equal(y[bad], x_hat[bad])
    assert np.abs(y[~bad] - x_hat[~bad]).max() <= 0.3


def test_nothing_becomes_negative():
    x_hat = np.maximum(field() - 281, 0)
    assert whole(texture(x_hat, 0.3)).min() < 0
    assert whole(texture(x_hat, 0.3, non_negative=True)).min() == 0


def test_time_grows_with_the_bound():
    times = [starting_time(bound, 2.0) for bound in (1e-3, 0.1, 1.0, 1e3)]
    assert times == sorted(times)
    assert times[-1] == 0.9
    assert math.tan(math.pi / 2 * times[1]) == pytest.approx(0.1 / math.sqrt(3) / 0.6)


def test_a_late_start_changes_more():
    x_hat = field()
    changes = [np.abs(whole(texture(x_hat, 50.0, start=start)) - x_hat).mean() for start in (0.05, 0.3, 0.8)]
    assert changes == sorted(changes)


@pytest.mark.parametrize("bound", [0.0, -1.0, np.nan, np.inf])
def test_impossible_bounds_are_refused(bound):
    with pytest.raises(ValueError, match="finite bound above 0"):
        texture(field(), bound)


def test_integers_are_refused():
    with pytest.raises(ValueError, match="floats, got int16"):
        texture(field().astype(np.int16), 1.0)
