"""Frames of integers to bytes and back: every decoded value within half a step, whatever the frames are."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from checks import check_frames
from hypothesis import given
from hypothesis import strategies as st
from strategies import evolving, quick, targets

from adiabat.codec import AdiabatError, CorruptStreamError, order, prediction, volume, workers
from adiabat.codec.models import find_model
from adiabat.codec.octets import Reader
from adiabat.codec.plan import MAX_SHARES, Plan
from adiabat.codec.side import LATTICES, Weights
from adiabat.codec.volume import TAPER, Frames, decode_frames, encode_frames

OPTIONS = {"valid": None, "step": 256, "snap": 1, "wrap": False}
SHAPES = [(1, 1, 1), (1, 1, 7), (1, 9, 1), (4, 1, 1), (1, 2, 2), (2, 16, 16), (3, 17, 33), (1, 64, 48), (5, 3, 4)]


def ordered(axis, reach):
    """Encode with this axis and reach, whatever they are worth."""
    return mock.patch.object(volume, "choose", return_value=(axis, reach))


def weighted(seed):
    """Encode with any weights and trust, whatever they are worth."""
    rng = np.random.default_rng(seed)

    def weigh(side, mask):
        rows = rng.integers(1, LATTICES + 1)
        trust = rng.integers(0, 128, rows) * (rng.random(rows) < 0.8)
        side.weights = Weights(rng.integers(-40, 60, (rows, side.columns)).astype(np.int8), trust.astype(np.uint8))
        return side

    return mock.patch.object(volume, "Learner", weigh)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wrap", [False, True])
def test_shapes(shape, wrap):
    for kind in ("smooth", "noise", "spikes", "constant"):
        check_frames(targets(shape, kind, 0), wrap=wrap)


@quick
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from(["smooth", "noise", "spikes", "constant"]),
    st.sampled_from([1.0, 1e3, 1e6, 2.0**36]),
    st.booleans(),
    st.sampled_from([None, 0.02, 0.5, 0.98, 1.0]),
    st.sampled_from([(256, 1), (64, 64), (64 * 7, 64)]),
    st.integers(0, 2**32 - 1),
)
def test_any_target(shape, kind, size, wrap, missing, steps, seed):
    step, snap = steps
    target = targets(shape, kind, seed, size)
    if snap > 1:
        target = np.rint(target / snap) * snap
    valid = None if missing is None else np.random.default_rng(seed).random(shape) >= missing
    _, decoded = check_frames(target, valid=valid, step=step, snap=snap, wrap=wrap)
    if step == snap:
        assert (decoded == target)[... if valid is None else valid].all(), "nothing is lost on the lattice"


def test_extreme_targets():
    top = 2.0**37
    rng = np.random.default_rng(0)
    for target in (
        np.full((2, 9, 9), top),
        np.where(rng.random((2, 9, 12)) < 0.5, -top, top),
        -targets((1, 5, 5), "noise", 0, top),
    ):
        check_frames(np.clip(target, -top, top))
        check_frames(np.clip(target, -top, top), step=64, snap=64, wrap=True)


def test_what_is_masked_changes_nothing():
    target = targets((2, 20, 30), "smooth", 1)
    valid = np.random.default_rng(2).random(target.shape) < 0.6
    valid[0, 0, 0] = valid[1] = False
    payload, decoded = check_frames(target, valid=valid)
    other, again = check_frames(np.where(valid, target, 0), valid=valid)
    assert valid[0].any()
    assert other == payload
    assert (again == decoded).all()
    with pytest.raises(AdiabatError):
        decode_frames(payload, target.shape, valid=None, step=256, snap=1, wrap=False, model=find_model())


def test_what_is_masked_changes_nothing_in_other_frames(side_model):
    target = evolving()
    valid = np.random.default_rng(2).random(target.shape) < 0.9
    valid[3:5] = valid[:, 0, 0] = False
    known = {"valid": valid, "model": side_model, "taper": TAPER, "statics": np.rint(target[:1]).astype(np.int64)}
    payload, decoded = check_frames(target, **known)
    assert payload[:2] == bytes([1, 2])
    other, again = check_frames(np.where(valid, target, 0), **known)
    assert other == payload
    assert (again == decoded).all()


def test_nothing_valid_is_a_few_bytes():
    target = np.zeros((3, 40, 40))
    assert len(check_frames(target, valid=np.zeros(target.shape, bool))[0]) < 20


@pytest.mark.parametrize("wrap", [False, True])
def test_threads_and_blocks_change_nothing(monkeypatch, wrap):
    target = targets((3, 65, 64), "smooth", 4)
    valid = np.random.default_rng(0).random(target.shape) < 0.9
    one, decoded = check_frames(target, valid=valid, wrap=wrap)
    for threads in (2, 4, None):
        assert check_frames(target, valid=valid, wrap=wrap, threads=threads)[0] == one
    for block in (64, 1024, 1 << 16):
        monkeypatch.setattr(prediction, "BLOCK", block)
        payload, again = check_frames(target, valid=valid, wrap=wrap, threads=2)
        assert payload == one
        assert (again == decoded).all()


def test_passes_of_several_bands():
    target = targets((2, 400, 390), "smooth", 5)
    assert target.size / 4 > prediction.BAND
    valid = np.random.default_rng(0).random(target.shape) < 0.9
    assert check_frames(target, valid=valid, threads=3)[0] == check_frames(target, valid=valid)[0]


def test_workers_are_kept_by_process(monkeypatch):
    assert workers.workers(1) is None
    assert workers.workers(2) is workers.workers(2)
    assert workers.workers(3) is not workers.workers(2)
    before = workers.workers(2)
    monkeypatch.setattr(workers.os, "getpid", lambda: -1)
    assert workers.workers(2) is not before


def test_wrap_pays_over_the_seam():
    x = np.arange(256) * 2 * np.pi / 256
    y = np.linspace(0, 3, 65)[:, None]
    target = sum(np.sin(k * x + k * k * y) / k for k in range(1, 9))[None] * 20000
    assert len(check_frames(target, wrap=True)[0]) < len(check_frames(target)[0])


def test_smooth_frames_take_few_bits():
    target = targets((1, 128, 128), "smooth", 0, 1e4)
    assert len(check_frames(target)[0]) < target.size / 2


@quick
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 4)),
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.sampled_from([(0, 2), (0, 4), (1, 2), (1, 8), (None, 0)]),
    st.sampled_from(["smooth", "noise", "spikes", "constant"]),
    st.sampled_from([1.0, 1e4, 2.0**36]),
    st.sampled_from([None, 0.5, 1.0]),
    st.sampled_from([(), (32,), TAPER, (64, 1, 64)]),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from([1, 400, 1 << 20]),
    st.integers(0, 2**32 - 1),
)
def test_any_order(side_model, axes, shape, along, kind, size, missing, taper, count, wrap, pixels, seed):
    rng = np.random.default_rng(seed)
    target = targets((axes[0] * axes[1], *shape), kind, seed, size)
    valid = None if missing is None else rng.random(target.shape) >= missing  # holes move from frame to frame
    statics = rng.integers(-int(size), int(size) + 1, (count, *shape)) if count else None
    known = {"valid": valid, "wrap": wrap, "axes": axes, "statics": statics, "model": side_model}
    with ordered(*along), weighted(seed), mock.patch.dict(order.GROUP, {2: pixels}):
        payload, decoded = check_frames(target, taper=taper, **known)
        axis, reach = along
        assert payload[:3] == bytes([0 if axis is None else axis + 1, reach, len(taper)])
        wanted = np.unique(rng.integers(0, len(target), 2))
        some = decode_frames(payload, target.shape, only=wanted, **{**OPTIONS, **known})
    assert (some[wanted] == decoded[wanted]).all()


def test_frames_that_are_known():
    frames = Frames.none((4, 1, 3), np.ones((1, 1, 3), np.int64))
    first, then = order.Order(1, 2, 2, 2).groups(3)
    symbols = np.array([[[0, -127, 5]], [[126, 128, -3000]]], np.int16)
    frames.put(first, np.arange(6).reshape(2, 1, 3), symbols)
    assert frames.marks[:2].tolist() == [[[0, 127, 5]], [[126, 127, 127]]]
    assert (frames.side(first).columns, frames.side(then).columns) == (1, 3)
    assert Frames.none((4, 1, 3)).side(first) is None
    large = np.array([2**31, -(2**38), 1]).reshape(1, 1, 3).repeat(2, 0)
    frames.put(then, large, symbols)
    assert (frames.decoded[2:] == large).all()
    assert frames.decoded[:2].reshape(-1).tolist() == list(range(6))


def test_references_save_bytes(side_model, still_model):
    target = evolving()
    payload, _ = check_frames(target, model=side_model)
    assert payload[:2] == bytes([1, 2]), "the axis was found"
    unordered, _ = check_frames(target, model=still_model)
    assert unordered[:2] == bytes(2)
    assert len(payload) < 0.7 * len(unordered)
    strangers = np.stack([target, evolving(seed=1)])
    for axes, levels in [((2, 9), strangers), ((9, 2), strangers.swapaxes(0, 1))]:
        plan = check_frames(levels.reshape(18, *target.shape[1:]), model=side_model, axes=axes)[0][:2]
        assert plan == bytes([1 + axes.index(9), 2])


def test_static_fields_save_bytes(side_model):
    rng = np.random.default_rng(0)
    ground = np.rint(rng.normal(size=(1, 80, 96)) * 1e4).astype(np.int64)
    target = 0.7 * ground + rng.normal(size=(3, 80, 96)) * 300
    payload, _ = check_frames(target, model=side_model, statics=ground)
    assert len(payload) < 0.7 * len(check_frames(target, model=side_model)[0])
    with pytest.raises(AdiabatError):
        decode_frames(payload, target.shape, **OPTIONS, model=side_model, statics=-ground)


def test_a_taper_goes_by_spacing(still_model):
    target = targets((3, 33, 40), "noise", 0)
    _, decoded = check_frames(target, model=still_model, taper=TAPER)  # so small that nothing is smoothed
    error = np.abs(decoded - target)
    for p, share in enumerate(TAPER):
        largest = error[:, :: 1 << p, :: 1 << p].max() / (256 * share >> 6)
        assert largest <= 0.5
        assert largest > 0.4 or p > 3, "the step is used up, wherever there are some pixels"
    assert not (decoded[:, 0, 0] % (256 * TAPER[-1] >> 6)).any()


def test_a_taper_lowers_the_error():
    y, x = np.indices((160, 160))
    target = (1e4 * np.sin(x / 30) * np.cos(y / 20))[None] + targets((1, 160, 160), "noise", 0, 10)
    plain, tapered = (check_frames(target, taper=taper)[1] for taper in ((), TAPER))
    plain, tapered = (float(np.sqrt(np.mean((decoded - target) ** 2))) for decoded in (plain, tapered))
    assert tapered < 0.75 * plain


def test_longest_taper(side_model):
    check_frames(targets((2, 20, 21), "smooth", 0), model=side_model, taper=(64, *range(1, MAX_SHARES)))


@pytest.mark.parametrize("referring", [False, True])
def test_garbage_is_named(side_model, referring):
    shape = (2, 9, 11)
    options = {**OPTIONS, "model": find_model()}
    if referring:
        options |= {"model": side_model, "statics": np.ones((1, 9, 11), np.int64) << 20}
    with ordered(*((0, 2) if referring else (None, 0))), weighted(0):
        payload, _ = encode_frames(targets(shape, "noise", 0), taper=TAPER if referring else (), **options)
    for cut in range(len(payload)):
        with pytest.raises(AdiabatError):
            decode_frames(payload[:cut], shape, **options)
    with pytest.raises(CorruptStreamError, match="expected the end"):
        decode_frames(payload + b"\0", shape, **options)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        bad = bytearray(payload)
        bad[rng.integers(len(bad))] ^= 1 << int(rng.integers(8))
        try:
            decoded = decode_frames(bytes(bad), shape, **options)
        except AdiabatError:
            refused += 1
        else:
            assert decoded.shape == shape
            assert np.abs(decoded).max() <= 2**38
    assert refused > 100, "most flips are noticed even without the checksum of the stream"


@pytest.mark.parametrize("step", [256, 4096])
@pytest.mark.parametrize("holes", [False, True])
def test_a_second_encoding_moves_nothing(step, holes):
    """What the weights are fitted to is decoded already, and so the same the second time; so is the order."""
    rng = np.random.default_rng(0)
    frames = evolving(9, (48, 56)).cumsum(1).cumsum(2)
    valid = rng.random(frames.shape) < 0.97 if holes else None
    options = {"valid": valid, "step": step, "snap": 1, "wrap": False, "model": find_model()}
    payload, decoded = encode_frames(frames, **options)
    assert Plan.read(Reader(payload), (9,)).reach, "frames are predicted from frames"
    again, twice = encode_frames(decoded.astype(np.float64), **options)
    assert again == payload
    assert (twice == decoded).all()
