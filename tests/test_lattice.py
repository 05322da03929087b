"""The lattice against a slow and obvious re-statement of it, one pixel at a time, in Python's own integers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow import as_bytes, plain_inputs
from strategies import quick

from adiabat.codec import lattice
from adiabat.codec.coarse_to_fine import walk
from adiabat.codec.prediction import Arithmetic


class Stub:
    """A model whose networks have random linear weights and give what they are told: offset, spread, shape."""

    def __init__(self, seed=0, outputs=(0, 0, 0)):
        rng = np.random.default_rng(seed)
        self.weights = [rng.integers(-9000, 9000, rule.stencil) for rule in lattice.PASSES]
        self.outputs = np.array(outputs, np.int32)

    def net(self, number, spacing, *, side):
        return SimpleNamespace(linear=self.weights[number], runner=lambda: self.run)

    def run(self, inputs):
        return np.tile(self.outputs, (len(inputs), 1))


def walk_with(shape, first, code, model, *, step, snap=1, wrap=False, taper=()):
    """Walk frames that are small enough for each pass to be one band; `code` is given the whole pass."""
    arithmetic = Arithmetic(step, snap, model, keep=True, taper=taper)
    return walk(shape, first, lambda prediction: lambda part: code(prediction), arithmetic, wrap=wrap)[0]


def check_against_slow(shape, *, wrap, step, snap, size, seed=0, taper=()):
    """Walk frames with random residuals and compare each target of each pass."""
    rng, whole, step = np.random.default_rng(seed), step, 0
    model = Stub(seed)
    known = np.zeros(shape, np.int64)
    symbols = np.zeros(shape, np.int64)
    known[:, 0, 0] = first = rng.integers(-size, size + 1, shape[0])
    seen = np.zeros(shape, int)
    seen[:, 0, 0] = 1

    def code(state):
        nonlocal step
        rule, s = state.rule, state.level.spacing
        share = taper[min(s.bit_length(), len(taper)) - 1] if taper else 64
        before, step = step, max(1, whole * share >> 6)
        if before not in (0, step):
            symbols[:] = np.clip((2 * symbols * before + step) // (2 * step), -127, 127)
        level = 14 * min(s.bit_length() - 1, 8)
        wraps = wrap and shape[2] % (2 * s) == 0
        symbol = rng.integers(-200, 201, len(state.mean)) * (rng.random(len(state.mean)) < 0.5)
        t = 0
        for f in range(shape[0]):
            coarse, context = known[f, ::s, ::s].copy(), symbols[f, ::s, ::s].copy()
            for y in range(rule.row, coarse.shape[0], 2):
                for x in range(rule.column, coarse.shape[1], 2):
                    weights = model.weights[state.number]
                    expected = plain_inputs(coarse, context, wraps, rule, weights, y, x, step, level)
                    inputs, base, scale, octave = expected
                    assert state.kept.inputs[t].tolist() == as_bytes(inputs)
                    assert (state.kept.scale[t], state.kept.octave[t]) == (scale, octave)
                    mean = base + snap // 2 & -snap
                    assert state.mean[t] == mean
                    assert state.context[t] == 3 * min(max((2 * octave >> 2) + 20, 0), 207)
                    known[f, y * s, x * s] = mean + symbol[t] * step
                    symbols[f, y * s, x * s] = min(max(symbol[t], -127), 127)
                    seen[f, y * s, x * s] += 1
                    t += 1
        assert t == len(state.mean) == len(state.targets(known))
        return symbol

    decoded = walk_with(shape, first, code, model, step=whole, snap=snap, wrap=wrap, taper=taper)
    assert (seen == 1).all(), "a pixel is the target of exactly one pass"
    assert (decoded == known).all()


SHAPES = [(1, 1, 1), (2, 1, 9), (1, 8, 1), (1, 2, 2), (1, 2, 8), (1, 7, 12), (2, 9, 5), (1, 5, 16), (1, 3, 3)]


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_against_slow_statement(shape, wrap):
    check_against_slow(shape, wrap=wrap, step=256, snap=1, size=10**6)


@pytest.mark.parametrize(("step", "snap"), [(64, 64), (192, 64), (64 * 2001, 64)])
def test_against_slow_statement_on_lattices(step, snap):
    check_against_slow((1, 6, 10), wrap=True, step=step, snap=snap, size=10**9)


@pytest.mark.parametrize("taper", [(32,), (48, 36, 27), (16, 64, 20), (64, 5), (1, 64)])
@pytest.mark.parametrize("step", [3, 256])
def test_against_slow_statement_with_a_taper(taper, step):
    check_against_slow((2, 11, 18), wrap=True, step=step, snap=1, size=10**5, taper=taper)


@quick
@given(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)), st.booleans(), st.integers(0, 2**32 - 1))
def test_against_slow_statement_on_any_shape(shape, wrap, seed):
    check_against_slow(shape, wrap=wrap, step=256, snap=1, size=2 ** (seed % 37), seed=seed)


def test_settle_rounds_clips_and_names_contexts():
    rng = np.random.default_rng(0)
    for outputs in [(4000, -20, 40), (-5000, 600, 1000), (7, -1000, -50), (300, 13, 15)]:
        fractions = [(output << 6) + int(rng.integers(64)) for output in outputs]
        states = []

        def code(state, states=states):
            states.append(state)
            return rng.integers(-50, 50, len(state.mean))

        walk_with((1, 6, 6), np.array([12345]), code, Stub(0, fractions), step=192, snap=64)
        silent = []

        def again(state, states=states, silent=silent):
            other = states[len(silent)]
            silent.append(state)
            return (other.mean - state.mean) // 192  # only the first pass sees the same values

        walk_with((1, 6, 6), np.array([12345]), again, Stub(), step=192)
        base = int(silent[0].mean[0])
        state, scale, octave = states[0], int(states[0].kept.scale[0]), int(states[0].kept.octave[0])
        offset = min(max(outputs[0], -4095), 4095)
        assert state.mean[0] == base + (scale * offset >> 8) + 32 & -64
        index = min(max((outputs[1] + 2 * octave >> 2) + 20, 0), 207)
        assert state.context[0] == 3 * index + min(max(outputs[2] + 16 >> 5, 0), 2)


def seen_by_network(frame, step=256, wrap=False):
    """What the walk over a frame that is coded without error gives: inputs, base, scale of each pass."""
    passes = []

    def code(state):
        target = state.targets(frame[None])
        passes.append((state.kept.inputs.T.astype(int), state.mean.copy(), state.kept.scale, state.level.spacing))
        state.mean[:] = target
        return np.zeros(len(target), np.int64)

    walk_with((1, *frame.shape), frame[:1, 0], code, Stub(), step=step, wrap=wrap)
    return passes


@pytest.mark.parametrize("wrap", [False, True])
def test_adding_a_constant_changes_the_base_alone(wrap):
    frame = np.random.default_rng(0).normal(size=(12, 16)).cumsum(1).round(3) * 1e5
    frame = frame.astype(np.int64)
    for constant in (1, -(10**9), 2**36):
        for plain, moved in zip(
            seen_by_network(frame, wrap=wrap), seen_by_network(frame + constant, wrap=wrap), strict=True
        ):
            assert (plain[0] == moved[0]).all()
            assert (moved[1] - plain[1] == constant).all()
            assert (plain[2] == moved[2]).all()


def inner(passes, shape):
    """Of the finest lattice: stencil inputs, base and scale of targets whose stencil lies inside the frame."""
    out = []
    for number, (inputs, base, scale, spacing) in enumerate(passes[-3:]):
        assert spacing == 1
        rule = lattice.PASSES[number]
        count = -(-(shape[0] - rule.row) // 2), -(-(shape[1] - rule.column) // 2)
        take = np.zeros(count, bool)
        take[2:-2, 2:-2] = True
        out.append((inputs[: rule.stencil, take.ravel()], base[take.ravel()], scale[take.ravel()], rule, take))
    return out


@pytest.mark.parametrize(("down", "right"), [(80, 0), (0, -80), (80, 160), (-4000, 2000)])
def test_adding_a_plane_changes_the_base_alone(down, right):
    # Slopes are divided by the stencil's moment as a multiple of 2**-16: right to 1/4096 of the slope.
    shape = 16, 20
    frame = (np.random.default_rng(0).normal(size=shape).cumsum(1) * 1e5).astype(np.int64)
    y, x = np.indices(shape)
    passes = inner(seen_by_network(frame), shape), inner(seen_by_network(frame + down * y + right * x), shape)
    for plain, moved in zip(*passes, strict=True):
        rule, take = plain[3], plain[4]
        plane = (down * y + right * x)[rule.row :: 2, rule.column :: 2][take]
        assert np.abs(plain[0] - moved[0]).max() <= 1
        assert np.abs(moved[1] - plain[1] - plane).max() <= 16
        assert np.abs(moved[2] - plain[2]).max() <= 16


@pytest.mark.parametrize("octaves", [1, 5, 13])
def test_scale_equivariance(octaves):
    frame = (np.random.default_rng(0).normal(size=(12, 16)).cumsum(1) * 1e6).astype(np.int64)
    scaled = seen_by_network(frame << octaves, step=256 << octaves)
    for number, (plain, large) in enumerate(zip(seen_by_network(frame), scaled, strict=True)):
        slope = lattice.PASSES[number % 3].stencil + 2
        tiny = (np.arange(len(plain[0]))[:, None] == slope) & (plain[0] < 112)  # slopes of a few fine units
        assert np.abs(np.where(tiny, 0, plain[0] - large[0])).max() <= 1  # of 127
        np.testing.assert_allclose(large[2], plain[2] * 2.0**octaves, atol=16 * 2**octaves)
        np.testing.assert_allclose(large[1], plain[1] * 2.0**octaves, atol=100 * 2**octaves)


def test_stencils():
    for rule in lattice.PASSES:
        parity = (rule.row + rule.table[:, 3]) % 2 + 2 * ((rule.column + rule.table[:, 4]) % 2)
        part = np.array([lattice.C, lattice.B, lattice.A, lattice.D])[parity]
        assert (part == rule.table[:, 0]).all()
        assert (part < [lattice.D, lattice.A, lattice.B]["DAB".index(rule.name)]).all(), "only decoded parts are seen"
        distance = np.hypot(rule.table[:, 3], rule.table[:, 4])
        assert (np.diff(distance) >= 0).all()
        assert np.ptp(distance[: lattice.NEAR]) == 0
        assert not rule.table[:, 3:].sum(), "a stencil is symmetric"
        assert np.abs(rule.table[:, 1:3]).max() <= lattice.PAD
    assert [rule.stencil for rule in lattice.PASSES] == [16, 24, 28]


def test_spacings():
    assert lattice.spacings(1, 1) == []
    assert lattice.spacings(1, 2) == [1]
    assert lattice.spacings(5, 3) == [4, 2, 1]
    assert lattice.spacings(721, 1440)[0] == 1024


def test_division_in_float64_is_exact():
    quotients = np.arange(1, 1 << 16)
    assert ((4294967296.0 / quotients.astype(np.float64)).astype(np.int64) == 2**32 // quotients).all()
