"""Symbols of spectra: any of them come back, by runs of channels; what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import CorruptStreamError
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.spectral_residual import Class, ResidualReader, ResidualWriter

TOP = 2**31 - 1


def symbols_of(shape, kind, seed=0):
    """Symbols of one of the kinds, each channel of another spread."""
    rng = np.random.default_rng(seed)
    spread = 10.0 ** rng.uniform(-1, {"narrow": 0, "wide": 4, "mixed": 7}[kind], (shape[0], 1))
    q = rng.normal(size=shape) * spread
    if kind == "mixed":
        q[rng.random(shape) < 0.02] *= 1e4
    return np.clip(np.rint(q), -TOP, TOP).astype(np.int32)


def payload_of(q, valid=None):
    writer = ResidualWriter()
    writer.take(q[:2], None if valid is None else valid[:2])
    writer.take(q[2:], None if valid is None else valid[2:])
    return writer.payload()


def read_all(payload, shape):
    """All symbols at once."""
    reader = ResidualReader(payload, shape[0])
    q = reader.give(slice(0, shape[0]), shape[1], None)
    reader.finish()
    return q


@quick
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 60)),
    st.sampled_from(["narrow", "wide", "mixed"]),
    st.sampled_from([None, 0.0, 0.3, 1.0]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 20),
)
def test_round_trip(shape, kind, missing, seed, cut):
    q = symbols_of(shape, kind, seed)
    valid = None if missing is None else np.random.default_rng(seed).random(shape) >= missing
    if valid is not None:
        q[~valid] = 0
    reader, back = ResidualReader(payload_of(q, valid), shape[0]), []
    for start in range(0, shape[0], cut):
        part = slice(start, min(start + cut, shape[0]))
        back.append(reader.give(part, shape[1], None if valid is None else valid[part]))
    reader.finish()
    assert (np.concatenate(back) == q).all()


@pytest.mark.parametrize("ends", [(-TOP, TOP), (-TOP, 0), (0, TOP), (-TOP, -TOP + 1)])
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_the_ends_of_the_range(ends, share):
    q = np.zeros((40, 50), np.int32)
    rng = np.random.default_rng(1)
    where = rng.random(q.shape) < share
    q[where] = rng.choice(ends, int(where.sum()))
    assert (read_all(payload_of(q), q.shape) == q).all()


def test_bytes_are_near_the_entropy_of_each_channel():
    rng = np.random.default_rng(2)
    spread = np.linspace(0.3, 20, 64)[:, None]
    q = np.rint(rng.normal(size=(64, 4000)) * spread).astype(np.int32)
    bits = 0.0
    for row in q:
        share = np.unique(row, return_counts=True)[1] / row.size
        bits -= row.size * float((share * np.log2(share)).sum())
    assert 8 * len(payload_of(q)) < 1.02 * bits


def test_one_symbol_far_out_costs_itself_alone():
    q = np.random.default_rng(4).integers(-1, 2, (1, 4000)).astype(np.int32)
    far = q.copy()
    far[0, 9] = 500_000
    assert len(payload_of(far)) < len(payload_of(q)) + 30


def test_channels_before_tell_noisy_pixels_apart():
    rng = np.random.default_rng(3)
    q = np.rint(rng.normal(size=(40, 2000)) * np.where(rng.random(2000) < 0.3, 30, 0.6)).astype(np.int32)
    payload = payload_of(q)
    parts = Reader(payload)
    head = Reader(parts.take(parts.varint()))
    read = [Class.read(head) for _ in range(head.u8())]
    assert any(each.edges for each in read)
    mixed = rng.permuted(q, axis=1)
    assert len(payload) < 0.9 * len(payload_of(mixed))


def test_a_symbol_beyond_the_range_is_refused():
    shifted = bytes([1, 30, 0, 63, 63, *[1] * 65])  # one class, 30 raw bits, letters 0 ... 63
    good = Reader(payload_of(np.zeros((1, 8), np.int32)))
    parts = [good.take(good.varint()) for _ in range(5)]
    parts[0], parts[3] = shifted, bytes(30)
    parts[2] = np.array([12345, 2**31], "<u4").tobytes()
    with pytest.raises(CorruptStreamError, match=r"from -2\*\*31"):
        ResidualReader(b"".join(write_varint(len(p)) + p for p in parts), 1).give(slice(0, 1), 8, None)


@pytest.mark.parametrize("part", range(5))
def test_parts_that_are_cut_or_longer_are_refused(part):
    q = symbols_of((8, 12), "mixed", 4)
    whole = Reader(payload_of(q))
    parts = [whole.take(whole.varint()) for _ in range(5)]
    assert all(parts)
    for changed in (parts[part][:-1], parts[part] + b"\1", b""):
        bad = [changed if place == part else each for place, each in enumerate(parts)]
        with pytest.raises(CorruptStreamError):
            read_all(b"".join(write_varint(len(p)) + p for p in bad), q.shape)
