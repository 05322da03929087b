"""The row of scores: a perfect field, a smoothed one, texture in the wrong place, ensembles, holes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rough_fields import rough_field

from adiabat.formats import texture_scores
from adiabat.formats.texture_scores import score_texture


@pytest.fixture(scope="module")
def truth():
    return 280 + 5 * rough_field(2.5, (96, 120), seed=3)


def test_the_truth_itself(truth):
    found = score_texture(truth, truth)
    assert (found.rmse, found.crps, found.nugget, found.wasserstein, found.tail_wasserstein) == (0, 0, 0, 0, 0)
    assert (found.r2, found.top_octave, found.sill, found.range, found.neighbours) == (1, 1, 1, 1, 1)
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


def test_a_smooth_field_errs_less_than_texture_in_the_wrong_place_and_shows_it_elsewhere(truth):
    smooth = sum(np.roll(truth, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    elsewhere = smooth + (truth - smooth)[::-1, ::-1]
    one, other = score_texture(truth, smooth), score_texture(truth, elsewhere)
    assert one.rmse < other.rmse
    assert one.r2 > other.r2
    assert one.top_octave < 0.2
    assert other.top_octave == pytest.approx(1, abs=0.25)
    assert one.neighbours < 0.5
    assert 0.8 < other.neighbours < 1.4
    assert one.range > 1.1


def test_noise_is_nugget_and_texture(truth):
    noisy = truth + np.random.default_rng(0).normal(size=truth.shape)
    found = score_texture(truth, noisy)
    assert found.nugget * texture_scores.semivariogram(truth).fit().sill == pytest.approx(1, rel=0.2)
    assert found.top_octave > 1.5


def test_crps_is_of_the_ensemble_where_there_is_one(truth):
    members = truth + np.random.default_rng(1).normal(size=(16, *truth.shape))
    alone, many = score_texture(truth, members[0]), score_texture(truth, members[0], members=members)
    assert alone.crps == pytest.approx(np.abs(members[0] - truth).mean())
    assert many.crps == pytest.approx(2 / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi), rel=0.05)
    assert many.rmse == alone.rmse


def test_holes_and_leading_axes(truth):
    frames = np.stack([truth, truth[::-1]])
    other = frames + np.random.default_rng(2).normal(size=frames.shape)
    whole = score_texture(frames, other)
    other[:, 10:20, 30:40] = np.nan
    cut = score_texture(frames, other)
    assert cut.rmse == pytest.approx(whole.rmse, rel=0.05)
    assert cut.top_octave == pytest.approx(whole.top_octave, rel=0.1)
    assert all(np.isfinite(value) for value in cut.as_dict().values())


def test_shapes_that_do_not_fit(truth):
    with pytest.raises(ValueError, match="of one shape"):
        score_texture(truth, truth[None])
