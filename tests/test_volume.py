"""Frames of integers to bytes and back: every decoded value within half a step, whatever the frames are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from adiabat.codec import AdiabatError, CorruptStreamError, coarse_to_fine, prediction
from adiabat.codec.coarse_to_fine import decode_frames, encode_frames
from adiabat.codec.models import find_model

MODEL = find_model()
SHAPES = [(1, 1, 1), (1, 1, 7), (1, 9, 1), (4, 1, 1), (1, 2, 2), (2, 16, 16), (3, 17, 33), (1, 64, 48), (5, 3, 4)]


def targets(shape, kind, seed, size=1e5):
    """Float64 in fine units, none of them a round number."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=shape)
    if kind == "smooth":
        field = np.cumsum(np.cumsum(field, 1), 2) / np.sqrt(shape[1] * shape[2])
    elif kind == "spikes":
        field = np.where(rng.random(shape) < 0.05, field * 1e4, field * 1e-3)
    elif kind == "constant":
        field = np.full(shape, 0.5)
    return np.clip(field * size + size, -(2.0**37), 2.0**37)


def check(target, *, valid=None, step=256, snap=1, wrap=False, threads=1):
    """Encode and decode; the decoder's values are the encoder's and lie within half a step. Returns both."""
    options = {"valid": valid, "step": step, "snap": snap, "wrap": wrap, "model": MODEL}
    payload, told = encode_frames(target, threads=threads, **options)
    decoded = decode_frames(payload, target.shape, threads=threads, **options)
    assert decoded.dtype == np.int64
    assert (decoded == told).all()
    error = np.abs(target - decoded)
    assert (error if valid is None else error[valid]).max(initial=0) <= step / 2
    return payload, decoded


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wrap", [False, True])
def test_shapes(shape, wrap):
    for kind in ("smooth", "noise", "spikes", "constant"):
        check(targets(shape, kind, 0), wrap=wrap)


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
    _, decoded = check(target, valid=valid, step=step, snap=snap, wrap=wrap)
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
        check(np.clip(target, -top, top))
        check(np.clip(target, -top, top), step=64, snap=64, wrap=True)


def test_what_is_masked_changes_nothing():
    target = targets((2, 20, 30), "smooth", 1)
    valid = np.random.default_rng(2).random(target.shape) < 0.6
    valid[0, 0, 0] = valid[1] = False
    payload, decoded = check(target, valid=valid)
    other, again = check(np.where(valid, target, 0), valid=valid)
    assert valid[0].any()
    assert other == payload
    assert (again == decoded).all()
    with pytest.raises(AdiabatError):
        decode_frames(payload, target.shape, valid=None, step=256, snap=1, wrap=False, model=MODEL)


def test_nothing_valid_is_a_few_bytes():
    target = np.zeros((3, 40, 40))
    assert len(check(target, valid=np.zeros(target.shape, bool))[0]) < 20


def test_many_frames_in_groups(monkeypatch):
    target = targets((7, 12, 10), "smooth", 3)
    whole, decoded = check(target)
    monkeypatch.setattr(coarse_to_fine, "GROUP", 250)  # two frames and a rest of one
    grouped, again = check(target)
    assert (decoded == again).all(), "groups share an entropy coder, not predictions"
    assert grouped != whole
    valid = np.random.default_rng(0).random(target.shape) < 0.5
    check(target, valid=valid)
    singles = [
        encode_frames(target[i : i + 2], valid=None, step=256, snap=1, wrap=False, model=MODEL)[0] for i in (0, 2, 4)
    ]
    assert grouped.startswith(b"".join(singles))
    monkeypatch.setattr(coarse_to_fine, "GROUP", 1)
    check(target)


@pytest.mark.parametrize("wrap", [False, True])
def test_threads_and_blocks_change_nothing(monkeypatch, wrap):
    target = targets((3, 65, 64), "smooth", 4)
    valid = np.random.default_rng(0).random(target.shape) < 0.9
    one, decoded = check(target, valid=valid, wrap=wrap)
    for threads in (2, 4, None):
        assert check(target, valid=valid, wrap=wrap, threads=threads)[0] == one
    for block in (64, 1024, 1 << 16):
        monkeypatch.setattr(prediction, "BLOCK", block)
        payload, again = check(target, valid=valid, wrap=wrap, threads=2)
        assert payload == one
        assert (again == decoded).all()


def test_passes_of_several_bands():
    target = targets((2, 400, 390), "smooth", 5)
    assert target.size / 4 > prediction.BAND
    valid = np.random.default_rng(0).random(target.shape) < 0.9
    assert check(target, valid=valid, threads=3)[0] == check(target, valid=valid)[0]


def test_workers_are_kept_by_process(monkeypatch):
    assert prediction.workers(1) is None
    assert prediction.workers(2) is prediction.workers(2)
    assert prediction.workers(3) is not prediction.workers(2)
    before = prediction.workers(2)
    monkeypatch.setattr(prediction.os, "getpid", lambda: -1)
    assert prediction.workers(2) is not before


def test_wrap_pays_over_the_seam():
    x = np.arange(256) * 2 * np.pi / 256
    y = np.linspace(0, 3, 65)[:, None]
    target = sum(np.sin(k * x + k * k * y) / k for k in range(1, 9))[None] * 20000
    assert len(check(target, wrap=True)[0]) < len(check(target)[0])


def test_smooth_frames_take_few_bits():
    target = targets((1, 128, 128), "smooth", 0, 1e4)
    assert len(check(target)[0]) < target.size / 2


def test_garbage_is_named():
    shape = (2, 9, 11)
    options = {"valid": None, "step": 256, "snap": 1, "wrap": False, "model": MODEL}
    payload, _ = encode_frames(targets(shape, "noise", 0), **options)
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
