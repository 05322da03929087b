"""The fine field of a coarse one: the same in any region, on the coarse field's means, whole around the globe."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from stand_in_downscaler import EDGE, LOG_S, StandIn, coloured

from adiabat.formats import stitching
from adiabat.formats.block_means import approach, block_means, interpolate, project
from adiabat.formats.conditions import conditions, roughness
from adiabat.formats.downscaling import Downscaling, Settings
from adiabat.formats.noise_field import noise
from adiabat.formats.sampler import sample
from adiabat.formats.stitching import tiles
from adiabat.formats.tile_inputs import prepare


def coarse_field(height=20, width=30, seed=0):
    """Smooth, about 280, periodic in columns."""
    rng = np.random.default_rng(seed)
    waves = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) / (waves + 0.05) ** 1.5).real
    return 280 + 5 * field / field.std()


def downscaling(coarse, *, factor=4, patch=None, stride=None, **settings):
    settings = Settings(factor, roughness(coarse), **{"seed": 7, "steps": 5, **settings})
    return Downscaling(coarse, model=StandIn(), settings=settings, patch=patch, stride=stride)


def everything(view):
    return tuple(slice(0, size) for size in view.shape)


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 64 cells, so that small fields have several."""
    monkeypatch.setattr(stitching, "TILE", 64)


