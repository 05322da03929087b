"""Spectra: the bound of every value whatever the noise and the numbers, round trips, broken bytes, Zarr."""

from __future__ import annotations

import dataclasses
import tracemalloc
from unittest import mock

import numpy as np
import pytest
import zarr
from checks import bits, check_bound, check_every_truncation
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import EXAMPLES, quick

from adiabat.codec import AdiabatError, ChunkContext, CorruptStreamError, Pyramid, describe, spectral_path
from adiabat.codec.bound import Bound
from adiabat.codec.frames import Layout
from adiabat.codec.noise import Noise
from adiabat.codec.octets import write_varint
from adiabat.codec.paths import Chunk
from adiabat.codec.spectra import Spectra
from adiabat.codec.spectral import MAX_CHANNELS, decode_spectra, encode_spectra
from adiabat.codec.stream import Stream

CODEC = Pyramid(bound="lossless")
UNKNOWN = [0.0, np.nan, -1.0, np.inf]


def spectra(shape, axis=-1, seed=0, dtype="f4", noise=0.02):
    """Three components, shot noise."""
    rng, channels = np.random.default_rng(seed), shape[axis]
    others = [length for place, length in enumerate(shape) if place != axis % len(shape)]
    lines = 2 + np.sin(np.arange(1, 4)[:, None] * np.linspace(0, 5, channels) + np.arange(3)[:, None])
    light = np.abs(1 + 0.3 * rng.normal(size=(int(np.prod(others)), 3)))
    clean = light @ lines
    field = clean + noise * np.sqrt(clean) * rng.normal(size=clean.shape)
    return np.moveaxis(field.reshape(*others, channels), -1, axis).astype(dtype)


def coded(array, sigma=None, times=1.0, *, axis=-1, bound=None, **options):
    """By the spectral path alone, however few values; None where there is none."""
    layout = Layout.of(array)
    told = None if bound is None else Bound.parse(bound)
    if told is None:
        noise = Noise.of(times, sigma, array, axis=axis)
        profile = noise.profile(array.shape, axis)
        told, options["noise"] = Bound("lossless") if profile is None else Bound.along(profile), noise
    chunk = Chunk(layout.frames(array), layout, told, channels=axis % array.ndim, **options)
    with mock.patch.object(spectral_path, "FEWEST", 1):
        made = chunk.spectral()
    return None if made is None else made[0].write()


def check_noise(array, decoded, sigma, times=1.0):
    """Every value within its own noise, the others bit for bit."""
    assert (decoded.dtype.str, decoded.shape) == (array.dtype.str, array.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        limits = times * np.broadcast_to(np.asarray(sigma, np.float64), array.shape)
        limits = np.where(np.isfinite(limits) & (limits > 0) & np.isfinite(array), limits, -1)
        error = np.abs(decoded.astype(np.float64) - array.astype(np.float64))
    exact = limits < 0
    assert (bits(decoded)[exact] == bits(array)[exact]).all()
    assert (error[~exact] <= limits[~exact]).all()


@st.composite
def cases(draw):
    """Spectra of any shape, dtype and content, with noise of any kind."""
    axis = draw(st.integers(0, 2))
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3)) if draw(st.booleans()) else (4, 5, 6)
    shape = (*shape[:axis], draw(st.sampled_from([1, 2, 9, 40])), *shape[axis + 1 :])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(["<f2", ">f4", "<f4", "<f8", ">f8"])))
    scale = draw(st.sampled_from([1.0, 1.0, 1e-3, 1e3, 1e30, 1e300]))
    with np.errstate(over="ignore"):
        array = (scale * spectra(shape, axis, int(rng.integers(9)), "f8")).astype(dtype)
        sigma = scale * 0.02 * 10.0 ** rng.uniform(*draw(st.sampled_from([(0, 0), (-1, 1), (-300, 300)])), shape)
    content = draw(st.sampled_from(["as it is", "constant", "spikes", "any bits"]))
    if content == "constant":
        array[:] = array.flat[0]
    elif content == "spikes":
        where = rng.random(shape) < 0.05
        array[where] = rng.choice([-6e4, 0.0, -0.0, 1e4, np.finfo(dtype).max], int(where.sum()))
    elif content == "any bits":
        array = rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype).reshape(shape)
    array[rng.random(shape) < draw(st.sampled_from([0, 0, 0.2, 1]))] = np.nan
    for unknown in draw(st.lists(st.sampled_from(UNKNOWN), max_size=2)):
        sigma[rng.random(shape) < draw(st.sampled_from([0.02, 0.5, 1]))] = unknown
    times = draw(st.sampled_from([0.25, 1.0, 1e-9, 1e9, 5e-324, 1e308]))
    return np.asfortranarray(array) if draw(st.booleans()) else array, sigma, times, axis


