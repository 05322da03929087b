"""What static fields explain: found by least squares, taken off, put back to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from latent_cases import rmse, smooth

from adiabat.codec import ChunkContext, Hyperprior, ModelNotFoundError, describe
from adiabat.codec.latent_statics import explained, fit_gains
from adiabat.codec.statics import Static, add_static, static_file


@pytest.fixture
def static(tmp_path, monkeypatch):
    """A rough field that is kept as a static one."""
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path))
    field = np.random.default_rng(3).normal(size=(60, 90)).astype(np.float32) * 300
    return field, add_static(static_file(field))


def test_gains_are_found(static):
    field, sha256 = static
    frames = np.stack([smooth(field.shape, seed=s) - 0.006 * field for s in (1, 2)])
    (found,) = fit_gains(frames, None, (Static(sha256),))
    assert found.gain == pytest.approx(-0.006, rel=0.02)
    assert np.allclose(explained((found,), field.shape), found.gain * field.astype(np.float64), rtol=1e-15)


def test_gains_are_found_around_holes(static):
    field, sha256 = static
    frames = (smooth(field.shape) - 0.006 * field)[None]
    valid = np.ones(frames.shape, bool)
    valid[:, 10:20] = False
    frames = np.where(valid, frames, np.nan)
    (found,) = fit_gains(frames, valid, (Static(sha256),))
    assert found.gain == pytest.approx(-0.006, rel=0.1)


def test_what_explains_nothing_is_left_out(static):
    field, sha256 = static
    assert fit_gains(smooth(field.shape)[None], None, (Static(sha256),)) == ()
    assert fit_gains(np.zeros((1, *field.shape), np.float32), None, (Static(sha256),)) == ()
    assert fit_gains(np.zeros((1, 4, 4), np.float32), None, (Static(sha256),)) == ()


def test_of_two_fields_the_useful_one_stays(static):
    field, sha256 = static
    other = add_static(static_file(np.random.default_rng(9).normal(size=field.shape)))
    kept = fit_gains((smooth(field.shape) + 0.01 * field)[None], None, (Static(other), Static(sha256)))
    assert [each.sha256 for each in kept] == [sha256]


def test_a_static_field_saves_bytes_and_the_error_holds(static):
    field, sha256 = static
    array = smooth(field.shape) - 0.006 * field
    without, codec = Hyperprior(target={"rmse": 0.1}), Hyperprior(target={"rmse": 0.1}, static=[sha256])
    data = codec.encode(array)
    assert len(data) < 0.5 * len(without.encode(array))
    assert describe(data)["sections"]["static"] == 43
    assert rmse(array, without.decode(data)) <= 0.1
    bounded = Hyperprior(bound={"abs": 0.3}, static=[sha256])
    assert np.abs(bounded.decode(bounded.encode(array)).astype("f8") - array).max() <= 0.3


def test_a_chunk_may_be_a_part_of_the_field(static):
    field, sha256 = static
    array = (smooth(field.shape) - 0.006 * field)[20:52, 30:78]
    codec = Hyperprior(target={"rmse": 0.1}, static=[sha256])
    with pytest.raises(ValueError, match="static fields of the chunk's last two axes"):
        codec.encode(array)
    data = codec.encode(array, context=ChunkContext(static_origin=(20, 30)))
    assert rmse(array, codec.decode(data)) <= 0.1


def test_a_missing_field_is_named():
    with pytest.raises(ModelNotFoundError, match="static field"):
        Hyperprior(target={"rmse": 1}, static=["ab" * 32]).encode(smooth())


def test_a_signalling_nan_beside_a_static_field_is_no_warning(static):
    field, sha256 = static
    array = (smooth(field.shape) - 0.006 * field).astype("f4")
    array.view("u4")[3, 4] = 0x7F800001
    codec = Hyperprior(bound={"abs": 0.5}, static=[sha256])
    assert codec.decode(codec.encode(array)).view("u4")[3, 4] == 0x7F800001
