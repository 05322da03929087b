"""The fallback: within half a step, back bit for bit, broken payloads refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fields, quick

from adiabat.codec import CorruptStreamError
from adiabat.codec.classical import decode_classical, encode_classical

shapes = st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9))


@quick
@given(shapes, st.integers(0, 2**32), st.floats(0, 37), st.sampled_from([64, 192, 256]))
def test_round_trip(shape, seed, bits, step):
    rng = np.random.default_rng(seed)
    target = (2 * rng.random(shape) - 1) * 2.0**bits
    valid = rng.random(shape) < 0.7
    for where in (None, valid, np.zeros_like(valid)):
        payload, decoded = encode_classical(target, where, step)
        assert (decode_classical(payload, shape, step) == decoded).all()
        assert (decoded % step == 0).all()
        counted = slice(None) if where is None else where
        assert (np.abs(decoded - target)[counted] <= step / 2).all()


def test_absent_pixels_cost_little():
    target = fields(shape=(60, 80)).astype(np.float64)[None] * 2560
    valid = np.ones(target.shape, bool)
    whole = len(encode_classical(target, valid, 256)[0])
    valid[:, 20:50] = False
    assert len(encode_classical(np.where(valid, target, 0), valid, 256)[0]) < 0.7 * whole


@pytest.mark.parametrize("payload", [b"", b"\x03\x01\x00", b"\x00\x00\x00", b"\x00\x09\x00"])
def test_broken_payloads_are_refused(payload):
    with pytest.raises(CorruptStreamError):
        decode_classical(payload, (1, 2, 3), 64)
