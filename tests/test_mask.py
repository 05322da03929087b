"""Special pixels: found, coded small, restored bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from checks import bits
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, quick

from adiabat.codec import CorruptStreamError
from adiabat.codec.frames import Layout
from adiabat.codec.mask import Special, find_special, read_plane, write_plane


def again(special, field):
    read = Special.read(special.write(), field.shape, field.dtype)
    return read.restore(np.zeros_like(field)), special.restore(np.zeros_like(field))


@quick
@given(arrays(), st.booleans())
def test_special_pixels_come_back(array, zeros):
    field = Layout.of(array).frames(array)
    special = find_special(field, 1.0, *([0.0] if zeros else []))
    where = ~np.isfinite(field) | (field == 1) | ((field == 0) & zeros)
    if special is None:
        assert not where.any()
        return
    assert (special.valid == ~where).all()
    for restored in again(special, field):
        assert (bits(restored)[where] == bits(field)[where]).all()
        assert (restored[~where] == 0).all()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 254, 255, 300, 3000])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_many_payloads(count, kind):
    """More patterns than the table holds are listed one by one."""
    field = np.ones((1, 50, 70), kind)
    raw = bits(field).copy()
    raw.reshape(-1)[:count] = bits(np.array([np.nan], kind))[0] + np.arange(count).astype(raw.dtype)
    field = raw.view(kind)
    special = find_special(field)
    assert len(special.patterns) == min(count, 254)
    assert len(special.listed) == max(0, count - 254)
    for restored in again(special, field):
        assert (bits(restored)[~special.valid] == raw[~special.valid]).all()


@pytest.mark.parametrize("seed", range(4))
def test_planes(seed):
    rng = np.random.default_rng(seed)
    coast = np.cumsum(rng.normal(size=60)) + 20
    static = np.tile(np.arange(50)[:, None] < coast, (5, 1, 1))
    noise = rng.random((2, 30, 41)) < 0.5
    rare = rng.random((1, 200, 300)) < 1e-4
    for plane in (static, noise, rare, ~static, noise[:0], noise[:, :1, :1]):
        data = write_plane(plane)
        assert (read_plane(data, plane.shape) == plane).all()
    assert len(write_plane(static)) < 200


def test_an_unchanging_mask_costs_its_first_frame():
    rng = np.random.default_rng(0)
    frame = rng.random((1, 40, 40)) < 0.5
    assert len(write_plane(np.repeat(frame, 50, axis=0))) < 2 * len(write_plane(frame))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x04\x00\x00",
        b"\x00\x00\x00",
        b"\x80\x02\x00\t\x01",
        b"\x80\x03\x00\x01\x00\x01",
        b"\x00\x00\x00\x80\xff\x00",
    ],
)
def test_broken_planes_are_refused(data):
    with pytest.raises(CorruptStreamError):
        read_plane(data, (1, 1, 9))


def test_broken_masks_are_refused():
    field = np.array([[[1.0, np.nan, np.inf]]], "f4")
    data = find_special(field).write()
    for at in range(len(data)):
        with pytest.raises(CorruptStreamError):
            Special.read(data[:at], field.shape, field.dtype)
    with pytest.raises(CorruptStreamError):
        Special.read(b"\xff" + data[1:], field.shape, field.dtype)
    # one pattern, but a class beyond the table
    one = find_special(np.array([[[1.0, np.nan, 1.0]]], "f4")).write()
    with pytest.raises(CorruptStreamError):
        Special.read(b"\x02" + one[1:5] * 2 + data[9:], (1, 1, 2), field.dtype)


def test_fill_value_in_the_dtype():
    field = np.array([[[0.1, 1e20, 2.0]]], "f4")
    assert find_special(field, 1e20).classes.tolist() == [[[0, 1, 0]]]
    assert find_special(field, 0.1).classes.tolist() == [[[1, 0, 0]]]
    assert find_special(np.ones((1, 1, 2), "f2"), 1e20) is None
