"""Bounds in units of noise: what they mean for each value, and what happens where nobody knows the noise."""

from __future__ import annotations

import numpy as np
import pytest
from checks import bits

from adiabat.codec import ChunkContext, Pyramid
from adiabat.codec.noise import Noise

FIELD = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("f4")
UNKNOWN = [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf]


def test_noise_of_each_value_and_of_each_channel():
    sigma = np.arange(1, 7) / 4
    whole = Noise.of(0.5, np.broadcast_to(sigma, FIELD.shape), FIELD, axis=-1)
    for noise in (Noise.of(0.5, sigma, FIELD, axis=-1), Noise.of(0.5, sigma.tolist(), FIELD, axis=2)):
        assert (noise.limits == whole.limits).all()
        assert (noise.limits == sigma / 2).all()
        assert not noise.unknown.any()
    first = Noise.of(2, [1, 2, 3, 4], FIELD, axis=0)
    assert (first.limits == np.array([2.0, 4, 6, 8])[:, None, None]).all()


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_unknown_noise_is_a_limit_of_zero(unknown):
    sigma = np.ones(FIELD.shape, "f4")
    sigma[1, 2, 3] = unknown
    noise = Noise.of(1.0, sigma, FIELD, axis=-1)
    assert noise.unknown.sum() == 1
    decoded = FIELD.copy()
    decoded[1, 2, 3] = np.nextafter(decoded[1, 2, 3], np.float32(9))
    assert noise.outside(FIELD, decoded).sum() == 1
    assert not noise.outside(FIELD, FIELD).any()


def test_zeros_of_unknown_noise_keep_their_sign():
    field, decoded = np.zeros((1, 1, 2)), np.array([[[0.0, -0.0]]])
    assert Noise.of(1.0, np.zeros((1, 1, 2)), field, axis=-1).outside(field, decoded).tolist() == [[[False, True]]]
    assert not Noise.of(1.0, np.ones((1, 1, 2)), field, axis=-1).outside(field, decoded).any()


def test_limits_are_inclusive_and_seen_in_float64():
    field = np.ones((1, 1, 2), "f4")
    decoded = field + np.array([0.25, np.nextafter(np.float32(0.25), np.float32(1))], "f4")
    assert Noise.of(0.5, [0.5, 0.5], field, axis=-1).outside(field, decoded).tolist() == [[[False, False]]]
    wide = field.astype("f8") + np.array([0.25, 0.25 + 1e-15])
    assert Noise.of(0.5, [0.5, 0.5], wide, axis=-1).outside(field.astype("f8"), wide).tolist() == [[[False, True]]]


def test_profile_is_the_smallest_limit_of_each_channel():
    sigma = 1 + np.arange(120.0).reshape(FIELD.shape)
    sigma[0, 0, 0], sigma[:, :, 4] = 0, np.nan
    profile = Noise.of(0.5, sigma, FIELD, axis=-1).profile(FIELD.shape, -1)
    assert profile.sizes.tolist() == [3.5, 1.0, 1.5, 2.0, 1.0, 3.0]
    assert Noise.of(0.5, np.zeros(FIELD.shape), FIELD, axis=-1).profile(FIELD.shape, -1) is None


@pytest.mark.parametrize("shape", [(5,), (4, 5), (4, 5, 1), (1, 4, 5, 6), (6, 5, 4), ()])
def test_noise_of_another_shape_gets_a_sentence(shape):
    codec = Pyramid(bound={"noise": 0.5})
    with pytest.raises(ValueError, match=r"expected the noise of each value \(4, 5, 6\), or of each of the 6 channels"):
        codec.encode(FIELD, context=ChunkContext(noise=np.ones(shape)))


@pytest.mark.parametrize("noise", ["1", [None] * 6, [True] * 6, [1j] * 6])
def test_noise_that_is_no_number_gets_a_sentence(noise):
    with pytest.raises(TypeError, match="expected the noise as numbers"):
        Pyramid(bound={"noise": 0.5}).encode(FIELD, context=ChunkContext(noise=noise))


@pytest.mark.parametrize("context", [None, ChunkContext()])
def test_a_bound_of_noise_without_noise_gets_a_sentence(context):
    with pytest.raises(ValueError, match=r"expected a context with the noise of the values for bound=.*Zarr alone"):
        Pyramid(bound={"noise": 0.5}).encode(FIELD, context=context)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3), (1, 1, 7)])
def test_any_shape_has_noise(shape):
    array = np.random.default_rng(1).normal(size=shape)
    data = Pyramid(bound={"noise": 0.5}).encode(array, context=ChunkContext(noise=np.ones(shape)))
    decoded = Pyramid(bound="lossless").decode(data)
    assert decoded.shape == shape
    assert (np.abs(decoded - array) <= 0.5).all()


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_values_of_unknown_noise_are_kept_on_every_path(unknown):
    sigma = np.full(FIELD.shape, 0.5)
    sigma[::2] = unknown
    for field in (FIELD, np.ones_like(FIELD), np.cumsum(FIELD, 1)):
        decoded = Pyramid(bound="lossless").decode(
            Pyramid(bound={"noise": 1}).encode(field, context=ChunkContext(noise=sigma))
        )
        assert (bits(decoded[::2]) == bits(field[::2])).all()
        assert (np.abs(decoded - field) <= 0.5).all()


def test_a_constant_outside_the_valid_range_is_kept_where_its_noise_is_unknown():
    field, codec = np.full((2, 3), 0.8666992, np.float16), Pyramid(bound={"noise": 0.5}, valid_range=(0.8667, None))
    sigma = np.array([[0.5, 0.5, 0.5], [0.5, np.nan, 0.5]])
    decoded = codec.decode(codec.encode(field, context=ChunkContext(noise=sigma)))
    assert (bits(decoded) == bits(field))[1, 1]


def test_zeros_of_both_signs_are_kept_where_their_noise_is_unknown():
    field, codec = np.array([0.0, -0.0, 0.0]), Pyramid(bound={"noise": 0.5})
    decoded = codec.decode(codec.encode(field, context=ChunkContext(noise=np.array([1.0, 0.0, 0.0]))))
    assert (bits(decoded) == bits(field))[1:].all()