@pytest.mark.parametrize("factor", [4, 8])
def test_a_small_field_is_its_formula(factor):
    """Base + sigma (m + s d), with d in closed form, moved onto the block means."""
    coarse = coarse_field()
    view = downscaling(coarse, factor=factor, steps=50)
    told = conditions(coarse, factor=factor, scale=roughness(coarse))
    d = coloured(noise(7, 0, 0, slice(0, 20 * factor), slice(0, 30 * factor)))
    fine = told.base + told.sigma * (0.2 * np.tanh(told.fine_inputs[0]) + np.exp(LOG_S) * d)
    fine = project(approach(fine, coarse, factor), coarse, factor)
    found = view.sample(everything(view))
    assert found.dtype == np.float32
    inner = (slice(EDGE, -EDGE), slice(EDGE, -EDGE))
    np.testing.assert_allclose(found[inner], fine[inner], atol=0.02 * told.sigma.mean())


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("factor", [4, 8])
def test_any_region_is_the_crop_of_the_whole(small_tiles, factor, wrap):
    coarse = coarse_field(108 // factor, 180 // factor)
    view = downscaling(coarse, factor=factor, wrap=wrap, steps=2)
    assert len(view.across) > 1
    whole = {"sample": view.sample(everything(view), 1, 2), "mean": view.mean(everything(view))}
    height, _ = view.shape
    for region in ((0, 1, 0, 1), (60, 70, 50, 140), (3, height, 5, 9)):
        rows, columns = slice(*region[:2]), slice(*region[2:])
        again = downscaling(coarse, factor=factor, wrap=wrap, steps=2)
        np.testing.assert_array_equal(again.sample((rows, columns), 1, 2), whole["sample"][rows, columns])
        np.testing.assert_array_equal(again.mean((rows, columns)), whole["mean"][rows, columns])


@pytest.mark.parametrize("factor", [4, 8])
def test_tiles_leave_no_trace(monkeypatch, factor):
    """A field of several tiles is the field of one tile, to a thousandth of its spread."""
    coarse = coarse_field(132 // factor, 188 // factor)
    monkeypatch.setattr(stitching, "TILE", 1024)
    single = downscaling(coarse, factor=factor)
    monkeypatch.setattr(stitching, "TILE", 64)
    many = downscaling(coarse, factor=factor)
    assert len(single.down) == len(single.across) == 1
    assert len(many.down) > 1
    first, second = single.sample(everything(single)), many.sample(everything(many))
    spread = (first - interpolate(coarse, factor)).std()
    np.testing.assert_allclose(second, first, atol=1e-3 * spread)
    np.testing.assert_allclose(many.mean(everything(many)), single.mean(everything(many)), atol=1e-3 * spread)


@pytest.mark.parametrize("width", [48, 45])
def test_a_field_that_goes_round_has_no_edge(small_tiles, width):
    """Turned by some tiles, the expected field is turned; a sample is as smooth across the seam as elsewhere."""
    coarse = coarse_field(16, width)
    view = downscaling(coarse, wrap=True)
    turned = downscaling(np.roll(coarse, 16, 1), wrap=True)
    mean = view.mean(everything(view))
    spread = (mean - interpolate(coarse, 4)).std()
    np.testing.assert_allclose(turned.mean(everything(view)), np.roll(mean, 64, 1), atol=2e-2 * spread)
    fields = np.stack([view.sample(everything(view), member) for member in range(8)])
    steps = np.abs(fields - np.roll(fields, 1, -1)).mean((0, 1))
    assert steps[0] == pytest.approx(steps[4::4].mean(), rel=0.15)
    open_ended = np.stack([downscaling(coarse).sample(everything(view), member) for member in range(2)])
    assert not np.allclose(open_ended[..., -1], fields[:2, :, -1], atol=0.01)


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("non_negative", [False, True])
def test_block_means_are_the_coarse_values(factor, non_negative):
    coarse = coarse_field()
    if non_negative:
        coarse = np.exp(coarse - 283)
        coarse[3:6, 4:9] = 0
    view = downscaling(coarse, factor=factor, non_negative=non_negative)
    for fine in (view.sample(everything(view)), view.mean(everything(view))):
        np.testing.assert_allclose(block_means(fine, factor), coarse, rtol=1e-6)
        assert not non_negative or fine.min() >= 0


def test_negative_values_that_were_stored_stay():
    coarse = np.exp(coarse_field() - 283)
    coarse[2, 3] = -1e-5
    fine = (view := downscaling(coarse, non_negative=True)).sample(everything(view))
    np.testing.assert_array_equal(fine[8:12, 12:16], np.float32(-1e-5))
    assert np.delete(fine, np.s_[8:12], 0).min() >= 0


def test_holes_are_handed_on_as_whole_blocks():
    coarse = coarse_field()
    coarse[4:7, 5:9], coarse[0, 0], coarse[19, 29] = np.nan, np.nan, np.inf
    view = downscaling(coarse)
    for fine in (view.sample(everything(view)), view.mean(everything(view))):
        np.testing.assert_array_equal(fine[::4, ::4][~np.isfinite(coarse)], coarse[~np.isfinite(coarse)])
        good = np.isfinite(coarse)
        np.testing.assert_allclose(block_means(fine, 4)[good], coarse[good], rtol=1e-6)
    full = downscaling(coarse_field()).mean(everything(view))
    np.testing.assert_allclose(view.mean(everything(view))[60:76, 20:80], full[60:76, 20:80], rtol=1e-6)


def test_a_field_of_nothing_is_nothing(small_tiles):
    coarse = np.full((40, 60), np.nan)
    coarse[:10, :10] = coarse_field(10, 10)
    fine = (view := downscaling(coarse)).sample(everything(view))
    np.testing.assert_array_equal(np.isfinite(fine), np.isfinite(coarse).repeat(4, 0).repeat(4, 1))


def test_a_constant_field_stays_constant():
    view = downscaling(np.full((8, 9), 3.5))
    assert np.abs(view.mean(everything(view)) - 3.5).max() < 0.02
    np.testing.assert_allclose(block_means(view.sample(everything(view)), 4), 3.5, rtol=1e-6)


def test_units_and_offsets_change_nothing():
    coarse = coarse_field()
    one, other = downscaling(coarse), downscaling(1000 * coarse - 5e4)
    np.testing.assert_allclose(other.sample(everything(one)), 1000 * one.sample(everything(one)) - 5e4, atol=0.5)


def test_seeds_members_times_and_stacks_differ():
    coarse = coarse_field()
    view, other = downscaling(coarse), downscaling(coarse, seed=8)
    whole = everything(view)
    found = [view.sample(whole), view.sample(whole, 1), view.sample(whole, 0, 1), view.sample(whole, stack=1)]
    found.append(other.sample(whole))
    rest = [(f - view.mean(whole)).ravel() for f in found]
    assert np.abs(np.corrcoef(rest) - np.eye(5)).max() < 0.1
    np.testing.assert_array_equal(view.sample(whole), found[0])
    frozen = downscaling(coarse, persistence=None)
    np.testing.assert_array_equal(frozen.sample(whole, 0, 5), frozen.sample(whole, 0, 6))


def test_what_has_no_noise_is_prepared_once_and_tiles_are_kept():
    view = downscaling(coarse_field())
    view.sample(everything(view))
    assert view.model.evaluations == 5
    view.sample((slice(3, 5), slice(7, 9)))
    view.mean(everything(view))
    assert view.model.evaluations == 5
    view.sample(everything(view), 1)
    assert view.model.evaluations == 10


def test_patches_keep_the_variance():
    coarse = coarse_field(24, 32)
    whole, fused = downscaling(coarse, steps=20), downscaling(coarse, steps=20, patch=32)
    mean = whole.mean(everything(whole))
    single, stitched = (view.sample(everything(view)) - mean for view in (whole, fused))
    assert stitched.var() == pytest.approx(single.var(), rel=0.05)
    assert np.abs(np.diff(stitched, axis=1)).mean() == pytest.approx(np.abs(np.diff(single, axis=1)).mean(), rel=0.05)
    assert fused.model.evaluations == 20 * 5 * 7


@pytest.mark.parametrize("height", [9, 11])
def test_sides_that_are_no_multiple_of_the_model_s(height):
    view = downscaling(coarse_field(height, 13))
    fine = view.sample(everything(view))
    assert fine.shape == (height * 4, 52)
    assert np.isfinite(fine).all()


@pytest.fixture(scope="module")
def shipped():
    """The shipped model, with one thread and with two."""
    pytest.importorskip("onnxruntime")
    from adiabat.codec.downscaler_model import find_downscaler
    from adiabat.codec.errors import ModelNotFoundError

    try:
        model = find_downscaler()
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    return model, dataclasses.replace(model, threads=2)


@pytest.mark.parametrize("factor", [4, 8])
def test_tiles_of_the_shipped_model_leave_no_trace(monkeypatch, shipped, factor):
    """At a cut, tiles differ by less than a thousandth of the spread, in the mean over the cut."""
    coarse = coarse_field(192 // factor, 256 // factor)
    settings = Settings(factor, roughness(coarse), seed=7, steps=10)
    fields = []
    for size in (1024, 128):
        monkeypatch.setattr(stitching, "TILE", size)
        view = Downscaling(coarse, model=shipped[0], settings=settings)
        fields.append(view.sample(everything(view)))
    assert len(view.across) == 2
    spread = (fields[0] - view.mean(everything(view))).std()
    differences = np.abs(fields[1] - fields[0])[:, 126:130] / spread
    assert np.sqrt(np.mean(differences**2)) < 1e-3


def test_threads_and_batches_of_the_shipped_model_agree(shipped):
    coarse = coarse_field(16, 20)
    settings = Settings(4, roughness(coarse), seed=7)
    views = [Downscaling(coarse, model=model, settings=settings) for model in shipped]
    one, two = (view.sample(everything(view)) for view in views)
    spread = (one - views[0].mean(everything(views[0]))).std()
    np.testing.assert_allclose(two, one, atol=1e-3 * spread)
    ready = prepare(
        coarse, (tiles(64)[0], tiles(80)[0]), model=shipped[0], factor=4, scale=settings.scale, grain=None, wrap=False
    )
    white = np.random.default_rng(0).standard_normal((3, 1, 64, 80)).astype(np.float32)

    def solve(x):
        told = [np.repeat(each, len(x), 0) for each in (ready.features, ready.fine_inputs[None], ready.mean)]
        return sample(lambda x, t: shipped[0].velocity(x, np.full(len(x), t, np.float32), *told), x)

    np.testing.assert_allclose(solve(white)[1:2], solve(white[1:2]), atol=1e-3)


def test_twenty_steps_of_the_shipped_model_keep_the_spectrum(shipped):
    coarse = coarse_field(16, 16)
    few, many = (
        Downscaling(coarse, model=shipped[0], settings=Settings(4, roughness(coarse), seed=7, steps=steps))
        for steps in (20, 100)
    )
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij"))
    power = [np.abs(np.fft.fft2(view.sample(everything(view)))) ** 2 for view in (few, many)]
    for octave in range(1, 4):
        ring = (waves <= 2.0**-octave) & (waves > 2.0 ** -(octave + 1))
        assert power[0][ring].mean() == pytest.approx(power[1][ring].mean(), rel=0.1)


def test_regions():
    view = downscaling(coarse_field())
    assert view.mean((slice(3, 3), slice(0, 5))).shape == (0, 5)
    with pytest.raises(ValueError, match="without steps"):
        view.mean((slice(0, 8, 2), slice(0, 5)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factor": 3}, "factor of 4, 8"),
        ({"factor": 1}, "factor from 2"),
        ({"steps": 0}, "steps from 1"),
        ({"scale": np.nan}, "finite scale"),
        ({"seed": -1}, "seed from 0"),
        ({"persistence": -1}, "persistence of 0"),
        ({"patch": 20}, "multiples of 8"),
        ({"patch": 16, "stride": 4}, "multiples of 8"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    patch = {key: value for key, value in change.items() if key in ("patch", "stride")}
    options = {"factor": 4, "scale": 1.0, **change}

    def build():
        settings = Settings(**{key: value for key, value in options.items() if key not in patch})
        return Downscaling(coarse_field(), model=StandIn(), settings=settings, **patch)

    with pytest.raises(ValueError, match=message):
        build()


def test_too_small_a_field_is_refused():
    with pytest.raises(ValueError, match="at least 4 x 4 coarse cells, got 3 x 9"):
        downscaling(np.zeros((3, 9)))
