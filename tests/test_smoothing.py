"""Smoothing against a slow restatement, and what it is for: less error, never beyond what the bound leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow import smoothed
from strategies import quick

from adiabat.codec import CorruptStreamError, lattice
from adiabat.codec.octets import Reader, pack, write_varint
from adiabat.codec.prediction import Arithmetic
from adiabat.codec.smoothing import FEATURES, KINDS, LEAST, Smoothing, room
from adiabat.codec.volume import TAPER

STEP = 256


def steps_of(taper, step=STEP):
    return Arithmetic(step, 1, None, taper=taper).steps


def random_weights(seed=0):
    return np.random.default_rng(seed).integers(-128, 128, (KINDS, FEATURES)).astype(np.int8)


def own_steps(shape, taper):
    """The step of the spacing that each pixel of a frame was coded at; the first pixel's is the last."""
    y, x = np.indices(shape)
    lowest = (y | x) & -(y | x)
    return steps_of(taper)[np.where(lowest, np.log2(np.maximum(lowest, 1)).astype(int), 31)]


@quick
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 13), st.integers(1, 13)),
    st.sampled_from([(64,), (32,), (48, 36), (40, 64, 8), (1, 64, 20, 2)]),
    st.sampled_from([1, 64, 2000, 2**37]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_against_slow_statement(shape, taper, size, wrap, seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(-size, size + 1, shape).cumsum(2) // (1 + rng.integers(8))
    marks = rng.integers(-4, 5, shape).astype(np.int16)
    weights, before = random_weights(seed), frames.copy()
    out = Smoothing(weights).apply(frames, marks, steps_of(taper), STEP, wrap=wrap)
    assert (frames == before).all()
    assert out.tolist() == [
        smoothed(frame, mark, weights, taper, STEP, wrap) for frame, mark in zip(frames, marks, strict=True)
    ]


def test_write_and_read():
    weights = random_weights()
    data = Smoothing(weights).write()
    reader = Reader(data + b"more")
    assert (Smoothing.read(reader).weights == weights).all()
    assert reader.left == 4
    none = Smoothing(np.zeros((KINDS, FEATURES), np.int8))
    assert none.write() == b"\0"
    assert not Smoothing.read(Reader(b"\0")).weights.any()
    frames = np.ones((1, 4, 4), np.int64)
    assert none.apply(frames, frames.astype(np.int16), steps_of((32,)), STEP, wrap=False) is frames


@pytest.mark.parametrize("size", [0, 1, KINDS * FEATURES - 1, KINDS * FEATURES + 1])
def test_other_than_all_weights_is_refused(size):
    packed = pack(bytes(size))
    with pytest.raises(CorruptStreamError):
        Smoothing.read(Reader(write_varint(len(packed)) + packed))


def test_cut_off_is_refused():
    data = Smoothing(random_weights()).write()
    for cut in range(len(data)):
        with pytest.raises(CorruptStreamError):
            Smoothing.read(Reader(data[:cut]))


def noisy(shape=(2, 160, 160), taper=TAPER, seed=0):
    """A smooth target, what a decoder made of it, and the marks: uniform errors of the steps of a taper."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape[1:])
    target = np.stack([2000 * np.sin((x + 5 * f) / 20) * np.cos(y / 15) for f in range(shape[0])])
    own = own_steps(shape[1:], taper)
    decoded = np.rint(target + rng.uniform(-own / 2, own / 2, shape)).astype(np.int64)
    return target, decoded, rng.integers(-1, 2, shape).astype(np.int16), own


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_fit_lowers_the_error(wrap, masked):
    target, decoded, marks, own = noisy()
    steps, valid = steps_of(TAPER), None
    if masked:
        valid = np.random.default_rng(1).random(target.shape) < 0.9
        target = np.where(valid, target, 1e9)
    smoothing = Smoothing.fit(decoded, marks, target, valid, steps, wrap=wrap)
    out = smoothing.apply(decoded, marks, steps, STEP, wrap=wrap)
    here = slice(None) if valid is None else valid
    before, after = (float(np.sqrt(np.mean((field - target)[here] ** 2))) for field in (decoded, out))
    assert after < 0.8 * before
    assert np.abs(out - decoded).max() > 0
    assert (np.abs(out - decoded) <= (STEP - own) // 2).all()
    assert np.abs(out - target)[here].max() <= STEP / 2 + 1


def test_no_shift_is_beyond_the_room():
    _, decoded, marks, own = noisy()
    out = Smoothing(random_weights()).apply(decoded, marks, steps_of(TAPER), STEP, wrap=False)
    shift = np.abs(out - decoded)
    assert (shift <= (STEP - own) // 2).all()
    assert (shift == (STEP - own) // 2).any()
    assert room(np.array([STEP, STEP - 1, STEP - 2, 2 * STEP]), STEP).tolist() == [0, 0, 1, 0]


def test_a_whole_step_leaves_no_room():
    _, decoded, marks, _ = noisy()
    assert (Smoothing(random_weights()).apply(decoded, marks, steps_of((64,)), STEP, wrap=False) == decoded).all()


def test_small_groups_get_none():
    for pixels, expected in [(LEAST - 1, False), (LEAST, True)]:
        target, decoded, marks, _ = noisy((1, 1 << 7, 1 << 7))
        few = (slice(None), slice(None), slice(0, None if pixels == LEAST else -1))
        smoothing = Smoothing.fit(decoded[few], marks[few], target[few], None, steps_of(TAPER), wrap=False)
        assert smoothing.weights.any() == expected


def test_places_are_the_passes():
    """Weights of one place alone move that pass's pixels alone."""
    rng = np.random.default_rng(0)
    frames = rng.integers(-(10**5), 10**5, (1, 16, 16))
    marks, steps, seen = np.ones((1, 16, 16), np.int16), steps_of((32,)), np.zeros((16, 16), int)
    for place in range(7):
        weights = np.zeros((7, 2, 3, FEATURES), np.int8)
        weights[place] = 100
        smoothing = Smoothing(weights.reshape(KINDS, FEATURES))
        moved = (smoothing.apply(frames, marks, steps, STEP, wrap=False) != frames)[0]
        expected = np.zeros((16, 16), bool)
        if place == 6:
            expected[::4, ::4] = True
        else:
            spacing, rule = 1 + place // 3, lattice.PASSES[place % 3]
            expected[rule.row * spacing :: 2 * spacing, rule.column * spacing :: 2 * spacing] = True
        assert (moved == expected).all()
        seen += moved
    assert (seen == 1).all()
