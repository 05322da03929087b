"""What the network sees of references, against a slow restatement: the same inputs, and the mean added to the base."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow import as_bytes, plain_inputs, side_inputs
from strategies import quick

from adiabat.codec import lattice
from adiabat.codec.prediction import Level
from adiabat.codec.side import View
from adiabat.codec.stencil import gather

STEP, DEPTH = 256, 14
SHAPES = [(1, 9, 12), (3, 6, 7), (2, 3, 210), (1, 1, 9), (2, 8, 1), (1, 2, 2)]


def random_level(shape, *, size, wrap, far=10**6, seed=0, trust=77, distance=4):
    """A finest lattice, its parts C, D and A filled in; and its values less the mean, which are up to `size`, symbols.

    The references' mean and change are up to `far`.
    """
    rng = np.random.default_rng(seed)
    mean, change = rng.integers(-far, far + 1, (2, *shape)) * (rng.random((2, *shape)) < 0.9)
    values = mean + rng.integers(-size, size + 1, shape)
    pulse = rng.integers(0, 255, shape).astype(np.int16)
    symbols = rng.integers(-127, 128, shape).astype(np.int16)
    view = View(mean, change, pulse, trust, 14 * min(distance.bit_length() - 1, 8))
    level = Level(shape, 1, wrap=wrap, view=view)
    for part in (lattice.C, lattice.D, lattice.A):
        row, column = lattice.PARITY[part]
        level.fill(part, values[:, row::2, column::2], symbols[:, row::2, column::2])
    return level, values - mean, symbols


def gathered(level, number, weights, first=0, last=None):
    """Inputs as bytes, base, scale of some targets of a pass."""
    rule, view = lattice.PASSES[number], level.view
    height, width = (level.height - rule.row + 1) // 2, (level.width - rule.column + 1) // 2
    last = level.frames * height * width if last is None else last
    words = np.empty((last - first, rule.side_inputs // lattice.LANES), np.int64)
    base, scale, octave = np.empty((3, last - first), np.int64)
    side = (
        level.mean, level.change, level.marks, view.mean, view.change, view.marks,
        rule.taps, rule.row, rule.column, view.trust, view.distance,
    )  # fmt: skip
    where = height, width, first, last, words, base, scale, octave
    gather(level.values, level.symbols, side, rule.table, weights, STEP, DEPTH, *where)
    return words.astype("<i8").view(np.uint8), base, scale


def check_against_slow(shape, *, seed=0, distance=4, **others):
    level, values, symbols = random_level(shape, seed=seed, distance=distance, **others)
    view, rng = level.view, np.random.default_rng(seed + 1)
    for number, rule in enumerate(lattice.PASSES):
        weights = rng.integers(-9000, 9000, rule.stencil)
        inputs, base, scale = gathered(level, number, weights)
        targets = np.argwhere(np.ones_like(values[:, rule.row :: 2, rule.column :: 2], bool)).tolist()
        assert len(targets) == len(base)
        for t, (f, i, j) in enumerate(targets):
            y, x = 2 * i + rule.row, 2 * j + rule.column
            plain, bare, size_here, _ = plain_inputs(
                values[f], symbols[f], level.wrap, rule, weights, y, x, STEP, DEPTH
            )
            assert (base[t], scale[t]) == (bare + view.mean[f, y, x], size_here)
            seen = view.mean[f], view.change[f], view.marks[f]
            side = side_inputs(*seen, level.wrap, rule, y, x, size_here, trust=view.trust, distance=distance)
            assert inputs[t].tolist() == as_bytes(plain + side)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wrap", [False, True])
def test_against_slow_statement(shape, wrap):
    check_against_slow(shape, size=10**6, wrap=wrap)


@quick
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8)),
    st.integers(0, 37),
    st.integers(0, 38),
    st.booleans(),
    st.integers(0, 2**32 - 2),
    st.sampled_from([0, 1, 2, 64, 512, 4096]),
)
def test_against_slow_statement_on_any_shape(shape, near, far, wrap, seed, distance):
    check_against_slow(shape, size=2**near, far=2**far, wrap=wrap, seed=seed, distance=distance)


@pytest.mark.parametrize("number", range(3))
def test_targets_do_not_depend_on_where_a_block_begins(number):
    level, _, _ = random_level((3, 20, 31), size=10**5, wrap=False)
    weights = np.arange(lattice.PASSES[number].stencil) * 300
    whole = gathered(level, number, weights)
    end = len(whole[1])
    for first, last in [(0, 1), (7, 12), (191, 193), (192, 384), (1, end), (end - 1, end)]:
        for part, all_of_it in zip(gathered(level, number, weights, first, last), whole, strict=True):
            assert (part == all_of_it[first:last]).all()


def test_taps_are_cubic_interpolation():
    for rule in lattice.PASSES:
        assert rule.taps.sum() == 256
        dy, dx = rule.table[:, 3:].T
        for power in (1, 2, 3):
            assert rule.taps @ dy**power == rule.taps @ dx**power == 0


def test_a_mean_that_is_right_leaves_nothing_to_predict():
    level, _, _ = random_level((1, 12, 14), size=10**5, wrap=False)
    exact = level.view.mean
    for part in (lattice.C, lattice.D, lattice.A):
        row, column = lattice.PARITY[part]
        level.fill(part, exact[:, row::2, column::2], np.zeros_like(exact[:, row::2, column::2], np.int16))
    for number, rule in enumerate(lattice.PASSES):
        inputs, base, scale = gathered(level, number, np.full(rule.stencil, 500))
        assert (base == exact[:, rule.row :: 2, rule.column :: 2].reshape(-1)).all()
        assert (scale == STEP // 4 + 1).all()
        assert (inputs[:, : rule.stencil] == 128).all()
