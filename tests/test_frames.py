"""Arrays to frames and back; the seam."""

from __future__ import annotations

import numpy as np
import pytest
from checks import bits
from hypothesis import given
from strategies import arrays, fields, quick

from adiabat.codec.frames import Layout, find_wrap, frame_shape


@quick
@given(arrays())
def test_layout_gives_back_what_came(array):
    layout = Layout.of(array)
    frames = layout.frames(array)
    back = layout.restore(frames)
    assert frames.shape == frame_shape(array.shape)
    assert frames.dtype.isnative
    assert frames.flags.c_contiguous
    assert back.dtype.str == array.dtype.str
    assert (bits(back) == bits(array)).all()
    assert back.flags.f_contiguous or not layout.fortran


@pytest.mark.parametrize("dtype", ["i4", "u1", "?", "M8[s]", "m8[s]", "c8", "O", "S3", "U2", np.longdouble])
def test_other_dtypes_are_refused_with_advice(dtype):
    with pytest.raises(TypeError, match="zstd"):
        Layout.of(np.zeros(3, dtype))


def test_masked_arrays_are_refused_with_advice():
    with pytest.raises(TypeError, match="filled"):
        Layout.of(np.ma.masked_array([1.0], [True]))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1, 1)),
        ((0,), (1, 1, 0)),
        ((2, 3), (1, 2, 3)),
        ((1, 5), (1, 1, 5)),
        ((4, 3, 2), (4, 3, 2)),
        ((4, 1, 3, 1, 2), (4, 3, 2)),
        ((2, 3, 4, 5), (6, 4, 5)),
    ],
)
def test_frame_shape(shape, expected):
    assert frame_shape(shape) == expected


def target(field):
    return field.astype(np.float64)[None]


@pytest.mark.parametrize("seed", range(20))
def test_seam_of_smooth_fields(seed):
    globe = fields(seed=seed, shape=(48, 128))
    assert find_wrap(target(globe), None, 0.1)
    assert not find_wrap(target(globe + 0.2 * np.arange(128)), None, 0.1)
    region = globe[:, :40] + np.linspace(0, 9, 40)
    assert not find_wrap(target(region), None, 0.1)


def test_seam_with_absent_pixels():
    globe = target(fields())
    valid = np.ones(globe.shape, bool)
    valid[:, :30, 5:40] = False
    assert find_wrap(np.where(valid, globe, 0), valid, 0.0)
    valid[:, 4:, 0] = False  # hardly a pair over the seam
    assert not find_wrap(globe, valid, 0.0)


def test_small_arrays_do_not_wrap():
    assert not find_wrap(np.zeros((9, 9, 7)), None, 0.0)
    assert not find_wrap(np.zeros((1, 7, 64)), None, 0.0)
    assert not find_wrap(np.zeros((0, 7, 64)), None, 0.0)
