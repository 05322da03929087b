"""Integer fields: any of them come back, predicted as the specification says; broken ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import CorruptStreamError
from adiabat.codec.octets import write_varint
from adiabat.codec.spectral_fields import FRACTION, LARGEST, NEIGHBOURS, _neighbours, read_fields, write_fields
from adiabat.codec.spectral_residual import ResidualWriter


def fields_of(shape, kind, seed=0):
    """Integers of one of the kinds."""
    rng = np.random.default_rng(seed)
    if kind == "wild":
        return rng.integers(-(2**31), 2**31, shape)
    if kind == "constant":
        return np.full(shape, int(rng.integers(-9, 9)))
    smooth = np.cumsum(np.cumsum(rng.normal(size=shape), 1), 2)
    if kind == "alike":
        smooth = smooth[:1] * np.arange(1, shape[0] + 1)[:, None, None] + rng.normal(size=shape)
    return np.rint(30 * smooth).astype(np.int64)


@quick
@given(
    st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(1, 12)),
    st.sampled_from(["wild", "constant", "smooth", "alike"]),
    st.integers(0, 2**32 - 1),
)
def test_round_trip(shape, kind, seed):
    fields = fields_of(shape, kind, seed)
    data = write_fields(fields)
    if data is not None:
        assert (read_fields(data, shape) == fields).all()
    assert data is not None or kind == "wild"
    assert shape[0] or data == b""


def test_smooth_fields_that_go_together_take_few_bytes():
    shape = (4, 40, 50)
    alike, apart = (np.concatenate([fields_of((1, 40, 50), "smooth", seed) for seed in seeds]) for seeds in ([1], [2]))
    together = np.concatenate([alike * k + apart // 50 for k in (1, 2, 3, 4)])
    assert together.shape == shape
    sizes = [len(write_fields(each[None])) for each in together]
    assert len(write_fields(together)) < 0.8 * sum(sizes)


def test_a_constant_field_beside_another_takes_hardly_a_byte():
    """What the first place is off by, which has no neighbours, once outweighed all others."""
    field = fields_of((1, 1, 1500), "smooth", 3)
    both = np.concatenate([field, np.full_like(field, -524288)])
    assert len(write_fields(both)) - len(write_fields(field)) < 50


def test_few_jumps_do_not_spoil_the_prediction():
    rng = np.random.default_rng(5)
    field = np.rint(1000 + np.cumsum(rng.normal(size=(1, 1, 2000)), 2)).astype(np.int64)
    jumps = field + 5000 * (np.arange(2000) > 700)
    assert len(write_fields(jumps)) < len(write_fields(field)) + 50


def test_neighbours_are_those_of_the_table():
    field = np.arange(1, 13).reshape(3, 4)
    near = _neighbours(field).T.reshape(3, 4, NEIGHBOURS)
    assert near[0, 0].tolist() == [0] * 6
    assert near[0, 1].tolist() == [1] * 6
    assert near[0, 2].tolist() == [2, 2, 2, 2, 1, 2]
    assert near[1, 0].tolist() == [1, 1, 1, 2, 1, 1]
    assert near[1, 3].tolist() == [7, 4, 3, 4, 6, 4]
    assert near[2, 2].tolist() == [10, 7, 6, 8, 9, 3]
    assert near[2, 0].tolist() == [5, 5, 5, 6, 5, 1]


def coded(weights, symbols):
    """Fields of given weights and symbols."""
    writer = ResidualWriter()
    writer.take(np.array(symbols, np.int32), None)
    folded = [2 * w if w >= 0 else -2 * w - 1 for row in weights for w in row]
    return b"".join(map(write_varint, folded)) + writer.payload()


def test_prediction_by_hand():
    one = 1 << FRACTION
    data = coded([[one // 2, one // 4, 0, 0, 0, 0], [0] * 6 + [-one]], [[100, 0, 0, 7], [1, 2, 3, 4]])
    # field 0: 0.75 of the one before, rounded half up; field 1: less what neighbours alone missed, before rounding
    first = [100, 75, 56, 42 + 7]
    off = [100 * 4096, 0, 56 * 4096 - 75 * 3072, 49 * 4096 - 56 * 3072]
    second = [1 - 100, 2, 3 + ((-off[2] + 2048) >> 12), 4 + ((-off[3] + 2048) >> 12)]
    assert read_fields(data, (2, 1, 4)).tolist() == [[first], [second]]


def test_numbers_that_are_too_large_are_not_written():
    assert write_fields(np.array([[[LARGEST]]])) is None
    assert write_fields(np.array([[[1 << 31]]])) is None
    assert write_fields(np.array([[[(1 << 31) - 1]]])) is not None


def test_fields_that_grow_too_large_are_refused():
    growing = [[1 << 16, 0, 0, 0, 0, 0]]
    assert read_fields(coded(growing, [[1, 0, 0]]), (1, 1, 3)).tolist() == [[[1, 16, 256]]]
    with pytest.raises(CorruptStreamError, match="fields below"):
        read_fields(coded(growing, [[1] + [0] * 40]), (1, 1, 41))


@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 2, 3), (3, 2, 3), (2, 3, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(CorruptStreamError):
        read_fields(write_fields(fields_of((2, 2, 3), "smooth")), shape)


def test_weights_have_a_limit():
    good = coded([[1 << 16, -(1 << 16), 0, 0, 0, 0]], [[1, 1]])
    read_fields(good, (1, 1, 2))
    with pytest.raises(CorruptStreamError, match="at most"):
        read_fields(write_varint((1 << 17) + 1) + good[len(write_varint(1 << 17)) :], (1, 1, 2))