@settings(quick, max_examples=2 * EXAMPLES)
@given(cases())
def test_spectra_keep_any_bound_of_noise(case):
    array, sigma, times, axis = case
    data = coded(array, sigma, times, axis=axis)
    if data is not None:
        check_noise(array, CODEC.decode(data), sigma, times)


@settings(quick, max_examples=max(10, EXAMPLES // 3))
@given(cases())
def test_the_codec_keeps_any_bound_of_noise(case):
    array, sigma, times, axis = case
    codec = Pyramid(bound={"noise": times}, channels=axis)
    data = codec.encode(array, context=ChunkContext(noise=sigma))
    check_noise(array, codec.decode(data), sigma, times)
    assert codec.encode(array, context=ChunkContext(noise=sigma)) == data


@pytest.mark.parametrize("bound", [{"abs": 0.04}, {"rel": 0.01}, {"abs": [0.03 + k / 999 for k in range(40)]}])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_other_bounds(bound, axis):
    shape = [5, 6, 7]
    shape[axis] = 40
    array = spectra(tuple(shape), axis)
    data = coded(array, axis=axis, bound=bound)
    assert describe(data)["path"] == "spectral"
    check_bound(bound, array, CODEC.decode(data))
    assert coded(array, axis=axis, bound="lossless") is None


def test_spectra_take_fewer_bytes_than_anything_else_and_nearly_the_noises_own():
    array = spectra((16, 40, 64), noise=0.05)
    sigma = 0.05 * np.sqrt(array)
    data = Pyramid(bound={"noise": 1.0}, channels=-1).encode(array, context=ChunkContext(noise=sigma))
    assert describe(data)["path"] == "spectral"
    # noise in steps of two sigma takes 1.1 bits a value, three coefficients of nine bits a pixel 0.4
    assert len(data) * 8 / array.size < 1.75
    check_noise(array, CODEC.decode(data), sigma)
    plain = Pyramid(bound={"abs": float(sigma.min())}).encode(array)
    assert len(plain) > 1.5 * len(data)


@pytest.mark.parametrize("array", [np.ones((6, 7, 40)), np.zeros((6, 7, 40)), np.full((6, 7, 40), np.nan)])
def test_degenerate_spectra(array):
    for dtype in ("f2", "f4", "f8"):
        data = coded(array.astype(dtype), np.full(40, 0.1))
        check_noise(array.astype(dtype), CODEC.decode(data), 0.1)
        assert len(data) < 400


def test_spikes_are_exceptions_and_spare_the_others():
    array = spectra((16, 20, 40))
    spiked = array.copy()
    spiked[3, 4, 5], spiked[9, :, 7] = 1e30, -3e38
    sizes = [len(coded(each, np.full(40, 0.05))) for each in (array, spiked)]
    assert sizes[1] < 1.3 * sizes[0]
    check_noise(spiked, CODEC.decode(coded(spiked, np.full(40, 0.05))), 0.05)


def test_valid_range_and_fill_value():
    array = np.maximum(spectra((6, 7, 40)) - 5, 0)
    array[2, 3] = -999
    decoded = CODEC.decode(coded(array, np.full(40, 0.05), fill_value=-999.0, valid_range=(0.0, None)))
    assert (decoded[2, 3] == -999).all()
    kept = np.delete(decoded.reshape(-1, 40), 17, 0)
    assert kept.min() == 0
    check_noise(array, decoded, 0.05)


def test_channels_and_pixels():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    for axis in range(4):
        laid = Spectra.of(array.shape, axis)
        pixels = laid.pixels(array)
        assert (pixels == np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)).all()
        assert (laid.restore(pixels).reshape(array.shape) == array).all()
        assert laid.image[0] * laid.image[1] == pixels.shape[1]
        assert laid.columns == (5 if axis < 3 else 4)


# ---- broken bytes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """A stream of a few hundred bytes with missing values and exceptions."""
    array = spectra((3, 4, 9))
    array[0, 1, 2:5] = np.nan
    sigma = np.full(array.shape, 0.05)
    sigma[2, 2, 2] = 0
    return coded(array, sigma)


def test_every_truncation_is_refused(small):
    check_every_truncation(CODEC, small)


def test_every_broken_payload_is_refused_or_decodes(small):
    """Bits flipped and bytes cut below the checksum: a named error or an array, never a warning or another error."""
    stream = Stream.read(small)
    payload = stream.sections["payload"]
    flipped = [
        payload[: at // 8] + bytes([payload[at // 8] ^ 1 << at % 8]) + payload[at // 8 + 1 :]
        for at in range(0, 8 * len(payload), 21)  # each bit of a byte in turn
    ]
    refused = 0
    for bad in [*flipped, *(payload[:length] for length in range(0, len(payload), 9))]:
        try:
            CODEC.decode(dataclasses.replace(stream, sections={**stream.sections, "payload": bad}).write())
        except AdiabatError:
            refused += 1
    assert refused > 0.8 * len(flipped)


@pytest.mark.parametrize("shape", [(1 << 24, 1), (1, 1 << 24), (1 << 17, 1 << 7)])
@pytest.mark.parametrize("count", [1, 2, 255])
def test_a_huge_announcement_allocates_little(small, shape, count):
    head = bytes([1]) + write_varint(count) + bytes([128] * (count + 1))
    payload = head + b"".join(write_varint(300) + bytes(300) for _ in range(4))
    bad = dataclasses.replace(Stream.read(small), shape=shape, sections={"payload": payload}).write()
    tracemalloc.start()
    with pytest.raises(CorruptStreamError):
        CODEC.decode(bad)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * shape[0] * shape[1]


def test_there_is_a_most_of_channels():
    x = np.zeros((MAX_CHANNELS + 1, 1))
    assert encode_spectra(x, np.ones((len(x), 1)), valid=None, image=(1, 1)) is None
    with pytest.raises(CorruptStreamError, match="65536 channels"):
        decode_spectra(bytes(20), MAX_CHANNELS + 1, (1, 1), valid=None)


# ---- Zarr -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 0])
def test_a_profile_through_zarr(axis):
    shape = (8, 50, 40) if axis else (40, 8, 50)
    array = spectra(shape, axis, noise=0.05)
    bound = {"abs": (0.05 * np.sqrt(array).mean(tuple({0, 1, 2} - {axis % 3}))).tolist(), "axis": axis}
    configuration = {"bound": bound, "channels": axis}
    store = zarr.storage.MemoryStore()
    stored = zarr.create_array(
        store, shape=shape, chunks=shape, dtype="f4", compressors=None, filters=None,
        serializer={"name": "adiabat.pyramid", "configuration": configuration},
    )  # fmt: skip
    stored[:] = array
    decoded = zarr.open_array(store)[:]
    check_bound(bound, array, decoded)
    data = Pyramid(**configuration).encode(array)
    assert describe(data)["path"] == "spectral"
    assert (CODEC.decode(data) == decoded).all()
    assert stored.nbytes_stored() < 1.1 * len(data) + 2000


def test_a_bound_of_noise_through_zarr_alone_gets_a_sentence():
    stored = zarr.create_array(
        {}, shape=(4, 40), chunks=(4, 40), dtype="f4", compressors=None,
        serializer={"name": "adiabat.pyramid", "configuration": {"bound": {"noise": 0.25}}},
    )  # fmt: skip
    with pytest.raises(ValueError, match="expected a context with the noise of the values"):
        stored[:] = spectra((4, 40))


def test_a_profile_along_the_first_axis_beside_channels_along_the_last():
    rng = np.random.default_rng(3)
    array = (rng.normal(size=(120, 80, 64)) + np.linspace(0, 50, 64)).astype("f4")
    sizes = np.linspace(0.5, 1.0, 120)
    codec = Pyramid(bound={"abs": sizes.tolist(), "axis": 0}, channels=-1)
    error = np.abs(codec.decode(codec.encode(array)).astype("f8") - array)
    assert (error <= sizes[:, None, None]).all()


def test_a_signalling_nan_under_a_relative_bound_is_no_warning():
    array = np.exp(np.random.default_rng(0).normal(size=(6, 8, 40))).astype(np.float32)
    array.view("u4")[2, 3, 4] = 0x7F800001
    codec = Pyramid(bound={"rel": 0.01}, channels=-1)
    decoded = codec.decode(codec.encode(array))
    assert decoded.view("u4")[2, 3, 4] == 0x7F800001
    known = np.isfinite(array)
    assert (np.abs(decoded[known] - array[known]) <= 0.01 * array[known]).all()
