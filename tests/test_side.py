"""Weights of references: written, read, refused, and what references come to under them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import CorruptStreamError
from adiabat.codec.octets import Reader
from adiabat.codec.order import Group
from adiabat.codec.side import LATTICES, Side, Weights, combine

LIMIT = 2**38
NOTHING = np.empty((0, 0, 0), np.int64)  # what is known of a coarser lattice: weights that are given need it not


@quick
@given(st.integers(1, LATTICES), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_weights_are_read_as_written(rows, references, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-128, 128, (rows, references)).astype(np.int8)
    weights = Weights(values, rng.integers(0, 128, rows).astype(np.uint8))
    data = weights.write()
    reader = Reader(data + b"more")
    again = Weights.read(reader, references)
    assert reader.left == 4
    assert (again.values == values).all()
    assert (again.trust == weights.trust).all()
    for cut in range(len(data)):
        with pytest.raises(CorruptStreamError, match="more bytes"):
            Weights.read(Reader(data[:cut]), references)


def test_bytes_of_weights():
    weights = Weights(np.array([[1, -1], [127, -128]], np.int8), np.array([5, 127], np.uint8))
    assert weights.write().hex(" ") == "02 05 01 ff 7f 7f 80"


@pytest.mark.parametrize("rows", [0, LATTICES + 1, 255])
def test_weights_of_no_or_too_many_lattices(rows):
    with pytest.raises(CorruptStreamError, match=f"1 to {LATTICES} lattices, got {rows}"):
        Weights.read(Reader(bytes([rows]) + bytes(600)), 1)


@pytest.mark.parametrize("trust", [128, 255])
def test_too_much_trust(trust):
    with pytest.raises(CorruptStreamError, match=f"a trust up to 127, got {trust}"):
        Weights.read(Reader(bytes([2, 127, 0, trust, 0])), 1)


def test_the_last_row_holds_for_all_that_are_coarser():
    weights = Weights(np.zeros((3, 1), np.int8), np.zeros(3, np.uint8))
    assert [weights.row(1 << p) for p in range(6)] == [0, 1, 2, 2, 2, 2]


def side_of(reach, count, *, seed=0, size=10**6, shape=(9, 14)):
    """A side of three frames of random references and static fields."""
    rng = np.random.default_rng(seed)
    decoded = rng.integers(-size, size + 1, (7, *shape))
    marks = rng.integers(0, 128, decoded.shape).astype(np.uint8)
    statics = rng.integers(-size, size + 1, (count, *shape))
    references = rng.integers(0, 7, (3, reach))
    return Side(decoded, marks, Group(np.array([1, 2, 3]), references, distance=4 if reach else 0), statics)


@pytest.mark.parametrize("spacing", [1, 2, 4])
@pytest.mark.parametrize(("reach", "count"), [(2, 0), (6, 0), (0, 1), (0, 3), (4, 2)])
@pytest.mark.parametrize(("size", "dtype"), [(10**6, np.int32), (2**31 - 1, np.int32), (LIMIT, np.int64)])
def test_combine(reach, count, spacing, size, dtype):
    side = side_of(reach, count, size=size)
    side.decoded = side.decoded.astype(dtype)
    weights = np.random.default_rng(1).integers(-128, 128, reach + count)
    here = slice(None), slice(None, None, spacing), slice(None, None, spacing)
    decoded, marks, statics = side.decoded[here].astype(int), side.marks[here].astype(int), side.statics[here]
    known = np.concatenate([decoded[side.references], np.tile(statics, (3, 1, 1, 1))], 1)  # (frame, reference, y, x)
    shape = 3, *decoded.shape[1:]
    mean, change, pulse = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.int16)
    given = (side.decoded, side.marks, side.references, side.statics, weights, spacing, mean, change, pulse)
    combine(*given, 0, 1)
    combine(*given, 1, mean.shape[1])
    assert (mean == np.clip((np.einsum("k,fkyx->fyx", weights, known) + 32) >> 6, -LIMIT, LIMIT)).all()
    if reach:
        before, after = side.references[:, 0], side.references[:, 1]
        assert (change == decoded[after] - decoded[before]).all()
        assert (pulse == marks[before] + marks[after]).all()
    else:
        assert not change.any()
        assert not pulse.any()


def test_view_and_corner():
    side = side_of(4, 1)
    values = np.random.default_rng(2).integers(-60, 60, (3, 5)).astype(np.int8)
    side.weights = Weights(values, np.array([9, 0, 50], np.uint8))
    assert side.view(2, NOTHING) is None
    finest, coarse, coarser = side.view(1, NOTHING), side.view(4, NOTHING), side.view(8, NOTHING)
    assert (finest.mean.shape, coarse.mean.shape, coarser.mean.shape) == ((3, 9, 14), (3, 3, 4), (3, 2, 2))
    assert (finest.trust, coarse.trust, finest.distance) == (9, 50, 14 * 2)
    assert (coarser.mean == coarse.mean[:, ::2, ::2]).all()
    assert (finest.mean[:, ::4, ::4] != coarse.mean).any()
    assert (side.corner() == coarse.mean[:, 0, 0]).all()
    side.weights = Weights(values, np.array([9, 50, 0], np.uint8))
    assert side.corner() is None
    still = side_of(0, 1)
    still.weights = Weights(np.array([[64]], np.int8), np.array([127], np.uint8))
    assert still.view(1, NOTHING).distance == -14
    assert (still.view(1, NOTHING).mean == still.statics).all()


def test_known_is_references_then_statics():
    side = side_of(4, 2)
    assert side.columns == len(side.known()) == 6
    for k, known in enumerate(side.known()):
        assert (known == (side.decoded[side.references[:, k]] if k < 4 else side.statics[k - 4])).all()
    assert side.view(1, NOTHING) is side.corner() is None, "at first nothing helps"
